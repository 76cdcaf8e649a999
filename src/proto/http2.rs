//! HTTP/2's words for what goes wrong (RFC 9113 §7). The frames are `net::http2`'s.

use std::fmt;

use super::HandshakeError;

/// An error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub u32);

impl Code {
    /// The stream was not touched; the request may be sent again (RFC 9113 §8.7).
    pub const REFUSED_STREAM: Self = Self(0x7);
    /// The connection that the tunnel is was reset (RFC 9113 §8.5).
    pub const CONNECT_ERROR: Self = Self(0xa);
    /// It wants HTTP/1.1 for this.
    pub const HTTP_1_1_REQUIRED: Self = Self(0xd);
}

const NAMES: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match usize::try_from(self.0).ok().and_then(|code| NAMES.get(code)) {
            Some(name) => f.write_str(name),
            None => write!(f, "error {:#x}", self.0),
        }
    }
}

/// A request that got no answer, or none that is one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Http2Error {
    /// The proxy chose another protocol, or none.
    #[error("the proxy does not choose h2 by ALPN")]
    NotChosen,
    /// What came first is no HTTP/2.
    #[error("what comes is not HTTP/2 ({0})")]
    NotHttp2(Code),
    /// It was HTTP/2, and then broke its rules.
    #[error("it breaks the rules of HTTP/2 ({0})")]
    Broken(Code),
    /// The stream was reset in place of an answer.
    #[error("RST_STREAM {0} in place of an answer")]
    Reset(Code),
    /// The connection takes no more requests; this one was not processed (RFC 9113 §6.8).
    #[error("GOAWAY {0}")]
    GoAway(Code),
    /// A connection may have no stream at all (RFC 9113 §6.5.2).
    #[error("the proxy lets no stream be begun (SETTINGS_MAX_CONCURRENT_STREAMS is 0)")]
    NoStreams,
    /// An answer with no place in the exchange, or none at all.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
}

impl Http2Error {
    /// Whether the proxy has not touched the request, so that it may be sent again (RFC 9113 §8.7).
    pub fn is_unprocessed(&self) -> bool {
        match self {
            Self::Reset(code) => *code == Code::REFUSED_STREAM,
            Self::GoAway(_) => true,
            Self::NotChosen | Self::NotHttp2(_) | Self::Broken(_) | Self::NoStreams | Self::Handshake(_) => {
                false
            }
        }
    }

    /// Whether the proxy asks for HTTP/1.1 (RFC 9113 §7).
    pub fn wants_http_1_1(&self) -> bool {
        match self {
            Self::Reset(code) | Self::GoAway(code) => *code == Code::HTTP_1_1_REQUIRED,
            Self::NotChosen | Self::NotHttp2(_) | Self::Broken(_) | Self::NoStreams | Self::Handshake(_) => {
                false
            }
        }
    }
}
