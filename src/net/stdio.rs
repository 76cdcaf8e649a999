//! Standard input and output as ends of a tunnel.
//!
//! They are shared with the parent: `O_NONBLOCK` is never set on them, as it would show on the
//! parent's side. What is not a socket is therefore touched only when poll(2) says that it is
//! ready, and a pipe is then given no more than it is sure to take.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::buffer::{Buffer, spare_capacity};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, Shutdown, SocketType, sockopt};

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
    /// A stream on a Unix socket, such as one of a socketpair.
    Unix,
    /// Another socket.
    Socket,
    Terminal,
    /// A regular file: always ready.
    File,
    /// Another device.
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
            FileType::Socket if is_unix_stream(fd) => Kind::Unix,
            FileType::Socket => Kind::Socket,
            FileType::CharacterDevice if rustix::termios::isatty(fd) => Kind::Terminal,
            FileType::RegularFile => Kind::File,
            FileType::CharacterDevice
            | FileType::Directory
            | FileType::Symlink
            | FileType::BlockDevice
            | FileType::Unknown => Kind::Other,
        };
        Ok(Self { fd, kind })
    }

    /// Reads what is there into the spare capacity; the caller has seen that it is ready.
    pub(super) fn read(self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        loop {
            match self.read_once(spare_capacity(buffer)) {
                Err(Errno::INTR) => {}
                read => return Ok(read?),
            }
        }
    }

    /// As `read`, into a slice.
    pub(super) fn read_into(self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.read_once(&mut *buffer) {
                Err(Errno::INTR) => {}
                read => return Ok(read?),
            }
        }
    }

    fn read_once<B: Buffer<u8, Output = usize>>(self, buffer: B) -> rustix::io::Result<usize> {
        match self.kind {
            Kind::Unix | Kind::Socket => {
                rustix::net::recv(self.fd, buffer, RecvFlags::DONTWAIT).map(|(read, _)| read)
            }
            Kind::Pipe | Kind::Terminal | Kind::File | Kind::Other => rustix::io::read(self.fd, buffer),
        }
    }

    /// Writes some; the caller has seen that it is ready.
    pub(super) fn write(self, bytes: &[u8]) -> io::Result<usize> {
        let write = || match self.kind {
            Kind::Unix | Kind::Socket => {
                rustix::net::send(self.fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
            }
            Kind::Pipe => rustix::io::write(self.fd, &bytes[..bytes.len().min(PIPE_BUF)]),
            Kind::Terminal => rustix::io::write(self.fd, &bytes[..bytes.len().min(TERMINAL_ROOM)]),
            Kind::File | Kind::Other => rustix::io::write(self.fd, bytes),
        };
        Ok(rustix::io::retry_on_intr(write)?)
    }

    /// The most that may be spliced into it once poll(2) has said that it is ready. A socket that
    /// we share with the parent is not ours to make non-blocking, and splice(2) then waits for
    /// room: Linux calls a Unix stream ready while no more than a quarter of its buffer is in use.
    pub(super) fn splice_room(self) -> usize {
        match self.kind {
            Kind::Unix => sockopt::socket_send_buffer_size(self.fd).map_or(PIPE_BUF, |size| size / 2),
            Kind::Pipe | Kind::Socket | Kind::Terminal | Kind::File | Kind::Other => usize::MAX,
        }
    }

    /// Ends standard output, so that who reads it sees its end although this process goes on.
    pub(super) fn finish_output(self) -> io::Result<()> {
        if matches!(self.kind, Kind::Unix | Kind::Socket) {
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

fn is_unix_stream(fd: BorrowedFd<'_>) -> bool {
    sockopt::socket_domain(fd) == Ok(AddressFamily::UNIX)
        && sockopt::socket_type(fd) == Ok(SocketType::STREAM)
}

impl AsFd for End {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd
    }
}
