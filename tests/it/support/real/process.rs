//! Child processes that listen: found on this machine, started, awaited, ended with all that they started.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::LIMIT;

/// A server that accepts connections; ended when dropped.
pub(super) struct Process {
    child: Child,
    /// Squid told to end politely takes two seconds; killed, it leaves files with this beginning in /dev/shm.
    kill_at_once: Option<String>,
}

impl Process {
    /// Starts `command` and waits until it listens. `None` when it ended instead, as it does if somebody else was
    /// given its port in the meantime.
    #[track_caller]
    pub(super) fn start(command: &mut Command, output: &Path, port: u16) -> Option<Self> {
        Self::start_until(command, output, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok())
    }

    /// Starts `command` and waits until it is `ready`. `None` when it ended instead.
    #[track_caller]
    pub(super) fn start_until(
        command: &mut Command,
        output: &Path,
        mut ready: impl FnMut() -> bool,
    ) -> Option<Self> {
        let log = fs::File::options().create(true).append(true).open(output).unwrap();
        let child =
            command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let mut process = Self { child, kill_at_once: None };
        let mut ended = false;
        let settled = soon(|| {
            ended = process.child.try_wait().unwrap().is_some();
            ended || ready()
        });
        let said = || String::from_utf8_lossy(&fs::read(output).unwrap()).into_owned();
        assert!(settled, "{command:?} is neither ready nor ended:\n{}", said());
        (!ended).then_some(process)
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(super) fn killed_at_once(mut self, shared_memory: String) -> Self {
        self.kill_at_once = Some(shared_memory);
        self
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let family = descendants(self.child.id());
        if self.kill_at_once.is_some() {
            self.child.kill().ok();
        } else {
            kill_process(Pid::from_child(&self.child), Signal::TERM).ok();
            if !soon(|| self.child.try_wait().is_ok_and(|status| status.is_some())) {
                self.child.kill().ok();
            }
        }
        self.child.wait().ok();
        // Helpers and sessions end by themselves once their parent or their client is gone.
        if !soon(|| family.iter().all(|member| !member.lives())) {
            for member in family.iter().filter(|member| member.lives()) {
                Pid::from_raw(member.pid.cast_signed()).map(|pid| kill_process(pid, Signal::KILL).ok());
            }
        }
        if let Some(beginning) = &self.kill_at_once {
            for entry in fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
                if entry.file_name().to_string_lossy().starts_with(beginning) {
                    fs::remove_file(entry.path()).ok();
                }
            }
        }
    }
}

/// A process and the moment of its start: a pid alone may be somebody else's by now.
struct Member {
    pid: u32,
    started: String,
}

impl Member {
    fn of(pid: u32) -> Option<Self> {
        started(pid).map(|started| Self { pid, started })
    }

    fn lives(&self) -> bool {
        started(self.pid).is_some_and(|started| started == self.started)
    }
}

/// When it was started; `None` for one that is gone or only waits to be reaped.
fn started(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name in parentheses: the state is field 3, the time of the start field 22.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    (state != "Z").then(|| fields.nth(18).unwrap_or_default().to_owned())
}

fn descendants(pid: u32) -> Vec<Member> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let mut family = Vec::new();
    for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
        family.extend(descendants(child));
        family.extend(Member::of(child));
    }
    family
}

/// Whether `condition` came true within the limit: for what only a look can tell.
pub(crate) fn soon(mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
    true
}

/// A command with nothing of the caller's environment but `PATH`.
#[track_caller]
pub(crate) fn tool(name: &str, package: &str) -> Command {
    let mut command = Command::new(program(name, package));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("SHELL", "/bin/sh");
    command
}

/// Runs it to its end, and gives what it printed.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The program's full path: sshd insists on it, and an ordinary user's `PATH` lacks /usr/sbin.
#[track_caller]
fn program(name: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| {
            panic!("`{name}` is missing: install the Debian package `{package}`, or run tests/run")
        })
}

/// A temporary directory that a server without root's rights can enter.
pub(super) fn open_dir() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    dir
}
