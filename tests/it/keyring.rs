//! The desktop's secret store, gnome-keyring as it is, on a D-Bus session of the test's own.

use std::process::Command;

use crate::support::proxy::{BASIC_407, OK, ScriptedProxy, authorization, basic};
use crate::support::{Finished, LIMIT, NAME_AND_PASSWORD, finish, wimble, wimble_through};

/// Runs its arguments in a session with an open keyring, and ends the keyring behind them.
const IN_A_SESSION: &str = r#"
mkdir -m 700 "$HOME/run" "$HOME/data" && export XDG_RUNTIME_DIR="$HOME/run" XDG_DATA_HOME="$HOME/data"
mkfifo "$HOME/ready"
printf pw | gnome-keyring-daemon --foreground --unlock --components=secrets >"$HOME/ready" 2>"$HOME/log" &
read -r _ <"$HOME/ready"
"$@"
code=$?
kill $!
exit $code
"#;

/// A shell script that has `$W` for the program, in a session of its own.
#[track_caller]
fn in_a_session(script: &str, cmd: &mut Command) -> Finished {
    let home = tempfile::tempdir().unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).env_clear().envs(cmd.get_envs().filter_map(|(k, v)| Some((k, v?))));
    shell.env("W", env!("CARGO_BIN_EXE_wimble")).env("HOME", home.path());
    let args = ["--", "sh", "-c", IN_A_SESSION, "session"];
    finish(&mut wimble_through("dbus-run-session", &args, &shell), b"", 2 * LIMIT)
}

#[test]
fn a_login_that_was_kept_is_sent_until_it_is_taken_out() {
    let proxy = ScriptedProxy::in_turn(
        [true, false]
            .map(|kept| {
                crate::support::proxy::turn(move |conn| {
                    conn.expect_connect("host:22");
                    conn.send(BASIC_407);
                    if kept {
                        assert_eq!(
                            authorization(&conn.expect_connect("host:22")),
                            [basic(NAME_AND_PASSWORD)]
                        );
                        conn.send(OK);
                        conn.finish_writing();
                    }
                    assert_eq!(conn.read_to_any_end(), b"");
                })
            })
            .into(),
    );
    let (name, password) = NAME_AND_PASSWORD.split_once(':').unwrap();
    let place = format!("127.0.0.1:{}", proxy.port());
    let mut cmd = wimble();
    cmd.env("WIMBLE_PROXY", proxy.url()).env("NAME", name).env("PLACE", &place).env("PASSWORD", password);
    let script = r#"
        WIMBLE_PROXY_PASSWORD=$PASSWORD $W login -U "$NAME" || exit 101
        secret-tool lookup service wimble username "$PLACE" || exit 102
        $W connect --keyring host:22 || exit 103
        $W logout || exit 104
        $W connect --keyring host:22; [ $? = 6 ] || exit 105
        $W logout; [ $? = 1 ] || exit 106
    "#;
    let finished = in_a_session(script, &mut cmd).exits(0);
    assert_eq!(finished.text(), NAME_AND_PASSWORD, "secret-tool reads what --proxy-credentials reads");
    assert!(!finished.stderr.contains(password), "{}", finished.stderr);
    proxy.done();
}

#[test]
fn without_a_store_the_keyring_says_so() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        conn.send(BASIC_407);
        assert_eq!(conn.read_to_any_end(), b"");
    });
    let nobody = "unix:path=/nonexistent/bus";
    let mut cmd = crate::support::connect_via(&proxy, "host:22");
    cmd.arg("--keyring").env("DBUS_SESSION_BUS_ADDRESS", nobody);
    finish(&mut cmd, b"", LIMIT).fails(6).says("--keyring").says("no store");
    proxy.done();
    let mut cmd = wimble();
    cmd.args(["logout", "-x", "proxy:1"]).env("DBUS_SESSION_BUS_ADDRESS", nobody);
    finish(&mut cmd, b"", LIMIT).fails(1).says("no store");
}

#[test]
fn a_login_needs_a_proxy_and_somebody_to_ask() {
    finish(wimble().arg("login"), b"", LIMIT).fails(2).says("no proxy");
    finish(wimble().args(["login", "-x", "direct"]), b"", LIMIT).fails(2);
    finish(wimble().args(["login", "-x", "proxy:1", "-U", "alice"]), b"", LIMIT).fails(2).says("no login");
}
