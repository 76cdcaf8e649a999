//! `--pac`: a script says which proxies lead to a target, and they are tried in turn.

use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rustls::{ServerConnection, StreamOwned};
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::check::report;
use crate::check_output::assert_valid;
use crate::forward::echoes;
use crate::support::origin::Origin;
use crate::support::pki::{Leaf, Pki};
use crate::support::proxy::{BASIC_407, Conn, ScriptedProxy, authorization, basic, turn};
use crate::support::real::{DeadPort, Proxy, Way};
use crate::support::{
    Finished, LIMIT, closed_port, finish, listening, listening_port, wimble, wimble_through,
};

/// Bytes of the longest script.
const MAX_SCRIPT: usize = 1024 * 1024;

/// A file with this text in it.
fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// A script with this answer for every target.
fn answering(answer: &str) -> NamedTempFile {
    file(&saying(answer))
}

fn saying(answer: &str) -> String {
    format!("function FindProxyForURL(url, host) {{ return {answer:?}; }}")
}

/// A script that is checked in.
fn fixture(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/pac")).join(name)
}

fn at(proxy: &ScriptedProxy) -> String {
    format!("PROXY 127.0.0.1:{}", proxy.port())
}

fn command(name: &str, pac: &NamedTempFile, args: &[&str]) -> Command {
    let mut cmd = wimble();
    cmd.args([name, "--pac"]).arg(pac.path()).args(args);
    cmd
}

/// `connect` to host:22 by a script with this answer.
fn connect(answer: &str) -> Finished {
    finish(&mut command("connect", &answering(answer), &["host:22"]), b"", LIMIT)
}

/// `connect` to `target` by the script that is here.
fn fetching(url: &str, options: &[&str]) -> Finished {
    let mut cmd = wimble();
    finish(cmd.args(["connect", "--pac", url, "host:22"]).args(options), b"", LIMIT)
}

/// A web server that gives this answer to whatever it is asked for.
fn web(answer: String) -> String {
    let server = Origin::serving(move |stream| {
        let mut conn = Conn::new(stream);
        let head = conn.head();
        assert!(head.starts_with("GET /proxy.pac HTTP/1.1\r\nhost: localhost:"), "{head}");
        conn.send_in_vain(&answer);
    });
    format!("http://localhost:{}/proxy.pac", server.port())
}

#[test]
fn the_script_is_told_the_target_and_names_the_proxy() {
    let proxy = ScriptedProxy::start(|conn| drop(conn.open("Host.Example:22")));
    let other = ScriptedProxy::untouched();
    let script = format!(
        "function FindProxyForURL(url, host) {{\n\
           return url == 'https://host.example:22/' && host == 'host.example' ? '{}' : '{}';\n\
         }}",
        at(&proxy),
        at(&other)
    );
    finish(&mut command("connect", &file(&script), &["Host.Example:22"]), b"", LIMIT).exits(0);
    proxy.done();
    other.done();
}

#[test]
fn it_beats_the_environment_and_no_proxy() {
    let (proxy, other) =
        (ScriptedProxy::start(|conn| drop(conn.open("host:22"))), ScriptedProxy::untouched());
    let pac = answering(&at(&proxy));
    let mut cmd = command("connect", &pac, &["host:22"]);
    cmd.env("WIMBLE_PROXY", other.url()).env("https_proxy", other.url()).env("no_proxy", "*");
    finish(&mut cmd, b"", LIMIT).exits(0);
    proxy.done();
    other.done();
}

#[test]
fn a_proxy_and_a_script_are_one_too_many() {
    let pac = answering("DIRECT");
    let mut cmd = command("connect", &pac, &["-x", "direct", "host:22"]);
    finish(&mut cmd, b"", LIMIT).fails(2).says("--proxy");
}

