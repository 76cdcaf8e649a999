//! Files of certificates, in PEM.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::report::reason;
use super::settings::SettingsError;
use crate::net::store::Store;
use crate::net::trust;

/// The largest file of certificates that is read; the bundle of a system has a quarter of a megabyte.
const MAX_PEM: u64 = 16 << 20;

/// The certificates that a file trusts, of which one at least can be used.
pub(super) fn anchors(option: &'static str, file: &Path) -> Result<trust::Trust, SettingsError> {
    let trust = trust::Trust::Anchors(certificates(option, file)?);
    trust::Judge::new(&trust, &Store::default()).map_err(|_| SettingsError::Pem {
        option,
        file: file.display().to_string(),
        why: "no certificate in it can be read".into(),
    })?;
    Ok(trust)
}

/// All of a file, in its order.
pub(super) fn certificates(
    option: &'static str,
    file: &Path,
) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let failed = |why: String| SettingsError::Pem { option, file: file.display().to_string(), why };
    let mut pem = Vec::new();
    // What never ends, such as /dev/zero, ends here.
    let read = File::open(file).and_then(|opened| opened.take(MAX_PEM + 1).read_to_end(&mut pem));
    if read.map_err(|error| failed(reason(&error)))? as u64 > MAX_PEM {
        return Err(failed(format!("more than {} MiB", MAX_PEM >> 20)));
    }
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| failed(error.to_string()))?;
    if found.is_empty() { Err(failed("no certificate in it".into())) } else { Ok(found) }
}
