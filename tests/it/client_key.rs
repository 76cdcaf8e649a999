//! Our own key for a proxy, encrypted as openssl does it: who is asked for the passphrase, and what is told.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::auth::on_a_terminal;
use crate::credentials::{Folder, askpass, prompts};
use crate::support::origin::Origin;
use crate::support::pki::Pki;
use crate::support::proxy::ScriptedProxy;
use crate::support::real::{Way, run, tool};
use crate::support::{LIMIT, finish, wimble, wimble_through};

const PASSPHRASE: &str = "open sesame 4471";

/// A client's certificate, and its key in the form that openssl makes of it with these options.
fn identity(pki: &Pki, form: &[&str]) -> (PathBuf, PathBuf) {
    let (certificate, key) = pki.identity();
    let encrypted = key.with_file_name("encrypted.key");
    let pass = format!("pass:{PASSPHRASE}");
    let mut openssl = tool("openssl", "openssl");
    openssl.args(form).args(["-passout", &pass, "-in"]).arg(&key).arg("-out").arg(&encrypted);
    run(&mut openssl);
    std::fs::set_permissions(&encrypted, std::fs::Permissions::from_mode(0o600)).unwrap();
    (certificate, encrypted)
}

/// `check`: Apache ends a tunnel without close_notify, which `connect` tells.
fn through(url: &str, pki: &Pki, (certificate, key): &(PathBuf, PathBuf), target: &str) -> Command {
    let mut cmd = wimble();
    cmd.args(["check", "--no-tls", "-x", url, "--proxy-cacert"]).arg(pki.ca_file());
    cmd.arg("--proxy-cert").arg(certificate).arg("--proxy-key").arg(key).arg(target);
    cmd
}

fn asking<'a>(cmd: &'a mut Command, program: &Path) -> &'a mut Command {
    cmd.env("SSH_ASKPASS", program).env("SSH_ASKPASS_REQUIRE", "force")
}

#[test]
fn apache_lets_in_whose_key_was_opened_by_the_passphrase() {
    let (pki, target) = (Pki::new(), Origin::echo());
    let proxy = Way::apache_in_tls(&pki, true);
    for form in [
        &["pkcs8", "-topk8"][..],
        &["pkcs8", "-topk8", "-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA512"],
        &["pkcs8", "-topk8", "-scrypt"],
        &["pkey", "-aes-192-cbc"],
    ] {
        let folder = Folder::new();
        let program = askpass(&folder, &format!("{PASSPHRASE}\n"));
        let mut cmd = through(&proxy.url(), &pki, &identity(&pki, form), &target.target());
        let finished = finish(asking(cmd.arg("-vv"), &program), b"", LIMIT).exits(0);
        assert!(!finished.stderr.contains(PASSPHRASE), "{}", finished.stderr);
        let asked = prompts(&folder);
        assert!(asked.starts_with("Passphrase for ") && asked.contains("encrypted.key"), "{asked:?}");
    }
}

#[test]
fn a_person_types_it_on_the_terminal_and_may_mistype_it() {
    let (pki, target) = (Pki::new(), Origin::echo());
    let proxy = Way::apache_in_tls(&pki, true);
    let cmd = through(&proxy.url(), &pki, &identity(&pki, &["pkcs8", "-topk8"]), &target.target());
    let (finished, shown) = on_a_terminal(&cmd, &format!("not this\n{PASSPHRASE}\n"), b"");
    finished.exits(0);
    assert!(shown.contains("That passphrase does not open it."), "{shown:?}");
    assert!(!shown.contains(PASSPHRASE) && !shown.contains("not this"), "{shown:?}");
}

#[test]
fn a_passphrase_that_is_wrong_three_times_is_called_that_and_the_proxy_hears_nothing() {
    let (pki, proxy, folder) = (Pki::new(), ScriptedProxy::untouched(), Folder::new());
    let identity = identity(&pki, &["pkcs8", "-topk8"]);
    let program = askpass(&folder, "one\ntwo\nthree\nfour\n");
    let mut cmd = through(&proxy.url(), &pki, &identity, "host:22");
    finish(asking(&mut cmd, &program), b"", LIMIT)
        .fails(2)
        .says("the passphrase is wrong")
        .says("encrypted.key");
    assert_eq!(prompts(&folder).lines().count(), 3);
    proxy.done();
}

#[test]
fn without_anybody_to_ask_and_for_what_is_not_pkcs8_it_says_what_to_do() {
    let (pki, proxy) = (Pki::new(), ScriptedProxy::untouched());
    for (form, words) in [
        (&["pkcs8", "-topk8"][..], "nobody can be asked for the passphrase"),
        (&["pkey", "-aes256", "-traditional"], "openssl pkcs8 -topk8 -in FILE -out NEW"),
        (&["pkcs8", "-topk8", "-v1", "PBE-SHA1-3DES"], "openssl pkcs8 -topk8 -v2 aes-256-cbc"),
    ] {
        let cmd = through(&proxy.url(), &pki, &identity(&pki, form), "host:22");
        finish(&mut wimble_through("setsid", &[], &cmd), b"", LIMIT).fails(2).says(words).says("encrypted");
    }
    let (certificate, key) = pki.identity();
    std::fs::write(&key, "-----BEGIN ENCRYPTED PRIVATE KEY-----\n%\n-----END ENCRYPTED PRIVATE KEY-----\n")
        .unwrap();
    finish(&mut through(&proxy.url(), &pki, &(certificate, key), "host:22"), b"", LIMIT)
        .fails(2)
        .says("base64");
    proxy.done();
}

#[test]
fn a_comparison_asks_once() {
    let (pki, target, folder) = (Pki::new(), Origin::echo(), Folder::new());
    let proxy = Way::apache_in_tls(&pki, true);
    let (certificate, key) = identity(&pki, &["pkcs8", "-topk8"]);
    let program = askpass(&folder, &format!("{PASSPHRASE}\n"));
    let mut cmd = wimble();
    cmd.args(["check", "--no-tls", "-x", &proxy.url(), "--compare", &proxy.url(), "--proxy-cacert"]);
    cmd.arg(pki.ca_file()).arg("--proxy-cert").arg(certificate).arg("--proxy-key").arg(key);
    finish(asking(cmd.arg(target.target()), &program), b"", LIMIT).exits(0);
    assert_eq!(prompts(&folder).lines().count(), 1);
}
