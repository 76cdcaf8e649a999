//! The exchange as HTTP/1.1 bytes: a value that is fed with what arrives and says what to do.
//!
//! ```text
//!            ┌──────────────────────────────────────────────────────────────┐
//!            ▼                                                              │
//!   SendRequest ──► ExpectHead ──1xx──► ExpectHead                          │
//!            ▲          │──2xx──────────────► Open { early }                │
//!            │          │──407──► Challenged ──authorize──► DiscardContent ─┘
//!            │          │             └──authorize, where it closes──┐  │
//!            │          │──end of a connection used before──┐        │  │ cut off
//!            └──────────┼───────────── Reconnect ◄──────────┴────────┴──┘
//!                       └──other──► Refused
//! ```
//!
//! The content of a 407 is read away only once there is an answer to it: who declines need not
//! wait for it.
//!
//! The driver's whole duty: do what [`Handshake::step`] says; feed [`Handshake::receive`] with any
//! number of bytes, or say [`Handshake::receive_eof`]. Nothing is retransmitted, so there is no
//! clock inside; deadlines are the driver's. `Debug` is safe to log.

use std::fmt;

use bytes::{Buf as _, Bytes, BytesMut};

use super::content::{self, Discard, Discarded, Excerpt, Persistence};
use super::exchange::{Exchange, ExchangeError, Refusal, Verdict};
use super::head::{self, HeadError, ResponseHead, Scan};
use super::request::{self, RequestFields};
use crate::auth::{Challenges, Credentials};
use crate::authority::Authority;

/// What the driver shall do.
#[derive(PartialEq, Eq)]
pub enum Step {
    /// Send these bytes: one request head.
    Transmit(Bytes),
    /// Read, and pass on what was read or that it ended.
    Receive,
    /// Answer the challenges by [`Handshake::authorize`], or [`Handshake::decline`]. Schemes that
    /// need several legs can go on only where the connection persists, and no [`Step::Reconnect`]
    /// comes in between.
    Authenticate {
        /// What the proxy offers.
        challenges: Challenges,
        /// Whether the next request will go over the same connection.
        connection: Persistence,
    },
    /// Close the connection and open a new one to the same proxy. The normal path with proxies
    /// that close after each refusal (RFC 9931, Q47).
    Reconnect,
    /// The tunnel stands.
    Open {
        /// The head of the 2xx.
        response: ResponseHead,
        /// Bytes of the target that came with it: the first of the tunnel.
        early: Bytes,
    },
    /// The proxy said no.
    Refused(Refusal),
}

/// Without the request, which may have credentials.
impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transmit(head) => write!(f, "Transmit({} bytes)", head.len()),
            Self::Receive => f.write_str("Receive"),
            Self::Authenticate { challenges, connection } => f
                .debug_struct("Authenticate")
                .field("challenges", challenges)
                .field("connection", connection)
                .finish(),
            Self::Reconnect => f.write_str("Reconnect"),
            Self::Open { response, early } => {
                f.debug_struct("Open").field("response", response).field("early", &early.len()).finish()
            }
            Self::Refused(refusal) => f.debug_tuple("Refused").field(refusal).finish(),
        }
    }
}

/// The proxy spoke nonsense, or nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// What came is no response head, or breaks a limit.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// A response that has no place in the exchange.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// The connection ended before the first byte of an answer (Q18).
    #[error("closed without an answer")]
    Closed,
    /// The connection ended inside a head (Q19).
    #[error("closed in the middle of an answer")]
    Truncated,
}

/// The client's side of one CONNECT.
#[derive(Debug)]
pub struct Handshake {
    exchange: Exchange,
    state: State,
    buffer: BytesMut,
    eof: bool,
    /// An earlier response came over this connection: its end now may be just that (Q22).
    used: bool,
    /// The last 407.
    challenged: Option<Refusal>,
    /// What stands behind the last refusal, for who wants to read it.
    excerpt: Option<Excerpt>,
}

#[derive(Debug)]
enum State {
    SendRequest,
    ExpectHead(Scan),
    Challenged {
        challenges: Challenges,
        connection: Persistence,
        discard: Discard,
    },
    DiscardContent(Discard),
    Reconnect,
    /// Opened, refused or failed: there is nothing more to do.
    Done,
}

