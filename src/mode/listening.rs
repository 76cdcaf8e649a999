//! Listeners and the sessions behind them, from the first accept to the last byte of grace.
//!
//! Shared by `forward` and `serve`: they differ in their front and their routes alone.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Semaphore;

use super::session::Sessions;
use crate::front::Front;
use crate::net::listen::{self, Listener};

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At these addresses, the first that can be had.
    Tcp {
        /// As typed: an address, a name, or `*`.
        host: String,
        /// 0 lets the system choose.
        port: u16,
    },
    /// At this path.
    Unix(PathBuf),
}

/// A place that can't be listened at.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {error}")]
pub struct PlaceError {
    /// Which one.
    pub place: Place,
    /// Why.
    #[source]
    pub error: io::Error,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Place {
    /// Whether only this machine can reach it. A name is looked up by the system.
    ///
    /// # Errors
    /// The name does not resolve.
    pub fn is_local(&self) -> io::Result<bool> {
        Ok(match self {
            Self::Unix(_) => true,
            Self::Tcp { host, port } => addresses(host, *port)?.iter().all(|a| a.ip().is_loopback()),
        })
    }

    async fn listen(&self) -> Result<Listener, PlaceError> {
        let listener = match self {
            Self::Unix(path) => Listener::unix(path),
            Self::Tcp { host, port } => match addresses(host, *port) {
                Ok(addresses) => Listener::tcp(&addresses).await,
                Err(error) => Err(error),
            },
        };
        listener.map_err(|error| PlaceError { place: self.clone(), error })
    }
}

/// `*` and nothing are every address of this machine, as with ssh: IPv6 with IPv4 mapped where
/// there is IPv6.
fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    use std::net::ToSocketAddrs as _;
    match host {
        "*" | "" => {
            let every: [IpAddr; 2] = [Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()];
            Ok(every.map(|address| SocketAddr::new(address, port)).to_vec())
        }
        name => Ok((name, port).to_socket_addrs()?.collect()),
    }
}

/// How a listening mode ends, and how much it does at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Connections at the same time; `None` is what the limit of open files carries.
    pub(super) max_connections: Option<usize>,
    /// How long open connections may take to end.
    pub(super) grace: Duration,
    pub(super) keepalive: Option<Duration>,
}

/// Listens at every place, and serves until SIGTERM or SIGINT. Then nothing more is accepted, and
/// the open sessions have the time of grace, or until a second signal.
///
/// # Errors
/// A place can't be listened at; nothing has been served then.
pub(super) async fn serve(
    places: Vec<(Place, Front)>,
    sessions: Sessions,
    bounds: Bounds,
) -> Result<(), PlaceError> {
    let files = listen::raise_file_limit();
    let most = bounds.max_connections.unwrap_or(files).min(u32::MAX as usize);
    let slots = Arc::new(Semaphore::new(most));
    let sessions = Arc::new(sessions);
    let mut stop = Stop::new().map_err(|error| PlaceError { place: places[0].0.clone(), error })?;

    let mut listeners = Vec::new();
    for (place, front) in places {
        let listener = place.listen().await?;
        let target = match &front {
            Front::Fixed(target) => Some(target),
            Front::Http(_) => None,
        };
        sessions.watch.listening(&listener.place(), target);
        listeners.push((listener, Arc::new(front)));
    }
    let accepting: Vec<_> = listeners
        .into_iter()
        .map(|(listener, front)| {
            tokio::spawn(accept(listener, front, sessions.clone(), slots.clone(), bounds.keepalive))
        })
        .collect();

    stop.wait().await;
    tracing::debug!("no more connections are accepted");
    for task in accepting {
        task.abort();
        let _aborted = task.await;
    }
    // All slots are free when the last session has ended.
    tokio::select! {
        _ = slots.acquire_many(u32::try_from(most).unwrap_or(u32::MAX)) => {}
        () = tokio::time::sleep(bounds.grace) => tracing::debug!("the time of grace is over"),
        () = stop.wait() => {}
    }
    Ok(())
}

async fn accept(
    listener: Listener,
    front: Arc<Front>,
    sessions: Arc<Sessions>,
    slots: Arc<Semaphore>,
    keepalive: Option<Duration>,
) {
    // A connection is accepted only when there is a slot for it: the others wait in the backlog.
    while let Ok(slot) = slots.clone().acquire_owned().await {
        let client = listener.accept(keepalive).await;
        let (front, sessions) = (front.clone(), sessions.clone());
        tokio::spawn(async move {
            sessions.serve(&front, client).await;
            drop(slot);
        });
    }
}

/// SIGTERM or SIGINT.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
