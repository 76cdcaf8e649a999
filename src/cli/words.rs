//! The words of the command line that have a grammar of their own: durations, places, SPECs.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::authority::Authority;
use crate::mode::Place;
use crate::net::ending::HalfClose;
use crate::starttls::Protocol;

/// `[BIND:]PORT:HOST:HOSTPORT` or `unix:PATH:HOST:HOSTPORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spec {
    pub(super) place: Place,
    pub(super) target: Authority,
}

/// What `forward` is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Spec(Spec),
    /// One that the configuration names.
    Name(String),
}

/// Where `forward` listens unless told.
const BIND: &str = "127.0.0.1";

/// The most tunnels that are held ready.
const MAX_SPARE: usize = 1000;

/// The longest time that can be asked for; more would overflow the clock.
const MAX_DURATION: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// `500ms`, `10s`, `2m`; a bare number is seconds, as with curl and ssh.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let duration = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            humantime::parse_duration(text).map_err(|_| "a time is 500ms, 10s, 2m or the like".to_owned())?
        }
    };
    if duration > MAX_DURATION { Err("that is more than ten years".into()) } else { Ok(duration) }
}

/// A duration, or `off`, which is 0.
pub(super) fn switch(text: &str) -> Result<Duration, String> {
    if text == "off" { Ok(Duration::ZERO) } else { duration(text) }
}

/// A duration that ends something: not 0.
pub(super) fn limit(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("a limit of 0 leaves no time at all".into()),
        limit => Ok(limit),
    }
}

/// A duration, or `never`.
pub(super) fn half_close(text: &str) -> Result<HalfClose, String> {
    match text {
        "never" => Ok(HalfClose::Never),
        text => duration(text).map(HalfClose::After),
    }
}

/// A number from 1.
pub(super) fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err("a number from 1 on".into()),
    }
}

/// How many tunnels are held ready.
pub(super) fn spare(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count <= MAX_SPARE => Ok(count),
        _ => Err(format!("a number from 0 to {MAX_SPARE}")),
    }
}

/// A port from 1, or `FROM-TO`.
pub(super) fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let port = |text: &str| match text.parse() {
        Ok(port) if port > 0 && text.bytes().all(|b| b.is_ascii_digit()) => Ok(port),
        _ => Err(format!("{text:?} is not a port (1 to 65535)")),
    };
    let text = text.trim();
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to) = (port(from)?, port(to)?);
    if from > to { Err(format!("{text}: a range goes upwards")) } else { Ok(from..=to) }
}

/// A protocol that can be upgraded to TLS; a shell completes its name.
pub(super) fn protocol() -> impl TypedValueParser<Value = Protocol> {
    PossibleValuesParser::new(Protocol::ALL.map(|(name, _)| name)).try_map(|text| {
        let found = Protocol::ALL.iter().find(|(name, _)| *name == text);
        found.map(|(_, protocol)| *protocol).ok_or("no such protocol")
    })
}

/// A path, with or without its slash; nothing that ends a word of a request.
pub(super) fn path(text: &str) -> Result<String, String> {
    if let Some(bad) = text.chars().find(|c| !c.is_ascii_graphic() || *c == '#') {
        return Err(format!("a path cannot contain {bad:?}"));
    }
    Ok(if text.starts_with('/') { text.to_owned() } else { format!("/{text}") })
}

/// `ADDR:PORT`, IPv6 in brackets; port 0 lets the system choose.
pub(super) fn place(text: &str) -> Result<Place, String> {
    let parts = split(text)?;
    match parts.as_slice() {
        [host, port] => Ok(Place::Tcp { host: (*host).to_owned(), port: port_number(port)? }),
        _ => Err("a place to listen at is ADDR:PORT".into()),
    }
}

