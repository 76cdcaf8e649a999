//! `serve`: the small CONNECT proxy, met by the real client and by raw requests.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::origin::Origin;
use crate::support::proxy::{Conn, authorization, basic, fields};
use crate::support::{
    Finished, LIMIT, Running, assert_same, closed_port, finish, in_time, listening, noise, readable, wimble,
};

fn serve(args: &[&str]) -> Command {
    let mut cmd = wimble();
    cmd.args(["serve", "--listen", "127.0.0.1:0"]).args(args);
    cmd
}

/// `wimble connect` through the server on `port`, and out again.
fn connect(port: u16, userinfo: &str, target: &str, stdin: &[u8]) -> Finished {
    let url = format!("http://{userinfo}127.0.0.1:{port}");
    finish(wimble().env("WIMBLE_PROXY", url).args(["connect", target]), stdin, LIMIT)
}

/// Sends a raw request and gives the head of the answer.
fn asked(port: u16, request: impl AsRef<[u8]>) -> (Conn, String) {
    let mut conn = Conn::to(port);
    conn.send(request);
    let head = conn.head();
    (conn, head)
}

fn connect_request(target: &str, more: &str) -> String {
    format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{more}\r\n")
}

fn auth_file(dir: &Path) -> String {
    let path = dir.join("users");
    std::fs::write(&path, "aladdin:open sesame\njasmine:with:colon\n").unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn it_says_where_it_listens_and_nothing_else() {
    let (running, port) = listening(&mut serve(&[]));
    assert_eq!(running.stderr(), format!("listening on 127.0.0.1:{port}"));
}

#[test]
fn the_real_client_gets_through() {
    let origin = Origin::echo();
    let (_running, port) = listening(&mut serve(&[]));
    assert_eq!(connect(port, "", &origin.target(), b"ping").exits(0).text(), "ping");
    let by_name = format!("localhost:{}", origin.port());
    assert_eq!(connect(port, "", &by_name, b"ping").exits(0).text(), "ping", "the proxy resolves names");
    let sshd = Origin::greeting(b"SSH-2.0-target\r\n");
    assert_eq!(connect(port, "", &sshd.target(), b"").exits(0).text(), "SSH-2.0-target\r\n");
}

#[test]
fn many_bytes_get_through_both_ways() {
    let origin = Origin::echo();
    let (_running, port) = listening(&mut serve(&[]));
    let finished = connect(port, "", &origin.target(), &noise(8 << 20, 1)).exits(0);
    assert_same(&finished.stdout, &noise(8 << 20, 1));
}

#[test]
fn bytes_glued_to_the_request_are_the_targets() {
    let origin = Origin::echo();
    let (_running, port) = listening(&mut serve(&[]));
    let (mut conn, head) = asked(port, connect_request(&origin.target(), "") + "glued");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(conn.read_exact(5), b"glued");
    conn.finish_writing();
    assert_eq!(conn.read_to_end(), b"");
}

#[test]
fn a_request_may_come_one_byte_at_a_time() {
    let origin = Origin::echo();
    let (_running, port) = listening(&mut serve(&[]));
    let mut conn = Conn::to(port);
    conn.send_bytewise(connect_request(&origin.target(), "X: y\r\n") + "ping");
    assert!(conn.head().starts_with("HTTP/1.1 200 "));
    assert_eq!(conn.read_exact(4), b"ping");
}

#[test]
fn other_methods_are_405() {
    let (_running, port) = listening(&mut serve(&[]));
    for request in
        ["GET http://host/ HTTP/1.1\r\nHost: host\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"]
    {
        let (_, head) = asked(port, request);
        assert!(head.starts_with("HTTP/1.1 405 "), "{request:?}: {head}");
        assert_eq!(fields(&head, "allow"), ["CONNECT"], "RFC 9110 §15.5.6");
    }
}

#[test]
fn garbage_is_400() {
    let (_running, port) = listening(&mut serve(&[]));
    for request in [
        "garbage\r\n\r\n",
        "CONNECT\r\n\r\n",
        "CONNECT host HTTP/1.1\r\nHost: host\r\n\r\n",
        "CONNECT http://host:22/ HTTP/1.1\r\nHost: host\r\n\r\n",
        "CONNECT ho\0st:22 HTTP/1.1\r\nHost: host\r\n\r\n",
        "CONNECT host:99999 HTTP/1.1\r\nHost: host\r\n\r\n",
        "CONNECT host:22 HTTP/1.1\r\nX: a\rb\r\n\r\n",
    ] {
        let (_, head) = asked(port, request);
        assert!(head.starts_with("HTTP/1.1 400 "), "{request:?}: {head}");
    }
}

#[test]
fn a_request_head_without_end_is_given_up() {
    let (_running, port) = listening(&mut serve(&[]));
    let mut conn = Conn::to(port);
    conn.send("CONNECT host:22 HTTP/1.1\r\nX: ");
    let more = vec![b'a'; 64 * 1024];
    let refused = (0..4096).any(|_| std::io::Write::write_all(&mut conn.stream(), &more).is_err());
    assert!(refused, "a head of 256 MiB was swallowed");
}

#[test]
fn a_dead_target_is_502() {
    let (_running, port) = listening(&mut serve(&[]));
    let dead = format!("127.0.0.1:{}", closed_port());
    let (_, head) = asked(port, connect_request(&dead, ""));
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    connect(port, "", &dead, b"").fails(8);
    connect(port, "", "nowhere.invalid:22", b"").fails(8);
}

#[test]
fn an_auth_file_asks_for_basic_credentials() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::echo();
    let (_running, port) = listening(&mut serve(&["--auth-file", &auth_file(dir.path())]));
    let (_, head) = asked(port, connect_request(&origin.target(), ""));
    assert!(head.starts_with("HTTP/1.1 407 "), "{head}");
    let challenges = fields(&head, "proxy-authenticate");
    assert!(challenges.iter().any(|challenge| challenge.starts_with("Basic realm=\"")), "{head}");

    let target = origin.target();
    assert_eq!(connect(port, "aladdin:open%20sesame@", &target, b"ping").exits(0).text(), "ping");
    assert_eq!(connect(port, "jasmine:with%3Acolon@", &target, b"ping").exits(0).text(), "ping");
    connect(port, "", &target, b"ping").fails(6);
    connect(port, "aladdin:wrong@", &target, b"ping").fails(6);
    connect(port, "nobody:open%20sesame@", &target, b"ping").fails(6);
    connect(port, "aladdin:@", &target, b"ping").fails(6);
}

