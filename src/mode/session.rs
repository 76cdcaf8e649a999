//! The spine: front → target → route → tunnel → relay, for one client.

use std::sync::Arc;

use super::Watch;
use crate::authority::Authority;
use crate::front::{Denied, Front};
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

    async fn open(&self, front: &Front, client: Stream) -> Result<Opened, NotOpened> {
        let asked = front.receive(client).await.map_err(|denied| (None, denied.into()))?;
        let target = asked.target.clone();
        let tunnel = match self.tunnel(&target).await {
            Ok(tunnel) => tunnel,
            Err(error) => {
                front.deny(asked, gateway_status(&error.cause)).await;
                return Err((Some(target), error.into()));
            }
        };
        let (client, inbound) = match front.grant(asked).await {
            Ok(granted) => granted,
            Err(error) => return Err((Some(target), SessionError::Client(error))),
        };
        let (outbound, stream) = tunnel.into_early_and_stream();
        Ok(Opened { client, tunnel: stream, early: Early { inbound, outbound }, target })
    }

    /// One that stands already, or a new one.
    async fn tunnel(&self, target: &Authority) -> Result<Tunnel, tunnel::Error> {
        let spares = self.spares.iter().find(|spares| spares.target() == target);
        if let Some(tunnel) = spares.and_then(|spares| spares.take()) {
            return Ok(tunnel);
        }
        tunnel::open(target, &self.routes.route(target), &self.config, &mut ()).await
    }
}

/// What a client is told when its target can't be reached (RFC 9110 §15.6).
fn gateway_status(cause: &Cause) -> Status {
    match cause {
        Cause::Timeout(_) => Status::new(504),
        Cause::Resolve(_)
        | Cause::Unreachable(_)
        | Cause::Closed
        | Cause::Tls { .. }
        | Cause::Socks(_)
        | Cause::NoSocksLogin
        | Cause::Broken(_)
        | Cause::Nonsense(_)
        | Cause::Http2(_)
        | Cause::Refused(_)
        | Cause::LookUp(_)
        | Cause::Unauthenticated { .. }
        | Cause::Impostor
        | Cause::System(_) => Status::new(502),
    }
}
