//! Digest, NTLM and Negotiate against proxies with a script: what a real one does not do on demand. What it takes
//! a hash to know is computed by OpenSSL.

use std::io::Write;
use std::process::Stdio;

use crate::check::{check, report};
use crate::quirks_auth::challenge;
use crate::support::proxy::{BASIC_407, Conn, OK, ScriptedProxy, authorization, turn};
use crate::support::real::{Kdc, tool};
use crate::support::{LIMIT, NAME_AND_PASSWORD, connect_as, connect_via, finish, listening, wimble};

/// A CHALLENGE_MESSAGE of NTLM without attributes.
const NTLM_CHALLENGE: &str = "TlRMTVNTUAACAAAAAAAAADgAAAABAgAAASNFZ4mrze8AAAAAAAAAAAAAAAAAAAAA";

fn openssl(hash: &str, parts: &[&str]) -> String {
    let mut openssl = tool("openssl", "openssl");
    let mut child =
        openssl.args(["dgst", "-r", hash]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(parts.join(":").as_bytes()).unwrap();
    let output = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    output.split(' ').next().unwrap().to_owned()
}

/// A parameter of the one Proxy-Authorization of a head, without its quotes.
fn parameter(head: &str, name: &str) -> String {
    let sent = authorization(head)[0];
    let found = sent.strip_prefix("Digest ").unwrap().split(", ").find_map(|p| {
        let (found, value) = p.split_once('=')?;
        (found == name).then(|| value.trim_matches('"').to_owned())
    });
    found.unwrap_or_else(|| panic!("no {name} in {sent}"))
}

/// Panics unless the head proves the password of the tests for this nonce.
#[track_caller]
fn assert_proves(head: &str, algorithm: &str, nonce: &str, count: &str) {
    let hash = match algorithm.trim_end_matches("-sess") {
        "MD5" => "-md5",
        "SHA-256" => "-sha256",
        _ => "-sha512-256",
    };
    let (user, password) = NAME_AND_PASSWORD.split_once(':').unwrap();
    assert_eq!(parameter(head, "algorithm"), algorithm);
    assert_eq!(parameter(head, "uri"), "host:22", "R28");
    assert_eq!((parameter(head, "nonce"), parameter(head, "nc")), (nonce.into(), count.into()), "R31");
    assert_eq!(parameter(head, "opaque"), "o", "R33");
    let cnonce = parameter(head, "cnonce");
    let mut a1 = openssl(hash, &[user, "r", password]);
    if algorithm.ends_with("-sess") {
        a1 = openssl(hash, &[&a1, nonce, &cnonce]);
    }
    let a2 = openssl(hash, &["CONNECT", "host:22"]);
    assert_eq!(parameter(head, "response"), openssl(hash, &[&a1, nonce, count, &cnonce, "auth", &a2]));
}

fn digest(algorithm: &str, nonce: &str, more: &str) -> String {
    challenge(&format!(
        "Proxy-Authenticate: Digest realm=\"r\", nonce=\"{nonce}\", opaque=\"o\", qop=\"auth,auth-int\", \
         algorithm={algorithm}{more}\r\n"
    ))
}

#[test]
fn q32_r28_r29_r31_r32_r33_r34_every_algorithm_of_digest_proves_the_password() {
    for algorithm in ["MD5", "SHA-256", "SHA-512-256", "MD5-sess", "SHA-256-sess", "SHA-512-256-sess"] {
        let proxy = ScriptedProxy::start(move |conn| {
            conn.expect_connect("host:22");
            conn.send(digest(algorithm, "n1", ""));
            assert_proves(&conn.expect_connect("host:22"), algorithm, "n1", "00000001");
            // R32: the same password, once more, for a new nonce.
            conn.send(digest(algorithm, "n2", ", stale=true"));
            assert_proves(&conn.expect_connect("host:22"), algorithm, "n2", "00000001");
            conn.send(OK);
        });
        finish(&mut connect_as(&proxy, "host:22"), b"", LIMIT).exits(0);
        proxy.done();
    }
}

#[test]
fn q32_a_check_tells_that_the_nonce_was_stale() {
    for json in [true, false] {
        let proxy = ScriptedProxy::start(|conn| {
            conn.expect_connect("host:22");
            // Of a request without an answer it means nothing.
            conn.send(digest("MD5", "n1", ", stale=true"));
            conn.expect_connect("host:22");
            conn.send(digest("MD5", "n2", ", stale=TRUE"));
            conn.open("host:22");
            conn.send("x\n");
            conn.read_to_any_end();
        });
        let mut cmd = check(&proxy.url_with("me:secret-5512"), &["--no-tls", "host:22"]);
        let finished = finish(cmd.args(json.then_some("--json")), b"", LIMIT).exits(0);
        if json {
            let exchanges = &report(&finished)["stages"][2]["exchanges"];
            let stale: Vec<_> = exchanges.as_array().unwrap().iter().map(|e| e["stale"].as_bool()).collect();
            assert_eq!(stale, [Some(false), Some(true), Some(false)], "{exchanges}");
        } else {
            let text = finished.text().split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(text.contains("with Digest, which was asked for: 407"), "{text}");
            assert!(text.contains("with Digest again, as its nonce was stale: 200"), "{text}");
        }
        proxy.done();
    }
}

#[test]
fn r19_digest_is_preferred_to_basic_and_its_strongest_algorithm_to_the_first() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        let md5 =
            "Proxy-Authenticate: Basic realm=\"r\", Digest realm=\"r\", nonce=\"weak\", qop=\"auth\"\r\n";
        let sha256 = "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\", opaque=\"o\", qop=auth, algorithm=SHA-256\r\n";
        conn.send(challenge(&format!("{md5}{sha256}")));
        assert_proves(&conn.expect_connect("host:22"), "SHA-256", "n", "00000001");
        conn.send(OK);
    });
    finish(&mut connect_as(&proxy, "host:22"), b"", LIMIT).exits(0);
    proxy.done();
}

