//! Every sentence: what failed, with whom, why, and what to try.
//!
//! Text from the network is escaped here, at the one door it can get out by. Hints are a
//! sentence for each cause; where there is nothing useful to say there is none.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::sync::Mutex;

#[cfg(not(feature = "keyring"))]
use clap::error::{ContextKind, ContextValue};

use super::args::LogFormat;
use super::config::{ConfigError, Why};
#[cfg(feature = "keyring")]
use super::credentials::keyring::KeyringError;
use super::exit::{Classified as _, Kind};
use super::hints::Detail;
use super::no_tunnel;
#[cfg(feature = "pac")]
use super::pac;
use super::settings::{SettingsError, Warning};
use crate::authority::Authority;
use crate::front::Denied;
use crate::mode::connect::ConnectError;
use crate::mode::{Place, PlaceError, RouteError, SessionError, Watch};
use crate::net::bridge::BridgeError;
use crate::net::relay::RelayError;
use crate::proto::Opening;
use crate::tunnel::Stage;

/// Characters of one message. A proxy may explain itself at any length.
const MAX_MESSAGE: usize = 500;

/// An error, ready to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) kind: Kind,
    pub(super) stage: Option<Stage>,
    /// What failed, and with whom.
    what: String,
    /// Why.
    why: String,
    /// The cause, where it is one of those that have a hint of their own.
    pub(super) detail: Option<Detail>,
    pub(super) hint: Option<String>,
}

impl Told {
    pub(super) fn new(kind: Kind, what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { kind, stage: None, what: what.into(), why: why.into(), detail: None, hint: None }
    }

    /// Names the stage that failed, if it was in one.
    pub(super) fn at(self, stage: impl Into<Option<Stage>>) -> Self {
        Self { stage: stage.into(), ..self }
    }

    /// Names the cause, which has its hint.
    pub(super) fn because(self, detail: Detail) -> Self {
        Self { detail: Some(detail), hint: Some(detail.hint().into()), ..self }
    }

    /// Tells better why.
    pub(super) fn saying(self, why: String) -> Self {
        Self { why, ..self }
    }

    /// Says better what to try next.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// `WHAT: WHY`, escaped, and no longer than a person would read.
    pub(super) fn message(&self) -> String {
        let mut message = printable(&format!("{}: {}", self.what, self.why));
        if let Some((cut, _)) = message.char_indices().nth(MAX_MESSAGE) {
            message.truncate(cut);
            message.push('…');
        }
        message
    }
}

/// Makes text harmless to a terminal, on one line: control characters, those that turn the direction
/// of writing, and those that are not seen at all, are escaped.
pub(super) fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_dangerous(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// What a terminal obeys or hides instead of showing it: controls, line separators, changes of
/// direction, and what has no width. The joiners of Persian, Indic scripts and emoji stay.
fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// Writes to stderr, as text or as JSON.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reporter {
    pub(super) format: LogFormat,
    pub(super) quiet: bool,
}

/// A line is written whole, whoever writes another.
static STDERR: Mutex<()> = Mutex::new(());

impl Reporter {
    /// One line, and at most one hint.
    pub(super) fn error(self, told: &Told) {
        match self.format {
            LogFormat::Text => {
                let hint = told.hint.as_ref().map(|hint| format!("hint: {}\n", printable(hint)));
                write_stderr(&format!("wimble: {}\n{}", told.message(), hint.unwrap_or_default()));
            }
            LogFormat::Json => write_stderr(&json_line(&serde_json::json!({
                "level": "error", "kind": told.kind.name(), "detail": told.detail.map(Detail::name),
                "message": told.message(), "hint": told.hint,
            }))),
        }
    }

    pub(super) fn warning(self, warning: &Warning) {
        let text = match warning {
            Warning::PasswordInArguments(option) => format!(
                "{option}: other users of this machine can read the password in the list of processes; \
                 use --proxy-credentials FILE or WIMBLE_PROXY_PASSWORD"
            ),
            Warning::NotLoopback(place) => format!("{place}: other machines can use this forward"),
        };
        self.say(if self.format == LogFormat::Json { "warn" } else { "warning" }, &text);
    }

