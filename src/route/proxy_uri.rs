//! What a user types for a proxy: a URI, a bare `HOST:PORT`, or `direct`.
//!
//! The userinfo ends at the *last* `@`: a password with an `@` in it must not become half a host
//! name, and so be looked up in DNS.

use std::str::FromStr;

use percent_encoding::percent_decode_str;

use crate::authority::{Authority, AuthorityError, Host};
use crate::secret::Secret;

/// Where tunnels are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proxy {
    /// No proxy: straight to the target.
    Direct,
    /// Through these, the nearest first; at least one.
    Via(Vec<ProxyUri>),
}

/// How a proxy is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `http://`: HTTP in the clear.
    Http,
    /// `https://`: HTTP inside TLS.
    Https,
    /// `socks4://`, `socks4a://` and `socks://`: a name is sent as a name (4a) in each.
    Socks4,
    /// `socks5://` and `socks5h://`: a name is sent as a name in both.
    Socks5,
}

impl Protocol {
    /// The port where a URI names none: those of HTTP (RFC 9110 §4.2), and of SOCKS (RFC 1928 §3).
    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
            Self::Socks4 | Self::Socks5 => 1080,
        }
    }

    fn of_scheme(scheme: &str) -> Option<Self> {
        Some(match scheme.to_ascii_lowercase().as_str() {
            "http" => Self::Http,
            "https" => Self::Https,
            // Without a version it is 4, as with curl: GNOME sets it so, for all_proxy.
            "socks" | "socks4" | "socks4a" => Self::Socks4,
            "socks5" | "socks5h" => Self::Socks5,
            _ => return None,
        })
    }
}

/// One proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyUri {
    /// How it is spoken to.
    pub protocol: Protocol,
    /// Where it listens.
    pub authority: Authority,
    /// The name in the userinfo, percent-decoded.
    pub user: Option<String>,
    /// The password in the userinfo, percent-decoded.
    pub password: Option<Secret>,
}

/// Why a text names no proxy. No variant holds the text: it may have a password in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyUriError {
    /// Nothing there.
    #[error("it is empty")]
    Empty,
    /// A scheme that this build does not speak.
    #[error("{0}:// proxies are not supported; http, https, socks4, socks4a, socks5 and socks5h are")]
    Scheme(String),
    /// There is no host.
    #[error("its host is missing")]
    NoHost,
    /// The host is no name and no address.
    #[error("its host is not a name or address (a password with / ? # @ must be percent-encoded)")]
    Host,
    /// The port is no number from 1 to 65535.
    #[error("its port is not a number from 1 to 65535")]
    Port,
    /// A path, query or fragment behind the authority.
    #[error("a proxy has no path")]
    Path,
    /// Userinfo that is not UTF-8 when percent-decoded.
    #[error("its userinfo is not UTF-8")]
    Userinfo,
}

/// Without the text that the error would quote: it may be a password whose `@HOST` was forgotten.
impl From<AuthorityError> for ProxyUriError {
    fn from(error: AuthorityError) -> Self {
        match error {
            AuthorityError::NoHost => Self::NoHost,
            AuthorityError::NoPort | AuthorityError::Port(_) => Self::Port,
            AuthorityError::Brackets
            | AuthorityError::Colons
            | AuthorityError::Ipv6(_)
            | AuthorityError::Character(_)
            | AuthorityError::Name(_) => Self::Host,
        }
    }
}

impl FromStr for Proxy {
    type Err = ProxyUriError;

    fn from_str(text: &str) -> Result<Self, ProxyUriError> {
        match text {
            "direct" => Ok(Self::Direct),
            _ => Ok(Self::Via(vec![text.parse()?])),
        }
    }
}

impl FromStr for ProxyUri {
    type Err = ProxyUriError;

