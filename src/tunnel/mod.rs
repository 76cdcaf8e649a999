//! Opening a tunnel: the ladder of stages, from a name to a connection that the target is behind.
//!
//! [`open`] is the one way to open one; `connect`, `forward`, `serve` and `check` use it, `check`
//! by watching it. Knows when to dial again for authentication and how long each stage may take.
//! Refuses to know who asked, and to make sentences or exit codes.

mod error;
mod spare;
mod stage;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::time::Instant;

pub use error::{Cause, Error, LookUpError, Peer};
pub use spare::{Keep, Spares};
pub use stage::{Facts, Observer, Stage};

use crate::auth::{self, Answer, Authenticator, Challenges};
use crate::authority::Authority;
use crate::net::dial;
use crate::net::http1::{self, DriveError};
use crate::net::names::Names;
use crate::proto::{Handshake, HandshakeError, RequestFields, Step};
use crate::route::{ProxyUri, Route};
use crate::secret::Login;

/// How tunnels are opened. Cheap to clone: one for all connections of a run.
#[derive(Clone, Debug)]
pub struct Config {
    /// How sockets are made.
    pub dial: dial::Config,
    /// The addresses of proxies, as they were last looked up.
    pub names: Names,
    /// What the requests carry beside the target.
    pub fields: RequestFields,
    /// Which schemes may be used.
    pub auth: auth::Policy,
    /// Who has the name and password.
    pub logins: Logins,
    /// For the name and the TCP connection together.
    pub connect_timeout: Duration,
    /// For the CONNECT exchange, authentication included; a person's typing is not counted.
    pub proxy_timeout: Duration,
}

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

/// Where names and passwords come from. Clones share what they learn.
#[derive(Clone, Default)]
pub struct Logins {
    look_up: Option<LookUp>,
    ask: Option<Ask>,
    learnt: Arc<Mutex<Learnt>>,
    /// Whose turn it is to look up.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// What the connections of one run tell each other.
#[derive(Debug, Default)]
struct Learnt {
    /// The login that is known, or has been looked up.
    login: Option<Login>,
    /// When a proxy last refused it.
    refused: Option<Instant>,
}

/// How long a login that was refused is not sent again, by any connection of this run: accounts
/// get locked after a few wrong passwords, and a browser makes a few connections at once.
const REFUSAL_MEMORY: Duration = Duration::from_secs(60);

impl Logins {
    /// This one, and no other.
    pub fn known(login: Login) -> Self {
        let learnt = Learnt { login: Some(login), refused: None };
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

    /// An authenticator for one tunnel.
    async fn authenticator(&self, policy: auth::Policy) -> Result<Authenticator, LookUpError> {
        {
            let mut learnt = self.learnt();
            if learnt.login.is_some() && learnt.refused.is_some_and(|at| at.elapsed() < REFUSAL_MEMORY) {
                return Ok(Authenticator::refused(policy));
            }
            if self.look_up.is_some() && learnt.refused.take().is_some() {
                // What is kept may be another password by now.
                learnt.login = None;
            }
        }
        let login = match policy {
            auth::Policy::Basic => self.look_up().await?,
            auth::Policy::Auto | auth::Policy::None => self.learnt().login.clone(),
        };
        Ok(Authenticator::new(policy, login))
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

    fn learnt(&self) -> MutexGuard<'_, Learnt> {
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember_refusal(&self) {
        let mut learnt = self.learnt();
        // The time runs from the refusal, not from each connection that was spared another.
        if learnt.refused.is_none_or(|at| at.elapsed() >= REFUSAL_MEMORY) {
            learnt.refused = Some(Instant::now());
        }
    }
}

impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (look_up, ask) = (self.look_up.is_some(), self.ask.is_some());
        f.debug_struct("Logins")
            .field("look_up", &look_up)
            .field("ask", &ask)
            .field("learnt", &self.learnt)
            .finish()
    }
}

/// What curl and ssh users expect: both families, keepalive, 10 s to connect and 30 s to be
/// answered; no login.
impl Default for Config {
    fn default() -> Self {
        Self {
            dial: dial::Config { keepalive: Some(Duration::from_secs(60)), ..dial::Config::default() },
            names: Names::default(),
            fields: RequestFields::default(),
            auth: auth::Policy::default(),
            logins: Logins::default(),
            connect_timeout: Duration::from_secs(10),
            proxy_timeout: Duration::from_secs(30),
        }
    }
}

/// An open tunnel. The target's first bytes may have come with the proxy's answer: there is no way
/// to the stream that passes them by.
#[derive(Debug)]
pub struct Tunnel {
    early: Bytes,
    stream: TcpStream,
}

impl Tunnel {
    /// The bytes of the target that have been read already, and the connection that the others
    /// come from.
    pub fn into_early_and_stream(self) -> (Bytes, TcpStream) {
        (self.early, self.stream)
    }

