//! The content of a refusal: how long it is, and reading it away so that the connection can be
//! used again.
//!
//! Knows the framing of RFC 9112 §6–7 and persistence (§9.3). Keeps none of it but the beginning
//! that an [`Excerpt`] is for.

use bytes::{Buf as _, BytesMut};

use super::head::ResponseHead;
use super::limits::{MAX_DISCARD, MAX_EXCERPT};

/// Whether a connection can carry another request (RFC 9112 §9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// It stays open behind this response.
    Persists,
    /// It is closed by either side behind this response.
    Closes,
}

/// How the end of a content is known (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

/// What to do about the content behind a 407.
pub(super) fn plan(head: &ResponseHead) -> (Persistence, Discard) {
    let framing = framing(head);
    let told_to_close = head.lists("Connection", "close") || head.lists("Proxy-Connection", "close");
    let kept_alive = head.lists("Connection", "keep-alive") || head.lists("Proxy-Connection", "keep-alive");
    // RFC 9112 §6.3: both framings at once is an attack or an error; close after this response.
    let ambiguous = head.has("Transfer-Encoding") && head.has("Content-Length");
    let too_long = matches!(framing, Framing::Length(length) if length > MAX_DISCARD);
    let closes = told_to_close
        || (head.http_1_0 && !kept_alive)
        || framing == Framing::UntilClose
        || ambiguous
        || too_long;
    let state = match framing {
        // Where the connection ends anyway, its content is not waited for (Q23).
        _ if closes => State::End,
        Framing::Length(length) => State::Data { left: length, then: After::End },
        Framing::Chunked => State::Size,
        Framing::UntilClose => State::End,
    };
    let persistence = if closes { Persistence::Closes } else { Persistence::Persists };
    (persistence, Discard { state, taken: 0, kept: Vec::new(), keep: 0 })
}

/// The beginning of a content, without its framing.
#[derive(Debug)]
pub struct Excerpt {
    discard: Discard,
    buffer: BytesMut,
}

impl Excerpt {
    /// Of the content behind this head.
    pub(super) fn of(head: &ResponseHead) -> Self {
        let state = match framing(head) {
            Framing::Length(length) => State::Data { left: length, then: After::End },
            Framing::Chunked => State::Size,
            Framing::UntilClose => return Self::of_stream(),
        };
        Self::new(state)
    }

    /// Of a content that its stream delimits, as in HTTP/2.
    pub fn of_stream() -> Self {
        Self::new(State::Data { left: u64::MAX, then: After::End })
    }

    fn new(state: State) -> Self {
        let discard = Discard { state, taken: 0, kept: Vec::new(), keep: MAX_EXCERPT };
        Self { discard, buffer: BytesMut::new() }
    }

    /// Takes what was read; whether that is enough.
    pub fn receive(&mut self, bytes: &[u8]) -> bool {
        self.buffer.extend_from_slice(bytes);
        self.discard.receive(&mut self.buffer) != Discarded::More || self.discard.kept.len() >= MAX_EXCERPT
    }

    /// At most [`MAX_EXCERPT`] bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.discard.kept
    }
}

fn framing(head: &ResponseHead) -> Framing {
    if head.has("Transfer-Encoding") {
        // RFC 9112 §6.1: in an HTTP/1.0 message it is faulty framing. §6.3: where chunked is not
        // the final coding, the close ends the content.
        let last = head.values("Transfer-Encoding").last().and_then(|v| v.rsplit(',').next());
        let chunked = last.is_some_and(|coding| coding.trim().eq_ignore_ascii_case("chunked"));
        return if chunked && !head.http_1_0 { Framing::Chunked } else { Framing::UntilClose };
    }
    let mut lengths = head.values("Content-Length").flat_map(|v| v.split(',')).map(str::trim);
    let Some(first) = lengths.next() else {
        return Framing::UntilClose;
    };
    // RFC 9110 §8.6: repeated equal values count once, differing ones are an error.
    let digits = !first.is_empty() && first.bytes().all(|b| b.is_ascii_digit());
    match first.parse() {
        Ok(length) if digits && lengths.all(|other| other == first) => Framing::Length(length),
        _ => Framing::UntilClose,
    }
}

/// A content being read away.
#[derive(Debug)]
pub(super) struct Discard {
    state: State,
    taken: u64,
    /// The first bytes of the content, no more than `keep`.
    kept: Vec<u8>,
    keep: usize,
}

/// How far it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Discarded {
    /// More bytes are needed.
    More,
    /// The content has ended; what is left in the buffer is behind it.
    End,
    /// Malformed or longer than [`MAX_DISCARD`]: only a new connection helps.
    GaveUp,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Size,
    Data { left: u64, then: After },
    Trailer,
    End,
}