#[test]
fn where_nobody_answers_the_next_way_is_taken() {
    let dead = DeadPort::new();
    let closes = ScriptedProxy::start(|conn| drop(conn.expect_connect("host:22")));
    let resets = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        conn.reset();
    });
    let no_tls = ScriptedProxy::start(|conn| conn.send_in_vain("HTTP/1.1 400 Bad Request\r\n\r\n"));
    let live = ScriptedProxy::start(|conn| drop(conn.open("host:22")));
    let answer = format!(
        "PROXY 127.0.0.1:{}; PROXY no-such-name.invalid:1; {}; {}; HTTPS 127.0.0.1:{}; {}",
        dead.port(),
        at(&closes),
        at(&resets),
        no_tls.port(),
        at(&live)
    );
    let finished = connect(&answer).exits(0);
    assert_eq!(finished.stderr, "");
    for proxy in [closes, resets, no_tls, live] {
        proxy.done();
    }
}

#[test]
fn a_proxys_no_is_its_word_and_no_other_is_asked() {
    for (answer, code) in [
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 7),
        ("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", 8),
        (std::str::from_utf8(BASIC_407).unwrap(), 6),
        ("SSH-2.0-x\r\n", 9),
    ] {
        let refuses = ScriptedProxy::start(move |conn| {
            conn.expect_connect("host:22");
            conn.send(answer);
            conn.finish_writing();
            conn.read_to_any_end();
        });
        let other = ScriptedProxy::untouched();
        connect(&format!("{}; {}; DIRECT", at(&refuses), at(&other))).fails(code);
        refuses.done();
        other.done();
    }
}

#[test]
fn a_proxy_that_took_the_request_may_be_waiting_for_the_target() {
    let silent = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        conn.read_to_any_end();
    });
    let other = ScriptedProxy::untouched();
    let pac = answering(&format!("{}; {}", at(&silent), at(&other)));
    let mut cmd = command("connect", &pac, &["--proxy-timeout", "300ms", "host:22"]);
    finish(&mut cmd, b"", LIMIT).fails(124);
    silent.done();
    other.done();
}

#[test]
fn where_no_way_is_left_the_last_one_is_told() {
    let (one, other) = (closed_port(), closed_port());
    connect(&format!("PROXY 127.0.0.1:{one}; PROXY 127.0.0.1:{other}"))
        .fails(4)
        .says(&format!("127.0.0.1:{other}"));
}

#[test]
fn direct_is_a_way_too() {
    let target = Origin::echo();
    for answer in ["DIRECT", "", "PROXY 127.0.0.1:1; DIRECT"] {
        let pac = answering(answer);
        let mut cmd = command("connect", &pac, &[&target.target()]);
        assert_eq!(finish(&mut cmd, b"hello", LIMIT).exits(0).text(), "hello", "{answer}");
    }
}

#[test]
fn what_is_not_understood_is_passed_over() {
    let proxy = ScriptedProxy::start(|conn| drop(conn.open("host:22")));
    connect(&format!("QUIC a:1; PROXY; {}", at(&proxy))).exits(0);
    proxy.done();
}

#[test]
fn a_dead_proxy_is_set_aside_for_the_connections_that_follow() {
    let dies = ScriptedProxy::start(|conn| drop(conn.expect_connect("host:22")));
    let live = Origin::echoing_proxy();
    let pac = answering(&format!("{}; PROXY {}", at(&dies), live.target()));
    let (running, port) = listening(&mut command("forward", &pac, &["0:host:22"]));
    for _ in 0..3 {
        echoes(&mut Conn::to(port));
    }
    drop(running);
    dies.done();
}

#[test]
fn where_all_are_set_aside_they_are_tried_all_the_same() {
    let first = ScriptedProxy::in_turn(vec![
        turn(|conn| drop(conn.expect_connect("host:22"))),
        turn(|conn| {
            conn.open("host:22");
            let hello = conn.read_exact(5);
            conn.send(hello);
            conn.read_to_any_end();
        }),
    ]);
    let second = ScriptedProxy::start(|conn| drop(conn.expect_connect("host:22")));
    let pac = answering(&format!("{}; {}", at(&first), at(&second)));
    let (running, port) = listening(&mut command("forward", &pac, &["0:host:22"]));
    Conn::to(port).read_to_any_end();
    running.stderr_line(|line| line.contains("closed without an answer"), LIMIT);
    let mut client = Conn::to(port);
    echoes(&mut client);
    drop(client);
    drop(running);
    first.done();
    second.done();
}

