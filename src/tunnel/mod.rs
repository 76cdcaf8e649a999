//! Opening a tunnel: the ladder of stages, from a name to a connection that the target is behind.
//!
//! [`open`] is the one way to open one; `connect`, `forward`, `serve` and `check` use it, `check`
//! by watching it; where there are several ways, [`open_first`] takes them in turn. Knows when to dial again for authentication and how long each stage may take.
//! Refuses to know who asked, and to make sentences or exit codes.

mod authentication;
mod error;
mod failover;
#[cfg(feature = "http2")]
mod http2;
#[cfg(feature = "negotiate")]
mod kerberos;
mod logins;
mod permits;
#[cfg(feature = "http2")]
mod pool;
mod socks;
mod spare;
mod stage;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use rustix::io::Errno;
use tokio::net::TcpStream;
use tokio::time::Instant;

pub use error::{Cause, Error, LookUpError, Peer};
pub use failover::{SetAside, open_first};
pub use logins::{Ask, Each, Logins, LookUp, Question};
pub use permits::Permits;
#[cfg(feature = "http2")]
pub use pool::Pool;
pub use spare::{Keep, Spares};
pub use stage::{Facts, Observer, Stage};

use crate::auth::{self, GiveUp};
use crate::authority::Authority;
use crate::net::dial;
use crate::net::http1::{self, DriveError};
use crate::net::names::Names;
use crate::net::secured::NotSecured;
use crate::net::stream::Stream;
use crate::net::tls::Watch;
use crate::net::trust;
use crate::proto::{Handshake, HandshakeError, Refusal, RequestFields, Step};
use crate::route::{Protocol, ProxyUri, Route};
use authentication::{Authentication, Stopped};

/// How tunnels are opened. Cheap to clone: one for all connections of a run.
#[derive(Clone, Debug)]
pub struct Config {
    /// How sockets are made.
    pub dial: dial::Config,
    /// The addresses of proxies, as they were last looked up.
    pub names: Names,
    /// What the requests carry beside the target.
    pub fields: RequestFields,
    /// Which HTTP is spoken to proxies; which HTTP/1 is a matter of `fields`.
    pub http: Http,
    /// The connections that tunnels share.
    #[cfg(feature = "http2")]
    pub pool: Pool,
    /// How TLS is spoken to proxies.
    pub tls: trust::Tls,
    /// Which schemes may be used.
    pub auth: auth::Policy,
    /// Who has the name and password.
    pub logins: Logins,
    /// The proxy's Kerberos service, `HTTP@HOST` or a principal; `None` is HTTP at its host.
    pub service: Option<String>,
    /// For the name, the TCP connection and TLS with the proxy together.
    pub connect_timeout: Duration,
    /// For the CONNECT exchange, authentication included; a person's typing is not counted.
    pub proxy_timeout: Duration,
    /// The proxies that did not answer, where there are others.
    pub set_aside: SetAside,
    /// Which addresses of a target may be dialled where the route is direct.
    pub permits: Permits,
}

/// Which HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Http {
    /// What the proxy chooses by ALPN; in the clear HTTP/1.
    #[default]
    Auto,
    /// HTTP/1.
    One,
    /// HTTP/2, in the clear with prior knowledge (RFC 9113 §3.3).
    #[cfg(feature = "http2")]
    Two,
}

impl Config {
    /// Lets the connections that tunnels have shared say their last words, as long as they move; to
    /// be called before their runtime is gone. Whether all has been said.
    pub async fn drain(&self) -> bool {
        #[cfg(feature = "http2")]
        return self.pool.drain().await;
        #[cfg(not(feature = "http2"))]
        true
    }
}

/// What ALPN offers where HTTP/2 is of no use.
const HTTP_1: &[&[u8]] = &[b"http/1.1"];

/// How long a refusal's content may take.
const CONTENT_PATIENCE: Duration = Duration::from_secs(1);

