//! The facts of TLS with `openssl s_server` behind Squid, compared with what openssl itself says of it; and each
//! thing that can be wrong with a server, in words.

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, mpsc};

use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use crate::check::{check, check_directly, report};
use crate::support::origin::Origin;
use crate::support::pki::{Leaf, Pki};
use crate::support::real::{Proxy, Sshd, Target, run, tool};
use crate::support::{LIMIT, finish};

#[test]
fn the_facts_are_those_that_openssl_sees() {
    let proxy = Proxy::squid();
    for (key, key_words, options, version, alpn) in [
        (ecdsa(), "EC 256", &["-alpn", "h2"][..], "TLSv1.3", Some("h2")),
        (
            openssls_key(&["RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
            "RSA 2048",
            &["-tls1_2"],
            "TLSv1.2",
            None,
        ),
        (openssls_key(&["ED25519"]), "Ed25519", &["-tls1_3"], "TLSv1.3", None),
        (KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap(), "EC 384", &["-no_ticket"], "TLSv1.3", None),
    ] {
        let pki = Pki::new();
        let (chain, key) = pki.files(Leaf::Good, &key);
        let server = s_server(&chain, &key, options);
        let saved = chain.with_file_name("saved.pem");
        let ca = pki.ca_file();
        let args = ["--cacert", text(&ca), "--alpn", "h2", "--save-chain", text(&saved)];
        let seen = json(&proxy.url(), &args, &server.target(), 0);
        let tls = &seen["tls"];
        assert_eq!(tls["version"], version, "{seen}");
        assert_eq!(tls["alpn"].as_str(), alpn, "{seen}");
        assert_eq!(tls["sni"], "localhost");
        assert_eq!(tls["client_certificate_requested"], false);
        assert!(tls["ocsp_staple_bytes"].is_null(), "{seen}");
        let leaf = &tls["chain"][0];
        assert_eq!(leaf["key"], key_words);
        assert_eq!(
            std::fs::read_to_string(&saved).unwrap(),
            std::fs::read_to_string(&chain).unwrap().replace("\r\n", "\n")
        );

        // openssl x509 on the same certificate.
        let x509 = |args: &[&str]| {
            run(tool("openssl", "openssl").args(["x509", "-noout", "-in", text(&saved)]).args(args))
        };
        let bare = |text: String| text.trim().split_once('=').unwrap().1.replace(':', "").to_lowercase();
        assert_eq!(leaf["sha256"], bare(x509(&["-fingerprint", "-sha256"])), "{seen}");
        assert_eq!(leaf["serial"].as_str().unwrap().replace(':', ""), bare(x509(&["-serial"])), "{seen}");
        let all = x509(&["-text"]);
        let signature =
            all.lines().find_map(|line| line.trim().strip_prefix("Signature Algorithm: ")).unwrap();
        assert_eq!(leaf["signature"], signature, "{seen}");
        assert!(all.contains("Not After : Jan  1 00:00:00 2049 GMT"), "{all}");
        assert_eq!(leaf["not_after"], "2049-01-01T00:00:00Z");
        let script = format!(
            "openssl x509 -noout -pubkey -in {} | openssl pkey -pubin -outform DER | openssl sha256",
            text(&saved)
        );
        let key_print = run(tool("sh", "dash").args(["-c", &script]));
        assert!(key_print.trim().ends_with(leaf["key_sha256"].as_str().unwrap()), "{key_print} {seen}");

        // openssl s_client on the same server.
        let script = format!(
            "openssl s_client -connect {} -alpn h2 -servername localhost </dev/null 2>/dev/null",
            server.target()
        );
        let said = run(tool("sh", "dash").args(["-c", &script]));
        let suite = tls["cipher_suite"].as_str().unwrap();
        let names = run(tool("openssl", "openssl").args(["ciphers", "-stdname"]));
        let named =
            names.lines().find(|line| line.starts_with(suite)).unwrap_or_else(|| panic!("{suite}: {names}"));
        let openssls = named.split_whitespace().nth(2).unwrap();
        assert!(said.contains(&format!("Cipher is {openssls}")), "{openssls}: {said}");
        assert!(said.contains(&format!("New, {version}")) || said.contains(version), "{said}");
        assert!(said.contains("X25519") == (tls["group"] == "X25519"), "{said} {seen}");
        // A signature scheme has s_client's type and digest in its name.
        let scheme = tls["signature_scheme"].as_str().unwrap();
        let kind = said.lines().find_map(|line| line.strip_prefix("Peer signature type: ")).unwrap();
        let stem = if kind == "RSA-PSS" { "rsa_pss" } else { &kind.to_lowercase() };
        assert!(scheme.starts_with(stem), "{scheme}: {kind}");
        let offers_tickets = !options.contains(&"-no_ticket");
        assert_eq!(tls["resumption"], offers_tickets || version == "TLSv1.3", "{seen}");
    }
}

#[test]
fn each_thing_that_is_wrong_is_told_in_words_and_the_chain_with_it() {
    let proxy = Proxy::squid();
    for (leaf, detail, words) in [
        (Leaf::Expired, "expired", "days ago, on 2021-01-01"),
        (Leaf::NotYetValid, "not-yet-valid", "it is not valid before 2048-01-01T00:00:00Z"),
        (Leaf::WrongName, "wrong-name", "it is for elsewhere.test, not for localhost"),
        (Leaf::SelfSigned, "self-signed", "it is self-signed"),
    ] {
        let pki = Pki::new();
        let (chain, key) = pki.files(leaf, &ecdsa());
        let server = s_server(&chain, &key, &[]);
        let seen = json(&proxy.url(), &["--cacert", text(&pki.ca_file())], &server.target(), 10);
        assert_eq!(seen["error"]["detail"], detail, "{seen}");
        assert!(seen["error"]["message"].as_str().unwrap().contains(words), "{words}: {seen}");
        assert!(seen["tls"]["problems"][0].as_str().unwrap().contains(words), "{words}: {seen}");
        assert!(!seen["tls"]["chain"].as_array().unwrap().is_empty(), "{seen}");
    }
}

#[test]
fn a_missing_intermediate_is_told_from_an_unknown_issuer() {
    let (proxy, pki) = (Proxy::squid(), Pki::new());
    let (chain, key) = pki.files(Leaf::Good, &ecdsa());
    let alone = Target::openssl(&["-cert", text(&chain), "-key", text(&key)]);
    let seen = json(&proxy.url(), &["--cacert", text(&pki.ca_file())], &alone.target(), 10);
    assert_eq!(seen["error"]["detail"], "missing-intermediate", "{seen}");
    assert!(seen["error"]["message"].as_str().unwrap().contains("wimble test intermediate"), "{seen}");
    let whole = s_server(&chain, &key, &[]);
    let seen = json(&proxy.url(), &[], &whole.target(), 10);
    assert_eq!(seen["error"]["detail"], "unknown-issuer", "{seen}");
    assert!(seen["error"]["message"].as_str().unwrap().contains("wimble test root"), "{seen}");
}

#[test]
fn what_a_certificate_calls_itself_says_nothing_about_its_issuer() {
    let pki = Pki::new();
    let server = pki.server(Leaf::Misleading);
    let mut cmd = check_directly(server.port(), &["--cacert", text(&pki.ca_file())]);
    let seen = report(&finish(&mut cmd, b"", LIMIT).exits(10));
    let problem = "it is for BadSignature.UnknownIssuer.test, not for localhost";
    assert_eq!(seen["tls"]["problems"], serde_json::json!([problem]), "{seen}");
    assert_eq!(seen["error"]["detail"], "wrong-name", "{seen}");
}

#[test]
fn a_weak_key_is_refused_whoever_is_trusted_unless_anybody_is() {
    let (proxy, pki) = (Proxy::squid(), Pki::new());
    let (chain, key) = (pki.ca_file().with_file_name("weak.pem"), pki.ca_file().with_file_name("weak.key"));
    run(tool("openssl", "openssl")
        .args(["req", "-x509", "-newkey", "rsa:1024", "-nodes", "-days", "9", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-keyout", text(&key), "-out", text(&chain)]));
    for version in ["-tls1_2", "-tls1_3"] {
        let server = s_server(&chain, &key, &[version, "-cipher", "DEFAULT@SECLEVEL=0"]);
        let seen = json(&proxy.url(), &["--insecure"], &server.target(), 0);
        assert!(seen["tls"]["problems"][0].as_str().unwrap().contains("RSA 1024"), "{seen}");
        let seen = json(&proxy.url(), &["--cacert", text(&chain)], &server.target(), 10);
        assert_eq!(seen["error"]["detail"], "weak-key", "{seen}");
        assert!(seen["error"]["message"].as_str().unwrap().contains("RSA 1024"), "{seen}");
        assert_eq!(seen["tls"]["chain"][0]["key"], "RSA 1024", "{seen}");
    }
}

#[test]
fn a_broken_signature_and_what_the_verifier_alone_sees_have_their_cause() {
    let (proxy, pki) = (Proxy::squid(), Pki::new());
    let file = |name: &str| pki.ca_file().with_file_name(name);
    let (key, other) = (file("old.key"), file("other.key"));
    let request = |digest: &str, cn: &str, more: &str, key: &Path, out: &Path| {
        run(tool("openssl", "openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9", "-subj", cn, digest])
            .args([
                "-addext",
                "subjectAltName=DNS:localhost",
                "-addext",
                more,
                "-keyout",
                text(key),
                "-out",
                text(out),
            ]));
    };
    request("-sha1", "/CN=localhost", "keyUsage=digitalSignature", &key, &file("sha1.pem"));
    let server = s_server(&file("sha1.pem"), &key, &["-cipher", "DEFAULT@SECLEVEL=0"]);
    let seen = json(&proxy.url(), &[], &server.target(), 10);
    assert_eq!(seen["error"]["detail"], "weak-signature", "{seen}");
    assert!(seen["error"]["message"].as_str().unwrap().contains("sha1WithRSAEncryption"), "{seen}");

    // For its name, in time, from who is trusted, and for mail alone.
    request("-sha256", "/CN=authority", "keyUsage=keyCertSign", &other, &file("authority.pem"));
    let mail = file("mail.pem");
    let script = format!(
        "cd {dir} && openssl req -new -key old.key -subj /CN=localhost | openssl x509 -req -days 9 -CA authority.pem \
         -CAkey other.key -CAcreateserial -out mail.pem -extfile mail.ext 2>/dev/null",
        dir = text(mail.parent().unwrap())
    );
    std::fs::write(file("mail.ext"), "subjectAltName=DNS:localhost\nextendedKeyUsage=emailProtection\n")
        .unwrap();
    run(tool("sh", "dash").args(["-c", &script]));
    let server = s_server(&mail, &key, &[]);
    let seen = json(&proxy.url(), &["--cacert", text(&file("authority.pem"))], &server.target(), 10);
    assert_eq!(seen["error"]["detail"], "untrusted", "{seen}");
}

#[test]
fn who_shows_a_certificate_and_does_not_have_its_key_is_not_trusted_and_told_nothing() {
    let pki = Pki::new();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = pki.copyist(&[version]);
        let (tell, told) = mpsc::channel();
        let target = Origin::serving(move |tcp| {
            let mut tls = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), tcp);
            let mut asked = Vec::new();
            let _any_end = tls.read_to_end(&mut asked);
            tell.send(asked).unwrap();
        });
        let target = target.target().replace("127.0.0.1", "localhost");
        let ca = pki.ca_file();
        let seen = json("direct", &["--cacert", text(&ca), "--http=/secret"], &target, 10);
        assert_eq!(seen["error"]["detail"], "copied-certificate", "{seen}");
        assert_eq!(seen["tls"]["chain"].as_array().unwrap().len(), 2, "{seen}");
        assert_eq!(seen["tls"]["trusted"]["cacert"], false, "{seen}");
        assert_eq!(told.recv_timeout(LIMIT).unwrap(), b"", "a request");
    }
}

#[test]
fn a_staple_is_seen() {
    let (proxy, pki) = (Proxy::squid(), Pki::new());
    let dir = pki.ca_file().with_file_name("");
    let script = "openssl req -x509 -newkey rsa:2048 -nodes -days 9 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
         -keyout own.key -out own.pem 2>/dev/null && \
         printf 'V\\t490101000000Z\\t\\t%s\\tunknown\\t/CN=localhost\\n' $(openssl x509 -noout -serial -in own.pem | cut -d= -f2) >index && \
         openssl ocsp -index index -rsigner own.pem -rkey own.key -CA own.pem -issuer own.pem -cert own.pem -noverify -respout staple >/dev/null 2>&1";
    run(tool("sh", "dash").current_dir(&dir).args(["-c", script]));
    let staple = dir.join("staple");
    let server = s_server(&dir.join("own.pem"), &dir.join("own.key"), &["-status_file", text(&staple)]);
    let seen = json(&proxy.url(), &["--insecure"], &server.target(), 0);
    assert_eq!(seen["tls"]["ocsp_staple_bytes"], std::fs::metadata(&staple).unwrap().len(), "{seen}");
}

#[test]
fn a_server_that_wants_a_certificate_says_so() {
    let (proxy, pki) = (Proxy::squid(), Pki::new());
    let (chain, key) = pki.files(Leaf::Good, &ecdsa());
    for version in ["-tls1_2", "-tls1_3"] {
        let server = s_server(&chain, &key, &[version, "-Verify", "1"]);
        let seen = json(&proxy.url(), &["--cacert", text(&pki.ca_file())], &server.target(), 10);
        assert_eq!(seen["error"]["detail"], "client-certificate", "{version}: {seen}");
        assert_eq!(seen["tls"]["client_certificate_requested"], true, "{version}: {seen}");
        assert_eq!(seen["tls"]["chain"].as_array().unwrap().len(), 2, "{version}: {seen}");
    }
}

#[test]
fn a_certificate_that_ends_soon_fails_early_if_that_is_wanted() {
    let (proxy, pki) = (Proxy::squid(), Pki::new());
    let server = pki.server(Leaf::Good);
    let target = format!("localhost:{}", server.port());
    let ca = pki.ca_file();
    json(&proxy.url(), &["--cacert", text(&ca), "--warn-expiry", "30d"], &target, 0);
    // Self-signed, of nine days.
    let (chain, key) = (ca.with_file_name("short.pem"), ca.with_file_name("short.key"));
    run(tool("openssl", "openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-keyout", text(&key), "-out", text(&chain)]));
    let server = s_server(&chain, &key, &[]);
    let args = ["--cacert", text(&chain), "--warn-expiry", "30d"];
    let seen = json(&proxy.url(), &args, &server.target(), 10);
    assert_eq!(seen["error"]["detail"], "expires-soon", "{seen}");
    // Nine days are whole in the second in which it was made.
    let message = seen["error"]["message"].as_str().unwrap();
    assert!(
        ["it expires in 8 days", "it expires in 9 days"].iter().any(|words| message.contains(words)),
        "{seen}"
    );
    json(&proxy.url(), &["--cacert", text(&chain), "--warn-expiry", "5d"], &server.target(), 0);
    // Trust that is waived is not the expiry that is asked for; neither hides the other.
    let seen = json(&proxy.url(), &["--insecure", "--warn-expiry", "30d"], &server.target(), 10);
    assert_eq!(seen["error"]["detail"], "expires-soon", "{seen}");
    assert_eq!(seen["tls"]["problems"][0], "it is self-signed", "{seen}");
    json(&proxy.url(), &["--insecure", "--warn-expiry", "5d"], &server.target(), 0);
    let seen = json(&proxy.url(), &["--warn-expiry", "30d"], &server.target(), 10);
    assert_eq!(seen["error"]["detail"], "self-signed", "{seen}");
    assert!(seen["error"]["message"].as_str().unwrap().contains("self-signed; it expires in "), "{seen}");
    // What has ended already did not end later than was asked for.
    let ended = pki.server(Leaf::Expired);
    let target = format!("localhost:{}", ended.port());
    let seen = json(&proxy.url(), &["--insecure", "--warn-expiry", "30d"], &target, 10);
    assert_eq!(seen["error"]["detail"], "expired", "{seen}");
    json(&proxy.url(), &["--insecure"], &target, 0);
}

