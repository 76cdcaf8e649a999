//! `connect`: how the target is typed, exit codes, and what is never read, written or waited for.

use std::fs::File;
use std::io::{Read, Write, pipe};
use std::net::{Ipv6Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use crate::support::proxy::{OK, ScriptedProxy, turn};
use crate::support::{LIMIT, Running, closed_port, connect_via, finish, readable, wimble};

fn refusing(answer: &'static str) -> ScriptedProxy {
    ScriptedProxy::start(move |conn| {
        conn.expect_connect("host:22");
        conn.send(answer);
        conn.read_to_any_end();
    })
}

#[test]
fn a_tunnel_carries_both_ways_and_says_nothing_else() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.open("host:22");
        assert_eq!(conn.read_exact(4), b"ping");
        conn.send("pong");
        conn.finish_writing();
        conn.read_to_any_end();
    });
    let finished = finish(&mut connect_via(&proxy, "host:22"), b"ping", LIMIT).exits(0);
    assert_eq!(finished.text(), "pong");
    assert_eq!(finished.stderr, "", "success is silent");
    proxy.done();
}

#[test]
fn a_proxy_without_a_scheme_is_http() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.open("host:22");
    });
    let bare = format!("127.0.0.1:{}", proxy.port());
    finish(wimble().args(["connect", "-x", &bare, "host:22"]), b"", LIMIT).exits(0);
    proxy.done();
}

#[test]
fn a_proxy_may_have_an_ipv6_address() {
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let proxy = ScriptedProxy::on(listener, vec![turn(|conn| drop(conn.open("host:22")))]);
    finish(wimble().args(["connect", "--proxy", &url, "host:22"]), b"", LIMIT).exits(0);
    finish(wimble().args(["connect", "-4", "--proxy", &url, "host:22"]), b"", LIMIT).fails(3);
    proxy.done();
}

#[test]
fn a_proxy_may_have_a_name_and_the_family_can_be_chosen() {
    let proxy = ScriptedProxy::in_turn(vec![
        turn(|conn| drop(conn.open("host:22"))),
        turn(|conn| drop(conn.open("host:22"))),
    ]);
    let url = format!("http://localhost:{}/", proxy.port());
    finish(wimble().args(["connect", "--proxy", &url, "host:22"]), b"", LIMIT).exits(0);
    finish(wimble().args(["connect", "-4", "--proxy", &url, "host:22"]), b"", LIMIT).exits(0);
    finish(wimble().args(["connect", "-6", "--proxy", &url, "host:22"]), b"", LIMIT).exits_with_any(&[3, 4]);
    proxy.done();
}

#[test]
fn direct_connects_to_the_target_itself() {
    let target = ScriptedProxy::start(|conn| {
        assert_eq!(conn.read_exact(4), b"ping");
        conn.send("pong");
        conn.finish_writing();
        conn.read_to_any_end();
    });
    let port = target.port().to_string();
    let mut cmd = wimble();
    let finished = finish(cmd.args(["connect", "--proxy", "direct", "127.0.0.1", &port]), b"ping", LIMIT);
    assert_eq!(finished.exits(0).text(), "pong");
    target.done();
}

#[test]
fn exit_1_is_a_stdout_that_went_away() {
    let (gone, told) = mpsc::channel::<()>();
    let proxy = ScriptedProxy::start(move |conn| {
        conn.open("host:22");
        conn.send("first");
        told.recv_timeout(LIMIT).unwrap();
        conn.send("second");
        conn.read_to_any_end();
    });
    let mut child =
        Running::start(connect_via(&proxy, "host:22").stdin(Stdio::piped()).stdout(Stdio::piped()));
    let stdin = child.take_stdin();
    let mut stdout = child.take_stdout();
    stdout.read_exact(&mut [0; 5]).unwrap();
    drop(stdout);
    gone.send(()).unwrap();
    assert_eq!(child.wait(LIMIT), Some(1), "{}", child.stderr());
    drop(stdin);
    proxy.done();
}

#[test]
fn exit_1_is_a_local_read_or_write_that_failed() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.open("host:22");
        conn.send("no room for this");
        conn.read_to_any_end();
    });
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut child = Running::start(connect_via(&proxy, "host:22").stdout(full));
    assert_eq!(child.wait(LIMIT), Some(1), "{}", child.stderr());
    assert!(child.stderr().starts_with("wimble: "), "{}", child.stderr());
    proxy.done();

    let proxy = ScriptedProxy::start(|conn| {
        conn.open("host:22");
        conn.read_to_any_end();
    });
    let mut child = Running::start(connect_via(&proxy, "host:22").stdin(File::open("/").unwrap()));
    assert_eq!(child.wait(LIMIT), Some(1), "a directory cannot be read: {}", child.stderr());
    proxy.done();
}

#[test]
fn exit_2_is_a_target_that_is_none() {
    for words in [
        &[][..],
        &["host"],
        &["host:"],
        &["host:0x16"],
        &["host:65536"],
        &["host:-1"],
        &[":22"],
        &["", "22"],
        &["host", "ssh", "22"],
        &["[::1", "22"],
        &["[::1]"],
        &["::1:22:"],
        &["user@host:22"],
        &["http://host:22"],
    ] {
        let proxy = ScriptedProxy::untouched();
        let args = wimble().args(["connect", "--proxy", &proxy.url()]).args(words).output().unwrap();
        assert_eq!(args.status.code(), Some(2), "{words:?}: {}", String::from_utf8_lossy(&args.stderr));
        assert!(args.stdout.is_empty() && !args.stderr.is_empty(), "{words:?}");
        proxy.done();
    }
}

