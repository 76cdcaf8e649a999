//! Tunnels through an `https://` proxy: whom it may be, what its TLS does to the bytes, and how it ends.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_getfl};
use rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned};

use crate::support::pki::{Leaf, Pki};
use crate::support::proxy::{Conn, OK, ScriptedProxy, Turn, turn};
use crate::support::{LIMIT, Running, assert_same, finish, listening, noise, wimble, write_until_stopped};

const BIG: usize = 16 << 20;

/// The proxy's side of a connection, inside TLS.
struct Tls(StreamOwned<ServerConnection, TcpStream>);

impl Tls {
    fn accept(conn: &mut Conn, config: &Arc<ServerConfig>) -> Self {
        let connection = ServerConnection::new(Arc::clone(config)).unwrap();
        Self(StreamOwned::new(connection, conn.stream().try_clone().unwrap()))
    }

    fn request(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
        self.0.flush().unwrap();
    }

    fn open(conn: &mut Conn, config: &Arc<ServerConfig>) -> Self {
        let mut this = Self::accept(conn, config);
        assert!(this.request().starts_with("CONNECT host:22 HTTP/1.1\r\n"));
        this.send(OK);
        this
    }

    fn end(&mut self) {
        self.0.conn.send_close_notify();
        self.0.flush().unwrap();
    }

    fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).unwrap();
        bytes
    }
}

fn scripted(
    leaf: Leaf,
    script: impl FnOnce(&mut Conn, &Arc<ServerConfig>) + Send + 'static,
) -> (Pki, ScriptedProxy) {
    let pki = Pki::new();
    let config = pki.server_config(leaf);
    (pki, ScriptedProxy::start(move |conn| script(conn, &config)))
}

fn connect(proxy: &ScriptedProxy, pki: &Pki) -> Command {
    let mut cmd = wimble();
    cmd.arg("connect").args(["--proxy", &format!("https://localhost:{}", proxy.port()), "--proxy-cacert"]);
    cmd.arg(pki.ca_file()).arg("host:22");
    cmd
}

#[test]
fn a_proxy_that_shows_a_certificate_and_does_not_have_its_key_is_no_reason_to_trust_anybody() {
    let pki = Pki::new();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = pki.copyist(&[version]);
        let proxy = ScriptedProxy::start(move |conn| {
            let mut tls = Tls::accept(conn, &config);
            assert!(tls.0.read_to_end(&mut Vec::new()).is_err(), "an alert");
        });
        let finished = finish(&mut connect(&proxy, &pki), b"", LIMIT).fails(5).says("does not have its key");
        assert!(!finished.stderr.contains("--proxy-cacert"), "{}", finished.stderr);
        proxy.done();
    }
}

#[test]
fn sixteen_mebibytes_each_way_at_once_in_tls() {
    let (pki, proxy) = scripted(Leaf::Good, |conn, config| {
        let mut tls = Tls::open(conn, config);
        // In turn, as this end of TLS has one thread.
        tls.send(&noise(BIG, 1));
        assert_same(&tls.read_to_end(), &noise(BIG, 2));
        tls.end();
    });
    let mut cmd = connect(&proxy, &pki);
    let finished = finish(cmd.args(["--half-close-delay", "0"]), &noise(BIG, 2), 3 * LIMIT).exits(0);
    assert_same(&finished.stdout, &noise(BIG, 1));
    proxy.done();
}

#[test]
fn q48_records_that_came_together_are_all_delivered_though_the_socket_is_silent() {
    let (release, released) = mpsc::channel::<()>();
    let (pki, proxy) = scripted(Leaf::Good, move |conn, config| {
        let mut tls = Tls::accept(conn, config);
        tls.request();
        // One write to the socket, three records: the answer, glued to the target's first bytes, and two more.
        for piece in [&[OK, b"SSH-"].concat(), &b"2.0-"[..], b"x\r\n"] {
            tls.0.conn.writer().write_all(piece).unwrap();
        }
        tls.0.flush().unwrap();
        released.recv_timeout(LIMIT).unwrap();
        tls.end();
    });
    let mut child = Running::start(connect(&proxy, &pki).stdin(Stdio::piped()).stdout(Stdio::piped()));
    let (stdin, mut stdout) = (child.take_stdin(), child.take_stdout());
    let mut banner = [0; 11];
    stdout.read_exact(&mut banner).unwrap();
    assert_eq!(&banner, b"SSH-2.0-x\r\n");
    release.send(()).unwrap();
    drop(stdin);
    assert_eq!(child.wait(LIMIT), Some(0), "{}", child.stderr());
    proxy.done();
}

