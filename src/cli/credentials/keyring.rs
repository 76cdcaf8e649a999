//! The desktop's secret store: Secret Service, macOS' keychain, Windows' credential manager.
//!
//! One entry for each proxy: service `wimble`, user `HOST:PORT`, and as its secret the line that
//! stands in a file for `--proxy-credentials`. So `secret-tool lookup service wimble username
//! proxy.example:3128` prints what that option reads.

use std::fmt::Write as _;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use keyring::{Entry, Error};
use zeroize::Zeroizing;

use super::private;
use crate::authority::Authority;
use crate::secret::Login;

const SERVICE: &str = "wimble";

/// Why the store gave or took nothing; never with a word of what is in it.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum KeyringError {
    #[error("there is no store that answers: {0}")]
    NoStore(String),
    #[error("it refused: {0}")]
    Refused(String),
    #[error("it has no entry for {0}")]
    NoEntry(Authority),
    #[error("its entry for {0} is not NAME:PASSWORD")]
    Format(Authority),
    #[error("no answer within {0:?} (--proxy-timeout)")]
    Late(Duration),
}

/// The line that is kept for a proxy. A store that is locked may ask somebody to unlock it.
pub(super) fn find(proxy: &Authority, limit: Duration) -> Result<Option<Zeroizing<String>>, KeyringError> {
    private::conceal();
    let (tell, told) = mpsc::channel();
    let asked = proxy.clone();
    let asking = thread::Builder::new().spawn(move || {
        tell.send(entry(&asked).and_then(|entry| match entry.get_password() {
            Ok(line) => Ok(Some(Zeroizing::new(line))),
            Err(Error::NoEntry) => Ok(None),
            Err(error) => Err(failed(&asked, &error)),
        }))
    });
    asking.map_err(|error| KeyringError::NoStore(error.to_string()))?;
    told.recv_timeout(limit).unwrap_or(Err(KeyringError::Late(limit)))
}

/// Keeps a login for a proxy, in place of the one before.
pub(in crate::cli) fn keep(proxy: &Authority, login: &Login) -> Result<(), KeyringError> {
    let secret = login.password().map(|password| password.expose().len()).unwrap_or_default();
    // Room for all of it, also for a hash: a string that grows leaves what it held behind.
    let mut line = Zeroizing::new(String::with_capacity(login.user().len() + secret + 64));
    line.push_str(login.user());
    line.push(':');
    line.push_str(login.password().map(|password| password.expose()).unwrap_or_default());
    if let Some(hash) = login.nt_hash() {
        line.push_str(super::NT_HASH);
        for byte in hash.expose() {
            let _never = write!(line, "{byte:02x}");
        }
    }
    entry(proxy)?.set_password(&line).map_err(|error| failed(proxy, &error))
}

/// Takes the login for a proxy out.
pub(in crate::cli) fn forget(proxy: &Authority) -> Result<(), KeyringError> {
    entry(proxy)?.delete_credential().map_err(|error| failed(proxy, &error))
}

fn entry(proxy: &Authority) -> Result<Entry, KeyringError> {
    Entry::new(SERVICE, &proxy.to_string()).map_err(|error| failed(proxy, &error))
}

fn failed(proxy: &Authority, error: &Error) -> KeyringError {
    match error {
        Error::NoEntry => KeyringError::NoEntry(proxy.clone()),
        Error::NoDefaultStore => {
            let why = Entry::store_status().as_ref().err().map(ToString::to_string);
            KeyringError::NoStore(why.unwrap_or_default())
        }
        // These two hold what was read.
        Error::BadEncoding(_) | Error::BadDataFormat(..) => KeyringError::Format(proxy.clone()),
        Error::PlatformFailure(_)
        | Error::NoStorageAccess(_)
        | Error::BadStoreFormat(_)
        | Error::TooLong(..)
        | Error::Invalid(..)
        | Error::Ambiguous(_)
        | Error::NotSupportedByStore(_)
        | _ => KeyringError::Refused(error.to_string()),
    }
}
