//! What a TLS handshake shows of the peer, and who watches it.
//!
//! A [`Watch`] stands between rustls and whoever judges the certificate, has a certificate of ours
//! or keeps sessions: it hears what they are asked and notes it, also where the handshake fails.
//! Refuses to know whom to trust (`trust`) and how records become bytes (`secured`).

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ClientSessionStore, ResolvesClientCert, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    AlertDescription, ClientConfig, CommonState, DigitallySignedStruct, Error, NamedGroup, SignatureScheme,
};

use super::trust::{Unfit, proof, unfit};

/// What was seen of a TLS peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The name that was sent (RFC 6066 §3); `None` for an address, which is not.
    pub sni: Option<String>,
    /// Whether the handshake was made.
    pub complete: bool,
    /// `TLSv1.3` or `TLSv1.2`; `None` where the handshake did not get so far.
    pub version: Option<String>,
    /// The cipher suite's name in the IANA registry.
    pub cipher_suite: Option<String>,
    /// The key-exchange group's name.
    pub group: Option<String>,
    /// The scheme by which the peer signed the handshake, as the IANA registry names it.
    pub signature: Option<String>,
    /// Whether that is the signature of another key than the certificate's: it is a copy.
    pub copied: bool,
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

/// How much of what a peer sends first is kept, to tell what it speaks if it is not TLS.
pub const FIRST: usize = 2048;

/// The cryptography that all of wimble's TLS uses, named explicitly: a process-wide default may be
/// another library's.
pub fn provider() -> Arc<CryptoProvider> {
    #[cfg(feature = "aws-lc-rs")]
    return Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    #[cfg(not(feature = "aws-lc-rs"))]
    Arc::new(rustls::crypto::ring::default_provider())
}

/// What has been seen so far in one connection. Clones see the same.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<Mutex<Seen>>);

impl Watch {
    /// What has been seen so far.
    pub fn seen(&self) -> Seen {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Watches the connection to `name` that will be made with `config`, in which `judge` decides.
    /// A session is never resumed in it: that would show no certificate.
    pub(super) fn attend(
        &self,
        config: &mut ClientConfig,
        judge: Arc<dyn ServerCertVerifier>,
        name: &ServerName<'_>,
    ) {
        if let ServerName::DnsName(name) = name {
            self.saw(|seen| seen.sni = Some(name.as_ref().to_owned()));
        }
        let identity = Arc::clone(&config.client_auth_cert_resolver);
        let witness = Arc::new(Witness { watch: self.clone(), judge, identity });
        config.dangerous().set_certificate_verifier(witness.clone());
        config.client_auth_cert_resolver = witness.clone();
        config.resumption = Resumption::store(witness);
    }

    /// Adds what was agreed upon.
    pub(super) fn agreed(&self, agreed: Seen) {
        let Seen { complete, version, cipher_suite, group, alpn, .. } = agreed;
        self.saw(|seen| {
            *seen = Seen { complete, version, cipher_suite, group, alpn, ..std::mem::take(seen) }
        });
    }

    fn saw(&self, note: impl FnOnce(&mut Seen)) {
        note(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// What a connection has agreed upon with its peer, as far as it got.
pub(super) fn agreed(connection: &CommonState) -> Seen {
    let suite = connection.negotiated_cipher_suite().and_then(|s| s.suite().as_str());
    let group = connection.negotiated_key_exchange_group().and_then(|g| g.name().as_str());
    Seen {
        complete: !connection.is_handshaking(),
        version: connection.protocol_version().and_then(|v| v.as_str()).map(|v| v.replacen('_', ".", 1)),
        cipher_suite: suite.map(iana_name),
        group: group.map(str::to_owned),
        alpn: connection.alpn_protocol().map(|p| String::from_utf8_lossy(p).into_owned()),
        ..Seen::default()
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

/// Notes what the others are asked, and lets them answer.
#[derive(Debug)]
struct Witness {
    watch: Watch,
    judge: Arc<dyn ServerCertVerifier>,
    identity: Arc<dyn ResolvesClientCert>,
}

impl Witness {
    /// Notes what is true of the signature, also for a judge who accepts anybody's.
    fn signed(&self, scheme: SignatureScheme, proof: &Result<HandshakeSignatureValid, Error>) {
        let copied = match proof {
            Err(Error::InvalidCertificate(why)) => unfit(why) == Some(&Unfit::NotItsKey),
            Ok(_) | Err(_) => false,
        };
        self.watch.saw(|seen| (seen.signature, seen.copied) = (Some(signature_name(scheme)), copied));
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = std::iter::once(end_entity).chain(intermediates).map(|c| c.clone().into_owned());
        self.watch.saw(|seen| {
            seen.chain = chain.collect();
            seen.ocsp_staple = Some(ocsp.len()).filter(|length| *length > 0);
        });
        self.judge.verify_server_cert(end_entity, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed(dss.scheme, &proof(verify_tls12_signature, message, cert, dss));
        self.judge.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed(dss.scheme, &proof(verify_tls13_signature, message, cert, dss));
        self.judge.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}

impl ResolvesClientCert for Witness {
    fn resolve(&self, authorities: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.watch.saw(|seen| seen.wants_certificate = true);
        self.identity.resolve(authorities, schemes)
    }

    fn has_certs(&self) -> bool {
        self.identity.has_certs()
    }
}

/// A store that keeps no session: that one is offered is all there is to know.
impl ClientSessionStore for Witness {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {
        self.watch.saw(|seen| seen.resumable = true);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, _: Tls13ClientSessionValue) {
        self.watch.saw(|seen| seen.resumable = true);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        None
    }
}
