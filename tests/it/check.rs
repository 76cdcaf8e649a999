//! `check` against scripted proxies: the stages, the report as JSON and as text. Real TLS is in `check_real`.

use std::process::Command;

use serde_json::Value;

use crate::support::pki::{HOSTILE_NAME, Leaf, Pki};
use crate::support::proxy::{BASIC_407, Conn, OK, ScriptedProxy, turn};
use crate::support::{Finished, LIMIT, closed_port, finish, wimble};

/// A proxy given by a name, so that there is a name to resolve.
pub(crate) fn by_name(proxy: &ScriptedProxy) -> String {
    format!("http://localhost:{}", proxy.port())
}

pub(crate) fn check(proxy: &str, args: &[&str]) -> Command {
    let mut cmd = wimble();
    cmd.args(["check", "--proxy", proxy]).args(args);
    cmd
}

/// The JSON objects on stdout.
#[track_caller]
pub(crate) fn reports(finished: &Finished) -> Vec<Value> {
    let objects: Result<Vec<Value>, _> =
        serde_json::Deserializer::from_slice(&finished.stdout).into_iter().collect();
    objects.unwrap_or_else(|why| panic!("{why} in {:?}; stderr: {}", finished.text(), finished.stderr))
}

#[track_caller]
pub(crate) fn report(finished: &Finished) -> Value {
    let mut reports = reports(finished);
    assert_eq!(reports.len(), 1, "{reports:?}");
    reports.remove(0)
}

/// `NAME:STATUS` for each stage.
pub(crate) fn stages(report: &Value) -> Vec<String> {
    let stages = report["stages"].as_array().unwrap_or_else(|| panic!("no stages: {report}"));
    let word = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{report}")).to_owned();
    stages.iter().map(|stage| format!("{}:{}", word(&stage["name"]), word(&stage["status"]))).collect()
}

/// What a proxy that answers this is reported as.
#[track_caller]
pub(crate) fn answered(answer: impl AsRef<[u8]>, code: i32) -> (Finished, Value) {
    let answer = answer.as_ref().to_vec();
    let proxy = ScriptedProxy::start(move |conn| {
        conn.expect_connect("host:443");
        conn.send_in_vain(&answer);
        conn.finish_writing();
        conn.read_to_any_end();
    });
    let finished = finish(&mut check(&by_name(&proxy), &["--json", "host:443"]), b"", LIMIT).exits(code);
    proxy.done();
    let report = report(&finished);
    (finished, report)
}

#[track_caller]
pub(crate) fn assert_failure(report: &Value, stage: &str, kind: &str, code: i32) {
    assert_eq!(report["ok"], false, "{report}");
    assert_eq!(report["exit_code"], code, "{report}");
    assert_eq!(report["error"]["stage"], stage, "{report}");
    assert_eq!(report["error"]["kind"], kind, "{report}");
    for words in ["message", "hint"] {
        assert!(report["error"][words].as_str().is_some_and(|text| !text.is_empty()), "{words}: {report}");
    }
}

#[test]
fn a_way_that_is_free_is_reported_stage_by_stage() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.open("host:22");
        conn.read_to_any_end();
    });
    let finished =
        finish(&mut check(&by_name(&proxy), &["--json", "--no-tls", "host:22"]), b"", LIMIT).exits(0);
    let report = report(&finished);
    assert_eq!(stages(&report), ["resolve:ok", "tcp:ok", "connect:ok"]);
    assert_eq!(report["target"], "host:22");
    assert!(report["proxy"].to_string().contains(&format!("localhost:{}", proxy.port())), "{report}");
    assert_eq!(report["ok"], true);
    assert_eq!(report["exit_code"], 0);
    assert!(report["error"].is_null(), "{report}");
    for stage in report["stages"].as_array().unwrap() {
        assert!(stage["ms"].as_f64().is_some_and(|ms| (0.0..60_000.0).contains(&ms)), "{stage}");
    }
    assert_eq!(finished.stderr, "");
    proxy.done();
}

