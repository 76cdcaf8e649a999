//! A check's report: for people, a line and a bar for each stage; for scripts, JSON.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};

use super::exit::Classified as _;
use super::report::{Told, check, printable, problem};
use crate::mode::check::{CertificateFacts, Report, StageReport, StageStatus, Store, TlsReport, Verdict};
use crate::net::tls::Seen;
use crate::tunnel::Stage;

/// The widest bar, in columns.
const BAR: usize = 20;

/// Prints the ladder.
pub(super) fn text(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let bold = Style::new().bold();
    let through = match &report.proxy {
        Some(proxy) => format!("through proxy {proxy}"),
        None => "without a proxy".into(),
    };
    writeln!(out, "{bold}{}{bold:#} {through}", report.target)?;
    let longest = report.stages.iter().filter_map(|stage| stage.took).max().unwrap_or_default();
    for stage in &report.stages {
        stage_line(report, stage, longest, out)?;
    }
    if let Some(tls) = &report.tls {
        certificate_lines(report, tls, out)?;
    }
    Ok(())
}

fn stage_line(
    report: &Report,
    stage: &StageReport,
    longest: Duration,
    out: &mut impl Write,
) -> io::Result<()> {
    let (colour, time) = match (stage.status, stage.took) {
        (StageStatus::Ok, Some(took)) => (AnsiColor::Green, milliseconds(took)),
        (StageStatus::Failed, Some(took)) => (AnsiColor::Red, milliseconds(took)),
        (StageStatus::Skipped, _) | (_, None) => (AnsiColor::BrightBlack, "-".into()),
    };
    let style = Style::new().fg_color(Some(colour.into()));
    let share =
        stage.took.map_or(0.0, |took| took.as_secs_f64() / longest.as_secs_f64().max(f64::MIN_POSITIVE));
    let columns =
        if stage.took.is_some() { ((share * BAR as f64).round() as usize).clamp(1, BAR) } else { 0 };
    let bar = "█".repeat(columns);
    let what = match stage.status {
        StageStatus::Ok => learnt(report, stage),
        // A certificate that is not trusted fails a handshake that has its facts all the same.
        StageStatus::Failed => match learnt(report, stage) {
            facts if facts.is_empty() => "failed".into(),
            facts => format!("failed: {facts}"),
        },
        StageStatus::Skipped => "skipped".into(),
    };
    let name = stage.stage.name();
    writeln!(out, "  {style}{name:<9}{time:>11}  {bar:<BAR$}{style:#}  {}", printable(&what))
}

fn learnt(report: &Report, stage: &StageReport) -> String {
    match stage.stage {
        Stage::Resolve => {
            let all: Vec<_> = stage.addresses.iter().map(|address| address.ip().to_string()).collect();
            all.join(", ")
        }
        Stage::Tcp => stage.address.map(|address| address.to_string()).unwrap_or_default(),
        Stage::ProxyTls => stage.secured.as_ref().map(tls_facts).unwrap_or_default(),
        Stage::Connect => match &stage.answer {
            Some((status, reason)) => format!("{status} {reason}"),
            None if stage.status == StageStatus::Ok => "granted".into(),
            None => String::new(),
        },
        Stage::Tls => report.tls.as_ref().map(|tls| tls_facts(&tls.seen)).unwrap_or_default(),
    }
}

