//! `check --starttls` with real servers behind Squid, and with one that slips bytes in.

use rcgen::KeyPair;

use crate::check::{check, report};
use crate::support::pki::{Leaf, Pki};
use crate::support::proxy::{Conn, ScriptedProxy};
use crate::support::real::{Proxy, Target};
use crate::support::{LIMIT, finish};

#[test]
fn a_real_smtp_server_goes_over_to_tls() {
    let (proxy, pki) = (Proxy::squid(), Pki::new());
    let (chain, key) = pki.files(Leaf::Good, &KeyPair::generate().unwrap());
    let server = Target::smtp(&chain, &key);
    let ca = pki.ca_file();
    let args = ["--json", "--starttls", "smtp", "--cacert", ca.to_str().unwrap(), &server.target()];
    let seen = report(&finish(&mut check(&proxy.url(), &args), b"", LIMIT).exits(0));
    assert_eq!(seen["starttls"]["protocol"], "smtp", "{seen}");
    assert!(seen["starttls"]["greeting"].as_str().unwrap().starts_with("220 "), "{seen}");
    assert_eq!(seen["tls"]["chain"][0]["subject"], "CN=localhost", "{seen}");
    assert_eq!(seen["stages"].as_array().unwrap().len(), 4, "{seen}");
}

#[test]
fn cups_goes_over_to_tls_by_rfc_2817() {
    let (proxy, cups) = (Proxy::squid(), Target::cups());
    let args = ["--json", "--starttls", "http", "--insecure", &cups.target()];
    let seen = report(&finish(&mut check(&proxy.url(), &args), b"", LIMIT).exits(0));
    assert!(seen["starttls"]["greeting"].as_str().unwrap().starts_with("HTTP/1.1 101"), "{seen}");
    assert!(seen["tls"]["chain"][0]["names"].to_string().contains("localhost"), "{seen}");
}

#[test]
fn what_keeps_a_server_from_tls_has_its_cause() {
    for (protocol, said, detail) in [
        ("imap", "* OK hi\r\na NO not today\r\n", "starttls-refused"),
        ("postgres", "N", "starttls-not-offered"),
        ("pop3", "220 this is ftp\r\n", "starttls-other-protocol"),
        ("pop3", "+OK\r\n+OK go\r\n+OK injected\r\n", "starttls-injected"),
        ("smtp", "220 hi\r\n", "starttls-closed"),
        ("http", "HTTP/1.1 426 Upgrade Required\r\nUpgrade: TLS/1.2\r\n\r\n", "starttls-refused"),
    ] {
        let proxy = ScriptedProxy::start(move |conn: &mut Conn| {
            conn.open("host:1");
            conn.send_in_vain(said);
            conn.finish_writing();
            conn.read_to_any_end();
        });
        let mut cmd = check(&proxy.url(), &["--json", "--starttls", protocol, "host:1"]);
        let seen = report(&finish(&mut cmd, b"", LIMIT).exits(10));
        assert_eq!(seen["error"]["detail"], detail, "{seen}");
        assert_eq!(seen["error"]["stage"], "tls", "{seen}");
        proxy.done();
    }
}

#[test]
fn a_protocol_that_is_not_known_is_usage() {
    let proxy = ScriptedProxy::untouched();
    finish(&mut check(&proxy.url(), &["--starttls", "gopher", "host:70"]), b"", LIMIT)
        .fails(2)
        .says("smtp, imap, pop3, ftp, ldap, postgres, mysql, xmpp, http");
    proxy.done();
}
