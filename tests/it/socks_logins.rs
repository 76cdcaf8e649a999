//! Names and passwords for SOCKS proxies: when they are offered, and that they are not sent twice.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use crate::credentials::{Folder, askpass, prompts};
use crate::support::origin::Origin;
use crate::support::proxy::{Conn, ScriptedProxy, Turn, turn};
use crate::support::{Finished, LIMIT, finish, listening, wimble};

/// RFC 1928 §3: no authentication, and name with password.
const BOTH: [u8; 4] = [5, 2, 0, 2];

/// RFC 1928 §6.
const GRANTED: [u8; 10] = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

fn url(scheme: &str, userinfo: &str, proxy: &ScriptedProxy) -> String {
    format!("{scheme}://{userinfo}127.0.0.1:{}", proxy.port())
}

/// The message of RFC 1929 §2.
fn message(name: &str, password: &str) -> Vec<u8> {
    let mut message = vec![1];
    for part in [name, password] {
        message.push(u8::try_from(part.len()).unwrap());
        message.extend(part.bytes());
    }
    message
}

/// Asks, and gets this; says that it is right or wrong.
#[track_caller]
fn gets(conn: &mut Conn, name: &str, password: &str, right: bool) {
    assert_eq!(conn.read_exact(4), BOTH);
    conn.send([5, 2]);
    let wanted = message(name, password);
    assert_eq!(conn.read_exact(wanted.len()), wanted);
    conn.send([1, u8::from(!right)]);
}

#[track_caller]
fn refuses(conn: &mut Conn, name: &str, password: &str) {
    gets(conn, name, password, false);
    assert_eq!(conn.read_to_any_end(), b"");
}

/// The request for host:22, granted.
#[track_caller]
fn grants(conn: &mut Conn) {
    assert_eq!(conn.read_exact(11), b"\x05\x01\x00\x03\x04host\x00\x16");
    conn.send(GRANTED);
}

#[test]
fn q45_what_was_refused_is_not_sent_by_later_connections_of_a_forward() {
    let asked = turn(|conn| {
        assert_eq!(conn.read_exact(4), BOTH);
        conn.send([5, 2]);
        assert_eq!(conn.read_to_any_end(), b"");
    });
    let proxy = ScriptedProxy::in_turn(vec![turn(|conn| refuses(conn, "alice", "wrong")), asked]);
    let mut cmd = wimble();
    cmd.args(["forward", "-x", &url("socks5", "alice:wrong@", &proxy), "0:host:22"]);
    let (running, port) = listening(&mut cmd);
    for _ in 0..2 {
        assert_eq!(Conn::to(port).read_to_any_end(), b"");
    }
    running.stderr_lines(2, |line| line.contains("refused the name and password"), LIMIT);
    proxy.done();
}

#[test]
fn q45_spare_tunnels_are_not_tried_again_with_what_was_refused() {
    let proxy = ScriptedProxy::start(|conn| refuses(conn, "alice", "wrong"));
    let mut cmd = wimble();
    cmd.args(["forward", "-x", &url("socks5", "alice:wrong@", &proxy), "0:host:22", "--spare", "1"]);
    let (mut running, _port) = listening(&mut cmd);
    running.stderr_line(|line| line.contains("refused the name and password"), LIMIT);
    // Longer than it waits after any other failure.
    assert!(running.survives(std::time::Duration::from_millis(1500)));
    drop(running);
    proxy.done();
}

#[test]
fn a_person_has_three_tries() {
    let folder = Folder::new();
    let mut turns: Vec<Turn> = Vec::new();
    for guess in ["one", "two"] {
        turns.push(turn(move |conn| refuses(conn, "alice", guess)));
    }
    turns.push(turn(|conn| {
        gets(conn, "alice", "three", true);
        grants(conn);
    }));
    let proxy = ScriptedProxy::in_turn(turns);
    assert_eq!(asked(&proxy, &folder, "one\ntwo\nthree\n").code, Some(0));
    proxy.done();

    let turns = ["one", "two", "three"].map(|guess| turn(move |conn| refuses(conn, "alice", guess)));
    let proxy = ScriptedProxy::in_turn(turns.into());
    asked(&proxy, &folder, "one\ntwo\nthree\nfour\n").fails(6).says("refused the name and password");
    assert_eq!(prompts(&folder).lines().count(), 6);
    proxy.done();
}

fn asked(proxy: &ScriptedProxy, folder: &Folder, answers: &str) -> Finished {
    let mut cmd = wimble();
    cmd.args(["connect", "-x", &url("socks5", "alice@", proxy), "host:22"]);
    cmd.env("SSH_ASKPASS", askpass(folder, answers)).env("SSH_ASKPASS_REQUIRE", "force");
    finish(&mut cmd, b"", LIMIT)
}

