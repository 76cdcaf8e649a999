//! The spine: front → target → route → tunnel → relay, for one client.

use std::sync::Arc;

use super::Watch;
use crate::authority::Authority;
use crate::front::{Front, http::Denied};
use crate::net::ending::Patience;
use crate::net::relay::{Early, RelayError, relay};
use crate::net::stream::Stream;
use crate::proto::Status;
use crate::route;
use crate::tunnel::{self, Cause, Spares, Tunnel};

/// What all sessions of one mode share.
pub(super) struct Sessions {
    pub(super) routes: route::Policy,
    pub(super) config: tunnel::Config,
    pub(super) patience: Patience,
    /// Tunnels that stand already, a pool for each target that has some.
    pub(super) spares: Vec<Arc<Spares>>,
    pub(super) watch: Box<dyn Watch>,
}

/// Why one client was not served to its end.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// It was not let in.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Its tunnel could not be opened.
    #[error(transparent)]
    Tunnel(#[from] tunnel::Error),
    /// Its connection broke before the tunnel stood.
    #[error("the client's connection broke")]
    Client(#[source] std::io::Error),
    /// The relay ended early.
    #[error(transparent)]
    Relay(#[from] RelayError),
}

impl Sessions {
    /// Serves one client from its first byte to its last.
    pub(super) async fn serve(&self, front: &Front, mut client: Stream) {
        let wish = match front.hear(&mut client).await {
            Ok(wish) => wish,
            Err(denied) => return self.watch.failed(None, &denied.into()),
        };
        if let Err(error) = self.carry(front, client, &wish).await {
            self.watch.failed(Some(&wish.target), &error);
        }
    }

    /// One that stands already, or a new one.
    async fn tunnel(&self, target: &Authority) -> Result<Tunnel, tunnel::Error> {
        let spares = self.spares.iter().find(|spares| spares.target() == target);
        if let Some(tunnel) = spares.and_then(|spares| spares.take()) {
            return Ok(tunnel);
        }
        tunnel::open(target, &self.routes.route(target), &self.config, &mut ()).await
    }

    async fn carry(
        &self,
        front: &Front,
        mut client: Stream,
        wish: &crate::front::Wish,
    ) -> Result<(), SessionError> {
        let tunnel = match self.tunnel(&wish.target).await {
            Ok(tunnel) => tunnel,
            Err(error) => {
                front.deny(&mut client, gateway_status(&error.cause)).await;
                return Err(error.into());
            }
        };
        front.grant(&mut client).await.map_err(SessionError::Client)?;
        let (outbound, stream) = tunnel.into_early_and_stream();
        let early = Early { inbound: wish.early.clone(), outbound };
        let carried = relay(client, Stream::Tcp(stream), early, self.patience).await?;
        tracing::debug!("{}: {} bytes in, {} bytes out", wish.target, carried.inbound, carried.outbound);
        Ok(())
    }
}

/// What a client is told when its target can't be reached (RFC 9110 §15.6).
fn gateway_status(cause: &Cause) -> Status {
    match cause {
        Cause::Timeout(_) => Status::new(504),
        Cause::Resolve(_)
        | Cause::Unreachable(_)
        | Cause::Closed
        | Cause::Broken(_)
        | Cause::Nonsense(_)
        | Cause::Refused(_)
        | Cause::LookUp(_)
        | Cause::Unauthenticated { .. } => Status::new(502),
    }
}
