//! `check` more than once: ports, targets at the same time, repetition, comparison.

use std::time::Duration;

use serde_json::Value;

use crate::check::{check, reports};
use crate::support::origin::Origin;
use crate::support::proxy::{Conn, OK, ScriptedProxy, turn};
use crate::support::{LIMIT, Running, assert_is_an_error, finish, wimble, wimble_through};

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
    let finished = finish(&mut cmd, b"", LIMIT).exits(7);
    assert_is_an_error(&finished.stderr);
    let finished = finished.says("connect to host.test:22 through proxy").says(": 403 Forbidden\nhint: ");
    let text = finished.text();
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

/// Where nothing names a proxy: a target that no_proxy exempts is checked, whatever stands beside it.
#[test]
fn a_target_without_a_proxy_has_its_report_and_spoils_no_other() {
    let origin = Origin::greeting(b"SSH-2.0-x\r\n");
    let near = format!("localhost:{}", origin.port());
    let checked = |args: &[&str]| {
        let mut cmd = wimble();
        cmd.args(["check", "--no-tls"]).args(args).args(["other.test:1", &near]).env("no_proxy", "localhost");
        finish(&mut cmd, b"", LIMIT).exits(2)
    };
    let reports = reports(&checked(&["--json", "--explain"]));
    let [far, exempt] = reports.as_slice() else { panic!("{reports:?}") };
    assert_eq!(
        (&far["target"], &far["ok"], &far["exit_code"]),
        (&"other.test:1".into(), &false.into(), &2.into())
    );
    assert_eq!(far["error"]["kind"], "usage");
    assert!(far["error"]["message"].as_str().unwrap().contains("other.test:1"), "{far}");
    assert_eq!(far["route"]["decided_by"], "none");
    let explained = far["route"]["explained"].to_string();
    for looked_at in ["--proxy: not given", "WIMBLE_PROXY: not set", "no_proxy: localhost: no entry"] {
        assert!(explained.contains(looked_at), "{explained}");
    }
    assert!(explained.contains("so: no way to other.test:1 is known"), "{explained}");
    assert_eq!((&exempt["target"], &exempt["ok"]), (&near.clone().into(), &true.into()), "{exempt}");
    assert_eq!(exempt["route"]["decided_by"], "no_proxy");
    let text = checked(&[]).says("no proxy for other.test:1: none is given").text();
    assert!(text.contains("SSH-2.0-x"), "{text}");
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

/// Whoever counts for himself gets the same, to the last digit.
#[test]
fn the_spread_is_that_of_the_runs() {
    let proxy = gate();
    let args = ["--json", "--no-tls", "--count", "6", "--interval", "1ms", "host:22"];
    let mut reports = reports(&finish(&mut check(&proxy.url(), &args), b"", LIMIT).exits(7));
    let spread = reports.pop().unwrap();
    for stage in spread["statistics"]["stages"].as_array().unwrap() {
        let of_this = |report: &Value| {
            let stages = report["stages"].as_array().unwrap();
            let same = stages.iter().find(|one| one["name"] == stage["name"]).unwrap();
            (same["ms"].as_f64().unwrap() * 1e3).round() as u64
        };
        let mut times: Vec<_> = reports.iter().map(of_this).collect();
        times.sort_unstable();
        let ms = |micros: u64| micros as f64 / 1e3;
        assert_eq!(stage["min_ms"], ms(times[0]), "{times:?} {stage}");
        assert_eq!(stage["median_ms"], (times[2] + times[3]) as f64 / 2e3, "{times:?} {stage}");
        assert_eq!(stage["p95_ms"], ms(times[5]), "{times:?} {stage}");
        assert_eq!(stage["max_ms"], ms(times[5]), "{times:?} {stage}");
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

/// `check` through a proxy that says nothing, interrupted once it has been asked so often.
fn interrupted(asked: usize, answered: usize, args: &[&str]) -> (Option<i32>, String) {
    let (tell, told) = std::sync::mpsc::channel();
    let tell = std::sync::Mutex::new((tell, 0));
    let proxy = Origin::serving(move |stream| {
        let mut conn = Conn::new(stream);
        conn.head();
        let place = {
            let mut tell = tell.lock().unwrap();
            tell.1 += 1;
            tell.0.send(()).ok();
            tell.1
        };
        if place <= answered {
            conn.send_in_vain("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
        }
        conn.read_to_any_end();
    });
    let mut cmd = check(&proxy.url(), args);
    cmd.stdout(std::process::Stdio::piped());
    let mut running = Running::start(&mut cmd);
    let mut stdout = running.take_stdout();
    for _ in 0..asked {
        told.recv_timeout(LIMIT).unwrap();
    }
    running.signal(2);
    let code = running.wait(LIMIT);
    let mut text = String::new();
    std::io::Read::read_to_string(&mut stdout, &mut text).unwrap();
    (code, text)
}

#[test]
fn an_interrupt_before_the_first_report_says_so_and_is_no_success() {
    let args = ["--no-tls", "--count", "9", "--interval", "1ms", "host:22", "host:23"];
    let (code, text) = interrupted(1, 0, &args);
    assert_eq!(code, Some(130), "{text}");
    assert_eq!(text, "host:22\n  0 checks, 0 failed\nhost:23\n  0 checks, 0 failed\n");
    let (code, text) = interrupted(1, 0, &[&args[..], &["--json"]].concat());
    assert_eq!(code, Some(130), "{text}");
    let spreads: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(spreads.len(), 2, "{text}");
    for spread in spreads {
        assert_eq!((&spread["ok"], &spread["exit_code"]), (&false.into(), &130.into()), "{spread}");
        assert_eq!(spread["statistics"]["runs"], 0, "{spread}");
    }
}

#[test]
fn an_interrupted_sweep_shows_what_there_is_and_what_was_not_asked() {
    let (code, text) = interrupted(1, 0, &["host", "--ports", "22,80-90"]);
    assert_eq!(code, Some(130), "{text}");
    assert!(text.starts_with("host\n") && text.contains("not asked   22, 80-90"), "{text}");
    // The first goes alone, and the second is asked when its report is there.
    let (code, text) = interrupted(2, 1, &["host", "--ports", "22,80-90"]);
    assert_eq!(code, Some(7), "{text}");
    assert!(text.contains("refuses     22 (403 No)") && text.contains("not asked   80-90"), "{text}");
}

#[test]
fn a_reader_that_leaves_is_not_told_that_all_went_well() {
    let (proxy, target) = (Origin::echoing_proxy(), "host:22");
    for args in
        [&["--no-tls", target, target][..], &["--json", "--no-tls", target], &["--ports", "1-3", "host"]]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut cmd = check(&proxy.url(), args);
        cmd.stdout(writer);
        let mut running = Running::start(&mut cmd);
        assert_eq!(running.wait(LIMIT), Some(1), "{args:?}");
        assert_eq!(running.stderr(), "", "{args:?}");
    }
}

/// Runs its arguments with stderr on a terminal of 20 columns; what that showed is its stdout.
const ON_20_COLUMNS: &str = r"
import fcntl, os, pty, struct, subprocess, sys, termios
terminal, theirs = pty.openpty()
fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 20, 0, 0))
program = subprocess.Popen(sys.argv[1:], stderr=theirs, stdout=subprocess.DEVNULL)
os.close(theirs)
shown = b''
try:
    while new := os.read(terminal, 4096):
        shown += new
except OSError:
    pass
os.write(1, shown)
sys.exit(program.wait())
";

#[test]
fn the_line_of_the_present_check_fits_the_terminal_and_goes() {
    let proxy = ScriptedProxy::in_turn(
        (0..2)
            .map(|_| {
                turn(|conn: &mut Conn| {
                    conn.open("host:22");
                    conn.send("hello\n");
                    conn.read_to_any_end();
                })
            })
            .collect(),
    );
    let args = ["--no-tls", "--count", "2", "--interval", "1ms", "host:22"];
    let mut outer = wimble_through("python3", &["-c", ON_20_COLUMNS], &check(&proxy.url(), &args));
    let shown = finish(&mut outer, b"", LIMIT).exits(0).text();
    let lines: Vec<_> = shown.split("\r\u{1b}[K").collect();
    assert_eq!(lines.len(), 4, "{shown:?}");
    assert!(lines[1].starts_with("1 of 2: host:22: ") && lines[2].starts_with("2 of 2: "), "{shown:?}");
    assert!(lines.iter().all(|line| line.len() < 20), "{shown:?}");
    assert_eq!((lines[0], lines[3]), ("", ""), "{shown:?}");
    proxy.done();
}

#[test]
fn a_sweep_in_json_tells_its_error_once() {
    let url = format!("http://127.0.0.1:{}", crate::support::closed_port());
    let finished = finish(&mut check(&url, &["--json", "host", "--ports", "22"]), b"", LIMIT).exits(4);
    assert!(finished.text().contains("connection-refused"), "{}", finished.text());
    assert_eq!(finished.stderr, "");
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
