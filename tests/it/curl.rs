//! curl through `wimble forward`, and clients that say all they have to say at once, through real proxies.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::support::origin::Origin;
use crate::support::pki::{Leaf, Pki, TlsServer, body};
use crate::support::real::{Authentication, Proxy, Software, tool};
use crate::support::{Finished, LIMIT, Running, assert_same, finish, listening, noise, wimble};

const DOWNLOAD: Duration = Duration::from_secs(60);
const SIGTERM: i32 = 15;
const REQUEST: &[u8] = b"GET / HTTP/1.0\r\n\r\n";

#[test]
fn curl_downloads_from_a_tls_server_through_a_forward_and_squid() {
    a_download_works_through(Software::Squid, Authentication::Open);
}

#[test]
fn curl_downloads_through_a_forward_and_a_squid_that_wants_a_password() {
    a_download_works_through(Software::Squid, Authentication::Basic);
}

#[test]
fn curl_downloads_through_a_forward_and_tinyproxy() {
    a_download_works_through(Software::Tinyproxy, Authentication::Open);
}

#[test]
fn curl_downloads_through_a_forward_and_apache() {
    a_download_works_through(Software::Apache, Authentication::Open);
}

#[test]
fn curl_downloads_through_a_forward_and_an_apache_that_wants_a_password() {
    a_download_works_through(Software::Apache, Authentication::Basic);
}

#[test]
fn many_downloads_at_once_go_through_one_forward() {
    let (proxy, pki) = (Proxy::squid_with_basic(), Pki::new());
    let server = pki.server(Leaf::Good);
    let (_forward, port) = forward(&proxy.url_with_credentials(), &server);
    // Of different sizes, so that bytes on a wrong connection would show.
    let sizes: Vec<usize> = (1..=12).map(|n| n * 300_007).collect();
    thread::scope(|scope| {
        for size in sizes {
            let mut curl = curl(&pki, &server, port, size);
            scope.spawn(move || downloaded(&finish(&mut curl, b"", DOWNLOAD), size));
        }
    });
}

#[test]
fn a_forward_goes_on_while_squid_is_stopped_and_started_again() {
    let (mut proxy, pki) = (Proxy::squid(), Pki::new());
    let server = pki.server(Leaf::Good);
    let (mut forward, port) = forward(&proxy.url(), &server);
    let download = || finish(&mut curl(&pki, &server, port, 1000), b"", DOWNLOAD);
    downloaded(&download(), 1000);
    proxy.stop();
    for _ in 0..3 {
        assert_ne!(download().code, Some(0), "there is no proxy");
    }
    forward.stderr_line(|line| !line.contains("listening on "), LIMIT);
    proxy.start_again();
    downloaded(&download(), 1000);
    forward.signal(SIGTERM);
    assert_eq!(forward.wait(LIMIT), Some(0));
}

/// Squid closes the whole tunnel as soon as its client half-closes (its `half_closed_clients` is off), and so
/// does tinyproxy.
#[test]
fn an_answer_that_comes_late_is_whole_though_stdin_has_ended() {
    for software in [Software::Squid, Software::Tinyproxy] {
        let proxy = Proxy::start(software, Authentication::Open);
        let origin = Origin::serving(answers_late).port();
        let got = finish(&mut connect(&proxy, &[], origin), REQUEST, DOWNLOAD).exits(0);
        assert_same(&got.stdout, &late_answer());
        proxy.carried(&format!("127.0.0.1:{origin}"));
    }
}

#[test]
fn an_answer_that_comes_very_late_is_whole_when_the_half_close_is_never_sent() {
    let proxy = Proxy::squid();
    let origin = Origin::serving(|stream| {
        thread::sleep(Duration::from_millis(1500));
        answers_late(stream);
    });
    let origin = origin.port();
    let got =
        finish(&mut connect(&proxy, &["--half-close-delay", "never"], origin), REQUEST, DOWNLOAD).exits(0);
    assert_same(&got.stdout, &late_answer());
}