/// What stands behind a run of data.
#[derive(Clone, Copy, Debug)]
enum After {
    End,
    ChunkEnd,
}

impl Discard {
    /// Eats from the front of `buffer`.
    pub(super) fn receive(&mut self, buffer: &mut BytesMut) -> Discarded {
        loop {
            match self.state {
                State::End => return Discarded::End,
                State::Data { left: 0, then: After::End } => self.state = State::End,
                State::Data { left: 0, then: After::ChunkEnd } => match self.line(buffer) {
                    Line::Whole(line) if line.is_empty() => self.state = State::Size,
                    Line::Partial => return Discarded::More,
                    Line::Whole(_) | Line::TooLong => return Discarded::GaveUp,
                },
                State::Data { left, then } => {
                    let some = left.min(buffer.len() as u64);
                    if some == 0 {
                        // Too much was announced, and nothing of it is wanted any more.
                        let too_much = self.taken.saturating_add(left) > MAX_DISCARD;
                        let wanted = self.kept.len() < self.keep;
                        return if too_much && !wanted { Discarded::GaveUp } else { Discarded::More };
                    }
                    let wanted = (self.keep - self.kept.len()).min(some as usize);
                    self.kept.extend_from_slice(&buffer[..wanted]);
                    buffer.advance(some as usize);
                    self.taken += some;
                    if self.taken > MAX_DISCARD {
                        return Discarded::GaveUp;
                    }
                    self.state = State::Data { left: left - some, then };
                }
                State::Size => match self.line(buffer) {
                    Line::Whole(line) => match chunk_size(&line) {
                        Some(0) => self.state = State::Trailer,
                        Some(left) => self.state = State::Data { left, then: After::ChunkEnd },
                        None => return Discarded::GaveUp,
                    },
                    Line::Partial => return Discarded::More,
                    Line::TooLong => return Discarded::GaveUp,
                },
                State::Trailer => match self.line(buffer) {
                    Line::Whole(line) if line.is_empty() => self.state = State::End,
                    Line::Whole(_) => {}
                    Line::Partial => return Discarded::More,
                    Line::TooLong => return Discarded::GaveUp,
                },
            }
        }
    }

    fn line(&mut self, buffer: &mut BytesMut) -> Line {
        let Some(feed) = buffer.iter().position(|b| *b == b'\n') else {
            return if buffer.len() > MAX_LINE { Line::TooLong } else { Line::Partial };
        };
        self.taken += feed as u64 + 1;
        if feed > MAX_LINE || self.taken > MAX_DISCARD {
            return Line::TooLong;
        }
        let mut line = buffer.split_to(feed + 1);
        line.truncate(feed);
        if line.last() == Some(&b'\r') {
            line.truncate(feed - 1);
        }
        Line::Whole(line)
    }
}

/// A chunk-size line with extensions, or a trailer.
const MAX_LINE: usize = 8 * 1024;

enum Line {
    Whole(BytesMut),
    Partial,
    TooLong,
}

