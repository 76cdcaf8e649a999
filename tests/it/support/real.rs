//! Real servers: Squid, tinyproxy, Apache, sshd and others as plain child processes on loopback.
//!
//! Each has a temporary directory, a port that was free, and its own configuration; nothing of the machine's own
//! set-up is read, and none of these servers need be running as a service. A program that is missing fails the
//! test and names its Debian package: a test that is skipped proves nothing. Dropping the value ends the process
//! and what it has started.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use super::closed_port;
use process::{Process, open_dir};

pub(crate) use kerberos::Kdc;
pub(crate) use nghttpx::Nghttpx;
pub(crate) use process::{run, soon, tool};
pub(crate) use samba::{NTLM_PASSWORD, NTLM_USER, Samba};
pub(crate) use sshd::Sshd;
pub(crate) use target::Target;
pub(crate) use way::Way;

mod kerberos;
mod nghttpx;
mod process;
mod samba;
mod sshd;
mod target;
mod way;

/// The name that the proxies with Basic let in.
pub(crate) const USER: &str = "alice";
/// Its password: with a space, a colon and a percent sign, which a URL has to encode.
pub(crate) const PASSWORD: &str = "open sesame: 100%";
const PASSWORD_IN_URL: &str = "open%20sesame%3A%20100%25";
/// The password where a file of the server has room for plain words only.
pub(crate) const PLAIN_PASSWORD: &str = "opensesame100";

/// How often a server may lose the race for its port.
const ATTEMPTS: u32 = 5;

/// A forward proxy.
pub(crate) struct Proxy {
    software: Software,
    authentication: Authentication,
    /// Squid's `auth_param` lines.
    schemes: String,
    port: u16,
    // Ended before its directory goes.
    process: Option<Process>,
    dir: TempDir,
}

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Software {
    Squid,
    Tinyproxy,
    Apache,
}

/// What it asks of its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Authentication {
    Open,
    Basic,
    /// What `auth_param` lines say (Squid alone).
    Schemes,
}

impl Proxy {
    pub(crate) fn start(software: Software, authentication: Authentication) -> Self {
        Self::start_with(software, authentication, String::new())
    }

    /// A Squid that asks as these `auth_param` lines say.
    pub(crate) fn squid_asking(schemes: &[&str]) -> Self {
        Self::start_with(Software::Squid, Authentication::Schemes, schemes.concat())
    }

    fn start_with(software: Software, authentication: Authentication, schemes: String) -> Self {
        let dir = open_dir();
        if authentication == Authentication::Basic {
            let hash = run(tool("openssl", "openssl").args(["passwd", "-apr1", PASSWORD]));
            fs::write(dir.path().join("passwd"), format!("{USER}:{hash}")).unwrap();
        }
        fs::write(dir.path().join("digest"), format!("{USER}:{PLAIN_PASSWORD}\n")).unwrap();
        let mut proxy = Self { software, authentication, schemes, port: 0, process: None, dir };
        let started = (0..ATTEMPTS).any(|_| {
            proxy.port = closed_port();
            proxy.launch()
        });
        assert!(started, "{software:?} does not start:\n{}", proxy.log());
        proxy
    }

    pub(crate) fn squid() -> Self {
        Self::start(Software::Squid, Authentication::Open)
    }

    pub(crate) fn squid_with_basic() -> Self {
        Self::start(Software::Squid, Authentication::Basic)
    }

    /// Ends the process; connections to its port are refused from here on.
    pub(crate) fn stop(&mut self) {
        self.process = None;
    }

