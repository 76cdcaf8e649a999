//! Every scheme with the software that people have: Squid with its helpers, Kerberos, Samba, tinyproxy, Apache;
//! each by `connect` under ssh, by `forward` under curl and by `check`, and each with what is refused.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::curl::{curl, downloaded};
use crate::ssh::ssh;
use crate::support::origin::Origin;
use crate::support::pki::{Leaf, Pki};
use crate::support::proxy::Conn;
use crate::support::real::{
    Authentication, DIGEST, Kdc, NTLM_PASSWORD, NTLM_USER, PASSWORD, PLAIN_PASSWORD, Proxy, Samba, Software,
    Sshd, USER, soon,
};
use crate::support::{Finished, LIMIT, finish, listening, wimble, wimble_through};

const SESSION: Duration = Duration::from_secs(60);
const WIMBLE: &str = env!("CARGO_BIN_EXE_wimble");

/// A proxy, and how it is asked.
struct Way<'p> {
    proxy: &'p Proxy,
    options: Vec<String>,
    environment: Vec<(&'static str, PathBuf)>,
}

impl<'p> Way<'p> {
    fn with_login(proxy: &'p Proxy, user: &str, password: &str) -> Self {
        let environment =
            vec![("WIMBLE_PROXY_USER", user.into()), ("WIMBLE_PROXY_PASSWORD", password.into())];
        Self { proxy, options: Vec::new(), environment }
    }

    fn with_tickets(proxy: &'p Proxy, environment: Vec<(&'static str, PathBuf)>) -> Self {
        Self { proxy, options: Vec::new(), environment }
    }

    fn option(mut self, words: &[&str]) -> Self {
        self.options.extend(words.iter().map(|word| (*word).to_owned()));
        self
    }

    fn command(&self, command: &str) -> Command {
        let mut wimble = wimble();
        wimble.args([command, "--proxy", &self.proxy.named_url()]).args(&self.options);
        wimble.envs(self.environment.iter().cloned());
        wimble
    }

    fn connect(&self) -> Finished {
        let target = format!("127.0.0.1:{}", Origin::serving(drop).port());
        finish(self.command("connect").arg(target), b"", SESSION)
    }

    /// ssh through `connect`, `check`, and three downloads through one `forward`; Squid says this many 407s to each
    /// of the three programs.
    #[track_caller]
    fn works(&self, refusals: [usize; 3]) {
        let sshd = Sshd::start();
        let options = self.options.join(" ");
        let url = self.proxy.named_url();
        let client = sshd.client_configuration(&format!("'{WIMBLE}' connect --proxy {url} {options} %h %p"));
        let mut ssh = ssh(&client);
        ssh.envs(self.environment.iter().cloned()).arg("echo $((6 * 7))");
        self.costs(refusals[0], || {
            assert_eq!(finish(&mut ssh, b"", SESSION).exits(0).text(), "42\n");
        });
        self.costs(refusals[1], || {
            finish(self.command("check").args(["--no-tls", &sshd.target()]), b"", SESSION).exits(0);
        });
        let pki = Pki::new();
        let server = pki.server(Leaf::Good);
        self.costs(refusals[2], || {
            let (_forward, port) =
                listening(self.command("forward").arg(format!("0:localhost:{}", server.port())));
            for size in [1, 2, 3_000_000] {
                downloaded(&finish(&mut curl(&pki, &server, port, size), b"", SESSION), size);
            }
            self.proxy.carried(&format!("localhost:{}", server.port()));
        });
    }

    /// `connect`, `check` and two connections of a `forward` are refused, by this many 407s of Squid each.
    #[track_caller]
    fn is_refused(&self, says: &str, refusals: [usize; 3]) {
        self.costs(refusals[0], || {
            self.connect().fails(6).says(says);
        });
        self.costs(refusals[1], || {
            finish(self.command("check").args(["--no-tls", "localhost:443"]), b"", SESSION).exits(6);
        });
        self.costs(refusals[2], || {
            let (forward, port) = listening(self.command("forward").arg("0:localhost:443"));
            for _ in 0..2 {
                assert_eq!(Conn::to(port).read_to_any_end(), b"");
            }
            forward.stderr_lines(2, |line| line.contains("credentials"), LIMIT);
        });
    }

    /// Squid writes to its log when it finds the time.
    #[track_caller]
    fn costs(&self, refusals: usize, what: impl FnOnce()) {
        let before = self.proxy.refusals();
        what();
        soon(|| self.proxy.refusals() - before >= refusals);
        assert_eq!(self.proxy.refusals() - before, refusals, "{}", self.proxy.log());
    }
}

