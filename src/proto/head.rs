//! Response heads in.
//!
//! Knows the grammar of RFC 9112 §2–5 and where real proxies stray from it. The fields are read
//! by httparse; finding the end of a head, so that what follows stays untouched, is ours.
//! Refuses to know what a status means for a tunnel (`exchange`) and content (`content`).

use bytes::Bytes;

use super::limits::{MAX_FIELDS, MAX_HEAD, MAX_QUOTE};
use crate::auth::Sent;

/// The lines of a response, for `-vv`.
pub(super) fn log(head: &ResponseHead, version: &str) {
    tracing::trace!("< HTTP/{version} {} {}", head.status, head.reason);
    for (name, value) in &head.fields {
        tracing::trace!("< {name}: {value}");
    }
}

/// The lines of a response of ours, for `-vv`; it has no secrets.
pub(crate) fn log_sent(head: &str) {
    for line in head.lines().filter(|line| !line.is_empty()) {
        tracing::trace!("> {line}");
    }
}

/// A status code: three digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Status(u16);

/// What the first digit says (RFC 9110 §15); a code that is not known counts as x00 of its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// 1xx: another response follows.
    Interim,
    /// 2xx: the tunnel stands.
    Success,
    /// 3xx: look elsewhere; never followed (Q42).
    Redirection,
    /// 4xx: the proxy refuses.
    ClientError,
    /// 5xx, and whatever is outside 100 to 599 (RFC 9110 §15).
    ServerError,
}

impl Status {
    /// 401, which a server says for itself; from a proxy, tinyproxy's word for a wrong password.
    pub const UNAUTHORIZED: Self = Self(401);

    /// 407, the one status that is answered.
    pub const PROXY_AUTHENTICATION_REQUIRED: Self = Self(407);

    /// Takes a code as it stood on the wire.
    pub fn new(code: u16) -> Self {
        Self(code)
    }

    /// The number.
    pub fn code(self) -> u16 {
        self.0
    }

    /// The class of the code.
    pub fn class(self) -> Class {
        match self.0 / 100 {
            1 => Class::Interim,
            2 => Class::Success,
            3 => Class::Redirection,
            4 => Class::ClientError,
            _ => Class::ServerError,
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:03}", self.0)
    }
}

/// The head of a response. Its text comes from the network and is not escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// Whether the version is HTTP/1.0.
    pub http_1_0: bool,
    /// The status code.
    pub status: Status,
    /// The reason phrase: to be shown, never acted on (RFC 9112 §4); empty where absent.
    pub reason: String,
    /// The fields in the order sent, folded lines joined, octets that are not UTF-8 replaced.
    pub fields: Vec<(String, String)>,
}

impl ResponseHead {
    /// As it may be shown: without what a proxy repeats of our secrets. What it means is decided by
    /// what it says.
    pub fn without(&self, secrets: &Sent) -> Self {
        Self {
            http_1_0: self.http_1_0,
            status: self.status,
            reason: secrets.mask(&self.reason),
            fields: self.fields.iter().map(|(name, value)| (name.clone(), secrets.mask(value))).collect(),
        }
    }

    /// The values of a field, whose name matches in any case, in the order sent.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Whether a comma-separated field lists a token, in any case.
    pub fn lists(&self, name: &str, token: &str) -> bool {
        self.values(name).flat_map(|v| v.split(',')).any(|element| element.trim().eq_ignore_ascii_case(token))
    }

    /// Whether a field is there at all.
    pub fn has(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }
}

/// Why bytes are no response head.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// The first line is no status line; it is quoted, cut at [`MAX_QUOTE`] bytes.
    #[error("not an HTTP status line")]
    StatusLine(Bytes),
    /// A TLS record where a head should be (Q36): the port speaks TLS.
    #[error("a TLS record instead of HTTP")]
    TlsRecord,
    /// A field line that has a bare CR or a NUL (RFC 9112 §2.2, RFC 9110 §5.5); it is quoted, cut at
    /// [`MAX_QUOTE`] bytes.
    #[error("a malformed field")]
    Field(Bytes),
    /// No end within [`MAX_HEAD`] bytes.
    #[error("more than {MAX_HEAD} bytes of response head")]
    TooLarge,
    /// More than [`MAX_FIELDS`] lines behind the first: as many fields, or folded ones.
    #[error("more than {MAX_FIELDS} lines of response fields")]
    TooManyLines,
}

/// Finds where a head ends, looking at each byte once however it arrives.
#[derive(Clone, Debug, Default)]
pub(super) struct Scan {
    scanned: usize,
    line_start: usize,
    /// Behind the first line's LF.
    first_line: Option<usize>,
    status_line_checked: bool,
    lines: usize,
}

