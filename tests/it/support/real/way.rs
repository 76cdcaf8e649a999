//! Proxies that are not spoken to in plain HTTP: inside TLS, by SOCKS, by HTTP/2.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use rcgen::KeyPair;
use tempfile::TempDir;

use super::process::{Process, open_dir, tool};
use super::{ATTEMPTS, PASSWORD, USER, closed_port};
use crate::support::pki::{Leaf, Pki};

/// A proxy on a port of 127.0.0.1; its certificate is for `localhost` too.
pub(crate) struct Way {
    scheme: &'static str,
    port: u16,
    // Ended before its directory goes.
    _process: Process,
    _dir: TempDir,
}

impl Way {
    fn start(scheme: &'static str, command: impl Fn(u16, &Path) -> Command) -> Self {
        let dir = open_dir();
        for name in ["output", "requests"] {
            fs::write(dir.path().join(name), "").unwrap();
            fs::set_permissions(dir.path().join(name), Permissions::from_mode(0o666)).unwrap();
        }
        for _ in 0..ATTEMPTS {
            let port = closed_port();
            let mut command = command(port, dir.path());
            if let Some(process) = Process::start(&mut command, &dir.path().join("output"), port) {
                let process = match command.get_program().to_string_lossy().contains("squid") {
                    true => process.killed_at_once(format!("{}-", service(port))),
                    false => process,
                };
                return Self { scheme, port, _process: process, _dir: dir };
            }
        }
        panic!("it does not start:\n{}", fs::read_to_string(dir.path().join("output")).unwrap());
    }

    /// Squid inside TLS (Debian's, with GnuTLS).
    pub(crate) fn squid_in_tls(pki: &Pki) -> Self {
        let (chain, key) = pki.files(Leaf::Good, &KeyPair::generate().unwrap());
        Self::start("https", move |port, dir| {
            let at = dir.display();
            let configuration = format!(
                "https_port 127.0.0.1:{port} tls-cert={} tls-key={}\n\
                 pid_filename none\n\
                 coredump_dir {at}\n\
                 cache_log {at}/output\n\
                 access_log stdio:{at}/requests\n\
                 cache_store_log none\n\
                 cache deny all\n\
                 cache_mem 8 MB\n\
                 memory_cache_shared off\n\
                 max_filedescriptors 1024\n\
                 shutdown_lifetime 0 seconds\n\
                 pinger_enable off\n\
                 netdb_filename none\n\
                 dns_nameservers 127.0.0.1\n\
                 visible_hostname squid.test\n\
                 http_access allow localhost\n",
                chain.display(),
                key.display(),
            );
            fs::write(dir.join("configuration"), configuration).unwrap();
            let mut squid = tool("squid", "squid");
            squid.args(["-N", "-n", &service(port), "-f"]).arg(dir.join("configuration"));
            squid
        })
    }

    /// nghttpx in plain HTTP/1.1, that asks another proxy; `backend` is in its words.
    pub(crate) fn nghttpx_before(backend: &str) -> Self {
        Self::start("http", |port, dir| {
            fs::write(dir.join("configuration"), "").unwrap();
            let mut nghttpx = tool("nghttpx", "nghttp2-proxy");
            nghttpx.arg("--conf").arg(dir.join("configuration")).args(["--http2-proxy", "--workers=1"]);
            nghttpx.arg(format!("--frontend=127.0.0.1,{port};no-tls")).arg(format!("--backend={backend}"));
            nghttpx.arg("--insecure");
            nghttpx
        })
    }

    /// Apache inside TLS; with `clients`, it wants a certificate from the same authority.
    pub(crate) fn apache_in_tls(pki: &Pki, clients: bool) -> Self {
        Self::apache_showing(Leaf::Good, pki, clients)
    }

    /// The same, with such a certificate.
    pub(crate) fn apache_showing(leaf: Leaf, pki: &Pki, clients: bool) -> Self {
        let (chain, key) = pki.files(leaf, &KeyPair::generate().unwrap());
        let verify = match clients {
            true => format!(
                "SSLVerifyClient require\nSSLVerifyDepth 5\nSSLCACertificateFile {}\n",
                pki.ca_file().display()
            ),
            false => String::new(),
        };
        let modules: String = ["mpm_event", "authn_core", "authz_core", "proxy", "proxy_connect", "ssl"]
            .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
            .concat();
        Self::start("https", move |port, dir| {
            let at = dir.display();
            let configuration = format!(
                "ServerRoot {at}\n\
                 DefaultRuntimeDir {at}\n\
                 PidFile {at}/pid\n\
                 ErrorLog {at}/output\n\
                 ServerName localhost\n\
                 Listen 127.0.0.1:{port}\n\
                 {modules}\
                 <IfModule unixd_module>\n\
                 User nobody\n\
                 Group nogroup\n\
                 </IfModule>\n\
                 SSLEngine on\n\
                 SSLCertificateFile {}\n\
                 SSLCertificateKeyFile {}\n\
                 {verify}\
                 ProxyRequests On\n\
                 AllowCONNECT 443 1025-65535\n",
                chain.display(),
                key.display(),
            );
            fs::write(dir.join("configuration"), configuration).unwrap();
            let mut apache = tool("apache2", "apache2");
            apache.args(["-DFOREGROUND", "-f"]).arg(dir.join("configuration"));
            apache
        })
    }

    /// microsocks; with `password`, for [`USER`] alone.
    pub(crate) fn microsocks(password: bool) -> Self {
        Self::start("socks5", move |port, _| {
            let mut microsocks = tool("microsocks", "microsocks");
            microsocks.args(["-i", "127.0.0.1", "-p", &port.to_string()]);
            if password {
                microsocks.args(["-u", USER, "-P", PASSWORD]);
            }
            microsocks
        })
    }

    /// Dante, which speaks SOCKS4 as well, and forbids port 25.
    pub(crate) fn dante(scheme: &'static str) -> Self {
        Self::start(scheme, |port, dir| {
            let configuration = format!(
                "logoutput: {}/output\n\
                 internal: 127.0.0.1 port = {port}\n\
                 external: lo\n\
                 clientmethod: none\n\
                 socksmethod: none\n\
                 user.unprivileged: nobody\n\
                 client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}\n\
                 socks block {{ from: 127.0.0.0/8 to: 0.0.0.0/0 port = 25 }}\n\
                 socks pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}\n",
                dir.display()
            );
            fs::write(dir.join("configuration"), configuration).unwrap();
            let mut dante = tool("danted", "dante-server");
            dante.arg("-f").arg(dir.join("configuration")).arg("-p").arg(dir.join("pid"));
            dante
        })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What `ssh -D` gives: every version, 4a included.
    pub(crate) fn ssh(scheme: &'static str, sshd: &super::Sshd) -> Self {
        let client = sshd.client_configuration("none");
        Self::start(scheme, move |port, _| {
            let mut ssh = tool("ssh", "openssh-client");
            ssh.arg("-F").arg(&client).args(["-N", "-D", &format!("127.0.0.1:{port}"), "target"]);
            ssh
        })
    }

    /// `SCHEME://localhost:PORT`
    pub(crate) fn url(&self) -> String {
        format!("{}://localhost:{}", self.scheme, self.port)
    }

    /// With [`USER`] and [`PASSWORD`] in it.
    pub(crate) fn url_with_credentials(&self) -> String {
        format!("{}://{USER}:{}@localhost:{}", self.scheme, super::PASSWORD_IN_URL, self.port)
    }
}

fn service(port: u16) -> String {
    format!("wimble{}w{port}", std::process::id())
}
