//! This system's store: the roots that whoever runs the machine trusts.
//!
//! It is read when it is first asked, or ahead on a thread while the network is waited for. The
//! one file that most systems have holds what the directory beside it holds in hundreds: the
//! directory (half of 5 ms) is read only for a certificate that the file does not vouch for.

use std::env;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use rustls::client::danger::ServerCertVerifier as _;
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};
use x509_parser::prelude::{ASN1Time, FromDer as _, X509Certificate};

use super::tls::provider;

/// The store. Clones share what has been read.
#[derive(Clone, Debug, Default)]
pub struct Store(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    ahead: AtomicBool,
    file: OnceLock<Verifier>,
    everything: OnceLock<Everything>,
}

/// The file and the directory. A verifier forgets the certificates that its roots are of.
#[derive(Debug)]
struct Everything {
    certificates: Vec<CertificateDer<'static>>,
    verifier: Verifier,
}

/// `None`: no roots at all.
type Verifier = Option<Arc<WebPkiServerVerifier>>;

impl Store {
    /// Reads it on a thread, for who will ask soon.
    pub fn read_ahead(&self) {
        if !self.0.ahead.swap(true, Ordering::Relaxed) {
            let store = self.clone();
            // Without a thread it is read when it is asked for.
            let _no_thread = thread::Builder::new().spawn(move || {
                if store.file().is_none() {
                    store.everything();
                }
            });
        }
    }

    /// Whether it vouches for a server's chain, for this name and now.
    ///
    /// # Errors
    /// The verifier's first reason why not.
    pub fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let ask = |verifier: &Verifier| match verifier {
            Some(verifier) => {
                verifier.verify_server_cert(end_entity, intermediates, name, &[], now).map(|_| ())
            }
            None => Err(CertificateError::UnknownIssuer.into()),
        };
        ask(self.file()).or_else(|_| {
            let Everything { certificates, verifier } = self.everything();
            if certificates.iter().any(|known| known == end_entity) {
                verify_itself(end_entity, name, now)
            } else {
                ask(verifier)
            }
        })
    }

    fn file(&self) -> &Verifier {
        self.0.file.get_or_init(|| {
            // The variables as rustls-native-certs and OpenSSL read them.
            let file = match (env::var_os("SSL_CERT_FILE"), env::var_os("SSL_CERT_DIR")) {
                (Some(file), _) => file.into(),
                (None, Some(_)) => return None,
                (None, None) if cfg!(target_os = "macos") => return None,
                (None, None) => openssl_probe::probe().cert_file?,
            };
            verifier(rustls_native_certs::load_certs_from_paths(Some(&file), None).certs)
        })
    }

    fn everything(&self) -> &Everything {
        self.0.everything.get_or_init(|| {
            let certificates = rustls_native_certs::load_native_certs().certs;
            Everything { verifier: verifier(certificates.clone()), certificates }
        })
    }
}

/// Whether a certificate that is among those trusted is for this name, and now. `openssl req -x509`
/// makes an authority of a server's certificate, which the verifier refuses as a server's; who trusts
/// the very certificate trusts it all the same, as OpenSSL does.
///
/// # Errors
/// It is for another name or time.
pub(super) fn verify_itself(
    certificate: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<(), Error> {
    verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
    in_time(certificate, now)
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

fn verifier(certificates: Vec<CertificateDer<'static>>) -> Verifier {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build().ok()
}
