//! What RFC 9110, 9112, 9931, 7617 and 9209 ask of a CONNECT client: PROTOCOL.md's checklist by its numbers. The sentences
//! that the table of quirks covers too are tested there.

use std::sync::mpsc;
use std::time::Duration;

use crate::check::answered;
use crate::quirks::fails;
use crate::quirks_auth::{challenge, reconnects_behind, stays_behind};
use crate::support::proxy::{BASIC_407, OK, ScriptedProxy, authorization, basic, fields};
use crate::support::{LIMIT, assert_same, connect_as, connect_via, finish, noise, wimble};

/// The request that goes out for a target typed as these words.
fn request_for(words: &[&str]) -> String {
    let (tell, told) = mpsc::channel();
    let proxy = ScriptedProxy::start(move |conn| {
        tell.send(conn.head()).unwrap();
        conn.send(OK);
    });
    finish(wimble().args(["connect", "--proxy", &proxy.url()]).args(words), b"", LIMIT).exits(0);
    proxy.done();
    told.recv().unwrap()
}

#[test]
fn r01_the_request_target_is_host_and_port() {
    for words in [&["host", "22"][..], &["host:22"]] {
        assert!(request_for(words).starts_with("CONNECT host:22 HTTP/1.1\r\n"), "{words:?}");
    }
    assert!(request_for(&["host:80"]).starts_with("CONNECT host:80 HTTP/1.1\r\n"));
    assert!(request_for(&["192.0.2.1", "443"]).starts_with("CONNECT 192.0.2.1:443 HTTP/1.1\r\n"));
}

#[test]
fn r02_an_ipv6_target_is_bracketed() {
    for words in [&["2001:db8::1", "22"][..], &["[2001:db8::1]", "22"], &["[2001:db8::1]:22"]] {
        let head = request_for(words);
        assert!(head.starts_with("CONNECT [2001:db8::1]:22 HTTP/1.1\r\n"), "{words:?}: {head:?}");
        assert_eq!(fields(&head, "host"), ["[2001:db8::1]:22"], "{words:?}");
    }
}

#[test]
fn r03_there_is_exactly_one_host_and_it_is_the_target() {
    assert_eq!(fields(&request_for(&["host.example:8443"]), "host"), ["host.example:8443"]);
}

#[test]
fn r04_a_request_has_no_content_and_none_of_its_fields() {
    let proxy = ScriptedProxy::start(|conn| {
        let head = conn.expect_connect("host:22");
        assert!(fields(&head, "content-length").is_empty(), "{head:?}");
        assert!(fields(&head, "transfer-encoding").is_empty(), "{head:?}");
        conn.send(OK);
        conn.finish_writing();
        assert_eq!(conn.read_to_end(), b"", "content behind the head");
    });
    finish(&mut connect_via(&proxy, "host:22"), b"", LIMIT).exits(0);
    proxy.done();
}

#[test]
fn r05_the_tunnel_starts_at_the_byte_behind_the_blank_line() {
    let mut answer = OK.to_vec();
    answer.extend_from_slice(&noise(100_000, 5));
    let proxy = ScriptedProxy::start(move |conn| {
        conn.expect_connect("host:22");
        conn.send(&answer);
        conn.finish_writing();
        conn.read_to_any_end();
    });
    let finished = finish(&mut connect_via(&proxy, "host:22"), b"", LIMIT).exits(0);
    assert_same(&finished.stdout, &noise(100_000, 5));
    proxy.done();
}