    /// Moves it to the runtime that this is called on.
    fn settle(self) -> io::Result<Self> {
        Ok(Self { early: self.early, stream: TcpStream::from_std(self.stream.into_std()?)? })
    }
}

/// Opens a tunnel to `target`, telling `observer` of each stage.
///
/// # Errors
/// [`Error`]: which stage failed, with whom, and why.
pub async fn open(
    target: &Authority,
    route: &Route,
    config: &Config,
    observer: &mut (dyn Observer + Send),
) -> Result<Tunnel, Error> {
    let peer = match route {
        Route::Direct => Peer::Target(target.clone()),
        Route::Via(proxy) => Peer::Proxy(proxy.authority.clone()),
    };
    let stream = dial(&peer, config, observer).await?;
    match route {
        Route::Direct => Ok(Tunnel { early: Bytes::new(), stream }),
        Route::Via(proxy) => {
            let mut ladder = Ladder { target, proxy, peer, config, observer, stream: Some(stream) };
            ladder.connect().await
        }
    }
}

/// The stages `resolve` and `tcp`, under one deadline.
async fn dial(
    peer: &Peer,
    config: &Config,
    observer: &mut (dyn Observer + Send),
) -> Result<TcpStream, Error> {
    let deadline = Instant::now() + config.connect_timeout;
    let late =
        |stage| move |_| Error { stage, peer: peer.clone(), cause: Cause::Timeout(config.connect_timeout) };
    observer.entered(Stage::Resolve);
    let resolve = async {
        match peer {
            Peer::Proxy(place) => config.names.resolve(place, config.dial.family).await,
            Peer::Target(place) => dial::resolve(place, config.dial.family).await,
        }
    };
    let addresses = tokio::time::timeout_at(deadline, resolve)
        .await
        .map_err(late(Stage::Resolve))?
        .map_err(|error| Error { stage: Stage::Resolve, peer: peer.clone(), cause: Cause::Resolve(error) })?;
    observer.learnt(Facts::Resolved { addresses: &addresses });

    observer.entered(Stage::Tcp);
    let stream = tokio::time::timeout_at(deadline, dial::connect(&addresses, config.dial))
        .await
        .map_err(late(Stage::Tcp))?
        .map_err(|failed| {
            config.names.forget(peer.place(), config.dial.family);
            Error { stage: Stage::Tcp, peer: peer.clone(), cause: Cause::Unreachable(failed.0) }
        })?;
    if let Ok(address) = stream.peer_addr() {
        observer.learnt(Facts::Connected { address });
    }
    Ok(stream)
}

/// The stage `connect`: one exchange, on as many connections as the proxy makes it.
struct Ladder<'a> {
    target: &'a Authority,
    proxy: &'a ProxyUri,
    peer: Peer,
    config: &'a Config,
    observer: &'a mut (dyn Observer + Send),
    /// The connection in use; none while a new one is dialled.
    stream: Option<TcpStream>,
}

