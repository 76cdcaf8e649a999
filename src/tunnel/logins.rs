//! Whose credentials the proxies of one run get, and what the run has learnt of each proxy.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::auth::{self, Audience, Authenticator, Memory};
use crate::authority::Authority;
use crate::secret::Login;

/// What somebody is asked for who has a name and password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The proxy that asks.
    pub proxy: Authority,
    /// What it calls the space it protects; from the network, not escaped.
    pub realm: String,
    /// How many logins it has refused before, in this exchange.
    pub refused: usize,
}

/// Answers a question for a login; it may block (a prompt).
pub type Ask = Arc<dyn Fn(&Question) -> Option<Login> + Send + Sync>;

/// Where names and passwords come from. Clones share what they learn.
#[derive(Clone, Default)]
pub struct Logins {
    known: Option<Login>,
    ask: Option<Ask>,
    /// Those of proxies that have their own.
    own: Arc<HashMap<Authority, Self>>,
    learnt: Arc<Mutex<Learnt>>,
}

#[derive(Default)]
struct Learnt {
    refusal: Option<Refused>,
    proxies: HashMap<Authority, Memory>,
}

/// When a proxy last refused what is known.
#[derive(Clone, Copy)]
struct Refused {
    at: Instant,
    /// A ticket, which is nothing that could be asked for.
    ticket: bool,
}

/// How long a login that was refused is not sent again, by any connection of this run: accounts
/// get locked after a few wrong passwords, and a browser makes a few connections at once.
const REFUSAL_MEMORY: Duration = Duration::from_secs(60);

impl Logins {
    /// This one, and no other.
    pub fn known(login: Login) -> Self {
        Self { known: Some(login), ..Self::default() }
    }

    /// Whatever is answered when a proxy asks.
    pub fn asked(ask: Ask) -> Self {
        Self { ask: Some(ask), ..Self::default() }
    }

    /// These, but for the proxies that have logins of their own.
    pub fn but(self, own: HashMap<Authority, Self>) -> Self {
        Self { own: Arc::new(own), ..self }
    }

    /// Those for this proxy.
    pub(super) fn of(&self, proxy: &Authority) -> &Self {
        self.own.get(proxy).unwrap_or(self)
    }

    /// What is known without asking.
    pub(super) fn at_hand(&self) -> Option<&Login> {
        self.known.as_ref()
    }

    /// Asks whoever has a login; a prompt blocks.
    pub(super) async fn ask(&self, question: Question) -> Option<Login> {
        let ask = self.ask.clone()?;
        // A task that panics has no answer.
        tokio::task::spawn_blocking(move || ask(&question)).await.ok().flatten()
    }

    pub(super) fn authenticator(
        &self,
        policy: auth::Policy,
        proxy: &Authority,
        audience: Audience,
    ) -> Authenticator {
        let mut learnt = self.learnt();
        match learnt.refusal {
            Some(Refused { at, ticket })
                if at.elapsed() < REFUSAL_MEMORY && (ticket || self.known.is_some()) =>
            {
                Authenticator::refused(policy, audience)
            }
            Some(_) | None => {
                let memory = learnt.proxies.entry(proxy.clone()).or_default().clone();
                Authenticator::new(policy, self.known.clone(), audience, memory)
            }
        }
    }

    pub(super) fn remember_refusal(&self, ticket: bool) {
        let mut learnt = self.learnt();
        // The time runs from the refusal, not from each connection that was spared another.
        if learnt.refusal.is_none_or(|refused| refused.at.elapsed() >= REFUSAL_MEMORY) {
            learnt.refusal = Some(Refused { at: Instant::now(), ticket });
        }
    }

    fn learnt(&self) -> MutexGuard<'_, Learnt> {
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logins").field("known", &self.known).field("ask", &self.ask.is_some()).finish()
    }
}
