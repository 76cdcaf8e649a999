//! The command line itself: help, what is refused before anything is sent, and how much is said.

use serde_json::Value;

use crate::support::proxy::{ScriptedProxy, fields};
use crate::support::{LIMIT, connect_via, finish, wimble, wimble_through};

#[test]
fn help_has_an_example_first() {
    for command in ["connect", "forward", "check", "serve"] {
        let finished = finish(wimble().args([command, "--help"]), b"", LIMIT).exits(0);
        let text = finished.text();
        let example =
            text.find(&format!("wimble {command} ")).unwrap_or_else(|| panic!("no example:\n{text}"));
        let usage = text.find("Usage").unwrap_or_else(|| panic!("no usage:\n{text}"));
        assert!(example < usage, "the example of {command} is not first:\n{text}");
        assert_eq!(finished.stderr, "");
    }
    let text = finish(wimble().arg("--help"), b"", LIMIT).exits(0).text();
    assert!(text.find("wimble connect ").unwrap() < text.find("Usage").unwrap(), "{text}");
    for command in ["connect", "forward", "check", "serve", "completions"] {
        assert!(text.contains(command), "{text}");
    }
}

#[test]
fn help_says_of_each_command_what_the_overview_says() {
    let overview = finish(wimble().arg("-h"), b"", LIMIT).exits(0).text();
    for command in ["connect", "forward", "check", "serve", "completions"] {
        let line = overview.lines().find(|line| line.trim_start().starts_with(&format!("{command} ")));
        let about = line.and_then(|line| line.trim_start().split_once(' ')).unwrap().1.trim();
        let help = finish(wimble().args([command, "--help"]), b"", LIMIT).exits(0).text();
        assert!(help.contains(about), "{command} --help does not say {about:?}:\n{help}");
    }
}

#[test]
fn the_version_is_the_packages() {
    let text = finish(wimble().arg("--version"), b"", LIMIT).exits(0).text();
    assert_eq!(text, concat!("wimble ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn words_that_mean_nothing_are_exit_2() {
    for words in [&[][..], &["drill"], &["connect", "--no-such-option", "host:22"], &["completions", "tcsh"]]
    {
        let finished = finish(wimble().args(words), b"", LIMIT).exits(2);
        assert!(finished.stdout.is_empty() && !finished.stderr.is_empty(), "{words:?}");
    }
}

#[test]
fn completions_offer_the_protocols_and_no_files() {
    let text = finish(wimble().args(["completions", "bash"]), b"", LIMIT).exits(0).text();
    let behind = text.split_once("--starttls)\n").unwrap_or_else(|| panic!("{text}")).1;
    let offered = behind.split_once(";;").unwrap().0;
    assert!(offered.contains("-W \"smtp imap pop3 ftp ldap postgres mysql xmpp http\""), "{offered}");
    assert!(!offered.contains("-f"), "{offered}");
    finish(wimble().args(["check", "--starttls", "gopher", "host:1"]), b"", LIMIT)
        .fails(2)
        .says("smtp, imap");
}

#[test]
fn completions_name_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = finish(wimble().args(["completions", shell]), b"", LIMIT).exits(0).text();
        for command in ["connect", "forward", "check", "serve"] {
            assert!(text.contains(command), "{shell}: {command}");
        }
    }
}

/// Refused with exit 2, one error line, and before anything is sent.
#[track_caller]
fn is_refused(words: &[&str]) {
    let proxy = ScriptedProxy::untouched();
    let finished = finish(wimble().args(["connect", "--proxy", &proxy.url()]).args(words), b"", LIMIT);
    assert_eq!(finished.code, Some(2), "{words:?}: {}", finished.stderr);
    finished.fails(2);
    proxy.done();
}

