//! The client's side of SOCKS 4, 4a and 5 (RFC 1928, RFC 1929): a value that is fed with bytes.
//!
//! ```text
//!   5:   Greet ──► Method ──0──────────────────► Request ──► Reply ──► Open
//!                     └──2──► Authenticate ──► Status ──┘
//!   4:   Request4 ──► Reply4 ──► Open
//! ```
//!
//! Every message says how long it is, so no byte behind the reply is ever taken: those are the
//! target's. A name is always sent as a name: the proxy resolves it. Refuses to know passwords;
//! what is said to a proxy that wants one is made by `auth::username`.

use std::net::IpAddr;

use zeroize::Zeroizing;

use crate::authority::{Authority, Host};

/// Which version is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// SOCKS4, with 4a's extension for names.
    Four,
    /// SOCKS5.
    Five,
}

/// What a server says to a SOCKS5 greeting that offers nothing it takes (RFC 1928 §3).
pub const NO_METHODS: [u8; 2] = [5, 0xff];

/// What a server says to a SOCKS4 request that it does not grant.
pub const REJECTED: [u8; 8] = [0, 91, 0, 0, 0, 0, 0, 0];

/// What the driver shall do.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send these bytes.
    Transmit(Zeroizing<Vec<u8>>),
    /// Read up to so many bytes, not more, and pass them on or say that it ended.
    Receive(usize),
    /// The proxy wants a name and password: [`Client::authorize`].
    Authenticate,
    /// The tunnel stands: the next byte is the target's.
    Open,
}

/// The proxy said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// SOCKS5's reply field, RFC 1928 §6; not 0.
    Five(u8),
    /// SOCKS4's reply code; not 90.
    Four(u8),
}

/// Why there is no tunnel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SocksError {
    /// It said no, in its protocol.
    #[error("refused: {0:?}")]
    Refused(Refusal),
    /// None of the methods offered is good enough for it.
    #[error("no acceptable method")]
    Methods,
    /// It wants to know who we are, and that is not to be said.
    #[error("no login is to be sent")]
    Forbidden,
    /// It refused the name and password.
    #[error("name and password refused")]
    Login,
    /// It closed where it ought to have said what it thinks of the name and password.
    #[error("closed at the name and password")]
    LoginUnanswered,
    /// The name and password can't be said: a hash is known alone, or one has more than 255 bytes.
    #[error("the name and password cannot be said")]
    LoginUnspeakable,
    /// What it said is not SOCKS; the first bytes of it.
    #[error("not SOCKS")]
    Nonsense(Vec<u8>),
    /// The connection ended before the first byte of an answer.
    #[error("closed without an answer")]
    Closed,
    /// The connection ended inside an answer.
    #[error("closed in the middle of an answer")]
    Truncated,
    /// The target can't be said in this version: an IPv6 address in SOCKS4, a name of more than
    /// 255 bytes in SOCKS5.
    #[error("the target cannot be said")]
    Unspeakable,
}

/// RFC 1928 §3.
const NO_AUTHENTICATION: u8 = 0;
const USERNAME: u8 = 2;
const NO_METHOD: u8 = 0xff;

/// One request for a tunnel.
#[derive(Debug)]
pub struct Client {
    target: Authority,
    may_log_in: bool,
    state: State,
    /// The answer that is being received.
    answer: Vec<u8>,
    eof: bool,
    answered: bool,
}

#[derive(Debug)]
enum State {
    Greet,
    Method,
    Authenticate,
    Authorize(Zeroizing<Vec<u8>>),
    Status,
    Request,
    Reply,
    Request4 { user: String },
    Reply4,
    Done,
}

impl Client {
    /// Asks for a tunnel to `target`; `user` is the user-id that SOCKS4 sends, and `may_log_in`
    /// whether SOCKS5 offers a name and password.
    pub fn new(version: Version, target: Authority, user: &str, may_log_in: bool) -> Self {
        let state = match version {
            Version::Five => State::Greet,
            Version::Four => State::Request4 { user: user.to_owned() },
        };
        Self { target, may_log_in, state, answer: Vec::new(), eof: false, answered: false }
    }

    /// What to do next; behind `Open` and an error there is nothing more.
    ///
    /// # Errors
    /// [`SocksError`], once.
    pub fn step(&mut self) -> Result<Step, SocksError> {
        loop {
            let state = std::mem::replace(&mut self.state, State::Done);
            let (next, step) = self.transition(state)?;
            self.state = next;
            if let Some(step) = step {
                return Ok(step);
            }
        }
    }

