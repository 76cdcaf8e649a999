//! Whose credentials the proxies of one run get, and what the run has learnt of each proxy.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::LookUpError;
use crate::auth::{self, Audience, Authenticator, Memory, Scheme};
use crate::authority::Authority;
use crate::net::blocking::on_a_thread;
use crate::route::ProxyUri;
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

/// Where the names and passwords of one proxy come from that was not known before.
pub type Each = Arc<dyn Fn(&ProxyUri) -> Logins + Send + Sync>;

/// How many proxies are remembered: a list of them may come from elsewhere.
const MAX_PROXIES: usize = 1000;

/// Where names and passwords come from, and what was learnt of each proxy. Clones share what they
/// learn; a proxy learns nothing of what another was given.
#[derive(Clone, Default)]
pub struct Logins {
    given: Given,
    each: Option<Each>,
    /// By the whole URI: who comes to one place as two users has two accounts.
    met: Arc<Mutex<Vec<(ProxyUri, Account)>>>,
}

#[derive(Clone, Default)]
struct Given {
    login: Option<Login>,
    /// The name, where that is all that is known.
    user: Option<String>,
    look_up: Option<LookUp>,
    ask: Option<Ask>,
}

/// What one proxy is given, and what was learnt of it. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Account {
    given: Given,
    learnt: Arc<Mutex<Learnt>>,
    /// Whose turn it is to look up.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Whose turn it is to try what nobody has tried.
    trial: Arc<tokio::sync::Mutex<()>>,
}

/// The turn of who tries a login, until its end.
pub(super) type Trial = tokio::sync::OwnedMutexGuard<()>;

#[derive(Default)]
struct Learnt {
    /// The login that is known, or has been looked up.
    login: Option<Login>,
    refusal: Option<Refused>,
    /// The proxy has taken what was sent, as far as can be told, and not refused any since.
    taken: bool,
    memory: Memory,
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

/// How long others wait for the end of a trial. A refusal comes soon; a proxy that takes the login
/// may wait for a target for much longer, and says nothing meanwhile.
const VERDICT: Duration = Duration::from_secs(3);

impl Logins {
    /// This one, and no other.
    pub fn known(login: Login) -> Self {
        Self { given: Given { login: Some(login), ..Given::default() }, ..Self::default() }
    }

    /// Whatever is answered when a proxy asks.
    pub fn asked(ask: Ask) -> Self {
        Self { given: Given { ask: Some(ask), ..Given::default() }, ..Self::default() }
    }

    /// What is kept somewhere: looked up when a proxy asks, or before that where a scheme is sent
    /// at once. Where nothing is kept, `ask` is.
    pub fn looked_up(look_up: LookUp, ask: Ask) -> Self {
        let given = Given { look_up: Some(look_up), ask: Some(ask), ..Given::default() };
        Self { given, ..Self::default() }
    }

    /// For each proxy its own, made when the proxy is met.
    pub fn each(make: Each) -> Self {
        Self { each: Some(make), ..Self::default() }
    }

    /// The name, for a proxy that takes one without a password (SOCKS4).
    pub fn of_user(mut self, user: Option<String>) -> Self {
        self.given.user = user;
        self
    }

    /// What is given to this proxy, and what was learnt of it.
    pub(super) fn of(&self, proxy: &ProxyUri) -> Account {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, account)) = met.iter().find(|(known, _)| known == proxy) {
            return account.clone();
        }
        let account = Account::new(match &self.each {
            Some(make) => make(proxy).given,
            None => self.given.clone(),
        });
        if met.len() >= MAX_PROXIES {
            met.clear();
        }
        met.push((proxy.clone(), account.clone()));
        account
    }
}

impl Account {
    fn new(given: Given) -> Self {
        let learnt = Learnt { login: given.login.clone(), ..Learnt::default() };
        Self { given, learnt: Arc::new(Mutex::new(learnt)), ..Self::default() }
    }

    /// The name, as far as it is known without asking or looking.
    pub(super) fn user(&self) -> Option<String> {
        let known = self.learnt().login.as_ref().map(|login| login.user().to_owned());
        known.or_else(|| self.given.user.clone())
    }

    pub(super) async fn authenticator(
        &self,
        policy: auth::Policy,
        audience: Audience,
    ) -> Result<Authenticator, LookUpError> {
        if self.is_refused() {
            return Ok(Authenticator::refused(policy, audience));
        }
        let login = match policy {
            auth::Policy::Only(Scheme::Basic) => self.look_up().await?,
            auth::Policy::Only(_) | auth::Policy::Auto | auth::Policy::None => self.learnt().login.clone(),
        };
        let memory = self.learnt().memory.clone();
        Ok(Authenticator::new(policy, login, audience, memory))
    }

    /// Whether what is known was refused a moment ago, and so is not to be sent.
    pub(super) fn is_refused(&self) -> bool {
        let mut learnt = self.learnt();
        match learnt.refusal {
            Some(Refused { at, ticket })
                if at.elapsed() < REFUSAL_MEMORY && (ticket || learnt.login.is_some()) =>
            {
                return true;
            }
            Some(_) if self.given.look_up.is_some() => {
                // What is kept may be another password by now.
                (learnt.refusal, learnt.login) = (None, None);
            }
            Some(_) | None => {}
        }
        false
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
        let Some(ask) = self.given.ask.clone() else { return Ok(None) };
        // A prompt blocks.
        on_a_thread(move || ask(&question)).await.map_err(no_thread)
    }

    /// The login that is kept; it is looked up once, however many connections wait for it.
    async fn look_up(&self) -> Result<Option<Login>, LookUpError> {
        let _turn = self.turn.lock().await;
        let known = self.learnt().login.clone();
        let (None, Some(look_up)) = (&known, self.given.look_up.clone()) else { return Ok(known) };
        let found = on_a_thread(move || look_up()).await.map_err(no_thread)??;
        self.learnt().login.clone_from(&found);
        Ok(found)
    }

    /// Waits for the proxy's word on what another connection tries: a burst of connections with a
    /// wrong password is one failed login then, and not one each. `None`: it is known to be taken,
    /// or the word does not come.
    pub(super) async fn trial(&self) -> Option<Trial> {
        if self.learnt().taken {
            return None;
        }
        let turn = tokio::time::timeout(VERDICT, Arc::clone(&self.trial).lock_owned()).await;
        let mut learnt = self.learnt();
        // So long a silence is as good as a yes: nobody else needs to wait for it.
        learnt.taken |= turn.is_err();
        turn.ok().filter(|_| !learnt.taken)
    }

    /// The proxy takes what was sent.
    pub(super) fn remember_success(&self) {
        self.learnt().taken = true;
    }

    pub(super) fn remember_refusal(&self, ticket: bool) {
        let mut learnt = self.learnt();
        learnt.taken = false;
        // The time runs from the refusal, not from each connection that was spared another.
        if learnt.refusal.is_none_or(|refused| refused.at.elapsed() >= REFUSAL_MEMORY) {
            learnt.refusal = Some(Refused { at: Instant::now(), ticket });
        }
    }

    fn learnt(&self) -> MutexGuard<'_, Learnt> {
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_thread(error: std::io::Error) -> LookUpError {
    LookUpError::Failed(error.into())
}

impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (look_up, ask) = (self.given.look_up.is_some(), self.given.ask.is_some());
        f.debug_struct("Logins").field("look_up", &look_up).field("ask", &ask).finish_non_exhaustive()
    }
}
