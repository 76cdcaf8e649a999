//! Where credentials come from: the order of the sources, and what each of them may not do.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::auth::wanting;
use crate::support::proxy::{BASIC_407, Conn, OK, ScriptedProxy, authorization, basic, turn};
use crate::support::{LIMIT, Running, closed_port, connect_via, finish, listening, wimble};

/// A folder for one test's files, gone with it.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file with this content that its owner alone can read.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        self.file_with_mode(name, content, 0o600)
    }

    fn file_with_mode(&self, name: &str, content: &str, mode: u32) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    /// A program: this shell script.
    fn program(&self, name: &str, script: &str) -> PathBuf {
        self.file_with_mode(name, &format!("#!/bin/sh\n{script}\n"), 0o700)
    }
}

/// Asks, and is not answered.
fn asking_in_vain() -> ScriptedProxy {
    ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        conn.send(BASIC_407);
        assert_eq!(conn.read_to_any_end(), b"");
    })
}

/// `connect` through a proxy that must be sent `wanted`, with these sources:
///
/// `-U …`, `file …`, `command …`, `url …`, `user …` and `password …` (the variables) have their words; `netrc …` is
/// an option's, `NETRC …` the environment's, each with the entry's words for the proxy.
#[track_caller]
fn gives(sources: &[&str], wanted: &str) {
    let folder = Folder::new();
    let proxy = wanting(wanted);
    let url = sources.iter().find_map(|source| source.strip_prefix("url "));
    let mut cmd = wimble();
    cmd.args([
        "connect",
        "--proxy",
        &url.map_or_else(|| proxy.url(), |info| proxy.url_with(info)),
        "host:22",
    ]);
    for source in sources {
        let (kind, words) = source.split_once(' ').unwrap();
        let netrc = format!("machine other login x password y\nmachine 127.0.0.1 {words}\n");
        match kind {
            "-U" => cmd.args(["-U", words]),
            "file" => cmd.arg("--proxy-credentials").arg(folder.file("credentials", words)),
            "command" => cmd.args(["--proxy-password-command", &format!("echo '{words}'")]),
            "netrc" => cmd.arg("--netrc-file").arg(folder.file("netrc", &netrc)),
            "NETRC" => cmd.env("NETRC", folder.file("everybodys", &netrc)),
            "user" => cmd.env("WIMBLE_PROXY_USER", words),
            "password" => cmd.env("WIMBLE_PROXY_PASSWORD", words),
            "url" => &mut cmd,
            other => panic!("{other}"),
        };
    }
    let finished = finish(&mut cmd, b"", LIMIT);
    assert_eq!(finished.code, Some(0), "{sources:?}: {}", finished.stderr);
    proxy.done();
}

#[test]
fn the_first_source_that_names_a_user_decides_who_it_is() {
    let sources = [
        ("-U option:o", "option:o"),
        ("file file:f", "file:f"),
        ("netrc login netrc password n", "netrc:n"),
        ("url url:u", "url:u"),
        ("user variable", "variable:v"),
        ("NETRC login everybodys password e", "everybodys:e"),
    ];
    for first in 0..sources.len() {
        let mut given: Vec<_> = sources[first..].iter().map(|(source, _)| *source).collect();
        if first == 0 {
            // Beside a name that is typed, a file of another's is a mistake.
            given.retain(|source| !source.starts_with("file"));
        }
        if sources[first].0 != "NETRC login everybodys password e" {
            given.push("password v");
        }
        gives(&given, sources[first].1);
    }
}

/// Nobody else can read the environment of a process: there is nothing to warn of.
#[test]
fn a_variable_that_has_name_and_password_is_taken_without_a_word() {
    let proxy = wanting("alice:with:colon");
    let mut cmd = wimble();
    cmd.args(["connect", "--proxy", &proxy.url(), "host:22"]).env("WIMBLE_PROXY_USER", "alice:with:colon");
    assert_eq!(finish(&mut cmd, b"", LIMIT).exits(0).stderr, "");
    proxy.done();
}

