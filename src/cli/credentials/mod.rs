//! Where the name and password for the proxy come from: the command line, files, programs, the
//! proxy's URI, the environment, a person.
//!
//! The sources have one order. The first that names a user decides who it is; the first that has a
//! password for this user decides the password. Nothing is run or looked up before a proxy asks;
//! files that an option names are read at once, as a mistake in them is one of usage.

#[cfg(feature = "keyring")]
pub(super) mod keyring;
mod netrc;
mod person;
mod private;
mod program;

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use self::netrc::OpenQuote;
pub(super) use self::person::Person;
pub(super) use self::private::open;
use self::program::ProgramError;
use super::args::ProxyArgs;
use super::report::reason;
use super::settings::Variables;
use crate::authority::{Authority, Host};
use crate::route::{Proxy, ProxyUri};
use crate::secret::{Login, LoginError, NtHash, Secret};
#[cfg(feature = "keyring")]
use crate::tunnel::Question;
use crate::tunnel::{Logins, LookUpError};

/// `NAME` or `NAME:PASSWORD`, where no option and no URI has one.
pub(super) const USER_VARIABLE: &str = "WIMBLE_PROXY_USER";

/// The password for a name that came without one.
pub(super) const PASSWORD_VARIABLE: &str = "WIMBLE_PROXY_PASSWORD";

/// The netrc file of everybody's programs: where `--netrc` looks, and without that the last source.
pub(super) const NETRC_VARIABLE: &str = "NETRC";

/// What stands before 32 hexadecimal digits in place of a password: the MD4 of one, for NTLM. The
/// word is the one that directories have for it; no password begins like this by accident.
const NT_HASH: &str = "{NT}";

/// Why credentials can't be used. The sentences are complete: they name the place, never the
/// secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum CredentialsError {
    /// What is wrong with the file that a setting names.
    #[error("{error}")]
    Named { setting: &'static str, error: Box<Self> },
    #[error("{place}: {error}")]
    Login { place: String, error: LoginError },
    #[error("{file}: {}", reason(error))]
    Read { file: String, error: io::Error },
    #[error(
        "{file}: group or others can read it (mode {mode:03o}); take their rights away: chmod 600 {file}"
    )]
    Exposed { file: String, mode: u32 },
    #[error("{file}: its first line is not NAME:PASSWORD")]
    Format { file: String },
    #[error("{file}: line {line} is not NAME:PASSWORD")]
    Line { file: String, line: usize },
    #[error("{file}: no line of it is NAME:PASSWORD")]
    NoLine { file: String },
    #[error("{file}: its NAME is not that of {place}, {user}: make them the same, or leave one out")]
    OtherUser { file: String, place: String, user: String },
    #[error("{file}: {error}")]
    Netrc { file: String, error: OpenQuote },
    #[error("--netrc: there is no HOME that has a .netrc; --netrc-file FILE names one")]
    NoHome,
    #[error("--proxy-password-command: whose password is it? --proxy-user NAME says so")]
    Nobody,
    #[error("--proxy-password-command: {0}")]
    Command(#[from] ProgramError),
    #[cfg(feature = "keyring")]
    #[error("--keyring: {0}")]
    Keyring(#[from] keyring::KeyringError),
    #[cfg(feature = "keyring")]
    #[error("no login was given: there is no terminal to ask on, and no --proxy-credentials FILE")]
    NoLogin,
}

impl CredentialsError {
    /// The setting whose value is to blame.
    pub(super) fn setting(&self) -> Option<&'static str> {
        if let Self::Named { setting, .. } = self { Some(setting) } else { None }
    }

    /// Blames the value of a setting.
    fn named(setting: &'static str) -> impl Fn(Self) -> Self {
        move |error| Self::Named { setting, error: Box::new(error) }
    }
}

impl From<CredentialsError> for LookUpError {
    fn from(error: CredentialsError) -> Self {
        match error {
            CredentialsError::Command(ProgramError::Late(_)) => Self::Late(error.into()),
            #[cfg(feature = "keyring")]
            CredentialsError::Keyring(keyring::KeyringError::Late(_)) => Self::Late(error.into()),
            error => Self::Failed(error.into()),
        }
    }
}

