//! Why a tunnel could not be opened: the stage, the peer, the cause. The sentences are
//! `cli::report`'s.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::Stage;
use crate::auth::{Attempt, GiveUp};
use crate::authority::Authority;
use crate::proto::http2::Http2Error;
use crate::proto::socks::SocksError;
use crate::proto::{HandshakeError, Refusal};

/// Whom the failing stage was with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The proxy.
    Proxy(Authority),
    /// The target itself: the route is direct.
    Target(Authority),
}

impl Peer {
    /// Where it is.
    pub fn place(&self) -> &Authority {
        match self {
            Self::Proxy(place) | Self::Target(place) => place,
        }
    }
}

/// A tunnel could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("{} with {}: {cause}", stage.name(), peer.place())]
pub struct Error {
    /// In which stage.
    pub stage: Stage,
    /// With whom.
    pub peer: Peer,
    /// Which proxy it ought to have led to, where that is what it was asked for: the next one of a
    /// chain. `None`: the target.
    pub toward: Option<Box<Authority>>,
    /// Why.
    pub cause: Cause,
}

impl Error {
    pub(super) fn new(stage: Stage, peer: Peer, cause: Cause) -> Self {
        Self { stage, peer, toward: None, cause }
    }

    /// Whether a login is missing or was refused: another attempt may lock an account, or ask a
    /// person again.
    pub fn is_about_login(&self) -> bool {
        matches!(
            self.cause,
            Cause::Unauthenticated { .. }
                | Cause::LookUp(_)
                | Cause::NoSocksLogin
                | Cause::Socks(
                    SocksError::Login | SocksError::LoginUnanswered | SocksError::LoginUnspeakable
                )
        )
    }
}

/// Why a stage failed.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The name has no address.
    #[error("no address")]
    Resolve(#[source] io::Error),
    /// It has addresses, and none of them may be dialled.
    #[error("none of its addresses is permitted")]
    Denied,
    /// No address could be connected to; each that was tried.
    #[error("no address answers")]
    Unreachable(Vec<(SocketAddr, io::Error)>),
    /// It took longer than this.
    #[error("took longer than {0:?}")]
    Timeout(Duration),
    /// HTTP/2: the connections that there are had no room for one tunnel more within this time.
    #[error("no room within {0:?}")]
    NoRoom(Duration),
    /// TLS with the proxy failed.
    #[error("no TLS")]
    Tls {
        /// Why.
        #[source]
        error: io::Error,
        /// The first bytes that came from it.
        first: Vec<u8>,
    },
    /// SOCKS: the proxy said no, or spoke nonsense.
    #[error("no SOCKS tunnel")]
    Socks(#[source] SocksError),
    /// SOCKS: the proxy wants a name and password and there is none.
    #[error("a name and password are wanted")]
    NoSocksLogin,
    /// The proxy closed before it answered.
    #[error("closed without an answer")]
    Closed,
    /// The connection broke before there was an answer.
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    /// What the proxy said is not an answer.
    #[error("not an answer")]
    Nonsense(#[source] HandshakeError),
    /// HTTP/2: there is no answer, or nothing that is HTTP/2.
    #[error("no answer over HTTP/2")]
    Http2(#[source] Http2Error),
    /// The proxy said no.
    #[error("refused with {}", .0.status)]
    Refused(Box<Refusal>),
    /// The login that should be sent could not be had.
    #[error("no login")]
    LookUp(#[source] LookUpError),
    /// The proxy wants credentials, and this is why it does not get them (407).
    #[error("not authenticated")]
    Unauthenticated {
        /// Why there is no answer to its challenges.
        why: GiveUp,
        /// The schemes that were taken up in vain.
        attempts: Vec<Attempt>,
        /// Its 407.
        refusal: Box<Refusal>,
    },
    /// The proxy let us in with a token that is not from the one that the ticket is for.
    #[error("not the proxy that the ticket is for")]
    Impostor,
    /// The system refused something that is needed.
    #[error("the system refused")]
    System(#[source] io::Error),
}

/// Why a login could not be had from where it is kept. The words are those of whoever looked; they
/// never quote a secret.
#[derive(Debug, thiserror::Error)]
pub enum LookUpError {
    /// It took too long.
    #[error(transparent)]
    Late(Box<dyn std::error::Error + Send + Sync>),
    /// It failed otherwise.
    #[error(transparent)]
    Failed(Box<dyn std::error::Error + Send + Sync>),
}