/// True for who has given nothing, and for who has given a name.
#[test]
fn the_hint_where_a_password_is_missing_does_not_say_that_the_name_is() {
    for words in [&[][..], &["-U", "alice"]] {
        let proxy = asking_in_vain();
        let mut cmd = wimble();
        cmd.args(["connect", "--proxy", &proxy.url(), "host:22"]).args(words);
        finish(&mut cmd, b"", LIMIT).fails(6).says("hint: there is no name with a password: ");
        proxy.done();
    }
}

#[test]
fn the_first_source_that_has_a_password_for_this_user_decides_the_password() {
    // A password of somebody else's is none.
    let strangers = ["netrc login bob password bobs", "url carol:carols", "NETRC login dave password daves"];
    let sources = [
        ("-U alice:typed", "typed"),
        ("file alice:file", "file"),
        ("command run", "run"),
        ("netrc login alice password netrc", "netrc"),
        ("url alice:url", "url"),
        ("user alice:environment", "environment"),
        ("password variable", "variable"),
        ("NETRC login alice password everybodys", "everybodys"),
    ];
    for first in 0..sources.len() {
        let mut given: Vec<_> = sources[first..].iter().map(|(source, _)| *source).collect();
        if !given[0].starts_with("-U") {
            given.push("-U alice");
        }
        for stranger in strangers {
            let kind = stranger.split_once(' ').unwrap().0;
            // An option's netrc file stands in for the environment's.
            if !given.iter().any(|source| source[..3].eq_ignore_ascii_case(&kind[..3])) {
                given.push(stranger);
            }
        }
        gives(&given, &format!("alice:{}", sources[first].1));
    }
}

#[test]
fn a_name_from_anywhere_gets_its_password_from_anywhere() {
    gives(&["user alice", "command run"], "alice:run");
    gives(&["url alice", "command run"], "alice:run");
    gives(&["url alice:old", "command run"], "alice:run");
    gives(&["netrc login alice", "command run"], "alice:run");
    gives(&["NETRC login alice", "command run"], "alice:run");
    gives(&["netrc login alice", "password variable"], "alice:variable");
    gives(&["user alice", "netrc login alice password netrc"], "alice:netrc");
    gives(&["user alice", "netrc password anybodys"], "alice:anybodys");
    gives(&["url alice", "NETRC login alice password everybodys"], "alice:everybodys");
    gives(&["file alice:file", "command run"], "alice:file");
}

#[test]
fn a_credentials_file_of_another_user_than_the_one_that_is_typed_is_a_mistake() {
    let folder = Folder::new();
    let file = folder.file("credentials", "alice:sesame\n");
    for typed in ["bob", "bob:typed", "Alice", "alice@REALM", "DOMAIN\\alice"] {
        let mut cmd = wimble();
        cmd.args(["connect", "--proxy", "proxy:1", "host:22", "-U", typed, "--proxy-credentials"]).arg(&file);
        let finished = finish(&mut cmd, b"", LIMIT).fails(2);
        let user = typed.split(':').next().unwrap();
        let finished = finished.says(&format!("its NAME is not that of --proxy-user, {user}: "));
        for secret in ["sesame", ":typed"] {
            assert!(!finished.stderr.contains(secret), "{}", finished.stderr);
        }
    }
}

#[test]
fn names_of_domains_and_realms_are_left_alone() {
    for name in ["DOMAIN\\alice", "alice@REALM.EXAMPLE", "alice@mail.example@REALM"] {
        gives(&[&format!("-U {name}"), "password x"], &format!("{name}:x"));
        gives(&[&format!("-U {name}:x")], &format!("{name}:x"));
        gives(&[&format!("file {name}:x")], &format!("{name}:x"));
        gives(&[&format!("netrc login {name} password x")], &format!("{name}:x"));
        gives(&[&format!("netrc login \"{}\" password x", name.replace('\\', "\\\\"))], &format!("{name}:x"));
        gives(&[&format!("url {}:x", name.replace('\\', "%5C").replace('@', "%40"))], &format!("{name}:x"));
    }
}