/// What curl and ssh users expect: both families, keepalive, 10 s to connect and 30 s to be
/// answered; no login.
impl Default for Config {
    fn default() -> Self {
        Self {
            dial: dial::Config { keepalive: Some(Duration::from_secs(60)), ..dial::Config::default() },
            names: Names::default(),
            fields: RequestFields::default(),
            http: Http::default(),
            #[cfg(feature = "http2")]
            pool: Pool::default(),
            tls: trust::Tls::default(),
            auth: auth::Policy::default(),
            logins: Logins::default(),
            service: None,
            connect_timeout: Duration::from_secs(10),
            proxy_timeout: Duration::from_secs(30),
            set_aside: SetAside::default(),
            permits: Permits::default(),
        }
    }
}

/// An open tunnel. The target's first bytes may have come with the proxy's answer: there is no way
/// to the stream that passes them by.
#[derive(Debug)]
pub struct Tunnel {
    early: Bytes,
    stream: Stream,
}

impl Tunnel {
    /// The bytes of the target that have been read already, and the connection that the others
    /// come from.
    pub fn into_early_and_stream(self) -> (Bytes, Stream) {
        (self.early, self.stream)
    }

    /// Moves it to the runtime that this is called on. A channel stays where it was opened, and can
    /// be used from everywhere.
    fn settle(self) -> io::Result<Self> {
        let stream = match self.stream {
            Stream::Channel(channel) => Stream::Channel(channel),
            socket @ (Stream::Tcp(_) | Stream::Unix(_)) => socket.leave()?.settle()?,
        };
        Ok(Self { early: self.early, stream })
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
    match route {
        Route::Direct => {
            let stream = dial(&Peer::Target(target.clone()), config, observer).await?;
            Ok(Tunnel { early: Bytes::new(), stream: Stream::Tcp(stream) })
        }
        Route::Via(proxies) => through(target, proxies, config, observer).await,
    }
}

/// Opens a tunnel that the last of these proxies leads to `target`; the ones before it lead to it.
async fn through(
    target: &Authority,
    proxies: &[ProxyUri],
    config: &Config,
    observer: &mut (dyn Observer + Send),
) -> Result<Tunnel, Error> {
    let Some((proxy, nearer)) = proxies.split_last() else {
        let peer = Peer::Target(target.clone());
        return Err(Error::new(Stage::Resolve, peer, Cause::Closed));
    };
    let peer = Peer::Proxy(proxy.authority.clone());
    let mut ladder = Ladder { target, proxy, nearer, peer, config, observer, stream: None };
    match proxy.protocol {
        Protocol::Http | Protocol::Https => ladder.connect().await,
        Protocol::Socks4 | Protocol::Socks5 => {
            ladder.reach().await?;
            ladder.socks().await
        }
    }
}

/// A connection to a proxy, TLS included: dialled, or a tunnel through the proxies before it. Of
/// what TLS offers by ALPN, the proxy has chosen what is told beside it.
async fn reach(
    proxy: &ProxyUri,
    nearer: &[ProxyUri],
    config: &Config,
    observer: &mut (dyn Observer + Send),
    offer: &[&[u8]],
) -> Result<(Stream, Option<Vec<u8>>), Error> {
    let peer = Peer::Proxy(proxy.authority.clone());
    let began = Instant::now();
    if proxy.protocol == Protocol::Https {
        config.tls.prepare();
    }
    let stream = if nearer.is_empty() {
        Stream::Tcp(dial(&peer, config, observer).await?)
    } else {
        let tunnel = nested(&proxy.authority, nearer, config, observer).await;
        // The nearest to the failure knows best.
        let tunnel = tunnel.map_err(|error| {
            let toward = error.toward.or_else(|| Some(proxy.authority.clone().into()));
            Error { toward, ..error }
        })?;
        let (early, stream) = tunnel.into_early_and_stream();
        stream.preceded_by(early)
    };
    if proxy.protocol != Protocol::Https {
        return Ok((stream, None));
    }
    // Behind another proxy the time begins when that has been passed.
    let deadline = if nearer.is_empty() { began } else { Instant::now() } + config.connect_timeout;
    observer.entered(Stage::ProxyTls, &proxy.authority);
    let failed = |cause| Error::new(Stage::ProxyTls, peer.clone(), cause);
    let name = trust::server_name(proxy.authority.host())
        .map_err(|error| failed(Cause::Tls { error: io::Error::other(error), first: Vec::new() }))?;
    let watch = observer.wants_handshakes().then(Watch::default);
    if let Some(watch) = &watch {
        observer.learnt(Facts::Securing { watch });
    }
    let secured = tokio::time::timeout_at(deadline, config.tls.secure(stream, name, offer, watch.as_ref()))
        .await
        .map_err(|_| failed(Cause::Timeout(config.connect_timeout)))?
        .map_err(|NotSecured { error, first, .. }| failed(Cause::Tls { error, first }))?;
    tracing::debug!("TLS with {} stands", proxy.authority);
    let chosen = secured.protocol();
    Ok((Stream::Channel(Box::new(secured)), chosen))
}

/// [`through`], for itself: a future can't be a part of itself but in a box.
fn nested<'a>(
    target: &'a Authority,
    proxies: &'a [ProxyUri],
    config: &'a Config,
    observer: &'a mut (dyn Observer + Send),
) -> Pin<Box<dyn Future<Output = Result<Tunnel, Error>> + Send + 'a>> {
    Box::pin(through(target, proxies, config, observer))
}

