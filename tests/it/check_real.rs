//! `wimble check` of TLS servers through real proxies: what is well, and each thing that can be wrong.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::origin::Origin;
use crate::support::pki::{Leaf, Pki};
use crate::support::real::{Authentication, DeadPort, PASSWORD, Proxy, Software, USER, soon};
use crate::support::{Finished, finish, wimble, wimble_through};

const CHECK: Duration = Duration::from_secs(60);
const STAGES: [&str; 4] = ["resolve", "tcp", "connect", "tls"];

#[test]
fn every_stage_is_well_through_squid() {
    all_is_well_through(Software::Squid, Authentication::Open);
}

#[test]
fn every_stage_is_well_through_a_squid_that_wants_a_password() {
    all_is_well_through(Software::Squid, Authentication::Basic);
}

#[test]
fn every_stage_is_well_through_tinyproxy() {
    all_is_well_through(Software::Tinyproxy, Authentication::Open);
}

#[test]
fn every_stage_is_well_through_apache() {
    all_is_well_through(Software::Apache, Authentication::Open);
}

#[test]
fn every_stage_is_well_through_an_apache_that_wants_a_password() {
    all_is_well_through(Software::Apache, Authentication::Basic);
}

#[test]
fn a_proxy_on_an_ipv6_address_is_reached() {
    let (proxy, pki) = (Proxy::squid(), Pki::new());
    let server = pki.server(Leaf::Good);
    let report =
        check(&proxy.ipv6_url(), &["--cacert", text(&pki.ca_file())], &localhost(server.port())).exits(0);
    report.has_stages(&["ok"; 4]);
    proxy.carried(&localhost(server.port()));
}

#[test]
fn a_proxy_that_wants_a_password_and_gets_none_is_exit_6() {
    let (proxy, pki) = (Proxy::squid_with_basic(), Pki::new());
    let report = check(&proxy.url(), &[], &localhost(pki.server(Leaf::Good).port())).exits(6);
    report.has_stages(&["ok", "ok", "failed", "skipped"]);
    report.has_error("connect", "auth", "407");
}

#[test]
fn a_wrong_password_is_exit_6_and_is_sent_once() {
    let (proxy, pki) = (Proxy::squid_with_basic(), Pki::new());
    let target = localhost(pki.server(Leaf::Good).port());
    let url = proxy.url().replace("//", "//alice:not-the-password@");
    let report = check(&url, &[], &target).exits(6);
    report.has_stages(&["ok", "ok", "failed", "skipped"]);
    report.has_error("connect", "auth", "407");
    report.never_says("not-the-password");
    // Once without credentials, once with them: a third would be a step towards a locked account.
    // Squid logs an answer once it is sent, which may be after it has been read.
    let denied = || proxy.log().matches("TCP_DENIED/407").count();
    soon(|| denied() >= 2);
    assert_eq!(denied(), 2, "{}", proxy.log());
}

#[test]
fn a_port_that_squid_forbids_is_exit_7() {
    let proxy = Proxy::squid();
    let report = check(&proxy.url(), &[], "localhost:25").exits(7);
    report.has_stages(&["ok", "ok", "failed", "skipped"]);
    report.has_error("connect", "refused", "403");
}

#[test]
fn a_target_where_nobody_listens_is_exit_8() {
    let dead = DeadPort::new();
    for (software, status) in
        [(Software::Squid, "503"), (Software::Tinyproxy, "500"), (Software::Apache, "503")]
    {
        let proxy = Proxy::start(software, Authentication::Open);
        let report = check(&proxy.url(), &[], &format!("127.0.0.1:{}", dead.port())).exits(8);
        report.has_stages(&["ok", "ok", "failed", "skipped"]);
        report.has_error("connect", "gateway", status);
    }
}

#[test]
fn a_proxy_where_nobody_listens_is_exit_4() {
    let dead = DeadPort::new();
    let report = check(&format!("http://127.0.0.1:{}", dead.port()), &[], "localhost:443").exits(4);
    report.has_stages(&["ok", "failed", "skipped", "skipped"]);
    report.has_error("tcp", "unreachable", "refused");
}

#[test]
fn a_certificate_for_another_name_is_exit_10_and_is_shown() {
    a_bad_certificate_is_shown(Leaf::WrongName, "elsewhere.test");
}

#[test]
fn an_expired_certificate_is_exit_10_and_is_shown() {
    a_bad_certificate_is_shown(Leaf::Expired, "2021");
}

#[test]
fn a_self_signed_certificate_is_exit_10_and_is_shown() {
    a_bad_certificate_is_shown(Leaf::SelfSigned, "localhost");
}

