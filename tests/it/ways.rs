//! Real proxies that are not spoken to in plain HTTP, and chains of them: curl and ssh through each.

use std::process::Command;
use std::time::Duration;

use crate::check::report;
use crate::check_output::assert_valid;
use crate::support::origin::Origin;
use crate::support::pki::{Leaf, Pki, TlsServer, body};
use crate::support::real::{PASSWORD, Proxy, Sshd, USER, Way, tool};
use crate::support::{LIMIT, assert_same, closed_port, finish, listening, wimble};

const WIMBLE: &str = env!("CARGO_BIN_EXE_wimble");
const SESSION: Duration = Duration::from_secs(60);

/// curl through a forward, and ssh with a ProxyCommand, through these.
#[track_caller]
pub(crate) fn curl_and_ssh_work_through(options: &[&str], pki: &Pki) {
    let server = pki.server(Leaf::Good);
    curl_works_through(options, pki, &server);
    let sshd = Sshd::start();
    let quoted: Vec<_> = options.iter().map(|option| format!("'{}'", option.replace('%', "%%"))).collect();
    let proxy_command = format!("{WIMBLE} connect {} %h %p", quoted.join(" "));
    let mut ssh = tool("ssh", "openssh-client");
    let client = sshd.client_configuration(&proxy_command);
    let finished =
        finish(ssh.arg("-F").arg(client).args(["target", "cat"]), &body(300_000), SESSION).exits(0);
    assert_same(&finished.stdout, &body(300_000));
}

#[track_caller]
fn curl_works_through(options: &[&str], pki: &Pki, server: &TlsServer) {
    let mut cmd = wimble();
    cmd.arg("forward").args(options).arg(format!("0:localhost:{}", server.port()));
    let (forward, port) = listening(&mut cmd);
    for size in [0, 3_000_007] {
        let mut curl = tool("curl", "curl");
        curl.args(["--silent", "--show-error", "--noproxy", "*", "--cacert"]).arg(pki.ca_file());
        curl.arg("--connect-to").arg(format!("localhost:{}:127.0.0.1:{port}", server.port()));
        curl.arg(format!("https://localhost:{}/{size}", server.port()));
        let finished = finish(&mut curl, b"", SESSION);
        assert_eq!(finished.code, Some(0), "{}\n{}", finished.stderr, forward.stderr());
        assert_same(&finished.stdout, &body(size));
    }
}

