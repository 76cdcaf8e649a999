//! Which addresses of a target may be dialled. Whose rule that is, it refuses to know.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// Which of a target's addresses may be dialled: all of them, unless told. What a name is permitted
/// to be, the addresses behind it may not be.
#[derive(Clone, Default)]
pub struct Permits(Option<Arc<Permit>>);

type Permit = dyn Fn(&SocketAddr) -> bool + Send + Sync;

impl Permits {
    /// Those for which this says so.
    pub fn new(permit: impl Fn(&SocketAddr) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(permit)))
    }

    pub(super) fn allow(&self, address: &SocketAddr) -> bool {
        self.0.as_ref().is_none_or(|permit| permit(address))
    }
}

impl fmt::Debug for Permits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Permits(some)" } else { "Permits(all)" })
    }
}
