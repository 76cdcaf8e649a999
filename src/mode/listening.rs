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
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::crew::Crew;
use super::session::{House, SessionError, Sessions};
use crate::front::Front;
use crate::net::listen::{self, Listener, Listeners};

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
            Self::Tcp { host, port } => {
                // Of ::ffff:127.0.0.1 it is the address inside that counts.
                addresses(host, *port)?.iter().all(|a| a.ip().to_canonical().is_loopback())
            }
        })
    }

    /// A name has several addresses, `localhost` two: each is listened at that can be had, as with
    /// ssh. Where the system chooses the port there is one.
    async fn listen(&self) -> Result<Vec<Listener>, PlaceError> {
        let failed = |error| PlaceError { place: self.clone(), error };
        let (host, port) = match self {
            Self::Unix(path) => return Ok(vec![Listener::unix(path).map_err(failed)?]),
            Self::Tcp { host, port } => (host, *port),
        };
        let mut listeners = Vec::new();
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in addresses(host, port).map_err(failed)? {
            match Listener::tcp(address).await {
                Ok(listener) => listeners.push(listener),
                Err(error) => {
                    tracing::debug!("listen at {address}: {error}");
                    last = error;
                }
            }
            if port == 0 && !listeners.is_empty() {
                break;
            }
        }
        if listeners.is_empty() { Err(failed(last)) } else { Ok(listeners) }
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
    // Each connection is a client and a tunnel; a spare is half of that.
    let spare: usize = sessions.spares.iter().map(|spares| spares.count()).sum();
    let files = listen::raise_file_limit().saturating_sub(spare).max(1);
    let most = bounds.max_connections.unwrap_or(files).min(u32::MAX as usize);
    let slots = Arc::new(Semaphore::new(most));
    let sessions = Arc::new(sessions);
    let config = sessions.config.clone();
    let refused = |error| PlaceError { place: places[0].0.clone(), error };
    let mut stop = Stop::new().map_err(refused)?;
    // It outlives the accepting: what is open has the time of grace.
    let mut crew = Crew::new();

    let (mut listeners, mut fronts) = (Vec::new(), Vec::new());
    for (place, front) in places {
        let front = Arc::new(front);
        for listener in place.listen().await? {
            listeners.push(listener);
            fronts.push(front.clone());
        }
    }
    // All or nothing: only now is any of them announced.
    for (listener, front) in listeners.iter().zip(&fronts) {
        let target = match &**front {
            Front::Fixed(target) => Some(target),
            Front::Http(_) => None,
        };
        sessions.watch.listening(&listener.place(), target);
    }
    let mut keepers = JoinSet::new();
    let spares = sessions.spares.clone();
    for spares in &spares {
        let (spares, sessions) = (spares.clone(), sessions.clone());
        keepers.spawn(async move {
            let target = spares.target();
            let open = || {
                let (sessions, target) = (sessions.clone(), target.clone());
                async move { sessions.new_tunnel(&target).await }
            };
            let failed = |error| sessions.watch.failed(Some(target), &error);
            spares.maintain(open, SessionError::is_about_login, failed).await;
        });
    }
    let (close, closing) = watch::channel(());
    let house = House { slots: slots.clone(), closing };
    tokio::select! {
        () = accept(Listeners::new(listeners), fronts, sessions, house, &mut crew, bounds.keepalive) => {}
        () = stop.wait() => tracing::debug!("no more connections are accepted"),
    }
    close.send_replace(());
    drop(keepers);
    spares.iter().for_each(|spares| spares.log());
    // All slots are free when the last session has ended.
    let last_words = async {
        let _all = slots.acquire_many(u32::try_from(most).unwrap_or(u32::MAX)).await;
        config.drain().await;
    };
    tokio::select! {
        () = last_words => {}
        () = tokio::time::sleep(bounds.grace) => tracing::debug!("the time of grace is over"),
        () = stop.wait() => {}
    }
    let cut_off = most - slots.available_permits().min(most);
    if cut_off > 0 {
        tracing::info!("{cut_off} connections are cut off");
    }
    Ok(())
}

async fn accept(
    mut listeners: Listeners,
    fronts: Vec<Arc<Front>>,
    sessions: Arc<Sessions>,
    house: House,
    crew: &mut Crew,
    keepalive: Option<Duration>,
) {
    // A connection is accepted only when there is a slot for it: the others wait in the backlog. Up
    // to then the slot is anybody's: the next tunnel of a connection that is there needs one too.
    while let Ok(free) = house.slots.acquire().await {
        drop(free);
        let (place, client) = listeners.accept(keepalive).await;
        let Ok(slot) = house.slots.clone().acquire_owned().await else { return };
        let (front, sessions, house) = (fronts[place].clone(), sessions.clone(), house.clone());
        crew.begin(client, async move |client| {
            sessions.serve(&front, client, &house).await;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_local_in_each_of_its_forms() {
        for (host, local) in [
            ("127.0.0.1", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("::ffff:192.0.2.1", false),
            ("*", false),
            ("192.0.2.1", false),
        ] {
            let place = Place::Tcp { host: host.into(), port: 0 };
            assert_eq!(place.is_local().ok(), Some(local), "{host}");
        }
    }
}
