//! Listening sockets, and how many connections the system lets us have.
//!
//! Accepting never gives up: where file descriptors or buffers run out it waits a little, as the
//! connections in the backlog will still be there.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit};
use tokio::net::{TcpListener, UnixListener};

use super::dial;
use super::stream::Stream;

/// Between two tries to accept while there are no descriptors.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Descriptors that are not for connections: standard ones, listeners, the runtime, a resolver.
const RESERVED_FILES: u64 = 32;

/// A listening socket. A Unix one takes its path away when it is dropped.
#[derive(Debug)]
pub enum Listener {
    /// On an address.
    Tcp(TcpListener),
    /// On a path.
    Unix(UnixListener, UnixPath),
}

/// The path of a Unix listener.
#[derive(Debug)]
pub struct UnixPath(PathBuf);

impl Drop for UnixPath {
    fn drop(&mut self) {
        let _already_gone = fs::remove_file(&self.0);
    }
}

impl Listener {
    /// Listens on the first of `addresses` that can be had.
    ///
    /// # Errors
    /// The last address's error.
    pub async fn tcp(addresses: &[SocketAddr]) -> io::Result<Self> {
        Ok(Self::Tcp(TcpListener::bind(addresses).await?))
    }

    /// Listens on a path, for this user alone. A socket that nobody listens on any more is
    /// replaced; anything else there is an error.
    ///
    /// # Errors
    /// `AddrInUse` where somebody listens or a file of another kind is.
    pub fn unix(path: &Path) -> io::Result<Self> {
        let left_behind = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
            && std::os::unix::net::UnixStream::connect(path).is_err();
        if left_behind {
            fs::remove_file(path)?;
        }
        let before = rustix::process::umask(Mode::RWXG | Mode::RWXO);
        let listener = UnixListener::bind(path);
        rustix::process::umask(before);
        Ok(Self::Unix(listener?, UnixPath(path.to_owned())))
    }

    /// The next connection, whatever it takes to get one.
    pub async fn accept(&self, keepalive: Option<Duration>) -> Stream {
        loop {
            let accepted = match self {
                Self::Tcp(listener) => listener.accept().await.and_then(|(stream, _)| {
                    dial::prepare(&stream, keepalive)?;
                    Ok(Stream::Tcp(stream))
                }),
                Self::Unix(listener, _) => listener.accept().await.map(|(stream, _)| Stream::Unix(stream)),
            };
            match accepted {
                Ok(stream) => return stream,
                Err(error) if is_shortage(&error) => {
                    tracing::warn!("accept: {error}; trying again until descriptors are free");
                    tokio::time::sleep(BACK_OFF).await;
                }
                // The peer has gone before it was accepted: the next one, please.
                Err(error) => tracing::debug!("accept: {error}"),
            }
        }
    }

    /// Where it listens, as it is announced.
    pub fn place(&self) -> String {
        match self {
            Self::Tcp(listener) => listener.local_addr().map_or_else(|_| "?".into(), |a| a.to_string()),
            Self::Unix(_, UnixPath(path)) => format!("unix:{}", path.display()),
        }
    }
}

fn is_shortage(error: &io::Error) -> bool {
    let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    error.raw_os_error().is_some_and(|code| shortages.iter().any(|e| e.raw_os_error() == code))
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
    let connections = files.unwrap_or(u64::MAX).saturating_sub(RESERVED_FILES) / 2;
    usize::try_from(connections).unwrap_or(usize::MAX).clamp(1, tokio::sync::Semaphore::MAX_PERMITS)
}
