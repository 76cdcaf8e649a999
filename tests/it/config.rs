//! The configuration file: where it is found, who is obeyed, what is refused, and what `config` shows.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::forward::echoes;
use crate::support::proxy::{BASIC_407, Conn, OK, ScriptedProxy, authorization, basic, fields, turn};
use crate::support::{Finished, LIMIT, Running, closed_port, finish, listening_port, wimble};

/// A file that its owner alone can read.
fn write(folder: &Path, text: &str) -> PathBuf {
    let file = folder.join("wimble/config.toml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, text).unwrap();
    mode(&file, 0o600);
    file
}

fn mode(file: &Path, mode: u32) {
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// A command with this text as the file at the usual place.
fn with(text: &str, words: &[&str]) -> (Command, tempfile::TempDir) {
    let folder = folder();
    write(folder.path(), text);
    let mut cmd = wimble();
    cmd.args(words).env("XDG_CONFIG_HOME", folder.path());
    (cmd, folder)
}

fn run(text: &str, words: &[&str]) -> Finished {
    let (mut cmd, _folder) = with(text, words);
    finish(&mut cmd, b"", LIMIT)
}

fn opens() -> ScriptedProxy {
    ScriptedProxy::start(|conn| drop(conn.open("host:22")))
}

/// A proxy that is none: who takes it gets exit 4.
fn dead() -> String {
    format!("http://127.0.0.1:{}", closed_port())
}

#[test]
fn the_file_is_where_xdg_says_or_the_option_or_the_variable() {
    for way in ["XDG_CONFIG_HOME", "HOME", "WIMBLE_CONFIG", "--config", "-F"] {
        let (proxy, folder) = (opens(), folder());
        let text = format!("proxy = \"{}\"", proxy.url());
        let mut cmd = wimble();
        cmd.args(["connect", "host:22"]);
        match way {
            "XDG_CONFIG_HOME" => {
                write(folder.path(), &text);
                cmd.env(way, folder.path());
            }
            "HOME" => {
                write(&folder.path().join(".config"), &text);
                cmd.env(way, folder.path()).env("XDG_CONFIG_HOME", "relative/is/ignored");
            }
            option => {
                let file = write(&folder.path().join("elsewhere"), &text);
                // It takes the place of the usual one.
                write(folder.path(), "this is not even TOML");
                cmd.env("XDG_CONFIG_HOME", folder.path());
                match option {
                    "WIMBLE_CONFIG" => cmd.env(option, file),
                    option => cmd.arg(option).arg(file).env("WIMBLE_CONFIG", "/nonexistent"),
                };
            }
        }
        let finished = finish(&mut cmd, b"", LIMIT);
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{way}");
        proxy.done();
    }
}

#[test]
fn a_flag_beats_the_environment_and_that_the_profile_and_that_the_file() {
    let ways = ["--proxy", "WIMBLE_PROXY", "https_proxy", "ALL_PROXY", "profile", "file"];
    for (i, way) in ways.iter().enumerate() {
        let proxy = opens();
        let named = |name: &str| match ways.iter().position(|way| *way == name) {
            Some(place) if place == i => Some(proxy.url()),
            Some(place) if place > i => Some(dead()),
            _ => None,
        };
        let line = |name| named(name).map(|url| format!("proxy = \"{url}\"\n")).unwrap_or_default();
        let text = format!("{}[profiles.work]\n{}", line("file"), line("profile"));
        let (mut cmd, _folder) = with(&text, &["connect", "host:22", "-P", "work"]);
        if let Some(url) = named("--proxy") {
            cmd.args(["--proxy", &url]);
        }
        for variable in &ways[1..4] {
            if let Some(url) = named(variable) {
                cmd.env(variable, url);
            }
        }
        let finished = finish(&mut cmd, b"", LIMIT);
        assert_eq!(finished.code, Some(0), "{way}: {}", finished.stderr);
        proxy.done();
    }
}

#[test]
fn a_profile_is_chosen_by_the_option_or_the_variable() {
    for way in ["-P", "--profile", "WIMBLE_PROFILE"] {
        let proxy = opens();
        let text = format!("[profiles.a]\nproxy = \"{}\"\n[profiles.b]\nproxy = \"{}\"", proxy.url(), dead());
        let (mut cmd, _folder) = with(&text, &["connect", "host:22"]);
        match way {
            "WIMBLE_PROFILE" => cmd.env(way, "a"),
            option => cmd.args([option, "a"]).env("WIMBLE_PROFILE", "b"),
        };
        finish(&mut cmd, b"", LIMIT).exits(0);
        proxy.done();
    }
    let text = "[profiles.work]\n[profiles.travel]";
    run(text, &["connect", "-P", "wrok", "host:22"]).fails(2).says("--profile: wrok").says("work, travel");
    let (mut cmd, _folder) = with("", &["connect", "host:22"]);
    finish(cmd.env("WIMBLE_PROFILE", "work"), b"", LIMIT).fails(2).says("WIMBLE_PROFILE: work");
    finish(wimble().args(["connect", "-P", "work", "host:22"]), b"", LIMIT)
        .fails(2)
        .says("no configuration file");
}

#[test]
fn a_file_that_is_named_must_be_there_and_the_usual_one_need_not() {
    let words = ["connect", "--proxy", "http://127.0.0.1:1", "host:22"];
    finish(wimble().args(words), b"", LIMIT).fails(4);
    finish(wimble().args(words).env("HOME", "/dev/null"), b"", LIMIT).fails(4);
    finish(wimble().args(words).args(["-F", "/nonexistent/w.toml"]), b"", LIMIT)
        .fails(2)
        .says("wimble: /nonexistent/w.toml: No such file");
    finish(wimble().args(words).env("WIMBLE_CONFIG", "/nonexistent/w.toml"), b"", LIMIT).fails(2);
    finish(wimble().args(words).env("WIMBLE_CONFIG", ""), b"", LIMIT).fails(4);
    let (mut cmd, _folder) = with("broken", &words);
    finish(cmd.args(["-F", "/dev/null"]), b"", LIMIT).fails(4);
    let folder = folder();
    fs::create_dir_all(folder.path().join("wimble/config.toml")).unwrap();
    finish(wimble().args(words).env("XDG_CONFIG_HOME", folder.path()), b"", LIMIT).fails(2).says("directory");
}

#[test]
fn commands_that_use_no_proxy_read_no_file() {
    for words in [&["completions", "bash"][..], &["--version"], &["connect", "--help"], &["config", "-h"]] {
        run("broken", words).exits(0);
    }
    run("broken", &["serve", "--listen", "203.0.113.1:0"]).fails(2).says("--auth-file");
}

#[test]
fn a_mistake_is_one_line_with_its_place_and_nothing_is_sent() {
    let proxy = ScriptedProxy::untouched();
    for (text, place, why) in [
        ("connect-timout = \"1s\"", "1:1", "connect-timout: no such setting\nhint: connect-timeout is one"),
        ("\nproxy-timeout = \"banana\"", "2:17", "proxy-timeout: \"banana\": a time is 500ms"),
        ("proxy-auth = \"weak\"", "1:14", "proxy-auth: \"weak\": it is one of auto, basic, digest"),
        ("[profiles.work]\nproxy-timeout = 0", "2:17", "proxy-timeout: \"0\": a limit of 0"),
        ("netrc = 1", "1:9", "netrc: true or false is wanted"),
        ("user-agent = \"a", "1:16", ""),
        ("user-agent = \"a\\nb\"", "1:14", "user-agent: "),
        ("proxy-header = \"secret-1188\"", "1:16", "proxy-header: "),
        ("proxy-cacert = \"none.pem\"", "1:16", "proxy-cacert "),
        ("proxy-credentials = \"none\"", "1:21", "proxy-credentials: /"),
        ("netrc-file = \"none\"", "1:14", "netrc-file: /"),
        ("verbose = 2", "1:1", "verbose: an option of the command line alone"),
        (
            "proxy-cacert = \"/a\"\nproxy-insecure = true",
            "2:18",
            "proxy-insecure: it does not go together with proxy-cacert",
        ),
        ("spare-max-age = 1\nproxy-key = \"/a\"", "2:13", "proxy-key: it needs proxy-cert"),
        ("\"\\u001b[31m\" = 1", "1:1", ""),
    ] {
        let (mut cmd, folder) = with(text, &["connect", "--proxy", &proxy.url(), "-P", "work", "host:22"]);
        if !text.contains("[profiles.") {
            write(folder.path(), &format!("{text}\n[profiles.work]\n"));
        }
        let finished = finish(&mut cmd, b"", LIMIT).fails(2);
        let file = folder.path().join("wimble/config.toml");
        let told = format!("wimble: {}:{place}: {why}", file.display());
        assert!(finished.stderr.starts_with(&told), "{text:?}: wanted {told}\n{}", finished.stderr);
        assert!(
            !finished.stderr.contains(['\x1b']) && !finished.stderr.contains("secret-1188"),
            "{finished:?}"
        );
    }
    proxy.done();
    for url in ["ftp://p", "http://me:secret-1188", "p:0"] {
        let finished = run(&format!("proxy = [\"{url}\"]"), &["connect", "host:22"]).fails(2);
        assert!(finished.stderr.contains("toml:1:9: proxy: "), "{}", finished.stderr);
        assert!(!finished.stderr.contains("secret-1188"), "{}", finished.stderr);
    }
    // Told when it is asked; so is who named it.
    let finished = run("\npac = \"none.pac\"", &["connect", "host:22"]).fails(2);
    assert!(finished.stderr.contains("config.toml:2:7: pac /"), "{}", finished.stderr);
    let json = run("netrc = 1", &["connect", "--log-format", "json", "host:22"]).exits(2).stderr;
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["kind"], "usage");
}

#[test]
fn a_password_is_taken_from_a_file_of_ones_own_alone() {
    let login = |conn: &mut Conn| {
        conn.expect_connect("host:22");
        conn.send(BASIC_407);
        let head = conn.expect_connect("host:22");
        // alice:secret-1188
        assert_eq!(fields(&head, "Proxy-Authorization"), ["Basic YWxpY2U6c2VjcmV0LTExODg="]);
        conn.send(OK);
    };
    for way in ["url", "user"] {
        let proxy = ScriptedProxy::start(login);
        let text = match way {
            "url" => format!("proxy = \"{}\"", proxy.url().replace("//", "//alice:secret-1188@")),
            _ => format!("proxy = \"{}\"\nproxy-user = \"alice:secret-1188\"", proxy.url()),
        };
        let (mut cmd, folder) = with(&text, &["connect", "-vv", "host:22"]);
        let file = folder.path().join("wimble/config.toml");
        for rights in [0o640, 0o604, 0o620] {
            mode(&file, rights);
            let finished = finish(&mut cmd, b"", LIMIT).fails(2).says("chmod 600");
            assert!(!finished.stderr.contains("secret-1188"), "{}", finished.stderr);
        }
        mode(&file, 0o600);
        let finished = finish(&mut cmd, b"", LIMIT).exits(0);
        assert!(!finished.stderr.contains("secret-1188"), "{}", finished.stderr);
        assert!(!finished.stderr.contains("list of processes"), "{}", finished.stderr);
        proxy.done();
    }
    let proxy = opens();
    let (mut cmd, folder) = with(&format!("proxy = \"{}\"", proxy.url()), &["connect", "host:22"]);
    mode(&folder.path().join("wimble/config.toml"), 0o644);
    finish(&mut cmd, b"", LIMIT).exits(0);
    proxy.done();
}

#[test]
fn a_login_of_the_environment_beats_that_of_the_file() {
    let login = |conn: &mut Conn| {
        conn.expect_connect("host:22");
        conn.send(BASIC_407);
        let head = conn.expect_connect("host:22");
        // bob:new
        assert_eq!(fields(&head, "Proxy-Authorization"), ["Basic Ym9iOm5ldw=="]);
        conn.send(OK);
    };
    for way in ["url", "user", "credentials", "command", "password"] {
        let proxy = ScriptedProxy::start(login);
        let url = proxy.url();
        let mut text = format!("proxy = \"{url}\"\n");
        match way {
            "url" => text = format!("proxy = \"{}\"\n", url.replace("//", "//alice:old@")),
            "user" => text += "proxy-user = \"alice:old\"",
            "credentials" => text += "proxy-credentials = \"login\"",
            "command" => text += "proxy-user = \"alice\"\nproxy-password-command = \"echo old\"",
            // The name is still that of the file.
            _ => text += "proxy-user = \"bob:old\"",
        }
        let (mut cmd, folder) = with(&text, &["connect", "host:22"]);
        let file = folder.path().join("wimble/login");
        fs::write(&file, "alice:old\n").unwrap();
        mode(&file, 0o600);
        cmd.env("WIMBLE_PROXY_PASSWORD", "new");
        if way != "password" {
            cmd.env("WIMBLE_PROXY_USER", "bob");
        }
        let finished = finish(&mut cmd, b"", LIMIT);
        assert_eq!(finished.code, Some(0), "{way}: {}", finished.stderr);
        proxy.done();
    }
}

#[test]
fn paths_in_the_file_are_relative_to_it() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        conn.send(BASIC_407);
        let head = conn.expect_connect("host:22");
        assert_eq!(fields(&head, "Proxy-Authorization"), ["Basic YWxpY2U6b2xk"]);
        conn.send(OK);
    });
    let text = format!("proxy = \"{}\"\nproxy-credentials = \"login\"", proxy.url());
    let (mut cmd, folder) = with(&text, &["connect", "host:22"]);
    let file = folder.path().join("wimble/login");
    fs::write(&file, "alice:old\n").unwrap();
    mode(&file, 0o600);
    finish(cmd.current_dir("/"), b"", LIMIT).exits(0);
    proxy.done();
}

