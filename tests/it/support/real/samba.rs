//! A standalone Samba's winbindd, which knows one user, for Squid's NTLM helper.
//!
//! Where its clients find it is compiled in: there is one for the whole machine at a time, and a lock.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown};

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::process::{Process, open_dir, run, soon, tool};

const SOCKET: &str = "/run/samba/winbindd/pipe";

/// One that the system has too: Samba wants that.
pub(crate) const NTLM_USER: &str = "nobody";
pub(crate) const NTLM_PASSWORD: &str = "open sesame 100";
const DOMAIN: &str = "WIMBLEPC";

pub(crate) struct Samba {
    // Ended before its directory goes, and before the next one may start.
    _process: Process,
    dir: TempDir,
    _alone: File,
}

impl Samba {
    pub(crate) fn start() -> Self {
        let alone = File::create(std::env::temp_dir().join("wimble-tests-winbindd.lock")).unwrap();
        let locked = soon(|| flock(&alone, FlockOperation::NonBlockingLockExclusive).is_ok());
        assert!(locked, "other tests keep winbindd to themselves");
        let dir = open_dir();
        let path = dir.path().display();
        for name in ["private", "state", "cache", "lock", "pid", "ncalrpc"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let configuration = format!(
            "[global]\n\
             workgroup = WIMBLE\n\
             netbios name = {DOMAIN}\n\
             server role = standalone server\n\
             passdb backend = tdbsam:{path}/private/passdb.tdb\n\
             private dir = {path}/private\n\
             state directory = {path}/state\n\
             cache directory = {path}/cache\n\
             lock directory = {path}/lock\n\
             pid directory = {path}/pid\n\
             ncalrpc dir = {path}/ncalrpc\n\
             log file = {path}/log\n\
             ntlm auth = ntlmv2-only\n\
             interfaces = lo\n\
             bind interfaces only = yes\n\
             disable netbios = yes\n\
             load printers = no\n"
        );
        fs::write(dir.path().join("smb.conf"), configuration).unwrap();
        let script = format!(
            "printf '%s\\n%s\\n' '{NTLM_PASSWORD}' '{NTLM_PASSWORD}' | smbpasswd -c {path}/smb.conf -a -s {NTLM_USER}"
        );
        tool("smbpasswd", "samba-common-bin");
        run(tool("sh", "dash").args(["-c", &script]));
        fs::create_dir_all("/run/samba").unwrap();
        fs::remove_file(SOCKET).ok();
        let mut winbindd = tool("winbindd", "winbind");
        winbindd.args(["-F", "--no-process-group", &format!("--configfile={path}/smb.conf")]);
        let process = Process::start_until(&mut winbindd, &dir.path().join("output"), || {
            let answers = tool("wbinfo", "winbind").arg("-p").output().unwrap().status.success();
            answers && dir.path().join("state/winbindd_privileged/pipe").exists()
        });
        let samba = Self { _process: process.expect("winbindd ended"), dir, _alone: alone };
        // The helper runs with Squid's rights.
        let privileged = samba.dir.path().join("state/winbindd_privileged");
        let squid: u32 = run(tool("id", "coreutils").args(["-g", "proxy"])).trim().parse().unwrap();
        chown(privileged, None, Some(squid)).unwrap();
        let private = samba.dir.path().join("private");
        fs::set_permissions(private, fs::Permissions::from_mode(0o755)).unwrap();
        samba
    }

    /// Squid's configuration for NTLM.
    pub(crate) fn asked_by_squid(&self) -> String {
        tool("ntlm_auth", "winbind");
        format!(
            "auth_param ntlm program /usr/bin/ntlm_auth --configfile={}/smb.conf --helper-protocol=squid-2.5-ntlmssp\n\
             auth_param ntlm children 2 startup=1 idle=1\n",
            self.dir.path().display()
        )
    }
}

impl Drop for Samba {
    fn drop(&mut self) {
        // A daemon that winbindd starts and leaves behind.
        let pid = fs::read_to_string(self.dir.path().join("pid/samba-dcerpcd.pid")).unwrap_or_default();
        if let Some(pid) = pid.trim().parse().ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM).ok();
        }
    }
}