#[test]
fn netrc_reads_the_file_that_the_variable_names_and_else_that_of_the_home() {
    let home = Folder::new();
    home.file(".netrc", "machine 127.0.0.1 login home password h");
    let named = home.file("named", "default login named password n");
    for (options, variable, wanted) in [
        (&["--netrc"][..], None, "home:h"),
        (&["--netrc"], Some(&named), "named:n"),
        (&["--netrc", "--netrc-file", named.to_str().unwrap()], None, "named:n"),
        (&["--netrc-file", home.path(".netrc").to_str().unwrap()], Some(&named), "home:h"),
    ] {
        let proxy = wanting(wanted);
        let mut cmd = connect_via(&proxy, "host:22");
        cmd.args(options).env("HOME", home.0.path());
        if let Some(variable) = variable {
            cmd.env("NETRC", variable);
        }
        finish(&mut cmd, b"", LIMIT).exits(0);
        proxy.done();
    }
}

#[test]
fn a_netrc_that_an_option_names_must_be_readable_and_its_owners_alone() {
    let folder = Folder::new();
    for file in [
        folder.file_with_mode("exposed", "machine 127.0.0.1 login a password x", 0o640),
        folder.file("open-quote", "machine 127.0.0.1 login a password \"x"),
        folder.path("missing"),
    ] {
        for by_variable in [false, true] {
            let proxy = ScriptedProxy::untouched();
            let mut cmd = connect_via(&proxy, "host:22");
            match by_variable {
                true => cmd.arg("--netrc").env("NETRC", &file),
                false => cmd.arg("--netrc-file").arg(&file),
            };
            finish(&mut cmd, b"", LIMIT).fails(2).says(file.to_str().unwrap());
            proxy.done();
        }
    }
}

#[test]
fn netrc_without_a_home_says_so() {
    let proxy = ScriptedProxy::untouched();
    let mut cmd = connect_via(&proxy, "host:22");
    finish(cmd.arg("--netrc").env_remove("HOME"), b"", LIMIT).fails(2).says("HOME");
    proxy.done();
}

#[test]
fn a_netrc_that_nobody_named_here_is_passed_over_if_it_cannot_be_used() {
    let folder = Folder::new();
    for file in [
        folder.file_with_mode("exposed", "machine 127.0.0.1 login a password x", 0o644),
        folder.file("stranger", "machine other login a password x"),
        folder.path("missing"),
    ] {
        let proxy = asking_in_vain();
        let finished = finish(connect_via(&proxy, "host:22").env("NETRC", &file), b"", LIMIT).fails(6);
        assert!(!finished.stderr.contains("NETRC"), "{}", finished.stderr);
        proxy.done();
    }
}

/// A `connect` with a password command that leaves a line in `runs` each time it runs.
fn with_command(proxy: &ScriptedProxy, folder: &Folder, command: &str) -> Command {
    let mut cmd = connect_via(proxy, "host:22");
    let counted = format!("echo run >>'{}'; {command}", folder.path("runs").display());
    cmd.args(["-U", "alice", "--proxy-password-command", &counted]);
    cmd
}

fn runs(folder: &Folder) -> usize {
    std::fs::read_to_string(folder.path("runs")).unwrap_or_default().lines().count()
}

#[test]
fn a_password_command_is_run_when_the_proxy_asks_and_not_before() {
    let folder = Folder::new();
    let proxy = ScriptedProxy::start(|conn| drop(conn.open("host:22")));
    finish(&mut with_command(&proxy, &folder, "echo secret"), b"", LIMIT).exits(0);
    proxy.done();
    assert_eq!(runs(&folder), 0, "nobody had asked");

    let runs_seen = folder.path("runs");
    let proxy = ScriptedProxy::start(move |conn| {
        let wanted = [basic("alice:secret")];
        assert_eq!(authorization(&conn.open("host:22")), wanted, "with the first request");
        assert!(runs_seen.exists());
    });
    finish(with_command(&proxy, &folder, "echo secret").args(["--proxy-auth", "basic"]), b"", LIMIT).exits(0);
    proxy.done();
    assert_eq!(runs(&folder), 1);

    let proxy = asking_in_vain();
    finish(with_command(&proxy, &folder, "echo secret").args(["--proxy-auth", "none"]), b"", LIMIT).fails(6);
    proxy.done();
    assert_eq!(runs(&folder), 1);
}