/// What a source says; either may be missing. A password without a user is for any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Entry {
    user: Option<String>,
    proof: Option<Proof>,
}

impl Entry {
    /// Whether it is for this user, where one is asked for. One that names nobody is for any.
    fn fits(&self, user: Option<&str>) -> bool {
        match (user, &self.user) {
            (Some(wanted), Some(found)) => wanted == found,
            (Some(_) | None, _) => true,
        }
    }
}

/// A password, or what a file may have in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Proof {
    Password(Secret),
    NtHash(NtHash),
}

impl Proof {
    fn of(self, user: String) -> Result<Login, LoginError> {
        match self {
            Self::Password(password) => Login::new(user, password),
            Self::NtHash(hash) => Login::with_nt_hash(user, hash),
        }
    }
}

/// Where a name, a password, or both may be.
#[derive(Clone, Debug)]
enum Source {
    /// At hand.
    Here { place: String, entry: Entry },
    /// What a program prints.
    Command { command: String, limit: Duration },
    /// A netrc file that an option names; it has been read.
    Netrc { file: String, text: Zeroizing<String>, host: String },
    /// What the desktop's store has.
    #[cfg(feature = "keyring")]
    Keyring { proxy: Authority, limit: Duration },
    /// A netrc file that the environment names: there may be none.
    EverybodysNetrc { file: PathBuf, host: String },
}

/// Who said it, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    Words,
    Environment,
    Profile,
    /// The rest of the file.
    Configuration,
    /// It is there for everybody's programs.
    Everybody,
}

/// The text of a file that its owner alone can read, such as a private key's.
pub(super) fn private_file(file: &Path) -> Result<Zeroizing<String>, CredentialsError> {
    private::conceal();
    private::file(file)
}

/// Gathers the logins for one run, for each proxy its own: what is kept by host is looked up for
/// this host, and who is asked is asked for each.
pub(super) fn logins(
    args: &ProxyArgs,
    proxy: &Proxy,
    variables: Variables<'_>,
    person: Person,
) -> Result<Logins, CredentialsError> {
    let Proxy::Via(proxies) = proxy else {
        // There is nobody to be given anything; a mistake is one all the same.
        return login_of(sources(args, None, variables, &Files::default())?, person);
    };
    let files = Files::default();
    let mut known = Vec::new();
    for uri in proxies {
        let mut sources = sources(args, Some(uri), variables, &files)?;
        if proxies.len() > 1 {
            name_first(&mut sources, uri);
        }
        known.push((uri.clone(), sources));
    }
    if is_command_typed(args) && !known.iter().flat_map(|(_, sources)| sources).any(Source::may_name) {
        return Err(CredentialsError::Nobody);
    }
    let known = known.into_iter().map(|(uri, sources)| Ok((uri, login_of(sources, person.clone())?)));
    let known = known.collect::<Result<Vec<_>, CredentialsError>>()?;
    let of = move |proxy: &ProxyUri| {
        let known = known.iter().find(|(uri, _)| uri == proxy);
        known.map(|(_, logins)| logins.clone()).unwrap_or_default()
    };
    Ok(Logins::each(Arc::new(of)))
}

/// One that stands in the configuration file is for the proxies there, and idle with others.
fn is_command_typed(args: &ProxyArgs) -> bool {
    args.proxy_password_command.is_some() && args.file.filed.place("proxy-password-command").is_none()
}

/// In a chain the name in a URL is its own proxy's, whatever is said for the others. A password
/// that is said for another name is not for this one.
fn name_first(sources: &mut Vec<Source>, uri: &ProxyUri) {
    let Some(own) = Source::of_url(uri) else { return };
    let is_other = |entry: &Entry| entry.user.is_some() && entry.user != uri.user;
    if sources.iter().any(|source| matches!(source, Source::Here { entry, .. } if is_other(entry))) {
        sources.retain(|source| !source.is_for_any());
    }
    sources.insert(0, own);
}