#[test]
fn a_certificate_that_is_in_this_systems_store_itself_is_trusted_for_its_name_and_in_its_time() {
    let (proxy, pki) = (Proxy::squid(), Pki::new());
    let path = |name: &str| pki.ca_file().with_file_name(name);
    let (chain, key) = (path("own.pem"), path("own.key"));
    run(tool("openssl", "openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-keyout", text(&key), "-out", text(&chain)]));
    let server = s_server(&chain, &key, &[]);
    let seen = |store: &Path, args: &[&str], code| {
        let target = server.target();
        let args = [&["--json", &target], args].concat();
        let mut cmd = check(&proxy.url(), &args);
        report(&finish(cmd.env("SSL_CERT_FILE", store), b"", LIMIT).exits(code))
    };
    // What openssl says of it.
    let openssl = run(tool("openssl", "openssl").args(["verify", "-CAfile", text(&chain), text(&chain)]));
    assert!(openssl.contains(": OK"), "{openssl}");
    let trusted = seen(&chain, &[], 0);
    assert_eq!(trusted["tls"]["trusted"]["system"], true, "{trusted}");
    let other = seen(&pki.ca_file(), &[], 10);
    assert_eq!(other["tls"]["trusted"]["system"], false, "{other}");
    let misnamed = seen(&chain, &["--sni", "elsewhere.test"], 10);
    assert_eq!(misnamed["error"]["detail"], "wrong-name", "{misnamed}");
    // An https:// proxy is judged by the same: it is no proxy, but its TLS stands.
    let url = format!("https://{}", server.target());
    let mut cmd = crate::support::wimble();
    let cmd = cmd.args(["connect", "--proxy", &url, "--proxy-timeout", "1s", "host:22"]);
    let finished = finish(cmd.env("SSL_CERT_FILE", &chain), b"", LIMIT);
    finished.exits_with_any(&[4, 124]);
    let finished = finish(cmd.env("SSL_CERT_FILE", pki.ca_file()), b"", LIMIT);
    assert_eq!(finished.code, Some(5), "{}", finished.stderr);
}