    /// The same proxy on the same port, after `stop`.
    pub(crate) fn start_again(&mut self) {
        let started = (0..ATTEMPTS).any(|_| self.launch());
        assert!(started, "{:?} does not start again on port {}:\n{}", self.software, self.port, self.log());
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// `http://127.0.0.1:PORT`
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// `http://localhost:PORT`: Kerberos wants a name.
    pub(crate) fn named_url(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    /// How many requests it has refused with 407 so far.
    pub(crate) fn refusals(&self) -> usize {
        self.log().lines().filter(|line| line.contains("TCP_DENIED/407")).count()
    }

    /// `http://[::1]:PORT`; only Squid listens there.
    pub(crate) fn ipv6_url(&self) -> String {
        format!("http://[::1]:{}", self.port)
    }

    /// The URL with name and password in it, percent-encoded.
    pub(crate) fn url_with_credentials(&self) -> String {
        format!("http://{USER}:{PASSWORD_IN_URL}@127.0.0.1:{}", self.port)
    }

    /// A `--proxy-credentials` file.
    pub(crate) fn credentials_file(&self) -> PathBuf {
        let path = self.dir.path().join("credentials");
        fs::write(&path, format!("{USER}:{PASSWORD}\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Panics unless the proxy itself says that it carried a tunnel to this target.
    #[track_caller]
    pub(crate) fn carried(&self, target: &str) {
        let what = format!("CONNECT {target} ");
        let open = match self.software {
            Software::Squid => "TCP_TUNNEL/200",
            Software::Tinyproxy => "Request",
            Software::Apache => " 200",
        };
        let seen = || self.log().lines().any(|line| line.contains(&what) && line.contains(open));
        assert!(soon(seen), "{:?} has not carried a tunnel to {target}:\n{}", self.software, self.log());
    }

    /// What the proxy has logged so far: requests and complaints.
    pub(crate) fn log(&self) -> String {
        ["output", "requests"]
            .map(|name| fs::read(self.dir.path().join(name)).unwrap_or_default())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .concat()
    }

    fn launch(&mut self) -> bool {
        let configuration = self.dir.path().join("configuration");
        fs::write(&configuration, self.configuration()).unwrap();
        // Squid and Apache drop root before they write here.
        for name in ["output", "requests"] {
            let path = self.dir.path().join(name);
            fs::File::options().create(true).append(true).open(&path).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        }
        let mut command = match self.software {
            Software::Squid => {
                let mut squid = tool("squid", "squid");
                squid.args(["-N", "-n", &self.service(), "-f"]).arg(configuration);
                squid
            }
            Software::Tinyproxy => {
                let mut tinyproxy = tool("tinyproxy", "tinyproxy");
                tinyproxy.args(["-d", "-c"]).arg(configuration);
                tinyproxy
            }
            Software::Apache => {
                let mut apache = tool("apache2", "apache2");
                apache.args(["-DFOREGROUND", "-f"]).arg(configuration);
                apache
            }
        };
        let process = Process::start(&mut command, &self.dir.path().join("output"), self.port);
        self.process = match self.software {
            Software::Squid => process.map(|process| process.killed_at_once(format!("{}-", self.service()))),
            Software::Tinyproxy | Software::Apache => process,
        };
        self.process.is_some()
    }

    fn service(&self) -> String {
        format!("wimble{}p{}", std::process::id(), self.port)
    }

    fn configuration(&self) -> String {
        match self.software {
            Software::Squid => self.squid_configuration(),
            Software::Tinyproxy => self.tinyproxy_configuration(),
            Software::Apache => self.apache_configuration(),
        }
    }

    /// The ports that a stock Squid allows, without those below 1024 but 443.
    fn squid_configuration(&self) -> String {
        let (dir, port) = (self.dir.path().display(), self.port);
        let (authentication, allow) = match self.authentication {
            Authentication::Open => (String::new(), "http_access allow localhost"),
            Authentication::Basic => (
                format!(
                    "auth_param basic program /usr/lib/squid/basic_ncsa_auth {dir}/passwd\n\
                     auth_param basic children 2 startup=1 idle=1\n\
                     auth_param basic realm wimble tests\n\
                     acl authenticated proxy_auth REQUIRED\n"
                ),
                "http_access allow authenticated",
            ),
            Authentication::Schemes => (
                format!(
                    "{}acl authenticated proxy_auth REQUIRED\n",
                    self.schemes.replace("{dir}", &dir.to_string())
                ),
                "http_access allow authenticated",
            ),
        };
        let ipv6 = if has_ipv6() { format!("http_port [::1]:{port}\n") } else { String::new() };
        format!(
            "http_port 127.0.0.1:{port}\n\
             {ipv6}\
             pid_filename none\n\
             coredump_dir {dir}\n\
             cache_log {dir}/output\n\
             access_log stdio:{dir}/requests\n\
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
             {authentication}\
             acl Safe_ports port 443 1025-65535\n\
             acl SSL_ports port 443 1025-65535\n\
             acl CONNECT method CONNECT\n\
             http_access deny !Safe_ports\n\
             http_access deny CONNECT !SSL_ports\n\
             {allow}\n\
             http_access deny all\n"
        )
    }

    fn tinyproxy_configuration(&self) -> String {
        let authentication = match self.authentication {
            Authentication::Open => String::new(),
            Authentication::Basic => format!("BasicAuth {USER} {PLAIN_PASSWORD}\n"),
            Authentication::Schemes => panic!("tinyproxy has Basic alone"),
        };
        let (dir, port) = (self.dir.path().display(), self.port);
        format!(
            "Port {port}\n\
             Listen 127.0.0.1\n\
             Allow 127.0.0.1\n\
             Timeout 600\n\
             MaxClients 100\n\
             LogLevel Connect\n\
             LogFile \"{dir}/requests\"\n\
             {authentication}"
        )
    }

    fn apache_configuration(&self) -> String {
        let (dir, port) = (self.dir.path().display(), self.port);
        let modules: String = [
            "mpm_event",
            "authn_core",
            "authz_core",
            "authn_file",
            "authz_user",
            "auth_basic",
            "proxy",
            "proxy_connect",
        ]
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
        .concat();
        let access = match self.authentication {
            Authentication::Open => "Require all granted".to_owned(),
            Authentication::Basic => format!(
                "AuthType Basic\n\
                 AuthName \"wimble tests\"\n\
                 AuthBasicProvider file\n\
                 AuthUserFile {dir}/passwd\n\
                 Require valid-user"
            ),
            Authentication::Schemes => panic!("not asked of Apache by any test"),
        };
        format!(
            "ServerRoot {dir}\n\
             DefaultRuntimeDir {dir}\n\
             PidFile {dir}/pid\n\
             ErrorLog {dir}/output\n\
             ServerName localhost\n\
             Listen 127.0.0.1:{port}\n\
             {modules}\
             <IfModule unixd_module>\n\
             User nobody\n\
             Group nogroup\n\
             </IfModule>\n\
             ServerLimit 1\n\
             StartServers 1\n\
             ThreadsPerChild 64\n\
             MaxRequestWorkers 64\n\
             LogFormat \"%r %>s\" requests\n\
             CustomLog {dir}/requests requests\n\
             ProxyRequests On\n\
             ProxyVia Off\n\
             AllowCONNECT 443 1025-65535\n\
             <Proxy \"*\">\n\
             {access}\n\
             </Proxy>\n"
        )
    }
}

/// `auth_param` lines for Digest; the user is `USER`, with `PLAIN_PASSWORD`.
pub(crate) const DIGEST: &str = "auth_param digest program /usr/lib/squid/digest_file_auth {dir}/digest\n\
    auth_param digest children 2 startup=1 idle=1\n\
    auth_param digest realm wimble tests\n\
    auth_param digest nonce_max_count 4\n";

/// A port on which nothing listens and nothing else can: it is held, so a connection is refused for certain.
pub(crate) struct DeadPort(Socket);

impl DeadPort {
    pub(crate) fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        Self(socket)
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.local_addr().unwrap().as_socket().unwrap().port()
    }
}

fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}
