//! A look inside the open tunnel: what the target says by itself, TLS with it, a request.

use std::time::{Duration, SystemTime};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};

use super::certificate::CertificateFacts;
use super::ladder::Ladder;
use super::{
    CheckError, Ended, Findings, Inside, Problem, TlsProbe, TlsReport, Trust, Verdict, server_name, trust,
};
use crate::authority::Authority;
use crate::net::probe::{self, Probe};
use crate::net::starttls;
use crate::net::stream::Prefixed;
use crate::net::tls;
use crate::starttls::{Protocol, Upgrade};
use crate::tunnel::{Observer as _, Stage, Tunnel};

/// How long a target may take to say something by itself.
const BANNER_PATIENCE: Duration = Duration::from_secs(1);

/// How much of it is kept: a greeting is a line.
const MAX_BANNER: usize = 1024;

/// RFC 9110 §4.2.1, §4.2.2.
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// What TLS 1.3 sends behind the handshake comes a round trip later: twice the time of the
/// handshake, within these bounds.
const TICKET_PATIENCE: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(500)];

/// The way on from the open tunnel.
pub(super) struct Walk<'a> {
    pub(super) inside: &'a Inside,
    pub(super) target: &'a Authority,
    pub(super) limit: Duration,
    pub(super) ladder: &'a mut Ladder,
    pub(super) found: &'a mut Findings,
}

impl Walk<'_> {
    pub(super) async fn climb(mut self, tunnel: Tunnel) -> Result<(), CheckError> {
        let (early, stream) = tunnel.into_early_and_stream();
        let stream = Prefixed::new(early, stream);
        let Inside { tls, http, listen } = self.inside;
        match (tls, http) {
            (Some(probe), http) => self.tls(stream, probe, http.as_ref()).await,
            (None, Some(wanted)) => self.http(stream, HTTP_PORT, wanted).await,
            (None, None) if *listen => self.banner(stream).await,
            (None, None) => Ok(()),
        }
    }

    /// What comes unasked. A web server never speaks first: a page is the proxy's own.
    async fn banner(&mut self, mut stream: impl AsyncRead + Unpin) -> Result<(), CheckError> {
        let mut said = Vec::new();
        let listen = async {
            while !said.contains(&b'\n') && said.len() < MAX_BANNER {
                match stream.read_buf(&mut said).await {
                    Ok(0) => return Some(Ended::Closed),
                    Ok(_) => {}
                    Err(_) => return Some(Ended::Reset),
                }
            }
            None
        };
        let ended = tokio::time::timeout(BANNER_PATIENCE, listen).await.unwrap_or(None);
        said.truncate(MAX_BANNER);
        if is_page(&said) {
            return Err(CheckError::Page(said));
        }
        // A target may have nothing to say to who says nothing: how it ended is told, and no more.
        self.found.ended = ended.filter(|_| said.is_empty());
        self.found.banner = Some(said).filter(|said| !said.is_empty());
        Ok(())
    }

    async fn tls<S>(
        &mut self,
        mut stream: S,
        probe: &TlsProbe,
        wanted: Option<&Probe>,
    ) -> Result<(), CheckError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.ladder.entered(Stage::Tls, self.target);
        let deadline = tokio::time::Instant::now() + self.limit;
        let slow = CheckError::Slow { stage: Stage::Tls, limit: self.limit };
        if let Some(protocol) = probe.starttls {
            let host = match protocol {
                // RFC 9110 §7.2: with the port.
                Protocol::Http => self.target.to_string(),
                Protocol::Smtp
                | Protocol::Imap
                | Protocol::Pop3
                | Protocol::Ftp
                | Protocol::Ldap
                | Protocol::Postgres
                | Protocol::Mysql
                | Protocol::Xmpp => self.target.host().to_string(),
            };
            let mut upgrade = Upgrade::new(protocol, &host);
            let upgraded =
                tokio::time::timeout_at(deadline, starttls::upgrade(&mut upgrade, &mut stream)).await;
            self.found.upgraded = Some((protocol, upgrade.greeting().map(str::to_owned)));
            let Ok(upgraded) = upgraded else { return Err(slow) };
            upgraded?;
        }
        let name = probe.sni.clone().unwrap_or_else(|| server_name(self.target.host()));
        let look = tls::look(stream, name.clone(), &probe.alpn);
        let Ok(looked) = tokio::time::timeout_at(deadline, look).await else { return Err(slow) };
        // Judging reads the system's store, and a ticket comes behind the handshake: that is not
        // the handshake's time.
        let took = self.ladder.leave();
        let mut looked = match looked {
            Ok(looked) => looked,
            Err(failed) => {
                self.found.tls = Some(judge(probe, &name, failed.seen));
                return Err(CheckError::Handshake { error: failed.error, first: failed.first });
            }
        };
        let heard = looked.listen((2 * took).clamp(TICKET_PATIENCE[0], TICKET_PATIENCE[1])).await;
        let report = judge(probe, &name, looked.seen());
        let verdict = verdict(probe, &report);
        self.found.tls = Some(report);
        if let Err(error) = heard {
            return Err(if tls::alert(&error).is_some() {
                CheckError::Handshake { error, first: Vec::new() }
            } else {
                CheckError::Cut(error)
            });
        }
        // Nothing is sent to who is not trusted.
        verdict?;
        match wanted {
            Some(wanted) => self.http(looked.into_stream(), HTTPS_PORT, wanted).await,
            None => Ok(()),
        }
    }

    async fn http<S>(&mut self, stream: S, own_port: u16, wanted: &Probe) -> Result<(), CheckError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.ladder.entered(Stage::Http, self.target);
        // RFC 9110 §4.2: the scheme's own port is left out of Host.
        let authority = if self.target.port() == own_port {
            self.target.host().to_string()
        } else {
            self.target.to_string()
        };
        let probing = probe::probe(stream, &authority, wanted);
        let answer = tokio::time::timeout(self.limit, probing)
            .await
            .map_err(|_| CheckError::Slow { stage: Stage::Http, limit: self.limit })??;
        self.found.http = Some(answer);
        Ok(())
    }
}