impl Scan {
    /// Whether nothing has been looked at.
    pub(super) fn is_new(&self) -> bool {
        self.scanned == 0
    }

    /// The length of the head at the start of `buffer`, blank line included, once it is there.
    /// Lines end in CRLF or LF, mixed (RFC 9112 §2.2).
    pub(super) fn end(&mut self, buffer: &[u8]) -> Option<usize> {
        while let Some(found) = buffer[self.scanned..].iter().position(|b| *b == b'\n') {
            let feed = self.scanned + found;
            let line = &buffer[self.line_start..feed];
            self.scanned = feed + 1;
            self.line_start = feed + 1;
            if self.first_line.is_none() {
                self.first_line = Some(feed + 1);
            }
            if line.is_empty() || line == b"\r" {
                return Some(feed + 1);
            }
            self.lines += 1;
        }
        self.scanned = buffer.len();
        None
    }
}

/// Reads a response head from the start of `buffer`, which grows between calls that share `scan`.
///
/// `Ok(None)`: not yet. `Ok(Some((head, n)))`: the head took `n` bytes; the rest is the caller's.
/// What is decided does not depend on how the bytes were cut.
///
/// # Errors
/// As soon as it is certain that no head comes.
pub(super) fn decode(buffer: &[u8], scan: &mut Scan) -> Result<Option<(ResponseHead, usize)>, HeadError> {
    // RFC 8446 §5.1: alert or handshake. Nothing that is HTTP starts so.
    if matches!(buffer.first(), Some(0x15 | 0x16)) {
        return Err(HeadError::TlsRecord);
    }
    let end = scan.end(buffer);
    let Some(first_line) = scan.first_line else {
        let http = b"HTTP/1.";
        let seen = buffer.len().min(http.len());
        if buffer[..seen] != http[..seen] && buffer.len() >= MAX_QUOTE {
            return Err(not_http(buffer));
        }
        return if buffer.len() >= MAX_HEAD { Err(HeadError::TooLarge) } else { Ok(None) };
    };
    if !scan.status_line_checked {
        check_status_line(&buffer[..first_line])?;
        scan.status_line_checked = true;
    }
    match end {
        Some(end) if end <= MAX_HEAD => parse(&buffer[..end], scan.lines).map(|head| Some((head, end))),
        None if buffer.len() < MAX_HEAD => Ok(None),
        Some(_) | None => Err(HeadError::TooLarge),
    }
}

/// The error that quotes what stands where a status line should.
pub(super) fn not_http(buffer: &[u8]) -> HeadError {
    HeadError::StatusLine(quote(lines(buffer).next().unwrap_or_default()))
}

/// The error that quotes the line at which httparse stopped: the first that has a bare CR or a NUL.
fn malformed(head: &[u8]) -> HeadError {
    let is_malformed = |line: &&[u8]| line.iter().any(|b| matches!(b, b'\r' | 0));
    HeadError::Field(quote(lines(head).find(is_malformed).unwrap_or_default()))
}

fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

fn quote(line: &[u8]) -> Bytes {
    Bytes::copy_from_slice(&line[..line.len().min(MAX_QUOTE)])
}

fn check_status_line(line: &[u8]) -> Result<(), HeadError> {
    let mut none = [];
    if line.trim_ascii().is_empty() {
        return Err(not_http(line)); // httparse would pass over it
    }
    match config().parse_response(&mut httparse::Response::new(&mut none), &readable(line)) {
        // Only the line was given: anything but a fault in it is for the whole head to judge.
        Ok(_) | Err(httparse::Error::TooManyHeaders) => Ok(()),
        Err(_) => Err(not_http(line)),
    }
}

fn parse(head: &[u8], lines: usize) -> Result<ResponseHead, HeadError> {
    if lines > MAX_FIELDS + 1 {
        return Err(HeadError::TooManyLines);
    }
    let status_line = head.iter().position(|b| *b == b'\n').map_or(head.len(), |feed| feed + 1);
    let mut readable = readable(&head[..status_line]);
    readable.extend_from_slice(&head[status_line..]);
    let mut slots = vec![httparse::EMPTY_HEADER; lines];
    let mut response = httparse::Response::new(&mut slots);
    match config().parse_response(&mut response, &readable) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) | Err(_) => return Err(malformed(head)),
    }
    let (Some(version), Some(code)) = (response.version, response.code) else {
        return Err(malformed(head));
    };
    log_passed_over(&head[status_line..], response.headers.len());
    Ok(ResponseHead {
        http_1_0: version == 0,
        status: Status(code),
        reason: reason(&head[..status_line]),
        fields: response.headers.iter().map(|f| (f.name.to_owned(), unfold(f.value))).collect(),
    })
}

