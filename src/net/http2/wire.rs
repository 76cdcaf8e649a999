//! The stream below a connection: what is written is gathered, what is read is looked at.
//!
//! h2 forgets that a stream has ended when the connection ends behind it, so the ends are noted
//! here, on their way up. An end counts when h2 asks for more: by then it has taken all that came
//! before. If it broke off in the middle, nobody has had the bytes that the end stands behind.
//!
//! DATA that says nothing is left out (RFC 9113 §6.1 permits it): h2 ends a connection with the
//! hundred and first, however long it has lived. (A header that comes in two pieces is let through.)
//!
//! h2 flushes behind each DATA frame, which in TLS is two records and a system call for 16 KiB. A
//! flush is put off here until there is as much as TLS sends at once, or h2 has nothing more to
//! write: it flushes whenever it is polled, and a flush behind which nothing was written is one.

use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Connection;
use super::frames::{Frames, HEADER};
use crate::net::stream::Stream;

/// Four of TLS's largest records.
const MOST: usize = 64 * 1024;

/// What is left when h2 is done with it.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) stream: Stream,
    /// All that h2 had to say has gone out of this process.
    pub(super) all_sent: bool,
}

/// Where that is put: h2 gives nothing back.
pub(super) type Remains = Arc<Mutex<Option<Left>>>;

/// A stream that h2 speaks over.
#[derive(Debug)]
pub(super) struct Wire {
    /// There, up to the drop.
    stream: Option<Stream>,
    remains: Remains,
    connection: Connection,
    frames: Frames,
    /// Streams that have ended in what was read last.
    ended: Vec<u32>,
    /// Where frames that say nothing begin in what is being read.
    idle: Vec<usize>,
    held: Vec<u8>,
    /// How much of that has gone out.
    sent: usize,
    /// Since the last flush.
    written: bool,
    /// The stream may hold some of it still.
    unflushed: bool,
}

impl Wire {
    /// Below this connection; at its end the stream is left there.
    pub(super) fn new(stream: Stream, connection: Connection, remains: Remains) -> Self {
        Self {
            stream: Some(stream),
            remains,
            connection,
            frames: Frames::default(),
            ended: Vec::new(),
            idle: Vec::new(),
            held: Vec::new(),
            sent: 0,
            written: false,
            unflushed: false,
        }
    }

    fn is_full(&self) -> bool {
        self.held.len() >= MOST
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.held.len() {
            let stream = Pin::new(self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?);
            let written = ready!(stream.poll_write(cx, &self.held[self.sent..]));
            match written.inspect_err(|error| self.connection.fails(error))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.sent += sent,
            }
            self.unflushed = true;
            self.connection.moves();
        }
        self.held.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let all_sent = self.held.is_empty() && !self.unflushed;
        *self.remains.lock().unwrap_or_else(PoisonError::into_inner) =
            self.stream.take().map(|stream| Left { stream, all_sent });
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, connection, frames, ended, idle, .. } = &mut *self;
        connection.have_ended(ended.drain(..));
        let before = buf.filled().len();
        let stream = stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        ready!(Pin::new(stream).poll_read(cx, buf)).inspect_err(|error| connection.fails(error))?;
        connection.is_heard();
        if buf.filled().len() == before && buf.remaining() > 0 {
            if !frames.are_whole() {
                let cut = io::Error::new(
                    io::ErrorKind::ConnectionAborted,
                    "the connection ends in the middle of a frame",
                );
                return Poll::Ready(Err(cut));
            }
            return Poll::Ready(Ok(()));
        }
        frames.pass(&buf.filled()[before..], |frame, end| {
            if frame.is_settings() {
                connection.speaks();
            }
            ended.extend(frame.ends());
            if frame.says_nothing() && end >= HEADER {
                idle.push(before + end - HEADER);
            }
        });
        if idle.is_empty() {
            return Poll::Ready(Ok(()));
        }
        // Back to front, so that what is before stays where it is.
        while let Some(start) = idle.pop() {
            let rest = buf.filled().len() - HEADER;
            buf.filled_mut().copy_within(start + HEADER.., start);
            buf.set_filled(rest);
        }
        if buf.filled().len() == before {
            // Nothing is left, and that would be the end. Others have their turn before the next.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
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
        if mem::take(&mut self.written) && !self.is_full() {
            cx.waker().wake_by_ref();
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_send(cx))?;
        ready!(Pin::new(self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?).poll_flush(cx))?;
        if mem::take(&mut self.unflushed) {
            self.connection.moves();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.written = false;
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixStream;

    use super::*;

    /// DATA with END_STREAM on stream 1.
    const LAST: [u8; 9] = [0, 0, 0, 0, 1, 0, 0, 0, 1];

    #[tokio::test]
    async fn an_end_counts_when_what_came_before_it_has_been_taken() {
        let (mut peer, near) = UnixStream::pair().expect("a pair");
        let connection = Connection::default();
        let mut wire = Wire::new(Stream::Unix(near), connection.clone(), Remains::default());
        peer.write_all(&LAST).await.expect("sent");
        wire.read_exact(&mut [0; 9]).await.expect("a frame");
        assert!(!connection.has_ended(1), "whoever reads may break off in the middle of this");
        drop(peer);
        assert_eq!(wire.read(&mut [0]).await.expect("an end"), 0);
        assert!(connection.has_ended(1));
        connection.forget(1);
        assert!(!connection.has_ended(1));
    }

    #[tokio::test]
    async fn frames_that_say_nothing_are_passed_over_and_no_end() {
        let (mut peer, near) = UnixStream::pair().expect("a pair");
        let mut wire = Wire::new(Stream::Unix(near), Connection::default(), Remains::default());
        let nothing = [0, 0, 0, 0, 0, 0, 0, 0, 1];
        let data = [0, 0, 1, 0, 0, 0, 0, 0, 1, b'x'];
        peer.write_all(&nothing.repeat(500)).await.expect("sent");
        let read = async {
            let (mut all, mut some) = (Vec::new(), [0; 9000]);
            while let read @ 1.. = wire.read(&mut some).await.expect("bytes, or an end") {
                all.extend_from_slice(&some[..read]);
            }
            all
        };
        let sent = async {
            tokio::task::yield_now().await;
            let mixed = [&nothing[..], &data, &nothing, &nothing, &data, &LAST, &nothing].concat();
            peer.write_all(&mixed).await.expect("sent");
            drop(peer);
        };
        let (all, ()) = tokio::join!(read, sent);
        assert_eq!(all, [&data[..], &data, &LAST].concat());
    }

    #[tokio::test]
    async fn an_end_in_the_middle_of_a_frame_is_an_error() {
        for cut in 1..9 {
            let (mut peer, near) = UnixStream::pair().expect("a pair");
            let mut wire = Wire::new(Stream::Unix(near), Connection::default(), Remains::default());
            peer.write_all(&LAST[..cut]).await.expect("sent");
            drop(peer);
            let read = wire.read_to_end(&mut Vec::new()).await.map_err(|error| error.kind());
            assert_eq!(read, Err(io::ErrorKind::ConnectionAborted), "{cut}");
        }
    }
}
