//! What real proxies do: the table of PROTOCOL.md by its numbers, seen from outside.
//!
//! Whatever a proxy answers is tried whole and byte by byte, with the target's first bytes glued on.

use std::sync::mpsc;
use std::time::Duration;

use crate::support::proxy::{OK, ScriptedProxy, fields};
use crate::support::{Finished, LIMIT, closed_port, connect_via, finish, wimble};

/// What the target says first.
pub(crate) const BANNER: &str = "SSH-2.0-target\r\n";

/// `connect` against a proxy that answers this and ends.
fn answered(answer: impl AsRef<[u8]>, bytewise: bool) -> Finished {
    let answer = answer.as_ref().to_vec();
    let proxy = ScriptedProxy::start(move |conn| {
        conn.expect_connect("host:22");
        if bytewise {
            conn.send_bytewise(&answer)
        } else {
            conn.send_in_vain(&answer)
        }
        conn.finish_writing();
        conn.read_to_any_end();
    });
    let finished = finish(&mut connect_via(&proxy, "host:22"), b"", LIMIT);
    proxy.done();
    finished
}

#[track_caller]
fn opens(head: &str) {
    for bytewise in [false, true] {
        let finished = answered(format!("{head}{BANNER}"), bytewise).exits(0);
        assert_eq!(finished.text(), BANNER, "behind {head:?}, byte by byte: {bytewise}");
    }
}

/// A failure with this code, whole and byte by byte.
#[track_caller]
pub(crate) fn fails(answer: &str, code: i32) -> Finished {
    answered(answer, true).fails(code);
    answered(answer, false).fails(code)
}

#[test]
fn q01_line_ends_may_be_lf_alone_or_mixed() {
    opens("HTTP/1.1 200 OK\n\n");
    opens("HTTP/1.1 200 OK\nVia: x\n\n");
    opens("HTTP/1.1 200 OK\r\nVia: x\n\r\n");
    opens("HTTP/1.1 200 OK\nVia: x\r\n\n");
}

#[test]
fn q02_the_reason_phrase_may_be_absent_with_and_without_its_space() {
    opens("HTTP/1.1 200\r\n\r\n");
    opens("HTTP/1.1 200 \r\n\r\n");
}

#[test]
fn q03_a_status_line_without_a_code_is_quoted() {
    fails("HTTP/1.1 OK\r\n\r\n", 9).says("HTTP/1.1 OK");
    fails("HTTP/1.1\r\n\r\n", 9).says("HTTP/1.1");
}

#[test]
fn q04_a_status_code_has_exactly_three_digits() {
    fails("HTTP/1.1 2000 OK\r\n\r\n", 9).says("HTTP/1.1 2000 OK");
    fails("HTTP/1.1 20 OK\r\n\r\n", 9).says("HTTP/1.1 20 OK");
}

#[test]
fn q05_other_protocols_are_named_by_their_line() {
    fails("HTTP/2 200\r\n\r\n", 9).says("HTTP/2 200");
    fails("ICY 200 OK\r\n\r\n", 9).says("ICY 200 OK");
}

#[test]
fn q06_any_run_of_blanks_separates_but_the_version_is_case_sensitive() {
    opens("HTTP/1.1\t200\tOK\r\n\r\n");
    opens("HTTP/1.1  200 \t OK\r\n\r\n");
    fails("http/1.1 200 OK\r\n\r\n", 9).says("http/1.1 200 OK");
}

#[test]
fn q07_an_http_1_0_answer_opens() {
    opens("HTTP/1.0 200 Connection established\r\n\r\n");
}

#[test]
fn q08_any_2xx_opens() {
    for code in [200, 201, 202, 203, 204, 205, 206, 226, 299] {
        opens(&format!("HTTP/1.1 {code} x\r\n\r\n"));
    }
}

