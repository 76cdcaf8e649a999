//! Where a local client says its target, and how it is answered.
//!
//! Knows the two kinds of client: one whose target is fixed by the listener it came to, and one
//! that asks by HTTP CONNECT. Refuses to know how targets are reached.

pub mod http;
mod pattern;

use bytes::Bytes;

pub use pattern::{Pattern, PatternError};

use crate::authority::Authority;
use crate::net::stream::Stream;
use crate::proto::Status;

/// How the clients of one listener say what they want.
#[derive(Debug)]
pub enum Front {
    /// They all want this.
    Fixed(Authority),
    /// They ask by CONNECT.
    Http(http::Gate),
}

/// What a client wants.
#[derive(Debug, PartialEq, Eq)]
pub struct Wish {
    /// The target.
    pub target: Authority,
    /// Bytes for it that came with the wish.
    pub early: Bytes,
}

impl Front {
    /// Hears what a client wants; one that may not have it has been answered.
    ///
    /// # Errors
    /// [`http::Denied`], for the log.
    pub async fn hear(&self, client: &mut Stream) -> Result<Wish, http::Denied> {
        match self {
            Self::Fixed(target) => Ok(Wish { target: target.clone(), early: Bytes::new() }),
            Self::Http(gate) => gate.hear(client).await,
        }
    }

    /// Tells a client that its tunnel stands.
    ///
    /// # Errors
    /// The client has gone.
    pub async fn grant(&self, client: &mut Stream) -> std::io::Result<()> {
        match self {
            Self::Fixed(_) => Ok(()),
            Self::Http(_) => http::grant(client).await,
        }
    }

    /// Tells a client that it gets no tunnel.
    pub async fn deny(&self, client: &mut Stream, status: Status) {
        match self {
            // There are no words for it on a bare connection: it is closed.
            Self::Fixed(_) => {}
            Self::Http(_) => http::deny(client, status).await,
        }
    }
}
