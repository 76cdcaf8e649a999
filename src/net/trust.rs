//! Whom an `https://` proxy has to be, and who we are to it.
//!
//! This system's store is read when TLS is spoken, not before: that takes as long as a whole tunnel.
//! Every connection of a run shares one configuration, and with it the sessions that can be
//! resumed.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, OtherError,
    RootCertStore, SignatureScheme,
};
use x509_parser::prelude::{FromDer as _, X509Certificate, X509Version};
use x509_parser::public_key::PublicKey;

use super::secured::{NotSecured, Secured};
use super::store::{Store, verify_itself};
use super::stream::Stream;
use super::tls::{Seen, Watch, provider};
use crate::authority::Host;

/// Bits of the shortest RSA key that the verifier takes.
pub const LEAST_RSA: usize = 2048;

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

impl Identity {
    /// Whether it is one: a certificate that can be read, a key that can be used, and of each other.
    ///
    /// # Errors
    /// rustls's reason why not.
    pub fn verify(&self) -> Result<(), Error> {
        CertifiedKey::from_der(self.chain.clone(), self.key.clone_key(), &provider()).map(|_| ())
    }
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
    store: Store,
    identity: Option<Identity>,
    ready: OnceLock<Result<(ClientConfig, Arc<Judge>), Error>>,
}

impl Tls {
    /// Trusts `trust`, and shows `identity` to a peer that asks.
    pub fn new(trust: Trust, identity: Option<Identity>) -> Self {
        Self(Arc::new(Shared { trust, identity, ..Shared::default() }))
    }

    /// Whose certificates are accepted.
    pub fn trust(&self) -> &Trust {
        &self.0.trust
    }

    /// This system's store.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// Makes ready, on a thread, what takes some time.
    pub fn prepare(&self) {
        if self.0.trust == Trust::System {
            self.0.store.read_ahead();
        }
    }

    /// Speaks TLS with `name` over `stream`, offering these protocols by ALPN.
    ///
    /// # Errors
    /// [`NotSecured`].
    pub async fn secure(
        &self,
        stream: Stream,
        name: ServerName<'static>,
        alpn: &[impl AsRef<[u8]>],
        watch: Option<&Watch>,
    ) -> Result<Secured, NotSecured> {
        let config = self.config(alpn, &name, watch);
        let secured = match config.and_then(|config| ClientConnection::new(Arc::new(config), name)) {
            Ok(connection) => Secured::new(stream, connection).await,
            Err(error) => {
                let error = io::Error::other(error);
                Err(NotSecured { error, first: Vec::new(), agreed: Seen::default() })
            }
        };
        if let Some(watch) = watch {
            watch.agreed(match &secured {
                Ok(secured) => secured.agreed(),
                Err(failed) => failed.agreed.clone(),
            });
        }
        secured
    }

    fn config(
        &self,
        alpn: &[impl AsRef<[u8]>],
        name: &ServerName<'_>,
        watch: Option<&Watch>,
    ) -> Result<ClientConfig, Error> {
        let ready = self.0.ready.get_or_init(|| self.0.make());
        let (config, judge) = ready.as_ref().map_err(Clone::clone)?;
        // A clone shares the store of sessions.
        let mut config = config.clone();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_ref().to_vec()).collect();
        if let Some(watch) = watch {
            watch.attend(&mut config, judge.clone(), name);
        }
        Ok(config)
    }
}

/// Whether an error is TLS's own, not the connection's.
pub fn is_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Error>())
}

