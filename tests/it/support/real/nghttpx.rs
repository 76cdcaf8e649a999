//! nghttpx in front of Squid: a proxy that speaks HTTP/2, in the clear or inside TLS.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rcgen::KeyPair;
use rustix::process::Signal;
use tempfile::TempDir;

use super::process::{Process, open_dir, tool};
use super::{ATTEMPTS, Proxy, closed_port, soon};
use crate::support::pki::{Leaf, Pki};

pub(crate) struct Nghttpx {
    squid: Proxy,
    /// Chain and key.
    tls: Option<(PathBuf, PathBuf)>,
    /// Whose certificates clients need, if they do.
    clients: Option<PathBuf>,
    port: u16,
    // The last one serves. Ended before their directory goes.
    processes: Vec<Process>,
    dir: TempDir,
}

impl Nghttpx {
    /// HTTP/2 and 1.1 by ALPN.
    pub(crate) fn in_tls(pki: &Pki) -> Self {
        Self::start(Proxy::squid(), Some(pki.files(Leaf::Good, &KeyPair::generate().unwrap())), None)
    }

    /// As in TLS, for clients with a certificate of this authority.
    pub(crate) fn wanting_certificates(pki: &Pki) -> Self {
        let tls = pki.files(Leaf::Good, &KeyPair::generate().unwrap());
        Self::start(Proxy::squid(), Some(tls), Some(pki.ca_file()))
    }

    /// HTTP/2 with prior knowledge.
    pub(crate) fn in_the_clear(squid: Proxy) -> Self {
        Self::start(squid, None, None)
    }

    fn start(squid: Proxy, tls: Option<(PathBuf, PathBuf)>, clients: Option<PathBuf>) -> Self {
        let dir = open_dir();
        for name in ["output", "requests"] {
            fs::write(dir.path().join(name), "").unwrap();
            fs::set_permissions(dir.path().join(name), Permissions::from_mode(0o666)).unwrap();
        }
        let mut this = Self { squid, tls, clients, port: 0, processes: Vec::new(), dir };
        let started = (0..ATTEMPTS).any(|_| {
            this.port = closed_port();
            this.launch()
        });
        assert!(started, "nghttpx does not start:\n{}", this.read("output"));
        this
    }

    fn launch(&mut self) -> bool {
        let (port, at) = (self.port, self.dir.path().display());
        let clear = if self.tls.is_some() { "" } else { ";no-tls" };
        let mut command = tool("nghttpx", "nghttp2-proxy");
        command.args([
            "--conf=/dev/null",
            "--http2-proxy",
            "--workers=1",
            "--no-ocsp",
            // To Squid; 8 for one host, unless told.
            "--backend-connections-per-host=1000",
            &format!("--frontend=127.0.0.1,{port}{clear}"),
            &format!("--backend=127.0.0.1,{}", self.squid.port()),
            &format!("--accesslog-file={at}/requests"),
            "--accesslog-format=$remote_port $alpn $status $request",
            "--accesslog-write-early",
        ]);
        if let Some(authority) = &self.clients {
            command.args(["--verify-client", &format!("--verify-client-cacert={}", authority.display())]);
        }
        if let Some((chain, key)) = &self.tls {
            command.args([key, chain]);
        }
        let process = Process::start(&mut command, &self.dir.path().join("output"), port);
        let started = process.is_some();
        self.processes.extend(process);
        started
    }

    /// `SCHEME://localhost:PORT`
    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://localhost:{}", self.port)
    }

    /// The clients' ports of all connections over which this protocol was asked for a tunnel.
    pub(crate) fn connections(&self, protocol: &str) -> BTreeSet<String> {
        let log = self.read("requests");
        let fields = log.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let asked = fields.filter(|fields| {
            fields[1] == protocol && fields.contains(&"\"CONNECT") | fields.contains(&"CONNECT")
        });
        asked.map(|fields| fields[0].to_owned()).collect()
    }

    /// How many tunnels it says it has opened.
    pub(crate) fn tunnels(&self) -> usize {
        self.read("requests").lines().filter(|line| line.contains(" 200 ")).count()
    }

    /// Tells it to end when its connections have (SIGQUIT: it says GOAWAY), and starts another one in its place.
    #[track_caller]
    pub(crate) fn replace(&mut self) {
        self.processes.last().unwrap().signal(Signal::QUIT);
        assert!(soon(|| std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err()), "it still listens");
        assert!((0..ATTEMPTS).any(|_| self.launch()), "{}", self.read("output"));
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap()
    }
}