#[test]
fn a_request_inside_the_tunnel_is_answered() {
    let (proxy, pki) = (Proxy::squid(), Pki::new());
    let server = pki.server(Leaf::Good);
    let ca = pki.ca_file();
    let args = ["--cacert", text(&ca), "--http=/5", "--http-get"];
    let seen = json(&proxy.url(), &args, &format!("localhost:{}", server.port()), 0);
    assert_eq!(
        (&seen["http"]["version"], &seen["http"]["status"]),
        (&"HTTP/1.1".into(), &200.into()),
        "{seen}"
    );
    assert_eq!(seen["stages"][4]["name"], "http", "{seen}");
    let (chain, key) = pki.files(Leaf::Good, &ecdsa());
    let nginx = Target::nginx(&chain, &key);
    for (offer, protocol, version) in
        [(&[][..], "h2", "HTTP/2"), (&["--alpn", "http/1.1"], "http/1.1", "HTTP/1.1")]
    {
        let args = [&["--cacert", text(&ca), "--http=/nothing"], offer].concat();
        let seen = json(&proxy.url(), &args, &nginx.target(), 0);
        assert_eq!(
            (&seen["tls"]["alpn"], &seen["http"]["version"]),
            (&protocol.into(), &version.into()),
            "{seen}"
        );
        assert_eq!(seen["http"]["status"], 404, "{seen}");
        assert!(seen["http"]["server"].as_str().unwrap().starts_with("nginx"), "{seen}");
    }
    // Nothing is sent to who is not trusted.
    let seen = json(&proxy.url(), &["--http"], &format!("localhost:{}", server.port()), 10);
    assert_eq!(seen["stages"][4]["status"], "skipped", "{seen}");
}

