//! Credentials: where they come from, when they are sent, and where they never appear.

use std::fs::Permissions;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::check::report;
use crate::support::proxy::{BASIC_407, Conn, OK, ScriptedProxy, authorization, basic, turn};
use crate::support::{
    Finished, LIMIT, NAME_AND_PASSWORD, connect_as, connect_via, finish, listening, wimble, wimble_through,
};

/// A proxy that asks once and then wants exactly these.
pub(crate) fn wanting(name_and_password: &str) -> ScriptedProxy {
    let wanted = basic(name_and_password);
    ScriptedProxy::start(move |conn| {
        let head = conn.expect_connect("host:22");
        assert!(authorization(&head).is_empty(), "sent before the proxy asked: {head:?}");
        conn.send(BASIC_407);
        assert_eq!(authorization(&conn.expect_connect("host:22")), [wanted]);
        conn.send(OK);
        conn.finish_writing();
        conn.read_to_any_end();
    })
}

/// `connect` made ready by `give`, against a proxy that wants these.
#[track_caller]
fn sends(name_and_password: &str, give: impl FnOnce(&mut Command)) -> String {
    let proxy = wanting(name_and_password);
    let mut cmd = connect_via(&proxy, "host:22");
    give(&mut cmd);
    let finished = finish(&mut cmd, b"", LIMIT).exits(0);
    proxy.done();
    finished.stderr
}

#[test]
fn a_name_on_the_command_line_and_a_password_in_the_environment() {
    sends("aladdin:secret", |cmd| {
        cmd.args(["-U", "aladdin"]).env("WIMBLE_PROXY_PASSWORD", "secret");
    });
    sends("aladdin:se:cr:et", |cmd| {
        cmd.args(["--proxy-user", "aladdin"]).env("WIMBLE_PROXY_PASSWORD", "se:cr:et");
    });
    sends("aladdin:secret", |cmd| {
        cmd.env("WIMBLE_PROXY_USER", "aladdin").env("WIMBLE_PROXY_PASSWORD", "secret");
    });
    sends("flag:secret", |cmd| {
        cmd.args(["-U", "flag"]).env("WIMBLE_PROXY_USER", "variable").env("WIMBLE_PROXY_PASSWORD", "secret");
    });
}

#[test]
fn a_password_on_the_command_line_is_taken_with_a_warning() {
    let said = sends("aladdin:se:cret", |cmd| {
        cmd.args(["-U", "aladdin:se:cret"]);
    });
    assert!(said.contains("other users"), "no warning: {said:?}");
    assert!(!said.contains("se:cret"), "{said:?}");
    let said = sends("aladdin:secret", |cmd| {
        cmd.args(["-q", "-U", "aladdin:secret"]);
    });
    assert_eq!(said, "");
}

#[test]
fn userinfo_in_the_url_is_percent_decoded() {
    let proxy = wanting("al@addin:o/p:e n");
    let url = proxy.url_with("al%40addin:o%2Fp%3Ae%20n");
    finish(wimble().args(["connect", "--proxy", &url, "host:22"]), b"", LIMIT).exits(0);
    proxy.done();
}

#[test]
fn userinfo_works_in_an_environment_variable_too() {
    let proxy = wanting("aladdin:secret");
    let url = proxy.url_with("aladdin:secret");
    finish(wimble().args(["connect", "host:22"]).env("https_proxy", url), b"", LIMIT).exits(0);
    proxy.done();
}

/// A credentials file with this content and mode.
fn file(content: &str, mode: u32) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, content).unwrap();
    std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    file
}

#[test]
fn the_first_line_of_a_credentials_file() {
    for (content, wanted) in [
        ("aladdin:secret\n", "aladdin:secret"),
        ("aladdin:secret", "aladdin:secret"),
        ("aladdin:secret\r\nnot this line\n", "aladdin:secret"),
        ("aladdin:se:cret with blanks\n", "aladdin:se:cret with blanks"),
    ] {
        let file = file(content, 0o600);
        sends(wanted, |cmd| {
            cmd.arg("--proxy-credentials").arg(file.path());
        });
    }
    let file = file("aladdin:secret\n", 0o400);
    sends("aladdin:secret", |cmd| {
        cmd.arg("--proxy-credentials").arg(file.path());
    });
}

