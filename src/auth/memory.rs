//! What was learnt of one proxy: it spares later connections the question.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Credentials, Scheme, digest};
use crate::secret::Login;

/// Nonces whose count is known. A proxy that gives everybody the same one for a while gives few.
const MAX_NONCES: usize = 32;

/// What one proxy took last. Clones share it: one for all connections of a run.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    known: Option<Known>,
    /// The nonces that were used, the latest last.
    used: VecDeque<digest::Session>,
}

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
        self.lock().known.clone()
    }

    /// Uses the remembered nonce.
    pub(super) fn reuse(
        &self,
        using: impl FnOnce(&mut digest::Session) -> Credentials,
    ) -> Option<(digest::Session, Credentials)> {
        let mut held = self.lock();
        let session = held.known.as_ref()?.digest.clone()?;
        Some(held.count(session, using))
    }

    /// Uses the nonce of a challenge.
    pub(super) fn count(
        &self,
        session: digest::Session,
        using: impl FnOnce(&mut digest::Session) -> Credentials,
    ) -> (digest::Session, Credentials) {
        self.lock().count(session, using)
    }

    pub(super) fn remember(&self, known: Known) {
        self.lock().known = Some(known);
    }

    pub(super) fn forget(&self) {
        self.lock().known = None;
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// No two connections get the same count of a nonce, also where the proxy gave it to both
    /// (RFC 7616 §3.4).
    fn count(
        &mut self,
        session: digest::Session,
        using: impl FnOnce(&mut digest::Session) -> Credentials,
    ) -> (digest::Session, Credentials) {
        let place = self.used.iter().position(|old| session.has_nonce_of(old));
        let mut session = match place.and_then(|place| self.used.remove(place)) {
            Some(old) => session.later(&old),
            None => session,
        };
        let credentials = using(&mut session);
        self.used.push_back(session.clone());
        if self.used.len() > MAX_NONCES {
            self.used.pop_front();
        }
        (session, credentials)
    }
}
