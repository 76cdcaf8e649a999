//! From plain text to TLS inside a tunnel: what each protocol says before the handshake.
//!
//! An [`Upgrade`] is a value that is fed with bytes, as `proto::Handshake` is: a list of turns, each
//! some bytes to send and a reader for the answer. Knows the words of each protocol; refuses to know
//! sockets, clocks and TLS.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod binary;
mod text;

use std::fmt;

/// Bytes of one answer. XMPP's features and EHLO's lines are the longest, a few KiB.
pub const MAX_ANSWER: usize = 64 * 1024;

/// A protocol that can be upgraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RFC 3207, `STARTTLS` behind `EHLO`.
    Smtp,
    /// RFC 9051 §6.2.1, `STARTTLS`.
    Imap,
    /// RFC 2595 §4, `STLS`.
    Pop3,
    /// RFC 4217, `AUTH TLS`.
    Ftp,
    /// RFC 4511 §4.14, an extended request.
    Ldap,
    /// PostgreSQL's `SSLRequest`.
    Postgres,
    /// MySQL's and MariaDB's `SSLRequest`, behind the server's greeting.
    Mysql,
    /// RFC 6120 §5, `<starttls/>`.
    Xmpp,
    /// RFC 2817, `Upgrade: TLS/1.0`.
    Http,
}

impl Protocol {
    /// All, by the names that can be typed.
    pub const ALL: [(&'static str, Self); 9] = [
        ("smtp", Self::Smtp),
        ("imap", Self::Imap),
        ("pop3", Self::Pop3),
        ("ftp", Self::Ftp),
        ("ldap", Self::Ldap),
        ("postgres", Self::Postgres),
        ("mysql", Self::Mysql),
        ("xmpp", Self::Xmpp),
        ("http", Self::Http),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, protocol)| *protocol == self).map_or("", |(name, _)| name)
    }
}

/// What the driver shall do.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send these bytes.
    Transmit(Vec<u8>),
    /// Read, and pass on what was read or that it ended.
    Receive,
    /// Begin the TLS handshake.
    Upgraded,
}

/// Why there is no TLS to begin. Text is the server's and not escaped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeError {
    /// The server said no, in its own words.
    #[error("refused: {0}")]
    Refused(String),
    /// The server does not say that it can.
    #[error("not offered")]
    NotOffered,
    /// What came is not this protocol; its beginning.
    #[error("another protocol: {0:?}")]
    OtherProtocol(Vec<u8>),
    /// So many bytes of plain text came behind the go-ahead: somebody on the way slipped them in
    /// (CVE-2011-0411 and its like), or the server does not know what it does.
    #[error("{0} bytes of plain text behind the go-ahead")]
    PlainTextBehind(usize),
    /// The answer has no end.
    #[error("an answer of more than {MAX_ANSWER} bytes")]
    TooLong,
    /// The connection ended first.
    #[error("closed before the go-ahead")]
    Closed,
}

/// The client's side of one upgrade.
pub struct Upgrade {
    /// Those to come, the next one last.
    turns: Vec<Turn>,
    /// The answer that is awaited.
    reader: Option<Reader>,
    buffer: Vec<u8>,
    eof: bool,
    greeting: Option<String>,
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade").field("turns", &self.turns.len()).finish_non_exhaustive()
    }
}

/// Reads an answer: `None` for more bytes, or how many of them it was.
type Reader = fn(&[u8]) -> Result<Option<usize>, UpgradeError>;

/// What is sent, which may be nothing, and what is made of the answer.
struct Turn {
    send: Vec<u8>,
    read: Reader,
}

impl Turn {
    fn new(send: impl Into<Vec<u8>>, read: Reader) -> Self {
        Self { send: send.into(), read }
    }
}

impl Upgrade {
    /// Of a connection to `host`, as it stands in the protocol: for HTTP with the port, an IPv6
    /// address in brackets.
    pub fn new(protocol: Protocol, host: &str) -> Self {
        let mut turns = match protocol {
            Protocol::Smtp => text::smtp(),
            Protocol::Imap => text::imap(),
            Protocol::Pop3 => text::pop3(),
            Protocol::Ftp => text::ftp(),
            Protocol::Xmpp => text::xmpp(host),
            Protocol::Http => text::http(host),
            Protocol::Ldap => binary::ldap(),
            Protocol::Postgres => binary::postgres(),
            Protocol::Mysql => binary::mysql(),
        };
        turns.reverse();
        Self { turns, reader: None, buffer: Vec::new(), eof: false, greeting: None }
    }

    /// What to do next. Behind `Upgraded` and an error there is nothing more.
    ///
    /// # Errors
    /// [`UpgradeError`].
    pub fn step(&mut self) -> Result<Step, UpgradeError> {
        loop {
            if let Some(read) = self.reader {
                match read(&self.buffer)? {
                    Some(length) => {
                        if self.greeting.is_none() && length > 0 {
                            self.greeting = first_line(&self.buffer[..length]);
                        }
                        self.buffer.drain(..length);
                        self.reader = None;
                    }
                    None if self.buffer.len() >= MAX_ANSWER => return Err(UpgradeError::TooLong),
                    None if self.eof => return Err(UpgradeError::Closed),
                    None => return Ok(Step::Receive),
                }
            }
            match self.turns.pop() {
                Some(Turn { send, read }) => {
                    self.reader = Some(read);
                    if !send.is_empty() {
                        return Ok(Step::Transmit(send));
                    }
                }
                None if !self.buffer.is_empty() => {
                    return Err(UpgradeError::PlainTextBehind(self.buffer.len()));
                }
                None => return Ok(Step::Upgraded),
            }
        }
    }

