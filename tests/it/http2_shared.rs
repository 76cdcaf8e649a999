//! Tunnels of a forward that share connections of HTTP/2, and what becomes of them when a connection goes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use h2::Reason;

use crate::support::http2::{Asked, Control, Http2Proxy, Peer, forever};
use crate::support::origin::Origin;
use crate::support::proxy::{Conn, basic};
use crate::support::{LIMIT, NAME_AND_PASSWORD, Running, assert_same, finish, listening, noise, wimble};

fn forward(proxy: &Http2Proxy, options: &[&str]) -> (Running, u16) {
    let mut cmd = wimble();
    cmd.args(["forward", "-v", "--proxy", &proxy.url(), "--proxy-http-version", "2"]);
    listening(cmd.args(["--half-close-delay", "0"]).args(options).arg("0:host:22"))
}

fn echoing() -> Http2Proxy {
    Http2Proxy::start(async |asked: Asked| asked.open().echo().await)
}

#[track_caller]
fn assert_echoes(client: &mut Conn, words: &str) {
    client.send(words);
    assert_eq!(client.read_exact(words.len()), words.as_bytes());
}

#[test]
fn tunnels_share_one_connection_one_after_the_other_and_at_once() {
    let proxy = echoing();
    let (_running, port) = forward(&proxy, &[]);
    for _ in 0..3 {
        let mut client = Conn::to(port);
        assert_echoes(&mut client, "one after the other");
        client.finish_writing();
        assert_eq!(client.read_to_end(), b"");
    }
    let mut clients: Vec<_> = (0..50).map(|_| Conn::to(port)).collect();
    clients.iter_mut().for_each(|client| assert_echoes(client, "at once"));
    assert_eq!(proxy.connections(), 1);
}

#[test]
fn a_burst_of_clients_finds_room_on_as_few_connections_as_the_streams_take() {
    let proxy = echoing();
    let (_running, port) = forward(&proxy, &[]);
    let mut clients: Vec<_> = (0..300).map(|_| Conn::to(port)).collect();
    clients.iter_mut().for_each(|client| assert_echoes(client, "here"));
    assert_eq!(proxy.connections(), 3);
}

#[test]
fn who_wants_no_more_does_not_take_the_answer_from_a_client_that_reads_late() {
    let count = AtomicUsize::new(0);
    let proxy = Http2Proxy::start(move |asked: Asked| {
        let first = count.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            let mut tunnel = asked.open();
            if !first {
                return tunnel.echo().await;
            }
            tunnel.send(&noise(900_000, 4)).await;
            tunnel.end();
            assert_eq!(tunnel.read(4).await, b"seen");
            tunnel.send.send_reset(Reason::CANCEL);
        }
    });
    let (_running, port) = forward(&proxy, &["--max-connections", "1"]);
    let mut client = Conn::to(port);
    client.shrink_receive_buffer();
    assert_same(&client.read_exact(1), &noise(900_000, 4)[..1]);
    client.send("seen");
    // Its turn comes when the first one is over.
    assert_echoes(&mut Conn::to(port), "next");
    assert_same(&client.read_to_end(), &noise(900_000, 4)[1..]);
}

#[test]
fn a_connection_more_is_made_when_the_peers_limit_is_reached() {
    let peer = Peer { streams: 2, ..Peer::new() };
    let proxy = Http2Proxy::as_peer(peer, async |asked: Asked| asked.open().echo().await);
    let (_running, port) = forward(&proxy, &[]);
    let mut clients: Vec<_> = (0..5).map(|_| Conn::to(port)).collect();
    clients.iter_mut().for_each(|client| assert_echoes(client, "at once"));
    // The first may have come before anybody knew the limit; never are there more than two to one.
    let connections = proxy.connections();
    assert!((3..=5).contains(&connections), "{connections}");
    // A place that is free again is used.
    let mut last = clients.pop().unwrap();
    last.finish_writing();
    assert_eq!(last.read_to_end(), b"");
    assert_echoes(&mut Conn::to(port), "again");
    assert_eq!(proxy.connections(), connections);
}

