//! `check`: walks to the target stage by stage and reports what it saw.
//!
//! It is `tunnel::open`, watched, then a look inside the tunnel: there is no second way to connect.

mod certificate;
mod inside;
mod judgement;
mod ladder;
mod many;
mod trust;
mod words;

use std::time::Duration;

use rustls::pki_types::ServerName;

pub use certificate::CertificateFacts;
pub use judgement::TlsReport;
pub use ladder::{Exchange, StageReport, StageStatus};
pub use many::{Spread, Statistics, each, microseconds};
pub use trust::{Problem, Store, Verdict, Why};

use super::{RouteError, Routes};
use crate::authority::{Authority, Host};
use crate::net::names::Names;
use crate::net::probe::{Answer, Probe, ProbeError};
use crate::net::starttls::StarttlsError;
use crate::net::trust::{Trust, server_name as certain_name};
use crate::route::{self, ProxyUri, Route};
use crate::starttls::Protocol;
use crate::tunnel::{self, SetAside, Stage};
use judgement::Judgement;

/// What to check, and how.
#[derive(Clone, Debug)]
pub struct Check {
    /// Which proxy to use.
    pub routes: Routes,
    /// How tunnels are opened.
    pub config: tunnel::Config,
    /// How often the proxy's name is looked up, and one that is dead is tried.
    pub lookups: Lookups,
    /// How long the certificates of proxies and of the target must be valid yet.
    pub warn_expiry: Option<Duration>,
    /// What to do in the open tunnel.
    pub inside: Inside,
}

/// How often the proxy's name is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookups {
    /// For each check: `resolve` is the resolver's time.
    Each,
    /// For all together: there are many, and none is about the resolver.
    Shared,
}

/// What is done in a tunnel once it stands.
#[derive(Clone, Debug, Default)]
pub struct Inside {
    /// TLS with the target.
    pub tls: Option<TlsProbe>,
    /// A request to the target.
    pub http: Option<Probe>,
    /// Where nothing is said to the target: whether to listen for what it says by itself.
    pub listen: bool,
}

/// How TLS with the target is spoken and judged.
#[derive(Clone, Debug)]
pub struct TlsProbe {
    /// The protocol that is spoken first, in plain text.
    pub starttls: Option<Protocol>,
    /// The name sent and compared with the certificate; `None` is the target's host.
    pub sni: Option<ServerName<'static>>,
    /// Offered by ALPN.
    pub alpn: Vec<String>,
    /// Whose certificates are trusted; Mozilla's roots count as this system's store does.
    pub trust: Trust,
}

/// What was found in the tunnel. Text is the target's and not escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What the target said by itself: the beginning.
    pub banner: Option<Vec<u8>>,
    /// What it said before TLS: the protocol, and its first line.
    pub upgraded: Option<(Protocol, Option<String>)>,
    /// TLS, as far as it got.
    pub tls: Option<TlsReport>,
    /// Its answer to a request.
    pub http: Option<Answer>,
}

/// The whole ladder for one target.
#[derive(Debug)]
pub struct Report {
    /// The target.
    pub target: Authority,
    /// The proxy, if the route has one.
    pub proxy: Option<Authority>,
    /// What a script answered for the target, if one was asked; not escaped.
    pub script: Option<String>,
    /// The ways before this one, on which nobody answered.
    pub passed_over: Vec<tunnel::Error>,
    /// Every stage that applies, in order.
    pub stages: Vec<StageReport>,
    /// What was found in the tunnel.
    pub found: Findings,
    /// Why it failed, if it did.
    pub failure: Option<CheckError>,
}

