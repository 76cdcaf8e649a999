//! One tunnel over HTTP/2: what is asked, how it is answered, and what its ends mean.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use h2::Reason;
use http::Response;

use crate::check::report;
use crate::check_output::assert_valid;
use crate::support::frames::{Frames, GOAWAY};
use crate::support::http2::{Asked, Http2Proxy, Peer, Tunnel};
use crate::support::pki::{Leaf, Pki};
use crate::support::proxy::{Conn, ScriptedProxy, basic, turn};
use crate::support::{LIMIT, NAME_AND_PASSWORD, Running, assert_same, finish, noise, wimble};

const BIG: usize = 16 << 20;

/// With prior knowledge.
fn connect(proxy: &Http2Proxy) -> Command {
    let mut cmd = wimble();
    cmd.args(["connect", "--proxy", &proxy.url(), "--proxy-http-version", "2", "host:22"]);
    cmd
}

/// The same, as a check with its report in JSON.
fn check(proxy: &Http2Proxy) -> Command {
    let mut cmd = wimble();
    cmd.args([
        "check",
        "--json",
        "--no-tls",
        "--proxy",
        &proxy.url(),
        "--proxy-http-version",
        "2",
        "host:22",
    ]);
    cmd
}

fn with_login(cmd: &mut Command) -> &mut Command {
    let (name, password) = NAME_AND_PASSWORD.split_once(':').unwrap();
    cmd.env("WIMBLE_PROXY_USER", name).env("WIMBLE_PROXY_PASSWORD", password)
}

