//! The stages as they are climbed: each rung's time, and what was learnt there.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::judgement::TlsReport;
use super::words;
use crate::auth::{Challenges, Sent};
use crate::authority::Authority;
use crate::net::tcp_info::{TcpInfo, tcp_info};
use crate::net::tls::{Seen, Watch};
use crate::proto::exchange::explanations;
use crate::proto::{Status, Version};
use crate::route::Route;
use crate::tunnel::{Error, Facts, Observer, Stage};

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

/// One rung. A way through several proxies has the rungs of each in turn: `with` tells them apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageReport {
    /// Which one.
    pub stage: Stage,
    /// Whom it is with.
    pub with: Authority,
    /// What became of it.
    pub status: StageStatus,
    /// How long it took; `None` where it was skipped.
    pub took: Option<Duration>,
    /// What the name resolved to (`resolve`).
    pub addresses: Vec<SocketAddr>,
    /// The address that answered (`tcp`).
    pub address: Option<SocketAddr>,
    /// The addresses that were tried beside it, with the error where there was one (`tcp`).
    pub losers: Vec<(SocketAddr, Option<String>)>,
    /// What the kernel knows of the connection (`tcp`).
    pub tcp: Option<TcpInfo>,
    /// What was learnt of the proxy's TLS (`proxy-tls`).
    pub tls: Option<TlsReport>,
    /// Which HTTP the last request was (`connect`).
    pub version: Option<Version>,
    /// Every request and its answer, the last one final (`connect`).
    pub exchanges: Vec<Exchange>,
    /// The words of the page that came with a refusal (`connect`); not escaped.
    pub content: Option<String>,
}

/// One request and its answer. Text is the proxy's and not escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// On which connection, from 1.
    pub connection: usize,
    /// The scheme of the credentials that the request had.
    pub scheme: Option<String>,
    /// The answer's status.
    pub status: Status,
    /// Its reason phrase.
    pub reason: String,
    /// The schemes that it offers, as it spells them (407).
    pub offered: Vec<String>,
    /// Whether it says that nothing was wrong with the credentials but their nonce.
    pub stale: bool,
    /// The fields by which it says why, and who it is.
    pub explanations: Vec<(String, String)>,
}

impl StageReport {
    pub(super) fn new(stage: Stage, with: Authority, status: StageStatus) -> Self {
        Self {
            stage,
            with,
            status,
            took: None,
            addresses: Vec::new(),
            address: None,
            losers: Vec::new(),
            tcp: None,
            tls: None,
            version: None,
            exchanges: Vec::new(),
            content: None,
        }
    }
}

/// Watches the stages.
pub(super) struct Ladder {
    /// The way that it leads up, once one is tried.
    pub(super) route: Option<Route>,
    /// The ways that were tried before.
    pub(super) passed_over: Vec<Error>,
    stages: Vec<StageReport>,
    /// Who watches TLS with the proxies, and the stage's place.
    watches: Vec<(usize, Watch)>,
    since: Option<Instant>,
    connection: usize,
    scheme: Option<String>,
    /// What the proxies of this way were sent of logins.
    pub(super) sent: Sent,
}

impl Ladder {
    pub(super) fn new() -> Self {
        Self {
            route: None,
            passed_over: Vec::new(),
            stages: Vec::new(),
            watches: Vec::new(),
            since: None,
            connection: 1,
            scheme: None,
            sent: Sent::default(),
        }
    }

    /// Stops the clock of the present stage, and gives its time.
    pub(super) fn leave(&mut self) -> Duration {
        let took = self.mark();
        self.since = None;
        took
    }

    /// The present stage took so long, unless more comes.
    fn mark(&mut self) -> Duration {
        let Some(stage) = self.stages.last_mut() else { return Duration::ZERO };
        if let Some(since) = self.since {
            stage.took = Some(since.elapsed());
        }
        stage.took.unwrap_or_default()
    }

