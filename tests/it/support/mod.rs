//! The peers of the program under test, and the program as a child process.
//!
//! Nothing here waits without a limit, and nothing talks to anything but loopback: a test that goes wrong ends
//! with what it had captured, it does not hang.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, Once, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, setsid};

use proxy::ScriptedProxy;

pub(crate) mod frames;
#[cfg(feature = "http2")]
pub(crate) mod http2;
pub(crate) mod origin;
pub(crate) mod proxy;

/// How long any single wait may last. Generous: it is reached only when something is broken.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// The program, with nothing of the caller's environment but `PATH`, an empty home, and no stdin or stdout
/// unless the test gives one.
pub(crate) fn wimble() -> Command {
    // Without a controlling terminal a 407 cannot end in a prompt on the developer's screen. (It fails where the
    // test binary leads its process group; then there is nothing better to do.)
    static DETACHED: Once = Once::new();
    DETACHED.call_once(|| {
        setsid().ok();
    });
    let mut cmd = Command::new(env!("CARGO_BIN_EXE_wimble"));
    cmd.env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", empty_home())
        // glibc then asks no name server: a name that is not in /etc/hosts fails at once, without a packet.
        .env("RES_OPTIONS", "attempts:0")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    cmd
}

/// `wimble connect` to `target` through `proxy`.
pub(crate) fn connect_via(proxy: &ScriptedProxy, target: &str) -> Command {
    let mut cmd = wimble();
    cmd.args(["connect", "--proxy", &proxy.url(), target]);
    cmd
}

/// As `connect_via`, with credentials at hand: `NAME_AND_PASSWORD`.
pub(crate) fn connect_as(proxy: &ScriptedProxy, target: &str) -> Command {
    let mut cmd = connect_via(proxy, target);
    let (name, password) = NAME_AND_PASSWORD.split_once(':').unwrap();
    cmd.env("WIMBLE_PROXY_USER", name).env("WIMBLE_PROXY_PASSWORD", password);
    cmd
}

/// The same command, started by another program: `program args… COMMAND…`, which is to `exec` it.
pub(crate) fn wimble_through(program: &str, args: &[&str], inner: &Command) -> Command {
    let mut outer = Command::new(program);
    outer.args(args).arg(inner.get_program()).args(inner.get_args()).env_clear();
    for (name, value) in inner.get_envs() {
        outer.env(name, value.unwrap_or_default());
    }
    outer.stdin(Stdio::null()).stdout(Stdio::null());
    outer
}

/// The user of the tests.
pub(crate) const NAME_AND_PASSWORD: &str = "aladdin:open-sesame-7351";

fn empty_home() -> PathBuf {
    let home = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("empty-home");
    std::fs::create_dir_all(&home).unwrap();
    home
}

/// What a child left behind.
#[derive(Debug)]
pub(crate) struct Finished {
    /// The exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Finished {
    /// stdout as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Panics with everything captured unless the exit code is `code`.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "exit code; stdout: {:?}\nstderr:\n{}", self.text(), self.stderr);
        self
    }

    /// Panics with everything captured unless the exit code is one of these.
    #[track_caller]
    pub(crate) fn exits_with_any(self, codes: &[i32]) -> Self {
        assert!(self.code.is_some_and(|code| codes.contains(&code)), "wanted one of {codes:?}: {self:?}");
        self
    }

    /// A failure as the contract words it: this code, nothing on stdout, `wimble: WHAT: WHY` and at most one
    /// hint on stderr.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> Self {
        let this = self.exits(code);
        assert!(this.stdout.is_empty(), "a failure wrote to stdout: {:?}", this.text());
        assert_is_an_error(&this.stderr);
        this
    }

    /// Panics unless stderr contains `part`.
    #[track_caller]
    pub(crate) fn says(self, part: &str) -> Self {
        assert!(self.stderr.contains(part), "stderr does not say {part:?}:\n{}", self.stderr);
        self
    }
}

/// Exactly one `wimble: WHAT: WHY`, then at most one `hint: …`.
#[track_caller]
pub(crate) fn assert_is_an_error(stderr: &str) {
    let lines: Vec<&str> = stderr.lines().collect();
    let (error, hints) = lines.split_first().unwrap_or_else(|| panic!("stderr is empty"));
    assert!(
        error.strip_prefix("wimble: ").is_some_and(|rest| rest.contains(": ")),
        "not `wimble: WHAT: WHY`: {stderr}"
    );
    assert!(hints.len() <= 1, "more than one line behind the error: {stderr}");
    assert!(hints.iter().all(|hint| hint.starts_with("hint: ")), "not a hint: {stderr}");
}

