//! `check` at the command line: which ways, which targets, how often, and where the reports go.

mod facts;
mod failure;
mod html;
mod json;
mod sweep;
mod text;

use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustix::termios::tcgetwinsize;
use serde_json::json;
use tokio::time::Instant;

use self::failure::failure;
use super::exit::{Classified as _, INTERRUPTED, Kind};
use super::explain::Explanation;
use super::report::{Reporter, json_line, write_stderr};
use crate::authority::Authority;
use crate::mode::check::{self, Check, Report, Statistics};

/// Everything that `check` was asked for.
pub(super) struct Plan {
    /// The way to the targets; a second one to compare it with.
    pub(super) ways: Vec<Way>,
    pub(super) targets: Vec<Authority>,
    pub(super) scope: Scope,
    pub(super) json: bool,
    pub(super) color: clap::ColorChoice,
    pub(super) explain: bool,
    pub(super) save_chain: Option<PathBuf>,
    pub(super) html: Option<PathBuf>,
}

/// One way to the targets, and why it is this one.
pub(super) struct Way {
    pub(super) check: Check,
    pub(super) explanation: Explanation,
}

/// How often each target is checked, and to what end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Once,
    /// The targets are the ports of one host.
    Ports,
    Repeated {
        count: usize,
        interval: Duration,
    },
}

/// Checks, and reports; the code is that of the first that failed.
///
/// # Errors
/// A report could not be written.
pub(super) fn run(reporter: Reporter, plan: Plan) -> io::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let jobs: Vec<_> = plan.ways.iter().map(|way| Arc::new(way.check.clone())).collect();
    let mut session = Session { plan: &plan, jobs, reporter, code: 0, kept: Vec::new(), chains: Vec::new() };
    let told = runtime.block_on(async {
        match plan.scope {
            Scope::Once => session.once().await,
            Scope::Ports => session.ports().await,
            Scope::Repeated { count, interval } => session.repeated(count, interval).await,
        }
    });
    // Files are written also where nobody reads stdout to its end: what was to come may not have
    // been checked, and there is nobody to be told, as with `connect`.
    match told {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => session.fail(Kind::Local.code()),
        told => told?,
    }
    session.files()?;
    runtime.shutdown_background();
    Ok(session.code)
}

struct Session<'a> {
    plan: &'a Plan,
    jobs: Vec<Arc<Check>>,
    reporter: Reporter,
    code: u8,
    /// What the page is made of.
    kept: Vec<Kept>,
    /// Whose each is, and the certificates in PEM.
    chains: Vec<(String, String)>,
}

/// A report, its way, and the spread of those that it is the last of.
struct Kept {
    report: Report,
    way: usize,
    statistics: Option<Statistics>,
}