#[test]
fn a_target_cannot_smuggle_anything_into_the_request() {
    for host in [
        "ho st",
        "host\r\nX: y\r\n",
        "host\n",
        "host\r",
        "host HTTP/1.1\r\n\r\n",
        "ho\tst",
        "host\u{1b}",
        "a/b",
        "a?b",
        "a#b",
        "a@b",
    ] {
        is_refused(&[host, "22"]);
        is_refused(&[&format!("{host}:22")]);
    }
    is_refused(&["host", "22 HTTP/1.1"]);
    is_refused(&["host:22\r\nX: y"]);
}

#[test]
fn a_field_cannot_smuggle_anything_into_the_request() {
    for field in [
        "X: a\r\nY: b",
        "X: a\nY: b",
        "X: a\rb",
        "X: a\r\n\r\n",
        "X: \u{7f}",
        "X: \u{1}",
        "X Y: a",
        "X : a",
        " X: a",
        "X\r\n: a",
        ": a",
        "no colon",
        "",
    ] {
        is_refused(&["--proxy-header", field, "host:22"]);
    }
}

#[test]
fn a_user_agent_cannot_smuggle_anything_into_the_request() {
    for agent in ["a\r\nX: y", "a\nb", "a\rb", "a\u{1b}b"] {
        is_refused(&["--user-agent", agent, "host:22"]);
    }
}

#[test]
fn a_user_agent_that_is_made_by_hand_is_the_only_one() {
    let proxy = ScriptedProxy::start(|conn| {
        assert_eq!(fields(&conn.open("host:22"), "User-Agent"), ["mine"]);
    });
    finish(connect_via(&proxy, "host:22").args(["--proxy-header", "user-agent: mine"]), b"", LIMIT).exits(0);
    proxy.done();
}

#[test]
fn a_url_in_place_of_a_target_is_called_that_and_its_password_is_not_quoted() {
    for words in [
        &["connect", "http://u:secret@p:3128", "h:22"][..],
        &["connect", "u:secret@h:22"],
        &["connect", "https://h"],
        &["check", "http://u:secret@p:3128"],
        &["check", "--ports", "1-3", "u:secret@p"],
    ] {
        let said = finish(wimble().args(words), b"", LIMIT).fails(2).stderr;
        assert!(said.contains("this is a URL") && !said.contains("secret"), "{words:?}: {said}");
    }
}

#[test]
fn a_family_that_the_proxy_has_no_address_of_is_not_a_wrong_name() {
    let mut cmd = wimble();
    let said =
        finish(cmd.args(["connect", "-4", "--proxy", "http://[::1]:9", "host:22"]), b"", LIMIT).fails(3);
    assert!(said.stderr.contains("no IPv4 address\nhint: -4 and -6 "), "{}", said.stderr);
}

#[test]
fn what_is_off_can_be_said_to_be() {
    let proxy = opening();
    let off = ["--idle-timeout", "off", "--keepalive", "off"];
    finish(connect_via(&proxy, "host:22").args(off), b"", LIMIT).exits(0);
    proxy.done();
}

#[test]
fn an_error_shows_what_was_typed_with_its_control_characters_escaped() {
    for words in [&["ho\u{1b}[31mst:22"][..], &["--proxy-header", "X\u{1b}[31m", "host:22"]] {
        let mut cmd = wimble();
        let finished =
            finish(cmd.args(["connect", "--proxy", "http://127.0.0.1:1"]).args(words), b"", LIMIT).fails(2);
        assert!(!finished.stderr.contains('\x1b'), "{:?}", finished.stderr);
    }
}

#[test]
fn proxy_headers_are_added_in_order() {
    let proxy = ScriptedProxy::start(|conn| {
        let head = conn.open("host:22");
        assert_eq!(fields(&head, "X-One"), ["1", "uno"]);
        assert_eq!(fields(&head, "X-Two"), ["2: zwei"]);
        assert_eq!(fields(&head, "X-Empty"), [""]);
        assert_eq!(fields(&head, "Host"), ["host:22"]);
    });
    let mut cmd = connect_via(&proxy, "host:22");
    for field in ["X-One: 1", "X-Two:2: zwei", "X-One: uno", "X-Empty:"] {
        cmd.args(["--proxy-header", field]);
    }
    finish(&mut cmd, b"", LIMIT).exits(0);
    proxy.done();
}

