//! A chain of proxies that ask: each is given what is its own, and nothing that is another's.

use std::process::Command;

use crate::credentials::{Folder, askpass, prompts};
use crate::support::proxy::{BASIC_407, Conn, OK, ScriptedProxy, authorization, basic, turn};
use crate::support::{LIMIT, finish, listening, wimble};

/// The second proxy of the chains here. Nobody looks it up: the first one plays it.
const SECOND: &str = "b.example:3128";

/// One proxy's turn, which asks and is to be sent `wanted`; what was learnt of it may come unasked.
#[track_caller]
fn lets_in(conn: &mut Conn, target: &str, wanted: &str) {
    let mut head = conn.expect_connect(target);
    if authorization(&head).is_empty() {
        conn.send(BASIC_407);
        head = conn.expect_connect(target);
    }
    assert_eq!(authorization(&head), [basic(wanted)], "for the way to {target}");
    conn.send(OK);
}

/// One proxy's turn, which asks and is to be sent nothing.
#[track_caller]
fn is_sent_nothing(conn: &mut Conn, target: &str) {
    assert!(authorization(&conn.expect_connect(target)).is_empty(), "for the way to {target}");
    conn.send(BASIC_407);
    assert_eq!(conn.read_to_any_end(), b"", "for the way to {target}");
}

/// Two proxies that are to be sent these.
fn two_want(first: &'static str, second: &'static str) -> ScriptedProxy {
    ScriptedProxy::start(move |conn| {
        lets_in(conn, SECOND, first);
        lets_in(conn, "host:22", second);
    })
}

/// `connect` through a chain of these two.
fn through(first: &str, second: &str) -> Command {
    let mut cmd = wimble();
    cmd.args(["connect", "-x", first, "-x", second, "host:22"]);
    cmd
}

#[test]
fn netrc_is_searched_for_each_proxys_own_host() {
    let folder = Folder::new();
    let first = "machine 127.0.0.1 login a password pa\n";
    let second = "machine b.example login b password pb\n";
    let both = folder.file("both", &format!("{first}{second}"));
    let proxy = two_want("a:pa", "b:pb");
    let mut cmd = through(&proxy.url(), SECOND);
    finish(cmd.arg("--netrc-file").arg(&both), b"", LIMIT).exits(0);
    proxy.done();

    // An entry of the second alone.
    let proxy = ScriptedProxy::start(|conn| {
        conn.open(SECOND);
        lets_in(conn, "host:22", "b:pb");
    });
    let only = folder.file("second", second);
    finish(through(&proxy.url(), SECOND).arg("--netrc-file").arg(&only), b"", LIMIT).exits(0);
    proxy.done();

    // Of the first alone, and it is the second that asks; the same by the environment.
    let only = folder.file("first", first);
    for by_option in [true, false] {
        let proxy = ScriptedProxy::start(|conn| {
            conn.open(SECOND);
            is_sent_nothing(conn, "host:22");
        });
        let mut cmd = through(&proxy.url(), SECOND);
        match by_option {
            true => cmd.arg("--netrc-file").arg(&only),
            false => cmd.env("NETRC", &only),
        };
        finish(&mut cmd, b"", LIMIT).fails(6).says(SECOND);
        proxy.done();
    }
}

#[test]
fn a_file_that_is_a_pipe_is_read_once_for_all_of_them() {
    let proxy = two_want("alice:sesame", "alice:sesame");
    let mut cmd = Command::new("bash");
    let inner = through(&proxy.url(), SECOND);
    let words: Vec<_> = inner.get_args().map(|word| word.to_str().unwrap()).collect();
    cmd.args([
        "-c",
        &format!(
            "exec '{}' {} --proxy-credentials <(echo alice:sesame)",
            env!("CARGO_BIN_EXE_wimble"),
            words.join(" ")
        ),
    ]);
    finish(&mut cmd, b"", LIMIT).exits(0);
    proxy.done();
}

#[test]
fn who_is_asked_is_asked_for_each_proxy() {
    for user in [Some("alice"), None] {
        let folder = Folder::new();
        let proxy = match user {
            Some(_) => two_want("alice:one", "alice:two"),
            None => two_want("ann:one", "bob:two"),
        };
        let answers = if user.is_some() { "one\ntwo\n" } else { "ann\none\nbob\ntwo\n" };
        let mut cmd = through(&proxy.url(), SECOND);
        cmd.args(user.map(|user| ["-U", user]).into_iter().flatten());
        cmd.env("SSH_ASKPASS", askpass(&folder, answers)).env("SSH_ASKPASS_REQUIRE", "force");
        finish(&mut cmd, b"", LIMIT).exits(0);
        let asked = prompts(&folder);
        assert!(asked.contains("127.0.0.1:") && asked.contains(SECOND), "{asked}");
        proxy.done();
    }
}