#[test]
fn q47_r31_a_forward_counts_its_nonce_over_all_connections_and_takes_the_next_one() {
    let opens = |nonce: &'static str, count: &'static str, info: &'static str| {
        turn(move |conn: &mut Conn| {
            assert_proves(&conn.expect_connect("host:22"), "SHA-256", nonce, count);
            conn.send(format!("HTTP/1.1 200 OK\r\n{info}\r\n"));
        })
    };
    let asks = turn(|conn: &mut Conn| {
        conn.expect_connect("host:22");
        conn.send(digest("SHA-256", "n1", "").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
    });
    let proxy = ScriptedProxy::in_turn(vec![
        asks,
        opens("n1", "00000001", ""),
        opens("n1", "00000002", ""),
        opens("n1", "00000003", "Proxy-Authentication-Info: nextnonce=\"n2\"\r\n"),
        opens("n2", "00000001", ""),
    ]);
    let (name, password) = NAME_AND_PASSWORD.split_once(':').unwrap();
    let mut cmd = wimble();
    cmd.args(["forward", "--proxy", &proxy.url(), "0:host:22"]);
    let (_forward, port) =
        listening(cmd.env("WIMBLE_PROXY_USER", name).env("WIMBLE_PROXY_PASSWORD", password));
    for _ in 0..4 {
        assert_eq!(Conn::to(port).read_to_any_end(), b"");
    }
    proxy.done();
}

#[test]
fn q45_refused_answers_of_any_scheme_are_not_sent_again() {
    let proxy = ScriptedProxy::start(|conn| {
        for nonce in ["n1", "n2"] {
            conn.expect_connect("host:22");
            conn.send(digest("MD5", nonce, ", Basic realm=\"r\""));
        }
        assert_eq!(conn.read_to_any_end(), b"", "the password went out by a weaker scheme");
    });
    finish(&mut connect_as(&proxy, "host:22"), b"", LIMIT)
        .fails(6)
        .says("offered: Digest, Basic; tried: Digest");
    proxy.done();
}

