//! `serve --auth-file` asks by Digest: met by the real client, by curl, and by answers that are made here.

use std::fmt::Write;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::support::origin::Origin;
use crate::support::proxy::{Conn, fields};
use crate::support::real::tool;
use crate::support::{Finished, LIMIT, Running, finish, listening, wimble};

/// Names and passwords, the awkward ones too.
const USERS: [(&str, &str); 3] =
    [("aladdin", "open sesame"), ("a \"quoted\\name\"", "with:colon"), ("caf\u{e9}", "")];

struct Served {
    _dir: TempDir,
    running: Running,
    port: u16,
}

fn serve() -> Served {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("users");
    let lines: String = USERS.iter().map(|(user, password)| format!("{user}:{password}\n")).collect();
    std::fs::write(&file, lines).unwrap();
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let (running, port) =
        listening(wimble().args(["-vv", "serve", "--listen", "127.0.0.1:0", "--auth-file"]).arg(file));
    Served { _dir: dir, running, port }
}

impl Served {
    fn connect(&self, user: &str, password: &str, target: &str) -> Finished {
        let mut cmd = wimble();
        cmd.env("WIMBLE_PROXY_USER", user).env("WIMBLE_PROXY_PASSWORD", password);
        let url = format!("http://127.0.0.1:{}", self.port);
        cmd.args(["connect", "--proxy-auth", "digest", "--proxy", &url, target]);
        finish(&mut cmd, b"ping", LIMIT)
    }

    /// The head that answers to a request with this Proxy-Authorization.
    fn asked(&self, target: &str, authorization: &str) -> String {
        let mut conn = Conn::to(self.port);
        let field = if authorization.is_empty() { "" } else { "Proxy-Authorization: " };
        let end = if authorization.is_empty() { "" } else { "\r\n" };
        conn.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{field}{authorization}{end}\r\n"));
        conn.head()
    }

    fn nonce(&self) -> String {
        let head = self.asked("host:22", "");
        let challenge = fields(&head, "proxy-authenticate")[0].to_owned();
        challenge.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    }
}