#[test]
fn what_is_given_for_all_is_sent_to_all_that_ask() {
    let proxy = two_want("alice:sesame", "alice:sesame");
    let mut cmd = through(&proxy.url(), SECOND);
    finish(cmd.args(["-U", "alice"]).env("WIMBLE_PROXY_PASSWORD", "sesame"), b"", LIMIT).exits(0);
    proxy.done();
}

#[test]
fn a_refusal_is_remembered_for_the_proxy_that_refused() {
    let connections = (0..2).map(|earlier| {
        turn(move |conn: &mut Conn| {
            lets_in(conn, SECOND, "alice:sesame");
            if earlier == 0 {
                conn.expect_connect("host:22");
                conn.send(BASIC_407);
                assert_eq!(authorization(&conn.expect_connect("host:22")), [basic("alice:sesame")]);
                conn.send(BASIC_407);
                assert_eq!(conn.read_to_any_end(), b"");
            } else {
                is_sent_nothing(conn, "host:22");
            }
        })
    });
    let proxy = ScriptedProxy::in_turn(connections.collect());
    let mut cmd = wimble();
    cmd.args(["forward", "-x", &proxy.url(), "-x", SECOND, "0:host:22", "-U", "alice"]);
    let (running, port) = listening(cmd.env("WIMBLE_PROXY_PASSWORD", "sesame"));
    for _ in 0..2 {
        assert_eq!(Conn::to(port).read_to_any_end(), b"");
    }
    let blames = |line: &str| line.contains(&format!("through proxy {SECOND}: 407"));
    running.stderr_lines(2, blames, LIMIT);
    proxy.done();
}

#[test]
fn two_users_of_one_place_have_two_logins() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    let itself = place.clone();
    let proxy = ScriptedProxy::on(
        listener,
        vec![turn(move |conn| {
            lets_in(conn, &itself, "alice:a");
            lets_in(conn, "host:22", "bob:b");
        })],
    );
    let (first, second) = (format!("http://alice:a@{place}"), format!("http://bob:b@{place}"));
    finish(&mut through(&first, &second), b"", LIMIT).exits(0);
    proxy.done();
}

#[test]
fn a_name_in_a_url_gets_its_password_from_elsewhere_in_a_chain_too() {
    let second = format!("http://bob@{SECOND}");
    type Give = fn(&mut Command, &Folder);
    let given: [(Give, &str, &str); 4] = [
        (
            |cmd, _| {
                cmd.env("WIMBLE_PROXY_PASSWORD", "pw");
            },
            "alice:pw",
            "bob:pw",
        ),
        (
            |cmd, _| {
                cmd.args(["--proxy-password-command", "echo pw"]);
            },
            "alice:pw",
            "bob:pw",
        ),
        (
            |cmd, folder| {
                let text =
                    "machine 127.0.0.1 login alice password pa\nmachine b.example login bob password pb\n";
                cmd.arg("--netrc-file").arg(folder.file("netrc", text));
            },
            "alice:pa",
            "bob:pb",
        ),
        (
            |cmd, folder| {
                cmd.env("SSH_ASKPASS", askpass(folder, "one\ntwo\n")).env("SSH_ASKPASS_REQUIRE", "force");
            },
            "alice:one",
            "bob:two",
        ),
    ];
    for (give, at_first, at_second) in given {
        let folder = Folder::new();
        let proxy = two_want(at_first, at_second);
        let mut cmd = through(&proxy.url_with("alice"), &second);
        give(&mut cmd, &folder);
        finish(&mut cmd, b"", LIMIT).exits(0);
        proxy.done();
    }
}

#[test]
fn a_password_that_is_said_for_one_name_is_not_sent_with_the_name_of_a_url() {
    for variable in [true, false] {
        let proxy = ScriptedProxy::start(|conn| is_sent_nothing(conn, SECOND));
        let mut cmd = through(&proxy.url_with("bob"), SECOND);
        match variable {
            true => cmd.envs([("WIMBLE_PROXY_USER", "alice"), ("WIMBLE_PROXY_PASSWORD", "alices")]),
            false => cmd.args(["-U", "alice", "--proxy-password-command", "echo alices"]),
        };
        finish(&mut cmd, b"", LIMIT).fails(6);
        proxy.done();
    }
}
