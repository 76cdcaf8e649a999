//! What real proxies do when they want credentials: the rows of PROTOCOL.md's table about 407, by their numbers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::time::Duration;

use crate::quirks::{BANNER, fails};
use crate::support::origin::Origin;
use crate::support::proxy::{BASIC_407, Conn, ScriptedProxy, authorization, basic, turn};
use crate::support::{LIMIT, NAME_AND_PASSWORD, connect_as, connect_via, finish, listening, wimble};

/// A first connection that is challenged with `answer` and kept open, and a second one that opens: the program
/// must give up the first unasked and come again with its credentials.
#[track_caller]
pub(crate) fn reconnects_behind(answer: &str) {
    let answer = answer.to_owned();
    let (keep, kept) = mpsc::channel();
    let proxy = ScriptedProxy::in_turn(vec![
        turn(move |conn| {
            let head = conn.expect_connect("host:22");
            assert!(authorization(&head).is_empty(), "{head:?}");
            conn.send(&answer);
            keep.send(conn.take()).unwrap();
        }),
        turn(opens_when_authorized),
    ]);
    let finished = finish(&mut connect_as(&proxy, "host:22"), b"", LIMIT).exits(0);
    assert_eq!(finished.text(), BANNER);
    let mut first: Conn = kept.recv().unwrap();
    assert_eq!(first.read_to_any_end(), b"", "the connection that was not to be used again was used again");
    proxy.done();
}

fn opens_when_authorized(conn: &mut Conn) {
    let head = conn.open("host:22");
    assert_eq!(authorization(&head), [basic(NAME_AND_PASSWORD)]);
    conn.send(BANNER);
    conn.finish_writing();
    conn.read_to_any_end();
}

/// One connection: challenged with `answer`, then authorized on the same connection.
#[track_caller]
pub(crate) fn stays_behind(answer: &str) {
    let answer = answer.to_owned();
    let proxy = ScriptedProxy::start(move |conn| {
        let head = conn.expect_connect("host:22");
        assert!(authorization(&head).is_empty(), "{head:?}");
        conn.send(&answer);
        opens_when_authorized(conn);
    });
    let finished = finish(&mut connect_as(&proxy, "host:22"), b"", LIMIT).exits(0);
    assert_eq!(finished.text(), BANNER);
    proxy.done();
}

#[test]
fn q20_a_reset_on_the_retry_after_a_407_reconnects_once() {
    let challenged_then_reset = || {
        turn(|conn: &mut Conn| {
            conn.expect_connect("host:22");
            conn.send(BASIC_407);
            conn.expect_connect("host:22");
            conn.reset();
        })
    };
    let proxy = ScriptedProxy::in_turn(vec![challenged_then_reset(), turn(opens_when_authorized)]);
    assert_eq!(finish(&mut connect_as(&proxy, "host:22"), b"", LIMIT).exits(0).text(), BANNER);
    proxy.done();

    let reset = turn(|conn: &mut Conn| {
        conn.expect_connect("host:22");
        conn.reset();
    });
    let proxy = ScriptedProxy::in_turn(vec![challenged_then_reset(), reset]);
    finish(&mut connect_as(&proxy, "host:22"), b"", LIMIT).fails(4);
    proxy.done();
}

#[test]
fn q20_an_answer_that_came_before_the_connection_broke_counts() {
    // The proxy has said its last word and is gone before the second request can be written.
    let folder = tempfile::tempdir().unwrap();
    let gone = folder.path().join("gone");
    let command = format!("until test -e {}; do sleep 0.01; done; echo sesame", gone.display());
    let proxy = ScriptedProxy::start(move |conn| {
        conn.expect_connect("host:22");
        conn.send([BASIC_407, b"HTTP/1.1 403 Too Late\r\nContent-Length: 0\r\n\r\n"].concat());
        conn.reset();
        std::fs::write(&gone, "").unwrap();
    });
    let mut cmd = connect_via(&proxy, "host:22");
    cmd.args(["--proxy-user", "aladdin", "--proxy-password-command", &command]);
    finish(&mut cmd, b"", LIMIT).fails(7).says("403 Too Late");
    proxy.done();
}

#[test]
fn q21_a_407_that_says_close_is_answered_on_a_new_connection() {
    let head = "HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n";
    reconnects_behind(&format!("{head}Connection: close\r\n\r\n"));
    reconnects_behind(&format!("{head}Connection: x, Close\r\n\r\n"));
    reconnects_behind(&format!("{head}Proxy-Connection: close\r\n\r\n"));
}

#[test]
fn q22_a_407_that_closes_without_saying_so_is_answered_on_a_new_connection() {
    let proxy = ScriptedProxy::in_turn(vec![
        turn(|conn| {
            conn.expect_connect("host:22");
            conn.send(BASIC_407);
        }),
        turn(opens_when_authorized),
    ]);
    assert_eq!(finish(&mut connect_as(&proxy, "host:22"), b"", LIMIT).exits(0).text(), BANNER);
    proxy.done();
}

