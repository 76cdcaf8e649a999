//! A question on the terminal itself: stdin and stdout are the tunnel's.
//!
//! Not rpassword: it clears ISIG and raises SIGINT before it has put the terminal back, so that a
//! Ctrl-C at its prompt leaves the user's shell without echo. Here Ctrl-C ends the line like Enter
//! does, the terminal is put back, and only then is the signal raised. A [`Curtain`] does the same
//! for the signals that come from elsewhere: ssh sends SIGHUP to its ProxyCommand.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use rustix::process::{Signal, getpid, kill_process};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

/// Ctrl-C, and Ctrl-\.
const INTERRUPTS: [u8; 2] = [0x03, 0x1c];

/// The longest line that is taken; a terminal gives no more than 4095 bytes.
const MAX_LINE: usize = 4096;

/// The controlling terminal.
pub(super) struct Terminal {
    device: File,
    /// What it is to be put back to; nothing while it shows what is typed.
    hidden: Arc<Hidden>,
    /// The mode ends by itself on a signal.
    mode_ends: bool,
}

impl Terminal {
    /// Opens it.
    ///
    /// # Errors
    /// There is none: a service, a cron job.
    pub(super) fn open(curtain: &Curtain) -> io::Result<Self> {
        let device = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
        Ok(Self { device, hidden: curtain.watched()?, mode_ends: curtain.mode_ends })
    }

    /// Says a line.
    pub(super) fn say(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.device, "{line}")
    }

    /// Asks, and reads a line as it is typed.
    pub(super) fn ask(&mut self, prompt: &str) -> io::Result<String> {
        write!(self.device, "{prompt}: ")?;
        let (line, _) = self.line()?;
        Ok(line.to_string())
    }

    /// Asks, and reads a line that is not shown.
    ///
    /// # Errors
    /// `Interrupted`: by Ctrl-C, which has been raised as a signal as well. `UnexpectedEof`: by
    /// Ctrl-D, before anything was typed.
    pub(super) fn ask_secret(&mut self, prompt: &str) -> io::Result<Zeroizing<String>> {
        // Before the prompt: an answer may come at once, by expect.
        self.hidden.hide(&self.device)?;
        let read = write!(self.device, "{prompt}: ").and_then(|()| self.line());
        self.hidden.show();
        let (line, interrupted) = read?;
        if interrupted && !self.mode_ends && !is_ignored(SignalKind::interrupt()) {
            end_by(SignalKind::interrupt());
        }
        if interrupted {
            kill_process(getpid(), Signal::INT)?;
            return Err(io::ErrorKind::Interrupted.into());
        }
        Ok(line)
    }

    /// Up to the end of a line, and whether an interrupt ended it.
    fn line(&mut self) -> io::Result<(Zeroizing<String>, bool)> {
        let mut line = Zeroizing::new(Vec::with_capacity(MAX_LINE));
        loop {
            let mut piece = Zeroizing::new([0; 256]);
            let read = self.device.read(&mut piece[..])?;
            line.extend_from_slice(&piece[..read]);
            if line.is_empty() {
                // Nothing echoed it.
                self.say("")?;
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "nothing was typed"));
            }
            let interrupted = line.iter().any(|byte| INTERRUPTS.contains(byte));
            if read == 0 || interrupted || line.ends_with(b"\n") || line.len() >= MAX_LINE {
                let text = std::str::from_utf8(&line).map_err(io::Error::other)?;
                return Ok((Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()), interrupted));
            }
        }
    }
}

/// Who puts the terminal back when a signal ends the program in the middle of a hidden line.
///
/// A handler of tokio's stays for the rest of the process. So whoever hears the signal must end the
/// process from then on, unless the mode ends by itself on that signal.
#[derive(Debug)]
pub(super) struct Curtain {
    /// The mode ends by itself on SIGTERM and SIGINT.
    mode_ends: bool,
    hidden: OnceLock<Arc<Hidden>>,
}

