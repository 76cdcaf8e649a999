//! TLS with a target, spoken so that everything can be told about it.
//!
//! The certificate is not judged here: the handshake proves that the peer holds the key of the
//! chain it sends, and the chain is handed out whatever it is worth. Who wants to send data must
//! judge first (`mode::check` does, and sends none).

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ClientSessionStore, ResolvesClientCert, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    AlertDescription, ClientConfig, CommonState, DigitallySignedStruct, NamedGroup, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::stream::Prefixed;

/// What was seen of a TLS peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The name that was sent (RFC 6066 §3); `None` for an address, which is not.
    pub sni: Option<String>,
    /// `TLSv1.3` or `TLSv1.2`; `None` where the handshake did not get so far.
    pub version: Option<String>,
    /// The cipher suite's name in the IANA registry.
    pub cipher_suite: Option<String>,
    /// The key-exchange group's name.
    pub group: Option<String>,
    /// The scheme by which the peer signed the handshake, as the IANA registry names it.
    pub signature: Option<String>,
    /// The protocol agreed upon by ALPN.
    pub alpn: Option<String>,
    /// How many bytes of OCSP response were stapled (RFC 6066 §8); `None`: it was not.
    pub ocsp_staple: Option<usize>,
    /// Whether the session can be resumed: a ticket or a session-id came.
    pub resumable: bool,
    /// Whether the peer asked for a certificate of ours.
    pub wants_certificate: bool,
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
pub const FIRST: usize = 2048;

/// A handshake that was made.
#[derive(Debug)]
pub struct Looked<S> {
    stream: TlsStream<Overheard<S>>,
    witness: Arc<Witness>,
    early: BytesMut,
}

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
pub async fn look<S>(
    stream: S,
    name: ServerName<'static>,
    alpn: &[String],
) -> Result<Looked<S>, HandshakeFailed>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let provider = provider();
    let witness = Arc::new(Witness { provider: provider.clone(), seen: Mutex::default() });
    if let ServerName::DnsName(name) = &name {
        witness.saw(|seen| seen.sni = Some(name.as_ref().to_owned()));
    }
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
        .with_client_cert_resolver(witness.clone());
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config.resumption = Resumption::store(witness.clone());
    let connector = TlsConnector::from(Arc::new(config));
    let overheard = Overheard { stream, first: Vec::new(), broken: None };
    match connector.connect(name, overheard).into_fallible().await {
        Ok(stream) => Ok(Looked { stream, witness, early: BytesMut::new() }),
        Err((error, overheard)) => {
            Err(HandshakeFailed { error, seen: witness.seen(), first: overheard.first })
        }
    }
}

/// What a connection tells of its handshake, beside what a witness has seen.
pub(super) fn seen(connection: &CommonState, witnessed: Seen) -> Seen {
    let suite = connection.negotiated_cipher_suite().and_then(|s| s.suite().as_str());
    let group = connection.negotiated_key_exchange_group().and_then(|g| g.name().as_str());
    Seen {
        version: connection.protocol_version().and_then(|v| v.as_str()).map(|v| v.replacen('_', ".", 1)),
        cipher_suite: suite.map(iana_name),
        group: group.map(str::to_owned),
        alpn: connection.alpn_protocol().map(|p| String::from_utf8_lossy(p).into_owned()),
        ..witnessed
    }
}

