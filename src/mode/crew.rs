//! The threads that sessions run on: one a core, each with a runtime of its own.
//!
//! A session stays where it was begun: its sockets, its buffer and its pipes belong to one thread,
//! and nothing is locked or stolen between cores. Knows how busy each thread is; refuses to know
//! what a session does.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::net::stream::{Homeless, Stream};

/// The threads. They end, with whatever still runs on them, when this is dropped.
pub(super) struct Crew {
    hands: Vec<Hand>,
    /// Where the search for the least busy begins, so that equals take turns.
    next: usize,
}

struct Hand {
    runtime: Handle,
    sessions: Arc<AtomicUsize>,
    /// The thread, and what is dropped to end it; the caller's own has none.
    thread: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

/// Sessions that still run are dropped by their threads, and have a say in how their sockets are
/// closed: a process that ended sooner would leave that to chance.
impl Drop for Crew {
    fn drop(&mut self) {
        let ending = self.hands.iter_mut().filter_map(|hand| hand.thread.take());
        let threads: Vec<_> = ending.map(|(_alive, thread)| thread).collect();
        for thread in threads {
            // One that panicked has said so.
            let _panicked = thread.join();
        }
    }
}

impl Hand {
    /// The runtime is made on its thread: where there is no thread, one could not be dropped here.
    fn new(core: usize) -> io::Result<Self> {
        let (alive, mut ended) = oneshot::channel();
        let (tell, told) = mpsc::sync_channel(1);
        let thread = thread::Builder::new().name(format!("wimble-{core}")).spawn(move || {
            let runtime = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(tell.send(Err(error))),
            };
            let _nobody_waits = tell.send(Ok(runtime.handle().clone()));
            let _dropped = runtime.block_on(&mut ended);
        })?;
        let runtime = told.recv().map_err(io::Error::other)??;
        Ok(Self { runtime, sessions: Arc::default(), thread: Some((alive, thread)) })
    }
}

impl Crew {
    /// The caller's thread, whose runtime this is called on, and one for each other core that this
    /// process may use, as far as the system gives them.
    pub(super) fn new() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let mut hands = vec![Hand { runtime: Handle::current(), sessions: Arc::default(), thread: None }];
        for core in 1..cores {
            match Hand::new(core) {
                Ok(hand) => hands.push(hand),
                Err(error) => {
                    tracing::debug!("{core} of {cores} threads: {error}");
                    break;
                }
            }
        }
        Self { hands, next: 0 }
    }

    /// Begins the session of a client on the least busy thread.
    pub(super) fn begin<S, F>(&mut self, client: Stream, session: S)
    where
        S: FnOnce(Stream) -> F + Send + 'static,
        F: Future<Output = ()> + Send,
    {
        let turns = (0..self.hands.len()).map(|turn| (self.next + turn) % self.hands.len());
        let busy = |hand: &usize| self.hands[*hand].sessions.load(Ordering::Relaxed);
        let Some(hand) = turns.min_by_key(busy) else { return };
        self.next = hand + 1;
        let Hand { runtime, sessions, .. } = &self.hands[hand];
        sessions.fetch_add(1, Ordering::Relaxed);
        let here = Here(sessions.clone());
        if hand == 0 {
            runtime.spawn(async move {
                session(client).await;
                drop(here);
            });
            return;
        }
        let client = client.leave();
        runtime.spawn(async move {
            match client.and_then(Homeless::settle) {
                Ok(client) => session(client).await,
                Err(error) => tracing::warn!("a client is lost: {error}"),
            }
            drop(here);
        });
    }
}

/// One session fewer, however it ends.
struct Here(Arc<AtomicUsize>);

impl Drop for Here {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use tokio::io::AsyncWriteExt as _;

    #[tokio::test]
    async fn each_session_goes_to_the_least_busy_thread() {
        let mut crew = Crew::new();
        let cores = crew.hands.len();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (arrived, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
        let mut seen = HashSet::new();
        for _ in 0..cores {
            let address = listener.local_addr().expect("bound");
            let client = tokio::net::TcpStream::connect(address).await.expect("connected");
            let arrived = arrived.clone();
            crew.begin(Stream::Tcp(client), async move |mut client| {
                client.write_all(b"here").await.expect("a stream of this runtime");
                arrived.send(thread::current().id()).expect("somebody listens");
                std::future::pending::<()>().await;
            });
            seen.extend(arrivals.recv().await);
        }
        assert_eq!(seen.len(), cores);
    }
}