#[test]
fn a_password_command_is_run_once_for_all_connections_of_a_forward() {
    let folder = Folder::new();
    let scripts = (0..4).map(|_| {
        turn(|conn: &mut Conn| {
            let mut head = conn.expect_connect("host:22");
            // What was learnt from the first may be sent at once by the others.
            if authorization(&head).is_empty() {
                conn.send(BASIC_407);
                head = conn.expect_connect("host:22");
            }
            assert_eq!(authorization(&head), [basic("alice:secret")]);
            conn.send(OK);
        })
    });
    let proxy = ScriptedProxy::in_turn(scripts.collect());
    let counted = format!("echo run >>'{}'; echo secret", folder.path("runs").display());
    let mut cmd = wimble();
    cmd.args(["forward", "--proxy", &proxy.url(), "0:host:22", "-U", "alice"]);
    cmd.args(["--proxy-password-command", &counted]);
    let (_running, port) = listening(&mut cmd);
    for _ in 0..4 {
        Conn::to(port).read_to_any_end();
    }
    proxy.done();
    assert_eq!(runs(&folder), 1);
}

#[test]
fn what_a_password_command_gave_is_not_sent_again_once_it_was_refused() {
    let folder = Folder::new();
    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        conn.send(BASIC_407);
        assert_eq!(authorization(&conn.expect_connect("host:22")), [basic("alice:wrong")]);
        conn.send(BASIC_407);
        assert_eq!(conn.read_to_any_end(), b"");
    });
    finish(&mut with_command(&proxy, &folder, "echo wrong"), b"", LIMIT).fails(6).says("refused");
    proxy.done();
    assert_eq!(runs(&folder), 1);
}

#[test]
fn what_was_refused_is_not_sent_by_later_connections_of_a_forward_and_the_command_not_run_again() {
    let folder = Folder::new();
    let first = turn(|conn: &mut Conn| {
        conn.expect_connect("host:22");
        conn.send(BASIC_407);
        assert_eq!(authorization(&conn.expect_connect("host:22")), [basic("alice:wrong")]);
        conn.send(BASIC_407);
        assert_eq!(conn.read_to_any_end(), b"");
    });
    let others = (1..4).map(|_| {
        turn(|conn: &mut Conn| {
            assert!(authorization(&conn.expect_connect("host:22")).is_empty());
            conn.send(BASIC_407);
            assert_eq!(conn.read_to_any_end(), b"");
        })
    });
    let proxy = ScriptedProxy::in_turn([first].into_iter().chain(others).collect());
    let counted = format!("echo run >>'{}'; echo wrong", folder.path("runs").display());
    let mut cmd = wimble();
    cmd.args(["forward", "--proxy", &proxy.url(), "0:host:22", "-U", "alice"]);
    let (_running, port) = listening(cmd.args(["--proxy-password-command", &counted]));
    for _ in 0..4 {
        assert_eq!(Conn::to(port).read_to_any_end(), b"");
    }
    proxy.done();
    assert_eq!(runs(&folder), 1);
}

#[test]
fn a_password_command_that_fails_is_an_error_that_does_not_quote_it() {
    for (command, why) in [
        ("echo sesame-7351; exit 3", "exit status 3"),
        ("echo sesame-7351; kill -9 $$", "signal: 9"),
        ("exit 0", "no password"),
        ("printf 'sesame-7351\\1'", "control characters"),
    ] {
        for options in [&[][..], &["--proxy-auth", "basic"]] {
            let folder = Folder::new();
            let preemptive = !options.is_empty();
            let proxy = ScriptedProxy::start(move |conn| {
                if !preemptive {
                    conn.expect_connect("host:22");
                    conn.send(BASIC_407);
                }
                assert_eq!(conn.read_to_any_end(), b"");
            });
            let finished = finish(with_command(&proxy, &folder, command).args(options), b"", LIMIT);
            let finished = finished.fails(6).says("--proxy-password-command").says(why);
            assert!(!finished.stderr.contains("sesame"), "{}", finished.stderr);
            proxy.done();
        }
    }
}