impl Ladder<'_> {
    async fn connect(&mut self) -> Result<Tunnel, Error> {
        self.observer.entered(Stage::Connect);
        tracing::debug!("CONNECT {} through {}", self.target, self.proxy.authority);
        let authenticator = self.config.logins.authenticator(self.config.auth).await;
        let mut authenticator = authenticator.map_err(|error| self.failed(Cause::LookUp(error)))?;
        let unasked = authenticator.unasked();
        let mut handshake = Handshake::new(self.target.clone(), self.config.fields.clone(), unasked);
        let mut deadline = Instant::now() + self.config.proxy_timeout;
        loop {
            let step = tokio::time::timeout_at(deadline, self.advance(&mut handshake))
                .await
                .map_err(|_| self.failed(Cause::Timeout(self.config.proxy_timeout)))??;
            match step {
                Step::Open { response, early } => {
                    self.observer.learnt(Facts::Answered { response: &response });
                    let Some(stream) = self.stream.take() else { continue };
                    tracing::debug!("the tunnel is open");
                    return Ok(Tunnel { early, stream });
                }
                Step::Refused(refusal) => return Err(self.failed(Cause::Refused(refusal.into()))),
                Step::Authenticate { challenges, .. } => {
                    let asked = Instant::now();
                    let answer = self.answer(&mut authenticator, &challenges).await;
                    deadline += asked.elapsed();
                    match answer.map_err(|error| self.failed(Cause::LookUp(error)))? {
                        Ok(credentials) => handshake.authorize(credentials),
                        Err(why) => {
                            if why == auth::GiveUp::Refused {
                                self.config.logins.remember_refusal();
                            }
                            let Some(refusal) = handshake.decline() else { continue };
                            return Err(self.failed(Cause::Unauthenticated { why, refusal: refusal.into() }));
                        }
                    }
                }
                Step::Transmit(_) | Step::Receive | Step::Reconnect => {}
            }
        }
    }

    /// Drives the handshake, over a new connection where it wants one.
    async fn advance(&mut self, handshake: &mut Handshake) -> Result<Step, Error> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                tracing::debug!("the proxy closed the connection, making another");
                dial(&self.peer, self.config, &mut ()).await?
            }
        };
        let step = http1::drive(handshake, &mut stream).await.map_err(|error| {
            self.failed(match error {
                DriveError::Handshake(HandshakeError::Closed) => Cause::Closed,
                DriveError::Handshake(error) => Cause::Nonsense(error),
                DriveError::Broken(error) => Cause::Broken(error),
            })
        })?;
        if step != Step::Reconnect {
            self.stream = Some(stream);
        }
        Ok(step)
    }

    /// Asks the authenticator, and whoever has a login when it wants one.
    async fn answer(
        &mut self,
        authenticator: &mut Authenticator,
        challenges: &Challenges,
    ) -> Result<Result<auth::Credentials, auth::GiveUp>, LookUpError> {
        let mut answer = authenticator.answer(challenges);
        loop {
            match answer {
                Answer::Credentials(credentials) => return Ok(Ok(credentials)),
                Answer::GiveUp(why) => return Ok(Err(why)),
                Answer::WantLogin { realm, refused } => {
                    let question = Question { proxy: self.proxy.authority.clone(), realm, refused };
                    answer = authenticator.supply(self.login(question).await?);
                }
            }
        }
    }

    /// A login that was not refused: what is kept comes first, and what is typed does not replace it.
    async fn login(&mut self, question: Question) -> Result<Option<Login>, LookUpError> {
        let logins = &self.config.logins;
        let kept = match question.refused {
            0 => logins.look_up().await?,
            _ => logins.learnt().login.clone(),
        };
        if kept.is_some() {
            return Ok(kept.filter(|_| question.refused == 0));
        }
        let Some(ask) = logins.ask.clone() else { return Ok(None) };
        // A prompt blocks; a task that panics has no answer.
        Ok(tokio::task::spawn_blocking(move || ask(&question)).await.ok().flatten())
    }

    fn failed(&self, cause: Cause) -> Error {
        Error { stage: Stage::Connect, peer: self.peer.clone(), cause }
    }
}
