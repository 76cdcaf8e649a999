//! The relay between two streams, one task for both directions.
//!
//! It does what the connection does: small messages go through a scratch buffer that belongs to
//! the thread, a run of full buffers turns to splice(2) through a pipe that is borrowed from the
//! thread while bytes flow, where both are sockets. A tunnel that is idle holds neither. A slow
//! reader bounds memory: no more is read until what was read is written.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf as _, Bytes};
use tokio::io::Interest;
use tokio::time::Sleep;

use super::bridge::Carried;
use super::ending::{Due, Ending, Patience, Waiting};
use super::splice::{self, CHUNK, Pipe};
use super::stream::Stream;

/// One read of a small message; a read that fills it hints at bulk.
const SCRATCH: usize = 64 * 1024;

/// Full reads in a row after which a direction is spliced.
const BULK_AFTER: u8 = 3;

/// Pipes that a thread keeps for its next bulk; two directions of a few busy tunnels.
const SPARE_PIPES: usize = 8;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
    static PIPES: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

/// Why a relay ended early. The other side has been reset, but for an end that was not announced.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The client could not be read.
    #[error("the client cannot be read")]
    Unread(#[source] io::Error),
    /// The client's connection broke.
    #[error("the client's connection broke")]
    Client(#[source] io::Error),
    /// The tunnel broke.
    #[error("the tunnel was cut off")]
    Tunnel(#[source] io::Error),
    /// The target had ended, and takes no more of what the client still sends.
    #[error("the target takes no more")]
    Unwanted(#[source] io::Error),
    /// Both were silent too long.
    #[error("silent too long")]
    Idle,
}

/// Bytes that were read before the relay began, towards each side; they go first.
#[derive(Debug, Default)]
pub struct Early {
    /// From the client, towards the target.
    pub inbound: Bytes,
    /// From the target, towards the client.
    pub outbound: Bytes,
}

/// Carries bytes until both directions have ended. Half-closes are passed on: at once towards
/// the client, towards the tunnel when `patience` says so. A reset is passed on as a reset.
///
/// # Errors
/// [`RelayError`].
// No async fn: that would keep its arguments beside what is made of them, for as long as it lives.
pub fn relay(
    client: Stream,
    tunnel: Stream,
    early: Early,
    patience: Patience,
) -> impl Future<Output = Result<Carried, RelayError>> + Send {
    let splices = client.is_socket() && tunnel.is_socket();
    let mut inbound = Direction::new(early.inbound, splices);
    let mut outbound = Direction::new(early.outbound, splices);
    let mut ending = Ending::new(patience, Instant::now());
    async move {
        let mut whole = Whole { streams: [&client, &tunnel], is_over: false };
        let mut alarm: Option<Pin<Box<Sleep>>> = None;
        // The tunnel takes no more; what it still has for the client is carried first.
        let mut refused: Option<io::Error> = None;
        // The client can't be read; what came for it is written first, as standard output is another
        // file than standard input.
        let mut unread: Option<io::Error> = None;
        // The tunnel ended without saying so. The client gets all that came, and an end; who
        // reports hears of it. (Apache says nothing at the end of each of its tunnels.)
        let mut unannounced: Option<io::Error> = None;
        // Made when they are needed first: few tunnels ever do.
        let mut client_left: Option<Left<'_>> = (!client.is_socket()).then(|| client.left());
        let mut client_broke: Option<Broken<'_>> = None;
        let mut tunnel_broke: Option<Broken<'_>> = None;
        let outcome = std::future::poll_fn(|cx| {
            loop {
                // A channel may have more at hand for as long as it is read: the thread's other
                // tunnels have their turn.
                let turn = ready!(tokio::task::coop::poll_proceed(cx));
                let mut progress = false;
                match inbound.poll(cx, &client, &tunnel) {
                    Poll::Ready(Ok(Moved::Some)) => {
                        ending.moved(Instant::now());
                        progress = true;
                    }
                    Poll::Ready(Ok(Moved::End)) => {
                        ending.client_ended(Instant::now());
                        progress = true;
                    }
                    Poll::Ready(Err(Side::Source(error))) => {
                        unread = Some(error);
                        inbound = Direction::over(inbound.carried);
                        progress = true;
                    }
                    Poll::Ready(Err(Side::Sink(error))) => {
                        refused = Some(error);
                        inbound = Direction::over(inbound.carried);
                        ending.client_ended(Instant::now());
                        ending.half_closed();
                        progress = true;
                    }
                    Poll::Pending => {}
                }
                match outbound.poll(cx, &tunnel, &client) {
                    Poll::Ready(Ok(Moved::Some)) => {
                        ending.moved(Instant::now());
                        progress = true;
                    }
                    Poll::Ready(Ok(Moved::End)) => {
                        if let Some(error) = refused.take_if(|error| is_reset(error)) {
                            return Poll::Ready(Err(RelayError::Tunnel(error)));
                        }
                        client.finish().map_err(RelayError::Client)?;
                        outbound.unflushed = true;
                        ending.target_ended(Instant::now());
                        progress = true;
                    }
                    Poll::Ready(Err(Side::Source(error))) if error.kind() == io::ErrorKind::UnexpectedEof => {
                        // The reset has been seen by whoever wrote.
                        if let Some(error) = refused.take_if(|error| is_reset(error)) {
                            return Poll::Ready(Err(RelayError::Tunnel(error)));
                        }
                        unannounced = Some(error);
                        outbound = Direction::over(outbound.carried);
                        client.finish().map_err(RelayError::Client)?;
                        outbound.unflushed = true;
                        ending.target_ended(Instant::now());
                        progress = true;
                    }
                    Poll::Ready(Err(Side::Source(error))) => {
                        return Poll::Ready(Err(RelayError::Tunnel(error)));
                    }
                    Poll::Ready(Err(Side::Sink(error))) => {
                        return Poll::Ready(Err(RelayError::Client(error)));
                    }
                    Poll::Pending => {}
                }
                if !outbound.is_blocked()
                    && let Some(error) = unread.take()
                {
                    return Poll::Ready(Err(RelayError::Unread(error)));
                }
                if progress {
                    turn.made_progress();
                    continue;
                }
                if let Some(left) = &mut client_left
                    && left.as_mut().poll(cx).is_ready()
                {
                    client_left = None;
                    ending.client_left(Instant::now());
                }
                // A reset is seen by whoever reads; where nobody does, it is asked for.
                if !inbound.reads()
                    && let broken = client_broke.get_or_insert_with(|| Box::pin(client.broken()))
                    && let Poll::Ready(error) = broken.as_mut().poll(cx)
                {
                    return Poll::Ready(Err(RelayError::Client(error)));
                }
                if ending.target_has_ended()
                    && let broken = tunnel_broke.get_or_insert_with(|| Box::pin(tunnel.broken()))
                    && let Poll::Ready(error) = broken.as_mut().poll(cx)
                {
                    return match unannounced {
                        Some(_) => Poll::Ready(Ok(())),
                        None => Poll::Ready(Err(RelayError::Unwanted(error))),
                    };
                }
                let waiting = Waiting { inbound: inbound.is_blocked(), outbound: outbound.is_blocked() };
                match ending.due(Instant::now(), waiting) {
                    // Of a socket that is a reset, an error above.
                    Due::Unread => {
                        return Poll::Ready(Err(RelayError::Client(io::ErrorKind::BrokenPipe.into())));
                    }
                    Due::Over => {
                        return Poll::Ready(match refused.take() {
                            // EPIPE and not ECONNRESET: the target had ended its direction in order before.
                            Some(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                                Err(RelayError::Unwanted(error))
                            }
                            Some(error) => Err(RelayError::Tunnel(error)),
                            None => Ok(()),
                        });
                    }
                    Due::Idle => return Poll::Ready(Err(RelayError::Idle)),
                    Due::HalfClose => {
                        tunnel.finish().map_err(RelayError::Tunnel)?;
                        inbound.unflushed = true;
                        ending.half_closed();
                        continue;
                    }
                    Due::Later(None) => return Poll::Pending,
                    Due::Later(Some(at)) => {
                        let at = at.into();
                        let sleep = alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
                        if sleep.deadline() != at {
                            sleep.as_mut().reset(at);
                        }
                        ready!(sleep.as_mut().poll(cx));
                    }
                }
            }
        })
        .await;
        whole.is_over = true;
        outcome.inspect_err(|error| {
            // Behind the end of a channel nobody has sent a reset: the client may not have read all yet,
            // and a reset of ours would take it away. A socket's end is broken by a reset alone.
            let wanted_no_more = matches!(error, RelayError::Unwanted(error) if !is_reset(error));
            if tunnel.is_socket() || !wanted_no_more {
                client.reset_on_close();
            }
            tunnel.reset_on_close();
        })?;
        if let Some(error) = unannounced {
            return Err(RelayError::Tunnel(error));
        }
        Ok(Carried { inbound: inbound.carried, outbound: outbound.carried })
    }
}

/// What is dropped before its time (a service ends) is cut off: neither side shall take what it got
/// for the whole.
struct Whole<'a> {
    streams: [&'a Stream; 2],
    is_over: bool,
}

impl Drop for Whole<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.streams.iter().for_each(|stream| stream.reset_on_close());
        }
    }
}

