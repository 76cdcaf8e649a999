//! The stream below a connection: what it writes is gathered.
//!
//! h2 flushes behind each DATA frame, which in TLS is two records and a system call for 16 KiB. A
//! flush is put off here until there is as much as TLS sends at once, or h2 has nothing more to
//! write: it flushes whenever it is polled, and a flush behind which nothing was written is one.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::stream::Stream;

/// Four of TLS's largest records.
const MOST: usize = 64 * 1024;

/// A stream that h2 speaks over.
#[derive(Debug)]
pub(super) struct Gathered {
    stream: Stream,
    held: Vec<u8>,
    /// How much of that has gone out.
    sent: usize,
    /// Since the last flush.
    written: bool,
}

impl Gathered {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, held: Vec::new(), sent: 0, written: false }
    }

    /// The stream; to be taken when all has been flushed.
    pub(super) fn into_inner(self) -> Stream {
        self.stream
    }

    fn is_full(&self) -> bool {
        self.held.len() >= MOST
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.held.len() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.held[self.sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.sent += sent,
            }
        }
        self.held.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Gathered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Gathered {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_full() {
            ready!(self.poll_send(cx))?;
        }
        let before = self.held.len();
        for piece in pieces {
            let room = MOST - self.held.len();
            self.held.extend_from_slice(&piece[..room.min(piece.len())]);
        }
        self.written = true;
        Poll::Ready(Ok(self.held.len() - before))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.written) && !self.is_full() {
            cx.waker().wake_by_ref();
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
