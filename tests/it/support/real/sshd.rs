//! A real sshd, and the ssh_config of a client that it lets in.

use std::fs;
use std::path::PathBuf;

use rustix::process::geteuid;
use tempfile::TempDir;

use super::ATTEMPTS;
use super::process::{Process, open_dir, run, tool};
use crate::support::closed_port;

/// sshd with a key of its own, and what a client needs to be let in.
pub(crate) struct Sshd {
    port: u16,
    // Ended before its directory goes.
    _process: Process,
    dir: TempDir,
}

impl Sshd {
    pub(crate) fn start() -> Self {
        let dir = open_dir();
        let path = dir.path().display();
        for key in ["host_key", "user_key"] {
            let mut keygen = tool("ssh-keygen", "openssh-client");
            run(keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(dir.path().join(key)));
        }
        // Where sshd puts its unprivileged half; Debian's service makes it, and nothing else does.
        if geteuid().is_root() {
            fs::create_dir_all("/run/sshd").unwrap();
        }
        for _ in 0..ATTEMPTS {
            let port = closed_port();
            let configuration = format!(
                "ListenAddress 127.0.0.1:{port}\n\
                 HostKey {path}/host_key\n\
                 AuthorizedKeysFile {path}/user_key.pub\n\
                 PidFile none\n\
                 StrictModes no\n\
                 UsePAM no\n\
                 UseDNS no\n\
                 PermitRootLogin prohibit-password\n\
                 PasswordAuthentication no\n\
                 KbdInteractiveAuthentication no\n\
                 PermitUserRC no\n\
                 PrintMotd no\n\
                 PrintLastLog no\n\
                 MaxStartups 100\n\
                 Subsystem sftp internal-sftp\n\
                 SetEnv GIT_CONFIG_GLOBAL=/dev/null\n"
            );
            fs::write(dir.path().join("configuration"), configuration).unwrap();
            // sshd starts itself anew for each connection and insists on its full path.
            let mut sshd = tool("sshd", "openssh-server");
            sshd.args(["-D", "-e", "-f"]).arg(dir.path().join("configuration"));
            if let Some(process) = Process::start(&mut sshd, &dir.path().join("output"), port) {
                return Self { port, _process: process, dir };
            }
        }
        panic!("sshd does not start:\n{}", fs::read_to_string(dir.path().join("output")).unwrap_or_default());
    }

    /// `127.0.0.1:PORT`
    pub(crate) fn target(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The whole ssh_config for the host `target`, as people write it: only the proxy is the test's.
    pub(crate) fn client_configuration(&self, proxy_command: &str) -> PathBuf {
        let (dir, port) = (self.dir.path(), self.port);
        let host_key = fs::read_to_string(dir.join("host_key.pub")).unwrap();
        fs::write(dir.join("known_hosts"), format!("[127.0.0.1]:{port} {host_key}")).unwrap();
        let configuration = format!(
            "Host target\n\
             HostName 127.0.0.1\n\
             Port {port}\n\
             ProxyCommand {proxy_command}\n\
             BatchMode yes\n\
             IdentityFile {dir}/user_key\n\
             IdentitiesOnly yes\n\
             IdentityAgent none\n\
             UserKnownHostsFile {dir}/known_hosts\n\
             GlobalKnownHostsFile /dev/null\n\
             StrictHostKeyChecking yes\n",
            dir = dir.display()
        );
        let path = dir.join("client_configuration");
        fs::write(&path, configuration).unwrap();
        path
    }
}