/// A SPEC of `forward`.
pub(super) fn spec(text: &str) -> Result<Spec, String> {
    let target =
        |host: &str, port: &str| Authority::from_words(host, port).map_err(|error| error.to_string());
    if let Some(rest) = text.strip_prefix("unix:") {
        let parts = split(rest)?;
        let [path @ .., host, port] = parts.as_slice() else {
            return Err("a Unix socket is unix:PATH:HOST:HOSTPORT".into());
        };
        let path = path.join(":");
        if path.is_empty() {
            return Err("a Unix socket is unix:PATH:HOST:HOSTPORT".into());
        }
        return Ok(Spec { place: Place::Unix(PathBuf::from(path)), target: target(host, port)? });
    }
    let parts = split(text)?;
    let (bind, port, host, host_port) = match parts.as_slice() {
        [port, host, host_port] => (BIND, port, host, host_port),
        [bind, port, host, host_port] => (*bind, port, host, host_port),
        _ => return Err("a forward is [BIND:]PORT:HOST:HOSTPORT".into()),
    };
    let place = Place::Tcp { host: bind.to_owned(), port: port_number(port)? };
    Ok(Spec { place, target: target(host, host_port)? })
}

/// A SPEC, or a name; a SPEC has a colon.
pub(super) fn wish(text: &str) -> Result<Wish, String> {
    if is_name(text) { Ok(Wish::Name(text.to_owned())) } else { spec(text).map(Wish::Spec) }
}

/// Whether this can be the name of a forward.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('-') && !text.contains(':')
}

fn port_number(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("{text:?} is not a port (0 to 65535)"))
}

/// At the colons that are outside brackets; the brackets go.
fn split(text: &str) -> Result<Vec<&str>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let (part, behind) = match rest.strip_prefix('[') {
            Some(inner) => inner.split_once(']').ok_or("a bracket is not closed")?,
            None => rest.split_at(rest.find(':').unwrap_or(rest.len())),
        };
        parts.push(part);
        match behind.strip_prefix(':') {
            Some(next) => rest = next,
            None if behind.is_empty() => return Ok(parts),
            None => return Err("a bracket ends before a colon".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_what_people_type() {
        for (text, seconds) in
            [("500ms", 0.5), ("10s", 10.0), ("2m", 120.0), ("1m 30s", 90.0), ("0", 0.0), ("7", 7.0)]
        {
            assert_eq!(duration(text).map(|d| d.as_secs_f64()), Ok(seconds), "{text}");
        }
        for text in ["", "-1s", "x", "99999999999s"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!(half_close("never"), Ok(HalfClose::Never));
        assert!(limit("0").is_err());
    }

    #[test]
    fn ports_are_single_or_ranges_upwards() {
        assert_eq!(ports("443"), Ok(443..=443));
        assert_eq!(ports(" 80 "), Ok(80..=80));
        assert_eq!(ports("1-65535"), Ok(1..=65535));
        for text in ["", "0", "65536", "5-4", "-5", "5-", "+5", "a", "1-2-3"] {
            assert!(ports(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_path_is_one_word_of_a_request() {
        assert_eq!(path("a/b?c").as_deref(), Ok("/a/b?c"));
        for text in ["/a b", "/a\r\nX: y", "/ü", "/a#b"] {
            assert!(path(text).is_err(), "{text}");
        }
    }

    #[test]
    fn specs_are_those_of_ssh() {
        let tcp = |host: &str, port| Place::Tcp { host: host.into(), port };
        for (text, place, target) in [
            ("8080:host:80", tcp("127.0.0.1", 8080), "host:80"),
            ("0:host:80", tcp("127.0.0.1", 0), "host:80"),
            ("localhost:8080:host:80", tcp("localhost", 8080), "host:80"),
            ("*:8080:host:80", tcp("*", 8080), "host:80"),
            (":8080:host:80", tcp("", 8080), "host:80"),
            ("[::1]:8080:[2001:db8::1]:80", tcp("::1", 8080), "[2001:db8::1]:80"),
            ("unix:/run/a:b:host:80", Place::Unix("/run/a:b".into()), "host:80"),
        ] {
            let read = spec(text);
            assert_eq!(read.map(|s| (s.place, s.target.to_string())), Ok((place, target.into())), "{text}");
        }
        for text in [
            "8080",
            "8080:host",
            "host:80",
            "a:b:c:d:e",
            "x:host:80",
            "8080:host:0",
            "unix::h:1",
            "[::1:1:h:1",
        ] {
            assert!(spec(text).is_err(), "{text}");
        }
    }
}