    /// All stages of `all`, with what `judge` says of each proxy's TLS. Those behind the one that
    /// failed are skipped: in TLS 1.3 a proxy that misses our certificate says so in the next.
    pub(super) fn finish(
        mut self,
        all: &[(Stage, Authority)],
        failed: Option<Stage>,
        judge: impl Fn(&Authority, Seen) -> TlsReport,
    ) -> Vec<StageReport> {
        self.leave();
        for (place, watch) in self.watches {
            let stage = &mut self.stages[place];
            stage.tls = Some(judge(&stage.with, watch.seen()));
        }
        let last = self.stages.iter().rposition(|stage| Some(stage.stage) == failed);
        if let Some(last) = last {
            self.stages[last].status = StageStatus::Failed;
            for behind in &mut self.stages[last + 1..] {
                (behind.status, behind.took) = (StageStatus::Skipped, None);
            }
        }
        for (stage, with) in &all[self.stages.len().min(all.len())..] {
            self.stages.push(StageReport::new(*stage, with.clone(), StageStatus::Skipped));
        }
        self.stages
    }
}

impl Observer for Ladder {
    /// What was seen on another way is not of this one.
    fn set_out(&mut self, route: &Route) {
        let passed_over = std::mem::take(&mut self.passed_over);
        *self = Self { route: Some(route.clone()), passed_over, ..Self::new() };
    }

    fn gave_up(&mut self, error: Error) {
        self.passed_over.push(error);
    }

    fn entered(&mut self, stage: Stage, with: &Authority) {
        self.leave();
        // Behind another proxy the connection is a new one.
        self.connection = 1;
        self.stages.push(StageReport::new(stage, with.clone(), StageStatus::Ok));
        self.since = Some(Instant::now());
    }

    fn learnt(&mut self, facts: Facts<'_>) {
        // What the kernel is asked, and the page behind a refusal, are not the stage's time.
        match facts {
            Facts::Connected { .. } => {
                self.leave();
            }
            Facts::Refused { .. } => {
                self.mark();
            }
            Facts::Content { .. } => self.since = None,
            Facts::Resolved { .. }
            | Facts::Speaks { .. }
            | Facts::Authorized { .. }
            | Facts::Reconnected
            | Facts::Securing { .. }
            | Facts::Granted
            | Facts::Answered { .. } => {}
        }
        let Self { stages, watches, connection, scheme, .. } = self;
        let place = stages.len().saturating_sub(1);
        let Some(stage) = stages.last_mut() else { return };
        let mut exchange = |status, reason: &str, challenges: &Challenges, explanations| {
            let scheme = scheme.take();
            stage.exchanges.push(Exchange {
                connection: *connection,
                stale: scheme.is_some() && is_stale(challenges),
                scheme,
                status,
                reason: reason.to_owned(),
                offered: challenges.iter().map(|challenge| challenge.scheme().to_owned()).collect(),
                explanations,
            });
        };
        match facts {
            Facts::Resolved { addresses } => stage.addresses = addresses.to_vec(),
            Facts::Connected { address, stream, losers } => {
                stage.address = Some(address);
                stage.losers =
                    losers.iter().map(|(at, why)| (*at, why.as_ref().map(ToString::to_string))).collect();
                stage.tcp = tcp_info(stream);
            }
            Facts::Speaks { version } => stage.version = Some(version),
            Facts::Authorized { scheme: sent } => *scheme = Some(sent.to_owned()),
            Facts::Reconnected => *connection += 1,
            Facts::Securing { watch } => watches.push((place, watch.clone())),
            Facts::Granted => {}
            Facts::Answered { response, sent } => {
                self.sent.join(sent);
                let response = response.without(sent);
                exchange(response.status, &response.reason, &Challenges::default(), explanations(&response));
            }
            Facts::Refused { refusal } => {
                exchange(refusal.status, &refusal.reason, &refusal.challenges, refusal.explanations.clone());
            }
            Facts::Content { content } => stage.content = words::plain(content),
        }
    }

    fn wants_content(&self) -> bool {
        true
    }

    fn wants_handshakes(&self) -> bool {
        true
    }
}

/// RFC 7616 §3.3. Said without an answer to a challenge before, it means nothing.
fn is_stale(challenges: &Challenges) -> bool {
    challenges.iter().any(|challenge| {
        challenge.scheme().eq_ignore_ascii_case("Digest")
            && challenge.parameter("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true"))
    })
}