#[test]
fn a_name_that_does_not_resolve_skips_the_rest() {
    let mut cmd = check("http://nowhere.invalid:3128", &["--json", "host:443"]);
    let report = report(&finish(&mut cmd, b"", LIMIT).exits(3));
    assert_eq!(stages(&report), ["resolve:failed", "tcp:skipped", "connect:skipped", "tls:skipped"]);
    assert_failure(&report, "resolve", "resolve", 3);
}

#[test]
fn a_proxy_that_is_down_fails_at_tcp() {
    let url = format!("http://localhost:{}", closed_port());
    let report = report(&finish(&mut check(&url, &["--json", "host:443"]), b"", LIMIT).exits(4));
    assert_eq!(stages(&report), ["resolve:ok", "tcp:failed", "connect:skipped", "tls:skipped"]);
    assert_failure(&report, "tcp", "unreachable", 4);
}

const CONNECT_FAILED: [&str; 4] = ["resolve:ok", "tcp:ok", "connect:failed", "tls:skipped"];

#[test]
fn a_407_is_a_failure_of_connect() {
    let (_, report) = answered(BASIC_407, 6);
    assert_eq!(stages(&report), CONNECT_FAILED);
    assert_failure(&report, "connect", "auth", 6);
}

#[test]
fn a_403_is_a_failure_of_connect() {
    let (_, report) = answered("HTTP/1.1 403 Not this port\r\nContent-Length: 0\r\n\r\n", 7);
    assert_eq!(stages(&report), CONNECT_FAILED);
    assert_failure(&report, "connect", "refused", 7);
    assert!(report["error"]["message"].as_str().unwrap().contains("403"), "{report}");
}

#[test]
fn a_503_is_a_failure_of_connect() {
    let (_, report) = answered("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", 8);
    assert_eq!(stages(&report), CONNECT_FAILED);
    assert_failure(&report, "connect", "gateway", 8);
}

#[test]
fn nonsense_is_a_failure_of_connect() {
    let (_, report) = answered("SSH-2.0-OpenSSH_9.9\r\n", 9);
    assert_eq!(stages(&report), CONNECT_FAILED);
    assert_failure(&report, "connect", "protocol", 9);
}

#[test]
fn no_answer_at_all_is_unreachable() {
    let (_, report) = answered("", 4);
    assert_eq!(stages(&report), CONNECT_FAILED);
    assert_failure(&report, "connect", "unreachable", 4);
}

#[test]
fn a_limit_that_passes_names_its_stage() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:443");
        conn.read_to_any_end();
    });
    let mut cmd = check(&by_name(&proxy), &["--json", "--proxy-timeout", "300ms", "host:443"]);
    let report = report(&finish(&mut cmd, b"", LIMIT).exits(124));
    assert_eq!(stages(&report), CONNECT_FAILED);
    assert_failure(&report, "connect", "timeout", 124);
    proxy.done();
}

#[test]
fn a_target_that_speaks_no_tls_fails_at_tls() {
    let (_, report) = answered([OK, b"SSH-2.0-OpenSSH_9.9\r\n"].concat(), 10);
    assert_eq!(stages(&report), ["resolve:ok", "tcp:ok", "connect:ok", "tls:failed"]);
    assert_failure(&report, "tls", "tls", 10);
}

#[test]
fn q33_a_page_behind_the_200_is_shown() {
    let (_, report) = answered("HTTP/1.1 200 OK\r\n\r\n<html>Blocked by policy</html>", 10);
    assert_failure(&report, "tls", "tls", 10);
    assert!(report["error"].to_string().contains("<html>Blocked"), "{report}");
}