#[test]
fn r07_the_content_of_a_refusal_never_reaches_stdout() {
    fails("HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nforbidden", 7);
    fails("HTTP/1.1 403 Forbidden\r\n\r\nSSH-2.0-target\r\n", 7);
    fails("HTTP/1.1 502 Bad Gateway\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 8);
}

#[test]
fn r09_an_unknown_code_counts_by_its_class() {
    fails("HTTP/1.1 399 x\r\n\r\n", 7);
    fails("HTTP/1.1 499 x\r\n\r\n", 7);
    fails("HTTP/1.1 599 x\r\n\r\n", 8);
    // RFC 9110 §15: a code outside 100 to 599 is processed as if it were 5xx.
    fails("HTTP/1.1 600 x\r\n\r\n", 8);
    fails("HTTP/1.1 099 x\r\n\r\n", 8);
}

#[test]
fn r11_the_reason_of_a_refusal_is_shown() {
    fails("HTTP/1.1 403 Not from this building\r\nContent-Length: 0\r\n\r\n", 7)
        .says("403 Not from this building");
}

#[test]
fn r13_the_content_of_a_407_is_passed_over_by_its_length() {
    stays_behind(
        "HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 19\r\n\r\n\
         HTTP/1.1 200 OK\r\n\r\n",
    );
}

#[test]
fn r14_transfer_encoding_in_http_1_0_is_faulty_framing() {
    reconnects_behind(
        "HTTP/1.0 407 Auth\r\nConnection: keep-alive\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\
         Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    );
}

#[test]
fn r16_proxy_connection_is_not_sent() {
    let head = request_for(&["host:22"]);
    assert!(fields(&head, "proxy-connection").is_empty(), "{head:?}");
}

#[test]
fn r18_a_parameter_given_twice_voids_its_challenge_alone() {
    let twice = "Basic realm=\"a\", realm=\"b\"";
    stays_behind(&challenge(&format!("Proxy-Authenticate: {twice}, bASIC ReAlM=\"c\"\r\n")));
    let answer = challenge(&format!("Proxy-Authenticate: {twice}\r\n"));
    let proxy = ScriptedProxy::start(move |conn| {
        conn.expect_connect("host:22");
        conn.send(&answer);
        assert_eq!(conn.read_to_any_end(), b"", "a void challenge was answered");
    });
    finish(&mut connect_as(&proxy, "host:22"), b"", LIMIT).fails(6);
    proxy.done();
}

#[test]
fn r20_credentials_never_go_through_the_tunnel() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        conn.send(BASIC_407);
        assert_eq!(authorization(&conn.open("host:22")).len(), 1);
        conn.finish_writing();
        assert_eq!(conn.read_to_end(), b"GET / HTTP/1.1\r\n\r\n");
    });
    finish(&mut connect_as(&proxy, "host:22"), b"GET / HTTP/1.1\r\n\r\n", LIMIT).exits(0);
    proxy.done();
}

#[test]
fn r21_an_end_comes_behind_all_its_data() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.open("host:22");
        assert_same(&conn.exchange(noise(3_000_000, 1)), &noise(2_000_000, 2));
    });
    let finished = finish(&mut connect_via(&proxy, "host:22"), &noise(2_000_000, 2), LIMIT).exits(0);
    assert_same(&finished.stdout, &noise(3_000_000, 1));
    proxy.done();
}

#[test]
fn r22_payload_is_held_until_the_2xx() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        conn.expect_silence(Duration::from_millis(300));
        conn.send("HTTP/1.1 100 Continue\r\n\r\n");
        conn.expect_silence(Duration::from_millis(100));
        conn.send(OK);
        assert_eq!(conn.read_exact(5), b"eager");
    });
    finish(&mut connect_via(&proxy, "host:22"), b"eager", LIMIT).exits(0);
    proxy.done();
}

#[test]
fn r25_a_user_with_a_colon_or_control_characters_is_refused() {
    for userinfo in ["us%3Aer:pw", "us%0Aer:pw", "us%00er:pw", "user:p%0Dw", "user:p%7Fw"] {
        let proxy = ScriptedProxy::untouched();
        let url = proxy.url_with(userinfo);
        finish(wimble().args(["connect", "--proxy", &url, "host:22"]), b"", LIMIT).fails(2);
        proxy.done();
    }
}