#[test]
fn a_script_that_does_not_end_holds_up_no_tunnel_and_the_listener_goes_on() {
    let proxy = Origin::echoing_proxy();
    let script = format!(
        "function FindProxyForURL(url, host) {{ while (host == 'loop') {{}} return 'PROXY {}'; }}",
        proxy.target()
    );
    let pac = file(&script);
    let (running, port) = listening(&mut command("forward", &pac, &["0:host:22", "0:loop:22"]));
    let lines = running.stderr_lines(2, |line| line.contains("listening on "), LIMIT);
    let loops = listening_port(lines.last().unwrap());
    let mut client = Conn::to(port);
    echoes(&mut client);
    let mut stuck = Conn::to(loops);
    echoes(&mut client);
    assert_eq!(stuck.read_to_any_end(), b"");
    running.stderr_line(|line| line.contains("did not end within"), LIMIT);
    echoes(&mut client);
    echoes(&mut Conn::to(port));
}

#[test]
fn tunnels_that_are_held_ready_are_opened_on_the_scripts_ways() {
    let proxy = Origin::echoing_proxy();
    let pac = answering(&format!("PROXY 127.0.0.1:1; PROXY {}", proxy.target()));
    let (running, port) = listening(&mut command("forward", &pac, &["-v", "--spare", "1", "0:host:22"]));
    running.stderr_line(|line| line.contains("a spare tunnel to host:22 stands"), LIMIT);
    echoes(&mut Conn::to(port));
    running.stderr_line(|line| line.contains("a spare tunnel to host:22 is handed out"), LIMIT);
}

#[test]
fn every_kind_of_proxy_is_reached_by_its_word() {
    let pki = Pki::new();
    let (squid, in_tls, microsocks, dante) =
        (Proxy::squid(), Way::squid_in_tls(&pki), Way::microsocks(false), Way::dante("socks4"));
    let target = Origin::echo();
    let ca = pki.authorities_file();
    for (word, url) in [
        ("PROXY", squid.named_url()),
        ("HTTP", squid.named_url()),
        ("HTTPS", in_tls.url()),
        ("SOCKS5", microsocks.url()),
        ("SOCKS", dante.url()),
        ("SOCKS4", dante.url()),
    ] {
        let place = url.split_once("://").unwrap().1;
        let pac = answering(&format!("{word} {place}"));
        let mut cmd = command("connect", &pac, &[&target.target(), "--proxy-cacert", ca.to_str().unwrap()]);
        assert_eq!(finish(&mut cmd, b"hello", LIMIT).exits(0).text(), "hello", "{word} {place}");
    }
    squid.carried(&target.target());
}

#[test]
fn behind_a_dead_squid_comes_the_next_one() {
    let (mut first, second) = (Proxy::squid(), Proxy::squid());
    let place = |proxy: &Proxy| proxy.url().split_once("://").unwrap().1.to_owned();
    let pac = answering(&format!("PROXY {}; PROXY {}", place(&first), place(&second)));
    let target = Origin::echo();
    first.stop();
    let (running, port) = listening(&mut command("forward", &pac, &[&format!("0:{}", target.target())]));
    for _ in 0..2 {
        echoes(&mut Conn::to(port));
    }
    second.carried(&target.target());
    drop(running);
}

#[test]
fn the_login_that_was_given_is_for_the_proxy_that_the_script_names() {
    let proxy = Proxy::squid_with_basic();
    let place = proxy.url().split_once("://").unwrap().1.to_owned();
    let target = Origin::echo();
    let pac = answering(&format!("PROXY {place}"));
    let login = proxy.credentials_file();
    let mut cmd =
        command("connect", &pac, &["--proxy-credentials", login.to_str().unwrap(), &target.target()]);
    assert_eq!(finish(&mut cmd, b"hello", LIMIT).exits(0).text(), "hello");
}