#[test]
fn q23_the_content_of_a_407_that_ends_with_its_connection_is_not_waited_for() {
    reconnects_behind("HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n<html>");
    reconnects_behind("HTTP/1.0 407 Auth\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n");
    reconnects_behind(
        "HTTP/1.0 407 Auth\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n",
    );
}

#[test]
fn q24_the_chunked_content_of_a_407_is_passed_over_with_its_trailers() {
    stays_behind(
        "HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic realm=\"x\"\r\nTransfer-Encoding: chunked\r\n\r\n\
         13;ext=\"a\"\r\nHTTP/1.1 200 OK\r\n\r\n\r\n0A\r\n0123456789\r\n0\r\nX-Trailer: y\r\n\r\n",
    );
}

#[test]
fn q24_content_of_a_407_beyond_measure_is_left_behind_by_reconnecting() {
    reconnects_behind(
        "HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 99999999999\r\n\r\nabc",
    );
    reconnects_behind(
        "HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic realm=\"x\"\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
    );
}

#[test]
fn q24_a_chunk_beyond_measure_is_not_waited_for() {
    reconnects_behind(
        "HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic realm=\"x\"\r\nTransfer-Encoding: chunked\r\n\r\n\
         ffffffffffff\r\nabc",
    );
}

#[test]
fn an_empty_line_left_over_behind_a_407_is_passed_over() {
    stays_behind(
        "HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 5\r\n\r\nhello\r\n",
    );
}

#[test]
fn q25_a_407_with_both_lengths_is_answered_on_a_new_connection() {
    reconnects_behind(
        "HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 3\r\n\
         Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    );
}

#[test]
fn q26_a_407_without_a_challenge_is_called_that() {
    fails("HTTP/1.1 407 Auth\r\nContent-Length: 0\r\n\r\n", 6).says("Proxy-Authenticate");
}

#[test]
fn q27_a_401_from_a_proxy_is_a_refusal_that_gets_no_credentials() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        conn.send(
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n",
        );
        assert_eq!(conn.read_to_any_end(), b"");
    });
    finish(&mut connect_as(&proxy, "host:22"), b"", LIMIT).fails(7).says("401");
    proxy.done();
}

/// A 407 with these field lines, on a connection that persists.
pub(crate) fn challenge(fields: &str) -> String {
    format!("HTTP/1.1 407 Auth\r\n{fields}Content-Length: 0\r\n\r\n")
}

#[test]
fn q28_several_challenges_may_share_one_line() {
    stays_behind(&challenge("Proxy-Authenticate: NEGOTIATE,BEARER,BASIC realm=\"x\"\r\n"));
    stays_behind(&challenge("Proxy-Authenticate: Basic realm=\"x\" , Negotiate , , Bearer\r\n"));
    stays_behind(&challenge("Proxy-Authenticate: Bearer TlRMTVNTUAACAAAA==, Basic realm=\"x\"\r\n"));
}

#[test]
fn q28_a_challenge_that_cannot_be_parsed_spoils_no_other() {
    stays_behind(&challenge("Proxy-Authenticate: Foo ===x=\r\nProxy-Authenticate: Basic realm=\"x\"\r\n"));
    stays_behind(&challenge("Proxy-Authenticate: @@@, Basic realm=\"x\"\r\n"));
}

#[test]
fn q29_challenges_on_several_lines_are_merged_and_commas_may_be_quoted() {
    stays_behind(&challenge(
        "proxy-authenticate: Foo a=\"x, Basic realm=no\"\r\nPROXY-AUTHENTICATE: bAsIc REALM=\"a, \\\"b\\\"\"\r\n",
    ));
}

#[test]
fn q31_a_200_to_the_first_request_is_success_though_credentials_are_at_hand() {
    let proxy = ScriptedProxy::start(|conn| {
        let head = conn.open("host:22");
        assert!(authorization(&head).is_empty(), "{head:?}");
        conn.send(BANNER);
    });
    assert_eq!(finish(&mut connect_as(&proxy, "host:22"), b"", LIMIT).exits(0).text(), BANNER);
    proxy.done();
}

#[test]
fn q45_credentials_that_were_refused_are_not_sent_again() {
    for preemptive in [false, true] {
        let proxy = ScriptedProxy::start(move |conn| {
            let head = conn.expect_connect("host:22");
            conn.send(BASIC_407);
            if preemptive {
                assert_eq!(authorization(&head), [basic(NAME_AND_PASSWORD)]);
            } else {
                assert!(authorization(&head).is_empty());
                assert_eq!(authorization(&conn.expect_connect("host:22")), [basic(NAME_AND_PASSWORD)]);
                conn.send(BASIC_407);
            }
            assert_eq!(conn.read_to_any_end(), b"", "sent again");
        });
        let mut cmd = connect_as(&proxy, "host:22");
        if preemptive {
            cmd.args(["--proxy-auth", "basic"]);
        }
        finish(&mut cmd, b"", LIMIT).fails(6);
        proxy.done();
    }
}