/// Runs `cmd` to its end: `stdin` is written from a thread and closed, both outputs are read. A child that is
/// not done `within` is killed, and the panic shows what it had said.
#[track_caller]
pub(crate) fn finish(cmd: &mut Command, stdin: &[u8], within: Duration) -> Finished {
    let mut child = cmd.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let stdin = stdin.to_vec();
    // A child that does not want its stdin closes it: EPIPE is no failure of the test.
    thread::spawn(move || input.write_all(&stdin).ok());
    let stdout = collect(child.stdout.take().unwrap());
    let stderr = collect(child.stderr.take().unwrap());
    let deadline = Instant::now() + within;
    let status = wait_for(&mut child, within);
    if status.is_none() {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let left = || deadline.saturating_duration_since(Instant::now()).max(Duration::from_secs(2));
    let out = stdout.until_eof(left());
    let err = stderr.until_eof(left());
    let (stdout, stderr) = (stdout.bytes(), String::from_utf8_lossy(&stderr.bytes()).into_owned());
    let shown = String::from_utf8_lossy(&stdout[..stdout.len().min(2000)]).into_owned();
    let Some(status) = status else {
        panic!("not done within {within:?}: {cmd:?}\nstdout: {shown:?}\nstderr:\n{stderr}");
    };
    assert!(out && err, "the process is gone, yet its pipes are open\nstdout: {shown:?}\nstderr:\n{stderr}");
    Finished { code: status.code(), stdout, stderr }
}

/// The bytes of a pipe, read by a thread; shared so that they can be looked at before the end.
struct Collected {
    state: Arc<(Mutex<Bytes>, Condvar)>,
}

#[derive(Default)]
struct Bytes {
    seen: Vec<u8>,
    ended: bool,
}

fn collect(mut pipe: impl Read + Send + 'static) -> Collected {
    let state = Arc::new((Mutex::new(Bytes::default()), Condvar::new()));
    let shared = Arc::clone(&state);
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let n = pipe.read(&mut buffer).unwrap_or(0);
            let (lock, changed) = &*shared;
            let mut state = lock.lock().unwrap();
            state.seen.extend_from_slice(&buffer[..n]);
            state.ended = n == 0;
            changed.notify_all();
            if n == 0 {
                return;
            }
        }
    });
    Collected { state }
}

impl Collected {
    fn until_eof(&self, within: Duration) -> bool {
        let (lock, changed) = &*self.state;
        let guard = lock.lock().unwrap();
        changed.wait_timeout_while(guard, within, |state| !state.ended).unwrap().0.ended
    }

    fn bytes(&self) -> Vec<u8> {
        self.state.0.lock().unwrap().seen.clone()
    }
}

/// Waits for the end of a child without polling its state: a pidfd is readable when it is gone.
fn wait_for(child: &mut Child, within: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + within;
    let pid = Pid::from_child(child);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        let left = deadline.checked_duration_since(Instant::now())?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        readable(&pidfd, left);
    }
}

/// Whether `fd` became readable (or hung up) `within`.
pub(crate) fn readable(fd: &impl AsFd, within: Duration) -> bool {
    let timeout = Timespec::try_from(within).unwrap();
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    // A signal to the test process is no reason to fail: it counts as "not yet".
    poll(&mut fds, Some(&timeout)).unwrap_or(0) > 0
}

/// Writes until every buffer on the way is full and nobody empties them.
#[track_caller]
pub(crate) fn write_until_stopped(mut to: impl Write + AsFd) {
    let calm = Timespec { tv_sec: 0, tv_nsec: 300_000_000 };
    let takes_more = |fd: &_| poll(&mut [PollFd::new(fd, PollFlags::OUT)], Some(&calm)).unwrap() > 0;
    while takes_more(&to) {
        // No more than a pipe that is ready takes without waiting.
        to.write_all(&[b'x'; 4096]).unwrap();
    }
}

/// A started child whose stderr is read line by line; killed and reaped when dropped.
///
/// stdin and stdout are what the command says (`Stdio::piped()` ones are there for the taking).
pub(crate) struct Running {
    child: Child,
    lines: Arc<(Mutex<Lines>, Condvar)>,
}

#[derive(Default)]
struct Lines {
    seen: Vec<String>,
    ended: bool,
}

