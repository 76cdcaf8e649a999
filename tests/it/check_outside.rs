//! What a tunnel and its proxy can look like from outside: each cause has its own `detail`, sentence and hint.

use crate::check::{answered, by_name, check, report, stages};
use crate::support::proxy::{BASIC_407, Conn, OK, ScriptedProxy, turn};
use crate::support::{LIMIT, Running, closed_port, finish};

const TLS_ALERT: &[u8] = b"\x15\x03\x01\x00\x02\x02\x28";

#[test]
fn each_answer_of_a_proxy_has_its_cause() {
    let refused = |status: &str, fields: &str, page: &str| {
        format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n{page}", page.len()).into_bytes()
    };
    let opens = |bytes: &[u8]| [OK, bytes].concat();
    for (answer, code, detail, said) in [
        (BASIC_407.to_vec(), 6, "no-login", "Basic"),
        (refused("407 No", "Proxy-Authenticate: Fancy\r\n", ""), 6, "no-common-scheme", "Fancy"),
        (refused("407 No", "", ""), 6, "no-challenge", "no Proxy-Authenticate"),
        (
            refused("302 Found", "Location: http://login.test/\r\n", ""),
            7,
            "captive-portal",
            "http://login.test/",
        ),
        (refused("400 Bad", "", ""), 7, "bad-request", "400"),
        (
            refused("400 Bad Request", "", "<p>The plain HTTP request was sent to HTTPS port</p>"),
            7,
            "plain-http-on-tls-port",
            "400",
        ),
        (refused("401 Unauthorized", "", ""), 7, "web-server", "401"),
        (refused("403 Forbidden", "", ""), 7, "forbidden", "403"),
        (refused("404 Not Found", "", ""), 7, "no-connect", "404"),
        (refused("405 Not Allowed", "", ""), 7, "no-connect", "405"),
        (refused("429 Slow Down", "", ""), 7, "too-many", "429"),
        (refused("451 Law", "", ""), 7, "refused", "451"),
        (refused("500 Oops", "", ""), 8, "proxy-failed", "500"),
        (refused("503 No", "X-Squid-Error: ERR_DNS_FAIL 0\r\n", ""), 8, "target-unknown", "ERR_DNS_FAIL"),
        (refused("502 No", "Proxy-Status: p; error=dns_error\r\n", ""), 8, "target-unknown", "dns_error"),
        (refused("503 No", "", ""), 8, "target-unreachable", "503"),
        (Vec::new(), 4, "closed-unanswered", "closed"),
        (b"HTTP/1.1 200 O".to_vec(), 9, "cut-answer", "middle"),
        (TLS_ALERT.to_vec(), 9, "tls-port", "TLS record"),
        (b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(), 9, "ssh-port", "SSH-2.0"),
        (b"220 mail.test ESMTP\r\n".to_vec(), 9, "not-http", "220 mail"),
        (b"HTTP/1.1 2000 OK\r\n\r\n".to_vec(), 9, "bad-http", "2000"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec(), 9, "not-http", "101"),
        (b"HTTP/1.1 100 Go on\r\n\r\n".repeat(17), 9, "circles", "interim"),
        (opens(b"<html>Blocked by policy</html>"), 10, "page-after-success", "Blocked"),
        (opens(b"HTTP/1.1 200 OK\r\n\r\n<html>"), 10, "page-after-success", "HTTP/1.1 200"),
        (opens(b"HTTP/1.1 400 Bad Request\r\n\r\n"), 10, "plain-http", "400"),
        (opens(b"SSH-2.0-OpenSSH_9.9\r\n"), 10, "not-tls", "SSH-2.0"),
        (opens(TLS_ALERT), 10, "no-common-cipher", "alert 40"),
        (opens(b"\x15\x03\x01\x00\x02\x02\x46"), 10, "tls-version", "alert 70"),
        (opens(b"\x15\x03\x01\x00\x02\x02\x70"), 10, "name-not-served", "alert 112"),
        (opens(b"\x15\x03\x01\x00\x02\x02\x50"), 10, "tls-alert", "alert 80"),
        (opens(b"\x16\x03\x03\x00\x05hello"), 10, "tls-broken", ""),
        (opens(b"\x16\x03\x03\x00\x50\x02"), 10, "reset-later", ""),
    ] {
        let (_, report) = answered(&answer, code);
        let shown = String::from_utf8_lossy(&answer);
        assert_eq!(report["error"]["detail"], detail, "{shown}: {report}");
        assert!(report["error"]["message"].as_str().unwrap().contains(said), "{said:?}: {report}");
        assert!(report["error"]["hint"].as_str().is_some_and(|hint| hint.len() > 10), "{report}");
    }
}