    /// Takes what belongs to the answer of these bytes, next on the connection, and says how many
    /// those were.
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while let missing @ 1.. = self.missing() {
            let some = missing.min(bytes.len() - taken);
            if some == 0 {
                break;
            }
            self.answer.extend_from_slice(&bytes[taken..taken + some]);
            taken += some;
        }
        self.answered |= taken > 0;
        taken
    }

    /// Takes the end of the connection.
    pub fn receive_eof(&mut self) {
        self.eof = true;
    }

    /// Answers [`Step::Authenticate`] with the message of RFC 1929 §2.
    pub fn authorize(&mut self, message: Zeroizing<Vec<u8>>) {
        if let State::Authenticate = self.state {
            self.state = State::Authorize(message);
        }
    }

    fn transition(&mut self, state: State) -> Result<(State, Option<Step>), SocksError> {
        let transmit = |bytes: Vec<u8>| Some(Step::Transmit(Zeroizing::new(bytes)));
        // An answer is looked at once it is whole.
        if matches!(state, State::Method | State::Status | State::Reply | State::Reply4) {
            self.state = state;
            let missing = self.missing();
            let state = std::mem::replace(&mut self.state, State::Done);
            if missing > 0 {
                return match (self.eof, self.answered) {
                    (false, _) => Ok((state, Some(Step::Receive(missing)))),
                    (true, false) => Err(SocksError::Closed),
                    (true, true) if matches!(state, State::Status) && self.answer.is_empty() => {
                        Err(SocksError::LoginUnanswered)
                    }
                    (true, true) => Err(SocksError::Truncated),
                };
            }
            let answer = std::mem::take(&mut self.answer);
            return match judge(&state, &answer) {
                Ok(State::Authenticate) | Err(SocksError::Methods) if !self.may_log_in => {
                    Err(SocksError::Forbidden)
                }
                judged => judged.map(|next| (next, None)),
            };
        }
        Ok(match state {
            State::Greet if self.may_log_in => {
                (State::Method, transmit(vec![5, 2, NO_AUTHENTICATION, USERNAME]))
            }
            State::Greet => (State::Method, transmit(vec![5, 1, NO_AUTHENTICATION])),
            State::Authenticate => (State::Authenticate, Some(Step::Authenticate)),
            State::Authorize(message) => (State::Status, Some(Step::Transmit(message))),
            State::Request => (State::Reply, transmit(self.request()?)),
            State::Request4 { user } => (State::Reply4, transmit(self.request4(&user)?)),
            State::Method | State::Status | State::Reply | State::Reply4 | State::Done => {
                (State::Done, Some(Step::Open))
            }
        })
    }

    /// How many bytes the answer still lacks, as far as what came of it tells.
    fn missing(&self) -> usize {
        let whole = match (&self.state, self.answer.as_slice()) {
            (State::Method | State::Status, _) => 2,
            // What is wrong in the first bytes needs no more of them.
            (State::Reply, [version, ..]) if *version != 5 => 1,
            (State::Reply, [_, reply, ..]) if *reply != 0 => 2,
            (State::Reply, [_, _, _, 1, ..]) => 4 + 4 + 2,
            (State::Reply, [_, _, _, 4, ..]) => 4 + 16 + 2,
            (State::Reply, [_, _, _, 3, length, ..]) => 4 + 1 + usize::from(*length) + 2,
            (State::Reply, [_, _, _, 3]) => 5,
            (State::Reply, _) => 4,
            (State::Reply4, _) => 8,
            (_, answer) => answer.len(),
        };
        whole.saturating_sub(self.answer.len())
    }

    /// RFC 1928 §4.
    fn request(&self) -> Result<Vec<u8>, SocksError> {
        let mut request = vec![5, 1, 0];
        match self.target.host() {
            Host::Address(IpAddr::V4(address)) => {
                request.push(1);
                request.extend(address.octets());
            }
            Host::Address(IpAddr::V6(address)) => {
                request.push(4);
                request.extend(address.octets());
            }
            Host::Name(name) => {
                request.push(3);
                request.push(u8::try_from(name.len()).map_err(|_| SocksError::Unspeakable)?);
                request.extend(name.bytes());
            }
        }
        request.extend(self.target.port().to_be_bytes());
        Ok(request)
    }

    /// SOCKS4, and for a name 4a: an address 0.0.0.x that is none, and the name behind the user.
    fn request4(&self, user: &str) -> Result<Vec<u8>, SocksError> {
        let (address, name) = match self.target.host() {
            Host::Address(IpAddr::V4(address)) => (address.octets(), None),
            Host::Address(IpAddr::V6(_)) => return Err(SocksError::Unspeakable),
            Host::Name(name) => ([0, 0, 0, 1], Some(name)),
        };
        let mut request = vec![4, 1];
        request.extend(self.target.port().to_be_bytes());
        request.extend(address);
        for text in std::iter::once(user).chain(name.map(String::as_str)) {
            request.extend(text.bytes());
            request.push(0);
        }
        Ok(request)
    }
}