fn text(path: &std::path::Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn squid_inside_tls() {
    let pki = Pki::new();
    let proxy = Way::squid_in_tls(&pki);
    curl_and_ssh_work_through(&["-x", &proxy.url(), "--proxy-cacert", text(&pki.authorities_file())], &pki);
}

#[test]
fn apache_inside_tls() {
    let pki = Pki::new();
    let proxy = Way::apache_in_tls(&pki, false);
    curl_and_ssh_work_through(&["-x", &proxy.url(), "--proxy-cacert", text(&pki.ca_file())], &pki);
}

#[test]
fn an_apache_that_wants_a_certificate() {
    let pki = Pki::new();
    let proxy = Way::apache_in_tls(&pki, true);
    let (ca, (certificate, key)) = (pki.ca_file(), pki.identity());
    let url = proxy.url();
    let trusting = ["-x", url.as_str(), "--proxy-cacert", text(&ca)];
    let identified = ["--proxy-cert", text(&certificate), "--proxy-key", text(&key)];
    curl_and_ssh_work_through(&[&trusting[..], &identified].concat(), &pki);
    let target = Origin::echo();
    let mut without = wimble();
    without.arg("connect").args(trusting).arg(target.target());
    finish(&mut without, b"", LIMIT).fails(5).says("--proxy-cert");
}

#[test]
fn microsocks_with_and_without_a_password() {
    let pki = Pki::new();
    curl_and_ssh_work_through(&["-x", &Way::microsocks(false).url()], &pki);
    let proxy = Way::microsocks(true);
    curl_and_ssh_work_through(&["-x", &proxy.url_with_credentials()], &pki);
    let target = Origin::echo();
    finish(&mut connect(&proxy.url(), &target.target()), b"", LIMIT).fails(6).says("name and password");
    let mut wrong = connect(&proxy.url(), &target.target());
    wrong.env("WIMBLE_PROXY_USER", USER).env("WIMBLE_PROXY_PASSWORD", "not that");
    finish(&mut wrong, b"", LIMIT).fails(6).says("refused");
    let mut right = connect(&proxy.url(), &target.target());
    right.env("WIMBLE_PROXY_USER", USER).env("WIMBLE_PROXY_PASSWORD", PASSWORD);
    assert_eq!(finish(&mut right, b"hello", LIMIT).exits(0).text(), "hello");
}

#[test]
fn the_socks_of_ssh_in_every_version_takes_names() {
    let (pki, sshd) = (Pki::new(), Sshd::start());
    for scheme in ["socks5", "socks5h", "socks4", "socks4a"] {
        curl_works_through(&["-x", &Way::ssh(scheme, &sshd).url()], &pki, &pki.server(Leaf::Good));
    }
}

#[test]
fn dante_by_socks_5_and_4_and_what_it_refuses() {
    let (pki, target) = (Pki::new(), Origin::echo());
    curl_and_ssh_work_through(&["-x", &Way::dante("socks5").url()], &pki);
    for scheme in ["socks5", "socks4"] {
        let proxy = Way::dante(scheme);
        let finished = finish(&mut connect(&proxy.url(), &target.target()), b"hello", LIMIT);
        assert_eq!(finished.exits(0).text(), "hello");
        let closed = format!("127.0.0.1:{}", closed_port());
        let code = if scheme.starts_with("socks5") { 8 } else { 7 };
        finish(&mut connect(&proxy.url(), &closed), b"", LIMIT).fails(code).says("SOCKS");
        let forbidden = finish(&mut connect(&proxy.url(), "127.0.0.1:25"), b"", LIMIT).fails(7);
        if scheme.starts_with("socks5") {
            forbidden.says("not allowed by its rules");
        }
    }
}

#[test]
fn every_kind_of_proxy_in_one_chain_and_check_shows_each_hop() {
    let pki = Pki::new();
    let (first, second, third) = (Proxy::squid(), Way::apache_in_tls(&pki, false), Way::microsocks(false));
    let fourth = Way::squid_in_tls(&pki);
    let ca = pki.authorities_file();
    let urls = [first.url(), second.url(), third.url(), fourth.url()];
    let mut options: Vec<&str> = urls.iter().flat_map(|url| ["-x", url.as_str()]).collect();
    options.extend(["--proxy-cacert", text(&ca)]);
    curl_and_ssh_work_through(&options, &pki);
    first.carried(&format!("localhost:{}", second.port()));

    let target = Origin::echo();
    let mut check = wimble();
    check.args(["check", "--json", "--no-tls"]).args(&options).arg(target.target());
    let finished = finish(&mut check, b"", SESSION).exits(0);
    assert_valid(&finished);
    let report = report(&finished);
    let stages: Vec<_> =
        report["stages"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(
        stages,
        ["resolve", "tcp", "connect", "proxy-tls", "connect", "connect", "proxy-tls", "connect"]
    );
    for (stage, length) in [(3, 2), (6, 1)] {
        let tls = &report["stages"][stage]["tls"];
        assert_eq!(
            (&tls["version"], &tls["trusted"]["cacert"]),
            (&"TLSv1.3".into(), &true.into()),
            "{report}"
        );
        assert_eq!(tls["chain"].as_array().unwrap().len(), length, "{report}");
    }
    assert_eq!(report["stages"][3]["with"], format!("localhost:{}", second.port()));
}

#[test]
fn squid_behind_squid_each_with_its_own_login() {
    let (first, second) = (Proxy::squid_with_basic(), Proxy::squid_with_basic());
    let target = Origin::echo();
    let mut cmd = wimble();
    cmd.args(["connect", "-q", "-x", &first.url_with_credentials(), "-x", &second.url_with_credentials()]);
    assert_eq!(finish(cmd.arg(target.target()), b"hello", SESSION).exits(0).text(), "hello");
    second.carried(&target.target());
    // One without a login of its own has that of the command line.
    let mut cmd = wimble();
    cmd.env("WIMBLE_PROXY_USER", USER).env("WIMBLE_PROXY_PASSWORD", PASSWORD);
    cmd.args(["connect", "-q", "-x", &first.url(), "-x", &second.url_with_credentials()]);
    assert_eq!(finish(cmd.arg(target.target()), b"hello", SESSION).exits(0).text(), "hello");
    // And one whose own is wrong gets no other.
    let mut cmd = wimble();
    cmd.env("WIMBLE_PROXY_USER", USER).env("WIMBLE_PROXY_PASSWORD", PASSWORD);
    let wrong = second.url().replace("//", "//alice:wrong@");
    cmd.args(["connect", "-q", "-x", &first.url(), "-x", &wrong]);
    finish(cmd.arg(target.target()), b"", SESSION).fails(6);
}

fn connect(proxy: &str, target: &str) -> Command {
    let mut cmd = wimble();
    cmd.args(["connect", "-x", proxy, target]);
    cmd
}
