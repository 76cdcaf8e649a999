//! `forward`: local listeners, one tunnel for each connection, and how the listener lives on.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::origin::Origin;
use crate::support::proxy::{Conn, ScriptedProxy, turn};
use crate::support::{
    LIMIT, Running, assert_same, closed_port, in_time, listening, listening_port, noise, readable, wimble,
    wimble_through,
};

pub(crate) fn forward(proxy: &str, args: &[&str]) -> Command {
    let mut cmd = wimble();
    cmd.args(["forward", "--proxy", proxy]).args(args);
    cmd
}

/// Sends a word through a forward that leads to an echo.
#[track_caller]
pub(crate) fn echoes(conn: &mut Conn) {
    conn.send("hello");
    assert_eq!(conn.read_exact(5), b"hello");
}

#[test]
fn the_line_that_says_where_it_listens() {
    let proxy = ScriptedProxy::untouched();
    let (running, port) = listening(&mut forward(&proxy.url(), &["0:host.example:22"]));
    assert_eq!(running.stderr(), format!("listening on 127.0.0.1:{port} -> host.example:22"));
    drop(running);
    proxy.done();
}

#[test]
fn a_connection_is_a_tunnel() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.open("host:22");
        assert_eq!(conn.exchange(b"pong".to_vec()), b"ping");
    });
    let (running, port) = listening(&mut forward(&proxy.url(), &["0:host:22"]));
    assert_eq!(Conn::to(port).exchange(b"ping".to_vec()), b"pong");
    proxy.done();
    drop(running);
}

#[test]
fn bytes_glued_to_the_answer_come_first() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        conn.send("HTTP/1.1 200 OK\r\n\r\nSSH-2.0");
        conn.send("-target");
        conn.finish_writing();
        conn.read_to_any_end();
    });
    let (_running, port) = listening(&mut forward(&proxy.url(), &["0:host:22"]));
    let mut conn = Conn::to(port);
    assert_eq!(conn.read_to_end(), b"SSH-2.0-target");
    conn.close();
    proxy.done();
}

#[test]
fn several_specs_listen_each_for_its_target() {
    let proxy = ScriptedProxy::in_turn(vec![
        turn(|conn| drop(conn.open("second:2"))),
        turn(|conn| drop(conn.open("first:1"))),
    ]);
    let running = Running::start(&mut forward(&proxy.url(), &["0:first:1", "127.0.0.1:0:second:2"]));
    let first = listening_port(&running.stderr_line(|line| line.ends_with(" -> first:1"), LIMIT));
    let second = listening_port(&running.stderr_line(|line| line.ends_with(" -> second:2"), LIMIT));
    Conn::to(second).read_to_any_end();
    Conn::to(first).read_to_any_end();
    proxy.done();
}

#[test]
fn ipv6_stands_in_brackets() {
    let proxy = ScriptedProxy::start(|conn| drop(conn.open("[2001:db8::1]:22")));
    let running = Running::start(&mut forward(&proxy.url(), &["[::1]:0:[2001:db8::1]:22"]));
    let line = running.stderr_line(|line| line.starts_with("listening on [::1]:"), LIMIT);
    assert!(line.ends_with(" -> [2001:db8::1]:22"), "{line}");
    Conn::new(TcpStream::connect(("::1", listening_port(&line))).unwrap()).read_to_any_end();
    proxy.done();
}