fn opening() -> ScriptedProxy {
    ScriptedProxy::start(|conn| drop(conn.open("host:22")))
}

fn said_with(options: &[&str]) -> String {
    let proxy = opening();
    let finished = finish(connect_via(&proxy, "host:22").args(options), b"", LIMIT).exits(0);
    assert!(finished.stdout.is_empty(), "{options:?} wrote to stdout: {:?}", finished.text());
    proxy.done();
    finished.stderr
}

#[test]
fn success_is_silent_unless_asked() {
    assert_eq!(said_with(&[]), "");
    assert_eq!(said_with(&["-q"]), "");
}

#[test]
fn verbose_shows_each_step() {
    let said = said_with(&["-v"]);
    assert!(said.contains("127.0.0.1:") && said.contains("host:22"), "{said}");
    assert!(!said.contains("CONNECT host:22 HTTP/1.1"), "-v is not -vv: {said}");
    assert!(!said.contains('\x1b'), "no colours in a pipe: {said:?}");
}

#[test]
fn very_verbose_shows_the_header_lines() {
    let said = said_with(&["-vv"]);
    assert!(said.contains("CONNECT host:22 HTTP/1.1"), "{said}");
    assert!(said.contains("Host: host:22"), "{said}");
    assert!(said.contains("HTTP/1.1 200 Connection established"), "{said}");
}

#[test]
fn quiet_still_says_errors() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        conn.send("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
        conn.read_to_any_end();
    });
    finish(connect_via(&proxy, "host:22").arg("-q"), b"", LIMIT).exits(7).says("wimble: ").says("403");
    proxy.done();
}

#[test]
fn the_log_can_be_json() {
    let said = said_with(&["-vv", "--log-format", "json"]);
    assert!(said.lines().count() >= 2, "{said}");
    for line in said.lines() {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}"));
        assert!(value.is_object(), "{line}");
    }
}

#[test]
fn words_that_mean_nothing_are_told_as_json_too() {
    for words in [
        &["--log-format", "json", "connect"][..],
        &["connect", "--no-such-option", "--log-format=json"],
        &["drill", "--log-format", "json"],
    ] {
        let finished = finish(wimble().args(words), b"", LIMIT).exits(2);
        let value: Value =
            serde_json::from_str(&finished.stderr).unwrap_or_else(|why| panic!("{why}: {words:?}"));
        assert_eq!(value["kind"], "usage", "{words:?}");
    }
    finish(wimble().args(["connect", "--log-format", "yaml"]), b"", LIMIT).fails(2);
}

#[test]
fn the_log_escapes_what_the_network_sends() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        conn.send(b"HTTP/1.1 200 OK\r\nVia: caf\xc3\xa9 \x9b31m\r\n\r\n");
        conn.finish_writing();
        conn.read_to_any_end();
    });
    let finished = finish(connect_via(&proxy, "host:22").arg("-vv"), b"", LIMIT).exits(0);
    let control = finished.stderr.chars().find(|c| c.is_control() && *c != '\n');
    assert_eq!(control, None, "{:?}", finished.stderr);
    proxy.done();
}

#[test]
fn a_proxy_that_explains_itself_at_any_length_is_cut_short() {
    for (code, status) in [(7, "403"), (8, "502"), (6, "407")] {
        let answer = format!("HTTP/1.1 {status} {}\r\nContent-Length: 0\r\n\r\n", "n".repeat(200_000));
        let proxy = ScriptedProxy::start(move |conn| {
            conn.expect_connect("host:22");
            conn.send_in_vain(answer);
            conn.read_to_any_end();
        });
        let finished = finish(&mut connect_via(&proxy, "host:22"), b"", LIMIT).fails(code).says(status);
        assert!(finished.stderr.len() < 1000, "{} bytes on stderr", finished.stderr.len());
        proxy.done();
    }
}