/// The login that the sources of one proxy make, if not now then when it asks.
fn login_of(sources: Vec<Source>, person: Person) -> Result<Logins, CredentialsError> {
    if sources.iter().any(Source::has_secret) {
        private::conceal();
    }
    let user = sources.iter().find_map(Source::user);
    let logins = match resolve(&sources, When::Start) {
        Ok(Some(login)) => Logins::known(login),
        Ok(None) => Logins::asked(person.asked(user.clone())),
        Err(Stop::Failed(error)) => return Err(error),
        Err(Stop::Later) => return Ok(looked_up(sources, person)),
    };
    Ok(logins.of_user(user))
}

/// What has been read: each file once, as it may be a pipe, and be wanted for several proxies.
#[derive(Default)]
struct Files(RefCell<Vec<(PathBuf, Zeroizing<String>)>>);

impl Files {
    fn text(&self, file: &Path) -> Result<Zeroizing<String>, CredentialsError> {
        let mut read = self.0.borrow_mut();
        if let Some((_, text)) = read.iter().find(|(known, _)| known == file) {
            return Ok(text.clone());
        }
        let text = private::file(file)?;
        read.push((file.to_owned(), text.clone()));
        Ok(text)
    }
}

/// What the sources have when a proxy asks.
fn looked_up(sources: Vec<Source>, person: Person) -> Logins {
    let user = sources.iter().find_map(Source::user);
    let asked = person.asked(user.clone());
    let look_up = move || match resolve(&sources, When::Asked) {
        Ok(found) => Ok(found),
        Err(Stop::Failed(error)) => Err(error.into()),
        Err(Stop::Later) => Ok(None),
    };
    Logins::looked_up(Arc::new(look_up), asked).of_user(user)
}

/// Gathers the logins for proxies that a script will name: what is kept by host is looked up for
/// each of them, who is asked is asked for each, and nothing goes to another.
#[cfg(feature = "pac")]
pub(super) fn logins_of_each(
    args: &ProxyArgs,
    variables: Variables<'_>,
    person: Person,
) -> Result<Logins, CredentialsError> {
    let sources = sources(args, None, variables, &Files::default())?;
    if is_command_typed(args) && !sources.iter().any(Source::may_name) {
        return Err(CredentialsError::Nobody);
    }
    // What is wrong without a proxy is wrong with any.
    login_of(sources.clone(), person.clone())?;
    let each = move |proxy: &ProxyUri| {
        looked_up(sources.iter().map(|source| source.at(&proxy.authority)).collect(), person.clone())
    };
    Ok(Logins::each(Arc::new(each)))
}

