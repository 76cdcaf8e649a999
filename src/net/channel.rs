//! What a stream is that is no bare socket: TLS, a stream of HTTP/2, standard input and output.
//!
//! It is used as a socket is: wait until it is ready, then try. The relay that carries between
//! sockets carries between channels too; only the kernel's short cuts are closed to it.

use std::fmt::Debug;
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use tokio::net::TcpStream;

use super::stream::Stream;

/// A way for bytes, both ways, that is no bare socket.
///
/// One task at a time waits for each direction, as with tokio's sockets.
pub trait Channel: Debug + Send + Sync {
    /// Waits until [`Channel::try_read`] has something to say: bytes, the end, or an error.
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Reads what is there; 0 is the peer's orderly end.
    ///
    /// # Errors
    /// `WouldBlock`: nothing is there yet. `UnexpectedEof`: the end came without the peer's word
    /// for it.
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Waits until [`Channel::try_write`] takes something.
    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Takes some bytes; they may still be here until [`Channel::poll_flush`] is ready.
    ///
    /// # Errors
    /// `WouldBlock`: what was taken before must go out first. `BrokenPipe` and `ConnectionReset`
    /// as with sockets.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Waits until what was taken has gone out of this process.
    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Says that nothing more will be written; to be flushed.
    ///
    /// # Errors
    /// The word can't be said.
    fn finish(&self) -> io::Result<()>;

    /// Waits until the channel is broken, also where nobody reads.
    fn broken(&self) -> Pin<Box<dyn Future<Output = io::Error> + Send + '_>>;

    /// Waits until nobody is there any more to read what is written, although what was sent may be
    /// still to come. Only a pipe tells that.
    fn left(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::pending())
    }

    /// The connection that it goes over, if that is its own.
    fn tcp(&self) -> Option<&TcpStream> {
        None
    }

    /// Makes the coming close a break, not an end.
    fn reset_on_close(&self);
}

/// A stream before whose bytes others come, which were read already.
#[derive(Debug)]
pub(super) struct Preceded {
    early: Mutex<Bytes>,
    inner: Stream,
}

impl Preceded {
    pub(super) fn new(early: Bytes, inner: Stream) -> Self {
        Self { early: Mutex::new(early), inner }
    }

    fn early(&self) -> MutexGuard<'_, Bytes> {
        self.early.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Channel for Preceded {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.early().is_empty() { self.inner.poll_read_ready(cx) } else { Poll::Ready(Ok(())) }
    }

    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut early = self.early();
        if early.is_empty() {
            return self.inner.try_read(buffer);
        }
        let some = early.len().min(buffer.len());
        early.copy_to_slice(&mut buffer[..some]);
        Ok(some)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_write_ready(cx)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.try_write(bytes)
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_flush_out(cx)
    }

    fn finish(&self) -> io::Result<()> {
        self.inner.finish()
    }

    fn broken(&self) -> Pin<Box<dyn Future<Output = io::Error> + Send + '_>> {
        Box::pin(self.inner.broken())
    }

    fn tcp(&self) -> Option<&TcpStream> {
        self.inner.tcp()
    }

    fn reset_on_close(&self) {
        self.inner.reset_on_close();
    }
}