#[test]
fn a_spec_that_is_none_is_refused() {
    for spec in
        ["", "22", "host:22", "0:host", "0:host:0:1:2", "99999:host:22", "0:host:port", "unix::host:22"]
    {
        let output = forward("http://127.0.0.1:1", &[spec]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{spec:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(forward("http://127.0.0.1:1", &[]).output().unwrap().status.code(), Some(2), "no spec at all");
}

#[test]
fn a_port_in_use_is_an_error_at_once() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = taken.local_addr().unwrap();
    let mut running =
        Running::start(&mut forward("http://127.0.0.1:1", &[&format!("{}:host:22", addr.port())]));
    assert_eq!(running.wait(LIMIT), Some(1), "{}", running.stderr());
    assert!(running.stderr().contains(&addr.to_string()), "{}", running.stderr());
}

#[test]
fn listening_beyond_loopback_is_warned_about() {
    let proxy = ScriptedProxy::untouched();
    let running = Running::start(&mut forward(&proxy.url(), &["0.0.0.0:0:host:22"]));
    running.stderr_line(|line| line.starts_with("listening on 0.0.0.0:"), LIMIT);
    running.stderr_line(|line| line.contains("0.0.0.0") && !line.starts_with("listening on "), LIMIT);
    let (running, _) = listening(&mut forward(&proxy.url(), &["127.0.0.2:0:host:22"]));
    assert_eq!(running.stderr().lines().count(), 1, "127.0.0.2 is loopback: {}", running.stderr());
    proxy.done();
}

#[test]
fn the_end_of_the_target_is_passed_on_and_the_client_goes_on() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.open("host:22");
        conn.send("bye");
        conn.finish_writing();
        assert_eq!(conn.read_to_end(), b"last words");
    });
    let (_running, port) = listening(&mut forward(&proxy.url(), &["0:host:22"]));
    let mut conn = Conn::to(port);
    assert_eq!(conn.read_to_end(), b"bye");
    conn.send("last words");
    conn.finish_writing();
    proxy.done();
}

#[test]
fn the_end_of_the_client_is_passed_on_behind_the_delay() {
    for (options, at_least, at_most) in [
        (&["--half-close-delay", "0"][..], 0, 900),
        (&["--half-close-delay", "1200ms"], 1000, 8000),
        (&[], 800, 8000),
    ] {
        let proxy = ScriptedProxy::start(move |conn| {
            conn.open("host:22");
            assert_eq!(conn.read_exact(4), b"ping");
            let start = Instant::now();
            assert_eq!(conn.read_to_end(), b"");
            let waited = start.elapsed().as_millis();
            assert!(waited >= at_least && waited < at_most, "{options:?}: {waited} ms");
            conn.send("pong");
        });
        let (_running, port) = listening(&mut forward(&proxy.url(), &[options, &["0:host:22"]].concat()));
        let mut conn = Conn::to(port);
        conn.send("ping");
        conn.finish_writing();
        assert_eq!(conn.read_to_end(), b"pong", "{options:?}");
        proxy.done();
    }
}

#[test]
fn a_tunnel_that_cannot_be_made_closes_its_connection_alone() {
    let proxy = ScriptedProxy::in_turn(vec![
        turn(|conn| {
            conn.expect_connect("host:22");
            conn.send("HTTP/1.1 403 Not you\r\nContent-Length: 0\r\n\r\n");
            conn.read_to_any_end();
        }),
        turn(|conn| {
            conn.open("host:22");
            assert_eq!(conn.exchange(b"pong".to_vec()), b"ping");
        }),
    ]);
    let (running, port) = listening(&mut forward(&proxy.url(), &["0:host:22"]));
    assert_eq!(Conn::to(port).read_to_any_end(), b"");
    running.stderr_line(|line| line.contains("403 Not you"), LIMIT);
    assert_eq!(Conn::to(port).exchange(b"ping".to_vec()), b"pong");
    proxy.done();
}

#[test]
fn a_proxy_that_is_down_comes_back() {
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, closed_port()));
    let (running, port) = listening(&mut forward(&format!("http://{addr}"), &["0:host:22"]));
    for _ in 0..3 {
        assert_eq!(Conn::to(port).read_to_any_end(), b"");
    }
    running.stderr_lines(3, |line| line.contains(&addr.to_string()) && !line.starts_with("listening"), LIMIT);
    let proxy = ScriptedProxy::on(
        TcpListener::bind(addr).unwrap(),
        vec![turn(|conn| {
            conn.open("host:22");
            assert_eq!(conn.exchange(b"pong".to_vec()), b"ping");
        })],
    );
    assert_eq!(Conn::to(port).exchange(b"ping".to_vec()), b"pong");
    proxy.done();
}