/// EPIPE and not ECONNRESET: the tunnel had ended in order before.
fn is_reset(error: &io::Error) -> bool {
    !matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof)
}

/// Waits until nobody reads any more.
type Left<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Waits for a reset where nobody reads.
type Broken<'a> = Pin<Box<dyn Future<Output = io::Error> + Send + 'a>>;

/// One direction.
struct Direction {
    /// Read and not written yet.
    pending: Bytes,
    mode: Mode,
    /// Spliced out of the source and not yet into the sink.
    pipe: Option<Pipe>,
    carried: u64,
    /// The runtime no longer knows whether the source is readable: only reading tells.
    doubted: bool,
    /// What the sink has taken may still be on its way out of this process.
    unflushed: bool,
    /// Both ends are sockets.
    splices: bool,
}

#[derive(Clone, Copy)]
enum Mode {
    /// Through the scratch buffer; so many full reads in a row.
    Small { full: u8 },
    /// Through a pipe; so many bytes since the source last paused.
    Bulk { burst: usize },
    /// The source has ended.
    Over,
}

enum Moved {
    Some,
    End,
}

/// Which end failed.
enum Side {
    Source(io::Error),
    Sink(io::Error),
}

impl Direction {
    fn new(early: Bytes, splices: bool) -> Self {
        Self {
            pending: early,
            mode: Mode::Small { full: 0 },
            pipe: None,
            carried: 0,
            doubted: false,
            unflushed: false,
            splices,
        }
    }

