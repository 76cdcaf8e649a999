//! Sockets and file descriptors: dialling, TLS, driving the machines, and carrying bytes; and the
//! system's GSSAPI.
//!
//! Refuses to know routes and modes.

pub mod acceptor;
pub mod blocking;
pub mod bridge;
pub mod channel;
pub mod dial;
pub mod ending;
pub mod fdpass;
#[cfg(feature = "pac")]
pub mod fetch;
mod flow;
#[cfg(feature = "negotiate")]
pub mod gss;
pub mod http1;
#[cfg(feature = "http2")]
pub mod http2;
pub mod listen;
pub mod names;
pub mod probe;
pub mod relay;
pub mod secured;
pub mod socks;
mod splice;
pub mod standard;
pub mod starttls;
pub mod stdio;
pub mod store;
pub mod stream;
pub mod tcp_info;
pub mod tls;
pub mod trust;
