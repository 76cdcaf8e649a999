//! Standard input and output as ends of a tunnel.
//!
//! They are shared with the parent: `O_NONBLOCK` is never set on them, as it would show on the
//! parent's side. What is not a socket is therefore touched only when poll(2) says that it is
//! ready, and a pipe is then given no more than it is sure to take.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};

/// What poll(2) promises of a pipe that can be written to: POSIX's least PIPE_BUF is 512, Linux
/// has a page.
const PIPE_BUF: usize = if cfg!(target_os = "linux") { 4096 } else { 512 };

/// What is given to a terminal at once: it is ready when its queue is nearly empty, and would stop
/// us in a longer write if it is held (^S).
const TERMINAL_ROOM: usize = 256;

/// What a descriptor is, as far as it matters for waiting on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Pipe,
    Socket,
    Terminal,
    /// A file or another device: always ready.
    Other,
}

/// One descriptor.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    fd: BorrowedFd<'static>,
    pub(super) kind: Kind,
}

/// Standard input and output of this process.
#[derive(Clone, Copy, Debug)]
pub struct Stdio {
    pub(super) input: End,
    pub(super) output: End,
}

impl Stdio {
    /// Looks at what they are; nothing is read.
    ///
    /// # Errors
    /// What fstat says.
    pub fn inherited() -> io::Result<Self> {
        Ok(Self { input: End::new(rustix::stdio::stdin())?, output: End::new(rustix::stdio::stdout())? })
    }

    /// Whether a person types the input.
    pub fn is_typed(&self) -> bool {
        self.input.kind == Kind::Terminal
    }
}

impl End {
    fn new(fd: BorrowedFd<'static>) -> io::Result<Self> {
        let kind = match FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode) {
            FileType::Fifo => Kind::Pipe,
            FileType::Socket => Kind::Socket,
            FileType::CharacterDevice if rustix::termios::isatty(fd) => Kind::Terminal,
            FileType::CharacterDevice
            | FileType::RegularFile
            | FileType::Directory
            | FileType::Symlink
            | FileType::BlockDevice
            | FileType::Unknown => Kind::Other,
        };
        Ok(Self { fd, kind })
    }

    /// Reads what is there; the caller has seen that it is ready.
    pub(super) fn read(self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = || match self.kind {
            Kind::Socket => rustix::net::recv(self.fd, &mut *buffer, RecvFlags::DONTWAIT).map(|(_, n)| n),
            Kind::Pipe | Kind::Terminal | Kind::Other => rustix::io::read(self.fd, &mut *buffer),
        };
        Ok(rustix::io::retry_on_intr(read)?)
    }

    /// Writes some; the caller has seen that it is ready.
    pub(super) fn write(self, bytes: &[u8]) -> io::Result<usize> {
        let write = || match self.kind {
            Kind::Socket => rustix::net::send(self.fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL),
            Kind::Pipe => rustix::io::write(self.fd, &bytes[..bytes.len().min(PIPE_BUF)]),
            Kind::Terminal => rustix::io::write(self.fd, &bytes[..bytes.len().min(TERMINAL_ROOM)]),
            Kind::Other => rustix::io::write(self.fd, bytes),
        };
        Ok(rustix::io::retry_on_intr(write)?)
    }

    /// Ends standard output, so that who reads it sees its end although this process goes on.
    pub(super) fn finish_output(self) -> io::Result<()> {
        if self.kind == Kind::Socket {
            // It may be standard input as well: closing one descriptor would not be seen.
            match rustix::net::shutdown(self.fd, Shutdown::Write) {
                Ok(()) | Err(Errno::NOTCONN) => {}
                Err(error) => return Err(error.into()),
            }
        }
        match rustix::fs::open("/dev/null", OFlags::WRONLY | OFlags::CLOEXEC, rustix::fs::Mode::empty()) {
            Ok(null) => Ok(rustix::stdio::dup2_stdout(null)?),
            // A chroot without devices: the end is seen when this process ends.
            Err(error) => {
                tracing::debug!("/dev/null: {error}");
                Ok(())
            }
        }
    }
}

impl AsFd for End {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd
    }
}
