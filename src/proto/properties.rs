//! The nine properties of the handshake (DESIGN.md, "The machine"), each as a proptest over whole
//! conversations with a proxy that may say anything.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::handshake::{Handshake, HandshakeError, Step};
use super::limits::{MAX_ATTEMPTS, MAX_HEAD};
use super::{Accept, Field, Refusal, RequestFields};
use crate::auth::Credentials;
use crate::authority::Authority;

const SECRET: &str = "Basic c2VjcmV0OnNlc2FtZQ==";

/// What became of a conversation.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    requests: Vec<Bytes>,
    steps: Vec<&'static str>,
    end: End,
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    Open(u16, Bytes),
    Refused(Box<Refusal>),
    Failed(HandshakeError),
}

fn target() -> Authority {
    "host.example:22".parse().expect("a target")
}

fn fields() -> RequestFields {
    RequestFields::new(Field::new("User-Agent", "wimble/x"))
}

/// Holds a conversation. `connections` is what the proxy sends on each; `cuts` says how long each
/// read is, in turn. A connection that has nothing left has ended.
fn converse(connections: &[Vec<u8>], cuts: &[usize], authorize: bool) -> Outcome {
    let mut handshake = Handshake::new(target(), fields(), None);
    let mut outcome = Outcome { requests: vec![], steps: vec![], end: End::Failed(HandshakeError::Closed) };
    let mut connection = 0;
    let mut sent: &[u8] = connections.first().map_or(&[], Vec::as_slice);
    let mut cut = cuts.iter().cycle();
    for _ in 0..100_000 {
        let longest_read = cuts.iter().copied().max().unwrap_or(1);
        assert!(handshake.buffered() <= MAX_HEAD.saturating_add(longest_read), "(5) memory is bounded");
        let step = match handshake.step() {
            Ok(step) => step,
            Err(error) => {
                outcome.end = End::Failed(error);
                return outcome;
            }
        };
        match step {
            Step::Transmit(request) => {
                outcome.steps.push("transmit");
                outcome.requests.push(request);
            }
            Step::Receive if sent.is_empty() => handshake.receive_eof(),
            Step::Receive => {
                let length = (*cut.next().unwrap_or(&1)).clamp(1, sent.len());
                handshake.receive(&sent[..length]);
                sent = &sent[length..];
            }
            Step::Authenticate { .. } if authorize => {
                outcome.steps.push("authenticate");
                handshake.authorize(Credentials::new(SECRET.into()));
            }
            Step::Authenticate { .. } => {
                let refusal = handshake.decline().expect("a challenge to decline");
                outcome.end = End::Refused(Box::new(refusal));
                return outcome;
            }
            Step::Reconnect => {
                outcome.steps.push("reconnect");
                connection += 1;
                sent = connections.get(connection).map_or(&[], Vec::as_slice);
            }
            Step::Open { response, early } => {
                // What no read had fetched yet follows on the connection.
                let all = [&early[..], sent].concat();
                outcome.end = End::Open(response.status.code(), all.into());
                let debug = format!("{handshake:?}");
                assert!(!debug.contains("c2Vj"), "(8) nothing is kept behind Open");
                return outcome;
            }
            Step::Refused(refusal) => {
                outcome.end = End::Refused(Box::new(refusal));
                return outcome;
            }
        }
    }
    panic!("the conversation does not end");
}

fn once(sent: &[u8], cuts: &[usize]) -> Outcome {
    converse(&[sent.to_vec()], cuts, true)
}

/// Heads that proxies send, and mutations of them.
fn response() -> impl Strategy<Value = Vec<u8>> {
    let status = prop_oneof![
        Just("HTTP/1.1 200 OK".to_string()),
        Just("HTTP/1.0 200 Connection established".to_string()),
        (100u16..600).prop_map(|code| format!("HTTP/1.1 {code} x")),
        Just("HTTP/1.1 407 no".to_string()),
        Just("ICY 200".to_string()),
        "[ -~]{0,40}",
    ];
    let field = prop_oneof![
        Just("Content-Length: 5".to_string()),
        Just("Transfer-Encoding: chunked".to_string()),
        Just("Connection: close".to_string()),
        Just("Proxy-Authenticate: Basic realm=\"x\"".to_string()),
        Just("Proxy-Authenticate: NTLM, Basic realm=\"x\"".to_string()),
        Just(" folded".to_string()),
        "[A-Za-z]{1,8}: [ -~]{0,20}",
    ];
    let end = prop_oneof![Just("\r\n"), Just("\n")];
    (status, prop::collection::vec(field, 0..5), end.clone(), end).prop_map(|(status, fields, a, b)| {
        let mut head = format!("{status}{a}");
        fields.iter().for_each(|field| head.extend([field, b]));
        head.push_str(a);
        head.into_bytes()
    })
}

