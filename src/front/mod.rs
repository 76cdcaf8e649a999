//! Where a local client says its target, and how it is answered.
//!
//! Knows the two kinds of client: one whose target is fixed by the listener it came to, and one
//! that asks by HTTP CONNECT, several times on a connection of HTTP/2. Refuses to know how targets
//! are reached.

pub mod gate;
pub mod http;
#[cfg(feature = "http2")]
pub mod http2;
mod pattern;

use std::io;

use bytes::Bytes;

pub use gate::Denied;
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
    Http(http::Door),
}

/// A client that has said what it wants, may have it, and waits for it.
#[derive(Debug)]
pub struct Asked {
    /// The target.
    pub target: Authority,
    /// Bytes for it that came with the wish.
    pub early: Bytes,
    caller: Caller,
}

/// What is heard of a client.
#[derive(Debug)]
pub enum Heard {
    /// It wants this.
    Asked(Asked),
    /// It has several wishes, one after the other: [`Front::next`].
    #[cfg(feature = "http2")]
    Callers(http2::Callers),
}

/// How it is answered.
#[derive(Debug)]
enum Caller {
    /// There are no words for it on a bare connection.
    Bare(Stream),
    Http1(Stream),
    #[cfg(feature = "http2")]
    Http2(Box<crate::net::http2::Asking>),
}

impl Asked {
    /// Waits until the client has no use for an answer any more; only HTTP/2 tells that.
    pub async fn gone(&mut self) -> io::Error {
        match &mut self.caller {
            Caller::Bare(_) | Caller::Http1(_) => std::future::pending().await,
            #[cfg(feature = "http2")]
            Caller::Http2(asking) => asking.gone().await,
        }
    }

    /// Tells a client that its tunnel stands; what is left is the way for its bytes.
    ///
    /// # Errors
    /// The client has gone.
    pub async fn grant(self) -> io::Result<(Stream, Bytes)> {
        let client = match self.caller {
            Caller::Bare(client) => client,
            Caller::Http1(mut client) => {
                http::grant(&mut client).await?;
                client
            }
            #[cfg(feature = "http2")]
            Caller::Http2(asking) => asking.grant()?,
        };
        Ok((client, self.early))
    }

    /// Tells a client that it gets no tunnel.
    pub async fn deny(self, status: Status) {
        match self.caller {
            // It is closed.
            Caller::Bare(_) => {}
            Caller::Http1(mut client) => http::deny(&mut client, status, &[], "").await,
            #[cfg(feature = "http2")]
            Caller::Http2(asking) => asking.refuse(status, &[]),
        }
    }
}

impl Front {
    /// Hears what a client wants; one that may not have it has been answered.
    ///
    /// # Errors
    /// [`Denied`], for the log.
    pub async fn receive(&self, client: Stream) -> Result<Heard, Denied> {
        match self {
            Self::Fixed(target) => {
                let caller = Caller::Bare(client);
                Ok(Heard::Asked(Asked { target: target.clone(), early: Bytes::new(), caller }))
            }
            Self::Http(door) => door.receive(client).await,
        }
    }

    /// Hears the next wish of a client that has several; `None`: it has no more. One that it may
    /// not have has been answered. Meanwhile all that the others carry is carried.
    ///
    /// It may be dropped and called again.
    #[cfg(feature = "http2")]
    pub async fn next(&self, callers: &mut http2::Callers) -> Option<Result<Asked, Denied>> {
        match self {
            Self::Fixed(_) => None,
            Self::Http(door) => callers.next(&door.gate).await,
        }
    }
}