/// Why a check failed.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// No way to the target is known.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// There is no tunnel.
    #[error(transparent)]
    Tunnel(#[from] tunnel::Error),
    /// The proxy said that there is a tunnel, and then sent a page of its own.
    #[error("a page instead of the target")]
    Page(Vec<u8>),
    /// The tunnel broke: behind the TLS handshake, or while the target was listened to.
    #[error("the tunnel broke")]
    Cut {
        /// The last stage that had been climbed.
        stage: Stage,
        /// How it broke.
        #[source]
        error: std::io::Error,
    },
    /// The tunnel was closed before the target had said anything by itself.
    #[error("the tunnel was closed at once")]
    Closed,
    /// The target does not go over to TLS.
    #[error(transparent)]
    Starttls(#[from] StarttlsError),
    /// The TLS handshake with the target failed.
    #[error("the TLS handshake failed")]
    Handshake {
        /// Why.
        #[source]
        error: std::io::Error,
        /// The first bytes that came out of the tunnel.
        first: Vec<u8>,
    },
    /// It did not end in time.
    #[error("{stage:?} took longer than {limit:?}")]
    Slow {
        /// What did not.
        stage: Stage,
        /// How long that may take.
        limit: Duration,
    },
    /// The certificate is not trusted, or ends too soon.
    #[error("the certificate of {with} is not trusted")]
    Untrusted {
        /// TLS with the target or with a proxy.
        stage: Stage,
        /// Whose it is.
        with: Authority,
        /// What is wrong.
        problems: Vec<Problem>,
    },
    /// There is no answer to the request.
    #[error(transparent)]
    Http(#[from] ProbeError),
}

impl Report {
    /// Every stage's time, where it has one.
    pub fn times(&self) -> impl Iterator<Item = (Stage, Duration)> {
        self.stages.iter().filter_map(|stage| Some((stage.stage, stage.took?)))
    }

    /// Who reads this traffic, by the look of it: the issuer of a certificate that this system's
    /// store alone trusts, behind a proxy. An enterprise's root is what proxies look inside with.
    pub fn interceptor(&self) -> Option<&str> {
        let tls = self.found.tls.as_ref()?;
        let says = |wanted| tls.verdicts.iter().find(|(store, _)| *store == wanted).map(|(_, says)| says);
        let system_alone =
            says(Store::System) == Some(&Verdict::Trusted) && says(Store::Mozilla) != Some(&Verdict::Trusted);
        let leaf = tls.chain.first()?;
        (self.proxy.is_some() && system_alone).then_some(leaf.issuer.as_str())
    }
}

impl CheckError {
    /// In which stage; none, where no way is known.
    pub fn stage(&self) -> Option<Stage> {
        Some(match self {
            Self::Route(_) => return None,
            Self::Tunnel(error) => error.stage,
            Self::Page(_) | Self::Closed => Stage::Connect,
            Self::Starttls(_) | Self::Handshake { .. } => Stage::Tls,
            Self::Cut { stage, .. } | Self::Slow { stage, .. } | Self::Untrusted { stage, .. } => *stage,
            Self::Http(_) => Stage::Http,
        })
    }
}

/// Walks to one target.
pub async fn run(job: &Check, target: &Authority) -> Report {
    let mut ladder = ladder::Ladder::new();
    let mut found = Findings::default();
    if job.inside.tls.as_ref().is_some_and(|probe| !matches!(probe.trust, Trust::Anchors(_))) {
        job.config.tls.store().read_ahead();
    }
    let (script, failure) = match job.routes.decide(target).await {
        Ok(way) => (way.script, walk(job, target, &way.routes, &mut ladder, &mut found).await.err()),
        Err(error) => (None, Some(error.into())),
    };
    let judgement = Judgement {
        trust: job.config.tls.trust(),
        tls: &job.config.tls,
        mozilla_counts: false,
        warn_expiry: job.warn_expiry,
    };
    let route = ladder.route.take();
    let passed_over = std::mem::take(&mut ladder.passed_over);
    let stages = ladder.finish(
        &route.as_ref().map(|route| stages(job, target, route.proxies())).unwrap_or_default(),
        failure.as_ref().and_then(CheckError::stage),
        |with, seen| judgement.of(&server_name(with.host()), seen),
    );
    let mut report = Report {
        target: target.clone(),
        proxy: route.as_ref().and_then(|route| route.proxies().last()).map(|proxy| proxy.authority.clone()),
        script,
        passed_over,
        stages,
        found,
        failure,
    };
    if report.failure.is_none() {
        report.failure = proxy_ends_soon(&mut report.stages, job.warn_expiry);
    }
    report
}

/// A proxy's certificate that ends too soon is no reason to stop, as the way is open yet: it fails
/// a check that went well otherwise.
fn proxy_ends_soon(stages: &mut [StageReport], warn: Option<Duration>) -> Option<CheckError> {
    stages.iter_mut().find_map(|stage| {
        let problems = stage.tls.as_ref()?.expiry(warn);
        (!problems.is_empty()).then(|| {
            stage.status = StageStatus::Failed;
            CheckError::Untrusted { stage: stage.stage, with: stage.with.clone(), problems }
        })
    })
}

async fn walk(
    job: &Check,
    target: &Authority,
    routes: &[Route],
    ladder: &mut ladder::Ladder,
    found: &mut Findings,
) -> Result<(), CheckError> {
    let mut config = job.config.clone();
    if job.lookups == Lookups::Each {
        config.names = Names::default();
        config.set_aside = SetAside::default();
    }
    // Each check climbs every stage.
    #[cfg(feature = "http2")]
    let config = tunnel::Config { pool: tunnel::Pool::default(), ..config };
    let tunnel = tunnel::open_first(target, routes, &config, ladder).await?;
    // The stage ends with the answer, whatever is done in the tunnel then.
    ladder.leave();
    inside::Walk { check: job, target, ladder, found }.climb(tunnel).await
}

/// The stages that a way has, in order, and with whom.
fn stages(job: &Check, target: &Authority, proxies: &[ProxyUri]) -> Vec<(Stage, Authority)> {
    let first = proxies.first().map_or(target, |proxy| &proxy.authority);
    let mut stages = vec![(Stage::Resolve, first.clone()), (Stage::Tcp, first.clone())];
    for proxy in proxies {
        if proxy.protocol == route::Protocol::Https {
            stages.push((Stage::ProxyTls, proxy.authority.clone()));
        }
        stages.push((Stage::Connect, proxy.authority.clone()));
    }
    stages.extend(job.inside.tls.is_some().then(|| (Stage::Tls, target.clone())));
    stages.extend(job.inside.http.is_some().then(|| (Stage::Http, target.clone())));
    stages
}

/// The name to send for a host, and to find in its certificate.
fn server_name(host: &Host) -> ServerName<'static> {
    // Underscores and the like: the handshake is tried all the same, with no name.
    certain_name(host).unwrap_or(ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into()))
}