#[test]
fn a_password_command_speaks_to_the_person_on_stderr_and_has_no_stdin() {
    let folder = Folder::new();
    let proxy = wanting("alice:it is empty");
    let finished = finish(
        &mut with_command(&proxy, &folder, "echo unlocking >&2; echo it is ${LINE:-$(cat)}empty"),
        b"the tunnel's",
        LIMIT,
    );
    assert_eq!(finished.exits(0).stderr, "unlocking\n");
    proxy.done();
}

#[test]
fn a_password_command_that_does_not_end_runs_into_the_proxy_timeout() {
    let folder = Folder::new();
    let proxy = asking_in_vain();
    let mut cmd = with_command(&proxy, &folder, "echo secret; exec sleep 600");
    finish(cmd.args(["--proxy-timeout", "300ms"]), b"", LIMIT).fails(124).says("--proxy-password-command");
    proxy.done();
}

#[test]
fn a_password_command_without_a_name_is_refused_at_once() {
    let proxy = ScriptedProxy::untouched();
    let mut cmd = connect_via(&proxy, "host:22");
    finish(cmd.args(["--proxy-password-command", "echo x"]), b"", LIMIT).fails(2).says("--proxy-user");
    proxy.done();
}

/// An askpass that answers from `answers`, line by line, and writes each prompt into `prompts`.
pub(crate) fn askpass(folder: &Folder, answers: &str) -> PathBuf {
    folder.file("answers", answers);
    folder.program(
        "askpass",
        "cd \"$(dirname \"$0\")\" && printf '%s\\n' \"$1\" >>prompts && [ -s answers ] && \
         head -n 1 answers && sed -i 1d answers",
    )
}

pub(crate) fn prompts(folder: &Folder) -> String {
    std::fs::read_to_string(folder.path("prompts")).unwrap_or_default()
}

#[test]
fn where_there_is_no_terminal_but_a_display_sshs_askpass_is_asked() {
    for (variables, user, answers, wanted) in [
        (&[("DISPLAY", ":0")][..], Some("alice"), "sesame\n", "alice:sesame"),
        (&[("WAYLAND_DISPLAY", "wayland-0")], Some("alice"), "sesame\n", "alice:sesame"),
        (&[("SSH_ASKPASS_REQUIRE", "force")], Some("alice"), "sesame\n", "alice:sesame"),
        (&[("DISPLAY", ":0"), ("SSH_ASKPASS_REQUIRE", "prefer")], None, "bob\nsesame\n", "bob:sesame"),
    ] {
        let folder = Folder::new();
        let proxy = wanting(wanted);
        let mut cmd = connect_via(&proxy, "host:22");
        cmd.args(user.map(|user| ["-U", user]).into_iter().flatten());
        cmd.env("SSH_ASKPASS", askpass(&folder, answers)).envs(variables.iter().copied());
        finish(&mut cmd, b"", LIMIT).exits(0);
        let asked = prompts(&folder);
        assert!(asked.contains("assword") && asked.contains("cave"), "{asked:?}");
        proxy.done();
    }
}

#[test]
fn an_askpass_is_not_asked_where_ssh_would_not_ask_it() {
    for variables in [&[][..], &[("DISPLAY", ":0"), ("SSH_ASKPASS_REQUIRE", "never")]] {
        let folder = Folder::new();
        let proxy = asking_in_vain();
        let mut cmd = connect_via(&proxy, "host:22");
        cmd.args(["-U", "alice"]).env("SSH_ASKPASS", askpass(&folder, "sesame\n"));
        finish(cmd.envs(variables.iter().copied()), b"", LIMIT).fails(6);
        assert_eq!(prompts(&folder), "");
        proxy.done();
    }
}

