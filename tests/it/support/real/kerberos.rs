//! A Kerberos realm of its own: an MIT KDC on loopback, a user, and the service of a proxy.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::ATTEMPTS;
use super::process::{Process, open_dir, run, soon, tool};
use crate::support::closed_port;

const REALM: &str = "WIMBLE.TEST";
const PASSWORD: &str = "open sesame";

/// The realm; its user is `alice`, its service `HTTP/localhost`.
pub(crate) struct Kdc {
    // Ended before its directory goes.
    _process: Process,
    dir: TempDir,
}

impl Kdc {
    pub(crate) fn start() -> Self {
        let dir = open_dir();
        for _ in 0..ATTEMPTS {
            let port = closed_port();
            Self::configure(&dir, port);
            let database = dir.path().join("principal");
            if !database.exists() {
                let mut create = Self::tool(&dir, "kdb5_util", "krb5-kdc");
                run(create.args(["create", "-s", "-P", "master"]));
                for query in [
                    format!("addprinc -pw \"{PASSWORD}\" alice"),
                    "addprinc -randkey HTTP/localhost".into(),
                    format!("ktadd -k {}/keytab HTTP/localhost", dir.path().display()),
                    // A key that the KDC has no more: tickets made with the present one are not understood.
                    format!("ktadd -k {}/old_keytab HTTP/localhost", dir.path().display()),
                    format!("ktadd -k {}/keytab HTTP/localhost", dir.path().display()),
                ] {
                    run(Self::tool(&dir, "kadmin.local", "krb5-admin-server").args(["-q", &query]));
                }
                for keytab in ["keytab", "old_keytab"] {
                    fs::set_permissions(dir.path().join(keytab), Permissions::from_mode(0o644)).unwrap();
                }
            }
            let mut kdc = Self::tool(&dir, "krb5kdc", "krb5-kdc");
            kdc.arg("-n");
            if let Some(process) = Process::start(&mut kdc, &dir.path().join("output"), port) {
                return Self { _process: process, dir };
            }
        }
        panic!(
            "krb5kdc does not start: {}",
            fs::read_to_string(dir.path().join("output")).unwrap_or_default()
        );
    }

    /// Nothing is asked of a name server, and nothing sent by UDP.
    fn configure(dir: &TempDir, port: u16) {
        let path = dir.path().display();
        let client = format!(
            "[libdefaults]\n\
             default_realm = {REALM}\n\
             dns_lookup_kdc = false\n\
             dns_lookup_realm = false\n\
             dns_canonicalize_hostname = false\n\
             rdns = false\n\
             udp_preference_limit = 1\n\
             [realms]\n\
             {REALM} = {{\n kdc = 127.0.0.1:{port}\n}}\n"
        );
        let server = format!(
            "[kdcdefaults]\n\
             kdc_listen = 127.0.0.1:{port}\n\
             kdc_tcp_listen = 127.0.0.1:{port}\n\
             [realms]\n\
             {REALM} = {{\n\
             database_name = {path}/principal\n\
             key_stash_file = {path}/stash\n\
             acl_file = {path}/acl\n\
             }}\n"
        );
        fs::write(dir.path().join("krb5.conf"), client).unwrap();
        fs::write(dir.path().join("kdc.conf"), server).unwrap();
    }

    fn tool(dir: &TempDir, name: &str, package: &str) -> Command {
        let mut tool = tool(name, package);
        tool.env("KRB5_CONFIG", dir.path().join("krb5.conf"));
        tool.env("KRB5_KDC_PROFILE", dir.path().join("kdc.conf"));
        tool
    }

    /// Squid's configuration for Negotiate with the service's key.
    pub(crate) fn asked_by_squid(&self) -> String {
        self.asked_by_squid_with("keytab")
    }

    /// The same with a key that is no longer the service's: no ticket is good enough.
    pub(crate) fn asked_by_squid_with_an_old_key(&self) -> String {
        self.asked_by_squid_with("old_keytab")
    }

    fn asked_by_squid_with(&self, keytab: &str) -> String {
        format!(
            "auth_param negotiate program /usr/lib/squid/negotiate_kerberos_auth -s GSS_C_NO_NAME -k {}/{keytab}\n\
             auth_param negotiate children 2 startup=1 idle=1\n",
            self.dir.path().display()
        )
    }

    /// The environment of a user without a ticket.
    pub(crate) fn without_ticket(&self) -> Vec<(&'static str, PathBuf)> {
        self.environment("no_tickets")
    }

    /// The environment of `alice` with a ticket.
    pub(crate) fn with_ticket(&self) -> Vec<(&'static str, PathBuf)> {
        self.kinit("tickets", "10m");
        self.environment("tickets")
    }

    /// The environment of `alice` whose ticket is over.
    pub(crate) fn with_expired_ticket(&self) -> Vec<(&'static str, PathBuf)> {
        self.kinit("old_tickets", "1s");
        let expired = || {
            let mut klist = Self::tool(&self.dir, "klist", "krb5-user");
            !klist.envs(self.environment("old_tickets")).arg("-s").status().unwrap().success()
        };
        assert!(soon(expired), "a ticket for a second does not expire");
        // The KDC counts in whole seconds, and the last one in.
        thread::sleep(Duration::from_millis(1001));
        self.environment("old_tickets")
    }

    fn environment(&self, tickets: &str) -> Vec<(&'static str, PathBuf)> {
        let path = |name| self.dir.path().join(name);
        let cache = format!("FILE:{}", path(tickets).display()).into();
        vec![("KRB5_CONFIG", path("krb5.conf")), ("KRB5CCNAME", cache)]
    }

    fn kinit(&self, tickets: &str, life: &str) {
        let mut kinit = Self::tool(&self.dir, "kinit", "krb5-user");
        kinit.envs(self.environment(tickets)).args(["-l", life, "alice"]);
        let mut child = kinit.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "{PASSWORD}").unwrap();
        assert!(child.wait().unwrap().success(), "kinit");
    }
}