/// A TLS proxy that chooses among these by ALPN.
fn choosing(pki: &Pki, protocols: &[&[u8]]) -> Arc<rustls::ServerConfig> {
    let mut config = rustls::ServerConfig::clone(&pki.server_config(Leaf::Good));
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

#[test]
fn r44_r45_the_request_is_method_and_authority_and_nothing_of_a_connection() {
    let proxy = Http2Proxy::start(async |asked: Asked| {
        assert_eq!(asked.request.method, "CONNECT");
        let uri = &asked.request.uri;
        assert_eq!((uri.scheme(), uri.authority().unwrap().as_str(), uri.path()), (None, "host:22", ""));
        for field in
            ["connection", "proxy-connection", "keep-alive", "upgrade", "transfer-encoding", "host", "te"]
        {
            assert_eq!(asked.field(field), None, "{field}");
        }
        assert_eq!(asked.field("x-token"), Some("blue"));
        assert_eq!(asked.field("user-agent"), Some(concat!("wimble/", env!("CARGO_PKG_VERSION"))));
        asked.open().end();
    });
    let mut cmd = connect(&proxy);
    for header in [
        "Proxy-Connection: keep-alive",
        "Connection: x",
        "Keep-Alive: timeout=5",
        "Upgrade: y",
        "TE: z",
        "X-Token: blue",
    ] {
        cmd.args(["--proxy-header", header]);
    }
    finish(&mut cmd, b"", LIMIT).exits(0);
    proxy.done();
}

#[test]
fn the_proxy_chooses_http_2_by_alpn() {
    let pki = Pki::new();
    let peer = Peer { tls: Some(choosing(&pki, &[b"h2", b"http/1.1"])), ..Peer::new() };
    let proxy = Http2Proxy::as_peer(peer, async |asked: Asked| asked.open().echo().await);
    let mut cmd = wimble();
    cmd.args(["connect", "--proxy", &proxy.url(), "--half-close-delay", "0", "--proxy-cacert"])
        .arg(pki.ca_file());
    assert_eq!(finish(cmd.arg("host:22"), b"hello", LIMIT).exits(0).text(), "hello");
    proxy.done();
}

#[test]
fn an_offer_of_http_2_does_no_harm_where_http_1_1_is_spoken() {
    for choice in [&[][..], &[b"http/1.1".as_slice()]] {
        let pki = Pki::new();
        let config = choosing(&pki, choice);
        let proxy = ScriptedProxy::start(move |conn| {
            let connection = rustls::ServerConnection::new(config).unwrap();
            let mut tls = rustls::StreamOwned::new(connection, conn.stream().try_clone().unwrap());
            let mut conn = Http1(&mut tls);
            assert!(conn.head().starts_with("CONNECT host:22 HTTP/1.1\r\n"));
            conn.send(b"HTTP/1.1 200 OK\r\n\r\nhello");
            tls.conn.send_close_notify();
            tls.conn.complete_io(&mut tls.sock).unwrap();
        });
        let url = format!("https://localhost:{}", proxy.port());
        let mut cmd = wimble();
        cmd.args(["connect", "--proxy", &url, "--proxy-cacert"]).arg(pki.ca_file());
        assert_eq!(finish(cmd.arg("host:22"), b"", LIMIT).exits(0).text(), "hello");
        proxy.done();
    }
}

#[test]
fn a_proxy_that_does_not_choose_http_2_when_it_is_wanted_is_told_so() {
    let pki = Pki::new();
    let config = choosing(&pki, &[]);
    let proxy = ScriptedProxy::start(move |conn| {
        let connection = rustls::ServerConnection::new(config).unwrap();
        let mut tls = rustls::StreamOwned::new(connection, conn.stream().try_clone().unwrap());
        std::io::Read::read(&mut tls, &mut [0]).ok();
    });
    let url = format!("https://localhost:{}", proxy.port());
    let mut cmd = wimble();
    cmd.args(["check", "--json", "--no-tls", "--proxy", &url, "--proxy-http-version", "2", "--proxy-cacert"]);
    let finished = finish(cmd.arg(pki.ca_file()).arg("host:22"), b"", LIMIT).exits(9);
    assert_valid(&finished);
    assert_eq!(report(&finished)["error"]["detail"], "http-version");
    proxy.done();
}

#[test]
fn a_port_that_answers_in_http_1_1_is_no_http_2() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.read_exact(24);
        conn.send("HTTP/1.1 400 Bad Request\r\n\r\n");
        conn.read_to_any_end();
    });
    let mut cmd = wimble();
    cmd.args(["connect", "--proxy", &proxy.url(), "--proxy-http-version", "2", "host:22"]);
    finish(&mut cmd, b"", LIMIT).fails(9).says("not HTTP/2").says("--proxy-http-version 1.1");
}

#[test]
fn an_old_proxy_is_asked_in_http_1_0() {
    let proxy = ScriptedProxy::start(|conn| {
        assert!(conn.head().starts_with("CONNECT host:22 HTTP/1.0\r\nHost: host:22\r\n"));
        conn.send("HTTP/1.0 200 OK\r\n\r\nhello");
    });
    let mut cmd = wimble();
    cmd.args(["connect", "--proxy", &proxy.url(), "--proxy-http-version", "1.0", "host:22"]);
    assert_eq!(finish(&mut cmd, b"", LIMIT).exits(0).text(), "hello");
    proxy.done();
}

#[test]
fn sixteen_mebibytes_each_way_at_once() {
    let proxy = Http2Proxy::start(async |asked: Asked| {
        let Tunnel { send, receive, control } = asked.open();
        let (mut up, mut down) = (None, None);
        // Two halves, so that neither waits for the other.
        let (sending, receiving) = (up.insert(send), down.insert(receive));
        let push = async {
            for piece in noise(BIG, 1).chunks(64 * 1024) {
                let mut left = piece;
                while !left.is_empty() {
                    sending.reserve_capacity(left.len());
                    let room = match sending.capacity() {
                        0 => std::future::poll_fn(|cx| sending.poll_capacity(cx)).await.unwrap().unwrap(),
                        room => room,
                    };
                    let (now, later) = left.split_at(room.min(left.len()));
                    sending.send_data(now.to_vec().into(), false).unwrap();
                    left = later;
                }
            }
            sending.send_data(Vec::new().into(), true).unwrap();
        };
        let pull = async {
            let mut bytes = Vec::new();
            while let Some(some) = receiving.data().await {
                let some = some.unwrap();
                receiving.flow_control().release_capacity(some.len()).unwrap();
                bytes.extend(some);
            }
            assert_same(&bytes, &noise(BIG, 2));
        };
        tokio::join!(push, pull);
        drop(control);
    });
    let mut cmd = connect(&proxy);
    let finished = finish(cmd.args(["--half-close-delay", "0"]), &noise(BIG, 2), 3 * LIMIT).exits(0);
    assert_same(&finished.stdout, &noise(BIG, 1));
    proxy.done();
}

