//! Whose credentials the proxies of one run get, and what the run has learnt of each proxy.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::LookUpError;
use crate::auth::{self, Audience, Authenticator, Memory, Scheme};
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

/// Looks up a login that is kept somewhere; it may block (a program, a keyring). `None`: there is
/// none, somebody may be asked.
pub type LookUp = Arc<dyn Fn() -> Result<Option<Login>, LookUpError> + Send + Sync>;

/// The logins for a proxy that nobody knew before.
pub type Each = Arc<dyn Fn(&Authority) -> Logins + Send + Sync>;

/// The logins that were made, by their proxies.
type Made = Arc<Mutex<HashMap<Authority, Logins>>>;

/// How many proxies' logins are remembered where a script names the proxies.
const MAX_PROXIES: usize = 1000;

/// Where names and passwords come from. Clones share what they learn.
#[derive(Clone, Default)]
pub struct Logins {
    look_up: Option<LookUp>,
    ask: Option<Ask>,
    /// Those of proxies that have their own.
    own: Arc<HashMap<Authority, Self>>,
    /// Makes those of any other proxy, and those that it has made.
    each: Option<(Each, Made)>,
    learnt: Arc<Mutex<Learnt>>,
    /// Whose turn it is to look up.
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct Learnt {
    /// The login that is known, or has been looked up.
    login: Option<Login>,
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
        let learnt = Learnt { login: Some(login), ..Learnt::default() };
        Self { learnt: Arc::new(Mutex::new(learnt)), ..Self::default() }
    }

    /// Whatever is answered when a proxy asks.
    pub fn asked(ask: Ask) -> Self {
        Self { ask: Some(ask), ..Self::default() }
    }

    /// What is kept somewhere: looked up when a proxy asks, or before that where a scheme is sent
    /// at once. Where nothing is kept, `ask` is.
    pub fn looked_up(look_up: LookUp, ask: Ask) -> Self {
        Self { look_up: Some(look_up), ask: Some(ask), ..Self::default() }
    }

    /// These, but for the proxies that have logins of their own.
    pub fn but(self, own: HashMap<Authority, Self>) -> Self {
        Self { own: Arc::new(own), ..self }
    }

    /// For every proxy its own, made when it is met.
    pub fn each(make: Each) -> Self {
        Self { each: Some((make, Arc::default())), ..Self::default() }
    }

    /// Those for this proxy.
    pub(super) fn of(&self, proxy: &Authority) -> Self {
        if let Some(own) = self.own.get(proxy) {
            return own.clone();
        }
        let Some((make, made)) = &self.each else { return self.clone() };
        let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.len() >= MAX_PROXIES {
            made.clear();
        }
        made.entry(proxy.clone()).or_insert_with(|| make(proxy)).clone()
    }

    /// What is known without asking or looking.
    pub(super) fn at_hand(&self) -> Option<Login> {
        self.learnt().login.clone()
    }

    pub(super) async fn authenticator(
        &self,
        policy: auth::Policy,
        proxy: &Authority,
        audience: Audience,
    ) -> Result<Authenticator, LookUpError> {
        {
            let mut learnt = self.learnt();
            match learnt.refusal {
                Some(Refused { at, ticket })
                    if at.elapsed() < REFUSAL_MEMORY && (ticket || learnt.login.is_some()) =>
                {
                    return Ok(Authenticator::refused(policy, audience));
                }
                Some(_) if self.look_up.is_some() => {
                    // What is kept may be another password by now.
                    (learnt.refusal, learnt.login) = (None, None);
                }
                Some(_) | None => {}
            }
        }
        let login = match policy {
            auth::Policy::Only(Scheme::Basic) => self.look_up().await?,
            auth::Policy::Only(_) | auth::Policy::Auto | auth::Policy::None => self.learnt().login.clone(),
        };
        let memory = self.learnt().proxies.entry(proxy.clone()).or_default().clone();
        Ok(Authenticator::new(policy, login, audience, memory))
    }

    /// A login that was not refused: what is kept comes first, and what is typed does not replace it.
    pub(super) async fn login(&self, question: Question) -> Result<Option<Login>, LookUpError> {
        let kept = match question.refused {
            0 => self.look_up().await?,
            _ => self.learnt().login.clone(),
        };
        if kept.is_some() {
            return Ok(kept.filter(|_| question.refused == 0));
        }
        let Some(ask) = self.ask.clone() else { return Ok(None) };
        // A prompt blocks; a task that panics has no answer.
        Ok(tokio::task::spawn_blocking(move || ask(&question)).await.ok().flatten())
    }

    /// The login that is kept; it is looked up once, however many connections wait for it.
    async fn look_up(&self) -> Result<Option<Login>, LookUpError> {
        let _turn = self.turn.lock().await;
        let known = self.learnt().login.clone();
        let (None, Some(look_up)) = (&known, self.look_up.clone()) else { return Ok(known) };
        // It may block; a task that panics has found nothing.
        let found = tokio::task::spawn_blocking(move || look_up()).await.unwrap_or(Ok(None))?;
        self.learnt().login.clone_from(&found);
        Ok(found)
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
        let (look_up, ask) = (self.look_up.is_some(), self.ask.is_some());
        f.debug_struct("Logins").field("look_up", &look_up).field("ask", &ask).finish_non_exhaustive()
    }
}