#[test]
fn no_proxy_is_environment_and_so_beats_a_proxy_of_the_file() {
    let target = ScriptedProxy::start(|conn| conn.send("direct"));
    let port = target.port().to_string();
    let (mut cmd, _folder) = with(&format!("proxy = \"{}\"", dead()), &["connect", "127.0.0.1", &port]);
    assert_eq!(finish(cmd.env("no_proxy", "127.0.0.0/8"), b"", LIMIT).exits(0).text(), "direct");
    target.done();
}

#[test]
fn a_chain_and_headers_are_arrays() {
    let proxy = ScriptedProxy::start(|conn| {
        let head = conn.expect_connect("second.example:3128");
        assert_eq!(fields(&head, "X-Team"), ["blue", "red"]);
        conn.send("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
        conn.read_to_any_end();
    });
    let text = format!(
        "proxy = [\"{}\", \"http://second.example:3128\"]\nproxy-header = [\"X-Team: blue\", \"X-Team: red\"]",
        proxy.url()
    );
    run(&text, &["connect", "host:22"]).fails(7);
    proxy.done();
}

#[test]
fn forwards_have_names() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.open("db.example:5432");
        assert_eq!(conn.read_exact(5), b"hello");
        conn.send("hello");
        conn.read_to_any_end();
    });
    let text = format!(
        "proxy = \"{}\"\n[forwards]\ndb = \"0:db.example:5432\"\nweb = [\"0:web.example:80\", \"0:web.example:443\"]\n\
         other = \"0:other.example:1\"\n[profiles.work.forwards]\nother = \"0:work.example:1\"",
        proxy.url()
    );
    let (mut cmd, _folder) = with(&text, &["forward", "db", "0:typed.example:1", "web"]);
    let running = Running::start(&mut cmd);
    let lines = running.stderr_lines(4, |line| line.starts_with("listening on "), LIMIT);
    let targets: Vec<_> = lines.iter().map(|line| line.split(" -> ").nth(1).unwrap()).collect();
    assert_eq!(targets, ["db.example:5432", "typed.example:1", "web.example:80", "web.example:443"]);
    echoes(&mut Conn::to(listening_port(&lines[0])));
    proxy.done();
    drop(running);

    for (profile, other) in [(None, "other.example:1"), (Some("work"), "work.example:1")] {
        let (mut cmd, _folder) = with(&text, &["forward", "--all"]);
        cmd.args(profile.map(|name| format!("--profile={name}")));
        let running = Running::start(&mut cmd);
        let lines = running.stderr_lines(4, |line| line.starts_with("listening on "), LIMIT);
        let targets: Vec<_> = lines.iter().map(|line| line.split(" -> ").nth(1).unwrap()).collect();
        for target in ["db.example:5432", "web.example:80", "web.example:443", other] {
            assert!(targets.contains(&target), "{target}: {targets:?}");
        }
    }
}