#[test]
fn two_hundred_connections_at_once() {
    let proxy = Origin::echoing_proxy();
    // Each ends behind its half-close: with the delay the test would take minutes.
    let (running, port) = listening(&mut forward(&proxy.url(), &["--half-close-delay", "0", "0:host:22"]));
    let mut conns: Vec<Conn> = (0..200).map(|_| Conn::to(port)).collect();
    // All are open before the first one ends.
    for (i, conn) in (0..).zip(&mut conns) {
        conn.send(noise(10_000, i));
    }
    for (i, conn) in (0..).zip(&mut conns) {
        assert_same(&conn.read_exact(10_000), &noise(10_000, i));
    }
    for (i, mut conn) in (1000..).zip(conns) {
        assert_same(&conn.exchange(noise(1000, i)), &noise(1000, i));
    }
    assert_eq!(running.stderr().lines().count(), 1, "{}", running.stderr());
}

#[test]
fn sixteen_mebibytes_each_way_at_once() {
    let proxy = Origin::echoing_proxy();
    let (_running, port) = listening(&mut forward(&proxy.url(), &["0:host:22"]));
    let got = in_time(3 * LIMIT, move || Conn::to(port).exchange(noise(16 << 20, 9)));
    assert_same(&got, &noise(16 << 20, 9));
}

#[test]
fn no_more_than_max_connections_are_open() {
    let (go, gone) = mpsc::channel::<()>();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let watch = listener.try_clone().unwrap();
    let proxy = ScriptedProxy::on(
        listener,
        vec![
            turn(move |conn| {
                conn.open("host:22");
                conn.send("1");
                gone.recv_timeout(LIMIT).unwrap();
            }),
            turn(|conn| {
                conn.open("host:22");
                conn.send("2");
            }),
        ],
    );
    let (_running, port) = listening(&mut forward(&proxy.url(), &["--max-connections", "1", "0:host:22"]));
    let mut first = Conn::to(port);
    assert_eq!(first.read_exact(1), b"1");
    let mut second = Conn::to(port);
    assert!(!readable(&watch, Duration::from_millis(300)), "a second tunnel was asked for");
    go.send(()).unwrap();
    assert_eq!(first.read_to_any_end(), b"");
    first.close();
    assert_eq!(second.read_exact(1), b"2", "the second has its turn when the first is over");
    second.close();
    proxy.done();
}

#[test]
fn an_idle_forward_costs_nothing() {
    let proxy = Origin::echoing_proxy();
    let (running, port) = listening(&mut forward(&proxy.url(), &["0:host:22"]));
    let mut conn = Conn::to(port);
    echoes(&mut conn);
    let spent = running.cpu_of_a_second();
    assert!(spent < Duration::from_millis(50), "{spent:?} of CPU in one idle second");
}

#[test]
fn running_out_of_descriptors_is_waited_out() {
    let proxy = Origin::echoing_proxy();
    let inner = forward(&proxy.url(), &["--max-connections", "1000", "0:host:22"]);
    let shell = ["-c", "ulimit -n 40; exec \"$0\" \"$@\""];
    let (mut running, port) = listening(&mut wimble_through("sh", &shell, &inner));
    let mut first = Conn::to(port);
    echoes(&mut first);
    let conns: Vec<Conn> = (0..80).map(|_| Conn::to(port)).collect();
    let spent = running.cpu_of_a_second();
    assert!(spent < Duration::from_millis(100), "{spent:?} of CPU in one second without descriptors");
    assert!(running.survives(Duration::ZERO), "{}", running.stderr());
    echoes(&mut first);
    drop(conns);
    // The connections that waited are taken and found dead; then there is room again.
    let deadline = Instant::now() + LIMIT;
    loop {
        let mut conn = Conn::to(port);
        conn.send("hello");
        if conn.stream().read_exact(&mut [0; 5]).is_ok() {
            break;
        }
        assert!(Instant::now() < deadline, "no room again: {}", running.stderr());
    }
}

