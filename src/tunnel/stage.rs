//! The rungs of the ladder, and who watches them.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::Error;
use crate::auth::Sent;
use crate::authority::Authority;
use crate::net::tls::Watch;
use crate::proto::{Refusal, ResponseHead, Version};
use crate::route::Route;

/// A stage on the way to the target, in the order they are climbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The name of the proxy (of the target, where the route is direct).
    Resolve,
    /// TCP to one of its addresses.
    Tcp,
    /// TLS with a proxy.
    ProxyTls,
    /// The CONNECT exchange.
    Connect,
    /// TLS with the target, inside the tunnel.
    Tls,
    /// A request to the target, inside the tunnel.
    Http,
}

impl Stage {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Tcp => "tcp",
            Self::ProxyTls => "proxy-tls",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Http => "http",
        }
    }
}

/// What was learnt in a stage.
#[derive(Debug)]
pub enum Facts<'a> {
    /// The addresses, in the order they are tried.
    Resolved {
        /// At least one.
        addresses: &'a [SocketAddr],
    },
    /// The address that answered.
    Connected {
        /// One of those resolved.
        address: SocketAddr,
        /// The connection with it, as it was made.
        stream: &'a TcpStream,
        /// Those that were tried in vain, with the error where there was one.
        losers: &'a [(SocketAddr, Option<io::Error>)],
    },
    /// The request is HTTP of this version.
    Speaks {
        /// Which one.
        version: Version,
    },
    /// The request goes out with credentials of this scheme.
    Authorized {
        /// Its name, as it stands in the request.
        scheme: &'a str,
    },
    /// The next request goes over a new connection: the proxy closed the one before, or takes no
    /// more there.
    Reconnected,
    /// TLS with the proxy begins.
    Securing {
        /// What is seen of it, also if it fails, and also later: session tickets come behind.
        watch: &'a Watch,
    },
    /// SOCKS: the tunnel stands.
    Granted,
    /// The 2xx.
    Answered {
        /// Its head, as it came.
        response: &'a ResponseHead,
        /// Our secrets that it may repeat, and whoever is behind the proxy too: not to be shown.
        sent: &'a Sent,
    },
    /// Another final answer, a 407 that can be answered included.
    Refused {
        /// What it says.
        refusal: &'a Refusal,
    },
    /// What came behind the last refusal.
    Content {
        /// Its beginning, without what it repeats of our secrets.
        content: &'a [u8],
    },
}

/// Watches a tunnel being opened. A stage ends when the next is entered, or the opening ends.
pub trait Observer {
    /// A stage begins, with this proxy or target. Through several proxies the stages of each come
    /// in turn.
    fn entered(&mut self, stage: Stage, with: &Authority);
    /// Something was learnt in the present stage.
    fn learnt(&mut self, facts: Facts<'_>);
    /// The ladder begins, on this way.
    fn set_out(&mut self, _: &Route) {}
    /// Nobody answered on that way: the next one is tried.
    fn gave_up(&mut self, _: Error) {}
    /// Whether a refusal's content is worth the time of reading it.
    fn wants_content(&self) -> bool {
        false
    }
    /// Whether TLS with proxies shall be watched: then no session is resumed.
    fn wants_handshakes(&self) -> bool {
        false
    }
}

/// Nobody watches.
impl Observer for () {
    fn entered(&mut self, _: Stage, _: &Authority) {}
    fn learnt(&mut self, _: Facts<'_>) {}
}
