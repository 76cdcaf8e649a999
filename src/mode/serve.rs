//! `serve`: a small CONNECT proxy for trying things out: the HTTP front with direct routes.

use std::time::Duration;

use super::Watch;
use super::listening::{self, Bounds, Place, PlaceError};
use super::session::Sessions;
use crate::auth;
use crate::front::{Front, http};
use crate::net::ending::{HalfClose, Patience};
use crate::route::{self, NoProxy, Proxy};
use crate::tunnel;

/// How long open tunnels may take to end once it shall stop.
const GRACE: Duration = Duration::from_secs(5);

/// Whom to serve, and where.
#[derive(Debug)]
pub struct Serve {
    /// Where to listen.
    pub place: Place,
    /// Who may ask, and for what.
    pub gate: http::Gate,
    /// Connections at the same time; `None` is what the limit of open files carries.
    pub max_connections: Option<usize>,
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// The place can't be listened at.
pub async fn run(job: Serve, watch: Box<dyn Watch>) -> Result<(), PlaceError> {
    let config = tunnel::Config { auth: auth::Policy::None, ..tunnel::Config::default() };
    // A proxy passes each end on as it comes (RFC 9110 §9.3.6).
    let patience = Patience { half_close: HalfClose::After(Duration::ZERO), linger: None, idle: None };
    let routes = route::Policy { proxy: Proxy::Direct, exempt: NoProxy::default() }.into();
    let bounds =
        Bounds { max_connections: job.max_connections, grace: GRACE, keepalive: config.dial.keepalive };
    let sessions = Sessions { routes, config, patience, spares: Vec::new(), watch };
    listening::serve(vec![(job.place, Front::Http(job.gate))], sessions, bounds).await
}
