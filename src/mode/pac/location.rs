//! Where a script is: in a file, or at a web server.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

use crate::authority::{Authority, AuthorityError, Host};
use crate::net::fetch::Address;

/// Where a script is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// In a file.
    File(PathBuf),
    /// At a web server, which is asked without a proxy.
    Web(Address),
}

/// Why a text says not where a script is. None holds a name and password that stand in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// Nothing there.
    #[error("it is empty")]
    Empty,
    /// A scheme by which no script can be had.
    #[error("{0}:// is not supported; http://, https://, file:// and paths are")]
    Scheme(String),
    /// A file of another machine.
    #[error("it is not file:///PATH: files of other machines can't be read")]
    Elsewhere,
    /// A name and password, a fragment, or what no request could carry.
    #[error("it is not http://HOST[:PORT]/PATH (no name and password, no fragment, no blanks)")]
    Url,
    /// The server is no host and port.
    #[error("its server: {0}")]
    Server(AuthorityError),
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return if text.is_empty() { Err(LocationError::Empty) } else { Ok(Self::File(text.into())) };
        };
        let secure = match scheme.to_ascii_lowercase().as_str() {
            // RFC 8089 §2: no host, or localhost.
            "file" => {
                let path = rest.strip_prefix("localhost").unwrap_or(rest);
                let here = path.starts_with('/').then(|| {
                    Self::File(PathBuf::from(OsString::from_vec(percent_decode_str(path).collect())))
                });
                return here.ok_or(LocationError::Elsewhere);
            }
            "http" => false,
            "https" => true,
            _ => return Err(LocationError::Scheme(scheme.to_owned())),
        };
        let (server, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let is_sent = |b: u8| b.is_ascii_graphic() && b != b'#';
        if server.contains('@') || !path.bytes().all(is_sent) {
            return Err(LocationError::Url);
        }
        let read = match server.parse::<Authority>() {
            Err(AuthorityError::NoPort) => {
                server.parse().and_then(|host: Host| Authority::new(host, if secure { 443 } else { 80 }))
            }
            read => read,
        };
        // What looks like a server may be the beginning of a password with a `/` or `?` in it.
        let server = read.map_err(|error| match rest.contains('@') {
            true => LocationError::Url,
            false => LocationError::Server(error),
        })?;
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self::Web(Address { secure, server, path }))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Web(address) => write!(f, "{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_in_a_file_or_at_a_server() {
        let web = |secure, server: &str, path: &str| {
            let server = server.parse().expect("an authority");
            Ok(Location::Web(Address { secure, server, path: path.into() }))
        };
        for (text, location) in [
            ("proxy.pac", Ok(Location::File("proxy.pac".into()))),
            ("file:///etc/proxy.pac", Ok(Location::File("/etc/proxy.pac".into()))),
            ("file://localhost/a%20b%c3%A9.pac", Ok(Location::File("/a bé.pac".into()))),
            ("file:///100%/%4", Ok(Location::File("/100%/%4".into()))),
            ("file://server/proxy.pac", Err(LocationError::Elsewhere)),
            ("file://localhost", Err(LocationError::Elsewhere)),
            ("http://wpad/wpad.dat", web(false, "wpad:80", "/wpad.dat")),
            ("https://wpad/wpad.dat", web(true, "wpad:443", "/wpad.dat")),
            ("HTTP://[::1]:8080", web(false, "[::1]:8080", "/")),
            ("http://[::1]/", web(false, "[::1]:80", "/")),
            ("http://wpad?x=y", web(false, "wpad:80", "/?x=y")),
            ("", Err(LocationError::Empty)),
            ("ftp://wpad/", Err(LocationError::Scheme("ftp".into()))),
            ("http://me:secret@wpad/", Err(LocationError::Url)),
            ("http://me:sec/ret@wpad/", Err(LocationError::Url)),
            ("http://me:sec?ret@wpad/", Err(LocationError::Url)),
            ("http://wpad/a b", Err(LocationError::Url)),
            ("http://wpad/#a", Err(LocationError::Url)),
            ("http://wpad/\r\nX: y", Err(LocationError::Url)),
        ] {
            assert_eq!(text.parse::<Location>(), location, "{text:?}");
        }
        for text in ["http://:1/", "http:///x", "http://wpad:x/", "http://[::1/"] {
            assert!(matches!(text.parse::<Location>(), Err(LocationError::Server(_))), "{text}");
        }
        let shown = |text: &str| text.parse::<Location>().expect("a place").to_string();
        assert_eq!(shown("http://wpad:80/wpad.dat"), "http://wpad/wpad.dat");
        assert_eq!(shown("https://wpad:80"), "https://wpad:80/");
    }
}
