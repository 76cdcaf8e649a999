//! Time limits of each stage, and the tunnel that has none.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};

use crate::support::proxy::{BASIC_407, Conn, OK, ScriptedProxy, authorization, basic, turn};
use crate::support::{Finished, LIMIT, NAME_AND_PASSWORD, connect_as, connect_via, finish, wimble};

/// A listener whose queue is full: whoever connects gets no answer at all.
struct Blackhole {
    addr: SocketAddr,
    _listener: OwnedFd,
    _waiting: Vec<TcpStream>,
}

impl Blackhole {
    fn new() -> Self {
        let listener = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&listener, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        listen(&listener, 0).unwrap();
        let addr = SocketAddr::try_from(getsockname(&listener).unwrap()).unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&addr, Duration::from_millis(300)) {
            waiting.push(stream);
            assert!(waiting.len() < 100, "the queue does not fill");
        }
        Self { addr, _listener: listener, _waiting: waiting }
    }
}

/// Fails by its time limit: not before `limit`, and long before the others would strike.
#[track_caller]
fn times_out(cmd: &mut std::process::Command, limit: Duration) -> Finished {
    let start = Instant::now();
    let finished = finish(cmd, b"never to be read", LIMIT).fails(124);
    let took = start.elapsed();
    assert!(took >= limit && took < limit + Duration::from_secs(6), "{took:?}");
    finished
}

const SHORT: Duration = Duration::from_millis(300);

#[test]
fn connecting_to_the_proxy_has_a_limit() {
    let hole = Blackhole::new();
    let url = format!("http://{}", hole.addr);
    let mut cmd = wimble();
    cmd.args(["connect", "--proxy", &url, "--connect-timeout", "300ms", "host:22"]);
    times_out(&mut cmd, SHORT).says(&hole.addr.to_string());
}

#[test]
fn connecting_to_the_proxy_has_a_limit_of_ten_seconds_unless_told() {
    let hole = Blackhole::new();
    let url = format!("http://{}", hole.addr);
    times_out(wimble().args(["connect", "--proxy", &url, "host:22"]), Duration::from_millis(9_900));
}

#[test]
fn whoever_says_something_else_and_then_waits_is_no_http_proxy() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        conn.send("login: ");
        conn.read_to_any_end();
    });
    let mut cmd = connect_via(&proxy, "host:22");
    finish(cmd.args(["--proxy-timeout", "300ms"]), b"", LIMIT).fails(9).says("login: ");
    proxy.done();
}

#[test]
fn a_proxy_that_says_nothing_runs_into_its_limit() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        conn.read_to_any_end();
    });
    times_out(connect_via(&proxy, "host:22").args(["--proxy-timeout", "300ms"]), SHORT);
    proxy.done();
}

#[test]
fn the_limit_of_the_exchange_is_for_the_whole_and_not_for_each_byte() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        conn.send("HTTP/1.1 200 OK\r\nX: ");
        let ended = (0..400).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            std::io::Write::write_all(&mut conn.stream(), b"a").is_err()
        });
        assert!(ended, "a head was awaited for 20 s");
    });
    times_out(connect_via(&proxy, "host:22").args(["--proxy-timeout", "300ms"]), SHORT);
    proxy.done();
}

#[test]
fn the_limit_of_the_exchange_includes_authentication() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        conn.send(BASIC_407);
        conn.expect_connect("host:22");
        conn.read_to_any_end();
    });
    times_out(connect_as(&proxy, "host:22").args(["--proxy-timeout", "300ms"]), SHORT);
    proxy.done();
}

#[test]
fn a_407_whose_content_never_ends_is_waited_for_where_there_is_an_answer_to_give() {
    let never_ends = |conn: &mut Conn| {
        conn.expect_connect("host:22");
        conn.send(
            "HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 10\r\n\r\nabc",
        );
        conn.read_to_any_end();
    };
    let proxy = ScriptedProxy::start(never_ends);
    times_out(connect_as(&proxy, "host:22").args(["--proxy-timeout", "300ms"]), SHORT);
    proxy.done();
    // But not for ever: the answer goes over another connection.
    let proxy = ScriptedProxy::in_turn(vec![
        turn(never_ends),
        turn(|conn| {
            assert_eq!(authorization(&conn.open("host:22")), [basic(NAME_AND_PASSWORD)]);
            conn.send("hello");
        }),
    ]);
    assert_eq!(finish(&mut connect_as(&proxy, "host:22"), b"", LIMIT).exits(0).text(), "hello");
    proxy.done();
    // Without one the 407 is the last word.
    let proxy = ScriptedProxy::start(never_ends);
    finish(&mut connect_via(&proxy, "host:22"), b"", LIMIT).fails(6);
    proxy.done();
}