/// What stands behind the status code; httparse knows none that is not ASCII (RFC 9112 §4: obs-text).
fn reason(status_line: &[u8]) -> String {
    let line = String::from_utf8_lossy(status_line);
    let is_space = |c: char| matches!(c, ' ' | '\t' | '\u{b}' | '\u{c}');
    let behind_version =
        line.split_once(is_space).map_or("", |(_, behind)| behind.trim_start_matches(is_space));
    behind_version.get(3..).unwrap_or_default().trim().to_owned()
}

/// How many lines were no fields, for `-v`. They may repeat a secret, and are not shown.
fn log_passed_over(fields: &[u8], read: usize) {
    if tracing::enabled!(tracing::Level::DEBUG) {
        let begins = |line: &&[u8]| !matches!(line.first(), None | Some(b' ' | b'\t'));
        let lines = lines(fields).filter(begins).count();
        if lines > read {
            tracing::debug!("lines of the answer that are no fields, and are passed over: {}", lines - read);
        }
    }
}

fn config() -> httparse::ParserConfig {
    let mut config = httparse::ParserConfig::default();
    config
        .allow_multiple_spaces_in_response_status_delimiters(true)
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        // A line that is no field, or has other control characters, is passed over, as curl does: what
        // a tunnel needs to know does not stand in it. Bare CR and NUL stay errors (Q41).
        .ignore_invalid_headers_in_responses(true);
    config
}

/// A status line as httparse takes it, which wants spaces, and 1.0 or 1.1.
///
/// RFC 9112 §4 lets a recipient take TAB, VT and FF between the parts too (Q6: proxytunnel #86 met
/// TABs). RFC 9110 §2.5: a minor version that is not known is processed as the highest that is.
fn readable(status_line: &[u8]) -> Vec<u8> {
    let is_space = |b| matches!(b, b'\t' | b'\x0b' | b'\x0c');
    let mut line: Vec<u8> = status_line.iter().map(|b| if is_space(*b) { b' ' } else { *b }).collect();
    if let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'2'..=b'9', ..] = &mut line[..] {
        *minor = b'1';
    }
    line
}

