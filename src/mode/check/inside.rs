//! A look inside the open tunnel: what the target says by itself, TLS with it, a request.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;

use super::judgement::{Judgement, TlsReport};
use super::ladder::Ladder;
use super::{Check, CheckError, Findings, Inside, TlsProbe, server_name};
use crate::authority::Authority;
use crate::net::probe::{self, Probe};
use crate::net::starttls;
use crate::net::stream::Stream;
use crate::net::tls::{self, Watch};
use crate::net::trust::{Tls, Trust};
use crate::starttls::{Protocol, Upgrade};
use crate::tunnel::{Observer as _, Stage, Tunnel};

/// How long a target may take to say something by itself.
const BANNER_PATIENCE: Duration = Duration::from_secs(1);

/// How much of it is kept: a greeting is a line.
const MAX_BANNER: usize = 1024;

/// RFC 9110 §4.2.1, §4.2.2.
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// How long TLS 1.3 is listened to behind the handshake: a ticket is of less interest than the
/// alert of a peer that misses our certificate. Both come a round trip later; the handshake took
/// one and some computing.
const TICKET_PATIENCE: [Duration; 2] = [Duration::from_millis(3), Duration::from_millis(250)];
const ALERT_PATIENCE: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(500)];

/// The way on from the open tunnel.
pub(super) struct Walk<'a> {
    pub(super) check: &'a Check,
    pub(super) target: &'a Authority,
    pub(super) ladder: &'a mut Ladder,
    pub(super) found: &'a mut Findings,
}

impl Walk<'_> {
    pub(super) async fn climb(mut self, tunnel: Tunnel) -> Result<(), CheckError> {
        let (early, stream) = tunnel.into_early_and_stream();
        let stream = stream.preceded_by(early);
        let Inside { tls, http, listen } = &self.check.inside;
        match (tls, http) {
            (Some(probe), http) => self.tls(stream, probe, http.as_ref()).await,
            (None, Some(wanted)) => self.http(stream, HTTP_PORT, wanted, None).await,
            (None, None) if *listen => self.banner(stream).await,
            (None, None) => Ok(()),
        }
    }

    /// What comes unasked. A web server never speaks first: a page is the proxy's own.
    async fn banner(&mut self, mut stream: Stream) -> Result<(), CheckError> {
        let mut said = Vec::new();
        let listen = async {
            while !said.contains(&b'\n') && said.len() < MAX_BANNER {
                match stream.read_buf(&mut said).await {
                    // Whoever has said something may end.
                    Ok(0) if said.is_empty() => return Err(CheckError::Closed),
                    Ok(0) => return Ok(()),
                    Ok(_) => {}
                    Err(error) => return Err(CheckError::Cut { stage: Stage::Connect, error }),
                }
            }
            Ok(())
        };
        // A target may have nothing to say to who says nothing.
        let listened = tokio::time::timeout(BANNER_PATIENCE, listen).await.unwrap_or(Ok(()));
        said.truncate(MAX_BANNER);
        let said = self.ladder.sent.mask_bytes(&said);
        if is_page(&said) {
            return Err(CheckError::Page(said));
        }
        self.found.banner = Some(said).filter(|said| !said.is_empty());
        listened
    }

    async fn tls(
        &mut self,
        mut stream: Stream,
        probe: &TlsProbe,
        wanted: Option<&Probe>,
    ) -> Result<(), CheckError> {
        self.ladder.entered(Stage::Tls, self.target);
        let limit = self.check.config.connect_timeout;
        let deadline = Instant::now() + limit;
        let slow = CheckError::Slow { stage: Stage::Tls, limit };
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
        // Anybody may answer, so that everything can be told; who it is is judged below.
        let (anybody, watch) = (Tls::new(Trust::Danger, None), Watch::default());
        let securing = anybody.secure(stream, name.clone(), &probe.alpn, Some(&watch));
        let Ok(secured) = tokio::time::timeout_at(deadline, securing).await else { return Err(slow) };
        // What follows is not the handshake's time.
        let took = self.ladder.leave();
        let shaken = Instant::now();
        let judgement = Judgement {
            trust: &probe.trust,
            tls: &self.check.config.tls,
            mozilla_counts: true,
            warn_expiry: self.check.warn_expiry,
        };
        let report = self.found.tls.insert(judgement.of(&name, watch.seen()));
        let secured = secured.map_err(|failed| {
            let first = self.ladder.sent.mask_bytes(&failed.first);
            CheckError::Handshake { error: failed.error, first }
        })?;
        let heard = match patience(report, took) {
            Some(patience) => {
                let heard = secured.listen(|| watch.seen().resumable);
                tokio::time::timeout_at(shaken + patience, heard).await.unwrap_or(Ok(()))
            }
            None => Ok(()),
        };
        report.seen = watch.seen();
        heard.map_err(|error| match tls::alert(&error) {
            Some(_) => CheckError::Handshake { error, first: Vec::new() },
            None => CheckError::Cut { stage: Stage::Tls, error },
        })?;
        // Nothing is sent to who is not trusted.
        let trusted = probe.trust == Trust::Danger || report.is_trusted() && !report.has_weak_key();
        let expiry = report.expiry(self.check.warn_expiry);
        if !trusted || !expiry.is_empty() {
            let (stage, with) = (Stage::Tls, self.target.clone());
            // Trust that was waived is no reason to fail.
            let problems = if trusted { expiry } else { report.problems.clone() };
            return Err(CheckError::Untrusted { stage, with, problems });
        }
        match wanted {
            Some(wanted) => {
                let protocol = report.seen.alpn.clone();
                self.http(Stream::Channel(Box::new(secured)), HTTPS_PORT, wanted, protocol.as_deref()).await
            }
            None => Ok(()),
        }
    }

    async fn http(
        &mut self,
        stream: Stream,
        own_port: u16,
        wanted: &Probe,
        protocol: Option<&str>,
    ) -> Result<(), CheckError> {
        self.ladder.entered(Stage::Http, self.target);
        // RFC 9110 §4.2: the scheme's own port is left out of Host.
        let authority = if self.target.port() == own_port {
            self.target.host().to_string()
        } else {
            self.target.to_string()
        };
        let probing = probe::probe(stream, &authority, wanted, protocol);
        let limit = self.check.config.connect_timeout;
        let answer = tokio::time::timeout(limit, probing)
            .await
            .map_err(|_| CheckError::Slow { stage: Stage::Http, limit })??;
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

/// How long to listen behind a handshake that took so long, if anything is to come: TLS 1.2 has
/// said everything in it.
fn patience(report: &TlsReport, took: Duration) -> Option<Duration> {
    let [least, most] = if report.seen.wants_certificate { ALERT_PATIENCE } else { TICKET_PATIENCE };
    let late = report.seen.version.as_deref() == Some("TLSv1.3");
    late.then(|| (2 * took).clamp(least, most))
}