#[test]
fn q30_ntlm_says_its_three_messages_on_one_connection() {
    let proxy = ScriptedProxy::in_turn(vec![
        turn(|conn| {
            conn.expect_connect("host:22");
            conn.send(challenge("Proxy-Authenticate: NTLM\r\nConnection: close\r\n"));
        }),
        turn(|conn| {
            let hello = conn.expect_connect("host:22");
            assert!(authorization(&hello)[0].starts_with("NTLM TlRMTVNTUAAB"), "{hello}");
            conn.send(challenge(&format!("Proxy-Authenticate: NTLM {NTLM_CHALLENGE}\r\n")));
            let proof = conn.expect_connect("host:22");
            assert!(authorization(&proof)[0].starts_with("NTLM TlRMTVNTUAAD"), "{proof}");
            conn.send(OK);
        }),
    ]);
    finish(&mut connect_as(&proxy, "host:22"), b"", LIMIT).exits(0);
    proxy.done();
}

#[test]
fn q30_a_proxy_that_closes_between_the_messages_of_ntlm_is_called_that() {
    // By its word, and without one.
    for closing in ["Connection: close\r\n", ""] {
        let proxy = ScriptedProxy::start(move |conn| {
            conn.expect_connect("host:22");
            conn.send(challenge("Proxy-Authenticate: NTLM\r\n"));
            conn.expect_connect("host:22");
            conn.send(challenge(&format!("Proxy-Authenticate: NTLM {NTLM_CHALLENGE}\r\n{closing}")));
        });
        finish(&mut connect_as(&proxy, "host:22"), b"", LIMIT).fails(6).says("NTLM takes several messages");
        proxy.done();
    }
}

#[test]
fn q31_a_200_to_the_first_message_of_ntlm_is_success() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        conn.send(challenge("Proxy-Authenticate: NTLM\r\n"));
        conn.expect_connect("host:22");
        conn.send(OK);
    });
    finish(&mut connect_as(&proxy, "host:22"), b"", LIMIT).exits(0);
    proxy.done();
}

#[test]
fn a_scheme_that_is_named_answers_alone() {
    for (scheme, offer) in [("digest", BASIC_407), ("ntlm", BASIC_407)] {
        let proxy = ScriptedProxy::start(move |conn| {
            let head = conn.expect_connect("host:22");
            assert!(authorization(&head).is_empty(), "{head}");
            conn.send(offer);
            assert_eq!(conn.read_to_any_end(), b"", "{scheme} was named");
        });
        let mut cmd = connect_as(&proxy, "host:22");
        finish(cmd.args(["--proxy-auth", scheme]), b"", LIMIT).fails(6).says("offered: Basic");
        proxy.done();
    }
}

#[test]
fn a_401_to_credentials_refuses_them_as_tinyproxy_does() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        conn.send(BASIC_407);
        conn.expect_connect("host:22");
        conn.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(conn.read_to_any_end(), b"");
    });
    finish(&mut connect_as(&proxy, "host:22"), b"", LIMIT).fails(6).says("Basic, refused");
    proxy.done();
}

#[test]
fn r38_r39_a_proxy_that_answers_with_a_token_of_its_own_making_is_no_friend() {
    let kdc = Kdc::start();
    let token = "Proxy-Authenticate: Negotiate oRQwEqADCgEAoQsGCSqGSIb3EgECAg==\r\n";
    // On the 2xx it must prove the proxy; in a 407 it must lead on.
    for answer in
        [format!("HTTP/1.1 200 OK\r\n{token}\r\n"), challenge("Proxy-Authenticate: Negotiate AAAA\r\n")]
    {
        let proxy = ScriptedProxy::start(move |conn| {
            let head = conn.expect_connect("host:22");
            assert!(authorization(&head)[0].starts_with("Negotiate YI"), "{head}");
            conn.send(&answer);
            assert_eq!(conn.read_to_any_end(), b"");
        });
        let mut cmd = connect_via(&proxy, "host:22");
        cmd.args(["--proxy-auth", "negotiate", "--proxy-spn", "HTTP@localhost"]).envs(kdc.with_ticket());
        finish(&mut cmd, b"", LIMIT).fails(6);
        proxy.done();
    }
}

#[test]
fn no_schemes_credentials_show_in_vv() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        conn.send(digest("SHA-256", "n1", ""));
        conn.expect_connect("host:22");
        conn.send(OK);
    });
    let finished = finish(connect_as(&proxy, "host:22").arg("-vv"), b"", LIMIT).exits(0);
    assert!(finished.stderr.contains("> Proxy-Authorization: [masked]"), "{}", finished.stderr);
    assert!(!finished.stderr.contains("response="), "{}", finished.stderr);
    proxy.done();
}
