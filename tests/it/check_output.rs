//! Where reports go: 80 columns, the JSON Schema, the page, the reason for the proxy.

use std::process::Command;

use serde_json::Value;

use crate::check::{by_name, check, report, reports};
use crate::support::origin::Origin;
use crate::support::pki::{Leaf, Pki};
use crate::support::proxy::{BASIC_407, Conn, OK, ScriptedProxy, authorization, basic};
use crate::support::real::{Proxy, run, tool};
use crate::support::{Finished, LIMIT, finish, wimble};

/// Every line is valid by the schema that is checked in.
#[track_caller]
pub(crate) fn assert_valid(finished: &Finished) {
    let dir = tempfile::tempdir().unwrap();
    for (place, object) in reports(finished).iter().enumerate() {
        let file = dir.path().join(format!("{place}.json"));
        std::fs::write(&file, object.to_string()).unwrap();
        // Debian's own: another python3 in PATH need not have the module.
        let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/check.schema.json");
        let out = Command::new("/usr/bin/python3")
            .args(["-m", "jsonschema", "--error-format", "{error.json_path}: {error.message}\n", "-i"])
            .arg(&file)
            .arg(schema)
            .output()
            .unwrap();
        assert!(
            out.status.success(),
            "{}\n{object}",
            String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr)
        );
    }
}

#[test]
fn every_report_is_valid_by_the_schema() {
    let (proxy, pki) = (Proxy::squid_with_basic(), Pki::new());
    let server = pki.server(Leaf::Good);
    let (ca, target) = (pki.ca_file(), format!("localhost:{}", server.port()));
    let url = proxy.url_with_credentials();
    for (options, code) in [
        (&["--cacert", ca.to_str().unwrap(), "--http=/1", "--http-get", "--explain", &target][..], 0),
        (&["--count", "2", "--interval", "1ms", &target], 10),
        (&["--ports", "25,443", "localhost"], 7),
        (&["--starttls", "smtp", "--connect-timeout", "200ms", &target], 124),
        (&["--no-tls", &target], 0),
        (&["--compare", "direct", "--insecure", &target], 0),
        (&["127.0.0.1:1", "127.0.0.1:443"], 7),
    ] {
        let finished = finish(&mut check(&url, &[&["--json"], options].concat()), b"", LIMIT).exits(code);
        assert_valid(&finished);
    }
}

#[test]
fn the_text_is_no_wider_than_80_columns_but_for_words_that_are_longer() {
    let (proxy, pki) = (Proxy::squid_with_basic(), Pki::new());
    let server = pki.server(Leaf::Good);
    let url = proxy.url_with_credentials();
    for (target, code) in [(format!("localhost:{}", server.port()), 10), ("localhost:25".into(), 7)] {
        let text = finish(&mut check(&url, &["--explain", &target]), b"", LIMIT).exits(code).text();
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line:?}\n{text}");
        }
        let exchanges = "407 Proxy Authentication Required; offers Basic";
        let plain: Vec<&str> = text.split_whitespace().collect();
        // The forbidden port is refused before anybody is asked for a password.
        assert_eq!(plain.join(" ").contains(exchanges), code == 10, "{text}");
    }
}

#[test]
fn colour_is_for_terminals_and_for_who_asks() {
    for (options, colour) in
        [(&[][..], false), (&["--color", "always"], true), (&["--color", "never"], false)]
    {
        let proxy = ScriptedProxy::start(|conn: &mut Conn| {
            conn.open("host:22");
            conn.send("x\n");
            conn.read_to_any_end();
        });
        let mut cmd = check(&proxy.url(), &[options, &["--no-tls", "host:22"]].concat());
        let text = finish(&mut cmd, b"", LIMIT).exits(0).text();
        assert_eq!(text.contains("\x1b[32m"), colour, "{text:?}");
        proxy.done();
    }
}

/// Asks for a login, and tells all that it was sent in its refusal.
fn refuses_and_repeats(conn: &mut Conn, target: &str, reason: &str, login: &str) {
    conn.expect_connect(target);
    conn.send(BASIC_407);
    let head = conn.expect_connect(target);
    let sent = authorization(&head);
    assert_eq!(sent, [basic(login)], "{head}");
    let password = login.split_once(':').unwrap().1;
    let told = format!("{} {password}", sent[0]);
    let head = format!("HTTP/1.1 403 {reason} {told}\r\nContent-Type: text/plain\r\nVia: 1.1 {told}\r\n\r\n");
    conn.send(head + &told);
    conn.finish_writing();
    conn.read_to_any_end();
}

#[track_caller]
fn assert_is_masked(text: &str, login: &str) {
    let (encoded, password) = (basic(login), login.split_once(':').unwrap().1);
    let token = encoded.split_once(' ').unwrap().1;
    assert!(!text.contains(token) && !text.contains(password) && text.contains("[redacted]"), "{text}");
}