#[test]
fn a_credentials_file_that_others_can_read_is_refused_before_anything_is_sent() {
    for mode in [0o644, 0o640, 0o604] {
        let file = file("aladdin:secret\n", mode);
        let proxy = ScriptedProxy::untouched();
        let mut cmd = connect_via(&proxy, "host:22");
        cmd.arg("--proxy-credentials").arg(file.path());
        finish(&mut cmd, b"", LIMIT).fails(2).says(file.path().to_str().unwrap());
        proxy.done();
    }
}

#[test]
fn a_credentials_file_that_is_none_is_refused_before_anything_is_sent() {
    for content in ["", "\n", "no colon\n"] {
        let file = file(content, 0o600);
        let proxy = ScriptedProxy::untouched();
        let mut cmd = connect_via(&proxy, "host:22");
        cmd.arg("--proxy-credentials").arg(file.path());
        finish(&mut cmd, b"", LIMIT).fails(2);
        proxy.done();
    }
    let proxy = ScriptedProxy::untouched();
    let mut cmd = connect_via(&proxy, "host:22");
    finish(cmd.args(["--proxy-credentials", "/nonexistent/file"]), b"", LIMIT)
        .fails(2)
        .says("/nonexistent/file");
    proxy.done();
}

#[test]
fn a_scheme_that_is_named_is_used_at_once() {
    let proxy = ScriptedProxy::start(|conn| {
        assert_eq!(authorization(&conn.open("host:22")), [basic(NAME_AND_PASSWORD)]);
    });
    finish(connect_as(&proxy, "host:22").args(["--proxy-auth", "basic"]), b"", LIMIT).exits(0);
    proxy.done();
}

#[test]
fn none_sends_nothing_even_when_asked() {
    let proxy = ScriptedProxy::start(|conn| {
        let head = conn.expect_connect("host:22");
        assert!(authorization(&head).is_empty(), "{head:?}");
        conn.send(BASIC_407);
        assert_eq!(conn.read_to_any_end(), b"");
    });
    finish(connect_as(&proxy, "host:22").args(["--proxy-auth", "none"]), b"", LIMIT).fails(6);
    proxy.done();
}

#[test]
fn schemes_that_nobody_here_speaks_are_named() {
    for preemptive in [false, true] {
        let proxy = ScriptedProxy::start(move |conn| {
            let head = conn.expect_connect("host:22");
            assert_eq!(authorization(&head).len(), usize::from(preemptive), "{head:?}");
            conn.send(
                "HTTP/1.1 407 Auth\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: Bearer realm=\"x\"\r\n\
                 Content-Length: 0\r\n\r\n",
            );
            assert_eq!(conn.read_to_any_end(), b"");
        });
        let mut cmd = connect_as(&proxy, "host:22");
        if preemptive {
            cmd.args(["--proxy-auth", "basic"]);
        }
        finish(&mut cmd, b"", LIMIT).fails(6).says("Negotiate").says("Bearer");
        proxy.done();
    }
}

#[test]
fn a_407_without_credentials_names_the_ways_to_give_them() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        conn.send(BASIC_407);
        assert_eq!(conn.read_to_any_end(), b"");
    });
    finish(&mut connect_via(&proxy, "host:22"), b"", LIMIT).fails(6).says("hint: ").says("--proxy-user");
    proxy.done();
}

