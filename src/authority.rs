//! The target of a tunnel: a host and a port.
//!
//! Knows the authority-form of RFC 9112 §3.2.3 (`host ":" port`, IPv6 in brackets), IDNA, and
//! which characters a host may consist of, so that nothing that ends a line or a word of a
//! request can hide in one. The port is never optional: CONNECT has no default port.
//!
//! Refuses to know DNS (the proxy resolves the target's name) and URLs with paths.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The longest name that DNS can carry, in characters (RFC 1035 §2.3.4, less the root's octets).
const MAX_NAME: usize = 253;

/// A host: a registered name in its ASCII form, or an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name, as typed; names that are not ASCII in their A-label form (RFC 5891).
    Name(String),
    /// An IPv4 or IPv6 address.
    Address(IpAddr),
}

/// What a tunnel shall reach: `host:port`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Authority {
    host: Host,
    port: u16,
}

/// Why a text is no authority.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// The text ends where a host should stand.
    #[error("the host is missing")]
    NoHost,
    /// No `:PORT` behind the host.
    #[error("the port is missing")]
    NoPort,
    /// The port is not a number from 1 to 65535.
    #[error("{0:?} is not a port (1 to 65535)")]
    Port(String),
    /// An IPv6 address before a port, without its brackets.
    #[error("an IPv6 address before a port needs brackets: [ADDRESS]:PORT")]
    Brackets,
    /// More than one colon, and no IPv6 address.
    #[error("a host name cannot contain ':', and one port is enough")]
    Colons,
    /// The text between brackets is not an IPv6 address.
    #[error("{0:?} is not an IPv6 address")]
    Ipv6(String),
    /// A character that no host name has: it could end the request's line or word.
    #[error("a host name cannot contain {0:?}")]
    Character(char),
    /// Labels that IDNA (UTS 46) refuses, or more than 253 characters.
    #[error("{0:?} is not a host name")]
    Name(String),
}

impl Authority {
    /// Pairs a host with a port.
    ///
    /// # Errors
    /// Port 0 is [`AuthorityError::Port`]: nothing can be reached there.
    pub fn new(host: Host, port: u16) -> Result<Self, AuthorityError> {
        if port == 0 {
            return Err(AuthorityError::Port("0".into()));
        }
        Ok(Self { host, port })
    }

    /// The two-word form, `HOST PORT`, in which an IPv6 address may be bare (ssh's `%h %p`).
    ///
    /// # Errors
    /// Whatever [`Host::from_str`] refuses, and a port outside 1 to 65535.
    pub fn from_words(host: &str, port: &str) -> Result<Self, AuthorityError> {
        Self::new(host.parse()?, parse_port(port)?)
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port, 1 to 65535.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Authority {
    type Err = AuthorityError;

    /// The one-word form, `HOST:PORT` or `[IPV6]:PORT`.
    fn from_str(text: &str) -> Result<Self, AuthorityError> {
        if let Some(rest) = text.strip_prefix('[') {
            let (address, rest) = rest.split_once(']').ok_or(AuthorityError::Brackets)?;
            let port = rest.strip_prefix(':').ok_or(AuthorityError::NoPort)?;
            return Self::new(parse_ipv6(address)?, parse_port(port)?);
        }
        let (host, port) = text.rsplit_once(':').ok_or(AuthorityError::NoPort)?;
        if host.contains(':') {
            let address = text.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '.' | '%'));
            return Err(if address { AuthorityError::Brackets } else { AuthorityError::Colons });
        }
        Self::from_words(host, port)
    }
}

impl fmt::Display for Authority {
    /// The authority-form: what stands in the request-target and in Host.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for Host {
    type Err = AuthorityError;

    fn from_str(text: &str) -> Result<Self, AuthorityError> {
        if text.is_empty() {
            return Err(AuthorityError::NoHost);
        }
        if let Some(address) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
            return parse_ipv6(address);
        }
        if text.contains(':') {
            return parse_ipv6(text).map_err(|error| match text.matches(':').count() {
                1 => AuthorityError::Colons,
                _ => error,
            });
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Address(address.into()));
        }
        parse_name(text)
    }
}

impl fmt::Display for Host {
    /// As it stands before a port: an IPv6 address is bracketed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

fn parse_port(text: &str) -> Result<u16, AuthorityError> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits && port != 0 => Ok(port),
        _ if text.is_empty() => Err(AuthorityError::NoPort),
        _ => Err(AuthorityError::Port(text.into())),
    }
}

