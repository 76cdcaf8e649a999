//! `serve` over HTTP/2: tunnels that share a connection, and what a client can't make of that.
//!
//! Asked by the h2 crate, by nghttpx, and where a request shall be malformed or a flood by frames made here.

use std::fs::Permissions;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Method, Request, StatusCode};
use tokio::net::TcpStream;

use crate::serve_tls;
use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, RST_STREAM, SETTINGS,
};
use crate::support::origin::Origin;
use crate::support::pki::Pki;
use crate::support::proxy::{Conn, basic};
use crate::support::real::{Way, tool};
use crate::support::{LIMIT, Running, assert_same, closed_port, finish, listening, noise, wimble};

fn serve(more: &[&str]) -> (Running, u16) {
    listening(wimble().args(["-v", "serve", "--listen", "127.0.0.1:0"]).args(more))
}

/// Runs a client, every wait of which is bounded by the whole.
fn client<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(3 * LIMIT, work).await.expect("in time") })
}

type Sender = SendRequest<Bytes>;

/// A connection by prior knowledge; what it ends with comes from the task.
async fn connection(port: u16) -> (Sender, tokio::task::JoinHandle<Result<(), h2::Error>>) {
    let tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (sender, running) = h2::client::handshake(tcp).await.unwrap();
    (sender, tokio::spawn(running))
}