#[test]
fn a_tunnel_that_ends_at_once_tells_how() {
    for (ends, detail) in [
        ((|conn: &mut Conn| conn.finish_writing()) as fn(&mut Conn), "closed-after-success"),
        (|conn: &mut Conn| conn.reset(), "reset-after-success"),
    ] {
        let proxy = ScriptedProxy::in_turn(vec![
            turn(move |conn| {
                conn.open("host:443");
                // Into the ClientHello, so that it is under way.
                conn.read_exact(5);
                ends(conn);
                if detail == "closed-after-success" {
                    conn.read_to_any_end();
                }
            }),
            turn(move |conn| {
                conn.open("host:443");
                ends(conn);
            }),
        ]);
        let mut cmd = check(&by_name(&proxy), &["--json", "host:443"]);
        let seen = report(&finish(&mut cmd, b"", LIMIT).exits(10));
        assert_eq!(seen["error"]["detail"], detail, "{seen}");
        assert_eq!(seen["error"]["stage"], "tls", "{seen}");
        assert!(seen["error"]["message"].as_str().unwrap().contains("after 0 bytes"), "{seen}");
        // Without TLS too there is no target.
        let mut cmd = check(&by_name(&proxy), &["--json", "--no-tls", "host:443"]);
        let seen = report(&finish(&mut cmd, b"", LIMIT).exits(11));
        let detail = if detail == "reset-after-success" { "reset-later" } else { detail };
        assert_eq!(seen["error"]["detail"], detail, "{seen}");
        assert_eq!(stages(&seen), ["resolve:ok", "tcp:ok", "connect:failed"]);
        proxy.done();
    }
}

#[test]
fn a_target_that_has_said_something_may_end_and_may_not_be_cut_off() {
    for (ends, code) in [
        ((|conn: &mut Conn| conn.finish_writing()) as fn(&mut Conn), 0),
        (|conn: &mut Conn| conn.reset(), 11),
    ] {
        // In an order that keeps the words from being lost to the reset.
        let (tell, told) = std::sync::mpsc::channel();
        let proxy = ScriptedProxy::start(move |conn| {
            conn.open("host:22");
            conn.send("half a li");
            told.recv_timeout(LIMIT).unwrap();
            ends(conn);
            if code == 0 {
                conn.read_to_any_end();
            }
        });
        let mut cmd = check(&proxy.url(), &["-v", "--no-tls", "host:22"]);
        let mut running = Running::start(&mut cmd);
        running.stderr_line(|line| line.contains("the tunnel is open"), LIMIT);
        tell.send(()).unwrap();
        assert_eq!(running.wait(LIMIT), Some(code));
        if code == 11 {
            assert!(
                running.stderr().contains("the tunnel was cut off after it was up"),
                "{}",
                running.stderr()
            );
        }
        proxy.done();
    }
}