#[test]
fn credentials_are_never_passed_on_to_the_target() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::echo();
    let (_running, port) = listening(&mut serve(&["--auth-file", &auth_file(dir.path())]));
    let field = format!("Proxy-Authorization: {}\r\n", basic("aladdin:open sesame"));
    let (mut conn, head) = asked(port, connect_request(&origin.target(), &field) + "x");
    assert!(head.starts_with("HTTP/1.1 200 ") && authorization(&head).is_empty(), "{head}");
    conn.finish_writing();
    assert_eq!(conn.read_to_end(), b"x");
}

#[test]
fn targets_can_be_allowed_and_denied() {
    let (origin, other) = (Origin::echo(), Origin::echo());
    let everything_on_this_host = "127.0.0.1:*";
    let (_running, port) = listening(&mut serve(&["--allow", &origin.target()]));
    assert_eq!(connect(port, "", &origin.target(), b"ping").exits(0).text(), "ping");
    connect(port, "", &other.target(), b"").fails(7).says("403");

    let (_running, port) = listening(&mut serve(&["--deny", &origin.target()]));
    connect(port, "", &origin.target(), b"").fails(7).says("403");
    assert_eq!(connect(port, "", &other.target(), b"ping").exits(0).text(), "ping");

    let (_running, port) =
        listening(&mut serve(&["--allow", everything_on_this_host, "--deny", &other.target()]));
    assert_eq!(connect(port, "", &origin.target(), b"ping").exits(0).text(), "ping");
    connect(port, "", &other.target(), b"").fails(7);
}

#[test]
fn off_loopback_it_wants_an_auth_file_or_an_allow() {
    let dir = tempfile::tempdir().unwrap();
    for open in ["0.0.0.0:0", "[::]:0"] {
        let refused = finish(wimble().args(["serve", "--listen", open]), b"", LIMIT).fails(2);
        refused.says("--auth-file").says("--allow");
    }
    let users = auth_file(dir.path());
    listening(wimble().args(["serve", "--listen", "0.0.0.0:0", "--auth-file", &users]));
    listening(wimble().args(["serve", "--listen", "0.0.0.0:0", "--allow", "host:22"]));
    listening(wimble().args(["serve", "--listen", "[::1]:0"]));
}

