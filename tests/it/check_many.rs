//! `check` more than once: ports, targets at the same time, repetition, comparison.

use std::time::Duration;

use serde_json::Value;

use crate::check::{check, reports};
use crate::support::origin::Origin;
use crate::support::proxy::{Conn, OK, ScriptedProxy, turn};
use crate::support::{LIMIT, Running, finish};

/// A proxy that permits some ports, refuses others, and cannot reach one.
fn gate() -> Origin {
    Origin::serving(|stream| {
        let mut conn = Conn::new(stream);
        let head = conn.head();
        let port = head.split(' ').nth(1).and_then(|target| target.rsplit(':').next()?.parse::<u16>().ok());
        conn.send_in_vain(match port {
            Some(443 | 8000..=8010) => OK,
            Some(9) => b"HTTP/1.1 503 Unreachable\r\nContent-Length: 0\r\n\r\n",
            _ => b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        });
    })
}

#[test]
fn a_sweep_says_which_ports_the_proxy_permits() {
    let proxy = gate();
    let mut cmd = check(&proxy.url(), &["host.test", "--ports", "22,443,8000-8020,9"]);
    let text = finish(&mut cmd, b"", LIMIT).exits(7).text();
    let line = |name: &str| {
        text.lines()
            .find(|line| line.trim_start().starts_with(name))
            .unwrap_or_else(|| panic!("{name}: {text}"))
    };
    assert!(line("permits").ends_with("443, 8000-8010"), "{text}");
    assert!(line("can't reach").ends_with("9 (503 Unreachable)"), "{text}");
    assert!(line("refuses").ends_with("22, 8011-8020 (403 Forbidden)"), "{text}");
}

#[test]
fn a_sweep_of_a_thousand_ports_has_an_object_for_each_in_order() {
    let proxy = gate();
    let mut cmd = check(&proxy.url(), &["--json", "host.test:1", "--ports", "7001-8000"]);
    let reports = reports(&finish(&mut cmd, b"", LIMIT).exits(7));
    assert_eq!(reports.len(), 1000);
    for (report, port) in reports.iter().zip(7001..) {
        assert_eq!(report["target"], format!("host.test:{port}"));
        assert_eq!(report["ok"], port == 8000, "{report}");
        assert_eq!(report["stages"].as_array().unwrap().len(), 3, "{report}");
    }
}

#[test]
fn a_sweep_that_cannot_ask_says_why() {
    let url = format!("http://127.0.0.1:{}", crate::support::closed_port());
    finish(&mut check(&url, &["host", "--ports", "22,23"]), b"", LIMIT)
        .exits(4)
        .says("hint: nothing listens there");
    for args in [&["a", "b", "--ports", "1"][..], &["a", "--ports", "0"], &["a", "--ports", "5-4"]] {
        finish(&mut check(&url, args), b"", LIMIT).fails(2);
    }
}