/// The stages `resolve` and `tcp`, under one deadline.
async fn dial(
    peer: &Peer,
    config: &Config,
    observer: &mut (dyn Observer + Send),
) -> Result<TcpStream, Error> {
    let deadline = Instant::now() + config.connect_timeout;
    let late = |stage| move |_| Error::new(stage, peer.clone(), Cause::Timeout(config.connect_timeout));
    observer.entered(Stage::Resolve, peer.place());
    let resolve = async {
        match peer {
            Peer::Proxy(place) => config.names.resolve(place, config.dial.family).await,
            Peer::Target(place) => dial::resolve(place, config.dial.family).await,
        }
    };
    let mut addresses =
        tokio::time::timeout_at(deadline, resolve).await.map_err(late(Stage::Resolve))?.map_err(|error| {
            let ours = error.kind() == io::ErrorKind::WouldBlock;
            let cause = if ours { Cause::System(error) } else { Cause::Resolve(error) };
            Error::new(Stage::Resolve, peer.clone(), cause)
        })?;
    if let Peer::Target(_) = peer {
        addresses.retain(|address| config.permits.allow(address));
        if addresses.is_empty() {
            return Err(Error::new(Stage::Resolve, peer.clone(), Cause::Denied));
        }
    }
    observer.learnt(Facts::Resolved { addresses: &addresses });

    observer.entered(Stage::Tcp, peer.place());
    let dial::Connected { stream, losers } =
        tokio::time::timeout_at(deadline, dial::connect(&addresses, config.dial))
            .await
            .map_err(late(Stage::Tcp))?
            .map_err(|failed| {
                config.names.forget(peer.place(), config.dial.family);
                Error::new(Stage::Tcp, peer.clone(), unconnected(failed.0))
            })?;
    if let Ok(address) = stream.peer_addr() {
        observer.learnt(Facts::Connected { address, stream: &stream, losers: &losers });
    }
    Ok(stream)
}

