//! `serve --tls-cert --tls-key`: an https:// proxy, met by the real client, by curl, and by raw TLS.

use std::fs::Permissions;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, mpsc};

use rcgen::KeyPair;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::support::origin::Origin;
use crate::support::pki::{Leaf, Pki};
use crate::support::proxy::Conn;
use crate::support::real::tool;
use crate::support::{
    Finished, LIMIT, Running, assert_same, finish, in_time, listening, noise, wimble, write_until_stopped,
};

const BIG: usize = 16 << 20;

pub(crate) fn serve(pki: &Pki, more: &[&str]) -> (Running, u16) {
    let (chain, key) = pki.files(Leaf::Good, &KeyPair::generate().unwrap());
    std::fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let mut cmd = wimble();
    cmd.args(["serve", "--listen", "127.0.0.1:0", "--tls-cert"]).arg(chain).arg("--tls-key").arg(key);
    listening(cmd.args(more))
}

fn serve_plain() -> (Running, u16) {
    listening(wimble().args(["serve", "--listen", "127.0.0.1:0"]))
}

fn connect(pki: &Pki, port: u16, target: &str, stdin: &[u8]) -> Finished {
    let mut cmd = wimble();
    cmd.args(["connect", "--half-close-delay", "0", "--proxy", &format!("https://localhost:{port}")]);
    cmd.args(["--proxy-http-version", "1.1"]);
    finish(cmd.arg("--proxy-cacert").arg(pki.ca_file()).arg(target), stdin, 3 * LIMIT)
}

type Tls = StreamOwned<ClientConnection, TcpStream>;

fn client(pki: &Pki, port: u16, alpn: &[&str]) -> Tls {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(pki.ca_file()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    let tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
    tcp.set_read_timeout(Some(LIMIT)).unwrap();
    tcp.set_write_timeout(Some(LIMIT)).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), tcp)
}

/// What is chosen among these protocols.
pub(crate) fn negotiated(pki: &Pki, port: u16, alpn: &[&str]) -> Option<Vec<u8>> {
    let mut tls = client(pki, port, alpn);
    tls.conn.complete_io(&mut tls.sock).unwrap();
    tls.conn.alpn_protocol().map(<[u8]>::to_vec)
}

/// A tunnel to `target`, up to the byte behind the head.
fn open(pki: &Pki, port: u16, target: &str) -> Tls {
    let mut tls = client(pki, port, &[]);
    write!(tls, "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        tls.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 200 "), "{}", head.escape_ascii());
    tls
}

fn end(tls: &mut Tls) {
    tls.conn.send_close_notify();
    tls.flush().unwrap();
}

#[test]
fn the_real_client_gets_through() {
    let (pki, origin) = (Pki::new(), Origin::echo());
    let (running, port) = serve(&pki, &[]);
    assert_eq!(running.stderr(), format!("listening on 127.0.0.1:{port}"));
    let finished = connect(&pki, port, &origin.target(), &noise(BIG, 1)).exits(0);
    assert_same(&finished.stdout, &noise(BIG, 1));
    let sshd = Origin::greeting(b"SSH-2.0-target\r\n");
    assert_eq!(connect(&pki, port, &sshd.target(), b"").exits(0).text(), "SSH-2.0-target\r\n");
}

#[test]
fn curl_gets_through() {
    let pki = Pki::new();
    let (_running, port) = serve(&pki, &[]);
    let server = pki.server(Leaf::Good);
    let mut curl = tool("curl", "curl");
    curl.args(["-sS", "--proxytunnel", "--proxy", &format!("https://localhost:{port}"), "--proxy-cacert"]);
    curl.arg(pki.ca_file()).arg("--cacert").arg(pki.ca_file());
    let finished =
        finish(curl.arg(format!("https://localhost:{}/100000", server.port())), b"", LIMIT).exits(0);
    assert_same(&finished.stdout, &crate::support::pki::body(100_000));
}