/// A burst of clients, all asked for credentials before any has sent some; how many did, if the proxy then says
/// this to them.
fn sent_in_a_burst(answer: &'static [u8]) -> usize {
    const CLIENTS: usize = 10;
    let (all, sent) = (Arc::new(Barrier::new(CLIENTS)), Arc::new(AtomicUsize::new(0)));
    let proxy = Origin::serving({
        let sent = sent.clone();
        move |stream| {
            let mut conn = Conn::new(stream);
            if authorization(&conn.expect_connect("host:22")).is_empty() {
                all.wait();
                conn.send(BASIC_407);
                if !matches!(conn.stream().peek(&mut [0]), Ok(1)) {
                    return;
                }
                assert_eq!(authorization(&conn.expect_connect("host:22")), [basic(NAME_AND_PASSWORD)]);
            }
            sent.fetch_add(1, Ordering::SeqCst);
            conn.send(answer);
            conn.read_to_any_end();
        }
    });
    let (name, password) = NAME_AND_PASSWORD.split_once(':').unwrap();
    let mut cmd = wimble();
    cmd.args(["forward", "-x", &proxy.url(), "-U", name, "0:host:22"]).env("WIMBLE_PROXY_PASSWORD", password);
    let (_running, port) = listening(&mut cmd);
    let clients: Vec<_> = (0..CLIENTS).map(|_| Conn::to(port)).collect();
    for mut client in clients {
        client.finish_writing();
        client.read_to_any_end();
    }
    sent.load(Ordering::SeqCst)
}

#[test]
fn q45_a_burst_of_clients_is_one_failed_login_and_all_of_them_get_in_where_it_is_right() {
    assert_eq!(sent_in_a_burst(BASIC_407), 1);
    assert_eq!(sent_in_a_burst(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"), 10);
}

#[test]
fn q46_a_407_inside_the_tunnel_is_the_targets_and_gets_no_credentials() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.open("host:22");
        conn.send(BASIC_407);
        conn.finish_writing();
        assert_eq!(conn.read_to_end(), b"the target's");
    });
    let finished = finish(&mut connect_as(&proxy, "host:22"), b"the target's", LIMIT).exits(0);
    assert_eq!(finished.stdout, BASIC_407);
    proxy.done();
}

#[test]
fn q47_r23_a_proxy_that_closes_after_each_refusal_costs_one_connection_more() {
    let closing =
        "HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic realm=\"x\"\r\nConnection: close\r\n\r\nbye";
    let proxy = ScriptedProxy::in_turn(vec![
        turn(move |conn| {
            conn.expect_connect("host:22");
            conn.send(closing);
        }),
        turn(opens_when_authorized),
    ]);
    assert_eq!(finish(&mut connect_as(&proxy, "host:22"), b"", LIMIT).exits(0).text(), BANNER);
    proxy.done();

    let proxy = ScriptedProxy::start(opens_when_authorized);
    let mut cmd = connect_as(&proxy, "host:22");
    assert_eq!(finish(cmd.args(["--proxy-auth", "basic"]), b"", LIMIT).exits(0).text(), BANNER);
    proxy.done();
}

#[test]
fn q41_a_folded_challenge_is_unfolded() {
    stays_behind(&challenge("Proxy-Authenticate: Bearer,\r\n Basic\r\n\trealm=\"x\"\r\n"));
}

#[test]
fn a_realm_without_quotes_may_be_several_words() {
    stays_behind(&challenge("Proxy-Authenticate: Basic realm=Squid proxy\r\n"));
    stays_behind(&challenge("Proxy-Authenticate: Bearer, Basic realm=Squid proxy-caching web server \r\n"));
    stays_behind(&challenge("Proxy-Authenticate: Bearer realm=a b, error=c, Basic realm=a b\r\n"));
    reconnects_behind(
        "HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic realm=Squid proxy\r\nConnection: close\r\n\r\n",
    );
}

#[test]
fn a_flood_of_challenges_is_over_in_time() {
    let parameters: String = (0..24_000).map(|n| format!("a{n:05x}=x,")).collect();
    let floods = [
        format!("Basic {parameters}"),
        format!("Digest {parameters}"),
        "a,".repeat(120_000),
        "a=".repeat(120_000),
    ];
    for flood in floods {
        let answer = challenge(&format!("Proxy-Authenticate: {flood}\r\n"));
        let proxy = ScriptedProxy::start(move |conn| {
            conn.expect_connect("host:22");
            conn.send_in_vain(&answer);
            conn.finish_writing();
            conn.read_to_any_end();
        });
        let limit = Duration::from_secs(5);
        let mut cmd = connect_as(&proxy, "host:22");
        let finished = finish(cmd.args(["--proxy-timeout", "5s"]), b"", limit).fails(6);
        assert!(finished.stderr.len() < 1000, "{} bytes on stderr", finished.stderr.len());
        proxy.done();
    }
}
