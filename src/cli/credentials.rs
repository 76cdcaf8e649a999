//! Where the name and password for the proxy come from: the command line, a file, the proxy's
//! URI, the environment, a person at the terminal; the first that says anything decides.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::prompt::Terminal;
use super::report::printable;
use crate::route::{Proxy, ProxyUri};
use crate::secret::{Login, LoginError, Secret};
use crate::tunnel::{Logins, Question};

/// The name, where no option and no URI has one.
pub(super) const USER_VARIABLE: &str = "WIMBLE_PROXY_USER";

/// The password for a name that came without one.
pub(super) const PASSWORD_VARIABLE: &str = "WIMBLE_PROXY_PASSWORD";

/// How often a person is asked for one tunnel.
const TRIES: usize = 3;

/// The largest file of credentials that is read.
const MAX_FILE: u64 = 1024 * 1024;

/// Why credentials can't be used. The sentences are complete: they name the place, never the
/// secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum CredentialsError {
    #[error("{place}: {error}")]
    Login { place: String, error: LoginError },
    #[error("{file}: {error}")]
    Read { file: String, error: io::Error },
    #[error(
        "{file}: group or others can read it (mode {mode:03o}); take their rights away: chmod 600 {file}"
    )]
    Exposed { file: String, mode: u32 },
    #[error("{file}: its first line is not NAME:PASSWORD")]
    Format { file: String },
}

/// Gathers the logins for one run. In a chain each proxy has the login of its own URL; the others
/// share what the command line and the environment say.
pub(super) fn logins(
    option: Option<&str>,
    file: Option<&Path>,
    proxy: &Proxy,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Logins, CredentialsError> {
    let proxies = match proxy {
        Proxy::Via(proxies) => proxies.as_slice(),
        Proxy::Direct => &[],
    };
    if let [] | [_] = proxies {
        return shared(option, file, proxies.first(), variable);
    }
    let nothing = |_: &str| None;
    let own = proxies.iter().filter(|proxy| proxy.user.is_some());
    let own = own.map(|proxy| Ok((proxy.authority.clone(), shared(None, None, Some(proxy), &nothing)?)));
    let own = own.collect::<Result<_, CredentialsError>>()?;
    Ok(shared(option, file, None, variable)?.but(own))
}

/// The first that says anything: the command line, a file, this proxy's URL, the environment, a
/// person.
fn shared(
    option: Option<&str>,
    file: Option<&Path>,
    uri: Option<&ProxyUri>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Logins, CredentialsError> {
    let (place, user, password) = if let Some(typed) = option {
        let (user, password) = match typed.split_once(':') {
            Some((user, password)) => (user, Some(Secret::new(password))),
            None => (typed, None),
        };
        ("--proxy-user".to_owned(), user.to_owned(), password)
    } else if let Some(file) = file {
        let (user, password) = first_line(file)?;
        (file.display().to_string(), user, Some(password))
    } else if let Some(ProxyUri { user: Some(user), password, .. }) = uri {
        ("the proxy's URL".to_owned(), user.clone(), password.clone())
    } else if let Some(user) = variable(USER_VARIABLE).filter(|user| !user.is_empty()) {
        (USER_VARIABLE.to_owned(), user, None)
    } else {
        return Ok(Logins::asked(prompt(None)));
    };
    let invalid = |error| CredentialsError::Login { place, error };
    match password.or_else(|| variable(PASSWORD_VARIABLE).map(Secret::new)) {
        Some(password) => {
            // Refused credentials that came from somewhere else are not replaced by typed ones.
            Ok(Logins::known(Login::new(user, password).map_err(invalid)?))
        }
        None => {
            let user = Login::new(user, Secret::default()).map_err(invalid)?.user().to_owned();
            Ok(Logins::asked(prompt(Some(user))))
        }
    }
}

/// Reads a file of `NAME:PASSWORD` lines that nobody else may read.
pub(super) fn lines(file: &Path) -> Result<Vec<Login>, CredentialsError> {
    let text = private(file)?;
    let lines = text.expose().lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (user, password) = pair(line, file)?;
            let invalid = |error| CredentialsError::Login { place: file.display().to_string(), error };
            Login::new(user, password).map_err(invalid)
        })
        .collect()
}

fn first_line(file: &Path) -> Result<(String, Secret), CredentialsError> {
    let text = private(file)?;
    pair(text.expose().lines().next().unwrap_or_default(), file)
}

fn pair(line: &str, file: &Path) -> Result<(String, Secret), CredentialsError> {
    match line.split_once(':') {
        Some((user, password)) if !user.is_empty() => Ok((user.to_owned(), Secret::new(password))),
        Some(_) | None => Err(CredentialsError::Format { file: file.display().to_string() }),
    }
}

/// The text of a file that its owner alone can read, as ssh wants of a key. The open file is
/// looked at, not its name: it can't be swapped in between.
pub(super) fn private(file: &Path) -> Result<Secret, CredentialsError> {
    let name = file.display().to_string();
    let failed = |error| CredentialsError::Read { file: name.clone(), error };
    let opened = fs::File::open(file).map_err(failed)?;
    let found = opened.metadata().map_err(failed)?;
    // A pipe (`<(pass show proxy)`) has no rights to speak of.
    if found.is_file() && found.mode() & 0o077 != 0 {
        return Err(CredentialsError::Exposed { file: name, mode: found.mode() & 0o777 });
    }
    let mut text = String::new();
    opened.take(MAX_FILE).read_to_string(&mut text).map_err(failed)?;
    Ok(Secret::new(text))
}

/// A person at the terminal; what was typed is used for later connections too.
fn prompt(user: Option<String>) -> crate::tunnel::Ask {
    let typed: Mutex<Option<Login>> = Mutex::default();
    Arc::new(move |question: &Question| {
        // One prompt at a time, however many connections wait for it.
        let mut typed = typed.lock().unwrap_or_else(PoisonError::into_inner);
        if question.refused > 0 {
            *typed = None;
        }
        if typed.is_none() && question.refused < TRIES {
            let answer = ask(user.as_deref(), question);
            *typed = answer.inspect_err(|why| tracing::debug!("no prompt: {why}")).ok().flatten();
        }
        typed.clone()
    })
}

fn ask(user: Option<&str>, question: &Question) -> io::Result<Option<Login>> {
    let mut terminal = Terminal::open()?;
    let Question { proxy, realm, refused } = question;
    if *refused > 0 {
        terminal.say(&format!("Proxy {proxy} refused that."))?;
    }
    let realm = if realm.is_empty() { String::new() } else { format!(" ({})", printable(realm)) };
    let user = match user {
        Some(user) => user.to_owned(),
        None => terminal.ask(&format!("User name for proxy {proxy}{realm}"))?,
    };
    if user.is_empty() {
        return Ok(None);
    }
    let prompt = format!("Password for {} at proxy {proxy}{realm}", printable(&user));
    let password = terminal.ask_secret(&prompt)?;
    Ok(Login::new(user, Secret::new(password.as_str())).ok())
}
