//! TLS as a channel: over a socket, or over another channel (a proxy behind a proxy).
//!
//! Knows how records become bytes and what ends them: `close_notify` is the end of a direction,
//! an end of the connection without it is a break. Refuses to know whom to trust (`trust`).

use std::cell::RefCell;
use std::fmt;
use std::io::{self, IoSlice, Read as _, Write as _};
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use rustls::{Connection, IoState};
use tokio::net::TcpStream;

use super::channel::Channel;
use super::stream::Stream;
use super::tls::{self, Seen};

/// Records that are read at once: four of the largest.
const READ: usize = 64 * 1024;

/// Bytes that are encrypted before what was is sent.
const MOST_UNSENT: usize = 64 * 1024;

thread_local! {
    /// A buffer for records, lent to whichever session reads: one that is idle holds none.
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A TLS session over a stream.
#[derive(Debug)]
pub struct Secured {
    inner: Stream,
    session: Mutex<Session>,
}

/// A handshake that failed.
#[derive(Debug)]
pub struct NotSecured {
    /// Why.
    pub error: io::Error,
    /// The first bytes that came, at most [`tls::FIRST`]: what is spoken there, if it is not TLS.
    pub first: Vec<u8>,
    /// What had been agreed upon by then.
    pub agreed: Seen,
}

impl Secured {
    /// Speaks TLS over `inner`, up to the end of the handshake.
    ///
    /// # Errors
    /// [`NotSecured`].
    pub async fn new(inner: Stream, connection: impl Into<Connection>) -> Result<Self, NotSecured> {
        let mut connection = connection.into();
        connection.set_buffer_limit(Some(MOST_UNSENT));
        let session = Session {
            connection,
            records: Vec::new(),
            held: 0..0,
            plain: false,
            failed: None,
            ended: false,
            finished: false,
            reset: false,
            first: Some(Vec::new()),
        };
        let this = Self { inner, session: Mutex::new(session) };
        let shaken = std::future::poll_fn(|cx| this.poll_handshake(cx)).await;
        let first = this.session().first.take().unwrap_or_default();
        match shaken {
            Ok(()) => Ok(this),
            Err(error) => Err(NotSecured { error, first, agreed: this.agreed() }),
        }
    }

    /// What was agreed upon with the peer: version, suite, group and protocol.
    pub fn agreed(&self) -> Seen {
        tls::agreed(&self.session().connection)
    }

    /// Takes in what TLS 1.3 sends behind the handshake, up to `enough`, data or the end: session
    /// tickets, or the alert of a peer that misses our certificate. Data stays for who reads next.
    ///
    /// # Errors
    /// The alert, or whatever broke the connection.
    pub async fn listen(&self, enough: impl Fn() -> bool) -> io::Result<()> {
        std::future::poll_fn(|cx| {
            loop {
                let mut session = self.session();
                session.plain = session.connection.process_new_packets().is_ok_and(holds_data);
                if enough() || session.plain {
                    return Poll::Ready(Ok(()));
                }
                if !session.held.is_empty() {
                    session.process(&self.inner)?;
                    continue;
                }
                ready!(self.inner.poll_read_ready(cx))?;
                match session.take_in(&self.inner) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Ok(0) => return Poll::Ready(Ok(())),
                    Ok(_) => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
        })
        .await
    }

    /// The protocol agreed upon by ALPN.
    pub fn protocol(&self) -> Option<Vec<u8>> {
        self.session().connection.alpn_protocol().map(<[u8]>::to_vec)
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll_handshake(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            // Where writing fails, reading may still tell why: an alert that came before.
            if let Poll::Ready(Err(error)) = self.poll_flush(cx) {
                self.session().failed.get_or_insert(error);
            }
            if !self.session().connection.is_handshaking() {
                return self.poll_flush(cx);
            }
            if !self.session().held.is_empty() {
                self.session().process(&self.inner)?;
                continue;
            }
            ready!(self.inner.poll_read_ready(cx))?;
            let mut session = self.session();
            match session.take_in(&self.inner) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) => {
                    let broken = session.failed.take();
                    return Poll::Ready(Err(broken.unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into())));
                }
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Channel for Secured {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.session().has_news() { Poll::Ready(Ok(())) } else { self.inner.poll_read_ready(cx) }
    }

    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.session().read(&self.inner, buffer)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        self.inner.poll_write_ready(cx)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut session = self.session();
        if session.finished {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        session.send(&self.inner)?;
        let taken = session.connection.writer().write(bytes)?;
        match session.send(&self.inner) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            Ok(()) | Err(_) => Ok(taken),
        }
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        self.inner.poll_flush_out(cx)
    }

    /// RFC 8446 §6.1: the other direction goes on, so the connection below stays open both ways.
    fn finish(&self) -> io::Result<()> {
        self.session().finish(&self.inner);
        Ok(())
    }

    fn broken(&self) -> Pin<Box<dyn Future<Output = io::Error> + Send + '_>> {
        Box::pin(self.inner.broken())
    }

    fn tcp(&self) -> Option<&TcpStream> {
        self.inner.tcp()
    }

    fn reset_on_close(&self) {
        self.session().reset = true;
        self.inner.reset_on_close();
    }
}