    /// A line that is no error.
    pub(super) fn say(self, level: &str, text: &str) {
        if self.quiet {
            return;
        }
        match self.format {
            LogFormat::Text if level == "listening" => write_stderr(&format!("{}\n", printable(text))),
            LogFormat::Text => write_stderr(&format!("wimble: {level}: {}\n", printable(text))),
            LogFormat::Json => {
                write_stderr(&json_line(&serde_json::json!({ "level": level, "message": text })))
            }
        }
    }
}

/// One line of JSON. Its own rules escape no more than the ASCII controls; who looks at it on a
/// terminal is to be as safe as with text. What is dangerous stands in strings only.
pub(super) fn json_line(value: &serde_json::Value) -> String {
    let mut line = String::new();
    for c in value.to_string().chars() {
        if is_dangerous(c) {
            // RFC 8259 §7: beyond the basic plane it takes two.
            for unit in c.encode_utf16(&mut [0; 2]) {
                line.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            line.push(c);
        }
    }
    line.push('\n');
    line
}

/// Nobody may be reading stderr: then there is nobody to tell.
pub(super) fn write_stderr(text: &str) {
    let _guard = STDERR.lock();
    let _unread = io::stderr().write_all(text.as_bytes());
}

impl Watch for Reporter {
    fn listening(&self, place: &str, target: Option<&Authority>) {
        let text = match target {
            Some(target) => format!("listening on {place} -> {target}"),
            None => format!("listening on {place}"),
        };
        self.say("listening", &text);
    }

    fn failed(&self, target: Option<&Authority>, error: &SessionError) {
        match error {
            SessionError::Route(error) => self.error(&route(error)),
            SessionError::Tunnel(error) => self.error(&no_tunnel::told(error, target)),
            SessionError::Denied(Denied::Foreign(spoken)) => self.say("warning", foreign(*spoken)),
            // What clients and targets do to each other is not this machine's trouble.
            SessionError::Denied(denied) => tracing::info!("a client was denied: {denied}"),
            SessionError::Client(error)
            | SessionError::Relay(RelayError::Client(error) | RelayError::Unread(error)) => {
                tracing::info!("a client's connection broke: {error}");
            }
            SessionError::Relay(RelayError::Tunnel(error)) => {
                let target = target.map(Authority::to_string).unwrap_or_default();
                self.error(&Told::new(Kind::Cut, format!("tunnel to {target}"), reason(error)));
            }
            SessionError::Relay(RelayError::Unwanted(error)) => {
                tracing::info!("a target had ended and took no more: {error}");
            }
            SessionError::Relay(RelayError::Idle) => tracing::info!("a tunnel was silent too long"),
        }
    }
}

/// A client of `serve` that was given the wrong kind of proxy.
fn foreign(spoken: Opening) -> &'static str {
    match spoken {
        Opening::Http1 => "a client speaks plain HTTP to this port, which speaks TLS: its proxy is https://",
        Opening::Http2 => "a client speaks HTTP/2, which this build does not: its proxy is HTTP/1.1",
        Opening::Tls => {
            "a client speaks TLS to this port, which speaks plain HTTP: \
             its proxy is http://, or --tls-cert and --tls-key are missing here"
        }
        Opening::Socks4 => {
            "a client speaks SOCKS4 to this port, which speaks HTTP: its proxy is http:// or https://"
        }
        Opening::Socks5 => {
            "a client speaks SOCKS5 to this port, which speaks HTTP: its proxy is http:// or https://"
        }
    }
}