#[test]
fn a_forward_that_has_no_name_is_none() {
    let text = "[forwards]\ndb = \"0:db.example:5432\"";
    let proxy = ["--proxy", "http://127.0.0.1:1"];
    let forward = |text, words: &[&str]| run(text, &[&["forward"], &proxy[..], words].concat()).fails(2);
    forward(text, &["bd"]).says("forward bd: the configuration names db");
    forward("", &["db"]).says("a SPEC is [BIND:]PORT:HOST:HOSTPORT");
    forward("", &["--all"]).says("--all: ");
    forward(text, &[]).says("SPEC");
    forward("[forwards]\ndb = \"db.example\"", &["db"]).says("toml:2:6: db: \"db.example\": a forward is ");
}

#[test]
fn check_says_which_line_of_the_file_chose_the_proxy() {
    let refuses = |conn: &mut Conn| {
        conn.head();
        conn.send("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
        conn.read_to_any_end();
    };
    let proxy = ScriptedProxy::in_turn(vec![turn(refuses), turn(refuses)]);
    let text = format!("# mine\nproxy = \"{}\"", proxy.url());
    let (mut cmd, folder) = with(&text, &["check", "--no-tls", "--explain", "host:22"]);
    let place = format!("{}:2", folder.path().join("wimble/config.toml").display());
    let seen = finish(&mut cmd, b"", LIMIT).exits(7).text();
    assert!(seen.lines().next().unwrap().ends_with(&format!("({place})")), "{seen}");
    let flat = seen.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains(&format!("{place} 127.0.0.1:{}: the file decides", proxy.port())), "{seen}");
    assert!(flat.contains("ALL_PROXY not set"), "{seen}");
    let (mut cmd, folder) = with(&text, &["check", "--no-tls", "--json", "host:22"]);
    let place = format!("{}:2", folder.path().join("wimble/config.toml").display());
    let seen: Value = serde_json::from_slice(&finish(&mut cmd, b"", LIMIT).exits(7).stdout).unwrap();
    assert_eq!(seen["route"]["decided_by"], place.as_str(), "{seen}");
    proxy.done();
}