#[test]
fn a_silent_tunnel_runs_into_the_idle_limit() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.open("host:22");
        conn.read_to_any_end();
    });
    let start = Instant::now();
    let mut cmd = connect_via(&proxy, "host:22");
    cmd.args(["--idle-timeout", "300ms", "--half-close-delay", "never"]);
    finish(&mut cmd, b"", LIMIT).fails(124);
    assert!(start.elapsed() >= SHORT, "{:?}", start.elapsed());
    proxy.done();
}

#[test]
fn traffic_in_either_direction_puts_the_idle_limit_off() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.open("host:22");
        for _ in 0..40 {
            conn.expect_silence(Duration::from_millis(50));
            conn.send("x");
        }
        conn.finish_writing();
        conn.read_to_any_end();
    });
    let mut cmd = connect_via(&proxy, "host:22");
    cmd.args(["--idle-timeout", "1s", "--half-close-delay", "never"]);
    assert_eq!(finish(&mut cmd, b"", LIMIT).exits(0).stdout.len(), 40);
    proxy.done();
}

#[test]
fn an_open_tunnel_has_no_limit() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        conn.send(OK);
        conn.expect_silence(Duration::from_millis(1500));
        conn.send("still here");
        conn.finish_writing();
        conn.read_to_any_end();
    });
    let mut cmd = connect_via(&proxy, "host:22");
    cmd.args(["--connect-timeout", "300ms", "--proxy-timeout", "300ms", "--half-close-delay", "never"]);
    assert_eq!(finish(&mut cmd, b"", LIMIT).exits(0).text(), "still here");
    proxy.done();
}

#[test]
fn a_duration_that_is_none_is_refused() {
    for duration in ["", "x", "10 parsecs", "-1s"] {
        let proxy = ScriptedProxy::untouched();
        let option = format!("--proxy-timeout={duration}");
        finish(connect_via(&proxy, "host:22").arg(&option), b"", LIMIT).exits(2);
        proxy.done();
    }
}

/// The keepalive timer of the socket from `port` to the proxy's: the time that is left of it.
#[cfg(target_os = "linux")]
fn keepalive_timer(port: u16) -> Option<Duration> {
    let start = Instant::now();
    let local = format!("0100007F:{port:04X}");
    loop {
        let list = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let line = list.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
        let line = line.into_iter().find(|fields| fields[1] == local).expect("a socket");
        match line[5].split_once(':').unwrap() {
            ("00", _) => return None,
            // In hundredths of a second.
            ("02", left) => return Some(Duration::from_millis(10 * u64::from_str_radix(left, 16).unwrap())),
            // Something is to be acknowledged yet.
            timer => assert!(start.elapsed() < LIMIT, "{timer:?}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_silent_tunnel_is_probed_after_a_minute_unless_told() {
    let seconds = Duration::from_secs;
    for (options, within) in [
        (&[][..], Some(seconds(40)..=seconds(60))),
        (&["--keepalive", "20s"], Some(seconds(1)..=seconds(20))),
        (&["--keepalive", "0"], None),
    ] {
        let proxy = ScriptedProxy::start(move |conn| {
            conn.open("host:22");
            let left = keepalive_timer(conn.stream().peer_addr().unwrap().port());
            conn.finish_writing();
            conn.read_to_any_end();
            let as_wanted = match &within {
                Some(within) => left.is_some_and(|left| within.contains(&left)),
                None => left.is_none(),
            };
            assert!(as_wanted, "{left:?}, not within {within:?}");
        });
        finish(connect_via(&proxy, "host:22").args(options), b"", LIMIT).exits(0);
        proxy.done();
    }
}