impl Shared {
    fn make(&self) -> Result<(ClientConfig, Arc<Judge>), Error> {
        let judge = Arc::new(Judge::new(&self.trust, &self.store)?);
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(judge.clone());
        let config = match &self.identity {
            None => config.with_no_client_auth(),
            Some(Identity { chain, key }) => config.with_client_auth_cert(chain.clone(), key.clone_key())?,
        };
        Ok((config, judge))
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

/// Why no trust helps a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// X.509 v1 or v2, which can't say what it is for.
    #[error("it is of an old version, X.509 v{0}")]
    Version(u32),
    /// An RSA key of fewer bits than are safe.
    #[error("its key is too short: RSA {0}")]
    ShortKey(usize),
    /// Nothing is wrong with it, but it is another's: the handshake is signed with another key than
    /// its own (RFC 8446 §4.4.3, RFC 5246 §7.4.3).
    #[error("whoever shows it does not have its key")]
    NotItsKey,
}

/// Why no trust helps the certificate that was refused, if that is why.
pub fn unfit(error: &CertificateError) -> Option<&Unfit> {
    let CertificateError::Other(OtherError(why)) = error else { return None };
    why.downcast_ref()
}

/// The verifier has no words for what is wrong with the certificate itself.
fn told(certificate: &CertificateDer<'_>, error: Error) -> Error {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return error };
    let bits = match parsed.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => Some(key.key_size()),
        Ok(_) | Err(_) => None,
    };
    let why = match (&error, parsed.version(), bits) {
        (Error::InvalidCertificate(CertificateError::Other(_)), version, _) if version != X509Version::V3 => {
            Unfit::Version(version.0.saturating_add(1))
        }
        (Error::InvalidCertificate(CertificateError::BadSignature), _, Some(bits)) if bits < LEAST_RSA => {
            Unfit::ShortKey(bits)
        }
        (_, _, _) => return error,
    };
    CertificateError::Other(OtherError(Arc::new(why))).into()
}

/// rustls's functions for the signature under a handshake.
type Verify = fn(
    &[u8],
    &CertificateDer<'_>,
    &DigitallySignedStruct,
    &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error>;

/// Whether the handshake is signed with the key of the certificate. A certificate proves nothing:
/// everybody may have it.
pub(super) fn proof(
    verify: Verify,
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let algorithms = provider().signature_verification_algorithms;
    let wrong = Error::InvalidCertificate(CertificateError::BadSignature);
    verify(message, certificate, signed, &algorithms).map_err(|error| {
        let told = told(certificate, error);
        let copied = || CertificateError::Other(OtherError(Arc::new(Unfit::NotItsKey))).into();
        if told == wrong { copied() } else { told }
    })
}

/// Decides whether a certificate is accepted, and with it the signatures of the handshake.
#[derive(Debug)]
pub struct Judge {
    provider: Arc<CryptoProvider>,
    accepts: Accepts,
}

#[derive(Debug)]
enum Accepts {
    Anybody,
    System(Store),
    Given { anchors: Vec<CertificateDer<'static>>, roots: Arc<WebPkiServerVerifier> },
}

impl Judge {
    /// Trusts `trust`; `store` is this system's.
    ///
    /// # Errors
    /// None of the certificates given can vouch for anybody.
    pub fn new(trust: &Trust, store: &Store) -> Result<Self, Error> {
        let provider = provider();
        let accepts = match trust {
            Trust::Danger => Accepts::Anybody,
            Trust::System => Accepts::System(store.clone()),
            Trust::Anchors(anchors) => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(anchors.iter().cloned());
                let roots = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
                let roots = roots.build().map_err(|_| Error::General("it holds no authority".into()))?;
                Accepts::Given { anchors: anchors.clone(), roots }
            }
        };
        Ok(Self { provider, accepts })
    }

    fn accept(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.accepts {
            Accepts::Anybody => Ok(ServerCertVerified::assertion()),
            Accepts::System(store) => {
                store.verify(end_entity, intermediates, name, now).map(|()| ServerCertVerified::assertion())
            }
            Accepts::Given { anchors, .. } if anchors.iter().any(|known| known == end_entity) => {
                verify_itself(end_entity, name, now).map(|()| ServerCertVerified::assertion())
            }
            Accepts::Given { roots, .. } => {
                roots.verify_server_cert(end_entity, intermediates, name, ocsp, now)
            }
        }
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
        self.accept(end_entity, intermediates, name, ocsp, now).map_err(|error| told(end_entity, error))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // Whoever accepts anybody has nobody to compare with; and there are keys and versions that
        // the verifier does not read.
        if let Accepts::Anybody = self.accepts {
            return Ok(HandshakeSignatureValid::assertion());
        }
        proof(verify_tls12_signature, message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if let Accepts::Anybody = self.accepts {
            return Ok(HandshakeSignatureValid::assertion());
        }
        proof(verify_tls13_signature, message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