/// All that was given, in the order in which it counts.
fn sources(
    args: &ProxyArgs,
    uri: Option<&ProxyUri>,
    variables: Variables<'_>,
    files: &Files,
) -> Result<Vec<Source>, CredentialsError> {
    let set = |name: &str| variables(name).filter(|value| !value.is_empty());
    let here = |place: &str, user: Option<String>, password: Option<Secret>| Source::Here {
        place: place.to_owned(),
        entry: Entry { user, proof: password.map(Proof::Password) },
    };
    // Where an option's value comes from, which may be the configuration file.
    let filed = &args.file.filed;
    let layer = |option| match filed.place(option) {
        None => Layer::Words,
        Some(_) if filed.is_of_profile(option) => Layer::Profile,
        Some(_) => Layer::Configuration,
    };
    let user_place = filed.place("proxy-user").map_or("--proxy-user".to_owned(), ToString::to_string);
    let mut sources = Vec::new();
    let typed = args.proxy_user.as_deref().map(user_and_more);
    if let Some((user, password)) = &typed {
        sources.push((layer("proxy-user"), here(&user_place, Some((*user).to_owned()), password.clone())));
    }
    if let Some(path) = &args.proxy_credentials {
        let (file, entry) = (
            path.display().to_string(),
            first_line(path, files).map_err(CredentialsError::named("proxy-credentials"))?,
        );
        if let Some((user, _)) = typed
            && layer("proxy-user") == layer("proxy-credentials")
            && entry.user.as_deref() != Some(user)
        {
            // What the file has for a name is not quoted: in the wrong file it may be a secret.
            return Err(CredentialsError::OtherUser { file, place: user_place, user: user.to_owned() });
        }
        sources.push((layer("proxy-credentials"), Source::Here { place: file, entry }));
    }
    if let Some(command) = &args.proxy_password_command {
        let source = Source::Command { command: command.clone(), limit: args.proxy_timeout };
        sources.push((layer("proxy-password-command"), source));
    }
    let host = uri.map(|uri| host_of(&uri.authority)).unwrap_or_default();
    let everybodys = set(NETRC_VARIABLE).map(PathBuf::from);
    let netrc = match &args.netrc_file {
        Some(file) => Some(("netrc-file", file.clone())),
        None if !args.netrc => None,
        None => Some((
            "netrc",
            match everybodys.clone() {
                Some(file) => file,
                None => Path::new(&set("HOME").ok_or(CredentialsError::NoHome)?).join(".netrc"),
            },
        )),
    };
    if let Some((setting, file)) = &netrc {
        let text = files.text(file).map_err(CredentialsError::named(setting))?;
        let source = Source::Netrc { file: file.display().to_string(), text, host: host.clone() };
        sources.push((layer(setting), source));
    }
    #[cfg(feature = "keyring")]
    if let (true, Some(uri)) = (args.keyring, uri) {
        let source = Source::Keyring { proxy: uri.authority.clone(), limit: args.proxy_timeout };
        sources.push((layer("keyring"), source));
    }
    sources.extend(uri.and_then(Source::of_url).map(|source| (layer("proxy"), source)));
    if let Some(said) = set(USER_VARIABLE).map(Zeroizing::new) {
        let (user, password) = user_and_more(&said);
        sources.push((Layer::Environment, here(USER_VARIABLE, Some(user.to_owned()), password)));
    }
    if let Some(password) = variables(PASSWORD_VARIABLE) {
        let password = here(PASSWORD_VARIABLE, None, Some(Secret::new(password)));
        sources.push((Layer::Environment, password));
    }
    if let (None, Some(file)) = (netrc, everybodys) {
        sources.push((Layer::Everybody, Source::EverybodysNetrc { file, host }));
    }
    // Stable: what one and the same says keeps its order.
    sources.sort_by_key(|(layer, _)| *layer);
    let sources: Vec<_> = sources.into_iter().map(|(_, source)| source).collect();
    Ok(sources)
}

/// `NAME`, or `NAME:PASSWORD`.
fn user_and_more(said: &str) -> (&str, Option<Secret>) {
    match said.split_once(':') {
        Some((user, password)) => (user, Some(Secret::new(password))),
        None => (said, None),
    }
}

/// A proxy's host without the brackets that an authority needs.
fn host_of(proxy: &Authority) -> String {
    match proxy.host() {
        Host::Address(address) => address.to_string(),
        Host::Name(name) => name.clone(),
    }
}

/// Whether a proxy has asked yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Start,
    Asked,
}

/// Why a source says nothing.
#[derive(Debug)]
enum Stop {
    /// It is not asked before a proxy does.
    Later,
    Failed(CredentialsError),
}

impl From<CredentialsError> for Stop {
    fn from(error: CredentialsError) -> Self {
        Self::Failed(error)
    }
}

/// The login that the sources make; `None` if the name or the password is missing.
fn resolve(sources: &[Source], when: When) -> Result<Option<Login>, Stop> {
    let mut named = None;
    for source in sources {
        if let Some(user) = source.say(None, when)?.user {
            named = Some((user, source));
            break;
        }
    }
    let Some((user, source)) = named else { return Ok(None) };
    let invalid = |source: &Source| {
        let place = source.place();
        move |error| Stop::Failed(CredentialsError::Login { place, error })
    };
    Login::new(&*user, Secret::default()).map_err(invalid(source))?;
    for source in sources {
        if let Some(proof) = source.say(Some(&user), when)?.proof {
            return proof.of(user).map(Some).map_err(invalid(source));
        }
    }
    Ok(None)
}