/// Whose fault it is that no address could be connected to.
fn unconnected(mut failed: Vec<(SocketAddr, io::Error)>) -> Cause {
    let ours = |(_, error): &(_, io::Error)| {
        let errno = Errno::from_io_error(error);
        errno.is_some_and(|errno| matches!(errno, Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
    };
    match failed.iter().position(ours) {
        Some(place) => Cause::System(failed.swap_remove(place).1),
        None => Cause::Unreachable(failed),
    }
}

/// The stage `connect`: one exchange, on as many connections as the proxy makes it.
struct Ladder<'a> {
    target: &'a Authority,
    proxy: &'a ProxyUri,
    /// The proxies that lead to it.
    nearer: &'a [ProxyUri],
    peer: Peer,
    config: &'a Config,
    observer: &'a mut (dyn Observer + Send),
    /// The connection in use; none while a new one is dialled.
    stream: Option<Stream>,
}

impl Ladder<'_> {
    async fn connect(&mut self) -> Result<Tunnel, Error> {
        #[cfg(feature = "http2")]
        let place = self.place().await?;
        #[cfg(not(feature = "http2"))]
        self.reach().await?;
        self.observer.entered(Stage::Connect, &self.proxy.authority);
        tracing::debug!("CONNECT {} through {}", self.target, self.proxy.authority);
        let (config, proxy) = (self.config, self.proxy);
        let authentication = Authentication::new(config, proxy, self.target).await;
        let mut authentication = authentication.map_err(|error| self.failed(Cause::LookUp(error)))?;
        let unasked = match authentication.unasked().await {
            Ok(unasked) => unasked,
            Err(stopped) => return Err(self.stopped(stopped, authentication, None)),
        };
        if let Some(credentials) = &unasked {
            self.observer.learnt(Facts::Authorized { scheme: credentials.scheme() });
        }
        #[cfg(feature = "http2")]
        let (mut authentication, unasked) = match place {
            None => (authentication, unasked),
            Some(place) => match self.ask(place, authentication, unasked).await? {
                http2::Asked::Open(tunnel) => return Ok(tunnel),
                http2::Asked::Http1(authentication, credentials) => (*authentication, credentials),
            },
        };
        self.observer.learnt(Facts::Speaks { version: config.fields.version() });
        let mut handshake = Handshake::new(self.target.clone(), config.fields.clone(), unasked);
        loop {
            let stopped = match self.advance(&mut handshake, authentication.deadline).await? {
                Step::Open { response, early } => {
                    self.observer
                        .learnt(Facts::Answered { response: &response, sent: handshake.exchange().sent() });
                    if let Err(stopped) = authentication.opened(&response).await {
                        return Err(self.stopped(stopped, authentication, None));
                    }
                    let Some(stream) = self.stream.take() else { continue };
                    tracing::debug!("the tunnel is open");
                    return Ok(Tunnel { early, stream });
                }
                Step::Refused(refusal) => {
                    self.observer.learnt(Facts::Refused { refusal: &refusal });
                    self.read_content(&mut handshake).await;
                    if authentication.is_refused_by(refusal.status) {
                        let refused = Stopped::GaveUp(GiveUp::Refused);
                        return Err(self.stopped(refused, authentication, Some(refusal)));
                    }
                    return Err(self.failed(Cause::Refused(refusal.into())));
                }
                Step::Authenticate { challenges, connection } => {
                    if let Some(refusal) = handshake.challenge() {
                        self.observer.learnt(Facts::Refused { refusal });
                    }
                    match authentication.answer(&challenges, connection).await {
                        Ok(Some(credentials)) => {
                            self.observer.learnt(Facts::Authorized { scheme: credentials.scheme() });
                            handshake.authorize(credentials);
                            continue;
                        }
                        Ok(None) => Stopped::GaveUp(GiveUp::NoLogin),
                        Err(stopped) => stopped,
                    }
                }
                Step::Reconnect => match authentication.interrupted() {
                    Some(scheme) => Stopped::GaveUp(GiveUp::Interrupted(scheme)),
                    None => continue,
                },
                Step::Transmit(_) | Step::Receive => continue,
            };
            let refusal = handshake.decline();
            self.read_content(&mut handshake).await;
            return Err(self.stopped(stopped, authentication, refusal));
        }
    }

    /// Connects to the proxy, to speak anything but HTTP/2.
    async fn reach(&mut self) -> Result<(), Error> {
        let (stream, _) = reach(self.proxy, self.nearer, self.config, self.observer, HTTP_1).await?;
        self.stream = Some(stream);
        Ok(())
    }

    /// Drives the handshake, over a new connection where it wants one.
    async fn advance(&mut self, handshake: &mut Handshake, deadline: Instant) -> Result<Step, Error> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.redial(deadline).await?,
        };
        let driven = tokio::time::timeout_at(deadline, http1::drive(handshake, &mut stream)).await;
        // Who says something else and waits is no HTTP proxy; who says nothing may be a slow one.
        let late = || self.failed(Cause::Timeout(self.config.proxy_timeout));
        let driven = driven.map_err(|_| handshake.overdue().map_or_else(late, |error| self.nonsense(error)));
        let step = driven?.map_err(|error| match error {
            DriveError::Handshake(HandshakeError::Closed) => self.failed(Cause::Closed),
            DriveError::Handshake(error) => self.nonsense(error),
            DriveError::Broken(error) => self.broken(error),
        })?;
        if step != Step::Reconnect {
            self.stream = Some(stream);
        }
        Ok(step)
    }

    /// Another connection to the proxy, in the time that the whole exchange has.
    async fn redial(&mut self, deadline: Instant) -> Result<Stream, Error> {
        tracing::debug!("the proxy closed the connection, making another");
        self.observer.learnt(Facts::Reconnected);
        let mut nobody = ();
        let reached = reach(self.proxy, self.nearer, self.config, &mut nobody, HTTP_1);
        let reached = tokio::time::timeout_at(deadline, reached).await;
        let reached = reached.map_err(|_| self.failed(Cause::Timeout(self.config.proxy_timeout)))?;
        reached.map(|(stream, _)| stream)
    }

    /// The error that a failed authentication is, behind this 407.
    fn stopped(
        &self,
        stopped: Stopped,
        authentication: Authentication<'_>,
        refusal: Option<Refusal>,
    ) -> Error {
        self.failed(match (stopped, refusal) {
            (Stopped::GaveUp(why), Some(refusal)) => Cause::Unauthenticated {
                why,
                attempts: authentication.into_attempts(),
                refusal: refusal.into(),
            },
            // Nobody gives up who was not asked.
            (Stopped::GaveUp(_), None) => Cause::Closed,
            #[cfg(feature = "negotiate")]
            (Stopped::Late, _) => Cause::Timeout(self.config.proxy_timeout),
            (Stopped::System(error), _) => Cause::System(error),
            (Stopped::LookUp(error), _) => Cause::LookUp(error),
            #[cfg(feature = "negotiate")]
            (Stopped::Impostor, _) => Cause::Impostor,
        })
    }

    /// Tells the observer what the proxy wrote behind its refusal, if that is wanted.
    async fn read_content(&mut self, handshake: &mut Handshake) {
        if !self.observer.wants_content() {
            return;
        }
        let (Some(excerpt), Some(stream)) = (handshake.excerpt(), &mut self.stream) else { return };
        let content = http1::read_excerpt(excerpt, stream, CONTENT_PATIENCE).await;
        self.observer.learnt(Facts::Content { content: &handshake.exchange().sent().mask_bytes(&content) });
    }

    /// In TLS 1.3 a proxy judges our certificate when our side of the handshake is over: its alert
    /// comes in place of an answer.
    fn broken(&self, error: io::Error) -> Error {
        let is_tls = trust::is_tls(&error);
        if is_tls && self.proxy.protocol == Protocol::Https {
            let cause = Cause::Tls { error, first: Vec::new() };
            return Error { stage: Stage::ProxyTls, ..self.failed(cause) };
        }
        self.failed(Cause::Broken(error))
    }

    fn nonsense(&self, error: HandshakeError) -> Error {
        self.failed(Cause::Nonsense(error))
    }

    fn failed(&self, cause: Cause) -> Error {
        Error::new(Stage::Connect, self.peer.clone(), cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_may_open_no_more_files_does_not_blame_the_network() {
        let address: SocketAddr = "127.0.0.1:1".parse().expect("an address");
        let failed = |errno: Errno| (address, io::Error::from(errno));
        for ours in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            let cause = unconnected(vec![failed(Errno::NETUNREACH), failed(ours)]);
            assert!(matches!(cause, Cause::System(_)), "{ours}: {cause:?}");
        }
        let cause = unconnected(vec![failed(Errno::NETUNREACH), failed(Errno::CONNREFUSED)]);
        assert!(matches!(&cause, Cause::Unreachable(failed) if failed.len() == 2), "{cause:?}");
    }
}