#[test]
fn r49_goaway_lets_tunnels_live_and_new_ones_go_to_a_new_connection() {
    let (tell, told) = mpsc::channel::<Control>();
    let proxy = Http2Proxy::start(move |asked: Asked| {
        tell.send(asked.control.clone()).unwrap();
        async move { asked.open().echo().await }
    });
    let (running, port) = forward(&proxy, &[]);
    let mut old = Conn::to(port);
    assert_echoes(&mut old, "before");
    told.recv_timeout(LIMIT).unwrap().say_goodbye();
    // It may take a moment to come; a request that crosses it is asked again.
    let on_a_new_one = (0..100).any(|_| {
        assert_echoes(&mut Conn::to(port), "after");
        proxy.connections() == 2
    });
    assert!(on_a_new_one, "{}", running.stderr());
    assert_echoes(&mut old, "still there");
    old.finish_writing();
    assert_eq!(old.read_to_end(), b"");
}

#[test]
fn a_connection_that_ended_while_it_was_idle_is_replaced() {
    let (tell, told) = mpsc::channel::<Control>();
    let proxy = Http2Proxy::start(move |asked: Asked| {
        tell.send(asked.control.clone()).unwrap();
        async move { asked.open().echo().await }
    });
    let (_running, port) = forward(&proxy, &[]);
    let mut client = Conn::to(port);
    assert_echoes(&mut client, "before");
    client.finish_writing();
    assert_eq!(client.read_to_end(), b"");
    // All is done on it, so the proxy closes behind this.
    told.recv_timeout(LIMIT).unwrap().say_goodbye();
    for _ in 0..10 {
        assert_echoes(&mut Conn::to(port), "after");
    }
    assert_eq!(proxy.connections(), 2);
}

#[test]
fn a_dead_connection_ends_its_tunnels_and_the_next_goes_over_a_new_one() {
    let proxy = Http2Proxy::start(async |asked: Asked| {
        let first = asked.connection == 1;
        let mut tunnel = asked.open();
        if first {
            tunnel.read(5).await;
            tunnel.control.freeze();
        }
        tunnel.echo().await;
    });
    let (running, port) = forward(&proxy, &["--keepalive", "500ms"]);
    let mut client = Conn::to(port);
    client.send("hello");
    client.expect_reset();
    running.stderr_line(|line| line.contains("does not answer pings"), LIMIT);
    assert_echoes(&mut Conn::to(port), "alive");
    assert_eq!(proxy.connections(), 2);
}

#[test]
fn a_client_need_not_wait_for_a_connection_that_died_in_silence() {
    let proxy = Http2Proxy::start(async |asked: Asked| {
        let first = asked.connection == 1;
        let mut tunnel = asked.open();
        if first {
            tunnel.read(5).await;
            tunnel.end();
            tunnel.control.freeze();
        }
        tunnel.echo().await;
    });
    // No tunnel is there to be missed, so nothing is noticed before one is wanted.
    let (_running, port) = forward(&proxy, &["--keepalive", "0"]);
    let mut client = Conn::to(port);
    client.send("hello");
    client.finish_writing();
    // Whether the end still came through, or the silence began before.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    drop(client);
    assert_echoes(&mut Conn::to(port), "alive");
    assert_eq!(proxy.connections(), 2);
}

#[test]
fn r47_resets_go_through_in_both_directions() {
    let (tell, told) = mpsc::channel();
    let proxy = Http2Proxy::start(move |asked: Asked| {
        let tell = tell.clone();
        async move {
            let nth = asked.nth;
            let mut tunnel = asked.open();
            if nth == 1 {
                tunnel.read(5).await;
                tunnel.send.send_reset(Reason::CONNECT_ERROR);
            } else {
                tell.send(tunnel.until_reset().await).unwrap();
            }
        }
    });
    let (_running, port) = forward(&proxy, &[]);
    let mut client = Conn::to(port);
    client.send("hello");
    client.expect_reset();
    let mut client = Conn::to(port);
    client.send("hello");
    std::thread::sleep(std::time::Duration::from_millis(50));
    client.reset();
    assert_eq!(told.recv_timeout(LIMIT).unwrap(), Reason::CONNECT_ERROR);
    assert_eq!(proxy.connections(), 1);
}

