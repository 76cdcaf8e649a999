//! Where the proxy comes from: flags, variables in their order, and who is exempt.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use crate::support::proxy::{ScriptedProxy, turn};
use crate::support::{LIMIT, closed_port, finish, wimble};

/// All ways to give a proxy, the strongest first.
const WAYS: [&str; 6] = ["--proxy", "WIMBLE_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];

fn give(cmd: &mut Command, way: &str, url: &str) {
    if way.starts_with("--") {
        cmd.args([way, url]);
    } else {
        cmd.env(way, url);
    }
}

/// A proxy that is none: who takes it gets exit 4.
fn dead() -> String {
    format!("http://127.0.0.1:{}", closed_port())
}

#[test]
fn a_flag_beats_our_variable_and_that_beats_everybodys() {
    for (i, way) in WAYS.iter().enumerate() {
        let proxy = ScriptedProxy::start(|conn| drop(conn.open("host:22")));
        let mut cmd = wimble();
        cmd.args(["connect", "host:22"]);
        give(&mut cmd, way, &proxy.url());
        for weaker in &WAYS[i + 1..] {
            give(&mut cmd, weaker, &dead());
        }
        let finished = finish(&mut cmd, b"", LIMIT);
        assert_eq!(finished.code, Some(0), "{way}: {}", finished.stderr);
        proxy.done();
    }
}

#[test]
fn an_empty_variable_is_none() {
    let proxy = ScriptedProxy::start(|conn| drop(conn.open("host:22")));
    let mut cmd = wimble();
    cmd.args(["connect", "host:22"])
        .env("WIMBLE_PROXY", "")
        .env("https_proxy", "")
        .env("ALL_PROXY", proxy.url());
    finish(&mut cmd, b"", LIMIT).exits(0);
    proxy.done();
}

#[test]
fn variables_for_plain_http_are_not_used() {
    for name in ["http_proxy", "HTTP_PROXY"] {
        let proxy = ScriptedProxy::untouched();
        let mut cmd = wimble();
        finish(cmd.args(["connect", "host:22"]).env(name, proxy.url()), b"", LIMIT).fails(2);
        proxy.done();
    }
}

#[test]
fn without_a_proxy_the_ways_to_give_one_are_named() {
    let finished = finish(wimble().args(["connect", "host:22"]), b"", LIMIT).fails(2);
    finished.says("--proxy").says("https_proxy");
    let finished = finish(wimble().args(["check", "host:22"]), b"", LIMIT).exits(2);
    let finished = finished.says("wimble: no proxy for host:22: ").says("--proxy").says("https_proxy");
    assert_eq!(finished.text(), "host:22 no way is known (no proxy is given)\n");
    finish(wimble().args(["forward", "0:host:22"]), b"", LIMIT).fails(2).says("--proxy");
}

#[test]
fn a_variable_that_is_no_proxy_is_named() {
    for way in &WAYS[1..] {
        finish(wimble().args(["connect", "host:22"]).env(way, "http://[::1"), b"", LIMIT).fails(2).says(way);
    }
}

/// Whether a target on this host is reached past `https_proxy`, for which nobody listens.
#[track_caller]
fn assert_direct(direct: bool, host: &str, exempt: &str) {
    for variable in ["no_proxy", "NO_PROXY"] {
        let own: IpAddr =
            if host.contains(':') { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
        let listener = TcpListener::bind((own, 0)).unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let scripts = if direct { vec![turn(|conn| conn.send("direct"))] } else { Vec::new() };
        let target = ScriptedProxy::on(listener, scripts);
        let mut cmd = wimble();
        cmd.args(["connect", host, &port]).env("https_proxy", dead()).env(variable, exempt);
        let finished = finish(&mut cmd, b"", LIMIT);
        let wanted = if direct { (Some(0), "direct".to_owned()) } else { (Some(4), String::new()) };
        assert_eq!(
            (finished.code, finished.text()),
            wanted,
            "{host}, {variable}={exempt}: {}",
            finished.stderr
        );
        target.done();
    }
}

#[test]
fn no_proxy_sends_a_target_direct() {
    for (host, exempt) in [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "*"),
        ("127.0.0.1", "127.0.0.0/8"),
        ("127.0.0.1", "other.example, 10.0.0.0/8 ,127.0.0.1"),
        ("localhost", "localhost"),
        ("localhost", "LocalHost"),
        ("LOCALHOST", "localhost"),
        ("::1", "::1"),
        ("::1", "::/64"),
    ] {
        assert_direct(true, host, exempt);
    }
}

#[test]
fn no_proxy_exempts_nobody_else() {
    for (host, exempt) in [
        ("127.0.0.1", ""),
        ("127.0.0.1", "10.0.0.0/8"),
        ("127.0.0.1", "127.0.0.2"),
        ("127.0.0.1", "27.0.0.1"),
        ("localhost", "host"),
        ("localhost", "local"),
        ("localhost", "notlocalhost"),
    ] {
        assert_direct(false, host, exempt);
    }
}

#[test]
fn a_name_in_no_proxy_covers_the_names_below_it() {
    for exempt in ["example.invalid", ".example.invalid", "EXAMPLE.INVALID", "a,.example.invalid,b"] {
        let proxy = ScriptedProxy::untouched();
        let mut cmd = wimble();
        cmd.args(["connect", "host.example.invalid:22"])
            .env("https_proxy", proxy.url())
            .env("no_proxy", exempt);
        // Sent direct, and there is no such name.
        finish(&mut cmd, b"", LIMIT).fails(3).says("host.example.invalid");
        proxy.done();
    }
    for exempt in ["ample.invalid", "x.example.invalid", "host.example.invalid.org"] {
        let proxy = ScriptedProxy::start(|conn| drop(conn.open("host.example.invalid:22")));
        let mut cmd = wimble();
        cmd.args(["connect", "host.example.invalid:22"])
            .env("https_proxy", proxy.url())
            .env("no_proxy", exempt);
        finish(&mut cmd, b"", LIMIT).exits(0);
        proxy.done();
    }
}

#[test]
fn a_flag_is_obeyed_whatever_no_proxy_says() {
    let proxy = ScriptedProxy::start(|conn| drop(conn.open("host:22")));
    let mut cmd = wimble();
    cmd.args(["connect", "--proxy", &proxy.url(), "host:22"]).env("no_proxy", "*");
    finish(&mut cmd, b"", LIMIT).exits(0);
    proxy.done();
}

#[test]
fn direct_means_no_proxy() {
    for way in &WAYS[..2] {
        let target = ScriptedProxy::start(|conn| conn.send("direct"));
        let mut cmd = wimble();
        cmd.args(["connect", "127.0.0.1", &target.port().to_string()]).env("https_proxy", dead());
        give(&mut cmd, way, "direct");
        assert_eq!(finish(&mut cmd, b"", LIMIT).exits(0).text(), "direct", "{way}");
        target.done();
    }
}

#[test]
fn a_target_behind_no_proxy_at_all_is_exempt_from_needing_one() {
    let target = ScriptedProxy::start(|conn| conn.send("direct"));
    let mut cmd = wimble();
    cmd.args(["connect", "127.0.0.1", &target.port().to_string()]).env("no_proxy", "127.0.0.1");
    assert_eq!(finish(&mut cmd, b"", LIMIT).exits(0).text(), "direct");
    target.done();
}

#[test]
fn an_empty_no_proxy_leaves_the_word_to_the_other() {
    for (empty, full) in [("no_proxy", "NO_PROXY"), ("NO_PROXY", "no_proxy")] {
        let target = ScriptedProxy::start(|conn| conn.send("direct"));
        let mut cmd = wimble();
        cmd.args(["connect", "127.0.0.1", &target.port().to_string()])
            .env("https_proxy", dead())
            .env(empty, "")
            .env(full, "127.0.0.1");
        assert_eq!(finish(&mut cmd, b"", LIMIT).exits(0).text(), "direct", "{full}");
        target.done();
    }
}

#[test]
fn a_variable_that_is_no_text_is_told_and_not_passed_over() {
    let proxy = ScriptedProxy::untouched();
    let mut cmd = wimble();
    cmd.args(["connect", "host:22"])
        .env("https_proxy", OsStr::from_bytes(b"http://\xff:1"))
        .env("ALL_PROXY", proxy.url());
    finish(&mut cmd, b"", LIMIT).fails(2).says("https_proxy");
    // A password would be sent with another character in its place.
    for variable in ["WIMBLE_PROXY_USER", "WIMBLE_PROXY_PASSWORD"] {
        let mut cmd = wimble();
        cmd.args(["connect", "-x", &proxy.url(), "host:22"]);
        cmd.envs([("WIMBLE_PROXY_USER", "alice"), ("WIMBLE_PROXY_PASSWORD", "sesame")]);
        cmd.env(variable, OsStr::from_bytes(b"p\xe9w"));
        finish(&mut cmd, b"", LIMIT).fails(2).says(variable);
    }
    proxy.done();
    // What is not read may be anything.
    let mut cmd = wimble();
    cmd.args(["connect", "-x", "http://127.0.0.1:1", "host:22"]).env("OTHER", OsStr::from_bytes(b"\xe9"));
    finish(&mut cmd, b"", LIMIT).fails(4);
}
