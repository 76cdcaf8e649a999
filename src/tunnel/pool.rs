//! Connections of HTTP/2 that the tunnels of a run share, for each way to a proxy.
//!
//! Knows how many tunnels a connection has room for, who waits for room, and when one more
//! connection is worth its handshake. Refuses to know how a connection is made, and what is asked
//! over it. A connection's task runs where it was made; its streams are carried from anywhere.

use std::mem;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::failover::{Way, way};
use crate::net::http2::client::{Pulse, Requests};
use crate::net::http2::{Lease, MAX_STREAMS};
use crate::route::ProxyUri;

/// How long a connection may stand still that has something to say yet. A kernel has room for more
/// when a third of its 4 MB has gone, which takes so long at 140 kB/s.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// How long it may take in all: a peer can always have one word more.
const ALL_WORDS: Duration = Duration::from_secs(60);

/// All of them. Clones are the same pool.
#[derive(Clone, Debug, Default)]
pub struct Pool(Arc<Mutex<Vec<Arc<Shared>>>>);

/// What is known of one way: a proxy, behind these others.
#[derive(Debug)]
pub(super) struct Shared {
    way: Way,
    state: Mutex<State>,
    /// There may be room, or somebody stopped making it.
    changed: Arc<Notify>,
}

#[derive(Debug)]
struct State {
    /// What the proxy speaks, once it was asked.
    spoken: Option<Spoken>,
    lines: Vec<Line>,
    /// Tasks of connections that take nothing new: their tunnels live on.
    leaving: Vec<Leaving>,
    dialling: usize,
    waiting: usize,
    /// How many streams the proxy lets one connection have, as far as is known.
    limit: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoken {
    Http2,
    Http1,
    /// HTTP/2, but not for what we want: it asks for HTTP/1.1, or for credentials that are bound
    /// to a connection.
    Http1Alone,
}

#[derive(Debug)]
struct Line {
    requests: Requests,
    task: JoinHandle<()>,
}

/// A connection over which nobody can ask any more.
#[derive(Debug)]
struct Leaving {
    task: JoinHandle<()>,
    pulse: Pulse,
}

impl From<Line> for Leaving {
    fn from(line: Line) -> Self {
        Self { pulse: line.requests.pulse(), task: line.task }
    }
}

impl Leaving {
    /// Waits for its end, as long as it moves; whether all has been said by then.
    async fn end(mut self) -> bool {
        let began = Instant::now();
        loop {
            let until = (self.pulse.last().max(began) + LAST_WORDS).min(began + ALL_WORDS);
            if until <= Instant::now() || timeout_at(until, &mut self.task).await.is_ok() {
                return self.pulse.has_said_all();
            }
        }
    }
}

/// Where the next request goes.
#[derive(Debug)]
pub(super) enum Found {
    /// Over this connection, on this place.
    Room(Requests, Lease),
    /// Over a new one, for which others may be waiting.
    Dial(Dial),
    /// HTTP/1.1 is all that is worth trying.
    Http1,
}

/// The right to make a connection, and the duty to tell what came of it; a failure is told by drop.
#[derive(Debug)]
pub(super) struct Dial {
    shared: Arc<Shared>,
    /// Others count on it.
    counted: bool,
    /// It has been waited for: somebody else had it before, in vain.
    waited: bool,
}

impl Pool {
    /// What is known of the way to `proxy` through `nearer`.
    pub(super) fn of(&self, proxy: &ProxyUri, nearer: &[ProxyUri]) -> Arc<Shared> {
        let way = way(nearer.iter().chain([proxy]));
        let mut ways = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = ways.iter().find(|known| known.way == way) {
            return known.clone();
        }
        let state = State {
            spoken: None,
            lines: Vec::new(),
            leaving: Vec::new(),
            dialling: 0,
            waiting: 0,
            limit: MAX_STREAMS,
        };
        let shared = Arc::new(Shared { way, state: Mutex::new(state), changed: Arc::default() });
        ways.push(shared.clone());
        shared
    }