    fn from_str(text: &str) -> Result<Self, ProxyUriError> {
        if text.is_empty() {
            return Err(ProxyUriError::Empty);
        }
        let (protocol, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
                let unknown = || ProxyUriError::Scheme(scheme.to_ascii_lowercase());
                (Protocol::of_scheme(scheme).ok_or_else(unknown)?, rest)
            }
            _ => (Protocol::Http, text),
        };
        let (userinfo, place) = match rest.rsplit_once('@') {
            Some((userinfo, place)) => (Some(userinfo), place),
            None => (None, rest),
        };
        let place = place.strip_suffix('/').unwrap_or(place);
        if place.contains(['/', '?', '#']) {
            return Err(ProxyUriError::Path);
        }
        let (user, password) = match userinfo {
            None => (None, None),
            Some(userinfo) => {
                let (user, password) = match userinfo.split_once(':') {
                    Some((user, password)) => (user, Some(password)),
                    None => (userinfo, None),
                };
                (Some(decode(user)?), password.map(decode).transpose()?.map(Secret::new))
            }
        };
        Ok(Self { protocol, authority: place_of(place, protocol.port())?, user, password })
    }
}

fn place_of(text: &str, default_port: u16) -> Result<Authority, ProxyUriError> {
    let has_port = text.rfind(':') > text.rfind(']');
    if has_port && !text.ends_with(':') {
        return Ok(text.parse()?);
    }
    let host: Host = text.strip_suffix(':').unwrap_or(text).parse()?;
    Ok(Authority::new(host, default_port)?)
}

fn decode(text: &str) -> Result<String, ProxyUriError> {
    percent_decode_str(text).decode_utf8().map(Into::into).map_err(|_| ProxyUriError::Userinfo)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_proxy_is_read() {
        for (typed, place) in [
            ("http://proxy.example:3128", "proxy.example:3128"),
            ("HTTP://proxy.example:3128/", "proxy.example:3128"),
            ("proxy.example:3128", "proxy.example:3128"),
            ("http://proxy.example", "proxy.example:80"),
            ("proxy.example", "proxy.example:80"),
            ("http://[::1]:3128", "[::1]:3128"),
            ("http://[::1]", "[::1]:80"),
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("https://proxy.example", "proxy.example:443"),
            ("https://[::1]", "[::1]:443"),
            ("socks5h://proxy.example", "proxy.example:1080"),
            ("SOCKS4a://proxy.example:9050", "proxy.example:9050"),
        ] {
            assert_eq!(
                typed.parse::<ProxyUri>().map(|p| p.authority.to_string()),
                Ok(place.into()),
                "{typed}"
            );
        }
        assert_eq!("direct".parse(), Ok(Proxy::Direct));
        for (typed, protocol) in
            [("socks", Protocol::Socks4), ("socks4", Protocol::Socks4), ("socks5", Protocol::Socks5)]
        {
            let uri: ProxyUri = format!("{typed}://proxy").parse().expect("a proxy");
            assert_eq!(uri.protocol, protocol, "{typed}");
        }
    }

    #[test]
    fn the_userinfo_ends_at_the_last_at_and_is_percent_decoded() {
        let uri: ProxyUri = "http://al%40ice:p%3Aw@rd@proxy:1".parse().expect("a proxy");
        assert_eq!(uri.authority.to_string(), "proxy:1");
        assert_eq!(uri.user.as_deref(), Some("al@ice"));
        assert_eq!(uri.password, Some(Secret::new("p:w@rd")));
        let uri: ProxyUri = "alice@proxy:1".parse().expect("a proxy");
        assert_eq!((uri.user.as_deref(), uri.password), (Some("alice"), None));
    }

    #[test]
    fn what_names_no_proxy_is_refused() {
        for (typed, why) in [
            ("", ProxyUriError::Empty),
            ("FTP://proxy", ProxyUriError::Scheme("ftp".into())),
            ("socks6://proxy", ProxyUriError::Scheme("socks6".into())),
            ("http://proxy/path", ProxyUriError::Path),
            ("http://pro xy", ProxyUriError::Host),
            ("http://proxy:0", ProxyUriError::Port),
            ("http://alice:hunter2", ProxyUriError::Port),
            ("http://%ff@proxy", ProxyUriError::Userinfo),
            ("http://", ProxyUriError::NoHost),
        ] {
            assert_eq!(typed.parse::<ProxyUri>(), Err(why), "{typed}");
        }
    }
}