#[test]
fn what_is_compared_is_typed_whatever_the_file_has() {
    let other = dead().replace("//", "//alice:secret-1188@");
    let words = ["check", "--no-tls", "--compare", &other, "127.0.0.1:1"];
    let told = run("proxy = \"direct\"", &words).exits(4).stderr;
    assert!(told.contains("--compare: other users") && !told.contains("secret-1188"), "{told}");
}

#[test]
fn config_shows_what_is_in_force_and_where_it_comes_from() {
    let text = "proxy = \"http://alice:secret-1188@proxy.example:3128\"\nlinger = 3\nspare = 2\n\
                proxy-header = [\"X-Token: secret-1188\", \"X-Other: secret-1188\"]\nproxy-user = \"alice\"\n\
                [forwards]\ndb = \"5432:db.example:5432\"\n[profiles.work]\nspare = 4\nnetrc = true\n";
    let (mut cmd, folder) = with(text, &["config", "-P", "work", "--grace", "9s"]);
    cmd.env("WIMBLE_PROXY_USER", "bob").env("WIMBLE_PROXY_PASSWORD", "secret-1188");
    let finished = finish(&mut cmd, b"", LIMIT).exits(0);
    let (shown, file) = (finished.text(), folder.path().join("wimble/config.toml").display().to_string());
    let lines: Vec<String> =
        shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for wanted in [
        &format!("# file \"{file}\" # default"),
        "# profile \"work\" # --profile",
        &format!("proxy = \"http://alice:***@proxy.example:3128\" # {file}:1"),
        &format!("linger = \"3\" # {file}:2"),
        &format!("spare = \"4\" # profile work of {file}:9"),
        &format!("netrc = true # profile work of {file}:10"),
        &format!("proxy-header = [\"X-Token:***\", \"X-Other:***\"] # {file}:4"),
        "proxy-user = \"bob\" # WIMBLE_PROXY_USER",
        "proxy-password-command = \"***\" # WIMBLE_PROXY_PASSWORD",
        "grace = \"9s\" # --grace",
        "connect-timeout = \"10s\" # default",
        "proxy-insecure = false # default",
        "# warn-expiry # not set",
        &format!("\"db\" = \"5432:db.example:5432\" # {file}:7"),
    ] {
        assert!(lines.iter().any(|line| line == wanted), "no {wanted:?} in\n{shown}");
    }
    assert!(!shown.contains("secret-1188"), "{shown}");
    assert_eq!(finished.stderr, "");
}

