//! `forward`: a reset is passed on as a reset, whoever sends it and whatever else is under way.

use crate::forward::forward;
use std::io::{ErrorKind, Read};
use std::sync::mpsc;
use std::time::Duration;

use crate::support::proxy::{Conn, ScriptedProxy};
use crate::support::{LIMIT, assert_same, listening, noise, write_until_stopped};

#[test]
fn a_reset_of_the_client_is_passed_on() {
    let (seen, told) = mpsc::channel::<()>();
    let proxy = ScriptedProxy::start(move |conn| {
        conn.open("host:22");
        assert_eq!(conn.read_exact(5), b"hello");
        seen.send(()).unwrap();
        conn.expect_reset();
    });
    let (_running, port) = listening(&mut forward(&proxy.url(), &["0:host:22"]));
    let mut conn = Conn::to(port);
    conn.send("hello");
    told.recv_timeout(LIMIT).unwrap();
    conn.reset();
    proxy.done();
}

#[test]
fn a_reset_of_the_tunnel_is_passed_on() {
    let (seen, told) = mpsc::channel::<()>();
    let proxy = ScriptedProxy::start(move |conn| {
        conn.open("host:22");
        conn.send("hello");
        told.recv_timeout(LIMIT).unwrap();
        conn.reset();
    });
    let (mut running, port) = listening(&mut forward(&proxy.url(), &["0:host:22"]));
    let mut conn = Conn::to(port);
    assert_eq!(conn.read_exact(5), b"hello");
    seen.send(()).unwrap();
    conn.expect_reset();
    proxy.done();
    assert!(running.survives(Duration::ZERO));
}

#[test]
fn a_reset_behind_the_end_of_the_client_is_passed_on_though_nobody_speaks() {
    for delay in ["0", "never"] {
        let (seen, told) = mpsc::channel::<()>();
        let proxy = ScriptedProxy::start(move |conn| {
            conn.open("host:22");
            assert_eq!(conn.read_exact(5), b"hello");
            if delay == "0" {
                assert_eq!(conn.read_to_end(), b"");
            }
            seen.send(()).unwrap();
            conn.expect_reset_unread();
        });
        let args = ["--half-close-delay", delay, "0:host:22"];
        let (mut running, port) = listening(&mut forward(&proxy.url(), &args));
        let mut conn = Conn::to(port);
        conn.send("hello");
        conn.finish_writing();
        told.recv_timeout(LIMIT).unwrap();
        conn.reset();
        proxy.done();
        assert!(running.survives(Duration::ZERO));
    }
}

#[test]
fn a_reset_of_the_client_is_passed_on_though_the_target_takes_nothing() {
    let (stopped, told) = mpsc::channel::<()>();
    let proxy = ScriptedProxy::start(move |conn| {
        conn.shrink_receive_buffer();
        conn.open("host:22");
        told.recv_timeout(LIMIT).unwrap();
        conn.expect_reset_unread();
    });
    let (mut running, port) = listening(&mut forward(&proxy.url(), &["0:host:22"]));
    let mut conn = Conn::to(port);
    write_until_stopped(conn.stream());
    conn.reset();
    stopped.send(()).unwrap();
    proxy.done();
    assert!(running.survives(Duration::ZERO));
}

#[test]
fn a_reset_behind_the_end_of_the_target_is_passed_on_to_an_idle_client() {
    let (seen, told) = mpsc::channel::<()>();
    let proxy = ScriptedProxy::start(move |conn| {
        conn.open("host:22");
        conn.send("bye");
        conn.finish_writing();
        told.recv_timeout(LIMIT).unwrap();
        conn.reset();
    });
    let (mut running, port) = listening(&mut forward(&proxy.url(), &["0:host:22"]));
    let mut conn = Conn::to(port);
    assert_eq!(conn.read_to_end(), b"bye");
    seen.send(()).unwrap();
    conn.expect_reset_unread();
    proxy.done();
    assert!(running.survives(Duration::ZERO));
}

/// A target that answers an upload which it does not read, and then closes: with input unread that is a reset.
fn answering_and_closing(answer: Vec<u8>) -> (ScriptedProxy, mpsc::Sender<()>) {
    let (close, closing) = mpsc::channel::<()>();
    let proxy = ScriptedProxy::start(move |conn| {
        conn.shrink_receive_buffer();
        conn.open("host:22");
        conn.send_in_vain(answer);
        closing.recv_timeout(LIMIT).unwrap();
        conn.close();
    });
    (proxy, close)
}

#[test]
fn an_answer_before_a_reset_arrives_and_does_not_look_complete() {
    for uploads in [false, true] {
        let (proxy, close) = answering_and_closing(noise(300_000, 3));
        let (_running, port) = listening(&mut forward(&proxy.url(), &["0:host:22"]));
        let mut conn = Conn::to(port);
        if uploads {
            write_until_stopped(conn.stream());
        } else {
            conn.send("a word that is not read");
        }
        assert_same(&conn.read_exact(300_000), &noise(300_000, 3));
        close.send(()).unwrap();
        conn.expect_reset();
        proxy.done();
    }
}

#[test]
fn an_answer_that_a_reset_overtakes_does_not_look_complete() {
    for uploads in [false, true] {
        let (proxy, close) = answering_and_closing(noise(300_000, 3));
        let (_running, port) = listening(&mut forward(&proxy.url(), &["0:host:22"]));
        let mut conn = Conn::to(port);
        if uploads {
            write_until_stopped(conn.stream());
        } else {
            conn.send("a word that is not read");
        }
        assert_same(&conn.read_exact(1000), &noise(1000, 3));
        close.send(()).unwrap();
        conn.expect_reset_unread();
        let mut got = Vec::new();
        let end = conn.stream().read_to_end(&mut got).map_err(|why| why.kind());
        assert_eq!(end, Err(ErrorKind::ConnectionReset), "behind {} bytes", got.len());
        assert_same(&got, &noise(300_000, 3)[1000..1000 + got.len()]);
        proxy.done();
    }
}