impl Handshake {
    /// Asks for a tunnel to `target`; `credentials` go with the first request.
    pub fn new(target: Authority, fields: RequestFields, credentials: Option<Credentials>) -> Self {
        Self {
            exchange: Exchange::new(target, fields, credentials),
            state: State::SendRequest,
            buffer: BytesMut::new(),
            eof: false,
            used: false,
            challenged: None,
            excerpt: None,
        }
    }

    /// What to do next. Behind `Open`, `Refused` and an error there is nothing more.
    ///
    /// # Errors
    /// [`HandshakeError`], once.
    pub fn step(&mut self) -> Result<Step, HandshakeError> {
        loop {
            let state = std::mem::replace(&mut self.state, State::Done);
            match self.transition(state)? {
                Transition::Next(state) => self.state = state,
                Transition::Yield(state, step) => {
                    self.state = state;
                    return Ok(step);
                }
            }
        }
    }

    /// Takes what was read. The buffer never holds more than a limit and one such read.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// How many of these bytes, next on the connection and not read yet, are the response's: a
    /// driver that reads no more leaves the target's first bytes where they are (Q44). Not 0
    /// unless there are none.
    pub fn belonging(&self, next: &[u8]) -> usize {
        match &self.state {
            State::ExpectHead(scan) => {
                let held = self.buffer.len();
                let end = if held == 0 {
                    scan.clone().end(next)
                } else {
                    scan.clone().end(&[&self.buffer, next].concat())
                };
                end.map_or(next.len(), |end| end - held)
            }
            // The proxy speaks next when it was asked again: nothing stands behind this content.
            State::DiscardContent(_)
            | State::SendRequest
            | State::Challenged { .. }
            | State::Reconnect
            | State::Done => next.len(),
        }
    }

    /// Whether what comes next is content that nobody wants.
    pub fn discards(&self) -> bool {
        matches!(self.state, State::DiscardContent(_))
    }

    /// Takes the end of the connection, orderly or by reset.
    pub fn receive_eof(&mut self) {
        self.eof = true;
    }

    /// Answers [`Step::Authenticate`].
    pub fn authorize(&mut self, credentials: Credentials) {
        self.exchange.authorize(credentials);
        self.state = match std::mem::replace(&mut self.state, State::Done) {
            State::Challenged { connection: Persistence::Persists, discard, .. } => {
                State::DiscardContent(discard)
            }
            State::Challenged { connection: Persistence::Closes, .. } => State::Reconnect,
            state @ (State::SendRequest
            | State::ExpectHead(_)
            | State::DiscardContent(_)
            | State::Reconnect
            | State::Done) => state,
        };
    }

    /// Gives up: the last 407, if there was one.
    pub fn decline(&mut self) -> Option<Refusal> {
        self.state = State::Done;
        self.challenged.take()
    }

    /// In the middle of a head that has to come in time: why it is none, if what came cannot begin
    /// one.
    pub fn overdue(&self) -> Option<HandshakeError> {
        let begins = self.buffer.iter().zip(b"HTTP/").all(|(came, wanted)| came == wanted);
        (!begins && matches!(self.state, State::ExpectHead(_)))
            .then(|| self.masked(head::not_http(&self.buffer)).into())
    }

    /// The last 407.
    pub fn challenge(&self) -> Option<&Refusal> {
        self.challenged.as_ref()
    }

    /// Behind a refusal, once: what shall be fed with the rest of the connection to have the
    /// beginning of its content.
    pub fn excerpt(&mut self) -> Option<Excerpt> {
        let mut excerpt = self.excerpt.take()?;
        excerpt.receive(&self.buffer);
        Some(excerpt)
    }

    /// The exchange that it is.
    pub fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// Bytes held at present.
    #[cfg(test)]
    pub(super) fn buffered(&self) -> usize {
        self.buffer.len()
    }

