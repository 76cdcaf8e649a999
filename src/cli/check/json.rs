//! A report for scripts: one JSON object. Names are stable; tests/fixtures/check.schema.json says
//! what each is. `report::json_line` escapes what the network sent.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::failure::{failure, passed_over, problem};
use crate::authority::Authority;
use crate::cli::exit::Classified as _;
use crate::cli::explain::Explanation;
use crate::cli::hints::Detail;
use crate::cli::report::{Told, without_number};
use crate::mode::check::{
    CertificateFacts, Exchange, Report, Spread, StageReport, StageStatus, Statistics, Store, TlsReport,
    Verdict, microseconds,
};
use crate::tunnel::Stage;

/// One check.
pub(super) fn report(report: &Report, explanation: &Explanation, explain: bool) -> Value {
    let told = failure(report);
    let code = report.failure.as_ref().map_or(0, |failure| failure.kind().code());
    let mut route = json!({ "decided_by": explanation.decided_by(&report.target) });
    if explain {
        let lines = explanation.at_length(&report.target, report.script.as_deref());
        route["explained"] = lines.into_iter().map(|(name, text)| format!("{name}: {text}")).collect();
    }
    if let Some(answer) = &report.script {
        route["script"] = json!(answer);
    }
    if !report.passed_over.is_empty() {
        route["passed_over"] = report.passed_over.iter().map(passed_over).collect();
    }
    let mut value = json!({
        "target": report.target.to_string(),
        "proxy": report.proxy.as_ref().map(ToString::to_string),
        "route": route,
        "ok": report.failure.is_none(),
        "exit_code": code,
        "stages": report.stages.iter().map(stage).collect::<Vec<_>>(),
        "tls": report.found.tls.as_ref().map(|targets| {
            let mut value = tls(targets);
            value["intercepted"] = json!(report.interceptor().is_some());
            value
        }),
        "error": told.as_ref().map(error),
    });
    if let Some(banner) = &report.found.banner {
        value["banner"] = json!(String::from_utf8_lossy(banner));
    }
    if let Some((protocol, greeting)) = &report.found.upgraded {
        value["starttls"] = json!({ "protocol": protocol.name(), "greeting": greeting });
    }
    if let Some(answer) = &report.found.http {
        value["http"] = json!({
            "version": answer.version, "status": answer.status, "server": answer.server,
            "location": answer.location,
        });
    }
    value
}

/// The spread of repeated checks of one target: the object behind theirs.
pub(super) fn statistics(
    target: &Authority,
    proxy: Option<&Authority>,
    statistics: &Statistics,
    code: u8,
) -> Value {
    let spread = |(stage, with, spread): (Stage, &Authority, Spread)| {
        json!({
            "name": stage.name(),
            "with": with.to_string(),
            "count": spread.count,
            "min_ms": ms(spread.min),
            // Half a microsecond, of two times.
            "median_ms": spread.median.as_nanos() as f64 / 1e6,
            "p95_ms": ms(spread.p95),
            "max_ms": ms(spread.max),
        })
    };
    json!({
        "target": target.to_string(),
        "proxy": proxy.map(ToString::to_string),
        "ok": code == 0,
        "exit_code": code,
        "statistics": {
            "runs": statistics.runs,
            "failed": statistics.failed,
            "stages": statistics.spreads().map(spread).collect::<Vec<_>>(),
        },
    })
}

fn error(told: &Told) -> Value {
    json!({
        "stage": told.stage.map(Stage::name),
        "kind": told.kind.name(),
        "detail": told.detail.map(Detail::name),
        "message": told.message(),
        "hint": told.hint,
    })
}

fn stage(stage: &StageReport) -> Value {
    let status = match stage.status {
        StageStatus::Ok => "ok",
        StageStatus::Failed => "failed",
        StageStatus::Skipped => "skipped",
    };
    let mut value = json!({
        "name": stage.stage.name(), "with": stage.with.to_string(), "status": status, "ms": stage.took.map(ms),
    });
    if !stage.addresses.is_empty() {
        let addresses: Vec<_> = stage.addresses.iter().map(|address| address.ip().to_string()).collect();
        value["addresses"] = json!(addresses);
    }
    if let Some(address) = stage.address {
        value["address"] = json!(address.to_string());
        let lost = |(address, why): &(_, Option<String>)| json!({ "address": address, "error": why.as_deref().map(without_number) });
        value["lost"] = stage.losers.iter().map(lost).collect();
    }
    if let Some(info) = stage.tcp {
        value["round_trip_ms"] = json!(ms(info.round_trip));
        value["retransmits"] = json!(info.retransmits);
    }
    if let Some(proxys) = &stage.tls {
        value["tls"] = tls(proxys);
    }
    if let Some(version) = stage.version {
        value["http_version"] = json!(version.number());
    }
    if let Some(last) = stage.exchanges.last() {
        value["http_status"] = json!(last.status.code());
        value["reason"] = json!(last.reason);
        value["connections"] = json!(last.connection);
        value["exchanges"] = stage.exchanges.iter().map(exchange).collect();
    }
    if let Some(content) = &stage.content {
        value["page"] = json!(content);
    }
    value
}