#[test]
fn a_netrc_entry_is_for_the_proxy_of_its_host_alone() {
    let asks = |host: &'static str, login: Option<&'static str>| {
        ScriptedProxy::start(move |conn| {
            conn.expect_connect("host:22");
            conn.send(BASIC_407);
            if let Some(login) = login {
                let head = conn.open("host:22");
                assert_eq!(authorization(&head), [basic(login)], "{host}");
            } else {
                conn.read_to_any_end();
            }
        })
    };
    let dir = tempfile::tempdir().unwrap();
    let netrc = dir.path().join("netrc");
    std::fs::write(&netrc, "machine localhost login alice password one\n").unwrap();
    std::fs::set_permissions(&netrc, Permissions::from_mode(0o600)).unwrap();
    for (host, login, code) in [("localhost", Some("alice:one"), 0), ("127.0.0.1", None, 6)] {
        for variable in [false, true] {
            let proxy = asks(host, login);
            let pac = answering(&format!("PROXY {host}:{}", proxy.port()));
            let mut cmd = command("connect", &pac, &["host:22"]);
            if variable {
                cmd.env("NETRC", &netrc);
            } else {
                cmd.arg("--netrc-file").arg(&netrc);
            }
            finish(&mut cmd, b"", LIMIT).exits(code);
            proxy.done();
        }
    }
}

#[test]
fn the_file_comes_from_a_web_server() {
    let proxy = Origin::echoing_proxy();
    let script = saying(&format!("PROXY {}", proxy.target()));
    for answer in [
        format!("HTTP/1.0 200 OK\r\n\r\n{script}"),
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{script}", script.len()),
        format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{script}\r\n0\r\n\r\n",
            script.len()
        ),
        format!("HTTP/1.0 200 OK\r\n\r\n\u{feff}{script}"),
    ] {
        // Nobody is asked for the way to it.
        let mut cmd = wimble();
        cmd.env("http_proxy", "http://127.0.0.1:1").env("https_proxy", "http://127.0.0.1:1");
        finish(cmd.args(["connect", "--pac", &web(answer), "host:22"]), b"", LIMIT).exits(0);
    }
}

#[test]
fn the_file_comes_by_https_from_a_server_that_is_trusted() {
    let (pki, proxy) = (Pki::new(), Origin::echoing_proxy());
    let (config, script) = (pki.server_config(Leaf::Good), saying(&format!("PROXY {}", proxy.target())));
    let server = Origin::serving(move |stream: TcpStream| {
        let mut tls = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
        let mut head = Vec::new();
        // A client that trusts nobody here leaves.
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if tls.read_exact(&mut byte).is_err() {
                return;
            }
            head.push(byte[0]);
        }
        let length = script.len();
        write!(tls, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{script}").unwrap();
        tls.conn.send_close_notify();
        tls.flush().unwrap();
    });
    let url = format!("https://localhost:{}/proxy.pac", server.port());
    fetching(&url, &["--proxy-cacert", pki.ca_file().to_str().unwrap()]).exits(0);
    fetching(&url, &[]).fails(2).says("no TLS with its server");
}

