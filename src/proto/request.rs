//! CONNECT requests out: the head, and the fields that a user may add to it.
//!
//! Knows what CONNECT must not carry (RFC 9110 §9.3.6) and what could end a line. Refuses to know
//! when a request is sent, and with which credentials (`exchange`).

use std::fmt;

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::auth::Credentials;
use crate::authority::Authority;

/// A field of a request, as one line: the name is a token, the value has no control characters.
#[derive(Clone, PartialEq, Eq)]
pub struct Field {
    name: String,
    value: String,
}

/// A value that may be a secret does not show.
impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = if self.is_sensitive() { "[redacted]" } else { &self.value };
        write!(f, "{}: {value}", self.name)
    }
}

/// Why a text is no field that may be added to a CONNECT request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// No colon.
    #[error("a header is NAME: VALUE")]
    NoColon,
    /// The name is no token (RFC 9110 §5.6.2). It is not quoted: a value may stand in its place.
    #[error("what stands before the colon is not a header name")]
    Name,
    /// CR, LF, NUL or another control character: it could begin a line of its own.
    #[error("a header value cannot contain control characters")]
    Value,
    /// A field that CONNECT must not have, or must have exactly once.
    #[error("{0} is not for the user to set on CONNECT")]
    Reserved(&'static str),
}

impl Field {
    /// Checks a name and a value; white space around the value is dropped (RFC 9110 §5.5).
    ///
    /// # Errors
    /// [`FieldError`]: whatever could end the line, and the fields that make a CONNECT ambiguous.
    pub fn new(name: &str, value: &str) -> Result<Self, FieldError> {
        if !is_token(name) {
            return Err(FieldError::Name);
        }
        if value.chars().any(|c| c.is_control() && c != '\t') {
            return Err(FieldError::Value);
        }
        // RFC 9110 §9.3.6: CONNECT has no content; RFC 9112 §3.2: exactly one Host.
        for reserved in ["Host", "Content-Length", "Transfer-Encoding"] {
            if name.eq_ignore_ascii_case(reserved) {
                return Err(FieldError::Reserved(reserved));
            }
        }
        Ok(Self { name: name.into(), value: value.trim_matches([' ', '\t']).into() })
    }
}

impl Field {
    /// What it is called, as it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it says.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether its value may be a secret.
    pub fn is_sensitive(&self) -> bool {
        !is_harmless(&self.name)
    }

    /// Whether it has this name, which is the same in either case (RFC 9110 §5.1).
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

impl std::str::FromStr for Field {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        let (name, value) = text.split_once(':').ok_or(FieldError::NoColon)?;
        Self::new(name, value)
    }
}

/// What a CONNECT request carries beside its target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestFields {
    fields: Vec<Field>,
    http_1_0: bool,
}

impl RequestFields {
    /// In the order they are sent.
    pub fn new(fields: impl IntoIterator<Item = Field>) -> Self {
        Self { fields: fields.into_iter().collect(), http_1_0: false }
    }

    /// For requests that say HTTP/1.0, which old proxies want.
    pub fn in_http_1_0(self) -> Self {
        Self { http_1_0: true, ..self }
    }

    /// The version that a request says, where it is text.
    pub fn version(&self) -> Version {
        if self.http_1_0 { Version::Http10 } else { Version::Http11 }
    }

    /// In the order they are sent.
    pub fn iter(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter()
    }
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2.
    Http2,
}

impl Version {
    /// Its number.
    pub fn number(self) -> &'static str {
        match self {
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
            Self::Http2 => "2",
        }
    }
}

/// A request as a message: what a version that is not text makes of it.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// What the tunnel shall reach.
    pub target: &'a Authority,
    /// What goes into Proxy-Authorization.
    pub credentials: Option<&'a Credentials>,
    /// Everything else.
    pub fields: &'a RequestFields,
}

impl RequestFields {
    /// Credentials that were made by hand.
    pub(super) fn authorization(&self) -> impl Iterator<Item = &str> {
        let made = self.fields.iter().filter(|field| field.is("Proxy-Authorization"));
        made.map(|field| field.value.as_str())
    }
}