fn exchange(exchange: &Exchange) -> Value {
    let field = |(name, value): &(String, String)| json!({ "name": name, "value": value });
    json!({
        "connection": exchange.connection,
        "scheme": exchange.scheme,
        "http_status": exchange.status.code(),
        "reason": exchange.reason,
        "offered": exchange.offered,
        "stale": exchange.stale,
        "fields": exchange.explanations.iter().map(field).collect::<Vec<_>>(),
    })
}

/// Of the target and of a proxy alike.
fn tls(tls: &TlsReport) -> Value {
    let trusted = |wanted| {
        let found = tls.verdicts.iter().find(|(store, _)| *store == wanted);
        found.map(|(_, verdict)| *verdict == Verdict::Trusted)
    };
    json!({
        "version": tls.seen.version,
        "cipher_suite": tls.seen.cipher_suite,
        "group": tls.seen.group,
        "signature_scheme": tls.seen.signature,
        "alpn": tls.seen.alpn,
        "sni": tls.seen.sni,
        "name": tls.name,
        "ocsp_staple_bytes": tls.seen.ocsp_staple,
        "resumption": tls.seen.complete.then_some(tls.seen.resumable),
        "client_certificate_requested": tls.seen.wants_certificate,
        "chain": tls.chain.iter().map(certificate).collect::<Vec<_>>(),
        "trusted": {
            "mozilla": trusted(Store::Mozilla), "system": trusted(Store::System), "cacert": trusted(Store::Given),
        },
        "problems": tls.problems.iter().map(problem).collect::<Vec<_>>(),
    })
}

fn certificate(certificate: &CertificateFacts) -> Value {
    json!({
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "names": certificate.names,
        "not_before": certificate.not_before.map(|at| at.to_string()),
        "not_after": certificate.not_after.map(|at| at.to_string()),
        "days_left": certificate.days_left(SystemTime::now()),
        "key": certificate.key,
        "signature": certificate.signature,
        "serial": certificate.serial,
        "sha256": certificate.sha256,
        "key_sha256": certificate.key_sha256,
    })
}

fn ms(time: Duration) -> f64 {
    microseconds(time) as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::super::facts::at_length;
    use super::*;
    use crate::mode::Routes;
    use crate::mode::check::{Check, Inside, Lookups, run};
    use crate::net::names::Names;
    use crate::route::{NoProxy, Policy, Proxy};
    use crate::tunnel;

    /// A check through a proxy whose name has two addresses, of which one answers.
    async fn checked() -> (Report, SocketAddr) {
        let proxy = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let good = proxy.local_addr().expect("bound");
        let nobody = SocketAddr::new(std::net::Ipv6Addr::LOCALHOST.into(), good.port());
        let place: Authority = format!("proxy.test:{}", good.port()).parse().expect("an authority");
        let config = tunnel::Config::default();
        let names = Names::knowing(place.clone(), config.dial.family, vec![nobody, good]);
        let check = Check {
            routes: Routes::Named(Policy {
                proxy: Proxy::Via(vec![format!("http://{place}").parse().expect("a proxy")]),
                exempt: NoProxy::default(),
            }),
            config: tunnel::Config { names, ..config },
            lookups: Lookups::Shared,
            warn_expiry: None,
            inside: Inside::default(),
        };
        let served = async {
            let (mut stream, _) = proxy.accept().await.expect("a client");
            let mut head = [0; 1024];
            while !stream.read(&mut head).await.is_ok_and(|n| head[..n].ends_with(b"\r\n\r\n")) {}
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("a client that listens");
        };
        let target = "host:22".parse().expect("a target");
        let (report, ()) = tokio::join!(run(&check, &target), served);
        (report, nobody)
    }

    #[tokio::test]
    async fn the_address_that_lost_is_told_with_its_error() {
        let (report, nobody) = checked().await;
        let lost = json!([{ "address": nobody.to_string(), "error": "Connection refused" }]);
        assert_eq!(stage(&report.stages[1])["lost"], lost);
        assert!(at_length(&report).contains(&("lost", format!("{nobody}: Connection refused"))));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_was_sent_again_is_counted() {
        let (mut report, _) = checked().await;
        for (times, told) in [(0, None), (1, Some("sent again once")), (2, Some("sent again 2 times"))] {
            report.stages[1].tcp.as_mut().expect("the kernel's word").retransmits = times;
            assert_eq!(stage(&report.stages[1])["retransmits"], times);
            let lines = at_length(&report);
            let (_, line) = lines.iter().find(|(name, _)| *name == "round trip").expect("a line");
            assert_eq!(line.split_once(", ").map(|(_, told)| told), told);
        }
    }
}