#[test]
fn what_chose_the_proxy_is_in_the_first_line_and_at_length_with_explain() {
    let proxy = ScriptedProxy::start(|conn| refuses_and_repeats(conn, "host:22", "No", "me:secret-8812"));
    let url = by_name(&proxy).replace("//", "//me:secret-8812@");
    let mut cmd = wimble();
    cmd.env("all_proxy", &url).env("NO_PROXY", ".example.com").args([
        "check",
        "--no-tls",
        "--explain",
        "host:22",
    ]);
    let finished = finish(&mut cmd, b"", LIMIT).exits(7);
    let text = finished.text();
    assert!(
        text.lines()
            .next()
            .unwrap()
            .ends_with(&format!("through proxy localhost:{} (all_proxy)", proxy.port())),
        "{text}"
    );
    for line in
        ["https_proxy not set", "the first that is set decides", ".example.com: no entry is about host:22"]
    {
        assert!(text.split_whitespace().collect::<Vec<_>>().join(" ").contains(line), "{line}: {text}");
    }
    assert_is_masked(&text, "me:secret-8812");
    proxy.done();

    let mut cmd = wimble();
    cmd.env("https_proxy", "http://127.0.0.1:9").env("no_proxy", "localhost").args([
        "check",
        "--json",
        "--no-tls",
        "localhost:1",
    ]);
    let seen = report(&finish(&mut cmd, b"", LIMIT).exits(4));
    assert_eq!(seen["route"]["decided_by"], "no_proxy", "{seen}");
    assert!(seen["proxy"].is_null(), "{seen}");
}

#[test]
fn the_page_stands_alone_and_shows_what_came_without_obeying_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("page.html");
    let proxy = ScriptedProxy::start(|conn| {
        let reason = "<img src=x onerror=document.title='obeyed'>";
        refuses_and_repeats(conn, "host:443", reason, "me:secret-9321");
    });
    let mut cmd = check(&proxy.url_with("me:secret-9321"), &["host:443", "--html", file.to_str().unwrap()]);
    finish(&mut cmd, b"", LIMIT).exits(7);
    proxy.done();
    let page = std::fs::read_to_string(&file).unwrap();
    assert_is_masked(&page, "me:secret-9321");
    assert!(!page.contains("<img") && !page.contains("<script"), "{page}");
    assert!(!page.contains("src=\"") && !page.contains("href="), "it loads something: {page}");
    // What a browser makes of it.
    let mut chromium = tool("chromium", "chromium");
    chromium.env("HOME", dir.path()).args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]);
    let dom = run(chromium.arg(format!("file://{}", file.display())));
    assert!(dom.contains("<title>wimble check</title>"), "{dom}");
    assert!(dom.contains("403 &lt;img src=x"), "{dom}");
    for stage in ["resolve", "tcp", "connect", "tls"] {
        assert!(dom.contains(&format!("<td class=\"name\">{stage}</td>")), "{stage}: {dom}");
    }
}

#[test]
fn the_page_has_what_was_asked_for_beside_the_report() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("page.html");
    let proxy = Origin::serving(|stream| {
        let mut conn = Conn::new(stream);
        conn.head();
        conn.send_in_vain([OK, b"hello\n"].concat());
        conn.read_to_any_end();
    });
    let page = |args: &[&str]| {
        let args = [&["--no-tls", "host:22", "--html", file.to_str().unwrap()], args].concat();
        finish(&mut check(&proxy.url(), &args), b"", LIMIT).exits(0);
        std::fs::read_to_string(&file).unwrap()
    };
    let plain = page(&[]);
    assert!(!plain.contains("an option decides") && !plain.contains("checks"), "{plain}");
    let explained = page(&["--explain"]);
    assert!(explained.contains("<tr><td>--proxy</td><td>127.0.0.1:"), "{explained}");
    let repeated = page(&["--count", "3", "--interval", "1ms"]);
    assert!(repeated.contains("<td>3 checks, 0 failed</td><td>min</td>"), "{repeated}");
    assert!(repeated.contains("<tr><td>connect</td>"), "{repeated}");
}

#[test]
fn the_saved_chains_are_told_apart_and_none_empties_no_file() {
    let (proxy, pki) = (Origin::echoing_proxy(), Pki::new());
    let saved = pki.ca_file().with_file_name("saved.pem");
    std::fs::write(&saved, "precious").unwrap();
    let save = |targets: &[&str], code| {
        let args = [targets, &["--insecure", "--save-chain", saved.to_str().unwrap()]].concat();
        finish(&mut check(&proxy.url(), &args), b"", LIMIT).exits(code);
        std::fs::read_to_string(&saved).unwrap()
    };
    // An echo is no TLS.
    assert_eq!(save(&["host:443"], 10), "precious");
    let server = pki.server(Leaf::Good);
    let target = format!("127.0.0.1:{}", server.port());
    let direct = |args: &[&str]| {
        let args = [args, &["--insecure", "--save-chain", saved.to_str().unwrap()]].concat();
        finish(&mut check("direct", &args), b"", LIMIT).exits(0);
        std::fs::read_to_string(&saved).unwrap()
    };
    let one = direct(&[&target]);
    assert!(one.starts_with("-----BEGIN CERTIFICATE-----\n"), "{one}");
    let by_name = format!("localhost:{}", server.port());
    let whose = |target: &str| format!("# {target} without a proxy\n{one}");
    assert_eq!(direct(&[&target, &by_name]), whose(&target) + &whose(&by_name));
    assert_eq!(direct(&[&target, "--compare", "direct"]), whose(&target).repeat(2));
}

#[test]
fn a_file_that_cannot_be_written_is_a_local_error() {
    let proxy = ScriptedProxy::start(|conn: &mut Conn| {
        conn.expect_connect("host:443");
        conn.send(BASIC_407);
        conn.read_to_any_end();
    });
    let mut cmd = check(&proxy.url(), &["--json", "host:443", "--html", "/nowhere/page.html"]);
    let finished = finish(&mut cmd, b"", LIMIT).exits(1).says("/nowhere/page.html");
    let seen: Value = report(&finished);
    assert_eq!(seen["exit_code"], 6);
    proxy.done();
}