    /// Lets every connection say its last words, and closes it, unless tunnels still use it. Whether
    /// all has been said.
    pub(super) async fn drain(&self) -> bool {
        let mut said = true;
        let ways = mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for way in ways {
            let (lines, leaving) = {
                let mut state = way.state();
                (mem::take(&mut state.lines), mem::take(&mut state.leaving))
            };
            // It ends when nobody can ask over it any more.
            let leaving: Vec<_> = lines.into_iter().map(Leaving::from).chain(leaving).collect();
            for line in leaving {
                said &= line.end().await;
            }
        }
        said
    }
}

impl Shared {
    /// Waits for room on a connection, or for the right to make one.
    pub(super) async fn find(self: &Arc<Self>) -> Found {
        let mut waited = false;
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let _waiting = match self.look() {
                Ok(mut found) => {
                    if let Found::Dial(dial) = &mut found {
                        dial.waited = waited;
                    }
                    return found;
                }
                Err(waiting) => waiting,
            };
            changed.await;
            waited = true;
        }
    }

    fn look(self: &Arc<Self>) -> Result<Found, Waiting<'_>> {
        let mut state = self.state();
        let state = &mut *state;
        state.leaving.retain(|line| !line.task.is_finished());
        // One that takes no streams at all is of no use.
        let useless = |line: &mut Line| !line.requests.is_open() || line.requests.limit() == Some(0);
        for line in state.lines.extract_if(.., useless) {
            state.leaving.push(line.into());
        }
        if let Some(limit) = state.lines.iter().filter_map(|line| line.requests.limit()).max() {
            state.limit = limit.max(1);
        }
        for line in &state.lines {
            if let Some(lease) = line.requests.lease() {
                return Ok(Found::Room(line.requests.clone(), lease));
            }
        }
        match state.spoken {
            Some(Spoken::Http1Alone) => return Ok(Found::Http1),
            // Nothing is shared, so nobody waits for anybody.
            Some(Spoken::Http1) => {
                return Ok(Found::Dial(Dial { shared: self.clone(), counted: false, waited: false }));
            }
            Some(Spoken::Http2) | None => {}
        }
        // Connections that are about to have room: who makes them takes one place.
        let unsettled = state.lines.iter().filter(|line| line.requests.limit().is_none()).count();
        let coming = (state.dialling + unsettled) * (state.limit - 1);
        // What the proxy speaks is asked once.
        let unknown = state.spoken.is_none() && state.dialling > 0;
        if !unknown && state.waiting >= coming {
            state.dialling += 1;
            return Ok(Found::Dial(Dial { shared: self.clone(), counted: true, waited: false }));
        }
        state.waiting += 1;
        Err(Waiting(self))
    }

    /// Whether the proxy has said what it speaks.
    pub(super) fn is_known(&self) -> bool {
        self.state().spoken.is_some()
    }

    /// HTTP/2 is of no use with this proxy. Connections go when their tunnels have.
    pub(super) fn needs_http1(&self) {
        let mut state = self.state();
        state.spoken = Some(Spoken::Http1Alone);
        let lines = mem::take(&mut state.lines);
        state.leaving.extend(lines.into_iter().map(Leaving::from));
        drop(state);
        self.changed.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Dial {
    /// Whether some of the time is over already.
    pub(super) fn is_late(&self) -> bool {
        self.waited
    }

    /// What is told when there is room again.
    pub(super) fn freed(&self) -> Arc<Notify> {
        self.shared.changed.clone()
    }

    /// There is a connection. Its first place is for whoever made it.
    pub(super) fn connected(self, requests: Requests, task: JoinHandle<()>) -> Option<Lease> {
        let lease = requests.lease();
        let mut state = self.shared.state();
        if state.spoken != Some(Spoken::Http1Alone) {
            state.spoken = Some(Spoken::Http2);
        }
        state.lines.push(Line { requests, task });
        lease
    }

    /// The proxy speaks HTTP/1.1, at least at present.
    pub(super) fn speaks_http1(self) {
        let mut state = self.shared.state();
        if state.spoken != Some(Spoken::Http1Alone) {
            state.spoken = Some(Spoken::Http1);
        }
    }
}

impl Drop for Dial {
    fn drop(&mut self) {
        if self.counted {
            self.shared.state().dialling -= 1;
            self.shared.changed.notify_waiters();
        }
    }
}

/// Somebody waits.
struct Waiting<'a>(&'a Shared);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state().waiting -= 1;
    }
}