#[test]
fn q09_the_length_of_a_2xx_changes_nothing() {
    opens("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    opens("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    opens("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    opens("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n");
}

#[test]
fn q10_connection_close_on_a_2xx_changes_nothing() {
    opens("HTTP/1.1 200 OK\r\nConnection: close\r\nProxy-Connection: close\r\n\r\n");
}

#[test]
fn q11_interim_responses_are_passed_over() {
    opens(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
         HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    );
}

#[test]
fn q11_interim_responses_without_end_are_refused() {
    let answer = format!("{}HTTP/1.1 200 OK\r\n\r\n{BANNER}", "HTTP/1.1 100 Continue\r\n\r\n".repeat(200));
    answered(answer, false).fails(9);
}

#[test]
fn q12_a_101_is_an_error() {
    fails("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nSSH-2.0-target\r\n", 9).says("101");
}

#[test]
fn q13_an_answer_may_come_one_byte_at_a_time() {
    let answer = "HTTP/1.1 200 Connection established\r\nVia: 1.1 cave (squid/6.6)\r\nX: y\r\n\r\n";
    let finished = answered(format!("{answer}{BANNER}"), true).exits(0);
    assert_eq!(finished.text(), BANNER);
}

#[test]
fn q14_an_answer_may_be_cut_at_its_last_line_end() {
    for parts in [
        &["HTTP/1.1 200 OK\r\n", "\r\n"][..],
        &["HTTP/1.1 200 OK\r\n\r", "\n"],
        &["HTTP/1.1 200 OK\r", "\n\r\nSSH", "-2.0\r\n"],
        &["HTTP/1.1 200 OK\r\n\r\n", "SSH-2.0\r\n"],
    ] {
        let proxy = ScriptedProxy::start(move |conn| {
            conn.expect_connect("host:22");
            conn.send_parts(parts);
            conn.finish_writing();
            conn.read_to_any_end();
        });
        let finished = finish(&mut connect_via(&proxy, "host:22"), b"", LIMIT).exits(0);
        let wanted = parts.concat().split_once("\r\n\r\n").unwrap().1.to_owned();
        assert_eq!(finished.text(), wanted, "{parts:?}");
        proxy.done();
    }
}

#[test]
fn q15_bytes_glued_to_the_answer_are_the_first_on_stdout() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        conn.send([OK, b"\0first\r\n\r\n"].concat());
        assert_eq!(conn.read_exact(4), b"ping", "stdin");
        conn.send("second");
        conn.finish_writing();
        conn.read_to_any_end();
    });
    let finished = finish(&mut connect_via(&proxy, "host:22"), b"ping", LIMIT).exits(0);
    assert_eq!(finished.text(), "\0first\r\n\r\nsecond");
    proxy.done();
}

#[test]
fn q16_large_heads_are_fine() {
    let long = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n\r\n{BANNER}", "a".repeat(20 * 1024));
    assert_eq!(answered(long, false).exits(0).text(), BANNER);
    let reason = format!("HTTP/1.1 200 {}\r\n\r\n{BANNER}", "a".repeat(4096));
    assert_eq!(answered(reason, false).exits(0).text(), BANNER);
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n{BANNER}", "X-Many: y\r\n".repeat(90));
    assert_eq!(answered(many, false).exits(0).text(), BANNER);
}

#[test]
fn q16_a_head_beyond_all_measure_breaks_the_limits() {
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n{BANNER}", "X-Many: y\r\n".repeat(200_000));
    answered(many, false).fails(9);
}

#[test]
fn q17_a_head_without_end_is_given_up() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        conn.send("HTTP/1.1 200 OK\r\nX: ");
        let more = vec![b'a'; 64 * 1024];
        // At most 1 GiB: the program closes long before.
        let refused = (0..16 * 1024).any(|_| std::io::Write::write_all(&mut conn.stream(), &more).is_err());
        assert!(refused, "a head of 1 GiB was swallowed");
    });
    finish(&mut connect_via(&proxy, "host:22"), b"", LIMIT).fails(9);
    proxy.done();
}

#[test]
fn q18_an_end_before_any_answer_is_unreachable() {
    fails("", 4);
}

#[test]
fn q19_an_end_inside_the_head_never_opens() {
    let head = "HTTP/1.1 200 OK\r\nVia: x\r\n\r\n";
    for cut in 1..head.len() {
        answered(&head[..cut], false).fails(9);
    }
}

#[test]
fn q33_a_page_behind_a_200_is_carried_as_it_is() {
    let page = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 20\r\n\r\n<html>blocked</html>";
    assert_eq!(answered(page, false).exits(0).text(), "<html>blocked</html>");
}

#[test]
fn q35_what_stands_before_the_status_line_is_quoted() {
    fails("<html>maintenance</html>\r\nHTTP/1.1 200 OK\r\n\r\n", 9).says("<html>maintenance</html>");
}

#[test]
fn q36_a_proxy_that_speaks_tls_is_recognized() {
    // A fatal alert, as every TLS server sends it to plain text.
    let alert = [0x15, 3, 1, 0, 2, 2, 10];
    answered(alert, false).fails(9).says("https://");
}

