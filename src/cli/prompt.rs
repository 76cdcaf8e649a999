//! A question on the terminal itself: stdin and stdout are the tunnel's.
//!
//! Not rpassword: it clears ISIG and raises SIGINT before it has put the terminal back, so that a
//! Ctrl-C at its prompt leaves the user's shell without echo. Here Ctrl-C ends the line like Enter
//! does, the terminal is put back, and only then is the signal raised.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};

use rustix::process::{Signal, getpid, kill_process};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// Ctrl-C, and Ctrl-\.
const INTERRUPTS: [u8; 2] = [0x03, 0x1c];

/// The longest line that is taken; a terminal gives no more than 4095 bytes.
const MAX_LINE: usize = 4096;

/// The controlling terminal.
pub(super) struct Terminal(File);

impl Terminal {
    /// Opens it.
    ///
    /// # Errors
    /// There is none: a service, a cron job.
    pub(super) fn open() -> io::Result<Self> {
        OpenOptions::new().read(true).write(true).open("/dev/tty").map(Self)
    }

    /// Says a line.
    pub(super) fn say(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.0, "{line}")
    }

    /// Asks, and reads a line as it is typed.
    pub(super) fn ask(&mut self, prompt: &str) -> io::Result<String> {
        write!(self.0, "{prompt}: ")?;
        let (line, _) = self.line()?;
        Ok(line.to_string())
    }

    /// Asks, and reads a line that is not shown.
    ///
    /// # Errors
    /// `Interrupted`: by Ctrl-C, which has been raised as a signal as well.
    pub(super) fn ask_secret(&mut self, prompt: &str) -> io::Result<Zeroizing<String>> {
        // Before the prompt: an answer may come at once, by expect.
        let hidden = Hidden::new(&self.0)?;
        write!(self.0, "{prompt}: ")?;
        let read = self.line();
        drop(hidden);
        let (line, interrupted) = read?;
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
            let read = self.0.read(&mut piece[..])?;
            line.extend_from_slice(&piece[..read]);
            let interrupted = line.iter().any(|byte| INTERRUPTS.contains(byte));
            if read == 0 || interrupted || line.ends_with(b"\n") || line.len() >= MAX_LINE {
                let text = std::str::from_utf8(&line).map_err(io::Error::other)?;
                return Ok((Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()), interrupted));
            }
        }
    }
}

/// A terminal that shows nothing of what is typed, as long as this lives.
struct Hidden {
    terminal: File,
    before: Termios,
}

impl Hidden {
    fn new(terminal: &File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        hidden.local_modes.insert(LocalModes::ECHONL | LocalModes::ICANON);
        hidden.special_codes[SpecialCodeIndex::VEOL] = INTERRUPTS[0];
        hidden.special_codes[SpecialCodeIndex::VEOL2] = INTERRUPTS[1];
        let this = Self { terminal: terminal.try_clone()?, before };
        tcsetattr(terminal, OptionalActions::Flush, &hidden)?;
        Ok(this)
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _gone = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}