#[test]
fn a_certificate_from_an_authority_that_nobody_knows_is_exit_10_and_is_shown() {
    let (proxy, pki) = (Proxy::squid(), Pki::new());
    let server = pki.server(Leaf::Good);
    let report = check(&proxy.url(), &[], &localhost(server.port())).exits(10);
    report.has_stages(&["ok", "ok", "ok", "failed"]);
    report.has_chain(2, server.fingerprint());
}

#[test]
fn insecure_lets_a_self_signed_certificate_pass() {
    let (proxy, pki) = (Proxy::squid(), Pki::new());
    let server = pki.server(Leaf::SelfSigned);
    let report = check(&proxy.url(), &["--insecure"], &localhost(server.port())).exits(0);
    report.has_stages(&["ok"; 4]);
    report.has_chain(1, server.fingerprint());
}

#[test]
fn a_target_without_tls_is_well_when_no_tls_is_asked_for_and_exit_10_otherwise() {
    let proxy = Proxy::squid();
    // Speaks at once, as sshd does, and ends.
    let target = Origin::serving(|mut stream| {
        stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").ok();
    });
    let target = target.target();
    let report = check(&proxy.url(), &["--no-tls"], &target).exits(0);
    assert_eq!(report.stages(), ["resolve ok", "tcp ok", "connect ok"]);
    let report = check(&proxy.url(), &[], &target).exits(10);
    report.has_stages(&["ok", "ok", "ok", "failed"]);
}

#[test]
fn each_target_gets_its_own_line_of_json_and_the_worst_is_not_hidden() {
    let (proxy, pki) = (Proxy::squid(), Pki::new());
    let targets = [Leaf::Good, Leaf::Expired].map(|leaf| localhost(pki.server(leaf).port()));
    let mut command = wimble();
    command.args(["check", "--json", "--proxy", &proxy.url(), "--cacert"]).arg(pki.ca_file()).args(&targets);
    let done = finish(&mut detached(&command), b"", CHECK);
    assert_eq!(done.code, Some(10), "{}", done.stderr);
    let reports: Vec<Value> = done.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let codes: Vec<_> = reports.iter().map(|report| report["exit_code"].as_i64().unwrap()).collect();
    assert_eq!(codes, [0, 10]);
    assert_eq!(reports.iter().map(|report| report["target"].as_str().unwrap()).collect::<Vec<_>>(), targets);
}

#[test]
fn the_text_report_names_every_stage_and_the_certificate() {
    let (proxy, pki) = (Proxy::squid_with_basic(), Pki::new());
    let server = pki.server(Leaf::Good);
    let mut command = wimble();
    command.args(["check", "--proxy", &proxy.url(), "--cacert"]).arg(pki.ca_file());
    let done = finish(credentials(&mut command).arg(localhost(server.port())), b"", CHECK).exits(0);
    let report = done.text();
    for part in STAGES.iter().copied().chain(["TLS", "wimble test intermediate", &localhost(server.port())]) {
        assert!(report.contains(part), "{part:?} is missing:\n{report}");
    }
    assert!(!report.contains('\u{1b}'), "colour in a pipe: {report:?}");
    assert!(!report.contains(PASSWORD) && !done.stderr.contains(PASSWORD), "the password is shown");
}

#[test]
fn the_text_report_of_an_untrusted_certificate_has_the_facts_of_the_handshake() {
    let (proxy, pki) = (Proxy::squid(), Pki::new());
    let server = pki.server(Leaf::Expired);
    let mut command = wimble();
    command.args([
        "check",
        "--proxy",
        &proxy.url(),
        "--cacert",
        text(&pki.ca_file()),
        &localhost(server.port()),
    ]);
    let report = finish(&mut command, b"", CHECK).exits(10).text();
    let tls = report
        .lines()
        .find(|line| line.trim_start().starts_with("tls "))
        .unwrap_or_else(|| panic!("{report}"));
    assert!(tls.contains("failed: TLSv1.3"), "{report}");
}

#[test]
fn the_text_report_of_a_failure_names_the_stage_and_gives_one_hint() {
    let proxy = Proxy::squid();
    let mut command = wimble();
    let done = finish(command.args(["check", "--proxy", &proxy.url(), "localhost:25"]), b"", CHECK).exits(7);
    let both = format!("{}\n{}", done.text(), done.stderr);
    assert!(both.contains("connect") && both.contains("403"), "{both}");
    assert_eq!(both.matches("hint: ").count(), 1, "{both}");
}