/// The alert by which a peer ended the session, if that is what the error is.
pub fn alert(error: &io::Error) -> Option<AlertDescription> {
    if let rustls::Error::AlertReceived(alert) = error.get_ref()?.downcast_ref()? {
        Some(*alert)
    } else {
        None
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Looked<S> {
    /// What was seen so far.
    pub fn seen(&self) -> Seen {
        let (_, connection) = self.stream.get_ref();
        seen(connection, self.witness.seen())
    }

    /// Listens for what TLS 1.3 sends behind the handshake: a session ticket, or the alert of a
    /// peer that misses our certificate. Data that comes is kept for who reads next.
    ///
    /// # Errors
    /// The alert, or whatever broke the connection.
    pub async fn listen(&mut self, patience: Duration) -> io::Result<()> {
        let Self { stream, witness, early } = self;
        if witness.seen().resumable {
            return Ok(());
        }
        let mut buffer = [0; FIRST];
        let heard = poll_fn(|cx| {
            let mut buffer = ReadBuf::new(&mut buffer);
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                Poll::Ready(read) => {
                    early.extend_from_slice(buffer.filled());
                    Poll::Ready(read)
                }
                // The ticket has been taken in, and there is no data behind it.
                Poll::Pending if witness.seen().resumable => Poll::Ready(Ok(())),
                Poll::Pending => Poll::Pending,
            }
        });
        match tokio::time::timeout(patience, heard).await {
            // An end without close_notify tells nothing about TLS: nobody was asked anything.
            Ok(Err(error)) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// The session, with what it has read already.
    pub fn into_stream(self) -> Prefixed<TlsStream<Overheard<S>>> {
        Prefixed::new(self.early.freeze(), self.stream)
    }
}

/// rustls spells the suites of TLS 1.3 `TLS13_…`, the registry `TLS_…`.
fn iana_name(name: &str) -> String {
    name.replacen("TLS13_", "TLS_", 1)
}

/// Signature schemes as the IANA registry names them: rustls names them after their parts.
const SIGNATURES: [(SignatureScheme, &str); 12] = [
    (SignatureScheme::RSA_PKCS1_SHA1, "rsa_pkcs1_sha1"),
    (SignatureScheme::RSA_PKCS1_SHA256, "rsa_pkcs1_sha256"),
    (SignatureScheme::RSA_PKCS1_SHA384, "rsa_pkcs1_sha384"),
    (SignatureScheme::RSA_PKCS1_SHA512, "rsa_pkcs1_sha512"),
    (SignatureScheme::RSA_PSS_SHA256, "rsa_pss_rsae_sha256"),
    (SignatureScheme::RSA_PSS_SHA384, "rsa_pss_rsae_sha384"),
    (SignatureScheme::RSA_PSS_SHA512, "rsa_pss_rsae_sha512"),
    (SignatureScheme::ECDSA_NISTP256_SHA256, "ecdsa_secp256r1_sha256"),
    (SignatureScheme::ECDSA_NISTP384_SHA384, "ecdsa_secp384r1_sha384"),
    (SignatureScheme::ECDSA_NISTP521_SHA512, "ecdsa_secp521r1_sha512"),
    (SignatureScheme::ED25519, "ed25519"),
    (SignatureScheme::ED448, "ed448"),
];

fn signature_name(scheme: SignatureScheme) -> String {
    let known = SIGNATURES.iter().find(|(known, _)| *known == scheme);
    known.map_or_else(|| format!("0x{:04x}", u16::from(scheme)), |(_, name)| (*name).to_owned())
}

/// Keeps the first bytes that are read. Where writing fails, reading still tells why: a peer that
/// closes behind an alert may be gone before our last flight is sent.
#[derive(Debug)]
pub struct Overheard<S> {
    stream: S,
    first: Vec<u8>,
    /// Why nothing can be written any more; told when there is nothing more to read.
    broken: Option<io::Error>,
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
        match self.broken.take_if(|_| polled.is_ready() && new.is_empty()) {
            Some(broken) => Poll::Ready(Err(broken)),
            None => polled,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Overheard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let (Poll::Ready(Err(error)), None) = (&polled, &self.broken) {
            self.broken = Some(io::Error::new(error.kind(), error.to_string()));
            return Poll::Ready(Ok(bytes.len()));
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Sees what the peer shows and lets it pass; the signatures of the handshake are checked.
#[derive(Debug)]
struct Witness {
    provider: Arc<CryptoProvider>,
    seen: Mutex<Seen>,
}

impl Witness {
    fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn saw(&self, note: impl FnOnce(&mut Seen)) {
        note(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp_response: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = std::iter::once(end_entity).chain(intermediates).map(|c| c.clone().into_owned());
        self.saw(|seen| {
            seen.chain = chain.collect();
            seen.ocsp_staple = Some(ocsp_response.len()).filter(|length| *length > 0);
        });
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.saw(|seen| {
            seen.version = Some("TLSv1.2".into());
            seen.signature = Some(signature_name(dss.scheme));
        });
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.saw(|seen| {
            seen.version = Some("TLSv1.3".into());
            seen.signature = Some(signature_name(dss.scheme));
        });
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// There is no certificate of ours; that one is wanted is worth telling.
impl ResolvesClientCert for Witness {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.saw(|seen| seen.wants_certificate = true);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// A store that keeps no session: that one is offered is all there is to know.
impl ClientSessionStore for Witness {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {
        self.saw(|seen| seen.resumable = true);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, _: Tls13ClientSessionValue) {
        self.saw(|seen| seen.resumable = true);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        None
    }
}
