//! Programs that know a password: `--proxy-password-command`, and the askpass of ssh's users.
//!
//! A program gets no standard input (that is the tunnel's), its stderr is ours, and what it prints
//! is read into memory that is wiped. Refuses to know whose password it is.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;
use std::{fmt, fs, io};

use rustix::process::{Pid, Signal, kill_process};
use zeroize::Zeroizing;

use super::private;
use crate::cli::report::reason;

/// Why a program gave no password. Never with a word of what it printed.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum ProgramError {
    #[error("it cannot be started: {}", reason(.0))]
    Start(io::Error),
    #[error("{0}")]
    Ended(Ended),
    #[error("what it printed cannot be read: {}", reason(.0))]
    Output(io::Error),
    #[error("it printed no password")]
    Nothing,
    #[error("no password within {0:?} (--proxy-timeout)")]
    Late(Duration),
}

/// How a program ended that should have ended well.
#[derive(Debug)]
pub(in crate::cli) struct Ended(ExitStatus);

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.code() {
            Some(code) => write!(f, "it ended with exit status {code}"),
            None => write!(f, "it was ended by a {}", self.0),
        }
    }
}

/// The first line of what a shell command prints.
pub(super) fn shell(command: &str, limit: Duration) -> Result<Zeroizing<String>, ProgramError> {
    let mut child = spawn(Command::new("sh").args(["-c", command]))?;
    let pid = Pid::from_child(&child);
    let (tell, told) = mpsc::channel();
    // Its own thread waits: a program may close its output and go on, or hand it to another.
    let waiting = thread::Builder::new().spawn(move || tell.send(answer(&mut child)));
    if let Err(error) = waiting {
        end(pid);
        return Err(ProgramError::Start(error));
    }
    match told.recv_timeout(limit) {
        Ok(line) => line,
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            // Not waited for yet, or its end would have been told: the pid is still its own.
            end(pid);
            Err(ProgramError::Late(limit))
        }
    }
}

/// What a person answers in an askpass's window; it takes the time that a person takes.
pub(in crate::cli) fn askpass(program: &str, prompt: &str) -> io::Result<Zeroizing<String>> {
    spawn(Command::new(program).arg(prompt))
        .and_then(|mut child| answer(&mut child))
        .map_err(io::Error::other)
}

fn spawn(command: &mut Command) -> Result<Child, ProgramError> {
    private::conceal();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(ProgramError::Start)
}

/// The first line, once the program has ended well. All it prints is read: one that is not
/// listened to may end with an error.
fn answer(child: &mut Child) -> Result<Zeroizing<String>, ProgramError> {
    let printed = child.stdout.take().map(private::text);
    if let Some(Err(_)) = printed {
        // One that prints without end would wait for a reader for ever.
        end(Pid::from_child(child));
    }
    let status = child.wait().map_err(ProgramError::Start)?;
    let text = printed.transpose().map_err(ProgramError::Output)?.unwrap_or_default();
    if !status.success() {
        return Err(ProgramError::Ended(Ended(status)));
    }
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Zeroizing::new(line.to_owned())),
        Some(_) | None => Err(ProgramError::Nothing),
    }
}

/// Ends a program with all that it has started, which would write to our stderr for ever after.
///
/// Not by a process group of its own: that would be in the terminal's background, where a program
/// is stopped when it asks for a passphrase.
fn end(program: Pid) {
    let (mut family, mut seen) = (vec![program], 0);
    while let Some(parent) = family.get(seen).copied() {
        seen += 1;
        // It starts nobody while its children are counted.
        let _gone = kill_process(parent, Signal::STOP);
        let raw = parent.as_raw_nonzero();
        let children = fs::read_to_string(format!("/proc/{raw}/task/{raw}/children")).unwrap_or_default();
        let children = children.split_ascii_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?));
        family.extend(children);
    }
    for member in family {
        let _gone = kill_process(member, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn the_first_line_of_a_program_that_ended_well() {
        for (command, line) in [
            ("echo secret", "secret"),
            ("printf 'se cret'", "se cret"),
            ("printf 'secret\\r\\nuser: alice\\n'", "secret"),
            ("echo secret; yes | head -c 200000", "secret"),
            ("cat; echo secret", "secret"),
        ] {
            assert_eq!(*shell(command, LIMIT).expect(command), line, "{command}");
        }
    }

    #[test]
    fn a_program_that_ended_badly_is_not_quoted() {
        for (command, why) in [
            ("echo secret; exit 3", "it ended with exit status 3"),
            ("echo secret; kill -9 $$", "it was ended by a signal: 9 (SIGKILL)"),
            ("exit 0", "it printed no password"),
            ("echo; echo secret", "it printed no password"),
            ("no-such-secret 2>/dev/null", "it ended with exit status 127"),
            ("printf 'secret\\377'", "what it printed cannot be read: it is not UTF-8"),
            ("yes secret", "what it printed cannot be read: more than a megabyte"),
        ] {
            assert_eq!(shell(command, LIMIT).expect_err(command).to_string(), why, "{command}");
        }
    }

    #[test]
    fn what_a_program_has_started_ends_with_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let pids = folder.path().join("pids");
        let command = format!("sh -c 'echo $$ >>{0}; sleep 60; :' & echo $! >>{0}; wait", pids.display());
        assert!(matches!(shell(&command, Duration::from_secs(1)), Err(ProgramError::Late(_))));
        let pids = fs::read_to_string(pids).expect("they have begun");
        assert!(!pids.is_empty());
        for pid in pids.lines() {
            let status = || fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let until = std::time::Instant::now() + LIMIT;
            // Gone, or not yet waited for.
            while !status().is_empty() && !status().contains("State:\tZ") {
                assert!(std::time::Instant::now() < until, "{pid} lives on: {}", status());
                thread::sleep(Duration::from_millis(5));
            }
        }
    }

    #[test]
    fn a_program_that_does_not_end_is_ended() {
        for command in ["exec sleep 60", "exec >&-; exec sleep 60", "echo secret; exec sleep 60"] {
            let late = shell(command, Duration::from_millis(50));
            assert!(matches!(late, Err(ProgramError::Late(_))), "{command}: {late:?}");
        }
    }
}