#[test]
fn a_password_is_never_shown() {
    let password = NAME_AND_PASSWORD.split_once(':').unwrap().1;
    let encoded = basic(NAME_AND_PASSWORD).split_once(' ').unwrap().1.to_owned();
    for command in ["connect", "check"] {
        for refused in [false, true] {
            let proxy = ScriptedProxy::start(move |conn| {
                conn.expect_connect("host:22");
                conn.send(BASIC_407);
                assert_eq!(authorization(&conn.expect_connect("host:22")).len(), 1);
                conn.send(if refused { BASIC_407.to_vec() } else { [OK, b"hello\n"].concat() });
                conn.finish_writing();
                conn.read_to_any_end();
            });
            let url = proxy.url_with(NAME_AND_PASSWORD);
            let mut cmd = wimble();
            cmd.args([command, "--proxy", &url, "-vv", "host:22"]);
            if command == "check" {
                cmd.args(["--no-tls", "--json"]);
            }
            let finished = finish(&mut cmd, b"", LIMIT).exits(if refused { 6 } else { 0 });
            let said = format!("{}{}", finished.text(), finished.stderr);
            assert!(
                said.to_ascii_lowercase().contains("proxy-authorization"),
                "-vv shows the header lines: {said}"
            );
            assert!(!said.contains(password) && !said.contains(&encoded), "{command}: {said}");
            proxy.done();
        }
    }
}

#[test]
fn credentials_that_a_proxy_repeats_are_masked_wherever_its_text_is_shown() {
    let encoded = basic(NAME_AND_PASSWORD);
    let token = encoded.split_once(' ').unwrap().1.to_owned();
    let password = NAME_AND_PASSWORD.split_once(':').unwrap().1;
    for by_hand in [false, true] {
        for (command, options) in
            [("connect", &["-vv"][..]), ("check", &["--json", "--no-tls"]), ("check", &["--no-tls"])]
        {
            let proxy = ScriptedProxy::start(move |conn| {
                let mut head = conn.expect_connect("host:22");
                if authorization(&head).is_empty() {
                    conn.send(BASIC_407);
                    head = conn.expect_connect("host:22");
                }
                // As it came, and as the proxy knows it now.
                let echo = format!("{} {NAME_AND_PASSWORD} or {password}", authorization(&head)[0]);
                conn.send(format!(
                    "HTTP/1.1 502 no: {echo}\r\nVia: 1.1 {echo}\r\nX-Squid-Error: {echo}\r\nX-Request: {echo}\r\n\
                     Proxy-Status: p; details=\"{echo}\"\r\nContent-Type: text/html\r\n\r\n<p>You sent {echo}</p>"
                ));
                conn.finish_writing();
                conn.read_to_any_end();
            });
            let mut cmd = wimble();
            cmd.args([command, "host:22"]).args(options);
            match by_hand {
                true => cmd.args([
                    "-x",
                    &proxy.url(),
                    "--proxy-header",
                    &format!("Proxy-Authorization: {encoded}"),
                ]),
                false => cmd.args(["-x", &proxy.url_with(NAME_AND_PASSWORD)]),
            };
            let finished = finish(&mut cmd, b"", LIMIT).exits(8);
            let said = format!("{}{}", finished.text(), finished.stderr);
            let is_told = said.contains(&token) || said.contains(password);
            assert!(!is_told && said.contains("[redacted]"), "{command} {options:?}: {said}");
            proxy.done();
        }
    }
}

#[test]
fn what_is_masked_is_what_is_shown_and_not_what_it_means() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        conn.send(
            "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\nVia: 1.1 chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        );
        conn.read_to_any_end();
    });
    let mut cmd = wimble();
    cmd.args(["check", "--json", "--no-tls", "--proxy-auth", "basic", "-x", &proxy.url(), "host:22"]);
    cmd.env("WIMBLE_PROXY_USER", "aladdin").env("WIMBLE_PROXY_PASSWORD", "chunked");
    let report = report(&finish(&mut cmd, b"", LIMIT).exits(7)).to_string();
    assert!(report.contains("\"page\":\"hello\"") && report.contains("1.1 [redacted]"), "{report}");
    proxy.done();
}

