//! `check` through several proxies: each hop is told apart, and a failure is blamed on the hop that it is of.

use std::process::Command;

use serde_json::Value;

use crate::check::{check, report, reports};
use crate::check_output::assert_valid;
use crate::support::origin::Origin;
use crate::support::proxy::{Conn, OK};
use crate::support::{LIMIT, finish};

/// The second proxy: it is met inside the first one's tunnel, and needs no port of its own.
const SECOND: &str = "second.test:3128";

/// The first proxy, and behind its first answer the second.
fn two(first: &'static [u8], second: &'static [u8]) -> Origin {
    Origin::serving(move |stream| {
        let mut conn = Conn::new(stream);
        conn.expect_connect(SECOND);
        conn.send_in_vain(first);
        if first == OK {
            conn.head();
            conn.send_in_vain(second);
            conn.send_in_vain("hello\n");
        }
        conn.finish_writing();
        conn.read_to_any_end();
    })
}

fn chain(first: &Origin, args: &[&str]) -> Command {
    let second = format!("http://{SECOND}");
    check(&first.url(), &[&["--proxy", &second], args].concat())
}

const FORBIDDEN: &[u8] = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
const UNREACHABLE: &[u8] = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n";

#[test]
fn a_refusal_names_what_was_asked_for_and_who_refused_it() {
    for (answers, code, what, hint) in [
        ([FORBIDDEN, OK], 7, (SECOND, None), "next proxy of the chain"),
        ([UNREACHABLE, OK], 8, (SECOND, None), "next proxy of the chain"),
        ([OK, FORBIDDEN], 7, ("host:22", Some(SECOND)), "the proxy's rules forbid"),
        ([OK, UNREACHABLE], 8, ("host:22", Some(SECOND)), "could not reach the target"),
    ] {
        let proxy = two(answers[0], answers[1]);
        let finished = finish(&mut chain(&proxy, &["--json", "--no-tls", "host:22"]), b"", LIMIT).exits(code);
        let seen = report(&finished);
        let (asked, whom) = what;
        let whom = whom.unwrap_or(&proxy.url()["http://".len()..]).to_owned();
        let message = seen["error"]["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("connect to {asked} through proxy {whom}: ")), "{seen}");
        assert!(seen["error"]["hint"].as_str().unwrap().contains(hint), "{seen}");
        let finished = finish(&mut connect(&proxy), b"", LIMIT).fails(code);
        finished.says(&format!("connect to {asked} through proxy {whom}: "));
    }
}

fn connect(first: &Origin) -> Command {
    let mut cmd = crate::support::wimble();
    cmd.args(["connect", "--proxy", &first.url(), "--proxy", &format!("http://{SECOND}"), "host:22"]);
    cmd
}

#[test]
fn a_sweep_says_of_ports_what_the_last_proxy_says_of_them_alone() {
    for (answers, verdict, says) in [
        ([UNREACHABLE, OK], "failed", true),
        ([FORBIDDEN, OK], "failed", true),
        ([OK, UNREACHABLE], "can't reach", false),
        ([OK, FORBIDDEN], "refuses", false),
    ] {
        let proxy = two(answers[0], answers[1]);
        let finished = finish(&mut chain(&proxy, &["host", "--ports", "1-4"]), b"", LIMIT);
        let text = finished.text();
        let line = text.lines().find(|line| line.contains("1-4")).unwrap_or_else(|| panic!("{text}"));
        assert!(line.trim_start().starts_with(verdict), "{line}");
        assert_eq!(finished.stderr.contains(&format!("connect to {SECOND}")), says, "{}", finished.stderr);
    }
}

#[test]
fn repeated_checks_have_the_times_of_each_hop() {
    let proxy = two(OK, OK);
    let args = ["--no-tls", "--count", "3", "--interval", "1ms", "host:22"];
    let finished = finish(&mut chain(&proxy, &[&args[..], &["--json"]].concat()), b"", LIMIT).exits(0);
    assert_valid(&finished);
    let spread = reports(&finished).remove(3);
    let first = &proxy.url()["http://".len()..];
    let rows: Vec<_> = spread["statistics"]["stages"].as_array().unwrap().iter().map(row).collect();
    let each = |name, with| (String::from(name), String::from(with), 3);
    assert_eq!(
        rows,
        [each("resolve", first), each("tcp", first), each("connect", first), each("connect", SECOND)]
    );
    let text = finish(&mut chain(&proxy, &args), b"", LIMIT).exits(0).text();
    for with in [first, SECOND] {
        let is_row =
            |line: &str| line.trim_start().starts_with("connect ") && line.ends_with(&format!("with {with}"));
        assert!(text.lines().any(is_row), "{with}: {text}");
    }
}

fn row(stage: &Value) -> (String, String, u64) {
    let word = |name: &str| stage[name].as_str().unwrap().to_owned();
    (word("name"), word("with"), stage["count"].as_u64().unwrap())
}

#[test]
fn a_comparison_has_each_hop_in_a_row_of_its_own() {
    let (proxy, target) = (two(OK, FORBIDDEN), Origin::greeting(b"hello\n"));
    let args = ["--no-tls", "--compare", "direct", &target.target()];
    let text = finish(&mut chain(&proxy, &args), b"", LIMIT).exits(7).text();
    let compared = text.split_once(" compared\n").unwrap_or_else(|| panic!("{text}")).1;
    let cells = |name: &str| {
        let row =
            compared.lines().map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()));
        let mut row = row.map(|cells| cells.collect::<Vec<_>>()).filter(|cells| cells[0] == name);
        row.next().unwrap_or_else(|| panic!("{name}: {text}"))
    };
    assert!(cells("connect")[1].ends_with(" ms") && cells("connect")[2] == "-", "{text}");
    assert!(cells("connect 2")[1].starts_with("failed after") && cells("connect 2")[2] == "-", "{text}");
}