fn all_is_well_through(software: Software, authentication: Authentication) {
    let (proxy, pki) = (Proxy::start(software, authentication), Pki::new());
    let server = pki.server(Leaf::Good);
    let target = localhost(server.port());
    let mut command = json_check(&proxy.url(), &["--cacert", text(&pki.ca_file())], &target);
    if authentication == Authentication::Basic {
        credentials(&mut command);
    }
    let report = Report::of(&command).exits(0);
    report.has_stages(&["ok"; 4]);
    assert_eq!(report.json["ok"], true);
    assert_eq!(report.json["target"], *target);
    assert!(report.json["proxy"].to_string().contains(&proxy.url()["http://".len()..]), "{}", report.json);
    assert!(report.json["error"].is_null(), "{}", report.json);
    let version = report.json["tls"]["version"].as_str().unwrap();
    assert!(version.contains("1.3"), "{version:?}");
    report.has_chain(2, server.fingerprint());
    let leaf = report.json["tls"]["chain"][0].to_string();
    for part in ["localhost", "wimble test intermediate", "2020", "2049"] {
        assert!(leaf.contains(part), "{part:?} is missing in {leaf}");
    }
    report.never_says(PASSWORD);
    proxy.carried(&target);
}

fn a_bad_certificate_is_shown(leaf: Leaf, part: &str) {
    let (proxy, pki) = (Proxy::squid(), Pki::new());
    let server = pki.server(leaf);
    let ca = pki.ca_file();
    let report = check(&proxy.url(), &["--cacert", text(&ca)], &localhost(server.port())).exits(10);
    report.has_stages(&["ok", "ok", "ok", "failed"]);
    report.has_chain(if matches!(leaf, Leaf::SelfSigned) { 1 } else { 2 }, server.fingerprint());
    report.has_error("tls", "tls", "");
    let shown = report.json["tls"]["chain"][0].to_string();
    assert!(shown.contains(part), "{part:?} is missing in {shown}");
}

fn localhost(port: u16) -> String {
    format!("localhost:{port}")
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn json_check(proxy: &str, options: &[&str], target: &str) -> Command {
    let mut command = wimble();
    command.args(["check", "--json", "--proxy", proxy]).args(options).arg(target);
    command
}

fn credentials(command: &mut Command) -> &mut Command {
    command.env("WIMBLE_PROXY_USER", USER).env("WIMBLE_PROXY_PASSWORD", PASSWORD)
}

/// Without a controlling terminal, on which a 407 would ask the tester for a password.
fn detached(command: &Command) -> Command {
    wimble_through("setsid", &[], command)
}

fn check(proxy: &str, options: &[&str], target: &str) -> Report {
    Report::of(&json_check(proxy, options, target))
}

/// One target's JSON, and the process that printed it.
struct Report {
    done: Finished,
    json: Value,
}

impl Report {
    #[track_caller]
    fn of(command: &Command) -> Self {
        let done = finish(&mut detached(command), b"", CHECK);
        let json = serde_json::from_slice(&done.stdout)
            .unwrap_or_else(|why| panic!("{why}: {:?}\nstderr:\n{}", done.text(), done.stderr));
        Self { done, json }
    }

    /// The process and the report agree on this code.
    #[track_caller]
    fn exits(self, code: i32) -> Self {
        assert_eq!(self.done.code, Some(code), "{}\nstderr:\n{}", self.json, self.done.stderr);
        assert_eq!(self.json["exit_code"], code, "{}", self.json);
        assert_eq!(self.json["ok"], code == 0, "{}", self.json);
        self
    }

    #[track_caller]
    fn stages(&self) -> Vec<String> {
        let stages = self.json["stages"].as_array().unwrap();
        for stage in stages.iter().filter(|stage| stage["status"] == "ok") {
            assert!(stage["ms"].as_f64().is_some_and(|ms| (0.0..60_000.0).contains(&ms)), "no time: {stage}");
        }
        stages.iter().map(|stage| format!("{} {}", stage["name"], stage["status"]).replace('"', "")).collect()
    }

    #[track_caller]
    fn has_stages(&self, wanted: &[&str; 4]) {
        let wanted: Vec<String> =
            STAGES.iter().zip(wanted).map(|(name, status)| format!("{name} {status}")).collect();
        assert_eq!(self.stages(), wanted, "{}", self.json);
    }

    #[track_caller]
    fn has_error(&self, stage: &str, kind: &str, part: &str) {
        let error = &self.json["error"];
        assert_eq!((&error["stage"], &error["kind"]), (&stage.into(), &kind.into()), "{}", self.json);
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(part), "{part:?} is missing in {message:?}");
        assert!(error["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "no hint: {error}");
    }

    #[track_caller]
    fn has_chain(&self, length: usize, leaf: &str) {
        let chain = self.json["tls"]["chain"].as_array().unwrap_or_else(|| panic!("no chain: {}", self.json));
        assert_eq!(chain.len(), length, "{chain:?}");
        let plain = chain[0].to_string().to_lowercase().replace(':', "");
        assert!(plain.contains(leaf), "SHA-256 {leaf} is missing in {}", chain[0]);
    }

    #[track_caller]
    fn never_says(&self, secret: &str) {
        let said = self.done.text() + &self.done.stderr;
        assert!(!said.contains(secret), "the password is shown: {said}");
    }
}