impl Secured {
    /// Sends what is encrypted already.
    fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.session().send(&self.inner) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => return Poll::Ready(sent),
            }
            ready!(self.inner.poll_write_ready(cx))?;
        }
    }
}

/// RFC 8446 §6.1: who closes says so, or the peer has to take it for an attack.
impl Drop for Secured {
    fn drop(&mut self) {
        let session = self.session.get_mut().unwrap_or_else(PoisonError::into_inner);
        if !session.reset && !session.connection.is_handshaking() {
            session.finish(&self.inner);
        }
        session.give_back();
    }
}

struct Session {
    connection: Connection,
    /// Where records are read into; empty as long as none are.
    records: Vec<u8>,
    /// What of them was not looked at yet.
    held: Range<usize>,
    /// More was decrypted than the last reader took.
    plain: bool,
    /// Told once what came before is read.
    failed: Option<io::Error>,
    /// The end has been seen, orderly or not; reading tells which.
    ended: bool,
    finished: bool,
    reset: bool,
    /// The first bytes that came, while the handshake lasts.
    first: Option<Vec<u8>>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("ended", &self.ended).field("finished", &self.finished).finish()
    }
}

impl Session {
    /// Whether there is something to read without the stream below.
    fn has_news(&self) -> bool {
        self.plain || self.ended || self.failed.is_some() || !self.held.is_empty()
    }

    /// Decrypts into `buffer` what is there, until it is full.
    fn read(&mut self, inner: &Stream, buffer: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        let mut more = true;
        loop {
            match self.connection.reader().read(&mut buffer[read..]) {
                Ok(0) => {
                    self.ended = true;
                    return Ok(read);
                }
                Ok(some) => {
                    read += some;
                    self.plain = read == buffer.len();
                    if self.plain {
                        return Ok(read);
                    }
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.plain = false,
                Err(_) => {
                    self.ended = true;
                    return if read > 0 { Ok(read) } else { Err(cut()) };
                }
            }
            if !self.held.is_empty() {
                if let Err(error) = self.process(inner) {
                    self.failed = Some(error);
                }
            } else if read > 0 && (self.failed.is_some() || !more) {
                return Ok(read);
            } else if let Some(error) = self.failed.take() {
                return Err(error);
            } else {
                match self.take_in(inner) {
                    Ok(taken) => more = taken == READ,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        return if read > 0 { Ok(read) } else { Err(error) };
                    }
                    Err(error) => self.failed = Some(error),
                }
            }
        }
    }

    /// Reads records from below; none are held before.
    fn take_in(&mut self, inner: &Stream) -> io::Result<usize> {
        if self.records.is_empty() {
            self.records = SPARE.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; READ]);
        }
        let taken = inner.try_read(&mut self.records).inspect_err(|_| self.give_back())?;
        self.held = 0..taken;
        if let Some(first) = &mut self.first {
            let wanted = tls::FIRST.saturating_sub(first.len()).min(taken);
            first.extend_from_slice(&self.records[..wanted]);
        }
        if taken == 0 {
            self.give_back();
            self.connection.read_tls(&mut io::empty())?;
        }
        Ok(taken)
    }

    /// Lets the connection look at a piece of what is held.
    fn process(&mut self, inner: &Stream) -> io::Result<()> {
        let mut piece = &self.records[self.held.clone()];
        let looked_at = self.connection.read_tls(&mut piece);
        let processed = match looked_at {
            Ok(length) => {
                self.held.start += length;
                let processed = self.connection.process_new_packets();
                processed.map(|_| ()).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
            }
            Err(error) => Err(error),
        };
        if processed.is_err() {
            self.held = 0..0;
        }
        if self.held.is_empty() {
            self.give_back();
        }
        // An answer to what was processed, such as an alert; where it can't go now it goes with
        // what is written next.
        let _later = self.send(inner);
        processed
    }

    fn give_back(&mut self) {
        if !self.records.is_empty() {
            let records = std::mem::take(&mut self.records);
            SPARE.with_borrow_mut(|spare| {
                if spare.is_empty() {
                    spare.push(records);
                }
            });
        }
    }

    /// Sends what is encrypted already.
    fn send(&mut self, inner: &Stream) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut Below(inner))?;
        }
        Ok(())
    }

    fn finish(&mut self, inner: &Stream) {
        if !self.finished {
            self.finished = true;
            self.connection.send_close_notify();
            let _flushed_later = self.send(inner);
        }
    }
}

/// Whether something waits to be read.
fn holds_data(state: IoState) -> bool {
    state.plaintext_bytes_to_read() > 0
}

/// RFC 8446 §6.1: an end that the peer did not announce may be somebody else's doing.
fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it ended without TLS's close_notify")
}

/// The stream below, as rustls writes to it.
struct Below<'a>(&'a Stream);

impl io::Write for Below<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