#[test]
fn they_are_offered_and_sent_only_where_basic_might_be() {
    for scheme in ["none", "digest", "ntlm", "negotiate"] {
        for insists in [[5, 0xff], [5, 2]] {
            let proxy = ScriptedProxy::start(move |conn| {
                assert_eq!(conn.read_exact(3), [5, 1, 0]);
                conn.send(insists);
                assert_eq!(conn.read_to_any_end(), b"");
            });
            let mut cmd = wimble();
            cmd.args(["connect", "-x", &url("socks5", "alice:sesame@", &proxy), "host:22"]);
            finish(cmd.args(["--proxy-auth", scheme]), b"", LIMIT).exits(6).says("--proxy-auth");
            proxy.done();
        }
    }
    for scheme in ["auto", "basic"] {
        let proxy = ScriptedProxy::start(|conn| {
            gets(conn, "alice", "sesame", true);
            grants(conn);
        });
        let mut cmd = wimble();
        cmd.args(["connect", "-x", &url("socks5", "alice:sesame@", &proxy), "host:22"]);
        finish(cmd.args(["--proxy-auth", scheme]), b"", LIMIT).exits(0);
        proxy.done();
    }
}

#[test]
fn q45_a_burst_of_clients_is_one_failed_login() {
    const CLIENTS: usize = 10;
    let (all, sent) = (Barrier::new(CLIENTS), Arc::new(AtomicUsize::new(0)));
    let proxy = Origin::serving({
        let sent = sent.clone();
        move |stream| {
            let mut conn = Conn::new(stream);
            assert_eq!(conn.read_exact(4), BOTH);
            all.wait();
            conn.send([5, 2]);
            if matches!(conn.stream().peek(&mut [0]), Ok(1)) {
                sent.fetch_add(1, Ordering::SeqCst);
                conn.read_exact(message("alice", "wrong").len());
                conn.send([1, 1]);
            }
        }
    });
    let mut cmd = wimble();
    cmd.args(["forward", "-x", &format!("socks5://{}", proxy.target()), "-U", "alice", "0:host:22"]);
    let (_running, port) = listening(cmd.env("WIMBLE_PROXY_PASSWORD", "wrong"));
    let clients: Vec<_> = (0..CLIENTS).map(|_| Conn::to(port)).collect();
    for mut client in clients {
        client.read_to_any_end();
    }
    assert_eq!(sent.load(Ordering::SeqCst), 1);
}

#[test]
fn a_proxy_that_closes_at_the_password_may_have_refused_it() {
    let proxy = ScriptedProxy::start(|conn| {
        assert_eq!(conn.read_exact(4), BOTH);
        conn.send([5, 2]);
        let wanted = message("alice", "sesame");
        assert_eq!(conn.read_exact(wanted.len()), wanted);
    });
    let mut cmd = wimble();
    cmd.args(["connect", "-x", &url("socks5", "alice:sesame@", &proxy), "host:22"]);
    finish(&mut cmd, b"", LIMIT).exits(6).says("closed the connection").says("check name and password");
    proxy.done();
}

#[test]
fn a_password_that_socks_has_no_room_for_is_not_called_missing() {
    let proxy = ScriptedProxy::start(|conn| {
        assert_eq!(conn.read_exact(4), BOTH);
        conn.send([5, 2]);
        assert_eq!(conn.read_to_any_end(), b"");
    });
    let mut cmd = wimble();
    cmd.args(["connect", "-x", &url("socks5", "", &proxy), "-U", "alice", "host:22"]);
    cmd.env("WIMBLE_PROXY_PASSWORD", "x".repeat(256));
    finish(&mut cmd, b"", LIMIT).fails(6).says("cannot be said to it").says("255 bytes");
    proxy.done();
}

#[test]
fn socks4_is_told_the_name_also_where_there_is_no_password() {
    for (userinfo, option, variable, auth, sent) in [
        ("alice@", None, None, "auto", "alice"),
        ("alice:sesame@", None, None, "auto", "alice"),
        ("", Some("alice"), None, "auto", "alice"),
        ("", None, Some("alice"), "basic", "alice"),
        ("", None, None, "auto", ""),
        ("alice@", None, None, "none", ""),
    ] {
        let proxy = ScriptedProxy::start(move |conn| {
            let wanted = [b"\x04\x01\x00\x16\x00\x00\x00\x01", sent.as_bytes(), b"\0host\0"].concat();
            assert_eq!(conn.read_exact(wanted.len()), wanted);
            conn.send([0, 90, 0, 0, 0, 0, 0, 0]);
        });
        let mut cmd = wimble();
        cmd.args(["connect", "-x", &url("socks4", userinfo, &proxy), "host:22", "--proxy-auth", auth]);
        cmd.args(option.map(|name| ["-U", name]).into_iter().flatten());
        cmd.envs(variable.map(|name| ("WIMBLE_PROXY_USER", name)));
        finish(&mut cmd, b"", LIMIT).exits(0);
        proxy.done();
    }
}