#[test]
fn r46_the_end_of_input_is_end_stream_and_the_answer_still_comes() {
    let proxy = Http2Proxy::start(async |asked: Asked| {
        let mut tunnel = asked.open();
        assert_eq!(tunnel.read_to_end().await, b"question");
        tunnel.send(b"answer").await;
        tunnel.end();
    });
    let mut cmd = connect(&proxy);
    let finished = finish(cmd.args(["--half-close-delay", "0"]), b"question", LIMIT).exits(0);
    assert_eq!(finished.text(), "answer");
    proxy.done();
}

#[test]
fn r46_end_stream_is_the_end_of_output_and_input_still_goes() {
    let proxy = Http2Proxy::start(async |asked: Asked| {
        let mut tunnel = asked.open();
        tunnel.send(b"bye").await;
        tunnel.end();
        assert_eq!(tunnel.read_to_end().await, b"late");
    });
    let mut child = Running::start(connect(&proxy).stdin(Stdio::piped()).stdout(Stdio::piped()));
    let (mut stdin, mut stdout) = (child.take_stdin(), child.take_stdout());
    let mut bye = String::new();
    std::io::Read::read_to_string(&mut stdout, &mut bye).unwrap();
    assert_eq!(bye, "bye");
    std::io::Write::write_all(&mut stdin, b"late").unwrap();
    drop(stdin);
    assert_eq!(child.wait(LIMIT), Some(0), "{}", child.stderr());
    proxy.done();
}

#[test]
fn r47_a_reset_is_no_end() {
    for reason in [Reason::CONNECT_ERROR, Reason::CANCEL, Reason::INTERNAL_ERROR] {
        let proxy = Http2Proxy::start(move |asked: Asked| async move {
            let mut tunnel = asked.open();
            tunnel.send(b"half of it").await;
            // It has arrived, and was read.
            assert_eq!(tunnel.read(4).await, b"more");
            tunnel.send.send_reset(reason);
        });
        let mut child = Running::start(connect(&proxy).stdin(Stdio::piped()).stdout(Stdio::piped()));
        let (mut stdin, mut stdout) = (child.take_stdin(), child.take_stdout());
        let mut half = [0; 10];
        std::io::Read::read_exact(&mut stdout, &mut half).unwrap();
        std::io::Write::write_all(&mut stdin, b"more").unwrap();
        assert_eq!(child.wait(LIMIT), Some(11), "{reason:?}: {}", child.stderr());
        assert!(child.stderr().contains(&format!("RST_STREAM {reason:?}")), "{}", child.stderr());
        proxy.done();
    }
}

#[test]
fn no_error_behind_the_end_means_that_no_more_is_wanted() {
    let proxy = Http2Proxy::start(async |asked: Asked| {
        let mut tunnel = asked.open();
        tunnel.send(&noise(BIG, 1)).await;
        tunnel.end();
        // h2 sends NO_ERROR behind the end, as nobody reads what comes.
    });
    let finished = finish(&mut connect(&proxy), &noise(300_000, 2), 3 * LIMIT).exits(0);
    assert_same(&finished.stdout, &noise(BIG, 1));
    // Whoever has more to say than that is not kept for ever.
    let mut child = Running::start(connect(&proxy).stdin(Stdio::piped()).stdout(Stdio::null()));
    let mut stdin = child.take_stdin();
    while std::io::Write::write_all(&mut stdin, &[7; 4096]).is_ok() {}
    assert_eq!(child.wait(LIMIT), Some(0), "{}", child.stderr());
    proxy.done();
}

