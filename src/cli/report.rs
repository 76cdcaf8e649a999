//! Every sentence: what failed, with whom, why, and what to try.
//!
//! Text from the network is escaped here, at the one door it can get out by. Hints are a
//! sentence for each cause; where there is nothing useful to say there is none.

use std::io::{self, Write as _};
use std::sync::Mutex;

use super::args::LogFormat;
use super::exit::{Classified as _, Kind};
use super::settings::{SettingsError, Warning};
use super::unanswered;
use crate::authority::Authority;
use crate::mode::check::{CheckError, Problem};
use crate::mode::connect::ConnectError;
use crate::mode::{PlaceError, SessionError, Watch};
use crate::net::bridge::BridgeError;
use crate::net::relay::RelayError;
use crate::proto::exchange::ExchangeError;
use crate::proto::head::HeadError;
use crate::proto::socks::{Refusal as Refused, SocksError};
use crate::proto::{HandshakeError, Refusal};
use crate::tunnel::{self, Cause, Peer, Stage};

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
    pub(super) hint: Option<String>,
}

impl Told {
    fn new(kind: Kind, what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { kind, stage: None, what: what.into(), why: why.into(), hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
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

/// Makes text harmless to a terminal, on one line: control characters, and those that turn the
/// direction of writing, are escaped.
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

/// What a terminal obeys instead of showing it: controls, line separators, changes of direction.
fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
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
                "level": "error", "kind": told.kind.name(), "message": told.message(), "hint": told.hint,
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
        self.say("warning", &text);
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
            line.push_str(&format!("\\u{:04x}", u32::from(c)));
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
            SessionError::Tunnel(error) => self.error(&tunnel(error, target)),
            // What clients and targets do to each other is not this machine's trouble.
            SessionError::Denied(denied) => tracing::info!("a client was denied: {denied}"),
            SessionError::Client(error) | SessionError::Relay(RelayError::Client(error)) => {
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

/// Words that are no command line: clap's sentences, on one line.
pub(super) fn usage(error: &clap::Error) -> Told {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let ends = ["\n\n  tip: ", "\n\nUsage: ", "\n\nFor more information", "\n  [possible values: "];
    let end = ends.iter().filter_map(|end| text.find(end)).min().unwrap_or(text.len());
    let why = text[..end].trim_end().replace("\n  ", " ");
    let hint = ["  tip: ", "  [possible values: "].iter().find_map(|mark| {
        let (_, rest) = text[end..].split_once(mark)?;
        rest.lines().next().map(|line| line.trim_end_matches(']').to_owned())
    });
    let why = if why.is_empty() { "a command is missing".to_owned() } else { why };
    Told::new(Kind::Usage, "usage", why)
        .hint(hint.unwrap_or_else(|| "wimble --help shows what there is".into()))
}

/// Usage and configuration.
pub(super) fn settings(error: &SettingsError) -> Told {
    match error {
        SettingsError::NoProxy => Told::new(Kind::Usage, "no proxy", "none is given, and the target is not exempt")
            .hint(
                "give --proxy http://HOST:PORT (or --proxy direct), or set WIMBLE_PROXY, https_proxy or all_proxy",
            ),
        SettingsError::Proxy(why) => Told::new(Kind::Usage, "--proxy", why.to_string())
            .hint("a proxy is http://, https:// or socks5://HOST:PORT; HOST:PORT is http://; direct means none"),
        SettingsError::Variable(error) => Told::new(Kind::Usage, error.variable, error.why.to_string())
            .hint("a proxy is http://, https:// or socks5://HOST:PORT; HOST:PORT is http://; direct means none"),
        SettingsError::Target { .. }
        | SettingsError::Words
        | SettingsError::UserAgent(_)
        | SettingsError::Header(_)
        | SettingsError::Credentials(_)
        | SettingsError::Sni(_)
        | SettingsError::Pem { .. }
        | SettingsError::DirectInChain
        | SettingsError::OpenProxy { .. }
        | SettingsError::Place { .. } => {
            let sentence = error.to_string();
            let (what, why) = sentence.split_once(": ").unwrap_or(("usage", &sentence));
            Told::new(Kind::Usage, what, why)
        }
    }
}

/// A listener that could not be had.
pub(super) fn place(error: &PlaceError) -> Told {
    let told = Told::new(Kind::Local, format!("listen on {}", error.place), reason(&error.error));
    let kind = error.error.kind();
    if kind == io::ErrorKind::AddrInUse {
        told.hint("another program listens there; port 0 lets the system choose one")
    } else if kind == io::ErrorKind::PermissionDenied {
        told.hint("ports below 1024 need rights that this user does not have")
    } else {
        told
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
        ConnectError::Tunnel(error) => tunnel(error, Some(target)),
        ConnectError::System(error) => told("system", reason(error)),
        ConnectError::NoParent => told("--fdpass", "standard output is not a Unix socket".into())
            .hint("it is for ssh, with ProxyUseFdpass=yes; without that, leave --fdpass out"),
        ConnectError::TooEarly(bytes) => told(
            "--fdpass",
            format!("{bytes} bytes of {target} were read with the proxy's answer, and a socket can't take them back"),
        )
        .hint("leave --fdpass and ProxyUseFdpass out: a bridge delivers them"),
        ConnectError::NoSocket => told("--fdpass", "the tunnel is no bare socket: wimble itself has to speak TLS with the proxy".into())
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

/// A tunnel that could not be opened.
pub(super) fn tunnel(error: &tunnel::Error, target: Option<&Authority>) -> Told {
    let who = match &error.peer {
        Peer::Proxy(place) => format!("proxy {place}"),
        Peer::Target(place) => place.to_string(),
    };
    let what = match (error.stage, target) {
        (Stage::Connect, Some(target)) => format!("connect to {target} through {who}"),
        (Stage::Connect, None) => format!("connect through {who}"),
        (stage, _) => format!("{} {who}", stage.name()),
    };
    let told = |why: String| Told { stage: Some(error.stage), ..Told::new(error.kind(), what, why) };
    match &error.cause {
        Cause::Resolve(why) => told(format!("the name does not resolve: {}", reason(why)))
            .hint("check its spelling; getent hosts NAME asks the same resolver"),
        Cause::Unreachable(failed) => {
            let each = |(address, error): &(_, io::Error)| match failed.len() {
                1 => reason(error),
                _ => format!("{address}: {}", reason(error)),
            };
            let refused = failed.iter().any(|(_, error)| error.kind() == io::ErrorKind::ConnectionRefused);
            told(failed.iter().map(each).collect::<Vec<_>>().join("; ")).hint(if refused {
                "nothing listens there: is it running, and is this its port?"
            } else {
                "is there a network that leads to it, or a firewall in between?"
            })
        }
        Cause::Timeout(time) => {
            let (option, hint) = match error.stage {
                Stage::Resolve => ("--connect-timeout", "the resolver does not answer"),
                Stage::Tcp => ("--connect-timeout", "a firewall may drop what is sent to it"),
                Stage::ProxyTls => ("--connect-timeout", "the port may not speak TLS: is the proxy http://?"),
                Stage::Connect | Stage::Tls => {
                    ("--proxy-timeout", "the proxy may be waiting for a target that does not answer")
                }
            };
            told(format!("no answer within {time:?} ({option})")).hint(hint)
        }
        Cause::Tls { error, first } => {
            let (why, hint) = no_proxy_tls(error, first);
            told(why).hint(hint)
        }
        Cause::Socks(error) => {
            let (why, hint) = no_socks(error);
            told(why).hint(hint)
        }
        Cause::NoSocksLogin => told("the proxy wants a name and password".into())
            .hint("give --proxy-user NAME, --proxy-credentials FILE, or WIMBLE_PROXY_USER and WIMBLE_PROXY_PASSWORD; SOCKS takes 255 bytes of each"),
        Cause::Closed => told("closed without an answer".into())
            .hint("the port may belong to something else than an HTTP proxy, or want TLS (https://)"),
        Cause::Broken(why) => {
            told(reason(why)).hint("the port may belong to something else than an HTTP proxy")
        }
        Cause::Nonsense(why) => {
            let (why, hint) = nonsense(why);
            Told { hint: Some(hint.into()), ..told(why) }
        }
        Cause::Refused(refusal) => told(status_line(refusal)).hint(refusal_hint(refusal)),
        Cause::Unauthenticated { why, attempts, refusal } => {
            let status = format!("{} {}", refusal.status, refusal.reason);
            let (why, hint) = unanswered::explain(*why, attempts, refusal);
            told(format!("{}: {why}", status.trim_end())).hint(hint)
        }
        Cause::Impostor => told("its token is not from the service that the ticket is for".into())
            .hint("something may stand between here and the proxy; --proxy-spn names the service"),
        Cause::System(why) => told(reason(why)),
    }
}

/// `403 Forbidden`, and what the proxy says about it.
fn status_line(refusal: &Refusal) -> String {
    let mut line = format!("{} {}", refusal.status, refusal.reason).trim_end().to_owned();
    for (name, value) in &refusal.explanations {
        line.push_str(&format!(" ({name}: {value})"));
    }
    line
}

fn refusal_hint(refusal: &Refusal) -> &'static str {
    match refusal.status.code() {
        300..=399 => "redirects are never followed; a login page (captive portal) may want a browser first",
        400 => "if this port speaks TLS, the proxy is https://; or it does not take CONNECT",
        401 => "this answers like a web server, not a proxy: is it the right port?",
        403 => "the proxy's rules forbid this host or port; many permit port 443 alone",
        404 | 405 | 501 => "this may be a web server, or a proxy that does not permit CONNECT",
        429 => "the proxy limits how often it is asked: wait",
        402..=499 => "the proxy refuses this target",
        502..=504 => {
            "the proxy could not reach the target: is its name right, is it up, does it listen on this port?"
        }
        _ => "the proxy failed: its log says why",
    }
}

fn nonsense(error: &HandshakeError) -> (String, &'static str) {
    const NO_PROXY: &str = "the port belongs to something else than an HTTP proxy";
    match error {
        HandshakeError::Head(HeadError::StatusLine(line)) => {
            let shown: String = String::from_utf8_lossy(line).chars().take(80).collect();
            let hint = if line.starts_with(b"SSH-") {
                "this is an ssh server: the proxy is somewhere else"
            } else if line.starts_with(b"HTTP/") || line.starts_with(b"ICY") {
                "the proxy speaks HTTP wrongly; -vv shows more"
            } else {
                NO_PROXY
            };
            (format!("not an HTTP answer: {shown:?}"), hint)
        }
        HandshakeError::Head(HeadError::TlsRecord) => {
            ("a TLS record instead of an HTTP answer".into(), "this port speaks TLS: use https://")
        }
        HandshakeError::Head(error @ (HeadError::Field | HeadError::TooLarge | HeadError::TooManyFields)) => {
            (error.to_string(), "the proxy's answer breaks the rules of HTTP or wimble's limits")
        }
        HandshakeError::Exchange(error @ ExchangeError::SwitchingProtocols) => (error.to_string(), NO_PROXY),
        HandshakeError::Exchange(error) => (error.to_string(), "the proxy goes round in circles"),
        HandshakeError::Closed | HandshakeError::Truncated => {
            (error.to_string(), "the proxy gave up in the middle of its answer: its log says why")
        }
    }
}

/// A check that failed.
pub(super) fn check(error: &CheckError, target: &Authority) -> Told {
    let told = |why: String| Told {
        stage: Some(Stage::Tls),
        ..Told::new(error.kind(), format!("tls {target}"), why)
    };
    match error {
        CheckError::Tunnel(error) => tunnel(error, Some(target)),
        CheckError::Slow(time) => told(format!("no handshake within {time:?} (--connect-timeout)"))
            .hint("the target may not speak TLS: --no-tls leaves it out"),
        CheckError::Handshake { error, first } => {
            let (why, hint) = no_handshake(error, first);
            told(why).hint(hint)
        }
        CheckError::Untrusted(problems) => {
            let hint = match problems.first() {
                Some(Problem::Expired(_)) => "the target's certificate must be renewed",
                Some(Problem::NotYetValid(_)) => "is this machine's clock right?",
                Some(Problem::WrongName { .. }) => {
                    "--sni NAME asks for another name; or the target is not the right one"
                }
                Some(Problem::SelfSigned) => {
                    "--cacert FILE trusts it, once you know that it is the right one"
                }
                Some(Problem::UnknownIssuer(_)) => {
                    "--cacert FILE trusts a private issuer; an unknown one may be a proxy that reads the traffic"
                }
                Some(Problem::Other(_)) | None => "--insecure goes on all the same",
            };
            let said: Vec<_> = problems.iter().map(problem).collect();
            told(format!("the certificate is not trusted: {}", said.join("; "))).hint(hint)
        }
    }
}

/// A TLS handshake that failed, told by the first bytes that came instead (Q33, Q34).
fn no_handshake(error: &io::Error, first: &[u8]) -> (String, &'static str) {
    let shown: String = String::from_utf8_lossy(first).chars().take(60).collect();
    let is_tls = matches!(first.first(), Some(0x14..=0x17));
    if first.is_empty() {
        let how = if error.kind() == io::ErrorKind::ConnectionReset { "reset" } else { "closed" };
        return (
            format!("the tunnel opened and was {how} after 0 bytes"),
            "the proxy may say 200 before it has reached the target, or the target does not speak TLS here",
        );
    }
    if is_tls {
        return (reason(error), "the target speaks TLS, but not with us: openssl s_client may show more");
    }
    let hint = if first.starts_with(b"HTTP/") || first.starts_with(b"<") {
        "a web page came back: the proxy's own, behind its 200, or a target that speaks plain HTTP (--no-tls)"
    } else {
        "the target does not speak TLS on this port: --no-tls leaves it out"
    };
    (format!("no TLS but {shown:?}"), hint)
}

/// TLS with a proxy that failed: which check said no.
fn no_proxy_tls(error: &io::Error, first: &[u8]) -> (String, &'static str) {
    use rustls::CertificateError as Certificate;
    let untrusted = |why: &str| format!("the proxy's certificate is not trusted: {why}");
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    if !first.is_empty() && !matches!(first[0], 0x14..=0x17) {
        let shown: String = String::from_utf8_lossy(first).chars().take(60).collect();
        let shown = shown.lines().next().unwrap_or_default().to_owned();
        return (format!("no TLS but {shown:?}"), "this port speaks no TLS: is the proxy http://?");
    }
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => match why {
            Certificate::Expired | Certificate::ExpiredContext { .. } => {
                (untrusted("it has expired"), "the proxy's certificate must be renewed")
            }
            Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
                (untrusted("it is not valid yet"), "is this machine's clock right?")
            }
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
                let names = match why {
                    Certificate::NotValidForNameContext { presented, .. } if !presented.is_empty() => {
                        let some: Vec<_> = presented.iter().take(4).map(|name| bare_name(name)).collect();
                        format!("it is for {}", some.join(", "))
                    }
                    _ => "it is for no name at all".into(),
                };
                (
                    untrusted(&format!("{names}, not for this name")),
                    "give the proxy by a name that its certificate has",
                )
            }
            Certificate::UnknownIssuer => (
                untrusted("its issuer is not known here"),
                "--proxy-cacert FILE trusts a private issuer; an unknown one may be somebody in between",
            ),
            Certificate::Revoked => (untrusted("it was revoked"), "the proxy's certificate must be replaced"),
            other => (
                untrusted(&other.to_string()),
                "--proxy-cacert FILE trusts this very certificate, once you know that it is the right one",
            ),
        },
        Some(rustls::Error::AlertReceived(alert)) => match alert {
            rustls::AlertDescription::CertificateRequired
            | rustls::AlertDescription::BadCertificate
            | rustls::AlertDescription::UnknownCA
            | rustls::AlertDescription::CertificateUnknown
            | rustls::AlertDescription::CertificateExpired
            | rustls::AlertDescription::CertificateRevoked
            | rustls::AlertDescription::AccessDenied => (
                format!("the proxy refuses our certificate, or misses one: alert {alert:?}"),
                "give --proxy-cert FILE and --proxy-key FILE, of a certificate that it accepts",
            ),
            _ => (
                format!("the proxy ended the handshake: alert {alert:?}"),
                "it may speak no TLS that is still safe: openssl s_client shows more",
            ),
        },
        Some(other) => (other.to_string(), "openssl s_client -connect HOST:PORT shows more"),
        None if error.kind() == io::ErrorKind::UnexpectedEof => (
            "closed in the middle of the handshake".into(),
            "the port may not speak TLS: is the proxy http://? Or it wants a certificate of ours (--proxy-cert)",
        ),
        None => (reason(error), "the port may not speak TLS: is the proxy http://?"),
    }
}

/// rustls shows the names of a certificate in the words of its types: `DnsName("a.example")`.
fn bare_name(shown: &str) -> &str {
    shown.split('"').nth(1).unwrap_or(shown)
}

fn no_socks(error: &SocksError) -> (String, &'static str) {
    const TARGET: &str =
        "the proxy could not reach the target: is its name right, is it up, does it listen on this port?";
    const RULES: &str = "the proxy's rules forbid this host or port";
    const NO_SOCKS: &str = "the port belongs to something else than a SOCKS proxy of this version";
    let (words, hint) = match error {
        SocksError::Refused(Refused::Five(code)) => {
            let (words, hint) = match code {
                1 => ("general failure", TARGET),
                2 => ("not allowed by its rules", RULES),
                3 => ("network unreachable", TARGET),
                4 => ("host unreachable", TARGET),
                5 => ("connection refused by the target", TARGET),
                6 => ("time to live expired", TARGET),
                7 => ("command not supported", "it makes no tunnels"),
                8 => (
                    "address type not supported",
                    "it may know no names, or no IPv6: try an address, or another proxy",
                ),
                _ => ("a code that RFC 1928 does not have", "the proxy failed: its log says why"),
            };
            return (format!("SOCKS5 reply {code}: {words}"), hint);
        }
        SocksError::Refused(Refused::Four(code)) => {
            let (words, hint) = match code {
                92 => ("it cannot ask identd who we are", "it wants an identd on this machine"),
                93 => {
                    ("identd and the user-id differ", "--proxy-user NAME must be the name that identd says")
                }
                _ => ("rejected or failed", TARGET),
            };
            return (format!("SOCKS4 reply {code}: {words}"), hint);
        }
        SocksError::Methods => (
            "the proxy accepts none of the methods we have: none, and name with password",
            "it may want GSSAPI, which wimble does not speak to SOCKS proxies; or it refuses this machine",
        ),
        SocksError::Login => (
            "the proxy refused the name and password",
            "check both; they are not sent again, as accounts get locked that way",
        ),
        SocksError::Nonsense(bytes) => {
            let shown = String::from_utf8_lossy(bytes);
            return (format!("not a SOCKS answer: {shown:?}"), NO_SOCKS);
        }
        SocksError::Unspeakable => (
            "this target cannot be said to it",
            "SOCKS4 has no IPv6, SOCKS5 no names beyond 255 bytes: try socks5://",
        ),
        SocksError::Closed | SocksError::Truncated => return (error.to_string(), NO_SOCKS),
    };
    (words.into(), hint)
}

/// What is wrong with a certificate, in words and numbers.
pub(super) fn problem(problem: &Problem) -> String {
    let days = |span: std::time::Duration| match span.as_secs() / 86_400 {
        0 => "today".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    };
    let now = std::time::SystemTime::now();
    match problem {
        Problem::Expired(at) => match days(at.elapsed(now).unwrap_or_default()).as_str() {
            "today" => format!("it expired today, {at}"),
            days => format!("it expired {days} ago, on {}", at.date()),
        },
        Problem::NotYetValid(at) => format!("it is not valid before {at}"),
        Problem::WrongName { asked, names } if names.is_empty() => {
            format!("it is for no name at all, not for {asked}")
        }
        Problem::WrongName { asked, names } => {
            let some: Vec<_> = names.iter().take(4).map(String::as_str).collect();
            let more = if names.len() > some.len() { ", …" } else { "" };
            format!("it is for {}{more}, not for {asked}", some.join(", "))
        }
        Problem::SelfSigned => "it is self-signed".into(),
        Problem::UnknownIssuer(issuer) => format!("its issuer is not known here: {issuer}"),
        Problem::Other(reason) => reason.clone(),
    }
}

/// An error's words, without the number that the system has for it.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
    match text.split_once(" (os error ") {
        Some((words, _)) => words.to_owned(),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_safe_to_look_at_and_still_the_same() {
        let value = serde_json::json!({ "cn": "a\u{9b}31m\u{202e}b\u{1b}" });
        let line = json_line(&value);
        assert!(!line.trim_end().chars().any(is_dangerous), "{line:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).expect("JSON"), value);
    }

    #[test]
    fn nothing_that_moves_a_cursor_gets_out() {
        assert_eq!(printable("a\u{1b}[2Jb\r\nc\u{202e}d\u{9b}"), "a\\u{1b}[2Jb\\r\\nc\\u{202e}d\\u{9b}");
        assert_eq!(printable("Zugriff verweigert: größer"), "Zugriff verweigert: größer");
    }
}
