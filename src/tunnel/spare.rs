//! Tunnels to one target that are held ready: a client that comes waits for no proxy.
//!
//! Knows how many there shall be, when one is too old, and which have died meanwhile. What a target
//! says first (an ssh server does) stays in the socket. Refuses to know clients.

use std::collections::VecDeque;
use std::future::Future as _;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead as _, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Tunnel;
use crate::authority::Authority;
use crate::net::stream::{self, Stream};

/// After a failure nothing is opened for so long; twice as long after each further one.
const BACK_OFF: Duration = Duration::from_secs(1);

/// The longest that is waited after a failure. A proxy that is back is found by then.
const MAX_BACK_OFF: Duration = Duration::from_secs(30);

/// A tunnel that ended sooner, untouched, is as good as none: the proxy or the target does not want
/// it, and would be asked without a pause.
const SHORT_LIFE: Duration = Duration::from_secs(5);

/// Bytes of a target that are taken out of a channel before a client wants them. A greeting is a
/// line.
const MAX_EARLY: usize = 64 * 1024;

/// What is kept ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// How many tunnels.
    pub count: usize,
    /// How long one may wait for a client: targets that speak first limit the time to log in.
    pub max_age: Duration,
}

/// The tunnels to one target.
#[derive(Debug)]
pub struct Spares {
    target: Authority,
    keep: Keep,
    held: Mutex<VecDeque<Spare>>,
    /// One was taken.
    taken: Notify,
    counts: Counts,
}

#[derive(Debug)]
struct Spare {
    tunnel: Tunnel,
    since: Instant,
}

/// A pause behind something that went wrong, and how long the next one would be.
struct Pause {
    next: Duration,
    until: Option<Instant>,
}

impl Pause {
    const NONE: Self = Self { next: BACK_OFF, until: None };

    /// Begins, unless it lasts already; whether it is the first in a row.
    fn begin(&mut self) -> bool {
        let is_first = self.next == BACK_OFF;
        if self.until.is_none() {
            self.until = Some(Instant::now() + self.next);
            self.next = (self.next * 2).min(MAX_BACK_OFF);
        }
        is_first
    }
}

/// What has become of them.
#[derive(Debug, Default)]
struct Counts {
    opened: AtomicU64,
    handed_out: AtomicU64,
    aged: AtomicU64,
    died: AtomicU64,
    /// A client came and there was none.
    missed: AtomicU64,
}

impl Spares {
    /// Holds none before [`Spares::maintain`] runs.
    pub fn new(target: Authority, keep: Keep) -> Self {
        let (held, taken, counts) = Default::default();
        Self { target, keep, held, taken, counts }
    }

    /// Where they lead.
    pub fn target(&self) -> &Authority {
        &self.target
    }

    /// How many there shall be.
    pub fn count(&self) -> usize {
        self.keep.count
    }

    /// One that is alive, the oldest, on the runtime that this is called on.
    pub fn take(&self) -> Option<Tunnel> {
        let found = loop {
            let Some(spare) = self.held().pop_front() else { break None };
            match spare.is_alive().then(|| spare.tunnel.settle()) {
                Some(Ok(tunnel)) => break Some(tunnel),
                Some(Err(error)) => tracing::debug!("a spare tunnel to {} is lost: {error}", self.target),
                None => self.count_one(&self.counts.died, "has died"),
            }
        };
        self.taken.notify_one();
        match &found {
            Some(_) => self.count_one(&self.counts.handed_out, "is handed out"),
            None => self.count_one(&self.counts.missed, "would have been wanted"),
        }
        found
    }

