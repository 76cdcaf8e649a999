//! What a proxy asks for, and what it is answered.
//!
//! [`challenge`] reads what the proxy offers, a file per scheme makes the answer, and the
//! [`Authenticator`] picks, answers and gives up; what it learnt of a proxy stays in a [`Memory`].
//! The server's half is the [`verifier`].
//! All of it is pure: no message, no connection, no clock. Schemes don't know each other.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod authenticator;
pub mod basic;
pub mod challenge;
pub mod digest;
mod memory;
#[cfg(feature = "negotiate")]
pub mod negotiate;
mod nonces;
#[cfg(feature = "ntlm")]
pub mod ntlm;
mod sent;
pub mod username;
pub mod verifier;

use std::fmt::{self, Write as _};
use std::time::SystemTime;

pub use authenticator::Authenticator;
pub use challenge::{Challenge, Challenges};
pub use memory::Memory;
pub use sent::Sent;

use crate::secret::Secret;

/// The value of a Proxy-Authorization field (RFC 9110 §11.4), hidden from `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials(Secret);

impl Credentials {
    /// Takes a field value: one line, made by a scheme.
    pub(crate) fn new(value: String) -> Self {
        Self(Secret::new(value))
    }

    /// The field value, for the room that writes the request.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// Whether they are of a scheme that [is bound](Scheme::is_bound) to a connection.
    pub fn are_bound(&self) -> bool {
        Scheme::ALL.iter().any(|known| known.is_bound() && known.name() == self.scheme())
    }

    /// The scheme's name: the first word, and no secret.
    pub fn scheme(&self) -> &str {
        self.expose().split(' ').next().unwrap_or_default()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A scheme that we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// RFC 4559: Kerberos; no password leaves this machine, nor anything made of it.
    #[cfg(feature = "negotiate")]
    Negotiate,
    /// RFC 7616: a hash with nonces of both sides.
    Digest,
    /// MS-NLMP: a hash too, of MD4 and MD5.
    #[cfg(feature = "ntlm")]
    Ntlm,
    /// RFC 7617: the password itself.
    Basic,
}

impl Scheme {
    /// All of them, the strongest first.
    pub const ALL: &[Self] = &[
        #[cfg(feature = "negotiate")]
        Self::Negotiate,
        Self::Digest,
        #[cfg(feature = "ntlm")]
        Self::Ntlm,
        Self::Basic,
    ];

    /// Whether its messages are bound to one connection, and so have no meaning in HTTP/2, where
    /// requests share it (RFC 4559 §6).
    pub fn is_bound(self) -> bool {
        match self {
            #[cfg(feature = "negotiate")]
            Self::Negotiate => true,
            #[cfg(feature = "ntlm")]
            Self::Ntlm => true,
            Self::Digest | Self::Basic => false,
        }
    }

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "negotiate")]
            Self::Negotiate => negotiate::SCHEME,
            Self::Digest => digest::SCHEME,
            #[cfg(feature = "ntlm")]
            Self::Ntlm => ntlm::SCHEME,
            Self::Basic => basic::SCHEME,
        }
    }
}

/// Which schemes may be used, and when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Nothing before the proxy asks; then the strongest scheme that it offers and we hold
    /// credentials for (RFC 9110 §11.4).
    #[default]
    Auto,
    /// This one alone. Basic and Negotiate go with the first request, which saves the round trip
    /// of the 407; the others answer to something.
    Only(Scheme),
    /// Never, whatever the proxy asks.
    None,
}

/// Whom credentials are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience {
    /// The request-target of the CONNECT, byte for byte (Digest's `uri`).
    pub target: String,
    /// The proxy's service as GSSAPI writes it, `HTTP@proxy.example`.
    pub service: String,
}

/// What an answer needs that nobody could foretell.
#[derive(Clone, Copy, Debug)]
pub struct Fresh {
    /// Random bytes, for one answer.
    pub nonce: [u8; 16],
    /// What time it is.
    pub time: SystemTime,
}

/// What to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These.
    Credentials(Credentials),
    /// A request without credentials; never the answer to a 407.
    Nothing,
    /// A name and password are needed: [`Authenticator::supply`] them, or give up.
    WantLogin {
        /// What the proxy calls the space it protects; from the network, not escaped.
        realm: String,
        /// How many logins were refused already.
        refused: usize,
    },
    /// A token of Negotiate is needed: [`Authenticator::supply_token`].
    #[cfg(feature = "negotiate")]
    WantToken {
        /// What the proxy says to the last one; `None`: the first of a new context.
        reply: Option<Vec<u8>>,
    },
    /// Nothing can be answered.
    GiveUp(GiveUp),
}

/// Why a 407 is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GiveUp {
    /// The 407 had no Proxy-Authenticate that could be read.
    NoChallenge,
    /// It offers no scheme that we speak, or may speak.
    NoCommonScheme,
    /// Nothing of what it offers could be used; each [`Attempt`] says why.
    Unusable,
    /// There is no name and password to answer with.
    NoLogin,
    /// It has refused what it was given.
    Refused,
    /// The scheme takes several messages on one connection, and the proxy closes it in between
    /// (Q30).
    Interrupted(Scheme),
    /// The policy is to never answer.
    Forbidden,
}

/// A scheme that was taken up in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Which one.
    pub scheme: Scheme,
    /// What came of it.
    pub outcome: Outcome,
}

/// Why a scheme was of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The proxy refused the credentials.
    Refused,
    /// The challenge can't be met: unknown algorithms, or a message that can't be read.
    Challenge,
    /// It takes a password, and its hash is all that is known.
    NtHash,
    /// There is no token.
    #[cfg(feature = "negotiate")]
    NoToken(negotiate::NoToken),
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}
