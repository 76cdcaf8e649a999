//! The spine: front → target → route → tunnel → relay, for one client.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};
#[cfg(feature = "http2")]
use tokio::task::JoinSet;

use super::{RouteError, Routes, Watch};
use crate::authority::Authority;
#[cfg(feature = "http2")]
use crate::front::http2::Callers;
use crate::front::{Asked, Denied, Front, Heard};
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

/// What all sessions run in.
#[derive(Clone)]
pub(super) struct House {
    /// One for each tunnel, and for each client without one.
    pub(super) slots: Arc<Semaphore>,
    /// Changes once, when no more tunnels shall begin.
    #[cfg_attr(not(feature = "http2"), expect(dead_code, reason = "a client asks once"))]
    pub(super) closing: watch::Receiver<()>,
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

/// A client that gets none, and what it had wanted.
type NotOpened = (Authority, SessionError);

impl Sessions {
    /// Serves one client from its first byte to its last.
    #[cfg_attr(not(feature = "http2"), expect(unused_variables, reason = "a client has one tunnel"))]
    pub(super) async fn serve(self: &Arc<Self>, front: &Front, client: Stream, house: &House) {
        // Each in a box of its own: what hearing and opening need is given back before the relay,
        // which may be idle for days.
        match Box::pin(front.receive(client)).await {
            Ok(Heard::Asked(asked)) => self.carry(asked).await,
            #[cfg(feature = "http2")]
            Ok(Heard::Callers(callers)) => Box::pin(self.serve_all(front, callers, house)).await,
            Err(denied) => self.watch.failed(None, &denied.into()),
        }
    }

    /// Serves a client that may have many tunnels on one connection, each as it would be alone.
    #[cfg(feature = "http2")]
    async fn serve_all(self: &Arc<Self>, front: &Front, mut callers: Callers, house: &House) {
        // The connection has a slot, which is as good as one of them's.
        let own = Arc::new(Semaphore::new(1));
        let mut closing = house.closing.clone();
        let mut tunnels = JoinSet::new();
        loop {
            tokio::select! {
                asked = front.next(&mut callers) => match asked {
                    Some(Ok(asked)) => {
                        let (sessions, slots) = (self.clone(), [own.clone(), house.slots.clone()]);
                        tunnels.spawn(async move { sessions.serve_one_of(asked, slots).await });
                    }
                    Some(Err(denied)) => self.watch.failed(None, &denied.into()),
                    None => break,
                },
                Some(_) = tunnels.join_next() => {}
                Ok(()) = closing.changed() => callers.say_goodbye(),
            }
        }
        // What they still have for their targets they may deliver.
        while tunnels.join_next().await.is_some() {}
    }

    /// Serves one of many, as soon as there is a slot for it.
    #[cfg(feature = "http2")]
    async fn serve_one_of(&self, mut asked: Asked, [own, all]: [Arc<Semaphore>; 2]) {
        let _slot = tokio::select! {
            biased;
            slot = own.acquire_owned() => slot,
            slot = all.acquire_owned() => slot,
            gone = asked.gone() => {
                return self.watch.failed(Some(&asked.target), &SessionError::Client(gone));
            }
        };
        self.carry(asked).await;
    }

    async fn carry(&self, asked: Asked) {
        let Opened { client, tunnel, early, target } = match Box::pin(self.open(asked)).await {
            Ok(opened) => opened,
            Err((target, error)) => return self.watch.failed(Some(&target), &error),
        };
        match relay(client, tunnel, early, self.patience).await {
            Ok(carried) => {
                tracing::debug!("{target}: {} bytes in, {} bytes out", carried.inbound, carried.outbound);
            }
            Err(error) => self.watch.failed(Some(&target), &error.into()),
        }
    }

    async fn open(&self, mut asked: Asked) -> Result<Opened, NotOpened> {
        let target = asked.target.clone();
        let tunnel = tokio::select! {
            tunnel = self.tunnel(&target) => tunnel,
            gone = asked.gone() => return Err((target, SessionError::Client(gone))),
        };
        let tunnel = match tunnel {
            Ok(tunnel) => tunnel,
            Err(error) => {
                asked.deny(gateway_status(&error)).await;
                return Err((target, error));
            }
        };
        let (client, inbound) = match asked.grant().await {
            Ok(granted) => granted,
            Err(error) => return Err((target, SessionError::Client(error))),
        };
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
        match tunnel::open_first(target, &ways, &self.config, &mut ()).await {
            Err(tunnel::Error { cause: Cause::Denied, .. }) => Err(Denied::Forbidden(target.clone()).into()),
            opened => Ok(opened?),
        }
    }
}

/// What a client is told when its target can't be reached (RFC 9110 §15.6).
fn gateway_status(error: &SessionError) -> Status {
    let error = match error {
        SessionError::Tunnel(error) => error,
        SessionError::Denied(_) => return Status::new(403),
        SessionError::Route(_) | SessionError::Client(_) | SessionError::Relay(_) => return Status::new(502),
    };
    match &error.cause {
        Cause::Denied => Status::new(403),
        Cause::Timeout(_) | Cause::NoRoom(_) => Status::new(504),
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
