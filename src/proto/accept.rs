//! The server half: a CONNECT request in, a response head out.
//!
//! The same shape as the handshake: fed with bytes, it answers *wrong*, *not yet*, or *this, and
//! these bytes were behind it*. Refuses to know whether the target may be reached.

use std::fmt;

use bytes::{Buf as _, Bytes, BytesMut};

use super::head::{self, Scan, Status};
use super::limits::{MAX_FIELDS, MAX_REQUEST_HEAD};
use super::request;
use crate::auth::Credentials;
use crate::authority::Authority;

/// A request for a tunnel.
#[derive(Debug, PartialEq, Eq)]
pub struct ConnectRequest {
    /// What the client asks for.
    pub target: Authority,
    /// Its Proxy-Authorization, if it sent one.
    pub credentials: Option<Credentials>,
    /// Bytes that came behind the head: the first for the target.
    pub early: Bytes,
}

/// The client's preface of HTTP/2 (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a client speaks, as its first bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// HTTP/1, or nothing that is known.
    Http1,
    /// HTTP/2 without TLS's say (RFC 9113 §3.3).
    Http2,
    /// A handshake record (RFC 8446 §5.1).
    Tls,
    /// A request.
    Socks4,
    /// A greeting (RFC 1928 §3).
    Socks5,
}

impl Opening {
    /// Looks at what came so far; `None`: more is needed to tell.
    pub fn of(first: &[u8]) -> Option<Self> {
        match first {
            [] => None,
            // No method begins with a control character: one byte is enough.
            [0x16, ..] => Some(Self::Tls),
            [4, ..] => Some(Self::Socks4),
            [5, ..] => Some(Self::Socks5),
            _ if first.starts_with(PREFACE) => Some(Self::Http2),
            _ if PREFACE.starts_with(first) => None,
            _ => Some(Self::Http1),
        }
    }
}

/// Why bytes are no CONNECT request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// Not an HTTP/1 request head.
    #[error("not an HTTP request")]
    Malformed,
    /// No end within [`MAX_REQUEST_HEAD`] bytes or [`MAX_FIELDS`] fields.
    #[error("a request head beyond the limits")]
    TooLarge,
    /// Another method than CONNECT.
    #[error("a method other than CONNECT")]
    Method,
    /// A request-target that is not `host:port` (RFC 9112 §3.2.3).
    #[error("a request-target that is not host:port")]
    Target,
    /// The connection ended before the head did.
    #[error("closed in the middle of a request")]
    Truncated,
}

impl AcceptError {
    /// The status to answer with; `None` where nobody listens any more.
    pub fn status(&self) -> Option<Status> {
        match self {
            Self::Malformed | Self::Target => Some(Status::new(400)),
            Self::TooLarge => Some(Status::new(431)),
            Self::Method => Some(Status::new(405)),
            Self::Truncated => None,
        }
    }
}

/// A request being received.
#[derive(Default)]
pub struct Accept {
    buffer: BytesMut,
    scan: Scan,
}

/// Without what came, which may be credentials.
impl fmt::Debug for Accept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accept").field("buffered", &self.buffer.len()).finish_non_exhaustive()
    }
}

impl Accept {
    /// Takes what was read; `Ok(None)` asks for more. Call [`Accept::receive_eof`] at the end.
    ///
    /// # Errors
    /// [`AcceptError`], as soon as it is certain.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Option<ConnectRequest>, AcceptError> {
        self.buffer.extend_from_slice(bytes);
        // RFC 9112 §2.2: empty lines before a request are passed over.
        if self.scan.is_new() {
            let blank = self.buffer.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
            self.buffer.advance(blank);
        }
        match self.scan.end(&self.buffer) {
            Some(end) if end <= MAX_REQUEST_HEAD => {
                let head = self.buffer.split_to(end);
                request::log_received(&head);
                parse(&head, std::mem::take(&mut self.buffer).freeze()).map(Some)
            }
            None if self.buffer.len() < MAX_REQUEST_HEAD => Ok(None),
            Some(_) | None => Err(AcceptError::TooLarge),
        }
    }

    /// The end of the connection, where a head should be.
    pub fn receive_eof(&self) -> AcceptError {
        AcceptError::Truncated
    }
}

fn parse(head: &[u8], early: Bytes) -> Result<ConnectRequest, AcceptError> {
    let mut slots = vec![httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut slots);
    match request.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(AcceptError::TooLarge),
        Ok(httparse::Status::Partial) | Err(_) => return Err(AcceptError::Malformed),
    }
    if request.method != Some("CONNECT") {
        return Err(AcceptError::Method);
    }
    let target = request.path.and_then(|t| t.parse().ok()).ok_or(AcceptError::Target)?;
    // RFC 9112 §3.2: exactly one; HTTP/1.0 (nc, corkscrew) knew none.
    let hosts = request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case("Host")).count();
    if hosts > 1 || (hosts == 0 && request.version == Some(1)) {
        return Err(AcceptError::Malformed);
    }
    let authorizations =
        request.headers.iter().filter(|f| f.name.eq_ignore_ascii_case("Proxy-Authorization"));
    let credentials = credentials(authorizations.map(|field| field.value))?;
    Ok(ConnectRequest { target, credentials, early })
}