#[test]
fn an_askpass_has_three_tries_and_may_be_closed() {
    let folder = Folder::new();
    let proxy = ScriptedProxy::start(|conn| {
        for guess in [None, Some("one"), Some("two"), Some("three")] {
            let wanted: Vec<_> = guess.map(|guess| basic(&format!("alice:{guess}"))).into_iter().collect();
            assert_eq!(authorization(&conn.expect_connect("host:22")), wanted);
            conn.send(BASIC_407);
        }
        assert_eq!(conn.read_to_any_end(), b"");
    });
    let mut cmd = connect_via(&proxy, "host:22");
    cmd.args(["-U", "alice"]).env("SSH_ASKPASS", askpass(&folder, "one\ntwo\nthree\nfour\n"));
    finish(cmd.env("SSH_ASKPASS_REQUIRE", "force"), b"", LIMIT).fails(6);
    proxy.done();

    let closed = folder.program("closed", "echo sesame; exit 1");
    for program in [closed.as_path(), Path::new("/nonexistent/askpass")] {
        let proxy = asking_in_vain();
        let mut cmd = connect_via(&proxy, "host:22");
        cmd.args(["-U", "alice"]).env("SSH_ASKPASS", program).env("SSH_ASKPASS_REQUIRE", "force");
        finish(&mut cmd, b"", LIMIT).fails(6);
        proxy.done();
    }
}

#[test]
fn a_direct_route_asks_nobody() {
    let folder = Folder::new();
    let marker = folder.path("run");
    let command = format!("echo run >'{}'", marker.display());
    let target = format!("127.0.0.1:{}", closed_port());
    let mut cmd = wimble();
    cmd.args(["connect", "--proxy", "direct", &target, "-U", "a", "--proxy-password-command", &command]);
    finish(&mut cmd, b"", LIMIT).fails(4);
    assert!(!marker.exists());
}

/// The arguments of every process that `ps` could show, each on a line.
fn command_lines() -> String {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let mut line = std::fs::read(entry.ok()?.path().join("cmdline")).ok()?;
        line.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b' ');
        Some(String::from_utf8_lossy(&line).into_owned())
    });
    processes.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_password_is_in_no_log_in_no_json_and_in_no_process_title_wherever_it_came_from() {
    // Not as one word in any argument, not even in a shell command of this test.
    let (half, other_half) = ("se5ame", "0pen-7351");
    let password = [half, other_half].concat();
    let folder = Folder::new();
    let command = format!("printf %s '{half}'; echo '{other_half}'");
    let entry = format!("machine 127.0.0.1 login alice password {password}");
    let encoded = basic(&format!("alice:{password}")).split_once(' ').unwrap().1.to_owned();
    for source in ["file", "command", "netrc", "NETRC", "variable", "askpass"] {
        for mode in ["connect", "check"] {
            for refused in [false, true] {
                let (told, tell) = std::sync::mpsc::channel();
                let wanted = basic(&format!("alice:{password}"));
                let proxy = ScriptedProxy::start(move |conn| {
                    conn.expect_connect("host:22");
                    conn.send(BASIC_407);
                    assert_eq!(authorization(&conn.expect_connect("host:22")), [wanted]);
                    told.send(command_lines()).unwrap();
                    conn.send(if refused { BASIC_407.to_vec() } else { [OK, b"hello\n"].concat() });
                    conn.finish_writing();
                    conn.read_to_any_end();
                });
                let mut cmd = wimble();
                cmd.args([mode, "-vv", "--proxy", &proxy.url(), "host:22", "--log-format", "json"]);
                if mode == "check" {
                    cmd.args(["--no-tls", "--json"]);
                }
                match source {
                    "file" => {
                        cmd.arg("--proxy-credentials").arg(folder.file("f", &format!("alice:{password}")))
                    }
                    "command" => cmd.args(["-U", "alice", "--proxy-password-command", &command]),
                    "netrc" => cmd.arg("--netrc-file").arg(folder.file("n", &entry)),
                    "NETRC" => cmd.env("NETRC", folder.file("n", &entry)),
                    "variable" => cmd.args(["-U", "alice"]).env("WIMBLE_PROXY_PASSWORD", &password),
                    "askpass" => {
                        let program = askpass(&folder, &format!("{password}\n"));
                        cmd.args(["-U", "alice"])
                            .env("SSH_ASKPASS", program)
                            .env("SSH_ASKPASS_REQUIRE", "force")
                    }
                    other => panic!("{other}"),
                };
                let finished = finish(&mut cmd, b"", LIMIT).exits(if refused { 6 } else { 0 });
                proxy.done();
                let said = format!("{}{}", finished.text(), finished.stderr);
                assert!(said.to_ascii_lowercase().contains("proxy-authorization"), "-vv shows heads: {said}");
                let seen = format!("{said}{}", tell.recv().unwrap());
                assert!(seen.contains("host:22"), "the program is among the processes");
                assert!(!seen.contains(&password) && !seen.contains(&encoded), "{source}: {said}");
            }
        }
    }
}