#[test]
fn an_auth_file_that_is_missing_or_broken_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let broken = dir.path().join("broken");
    std::fs::write(&broken, "no colon here\n").unwrap();
    std::fs::set_permissions(&broken, Permissions::from_mode(0o600)).unwrap();
    for path in [dir.path().join("missing"), broken] {
        finish(&mut serve(&["--auth-file", path.to_str().unwrap()]), b"", LIMIT).fails(2);
    }
}

#[test]
fn no_more_than_max_connections_are_served() {
    let origin = Origin::echo();
    let (_running, port) = listening(&mut serve(&["--max-connections", "1"]));
    let (mut first, head) = asked(port, connect_request(&origin.target(), ""));
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let mut second = Conn::to(port);
    second.send(connect_request(&origin.target(), ""));
    // Kept waiting or turned away, but not served.
    if readable(second.stream(), Duration::from_millis(300)) {
        assert!(second.head().starts_with("HTTP/1.1 503 "));
        return;
    }
    first.finish_writing();
    first.read_to_end();
    first.close();
    assert!(second.head().starts_with("HTTP/1.1 200 "));
}

#[test]
fn ends_are_passed_on_in_both_directions() {
    let origin = Origin::echo();
    let (_running, port) = listening(&mut serve(&[]));
    let (mut conn, _) = asked(port, connect_request(&origin.target(), ""));
    let got = in_time(LIMIT, move || conn.exchange(noise(200_000, 3)));
    assert_same(&got, &noise(200_000, 3));
}

#[test]
fn a_signal_ends_it() {
    for signal in [2, 15] {
        let (mut running, _): (Running, u16) = listening(&mut serve(&[]));
        running.signal(signal);
        assert_eq!(running.wait(LIMIT), Some(0), "{}", running.stderr());
    }
}

#[test]
fn an_address_that_is_denied_is_denied_however_it_is_written() {
    let origin = Origin::echo();
    let (_running, port) = listening(&mut serve(&["--deny", "127.0.0.1:*"]));
    for host in [
        "127.0.0.1",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:FFFF:127.0.0.1]",
        "127.1",
        "127.0.1",
        "127.0.0.1.",
        "2130706433",
        "0x7f.0.0.1",
        "0x7f000001",
        "0X7F.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.0x1",
        "127.0.0.01",
        "0",
        "0.0.0.0",
        "[::]",
        "[::ffff:0.0.0.0]",
    ] {
        let (_, head) = asked(port, connect_request(&format!("{host}:{}", origin.port()), ""));
        assert!(["403", "400"].contains(&&head[9..12]), "{host}: {head}");
    }
    // The control: without a rule IPv4 in IPv6 is a way to the target.
    let (_running, port) = listening(&mut serve(&[]));
    let (_, head) = asked(port, connect_request(&format!("[::ffff:127.0.0.1]:{}", origin.port()), ""));
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
}

#[test]
fn an_address_that_is_denied_is_not_dialled_under_any_name() {
    let origin = Origin::echo();
    let by_name = format!("localhost:{}", origin.port());
    let both = ["--deny", "127.*:*", "--deny", "[::1]:*"];
    let answer = |rules: &[&str]| {
        let (_running, port) = listening(&mut serve(rules));
        let (_, head) = asked(port, connect_request(&by_name, ""));
        head[9..12].to_owned()
    };
    assert_eq!(answer(&both), "403");
    assert_eq!(answer(&[&both[..], &["--allow", "localhost:*"]].concat()), "403", "even if allowed");
    let others_ports = ["--deny", "127.*:1", "--deny", "[::1]:1"];
    assert_eq!(answer(&others_ports), "200");
    // What is left of its addresses is dialled: nobody listens there.
    assert_ne!(answer(&["--deny", "127.*:*"]), "200");
    assert_eq!(
        answer(&["--allow", "localhost:*"]),
        "200",
        "what is asked for is allowed, and nothing denied"
    );
}