#[test]
fn a_file_that_does_not_come_is_told() {
    let as_it_is_fetched = "it is fetched without a proxy";
    for (answer, says, hints) in [
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "its server answers 404",
            as_it_is_fetched,
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://x/y\u{9b}\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "its server answers 302",
            as_it_is_fetched,
        ),
        ("SSH-2.0-x\r\n".to_owned(), "its server speaks no HTTP", as_it_is_fetched),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfunction".to_owned(),
            "its server broke off",
            as_it_is_fetched,
        ),
        // Fetched by hand it would be no smaller.
        (
            format!("HTTP/1.1 200 OK\r\n\r\n{}", " ".repeat(MAX_SCRIPT + 1)),
            "it is larger than 1048576 bytes",
            "--proxy URL does without the script",
        ),
    ] {
        let finished = fetching(&web(answer), &[]).fails(2).says(says).says(hints);
        assert!(!finished.stderr.contains('\u{9b}'));
    }
    fetching(&format!("http://127.0.0.1:{}/", closed_port()), &[]).fails(2).says("cannot be reached");
    fetching("http://no-such-name.invalid/", &[]).fails(2).says("does not resolve");
    let silent = ScriptedProxy::start(|conn| {
        conn.head();
        conn.read_to_any_end();
    });
    let url = format!("{}/proxy.pac", silent.url());
    fetching(&url, &["--connect-timeout", "300ms"]).fails(124).says("--connect-timeout");
    silent.done();
}

#[test]
fn what_is_no_place_for_a_file_is_told() {
    for (place, says) in [
        ("", "it is empty"),
        ("ftp://wpad/wpad.dat", "ftp:// is not supported"),
        ("http://me:hunter2@wpad/", "no name and password"),
        ("/no/such/file.pac", "No such file"),
        ("/", "directory"),
    ] {
        let finished = fetching(place, &[]).fails(2).says(says);
        assert!(!finished.stderr.contains("hunter2"));
    }
}

#[test]
fn a_script_that_means_no_good_is_stopped_and_told() {
    for (name, code, says) in [
        ("syntax-error.pac", 2, "line 2: SyntaxError: "),
        ("exception.pac", 2, "line 3: TypeError: "),
        ("endless-loop.pac", 124, "the script did not end within 1s"),
        ("catastrophic-regex.pac", 124, "the script did not end within 1s"),
        ("memory-bomb.pac", 2, "out of memory"),
        ("deep-recursion.pac", 2, "stack"),
        ("not-a-text.pac", 2, "returned object, not a text"),
        ("no-function.pac", 2, "does not define FindProxyForURL"),
        ("no-way.pac", 2, "none of that can be used"),
    ] {
        let finished = fetching(fixture(name).to_str().unwrap(), &[]).fails(code).says(says);
        assert!(!finished.stderr.contains("secret"), "{}", finished.stderr);
    }
}

#[test]
fn what_a_script_hands_to_its_helpers_takes_no_memory_beside_its_own() {
    for (call, says) in [
        ("isPlainHostName.apply(null, new Array(150).fill(s))", "RangeError: a text of 33000000 bytes"),
        ("dateRange.apply(null, new Array(150).fill(s))", "RangeError: a text of 33000000 bytes"),
        ("sortIpAddressList('::1;'.repeat(4e6))", "RangeError: a text of 16000000 bytes"),
        ("alert.apply(null, new Array(150).fill(s))", "none of that can be used"),
        ("s", "returned 33000000 bytes"),
        ("(function () { throw s; })()", "it threw \"(33000000 bytes)\""),
    ] {
        let script =
            format!("function FindProxyForURL() {{ var s = 'a'.repeat(33e6); return '' + {call}; }}");
        let pac = file(&script);
        // Of what it writes to, a quarter of a gigabyte: the engine has 64 MiB of it.
        let shell = ["-c", "ulimit -d 262144; exec \"$0\" \"$@\""];
        let mut cmd = wimble_through("sh", &shell, &command("connect", &pac, &["host:22"]));
        finish(&mut cmd, b"", LIMIT).fails(2).says(says);
    }
}

