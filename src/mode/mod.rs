//! What wimble is asked to do: one front, one policy of routes, and a loop.
//!
//! The modes don't know each other, flags, or printing: what is to be said goes to [`Watch`].

pub mod check;
pub mod connect;
mod crew;
pub mod forward;
mod listening;
#[cfg(feature = "pac")]
pub mod pac;
mod routes;
pub mod serve;
mod session;

pub use listening::{Place, PlaceError};
pub use routes::{Decision, RouteError, Routes};
pub use session::SessionError;

use crate::authority::Authority;

/// Hears what a listening mode has to say.
pub trait Watch: Send + Sync {
    /// It listens at `place`, for `target` where that is fixed.
    fn listening(&self, place: &str, target: Option<&Authority>);
    /// One client got no tunnel, or its tunnel broke; the others go on.
    fn failed(&self, target: Option<&Authority>, error: &SessionError);
}