    fn transition(&mut self, state: State) -> Result<Transition, HandshakeError> {
        match state {
            State::SendRequest => {
                let request = self.exchange.request()?;
                request::log(&request);
                Ok(Transition::Yield(State::ExpectHead(Scan::default()), Step::Transmit(request)))
            }
            State::ExpectHead(scan) => self.expect_head(scan),
            State::Challenged { challenges, connection, discard } => {
                let state = State::Challenged { challenges: challenges.clone(), connection, discard };
                Ok(Transition::Yield(state, Step::Authenticate { challenges, connection }))
            }
            State::DiscardContent(mut discard) => Ok(match discard.receive(&mut self.buffer) {
                Discarded::More if !self.eof => {
                    Transition::Yield(State::DiscardContent(discard), Step::Receive)
                }
                Discarded::End => Transition::Next(State::SendRequest),
                Discarded::More | Discarded::GaveUp => Transition::Next(State::Reconnect),
            }),
            State::Reconnect => {
                self.buffer.clear();
                self.eof = false;
                self.used = false;
                Ok(Transition::Yield(State::SendRequest, Step::Reconnect))
            }
            State::Done => Err(HandshakeError::Closed),
        }
    }

    /// The error without our secrets, which the line that it quotes may repeat.
    fn masked(&self, error: HeadError) -> HeadError {
        match error {
            HeadError::StatusLine(line) => {
                HeadError::StatusLine(self.exchange.sent().mask_bytes(&line).into())
            }
            HeadError::Field(line) => HeadError::Field(self.exchange.sent().mask_bytes(&line).into()),
            HeadError::TlsRecord | HeadError::TooLarge | HeadError::TooManyLines => error,
        }
    }

    fn expect_head(&mut self, mut scan: Scan) -> Result<Transition, HandshakeError> {
        // RFC 9112 §9.2: empty lines may be left over behind an earlier response.
        let blank = |b: &&u8| matches!(b, b'\r' | b'\n');
        if self.used && scan.is_new() {
            self.buffer.advance(self.buffer.iter().take_while(blank).count());
        }
        let decoded = head::decode(&self.buffer, &mut scan).map_err(|error| self.masked(error))?;
        let Some((head, length)) = decoded else {
            return match (self.eof, self.buffer.is_empty()) {
                (false, _) => Ok(Transition::Yield(State::ExpectHead(scan), Step::Receive)),
                // Q20, Q22: it was closed behind an earlier response; that is no answer to this
                // request, which RFC 9110 §9.2.2 lets be repeated as nothing has been done for it.
                (true, true) if self.used => Ok(Transition::Next(State::Reconnect)),
                (true, true) => Err(HandshakeError::Closed),
                (true, false) if self.buffer.starts_with(b"HTTP/") => Err(HandshakeError::Truncated),
                (true, false) => Err(self.masked(head::not_http(&self.buffer)).into()),
            };
        };
        let _head = self.buffer.split_to(length);
        self.exchange.log(&head, if head.http_1_0 { "1.0" } else { "1.1" });
        match self.exchange.response(&head)? {
            Verdict::Interim => Ok(Transition::Next(State::ExpectHead(Scan::default()))),
            Verdict::Open => {
                let early = std::mem::take(&mut self.buffer).freeze();
                Ok(Transition::Yield(State::Done, Step::Open { response: head, early }))
            }
            Verdict::Refused(refusal) => {
                self.excerpt = Some(Excerpt::of(&head));
                Ok(Transition::Yield(State::Done, Step::Refused(refusal)))
            }
            Verdict::Challenged(challenges) => {
                self.excerpt = Some(Excerpt::of(&head));
                self.used = true;
                self.challenged = Some(self.exchange.refusal(&head));
                let (connection, discard) = content::plan(&head);
                Ok(Transition::Next(State::Challenged { challenges, connection, discard }))
            }
        }
    }
}

/// Where a transition leads, and whether the driver hears of it.
enum Transition {
    Next(State),
    Yield(State, Step),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_not_in_its_debug() {
        let head = Step::Transmit(Bytes::from_static(b"Proxy-Authorization: Basic c2VjcmV0\r\n"));
        assert_eq!(format!("{head:?}"), "Transmit(37 bytes)");
    }
}
