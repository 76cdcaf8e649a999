//! What `check` tells of TLS with a proxy: the same as of TLS with the target, with Apache and openssl as proxies.

use std::path::Path;
use std::process::Command;

use rcgen::KeyPair;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::check::{check, report, stages};
use crate::check_output::assert_valid;
use crate::check_tls::{s_server, text};
use crate::support::origin::Origin;
use crate::support::pki::{Leaf, Pki};
use crate::support::real::{Target, Way, run, tool};
use crate::support::{Finished, LIMIT, finish, wimble};

const DER_OF: &str = "openssl x509 -outform DER -in ";

#[test]
fn apaches_tls_is_reported_as_the_targets_is() {
    let pki = Pki::new();
    let (proxy, server) = (Way::apache_in_tls(&pki, false), pki.server(Leaf::Good));
    let (proxys_chain, saved, page) =
        (file(&pki, "chain.pem"), file(&pki, "saved.pem"), file(&pki, "page.html"));
    let (ca, target) = (pki.ca_file(), format!("localhost:{}", server.port()));
    let trusting = ["--proxy-cacert", text(&ca), "--cacert", text(&ca)];
    let files = ["--save-chain", text(&saved), "--html", text(&page)];
    let seen = json(&proxy, &[&trusting[..], &files, &[&target]].concat(), 0);
    assert_eq!(stages(&seen), ["resolve:ok", "tcp:ok", "proxy-tls:ok", "connect:ok", "tls:ok"]);
    let tls = &seen["stages"][2]["tls"];
    for (name, value) in [
        ("version", "TLSv1.3"),
        ("cipher_suite", "TLS_AES_256_GCM_SHA384"),
        ("group", "X25519"),
        ("signature_scheme", "ecdsa_secp256r1_sha256"),
        ("alpn", "http/1.1"),
        ("sni", "localhost"),
        ("name", "localhost"),
    ] {
        assert_eq!(tls[name], value, "{name}: {seen}");
    }
    assert_eq!(
        (&tls["resumption"], &tls["client_certificate_requested"]),
        (&true.into(), &false.into()),
        "{seen}"
    );
    assert_eq!(tls["trusted"]["cacert"], true, "{seen}");
    assert_eq!(tls["problems"], serde_json::json!([]));
    assert_eq!(tls["chain"][0]["sha256"], fingerprint(&proxys_chain), "{seen}");
    assert_eq!(tls["chain"][1]["subject"], "CN=wimble test intermediate");
    // Both have the same fields, but for what only a target can be; the file is the target's.
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!([names(tls), vec!["intercepted".into()]].concat().len(), names(&seen["tls"]).len());
    assert_eq!(seen["tls"]["chain"][0]["sha256"], fingerprint(&saved), "{seen}");
    assert_ne!(fingerprint(&saved), fingerprint(&proxys_chain));

    let text =
        finish(&mut through(&proxy, &[&trusting[..], &[&target]].concat()), b"", LIMIT).exits(0).text();
    let (proxys, targets) =
        text.split_once(&format!("tls with    the target {target}")).unwrap_or_else(|| panic!("{text}"));
    let (_, proxys) =
        proxys.split_once("tls with    the proxy localhost:").unwrap_or_else(|| panic!("{text}"));
    let page = std::fs::read_to_string(&page).unwrap();
    for (part, tls) in [(proxys, tls), (targets, &seen["tls"])] {
        for fact in [
            "signed with ecdsa_secp256r1_sha256, SNI localhost",
            "EC 256",
            "(8",
            "trusted by  the file given",
        ] {
            assert!(part.contains(fact), "{fact}: {text}");
        }
        let fingerprint = tls["chain"][0]["sha256"].as_str().unwrap();
        assert!(part.contains(fingerprint) && page.contains(fingerprint), "{fingerprint}: {text}");
    }
}