/// Words that are no command line: clap's sentences, on one line.
pub(super) fn usage(error: &clap::Error) -> Told {
    let text = error.render().to_string();
    let why = sentence(error);
    let tip = text.lines().filter_map(|line| line.strip_prefix("  tip: ")).find(|tip| is_a_help(tip));
    let values = || text.lines().find_map(|line| line.strip_prefix("  [possible values: "));
    let hint = tip.or_else(values).map(|line| line.trim_end_matches(']').to_owned());
    let why = if why.is_empty() { "a command is missing".to_owned() } else { why };
    let hint = absent_keyring(error).or(hint);
    Told::new(Kind::Usage, "usage", why)
        .hint(hint.unwrap_or_else(|| "wimble --help shows what there is".into()))
}

/// Whether clap's tip helps: who has misspelt an option wants no `--` before it, and is not led to one
/// that trusts anybody.
fn is_a_help(tip: &str) -> bool {
    !tip.starts_with("to pass '") && !tip.contains("insecure")
}

/// What clap says, on one line, without what it adds.
pub(super) fn sentence(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let ends = ["\n\n  tip: ", "\n\nUsage: ", "\n\nFor more information", "\n  [possible values: "];
    let end = ends.iter().filter_map(|end| text.find(end)).min().unwrap_or(text.len());
    text[..end].trim_end().replace("\n  ", " ")
}

/// What to do in a build that has no keyring, for words that want one.
#[cfg(not(feature = "keyring"))]
fn absent_keyring(error: &clap::Error) -> Option<String> {
    let words = [ContextKind::InvalidArg, ContextKind::InvalidSubcommand];
    let word = words.into_iter().find_map(|kind| match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word.as_str()),
        _ => None,
    });
    matches!(word, Some("--keyring" | "login" | "logout")).then(|| {
        "this build has no keyring; --proxy-password-command 'secret-tool lookup ATTRIBUTE VALUE' asks the desktop's"
            .to_owned()
    })
}

#[cfg(feature = "keyring")]
fn absent_keyring(_: &clap::Error) -> Option<String> {
    None
}

/// The keyring did not take or give back a login.
#[cfg(feature = "keyring")]
pub(super) fn keyring(error: &KeyringError) -> Told {
    let told = Told::new(Kind::Local, "keyring", error.to_string());
    match error {
        KeyringError::NoStore(_) => told.hint(
            "it needs a desktop session's D-Bus and a secret service, such as gnome-keyring or KeePassXC",
        ),
        KeyringError::NoEntry(_) => told.hint("an entry is for one HOST:PORT, as --proxy names it"),
        KeyringError::Refused(_) | KeyringError::Format(_) | KeyringError::Late(_) => told,
    }
}

/// The configuration file.
pub(super) fn config(error: &ConfigError) -> Told {
    let told = Told::new(Kind::Usage, &error.place, error.why.to_string());
    match &error.why {
        Why::Unknown { near: Some(near), .. } => told.hint(format!("{near} is one")),
        Why::Unknown { near: None, .. } => told.hint("wimble config shows all settings"),
        Why::NoProfile { known, .. } if !known.is_empty() => {
            told.hint(format!("its profiles are {}", known.join(", ")))
        }
        Why::NoFile { .. } => {
            told.hint("wimble config shows where it is looked for; --config FILE names another")
        }
        Why::Read(error) => Told { why: reason(error), ..told },
        Why::NoProfile { .. }
        | Why::Toml(_)
        | Why::NotForFiles { .. }
        | Why::Type { .. }
        | Why::Value { .. }
        | Why::Together { .. }
        | Why::Exposed { .. }
        | Why::Writable { .. }
        | Why::Foreign { .. }
        | Why::NoSpecs { .. }
        | Why::Folder { .. }
        | Why::ForwardName { .. } => told,
    }
}

/// The hint where no proxy is given.
const WAYS_TO_A_PROXY: &str = match cfg!(feature = "pac") {
    true => {
        "give --proxy http://HOST:PORT (or --proxy direct) or --pac URL, set WIMBLE_PROXY, https_proxy or all_proxy, or write proxy = \"URL\" into a configuration file"
    }
    false => {
        "give --proxy http://HOST:PORT (or --proxy direct), set WIMBLE_PROXY, https_proxy or all_proxy, or write proxy = \"URL\" into a configuration file"
    }
};