#[test]
fn q33_without_tls_too_a_page_that_nobody_asked_for_is_no_target() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.open("host:22");
        conn.send("<!DOCTYPE html><h1>Blocked</h1>\n");
        conn.read_to_any_end();
    });
    let mut cmd = check(&proxy.url(), &["--json", "--no-tls", "host:22"]);
    let report = report(&finish(&mut cmd, b"", LIMIT).exits(9));
    assert_eq!(report["error"]["detail"], "page-after-success", "{report}");
    assert_eq!(report["error"]["kind"], "protocol", "{report}");
    proxy.done();
}

#[test]
fn what_is_silent_or_absent_has_its_cause_too() {
    let silent = |conn: &mut Conn| {
        conn.expect_connect("host:443");
        conn.read_to_any_end();
    };
    let opens = |conn: &mut Conn| {
        conn.open("host:443");
        conn.read_to_any_end();
    };
    for (script, options, detail) in [
        (silent as fn(&mut Conn), &["--proxy-timeout", "200ms"][..], "proxy-silent"),
        (opens, &["--connect-timeout", "200ms"], "tls-silent"),
        (opens, &["--connect-timeout", "200ms", "--no-tls", "--http"], "http-silent"),
        (opens, &["--connect-timeout", "200ms", "--starttls", "smtp"], "tls-silent"),
    ] {
        let proxy = ScriptedProxy::start(script);
        let args = [&["--json", "host:443"][..], options].concat();
        let report = report(&finish(&mut check(&proxy.url(), &args), b"", LIMIT).exits(124));
        assert_eq!(report["error"]["detail"], detail, "{report}");
        proxy.done();
    }
    for (url, code, detail) in [
        ("http://nowhere.invalid:3128".to_owned(), 3, "no-such-name"),
        (format!("http://127.0.0.1:{}", closed_port()), 4, "connection-refused"),
    ] {
        let report = report(&finish(&mut check(&url, &["--json", "host:443"]), b"", LIMIT).exits(code));
        assert_eq!(report["error"]["detail"], detail, "{report}");
    }
}

#[test]
fn a_password_that_could_not_be_looked_up_has_its_cause() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:443");
        conn.send(BASIC_407);
        conn.read_to_any_end();
    });
    let words = ["--json", "-U", "alice", "--proxy-password-command", "exit 3", "host:443"];
    let report = report(&finish(&mut check(&proxy.url(), &words), b"", LIMIT).exits(6));
    assert_eq!(report["error"]["detail"], "login-not-found", "{report}");
    proxy.done();
}

#[test]
fn a_proxy_that_resets_instead_of_answering_has_its_cause() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:443");
        conn.reset();
    });
    let report = report(&finish(&mut check(&proxy.url(), &["--json", "host:443"]), b"", LIMIT).exits(4));
    assert_eq!(report["error"]["detail"], "broken-unanswered", "{report}");
    proxy.done();
}

#[test]
fn credentials_that_are_refused_or_not_to_be_sent_have_their_cause() {
    for (userinfo, options, detail) in
        [("me:wrong", &[][..], "login-refused"), ("me:right", &["--proxy-auth", "none"], "auth-forbidden")]
    {
        let proxy = ScriptedProxy::start(move |conn| {
            conn.expect_connect("host:443");
            conn.send(BASIC_407);
            if detail == "login-refused" {
                conn.expect_connect("host:443");
                conn.send(BASIC_407);
            }
            conn.read_to_any_end();
        });
        let args = [&["--json", "host:443"][..], options].concat();
        let report = report(&finish(&mut check(&proxy.url_with(userinfo), &args), b"", LIMIT).exits(6));
        assert_eq!(report["error"]["detail"], detail, "{report}");
        proxy.done();
    }
}