impl Session<'_> {
    async fn once(&mut self) -> io::Result<()> {
        if self.jobs.len() == 1 {
            return self.each(|session, report| session.tell(report, 0)).await;
        }
        for target in &self.plan.targets {
            let first = check::run(&self.jobs[0], target).await;
            let second = check::run(&self.jobs[1], target).await;
            let mut page = Vec::new();
            if !self.plan.json {
                text::comparison([&first, &second], &mut page)?;
            }
            self.tell(first, 0)?;
            self.tell(second, 1)?;
            self.write(&page)?;
        }
        Ok(())
    }

    async fn ports(&mut self) -> io::Result<()> {
        let mut sweep = sweep::Sweep::default();
        let checks = self.each(|session, report| {
            session.count_in(&report);
            sweep.add(&report, &session.plan.ways[0].explanation);
            if session.plan.json {
                session.write(&session.json_line(&report, 0, None))?;
            }
            Ok(())
        });
        tokio::select! {
            told = checks => told?,
            _ = tokio::signal::ctrl_c() => {}
        }
        let not_asked = &self.plan.targets[sweep.asked()..];
        if !not_asked.is_empty() {
            self.fail(INTERRUPTED);
        }
        if !self.plan.json {
            let mut page = Vec::new();
            sweep.text(not_asked, &self.plan.ways[0].explanation, self.plan.explain, &mut page)?;
            self.write(&page)?;
        }
        if let (Some(told), false) = (sweep.failure(), self.plan.json) {
            self.reporter.error(&told);
        }
        Ok(())
    }

    async fn repeated(&mut self, count: usize, interval: Duration) -> io::Result<()> {
        let mut spreads: Vec<(Statistics, Option<Report>, u8)> = Vec::new();
        spreads.resize_with(self.plan.targets.len(), Default::default);
        let started = Instant::now();
        let mut failed = None;
        let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
        for run in 0..count {
            let turn = started + interval.saturating_mul(u32::try_from(run).unwrap_or(u32::MAX));
            tokio::select! {
                () = tokio::time::sleep_until(turn) => {}
                _ = &mut interrupted => break,
            }
            let mut place = 0;
            let checks = self.each(|session, report| {
                let (statistics, last, code) = &mut spreads[place];
                place += 1;
                statistics.add(&report);
                session.count_in(&report);
                if *code == 0 {
                    *code = report.failure.as_ref().map_or(0, |failure| failure.kind().code());
                }
                failed = failed.take().or_else(|| failure(&report));
                if session.plan.json {
                    session.write(&session.json_line(&report, 0, Some(run + 1)))?;
                } else {
                    session.live(&report, run + 1, count);
                }
                *last = Some(report);
                Ok(())
            });
            tokio::select! {
                told = checks => told?,
                _ = &mut interrupted => break,
            }
        }
        self.live_ends();
        for (target, (statistics, last, code)) in self.plan.targets.iter().zip(spreads) {
            let code = if last.is_some() { code } else { INTERRUPTED };
            self.fail(code);
            let mut page = Vec::new();
            if self.plan.json {
                let proxy = last.as_ref().and_then(|report| report.proxy.as_ref());
                page.extend(json_line(&json::statistics(target, proxy, &statistics, code)).into_bytes());
            } else {
                match &last {
                    Some(report) => {
                        let explanation = &self.plan.ways[0].explanation;
                        text::head(report, explanation, self.plan.explain, &mut page)?;
                    }
                    None => text::nothing_known(&target.to_string(), &mut page)?,
                }
                text::statistics(&statistics, &mut page)?;
            }
            self.write(&page)?;
            if let Some(report) = last {
                self.keep(report, 0, Some(statistics));
            }
        }
        if let (Some(told), false) = (failed, self.plan.json) {
            self.reporter.error(&told);
        }
        Ok(())
    }

    /// Every target, in order.
    async fn each(&mut self, mut tell: impl FnMut(&mut Self, Report) -> io::Result<()>) -> io::Result<()> {
        let mut told = Ok(());
        let job = Arc::clone(&self.jobs[0]);
        let targets = &self.plan.targets;
        check::each(&job, targets, |report| {
            told = tell(self, report);
            told.is_ok()
        })
        .await;
        told
    }

    /// A report, and its failure.
    fn tell(&mut self, report: Report, way: usize) -> io::Result<()> {
        self.count_in(&report);
        if self.plan.json {
            self.write(&self.json_line(&report, way, None))?;
        } else {
            let mut page = Vec::new();
            let explanation = &self.plan.ways[way].explanation;
            text::report(&report, explanation, self.plan.explain, &mut page)?;
            self.write(&page)?;
            if let Some(told) = failure(&report) {
                self.reporter.error(&told);
            }
        }
        self.keep(report, way, None);
        Ok(())
    }

    fn json_line(&self, report: &Report, way: usize, run: Option<usize>) -> Vec<u8> {
        let mut value = json::report(report, &self.plan.ways[way].explanation, self.plan.explain);
        if let Some(run) = run {
            value["run"] = json!(run);
        }
        json_line(&value).into_bytes()
    }

    /// The first failure's code is that of the whole.
    fn fail(&mut self, code: u8) {
        if self.code == 0 {
            self.code = code;
        }
    }

    fn count_in(&mut self, report: &Report) {
        if let Some(failure) = &report.failure {
            self.fail(failure.kind().code());
        }
    }

    fn keep(&mut self, report: Report, way: usize, statistics: Option<Statistics>) {
        if let (Some(_), Some(tls)) = (&self.plan.save_chain, &report.found.tls)
            && !tls.seen.chain.is_empty()
        {
            let chain = tls.seen.chain.iter().map(|der| pem(der)).collect();
            self.chains.push((format!("{} {}", report.target, text::through(&report)), chain));
        }
        if self.plan.html.is_some() {
            self.kept.push(Kept { report, way, statistics });
        }
    }

    fn files(&self) -> io::Result<()> {
        let named = |file: &Path, error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {error}", file.display()))
        };
        if let (Some(file), false) = (&self.plan.save_chain, self.chains.is_empty()) {
            let chains: String = match self.chains.as_slice() {
                [(_, only)] => only.clone(),
                // RFC 7468 §2: text outside the boundaries is passed over.
                several => several.iter().map(|(whose, chain)| format!("# {whose}\n{chain}")).collect(),
            };
            fs::write(file, chains).map_err(|error| named(file, error))?;
        }
        if let Some(file) = &self.plan.html {
            let sections = self.kept.iter().map(|Kept { report, way, statistics }| {
                let explanation = &self.plan.ways[*way].explanation;
                html::Section { report, explanation, statistics: statistics.as_ref() }
            });
            let sections: Vec<_> = sections.collect();
            let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
            let page = html::page(&sections, self.plan.explain, &now);
            fs::write(file, page).map_err(|error| named(file, error))?;
        }
        Ok(())
    }

    /// A line on the terminal that goes when the next comes.
    fn live(&self, report: &Report, run: usize, count: usize) {
        if self.reporter.quiet || !io::stderr().is_terminal() {
            return;
        }
        let times: Vec<_> = report
            .times()
            .map(|(stage, took)| format!("{} {}", stage.name(), facts::milliseconds(took)))
            .collect();
        let line = format!("{run} of {count}: {}: {}", report.target, times.join(", "));
        // What a line that is broken by the terminal has above its last part would stay.
        let width = tcgetwinsize(io::stderr()).map_or(0, |size| usize::from(size.ws_col));
        let width = if width == 0 { text::COLUMNS } else { width };
        let line: String = line.chars().take(width - 1).collect();
        write_stderr(&format!("\r\x1b[K{line}"));
    }

    fn live_ends(&self) {
        if !self.plan.json && !self.reporter.quiet && io::stderr().is_terminal() {
            write_stderr("\r\x1b[K");
        }
    }

    /// To stdout, in colour where that is wanted.
    fn write(&self, page: &[u8]) -> io::Result<()> {
        let color = match self.plan.color {
            clap::ColorChoice::Auto => anstream::ColorChoice::Auto,
            clap::ColorChoice::Always => anstream::ColorChoice::Always,
            clap::ColorChoice::Never => anstream::ColorChoice::Never,
        };
        let mut out = anstream::AutoStream::new(io::stdout().lock(), color);
        out.write_all(page)?;
        out.flush()
    }
}

/// RFC 7468.
fn pem(der: &[u8]) -> String {
    let encoded = BASE64_STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, behind) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = behind;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}
