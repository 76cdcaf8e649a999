//! Sockets and file descriptors: dialling, TLS, driving the machines, and carrying bytes.
//!
//! Refuses to know routes and modes.

pub mod bridge;
pub mod dial;
pub mod ending;
pub mod fdpass;
mod flow;
pub mod http1;
pub mod listen;
pub mod names;
pub mod relay;
mod splice;
pub mod stdio;
pub mod stream;
pub mod tls;