#[test]
fn a_login_that_comes_back_through_the_tunnel_is_masked_in_the_report() {
    for (inside, says) in [("--no-tls", 0), ("--insecure", 10)] {
        let proxy = ScriptedProxy::start(|conn| {
            let head = conn.expect_connect("host:22");
            let echo = authorization(&head)[0].to_owned();
            conn.send(format!("HTTP/1.1 200 OK\r\n\r\n{echo} {NAME_AND_PASSWORD}\r\n"));
            conn.read_to_any_end();
        });
        let mut cmd = wimble();
        cmd.args(["check", "--json", inside, "--proxy-auth", "basic", "-x", &proxy.url(), "host:22"]);
        let (name, password) = NAME_AND_PASSWORD.split_once(':').unwrap();
        cmd.env("WIMBLE_PROXY_USER", name).env("WIMBLE_PROXY_PASSWORD", password);
        let report = report(&finish(&mut cmd, b"", LIMIT).exits(says)).to_string();
        assert!(report.contains("Basic [redacted] [redacted]"), "{report}");
        proxy.done();
    }
}

#[test]
fn a_password_in_a_line_that_is_quoted_is_masked_too() {
    let password = NAME_AND_PASSWORD.split_once(':').unwrap().1;
    for (answer, said) in [
        (format!("{password} is no good\r\n\r\n"), "[redacted] is no good"),
        (format!("HTTP/1.1 200 OK\r\nX: {password}\0\r\n\r\n"), "X: [redacted]"),
    ] {
        let proxy = ScriptedProxy::start(move |conn| {
            conn.expect_connect("host:22");
            conn.send(answer);
            conn.read_to_any_end();
        });
        let mut cmd = connect_as(&proxy, "host:22");
        let finished = finish(cmd.args(["--proxy-auth", "basic"]), b"", LIMIT).fails(9).says(said);
        assert!(!finished.stderr.contains(password), "{}", finished.stderr);
        proxy.done();
    }
}

#[test]
fn a_proxy_header_with_credentials_is_masked_too() {
    let proxy = ScriptedProxy::start(|conn| {
        assert_eq!(authorization(&conn.open("host:22")), ["Bearer sesame-7351"]);
    });
    let mut cmd = connect_via(&proxy, "host:22");
    cmd.args(["-vv", "--proxy-header", "Proxy-Authorization: Bearer sesame-7351"]);
    let finished = finish(&mut cmd, b"", LIMIT).exits(0);
    assert!(!finished.stderr.contains("sesame-7351"), "{}", finished.stderr);
    proxy.done();
}

/// Runs its arguments in a session on a terminal of its own, which is none of 0, 1 and 2: these stay what they
/// were. Types the next line of `$TYPED`, up to its newline or control character, whenever "assword" or "assphrase" shows; when
/// there is none left, sends the program the signal `$SIGNAL`. With `$STDOUT`, its stdout is the terminal too.
/// Writes what showed to `$SHOWN`; the last line is what the terminal's modes are when the program has ended.
const ON_A_TERMINAL: &str = r#"
import os, pty, re, select, signal, sys, termios, time
kept = [os.dup(fd) for fd in (0, 1, 2)]
started, start = os.pipe()
pid, terminal = pty.fork()
if pid == 0:
    # A shell: it leads the session and has the terminal when the program is gone.
    program = os.fork()
    if program == 0:
        for fd, own in enumerate(kept):
            if fd != 1 or "STDOUT" not in os.environ:
                os.dup2(own, fd)
        # A background job of a script has SIGINT ignored; a person's terminal has not.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
        os.execv(sys.argv[1], sys.argv[1:])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGQUIT, signal.SIG_IGN)
    os.write(start, str(program).encode())
    code = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])
    modes = termios.tcgetattr(0)[3]
    names = [name for name in ("ECHO", "ICANON", "ISIG") if modes & getattr(termios, name)]
    os.write(1, ("\n" + " ".join(names)).encode())
    os._exit(code if code >= 0 else 128 - code)