#[test]
fn no_login_in_a_scripts_answer_is_told() {
    let proxy = Origin::echoing_proxy();
    let place = proxy.target();
    for answer in [
        format!("http://alice:hunter2@{place}"),
        format!("alice:hunter2@{place}; PROXY {place}"),
        "HTTP://alice:hunter2@h DIRECT".into(),
        "PROXY alice:hun;hunter2@h".into(),
    ] {
        for words in [&["connect", "-v"][..], &["check", "--no-tls", "--explain"], &["check", "--json"]] {
            let pac = answering(&answer);
            let mut cmd = command(words[0], &pac, &words[1..]);
            let finished = finish(cmd.arg("host:22"), b"", LIMIT);
            let told = finished.text() + &finished.stderr;
            assert!(!told.contains("hunter2") && told.contains("redacted"), "{answer}: {told}");
        }
    }
    let moved = "HTTP/1.1 302 Found\r\nLocation: http://me:hunter2@x/y\r\nContent-Length: 0\r\n\r\n";
    let finished = fetching(&web(moved.into()), &[]).fails(2).says("sends to http://[redacted]@x/y");
    assert!(!finished.stderr.contains("hunter2"), "{}", finished.stderr);
}

#[test]
fn a_megabyte_is_run_and_a_byte_more_is_not() {
    let target = Origin::echo();
    let mut script = saying("DIRECT");
    script.push_str(&"\n// filler".repeat((MAX_SCRIPT - script.len()) / 10));
    script.push_str(&" ".repeat(MAX_SCRIPT - script.len()));
    let pac = file(&script);
    finish(&mut command("connect", &pac, &[&target.target()]), b"", LIMIT).exits(0);
    script.push(' ');
    let pac = file(&script);
    let mut cmd = command("connect", &pac, &[&target.target()]);
    finish(&mut cmd, b"", LIMIT).fails(2).says("larger than");
}

/// What `check --json` reports by a script with this answer.
fn checked(pac: &NamedTempFile, options: &[&str], code: i32) -> Value {
    let args = [&["--json", "--no-tls", "host:22"], options].concat();
    let finished = finish(&mut command("check", pac, &args), b"", LIMIT).exits(code);
    assert_valid(&finished);
    report(&finished)
}

#[test]
fn check_tells_the_answer_and_the_ways_that_were_passed_over() {
    let opens = || {
        turn(|conn| {
            conn.open("host:22");
            conn.send("hello\n");
            conn.read_to_any_end();
        })
    };
    let proxy = ScriptedProxy::in_turn(vec![opens(), opens()]);
    let dead = DeadPort::new();
    let answer = format!("PROXY 127.0.0.1:{}; {}", dead.port(), at(&proxy));
    let pac = answering(&answer);
    let report = checked(&pac, &["--explain"], 0);
    assert_eq!(report["proxy"], format!("127.0.0.1:{}", proxy.port()));
    let route = &report["route"];
    assert_eq!((&route["decided_by"], &route["script"]), (&"--pac".into(), &answer.as_str().into()));
    let passed_over = route["passed_over"].as_array().unwrap();
    assert_eq!(passed_over.len(), 1);
    let words = passed_over[0].as_str().unwrap();
    assert!(words.starts_with(&format!("tcp proxy 127.0.0.1:{}: ", dead.port())), "{words}");
    assert!(
        route["explained"].to_string().contains(&format!("its answer: for host:22: {answer}")),
        "{route}"
    );
    let stages: Vec<_> = report["stages"].as_array().unwrap().iter().map(|s| &s["with"]).collect();
    assert!(stages.iter().all(|with| **with == report["proxy"]), "{report}");

    let finished = finish(&mut command("check", &pac, &["--no-tls", "--explain", "host:22"]), b"", LIMIT);
    let text = finished.exits(0).text().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains(&format!("host:22 through proxy 127.0.0.1:{} (--pac)", proxy.port())), "{text}");
    assert!(text.contains(&answer) && text.contains("passed over"), "{text}");
    proxy.done();
}

