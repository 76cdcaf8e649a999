//! HTTP/2 with nghttpx in front of Squid: what people do through it, and how connections are shared.

use std::io::Write as _;

use crate::check::report;
use crate::check_output::assert_valid;
use crate::support::origin::Origin;
use crate::support::pki::Pki;
use crate::support::proxy::Conn;
use crate::support::real::{DIGEST, Nghttpx, PASSWORD, PLAIN_PASSWORD, Proxy, USER, soon};
use crate::support::{LIMIT, assert_same, finish, listening, noise, wimble};
use crate::ways::curl_and_ssh_work_through;

#[test]
fn curl_and_ssh_over_http_2_inside_tls() {
    let pki = Pki::new();
    let proxy = Nghttpx::in_tls(&pki);
    let ca = pki.ca_file();
    let options = ["-x", &proxy.url(), "--proxy-cacert", ca.to_str().unwrap()];
    curl_and_ssh_work_through(&options, &pki);
    // One forward, whose two connections share; and one ssh.
    assert_eq!((proxy.connections("h2").len(), proxy.tunnels()), (2, 3));
}

#[test]
fn a_proxy_that_wants_a_certificate_says_so_over_http_2_too() {
    let target = Origin::serving(|mut stream| stream.write_all(b"hello").unwrap());
    let pki = Pki::new();
    let proxy = Nghttpx::wanting_certificates(&pki);
    let connect = || {
        let mut cmd = wimble();
        cmd.args(["connect", "-x", &proxy.url(), "--proxy-cacert"]).arg(pki.ca_file()).arg(target.target());
        cmd
    };
    finish(&mut connect(), b"", LIMIT).fails(5).says("refuses our certificate, or misses one");
    let (certificate, key) = pki.identity();
    let mut cmd = connect();
    cmd.arg("--proxy-cert").arg(certificate).arg("--proxy-key").arg(key);
    assert_eq!(finish(&mut cmd, b"", LIMIT).exits(0).text(), "hello");
    assert_eq!(proxy.connections("h2").len(), 1);
}

#[test]
fn curl_and_ssh_over_http_2_in_the_clear() {
    let proxy = Nghttpx::in_the_clear(Proxy::squid());
    curl_and_ssh_work_through(&["-x", &proxy.url(), "--proxy-http-version", "2"], &Pki::new());
    assert_eq!((proxy.connections("h2c").len(), proxy.tunnels()), (2, 3));
}

#[test]
fn http_1_1_is_spoken_where_that_is_asked_for() {
    let (pki, target) = (Pki::new(), Origin::echo());
    let proxy = Nghttpx::in_tls(&pki);
    let mut cmd = wimble();
    cmd.args(["connect", "-x", &proxy.url(), "--proxy-http-version", "1.1", "--proxy-cacert"]);
    cmd.arg(pki.ca_file()).arg(target.target());
    assert_eq!(finish(&mut cmd, b"hello", LIMIT).exits(0).text(), "hello");
    assert_eq!((proxy.connections("h2").len(), proxy.connections("http/1.1").len()), (0, 1));
}

#[test]
fn a_hundred_tunnels_to_a_connection() {
    let (pki, target) = (Pki::new(), Origin::echo());
    let proxy = Nghttpx::in_tls(&pki);
    let mut cmd = wimble();
    cmd.args(["forward", "-x", &proxy.url(), "--proxy-cacert"]).arg(pki.ca_file());
    let (_forward, port) = listening(cmd.arg(format!("0:{}", target.target())));
    let mut clients: Vec<_> = (0..200).map(|_| Conn::to(port)).collect();
    for client in &mut clients {
        client.send(noise(10_000, 3));
    }
    for client in &mut clients {
        assert_same(&client.read_exact(10_000), &noise(10_000, 3));
    }
    // A third may be begun before it is known that there is room for all.
    let connections = proxy.connections("h2").len();
    assert!((2..=3).contains(&connections) && proxy.tunnels() == 200, "{connections}, {}", proxy.tunnels());
}

#[test]
fn r49_a_graceful_shutdown_lets_tunnels_live_and_new_ones_go_elsewhere() {
    let (pki, target) = (Pki::new(), Origin::echo());
    let mut proxy = Nghttpx::in_tls(&pki);
    let mut cmd = wimble();
    cmd.args(["forward", "-x", &proxy.url(), "--proxy-cacert"]).arg(pki.ca_file());
    let (_forward, port) = listening(cmd.arg(format!("0:{}", target.target())));
    let mut old = Conn::to(port);
    old.send("before");
    assert_eq!(old.read_exact(6), b"before");
    proxy.replace();
    let mut new = Conn::to(port);
    new.send("after");
    assert_eq!(new.read_exact(5), b"after");
    old.send(noise(3_000_000, 4));
    assert_same(&old.read_exact(3_000_000), &noise(3_000_000, 4));
    assert_eq!(proxy.connections("h2").len(), 2);
}

#[test]
fn a_squid_behind_it_that_asks_for_basic_or_digest_is_answered() {
    // nghttpx keeps END_STREAM to itself: only the target can end such a tunnel.
    let target = Origin::serving(|mut stream| {
        let mut asked = [0; 5];
        std::io::Read::read_exact(&mut stream, &mut asked).unwrap();
        std::io::Write::write_all(&mut stream, &asked).unwrap();
    });
    for (squid, password) in
        [(Proxy::squid_with_basic(), PASSWORD), (Proxy::squid_asking(&[DIGEST]), PLAIN_PASSWORD)]
    {
        let proxy = Nghttpx::in_the_clear(squid);
        let connect = |password: &str| {
            let mut cmd = wimble();
            cmd.args(["connect", "-x", &proxy.url(), "--proxy-http-version", "2"]);
            cmd.env("WIMBLE_PROXY_USER", USER).env("WIMBLE_PROXY_PASSWORD", password);
            finish(cmd.arg(target.target()), b"hello", LIMIT)
        };
        assert_eq!(connect(password).exits(0).text(), "hello");
        // The 407 and its answer went over one connection.
        assert!(soon(|| proxy.tunnels() == 1));
        assert_eq!(proxy.connections("h2c").len(), 1);
        connect("not that").fails(6);
    }
}

#[test]
fn check_tells_the_version_and_what_alpn_chose() {
    let (pki, target) = (Pki::new(), Origin::echo());
    let proxy = Nghttpx::in_tls(&pki);
    let mut cmd = wimble();
    cmd.args(["check", "--json", "--no-tls", "-x", &proxy.url(), "--proxy-cacert"]).arg(pki.ca_file());
    let finished = finish(cmd.arg(target.target()), b"", LIMIT).exits(0);
    assert_valid(&finished);
    let report = report(&finished);
    let stages = report["stages"].as_array().unwrap();
    let stage = |name: &str| stages.iter().find(|stage| stage["name"] == name).unwrap();
    assert_eq!(stage("proxy-tls")["tls"]["alpn"], "h2");
    assert_eq!(stage("connect")["http_version"], "2");
    assert_eq!(stage("connect")["http_status"], 200);
    assert!(stage("connect")["exchanges"][0]["fields"].to_string().contains("nghttpx"), "{report}");
}
