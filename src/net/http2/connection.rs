//! What the streams of one connection have in common: how many there are, which the peer has ended,
//! and what it died of.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::MAX_STREAMS;
use crate::net::trust;
use crate::proto::http2::Http2Error;

/// Ends that are remembered: those of all streams that there can be, and of as many that nobody
/// has any more.
const MAX_ENDED: usize = 2 * MAX_STREAMS;

/// A connection, as its streams and whoever opens more of them see it. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Connection(Arc<State>);

#[derive(Debug, Default)]
struct State {
    streams: AtomicUsize,
    /// Told when a stream ends; several connections may share it.
    freed: Arc<Notify>,
    speaks: AtomicBool,
    /// When bytes came last.
    heard: Moment,
    /// When bytes went out last.
    moved: Moment,
    /// Streams whose END_STREAM has been taken, up to their drop.
    ended: Mutex<BTreeSet<u32>>,
    died: OnceLock<io::Error>,
}

/// A moment that is moved on, and looked at, from anywhere.
#[derive(Debug)]
struct Moment {
    since: Instant,
    /// Milliseconds since then.
    passed: AtomicU64,
}

impl Default for Moment {
    fn default() -> Self {
        Self { since: Instant::now(), passed: AtomicU64::new(0) }
    }
}

impl Moment {
    fn is_now(&self) {
        let passed = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.passed.store(passed, Ordering::Relaxed);
    }

    fn at(&self) -> Instant {
        self.since + Duration::from_millis(self.passed.load(Ordering::Relaxed))
    }
}

/// The place of one stream on its connection; it is given back on drop.
#[derive(Debug)]
pub struct Lease(Connection);

impl Connection {
    /// A new one, that tells `freed` when one of its streams ends.
    pub fn new(freed: Arc<Notify>) -> Self {
        Self(Arc::new(State { freed, ..State::default() }))
    }

    /// A place, if fewer than `most` are taken.
    pub fn lease(&self, most: usize) -> Option<Lease> {
        let more = |taken| (taken < most).then_some(taken + 1);
        let taken = self.0.streams.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        taken.is_ok().then(|| Lease(self.clone()))
    }

    /// How many places are taken.
    pub fn streams(&self) -> usize {
        self.0.streams.load(Ordering::Acquire)
    }

    /// What the peer speaks is HTTP/2.
    pub(super) fn speaks(&self) {
        self.0.speaks.store(true, Ordering::Release);
    }

    /// Whether it does, as far as is known.
    pub(super) fn is_spoken(&self) -> bool {
        self.0.speaks.load(Ordering::Acquire)
    }

    /// Something comes, if only an end.
    pub(super) fn is_heard(&self) {
        self.0.heard.is_now();
    }

    /// When the peer was heard last.
    pub(super) fn heard(&self) -> Instant {
        self.0.heard.at()
    }

    /// Something goes out.
    pub(super) fn moves(&self) {
        self.0.moved.is_now();
    }

    /// When something came or went last.
    pub(super) fn moved(&self) -> Instant {
        self.0.moved.at().max(self.heard())
    }

    /// The peer has ended these streams, and all that came before has been taken.
    pub(super) fn have_ended(&self, streams: impl ExactSizeIterator<Item = u32>) {
        if streams.len() == 0 {
            return;
        }
        let mut ended = self.ended();
        for stream in streams {
            ended.insert(stream);
            if ended.len() > MAX_ENDED {
                // The oldest is the likeliest to be gone.
                ended.pop_first();
            }
        }
    }

    /// Whether the peer has ended this one.
    pub(super) fn has_ended(&self, stream: u32) -> bool {
        self.ended().contains(&stream)
    }

    /// Nobody has this stream any more.
    pub(super) fn forget(&self, stream: u32) {
        self.ended().remove(&stream);
    }

    fn ended(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        self.0.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is dead, and that is why: what its streams tell from here on. The first word counts.
    pub fn die(&self, error: &io::Error) {
        let _known_already = self.0.died.set(again(error));
    }

    /// The stream below fails. h2 forgets what TLS says of it: in TLS 1.3 that a proxy refuses our
    /// certificate comes here.
    pub(super) fn fails(&self, error: &io::Error) {
        if trust::is_tls(error) {
            self.die(error);
        }
    }

    /// Why it is dead, if it is.
    pub fn cause(&self) -> Option<io::Error> {
        self.0.died.get().map(again)
    }
}

/// The same error once more. Those that are told in words of their own keep their type.
fn again(error: &io::Error) -> io::Error {
    let inner = error.get_ref();
    if let Some(tls) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return io::Error::new(error.kind(), tls.clone());
    }
    if let Some(http2) = inner.and_then(|inner| inner.downcast_ref::<Http2Error>()) {
        return io::Error::new(error.kind(), http2.clone());
    }
    io::Error::new(error.kind(), error.to_string())
}

impl Lease {
    /// Of what.
    pub fn connection(&self) -> &Connection {
        &self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let State { streams, freed, .. } = &*self.0.0;
        streams.fetch_sub(1, Ordering::AcqRel);
        freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_ends_stream_after_stream_fills_no_memory() {
        let connection = Connection::default();
        for stream in 0..10_000 {
            connection.have_ended([stream].into_iter());
        }
        assert_eq!(connection.ended().len(), MAX_ENDED);
        assert!(connection.has_ended(9_999));
    }
}
