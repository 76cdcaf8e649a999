//! `HOST:PORT` patterns: which targets a client may ask for.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::str::FromStr;

use crate::authority::{Authority, Host};

/// A pattern: in the host, `*` stands for any run of characters; the port is a number or `*`.
/// It is compared with what the client asks for, or with an address that this leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// Lower case.
    host: String,
    port: Option<u16>,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// No host and port, or an IPv6 address without brackets.
    #[error("a pattern is HOST:PORT, with * for any host or port")]
    Form,
    /// Nothing that is asked for would ever match.
    #[error("its host is no name and no address that could be asked for")]
    Host,
}

impl Pattern {
    /// Whether a target is among those meant.
    pub fn matches(&self, target: &Authority) -> bool {
        self.is_of(target.host(), target.port())
    }

    /// Whether an address is among those meant.
    pub fn matches_address(&self, address: SocketAddr) -> bool {
        self.is_of(&Host::Address(address.ip()), address.port())
    }

    fn is_of(&self, host: &Host, port: u16) -> bool {
        self.port.is_none_or(|meant| meant == port) && glob(&self.host, &canonical(host))
    }
}

/// How a host is compared.
fn canonical(host: &Host) -> String {
    match host {
        Host::Name(name) => name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase(),
        // IPv4 in an IPv6 coat is the same target.
        Host::Address(address) => Host::Address(address.to_canonical()).to_string(),
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let (host, port) = text.rsplit_once(':').ok_or(PatternError::Form)?;
        let port = match port {
            "*" => None,
            number => Some(number.parse::<NonZeroU16>().map_err(|_| PatternError::Form)?.get()),
        };
        let bare_ipv6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
        if host.is_empty() || bare_ipv6 {
            return Err(PatternError::Form);
        }
        // A rule that forbids nothing because it is spelt in another way would be found out too late.
        let host = match host.contains('*') {
            true => host.to_ascii_lowercase(),
            false => canonical(&host.parse().map_err(|_| PatternError::Host)?),
        };
        Ok(Self { host, port })
    }
}

fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    // Each part between stars is taken where it stands first; the last must stand at the end.
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return text.ends_with(part);
        }
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_what_it_looks_like() {
        for (pattern, target, matches) in [
            ("*:*", "host:22", true),
            ("*:22", "host:22", true),
            ("*:22", "host:23", false),
            ("host:*", "HOST.:22", true),
            ("*.example.com:443", "a.example.com:443", true),
            ("*.example.com:443", "example.com:443", false),
            ("a*c*e:1", "abcde:1", true),
            ("a*c*e:1", "abcdef:1", false),
            ("a*a:1", "a:1", false),
            ("127.0.0.1:*", "127.0.0.1:1", true),
            ("127.0.0.1:*", "[::ffff:127.0.0.1]:1", true),
            ("[::1]:*", "[::1]:1", true),
            ("[0:0:0:0:0:0:0:1]:*", "[::1]:1", true),
            ("[::ffff:127.0.0.1]:*", "127.0.0.1:1", true),
            ("localhost.:*", "localhost:1", true),
            ("bücher.example:*", "xn--bcher-kva.example:1", true),
        ] {
            let parsed: Pattern = pattern.parse().expect(pattern);
            assert_eq!(parsed.matches(&target.parse().expect(target)), matches, "{pattern} {target}");
        }
        for bad in ["host", ":22", "::1:22", "[::1:22", "host:x", "host:0", "host:99999"] {
            assert_eq!(bad.parse::<Pattern>(), Err(PatternError::Form), "{bad}");
        }
        for never in ["127.1:*", "127.0.0.0/8:*", "ho st:*", "[host]:22"] {
            assert_eq!(never.parse::<Pattern>(), Err(PatternError::Host), "{never}");
        }
    }
}