/// Several responses, with content of a kind between them.
fn conversation() -> impl Strategy<Value = Vec<u8>> {
    let content = prop_oneof![
        Just(b"".to_vec()),
        Just(b"hello".to_vec()),
        Just(b"5\r\nhello\r\n0\r\nT: x\r\n\r\n".to_vec()),
        prop::collection::vec(any::<u8>(), 0..20),
    ];
    prop::collection::vec((response(), content), 0..6)
        .prop_map(|parts| parts.into_iter().flat_map(|(head, content)| [head, content]).flatten().collect())
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1usize..64, 1..8)
}

proptest! {
    #[test]
    fn p1_q13_q14_cutting_the_input_anywhere_changes_nothing(
        connections in prop::collection::vec(conversation(), 1..4), cuts in cuts(), authorize: bool,
    ) {
        let whole = converse(&connections, &[usize::MAX], authorize);
        prop_assert_eq!(&converse(&connections, &cuts, authorize), &whole);
        prop_assert_eq!(&converse(&connections, &[1], authorize), &whole);
    }

    #[test]
    fn p2_q15_whatever_follows_a_2xx_head_is_early(
        code in 200u16..300, early in prop::collection::vec(any::<u8>(), 0..200), cuts in cuts(),
    ) {
        let mut sent = format!("HTTP/1.1 {code} OK\r\nVia: x\r\n\r\n").into_bytes();
        sent.extend_from_slice(&early);
        prop_assert_eq!(once(&sent, &cuts).end, End::Open(code, early.into()));
    }

    #[test]
    fn p3_q18_q19_the_end_before_open_is_an_error_at_every_offset(cuts in cuts(), at in 0usize..66) {
        let head = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/x\r\n\r\n";
        let end = once(&head[..at], &cuts).end;
        prop_assert!(matches!(end, End::Failed(_)), "at {}: {:?}", at, end);
    }

    #[test]
    fn p4_q08_r05_every_2xx_opens_every_1xx_is_passed_over_407_never_opens(
        code in 100u16..600, interim in prop::collection::vec(102u16..200, 0..16),
    ) {
        let mut sent = String::new();
        interim.iter().for_each(|code| sent.push_str(&format!("HTTP/1.1 {code} wait\r\nX: y\r\n\r\n")));
        sent.push_str(&format!("HTTP/1.1 {code} final\r\n\r\n"));
        let end = converse(&[sent.into_bytes()], &[usize::MAX], false).end;
        match code {
            200..300 => prop_assert_eq!(end, End::Open(code, Bytes::new())),
            100..200 => prop_assert!(matches!(end, End::Failed(_))),
            _ => prop_assert!(matches!(end, End::Refused(refusal) if refusal.status.code() == code)),
        }
    }

    #[test]
    fn p6_at_most_max_attempts_requests_are_sent(connections in prop::collection::vec(conversation(), 0..12)) {
        prop_assert!(converse(&connections, &[usize::MAX], true).requests.len() <= MAX_ATTEMPTS);
    }

    #[test]
    fn p7_r01_accept_reads_what_handshake_transmits(host in "\\PC{1,30}|[a-z0-9.-]{1,30}|::1", port in 1u16..) {
        let Ok(target) = Authority::from_words(&host, &port.to_string()) else { return Ok(()) };
        let mut handshake = Handshake::new(target.clone(), fields(), Some(Credentials::new(SECRET.into())));
        let Ok(Step::Transmit(request)) = handshake.step() else { panic!("a request comes first") };
        let read = Accept::default().receive(&request).expect("a request").expect("whole");
        prop_assert_eq!(read.target, target);
        prop_assert_eq!(read.early, Bytes::new());
    }

    #[test]
    fn p8_r20_credentials_are_in_proxy_authorization_only(connections in prop::collection::vec(conversation(), 1..4)) {
        for request in converse(&connections, &[usize::MAX], true).requests {
            let text = String::from_utf8(request.to_vec()).expect("ASCII");
            for line in text.lines().filter(|line| line.contains("c2Vj")) {
                prop_assert_eq!(line, format!("Proxy-Authorization: {SECRET}"));
            }
        }
    }

    #[test]
    fn p9_q09_q10_r06_framing_fields_of_a_2xx_change_nothing(
        length in any::<u64>(), chunked: bool, early in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let coding = if chunked { "Transfer-Encoding: chunked\r\n" } else { "" };
        let mut sent = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{coding}Connection: close\r\n\r\n")
            .into_bytes();
        sent.extend_from_slice(&early);
        prop_assert_eq!(once(&sent, &[7]).end, End::Open(200, early.into()));
    }
}

#[test]
fn p5_a_head_without_end_fails_within_the_limit() {
    let endless = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'x'; MAX_HEAD + 100_000]].concat();
    assert!(matches!(once(&endless, &[4096]).end, End::Failed(HandshakeError::Head(_))));
}