/// Those that come from elsewhere; Ctrl-C and its like are typed, and read as bytes.
const SIGNALS: [SignalKind; 5] =
    [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::quit(), SignalKind::terminate(), SUSPEND];

/// SIGTSTP, which stops until SIGCONT.
const SUSPEND: SignalKind = SignalKind::from_raw(Signal::TSTP.as_raw());

impl Curtain {
    /// Nothing is watched before there is a prompt.
    pub(super) fn new(mode_ends: bool) -> Self {
        Self { mode_ends, hidden: OnceLock::new() }
    }

    /// The terminal's state, watched by a thread from the first prompt on.
    fn watched(&self) -> io::Result<Arc<Hidden>> {
        if let Some(hidden) = self.hidden.get() {
            return Ok(Arc::clone(hidden));
        }
        let hidden = Arc::new(Hidden::default());
        for kind in SIGNALS.into_iter().filter(|kind| !is_ignored(*kind)) {
            let mode_ends =
                self.mode_ends && [SignalKind::terminate(), SignalKind::interrupt()].contains(&kind);
            let hidden = Arc::clone(&hidden);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
            let (mut signals, mut resumed) = {
                let _within = runtime.enter();
                (signal(kind)?, signal(SignalKind::from_raw(Signal::CONT.as_raw()))?)
            };
            let attend = move || {
                while runtime.block_on(signals.recv()).is_some() {
                    if kind == SUSPEND {
                        hidden.shown_while(|| {
                            // The signal that nobody can handle, for the one that is handled here.
                            let _never = kill_process(getpid(), Signal::STOP);
                            runtime.block_on(resumed.recv());
                        });
                        continue;
                    }
                    hidden.show();
                    if !mode_ends {
                        end_by(kind);
                    }
                }
            };
            thread::Builder::new().spawn(attend)?;
        }
        Ok(Arc::clone(self.hidden.get_or_init(|| hidden)))
    }
}

#[expect(clippy::exit, reason = "what the signal would do if it were not handled")]
fn end_by(kind: SignalKind) -> ! {
    std::process::exit(128 + kind.as_raw_value());
}

/// Whether whoever started us (nohup) has made the signal harmless: then it stays so.
fn is_ignored(kind: SignalKind) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (kind.as_raw_value() - 1)) != 0)
}

/// A terminal that shows nothing of what is typed, and what it was before.
#[derive(Debug, Default)]
struct Hidden(Mutex<Option<(File, Termios)>>);

impl Hidden {
    fn hide(&self, terminal: &File) -> io::Result<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = tcgetattr(terminal)?;
        let hidden = hiding(&before);
        *state = Some((terminal.try_clone()?, before));
        tcsetattr(terminal, OptionalActions::Flush, &hidden)?;
        Ok(())
    }

    /// As it was before, while this lasts.
    fn shown_while(&self, stopped: impl FnOnce()) {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let set = |modes: &dyn Fn(&Termios) -> Termios| {
            if let Some((terminal, before)) = &*state {
                let _gone = tcsetattr(terminal, OptionalActions::Now, &modes(before));
            }
        };
        set(&Termios::clone);
        stopped();
        set(&hiding);
    }

    fn show(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((terminal, before)) = state.take() {
            let _gone = tcsetattr(&terminal, OptionalActions::Now, &before);
        }
    }
}

/// These modes, with nothing shown of what is typed, and Ctrl-C and its like as characters.
fn hiding(before: &Termios) -> Termios {
    let mut hidden = before.clone();
    hidden.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
    hidden.local_modes.insert(LocalModes::ECHONL | LocalModes::ICANON);
    hidden.special_codes[SpecialCodeIndex::VEOL] = INTERRUPTS[0];
    hidden.special_codes[SpecialCodeIndex::VEOL2] = INTERRUPTS[1];
    hidden
}
