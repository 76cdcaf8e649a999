//! Real servers that a tunnel leads to, or a proxy that looks inside: openssl s_server, CUPS, an SMTP server,
//! mitmproxy.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::ATTEMPTS;
use super::process::{Process, open_dir, tool};
use crate::support::closed_port;

/// A server on a port of its own.
pub(crate) struct Target {
    port: u16,
    // Ended before its directory goes.
    _process: Process,
    dir: TempDir,
}

impl Target {
    /// `openssl s_server` with these options; it answers any number of handshakes.
    pub(crate) fn openssl(options: &[&str]) -> Self {
        Self::start(|port, _| {
            let mut server = tool("openssl", "openssl");
            server.args(["s_server", "-quiet", "-accept", &format!("127.0.0.1:{port}")]).args(options);
            server
        })
    }

    /// An SMTP server that offers STARTTLS.
    pub(crate) fn smtp(chain: &Path, key: &Path) -> Self {
        Self::start(|port, _| {
            let mut server = tool("aiosmtpd", "python3-aiosmtpd");
            server.args(["-n", "-c", "aiosmtpd.handlers.Sink", "-l", &format!("127.0.0.1:{port}")]);
            server.arg("--tlscert").arg(chain).arg("--tlskey").arg(key);
            server
        })
    }

    /// CUPS, which goes over to TLS by RFC 2817 for who asks for it by `Upgrade` (Apache has given that up). It
    /// makes its certificate itself.
    pub(crate) fn cups() -> Self {
        Self::start(|port, dir| {
            let dir = dir.display();
            for name in ["root", "ssl", "spool", "cache", "state"] {
                fs::create_dir_all(format!("{dir}/{name}")).unwrap();
            }
            let configuration = format!(
                "Listen 127.0.0.1:{port}\nDefaultEncryption IfRequested\nBrowsing Off\n\
                 <Location />\nOrder allow,deny\nAllow all\n</Location>\n"
            );
            fs::write(format!("{dir}/configuration"), configuration).unwrap();
            let files = format!(
                "ServerRoot {dir}/root\nServerKeychain {dir}/ssl\nCreateSelfSignedCerts yes\nRequestRoot {dir}/spool\n\
                 CacheDir {dir}/cache\nStateDir {dir}/state\nAccessLog {dir}/access\nErrorLog {dir}/errors\n\
                 PageLog {dir}/pages\nSystemGroup root\n"
            );
            fs::write(format!("{dir}/files"), files).unwrap();
            let mut cups = tool("cupsd", "cups-daemon");
            cups.args(["-f", "-c", &format!("{dir}/configuration"), "-s", &format!("{dir}/files")]);
            cups
        })
    }

    /// nginx with TLS, HTTP/2 where it is offered, and nothing to serve.
    pub(crate) fn nginx(chain: &Path, key: &Path) -> Self {
        Self::start(|port, dir| {
            let (dir, chain, key) = (dir.display(), chain.display(), key.display());
            let configuration = format!(
                "daemon off; pid {dir}/pid; error_log {dir}/errors; worker_processes 1;\n\
                 events {{ worker_connections 64; }}\n\
                 http {{ access_log off; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p;\n\
                 fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;\n\
                 server {{ listen 127.0.0.1:{port} ssl http2; root {dir}/root;\n\
                 ssl_certificate {chain}; ssl_certificate_key {key}; }} }}\n"
            );
            let path = format!("{dir}/configuration");
            fs::write(&path, configuration).unwrap();
            let mut nginx = tool("nginx", "nginx");
            nginx.args(["-c", &path, "-p", &dir.to_string(), "-e", &format!("{dir}/errors")]);
            nginx
        })
    }

    /// mitmproxy, which opens every TLS session with an authority of its own.
    pub(crate) fn mitmproxy() -> Self {
        Self::start(|port, dir| {
            let mut mitmproxy = tool("mitmdump", "mitmproxy");
            mitmproxy.env("HOME", dir);
            mitmproxy.args(["-q", "--ssl-insecure", "--listen-host", "127.0.0.1", "-p", &port.to_string()]);
            mitmproxy.arg("--set").arg(format!("confdir={}", dir.display()));
            mitmproxy
        })
    }

    fn start(command: impl Fn(u16, &Path) -> Command) -> Self {
        let dir = open_dir();
        for _ in 0..ATTEMPTS {
            let port = closed_port();
            if let Some(process) =
                Process::start(&mut command(port, dir.path()), &dir.path().join("output"), port)
            {
                return Self { port, _process: process, dir };
            }
        }
        panic!("no server:\n{}", fs::read_to_string(dir.path().join("output")).unwrap_or_default());
    }

    /// `localhost:PORT`
    pub(crate) fn target(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// `http://127.0.0.1:PORT`, for one that is a proxy.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The certificate of mitmproxy's authority.
    pub(crate) fn mitmproxys_authority(&self) -> PathBuf {
        self.dir.path().join("mitmproxy-ca-cert.pem")
    }
}