for fd in (*kept, 0, 1):
    os.close(fd)
lines = re.findall(r"[^\n\x03\x04\x1c]*[\n\x03\x04\x1c]", os.environ["TYPED"])
shown = unseen = b""
until = time.monotonic() + 20
while time.monotonic() < until:
    if not select.select([terminal], [], [], 0.5)[0]:
        continue
    try:
        new = os.read(terminal, 4096)
    except OSError:
        break
    if not new:
        break
    shown += new
    unseen += new
    if re.search(b"ass(word|phrase)", unseen) and unseen.rstrip(b" ").endswith(b":"):
        if lines:
            os.write(terminal, lines.pop(0).encode())
        elif "SIGNAL" in os.environ:
            program, number = int(os.read(started, 20)), int(os.environ["SIGNAL"])
            os.kill(program, number)
            if number == signal.SIGTSTP:
                while " T " not in open(f"/proc/{program}/stat").read():
                    time.sleep(0.01)
                # While it is stopped the terminal is a shell's.
                shown += b"(stopped, echo %d)" % bool(termios.tcgetattr(terminal)[3] & termios.ECHO)
                os.kill(program, signal.SIGCONT)
                while termios.tcgetattr(terminal)[3] & termios.ECHO and time.monotonic() < until:
                    time.sleep(0.01)
                os.write(terminal, b"sesame\n")
        unseen = b""
with open(os.environ["SHOWN"], "wb") as file:
    file.write(shown)
# Whoever still waits for a key is hung up.
os.close(terminal)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

/// `connect` on a terminal where these lines are typed: what it left behind (a signal is 128 and its number), and
/// what the terminal showed meanwhile. Behind the end the terminal must be as it was.
#[track_caller]
pub(crate) fn on_a_terminal(cmd: &Command, typed: &str, stdin: &[u8]) -> (Finished, String) {
    let shown = tempfile::NamedTempFile::new().unwrap();
    let mut outer = wimble_through("python3", &["-c", ON_A_TERMINAL], cmd);
    outer.env("TYPED", typed).env("SHOWN", shown.path());
    let finished = finish(&mut outer, stdin, 2 * LIMIT);
    let shown = std::fs::read_to_string(shown.path()).unwrap();
    let Some(shown) = shown.strip_suffix("\nECHO ICANON ISIG") else {
        panic!("the terminal is not as it was: {shown:?}; {finished:?}")
    };
    (finished, shown.to_owned())
}

#[test]
fn a_proxy_that_asks_leads_to_a_prompt_on_the_terminal_itself() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        conn.send(BASIC_407);
        assert_eq!(authorization(&conn.expect_connect("host:22")), [basic("aladdin:typed secret")]);
        conn.send(OK);
        assert_eq!(conn.read_exact(5), b"stdin");
        conn.send("stdout");
        conn.finish_writing();
        conn.read_to_any_end();
    });
    let mut cmd = connect_via(&proxy, "host:22");
    cmd.args(["-U", "aladdin"]);
    let (finished, shown) = on_a_terminal(&cmd, "typed secret\n", b"stdin");
    let finished = finished.exits(0);
    assert_eq!(finished.text(), "stdout", "the terminal showed {shown:?}");
    assert!(shown.contains("aladdin") && shown.contains("cave"), "whose password, for what realm: {shown:?}");
    assert!(!shown.contains("typed secret"), "the password was echoed: {shown:?}");
    proxy.done();
}

#[test]
fn a_prompt_has_three_tries() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        conn.send(BASIC_407);
        for guess in ["one", "two", "three"] {
            assert_eq!(authorization(&conn.expect_connect("host:22")), [basic(&format!("aladdin:{guess}"))]);
            conn.send(BASIC_407);
        }
        assert_eq!(conn.read_to_any_end(), b"");
    });
    let mut cmd = connect_via(&proxy, "host:22");
    cmd.args(["-U", "aladdin"]);
    let (finished, shown) = on_a_terminal(&cmd, "one\ntwo\nthree\nfour\n", b"");
    finished.exits(6);
    assert_eq!(shown.matches("assword").count(), 3, "{shown:?}");
    proxy.done();
}

