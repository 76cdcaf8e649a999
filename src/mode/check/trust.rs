//! Who trusts a chain, and what is wrong with it: each question is asked apart, so that one
//! answer does not hide another.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore};

use super::certificate::{CertificateFacts, Moment};
use crate::net::store;
use crate::net::tls::provider;
use crate::net::trust::{Judge, Trust, Unfit, unfit};

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
    /// None does, or it is not.
    Untrusted {
        /// The verifier's first reason.
        why: Why,
        /// The same in its words. They quote the certificate.
        words: String,
    },
}

impl Verdict {
    /// Of a certificate that somebody shows who does not have its key.
    pub(super) fn of_a_copy() -> Self {
        Self::Untrusted { why: Why::Else, words: Unfit::NotItsKey.to_string() }
    }
}

/// What a refusal says about the issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is not known.
    UnknownIssuer,
    /// It is known by another key than the one that signed.
    BadSignature,
    /// Nothing.
    Else,
}

/// One thing that is wrong with a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Whoever shows it does not have its key.
    Copied,
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
    /// An authority of this name is known, with another key than the one that signed: it was made
    /// anew, or somebody borrows its name.
    OtherIssuer(String),
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

/// Asks every store that counts; `system` is this system's.
pub(super) fn verdicts(
    trust: &Trust,
    system: &store::Store,
    name: &ServerName<'_>,
    chain: &[CertificateDer<'_>],
) -> Vec<(Store, Verdict)> {
    let judge = |trust| Judge::new(trust, system).map(Arc::new);
    match trust {
        Trust::Anchors(_) => vec![(Store::Given, verdict(judge(trust), name, chain))],
        Trust::System | Trust::Danger => {
            let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
            let mozilla = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
            vec![
                (Store::Mozilla, verdict(mozilla, name, chain)),
                (Store::System, verdict(judge(&Trust::System), name, chain)),
            ]
        }
    }
}

fn verdict(
    judge: Result<Arc<impl ServerCertVerifier>, impl std::error::Error>,
    name: &ServerName<'_>,
    chain: &[CertificateDer<'_>],
) -> Verdict {
    let untrusted = |words| Verdict::Untrusted { why: Why::Else, words };
    let judge = match judge {
        Ok(judge) => judge,
        Err(error) => return untrusted(error.to_string()),
    };
    let Some((leaf, others)) = chain.split_first() else {
        return untrusted("no certificate".into());
    };
    let Err(error) = judge.verify_server_cert(leaf, others, name, &[], UnixTime::now()) else {
        return Verdict::Trusted;
    };
    let rustls::Error::InvalidCertificate(certificate) = &error else {
        return untrusted(error.to_string());
    };
    let why = if *certificate == CertificateError::UnknownIssuer {
        Why::UnknownIssuer
    } else if *certificate == CertificateError::BadSignature {
        Why::BadSignature
    } else {
        Why::Else
    };
    Verdict::Untrusted {
        why,
        words: unfit(certificate).map_or_else(|| error.to_string(), ToString::to_string),
    }
}

/// What is wrong with a chain, worst first; where one of the verdicts trusts it, that can be its key
/// alone.
pub(super) fn problems<'a>(
    name: &ServerName<'_>,
    chain: &[CertificateDer<'_>],
    facts: &[CertificateFacts],
    verdicts: impl Iterator<Item = &'a Verdict>,
) -> Vec<Problem> {
    let (Some(der), Some(leaf), Some(last)) = (chain.first(), facts.first(), facts.last()) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    if leaf.weak_key {
        found.push(Problem::WeakKey(leaf.key.clone()));
    }
    let mut reasons = Vec::new();
    for verdict in verdicts {
        match verdict {
            Verdict::Trusted => return found,
            Verdict::Untrusted { why, words } => reasons.push((*why, words)),
        }
    }
    let now = SystemTime::now();
    found.extend(leaf.not_after.filter(|at| at.elapsed(now).is_ok()).map(Problem::Expired));
    found.extend(leaf.not_before.filter(|at| at.elapsed(now).is_err()).map(Problem::NotYetValid));
    if ParsedCertificate::try_from(der).is_ok_and(|leaf| verify_server_name(&leaf, name).is_err()) {
        found.push(Problem::WrongName { asked: name.to_str().into_owned(), names: leaf.names.clone() });
    }
    // The verifier tells its first reason only; that nobody vouches may stand behind it.
    let says = |wanted| reasons.iter().any(|(why, _)| *why == wanted);
    let unknown = says(Why::UnknownIssuer);
    if leaf.weak_signature {
        found.push(Problem::WeakSignature(leaf.signature.clone()));
    }
    if says(Why::BadSignature) {
        found.push(Problem::OtherIssuer(last.issuer.clone()));
    } else if facts.len() == 1 && leaf.self_issued {
        found.push(Problem::SelfSigned);
    } else if unknown && facts.len() == 1 {
        found.push(Problem::MissingIssuer(last.issuer.clone()));
    } else if unknown {
        found.push(Problem::UnknownIssuer(last.issuer.clone()));
    }
    if found.is_empty() {
        found.extend(reasons.last().map(|(_, words)| Problem::Other((*words).clone())));
    }
    found
}