fn hash(text: &str) -> String {
    Sha256::digest(text).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

/// What RFC 7616 §3.4 has for aladdin.
fn answer(nonce: &str, count: u32, uri: &str, password: &str) -> String {
    let (key, a2) = (hash(&format!("aladdin:wimble:{password}")), hash(&format!("CONNECT:{uri}")));
    let response = hash(&format!("{key}:{nonce}:{count:08x}:mine:auth:{a2}"));
    format!(
        "Digest username=\"aladdin\", realm=\"wimble\", nonce=\"{nonce}\", uri=\"{uri}\", algorithm=SHA-256, \
         response=\"{response}\", qop=auth, nc={count:08x}, cnonce=\"mine\""
    )
}

#[track_caller]
fn assert_refused(head: &str, stale: bool) {
    assert!(head.starts_with("HTTP/1.1 407 "), "{head}");
    let challenges = fields(head, "proxy-authenticate");
    let digests = challenges.iter().filter(|challenge| challenge.starts_with("Digest "));
    assert!(
        digests.clone().count() == 2 && digests.clone().all(|c| c.contains("stale=true") == stale),
        "{head}"
    );
}

#[test]
fn the_strongest_scheme_is_offered_first() {
    let head = serve().asked("host:22", "");
    let challenges = fields(&head, "proxy-authenticate");
    for (challenge, begin) in challenges.iter().zip(["Digest ", "Digest ", "Basic realm=\"wimble\""]) {
        assert!(challenge.starts_with(begin), "{head}");
    }
    assert!(
        challenges[0].contains("algorithm=SHA-256,") && challenges[1].contains("algorithm=MD5,"),
        "{head}"
    );
    assert!(challenges[..2].iter().all(|challenge| challenge.contains("qop=\"auth\"")), "{head}");
}

#[test]
fn the_real_client_proves_each_kind_of_name() {
    let (served, origin) = (serve(), Origin::echo());
    for (user, password) in USERS {
        assert_eq!(served.connect(user, password, &origin.target()).exits(0).text(), "ping", "{user}");
    }
    let wrong = served.connect("aladdin", "wrong", &origin.target()).fails(6);
    wrong.says("offered: Digest, Basic; tried: Digest, refused");
    served.connect("nobody", "", &origin.target()).fails(6);
    let ipv6 = served.connect("aladdin", "open sesame", "[::ffff:127.0.0.1]:1");
    ipv6.fails(8).says("502");
}

#[test]
fn curl_proves_it_by_digest() {
    let (served, origin) = (serve(), Origin::greeting(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"));
    let curl = |how: &str, login: &str| {
        let mut curl = tool("curl", "curl");
        curl.args(["-sSv", "--proxytunnel", how, "--proxy-user", login]);
        curl.args(["--proxy", &format!("http://127.0.0.1:{}", served.port)]);
        finish(curl.arg(format!("http://{}/", origin.target())), b"", LIMIT)
    };
    for how in ["--proxy-digest", "--proxy-anyauth"] {
        for (user, password) in &USERS[..2] {
            let finished = curl(how, &format!("{user}:{password}")).exits(0);
            assert_eq!(finished.text(), "hi");
            assert!(finished.stderr.contains("Proxy-Authorization: Digest "), "{}", finished.stderr);
        }
    }
    assert!(curl("--proxy-digest", "aladdin:wrong").stderr.contains(" 407 "));
    assert_eq!(curl("--proxy-basic", "aladdin:open sesame").exits(0).text(), "hi");
}

#[test]
fn q32_a_use_of_a_nonce_counts_once_and_a_replay_is_stale() {
    let (served, origin) = (serve(), Origin::echo());
    let (nonce, target) = (served.nonce(), origin.target());
    let granted = |count| {
        let head = served.asked(&target, &answer(&nonce, count, &target, "open sesame"));
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    };
    granted(1);
    assert_refused(&served.asked(&target, &answer(&nonce, 1, &target, "open sesame")), true);
    // Requests overtake each other.
    granted(3);
    granted(2);
    assert_refused(&served.asked(&target, &answer(&nonce, 2, &target, "open sesame")), true);
}

#[test]
fn a_nonce_that_was_made_elsewhere_is_stale() {
    let (served, other) = (serve(), serve());
    for nonce in [other.nonce(), "made-up".into(), String::new()] {
        assert_refused(&served.asked("host:22", &answer(&nonce, 1, "host:22", "open sesame")), true);
    }
}

#[test]
fn an_answer_is_for_one_target() {
    let (served, origin) = (serve(), Origin::echo());
    let other = answer(&served.nonce(), 1, "host:22", "open sesame");
    assert_refused(&served.asked(&origin.target(), &other), false);
}

#[test]
fn a_wrong_password_is_refused_whatever_the_nonce() {
    let served = serve();
    assert_refused(&served.asked("host:22", &answer(&served.nonce(), 1, "host:22", "wrong")), false);
    assert_refused(&served.asked("host:22", &answer("made-up", 1, "host:22", "wrong")), false);
    for nonsense in ["Digest", "Digest username=aladdin", "Digest \u{1f}", "Negotiate YII=", "aladdin"] {
        let head = served.asked("host:22", nonsense);
        assert!(head.starts_with("HTTP/1.1 40"), "{nonsense}: {head}");
    }
}

#[test]
fn no_password_and_nothing_made_of_one_is_logged() {
    let (served, origin) = (serve(), Origin::echo());
    let sent = answer(&served.nonce(), 1, &origin.target(), "open sesame");
    served.asked(&origin.target(), &sent);
    served.connect("aladdin", "open sesame", &origin.target()).exits(0);
    let log = served.running.stderr();
    let response = sent.split("response=\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(!log.contains("sesame") && !log.contains(response), "{log}");
}
