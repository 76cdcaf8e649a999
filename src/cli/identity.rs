//! Our own certificate and its key, from files; a person is asked for the passphrase of a key that
//! is encrypted.
//!
//! Knows PKCS#8, which every tool of today writes (RFC 5958 with PBES2, RFC 8018). Refuses what
//! OpenSSL wrote before (a DEK-Info over one round of MD5), and says how it is converted.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::certificates::certificates;
use super::credentials::{self, Person};
use super::settings::SettingsError;
use crate::net::trust::Identity;

/// How often a person is asked, as ssh does.
const TRIES: usize = 3;

/// RFC 7468 §11.
const ENCRYPTED: [&str; 2] = ["-----BEGIN ENCRYPTED PRIVATE KEY-----", "-----END ENCRYPTED PRIVATE KEY-----"];

/// RFC 1421 §4.6.1.1, as OpenSSL writes it.
const LEGACY: &str = "Proc-Type: 4,ENCRYPTED";

/// A file, and the option that names it.
type Named<'a> = (&'static str, &'a Path);

/// Reads the certificate with those that vouch for it, and the key: of the same file, if none is
/// named.
pub(super) fn read(
    certificate: Named<'_>,
    key: Option<Named<'_>>,
    person: &Person,
) -> Result<Identity, SettingsError> {
    let chain = certificates(certificate.0, certificate.1)?;
    let (option, file) = key.unwrap_or(certificate);
    let text = credentials::private_file(file)?;
    let failed = |why: String| SettingsError::Pem { option, file: file.display().to_string(), why };
    let key = match between(&text, ENCRYPTED) {
        Some(encrypted) => decrypted(encrypted, &file.display().to_string(), person).map_err(failed)?,
        None => PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| {
            failed(if text.contains(LEGACY) {
                "its key is encrypted in OpenSSL's old way; openssl pkcs8 -topk8 -in FILE -out NEW converts it"
                    .into()
            } else {
                "no private key in it".into()
            })
        })?,
    };
    let identity = Identity { chain, key };
    // Now, as the peer would be blamed for it later.
    identity.verify().map_err(|error| {
        if let rustls::Error::InvalidCertificate(_) = error {
            let (option, file) = (certificate.0, certificate.1.display().to_string());
            SettingsError::Pem { option, file, why: "its first certificate cannot be read".into() }
        } else if let rustls::Error::InconsistentKeys(_) = error {
            failed(format!("it is not the key of the certificate in {}", certificate.1.display()))
        } else {
            failed("its private key cannot be read, or is of a kind that is not known here".into())
        }
    })?;
    Ok(identity)
}

/// The key, once the right passphrase has been given.
fn decrypted(encrypted: &str, file: &str, person: &Person) -> Result<PrivateKeyDer<'static>, String> {
    let base64: String = encrypted.split_ascii_whitespace().collect();
    let der = BASE64_STANDARD.decode(base64).map_err(|_| "its key is not in base64")?;
    let key = EncryptedPrivateKeyInfoRef::try_from(der.as_slice()).map_err(|_| unknown())?;
    for refused in 0..TRIES {
        let passphrase = person.passphrase(file, refused > 0).map_err(|error| {
            format!("its key is encrypted, and nobody can be asked for the passphrase: {error}")
        })?;
        match open(&key, &passphrase) {
            Ok(opened) => return Ok(opened),
            Err(Locked::WrongPassphrase) => {}
            Err(Locked::Unknown) => return Err(unknown()),
        }
    }
    Err("the passphrase is wrong".into())
}

fn unknown() -> String {
    "its key is encrypted in a way that is not known here; openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE \
     -out NEW makes it one that is"
        .into()
}

/// Why a key stays encrypted.
#[derive(Debug, PartialEq, Eq)]
enum Locked {
    WrongPassphrase,
    Unknown,
}

/// What a wrong passphrase opens has seldom the right padding, and then not the form of a key.
fn open(key: &EncryptedPrivateKeyInfoRef<'_>, passphrase: &str) -> Result<PrivateKeyDer<'static>, Locked> {
    use pkcs8::Error::{Asn1, EncryptedPrivateKey};
    let opened = key.decrypt(passphrase).map_err(|error| {
        if matches!(error, EncryptedPrivateKey(pkcs8::pkcs5::Error::DecryptFailed) | Asn1(_)) {
            Locked::WrongPassphrase
        } else {
            Locked::Unknown
        }
    })?;
    PrivateKeyInfoRef::try_from(opened.as_bytes()).map_err(|_| Locked::WrongPassphrase)?;
    Ok(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(opened.as_bytes().to_vec())))
}

/// What stands between two lines.
fn between<'a>(text: &'a str, [begin, end]: [&str; 2]) -> Option<&'a str> {
    let (_, behind) = text.split_once(begin)?;
    behind.split_once(end).map(|(between, _)| between)
}