#[test]
fn an_end_of_the_client_is_passed_on_and_the_answer_still_comes() {
    let (pki, origin) = (Pki::new(), Origin::echo());
    let (_running, port) = serve(&pki, &[]);
    let mut tls = open(&pki, port, &origin.target());
    tls.write_all(b"question").unwrap();
    end(&mut tls);
    // The echo ends when it has read the end; an end without close_notify would be an error.
    let mut answer = Vec::new();
    tls.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"question");
}

#[test]
fn an_end_of_the_target_is_a_close_notify_and_the_client_may_go_on() {
    let (tell, told) = mpsc::channel();
    let pki = Pki::new();
    let origin = Origin::serving(move |mut stream| {
        stream.write_all(b"bye").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut late = Vec::new();
        stream.read_to_end(&mut late).unwrap();
        tell.send(late).unwrap();
    });
    let (_running, port) = serve(&pki, &[]);
    let mut tls = open(&pki, port, &origin.target());
    let mut all = Vec::new();
    tls.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"bye");
    tls.write_all(b"late").unwrap();
    end(&mut tls);
    assert_eq!(told.recv_timeout(LIMIT).unwrap(), b"late");
}

#[test]
fn a_client_that_goes_without_close_notify_is_no_end_for_the_target() {
    let (tell, told) = mpsc::channel();
    let pki = Pki::new();
    let origin = Origin::serving(move |mut stream| {
        let mut got = Vec::new();
        tell.send(stream.read_to_end(&mut got).map_err(|error| error.kind())).unwrap();
    });
    let (_running, port) = serve(&pki, &[]);
    let mut tls = open(&pki, port, &origin.target());
    tls.write_all(b"half of it").unwrap();
    tls.sock.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(told.recv_timeout(LIMIT).unwrap(), Err(ErrorKind::ConnectionReset));
}

#[test]
fn a_target_that_resets_is_no_end_for_the_client() {
    let pki = Pki::new();
    let origin = Origin::serving(|stream| {
        (&stream).read_exact(&mut [0; 4]).unwrap();
        Conn::new(stream).reset();
    });
    let (_running, port) = serve(&pki, &[]);
    let mut tls = open(&pki, port, &origin.target());
    tls.write_all(b"ping").unwrap();
    assert!(tls.read_to_end(&mut Vec::new()).is_err(), "a reset looks like an end");
}

#[test]
fn handshakes_that_do_not_go_on_hold_nobody_up() {
    let (pki, origin) = (Pki::new(), Origin::echo());
    let (_running, port) = serve(&pki, &[]);
    let idle: Vec<_> = (0..100)
        .map(|n| {
            let mut conn = Conn::to(port);
            conn.send(&b"\x16\x03\x01\x02\0\x01\0"[..n % 8]);
            conn
        })
        .collect();
    assert_eq!(connect(&pki, port, &origin.target(), b"ping").exits(0).text(), "ping");
    drop(idle);
}

#[test]
fn plain_http_on_the_tls_port_is_told_so_at_once() {
    let pki = Pki::new();
    let (running, port) = serve(&pki, &[]);
    let mut conn = Conn::to(port);
    conn.send("CONNECT host:22 HTTP/1.1\r\n");
    let head = conn.head();
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    let words = String::from_utf8(conn.read_to_end()).unwrap();
    assert!(words.contains("https://"), "{words}");
    running.stderr_line(|line| line.contains("plain HTTP") && line.contains("https://"), LIMIT);
    let url = format!("http://127.0.0.1:{port}");
    finish(wimble().args(["connect", "--proxy", &url, "host:22"]), b"", LIMIT).fails(7).says("https://");
}