/// What a whole answer means.
fn judge(state: &State, answer: &[u8]) -> Result<State, SocksError> {
    let nonsense = || SocksError::Nonsense(answer.to_vec());
    match (state, answer) {
        (State::Method, [5, NO_AUTHENTICATION]) => Ok(State::Request),
        (State::Method, [5, USERNAME]) => Ok(State::Authenticate),
        (State::Method, [5, NO_METHOD]) => Err(SocksError::Methods),
        // RFC 1929 §2 says version 1; some servers answer with SOCKS's 5.
        (State::Status, [1 | 5, 0]) => Ok(State::Request),
        (State::Status, [1 | 5, _]) => Err(SocksError::Login),
        (State::Reply, [5, 0, _, 1 | 3 | 4, ..]) => Ok(State::Done),
        (State::Reply, [5, reply, ..]) if *reply != 0 => Err(SocksError::Refused(Refusal::Five(*reply))),
        // The version of the reply is 0; some servers answer with 4.
        (State::Reply4, [0 | 4, 90, ..]) => Ok(State::Done),
        (State::Reply4, [0 | 4, reply @ 91..=93, ..]) => Err(SocksError::Refused(Refusal::Four(*reply))),
        (_, _) => Err(nonsense()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Runs a client against these answers, in pieces of these sizes; what it sent, what came of it,
    /// and what was left of the answers.
    fn run(
        mut client: Client,
        answers: &[u8],
        cuts: &[usize],
    ) -> (Vec<Vec<u8>>, Result<(), SocksError>, Vec<u8>) {
        let (mut sent, mut rest, mut cuts) = (Vec::new(), answers, cuts.iter().cycle());
        let outcome = loop {
            match client.step() {
                Ok(Step::Transmit(bytes)) => sent.push(bytes.to_vec()),
                Ok(Step::Receive(most)) => {
                    assert!((1..=258).contains(&most), "{most} bytes wanted");
                    let some = most.min(rest.len()).min(*cuts.next().expect("endless"));
                    if some == 0 {
                        client.receive_eof();
                    }
                    assert_eq!(client.receive(&rest[..some]), some, "what is asked for is taken");
                    rest = &rest[some..];
                }
                Ok(Step::Authenticate) => client.authorize(Zeroizing::new(b"\x01\x01a\x01b".to_vec())),
                Ok(Step::Open) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        (sent, outcome, rest.to_vec())
    }

    fn client(version: Version, target: &str) -> Client {
        Client::new(version, target.parse().expect("a target"), "me", true)
    }

    #[test]
    fn a_name_is_sent_as_a_name_and_an_address_as_an_address() {
        let granted = b"\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50";
        for (target, request) in [
            ("host.example:22", &b"\x05\x01\x00\x03\x0chost.example\x00\x16"[..]),
            ("10.1.2.3:443", b"\x05\x01\x00\x01\x0a\x01\x02\x03\x01\xbb"),
            ("[::1]:22", b"\x05\x01\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x16"),
        ] {
            let (sent, outcome, _) = run(client(Version::Five, target), granted, &[9]);
            assert_eq!(outcome, Ok(()));
            assert_eq!(sent, [b"\x05\x02\x00\x02".to_vec(), request.to_vec()]);
        }
        let granted = b"\x00\x5a\0\0\0\0\0\0";
        let (sent, outcome, _) = run(client(Version::Four, "host.example:22"), granted, &[9]);
        assert_eq!((sent, outcome), (vec![b"\x04\x01\x00\x16\0\0\0\x01me\0host.example\0".to_vec()], Ok(())));
        let (sent, ..) = run(client(Version::Four, "10.1.2.3:22"), granted, &[9]);
        assert_eq!(sent, [b"\x04\x01\x00\x16\x0a\x01\x02\x03me\0".to_vec()]);
        let (_, outcome, _) = run(client(Version::Four, "[::1]:22"), granted, &[9]);
        assert_eq!(outcome, Err(SocksError::Unspeakable));
    }

    #[test]
    fn a_password_is_sent_when_it_is_asked_for() {
        let answers = b"\x05\x02\x01\x00\x05\x00\x00\x03\x01x\x00\x50";
        let (sent, outcome, _) = run(client(Version::Five, "host:22"), answers, &[9]);
        assert_eq!((sent[1].as_slice(), outcome), (&b"\x01\x01a\x01b"[..], Ok(())));
        let (_, outcome, _) = run(client(Version::Five, "host:22"), b"\x05\x02\x01\x01", &[9]);
        assert_eq!(outcome, Err(SocksError::Login));
    }

    #[test]
    fn where_it_closes_is_told() {
        for (answers, error) in [
            (&b""[..], SocksError::Closed),
            (b"\x05", SocksError::Truncated),
            (b"\x05\x02", SocksError::LoginUnanswered),
            (b"\x05\x02\x01", SocksError::Truncated),
            (b"\x05\x02\x01\x00", SocksError::Truncated),
            (b"\x05\x00", SocksError::Truncated),
        ] {
            let (_, outcome, _) = run(client(Version::Five, "host:22"), answers, &[9]);
            assert_eq!(outcome, Err(error), "{answers:?}");
        }
    }

    #[test]
    fn each_refusal_has_its_code() {
        for reply in 1..=9 {
            let (_, outcome, _) = run(client(Version::Five, "host:22"), &[5, 0, 5, reply], &[9]);
            assert_eq!(outcome, Err(SocksError::Refused(Refusal::Five(reply))));
        }
        let (_, outcome, _) = run(client(Version::Four, "host:22"), b"\0\x5b\0\0\0\0\0\0", &[9]);
        assert_eq!(outcome, Err(SocksError::Refused(Refusal::Four(91))));
        let (_, outcome, _) = run(client(Version::Five, "host:22"), &[5, 0xff], &[9]);
        assert_eq!(outcome, Err(SocksError::Methods));
        let (_, outcome, _) = run(client(Version::Five, "host:22"), b"HTTP/1.1 400", &[9]);
        assert_eq!(outcome, Err(SocksError::Nonsense(b"HT".to_vec())));
    }

    fn whole_answers() -> impl Strategy<Value = (Version, Vec<u8>)> {
        let bound = prop_oneof![
            Just([&[1][..], &[0; 6]].concat()),
            Just([&[4][..], &[0; 18]].concat()),
            (0..=255_u8).prop_map(|n| [&[3, n][..], &vec![b'x'; usize::from(n) + 2]].concat()),
        ];
        let method = prop_oneof![Just(&b"\x05\x00"[..]), Just(&b"\x05\x02\x01\x00"[..])];
        prop_oneof![
            (method, bound).prop_map(|(m, b)| (Version::Five, [m, b"\x05\x00\x00", &b].concat())),
            prop::array::uniform6(any::<u8>()).prop_map(|b| (Version::Four, [&[0, 90][..], &b].concat())),
        ]
    }

    proptest! {
        #[test]
        fn cut_anywhere_and_with_anything_behind_it_is_the_same_and_ends_open(
            (version, answers) in whole_answers(),
            behind in prop::collection::vec(any::<u8>(), 0..40),
            cuts in prop::collection::vec(1..9_usize, 1..9),
        ) {
            let (sent, outcome, _) = run(client(version, "host:22"), &answers, &[999]);
            prop_assert_eq!(&outcome, &Ok(()));
            let glued = [&answers[..], &behind].concat();
            prop_assert_eq!(run(client(version, "host:22"), &glued, &cuts), (sent, outcome, behind));
        }

        #[test]
        fn an_end_before_the_last_byte_never_opens((version, answers) in whole_answers(), at in any::<prop::sample::Index>()) {
            let (_, outcome, _) = run(client(version, "host:22"), &answers[..at.index(answers.len())], &[3]);
            prop_assert!(outcome.is_err());
        }

        #[test]
        fn nothing_makes_it_panic(five in any::<bool>(), answers in prop::collection::vec(any::<u8>(), 0..300)) {
            let version = if five { Version::Five } else { Version::Four };
            let _any = run(client(version, "host:22"), &answers, &[7]);
        }
    }
}