#[test]
fn basic_works_with_every_proxy_and_a_wrong_password_is_asked_once() {
    let squid = Proxy::squid_with_basic();
    Way::with_login(&squid, USER, PASSWORD).works([1, 1, 1]);
    let named = Way::with_login(&squid, USER, PASSWORD).option(&["--proxy-auth", "basic"]);
    named.works([0, 0, 0]);
    Way::with_login(&squid, USER, "wrong").is_refused("Basic", [2, 2, 3]);
    for (software, password) in [(Software::Tinyproxy, PLAIN_PASSWORD), (Software::Apache, PASSWORD)] {
        let proxy = Proxy::start(software, Authentication::Basic);
        Way::with_login(&proxy, USER, password).works([0, 0, 0]);
        Way::with_login(&proxy, USER, "wrong").is_refused("Basic, refused", [0, 0, 0]);
    }
}

#[test]
fn digest_works_with_squid_and_a_known_nonce_costs_no_round_trip() {
    let squid = Proxy::squid_asking(&[DIGEST]);
    for options in [&[][..], &["--proxy-auth", "digest"]] {
        let way = Way::with_login(&squid, USER, PLAIN_PASSWORD).option(options);
        way.works([1, 1, 1]);
    }
    Way::with_login(&squid, USER, "wrong").is_refused("Digest", [2, 2, 3]);
}

#[test]
fn q32_a_nonce_that_squid_finds_stale_is_replaced_silently() {
    let squid = Proxy::squid_asking(&[DIGEST]);
    let origin = Origin::serving(drop).port();
    let (forward, port) = listening(
        Way::with_login(&squid, USER, PLAIN_PASSWORD)
            .command("forward")
            .args(["-v", &format!("0:127.0.0.1:{origin}")]),
    );
    // `nonce_max_count` is 4.
    for _ in 0..10 {
        Conn::to(port).read_to_any_end();
    }
    forward.stderr_lines(10, |line| line.contains("the tunnel is open"), LIMIT);
    let refusals = squid.refusals();
    assert!((2..=4).contains(&refusals), "{refusals} questions for 10 tunnels: {}", squid.log());
}

#[test]
fn a_squid_that_was_started_again_is_told_who_we_are_again() {
    let mut squid = Proxy::squid_asking(&[DIGEST]);
    let origin = Origin::serving(drop).port();
    let (forward, port) = listening(
        Way::with_login(&squid, USER, PLAIN_PASSWORD)
            .command("forward")
            .args(["-v", &format!("0:127.0.0.1:{origin}")]),
    );
    let open = || Conn::to(port).read_to_any_end();
    open();
    squid.stop();
    squid.start_again();
    open();
    forward.stderr_lines(2, |line| line.contains("the tunnel is open"), LIMIT);
}

#[test]
fn negotiate_works_with_the_users_ticket_and_sends_nothing_else() {
    let kdc = Kdc::start();
    let squid = Proxy::squid_asking(&[&kdc.asked_by_squid()]);
    let ticket = kdc.with_ticket();
    Way::with_tickets(&squid, ticket.clone()).works([1, 1, 1]);
    let named = Way::with_tickets(&squid, ticket.clone()).option(&["--proxy-auth", "negotiate"]);
    named.works([0, 0, 0]);
    assert!(soon(|| squid.log().contains("alice@WIMBLE.TEST")), "{}", squid.log());
    // R37: the proxy's service may have another name than the proxy.
    let spn = ["--proxy-spn", "HTTP/localhost@WIMBLE.TEST"];
    Way::with_tickets(&squid, ticket.clone()).option(&spn).connect().exits(0);
    let wrong = Way::with_tickets(&squid, ticket).option(&["--proxy-spn", "HTTP@nowhere.test"]);
    assert!(wrong.connect().fails(6).says("not found").stderr.contains("--proxy-spn"));
    wrong.is_refused("Negotiate", [1, 1, 2]);
}

