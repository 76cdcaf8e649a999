//! A person who is asked: on the terminal, or in the window of ssh's askpass where there is none.
//!
//! Refuses to know how a terminal is read (`cli::prompt`) and what else could have been asked.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroizing;

use super::{private, program};
use crate::cli::prompt::{Curtain, Terminal};
use crate::cli::report::printable;
use crate::cli::settings::Variables;
use crate::secret::{Login, Secret};
use crate::tunnel::{Ask, Question};

/// How often a person is asked for one tunnel.
const TRIES: usize = 3;

/// How the person can be reached.
#[derive(Clone)]
pub(in crate::cli) struct Person {
    askpass: Askpass,
    curtain: Arc<Curtain>,
    /// One prompt at a time, whoever it is for.
    turn: Arc<Mutex<()>>,
}

/// When ssh's askpass is used, and which program that is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Askpass {
    program: String,
    when: AskpassUse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AskpassUse {
    Always,
    WithoutTerminal,
    Never,
}

impl Person {
    /// `curtain`: who puts the terminal back if a signal comes.
    pub(in crate::cli) fn new(variables: Variables<'_>, curtain: Curtain) -> Self {
        Self { askpass: Askpass::new(variables), curtain: Arc::new(curtain), turn: Arc::default() }
    }

    /// Asks for one proxy; what was answered is used for later connections to it too.
    pub(super) fn asked(self, user: Option<String>) -> Ask {
        let answered: Mutex<Option<Login>> = Mutex::default();
        Arc::new(move |question: &Question| {
            // One answer, however many connections wait for it.
            let mut answered = answered.lock().unwrap_or_else(PoisonError::into_inner);
            if question.refused > 0 {
                *answered = None;
            }
            if answered.is_none() && question.refused < TRIES {
                private::conceal();
                let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
                let answer = self.ask(user.as_deref(), question);
                *answered = answer.inspect_err(|why| tracing::debug!("no prompt: {why}")).ok().flatten();
            }
            answered.clone()
        })
    }

    /// Asks for what opens a key; `again`: what was given before does not.
    ///
    /// # Errors
    /// Nobody can be asked.
    pub(in crate::cli) fn passphrase(&self, file: &str, again: bool) -> io::Result<Zeroizing<String>> {
        let mut means = self.means()?;
        if again {
            means.say("That passphrase does not open it.")?;
        }
        private::conceal();
        means.ask_secret(&format!("Passphrase for {}", printable(file)))
    }

    fn ask(&self, user: Option<&str>, question: &Question) -> io::Result<Option<Login>> {
        let mut means = self.means()?;
        let Question { proxy, realm, refused } = question;
        if *refused > 0 {
            means.say(&format!("Proxy {proxy} refused that."))?;
        }
        let realm = if realm.is_empty() { String::new() } else { format!(" ({})", printable(realm)) };
        let user = match user {
            Some(user) => user.to_owned(),
            None => means.ask(&format!("User name for proxy {proxy}{realm}"))?,
        };
        if user.is_empty() {
            return Ok(None);
        }
        let prompt = format!("Password for {} at proxy {proxy}{realm}", printable(&user));
        let mut password = means.ask_secret(&prompt)?;
        Ok(Login::new(user, Secret::new(std::mem::take(&mut *password))).ok())
    }

    fn means(&self) -> io::Result<Means<'_>> {
        let window = || Means::Window(&self.askpass.program);
        match self.askpass.when {
            AskpassUse::Always => Ok(window()),
            AskpassUse::WithoutTerminal => {
                Ok(Terminal::open(&self.curtain).map_or_else(|_| window(), Means::Terminal))
            }
            AskpassUse::Never => Terminal::open(&self.curtain).map(Means::Terminal),
        }
    }
}

impl Askpass {
    /// As ssh decides: a window needs a display unless it is forced.
    fn new(variables: Variables<'_>) -> Self {
        let set = |name: &str| variables(name).filter(|value| !value.is_empty());
        let display = set("DISPLAY").or_else(|| set("WAYLAND_DISPLAY")).is_some();
        let when = match set("SSH_ASKPASS_REQUIRE").unwrap_or_default().to_ascii_lowercase().as_str() {
            "force" => AskpassUse::Always,
            "never" => AskpassUse::Never,
            "prefer" if display => AskpassUse::Always,
            _ if display => AskpassUse::WithoutTerminal,
            _ => AskpassUse::Never,
        };
        Self { program: set("SSH_ASKPASS").unwrap_or_else(|| "ssh-askpass".to_owned()), when }
    }
}

/// What a question is shown by.
enum Means<'a> {
    Terminal(Terminal),
    Window(&'a str),
}

impl Means<'_> {
    fn say(&mut self, line: &str) -> io::Result<()> {
        match self {
            Self::Terminal(terminal) => terminal.say(line),
            // A window would wait for an answer.
            Self::Window(_) => Ok(()),
        }
    }

    fn ask(&mut self, prompt: &str) -> io::Result<String> {
        match self {
            Self::Terminal(terminal) => terminal.ask(prompt),
            Self::Window(_) => self.ask_secret(prompt).map(|answer| answer.to_string()),
        }
    }

    fn ask_secret(&mut self, prompt: &str) -> io::Result<Zeroizing<String>> {
        match self {
            Self::Terminal(terminal) => terminal.ask_secret(prompt),
            Self::Window(program) => program::askpass(program, &format!("{prompt}: ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_used_when_ssh_would_use_one() {
        use AskpassUse::{Always, Never, WithoutTerminal};
        for (require, display, when) in [
            ("", "", Never),
            ("", "DISPLAY", WithoutTerminal),
            ("", "WAYLAND_DISPLAY", WithoutTerminal),
            ("prefer", "", Never),
            ("prefer", "DISPLAY", Always),
            ("force", "", Always),
            ("FORCE", "DISPLAY", Always),
            ("never", "DISPLAY", Never),
            ("whatever", "DISPLAY", WithoutTerminal),
        ] {
            let set = |name: &str| match name {
                "SSH_ASKPASS_REQUIRE" => Some(require.to_owned()),
                name if name == display => Some(":0".to_owned()),
                _ => None,
            };
            let program = "ssh-askpass".to_owned();
            assert_eq!(Askpass::new(&set), Askpass { program, when }, "{require:?} {display:?}");
        }
    }
}
