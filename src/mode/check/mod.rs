//! `check`: walks to the target stage by stage and reports what it saw.
//!
//! It is `tunnel::open`, watched, then TLS with the target: there is no second way to connect.

mod certificate;
mod trust;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, ServerName};

pub use certificate::CertificateFacts;
pub use trust::{Problem, Store, Verdict};

use crate::authority::{Authority, Host};
use crate::net::stream::Prefixed;
use crate::net::tls;
use crate::proto::{ResponseHead, Status};
use crate::route::{self, Protocol, ProxyUri, Route};
use crate::tunnel::{self, Facts, Observer, Stage};

/// What to check, and how.
#[derive(Debug)]
pub struct Check {
    /// Which proxy to use.
    pub routes: route::Policy,
    /// How tunnels are opened.
    pub config: tunnel::Config,
    /// TLS with the target; `None`: the tunnel is the last stage.
    pub tls: Option<TlsProbe>,
}

/// How TLS with the target is spoken and judged.
#[derive(Debug)]
pub struct TlsProbe {
    /// The name sent and compared with the certificate; `None` is the target's host.
    pub sni: Option<ServerName<'static>>,
    /// Offered by ALPN.
    pub alpn: Vec<String>,
    /// Whose certificates are trusted.
    pub trust: Trust,
}

/// Whose certificates are trusted.
#[derive(Debug)]
pub enum Trust {
    /// Mozilla's roots and this system's store.
    Stores,
    /// These alone.
    Anchors(Vec<CertificateDer<'static>>),
    /// Anybody's: what is wrong is told and does no harm.
    Insecure,
}

/// What became of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageStatus {
    /// It was climbed.
    Ok,
    /// It failed: the last one that was tried.
    Failed,
    /// It was not tried.
    Skipped,
}

/// One rung.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageReport {
    /// Which one.
    pub stage: Stage,
    /// Which proxy or target it is with.
    pub with: Authority,
    /// What became of it.
    pub status: StageStatus,
    /// How long it took; `None` where it was skipped.
    pub took: Option<Duration>,
    /// What the name resolved to (`resolve`).
    pub addresses: Vec<SocketAddr>,
    /// The address that answered (`tcp`).
    pub address: Option<SocketAddr>,
    /// What was seen of the proxy's TLS (`proxy-tls`).
    pub secured: Option<tls::Seen>,
    /// The proxy's final status and reason phrase (`connect`).
    pub answer: Option<(Status, String)>,
}

/// What was learnt about the target's TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsReport {
    /// The handshake's facts.
    pub seen: tls::Seen,
    /// The name that was sent.
    pub name: String,
    /// The certificates as sent, read; the peer's own first.
    pub chain: Vec<CertificateFacts>,
    /// What each store says of the chain.
    pub verdicts: Vec<(Store, Verdict)>,
    /// What is wrong with the certificate.
    pub problems: Vec<Problem>,
}

/// The whole ladder for one target.
#[derive(Debug)]
pub struct Report {
    /// The target.
    pub target: Authority,
    /// The proxy, if the route has one.
    pub proxy: Option<Authority>,
    /// Every stage that applies, in order.
    pub stages: Vec<StageReport>,
    /// TLS, as far as it got.
    pub tls: Option<TlsReport>,
    /// Why it failed, if it did.
    pub failure: Option<CheckError>,
}

/// Why a check failed.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// There is no tunnel.
    #[error(transparent)]
    Tunnel(#[from] tunnel::Error),
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
    #[error("the TLS handshake took longer than {0:?}")]
    Slow(Duration),
    /// The certificate is not trusted.
    #[error("the certificate is not trusted")]
    Untrusted(Vec<Problem>),
}

/// Walks to one target.
pub async fn run(job: &Check, target: &Authority) -> Report {
    let route = job.routes.route(target);
    let mut ladder = Ladder::default();
    let mut report = Report {
        target: target.clone(),
        proxy: match &route {
            Route::Direct => None,
            Route::Via(proxies) => proxies.last().map(|proxy| proxy.authority.clone()),
        },
        stages: Vec::new(),
        tls: None,
        failure: None,
    };
    report.failure = walk(job, target, &route, &mut ladder, &mut report.tls).await.err();
    report.stages = ladder.finish(job, target, &route, report.failure.is_some());
    report
}