/// What the Proxy-Authorization fields of a request say: there is one, or none.
pub(crate) fn credentials<'a>(
    mut values: impl Iterator<Item = &'a [u8]>,
) -> Result<Option<Credentials>, AcceptError> {
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let value = std::str::from_utf8(value).map_err(|_| AcceptError::Malformed)?;
            Ok(Some(Credentials::new(value.to_owned())))
        }
        (Some(_), Some(_)) => Err(AcceptError::Malformed),
    }
}

/// A response: the 2xx that opens, or a refusal behind whose content the connection closes.
pub fn respond(status: Status, reason: &str, fields: &[(&str, String)], content: &str) -> Bytes {
    let mut written = format!("HTTP/1.1 {status} {reason}\r\n");
    for (name, value) in fields {
        written.push_str(&format!("{name}: {value}\r\n"));
    }
    // RFC 9110 §9.3.6: no Content-Length in a 2xx to CONNECT.
    if status.class() != head::Class::Success {
        written.push_str(&format!("Content-Length: {}\r\nConnection: close\r\n", content.len()));
    }
    head::log_sent(&written);
    written.push_str("\r\n");
    written.push_str(content);
    written.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_is_not_in_its_debug() {
        let mut accept = Accept::default();
        let begun = b"CONNECT host:22 HTTP/1.1\r\nProxy-Authorization: Basic c2VjcmV0\r\n";
        assert!(accept.receive(begun).is_ok_and(|request| request.is_none()));
        assert!(!format!("{accept:?}").contains("c2VjcmV0"));
    }

    fn read(bytes: &[u8]) -> Result<Option<ConnectRequest>, AcceptError> {
        Accept::default().receive(bytes)
    }

    #[test]
    fn a_request_is_read_and_what_is_behind_it_is_kept() {
        let request =
            read(b"CONNECT [::1]:22 HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic abc\r\n\r\nearly");
        let request = request.expect("a request").expect("whole");
        assert_eq!(request.target.to_string(), "[::1]:22");
        assert_eq!(request.credentials.as_ref().map(Credentials::expose), Some("Basic abc"));
        assert_eq!(request.early, "early");
    }

    #[test]
    fn what_is_no_connect_is_refused_with_its_status() {
        for (head, code) in [
            ("GET / HTTP/1.1\r\n\r\n", 405),
            ("CONNECT host HTTP/1.1\r\n\r\n", 400),
            ("CONNECT http://host:1/ HTTP/1.1\r\n\r\n", 400),
            ("CONNECT host:1\r\n\r\n", 400),
            ("\x16\x03\x01 x\r\n\r\n", 400),
            ("CONNECT h:1 HTTP/1.1\r\n\r\n", 400),
            ("CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\nHost: g:1\r\n\r\n", 400),
            (
                "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\nProxy-Authorization: a\r\nProxy-Authorization: b\r\n\r\n",
                400,
            ),
        ] {
            let error = read(head.as_bytes()).expect_err(head);
            assert_eq!(error.status().map(Status::code), Some(code), "{head}");
        }
        assert!(matches!(read(b"\r\nCONNECT h:1 HTTP/1.0\r\n\r\n"), Ok(Some(_))));
        assert!(matches!(read(b"CONNECT h:1 HTTP/1.0\r\n\r\n"), Ok(Some(_))), "nc sends no Host");
        assert_eq!(read(&[b'x'; MAX_REQUEST_HEAD]), Err(AcceptError::TooLarge));
        assert_eq!(read(b"CONNECT h:1 HTTP/1.1\r\n"), Ok(None));
    }

    #[test]
    fn a_2xx_has_no_content_length() {
        assert_eq!(respond(Status::new(200), "OK", &[], ""), "HTTP/1.1 200 OK\r\n\r\n");
    }

    #[test]
    fn the_first_bytes_tell_what_is_spoken() {
        for (first, opening) in [
            (&b""[..], None),
            (b"\x16", Some(Opening::Tls)),
            (b"\x04\x01", Some(Opening::Socks4)),
            (b"\x05", Some(Opening::Socks5)),
            (b"C", Some(Opening::Http1)),
            (b"P", None),
            (b"PO", Some(Opening::Http1)),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", None),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0", Some(Opening::Http2)),
            (b"PRI * HTTP/2.0\r\nHost: x\r\n\r\n", Some(Opening::Http1)),
        ] {
            assert_eq!(Opening::of(first), opening, "{}", first.escape_ascii());
        }
    }
}
