//! The spine: front → target → route → tunnel → relay, for one client.

use std::sync::Arc;

use super::{RouteError, Routes, Watch};
use crate::authority::Authority;
use crate::front::{Front, Wish, http::Denied};
use crate::net::ending::Patience;
use crate::net::relay::{Early, RelayError, relay};
use crate::net::stream::Stream;
use crate::proto::Status;
use crate::tunnel::{self, Cause, Spares, Tunnel};

/// What all sessions of one mode share.
pub(super) struct Sessions {
    pub(super) routes: Routes,
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
    /// No way to its target is known.
    #[error(transparent)]
    Route(#[from] RouteError),
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

impl SessionError {
    /// Whether a login is missing or was refused.
    pub(super) fn is_about_login(&self) -> bool {
        matches!(self, Self::Tunnel(error) if error.is_about_login())
    }
}

/// A client and its tunnel.
struct Opened {
    client: Stream,
    tunnel: Stream,
    early: Early,
    target: Authority,
}

/// A client that gets none, and what it had wanted, if that was heard.
type NotOpened = (Option<Authority>, SessionError);

impl Sessions {
    /// Serves one client from its first byte to its last.
    pub(super) async fn serve(&self, front: &Front, client: Stream) {
        // In a box of its own: what opening needs is given back before the relay, which may be idle
        // for days.
        let Opened { client, tunnel, early, target } = match Box::pin(self.open(front, client)).await {
            Ok(opened) => opened,
            Err((target, error)) => return self.watch.failed(target.as_ref(), &error),
        };
        match relay(client, tunnel, early, self.patience).await {
            Ok(carried) => {
                tracing::debug!("{target}: {} bytes in, {} bytes out", carried.inbound, carried.outbound);
            }
            Err(error) => self.watch.failed(Some(&target), &error.into()),
        }
    }

    async fn open(&self, front: &Front, mut client: Stream) -> Result<Opened, NotOpened> {
        let Wish { target, early: inbound } =
            front.hear(&mut client).await.map_err(|denied| (None, denied.into()))?;
        let tunnel = match self.tunnel(&target).await {
            Ok(tunnel) => tunnel,
            Err(error) => {
                front.deny(&mut client, gateway_status(&error)).await;
                return Err((Some(target), error));
            }
        };
        if let Err(error) = front.grant(&mut client).await {
            return Err((Some(target), SessionError::Client(error)));
        }
        let (outbound, stream) = tunnel.into_early_and_stream();
        Ok(Opened { client, tunnel: stream, early: Early { inbound, outbound }, target })
    }

    /// One that stands already, or a new one.
    async fn tunnel(&self, target: &Authority) -> Result<Tunnel, SessionError> {
        let spares = self.spares.iter().find(|spares| spares.target() == target);
        if let Some(tunnel) = spares.and_then(|spares| spares.take()) {
            return Ok(tunnel);
        }
        self.new_tunnel(target).await
    }

    pub(super) async fn new_tunnel(&self, target: &Authority) -> Result<Tunnel, SessionError> {
        let ways = self.routes.decide(target).await?.routes;
        Ok(tunnel::open_first(target, &ways, &self.config, &mut ()).await?)
    }
}

/// What a client is told when its target can't be reached (RFC 9110 §15.6).
fn gateway_status(error: &SessionError) -> Status {
    let SessionError::Tunnel(error) = error else { return Status::new(502) };
    match &error.cause {
        Cause::Timeout(_) => Status::new(504),
        Cause::Resolve(_)
        | Cause::Unreachable(_)
        | Cause::Closed
        | Cause::Tls { .. }
        | Cause::Socks(_)
        | Cause::NoSocksLogin
        | Cause::Broken(_)
        | Cause::Nonsense(_)
        | Cause::Refused(_)
        | Cause::LookUp(_)
        | Cause::Unauthenticated { .. }
        | Cause::Impostor
        | Cause::System(_) => Status::new(502),
    }
}