#[test]
fn the_end_of_input_is_a_close_notify_and_the_answer_still_comes() {
    let (pki, proxy) = scripted(Leaf::Good, |conn, config| {
        let mut tls = Tls::open(conn, config);
        assert_eq!(tls.read_to_end(), b"question");
        tls.send(b"answer");
        tls.end();
    });
    let finished = finish(connect(&proxy, &pki).args(["--half-close-delay", "0"]), b"question", LIMIT);
    assert_eq!(finished.exits(0).text(), "answer");
    proxy.done();
}

#[test]
fn an_input_that_cannot_be_read_is_called_that_and_what_came_is_delivered() {
    let (pki, proxy) = scripted(Leaf::Good, |conn, config| {
        let mut tls = Tls::accept(conn, config);
        tls.request();
        tls.send(&[OK, b"early"].concat());
        conn.read_to_any_end();
    });
    let mut cmd = connect(&proxy, &pki);
    let mut child = Running::start(cmd.stdin(File::open("/").unwrap()).stdout(Stdio::piped()));
    let mut stdout = child.take_stdout();
    assert_eq!(child.wait(LIMIT), Some(1), "{}", child.stderr());
    assert!(child.stderr().starts_with("wimble: stdin: "), "{}", child.stderr());
    let mut came = String::new();
    stdout.read_to_string(&mut came).unwrap();
    assert_eq!(came, "early");
    proxy.done();
}

#[test]
fn an_end_without_close_notify_is_exit_11() {
    let (pki, proxy) = scripted(Leaf::Good, |conn, config| {
        let mut tls = Tls::open(conn, config);
        tls.send(b"half of it");
        conn.finish_writing();
        conn.read_to_any_end();
    });
    let finished = finish(&mut connect(&proxy, &pki), b"", LIMIT).exits(11);
    assert_eq!(finished.text(), "half of it", "what came is delivered");
    finished.says("close_notify");
    proxy.done();
}

#[test]
fn a_reset_inside_tls_is_exit_11() {
    let (pki, proxy) = scripted(Leaf::Good, |conn, config| {
        let tls = Tls::open(conn, config);
        drop(tls);
        conn.reset();
    });
    finish(&mut connect(&proxy, &pki), b"", LIMIT).exits(11);
    proxy.done();
}

#[test]
fn a_reset_reaches_the_client_of_a_forward_though_its_upload_is_stuck() {
    let (stuck, told) = mpsc::channel::<()>();
    let (pki, proxy) = scripted(Leaf::Good, move |conn, config| {
        conn.shrink_receive_buffer();
        drop(Tls::open(conn, config));
        told.recv_timeout(LIMIT).unwrap();
        conn.reset();
    });
    let mut cmd = wimble();
    cmd.args(["forward", "--proxy", &format!("https://localhost:{}", proxy.port()), "--proxy-cacert"]);
    let (_running, port) = listening(cmd.arg(pki.ca_file()).arg("0:host:22"));
    let mut client = Conn::to(port);
    write_until_stopped(client.stream());
    stuck.send(()).unwrap();
    client.expect_reset_unread();
    let end = client.stream().read(&mut [0]).map_err(|why| why.kind());
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
    proxy.done();
}

#[test]
fn each_thing_that_is_wrong_with_a_certificate_is_exit_5_and_told() {
    for (leaf, told) in [
        (Leaf::WrongName, "it is for elsewhere.test"),
        (Leaf::Expired, "it has expired"),
        (Leaf::SelfSigned, "its issuer is not known here"),
    ] {
        let (pki, proxy) = scripted(leaf, |conn, config| {
            let mut tls = Tls::accept(conn, config);
            assert!(tls.0.read(&mut [0]).is_err(), "nothing is sent to who is not trusted");
        });
        finish(&mut connect(&proxy, &pki), b"", LIMIT).fails(5).says(told).says("proxy-tls");
        proxy.done();
    }
}

#[test]
fn a_proxy_whose_issuer_only_a_file_knows_is_not_trusted_without_it() {
    let (_, proxy) = scripted(Leaf::Good, |conn, config| {
        let mut tls = Tls::accept(conn, config);
        tls.0.read(&mut [0]).unwrap_err();
    });
    let url = format!("https://localhost:{}", proxy.port());
    let mut cmd = wimble();
    finish(cmd.args(["connect", "-x", &url, "host:22"]), b"", LIMIT).fails(5).says("--proxy-cacert");
    proxy.done();
}

