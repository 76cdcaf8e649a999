//! `serve`: a small CONNECT proxy for trying things out: the HTTP front with direct routes.

use std::time::Duration;

use super::Watch;
use super::listening::{self, Bounds, Place, PlaceError};
use super::session::Sessions;
use crate::auth;
use crate::front::gate::Gate;
use crate::front::{Front, Pattern, http};
use crate::net::acceptor::Acceptor;
use crate::net::ending::{HalfClose, Patience};
use crate::route::{self, NoProxy, Proxy};
use crate::secret::Login;
use crate::tunnel;

/// How long open tunnels may take to end once it shall stop.
const GRACE: Duration = Duration::from_secs(5);

/// Whom to serve, and where.
#[derive(Debug)]
pub struct Serve {
    /// Where to listen.
    pub place: Place,
    /// Who may ask; empty is everybody.
    pub logins: Vec<Login>,
    /// What may be asked for; empty is everything.
    pub allow: Vec<Pattern>,
    /// What may not be asked for, even if allowed.
    pub deny: Vec<Pattern>,
    /// Clients speak TLS first.
    pub tls: Option<Acceptor>,
    /// Connections at the same time; `None` is what the limit of open files carries.
    pub max_connections: Option<usize>,
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// The place can't be listened at, or the system has no randomness.
pub async fn run(job: Serve, watch: Box<dyn Watch>) -> Result<(), PlaceError> {
    // A proxy passes each end on as it comes (RFC 9110 §9.3.6).
    let patience = Patience { half_close: HalfClose::After(Duration::ZERO), linger: None, idle: None };
    let routes = route::Policy { proxy: Proxy::Direct, exempt: NoProxy::default() }.into();
    let mut key = [0; 32];
    getrandom::fill(&mut key)
        .map_err(|error| PlaceError { place: job.place.clone(), error: error.into() })?;
    let gate = Gate::new(job.logins, key, job.allow, job.deny);
    let permits = tunnel::Permits::new(gate.permits());
    let config = tunnel::Config { auth: auth::Policy::None, permits, ..tunnel::Config::default() };
    let bounds =
        Bounds { max_connections: job.max_connections, grace: GRACE, keepalive: config.dial.keepalive };
    let sessions = Sessions { routes, config, patience, spares: Vec::new(), watch };
    let front = Front::Http(http::Door { gate, tls: job.tls });
    listening::serve(vec![(job.place, front)], sessions, bounds).await
}
