//! Several ways to one target: the first on which a proxy answers.
//!
//! Knows which failures are a dead proxy's, and which proxies were dead a moment ago. A proxy that
//! says no is not dead: its word counts, and no other is asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Cause, Config, Error, Observer, Stage, Tunnel, open};
use crate::authority::Authority;
use crate::route::{Protocol, ProxyUri, Route};

/// How long a proxy that did not answer is asked last, as with Chromium.
const ASIDE: Duration = Duration::from_secs(5 * 60);

/// How many are remembered. A script may name proxies without end.
const MAX_ASIDE: usize = 1000;

/// The ways on which no proxy answered, and when. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct SetAside(Arc<Mutex<HashMap<Way, Instant>>>);

/// The proxies of a way, without their logins; none is the way without a proxy.
pub(super) type Way = Vec<(Protocol, Authority)>;

impl SetAside {
    /// The ways in the order they shall be tried: those that were dead a moment ago last.
    fn order<'a>(&self, routes: &'a [Route]) -> Vec<&'a Route> {
        let mut dead = self.dead();
        dead.retain(|_, since| since.elapsed() < ASIDE);
        let (last, mut first): (Vec<_>, Vec<_>) =
            routes.iter().partition(|route| dead.contains_key(&way(route.proxies())));
        first.extend(last);
        first
    }

    fn add(&self, route: &Route) {
        let (mut dead, way) = (self.dead(), way(route.proxies()));
        // What is wrong without a proxy is the target's: another one may well be reached.
        if !way.is_empty() && dead.len() < MAX_ASIDE {
            dead.insert(way, Instant::now());
        }
    }

    fn remove(&self, route: &Route) {
        self.dead().remove(&way(route.proxies()));
    }

    fn dead(&self) -> MutexGuard<'_, HashMap<Way, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn way<'a>(proxies: impl IntoIterator<Item = &'a ProxyUri>) -> Way {
    proxies.into_iter().map(|proxy| (proxy.protocol, proxy.authority.clone())).collect()
}

/// Opens a tunnel by the first way that leads anywhere; `observer` hears of each that is tried, and
/// of each that is given up.
///
/// # Errors
/// That of the proxy that answered and refused; where none answered, that of the last one tried.
pub async fn open_first(
    target: &Authority,
    routes: &[Route],
    config: &Config,
    observer: &mut (dyn Observer + Send),
) -> Result<Tunnel, Error> {
    if let [only] = routes {
        observer.set_out(only);
        return open(target, only, config, observer).await;
    }
    let mut given_up: Option<Error> = None;
    for route in config.set_aside.order(routes) {
        if let Some(error) = given_up.take() {
            tracing::info!("{error}; the next way is tried");
            observer.gave_up(error);
        }
        observer.set_out(route);
        match open(target, route, config, observer).await {
            Err(error) if is_dead(&error) => {
                config.set_aside.add(route);
                given_up = Some(error);
            }
            opened => {
                // It may have been asked last, and answered.
                config.set_aside.remove(route);
                return opened;
            }
        }
    }
    match given_up {
        Some(error) => Err(error),
        // No way at all: the error of a way without a proxy on it.
        None => open(target, &Route::Via(Vec::new()), config, observer).await,
    }
}

/// Whether nobody answered, as far as can be told. Who takes the request and is then silent may be
/// waiting for the target.
fn is_dead(error: &Error) -> bool {
    match &error.cause {
        Cause::Closed | Cause::Broken(_) | Cause::NoRoom(_) => true,
        Cause::Http2(error) if error.is_unprocessed() => true,
        // This machine's trouble, which the next proxy would not be spared.
        Cause::System(_) | Cause::Denied => false,
        Cause::Resolve(_)
        | Cause::Unreachable(_)
        | Cause::Timeout(_)
        | Cause::Tls { .. }
        | Cause::Socks(_)
        | Cause::NoSocksLogin
        | Cause::Nonsense(_)
        | Cause::Http2(_)
        | Cause::Refused(_)
        | Cause::LookUp(_)
        | Cause::Unauthenticated { .. }
        | Cause::Impostor => error.stage < Stage::Connect,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(uris: &[&str]) -> Vec<Route> {
        let route = |uri: &&str| match *uri {
            "direct" => Route::Direct,
            uri => Route::Via(vec![uri.parse().expect("a proxy")]),
        };
        uris.iter().map(route).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_proxy_is_asked_last_for_five_minutes() {
        let aside = SetAside::default();
        let all = routes(&["http://a:1", "socks5://a:1", "direct", "http://b:1"]);
        let order = |aside: &SetAside| -> Vec<usize> {
            let place = |route: &Route| all.iter().position(|known| known == route).expect("one of them");
            aside.order(&all).into_iter().map(place).collect()
        };
        aside.add(&all[0]);
        aside.add(&all[2]);
        assert_eq!(order(&aside), [1, 2, 3, 0], "a way without a proxy stays");
        aside.add(&all[1]);
        aside.add(&all[3]);
        assert_eq!(order(&aside), [2, 0, 1, 3], "all are dead: their order counts");
        aside.remove(&all[1]);
        assert_eq!(order(&aside), [1, 2, 0, 3]);
        tokio::time::advance(ASIDE).await;
        assert_eq!(order(&aside), [0, 1, 2, 3]);
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded() {
        let aside = SetAside::default();
        for port in 1..=MAX_ASIDE + 10 {
            aside.add(&routes(&[&format!("http://a:{port}")])[0]);
        }
        assert_eq!(aside.dead().len(), MAX_ASIDE);
    }
}