#[test]
fn each_verdict_on_a_proxy_is_told_apart_and_the_systems_decides() {
    let pki = Pki::new();
    let (proxy, target) = (Way::apache_in_tls(&pki, false), Origin::echo());
    let args = ["--json", "--no-tls", &target.target()];
    let trusted = |cmd: &mut Command, code| {
        let seen = report(&finish(cmd, b"", LIMIT).exits(code));
        let trusted = seen["stages"][2]["tls"]["trusted"].clone();
        assert_eq!((&trusted["mozilla"], &trusted["cacert"]), (&false.into(), &Value::Null), "{seen}");
        (trusted["system"].as_bool(), seen)
    };
    let mut cmd = through(&proxy, &args);
    let (system, seen) = trusted(cmd.env("SSL_CERT_FILE", pki.ca_file()), 0);
    assert_eq!(system, Some(true), "{seen}");
    // The file of the store does not know it, the directory beside it does.
    let (other, store) = (Pki::new(), tempfile::tempdir().unwrap());
    other.server_config(Leaf::OwnAuthority);
    std::fs::copy(pki.ca_file(), store.path().join("private.pem")).unwrap();
    let mut cmd = through(&proxy, &args);
    let (system, seen) =
        trusted(cmd.env("SSL_CERT_FILE", other.leaf_file()).env("SSL_CERT_DIR", store.path()), 0);
    assert_eq!(system, Some(true), "{seen}");
    // Nobody does, and the chain is told all the same.
    let mut cmd = through(&proxy, &args);
    let (system, seen) = trusted(cmd.env("SSL_CERT_FILE", other.leaf_file()), 5);
    assert_eq!(system, Some(false), "{seen}");
    assert_eq!(stages(&seen), ["resolve:ok", "tcp:ok", "proxy-tls:failed", "connect:skipped"]);
    assert_eq!(seen["stages"][2]["tls"]["chain"].as_array().unwrap().len(), 2, "{seen}");
    assert_eq!(seen["stages"][2]["tls"]["resumption"], Value::Null, "there is no session: {seen}");
    assert_eq!(seen["error"]["detail"], "proxy-untrusted", "{seen}");
    assert!(
        seen["error"]["message"].as_str().unwrap().contains("not known here: CN=wimble test root"),
        "{seen}"
    );
    // An authority of the same name is another one.
    let mut cmd = through(&proxy, &args);
    let (_, seen) = trusted(cmd.env("SSL_CERT_FILE", Pki::new().ca_file()), 5);
    let words = "it is not signed by the authority of this name that is known here: CN=wimble test root";
    assert!(seen["error"]["message"].as_str().unwrap().contains(words), "{seen}");
    // Whoever trusts anybody is told what is wrong.
    let (_, seen) = trusted(&mut through(&proxy, &[&args[..], &["--proxy-insecure"]].concat()), 0);
    assert!(seen["stages"][2]["tls"]["problems"][0].as_str().unwrap().contains("wimble test root"), "{seen}");
}

#[test]
fn what_is_wrong_with_a_proxys_certificate_is_told_in_words_and_numbers() {
    for (leaf, words) in [
        (Leaf::Expired, "days ago, on 2021-01-01"),
        (Leaf::NotYetValid, "it is not valid before 2048-01-01T00:00:00Z"),
        (Leaf::WrongName, "it is for elsewhere.test, not for localhost"),
        (Leaf::SelfSigned, "it is self-signed"),
    ] {
        let pki = Pki::new();
        let (chain, key) = pki.files(leaf, &KeyPair::generate().unwrap());
        let seen = json_of(&s_server(&chain, &key, &[]), &["--proxy-cacert", text(&pki.ca_file())], 5);
        assert!(seen["error"]["message"].as_str().unwrap().contains(words), "{words}: {seen}");
        assert!(seen["stages"][2]["tls"]["problems"][0].as_str().unwrap().contains(words), "{words}: {seen}");
    }
}