/// Usage and configuration.
pub(super) fn settings(error: &SettingsError) -> Told {
    match error {
        SettingsError::NoProxy => {
            Told::new(Kind::Usage, "no proxy", "none is given, and the target is not exempt")
                .hint(WAYS_TO_A_PROXY)
        }
        SettingsError::Proxy(why) => Told::new(Kind::Usage, "--proxy", why.to_string()).hint(
            "a proxy is http://, https:// or socks5://HOST:PORT; HOST:PORT is http://; direct means none",
        ),
        SettingsError::Variable(error) => Told::new(Kind::Usage, error.variable, error.why.to_string()).hint(
            "a proxy is http://, https:// or socks5://HOST:PORT; HOST:PORT is http://; direct means none",
        ),
        SettingsError::Url => Told::new(Kind::Usage, "target", error.to_string())
            .hint("a proxy's URL stands behind --proxy (-x); a target has no scheme, no user and no path"),
        #[cfg(feature = "pac")]
        SettingsError::Pac(why) => {
            Told::new(Kind::Usage, "--pac", why.to_string()).because(Detail::PacNotRead)
        }
        SettingsError::Filed { place, error } => {
            let told = settings(error);
            let named = if let SettingsError::Credentials(error) = &**error { error.setting() } else { None };
            let what = named.unwrap_or_else(|| told.what.trim_start_matches('-'));
            let why = format!("{what}: {}", told.why);
            Told { what: place.to_string(), why, ..told }
        }
        SettingsError::Target { .. }
        | SettingsError::Words
        | SettingsError::Compare(_)
        | SettingsError::OneHost
        | SettingsError::UserAgent(_)
        | SettingsError::Header(_)
        | SettingsError::Credentials(_)
        | SettingsError::Sni(_)
        | SettingsError::Pem { .. }
        | SettingsError::DirectInChain
        | SettingsError::OpenProxy { .. }
        | SettingsError::NoForward { .. }
        | SettingsError::NoForwards
        | SettingsError::Place { .. } => {
            let sentence = error.to_string();
            let (what, why) = sentence.split_once(": ").unwrap_or(("usage", &sentence));
            Told::new(Kind::Usage, what, why)
        }
    }
}

/// A variable that is no text.
pub(super) fn not_utf8(variable: &str) -> Told {
    Told::new(Kind::Usage, variable, "it is not UTF-8")
}

/// A listener that could not be had.
pub(super) fn place(error: &PlaceError) -> Told {
    let told = Told::new(Kind::Local, format!("listen on {}", error.place), reason(&error.error));
    let kind = error.error.kind();
    if let Place::Unix(path) = &error.place {
        if kind == io::ErrorKind::AddrInUse {
            told.hint(taken(path))
        } else if kind == io::ErrorKind::PermissionDenied {
            told.hint("this user may not make a socket in that folder")
        } else if kind == io::ErrorKind::NotFound {
            told.hint("the folder is not there, and is not made")
        } else {
            told
        }
    } else if kind == io::ErrorKind::AddrInUse {
        told.hint("another program listens there; port 0 lets the system choose one")
    } else if kind == io::ErrorKind::PermissionDenied {
        told.hint("ports below 1024 need rights that this user does not have")
    } else {
        told
    }
}

/// What to do about what is at a path already.
fn taken(path: &Path) -> &'static str {
    match fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        true => {
            "it is the socket of a process that lives, perhaps of another wimble: end that one, or choose another path"
        }
        false => "what is there is no socket, and is left alone: choose another path, or remove it",
    }
}

/// Something on this machine.
pub(super) fn local(what: &str, error: &io::Error) -> Told {
    Told::new(Kind::Local, what, reason(error))
}