#[test]
fn q34_a_tunnel_closed_behind_zero_bytes_is_called_that() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.open("host:443");
        // Behind the start of the ClientHello; the rest is read below, so that the end is no reset.
        conn.read_exact(5);
        conn.finish_writing();
        conn.read_to_any_end();
    });
    let mut cmd = check(&by_name(&proxy), &["--json", "host:443"]);
    let finished = finish(&mut cmd, b"", LIMIT).exits(10);
    let report = report(&finished);
    assert_eq!(stages(&report), ["resolve:ok", "tcp:ok", "connect:ok", "tls:failed"]);
    assert!(report["error"].to_string().contains("0 bytes"), "{report}");
    proxy.done();
}

#[test]
fn stages_that_do_not_apply_are_left_out() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        conn.send("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
        conn.read_to_any_end();
    });
    let mut cmd = check(&by_name(&proxy), &["--json", "--no-tls", "host:22"]);
    let report = report(&finish(&mut cmd, b"", LIMIT).exits(7));
    assert_eq!(stages(&report), ["resolve:ok", "tcp:ok", "connect:failed"]);
    proxy.done();
}

#[test]
fn each_target_has_its_object() {
    let opens = |conn: &mut Conn| {
        conn.open("first:22");
        conn.read_to_any_end();
    };
    let refuses = |conn: &mut Conn| {
        conn.expect_connect("second:22");
        conn.send("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
        conn.read_to_any_end();
    };
    let proxy = ScriptedProxy::in_turn(vec![turn(opens), turn(refuses)]);
    let mut cmd = check(&proxy.url(), &["--json", "--no-tls", "first:22", "second:22"]);
    let finished = finish(&mut cmd, b"", LIMIT).exits(7);
    let reports = reports(&finished);
    let got: Vec<_> =
        reports.iter().map(|report| (&report["target"], &report["ok"], &report["exit_code"])).collect();
    assert_eq!(
        got,
        [(&"first:22".into(), &true.into(), &0.into()), (&"second:22".into(), &false.into(), &7.into())]
    );
    proxy.done();
}

#[test]
fn usage_errors_are_exit_2() {
    for args in [&["--no-tls"][..], &["host"], &["ho st:443"]] {
        let proxy = ScriptedProxy::untouched();
        finish(&mut check(&proxy.url(), args), b"", LIMIT).exits(2);
        proxy.done();
    }
    finish(wimble().args(["check", "host:443"]), b"", LIMIT).exits(2);
}

#[test]
fn as_text_each_stage_has_a_line_without_escape_codes() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.open("host:22");
        conn.read_to_any_end();
    });
    let finished = finish(&mut check(&by_name(&proxy), &["--no-tls", "host:22"]), b"", LIMIT).exits(0);
    let text = finished.text();
    assert!(text.contains("host:22"), "{text}");
    for stage in ["resolve", "tcp", "connect"] {
        assert!(text.lines().any(|line| line.contains(stage)), "no line for {stage}:\n{text}");
    }
    assert!(!text.contains('\x1b'), "{text:?}");
    proxy.done();
}