#[test]
fn r50_headers_inside_the_tunnel_cut_it_off() {
    let proxy = Http2Proxy::start(async |asked: Asked| {
        let mut tunnel = asked.open();
        tunnel.send.send_trailers(http::HeaderMap::new()).unwrap();
        assert_eq!(
            std::future::poll_fn(|cx| tunnel.send.poll_reset(cx)).await.unwrap(),
            Reason::PROTOCOL_ERROR
        );
    });
    finish(&mut connect(&proxy), b"", LIMIT).exits(11).says("HEADERS inside the tunnel");
    proxy.done();
}

#[test]
fn q11_interim_responses_are_passed_over_and_bounded() {
    let interim = |many: usize| {
        Http2Proxy::start(move |mut asked: Asked| async move {
            for _ in 0..many {
                let hints = Response::builder().status(103).body(()).unwrap();
                asked.respond.send_informational(hints).unwrap();
            }
            asked.open().end();
        })
    };
    finish(&mut connect(&interim(3)), b"", LIMIT).exits(0);
    finish(&mut connect(&interim(40)), b"", LIMIT).fails(9).says("interim");
}

#[test]
fn a_refusal_tells_its_status_and_check_reads_its_page() {
    let proxy = Http2Proxy::start(async |asked: Asked| {
        asked.refuse(
            403,
            &[("x-squid-error", "ERR_ACCESS_DENIED 0"), ("content-type", "text/html")],
            "<p>Not you.</p>",
        );
    });
    finish(&mut connect(&proxy), b"", LIMIT).fails(7).says("403 (x-squid-error: ERR_ACCESS_DENIED 0)");
    let mut cmd = check(&proxy);
    let finished = finish(&mut cmd, b"", LIMIT).exits(7);
    assert_valid(&finished);
    let connect = &report(&finished)["stages"][2];
    assert_eq!((&connect["http_version"], &connect["http_status"]), (&"2".into(), &403.into()));
    assert_eq!(connect["page"], "Not you.");
}

#[test]
fn heads_beyond_the_limits_are_refused() {
    let sized = |fields: usize, size: usize| {
        Http2Proxy::start(move |mut asked: Asked| async move {
            let mut response = Response::builder().status(200);
            for n in 0..fields {
                response = response.header(format!("x-{n}"), "y".repeat(size));
            }
            // The connection may be over before it is sent.
            if let Ok(mut send) = asked.respond.send_response(response.body(()).unwrap(), false) {
                send.send_data(Vec::new().into(), true).ok();
            }
            while let Some(Ok(_)) = asked.receive.data().await {}
        })
    };
    finish(&mut connect(&sized(20, 1000)), b"", LIMIT).exits(0);
    finish(&mut connect(&sized(1100, 10)), b"", LIMIT)
        .fails(9)
        .says("more than 1000 lines of response fields");
    finish(&mut connect(&sized(400, 1000)), b"", LIMIT).fails(9);
}

#[test]
fn a_407_is_answered_on_the_same_connection() {
    let proxy = Http2Proxy::start(async |asked: Asked| match asked.field("proxy-authorization") {
        None => asked.refuse(407, &[("proxy-authenticate", "Basic realm=\"cave\"")], "Who are you?"),
        Some(credentials) => {
            assert_eq!((credentials, asked.nth), (basic(NAME_AND_PASSWORD).as_str(), 2));
            asked.open().end();
        }
    });
    finish(with_login(&mut connect(&proxy)), b"", LIMIT).exits(0);
    assert_eq!(proxy.connections(), 1);
    proxy.done();
}