impl Source {
    /// Whom it knows, or what it has for this user.
    fn say(&self, user: Option<&str>, when: When) -> Result<Entry, Stop> {
        let said = match self {
            Self::Here { entry, .. } => entry.clone(),
            Self::Command { command, limit } => {
                // It names nobody.
                if user.is_none() {
                    return Ok(Entry::default());
                }
                if when == When::Start {
                    return Err(Stop::Later);
                }
                tracing::debug!("running --proxy-password-command");
                let mut line = program::shell(command, *limit).map_err(CredentialsError::Command)?;
                Entry { user: None, proof: Some(Proof::Password(Secret::new(std::mem::take(&mut *line)))) }
            }
            Self::Netrc { file, text, host } => netrc::find(text, host, user)
                .map_err(|error| CredentialsError::Netrc { file: file.clone(), error })?
                .unwrap_or_default(),
            #[cfg(feature = "keyring")]
            Self::Keyring { .. } if when == When::Start => return Err(Stop::Later),
            #[cfg(feature = "keyring")]
            Self::Keyring { proxy, limit } => {
                tracing::debug!("asking the keyring");
                match keyring::find(proxy, *limit).map_err(CredentialsError::Keyring)? {
                    Some(line) => read_pair(&line).ok_or_else(|| {
                        CredentialsError::Keyring(keyring::KeyringError::Format(proxy.clone()))
                    })?,
                    None => Entry::default(),
                }
            }
            Self::EverybodysNetrc { .. } if when == When::Start => return Err(Stop::Later),
            Self::EverybodysNetrc { file, host } => match private::file(file) {
                Ok(text) => netrc::find(&text, host, user)
                    .map_err(|error| CredentialsError::Netrc { file: file.display().to_string(), error })?
                    .unwrap_or_default(),
                // It is there for others: that it can't be used is no failure here.
                Err(why) => {
                    tracing::debug!("{NETRC_VARIABLE} is passed over: {why}");
                    Entry::default()
                }
            },
        };
        Ok(if said.fits(user) { said } else { Entry::default() })
    }

    /// The same source, for this proxy.
    #[cfg(feature = "pac")]
    fn at(&self, proxy: &Authority) -> Self {
        let mut source = self.clone();
        if let Self::Netrc { host, .. } | Self::EverybodysNetrc { host, .. } = &mut source {
            *host = host_of(proxy);
        }
        source
    }

    /// What stands in a proxy's URL.
    fn of_url(uri: &ProxyUri) -> Option<Self> {
        let (user, password) = (uri.user.clone()?, uri.password.clone());
        let entry = Entry { user: Some(user), proof: password.map(Proof::Password) };
        Some(Self::Here { place: "the proxy's URL".to_owned(), entry })
    }

    /// Whether it is a password without a name.
    fn is_for_any(&self) -> bool {
        matches!(self, Self::Command { .. } | Self::Here { entry: Entry { user: None, .. }, .. })
    }

    /// The name that it has at hand.
    fn user(&self) -> Option<String> {
        self.say(None, When::Start).ok()?.user
    }

    fn may_name(&self) -> bool {
        !matches!(self.say(None, When::Start), Ok(Entry { user: None, .. }))
    }

    fn has_secret(&self) -> bool {
        !matches!(self, Self::Here { entry: Entry { proof: None, .. }, .. })
    }

    fn place(&self) -> String {
        match self {
            Self::Here { place, .. } => place.clone(),
            Self::Command { .. } => "--proxy-password-command".to_owned(),
            Self::Netrc { file, .. } => file.clone(),
            #[cfg(feature = "keyring")]
            Self::Keyring { .. } => "--keyring".to_owned(),
            Self::EverybodysNetrc { file, .. } => file.display().to_string(),
        }
    }
}