async fn walk(
    job: &Check,
    target: &Authority,
    route: &Route,
    ladder: &mut Ladder,
    tls: &mut Option<TlsReport>,
) -> Result<(), CheckError> {
    let tunnel = tunnel::open(target, route, &job.config, ladder).await?;
    let Some(probe) = &job.tls else { return Ok(()) };
    let (early, stream) = tunnel.into_early_and_stream();
    let name = probe.sni.clone().unwrap_or_else(|| server_name(target.host()));

    ladder.entered(Stage::Tls, target);
    let patience = job.config.connect_timeout;
    let look = tls::look(Prefixed::new(early, stream), name.clone(), &probe.alpn);
    let (seen, error) = match tokio::time::timeout(patience, look).await {
        Ok(Ok(seen)) => (seen, None),
        Ok(Err(failed)) => {
            (failed.seen, Some(CheckError::Handshake { error: failed.error, first: failed.first }))
        }
        Err(_) => return Err(CheckError::Slow(patience)),
    };
    // Judging reads the system's store: that is not the target's time.
    ladder.leave();
    let report = judge(probe, &name, seen);
    let untrusted = !matches!(probe.trust, Trust::Insecure)
        && !report.verdicts.iter().any(|(_, verdict)| *verdict == Verdict::Trusted);
    let problems = report.problems.clone();
    *tls = Some(report);
    match error {
        Some(error) => Err(error),
        None if untrusted => Err(CheckError::Untrusted(problems)),
        None => Ok(()),
    }
}

fn judge(probe: &TlsProbe, name: &ServerName<'static>, seen: tls::Seen) -> TlsReport {
    let chain: Vec<_> = seen.chain.iter().map(|der| CertificateFacts::read(der)).collect();
    let verdicts =
        if seen.chain.is_empty() { Vec::new() } else { trust::verdicts(&probe.trust, name, &seen.chain) };
    let problems = trust::problems(name, &seen.chain, &chain, &verdicts);
    TlsReport { name: name.to_str().into_owned(), chain, verdicts, problems, seen }
}

/// The name to send for a host: an address is compared with the certificate but not sent
/// (RFC 6066 §3).
fn server_name(host: &Host) -> ServerName<'static> {
    match host {
        Host::Address(address) => ServerName::IpAddress((*address).into()),
        Host::Name(name) => {
            let name = name.strip_suffix('.').unwrap_or(name).to_owned();
            // Underscores and the like: the handshake is tried all the same, with no name.
            ServerName::try_from(name)
                .unwrap_or(ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into()))
        }
    }
}

/// The stages as they are climbed.
#[derive(Default)]
struct Ladder {
    stages: Vec<StageReport>,
    since: Option<Instant>,
}

impl Ladder {
    /// Stops the clock of the present stage.
    fn leave(&mut self) {
        if let (Some(stage), Some(since)) = (self.stages.last_mut(), self.since.take()) {
            stage.took = Some(since.elapsed());
        }
    }

    fn finish(mut self, job: &Check, target: &Authority, route: &Route, failed: bool) -> Vec<StageReport> {
        self.leave();
        if let (true, Some(last)) = (failed, self.stages.last_mut()) {
            last.status = StageStatus::Failed;
        }
        for (stage, with) in stages(job, target, route).into_iter().skip(self.stages.len()) {
            self.stages.push(StageReport { status: StageStatus::Skipped, took: None, ..rung(stage, &with) });
        }
        self.stages
    }
}

/// The stages that a way has, and with whom.
fn stages(job: &Check, target: &Authority, route: &Route) -> Vec<(Stage, Authority)> {
    let proxies: &[ProxyUri] = match route {
        Route::Direct => &[],
        Route::Via(proxies) => proxies,
    };
    let first = proxies.first().map_or(target, |proxy| &proxy.authority);
    let mut stages = vec![(Stage::Resolve, first.clone()), (Stage::Tcp, first.clone())];
    for proxy in proxies {
        if proxy.protocol == Protocol::Https {
            stages.push((Stage::ProxyTls, proxy.authority.clone()));
        }
        stages.push((Stage::Connect, proxy.authority.clone()));
    }
    stages.extend(job.tls.is_some().then(|| (Stage::Tls, target.clone())));
    stages
}

fn rung(stage: Stage, with: &Authority) -> StageReport {
    StageReport {
        stage,
        with: with.clone(),
        secured: None,
        status: StageStatus::Ok,
        took: Some(Duration::ZERO),
        addresses: Vec::new(),
        address: None,
        answer: None,
    }
}

impl Observer for Ladder {
    fn entered(&mut self, stage: Stage, with: &Authority) {
        self.leave();
        self.stages.push(rung(stage, with));
        self.since = Some(Instant::now());
    }

    fn learnt(&mut self, facts: Facts<'_>) {
        let Some(stage) = self.stages.last_mut() else { return };
        match facts {
            Facts::Resolved { addresses } => stage.addresses = addresses.to_vec(),
            Facts::Connected { address } => stage.address = Some(address),
            Facts::Secured { seen } => stage.secured = Some(seen.clone()),
            Facts::Granted => {}
            Facts::Answered { response: ResponseHead { status, reason, .. } } => {
                stage.answer = Some((*status, reason.clone()));
            }
        }
    }
}