#[test]
fn who_a_profile_names_beats_whom_the_rest_of_the_file_names() {
    let folder = folder();
    for (name, text) in [("login", "bob:bobpw"), ("netrc", "machine 127.0.0.1 login bob password bobpw")] {
        fs::write(folder.path().join(name), text).unwrap();
        mode(&folder.path().join(name), 0o600);
    }
    for (userinfo, more) in [
        ("bob:bobpw@", String::new()),
        ("bob@", "proxy-password-command = \"echo bobpw\"".to_owned()),
        ("", format!("proxy-credentials = \"{}/login\"", folder.path().display())),
        ("", format!("netrc-file = \"{}/netrc\"", folder.path().display())),
        ("", "proxy-user = \"bob:bobpw\"".to_owned()),
    ] {
        let proxy = ScriptedProxy::start(|conn| {
            conn.expect_connect("host:22");
            conn.send(BASIC_407);
            assert_eq!(authorization(&conn.open("host:22")), [basic("bob:bobpw")]);
        });
        let url = proxy.url().replace("//", &format!("//{userinfo}"));
        let text = format!("proxy-user = \"alice:alicepw\"\n[profiles.p]\nproxy = \"{url}\"\n{more}");
        let finished = run(&text, &["connect", "-P", "p", "host:22"]);
        assert_eq!(finished.code, Some(0), "{text}: {}", finished.stderr);
        proxy.done();
    }
    let login = folder.path().join("login").display().to_string();
    let text = format!("proxy-user = \"alice\"\nproxy-credentials = \"{login}\"");
    run(&text, &["connect", "-x", "127.0.0.1:1", "host:22"]).fails(2).says("toml:1:14, alice: make them");
}