#[test]
fn a_request_that_gets_no_http_tells_how() {
    for (ends, code, detail) in [
        ((|conn: &mut Conn| conn.reset()) as fn(&mut Conn), 11, "reset-later"),
        (|conn: &mut Conn| conn.finish_writing(), 11, "no-http"),
        (|conn: &mut Conn| conn.send("SSH-2.0-OpenSSH_9.9\r\n"), 9, "no-http"),
    ] {
        let proxy = ScriptedProxy::start(move |conn| {
            conn.open("host:80");
            let request = conn.head();
            assert!(request.starts_with("HEAD /path HTTP/1.1\r\nhost: host\r\n"), "{request}");
            ends(conn);
            if code == 9 || detail == "no-http" {
                conn.read_to_any_end();
            }
        });
        let mut cmd = check(&proxy.url(), &["--json", "--no-tls", "--http=/path", "host:80"]);
        let report = report(&finish(&mut cmd, b"", LIMIT).exits(code));
        assert_eq!(report["error"]["detail"], detail, "{report}");
        assert_eq!(report["error"]["stage"], "http", "{report}");
        proxy.done();
    }
}

#[test]
fn a_refusal_has_its_page_as_words_and_the_fields_that_say_who_and_why() {
    for framing in ["Content-Length: 63\r\n\r\n", "\r\n"] {
        let answer = format!(
            "HTTP/1.1 403 Forbidden\r\nVia: 1.1 gate\r\nX-Squid-Error: ERR_ACCESS_DENIED 0\r\n{framing}\
             <html><title>no</title><body><h1>Access denied</h1> by policy 7"
        );
        let (_, report) = answered(answer, 7);
        let connect = &report["stages"][2];
        assert_eq!(connect["page"], "no Access denied by policy 7", "{report}");
        let fields = &connect["exchanges"][0]["fields"];
        assert_eq!(fields[0]["name"], "Via", "{report}");
        assert_eq!(fields[1]["value"], "ERR_ACCESS_DENIED 0", "{report}");
    }
}

#[test]
fn every_exchange_is_told_with_its_scheme_and_its_connection() {
    let closing = "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"x\"\r\nConnection: close\r\n\r\n";
    let proxy = ScriptedProxy::in_turn(vec![
        turn(move |conn| {
            conn.expect_connect("host:22");
            conn.send(closing);
        }),
        turn(|conn| {
            conn.open("host:22");
            conn.send("SSH-2.0-x\r\n");
            conn.read_to_any_end();
        }),
    ]);
    let mut cmd = check(&proxy.url_with("me:secret-5512"), &["--json", "--no-tls", "host:22"]);
    let finished = finish(&mut cmd, b"", LIMIT).exits(0);
    assert!(!finished.text().contains("secret-5512"), "{}", finished.text());
    let report = report(&finished);
    let connect = &report["stages"][2];
    let exchanges: Vec<_> = connect["exchanges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["connection"].as_u64(), e["http_status"].as_u64(), e["scheme"].as_str()))
        .collect();
    assert_eq!(exchanges, [(Some(1), Some(407), None), (Some(2), Some(200), Some("Basic"))], "{report}");
    assert_eq!(connect["exchanges"][0]["offered"][0], "Basic");
    assert_eq!(connect["connections"], 2);
    assert_eq!(report["banner"], "SSH-2.0-x\r\n");
    proxy.done();
}

#[test]
fn the_address_that_lost_is_told() {
    // `localhost` has both families, and nobody listens on the other one.
    let proxy = ScriptedProxy::start(|conn| {
        conn.open("host:22");
        conn.send("x\n");
        conn.read_to_any_end();
    });
    let mut cmd = check(&by_name(&proxy), &["--json", "--no-tls", "host:22"]);
    let report = report(&finish(&mut cmd, b"", LIMIT).exits(0));
    let tcp = &report["stages"][1];
    let addresses = report["stages"][0]["addresses"].as_array().unwrap().len();
    assert_eq!(tcp["lost"].as_array().unwrap().len(), addresses - 1, "{report}");
    assert_eq!(tcp["address"], format!("127.0.0.1:{}", proxy.port()), "{report}");
    assert!(tcp["round_trip_ms"].as_f64().is_some_and(|ms| ms < 1000.0), "{report}");
    assert_eq!(tcp["retransmits"], 0, "{report}");
    proxy.done();
}