#[test]
fn check_names_each_fault_of_a_script() {
    let absent = NamedTempFile::new().unwrap();
    let gone = absent.path().to_owned();
    drop(absent);
    let (gone, web) = (gone.to_str().unwrap().to_owned(), web("HTTP/1.1 404 No\r\n\r\n".into()));
    let path = |name| fixture(name).to_str().unwrap().to_owned();
    for (place, code, detail) in [
        (gone, 2, "pac-not-read"),
        (web, 2, "pac-not-fetched"),
        (path("syntax-error.pac"), 2, "pac-broken"),
        (path("endless-loop.pac"), 124, "pac-too-slow"),
        (path("no-way.pac"), 2, "pac-no-way"),
    ] {
        let mut cmd = wimble();
        let finished =
            finish(cmd.args(["check", "--json", "--pac", &place, "host:443"]), b"", LIMIT).exits(code);
        assert_valid(&finished);
        let error = &report(&finished)["error"];
        assert_eq!((&error["detail"], &error["stage"]), (&detail.into(), &Value::Null), "{error}");
    }
}

#[test]
fn check_compares_the_scripts_way_with_another_and_sweeps_on_it() {
    let proxy = Origin::echoing_proxy();
    let pac = answering(&format!("PROXY {}", proxy.target()));
    let target = Origin::greeting(b"hello\r\n");
    let args = ["--no-tls", "--compare", "direct", &target.target()];
    let text = finish(&mut command("check", &pac, &args), b"", LIMIT).exits(0).text();
    assert!(text.contains("(--pac)") && text.contains("(--compare)"), "{text}");
    let text = finish(&mut command("check", &pac, &["--ports", "1-3", "host"]), b"", LIMIT).exits(0).text();
    assert!(text.contains("(--pac)") && text.contains("1-3"), "{text}");
}

#[test]
fn a_sweep_tells_each_way_with_its_ports_and_check_tells_when_none_is_known() {
    let (one, other) = (Origin::echoing_proxy(), Origin::echoing_proxy());
    let pac = file(&format!(
        "function FindProxyForURL(url) {{ return 'PROXY ' + (url.indexOf(':2/') > 0 ? '{}' : '{}'); }}",
        other.target(),
        one.target()
    ));
    let text = finish(&mut command("check", &pac, &["--ports", "1-3", "host"]), b"", LIMIT).exits(0).text();
    let words: Vec<_> = text.split_whitespace().collect();
    let wanted = format!(
        "host through proxy {} (--pac) permits 1, 3 host through proxy {} (--pac) permits 2",
        one.target(),
        other.target()
    );
    assert_eq!(words.join(" "), wanted);
    let args = ["check", "--no-tls", "--pac", "/nonexistent", "host:1"];
    for more in [&[][..], &["--ports", "1-2"], &["--compare", "127.0.0.1:1"]] {
        let mut cmd = wimble();
        let args = if more.first() == Some(&"--ports") {
            &["check", "--pac", "/nonexistent", "host"]
        } else {
            &args[..]
        };
        let finished = finish(cmd.args(args).args(more), b"", LIMIT).exits(2);
        let told = finished.text();
        assert!(told.contains("no way is known") && !told.contains("without a proxy"), "{told}");
        assert!(!told.contains("is silent"), "{told}");
    }
}

#[test]
fn what_the_script_says_is_harmless_to_a_terminal() {
    let pac = file("function FindProxyForURL() { throw 'a\\x1b[2J\\nb'; }");
    let finished = finish(&mut command("connect", &pac, &["host:22"]), b"", LIMIT).fails(2);
    assert!(!finished.stderr.contains('\x1b'), "{:?}", finished.stderr);
    assert!(finished.stderr.contains("it threw"), "{}", finished.stderr);
}

#[test]
fn the_file_is_read_when_it_is_needed_and_waited_for_no_longer_than_for_a_proxy() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
    let started = fetching(pipe.to_str().unwrap(), &["--connect-timeout", "300ms"]);
    started.fails(124).says("--connect-timeout");
    // A forward listens before it knows any way.
    let mut cmd = wimble();
    let (mut running, _) = listening(cmd.args(["forward", "--pac"]).arg(&pipe).arg("0:host:22"));
    assert!(running.survives(Duration::from_millis(50)));
}