#[test]
fn a_certificate_that_no_trust_helps_is_called_what_it_is_and_insecure_takes_it_all_the_same() {
    let pki = Pki::new();
    let (chain, key) = (file(&pki, "weak.pem"), file(&pki, "weak.key"));
    run(tool("openssl", "openssl")
        .args(["req", "-x509", "-newkey", "rsa:1024", "-nodes", "-days", "9", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-keyout", text(&key), "-out", text(&chain)]));
    let weak = s_server(&chain, &key, &["-cipher", "DEFAULT@SECLEVEL=0"]);
    let seen = json_of(&weak, &["--proxy-cacert", text(&chain)], 5);
    assert!(seen["error"]["message"].as_str().unwrap().contains("its key is too short: RSA 1024"), "{seen}");
    assert_eq!(seen["stages"][2]["tls"]["chain"][0]["key"], "RSA 1024", "{seen}");

    let (old, old_key, request) = (file(&pki, "old.pem"), file(&pki, "old.key"), file(&pki, "old.csr"));
    run(tool("openssl", "openssl")
        .args(["req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"])
        .args(["-keyout", text(&old_key), "-out", text(&request)]));
    run(tool("openssl", "openssl").args(["x509", "-req", "-days", "9", "-in", text(&request)]).args([
        "-signkey",
        text(&old_key),
        "-out",
        text(&old),
    ]));
    let version_1 = s_server(&old, &old_key, &[]);
    for (server, file, words) in [
        (&weak, &chain, "its key is too short: RSA 1024"),
        (&version_1, &old, "it is of an old version, X.509 v1"),
    ] {
        let mut connect = wimble();
        connect.args(["connect", "-x", &format!("https://{}", server.target()), "host:22"]);
        let finished = finish(connect.args(["--proxy-cacert", text(file)]), b"", LIMIT).fails(5);
        finished.says(words).says("--proxy-insecure");
        // It stands, and openssl, whose input has ended, says nothing to a CONNECT.
        let seen = json_of(server, &["--proxy-insecure"], 4);
        assert_eq!(stages(&seen)[2], "proxy-tls:ok", "{seen}");
    }
}

#[test]
fn a_proxy_of_tls_1_2_that_misses_our_certificate_has_a_hint_that_names_one() {
    let pki = Pki::new();
    let (chain, key) = pki.files(Leaf::Good, &KeyPair::generate().unwrap());
    let server = s_server(&chain, &key, &["-tls1_2", "-Verify", "1"]);
    let mut connect = wimble();
    connect.args(["connect", "-x", &format!("https://{}", server.target()), "host:22"]);
    finish(connect.args(["--proxy-cacert", text(&pki.ca_file())]), b"", LIMIT).fails(5).says("--proxy-cert");
}

#[test]
fn a_proxy_that_wants_a_certificate_says_so_behind_its_handshake_and_that_is_the_stage_that_fails() {
    let pki = Pki::new();
    let (proxy, target) = (Way::apache_in_tls(&pki, true), Origin::echo());
    let (ca, (certificate, key)) = (pki.ca_file(), pki.identity());
    let args = ["--no-tls", "--proxy-cacert", text(&ca), &target.target()];
    let seen = json(&proxy, &args, 5);
    assert_eq!(stages(&seen), ["resolve:ok", "tcp:ok", "proxy-tls:failed", "connect:skipped"]);
    assert_eq!(seen["error"]["detail"], "proxy-wants-certificate", "{seen}");
    assert_eq!(seen["stages"][2]["tls"]["client_certificate_requested"], true, "{seen}");
    assert_eq!(seen["stages"][2]["tls"]["chain"].as_array().unwrap().len(), 2, "{seen}");
    let identified = ["--proxy-cert", text(&certificate), "--proxy-key", text(&key)];
    let seen = json(&proxy, &[&args[..], &identified].concat(), 0);
    assert_eq!(seen["stages"][2]["tls"]["client_certificate_requested"], true, "{seen}");
}

#[test]
fn a_proxys_certificate_that_ends_soon_fails_a_check_that_went_well_otherwise() {
    let pki = Pki::new();
    let (proxy, target) = (Way::apache_showing(Leaf::SomeYears, &pki, false), Origin::echo());
    let ca = pki.ca_file();
    let args = ["--no-tls", "--proxy-cacert", text(&ca), &target.target(), "--warn-expiry"];
    json(&proxy, &[&args[..], &["30d"]].concat(), 0);
    let seen = json(&proxy, &[&args[..], &["3650d"]].concat(), 5);
    assert_eq!(seen["error"]["detail"], "expires-soon", "{seen}");
    assert_eq!(seen["error"]["stage"], "proxy-tls", "{seen}");
    assert!(seen["error"]["message"].as_str().unwrap().contains("it expires in "), "{seen}");
    assert_eq!(stages(&seen), ["resolve:ok", "tcp:ok", "proxy-tls:failed", "connect:ok"]);
    // Whoever trusts anybody asks for it all the same.
    let args = ["--no-tls", "--proxy-insecure", &target.target(), "--warn-expiry"];
    json(&proxy, &[&args[..], &["30d"]].concat(), 0);
    let seen = json(&proxy, &[&args[..], &["3650d"]].concat(), 5);
    assert_eq!(seen["error"]["detail"], "expires-soon", "{seen}");
}

/// SHA-256 of the first certificate in a file, by openssl.
fn fingerprint(pem: &Path) -> String {
    let der = Command::new("sh").arg("-c").arg(format!("{DER_OF}{}", pem.display())).output().unwrap().stdout;
    assert!(!der.is_empty(), "{}", pem.display());
    Sha256::digest(&der).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn file(pki: &Pki, name: &str) -> std::path::PathBuf {
    pki.ca_file().with_file_name(name)
}

fn through(proxy: &Way, args: &[&str]) -> Command {
    check(&proxy.url(), args)
}

fn json(proxy: &Way, args: &[&str], code: i32) -> Value {
    valid(&finish(&mut through(proxy, &[&["--json"], args].concat()), b"", LIMIT).exits(code))
}

/// Through a TLS server that is no proxy: that is as far as it goes.
fn json_of(server: &Target, args: &[&str], code: i32) -> Value {
    let url = format!("https://{}", server.target());
    valid(&finish(&mut check(&url, &[&["--json", "host:443"], args].concat()), b"", LIMIT).exits(code))
}

fn valid(finished: &Finished) -> Value {
    assert_valid(finished);
    report(finished)
}
