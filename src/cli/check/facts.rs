//! What a report says, as lines of a name and a text: the same for the terminal and for the page.
//!
//! Text from the network is in it as it came; who shows it escapes it.

use std::time::{Duration, SystemTime};

use super::failure::{passed_over, problem};
use crate::cli::report::without_number;
use crate::mode::check::{
    CertificateFacts, Exchange, Report, StageReport, StageStatus, Store, TlsReport, Verdict,
};
use crate::proto::Version;
use crate::tunnel::Stage;

/// A name and what there is to say; a line without a name goes on with the one before.
pub(super) type Line = (&'static str, String);

/// What was learnt in a stage, in a few words.
pub(super) fn in_short(report: &Report, stage: &StageReport) -> String {
    let learnt = match stage.stage {
        Stage::Resolve => {
            let all: Vec<_> = stage.addresses.iter().map(|address| address.ip().to_string()).collect();
            all.join(", ")
        }
        Stage::Tcp => stage.address.map(|address| address.to_string()).unwrap_or_default(),
        Stage::Connect => match stage.exchanges.last() {
            Some(Exchange { status, reason, .. }) => {
                let version = if stage.version == Some(Version::Http2) { "over HTTP/2" } else { "" };
                format!("{} {version}", format!("{status} {reason}").trim_end()).trim_end().to_owned()
            }
            // SOCKS has no words for it.
            None if stage.status == StageStatus::Ok => "granted".into(),
            None => String::new(),
        },
        Stage::ProxyTls => stage.tls.as_ref().map(agreed).unwrap_or_default(),
        Stage::Tls => report.found.tls.as_ref().map(agreed).unwrap_or_default(),
        Stage::Http => match &report.found.http {
            Some(answer) => format!("{} {}", answer.version, answer.status),
            None => String::new(),
        },
    };
    match stage.status {
        StageStatus::Ok => learnt,
        // A certificate that is not trusted fails a handshake that has its facts all the same.
        StageStatus::Failed if learnt.is_empty() => "failed".into(),
        StageStatus::Failed => format!("failed: {learnt}"),
        StageStatus::Skipped => "skipped".into(),
    }
}

fn agreed(TlsReport { seen, .. }: &TlsReport) -> String {
    let alpn = seen.alpn.as_ref().map(|protocol| format!("ALPN {protocol}"));
    let facts = [&seen.version, &seen.cipher_suite, &seen.group, &alpn];
    facts.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// Everything else.
pub(super) fn at_length(report: &Report) -> Vec<Line> {
    let passed_over = report.passed_over.iter().map(|error| ("passed over", passed_over(error)));
    let mut lines: Vec<_> = passed_over.collect();
    for stage in &report.stages {
        match stage.stage {
            Stage::Tcp => tcp(stage, &mut lines),
            Stage::Connect => connect(stage, &mut lines),
            Stage::ProxyTls => {
                if let Some(tls) = &stage.tls {
                    lines.push(("tls with", format!("the proxy {}", stage.with)));
                    peer(tls, &mut lines);
                }
            }
            Stage::Resolve | Stage::Tls | Stage::Http => {}
        }
    }
    if let Some(banner) = &report.found.banner {
        let text = String::from_utf8_lossy(banner);
        lines.push(("banner", text.lines().next().unwrap_or_default().to_owned()));
    }
    if let Some((protocol, greeting)) = &report.found.upgraded {
        let said = greeting.as_ref().map(|greeting| format!(": {greeting}"));
        lines.push(("starttls", format!("{}{}", protocol.name(), said.unwrap_or_default())));
    }
    if let Some(tls) = &report.found.tls {
        if report.stages.iter().any(|stage| stage.tls.is_some()) {
            lines.push(("tls with", format!("the target {}", report.target)));
        }
        peer(tls, &mut lines);
    }
    if let Some(issuer) = report.interceptor() {
        lines.push((
            "beware",
            format!(
                "interception: issuer {issuer} is not known to Mozilla's roots but is trusted here: \
                 the proxy probably reads this traffic"
            ),
        ));
    }
    if let Some(answer) = &report.found.http {
        if let Some(server) = &answer.server {
            lines.push(("server", server.clone()));
        }
        if let Some(location) = &answer.location {
            lines.push(("sends to", location.clone()));
        }
    }
    lines
}

fn tcp(stage: &StageReport, lines: &mut Vec<Line>) {
    for (address, why) in &stage.losers {
        let why = why.as_deref().map_or("had not answered by then", without_number);
        lines.push(("lost", format!("{address}: {why}")));
    }
    if let Some(info) = stage.tcp {
        let again = match info.retransmits {
            0 => String::new(),
            1 => ", sent again once".into(),
            times => format!(", sent again {times} times"),
        };
        // The kernel counts microseconds, and on a short way that is what there is.
        let time = format!("{:.3} ms", info.round_trip.as_secs_f64() * 1000.0);
        lines.push(("round trip", format!("{time}{again}")));
    }
}

/// The exchanges where there is more to tell than the last status.
fn connect(stage: &StageReport, lines: &mut Vec<Line>) {
    let told = stage.exchanges.len() > 1 || stage.exchanges.iter().any(|e| e.scheme.is_some());
    let mut name = "exchange";
    for (place, exchange) in stage.exchanges.iter().enumerate() {
        if told || !exchange.offered.is_empty() {
            lines.push((name, words(exchange, place.checked_sub(1).map(|before| &stage.exchanges[before]))));
            name = "";
        }
    }
    if let Some(last) = stage.exchanges.last() {
        let mut name = "proxy says";
        for (field, value) in &last.explanations {
            lines.push((name, format!("{field}: {value}")));
            name = "";
        }
    }
    if let Some(content) = &stage.content {
        lines.push(("page", content.clone()));
    }
}

/// One exchange in words, with the reason for its scheme.
fn words(exchange: &Exchange, before: Option<&Exchange>) -> String {
    let mut words = String::new();
    if before.is_some_and(|before| before.connection != exchange.connection) {
        words.push_str("on a new connection ");
    }
    if let Some(scheme) = &exchange.scheme {
        let offered = before.map(|before| before.offered.as_slice()).unwrap_or_default();
        words.push_str(&match offered.len() {
            _ if before.is_some_and(|before| before.stale) => {
                format!("with {scheme} again, as its nonce was stale: ")
            }
            0 => format!("with {scheme}, which was sent unasked: "),
            1 => format!("with {scheme}, which was asked for: "),
            _ => format!("with {scheme}, the strongest offered that there is an answer to: "),
        });
    } else {
        words.push_str("without credentials: ");
    }
    words.push_str(format!("{} {}", exchange.status, exchange.reason).trim_end());
    if !exchange.offered.is_empty() {
        words.push_str(&format!("; offers {}", exchange.offered.join(", ")));
    }
    words
}

/// Of the target and of a proxy alike.
fn peer(tls: &TlsReport, lines: &mut Vec<Line>) {
    handshake(tls, lines);
    certificates(tls, lines);
}

fn handshake(TlsReport { seen, .. }: &TlsReport, lines: &mut Vec<Line>) {
    if seen.version.is_none() && seen.chain.is_empty() {
        return;
    }
    let mut facts = Vec::new();
    facts.extend(seen.signature.as_ref().map(|scheme| format!("signed with {scheme}")));
    facts.push(match &seen.sni {
        Some(name) => format!("SNI {name}"),
        None => "no SNI (an address)".into(),
    });
    facts.push(match seen.ocsp_staple {
        Some(bytes) => format!("OCSP response of {bytes} bytes stapled"),
        None => "no OCSP staple".into(),
    });
    if seen.complete {
        facts.push(if seen.resumable { "resumption offered" } else { "no resumption offered" }.into());
    }
    if seen.wants_certificate {
        facts.push("asks for a client's certificate".into());
    }
    lines.push(("handshake", facts.join(", ")));
}

fn certificates(tls: &TlsReport, lines: &mut Vec<Line>) {
    for (place, certificate) in tls.chain.iter().enumerate() {
        let CertificateFacts { subject, issuer, names, key, signature, serial, .. } = certificate;
        let subject = if subject.is_empty() { "(no subject)" } else { subject };
        lines.push((if place == 0 { "certificate" } else { "then" }, subject.to_owned()));
        if !names.is_empty() {
            lines.push(("", format!("for {}", names.join(", "))));
        }
        lines.push(("", format!("by {issuer}")));
        lines.push(("", validity(certificate)));
        lines.push(("", format!("{key}, signed with {signature}")));
        lines.push(("", format!("serial {serial}")));
        lines.push(("sha256", certificate.sha256.clone()));
        lines.push(("key sha256", certificate.key_sha256.clone()));
    }
    for (store, verdict) in &tls.verdicts {
        let name = match store {
            Store::Mozilla => "Mozilla's roots",
            Store::System => "this system's store",
            Store::Given => "the file given",
        };
        match verdict {
            Verdict::Trusted => lines.push(("trusted by", name.into())),
            Verdict::Untrusted { .. } => lines.push(("not by", name.into())),
        }
    }
    lines.extend(tls.problems.iter().map(|found| ("problem", problem(found))));
}

fn validity(certificate: &CertificateFacts) -> String {
    let (Some(from), Some(until)) = (certificate.not_before, certificate.not_after) else {
        return "no validity that can be read".into();
    };
    let left = match until.elapsed(SystemTime::now()) {
        Ok(_) => "expired".into(),
        Err(left) => format!("{} days left", left.as_secs() / 86_400),
    };
    format!("valid {} to {} ({left})", from.date(), until.date())
}

/// `12.3 ms`.
pub(super) fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