#[test]
fn tls_on_the_plain_port_is_told_so_at_once() {
    let pki = Pki::new();
    let (running, port) = serve_plain();
    let mut conn = Conn::to(port);
    // Less than a record's head, and nothing behind it.
    conn.send(b"\x16\x03");
    assert!(conn.head().starts_with("HTTP/1.1 400 "));
    running.stderr_line(|line| line.contains("TLS") && line.contains("http://"), LIMIT);
    connect(&pki, port, "host:22", b"").fails(5).says("no TLS").says("http://");
}

#[test]
fn socks_is_refused_at_once_in_its_own_words() {
    let pki = Pki::new();
    for (running, port) in [serve_plain(), serve(&pki, &[])] {
        for (said, answer, version) in [
            (&b"\x05\x01\0"[..], &b"\x05\xff"[..], "SOCKS5"),
            (b"\x04\x01\0\x16\x7f\0\0\x01\0", b"\0\x5b\0\0\0\0\0\0", "SOCKS4"),
        ] {
            let mut conn = Conn::to(port);
            conn.send(said);
            assert_eq!(conn.read_to_end(), answer);
            running.stderr_line(|line| line.contains(version), LIMIT);
        }
        let url = format!("socks5://127.0.0.1:{port}");
        finish(wimble().args(["connect", "--proxy", &url, "host:22"]), b"", LIMIT).fails(6);
    }
}

#[test]
fn what_breaks_tls_gets_an_alert_and_the_others_go_on() {
    let (pki, origin) = (Pki::new(), Origin::echo());
    let (_running, port) = serve(&pki, &[]);
    let mut conn = Conn::to(port);
    // A handshake record that has no ClientHello in it.
    conn.send(b"\x16\x03\x01\0\x04\x02\0\0\0");
    assert_eq!(conn.read_exact(3)[0], 0x15, "an alert");
    assert_eq!(connect(&pki, port, &origin.target(), b"ping").exits(0).text(), "ping");
    let mut strange = client(&pki, port, &["acme-tls/1"]);
    assert!(strange.write_all(b"x").is_err(), "RFC 7301 §3.2: no_application_protocol");
}

#[test]
fn a_client_that_does_not_read_does_not_hold_up_the_others() {
    let pki = Pki::new();
    let origin = Origin::serving(|stream| write_until_stopped(&stream));
    let (_running, port) = serve(&pki, &[]);
    let stuck = open(&pki, port, &origin.target());
    let echo = Origin::echo();
    let got = in_time(LIMIT, move || connect(&pki, port, &echo.target(), b"ping").exits(0).text());
    assert_eq!(got, "ping");
    drop(stuck);
}

#[test]
fn a_certificate_and_its_key_are_wanted_together_and_whole() {
    let pki = Pki::new();
    let (chain, key) = pki.files(Leaf::Good, &KeyPair::generate().unwrap());
    let private = |path: &Path| std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    let attempt = |chain: &Path, key: &Path| {
        let mut cmd: Command = wimble();
        cmd.args(["serve", "--listen", "127.0.0.1:0", "--tls-cert"]).arg(chain).arg("--tls-key").arg(key);
        finish(&mut cmd, b"", LIMIT).fails(2)
    };
    let alone = |option: &str, file: &Path| {
        finish(wimble().args(["serve", option]).arg(file), b"", LIMIT).fails(2);
    };
    alone("--tls-cert", &chain);
    alone("--tls-key", &key);

    std::fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    attempt(&chain, &key).says("key.pem").says("group or others can read it");
    private(&key);
    attempt(&key, &key).says("--tls-cert").says("key.pem").says("no certificate");
    private(&chain);
    attempt(&chain, &chain).says("--tls-key").says("chain.pem").says("no private key");
    let missing = chain.with_file_name("missing");
    attempt(&missing, &key).says("--tls-cert").says("missing");
    attempt(&chain, &missing).says("missing");
    let other = chain.with_file_name("other.pem");
    std::fs::write(&other, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    private(&other);
    attempt(&chain, &other).says("other.pem").says("not the key of the certificate").says("chain.pem");
}