/// RFC 9112 §5.2: an obs-fold is replaced by spaces before the value is used.
fn unfold(value: &[u8]) -> String {
    String::from_utf8_lossy(value).replace(['\r', '\n'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<(ResponseHead, usize)>, HeadError> {
        decode(bytes, &mut Scan::default())
    }

    fn head(bytes: &[u8]) -> ResponseHead {
        read(bytes).expect("a head").expect("a whole head").0
    }

    fn quoted(bytes: &[u8]) -> String {
        match read(bytes) {
            Err(HeadError::StatusLine(line)) => String::from_utf8_lossy(&line).into_owned(),
            other => panic!("expected a status-line error, got {other:?}"),
        }
    }

    #[test]
    fn q01_r10_lines_end_in_lf_or_crlf_mixed() {
        let (read, length) = read(b"HTTP/1.1 200 OK\nA: b\r\n\nSSH-2.0").expect("a head").expect("whole");
        assert_eq!((read.status.code(), length), (200, 23));
        assert_eq!(read.fields, [("A".to_string(), "b".to_string())]);
    }

    #[test]
    fn q02_r11_the_reason_phrase_may_be_absent() {
        assert_eq!(head(b"HTTP/1.1 200\r\n\r\n").reason, "");
        assert_eq!(head(b"HTTP/1.1 200 \r\n\r\n").reason, "");
        assert_eq!(head(b"HTTP/1.0 200 Connection established\r\n\r\n").reason, "Connection established");
        assert_eq!(head(b"HTTP/1.1\t 403  \t No way \r\n\r\n").reason, "No way");
    }

    #[test]
    fn r11_a_reason_phrase_may_be_in_any_language() {
        let german = "HTTP/1.1 403 Zugriff f\u{fc}r G\u{e4}ste verboten\r\n\r\n";
        assert_eq!(head(german.as_bytes()).reason, "Zugriff f\u{fc}r G\u{e4}ste verboten");
        assert_eq!(head(b"HTTP/1.1 403 G\xe4ste\r\n\r\n").reason, "G\u{fffd}ste");
    }

    #[test]
    fn q03_q04_q05_malformed_status_lines_are_quoted() {
        for line in [
            "HTTP/1.1 OK",
            "HTTP/1.1",
            "HTTP/1.1 2000 OK",
            "HTTP/1.1 20 OK",
            "HTTP/2 200",
            "ICY 200 OK",
            "http/1.1 200 OK",
            "HTTP/1.1 -20 OK",
            "SSH-2.0-OpenSSH_9.2",
            "<html>",
            "",
        ] {
            assert_eq!(quoted(format!("{line}\r\n\r\n").as_bytes()), line);
        }
    }

    #[test]
    fn a_line_that_is_not_http_is_told_before_the_head_ends() {
        assert_eq!(quoted(b"220 smtp.example ESMTP\r\n"), "220 smtp.example ESMTP");
        assert_eq!(quoted(&[b'x'; MAX_QUOTE + 9]).len(), MAX_QUOTE);
    }

    #[test]
    fn q06_white_space_in_the_status_line_may_be_any() {
        assert_eq!(head(b"HTTP/1.1\t200\tOK\r\n\r\n").status.code(), 200);
        assert_eq!(head(b"HTTP/1.1   407   no\r\n\r\n").status.code(), 407);
        assert_eq!(head(b"HTTP/1.1\x0b200\x0cOK\r\n\r\n").status.code(), 200);
        assert_eq!(quoted(b"HTTP/1.1\x1f200 OK\r\n\r\n"), "HTTP/1.1\x1f200 OK");
    }

    #[test]
    fn a_higher_minor_version_is_processed_as_1_1() {
        let newer = head(b"HTTP/1.2 204 OK\r\nA: b\r\n\r\n");
        assert_eq!((newer.status.code(), newer.http_1_0, newer.fields.len()), (204, false, 1));
        assert_eq!(quoted(b"HTTP/1.20 200 OK\r\n\r\n"), "HTTP/1.20 200 OK");
    }

    #[test]
    fn q36_a_tls_record_is_told_at_its_first_byte() {
        assert_eq!(read(b"\x15"), Err(HeadError::TlsRecord));
    }

    #[test]
    fn q41_r12_obs_fold_is_unfolded_and_bare_cr_and_nul_are_refused() {
        let folded = head(b"HTTP/1.1 407 no\r\nProxy-Authenticate: Basic\r\n realm=\"x\"\r\n\r\n");
        assert_eq!(folded.values("proxy-authenticate").next(), Some("Basic   realm=\"x\""));
        for line in ["A: b\rc", "A: b\0c", "A\0: b", "A\rB: c", "\rA: b", "a line\0", "A: b\r\r"] {
            for ahead in ["", "X: y\r\n", "no field\r\n"] {
                let head = format!("HTTP/1.1 200 OK\r\n{ahead}{line}\r\nB: c\r\n\r\n");
                let quote = Bytes::copy_from_slice(line.as_bytes());
                assert_eq!(read(head.as_bytes()), Err(HeadError::Field(quote)), "{line:?} behind {ahead:?}");
            }
        }
        let long = format!("HTTP/1.1 200 OK\r\nA: \0{}\r\n\r\n", "b".repeat(1000));
        assert!(matches!(read(long.as_bytes()), Err(HeadError::Field(line)) if line.len() == MAX_QUOTE));
        assert_eq!(quoted(b"HTTP/1.1 200 O\rK\r\n\r\n"), "HTTP/1.1 200 O\rK");
    }

    #[test]
    fn q41_a_line_that_is_no_field_is_passed_over() {
        for line in [
            "no colon",
            ": no name",
            " indented: x",
            "X Y: z",
            "Gr\u{f6}\u{df}e: x",
            "{X}: y",
            "X: esc\u{1b}[2J",
            "X: \u{7f}",
            "<html>\r\n folded",
        ] {
            let read = head(format!("HTTP/1.1 200 OK\r\n{line}\r\nA: b\r\n\r\n").as_bytes());
            assert_eq!(read.fields, [("A".to_string(), "b".to_string())], "{line:?}");
        }
    }

    #[test]
    fn q16_large_heads_with_many_fields_are_read() {
        let field = format!("X-Policy: {}\r\n", "p".repeat(2000));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", field.repeat(100));
        assert_eq!(head(many.as_bytes()).fields.len(), 100);
        let one = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "p".repeat(100_000));
        assert_eq!(head(one.as_bytes()).fields.len(), 1);
    }

    #[test]
    fn q17_a_head_without_end_is_bounded() {
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "p".repeat(MAX_HEAD));
        assert_eq!(read(endless.as_bytes()), Err(HeadError::TooLarge));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(MAX_FIELDS + 1));
        assert_eq!(read(many.as_bytes()), Err(HeadError::TooManyLines));
        let folded = format!("HTTP/1.1 200 OK\r\nA: b\r\n{}\r\n", " c\r\n".repeat(MAX_FIELDS));
        assert_eq!(read(folded.as_bytes()), Err(HeadError::TooManyLines));
    }

    #[test]
    fn r09_an_unknown_code_counts_as_its_class() {
        assert_eq!(Status(299).class(), Class::Success);
        assert_eq!(Status(499).class(), Class::ClientError);
        assert_eq!(Status(799).class(), Class::ServerError);
        assert_eq!(Status(0).class(), Class::ServerError);
    }
}