#[test]
fn a_password_command_of_the_file_is_idle_where_nobody_is_named() {
    let text = "proxy = \"http://alice@127.0.0.1:1\"\nproxy-password-command = \"echo pw\"\n\
                [profiles.home]\nproxy = \"direct\"";
    let proxy = opens();
    run(text, &["connect", "-x", &proxy.url(), "host:22"]).exits(0);
    proxy.done();
    let proxy = opens();
    let (mut cmd, _folder) = with(text, &["connect", "host:22"]);
    finish(cmd.env("WIMBLE_PROXY", proxy.url()), b"", LIMIT).exits(0);
    proxy.done();
    let closed = format!("127.0.0.1:{}", closed_port());
    for words in [["-x", "direct"], ["-P", "home"]] {
        run(text, &["connect", words[0], words[1], &closed]).fails(4);
    }
    run("", &["connect", "-x", "127.0.0.1:1", "--proxy-password-command", "echo pw", "host:22"])
        .fails(2)
        .says("whose password is it?");
}

#[test]
fn a_script_that_the_file_names_is_explained_and_no_proxy_exempts_from_it() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.open("host:22");
        conn.send("hello");
        conn.read_to_any_end();
    });
    let folder = folder();
    let answer = format!("PROXY 127.0.0.1:{}", proxy.port());
    let script = format!("function FindProxyForURL() {{ return '{answer}'; }}");
    fs::write(folder.path().join("p.pac"), script).unwrap();
    let text = format!("pac = \"{}/p.pac\"", folder.path().display());
    let words = ["check", "--no-tls", "--json", "--explain", "host:22"];
    let report = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
    let route = report(&run(&text, &words).exits(0).text())["route"].clone();
    assert_eq!(route["script"], answer.as_str());
    let explained = route["explained"].to_string();
    assert!(explained.contains("p.pac: the file decides"), "{explained}");
    assert!(explained.contains(&format!("its answer: for host:22: {answer}")), "{explained}");
    assert!(!explained.contains("direct") && !explained.contains("without a proxy"), "{explained}");
    proxy.done();

    let closed = format!("127.0.0.1:{}", closed_port());
    let (mut cmd, _folder) = with(&text, &["check", "--no-tls", "--json", "--explain", &closed]);
    let route =
        report(&finish(cmd.env("no_proxy", "127.0.0.0/8"), b"", LIMIT).exits(4).text())["route"].clone();
    assert_eq!((&route["decided_by"], &route["script"]), (&"no_proxy".into(), &Value::Null), "{route}");
    assert!(route["explained"].to_string().contains("is reached without a proxy"), "{route}");
}