#[test]
fn the_very_certificate_may_be_trusted_though_it_calls_itself_an_authority() {
    let pki = Pki::new();
    let config = pki.server_config(Leaf::OwnAuthority);
    let own = config.clone();
    let proxy = ScriptedProxy::start(move |conn| {
        Tls::open(conn, &own).end();
        conn.read_to_any_end();
    });
    let mut cmd = wimble();
    cmd.args(["connect", "--proxy", &format!("https://localhost:{}", proxy.port()), "--proxy-cacert"]);
    finish(cmd.arg(pki.leaf_file()).arg("host:22"), b"", LIMIT).exits(0);
    proxy.done();
}

#[test]
fn insecure_goes_on_with_anybody() {
    let (_, proxy) = scripted(Leaf::WrongName, |conn, config| {
        Tls::open(conn, config).end();
        conn.read_to_any_end();
    });
    let url = format!("https://localhost:{}", proxy.port());
    finish(wimble().args(["connect", "--proxy-insecure", "-x", &url, "host:22"]), b"", LIMIT).exits(0);
    proxy.done();
}

#[test]
fn a_proxy_that_speaks_plain_http_is_exit_5_and_shown() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.send("HTTP/1.1 400 Bad Request\r\n\r\n");
        conn.read_to_any_end();
    });
    finish(&mut connect(&proxy, &Pki::new()), b"", LIMIT)
        .fails(5)
        .says("no TLS but \"HTTP/1.1 400 Bad Request\"")
        .says("http://");
    proxy.done();
}

#[test]
fn a_proxy_that_closes_in_the_handshake_is_exit_5() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.read_exact(5);
        conn.finish_writing();
        conn.read_to_any_end();
    });
    finish(&mut connect(&proxy, &Pki::new()), b"", LIMIT)
        .fails(5)
        .says("closed in the middle of the handshake");
    proxy.done();
}

#[test]
fn the_second_tunnel_of_a_forward_resumes_the_session_of_the_first() {
    let pki = Pki::new();
    let config = pki.server_config(Leaf::Good);
    let echo = |kind: HandshakeKind| -> Turn {
        let config = config.clone();
        turn(move |conn: &mut Conn| {
            let mut tls = Tls::open(conn, &config);
            assert_eq!(tls.0.conn.handshake_kind(), Some(kind));
            assert_eq!(tls.read_to_end(), b"ping");
            tls.send(b"pong");
            tls.end();
            conn.read_to_any_end();
        })
    };
    let proxy = ScriptedProxy::in_turn(vec![echo(HandshakeKind::Full), echo(HandshakeKind::Resumed)]);
    let mut cmd = wimble();
    cmd.args(["forward", "--half-close-delay", "0", "-x", &format!("https://localhost:{}", proxy.port())]);
    let (running, port) = listening(cmd.arg("--proxy-cacert").arg(pki.ca_file()).arg("0:host:22"));
    for _ in 0..2 {
        assert_eq!(Conn::to(port).exchange(b"ping".to_vec()), b"pong");
    }
    proxy.done();
    drop(running);
}

#[test]
fn an_idle_tunnel_in_tls_costs_nothing_and_leaves_the_parents_descriptors_blocking() {
    let (release, released) = mpsc::channel::<()>();
    let (pki, proxy) = scripted(Leaf::Good, move |conn, config| {
        let mut tls = Tls::open(conn, config);
        tls.send(b"up");
        released.recv_timeout(LIMIT).unwrap();
        tls.end();
        conn.read_to_any_end();
    });
    let mut child = Running::start(connect(&proxy, &pki).stdin(Stdio::piped()).stdout(Stdio::piped()));
    let (stdin, mut stdout) = (child.take_stdin(), child.take_stdout());
    stdout.read_exact(&mut [0; 2]).unwrap();
    let spent = child.cpu_of_a_second();
    assert!(spent < Duration::from_millis(50), "{spent:?} of CPU in one idle second");
    assert!(!fcntl_getfl(&stdin).unwrap().contains(OFlags::NONBLOCK));
    assert!(!fcntl_getfl(&stdout).unwrap().contains(OFlags::NONBLOCK));
    release.send(()).unwrap();
    assert_eq!(stdout.read_to_end(&mut Vec::new()).unwrap(), 0, "stdout ends with the target");
    drop(stdin);
    assert_eq!(child.wait(LIMIT), Some(0), "{}", child.stderr());
    proxy.done();
}

