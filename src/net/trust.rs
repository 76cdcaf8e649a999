//! Whom an `https://` proxy has to be, and who we are to it.
//!
//! Stores are read when TLS is first spoken, not before: that takes as long as a whole tunnel.
//! Every connection of a run shares one configuration, and with it the sessions that can be
//! resumed.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use x509_parser::prelude::{ASN1Time, FromDer as _, X509Certificate};

use super::secured::{NotSecured, Secured};
use super::stream::Stream;
use super::tls::provider;
use crate::authority::Host;

/// Whose certificates are accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Those that this system's store vouches for.
    #[default]
    System,
    /// Those that these vouch for, or that are among them.
    Anchors(Vec<CertificateDer<'static>>),
    /// Anybody's: there may be somebody in between.
    Danger,
}

/// Our own certificate and its key, for a proxy that asks for one.
pub struct Identity {
    /// The certificate, and those that vouch for it.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("chain", &self.chain.len()).field("key", &"[redacted]").finish()
    }
}

/// How TLS is spoken to proxies. Clones share what they have made ready.
#[derive(Clone, Debug, Default)]
pub struct Tls(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    trust: Trust,
    identity: Option<Identity>,
    ready: OnceLock<Result<Arc<ClientConfig>, Error>>,
}

impl Tls {
    /// Trusts `trust`, and shows `identity` to a proxy that asks.
    pub fn new(trust: Trust, identity: Option<Identity>) -> Self {
        Self(Arc::new(Shared { trust, identity, ready: OnceLock::new() }))
    }

    /// Speaks TLS with a proxy over `stream`.
    ///
    /// # Errors
    /// [`NotSecured`].
    pub async fn secure(&self, stream: Stream, host: &Host) -> Result<Secured, NotSecured> {
        let connection =
            self.config(&[b"http/1.1"]).and_then(|tls| ClientConnection::new(tls, server_name(host)?));
        match connection {
            Ok(connection) => Secured::new(stream, connection).await,
            Err(error) => Err(NotSecured { error: io::Error::other(error), first: Vec::new() }),
        }
    }

    /// The configuration for a connection that offers these protocols by ALPN. The first call reads
    /// the system's store, which may take some milliseconds.
    ///
    /// # Errors
    /// Our certificate and key don't go together, or there is nobody to trust.
    pub fn config(&self, alpn: &[&[u8]]) -> Result<Arc<ClientConfig>, Error> {
        let config = self.0.ready.get_or_init(|| self.0.make().map(Arc::new)).clone()?;
        if alpn.is_empty() {
            return Ok(config);
        }
        // A clone shares the store of sessions.
        let mut config = ClientConfig::clone(&config);
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Arc::new(config))
    }
}

/// Whether an error is TLS's own, not the connection's.
pub fn is_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Error>())
}

impl Shared {
    fn make(&self) -> Result<ClientConfig, Error> {
        let provider = provider();
        let judge = Judge::new(&self.trust, provider.clone())?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(judge));
        match &self.identity {
            None => Ok(config.with_no_client_auth()),
            Some(Identity { chain, key }) => config.with_client_auth_cert(chain.clone(), key.clone_key()),
        }
    }
}

/// The name that a proxy's certificate has to have; an address is compared too, but not sent.
///
/// # Errors
/// No certificate can have it.
pub fn server_name(host: &Host) -> Result<ServerName<'static>, Error> {
    match host {
        Host::Address(address) => Ok(ServerName::IpAddress((*address).into())),
        Host::Name(name) => ServerName::try_from(name.strip_suffix('.').unwrap_or(name).to_owned())
            .map_err(|_| Error::General("its name is none that a certificate can have".into())),
    }
}

/// Decides whether a certificate is accepted; the signatures of the handshake are always checked.
#[derive(Debug)]
struct Judge {
    provider: Arc<CryptoProvider>,
    /// Accepted as they are.
    known: Vec<CertificateDer<'static>>,
    /// `None`: everything is accepted.
    roots: Option<Arc<WebPkiServerVerifier>>,
}

impl Judge {
    fn new(trust: &Trust, provider: Arc<CryptoProvider>) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        let known = match trust {
            Trust::Danger => return Ok(Self { provider, known: Vec::new(), roots: None }),
            Trust::System => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                Vec::new()
            }
            Trust::Anchors(anchors) => {
                roots.add_parsable_certificates(anchors.iter().cloned());
                anchors.clone()
            }
        };
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let verifier = verifier.build().map_err(|_| Error::General("this system trusts nobody".into()))?;
        Ok(Self { provider, known, roots: Some(verifier) })
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(roots) = &self.roots else { return Ok(ServerCertVerified::assertion()) };
        // `openssl req -x509` makes an authority of a server's certificate, which the verifier
        // refuses as one. Who named the very certificate trusts it all the same, in its time.
        if self.known.iter().any(|known| known == end_entity) {
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
            return in_time(end_entity, now).map(|()| ServerCertVerified::assertion());
        }
        roots.verify_server_cert(end_entity, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn in_time(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    use rustls::CertificateError::{BadEncoding, Expired, NotValidYet};
    let (_, certificate) = X509Certificate::from_der(certificate).map_err(|_| BadEncoding)?;
    let now = i64::try_from(now.as_secs()).ok().and_then(|now| ASN1Time::from_timestamp(now).ok());
    let now = now.ok_or(BadEncoding)?;
    if now < certificate.validity().not_before {
        return Err(NotValidYet.into());
    }
    if certificate.validity().not_after < now { Err(Expired.into()) } else { Ok(()) }
}