#[test]
fn config_tells_no_login_of_a_script_and_takes_no_proxy_for_one() {
    for (text, words, variable) in [
        ("", &["config"][..], "http://alice:secret-1188@127.0.0.1:1"),
        ("pac = \"http://me:secret-1188@wpad/x\"", &["config"], "http://127.0.0.1:1"),
    ] {
        let (mut cmd, _folder) = with(text, words);
        let shown = finish(cmd.env("https_proxy", variable), b"", LIMIT).exits(0).text();
        assert!(!shown.contains("secret-1188"), "{shown}");
        let line = shown.lines().find(|line| line.starts_with("# pac")).expect(&shown);
        assert!(line.ends_with("# not asked: https_proxy"), "{line}");
    }
}

/// It would not do to call right what every other command calls wrong.
#[test]
fn config_refuses_what_connect_refuses() {
    for (text, told) in [
        ("proxy = \"ftp://x\"", "config.toml:1:9: proxy: ftp://"),
        ("proxy = 1", "config.toml:1:9: proxy: "),
        ("proxy = [\"a:1\", \"direct\"]", "config.toml:1:9: proxy: direct can't be one of several"),
        ("proxy-header = \"secret-1188\"\nproxy = \"127.0.0.1:1\"", "config.toml:1:16: proxy-header: "),
        ("user-agent = \"a\\nb\"\nproxy = \"127.0.0.1:1\"", "config.toml:1:14: user-agent: "),
        ("pac = \"http://me:secret-1188@wpad/x\"", "config.toml:1:7: pac: "),
    ] {
        for words in [&["config"][..], &["connect", "host:22"]] {
            let finished = run(text, words).fails(2).says(told);
            assert!(!finished.stderr.contains("secret-1188"), "{}", finished.stderr);
        }
    }
    for words in [&["-x", "ftp://x"][..], &["-x", ""], &["--pac", "ftp://x"], &["--proxy-header", "bad"]] {
        let told = format!("wimble: --{}: ", words[0].replace("-x", "proxy").trim_start_matches('-'));
        finish(wimble().arg("config").args(words), b"", LIMIT).fails(2).says(&told);
    }
    finish(wimble().arg("config").env("https_proxy", "ftp://x"), b"", LIMIT).fails(2).says("https_proxy: ");
    // A file that is named may be for another machine, and nobody is asked for a password.
    run("proxy = \"127.0.0.1:1\"\nproxy-credentials = \"none\"", &["config"]).exits(0);
}

#[test]
fn what_config_shows_is_a_configuration_file() {
    let plain = |text: &str| -> Vec<String> {
        let (mut cmd, _folder) = with(text, &["config"]);
        let shown = finish(&mut cmd, b"", LIMIT).exits(0).text();
        let settings = shown.lines().filter(|line| !line.starts_with('#'));
        settings.map(|line| line.split(" # ").next().unwrap().trim_end().to_owned()).collect()
    };
    let text = "proxy = [\"http://p:1\", \"socks5://q:2\"]\nproxy-spn = \"a \\\"b\\\" \\u001b \\u202e\"\n\
                idle-timeout = \"1h\"\n[forwards]\n\"a b\" = [\"1:h:1\", \"unix:s:h:2\"]";
    let once = plain(text);
    assert!(!once.concat().contains(['\u{1b}', '\u{202e}']), "{once:?}");
    assert_eq!(plain(&once.join("\n")), once);
    assert!(once.iter().any(|line| line.starts_with("\"a b\" = [")), "{once:?}");
}

#[test]
fn config_needs_no_file_and_judges_the_one_there_is() {
    let shown = finish(wimble().arg("config"), b"", LIMIT).exits(0).text();
    assert!(shown.contains("# no file") && shown.contains(".config/wimble/config.toml"), "{shown}");
    run("proxy-http-version = \"\"", &["config"])
        .fails(2)
        .says("toml:1:22: proxy-http-version: \"\": it is one of");
    run("proxy-credentials = \"\"", &["config"]).fails(2).says("proxy-credentials: \"\": it is empty");
    run("spare = \"many\"", &["config"]).fails(2).says("toml:1:9: spare: \"many\"");
    finish(wimble().args(["config", "--spare", "many"]), b"", LIMIT).fails(2).says("--spare");
}

#[test]
fn the_sample_changes_nothing() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/config.toml");
    let shown = |words: &[&str]| {
        let shown = finish(wimble().arg("config").args(words), b"", LIMIT).exits(0).text();
        let settings =
            shown.lines().filter(|line| !line.starts_with("# file") && !line.starts_with("# no file"));
        settings.map(|line| line.split("  # ").next().unwrap().trim_end().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(shown(&["-F", sample]), shown(&[]));
}