    /// Takes what was read. No more than a limit and one such read is held.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Takes the end of the connection.
    pub fn receive_eof(&mut self) {
        self.eof = true;
    }

    /// The first line that the server said, where it said one; not escaped.
    pub fn greeting(&self) -> Option<&str> {
        self.greeting.as_deref()
    }
}

/// A line that a person can read, or none: some protocols speak in numbers or single letters.
fn first_line(bytes: &[u8]) -> Option<String> {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end();
    let text = std::str::from_utf8(line).ok()?;
    let words = text.len() > 1 && !text.contains(char::is_control);
    words.then(|| text.chars().take(200).collect())
}

/// Reads nothing: the turn is over once its bytes are sent.
fn nothing(_: &[u8]) -> Result<Option<usize>, UpgradeError> {
    Ok(Some(0))
}

/// The beginning of what is another protocol's.
fn other(bytes: &[u8]) -> UpgradeError {
    UpgradeError::OtherProtocol(bytes[..bytes.len().min(64)].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Talks to a server that gives `answers` in turn, each once something was sent or, for the
    /// first, when it is read; every answer is cut into pieces of `cut` bytes.
    pub(super) fn talk(
        protocol: Protocol,
        answers: &[&[u8]],
        cut: usize,
    ) -> (Vec<u8>, Result<Step, UpgradeError>) {
        let mut upgrade = Upgrade::new(protocol, "host.example");
        let bytes: Vec<u8> = answers.concat();
        let (mut sent, mut rest) = (Vec::new(), &bytes[..]);
        let mut turns = answers.iter().map(|answer| answer.len());
        let mut readable = 0;
        loop {
            match upgrade.step() {
                Ok(Step::Transmit(bytes)) => sent.extend(bytes),
                Ok(Step::Receive) => {
                    if readable == 0 {
                        readable = turns.next().unwrap_or(0);
                    }
                    let length = readable.min(cut);
                    if length == 0 {
                        upgrade.receive_eof();
                    }
                    upgrade.receive(&rest[..length]);
                    rest = &rest[length..];
                    readable -= length;
                }
                end => return (sent, end),
            }
        }
    }

    /// What each protocol's server says when all is well.
    pub(super) const WELL: [(Protocol, &[&[u8]]); 9] = [
        (Protocol::Smtp, &[b"220-mail\r\n220 ready\r\n", b"250-mail\r\n250-STARTTLS\r\n250 HELP\r\n", b"220 go\r\n"]),
        (Protocol::Imap, &[b"* OK [CAPABILITY IMAP4rev1 STARTTLS] hi\r\n", b"* X\r\na OK go\r\n"]),
        (Protocol::Pop3, &[b"+OK hi\r\n", b"+OK go\r\n"]),
        (Protocol::Ftp, &[b"220-ftp\r\nhello\r\n220 ready\r\n", b"234 go\r\n"]),
        (Protocol::Ldap, &[b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"]),
        (Protocol::Postgres, &[b"S"]),
        (Protocol::Mysql, &[b"\x2c\0\0\0\x0a8.0.1\0\x01\0\0\0abcdefgh\0\xff\xff\x2d\x02\0\xff\xc1\x15\0\0\0\0\0\0\0\0\0\0lmnopq"]),
        (
            Protocol::Xmpp,
            &[
                b"<?xml version='1.0'?><stream:stream id='1'><stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>",
                b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
            ],
        ),
        (Protocol::Http, &[b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: TLS/1.0\r\n\r\n"]),
    ];

    #[test]
    fn each_protocol_upgrades_however_its_answers_are_cut() {
        for (protocol, answers) in WELL {
            for cut in [1, 2, 3, 1000] {
                let (_, end) = talk(protocol, answers, cut);
                assert_eq!(end, Ok(Step::Upgraded), "{protocol:?} in pieces of {cut}");
            }
        }
    }

    #[test]
    fn plain_text_behind_the_go_ahead_is_no_upgrade() {
        for (protocol, answers) in WELL {
            let mut last = answers[answers.len() - 1].to_vec();
            last.extend_from_slice(b"250 injected\r\n");
            let mut answers = answers.to_vec();
            answers.pop();
            answers.push(&last);
            let (_, end) = talk(protocol, &answers, 1000);
            assert_eq!(end, Err(UpgradeError::PlainTextBehind(14)), "{protocol:?}");
        }
    }

    #[test]
    fn an_end_before_the_go_ahead_is_told_at_every_byte() {
        for (protocol, answers) in WELL {
            let whole: Vec<u8> = answers.concat();
            for length in 0..whole.len() {
                let (_, end) = talk(protocol, &[&whole[..length]], 1);
                assert_eq!(end, Err(UpgradeError::Closed), "{protocol:?} cut at {length}");
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_a_server_says_ends_and_is_bounded(
            which in 0..9_usize,
            answers in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..4),
        ) {
            let answers: Vec<&[u8]> = answers.iter().map(Vec::as_slice).collect();
            let _any = talk(Protocol::ALL[which].1, &answers, 7);
        }

        #[test]
        fn an_answer_without_end_is_given_up(which in 0..9_usize, byte in any::<u8>()) {
            let endless = vec![byte; MAX_ANSWER + 8];
            let (_, end) = talk(Protocol::ALL[which].1, &[&endless], MAX_ANSWER + 8);
            prop_assert_ne!(end, Err(UpgradeError::Closed));
        }
    }
}