/// RFC 9112 §7.1: hexadecimal, extensions behind a semicolon are passed over.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let size = line.split(|b| *b == b';').next()?.trim_ascii();
    if size.is_empty() || !size.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::head::{Scan, decode};

    /// Reads a whole response away: whether the connection persists, and what is left of it.
    fn away(response: &[u8]) -> (Persistence, Discarded, Vec<u8>) {
        let (head, length) = decode(response, &mut Scan::default()).expect("a head").expect("whole");
        let (persistence, mut discard) = plan(&head);
        let mut rest = BytesMut::from(&response[length..]);
        let outcome = discard.receive(&mut rest);
        (persistence, outcome, rest.to_vec())
    }

    #[test]
    fn a_content_length_is_read_away_to_the_byte() {
        let all = away(b"HTTP/1.1 407 no\r\nContent-Length: 5, 5\r\n\r\nhelloREST");
        assert_eq!(all, (Persistence::Persists, Discarded::End, b"REST".to_vec()));
        assert_eq!(away(b"HTTP/1.1 407 no\r\nContent-Length: 5\r\n\r\nhel").1, Discarded::More);
    }

    #[test]
    fn q24_a_chunked_content_with_trailers_is_read_away() {
        let response = b"HTTP/1.1 407 no\r\nTransfer-Encoding: gzip, chunked\r\n\r\n\
            5;ext=\"x\"\r\nhello\r\nA\n0123456789\n0\r\nTrailer: x\r\n\r\nREST";
        assert_eq!(away(response), (Persistence::Persists, Discarded::End, b"REST".to_vec()));
    }

    #[test]
    fn r13_of_codings_on_several_lines_the_last_one_frames() {
        let response = b"HTTP/1.1 407 no\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n\
            5\r\nhello\r\n0\r\n\r\nREST";
        assert_eq!(away(response), (Persistence::Persists, Discarded::End, b"REST".to_vec()));
    }

    #[test]
    fn an_excerpt_is_the_content_without_its_framing_however_it_is_cut() {
        for (fields, body) in [
            ("Content-Length: 5\r\n", "helloREST"),
            ("Transfer-Encoding: chunked\r\n", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\nREST"),
            ("", "hello"),
        ] {
            let head = format!("HTTP/1.1 403 no\r\n{fields}\r\n");
            let (head, _) = decode(head.as_bytes(), &mut Scan::default()).expect("a head").expect("whole");
            let mut excerpt = Excerpt::of(&head);
            let enough = body.bytes().any(|byte| excerpt.receive(&[byte]));
            assert_eq!(enough, !fields.is_empty(), "{fields:?}: the end is known");
            assert_eq!(excerpt.into_bytes(), b"hello", "{fields:?}");
        }
        let (head, _) =
            decode(b"HTTP/1.1 403 no\r\n\r\n", &mut Scan::default()).expect("a head").expect("whole");
        let mut endless = Excerpt::of(&head);
        while !endless.receive(&[b'x'; 1000]) {}
        assert_eq!(endless.into_bytes().len(), MAX_EXCERPT);
    }

    #[test]
    fn a_broken_chunk_gives_up_the_connection() {
        for body in ["zz\r\n", "5\r\nhelloX\r\n", "\r\n", "-1\r\n", "+5\r\nhello\r\n"] {
            let response = format!("HTTP/1.1 407 no\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
            assert_eq!(away(response.as_bytes()).1, Discarded::GaveUp, "{body:?}");
        }
        let long =
            format!("HTTP/1.1 407 no\r\nTransfer-Encoding: chunked\r\n\r\n{}", "0".repeat(MAX_LINE + 1));
        assert_eq!(away(long.as_bytes()).1, Discarded::GaveUp);
    }

    #[test]
    fn q21_q23_q25_r13_r14_r15_where_the_connection_closes_nothing_is_waited_for() {
        for fields in [
            "Connection: close\r\nContent-Length: 5",
            "Connection: x, Close\r\nContent-Length: 5",
            "Proxy-Connection: close\r\nContent-Length: 5",
            "X: no length",
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked, gzip",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip",
            "Content-Length: 5\r\nContent-Length: 6",
            "Content-Length: +5",
            "Content-Length: 99999999999",
            "Content-Length: 99999999999999999999999999",
        ] {
            let response = format!("HTTP/1.1 407 no\r\n{fields}\r\n\r\n");
            let (persistence, outcome, _) = away(response.as_bytes());
            assert_eq!((persistence, outcome), (Persistence::Closes, Discarded::End), "{fields}");
        }
    }

    #[test]
    fn r14_r15_http_1_0_persists_only_when_it_says_so() {
        let one = |fields: &str| away(format!("HTTP/1.0 407 no\r\n{fields}\r\n\r\n").as_bytes()).0;
        assert_eq!(one("Content-Length: 0"), Persistence::Closes);
        assert_eq!(one("Content-Length: 0\r\nProxy-Connection: Keep-Alive"), Persistence::Persists);
        assert_eq!(one("Content-Length: 0\r\nConnection: Keep-Alive"), Persistence::Persists);
        assert_eq!(one("Transfer-Encoding: chunked\r\nConnection: keep-alive"), Persistence::Closes);
    }

    #[test]
    fn q24_an_endless_content_is_bounded_its_framing_included() {
        for (begin, more) in [
            ("ffffffff\r\n", "x"),
            // Short chunks, which are framing for the most part, and trailers, which are nothing else.
            ("", "1;an=extension\r\nx\r\n"),
            ("0\r\n", "Trailer: x\r\n"),
        ] {
            let (head, _) =
                decode(b"HTTP/1.1 407 no\r\nTransfer-Encoding: chunked\r\n\r\n", &mut Scan::default())
                    .expect("a head")
                    .expect("whole");
            let (_, mut discard) = plan(&head);
            let mut buffer = BytesMut::from(begin);
            let (more, mut sent) = (more.repeat(1000), 0);
            while discard.receive(&mut buffer) == Discarded::More {
                buffer.extend_from_slice(more.as_bytes());
                sent += more.len() as u64;
                assert!(sent <= MAX_DISCARD + more.len() as u64, "{begin:?}: not bounded");
            }
        }
    }
}
