//! Listening sockets, and how many connections the system lets us have.
//!
//! Accepting never gives up: where file descriptors or buffers run out it waits a little, as the
//! connections in the backlog will still be there.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

use super::dial;
use super::splice::limit_pipes;
use super::stream::Stream;

/// Between two tries to accept while there are no descriptors.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Descriptors that are neither for connections nor for their pipes: standard ones, listeners,
/// lookups. Where there are few, half of them.
const RESERVED_FILES: u64 = 64;

/// Those that the runtime of each core has.
const FILES_OF_A_CORE: u64 = 4;

/// Which part of the others may be pipes: bulk is spliced through them, beyond them it is copied. A
/// reader that is slow keeps one, which may not be what the next connection lacks.
const PIPES: u64 = 8;

/// A listening socket. A Unix one takes its path away when it is dropped.
#[derive(Debug)]
pub enum Listener {
    /// On an address.
    Tcp(TcpListener),
    /// On a path.
    Unix(UnixListener, UnixPath),
}

/// The path of a Unix listener, and which file there is ours.
#[derive(Debug)]
pub struct UnixPath {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl UnixPath {
    fn new(path: &Path) -> Self {
        Self { identity: identity(path), path: path.to_owned() }
    }
}

impl Drop for UnixPath {
    fn drop(&mut self) {
        // A newer instance may listen at the same path by now.
        if self.identity.is_some() && identity(&self.path) == self.identity {
            let _already_gone = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

impl Listener {
    /// Listens on an address.
    ///
    /// # Errors
    /// What bind says.
    pub async fn tcp(address: SocketAddr) -> io::Result<Self> {
        Ok(Self::Tcp(TcpListener::bind(address).await?))
    }

    /// Listens on a path, for this user alone. A socket that nobody listens on any more is
    /// replaced; anything else there is an error.
    ///
    /// # Errors
    /// `AddrInUse` where somebody listens or a file of another kind is.
    pub fn unix(path: &Path) -> io::Result<Self> {
        if is_left_behind(path) {
            fs::remove_file(path)?;
        }
        let before = rustix::process::umask(Mode::RWXG | Mode::RWXO);
        let listener = UnixListener::bind(path);
        rustix::process::umask(before);
        Ok(Self::Unix(listener?, UnixPath::new(path)))
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        match self {
            Self::Tcp(listener) => listener.poll_accept(cx).map_ok(|(stream, _)| Stream::Tcp(stream)),
            Self::Unix(listener, _) => listener.poll_accept(cx).map_ok(|(stream, _)| Stream::Unix(stream)),
        }
    }

    /// Where it listens, as it is announced.
    pub fn place(&self) -> String {
        match self {
            Self::Tcp(listener) => listener.local_addr().map_or_else(|_| "?".into(), |a| a.to_string()),
            Self::Unix(_, UnixPath { path, .. }) => format!("unix:{}", path.display()),
        }
    }
}

/// Whether a socket was left at a path by a process that is gone: connecting to it is refused.
/// Any other answer, or none, says that somebody is there.
fn is_left_behind(path: &Path) -> bool {
    let connect = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)
    };
    // To what is no socket at all, connecting is refused as well.
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    is_socket && connect().is_err_and(|error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// Several listeners that are accepted from in turn.
#[derive(Debug)]
pub struct Listeners {
    all: Vec<Listener>,
    next: usize,
    /// A shortage has been told; it is told again when it has passed and comes back.
    short: bool,
}

impl Listeners {
    /// Accepts from all of these.
    pub fn new(all: Vec<Listener>) -> Self {
        Self { all, next: 0, short: false }
    }

    /// The next connection, whatever it takes to get one, and the place of its listener in the
    /// order given.
    pub async fn accept(&mut self, keepalive: Option<Duration>) -> (usize, Stream) {
        loop {
            match std::future::poll_fn(|cx| self.poll_accept(cx)).await {
                Ok((place, stream)) => {
                    self.short = false;
                    if let Stream::Tcp(stream) = &stream {
                        dial::prepare(stream, keepalive);
                    }
                    return (place, stream);
                }
                // The peer has gone before it was accepted: the next one, please.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {
                    tracing::debug!("accept: {error}")
                }
                Err(error) => {
                    if !self.short {
                        tracing::warn!("accept: {error}; trying again every {BACK_OFF:?}");
                    }
                    self.short = true;
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(usize, Stream)>> {
        for turn in 0..self.all.len() {
            let place = (self.next + turn) % self.all.len();
            if let Poll::Ready(accepted) = self.all[place].poll_accept(cx) {
                self.next = place + 1;
                return Poll::Ready(accepted.map(|stream| (place, stream)));
            }
        }
        Poll::Pending
    }
}

/// Raises the soft limit of open files to the hard one, and says how many relayed connections,
/// of two descriptors each, it carries.
pub fn raise_file_limit() -> usize {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let files = match rustix::process::setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::debug!("the limit of open files stays: {error}");
            limit.current
        }
    };
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let (connections, pipes) = carried_by(files.unwrap_or(u64::MAX), cores);
    limit_pipes(pipes);
    connections
}

/// How many connections so many descriptors carry, and pipes besides.
fn carried_by(files: u64, cores: u64) -> (usize, usize) {
    let rest = files - (RESERVED_FILES + cores * FILES_OF_A_CORE).min(files / 2);
    let pipes = rest / PIPES / 2;
    let connections = usize::try_from(rest / 2 - pipes).unwrap_or(usize::MAX);
    (connections.clamp(1, Semaphore::MAX_PERMITS), usize::try_from(pipes).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_limit_of_files_still_carries_some() {
        let carried = [0, 7, 40, 64, 128, 256, 1024].map(|files| carried_by(files, 2));
        assert_eq!(carried, [(1, 0), (2, 0), (9, 1), (14, 2), (28, 4), (81, 11), (417, 59)]);
        assert_eq!(carried_by(u64::MAX, 2).0, Semaphore::MAX_PERMITS);
        assert!(carried_by(512, 64).0 < carried_by(512, 2).0, "cores have their part");
    }
}