#[test]
fn targets_are_checked_at_the_same_time_and_told_in_their_order() {
    // The second is answered only once the third has been asked.
    let (tell, told) = std::sync::mpsc::channel::<()>();
    let told = std::sync::Mutex::new(told);
    let proxy = Origin::serving(move |stream| {
        let mut conn = Conn::new(stream);
        let head = conn.head();
        match head.split(' ').nth(1) {
            Some("second:22") => told.lock().unwrap().recv_timeout(LIMIT).unwrap(),
            Some("third:22") => tell.send(()).unwrap(),
            _ => {}
        }
        conn.send_in_vain("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
    });
    let mut cmd = check(&proxy.url(), &["--json", "--no-tls", "first:22", "second:22", "third:22"]);
    let reports = reports(&finish(&mut cmd, b"", LIMIT).exits(7));
    let targets: Vec<_> = reports.iter().map(|report| report["target"].as_str().unwrap()).collect();
    assert_eq!(targets, ["first:22", "second:22", "third:22"]);
}

#[test]
fn repeated_checks_have_an_object_each_and_one_of_their_spread() {
    let proxy = gate();
    let args = ["--json", "--no-tls", "--count", "3", "--interval", "1ms", "host:22"];
    let reports = reports(&finish(&mut check(&proxy.url(), &args), b"", LIMIT).exits(7));
    let runs: Vec<_> = reports.iter().map(|report| report["run"].as_u64()).collect();
    assert_eq!(runs, [Some(1), Some(2), Some(3), None]);
    let spread = &reports[3]["statistics"];
    assert_eq!((&spread["runs"], &spread["failed"]), (&3.into(), &3.into()), "{spread}");
    assert_eq!(reports[3]["exit_code"], 7);
    // The gate refuses, which fails `connect`: the stages below it have their times.
    let names: Vec<_> =
        spread["stages"].as_array().unwrap().iter().map(|stage| stage["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["resolve", "tcp"]);
    for stage in spread["stages"].as_array().unwrap() {
        let time = |name: &str| stage[name].as_f64().unwrap();
        assert!(time("min_ms") <= time("median_ms") && time("median_ms") <= time("p95_ms"), "{stage}");
        assert!(time("p95_ms") <= time("max_ms"), "{stage}");
        assert_eq!(stage["count"], 3);
    }
}

#[test]
fn each_check_asks_the_resolver_and_a_sweep_asks_it_once() {
    let proxy = gate();
    let url = format!("http://localhost:{}", proxy.port());
    for (args, lookups) in [
        (&["--count", "3", "--interval", "1ms", "host:22"][..], 3),
        (&["host:22", "host:23"], 2),
        (&["--ports", "20-29", "host"], 1),
    ] {
        let finished = finish(check(&url, args).arg("-v"), b"", LIMIT).exits(7);
        let asked = finished
            .stderr
            .lines()
            .filter(|line| line.starts_with("wimble: localhost:") && line.contains(" is ["));
        assert_eq!(asked.count(), lookups, "{args:?}:\n{}", finished.stderr);
    }
}

#[test]
fn an_interrupt_shows_what_there_is() {
    let proxy = ScriptedProxy::in_turn(vec![turn(|conn: &mut Conn| {
        conn.open("host:22");
        conn.send("hello\n");
        conn.read_to_any_end();
    })]);
    let args = ["-v", "--no-tls", "--count", "100", "--interval", "1h", "host:22"];
    let mut cmd = check(&proxy.url(), &args);
    cmd.stdout(std::process::Stdio::piped());
    let mut running = Running::start(&mut cmd);
    running.stderr_line(|line| line.contains("the tunnel is open"), LIMIT);
    // The script ends when the tunnel is closed, which is the end of the first check.
    proxy.done();
    let mut stdout = running.take_stdout();
    // The report is counted in the moment after: an hour's wait follows.
    assert!(running.survives(Duration::from_millis(200)));
    running.signal(2);
    assert_eq!(running.wait(LIMIT), Some(0));
    let mut text = String::new();
    std::io::Read::read_to_string(&mut stdout, &mut text).unwrap();
    assert!(text.contains("1 checks, 0 failed") && text.contains("median"), "{text}");
}

#[test]
fn two_ways_are_shown_side_by_side() {
    let (proxy, target) = (gate(), Origin::greeting(b"hello\n"));
    let target = target.target();
    let args = ["--no-tls", "--compare", "direct", &target];
    let text = finish(&mut check(&proxy.url(), &args), b"", LIMIT).exits(7).text();
    let compared = text.split_once(" compared\n").unwrap_or_else(|| panic!("{text}")).1;
    let lines: Vec<Vec<&str>> = compared
        .lines()
        .map(|line| line.split("  ").map(str::trim).filter(|w| !w.is_empty()).collect())
        .collect();
    assert_eq!(lines[0], [&proxy.url()["http://".len()..], "without a proxy"], "{text}");
    let connect = lines.iter().find(|line| line[0] == "connect").unwrap_or_else(|| panic!("{text}"));
    assert!(connect[1].starts_with("failed after") && connect[2] == "-", "{text}");

    let args = ["--json", "--no-tls", "--compare", "direct", &target];
    let reports = reports(&finish(&mut check(&proxy.url(), &args), b"", LIMIT).exits(7));
    let ways: Vec<_> =
        reports.iter().map(|report| (report["proxy"].is_null(), &report["ok"], &report["route"])).collect();
    assert_eq!(ways[0], (false, &Value::from(false), &serde_json::json!({ "decided_by": "--proxy" })));
    assert_eq!(ways[1], (true, &Value::from(true), &serde_json::json!({ "decided_by": "--compare" })));
}