#[test]
fn exit_2_is_a_proxy_that_is_none() {
    for url in ["http://", "http://host:port", "gopher://host", "http://ho st:80", "http://[::1", ""] {
        finish(wimble().args(["connect", "--proxy", url, "host:22"]), b"", LIMIT).fails(2);
    }
}

#[test]
fn exit_3_is_a_proxy_whose_name_does_not_resolve() {
    let mut cmd = wimble();
    cmd.args(["connect", "--proxy", "http://nowhere.invalid:3128", "host:22"]);
    finish(&mut cmd, b"", LIMIT).fails(3).says("nowhere.invalid");
}

#[test]
fn exit_4_is_a_proxy_that_cannot_be_reached() {
    let url = format!("http://127.0.0.1:{}", closed_port());
    let finished = finish(wimble().args(["connect", "--proxy", &url, "host:22"]), b"", LIMIT).fails(4);
    finished.says(url.strip_prefix("http://").unwrap());
}

#[test]
fn exit_6_is_a_proxy_that_wants_credentials_which_nobody_has() {
    let answer = "HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n";
    finish(&mut connect_via(&refusing(answer), "host:22"), b"", LIMIT).fails(6).says("407");
}

#[test]
fn exit_7_is_a_target_that_the_proxy_refuses() {
    for answer in [
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
    ] {
        finish(&mut connect_via(&refusing(answer), "host:22"), b"", LIMIT).fails(7);
    }
}

#[test]
fn exit_8_is_a_target_that_the_proxy_cannot_reach() {
    for answer in [
        "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n",
    ] {
        finish(&mut connect_via(&refusing(answer), "host:22"), b"", LIMIT).fails(8);
    }
}

#[test]
fn exit_11_is_a_tunnel_cut_off() {
    let (seen, told) = mpsc::channel::<()>();
    let proxy = ScriptedProxy::start(move |conn| {
        conn.open("host:22");
        conn.send("first");
        told.recv_timeout(LIMIT).unwrap();
        conn.reset();
    });
    let mut child =
        Running::start(connect_via(&proxy, "host:22").stdin(Stdio::piped()).stdout(Stdio::piped()));
    let stdin = child.take_stdin();
    let mut stdout = child.take_stdout();
    stdout.read_exact(&mut [0; 5]).unwrap();
    seen.send(()).unwrap();
    assert_eq!(child.wait(LIMIT), Some(11), "{}", child.stderr());
    assert!(child.stderr().starts_with("wimble: "), "{}", child.stderr());
    drop(stdin);
    proxy.done();
}

#[test]
fn a_refused_tunnel_leaves_every_byte_in_a_shared_stdin() {
    let (mut reader, mut writer) = pipe().unwrap();
    writer.write_all(b"for whoever comes next").unwrap();
    let proxy = refusing("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    let mut child = Running::start(connect_via(&proxy, "host:22").stdin(reader.try_clone().unwrap()));
    assert_eq!(child.wait(LIMIT), Some(7));
    drop(writer);
    let mut left = String::new();
    reader.read_to_string(&mut left).unwrap();
    assert_eq!(left, "for whoever comes next");
    proxy.done();
}

#[test]
fn stdin_is_not_touched_while_the_proxy_thinks() {
    let (asked, told) = mpsc::channel::<()>();
    let (go, gone) = mpsc::channel::<()>();
    let proxy = ScriptedProxy::start(move |conn| {
        conn.expect_connect("host:22");
        asked.send(()).unwrap();
        gone.recv_timeout(LIMIT).unwrap();
        conn.send(OK);
        assert_eq!(conn.read_exact(5), b"hello");
    });
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.write_all(b"hello").unwrap();
    // A second handle on the child's end: what the child has not read is still readable here.
    let watch = theirs.try_clone().unwrap();
    let stdin: OwnedFd = theirs.into();
    let mut child = Running::start(connect_via(&proxy, "host:22").stdin(stdin));
    told.recv_timeout(LIMIT).unwrap();
    assert!(child.survives(Duration::from_millis(200)));
    assert!(readable(&watch, Duration::ZERO), "stdin was read before the tunnel was open");
    go.send(()).unwrap();
    drop(ours);
    assert_eq!(child.wait(LIMIT), Some(0), "{}", child.stderr());
    proxy.done();
}

#[test]
fn signals_end_it() {
    for signal in [1, 2, 15] {
        let proxy = ScriptedProxy::start(|conn| {
            conn.open("host:22");
            conn.send("up");
            conn.read_to_any_end();
        });
        let mut child =
            Running::start(connect_via(&proxy, "host:22").stdin(Stdio::piped()).stdout(Stdio::piped()));
        let stdin = child.take_stdin();
        child.take_stdout().read_exact(&mut [0; 2]).unwrap();
        child.signal(signal);
        let status = child.wait_status(LIMIT);
        assert!(status.signal() == Some(signal) || status.code().is_some_and(|code| code != 0), "{status:?}");
        drop(stdin);
        proxy.done();
    }
}