#[test]
fn q36_a_banner_or_a_bare_page_instead_of_http_is_quoted() {
    fails("SSH-2.0-OpenSSH_9.9\r\n", 9).says("SSH-2.0-OpenSSH_9.9");
    fails("<!doctype html><p>hello</p>\n", 9).says("<!doctype html>");
}

#[test]
fn q37_the_complaint_about_plain_http_on_a_tls_port_has_the_same_hint() {
    let body = "<center>The plain HTTP request was sent to HTTPS port</center>";
    let length = body.len();
    let answer =
        format!("HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nContent-Length: {length}\r\n\r\n{body}");
    fails(&answer, 7).says("hint: ").says("https://");
}

#[test]
fn q38_the_user_agent_is_sent() {
    let head = head_of(&[]);
    assert_eq!(fields(&head, "user-agent"), [concat!("wimble/", env!("CARGO_PKG_VERSION"))]);
    assert_eq!(fields(&head_of(&["--user-agent", "Mozilla/5.0 (x)"]), "user-agent"), ["Mozilla/5.0 (x)"]);
    assert!(fields(&head_of(&["--user-agent", ""]), "user-agent").is_empty());
}

#[test]
fn q39_q40_the_request_is_http_1_1_with_host() {
    let head = head_of(&[]);
    assert!(head.starts_with("CONNECT host:22 HTTP/1.1\r\n"), "{head:?}");
    assert_eq!(fields(&head, "host"), ["host:22"]);
}

fn head_of(options: &[&str]) -> String {
    let (tell, told) = mpsc::channel();
    let proxy = ScriptedProxy::start(move |conn| tell.send(conn.open("host:22")).unwrap());
    finish(connect_via(&proxy, "host:22").args(options), b"", LIMIT).exits(0);
    proxy.done();
    told.recv().unwrap()
}

#[test]
fn q41_folded_fields_are_passed_over() {
    opens("HTTP/1.1 200 OK\r\nX-Folded: a\r\n  b\r\n\tc\r\n\r\n");
}

#[test]
fn q41_nul_and_bare_cr_in_a_head_are_refused() {
    fails("HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\nSSH-2.0-target\r\n", 9).says(r#"a malformed field: "X: a\0b""#);
    fails("HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\nSSH-2.0-target\r\n", 9).says(r#"a malformed field: "X: a\rb""#);
    fails("HTTP/1.1 200 O\rK\r\n\r\nSSH-2.0-target\r\n", 9);
}

#[test]
fn q41_a_line_that_is_no_field_is_passed_over() {
    for line in ["no colon", "X Y: z", "{X}: y", "X: esc\x1b[2J", " indented: x"] {
        opens(&format!("HTTP/1.1 200 OK\r\n{line}\r\nA: b\r\n\r\n"));
    }
    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        conn.send("HTTP/1.1 200 OK\r\nno colon\r\n folded\r\nA: b\r\n c\r\nX: \x1b\r\n\r\n");
    });
    finish(connect_via(&proxy, "host:22").arg("-v"), b"", LIMIT).exits(0).says("are passed over: 2");
    proxy.done();
}

#[test]
fn q42_a_redirect_is_reported_and_never_followed() {
    let elsewhere = ScriptedProxy::untouched();
    let answer = format!("HTTP/1.1 302 Found\r\nLocation: {}/\r\nContent-Length: 0\r\n\r\n", elsewhere.url());
    fails(&answer, 7).says("302");
    elsewhere.done();
}

#[test]
fn q43_a_half_close_waits_for_the_answer_under_way() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.open("host:22");
        assert_eq!(conn.read_exact(4), b"ping");
        // Such a proxy would drop the answer at a FIN: none may come while the answer is on its way.
        for piece in ["p", "o", "n", "g"] {
            conn.expect_silence(Duration::from_millis(200));
            conn.send(piece);
        }
        conn.finish_writing();
        conn.read_to_any_end();
    });
    assert_eq!(finish(&mut connect_via(&proxy, "host:22"), b"ping", LIMIT).exits(0).text(), "pong");
    proxy.done();
}

#[test]
fn q18_a_reset_before_any_answer_is_unreachable_and_so_is_a_closed_port() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        conn.reset();
    });
    finish(&mut connect_via(&proxy, "host:22"), b"", LIMIT).fails(4);
    proxy.done();
    let mut cmd = wimble();
    let url = format!("http://127.0.0.1:{}", closed_port());
    finish(cmd.args(["connect", "--proxy", &url, "host:22"]), b"", LIMIT).fails(4);
}