/// An ordinary user: what root may do says nothing. (Where the tests are not root, they are one.)
fn as_somebody(cmd: &mut Command) -> u32 {
    const NOBODY: u32 = 65534;
    match rustix::process::getuid().as_raw() {
        0 => {
            cmd.uid(NOBODY).gid(NOBODY);
            NOBODY
        }
        uid => uid,
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_process_that_holds_a_password_cannot_be_dumped_and_one_that_holds_none_can() {
    // Where everybody may run it.
    let folder = Folder::new();
    std::fs::set_permissions(folder.0.path(), Permissions::from_mode(0o755)).unwrap();
    let program = folder.path("wimble");
    // Copied by a process of its own: a child that another test forks while this one holds the copy open for
    // writing would hold it too, and the copy could not be started ("Text file busy").
    assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_wimble")).arg(&program).status().unwrap().success());
    for (password, dumpable) in [(None, true), (Some("sesame"), false)] {
        let (told, tell) = std::sync::mpsc::channel();
        let (release, released) = std::sync::mpsc::channel();
        let proxy = ScriptedProxy::start(move |conn| {
            let head = conn.open("host:22");
            assert_eq!(authorization(&head).len(), usize::from(!dumpable), "{head:?}");
            told.send(()).unwrap();
            released.recv_timeout(LIMIT).unwrap();
        });
        let mut cmd = Command::new(&program);
        cmd.env_clear().args([
            "connect",
            "--proxy",
            &proxy.url(),
            "host:22",
            "-U",
            "alice",
            "--proxy-auth",
            "basic",
        ]);
        cmd.envs(password.map(|password| ("WIMBLE_PROXY_PASSWORD", password)));
        cmd.stdin(Stdio::null()).stdout(Stdio::null());
        let uid = as_somebody(&mut cmd);
        let mut running = Running::start(&mut cmd);
        tell.recv_timeout(LIMIT).unwrap();
        // proc(5): the files of a process that is not dumpable belong to root.
        let owner = std::fs::metadata(format!("/proc/{}/environ", running.pid())).unwrap().uid();
        assert_eq!(owner, if dumpable { uid } else { 0 }, "{}", running.stderr());
        release.send(()).unwrap();
        assert_eq!(running.wait(LIMIT), Some(0));
        proxy.done();
    }
}

#[test]
fn a_file_may_have_the_nt_hash_of_a_password_which_is_for_ntlm_alone() {
    let folder = Folder::new();
    let file = folder.file("hash", "DOMAIN\\alice:{NT}a4f49c406510bdcab6824ee7c30fd852\n");
    let proxy = asking_in_vain();
    let mut cmd = connect_via(&proxy, "host:22");
    finish(cmd.arg("--proxy-credentials").arg(&file), b"", LIMIT).fails(6);
    proxy.done();

    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        conn.send("HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic realm=x\r\nProxy-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n");
        let head = conn.expect_connect("host:22");
        let sent = authorization(&head);
        assert!(sent.len() == 1 && sent[0].starts_with("NTLM TlRMTVNTUAAB"), "{sent:?}");
        conn.send("HTTP/1.1 407 Auth\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(conn.read_to_any_end(), b"");
    });
    let mut cmd = connect_via(&proxy, "host:22");
    let finished = finish(cmd.arg("--proxy-credentials").arg(&file).arg("-vv"), b"", LIMIT).exits(6);
    assert!(!finished.stderr.contains("a4f49c40"), "{}", finished.stderr);
    proxy.done();
}