impl Running {
    pub(crate) fn start(cmd: &mut Command) -> Self {
        let mut child = cmd.stderr(Stdio::piped()).spawn().unwrap();
        let lines = Arc::new((Mutex::new(Lines::default()), Condvar::new()));
        let shared = Arc::clone(&lines);
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || {
            let (lock, changed) = &*shared;
            loop {
                let mut line = Vec::new();
                let n = stderr.read_until(b'\n', &mut line).unwrap_or(0);
                let mut lines = lock.lock().unwrap();
                if n == 0 {
                    lines.ended = true;
                } else {
                    lines.seen.push(String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned());
                }
                changed.notify_all();
                if n == 0 {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// The first line of stderr, said already or still to come, that matches.
    #[track_caller]
    pub(crate) fn stderr_line(&self, matches: impl Fn(&str) -> bool, within: Duration) -> String {
        self.stderr_lines(1, matches, within).remove(0)
    }

    /// The first `n` lines of stderr that match.
    #[track_caller]
    pub(crate) fn stderr_lines(
        &self,
        n: usize,
        matches: impl Fn(&str) -> bool,
        within: Duration,
    ) -> Vec<String> {
        let found = |lines: &Lines| {
            lines.seen.iter().filter(|line| matches(line)).take(n).cloned().collect::<Vec<_>>()
        };
        let (lock, changed) = &*self.lines;
        let guard = lock.lock().unwrap();
        let (lines, _) = changed
            .wait_timeout_while(guard, within, |lines| found(lines).len() < n && !lines.ended)
            .unwrap();
        let matched = found(&lines);
        assert!(
            matched.len() == n,
            "{} of {n} awaited lines on stderr within {within:?} (ended: {}):\n{}",
            matched.len(),
            lines.ended,
            lines.seen.join("\n")
        );
        matched
    }

    /// Everything said on stderr so far; all of it once the process is gone.
    pub(crate) fn stderr(&self) -> String {
        self.lines.0.lock().unwrap().seen.join("\n")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn take_stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    pub(crate) fn take_stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().unwrap()
    }

    /// Sends the signal with this number (15 is SIGTERM).
    pub(crate) fn signal(&self, number: i32) {
        kill_process(Pid::from_child(&self.child), Signal::from_named_raw(number).unwrap()).unwrap();
    }

    /// Waits for the end: the exit code, or `None` when a signal ended it. Panics if it goes on.
    #[track_caller]
    pub(crate) fn wait(&mut self, within: Duration) -> Option<i32> {
        self.wait_status(within).code()
    }

    /// As `wait`, with the signal.
    #[track_caller]
    pub(crate) fn wait_status(&mut self, within: Duration) -> ExitStatus {
        let Some(status) = wait_for(&mut self.child, within) else {
            panic!("still running after {within:?}; stderr:\n{}", self.stderr());
        };
        let (lock, changed) = &*self.lines;
        let guard = lock.lock().unwrap();
        drop(changed.wait_timeout_while(guard, Duration::from_secs(2), |lines| !lines.ended).unwrap());
        status
    }

    /// Whether it is still there after `span`: for what must *not* end.
    pub(crate) fn survives(&mut self, span: Duration) -> bool {
        wait_for(&mut self.child, span).is_none()
    }

    /// CPU time of the program in the next second.
    pub(crate) fn cpu_of_a_second(&self) -> Duration {
        let before = self.cpu();
        thread::sleep(Duration::from_secs(1));
        self.cpu() - before
    }

    /// CPU time spent so far, user and system (in ticks of 10 ms).
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        // The second field is the name in parentheses; utime and stime are fields 14 and 15.
        let rest = stat.rsplit_once(") ").unwrap().1;
        let ticks: u64 = rest.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The port in `listening on 127.0.0.1:PORT -> …`.
#[track_caller]
pub(crate) fn listening_port(line: &str) -> u16 {
    line.split_once("listening on ")
        .and_then(|(_, rest)| rest.split(' ').next())
        .and_then(|addr| addr.rsplit_once(':'))
        .and_then(|(_, port)| port.parse().ok())
        .unwrap_or_else(|| panic!("no port in {line:?}"))
}

/// Starts a command that listens, and gives the port of its first `listening on` line.
#[track_caller]
pub(crate) fn listening(cmd: &mut Command) -> (Running, u16) {
    let running = Running::start(cmd);
    let port = listening_port(&running.stderr_line(|line| line.contains("listening on "), LIMIT));
    (running, port)
}

/// A port of loopback on which nothing listens.
///
/// It was free a moment ago, and the system hands out ephemeral ports in no near order: a test that gets a
/// stranger on it would be very unlucky.
pub(crate) fn closed_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Runs `work` in a thread and gives its result, or panics when there is none `within`.
#[track_caller]
pub(crate) fn in_time<T: Send + 'static>(within: Duration, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(work()));
    told.recv_timeout(within).unwrap_or_else(|why| panic!("no result within {within:?}: {why}"))
}

/// `n` bytes that look random and are the same each time for one `seed`.
pub(crate) fn noise(n: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(n + 8);
    while bytes.len() < n {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(n);
    bytes
}

/// `assert_eq!` for megabytes: says where they differ, not what they are.
#[track_caller]
pub(crate) fn assert_same(got: &[u8], wanted: &[u8]) {
    if got != wanted {
        let at = got.iter().zip(wanted).position(|(a, b)| a != b).unwrap_or(got.len().min(wanted.len()));
        panic!("{} bytes, wanted {}; they differ at {at}", got.len(), wanted.len());
    }
}

pub(crate) mod pki;
pub(crate) mod real;
