//! Connected sockets and other ways for bytes.
//!
//! Few variants on purpose: what is carried between two sockets is spliced where the kernel can;
//! everything else is a [`Channel`].

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use rustix::io::Errno;
use rustix::net::RecvFlags;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::channel::{Channel, Preceded};

/// A way for bytes, both ways.
#[derive(Debug)]
pub enum Stream {
    /// A tunnel, or a client on TCP.
    Tcp(TcpStream),
    /// A client on a Unix socket.
    Unix(UnixStream),
    /// Anything that is no bare socket.
    Channel(Box<dyn Channel>),
}

/// A connected socket that belongs to no runtime.
#[derive(Debug)]
pub enum Homeless {
    /// On TCP.
    Tcp(std::net::TcpStream),
    /// On a Unix socket.
    Unix(std::os::unix::net::UnixStream),
}

impl Homeless {
    /// Makes it a stream of the runtime that this is called on.
    ///
    /// # Errors
    /// The runtime can't watch it.
    pub fn settle(self) -> io::Result<Stream> {
        Ok(match self {
            Self::Tcp(stream) => Stream::Tcp(TcpStream::from_std(stream)?),
            Self::Unix(stream) => Stream::Unix(UnixStream::from_std(stream)?),
        })
    }
}

impl Stream {
    /// Takes it from its runtime, for another.
    ///
    /// # Errors
    /// The runtime does not let it go, or it is no socket.
    pub fn leave(self) -> io::Result<Homeless> {
        Ok(match self {
            Self::Tcp(stream) => Homeless::Tcp(stream.into_std()?),
            Self::Unix(stream) => Homeless::Unix(stream.into_std()?),
            Self::Channel(_) => return Err(io::ErrorKind::Unsupported.into()),
        })
    }

    /// Whether the kernel can carry its bytes by itself.
    pub(super) fn is_socket(&self) -> bool {
        !matches!(self, Self::Channel(_))
    }

    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
            Self::Channel(channel) => channel.poll_read_ready(cx),
        }
    }

    pub(super) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(cx),
            Self::Unix(stream) => stream.poll_write_ready(cx),
            Self::Channel(channel) => channel.poll_write_ready(cx),
        }
    }

    /// Does what only a socket can.
    pub(super) fn try_io<T>(&self, interest: Interest, io: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match self {
            Self::Tcp(stream) => stream.try_io(interest, io),
            Self::Unix(stream) => stream.try_io(interest, io),
            Self::Channel(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read(buffer),
            Self::Unix(stream) => stream.try_read(buffer),
            Self::Channel(channel) => channel.try_read(buffer),
        }
    }

    /// Reads what is there, whatever the runtime believes of it.
    pub(super) fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(socket) = self.socket() else { return self.try_read(buffer) };
        let recv = || rustix::net::recv(socket, &mut *buffer, RecvFlags::DONTWAIT).map(|(_, n)| n);
        Ok(rustix::io::retry_on_intr(recv)?)
    }

    /// Waits for the next byte, which stays where it is; `None` is the peer's end.
    ///
    /// # Errors
    /// It is broken, or no socket.
    pub(crate) async fn peek(&self) -> io::Result<Option<u8>> {
        let socket = self.socket().ok_or(io::ErrorKind::Unsupported)?;
        let mut byte = [0];
        loop {
            std::future::poll_fn(|cx| self.poll_read_ready(cx)).await?;
            let peek = || Ok(rustix::net::recv(socket, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT)?.1);
            match self.try_io(Interest::READABLE, peek) {
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                peeked => return Ok((peeked? > 0).then_some(byte[0])),
            }
        }
    }

    /// Waits for a reset.
    pub(super) async fn broken(&self) -> io::Error {
        let (waited, socket) = match self {
            Self::Tcp(stream) => (stream.ready(Interest::ERROR).await, SockRef::from(stream)),
            Self::Unix(stream) => (stream.ready(Interest::ERROR).await, SockRef::from(stream)),
            Self::Channel(channel) => return channel.broken().await,
        };
        let error = waited.and_then(|_| socket.take_error());
        error.unwrap_or_else(Some).unwrap_or_else(|| io::ErrorKind::ConnectionReset.into())
    }

    /// Waits until nobody reads any more what is written; a socket tells that by a reset alone.
    pub(super) fn left(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => Box::pin(std::future::pending()),
            Self::Channel(channel) => channel.left(),
        }
    }

    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Unix(stream) => stream.try_write(bytes),
            Self::Channel(channel) => channel.try_write(bytes),
        }
    }

    /// As `try_write`, of several pieces at once where that is possible.
    pub(super) fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write_vectored(pieces),
            Self::Unix(stream) => stream.try_write_vectored(pieces),
            Self::Channel(channel) => match pieces.iter().find(|piece| !piece.is_empty()) {
                Some(piece) => channel.try_write(piece),
                None => Ok(0),
            },
        }
    }

    /// Waits until what was written has left this process.
    pub(super) fn poll_flush_out(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => Poll::Ready(Ok(())),
            Self::Channel(channel) => channel.poll_flush(cx),
        }
    }

    /// Passes an end on. A peer that is gone already needs none.
    pub(crate) fn finish(&self) -> io::Result<()> {
        let socket = match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
            Self::Channel(channel) => return channel.finish(),
        };
        match rustix::net::shutdown(socket, rustix::net::Shutdown::Write) {
            Ok(()) | Err(Errno::NOTCONN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the coming close a reset.
    pub(super) fn reset_on_close(&self) {
        let socket = match self {
            Self::Tcp(stream) => SockRef::from(stream),
            Self::Unix(stream) => SockRef::from(stream),
            Self::Channel(channel) => return channel.reset_on_close(),
        };
        if let Err(error) = socket.set_linger(Some(Duration::ZERO)) {
            tracing::trace!("a reset becomes a close: {error}");
        }
    }

    /// The connection that it goes over, if that is its own.
    pub(super) fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(stream) => Some(stream),
            Self::Unix(_) => None,
            Self::Channel(channel) => channel.tcp(),
        }
    }

    /// The socket that it is, if it is one.
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Tcp(stream) => Some(stream.as_fd()),
            Self::Unix(stream) => Some(stream.as_fd()),
            Self::Channel(_) => None,
        }
    }
}

/// Whether the peer has ended or is gone, as far as the next byte tells, which stays where it is.
pub fn has_ended(socket: impl AsFd) -> bool {
    let mut byte = [0];
    let peek = || rustix::net::recv(&socket, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT);
    match rustix::io::retry_on_intr(peek) {
        Ok((_, seen)) => seen == 0,
        Err(error) => error != Errno::WOULDBLOCK,
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Channel(channel) => loop {
                ready!(channel.poll_read_ready(cx))?;
                match channel.try_read(buf.initialize_unfilled()) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    read => return Poll::Ready(read.map(|read| buf.advance(read))),
                }
            },
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Channel(channel) => loop {
                ready!(channel.poll_write_ready(cx))?;
                match channel.try_write(bytes) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    written => return Poll::Ready(written),
                }
            },
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush_out(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish()?;
        self.poll_flush_out(cx)
    }
}

impl Stream {
    /// Puts `early` before what is read.
    pub fn preceded_by(self, early: Bytes) -> Self {
        if early.is_empty() { self } else { Self::Channel(Box::new(Preceded::new(early, self))) }
    }
}
