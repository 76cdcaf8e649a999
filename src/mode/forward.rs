//! `forward`: listens locally and gives every connection its own tunnel.

use std::sync::Arc;
use std::time::Duration;

use super::listening::{self, Bounds, Place, PlaceError};
use super::session::Sessions;
use super::{Routes, Watch};
use crate::authority::Authority;
use crate::front::Front;
use crate::net::ending::Patience;
use crate::tunnel::{self, Keep, Spares};

/// What to forward, and how.
pub struct Forward {
    /// Where to listen, and where each place leads. At least one.
    pub specs: Vec<(Place, Authority)>,
    /// Which proxy to use.
    pub routes: Routes,
    /// How tunnels are opened.
    pub config: tunnel::Config,
    /// How they end.
    pub patience: Patience,
    /// Connections at the same time; `None` is what the limit of open files carries.
    pub max_connections: Option<usize>,
    /// Tunnels held ready for each target.
    pub spare: Keep,
    /// How long open connections may take once it shall stop.
    pub grace: Duration,
}

/// Forwards until SIGTERM or SIGINT.
///
/// # Errors
/// A place can't be listened at.
pub async fn run(job: Forward, watch: Box<dyn Watch>) -> Result<(), PlaceError> {
    let bounds = Bounds {
        max_connections: job.max_connections,
        grace: job.grace,
        keepalive: job.config.dial.keepalive,
    };
    let mut spares: Vec<Arc<Spares>> = Vec::new();
    for (_, target) in &job.specs {
        if job.spare.count > 0 && spares.iter().all(|known| known.target() != target) {
            spares.push(Arc::new(Spares::new(target.clone(), job.spare)));
        }
    }
    let sessions = Sessions { routes: job.routes, config: job.config, patience: job.patience, spares, watch };
    let places = job.specs.into_iter().map(|(place, target)| (place, Front::Fixed(target))).collect();
    listening::serve(places, sessions, bounds).await
}