#[test]
fn the_soft_file_limit_is_raised_to_the_hard_one() {
    let inner = forward("http://127.0.0.1:1", &["0:host:22"]);
    let shell = ["-c", "ulimit -S -n 64; exec \"$0\" \"$@\""];
    let (running, _) = listening(&mut wimble_through("sh", &shell, &inner));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", running.pid())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let columns: Vec<&str> = files.split_whitespace().collect();
    assert_ne!(columns[4], "64", "the hard limit of this machine is too low for the test");
    assert_eq!(columns[3], columns[4], "{files}");
}

const SIGINT: i32 = 2;
pub(crate) const SIGTERM: i32 = 15;

/// Until the port takes nobody any more.
fn stops_accepting(port: u16) {
    let deadline = Instant::now() + LIMIT;
    while let Ok(conn) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
        drop(conn);
        assert!(Instant::now() < deadline, "it goes on accepting");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_signal_ends_it_at_once_when_nothing_is_open() {
    for signal in [SIGTERM, SIGINT] {
        let (mut running, _) = listening(&mut forward("http://127.0.0.1:1", &["--grace", "5m", "0:host:22"]));
        running.signal(signal);
        assert_eq!(running.wait(LIMIT), Some(0), "{}", running.stderr());
    }
}

#[test]
fn a_signal_lets_the_open_tunnels_finish() {
    let proxy = Origin::echoing_proxy();
    let (mut running, port) = listening(&mut forward(&proxy.url(), &["--grace", "5m", "0:host:22"]));
    let mut conn = Conn::to(port);
    echoes(&mut conn);
    running.signal(SIGTERM);
    stops_accepting(port);
    echoes(&mut conn);
    assert!(running.survives(Duration::from_millis(200)));
    conn.finish_writing();
    assert_eq!(conn.read_to_end(), b"");
    conn.close();
    assert_eq!(running.wait(LIMIT), Some(0), "{}", running.stderr());
}

#[test]
fn the_grace_is_limited() {
    let proxy = Origin::echoing_proxy();
    let (mut running, port) = listening(&mut forward(&proxy.url(), &["--grace", "300ms", "0:host:22"]));
    let mut conn = Conn::to(port);
    echoes(&mut conn);
    let start = Instant::now();
    running.signal(SIGTERM);
    assert_eq!(running.wait(LIMIT), Some(0), "{}", running.stderr());
    assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

#[test]
fn what_is_cut_off_at_the_end_of_the_grace_is_reset_on_both_sides() {
    // As many as find their way to each thread.
    const CLIENTS: usize = 8;
    let (handed, tunnels) = mpsc::channel();
    let proxy = Origin::serving(move |stream| {
        let mut conn = Conn::new(stream);
        conn.open("host:22");
        handed.send(conn).unwrap();
    });
    let mut cmd = forward(&proxy.url(), &["-v", "--grace", "100ms", "0:host:22"]);
    let (mut running, port) = listening(&mut cmd);
    let mut both: Vec<_> =
        (0..CLIENTS).map(|_| [Conn::to(port), tunnels.recv_timeout(LIMIT).unwrap()]).collect();
    running.signal(SIGTERM);
    assert_eq!(running.wait(LIMIT), Some(0), "{}", running.stderr());
    both.iter_mut().flatten().for_each(Conn::expect_reset);
    assert!(running.stderr().contains("8 connections are cut off"), "{}", running.stderr());
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let proxy = Origin::echoing_proxy();
    let (mut running, port) = listening(&mut forward(&proxy.url(), &["--grace", "5m", "0:host:22"]));
    let mut conn = Conn::to(port);
    echoes(&mut conn);
    running.signal(SIGTERM);
    stops_accepting(port);
    running.signal(SIGTERM);
    running.wait(LIMIT);
}

#[test]
fn urgent_data_of_the_target_stays_in_its_place_behind_a_download_too() {
    // A reader that pauses, so that the mark and all that is behind it arrive before they are carried.
    const BEFORE: usize = 3_000_000;
    const PAUSE: usize = 2_000_000;
    const BEHIND: usize = 100_000;
    const ROUNDS: u64 = 8;
    let proxy = ScriptedProxy::start(|conn| {
        conn.open("host:22");
        for round in 0..ROUNDS {
            conn.send(noise(BEFORE, round));
            conn.send_urgent(b'!');
            conn.send(noise(BEHIND, round + ROUNDS));
            if round < ROUNDS - 1 {
                assert_eq!(conn.read_exact(4), b"next");
            }
        }
        conn.finish_writing();
        assert_eq!(conn.read_to_end(), b"");
    });
    let (running, port) = listening(&mut forward(&proxy.url(), &["--half-close-delay", "0", "0:host:22"]));
    let mut conn = Conn::to(port);
    for round in 0..ROUNDS {
        let before = noise(BEFORE, round);
        assert_same(&conn.read_exact(PAUSE), &before[..PAUSE]);
        thread::sleep(Duration::from_millis(300));
        assert_same(&conn.read_exact(BEFORE - PAUSE), &before[PAUSE..]);
        assert_eq!(conn.read_exact(1), b"!");
        assert_same(&conn.read_exact(BEHIND), &noise(BEHIND, round + ROUNDS));
        if round == 0 {
            let spent = running.cpu_of_a_second();
            assert!(spent < Duration::from_millis(50), "{spent:?} of CPU in one second behind urgent data");
        }
        if round < ROUNDS - 1 {
            conn.send("next");
        }
    }
    assert_eq!(conn.read_to_end(), b"");
    conn.finish_writing();
    proxy.done();
}

#[test]
fn urgent_data_of_the_client_stays_in_its_place_behind_an_upload_too() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.open("host:22");
        assert_same(&conn.read_exact(3_000_000), &noise(3_000_000, 1));
        assert_eq!(conn.read_to_end(), b"!behind");
    });
    let (_running, port) = listening(&mut forward(&proxy.url(), &["--half-close-delay", "0", "0:host:22"]));
    let mut conn = Conn::to(port);
    conn.send(noise(3_000_000, 1));
    conn.send_urgent(b'!');
    conn.send("behind");
    conn.finish_writing();
    assert_eq!(conn.read_to_end(), b"");
    proxy.done();
}

#[test]
fn a_listener_that_waits_holds_nobody_elses_slot() {
    let proxy = ScriptedProxy::in_turn(
        ["second:2", "first:1", "second:2", "second:2", "first:1", "first:1"]
            .map(|target| turn(move |conn| drop(conn.open(target))))
            .into(),
    );
    let args = ["--max-connections", "1", "0:first:1", "0:second:2"];
    let running = Running::start(&mut forward(&proxy.url(), &args));
    let first = listening_port(&running.stderr_line(|line| line.ends_with(" -> first:1"), LIMIT));
    let second = listening_port(&running.stderr_line(|line| line.ends_with(" -> second:2"), LIMIT));
    for port in [second, first, second, second, first, first] {
        Conn::to(port).read_to_any_end();
    }
    proxy.done();
}

#[test]
fn nothing_is_announced_unless_every_spec_can_be_listened_at() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let spec = format!("{}:host:22", taken.local_addr().unwrap().port());
    let mut running = Running::start(&mut forward("http://127.0.0.1:1", &["0:host:22", &spec]));
    assert_eq!(running.wait(LIMIT), Some(1));
    assert!(!running.stderr().contains("listening on"), "{}", running.stderr());
}
