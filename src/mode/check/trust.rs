//! Who trusts a chain, and what is wrong with it: each question is asked apart, so that one
//! answer does not hide another.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;

use super::Trust;
use super::certificate::{CertificateFacts, Moment};
use crate::net::tls::provider;

/// A set of roots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// The roots that Mozilla's programme trusts, compiled in.
    Mozilla,
    /// What this system is set up to trust.
    System,
    /// The file that was named.
    Given,
}

/// What a store says of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A path leads to one of its roots, and the certificate is for the name, now.
    Trusted,
    /// None does, or it is not; the verifier's first reason.
    Untrusted(String),
}

/// One thing that is wrong with a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It is not valid any more.
    Expired(Moment),
    /// It is not valid yet.
    NotYetValid(Moment),
    /// It is for other names than this.
    WrongName {
        /// What was asked for.
        asked: String,
        /// What it is for.
        names: Vec<String>,
    },
    /// It vouches for itself, and no store knows it.
    SelfSigned,
    /// Nobody who is trusted vouches for it: the issuer of the last certificate sent.
    UnknownIssuer(String),
    /// The server sent its own certificate alone, and this issuer is no root of any store: its
    /// certificate ought to have come too, unless it is unknown altogether.
    MissingIssuer(String),
    /// The key is too short to be accepted.
    WeakKey(String),
    /// The issuer signed it with a broken algorithm.
    WeakSignature(String),
    /// It ends sooner than was asked for.
    ExpiresSoon(Moment),
    /// Something else, in the verifier's words.
    Other(String),
}

/// Asks every store that counts.
pub(super) fn verdicts(
    trust: &Trust,
    name: &ServerName<'_>,
    chain: &[CertificateDer<'_>],
) -> Vec<(Store, Verdict)> {
    let ask = |store, roots: RootCertStore| (store, verdict(roots, name, chain));
    match trust {
        Trust::Anchors(anchors) => {
            // The very certificate is in the file: who named it trusts it, whatever it says of its
            // issuer (openssl req -x509 makes a CA of itself, which the verifier would refuse).
            if chain.first().is_some_and(|leaf| anchors.contains(leaf)) {
                return vec![(Store::Given, if_valid(name, &chain[0]))];
            }
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(anchors.iter().cloned());
            vec![ask(Store::Given, roots)]
        }
        Trust::Stores | Trust::Insecure => {
            let mozilla = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
            let mut system = RootCertStore::empty();
            system.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            vec![ask(Store::Mozilla, mozilla), ask(Store::System, system)]
        }
    }
}

fn verdict(roots: RootCertStore, name: &ServerName<'_>, chain: &[CertificateDer<'_>]) -> Verdict {
    let verifier = match WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build() {
        Ok(verifier) => verifier,
        Err(error) => return Verdict::Untrusted(error.to_string()),
    };
    let Some((leaf, others)) = chain.split_first() else {
        return Verdict::Untrusted("no certificate".into());
    };
    match verifier.verify_server_cert(leaf, others, name, &[], UnixTime::now()) {
        Ok(_) => Verdict::Trusted,
        Err(error) => Verdict::Untrusted(error.to_string()),
    }
}

/// What to think of a certificate that needs no issuer: is it for the name, now?
fn if_valid(name: &ServerName<'_>, der: &CertificateDer<'_>) -> Verdict {
    let facts = CertificateFacts::read(der);
    let now = SystemTime::now();
    let begun = facts.not_before.is_some_and(|at| at.elapsed(now).is_ok());
    let ended = facts.not_after.is_none_or(|at| at.elapsed(now).is_ok());
    let named = ParsedCertificate::try_from(der).is_ok_and(|leaf| verify_server_name(&leaf, name).is_ok());
    if begun && !ended && named {
        Verdict::Trusted
    } else {
        Verdict::Untrusted("not valid for this name, now".into())
    }
}

/// What is wrong with a chain, worst first; where some store trusts it, that can be its key alone.
pub(super) fn problems(
    name: &ServerName<'_>,
    chain: &[CertificateDer<'_>],
    facts: &[CertificateFacts],
    verdicts: &[(Store, Verdict)],
) -> Vec<Problem> {
    let (Some(der), Some(leaf), Some(last)) = (chain.first(), facts.first(), facts.last()) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    if leaf.weak_key {
        found.push(Problem::WeakKey(leaf.key.clone()));
    }
    let mut reasons = Vec::new();
    for (_, verdict) in verdicts {
        match verdict {
            Verdict::Trusted => return found,
            Verdict::Untrusted(reason) => reasons.push(reason),
        }
    }
    let now = SystemTime::now();
    found.extend(leaf.not_after.filter(|at| at.elapsed(now).is_ok()).map(Problem::Expired));
    found.extend(leaf.not_before.filter(|at| at.elapsed(now).is_err()).map(Problem::NotYetValid));
    if ParsedCertificate::try_from(der).is_ok_and(|leaf| verify_server_name(&leaf, name).is_err()) {
        found.push(Problem::WrongName { asked: name.to_str().into_owned(), names: leaf.names.clone() });
    }
    // The verifier tells its first reason only; that nobody vouches may stand behind it.
    let unknown = reasons.iter().any(|reason| reason.contains("UnknownIssuer"));
    if leaf.weak_signature {
        found.push(Problem::WeakSignature(leaf.signature.clone()));
    }
    if facts.len() == 1 && leaf.self_issued {
        found.push(Problem::SelfSigned);
    } else if unknown && facts.len() == 1 {
        found.push(Problem::MissingIssuer(last.issuer.clone()));
    } else if unknown {
        found.push(Problem::UnknownIssuer(last.issuer.clone()));
    }
    if found.is_empty() {
        found.extend(reasons.last().map(|reason| Problem::Other((*reason).clone())));
    }
    found
}