/// What `connect --proxy-auth basic` sends with this userinfo.
fn authorized(userinfo: &str, wanted: &str) {
    let wanted = basic(wanted);
    let proxy = ScriptedProxy::start(move |conn| assert_eq!(authorization(&conn.open("host:22")), [wanted]));
    let url = proxy.url_with(userinfo);
    let args = ["connect", "--proxy", &url, "--proxy-auth", "basic", "host:22"];
    finish(wimble().args(args), b"", LIMIT).exits(0);
    proxy.done();
}

#[test]
fn r26_an_empty_password_works() {
    authorized("user:", "user:");
    let proxy =
        ScriptedProxy::start(|conn| assert_eq!(authorization(&conn.open("host:22")), [basic("user:")]));
    let mut cmd = connect_via(&proxy, "host:22");
    cmd.args(["--proxy-auth", "basic", "-U", "user"]).env("WIMBLE_PROXY_PASSWORD", "");
    finish(&mut cmd, b"", LIMIT).exits(0);
    proxy.done();
}

#[test]
fn r27_credentials_are_utf_8() {
    authorized("J%C3%BCrgen:p%C3%A4sswort", "Jürgen:pässwort");
}

/// The cause that `check` sees in a refusal with this status and this Proxy-Status.
#[track_caller]
fn cause(status: &str, field: &str, code: i32) -> (String, String) {
    let answer = format!("HTTP/1.1 {status}\r\nProxy-Status: {field}\r\nContent-Length: 0\r\n\r\n");
    let (_, report) = answered(answer, code);
    let word = |name: &str| report["error"][name].as_str().unwrap_or_else(|| panic!("{report}")).to_owned();
    (word("detail"), word("message"))
}

#[test]
fn r53_the_proxy_that_failed_last_gives_the_cause() {
    for (status, code, field, detail) in [
        ("502 No", 8, "far; error=dns_error, near; received-status=502", "target-unknown"),
        ("502 No", 8, "far; error=dns_error, near; error=http_request_denied", "forbidden"),
        ("504 No", 8, "far\r\nProxy-Status: near; error=dns_timeout", "target-unknown"),
        ("500 No", 8, "p; error=connection_refused", "target-unreachable"),
        ("503 No", 8, "p; error=destination_unavailable", "target-unreachable"),
        ("502 No", 8, "p; error=destination_ip_prohibited", "forbidden"),
        ("400 No", 7, "p; error=http_request_denied", "forbidden"),
        ("502 No", 8, "p; error=proxy_loop_detected", "circles"),
        ("502 No", 8, "p; error=proxy_internal_error", "proxy-failed"),
        // What every recipient knows of the status counts.
        ("429 No", 7, "p; error=http_request_denied", "too-many"),
    ] {
        assert_eq!(cause(status, field, code).0, detail, "{status}: {field}");
    }
}

#[test]
fn r54_everything_that_a_proxy_says_is_shown_and_its_words_are_no_names() {
    let field = "p; details=\"no dns_error here\"; error=connection_refused; next-hop=x; rcode=NXDOMAIN; \
                 received-status=502; alert-id=40";
    let (detail, message) = cause("502 No", field, 8);
    assert_eq!(detail, "target-unreachable");
    assert!(message.contains(field), "{message}");
}

#[test]
fn r55_a_field_that_is_malformed_is_as_if_absent_and_fails_no_tunnel() {
    for field in ["p; error=dns_error,", "p; error=\"dns_error", "dns_error \u{f6}", "p; error=unheard_of"] {
        assert_eq!(cause("502 No", field, 8).0, "target-unreachable", "{field}");
        let proxy = ScriptedProxy::start(move |conn| {
            conn.expect_connect("host:22");
            conn.send(format!("HTTP/1.1 200 OK\r\nProxy-Status: {field}\r\n\r\nhello"));
        });
        assert_eq!(finish(&mut connect_via(&proxy, "host:22"), b"", LIMIT).exits(0).text(), "hello");
        proxy.done();
    }
}