#[test]
fn an_interrupt_at_the_prompt_ends_it_and_leaves_the_terminal_as_it_was() {
    const BY_SIGINT: i32 = 128 + 2;
    for typed in ["\x03", "half a sec\x03", "\x1c", "wrong\n\x03"] {
        let guesses = typed.matches('\n').count();
        let proxy = ScriptedProxy::start(move |conn| {
            conn.expect_connect("host:22");
            conn.send(BASIC_407);
            for _ in 0..guesses {
                conn.expect_connect("host:22");
                conn.send(BASIC_407);
            }
            assert_eq!(conn.read_to_any_end(), b"", "something was sent behind {typed:?}");
        });
        let mut cmd = connect_via(&proxy, "host:22");
        let (finished, shown) = on_a_terminal(cmd.args(["-U", "aladdin"]), typed, b"");
        assert_eq!(finished.code, Some(BY_SIGINT), "{typed:?}: {finished:?}, {shown:?}");
        assert!(!shown.contains("half a sec"), "the password was echoed: {shown:?}");
        proxy.done();
    }
}

#[test]
fn the_end_of_input_at_the_prompt_is_no_password() {
    for typed in ["\x04", "wrong\n\x04"] {
        let guesses = typed.matches('\n').count();
        let proxy = ScriptedProxy::start(move |conn| {
            for _ in 0..=guesses {
                conn.expect_connect("host:22");
                conn.send(BASIC_407);
            }
            assert_eq!(conn.read_to_any_end(), b"", "something was sent behind {typed:?}");
        });
        let mut cmd = connect_via(&proxy, "host:22");
        let (finished, shown) = on_a_terminal(cmd.args(["-U", "aladdin"]), typed, b"");
        finished.exits(6);
        assert_eq!(shown.matches("assword").count(), guesses + 1, "{shown:?}");
        proxy.done();
    }
}

#[test]
fn a_prompt_that_is_stopped_gives_the_terminal_back_meanwhile_and_goes_on() {
    const SIGTSTP: i32 = 20;
    let proxy = wanting("aladdin:sesame");
    let mut cmd = connect_via(&proxy, "host:22");
    cmd.args(["-U", "aladdin"]).env("SIGNAL", SIGTSTP.to_string());
    let (finished, shown) = on_a_terminal(&cmd, "", b"");
    finished.exits(0);
    assert!(shown.contains("(stopped, echo 1)"), "{shown:?}");
    assert!(!shown.contains("sesame"), "{shown:?}");
    proxy.done();
}

#[test]
fn a_signal_at_the_prompt_ends_it_and_leaves_the_terminal_as_it_was() {
    const SIGHUP: i32 = 1;
    const SIGINT: i32 = 2;
    const SIGQUIT: i32 = 3;
    const SIGTERM: i32 = 15;
    for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
        for typed in ["", "wrong\n"] {
            let guesses = typed.len().min(1);
            let proxy = ScriptedProxy::start(move |conn| {
                for _ in 0..=guesses {
                    conn.expect_connect("host:22");
                    conn.send(BASIC_407);
                }
                assert_eq!(conn.read_to_any_end(), b"", "something was sent behind {typed:?}");
            });
            let mut cmd = connect_via(&proxy, "host:22");
            cmd.args(["-U", "aladdin"]).env("SIGNAL", signal.to_string());
            let (finished, shown) = on_a_terminal(&cmd, typed, b"");
            assert_eq!(finished.code, Some(128 + signal), "{typed:?}: {finished:?}, {shown:?}");
            proxy.done();
        }
    }
}

