//! The addresses of proxies' names, kept for a few seconds, so that a listening mode does not ask
//! the resolver once for each connection.
//!
//! Connections that ask for the same name at the same time wait for one lookup. What is a name of
//! a target is not for here: clients choose those, without end.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::dial::{self, Family};
use crate::authority::{Authority, Host};

/// How long an answer counts. getaddrinfo does not tell a name's time to live; proxies that move
/// move in minutes.
const LIFE: Duration = Duration::from_secs(10);

/// What is known. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Names(Arc<Mutex<Entries>>);

type Entries = HashMap<(Authority, Family), Arc<Entry>>;

/// One name; whoever looks it up holds the lock.
type Entry = tokio::sync::Mutex<Option<Answer>>;

#[derive(Debug)]
struct Answer {
    at: Instant,
    found: Result<Vec<SocketAddr>, (io::ErrorKind, String)>,
}

impl Names {
    /// The addresses of a proxy, as [`dial::resolve`] has them, not older than ten seconds.
    ///
    /// # Errors
    /// As there. A failure is shared with those that waited for it, and not kept.
    pub async fn resolve(&self, place: &Authority, family: Family) -> io::Result<Vec<SocketAddr>> {
        if let Host::Address(_) = place.host() {
            return dial::resolve(place, family).await;
        }
        let asked = Instant::now();
        let entry = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.entry((place.clone(), family)).or_default().clone()
        };
        let mut entry = entry.lock().await;
        let answer = match entry.take() {
            Some(answer) if answer.counts(asked) => answer,
            _ => {
                let found = dial::resolve(place, family).await;
                let found = found.map_err(|error| (error.kind(), error.to_string()));
                Answer { at: Instant::now(), found }
            }
        };
        let found = entry.insert(answer).found.clone();
        found.map_err(|(kind, text)| io::Error::new(kind, text))
    }

    /// What a test has looked up itself.
    #[cfg(all(test, feature = "cli"))]
    pub(crate) fn knowing(place: Authority, family: Family, addresses: Vec<SocketAddr>) -> Self {
        let answer = Answer { at: Instant::now(), found: Ok(addresses) };
        let entry = Arc::new(Entry::new(Some(answer)));
        Self(Arc::new(Mutex::new(HashMap::from([((place, family), entry)]))))
    }

    /// No address of this name answers: the next one to ask looks it up again.
    pub fn forget(&self, place: &Authority, family: Family) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&(place.clone(), family));
    }
}

impl Answer {
    /// Whether it is an answer to somebody who asked at that time.
    fn counts(&self, asked: Instant) -> bool {
        match self.found {
            Ok(_) => self.at + LIFE > asked,
            Err(_) => self.at >= asked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn localhost() -> Authority {
        "localhost:1".parse().expect("a name")
    }

    async fn held(names: &Names) -> Instant {
        let entry = names.0.lock().expect("no panic")[&(localhost(), Family::Any)].clone();
        let answer = entry.lock().await;
        answer.as_ref().expect("an answer").at
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_looked_up_again_after_ten_seconds_or_when_no_address_answers() {
        let names = Names::default();
        let found = names.resolve(&localhost(), Family::Any).await.expect("localhost");
        assert!(found.iter().all(|address| address.ip().is_loopback()));
        let first = held(&names).await;
        tokio::time::advance(Duration::from_secs(9)).await;
        names.resolve(&localhost(), Family::Any).await.expect("localhost");
        assert_eq!(held(&names).await, first, "the answer is kept");
        tokio::time::advance(Duration::from_secs(2)).await;
        names.resolve(&localhost(), Family::Any).await.expect("localhost");
        let second = held(&names).await;
        assert!(second > first, "it was asked again");
        names.forget(&localhost(), Family::Any);
        tokio::time::advance(Duration::from_secs(1)).await;
        names.resolve(&localhost(), Family::Any).await.expect("localhost");
        assert!(held(&names).await > second);
    }

    #[test]
    fn a_failure_counts_for_those_that_waited_for_it_alone() {
        let at = Instant::now();
        let failed = Answer { at, found: Err((io::ErrorKind::NotFound, String::new())) };
        assert!(failed.counts(at - Duration::from_secs(1)));
        assert!(!failed.counts(at + Duration::from_millis(1)));
    }
}