fn parse_ipv6(text: &str) -> Result<Host, AuthorityError> {
    text.parse::<Ipv6Addr>().map(|a| Host::Address(a.into())).map_err(|_| AuthorityError::Ipv6(text.into()))
}

fn parse_name(text: &str) -> Result<Host, AuthorityError> {
    // RFC 3986 §3.2.2 would let sub-delims and percent-encoding in; no name that can be resolved
    // has them, and a proxy may take them for something else.
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if let Some(bad) = text.chars().find(|c| c.is_ascii() && !allowed(*c)) {
        return Err(AuthorityError::Character(bad));
    }
    let name = if text.is_ascii() {
        text.to_owned()
    } else {
        idna::domain_to_ascii(text).map_err(|_| AuthorityError::Name(text.into()))?
    };
    let labels = name.strip_suffix('.').unwrap_or(&name);
    if name.len() > MAX_NAME || labels.split('.').any(|label| label.is_empty() || label.len() > 63) {
        return Err(AuthorityError::Name(text.into()));
    }
    // "Ends in a number" (URL Standard): 127.1, 0x7f.1 and 2130706433 are names to us and addresses
    // to the resolver, and so would pass by every rule that is made for addresses.
    let last = labels.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last.strip_prefix("0x").or(last.strip_prefix("0X"));
    if last.bytes().all(|b| b.is_ascii_digit())
        || hexadecimal.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
        || !name.bytes().all(|b| allowed(char::from(b)))
    {
        return Err(AuthorityError::Name(text.into()));
    }
    Ok(Host::Name(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_form_of_a_target_is_read() {
        for (typed, meant) in [
            ("host:22", "host:22"),
            ("Host.Example.:443", "Host.Example.:443"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:22", "[::1]:22"),
            ("[2001:DB8:0::1]:22", "[2001:db8::1]:22"),
            ("bücher.example:443", "xn--bcher-kva.example:443"),
            ("_srv.host-1:1", "_srv.host-1:1"),
        ] {
            assert_eq!(typed.parse::<Authority>().map(|a| a.to_string()), Ok(meant.to_string()), "{typed}");
        }
    }

    #[test]
    fn in_two_words_an_ipv6_address_may_be_bare() {
        assert_eq!(Authority::from_words("::1", "22").map(|a| a.to_string()), Ok("[::1]:22".into()));
        assert_eq!(Authority::from_words("[::1]", "22").map(|a| a.to_string()), Ok("[::1]:22".into()));
    }

    #[test]
    fn what_is_no_target_is_refused_with_its_reason() {
        use AuthorityError as E;
        for (typed, why) in [
            ("host", E::NoPort),
            ("host:", E::NoPort),
            (":22", E::NoHost),
            ("host:0", E::Port("0".into())),
            ("host:65536", E::Port("65536".into())),
            ("host:+22", E::Port("+22".into())),
            ("::1:22", E::Brackets),
            ("[::1:22", E::Brackets),
            ("[::1]", E::NoPort),
            ("[host]:22", E::Ipv6("host".into())),
            ("a b:22", E::Character(' ')),
            ("h:22:33", E::Colons),
            ("a\r\nX: y:22", E::Colons),
            ("a\r\nb:22", E::Character('\r')),
            ("a\0b:22", E::Character('\0')),
            ("user@host:22", E::Character('@')),
            ("host/path:22", E::Character('/')),
            ("a..b:22", E::Name("a..b".into())),
            ("127.1:22", E::Name("127.1".into())),
            ("2130706433:22", E::Name("2130706433".into())),
            ("0177.0.0.1:22", E::Name("0177.0.0.1".into())),
            ("0x7f.0x1:22", E::Name("0x7f.0x1".into())),
        ] {
            assert_eq!(typed.parse::<Authority>(), Err(why), "{typed:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_parses_is_one_word_and_parses_again(text in "\\PC{0,40}|[a-z0-9.:\\[\\]\r\n \0]{0,40}") {
            if let Ok(authority) = text.parse::<Authority>() {
                let written = authority.to_string();
                prop_assert!(written.bytes().all(|b| b.is_ascii_graphic()));
                prop_assert_eq!(written.parse::<Authority>(), Ok(authority));
            }
        }
    }
}