/// The control: without the delay the proxies do what the two tests above are about.
#[test]
fn a_half_close_at_once_costs_the_answer_through_squid() {
    for software in [Software::Squid, Software::Tinyproxy] {
        let proxy = Proxy::start(software, Authentication::Open);
        let origin = Origin::serving(answers_late).port();
        let got = finish(&mut connect(&proxy, &["--half-close-delay", "0"], origin), REQUEST, DOWNLOAD);
        assert!(got.stdout.len() < late_answer().len(), "{software:?} carries half-closed tunnels after all");
    }
}

/// Apache passes a half-close on, so through it an origin that waits for one can answer.
#[test]
fn the_end_of_stdin_reaches_an_origin_that_waits_for_it() {
    let proxy = Proxy::start(Software::Apache, Authentication::Open);
    let said = noise(3_000_000, 5);
    for delay in ["0", "100ms", "1s"] {
        let origin = Origin::serving(|mut stream| {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            stream.write_all(&all).unwrap();
        });
        let origin = origin.port();
        let got =
            finish(&mut connect(&proxy, &["--half-close-delay", delay], origin), &said, DOWNLOAD).exits(0);
        assert_same(&got.stdout, &said);
    }
}

#[test]
fn a_forward_gives_the_whole_answer_to_a_client_that_half_closed() {
    let proxy = Proxy::squid();
    let origin = Origin::serving(answers_late).port();
    let (_forward, port) =
        listening(wimble().args(["forward", "--proxy", &proxy.url(), &format!("0:127.0.0.1:{origin}")]));
    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    client.set_read_timeout(Some(LIMIT)).unwrap();
    client.write_all(REQUEST).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    assert_same(&got, &late_answer());
}

fn a_download_works_through(software: Software, authentication: Authentication) {
    let (proxy, pki) = (Proxy::start(software, authentication), Pki::new());
    let server = pki.server(Leaf::Good);
    let url = match authentication {
        Authentication::Open => proxy.url(),
        Authentication::Basic => proxy.url_with_credentials(),
        Authentication::Schemes => panic!("auth_real has these"),
    };
    let (mut forward, port) = forward(&url, &server);
    for size in [0, 1, 5_000_000] {
        downloaded(&finish(&mut curl(&pki, &server, port, size), b"", DOWNLOAD), size);
    }
    proxy.carried(&format!("localhost:{}", server.port()));
    forward.signal(SIGTERM);
    assert_eq!(forward.wait(LIMIT), Some(0));
}

pub(crate) fn forward(proxy: &str, server: &TlsServer) -> (Running, u16) {
    let spec = format!("0:localhost:{}", server.port());
    listening(wimble().args(["forward", "--proxy", proxy, &spec]))
}

/// curl as told by nobody but us, to the forward's port, by the name that the certificate holds.
pub(crate) fn curl(pki: &Pki, server: &TlsServer, port: u16, size: usize) -> Command {
    let name = format!("localhost:{}", server.port());
    let mut curl = tool("curl", "curl");
    curl.args(["-q", "-sS", "--noproxy", "*", "--max-time", "50", "--cacert"]).arg(pki.ca_file()).args([
        "--connect-to",
        &format!("{name}:127.0.0.1:{port}"),
        &format!("https://{name}/{size}"),
    ]);
    curl
}

#[track_caller]
pub(crate) fn downloaded(curl: &Finished, size: usize) {
    assert_eq!(curl.code, Some(0), "{}", curl.stderr);
    assert_same(&curl.stdout, &body(size));
}

fn connect(proxy: &Proxy, options: &[&str], origin: u16) -> Command {
    let mut connect = wimble();
    connect.args(["connect", "--proxy", &proxy.url()]).args(options).arg(format!("127.0.0.1:{origin}"));
    connect
}

/// An HTTP/1.0 origin that thinks before its answer and once more in the middle of it.
fn answers_late(mut stream: TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read_exact(&mut byte).is_err() {
            return;
        }
        head.push(byte[0]);
    }
    let answer = late_answer();
    for part in answer.chunks(answer.len() / 2) {
        thread::sleep(Duration::from_millis(300));
        if stream.write_all(part).is_err() {
            return;
        }
    }
}

fn late_answer() -> Vec<u8> {
    let mut answer = b"HTTP/1.0 200 OK\r\n\r\n".to_vec();
    answer.extend(noise(4_000_000, 3));
    answer
}