    /// One whose source is not listened to any more.
    fn over(carried: u64) -> Self {
        Self { mode: Mode::Over, carried, ..Self::new(Bytes::new(), false) }
    }

    /// Whether its source is being read, so that a reset of it is seen.
    fn reads(&self) -> bool {
        !self.is_blocked() && !matches!(self.mode, Mode::Over)
    }

    /// Whether bytes wait for the sink.
    fn is_blocked(&self) -> bool {
        self.unflushed || !self.pending.is_empty() || self.pipe.as_ref().is_some_and(|pipe| pipe.held() > 0)
    }

    /// One chunk, from readable to written as far as the sink takes it.
    fn poll(&mut self, cx: &mut Context<'_>, source: &Stream, sink: &Stream) -> Poll<Result<Moved, Side>> {
        if self.is_blocked() {
            ready!(self.poll_flush(cx, sink)).map_err(Side::Sink)?;
            return Poll::Ready(Ok(Moved::Some));
        }
        loop {
            if let Mode::Over = self.mode {
                return Poll::Pending;
            }
            if self.doubted {
                ready!(tokio::task::coop::poll_proceed(cx)).made_progress();
            } else {
                ready!(source.poll_read_ready(cx)).map_err(Side::Source)?;
            }
            let taken = match self.mode {
                Mode::Bulk { .. } => match self.fill(source) {
                    // Out of a socket, splice stops at the mark of urgent data, for ever, and calls
                    // it the end once there is a FIN behind it. Reading goes on.
                    Ok(0) => self.read(source, sink, Stream::recv)?,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        let read = self.read(source, sink, Stream::recv)?;
                        if read.is_ok() {
                            self.doubted = true;
                            self.mode = Mode::Small { full: 0 };
                        }
                        read
                    }
                    filled => filled,
                },
                Mode::Small { .. } | Mode::Over if self.doubted => self.read(source, sink, Stream::recv)?,
                Mode::Small { .. } | Mode::Over => self.read(source, sink, Stream::try_read)?,
            };
            match taken {
                Ok(0) => {
                    self.mode = Mode::Over;
                    self.release();
                    return Poll::Ready(Ok(Moved::End));
                }
                Ok(_) => {
                    // What the sink doesn't take now waits for it.
                    if let Poll::Ready(Err(error)) = self.poll_flush(cx, sink) {
                        return Poll::Ready(Err(Side::Sink(error)));
                    }
                    return Poll::Ready(Ok(Moved::Some));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.doubted = false;
                    self.pause();
                }
                Err(error) if splice::is_unsupported(&error) => self.mode = Mode::Small { full: 0 },
                Err(error) => return Poll::Ready(Err(Side::Source(error))),
            }
        }
    }

    /// Through the scratch buffer: the outer error is the sink's, the inner one the source's.
    fn read(
        &mut self,
        source: &Stream,
        sink: &Stream,
        how: impl FnOnce(&Stream, &mut [u8]) -> io::Result<usize>,
    ) -> Result<io::Result<usize>, Side> {
        BUFFER.with_borrow_mut(|buffer| {
            let read = match how(source, buffer) {
                Ok(read) => read,
                Err(error) => return Ok(Err(error)),
            };
            self.mode = match self.mode {
                Mode::Small { full } if read == SCRATCH && full + 1 < BULK_AFTER => {
                    Mode::Small { full: full + 1 }
                }
                Mode::Small { .. } if read == SCRATCH && self.splices => Mode::Bulk { burst: 0 },
                Mode::Small { .. } => Mode::Small { full: 0 },
                Mode::Bulk { .. } | Mode::Over => self.mode,
            };
            let written = match sink.try_write(&buffer[..read]) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(Side::Sink(error)),
            };
            self.carried += written as u64;
            self.unflushed = true;
            if written < read {
                self.pending = Bytes::copy_from_slice(&buffer[written..read]);
            }
            Ok(Ok(read))
        })
    }

    /// Out of the source into a pipe.
    fn fill(&mut self, source: &Stream) -> io::Result<usize> {
        let pipe = match self.pipe.take().map_or_else(borrow_pipe, Ok) {
            Ok(pipe) => self.pipe.insert(pipe),
            Err(error) => {
                tracing::debug!("no pipe to splice through, copying: {error}");
                return Err(io::ErrorKind::Unsupported.into());
            }
        };
        let Some(socket) = source.socket() else { return Err(io::ErrorKind::Unsupported.into()) };
        let mut fill = || pipe.fill(socket);
        let taken = if self.doubted { fill() } else { source.try_io(Interest::READABLE, fill) }?;
        if let Mode::Bulk { burst } = &mut self.mode {
            *burst = burst.saturating_add(taken);
        }
        Ok(taken)
    }

    /// What was read, into the sink.
    fn poll_flush(&mut self, cx: &mut Context<'_>, sink: &Stream) -> Poll<io::Result<()>> {
        while self.is_blocked() {
            let written = match &mut self.pipe {
                _ if !self.pending.is_empty() => {
                    ready!(sink.poll_write_ready(cx))?;
                    self.unflushed = true;
                    sink.try_write(&self.pending).inspect(|n| self.pending.advance(*n))
                }
                Some(pipe) if pipe.held() > 0 => {
                    ready!(sink.poll_write_ready(cx))?;
                    let socket = sink.socket().ok_or(io::ErrorKind::Unsupported)?;
                    sink.try_io(Interest::WRITABLE, || pipe.drain(socket, CHUNK))
                }
                Some(_) | None => {
                    ready!(sink.poll_flush_out(cx))?;
                    self.unflushed = false;
                    Ok(0)
                }
            };
            match written {
                Ok(written) => self.carried += written as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The source has nothing at present.
    fn pause(&mut self) {
        self.release();
        if let Mode::Bulk { burst } = self.mode {
            self.mode = if burst < SCRATCH { Mode::Small { full: 0 } } else { Mode::Bulk { burst: 0 } };
        }
    }

    /// Gives the pipe back, empty.
    fn release(&mut self) {
        if let Some(pipe) = self.pipe.take() {
            PIPES.with_borrow_mut(|spare| {
                if spare.len() < SPARE_PIPES {
                    spare.push(pipe);
                }
            });
        }
    }
}

/// A pipe that this thread has at hand, or a new one.
fn borrow_pipe() -> io::Result<Pipe> {
    PIPES.with_borrow_mut(Vec::pop).map_or_else(Pipe::new, Ok)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::super::channel::Channel;
    use super::super::ending::HalfClose;
    use super::*;

    /// Reads that an unfair relay would make before anybody else has a turn.
    const MANY: usize = 10_000;

    /// What always has bytes at hand, up to a point, and takes all.
    #[derive(Debug)]
    struct Plenty(Arc<AtomicUsize>);

    impl Channel for Plenty {
        fn poll_read_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            if self.0.load(Ordering::Relaxed) < MANY { Poll::Ready(Ok(())) } else { Poll::Pending }
        }

        fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(buffer.len())
        }

        fn poll_write_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn poll_flush(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn finish(&self) -> io::Result<()> {
            Ok(())
        }

        fn broken(&self) -> Pin<Box<dyn Future<Output = io::Error> + Send + '_>> {
            Box::pin(std::future::pending())
        }

        fn reset_on_close(&self) {}
    }

    #[tokio::test]
    async fn a_bulk_that_never_pauses_lets_others_have_their_turn() {
        let reads = Arc::<AtomicUsize>::default();
        let [client, tunnel] = [(); 2].map(|()| Stream::Channel(Box::new(Plenty(reads.clone()))));
        let patience = Patience { half_close: HalfClose::Never, linger: None, idle: None };
        let relayed = tokio::spawn(relay(client, tunnel, Early::default(), patience));
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!((1..MANY).contains(&reads.load(Ordering::Relaxed)), "{reads:?} reads before ten turns");
        // It goes on after each.
        tokio::time::timeout(Duration::from_secs(20), async {
            while reads.load(Ordering::Relaxed) < MANY {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("it goes on");
        relayed.abort();
    }
}