#[test]
fn digest_is_answered_with_its_nonce_counted() {
    let proxy = Http2Proxy::start(async |asked: Asked| match asked.field("proxy-authorization") {
        None => asked.refuse(
            407,
            &[("proxy-authenticate", "Digest realm=\"cave\", nonce=\"n\", qop=\"auth\"")],
            "",
        ),
        Some(credentials) => {
            assert!(credentials.contains("uri=\"host:22\""), "{credentials}");
            asked.open().end();
        }
    });
    finish(with_login(&mut connect(&proxy)), b"", LIMIT).exits(0);
    assert_eq!(proxy.connections(), 1);
    proxy.done();
}

#[test]
fn q45_credentials_that_were_refused_are_not_sent_again() {
    let proxy = Http2Proxy::start(async |asked: Asked| {
        assert!(asked.nth <= 2, "it comes again");
        asked.refuse(407, &[("proxy-authenticate", "Basic realm=\"cave\"")], "");
    });
    finish(with_login(&mut connect(&proxy)), b"", LIMIT).fails(6);
    proxy.done();
}

/// A TLS proxy whose first connection is HTTP/2 that answers with `first`, and whose second is HTTP/1.1.
fn falls_back(first: fn(Asked), second: fn(&str)) {
    let pki = Pki::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (h2, http1) = (choosing(&pki, &[b"h2", b"http/1.1"]), choosing(&pki, &[b"h2", b"http/1.1"]));
    let scripts = vec![
        turn(move |conn| {
            // Passed on to a proxy that speaks HTTP/2, byte by byte.
            let proxy = Http2Proxy::as_peer(Peer { tls: Some(h2), ..Peer::new() }, move |asked| async move {
                first(asked)
            });
            carry(conn, proxy.port());
            proxy.done();
        }),
        turn(move |conn| {
            let connection = rustls::ServerConnection::new(http1).unwrap();
            let mut tls = rustls::StreamOwned::new(connection, conn.stream().try_clone().unwrap());
            second(&Http1(&mut tls).head());
            assert_eq!(tls.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
            Http1(&mut tls).send(b"HTTP/1.1 200 OK\r\n\r\nhello");
            tls.conn.send_close_notify();
            tls.conn.complete_io(&mut tls.sock).unwrap();
        }),
    ];
    let proxy = ScriptedProxy::on(listener, scripts);
    let mut cmd = wimble();
    cmd.args(["connect", "--proxy", &format!("https://localhost:{port}"), "--proxy-cacert"])
        .arg(pki.ca_file());
    assert_eq!(finish(with_login(cmd.arg("host:22")), b"", LIMIT).exits(0).text(), "hello");
    proxy.done();
}

#[cfg(feature = "ntlm")]
#[test]
fn q30_a_scheme_that_is_bound_to_a_connection_goes_on_over_http_1_1() {
    falls_back(
        |asked| asked.refuse(407, &[("proxy-authenticate", "NTLM")], ""),
        // And what an HTTP/1.1 proxy answers to the first message may be a 200 at once (Q31).
        |head| assert!(head.contains("Proxy-Authorization: NTLM "), "{head}"),
    );
}

#[test]
fn a_proxy_that_asks_for_http_1_1_gets_it() {
    falls_back(
        |asked| asked.reset(Reason::HTTP_1_1_REQUIRED),
        |head| assert!(head.starts_with("CONNECT host:22 HTTP/1.1\r\n"), "{head}"),
    );
}

#[test]
fn a_stream_that_was_refused_is_asked_for_again_and_not_for_ever() {
    let proxy = Http2Proxy::start(async |asked: Asked| match asked.nth {
        1 => asked.reset(Reason::REFUSED_STREAM),
        _ => asked.open().end(),
    });
    finish(&mut connect(&proxy), b"", LIMIT).exits(0);
    proxy.done();
    let proxy = Http2Proxy::start(async |asked: Asked| match asked.nth {
        1 => asked.reset(Reason::REFUSED_STREAM),
        _ => asked.open().end(),
    });
    let mut cmd = check(&proxy);
    let stages = report(&finish(&mut cmd, b"", LIMIT).exits(11))["stages"].clone();
    let asked = stages.as_array().unwrap().iter().find(|stage| stage["name"] == "connect").unwrap();
    assert_eq!((&asked["connections"], proxy.connections()), (&1.into(), 1));
    proxy.done();
    let proxy = Http2Proxy::start(async |asked: Asked| {
        assert!(asked.nth <= 3, "it goes on");
        asked.reset(Reason::REFUSED_STREAM);
    });
    let mut cmd = check(&proxy);
    let finished = finish(&mut cmd, b"", LIMIT).exits(4);
    assert_eq!(report(&finished)["error"]["detail"], "stream-reset");
    proxy.done();
}

#[test]
fn a_proxy_that_refuses_for_a_moment_is_given_one() {
    let first = std::sync::OnceLock::new();
    let proxy = Http2Proxy::start(move |asked: Asked| {
        let is_full = first.get_or_init(Instant::now).elapsed() < Duration::from_millis(200);
        async move {
            match is_full {
                true => asked.reset(Reason::REFUSED_STREAM),
                false => asked.open().end(),
            }
        }
    });
    finish(&mut connect(&proxy), b"", LIMIT).exits(0);
    proxy.done();
}

#[test]
fn r47_a_reset_in_place_of_an_answer_says_whose_fault_it_is() {
    for (reason, code) in [(Reason::CONNECT_ERROR, 8), (Reason::INTERNAL_ERROR, 4), (Reason::CANCEL, 4)] {
        let proxy = Http2Proxy::start(move |asked: Asked| async move { asked.reset(reason) });
        finish(&mut connect(&proxy), b"", LIMIT).fails(code).says(&format!("RST_STREAM {reason:?}"));
        proxy.done();
    }
}

#[test]
fn a_proxy_that_falls_silent_is_noticed_by_pings() {
    let proxy = Http2Proxy::start(async |asked: Asked| {
        let mut tunnel = asked.open();
        tunnel.read(5).await;
        tunnel.control.freeze();
        crate::support::http2::forever().await;
    });
    let mut cmd = connect(&proxy);
    cmd.args(["--keepalive", "500ms"]);
    let mut child = Running::start(cmd.stdin(Stdio::piped()).stdout(Stdio::piped()));
    let mut stdin = child.take_stdin();
    std::io::Write::write_all(&mut stdin, b"hello").unwrap();
    assert_eq!(child.wait(LIMIT), Some(11), "{}", child.stderr());
    assert!(child.stderr().contains("does not answer pings"), "{}", child.stderr());
    proxy.done();
}

#[test]
fn a_proxy_that_answers_pings_may_be_silent() {
    let proxy = Http2Proxy::start(async |asked: Asked| asked.open().echo().await);
    let mut cmd = connect(&proxy);
    cmd.args(["--keepalive", "100ms", "--half-close-delay", "0"]);
    let mut child = Running::start(cmd.stdin(Stdio::piped()).stdout(Stdio::piped()));
    let mut stdin = child.take_stdin();
    assert!(child.survives(Duration::from_secs(1)));
    std::io::Write::write_all(&mut stdin, b"still here").unwrap();
    drop(stdin);
    let mut echoed = String::new();
    std::io::Read::read_to_string(&mut child.take_stdout(), &mut echoed).unwrap();
    assert_eq!((echoed.as_str(), child.wait(LIMIT)), ("still here", Some(0)));
}

#[test]
fn the_deadline_of_the_proxy_holds_for_a_stream_that_is_not_answered() {
    let proxy = Http2Proxy::start(async |asked: Asked| {
        let _held = asked;
        crate::support::http2::forever().await;
    });
    finish(connect(&proxy).args(["--proxy-timeout", "300ms"]), b"", LIMIT).fails(124).says("--proxy-timeout");
}

#[test]
fn credentials_are_masked_in_the_log() {
    let proxy = Http2Proxy::start(async |asked: Asked| asked.open().end());
    let mut cmd = connect(&proxy);
    cmd.args(["-vv", "--proxy-auth", "basic", "--proxy-header", "X-Token: blue-7351"]);
    let finished = finish(with_login(&mut cmd), b"", LIMIT).exits(0).says("> proxy-authorization: [masked]");
    let secret = basic(NAME_AND_PASSWORD);
    for word in [&secret["Basic ".len()..], "open-sesame", "blue-7351"] {
        assert!(!finished.stderr.contains(word), "{}", finished.stderr);
    }
}

#[test]
fn a_page_that_repeats_a_login_is_masked() {
    let proxy = Http2Proxy::start(async |asked: Asked| match asked.field("proxy-authorization") {
        Some(_) => asked.refuse(403, &[], "<p>You sent aladdin:open-sesame-7351</p>"),
        None => asked.refuse(407, &[("proxy-authenticate", "Basic realm=\"r\"")], ""),
    });
    let mut cmd = check(&proxy);
    let finished = finish(with_login(&mut cmd), b"", LIMIT).exits(7);
    assert!(finished.text().contains("You sent [redacted]"), "{}", finished.text());
    assert!(!finished.text().contains("open-sesame-7351"), "{}", finished.text());
}

#[test]
fn the_deadline_of_the_proxy_holds_for_another_connection_too() {
    let pki = Pki::new();
    let config = choosing(&pki, &[b"h2"]);
    let leaving = turn(move |conn: &mut Conn| {
        let connection = rustls::ServerConnection::new(config).unwrap();
        let mut tls = rustls::StreamOwned::new(connection, conn.stream().try_clone().unwrap());
        // Of all requests none has been processed.
        let goodbye = [Frames::settings(&[]), Frames::frame(GOAWAY, 0, 0, &[0; 8])].concat();
        std::io::Write::write_all(&mut tls, &goodbye).unwrap();
        std::io::Read::read_to_end(&mut tls, &mut Vec::new()).ok();
    });
    let silent = turn(|conn: &mut Conn| _ = conn.read_to_any_end());
    let proxy = ScriptedProxy::in_turn(vec![leaving, silent]);
    let mut cmd = wimble();
    cmd.args(["connect", "--proxy", &format!("https://localhost:{}", proxy.port()), "--proxy-cacert"]);
    cmd.arg(pki.ca_file()).args(["--proxy-timeout", "1s", "host:22"]);
    finish(&mut cmd, b"", LIMIT).fails(124).says("no answer within 1s (--proxy-timeout)");
    proxy.done();
}

/// HTTP/1.1 inside TLS, as a script reads and writes it.
struct Http1<'a>(&'a mut rustls::StreamOwned<rustls::ServerConnection, std::net::TcpStream>);

impl Http1<'_> {
    fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            std::io::Read::read_exact(self.0, &mut byte).unwrap();
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    fn send(&mut self, bytes: &[u8]) {
        std::io::Write::write_all(self.0, bytes).unwrap();
    }
}

/// Carries a connection to this port, both ways, until both have ended.
fn carry(conn: &mut Conn, port: u16) {
    let (near, far) = (conn.take(), Conn::to(port));
    let pairs = [(&near, &far), (&far, &near)]
        .map(|(from, to)| (from.stream().try_clone().unwrap(), to.stream().try_clone().unwrap()));
    let threads = pairs.map(|(mut from, mut to)| {
        std::thread::spawn(move || {
            std::io::copy(&mut from, &mut to).ok();
            to.shutdown(std::net::Shutdown::Write).ok();
        })
    });
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
