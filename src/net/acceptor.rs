//! TLS with clients: who we are to them, and what is spoken inside.
//!
//! Knows the certificate and its key, and the protocols that are offered by ALPN. Refuses to know
//! how long a client may take, and what it wants.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::{Error, ServerConfig, ServerConnection};

use super::secured::Secured;
use super::stream::Stream;
use super::tls::provider;
use super::trust::Identity;

/// What may be chosen by ALPN, the best first. A client that offers nothing speaks HTTP/1.1.
const PROTOCOLS: &[&[u8]] = &[
    #[cfg(feature = "http2")]
    b"h2",
    b"http/1.1",
    b"http/1.0",
];

/// Takes clients over to TLS. Clones share the sessions that can be resumed.
#[derive(Clone)]
pub struct Acceptor(Arc<ServerConfig>);

impl Acceptor {
    /// Shows this identity.
    ///
    /// # Errors
    /// The key is of no kind that is known, or not that of the certificate.
    pub fn new(identity: Identity) -> Result<Self, Error> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(identity.chain, identity.key)?;
        config.alpn_protocols = PROTOCOLS.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Self(Arc::new(config)))
    }

    /// Makes the handshake. A client that it fails with has got its alert.
    ///
    /// # Errors
    /// It failed, and why.
    pub async fn accept(&self, client: Stream) -> io::Result<Secured> {
        let connection = ServerConnection::new(self.0.clone()).map_err(io::Error::other)?;
        Secured::new(client, connection).await.map_err(|failed| failed.error)
    }
}

/// A configuration has a key in it.
impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acceptor")
    }
}