#[test]
fn a_reader_that_leaves_ends_a_tunnel_in_tls_quietly() {
    let (pki, proxy) = scripted(Leaf::Good, |conn, config| {
        let mut tls = Tls::open(conn, config);
        while tls.0.write_all(&[b'x'; 16 * 1024]).is_ok() {}
    });
    let mut child = Running::start(connect(&proxy, &pki).stdin(Stdio::piped()).stdout(Stdio::piped()));
    let (_stdin, mut stdout) = (child.take_stdin(), child.take_stdout());
    stdout.read_exact(&mut [0; 2]).unwrap();
    drop(stdout);
    assert_eq!(child.wait(LIMIT), Some(1));
    assert_eq!(child.stderr(), "", "nobody is there to be told");
    proxy.done();
}

#[test]
fn a_socket_that_speaks_tls_is_not_handed_over() {
    let (pki, proxy) = scripted(Leaf::Good, |conn, config| {
        Tls::open(conn, config).end();
        conn.read_to_any_end();
    });
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut cmd = connect(&proxy, &pki);
    let mut child = Running::start(cmd.arg("--fdpass").stdout(std::os::fd::OwnedFd::from(theirs)));
    assert_eq!(child.wait(LIMIT), Some(2), "{}", child.stderr());
    assert!(child.stderr().contains("no bare socket"), "{}", child.stderr());
    drop(ours);
    proxy.done();
}

#[test]
fn files_that_cannot_be_used_are_told_before_anything_is_dialled() {
    let (pki, other) = (Pki::new(), Pki::new());
    let ((certificate, key), (_, anothers)) = (pki.identity(), other.identity());
    let junk = |name: &str, label: &str| {
        let path = pki.ca_file().with_file_name(name);
        std::fs::write(&path, format!("-----BEGIN {label}-----\nanVuaw==\n-----END {label}-----\n")).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        path
    };
    let (junk_key, junk_certificate) = (junk("junk.key", "PRIVATE KEY"), junk("junk.pem", "CERTIFICATE"));
    let ca = pki.ca_file();
    for (options, what) in [
        ([&ca, &certificate, &anothers], "--proxy-key"),
        ([&ca, &certificate, &junk_key], "--proxy-key"),
        ([&ca, &junk_certificate, &key], "--proxy-cert"),
        ([&junk_certificate, &certificate, &key], "--proxy-cacert"),
    ] {
        let proxy = ScriptedProxy::untouched();
        let mut cmd = wimble();
        cmd.args(["connect", "-x", &format!("https://localhost:{}", proxy.port()), "host:22"]);
        for (option, file) in ["--proxy-cacert", "--proxy-cert", "--proxy-key"].iter().zip(options) {
            cmd.arg(option).arg(file);
        }
        finish(&mut cmd, b"", LIMIT).fails(2).says(&format!("wimble: {what} "));
        proxy.done();
    }
}

#[test]
fn a_certificate_for_an_address_is_told_to_be_for_that() {
    let pki = Pki::new();
    let config = pki.server_config(Leaf::Good);
    let script = turn(move |conn: &mut Conn| {
        let mut tls = Tls::accept(conn, &config);
        tls.0.read(&mut [0]).unwrap_err();
    });
    let proxy = ScriptedProxy::on(std::net::TcpListener::bind("127.0.0.2:0").unwrap(), vec![script]);
    let mut cmd = wimble();
    cmd.args(["connect", "-x", &format!("https://127.0.0.2:{}", proxy.port()), "host:22"]);
    finish(cmd.arg("--proxy-cacert").arg(pki.ca_file()), b"", LIMIT)
        .fails(5)
        .says("it is for localhost, 127.0.0.1,");
    proxy.done();
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let pki = Pki::new();
    let (cert, key) = pki.identity();
    let mut rights = std::fs::metadata(&key).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut rights, 0o644);
    std::fs::set_permissions(&key, rights).unwrap();
    let proxy = ScriptedProxy::untouched();
    let mut cmd = connect(&proxy, &pki);
    finish(cmd.arg("--proxy-cert").arg(&cert).arg("--proxy-key").arg(&key), b"", LIMIT)
        .fails(2)
        .says("chmod 600");
    proxy.done();
}