#[test]
fn every_arrow_of_the_graph_is_walked() {
    let challenge = "HTTP/1.1 407 no\r\nProxy-Authenticate: Basic\r\n";
    let walk = |connections: &[&str]| {
        let connections: Vec<_> = connections.iter().map(|c| c.as_bytes().to_vec()).collect();
        let outcome = converse(&connections, &[5], true);
        (outcome.steps.join(" "), outcome.end)
    };
    let open = End::Open(200, Bytes::new());
    let ok = "HTTP/1.1 200 OK\r\n\r\n";

    assert_eq!(walk(&[ok]), ("transmit".into(), End::Open(200, Bytes::new())));
    assert_eq!(walk(&[&format!("HTTP/1.1 103 hint\r\n\r\n{ok}")]).1, open);
    let (steps, end) = walk(&[&format!("{challenge}Content-Length: 2\r\n\r\nno{ok}")]);
    assert_eq!((steps.as_str(), end), ("transmit authenticate transmit", End::Open(200, Bytes::new())));
    let (steps, end) = walk(&[&format!("{challenge}Connection: close\r\n\r\n"), ok]);
    assert_eq!(
        (steps.as_str(), end),
        ("transmit authenticate reconnect transmit", End::Open(200, Bytes::new()))
    );
    let (steps, _) = walk(&[&format!("{challenge}Content-Length: 9\r\n\r\nno"), ok]);
    assert_eq!(steps, "transmit authenticate reconnect transmit", "the content was cut off");
    let (steps, _) = walk(&[&format!("{challenge}Transfer-Encoding: chunked\r\n\r\nnonsense\r\n"), ok]);
    assert_eq!(steps, "transmit authenticate reconnect transmit", "the content was malformed");
    let (steps, _) = walk(&[&format!("{challenge}Content-Length: 0\r\n\r\n"), ok]);
    assert_eq!(
        steps, "transmit authenticate transmit reconnect transmit",
        "Q22: it closed without saying so"
    );
    assert!(matches!(walk(&["HTTP/1.1 302 go\r\nLocation: http://x/\r\n\r\n"]).1, End::Refused(_)), "Q42");
}

#[test]
fn q20_a_used_connection_is_replaced_once_not_for_ever() {
    let challenge = b"HTTP/1.1 407 no\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n".to_vec();
    let outcome = converse(&[challenge, vec![]], &[usize::MAX], true);
    assert_eq!(outcome.steps, ["transmit", "authenticate", "transmit", "reconnect", "transmit"]);
    assert_eq!(outcome.end, End::Failed(HandshakeError::Closed));
}

#[test]
fn q11_r08_interim_responses_are_bounded_and_q12_101_is_an_error() {
    let endless = "HTTP/1.1 100 wait\r\n\r\n".repeat(100);
    assert!(matches!(once(endless.as_bytes(), &[64]).end, End::Failed(HandshakeError::Exchange(_))));
    let upgrade = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";
    assert!(matches!(once(upgrade, &[64]).end, End::Failed(HandshakeError::Exchange(_))));
}

#[test]
fn q42_the_refusal_keeps_what_the_proxy_says_about_it() {
    let sent = b"HTTP/1.1 503 Service Unavailable\r\nX-Squid-Error: ERR_CONNECT_FAIL 111\r\nX: y\r\n\r\n";
    let End::Refused(refusal) = once(sent, &[9]).end else { panic!("a refusal") };
    assert_eq!(refusal.explanations, [("X-Squid-Error".into(), "ERR_CONNECT_FAIL 111".into())]);
}

#[test]
fn the_machine_can_be_moved_between_threads() {
    fn sendable<T: Send + Sync>(_: Arc<T>) {}
    sendable(Arc::new(Handshake::new(target(), fields(), None)));
}

/// `tests/fixtures/responses/`: what Squid 5.7, tinyproxy 1.11, Apache 2.4 and nginx 1.22 sent.
#[test]
fn r07_recorded_answers_of_real_proxies_mean_what_they_say() {
    let banner = Bytes::from_static(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n");
    let mut seen = 0;
    for entry in std::fs::read_dir("tests/fixtures/responses").expect("the fixtures") {
        let path = entry.expect("a fixture").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let code: u16 = name.rsplit('-').next().and_then(|code| code.parse().ok()).expect("NAME-CODE.http");
        let sent = std::fs::read(&path).expect("bytes");
        for cuts in [&[usize::MAX][..], &[1], &[7, 64]] {
            match converse(std::slice::from_ref(&sent), cuts, false).end {
                End::Open(status, early) => {
                    assert_eq!(
                        (status, &early),
                        (code, &banner),
                        "{name}: the target's banner came with the head"
                    );
                }
                End::Refused(refusal) => {
                    assert_eq!(refusal.status.code(), code, "{name}");
                    assert_eq!(refusal.challenges.find("Basic").is_some(), code == 407, "{name}");
                }
                End::Failed(error) => panic!("{name}: {error:?}"),
            }
        }
        seen += 1;
    }
    assert!(seen >= 12, "the fixtures are gone");
}
