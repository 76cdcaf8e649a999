//! `forward --spare`: tunnels that stand before a client comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use crate::forward::forward;
use crate::support::origin::Origin;
use crate::support::proxy::{Conn, OK, ScriptedProxy, turn};
use crate::support::{LIMIT, Running, listening};

/// A proxy that opens tunnels to host:22, each with the target's first words glued to the answer,
/// and hands them out as they are opened.
fn opens(words: &'static str) -> (Origin, Receiver<Conn>) {
    let (opened, handed) = mpsc::channel();
    let proxy = Origin::serving(move |stream| {
        let mut conn = Conn::new(stream);
        conn.expect_connect("host:22");
        conn.send([OK, words.as_bytes()].concat());
        // The test may have seen enough.
        let _unwanted = opened.send(conn);
    });
    (proxy, handed)
}

fn start(proxy: &str, options: &[&str]) -> (Running, u16) {
    listening(forward(proxy, &["-v", "0:host:22"]).args(options))
}

/// Waits until so many tunnels have been put by.
#[track_caller]
fn stand(running: &Running, tunnels: usize) {
    running.stderr_lines(tunnels, |line| line.contains("a spare tunnel to host:22 stands"), LIMIT);
}

#[test]
fn a_client_gets_a_tunnel_that_stood_before_it_came() {
    let (proxy, handed) = opens("");
    let (running, port) = start(&proxy.url(), &["--spare", "1"]);
    let mut target = handed.recv_timeout(LIMIT).unwrap();
    stand(&running, 1);
    let mut client = Conn::to(port);
    client.send("ping");
    assert_eq!(target.read_exact(4), b"ping");
    target.send("pong");
    assert_eq!(client.read_exact(4), b"pong");
    let _next = handed.recv_timeout(LIMIT).unwrap();
}

#[test]
fn what_the_target_said_first_is_the_clients() {
    let (proxy, handed) = opens("SSH-2.0-target\r\n");
    let (running, port) = start(&proxy.url(), &["--spare", "1"]);
    let mut target = handed.recv_timeout(LIMIT).unwrap();
    stand(&running, 1);
    let mut client = Conn::to(port);
    assert_eq!(client.read_exact(16), b"SSH-2.0-target\r\n");
    target.finish_writing();
    assert_eq!(client.read_to_end(), b"");
}

#[test]
fn no_tunnel_is_handed_to_two_clients() {
    let (proxy, handed) = opens("");
    let (running, port) = start(&proxy.url(), &["--spare", "2"]);
    let mut targets: Vec<_> = (0..2).map(|_| handed.recv_timeout(LIMIT).unwrap()).collect();
    stand(&running, 2);
    let mut clients = [Conn::to(port), Conn::to(port)];
    clients[0].send("0");
    clients[1].send("1");
    let mut heard: Vec<_> = targets.iter_mut().map(|target| target.read_exact(1)).collect();
    heard.sort();
    assert_eq!(heard, [b"0", b"1"]);
    let _next = [handed.recv_timeout(LIMIT).unwrap(), handed.recv_timeout(LIMIT).unwrap()];
}

#[test]
fn one_that_dies_is_replaced_also_behind_bytes_that_nobody_has_read() {
    let (proxy, handed) = opens("421 too many connections\r\n");
    let (running, port) = start(&proxy.url(), &["--spare", "1"]);
    handed.recv_timeout(LIMIT).unwrap().close();
    running.stderr_line(|line| line.contains("has died"), LIMIT);
    let mut second = handed.recv_timeout(LIMIT).unwrap();
    stand(&running, 2);
    let mut client = Conn::to(port);
    client.send("x");
    assert_eq!(second.read_exact(1), b"x");
}

#[test]
fn a_proxy_that_ends_them_at_once_is_not_asked_without_a_pause() {
    let count = Arc::new(AtomicUsize::new(0));
    let asked = count.clone();
    let proxy = Origin::serving(move |stream| {
        asked.fetch_add(1, Ordering::Relaxed);
        Conn::new(stream).open("host:22");
    });
    let (running, _) = start(&proxy.url(), &["--spare", "4"]);
    running.stderr_line(|line| line.contains("spare tunnels to host:22 end at once"), LIMIT);
    // The first one, those that were on their way when it ended, and as many a second later.
    std::thread::sleep(Duration::from_millis(1500));
    let times = count.load(Ordering::Relaxed);
    assert!((2..20).contains(&times), "asked {times} times");
}

#[test]
fn one_that_is_too_old_is_replaced() {
    let (proxy, handed) = opens("");
    let (running, _port) = start(&proxy.url(), &["--spare", "1", "--spare-max-age", "300ms"]);
    let mut first = handed.recv_timeout(LIMIT).unwrap();
    assert_eq!(first.read_to_any_end(), b"");
    let _second = handed.recv_timeout(LIMIT).unwrap();
    drop(running);
}

#[test]
fn a_client_that_finds_none_gets_a_tunnel_of_its_own() {
    let proxy = ScriptedProxy::in_turn(vec![
        turn(|conn| {
            conn.expect_connect("host:22");
            conn.send("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
        }),
        turn(|conn| {
            conn.open("host:22");
            assert_eq!(conn.read_exact(1), b"x");
            conn.send("y");
        }),
    ]);
    let (running, port) = start(&proxy.url(), &["--spare", "1"]);
    running.stderr_line(|line| line.contains("503"), LIMIT);
    let mut client = Conn::to(port);
    client.send("x");
    assert_eq!(client.read_exact(1), b"y");
    drop(running);
    proxy.done();
}

#[test]
fn they_are_dropped_quietly_at_the_end() {
    let (proxy, handed) = opens("");
    let mut cmd = forward(&proxy.url(), &["0:host:22", "--spare", "1"]);
    let (mut running, port) = listening(&mut cmd);
    let mut target = handed.recv_timeout(LIMIT).unwrap();
    running.signal(15);
    assert_eq!(running.wait(LIMIT), Some(0));
    target.read_to_any_end();
    assert_eq!(running.stderr(), format!("listening on 127.0.0.1:{port} -> host:22"));
}