#[test]
fn a_keepalive_beyond_what_the_system_knows_is_no_reason_to_fail() {
    for keepalive in ["12h", "30d", "1ms", "0"] {
        assert_eq!(said_with(&["--keepalive", keepalive]), "");
    }
}

/// The system's number for an error is nothing to a person.
#[test]
fn a_file_that_is_missing_is_told_in_words_alone() {
    let (certificate, key) = ("--proxy-cert", "--proxy-key");
    for words in [
        &["connect", "--proxy-cacert", "/none", "host:22"][..],
        &["connect", certificate, "/none", "host:22"],
        &["connect", certificate, "/none", key, "/none", "host:22"],
        &["connect", "--proxy-credentials", "/none", "host:22"],
        &["connect", "--netrc-file", "/none", "host:22"],
        &["check", "--cacert", "/none", "host:443"],
        &["serve", "--auth-file", "/none"],
    ] {
        let mut cmd = wimble();
        cmd.args(words).env("WIMBLE_PROXY", "http://127.0.0.1:1");
        let finished = finish(&mut cmd, b"", LIMIT).fails(2).says("/none: No such file or directory\n");
        assert!(!finished.stderr.contains("os error"), "{}", finished.stderr);
    }
}

#[test]
fn a_file_of_certificates_that_does_not_end_is_not_read_to_its_end() {
    for words in [
        &["connect", "--proxy-cacert", "/dev/zero", "host:22"][..],
        &["connect", "--proxy-cert", "/dev/zero", "host:22"],
        &["check", "--cacert", "/dev/zero", "host:443"],
    ] {
        let mut cmd = wimble();
        cmd.args(words).env("WIMBLE_PROXY", "http://127.0.0.1:1");
        // So that what goes wrong does not take the machine's memory.
        let mut cmd = wimble_through("sh", &["-c", "ulimit -v 1000000 && exec \"$0\" \"$@\""], &cmd);
        finish(&mut cmd, b"", LIMIT).fails(2).says("/dev/zero: more than 16 MiB\n");
    }
}

#[test]
fn a_tip_leads_nowhere_it_should_not() {
    let told = |words: &[&str]| finish(wimble().args(words), b"", LIMIT).fails(2).stderr;
    for words in [
        &["connect", "-k", "host:22"][..],
        &["connect", "--insecure", "host:22"],
        &["connect", "--proxy-insecur", "host:22"],
        &["check", "--insecur", "host:22"],
        &["serve", "--insecure"],
    ] {
        let told = told(words);
        assert!(told.contains("hint: wimble --help shows what there is\n"), "{words:?}: {told}");
    }
    let told_of = told(&["connect", "--proxi", "p:1", "host:22"]);
    assert!(told_of.contains("hint: a similar argument exists: '--proxy'\n"), "{told_of}");
    let told_of = told(&["forward", "--spare", "x", "0:h:1"]);
    assert!(told_of.contains("a number from 0 to 1000") && !told_of.contains("digit"), "{told_of}");
    let told_of = told(&["forward", "--spare", "1001", "0:h:1"]);
    assert!(told_of.contains("a number from 0 to 1000"), "{told_of}");
}

#[test]
fn help_that_cannot_be_written_is_a_failure_and_one_that_is_not_read_is_none() {
    for words in [&["--help"][..], &["--version"], &["connect", "-h"], &["completions", "bash"], &["config"]]
    {
        let full = wimble_through("sh", &["-c", "exec \"$0\" \"$@\" >/dev/full"], wimble().args(words));
        finish(&mut { full }, b"", LIMIT).fails(1).says("stdout: No space left");
        let left = "import os, sys; r, w = os.pipe(); os.close(r); os.dup2(w, 1); os.execv(sys.argv[1], sys.argv[1:])";
        let unread = wimble_through("python3", &["-c", left], wimble().args(words));
        assert_eq!(finish(&mut { unread }, b"", LIMIT).exits(0).stderr, "", "{words:?}");
    }
}