/// `connect`; `None`: nobody is there to be told.
pub(super) fn connect(error: &ConnectError, target: &Authority) -> Option<Told> {
    let told = |what: &str, why: String| Told::new(error.kind(), what, why);
    Some(match error {
        ConnectError::Route(error) => route(error),
        ConnectError::Tunnel(error) => no_tunnel::told(error, Some(target)),
        ConnectError::System(error) => told("system", reason(error)),
        ConnectError::NoParent => told("--fdpass", "standard output is not a Unix socket".into())
            .hint("it is for ssh, with ProxyUseFdpass=yes; without that, leave --fdpass out"),
        ConnectError::TooEarly(bytes) => told(
            "--fdpass",
            format!("{bytes} bytes of {target} were read with the proxy's answer, and a socket can't take them back"),
        )
        .hint("leave --fdpass and ProxyUseFdpass out: a bridge delivers them"),
        ConnectError::NoSocket => told("--fdpass", "the tunnel is no bare socket: wimble itself has to speak TLS or HTTP/2 with the proxy".into())
            .hint("leave --fdpass and ProxyUseFdpass out: a bridge does it"),
        ConnectError::HandOver(error) => told("--fdpass", format!("the socket was not taken: {}", reason(error))),
        ConnectError::Bridge(BridgeError::OutputClosed) => return None,
        ConnectError::Bridge(BridgeError::Poll(error)) => told("poll", reason(error)),
        ConnectError::Bridge(BridgeError::Input(error)) => told("stdin", reason(error)),
        ConnectError::Bridge(BridgeError::Output(error)) => told("stdout", reason(error)),
        ConnectError::Bridge(BridgeError::Idle(time)) => {
            told(&format!("tunnel to {target}"), format!("nothing moved for {time:?} (--idle-timeout)"))
        }
        ConnectError::Bridge(BridgeError::Cut(error)) => {
            told(&format!("tunnel to {target}"), format!("cut off: {}", reason(error)))
                .hint("the proxy, a firewall or the target ended it; if it was idle, let ssh send ServerAliveInterval 30")
        }
    })
}

/// No way to a target is known.
pub(super) fn route(error: &RouteError) -> Told {
    match *error {
        RouteError::NoProxy { ref target } => Told::new(
            error.kind(),
            format!("no proxy for {target}"),
            "none is given, and the target is not exempt",
        )
        .hint(WAYS_TO_A_PROXY),
        #[cfg(feature = "pac")]
        RouteError::Pac(ref failure) => {
            let (why, detail) = pac::failed(&failure.cause);
            let what = match &failure.named_at {
                Some(place) => format!("{place}: pac {}", failure.location),
                None => format!("pac {}", failure.location),
            };
            let told = Told::new(error.kind(), what, why);
            match detail {
                Some(detail) => told.because(detail),
                None => told,
            }
        }
    }
}

/// An error's words, without the number that the system has for it.
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
    without_number(text).to_owned()
}

/// The same for one that is words by now.
pub(super) fn without_number(text: &str) -> &str {
    text.split_once(" (os error ").map_or(text, |(words, _)| words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_safe_to_look_at_and_still_the_same() {
        let value = serde_json::json!({ "cn": "a\u{9b}31m\u{202e}b\u{1b}\u{e0041}" });
        let line = json_line(&value);
        assert!(!line.trim_end().chars().any(is_dangerous), "{line:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).expect("JSON"), value);
    }

    #[test]
    fn nothing_that_moves_a_cursor_gets_out() {
        assert_eq!(printable("a\u{1b}[2Jb\r\nc\u{202e}d\u{9b}"), "a\\u{1b}[2Jb\\r\\nc\\u{202e}d\\u{9b}");
        assert_eq!(printable("a\u{feff}b\u{200b}\u{e0041}"), "a\\u{feff}b\\u{200b}\\u{e0041}");
        assert_eq!(printable("Zugriff verweigert: größer"), "Zugriff verweigert: größer");
    }
}