/// Writes a CONNECT request: no content, no Content-Length, no Transfer-Encoding (RFC 9110
/// §9.3.6), and no Proxy-Connection (RFC 9112 appendix C.2.2).
pub(super) fn encode(target: &Authority, fields: &RequestFields, credentials: Option<&Credentials>) -> Bytes {
    let mut head = BytesMut::with_capacity(256);
    let mut line = |parts: [&str; 3]| {
        parts.iter().for_each(|part| head.put_slice(part.as_bytes()));
        head.put_slice(b"\r\n");
    };
    let target = target.to_string();
    line(["CONNECT ", &target, if fields.http_1_0 { " HTTP/1.0" } else { " HTTP/1.1" }]);
    line(["Host: ", &target, ""]);
    if let Some(credentials) = credentials {
        line(["Proxy-Authorization: ", credentials.expose(), ""]);
    }
    for field in &fields.fields {
        line([&field.name, ": ", &field.value]);
    }
    line(["", "", ""]);
    head.freeze()
}

/// The lines of a request of ours, for `-vv`: the values of fields that may hold a secret are masked.
pub(crate) fn log(head: &[u8]) {
    for line in masked(head) {
        tracing::trace!("> {line}");
    }
}

/// The same of a request that came.
pub(crate) fn log_received(head: &[u8]) {
    for line in masked(head) {
        tracing::trace!("< {line}");
    }
}

/// Whether anybody looks: what is shown is not made for nobody.
pub(crate) fn is_shown() -> bool {
    tracing::enabled!(tracing::Level::TRACE)
}

/// What is shown of a request, if anybody looks. It may be malformed: what is no field is masked whole.
fn masked(head: &[u8]) -> Vec<String> {
    if !is_shown() {
        return Vec::new();
    }
    shown(&String::from_utf8_lossy(head))
}

fn shown(head: &str) -> Vec<String> {
    let mut lines = head.lines().filter(|line| !line.is_empty());
    let first = lines.next().map(|line| match line.rsplit_once('@') {
        // A client that takes this for its target's server: userinfo has no place in a target.
        Some((_, behind)) => format!("{} [masked]@{behind}", line.split(' ').next().unwrap_or_default()),
        None => line.to_owned(),
    });
    let field = |line: &str| match line.split_once(':') {
        Some((name, _)) if is_harmless(name) => line.to_owned(),
        Some((name, _)) if is_token(name.trim_end()) => format!("{name}: [masked]"),
        Some(_) | None => "[masked]".to_owned(),
    };
    first.into_iter().chain(lines.map(field)).collect()
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    let tchar = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(tchar)
}

/// Fields that hold no secret; whatever else a user adds may be a token.
fn is_harmless(name: &str) -> bool {
    ["Host", "User-Agent", "Via", "Connection", "Proxy-Connection", "Accept"]
        .iter()
        .any(|harmless| harmless.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r01_to_r04_r16_the_request_is_exactly_this() {
        let target: Authority = "[::1]:22".parse().expect("a target");
        let fields = RequestFields::new(Field::new("User-Agent", "wimble/x"));
        assert_eq!(
            encode(&target, &fields, None),
            "CONNECT [::1]:22 HTTP/1.1\r\nHost: [::1]:22\r\nUser-Agent: wimble/x\r\n\r\n"
        );
    }

    #[test]
    fn a_field_cannot_end_its_line_or_reframe_the_request() {
        assert_eq!("X: a\r\nY: b".parse::<Field>(), Err(FieldError::Value));
        assert_eq!("X: a\0".parse::<Field>(), Err(FieldError::Value));
        assert_eq!("X Y: a".parse::<Field>(), Err(FieldError::Name));
        assert_eq!("no colon".parse::<Field>(), Err(FieldError::NoColon));
        assert_eq!("hOst: x".parse::<Field>(), Err(FieldError::Reserved("Host")));
        assert_eq!("Content-length: 5".parse::<Field>(), Err(FieldError::Reserved("Content-Length")));
    }

    #[test]
    fn what_may_be_a_secret_is_masked_however_it_is_written() {
        let head = "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\nProxy-Authorization:Basic secret\r\n\
                    proxy-authorization : Basic secret\r\n folded=\"secret\", uri=\"h:1\"\r\n\
                    secret\r\nX-Token: secret\r\nUser-Agent: a\r\n\r\n";
        assert_eq!(
            shown(head),
            [
                "CONNECT h:1 HTTP/1.1",
                "Host: h:1",
                "Proxy-Authorization: [masked]",
                "proxy-authorization : [masked]",
                "[masked]",
                "[masked]",
                "X-Token: [masked]",
                "User-Agent: a",
            ]
        );
        assert_eq!(shown("GET http://a:secret@h/ HTTP/1.1\r\n\r\n"), ["GET [masked]@h/ HTTP/1.1"]);
    }
}