#[test]
fn a_forward_that_is_ended_at_its_prompt_leaves_the_terminal_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let spec = format!("unix:{}:host:22", socket.display());
    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        conn.send(BASIC_407);
        assert_eq!(conn.read_to_any_end(), b"");
    });
    let mut cmd = wimble();
    cmd.args(["forward", "--proxy", &proxy.url(), &spec, "-U", "aladdin", "--grace", "100ms"]);
    cmd.env("SIGNAL", "15");
    let client = std::thread::spawn(move || {
        let until = Instant::now() + LIMIT;
        let mut client = loop {
            match UnixStream::connect(&socket) {
                Ok(client) => break client,
                Err(why) => assert!(Instant::now() < until, "{why}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        client.read_to_end(&mut Vec::new()).ok();
    });
    let (finished, shown) = on_a_terminal(&cmd, "", b"");
    finished.exits(0);
    assert!(shown.contains("assword"), "{shown:?}");
    client.join().unwrap();
    proxy.done();
}

#[test]
fn a_signal_behind_the_prompt_ends_the_tunnel() {
    let (told, tell) = std::sync::mpsc::channel();
    let proxy = ScriptedProxy::start(move |conn| {
        conn.expect_connect("host:22");
        conn.send(BASIC_407);
        conn.open("host:22");
        conn.send("No password:");
        told.send(conn.read_to_any_end()).unwrap();
    });
    let mut cmd = connect_via(&proxy, "host:22");
    // What the target says shows on the terminal too, and looks like a prompt.
    cmd.args(["-U", "aladdin"]).env("SIGNAL", "15").env("STDOUT", "terminal");
    let (finished, shown) = on_a_terminal(&cmd, "secret\n", b"");
    assert_eq!(finished.code, Some(128 + 15), "{finished:?}, {shown:?}");
    assert_eq!(tell.recv().unwrap(), b"");
    proxy.done();
}

/// Connections of which only the first gets the credentials, to be refused; the others must come without.
fn refusing(connections: usize, preemptive: bool) -> ScriptedProxy {
    let first = turn(move |conn: &mut Conn| {
        let mut head = conn.expect_connect("host:22");
        conn.send(BASIC_407);
        if !preemptive {
            assert!(authorization(&head).is_empty(), "{head:?}");
            head = conn.expect_connect("host:22");
            conn.send(BASIC_407);
        }
        assert_eq!(authorization(&head), [basic(NAME_AND_PASSWORD)]);
        assert_eq!(conn.read_to_any_end(), b"");
    });
    let other = || {
        turn(|conn: &mut Conn| {
            let head = conn.expect_connect("host:22");
            assert!(authorization(&head).is_empty(), "refused credentials were sent again: {head:?}");
            conn.send(BASIC_407);
            assert_eq!(conn.read_to_any_end(), b"");
        })
    };
    ScriptedProxy::in_turn(std::iter::once(first).chain((1..connections).map(|_| other())).collect())
}

/// A command with credentials in its environment, and with `--proxy-auth basic` or not.
fn with_credentials(words: &[&str], preemptive: bool) -> Command {
    let (name, password) = NAME_AND_PASSWORD.split_once(':').unwrap();
    let mut cmd = wimble();
    cmd.args(words).env("WIMBLE_PROXY_USER", name).env("WIMBLE_PROXY_PASSWORD", password);
    if preemptive {
        cmd.args(["--proxy-auth", "basic"]);
    }
    cmd
}

#[test]
fn credentials_that_were_refused_are_not_sent_by_later_connections_of_a_forward() {
    for preemptive in [false, true] {
        let proxy = refusing(5, preemptive);
        let words = ["forward", "--proxy", &proxy.url(), "0:host:22"];
        let (running, port) = listening(&mut with_credentials(&words, preemptive));
        for _ in 0..5 {
            assert_eq!(Conn::to(port).read_to_any_end(), b"");
        }
        running.stderr_lines(5, |line| line.contains("407"), LIMIT);
        proxy.done();
    }
}

#[test]
fn credentials_that_were_refused_are_not_sent_for_the_next_targets_of_a_check() {
    for preemptive in [false, true] {
        let proxy = refusing(3, preemptive);
        let words = ["check", "--proxy", &proxy.url(), "--no-tls", "host:22", "host:22", "host:22"];
        finish(&mut with_credentials(&words, preemptive), b"", LIMIT).exits(6);
        proxy.done();
    }
}

#[test]
fn a_secret_in_what_cannot_be_read_is_not_shown() {
    let secrets = ["hunter2", "c2VjcmV0"];
    let dead = "http://127.0.0.1:1";
    for words in [
        &["--proxy", "http://alice:hunter2"][..],
        &["--proxy", "http://alice:hunter2:8080"],
        &["--proxy", "http://alice:hunter2@proxy:port"],
        &["--proxy", "http://alice:hunter2@pro xy"],
        &["--proxy", "http://alice:hunter2@proxy/path"],
        &["--proxy", "alice:hunter2"],
        &["--proxy", dead, "--proxy-header", "Proxy-Authorization: Basic c2VjcmV0\r"],
        &["--proxy", dead, "--proxy-header", "Proxy-Authorization Basic c2VjcmV0"],
        &["--proxy", dead, "--proxy-header", "Basic c2VjcmV0: x"],
    ] {
        for command in [&["connect", "host:22"][..], &["check", "host:22"], &["forward", "0:host:22"]] {
            let finished = finish(wimble().args(command).args(words).arg("-vv"), b"", LIMIT).fails(2);
            let shown = secrets.iter().find(|secret| finished.stderr.contains(*secret));
            assert_eq!(shown, None, "{words:?}: {}", finished.stderr);
        }
    }
    for variable in ["WIMBLE_PROXY", "https_proxy", "ALL_PROXY"] {
        let mut cmd = wimble();
        let finished =
            finish(cmd.args(["connect", "host:22"]).env(variable, "http://alice:hunter2"), b"", LIMIT);
        let finished = finished.fails(2).says(variable);
        assert!(!finished.stderr.contains("hunter2"), "{}", finished.stderr);
    }
}

#[test]
fn credentials_made_by_hand_are_the_only_ones() {
    for preemptive in [false, true] {
        let proxy = ScriptedProxy::start(|conn| {
            assert_eq!(authorization(&conn.open("host:22")), ["Bearer tok"]);
        });
        let words = ["connect", "--proxy", &proxy.url(), "--proxy-header", "proxy-authorization: Bearer tok"];
        finish(with_credentials(&words, preemptive).arg("host:22"), b"", LIMIT).exits(0);
        proxy.done();

        let proxy = ScriptedProxy::start(|conn| {
            assert_eq!(authorization(&conn.expect_connect("host:22")), ["Bearer tok"]);
            conn.send(BASIC_407);
            assert_eq!(conn.read_to_any_end(), b"");
        });
        let words = ["connect", "--proxy", &proxy.url(), "--proxy-header", "Proxy-Authorization: Bearer tok"];
        finish(with_credentials(&words, preemptive).arg("host:22"), b"", LIMIT).fails(6);
        proxy.done();
    }
}

#[test]
fn a_407_that_nobody_answers_is_not_read_to_its_end() {
    for options in [&["--proxy-auth", "none", "-U", "aladdin:secret"][..], &[]] {
        let proxy = ScriptedProxy::start(|conn| {
            conn.expect_connect("host:22");
            conn.send(
                "HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 500\r\n\r\n",
            );
            assert_eq!(conn.read_to_any_end(), b"");
        });
        let start = Instant::now();
        let finished = finish(connect_via(&proxy, "host:22").arg("-q").args(options), b"", LIMIT).exits(6);
        assert!(finished.stderr.contains("407"), "{}", finished.stderr);
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        proxy.done();
    }
}