/// A login to be kept: from what `login` was given, or from the person who gave the command.
#[cfg(feature = "keyring")]
pub(super) fn login(
    args: &ProxyArgs,
    uri: &ProxyUri,
    variables: Variables<'_>,
    person: Person,
) -> Result<Login, CredentialsError> {
    private::conceal();
    let sources = sources(args, Some(uri), variables, &Files::default())?;
    if let Ok(Some(login)) = resolve(&sources, When::Start) {
        return Ok(login);
    }
    let proxy = uri.authority.clone();
    let ask = person.asked(sources.iter().find_map(Source::user));
    ask(&Question { proxy, realm: String::new(), refused: 0 }).ok_or(CredentialsError::NoLogin)
}

/// Reads a file of `NAME:PASSWORD` lines, one at least, that nobody else may read.
pub(super) fn lines(file: &Path) -> Result<Vec<Login>, CredentialsError> {
    let text = private::file(file)?;
    let file = file.display().to_string();
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty() && !line.starts_with('#'));
    let logins = lines.map(|(line, number)| {
        let no_pair = || CredentialsError::Line { file: file.clone(), line: number };
        let (user, password) = split(line).ok_or_else(no_pair)?;
        let invalid = |error| CredentialsError::Login { place: format!("{file}: line {number}"), error };
        Login::new(user, Secret::new(password)).map_err(invalid)
    });
    let logins = logins.collect::<Result<Vec<_>, _>>()?;
    if logins.is_empty() { Err(CredentialsError::NoLine { file }) } else { Ok(logins) }
}

fn first_line(file: &Path, files: &Files) -> Result<Entry, CredentialsError> {
    let text = files.text(file)?;
    let no_pair = || CredentialsError::Format { file: file.display().to_string() };
    read_pair(text.lines().next().unwrap_or_default()).ok_or_else(no_pair)
}

/// `NAME:PASSWORD`, or `NAME:{NT}` and a hash.
fn read_pair(line: &str) -> Option<Entry> {
    let (user, password) = split(line)?;
    let proof = match nt_hash(password) {
        Some(hash) => Proof::NtHash(hash),
        None => Proof::Password(Secret::new(password)),
    };
    Some(Entry { user: Some(user.to_owned()), proof: Some(proof) })
}

fn split(line: &str) -> Option<(&str, &str)> {
    line.split_once(':').filter(|(user, _)| !user.is_empty())
}

fn nt_hash(text: &str) -> Option<NtHash> {
    let digits = text.strip_prefix(NT_HASH)?.as_bytes();
    let mut hash = Zeroizing::new([0; 16]);
    if digits.len() != 2 * hash.len() {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = digit(0)? << 4 | digit(1)?;
    }
    Some(NtHash::new(*hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_nt_hash_is_a_word_and_exactly_32_digits_and_else_a_password() {
        // MS-NLMP §4.2.2.1.2: that of "Password".
        const HASH: &str = "a4f49c406510bdcab6824ee7c30fd852";
        let proof = |password: &str| read_pair(&format!("alice:{password}")).and_then(|entry| entry.proof);
        let mut bytes = [0; 16];
        bytes[..3].copy_from_slice(&[0xa4, 0xf4, 0x9c]);
        match proof(&format!("{{NT}}{HASH}")) {
            Some(Proof::NtHash(hash)) => assert_eq!(hash.expose()[..3], bytes[..3]),
            other => panic!("{other:?}"),
        }
        assert_eq!(proof(&format!("{{NT}}{HASH}")), proof(&format!("{{NT}}{}", HASH.to_uppercase())));
        for password in [
            HASH.to_owned(),
            format!("{{nt}}{HASH}"),
            format!("{{NT}}{HASH}0"),
            format!("{{NT}}{}x", &HASH[1..]),
            format!("{{NT}} {}", &HASH[1..]),
            "{NT}".to_owned(),
            "{NT}+123456789012345678901234567890+".to_owned(),
        ] {
            assert_eq!(proof(&password), Some(Proof::Password(Secret::new(&*password))), "{password}");
        }
        assert_eq!(read_pair(":x"), None);
        assert_eq!(read_pair("x"), None);
    }
}