#[test]
fn a_target_that_agrees_on_http_2_and_speaks_something_else_is_called_that() {
    let pki = Pki::new();
    let mut config = ServerConfig::clone(&pki.server_config(Leaf::Good));
    config.alpn_protocols = vec![b"h2".to_vec()];
    let config = Arc::new(config);
    for (said, code) in [(&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], 9), (b"", 11)] {
        let config = config.clone();
        let target = Origin::serving(move |tcp| {
            let mut tls = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), tcp);
            tls.read_exact(&mut [0; 24]).unwrap();
            tls.write_all(said).unwrap();
            tls.conn.send_close_notify();
            tls.flush().unwrap();
            let _any_end = io::copy(&mut tls.sock, &mut io::sink());
        });
        let target = target.target().replace("127.0.0.1", "localhost");
        let seen = json("direct", &["--cacert", text(&pki.ca_file()), "--http"], &target, code);
        assert_eq!(
            (&seen["tls"]["alpn"], &seen["error"]["detail"]),
            (&"h2".into(), &"no-http".into()),
            "{seen}"
        );
    }
}

#[test]
fn sshd_is_known_by_its_banner() {
    let (proxy, sshd) = (Proxy::squid(), Sshd::start());
    let seen = json(&proxy.url(), &["--no-tls"], &sshd.target(), 0);
    assert!(seen["banner"].as_str().unwrap().starts_with("SSH-2.0-OpenSSH"), "{seen}");
    let mut cmd = check(&proxy.url(), &["--no-tls", &sshd.target()]);
    let text = finish(&mut cmd, b"", LIMIT).exits(0).text();
    assert!(text.lines().any(|line| line.starts_with("  banner      SSH-2.0-OpenSSH")), "{text}");
}