fn tls_facts(seen: &Seen) -> String {
    let alpn = seen.alpn.as_ref().map(|protocol| format!("ALPN {protocol}"));
    let facts = [&seen.version, &seen.cipher_suite, &seen.group, &alpn];
    facts.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn certificate_lines(report: &Report, tls: &TlsReport, out: &mut impl Write) -> io::Result<()> {
    let mut line = |name: &str, text: &str| writeln!(out, "  {name:<11} {}", printable(text));
    for (place, certificate) in tls.chain.iter().enumerate() {
        let CertificateFacts { subject, issuer, names, key, sha256, .. } = certificate;
        line(
            if place == 0 { "certificate" } else { "then" },
            if subject.is_empty() { "(no subject)" } else { subject },
        )?;
        if !names.is_empty() {
            line("", &format!("for {}", names.join(", ")))?;
        }
        line("", &format!("by {issuer}"))?;
        line("", &format!("{}, {key}", validity(certificate)))?;
        line("", &format!("sha256 {sha256}"))?;
    }
    for (store, verdict) in &tls.verdicts {
        let name = match store {
            Store::Mozilla => "Mozilla's roots",
            Store::System => "this system's store",
            Store::Given => "the file given",
        };
        match verdict {
            Verdict::Trusted => line("trusted by", name)?,
            Verdict::Untrusted(_) => line("not by", name)?,
        }
    }
    for found in &tls.problems {
        line("problem", &problem(found))?;
    }
    if intercepted(report, tls) {
        line("beware", "this system's store alone trusts it: the proxy probably reads this traffic")?;
    }
    Ok(())
}

/// Trusted here and by nobody else, behind a proxy: an enterprise's root, as proxies use to look
/// inside.
fn intercepted(report: &Report, tls: &TlsReport) -> bool {
    let says = |wanted| tls.verdicts.iter().find(|(store, _)| *store == wanted).map(|(_, verdict)| verdict);
    report.proxy.is_some()
        && says(Store::System) == Some(&Verdict::Trusted)
        && says(Store::Mozilla) != Some(&Verdict::Trusted)
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

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// The report as one JSON object. Names are stable; `report::json_line` escapes what the network
/// sent.
pub(super) fn json(report: &Report) -> Value {
    let told = report.failure.as_ref().map(|failure| check(failure, &report.target));
    let code = report.failure.as_ref().map_or(0, |failure| failure.kind().code());
    json!({
        "target": report.target.to_string(),
        "proxy": report.proxy.as_ref().map(ToString::to_string),
        "ok": report.failure.is_none(),
        "exit_code": code,
        "stages": report.stages.iter().map(json_stage).collect::<Vec<_>>(),
        "tls": report.tls.as_ref().map(|tls| json_tls(report, tls)),
        "error": told.as_ref().map(json_error),
    })
}

fn json_error(told: &Told) -> Value {
    json!({
        "stage": told.stage.map(Stage::name),
        "kind": told.kind.name(),
        "message": told.message(),
        "hint": told.hint,
    })
}

fn json_stage(stage: &StageReport) -> Value {
    let status = match stage.status {
        StageStatus::Ok => "ok",
        StageStatus::Failed => "failed",
        StageStatus::Skipped => "skipped",
    };
    let ms = stage.took.map(|took| (took.as_secs_f64() * 1e6).round() / 1e3);
    let mut value =
        json!({ "name": stage.stage.name(), "with": stage.with.to_string(), "status": status, "ms": ms });
    if !stage.addresses.is_empty() {
        let addresses: Vec<_> = stage.addresses.iter().map(|address| address.ip().to_string()).collect();
        value["addresses"] = json!(addresses);
    }
    if let Some(address) = stage.address {
        value["address"] = json!(address.to_string());
    }
    if let Some(seen) = &stage.secured {
        value["tls"] = json!({
            "version": seen.version, "cipher_suite": seen.cipher_suite, "group": seen.group, "alpn": seen.alpn,
        });
    }
    if let Some((code, reason)) = &stage.answer {
        value["http_status"] = json!(code.code());
        value["reason"] = json!(reason);
    }
    value
}

fn json_tls(report: &Report, tls: &TlsReport) -> Value {
    let trusted = |wanted| {
        let found = tls.verdicts.iter().find(|(store, _)| *store == wanted);
        found.map(|(_, verdict)| *verdict == Verdict::Trusted)
    };
    json!({
        "version": tls.seen.version,
        "cipher_suite": tls.seen.cipher_suite,
        "group": tls.seen.group,
        "alpn": tls.seen.alpn,
        "name": tls.name,
        "chain": tls.chain.iter().map(json_certificate).collect::<Vec<_>>(),
        "trusted": {
            "mozilla": trusted(Store::Mozilla), "system": trusted(Store::System), "cacert": trusted(Store::Given),
        },
        "intercepted": intercepted(report, tls),
        "problems": tls.problems.iter().map(problem).collect::<Vec<_>>(),
    })
}

fn json_certificate(certificate: &CertificateFacts) -> Value {
    json!({
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "names": certificate.names,
        "not_before": certificate.not_before.map(|at| at.to_string()),
        "not_after": certificate.not_after.map(|at| at.to_string()),
        "key": certificate.key,
        "serial": certificate.serial,
        "sha256": certificate.sha256,
    })
}