#[test]
fn a_client_that_reads_slowly_gets_all_although_the_proxy_wants_no_more() {
    let proxy = Http2Proxy::start(async |asked: Asked| {
        let mut tunnel = asked.open();
        tunnel.send(&noise(4 << 20, 1)).await;
        tunnel.end();
    });
    let (running, port) = forward(&proxy, &[]);
    let mut client = Conn::to(port);
    assert_same(&client.read_exact(1000), &noise(4 << 20, 1)[..1000]);
    // As TLS does, it says goodbye before it has read everything.
    client.send("goodbye");
    std::thread::sleep(std::time::Duration::from_millis(300));
    client.send("goodbye");
    assert_same(&client.read_to_end(), &noise(4 << 20, 1)[1000..]);
    assert!(!running.stderr().contains("took no more"), "{}", running.stderr());
}

#[test]
fn r48_tunnels_that_nobody_reads_do_not_stop_the_others() {
    const PIECE: usize = 1 << 20;
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let proxy = Http2Proxy::start(move |asked: Asked| {
        let sent = Arc::clone(&counter);
        async move {
            let slow = asked.nth <= 8;
            let mut tunnel = asked.open();
            if slow {
                while tunnel.send(&noise(PIECE, 1)).await {
                    sent.fetch_add(PIECE, Ordering::SeqCst);
                }
            }
            tunnel.echo().await;
        }
    });
    let (_running, port) = forward(&proxy, &[]);
    // Each of them could fill what most programs give a whole connection.
    let slow: Vec<_> = (0..8).map(|_| Conn::to(port)).collect();
    while sent.load(Ordering::SeqCst) < 8 * 3 * PIECE {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let mut fast = Conn::to(port);
    for _ in 0..8 {
        fast.send(noise(PIECE / 16, 2));
        assert_eq!(fast.read_exact(PIECE / 16), noise(PIECE / 16, 2));
    }
    assert_eq!(proxy.connections(), 1);
    // What is not read is bounded: windows, and the buffers of sockets.
    let held = sent.load(Ordering::SeqCst);
    assert!(held < 8 * 16 * PIECE, "{held} bytes");
    drop(slow);
}

#[test]
fn a_proxy_that_takes_nothing_of_one_tunnel_still_takes_the_others() {
    let proxy = Http2Proxy::start(async |asked: Asked| {
        let slow = asked.nth == 1;
        let tunnel = asked.open();
        if slow {
            forever().await;
        }
        tunnel.echo().await;
    });
    let (_running, port) = forward(&proxy, &[]);
    let slow = Conn::to(port);
    // All that its stream may send is sent, and more of it waits.
    crate::support::write_until_stopped(slow.stream());
    let mut fast = Conn::to(port);
    for _ in 0..8 {
        fast.send(noise(1 << 20, 2));
        assert_same(&fast.read_exact(1 << 20), &noise(1 << 20, 2));
    }
    assert_eq!(proxy.connections(), 1);
}

#[test]
fn credentials_once_found_out_go_with_every_later_request() {
    let proxy = Http2Proxy::start(async |asked: Asked| match asked.field("proxy-authorization") {
        None if asked.nth == 1 => asked.refuse(407, &[("proxy-authenticate", "Basic realm=\"cave\"")], ""),
        None => panic!("request {} has none", asked.nth),
        Some(credentials) => {
            assert_eq!(credentials, basic(NAME_AND_PASSWORD));
            asked.open().echo().await;
        }
    });
    let (name, password) = NAME_AND_PASSWORD.split_once(':').unwrap();
    let mut cmd = wimble();
    cmd.env("WIMBLE_PROXY_USER", name).env("WIMBLE_PROXY_PASSWORD", password);
    cmd.args(["forward", "--proxy", &proxy.url(), "--proxy-http-version", "2", "0:host:22"]);
    let (_running, port) = listening(&mut cmd);
    for _ in 0..3 {
        assert_echoes(&mut Conn::to(port), "in");
    }
    assert_eq!(proxy.connections(), 1);
    proxy.done();
}

#[test]
fn spare_tunnels_are_streams_that_stand_before_a_client_comes() {
    let (tell, told) = mpsc::channel();
    let proxy = Http2Proxy::start(move |asked: Asked| {
        tell.send(asked.nth).unwrap();
        async move {
            let mut tunnel = asked.open();
            tunnel.send(b"SSH-2.0-target\r\n").await;
            tunnel.echo().await;
        }
    });
    let (running, port) = forward(&proxy, &["--spare", "2"]);
    running.stderr_lines(2, |line| line.contains("a spare tunnel to host:22 stands"), LIMIT);
    let mut client = Conn::to(port);
    assert_eq!(client.read_exact(16), b"SSH-2.0-target\r\n");
    assert_echoes(&mut client, "hello");
    running.stderr_line(|line| line.contains("is handed out"), LIMIT);
    // And one takes its place, on the same connection.
    assert_eq!((0..3).map(|_| told.recv_timeout(LIMIT).unwrap()).max(), Some(3));
    assert_eq!(proxy.connections(), 1);
}

#[test]
fn proxies_behind_proxies_each_share_their_connection() {
    let inner = Http2Proxy::start(Asked::relay);
    let outer = Http2Proxy::start(Asked::relay);
    let target = Origin::echo();
    let mut cmd = wimble();
    cmd.args([
        "forward",
        "--proxy-http-version",
        "2",
        "--half-close-delay",
        "0",
        "-x",
        &outer.url(),
        "-x",
        &inner.url(),
    ]);
    let (_running, port) = listening(cmd.arg(format!("0:{}", target.target())));
    for _ in 0..3 {
        let mut client = Conn::to(port);
        assert_eq!(client.exchange(noise(300_000, 5)), noise(300_000, 5));
    }
    assert_eq!((outer.connections(), inner.connections()), (1, 1));
}

#[test]
fn what_was_carried_is_out_before_a_forward_ends() {
    let (tell, told) = mpsc::channel();
    let proxy = Http2Proxy::start(move |asked: Asked| {
        let tell = tell.clone();
        async move {
            let mut tunnel = asked.open();
            tunnel.end();
            tell.send(tunnel.read_to_end().await).unwrap();
        }
    });
    let (mut running, port) = forward(&proxy, &[]);
    let mut client = Conn::to(port);
    assert_eq!(client.read_to_end(), b"");
    client.send(noise(200_000, 9));
    client.close();
    running.signal(15);
    assert_eq!(running.wait(LIMIT), Some(0));
    assert_eq!(told.recv_timeout(LIMIT).unwrap(), noise(200_000, 9));
}

#[test]
fn fdpass_has_no_socket_to_give() {
    let proxy = echoing();
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut cmd = wimble();
    cmd.args(["connect", "--fdpass", "--proxy", &proxy.url(), "--proxy-http-version", "2", "host:22"]);
    cmd.stdout(std::os::fd::OwnedFd::from(theirs));
    let mut child = Running::start(&mut cmd);
    assert_eq!(child.wait(LIMIT), Some(2), "{}", child.stderr());
    assert!(child.stderr().contains("HTTP/2"), "{}", child.stderr());
    drop(ours);
}

#[test]
fn each_check_has_a_connection_of_its_own() {
    let proxy = Http2Proxy::start(async |asked: Asked| {
        let mut tunnel = asked.open();
        tunnel.send(b"SSH-2.0-target\r\n").await;
        tunnel.echo().await;
    });
    let mut cmd = wimble();
    cmd.args(["check", "--no-tls", "--count", "3", "--interval", "10ms", "--proxy", &proxy.url()]);
    let finished = finish(cmd.args(["--proxy-http-version", "2", "host:22"]), b"", LIMIT).exits(0);
    assert!(finished.text().contains("3 checks, 0 failed"), "{}", finished.text());
    assert_eq!(proxy.connections(), 3);
}

#[test]
fn a_proxy_that_accepts_and_is_silent_is_told_as_that_to_each_of_a_burst_and_in_time() {
    let silent = Origin::serving(|mut stream| drop(std::io::copy(&mut stream, &mut std::io::sink())));
    let mut cmd = wimble();
    cmd.args(["forward", "--proxy", &format!("https://127.0.0.1:{}", silent.port()), "0:host:22"]);
    let (running, port) = listening(cmd.args(["--connect-timeout", "500ms", "--proxy-insecure"]));
    let clients: Vec<_> = (0..5).map(|_| Conn::to(port)).collect();
    for mut client in clients {
        client.read_to_any_end();
    }
    running.stderr_lines(5, |line| line.contains("no answer within 500ms (--connect-timeout)"), LIMIT);
    assert!(!running.stderr().contains("no stream"), "{}", running.stderr());
}