fn ecdsa() -> KeyPair {
    KeyPair::generate().unwrap()
}

/// In a form that openssl reads: rcgen makes no RSA keys, and Ed25519 keys with the public half in them.
fn openssls_key(algorithm: &[&str]) -> KeyPair {
    let pem = run(tool("openssl", "openssl").args(["genpkey", "-algorithm"]).args(algorithm));
    KeyPair::from_pem(&pem).unwrap()
}

/// With the whole chain.
pub(crate) fn s_server(chain: &Path, key: &Path, options: &[&str]) -> Target {
    const END: &str = "-----END CERTIFICATE-----";
    let others = chain.with_file_name("others.pem");
    let pem = std::fs::read_to_string(chain).unwrap();
    std::fs::write(&others, pem.split_once(END).unwrap().1.trim_start()).unwrap();
    let mut args = vec!["-cert", text(chain), "-key", text(key)];
    if pem.matches(END).count() > 1 {
        args.extend(["-cert_chain", text(&others)]);
    }
    args.extend(options);
    Target::openssl(&args)
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn json(proxy: &str, options: &[&str], target: &str, code: i32) -> Value {
    let mut cmd: Command = check(proxy, &[&["--json", target], options].concat());
    report(&finish(&mut cmd, b"", LIMIT).exits(code))
}
