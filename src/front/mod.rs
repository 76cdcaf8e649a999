//! Where a local client says its target, and how it is answered.
//!
//! Knows the two kinds of client: one whose target is fixed by the listener it came to, and one
//! that asks by HTTP CONNECT. Refuses to know how targets are reached.

pub mod gate;
pub mod http;
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

/// How it is answered.
#[derive(Debug)]
enum Caller {
    /// There are no words for it on a bare connection.
    Bare(Stream),
    Http1(Stream),
}

impl Front {
    /// Hears what a client wants; one that may not have it has been answered.
    ///
    /// # Errors
    /// [`Denied`], for the log.
    pub async fn receive(&self, client: Stream) -> Result<Asked, Denied> {
        match self {
            Self::Fixed(target) => {
                Ok(Asked { target: target.clone(), early: Bytes::new(), caller: Caller::Bare(client) })
            }
            Self::Http(door) => door.receive(client).await,
        }
    }

    /// Tells a client that its tunnel stands; what is left is the way for its bytes.
    ///
    /// # Errors
    /// The client has gone.
    pub async fn grant(&self, asked: Asked) -> io::Result<(Stream, Bytes)> {
        let client = match asked.caller {
            Caller::Bare(client) => client,
            Caller::Http1(mut client) => {
                http::grant(&mut client).await?;
                client
            }
        };
        Ok((client, asked.early))
    }

    /// Tells a client that it gets no tunnel.
    pub async fn deny(&self, asked: Asked, status: Status) {
        match asked.caller {
            // It is closed.
            Caller::Bare(_) => {}
            Caller::Http1(mut client) => http::deny(&mut client, status, &[], "").await,
        }
    }
}
