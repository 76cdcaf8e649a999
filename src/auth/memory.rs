//! What was learnt of one proxy: it spares later connections the question.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Credentials, Scheme, digest};
use crate::secret::Login;

/// What one proxy took last. Clones share it: one for all connections of a run.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<Option<Known>>>);

/// Credentials that were taken.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) scheme: Scheme,
    /// Whose they were, where they were anybody's.
    pub(super) login: Option<Login>,
    /// The nonce, and how often it was used.
    pub(super) digest: Option<digest::Session>,
}

impl Memory {
    pub(super) fn recall(&self) -> Option<Known> {
        self.lock().clone()
    }

    /// Uses the remembered nonce: no two connections get the same count (RFC 7616 §3.4).
    pub(super) fn count(
        &self,
        using: impl FnOnce(&mut digest::Session) -> Credentials,
    ) -> Option<Credentials> {
        self.lock().as_mut().and_then(|known| known.digest.as_mut()).map(using)
    }

    pub(super) fn remember(&self, known: Known) {
        let mut held = self.lock();
        let digest = match (known.digest, held.as_ref().and_then(|held| held.digest.as_ref())) {
            (Some(new), Some(old)) if new.has_nonce_of(old) => Some(new.later(old)),
            (new, _) => new,
        };
        *held = Some(Known { digest, ..known });
    }

    pub(super) fn forget(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