#[test]
fn as_text_a_failure_has_exactly_one_hint() {
    for (answer, code) in [
        (BASIC_407, 6),
        (b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", 7),
        (b"HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n", 8),
        (b"garbage\r\n\r\n", 9),
        (b"", 4),
    ] {
        let proxy = ScriptedProxy::start(move |conn| {
            conn.expect_connect("host:22");
            conn.send_in_vain(answer);
            conn.finish_writing();
            conn.read_to_any_end();
        });
        let finished = finish(&mut check(&proxy.url(), &["--no-tls", "host:22"]), b"", LIMIT).exits(code);
        let said = format!("{}{}", finished.text(), finished.stderr);
        assert_eq!(said.lines().filter(|line| line.trim_start().starts_with("hint: ")).count(), 1, "{said}");
        proxy.done();
    }
}

#[test]
fn control_characters_from_the_network_are_escaped() {
    for (answer, code) in [
        (&b"HTTP/1.1 403 \x1b[31mcolourful\x1b[0m\r\nContent-Length: 0\r\n\r\n"[..], 9),
        (b"HTTP/1.1 403 No\r\nContent-Length: 26\r\n\r\n\x1b]0;colourful title\x07\x08\x9b\x00\x7f\r\n", 7),
        (b"\x1b[31mcolourful\r\n\r\n", 9),
        (b"HTTP/1.1 407 Auth\r\nProxy-Authenticate: \x1b[31m realm=\"x\"\r\n\r\n", 6),
        // What HTTP permits: C1 in UTF-8.
        (b"HTTP/1.1 403 \xc2\x9b31mcolourful\r\nContent-Length: 0\r\n\r\n", 7),
        (b"HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic realm=\"\xc2\x9b31m\"\r\nContent-Length: 0\r\n\r\n", 6),
    ] {
        for json in [true, false] {
            let proxy = ScriptedProxy::start(move |conn| {
                conn.expect_connect("host:22");
                conn.send_in_vain(answer);
                conn.finish_writing();
                conn.read_to_any_end();
            });
            let mut cmd = check(&proxy.url(), &["--no-tls", "-vv", "host:22"]);
            if json {
                cmd.arg("--json");
            }
            let finished = finish(&mut cmd, b"", LIMIT).exits(code);
            let said = format!("{}{}", finished.text(), finished.stderr);
            let control = said.chars().find(|c| c.is_control() && *c != '\n' && *c != '\t');
            assert_eq!(control, None, "{said:?}");
            proxy.done();
        }
    }
}

/// `check --json` of a TLS server without a proxy.
pub(crate) fn check_directly(port: u16, options: &[&str]) -> Command {
    check("direct", &[&["--json", &format!("localhost:{port}")], options].concat())
}

#[test]
fn names_in_a_certificate_are_safe_to_look_at_and_still_what_they_are() {
    let pki = Pki::new();
    let server = pki.server(Leaf::Hostile);
    let finished = finish(&mut check_directly(server.port(), &["--insecure"]), b"", LIMIT).exits(0);
    let dangerous = |c: char| c.is_control() && c != '\n' || "\u{202e}\u{61c}".contains(c);
    assert_eq!(finished.text().chars().find(|c| dangerous(*c)), None, "{:?}", finished.text());
    let report = report(&finished);
    let subject = report["tls"]["chain"][0]["subject"].as_str().unwrap_or_else(|| panic!("{report}"));
    assert!(subject.contains(HOSTILE_NAME), "{subject:?}");

    let target = format!("localhost:{}", server.port());
    let finished = finish(&mut check("direct", &["-vv", "--insecure", &target]), b"", LIMIT).exits(0);
    let said = format!("{}{}", finished.text(), finished.stderr);
    assert_eq!(said.chars().find(|c| dangerous(*c)), None, "{said:?}");
    assert!(said.contains("evil"), "{said:?}");
}

#[test]
fn the_very_certificate_that_is_shown_can_be_trusted_by_a_file() {
    let pki = Pki::new();
    let file = |pki: &Pki| pki.leaf_file().to_str().unwrap().to_owned();
    for leaf in [Leaf::SelfSigned, Leaf::OwnAuthority] {
        let server = pki.server(leaf);
        let given = ["--cacert", &file(&pki)];
        let report = report(&finish(&mut check_directly(server.port(), &given), b"", LIMIT).exits(0));
        assert_eq!(report["tls"]["chain"][0]["sha256"], server.fingerprint(), "{leaf:?}: {report}");
        // For its own names, and not where another is shown.
        let elsewhere = [&given[..], &["--sni", "elsewhere.test"]].concat();
        finish(&mut check_directly(server.port(), &elsewhere), b"", LIMIT).exits(10);
        finish(&mut check_directly(Pki::new().server(leaf).port(), &given), b"", LIMIT).exits(10);
    }
    let server = pki.server(Leaf::Expired);
    finish(&mut check_directly(server.port(), &["--cacert", &file(&pki)]), b"", LIMIT).exits(10);
}
