//! TLS with a target, spoken so that everything can be told about it.
//!
//! The certificate is not judged here: the handshake proves that the peer holds the key of the
//! chain it sends, and the chain is handed out whatever it is worth. Who wants to send data must
//! judge first (`mode::check` does, and sends none).

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, CommonState, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;

/// What was seen of a TLS peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// `TLSv1.3` or `TLSv1.2`; `None` where the handshake did not get so far.
    pub version: Option<String>,
    /// The cipher suite's name in the IANA registry.
    pub cipher_suite: Option<String>,
    /// The key-exchange group's name.
    pub group: Option<String>,
    /// The protocol agreed upon by ALPN.
    pub alpn: Option<String>,
    /// The certificates as sent, the peer's own first, in DER.
    pub chain: Vec<CertificateDer<'static>>,
}

/// A handshake that failed, and what was seen before it did.
#[derive(Debug)]
pub struct HandshakeFailed {
    /// Why.
    pub error: io::Error,
    /// Seen so far: the chain, if it came.
    pub seen: Seen,
    /// The first bytes that came, at most [`FIRST`].
    pub first: Vec<u8>,
}

/// How much of what a peer sends first is kept, to tell what it speaks if it is not TLS.
pub const FIRST: usize = 128;

/// The cryptography that all of wimble's TLS uses, named explicitly: a process-wide default may be
/// another library's.
pub fn provider() -> Arc<CryptoProvider> {
    #[cfg(feature = "aws-lc-rs")]
    return Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    #[cfg(not(feature = "aws-lc-rs"))]
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Speaks TLS over `stream` to `name`, offering `alpn`, and tells what was seen.
///
/// # Errors
/// [`HandshakeFailed`]; an untrusted certificate is none.
pub async fn look<S>(stream: S, name: ServerName<'static>, alpn: &[String]) -> Result<Seen, HandshakeFailed>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let provider = provider();
    let witness = Arc::new(Witness { provider: provider.clone(), chain: Mutex::default() });
    let mut stream = Overheard { stream, first: Vec::new() };
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let unusable = |error| HandshakeFailed {
        error: io::Error::other::<rustls::Error>(error),
        seen: Seen::default(),
        first: Vec::new(),
    };
    let mut config = versions
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(witness.clone())
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = match connector.connect(name, &mut stream).await {
        Ok(stream) => stream,
        Err(error) => {
            let seen = Seen { chain: witness.chain(), ..Seen::default() };
            return Err(HandshakeFailed { error, seen, first: stream.first });
        }
    };
    let (_, connection) = stream.get_ref();
    Ok(seen(connection, witness.chain()))
}

/// What a connection tells of its handshake, with the certificates that were sent.
pub(super) fn seen(connection: &CommonState, chain: Vec<CertificateDer<'static>>) -> Seen {
    let suite = connection.negotiated_cipher_suite().and_then(|s| s.suite().as_str());
    let group = connection.negotiated_key_exchange_group().and_then(|g| g.name().as_str());
    Seen {
        version: connection.protocol_version().and_then(|v| v.as_str()).map(|v| v.replacen('_', ".", 1)),
        cipher_suite: suite.map(iana_name),
        group: group.map(str::to_owned),
        alpn: connection.alpn_protocol().map(|p| String::from_utf8_lossy(p).into_owned()),
        chain,
    }
}

/// rustls spells the suites of TLS 1.3 `TLS13_…`, the registry `TLS_…`.
fn iana_name(name: &str) -> String {
    name.replacen("TLS13_", "TLS_", 1)
}

/// Keeps the first bytes that are read.
struct Overheard<S> {
    stream: S,
    first: Vec<u8>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Overheard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let new = &buf.filled()[before..];
        let wanted = FIRST.saturating_sub(self.first.len()).min(new.len());
        self.first.extend_from_slice(&new[..wanted]);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Overheard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Remembers the chain and lets it pass; the signatures of the handshake are checked.
#[derive(Debug)]
struct Witness {
    provider: Arc<CryptoProvider>,
    chain: Mutex<Vec<CertificateDer<'static>>>,
}

impl Witness {
    fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.chain.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain =
            std::iter::once(end_entity).chain(intermediates).map(|c| c.clone().into_owned()).collect();
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) = chain;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
