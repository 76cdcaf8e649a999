//! HTTP/2 (RFC 9113): tunnels as streams that share a connection.
//!
//! A [`Tunnelled`] makes a stream of either side a channel, which the relay carries as it carries
//! TLS; a [`Connection`] is what the streams of one connection know of it; [`client`] asks for
//! tunnels, a [`Server`] is asked. Frames, header compression and the accounting of windows are the h2 crate's.

pub mod client;
mod connection;
mod frames;
mod server;
mod stream;
mod wire;

pub use connection::{Connection, Lease};
pub use server::{Asking, Server};
pub use stream::Tunnelled;

use std::time::Duration;

use crate::proto::http2::Code;

impl From<h2::Reason> for Code {
    fn from(reason: h2::Reason) -> Self {
        Self(reason.into())
    }
}

/// Streams of one connection at a time: the least that a peer should allow (RFC 9113 §6.5.2), and
/// what nghttpx does.
pub const MAX_STREAMS: usize = 100;

/// How much one tunnel may have on the way, or here and not taken yet. On a path of 25 ms it takes
/// 168 MB/s to fill. A reader that stops holds that much memory, and no more: what a kernel would
/// hold for a socket of its own (`tcp_rmem`).
pub const STREAM_WINDOW: u32 = 4 * 1024 * 1024;

/// How much all tunnels of one connection may: all that they may each. So a few that are not read
/// never keep the others waiting, and what is not read bounds the memory by the number of tunnels.
pub const CONNECTION_WINDOW: u32 = MAX_STREAMS as u32 * STREAM_WINDOW;

/// What the bookkeeping of small DATA frames may take, as h2 counts it: 256 bytes each. A window
/// bounds bytes alone: filled byte by byte, that of one tunnel would take a gigabyte.
pub const FRAMES: usize = 16 * 1024 * 1024;

/// How many streams that we have reset are remembered, and for how long. What the peer has sent
/// meanwhile is passed over (RFC 9113 §5.1); for a stream that is forgotten h2 calls it a fault, and
/// ends a connection of many faults with all its tunnels.
const MAX_RESET: usize = 4096;
const RESET_MEMORY: Duration = Duration::from_secs(30);

/// What one tunnel may have waiting for the connection to take it. Together with what the kernel
/// buffers it is a good deal more than a path holds between two turns of the connection's task.
pub const SEND_BUFFER: usize = 256 * 1024;
