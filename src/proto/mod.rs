//! CONNECT as values that are fed with bytes: no socket, clock, task, password or environment.
//!
//! [`exchange`] holds the decisions, as messages of any HTTP version; [`handshake`] is the same as
//! HTTP/1.1 bytes; [`accept`] is the server half; [`proxy_status`] is what a refusal says of itself. What is left over behind a head belongs to the
//! caller, byte for byte.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod accept;
pub mod content;
pub mod exchange;
pub mod handshake;
pub mod head;
pub mod http2;
pub mod limits;
pub mod proxy_status;
pub mod request;
pub mod socks;

#[cfg(test)]
mod properties;

pub use accept::{Accept, AcceptError, ConnectRequest, Opening};
pub use exchange::{Exchange, Refusal};
pub use handshake::{Handshake, HandshakeError, Step};
pub use head::{ResponseHead, Status};
pub use request::{Field, FieldError, RequestFields, Version};