#[test]
fn a_missing_and_an_expired_ticket_are_called_that_and_kinit_is_named() {
    let kdc = Kdc::start();
    let squid = Proxy::squid_asking(&[&kdc.asked_by_squid()]);
    for options in [&[][..], &["--proxy-auth", "negotiate"]] {
        let none = Way::with_tickets(&squid, kdc.without_ticket()).option(options);
        none.is_refused("no Kerberos ticket", [1, 1, 2]);
        none.connect().says("kinit");
        let old = Way::with_tickets(&squid, kdc.with_expired_ticket()).option(options);
        old.is_refused("expired", [1, 1, 2]);
        old.connect().says("kinit");
    }
}

#[test]
fn a_ticket_that_the_proxy_refuses_is_sent_once_and_no_password_behind_it() {
    let kdc = Kdc::start();
    let squid = Proxy::squid_asking(&[&kdc.asked_by_squid_with_an_old_key(), DIGEST]);
    let mut environment = kdc.with_ticket();
    environment.push(("WIMBLE_PROXY_USER", USER.into()));
    environment.push(("WIMBLE_PROXY_PASSWORD", PLAIN_PASSWORD.into()));
    Way::with_tickets(&squid, environment).is_refused("Negotiate, refused", [2, 2, 3]);
}

#[test]
fn without_a_ticket_the_next_scheme_that_is_offered_is_taken() {
    let kdc = Kdc::start();
    let squid = Proxy::squid_asking(&[&kdc.asked_by_squid(), DIGEST]);
    let mut environment = kdc.without_ticket();
    environment.push(("WIMBLE_PROXY_USER", USER.into()));
    environment.push(("WIMBLE_PROXY_PASSWORD", PLAIN_PASSWORD.into()));
    Way::with_tickets(&squid, environment).works([1, 1, 1]);
    Way::with_tickets(&squid, kdc.with_ticket()).works([1, 1, 1]);
    assert!(soon(|| squid.log().contains("alice@WIMBLE.TEST")), "{}", squid.log());
}

#[test]
fn without_a_gssapi_library_it_starts_and_says_so_when_a_proxy_asks() {
    let kdc = Kdc::start();
    let squid = Proxy::squid_asking(&[&kdc.asked_by_squid()]);
    let hidden = "for library in /lib/*/libgssapi* /usr/lib/*/libgssapi*; do \
                  [ ! -e \"$library\" ] || mount --bind /dev/null \"$library\"; done; exec \"$@\"";
    let through = ["-m", "sh", "-c", hidden, "sh"];
    let without_library = |cmd: &Command| finish(&mut wimble_through("unshare", &through, cmd), b"", SESSION);
    without_library(wimble().arg("--version")).exits(0);
    let way = Way::with_tickets(&squid, kdc.with_ticket());
    let mut connect = way.command("connect");
    without_library(connect.arg("localhost:443")).fails(6).says("no GSSAPI library").says("libgssapi-krb5-2");
}

#[test]
fn ntlm_works_with_samba_and_a_wrong_password_is_asked_once() {
    let samba = Samba::start();
    let squid = Proxy::squid_asking(&[&samba.asked_by_squid()]);
    let domain = format!("WIMBLEPC\\{}", NTLM_USER.to_uppercase());
    for (user, options) in [(NTLM_USER, &[][..]), (&domain, &["--proxy-auth", "ntlm"])] {
        let way = Way::with_login(&squid, user, NTLM_PASSWORD).option(options);
        // One 407 that asks, and one for each tunnel that holds the challenge.
        way.works([2, 2, 4]);
    }
    Way::with_login(&squid, NTLM_USER, "wrong").is_refused("NTLM", [3, 3, 4]);
    // Several schemes at once: the stronger one of those that the login is for.
    let several = Proxy::squid_asking(&[&samba.asked_by_squid(), DIGEST]);
    Way::with_login(&several, USER, PLAIN_PASSWORD).works([1, 1, 1]);
    let ntlm = Way::with_login(&several, NTLM_USER, NTLM_PASSWORD).option(&["--proxy-auth", "ntlm"]);
    ntlm.connect().exits(0);
}
