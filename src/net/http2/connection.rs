//! What the streams of one connection have in common: how many there are, and what it died of.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

/// A connection, as its streams and whoever opens more of them see it. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Connection(Arc<State>);

#[derive(Debug, Default)]
struct State {
    streams: AtomicUsize,
    /// Told when a stream ends; several connections may share it.
    freed: Arc<Notify>,
    died: OnceLock<(io::ErrorKind, String)>,
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

    /// It is dead, and that is why: what its streams tell from here on. The first word counts.
    pub fn die(&self, error: &io::Error) {
        let _known_already = self.0.died.set((error.kind(), error.to_string()));
    }

    /// Why it is dead, if it is.
    pub fn cause(&self) -> Option<io::Error> {
        self.0.died.get().map(|(kind, why)| io::Error::new(*kind, why.clone()))
    }
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
