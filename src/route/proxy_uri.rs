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
    /// This one.
    Via(ProxyUri),
}

/// One proxy, spoken to in plain HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyUri {
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
    #[error("{0}:// proxies are not supported, only http://")]
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
            | AuthorityError::Ipv6(_)
            | AuthorityError::Character(_)
            | AuthorityError::Name(_) => Self::Host,
        }
    }
}

/// RFC 9110 §4.2.1.
const HTTP_PORT: u16 = 80;

impl FromStr for Proxy {
    type Err = ProxyUriError;

    fn from_str(text: &str) -> Result<Self, ProxyUriError> {
        match text {
            "direct" => Ok(Self::Direct),
            _ => text.parse().map(Self::Via),
        }
    }
}

impl FromStr for ProxyUri {
    type Err = ProxyUriError;

    fn from_str(text: &str) -> Result<Self, ProxyUriError> {
        if text.is_empty() {
            return Err(ProxyUriError::Empty);
        }
        let rest = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some((scheme, _)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
                return Err(ProxyUriError::Scheme(scheme.to_ascii_lowercase()));
            }
            _ => text,
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
        Ok(Self { authority: place_of(place)?, user, password })
    }
}

fn place_of(text: &str) -> Result<Authority, ProxyUriError> {
    let has_port = text.rfind(':') > text.rfind(']');
    if has_port && !text.ends_with(':') {
        return Ok(text.parse()?);
    }
    let host: Host = text.strip_suffix(':').unwrap_or(text).parse()?;
    Ok(Authority::new(host, HTTP_PORT)?)
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
        ] {
            assert_eq!(
                typed.parse::<ProxyUri>().map(|p| p.authority.to_string()),
                Ok(place.into()),
                "{typed}"
            );
        }
        assert_eq!("direct".parse(), Ok(Proxy::Direct));
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
            ("https://proxy", ProxyUriError::Scheme("https".into())),
            ("SOCKS5://proxy", ProxyUriError::Scheme("socks5".into())),
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