    /// Opens what is missing, and drops what has died or is too old, for ever. `failed` hears of
    /// the first failure in a row; one that `is_about_login` is not repeated.
    pub async fn maintain<O, E>(
        &self,
        open: impl Fn() -> O,
        is_about_login: impl Fn(&E) -> bool,
        failed: impl Fn(E),
    ) where
        O: Future<Output = Result<Tunnel, E>> + Send + 'static,
        E: Send + 'static,
    {
        let mut opening = JoinSet::new();
        // None could be opened; those that were did not last.
        let (mut failing, mut dying) = (Pause::NONE, Pause::NONE);
        // Credentials that were refused are not sent again, and a helper that failed is not run
        // again, before a client wants a tunnel.
        let mut refused = false;
        // The first one tells whether the others need be tried: a person is asked once, a proxy
        // that is down is asked by one.
        let mut proven = false;
        loop {
            let missing = self.keep.count.saturating_sub(self.held().len() + opening.len());
            let wanted = if proven { missing } else { missing.min(1_usize.saturating_sub(opening.len())) };
            if failing.until.is_none() && dying.until.is_none() && !refused {
                for _ in 0..wanted {
                    opening.spawn(open());
                }
            }
            let oldest = self.held().front().map(|spare| spare.since + self.keep.max_age);
            tokio::select! {
                Some(opened) = opening.join_next() => match opened {
                    Ok(Ok(tunnel)) => {
                        (proven, failing) = (true, Pause::NONE);
                        self.held().push_back(Spare { tunnel, since: Instant::now() });
                        self.count_one(&self.counts.opened, "stands");
                    }
                    Ok(Err(error)) => {
                        proven = false;
                        refused = is_about_login(&error);
                        if failing.begin() {
                            failed(error);
                        }
                    }
                    // A task that panicked.
                    Err(_) => return,
                },
                () = self.taken.notified() => refused = false,
                lived = self.one_died() => match lived < SHORT_LIFE {
                    true if dying.begin() => {
                        tracing::info!("spare tunnels to {} end at once: fewer are tried", self.target);
                    }
                    true => {}
                    false => dying = Pause::NONE,
                },
                () = at(oldest) => {
                    self.held().pop_front();
                    self.count_one(&self.counts.aged, "is too old");
                }
                () = at(failing.until) => failing.until = None,
                () = at(dying.until) => dying.until = None,
            }
        }
    }

    /// Says what has become of them all.
    pub fn log(&self) {
        let Counts { opened, handed_out, aged, died, missed } = &self.counts;
        let [opened, handed_out, aged, died, missed] =
            [opened, handed_out, aged, died, missed].map(|count| count.load(Ordering::Relaxed));
        tracing::debug!(
            "spare tunnels to {}: {opened} opened, {handed_out} handed out, {aged} too old, {died} died, {missed} missed",
            self.target
        );
    }

    fn count_one(&self, count: &AtomicU64, what: &str) {
        count.fetch_add(1, Ordering::Relaxed);
        tracing::debug!("a spare tunnel to {} {what}, {} left", self.target, self.held().len());
    }

    /// Waits until at least one of those held is dead; it is dropped. How long the oldest of them
    /// lived.
    async fn one_died(&self) -> Duration {
        let died = std::future::poll_fn(|cx| {
            let mut lived = Vec::new();
            self.held().retain_mut(|spare| {
                let is_alive = spare.poll_death(cx).is_pending();
                if !is_alive {
                    lived.push(spare.since.elapsed());
                }
                is_alive
            });
            if lived.is_empty() { Poll::Pending } else { Poll::Ready(lived) }
        });
        let lived = died.await;
        for _ in &lived {
            self.count_one(&self.counts.died, "has died");
        }
        lived.into_iter().max().unwrap_or_default()
    }

    fn held(&self) -> MutexGuard<'_, VecDeque<Spare>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spare {
    /// Whether the target may still be there: it has not ended, as far as is known at present.
    fn is_alive(&self) -> bool {
        self.tunnel.stream.socket().is_none_or(|socket| !stream::has_ended(socket))
    }

    /// Waits for the target's end, also behind bytes that are waiting for a client.
    fn poll_death(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.tunnel.stream {
            Stream::Tcp(socket) => self.poll_death_of(socket, cx),
            Stream::Unix(_) | Stream::Channel(_) => self.poll_early(cx),
        }
    }

    fn poll_death_of(&self, socket: &TcpStream, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match socket.poll_read_ready(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) => {}
            }
            // It is ready, so this tells at once, and tells an end from bytes.
            let ready = pin!(socket.ready(Interest::READABLE)).poll(cx);
            let closed = matches!(ready, Poll::Ready(Ok(ready)) if ready.is_read_closed());
            if closed || !self.is_alive() {
                return Poll::Ready(());
            }
            // What is there is the client's; the next event is waited for.
            let _cleared: io::Result<()> =
                socket.try_io(Interest::READABLE, || Err(io::ErrorKind::WouldBlock.into()));
        }
    }

    /// A channel tells its end by being read: what it says first is kept for the client.
    fn poll_early(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Tunnel { early, stream } = &mut self.tunnel;
        let mut piece = [0; 4096];
        while early.len() < MAX_EARLY {
            let mut piece = ReadBuf::new(&mut piece);
            match ready!(Pin::new(&mut *stream).poll_read(cx, &mut piece)) {
                Ok(()) if !piece.filled().is_empty() => {
                    *early = [&early[..], piece.filled()].concat().into();
                }
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }
}

/// Sleeps until then; for ever, where there is no such moment.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