async fn ask(
    sender: &Sender,
    method: Method,
    uri: &str,
    fields: &[(&'static str, String)],
) -> (ResponseFuture, SendStream<Bytes>) {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in fields {
        request = request.header(*name, value);
    }
    let mut sender = sender.clone().ready().await.unwrap();
    sender.send_request(request.body(()).unwrap(), false).unwrap()
}

async fn refused(
    sender: &Sender,
    target: &str,
    fields: &[(&'static str, String)],
) -> (StatusCode, HeaderMap) {
    let (response, _sending) = ask(sender, Method::CONNECT, target, fields).await;
    let response = response.await.unwrap();
    (response.status(), response.headers().clone())
}

/// One tunnel.
struct Tunnel {
    sending: SendStream<Bytes>,
    receiving: RecvStream,
}

impl Tunnel {
    async fn open(sender: &Sender, target: &str) -> Self {
        let (response, sending) = ask(sender, Method::CONNECT, target, &[]).await;
        let response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        Self { sending, receiving: response.into_body() }
    }

    fn send(&mut self, bytes: impl Into<Bytes>) {
        self.sending.send_data(bytes.into(), false).unwrap();
    }

    fn end(&mut self) {
        self.sending.send_data(Bytes::new(), true).unwrap();
    }

    /// What comes, up to this many bytes or the end.
    async fn read(&mut self, most: usize) -> Result<Vec<u8>, h2::Error> {
        let mut all = Vec::new();
        while all.len() < most {
            let Some(some) = self.receiving.data().await.transpose()? else { break };
            let _closed = self.receiving.flow_control().release_capacity(some.len());
            all.extend_from_slice(&some);
        }
        Ok(all)
    }
}

#[test]
fn r46_tunnels_share_a_connection_and_each_direction_ends_alone() {
    let (origin, (_running, port)) = (Origin::echo(), serve(&[]));
    client(async {
        let (sender, _) = connection(port).await;
        let (mut one, mut other) =
            (Tunnel::open(&sender, &origin.target()).await, Tunnel::open(&sender, &origin.target()).await);
        one.send("first");
        other.send("second");
        one.end();
        assert_eq!(one.read(usize::MAX).await.unwrap(), b"first", "the answer comes behind our end");
        assert_eq!(other.read(6).await.unwrap(), b"second", "and the other goes on");
    });
}

#[test]
fn r46_the_end_of_the_target_leaves_the_other_direction_open() {
    let (tell, told) = mpsc::channel();
    let origin = Origin::serving(move |mut stream| {
        stream.write_all(b"bye").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut late = Vec::new();
        stream.read_to_end(&mut late).unwrap();
        tell.send(late).unwrap();
    });
    let (_running, port) = serve(&[]);
    client(async {
        let (sender, _) = connection(port).await;
        let mut tunnel = Tunnel::open(&sender, &origin.target()).await;
        assert_eq!(tunnel.read(usize::MAX).await.unwrap(), b"bye");
        tunnel.send("late");
        tunnel.end();
        let late = tokio::task::spawn_blocking(move || told.recv_timeout(LIMIT)).await.unwrap();
        assert_eq!(late.unwrap(), b"late");
    });
}

#[test]
fn r47_a_reset_of_the_target_is_a_connect_error() {
    let origin = Origin::serving(|stream| {
        (&stream).read_exact(&mut [0; 4]).unwrap();
        Conn::new(stream).reset();
    });
    let (_running, port) = serve(&[]);
    client(async {
        let (sender, _) = connection(port).await;
        let mut tunnel = Tunnel::open(&sender, &origin.target()).await;
        tunnel.send("ping");
        let error = tunnel.read(usize::MAX).await.unwrap_err();
        assert_eq!(error.reason(), Some(Reason::CONNECT_ERROR));
    });
}

#[test]
fn r47_a_reset_of_the_client_is_one_for_the_target_and_for_no_other() {
    let (tell, told) = mpsc::channel();
    let origin = Origin::serving(move |mut stream| {
        let mut got = Vec::new();
        tell.send(stream.read_to_end(&mut got).map_err(|error| error.kind())).unwrap();
    });
    let (echo, (_running, port)) = (Origin::echo(), serve(&[]));
    client(async {
        let (sender, _) = connection(port).await;
        let mut other = Tunnel::open(&sender, &echo.target()).await;
        let mut tunnel = Tunnel::open(&sender, &origin.target()).await;
        tunnel.send("half of it");
        tunnel.sending.send_reset(Reason::CANCEL);
        let end = tokio::task::spawn_blocking(move || told.recv_timeout(LIMIT)).await.unwrap();
        assert_eq!(end.unwrap(), Err(std::io::ErrorKind::ConnectionReset));
        other.send("ping");
        assert_eq!(other.read(4).await.unwrap(), b"ping");
    });
}

#[test]
fn what_is_under_way_to_targets_that_have_gone_ends_no_other_tunnel() {
    const GONE: u32 = 90;
    let gone = Origin::serving(|stream| {
        (&stream).read_exact(&mut [0]).unwrap();
        Conn::new(stream).reset();
    });
    let (echo, (_running, port)) = (Origin::echo(), serve(&[]));
    let mut frames = Frames::to(port);
    frames.send(&Frames::connect(1, &echo.target()));
    frames.expect(HEADERS, 1);
    let streams: Vec<u32> = (1..=GONE).map(|nth| 1 + 2 * nth).collect();
    for stream in &streams {
        frames.send(&Frames::connect(*stream, &gone.target()));
        frames.expect(HEADERS, *stream);
        frames.send(&Frames::frame(DATA, 0, *stream, b"x"));
        frames.expect_reset(*stream, Reason::CONNECT_ERROR);
    }
    // RFC 9113 §5.1: who resets a stream may get more of it for a while.
    for stream in streams {
        frames.send(&Frames::frame(DATA, 0, stream, b"late").repeat(5));
    }
    frames.send(&Frames::frame(DATA, 0, 1, b"alive"));
    assert_eq!(frames.expect(DATA, 1), b"alive");
}

#[test]
fn r48_a_tunnel_that_is_not_read_does_not_hold_up_the_others() {
    let flood = Origin::serving(|mut stream| while stream.write_all(&[7; 64 * 1024]).is_ok() {});
    let (origin, (_running, port)) = (Origin::echo(), serve(&[]));
    client(async {
        let tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let mut builder = h2::client::Builder::new();
        builder.initial_connection_window_size(1 << 24).initial_window_size(1 << 18);
        let (sender, running) = builder.handshake(tcp).await.unwrap();
        tokio::spawn(running);
        let stuck = Tunnel::open(&sender, &flood.target()).await;
        let mut tunnel = Tunnel::open(&sender, &origin.target()).await;
        let sent = noise(4 << 20, 5);
        tunnel.send(sent.clone());
        tunnel.end();
        assert_same(&tunnel.read(usize::MAX).await.unwrap(), &sent);
        drop(stuck);
    });
}

#[test]
fn each_request_is_let_in_or_refused_on_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let users = dir.path().join("users");
    std::fs::write(&users, "aladdin:open sesame\n").unwrap();
    std::fs::set_permissions(&users, Permissions::from_mode(0o600)).unwrap();
    let (origin, denied) = (Origin::echo(), Origin::echo());
    let deny = denied.target();
    let more = ["--auth-file", users.to_str().unwrap(), "--deny", &deny];
    let (running, port) = listening(wimble().args(["-vv", "serve", "--listen", "127.0.0.1:0"]).args(more));
    client(async {
        let (sender, _) = connection(port).await;
        let login = [("proxy-authorization", basic("aladdin:open sesame"))];
        let (status, fields) = refused(&sender, &origin.target(), &[]).await;
        assert_eq!((status.as_u16(), fields.get_all("proxy-authenticate").iter().count()), (407, 3));
        assert!(!fields.contains_key("connection"), "RFC 9113 §8.2.2");
        let wrong = [("proxy-authorization", basic("aladdin:wrong"))];
        assert_eq!(refused(&sender, &origin.target(), &wrong).await.0, 407);
        let twice = [login.clone(), login.clone()].concat();
        assert_eq!(refused(&sender, &origin.target(), &twice).await.0, 400);
        assert_eq!(refused(&sender, &deny, &login).await.0, 403);
        assert_eq!(refused(&sender, &format!("127.0.0.1:{}", closed_port()), &login).await.0, 502);
        assert_eq!(refused(&sender, "host", &login).await.0, 400, "RFC 9110 §9.3.6: no port");
        assert_eq!(refused(&sender, &origin.target(), &login).await.0, 200);
        let (response, _sending) = ask(&sender, Method::GET, "http://host/", &login).await;
        let response = response.await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["allow"]),
            (405, &"CONNECT".parse().unwrap())
        );
    });
    // As HTTP/1.1 is shown.
    running.stderr_line(|line| line == "wimble: > allow: CONNECT", LIMIT);
    let said = running.stderr();
    let request = format!("wimble: < CONNECT {} HTTP/2\n", origin.target());
    for shown in [
        format!("{request}wimble: > HTTP/2 407\nwimble: > proxy-authenticate: "),
        format!("{request}wimble: < proxy-authorization: [masked]\n"),
        "wimble: > HTTP/2 200\nwimble: < GET http://host/ HTTP/2\n".into(),
    ] {
        assert!(said.contains(&shown), "{shown}{said}");
    }
    let secret = login_of("aladdin:open sesame");
    assert!(!said.contains(&secret), "{said}");
}

/// What of credentials would be told.
fn login_of(words: &str) -> String {
    basic(words).split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn the_real_client_gets_through_by_alpn_and_by_prior_knowledge() {
    let (pki, dir) = (Pki::new(), tempfile::tempdir().unwrap());
    let users = dir.path().join("users");
    std::fs::write(&users, "aladdin:open sesame\n").unwrap();
    std::fs::set_permissions(&users, Permissions::from_mode(0o600)).unwrap();
    let (origin, sshd, denied) = (Origin::echo(), Origin::greeting(b"SSH-2.0-target\r\n"), Origin::echo());
    let deny = denied.target();
    let more = ["--auth-file", users.to_str().unwrap(), "--deny", &deny];
    let (_plain, plain_port) = serve(&more);
    let (_secured, port) = serve_tls::serve(&pki, &more);
    let ways =
        [(format!("https://localhost:{port}"), "auto"), (format!("http://127.0.0.1:{plain_port}"), "2")];
    for (url, version) in &ways {
        let through = |target: &str, password: &str, stdin: &[u8]| {
            let mut cmd = wimble();
            cmd.env("WIMBLE_PROXY_USER", "aladdin").env("WIMBLE_PROXY_PASSWORD", password);
            cmd.args(["connect", "--half-close-delay", "0", "--proxy", url, "--proxy-http-version", version]);
            finish(cmd.arg("--proxy-cacert").arg(pki.ca_file()).arg(target), stdin, 3 * LIMIT)
        };
        let sent = noise(8 << 20, 7);
        assert_same(&through(&origin.target(), "open sesame", &sent).exits(0).stdout, &sent);
        let greeting = through(&sshd.target(), "open sesame", b"").exits(0);
        assert_eq!(greeting.text(), "SSH-2.0-target\r\n");
        through(&origin.target(), "wrong", b"").fails(6).says("tried: Digest, refused");
        through(&deny, "open sesame", b"").fails(7).says("403");
        through(&format!("127.0.0.1:{}", closed_port()), "open sesame", b"").fails(8).says("502");
    }
}

#[test]
fn the_tunnels_of_a_forward_share_one_connection() {
    let (pki, origin) = (Pki::new(), Origin::echo());
    let (_running, port) = serve_tls::serve(&pki, &[]);
    let mut cmd = wimble();
    cmd.args(["-v", "forward", "--proxy", &format!("https://localhost:{port}"), "--proxy-cacert"]);
    let (forward, at) = listening(cmd.arg(pki.ca_file()).arg(format!("127.0.0.1:0:{}", origin.target())));
    let mut first = Conn::to(at);
    first.send("ping");
    assert_eq!(first.read_exact(4), b"ping");
    let mut others: Vec<_> = (0..30).map(|_| Conn::to(at)).collect();
    for conn in &mut others {
        conn.send("ping");
    }
    for conn in &mut others {
        assert_eq!(conn.read_exact(4), b"ping");
    }
    let log = forward.stderr();
    assert_eq!(log.matches("connected to").count(), 1, "{log}");
}

#[test]
fn by_alpn_and_in_front_of_it_nghttpx() {
    let pki = Pki::new();
    let (running, port) = serve_tls::serve(&pki, &["-v"]);
    assert_eq!(serve_tls::negotiated(&pki, port, &["h2", "http/1.1"]).as_deref(), Some(&b"h2"[..]));
    assert_eq!(serve_tls::negotiated(&pki, port, &["http/1.1"]).as_deref(), Some(&b"http/1.1"[..]));
    assert_eq!(serve_tls::negotiated(&pki, port, &[]), None);
    let web = Origin::greeting(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    let (_plain, plain_port) = serve(&[]);
    for backend in [format!("127.0.0.1,{port};;proto=h2;tls"), format!("127.0.0.1,{plain_port};;proto=h2")] {
        let nghttpx = Way::nghttpx_before(&backend);
        let through = |url: &str| {
            let mut curl = tool("curl", "curl");
            curl.args(["-sS", "--proxytunnel", "--proxy", &format!("http://127.0.0.1:{}", nghttpx.port())]);
            finish(curl.arg(url), b"", LIMIT)
        };
        for _ in 0..3 {
            assert_eq!(through(&format!("http://{}/", web.target())).exits(0).text(), "hi", "{backend}");
        }
        let dead = through(&format!("http://127.0.0.1:{}/", closed_port()));
        assert!(dead.stderr.contains("502"), "{backend}: {}", dead.stderr);
    }
    drop(running);
}

#[test]
fn on_a_signal_it_says_goodbye_and_lets_tunnels_finish() {
    let (origin, (mut running, port)) = (Origin::echo(), serve(&[]));
    client(async {
        let (sender, ended) = connection(port).await;
        let (_idle, idle_ended) = connection(port).await;
        let mut tunnel = Tunnel::open(&sender, &origin.target()).await;
        running.signal(15);
        // GOAWAY: no more requests can be sent.
        assert!(idle_ended.await.unwrap().is_ok(), "an idle connection ends in order");
        let gone = async {
            while sender.clone().ready().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        gone.await;
        tunnel.send("still here");
        tunnel.end();
        assert_eq!(tunnel.read(usize::MAX).await.unwrap(), b"still here");
        drop((tunnel, sender));
        assert!(ended.await.unwrap().is_ok());
    });
    assert_eq!(running.wait(LIMIT), Some(0));
}

#[test]
fn a_stream_takes_the_place_of_a_connection() {
    let (origin, (_running, port)) = (Origin::echo(), serve(&["--max-connections", "1"]));
    client(async {
        let (sender, _) = connection(port).await;
        for _ in 0..3 {
            let mut first = Tunnel::open(&sender, &origin.target()).await;
            let (second, mut sending) = ask(&sender, Method::CONNECT, &origin.target(), &[]).await;
            let mut second = std::pin::pin!(second);
            let waited = tokio::time::timeout(Duration::from_millis(200), &mut second).await;
            assert!(waited.is_err(), "it is not served beside the first");
            first.end();
            assert_eq!(first.read(usize::MAX).await.unwrap(), b"");
            drop(first);
            sending.send_data("second".into(), true).unwrap();
            let mut second = Tunnel { receiving: second.await.unwrap().into_body(), sending };
            assert_eq!(second.read(usize::MAX).await.unwrap(), b"second");
        }
    });
}

#[test]
fn as_many_tunnels_of_one_connection_are_served_as_connections_would_be() {
    let (origin, (_running, port)) = (Origin::echo(), serve(&["--max-connections", "3"]));
    client(async {
        let (sender, _) = connection(port).await;
        let mut tunnels = Vec::new();
        for _ in 0..3 {
            tunnels.push(Tunnel::open(&sender, &origin.target()).await);
        }
        let (fourth, _sending) = ask(&sender, Method::CONNECT, &origin.target(), &[]).await;
        let mut fourth = std::pin::pin!(fourth);
        let waited = tokio::time::timeout(Duration::from_millis(200), &mut fourth).await;
        assert!(waited.is_err(), "it is not served beside them");
        drop(tunnels.pop());
        assert_eq!(fourth.await.unwrap().status(), 200);
    });
}

#[test]
fn a_client_that_gives_up_while_it_waits_never_reaches_the_target() {
    let (tell, told) = mpsc::channel();
    let target = Origin::serving(move |_| tell.send(()).unwrap());
    let (origin, (running, port)) = (Origin::echo(), serve(&["-v", "--max-connections", "1"]));
    client(async {
        let (sender, _) = connection(port).await;
        let mut first = Tunnel::open(&sender, &origin.target()).await;
        let (second, mut sending) = ask(&sender, Method::CONNECT, &target.target(), &[]).await;
        sending.send_reset(Reason::CANCEL);
        assert!(second.await.is_err());
        // Answered behind the reset.
        first.send("ping");
        assert_eq!(first.read(4).await.unwrap(), b"ping");
        drop(first);
        let mut third = Tunnel::open(&sender, &origin.target()).await;
        third.send("ping");
        assert_eq!(third.read(4).await.unwrap(), b"ping");
    });
    assert!(told.try_recv().is_err(), "{}", running.stderr());
}

#[test]
fn r44_r45_a_malformed_request_is_a_stream_error() {
    let (origin, (_running, port)) = (Origin::echo(), serve(&[]));
    let mut frames = Frames::to(port);
    let (connect, target) = ((":method", "CONNECT"), (":authority", "host:22"));
    let malformed: [&[(&str, &str)]; 8] = [
        &[connect, target, (":path", "/")],
        &[connect, target, (":scheme", "http")],
        &[connect],
        &[target],
        &[connect, target, (":protocol", "websocket"), (":scheme", "http"), (":path", "/")],
        &[connect, target, ("connection", "close")],
        &[connect, target, ("transfer-encoding", "chunked")],
        &[("x", "y"), connect, target],
    ];
    for (n, fields) in (0..).zip(malformed) {
        let stream = 2 * n + 1;
        frames.send(&Frames::frame(HEADERS, END_HEADERS, stream, &Frames::block(fields)));
        frames.expect_reset(stream, Reason::PROTOCOL_ERROR);
    }
    // The connection is none the worse for it.
    frames.send(&Frames::connect(101, &origin.target()));
    frames.expect(HEADERS, 101);
    frames.send(&Frames::frame(DATA, 0, 101, b"ping"));
    assert_eq!(frames.expect(DATA, 101), b"ping");
}

#[test]
fn r50_headers_inside_a_tunnel_are_a_stream_error() {
    let (origin, (_running, port)) = (Origin::echo(), serve(&[]));
    let mut frames = Frames::to(port);
    frames.send(&Frames::connect(1, &origin.target()));
    frames.expect(HEADERS, 1);
    frames.send(&Frames::frame(HEADERS, END_HEADERS | END_STREAM, 1, &Frames::block(&[("x", "y")])));
    frames.expect_reset(1, Reason::PROTOCOL_ERROR);
}

#[test]
fn what_comes_with_the_request_is_the_targets() {
    let (origin, (_running, port)) = (Origin::echo(), serve(&[]));
    let mut frames = Frames::to(port);
    frames
        .send(&[Frames::connect(1, &origin.target()), Frames::frame(DATA, END_STREAM, 1, b"early")].concat());
    frames.expect(HEADERS, 1);
    assert_eq!(frames.expect(DATA, 1), b"early");
}

#[test]
fn no_more_than_100_tunnels_share_a_connection() {
    let (origin, (_running, port)) = (Origin::echo(), serve(&[]));
    let mut frames = Frames::to(port);
    let opened = |n: u32| 2 * n + 1;
    // RFC 9113 §6.5.2: SETTINGS_MAX_CONCURRENT_STREAMS is the third.
    let settings = frames.expect(SETTINGS, 0);
    assert!(settings.chunks(6).any(|setting| setting == [0, 3, 0, 0, 0, 100]), "{settings:?}");
    for n in 0..100 {
        frames.send(&Frames::connect(opened(n), &origin.target()));
        frames.expect(HEADERS, opened(n));
    }
    frames.send(&Frames::connect(opened(100), &origin.target()));
    frames.expect_reset(opened(100), Reason::REFUSED_STREAM);
    frames.send(&Frames::frame(DATA, 0, opened(50), b"ping"));
    assert_eq!(frames.expect(DATA, opened(50)), b"ping");
}

#[test]
fn streams_that_are_reset_as_fast_as_they_are_begun_end_the_connection() {
    let (origin, (_running, port)) = (Origin::echo(), serve(&[]));
    let mut frames = Frames::to(port);
    let cancel = u32::from(Reason::CANCEL).to_be_bytes();
    let flood: Vec<u8> = (0..2000)
        .flat_map(|n| {
            [Frames::connect(2 * n + 1, "127.0.0.1:1"), Frames::frame(RST_STREAM, 0, 2 * n + 1, &cancel)]
        })
        .flatten()
        .collect();
    frames.send(&flood);
    frames.expect_goaway(Reason::ENHANCE_YOUR_CALM);
    // The others go on.
    let mut frames = Frames::to(port);
    frames.send(&Frames::connect(1, &origin.target()));
    frames.expect(HEADERS, 1);
}

#[test]
fn a_head_beyond_the_limits_is_refused_or_ends_the_connection() {
    let (_running, port) = serve(&[]);
    let long = "a".repeat(100);
    let field = Frames::block(&[("x", &long)]);
    client(async {
        let (sender, _) = connection(port).await;
        assert_eq!(refused(&sender, "host:22", &[("x", "a".repeat(65 * 1024))]).await.0, 431);
    });
    let block = Frames::block(&[(":method", "CONNECT"), (":authority", "host:22")]);
    let mut frames = Frames::to(port);
    frames.send(&Frames::frame(HEADERS, 0, 1, &block));
    for _ in 0..10_000 {
        frames.send(&Frames::frame(CONTINUATION, 0, 1, &field.repeat(100)));
    }
    frames.conn().read_to_any_end();
}