/// Whether bytes are the beginning of a web page or of an HTTP response.
fn is_page(bytes: &[u8]) -> bool {
    let bytes = bytes.trim_ascii_start();
    let begins = |with: &[u8]| bytes.len() >= with.len() && bytes[..with.len()].eq_ignore_ascii_case(with);
    begins(b"HTTP/1.") || begins(b"<html") || begins(b"<!doctype html")
}

fn judge(probe: &TlsProbe, name: &ServerName<'static>, seen: tls::Seen) -> TlsReport {
    let chain: Vec<_> = seen.chain.iter().map(|der| CertificateFacts::read(der)).collect();
    let verdicts =
        if seen.chain.is_empty() { Vec::new() } else { trust::verdicts(&probe.trust, name, &seen.chain) };
    let mut problems = trust::problems(name, &seen.chain, &chain, &verdicts);
    if let (Some(left), true) = (probe.warn_expiry, problems.is_empty()) {
        let soon = |at: &super::certificate::Moment| at.elapsed(SystemTime::now() + left).is_ok();
        let ends = chain.iter().filter_map(|certificate| certificate.not_after).min();
        problems.extend(ends.filter(soon).map(Problem::ExpiresSoon));
    }
    TlsReport { name: name.to_str().into_owned(), chain, verdicts, problems, seen }
}

/// What the judgement means for the check.
fn verdict(probe: &TlsProbe, report: &TlsReport) -> Result<(), CheckError> {
    let trusted = matches!(probe.trust, Trust::Insecure)
        || report.verdicts.iter().any(|(_, verdict)| *verdict == Verdict::Trusted);
    let ends_soon = report.problems.iter().any(|problem| matches!(problem, Problem::ExpiresSoon(_)));
    if trusted && !ends_soon { Ok(()) } else { Err(CheckError::Untrusted(report.problems.clone())) }
}
