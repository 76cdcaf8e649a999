//! What was seen of a TLS peer, judged: the target's and each proxy's in the same way.

use std::time::{Duration, SystemTime};

use rustls::pki_types::ServerName;

use super::certificate::{CertificateFacts, Moment};
use super::trust::{self, Problem, Store, Verdict};
use crate::net::tls::Seen;
use crate::net::trust::{Tls, Trust};

/// What was learnt about a peer's TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsReport {
    /// The handshake's facts.
    pub seen: Seen,
    /// The name that the certificate was compared with.
    pub name: String,
    /// The certificates as sent, read; the peer's own first.
    pub chain: Vec<CertificateFacts>,
    /// What each store says of the chain.
    pub verdicts: Vec<(Store, Verdict)>,
    /// What is wrong with the certificate.
    pub problems: Vec<Problem>,
}

/// By what a chain is judged.
pub(super) struct Judgement<'a> {
    /// Whose certificates are trusted.
    pub(super) trust: &'a Trust,
    /// This system's store is in it.
    pub(super) tls: &'a Tls,
    /// Whether Mozilla's roots are as good as this system's store, or only told about: a tunnel
    /// goes through who is trusted here.
    pub(super) mozilla_counts: bool,
    /// How long a certificate must be valid yet.
    pub(super) warn_expiry: Option<Duration>,
}

impl Judgement<'_> {
    pub(super) fn of(&self, name: &ServerName<'static>, seen: Seen) -> TlsReport {
        let chain: Vec<_> = seen.chain.iter().map(|der| CertificateFacts::read(der)).collect();
        let mut verdicts = match seen.chain.as_slice() {
            [] => Vec::new(),
            chain => trust::verdicts(self.trust, self.tls.store(), name, chain),
        };
        if seen.copied {
            // Whose certificate it is, is trusted; who shows it is not.
            for (_, verdict) in &mut verdicts {
                *verdict = Verdict::of_a_copy();
            }
        }
        let counting = verdicts.iter().filter(|(store, _)| self.mozilla_counts || *store != Store::Mozilla);
        let mut problems = match seen.copied {
            true => vec![Problem::Copied],
            false => trust::problems(name, &seen.chain, &chain, counting.map(|(_, verdict)| verdict)),
        };
        if let Some(left) = self.warn_expiry {
            let now = SystemTime::now();
            let has_ended = |at: &Moment| at.elapsed(now).is_ok();
            let ends_soon = |at: &Moment| at.elapsed(now + left).is_ok();
            let ends = chain.iter().filter_map(|certificate| certificate.not_after);
            let first = ends.filter(|at| !has_ended(at)).min();
            problems.extend(first.filter(ends_soon).map(Problem::ExpiresSoon));
        }
        TlsReport { name: name.to_str().into_owned(), chain, verdicts, problems, seen }
    }
}

impl TlsReport {
    /// What is wrong for who asked about the expiry, whoever is trusted.
    pub(super) fn expiry(&self, warn: Option<Duration>) -> Vec<Problem> {
        let is_asked = |problem: &&Problem| matches!(problem, Problem::ExpiresSoon(_) | Problem::Expired(_));
        self.problems.iter().filter(|_| warn.is_some()).filter(is_asked).cloned().collect()
    }

    /// Whether its key is too short: no store judges the handshake's signature, which a client does.
    pub(super) fn has_weak_key(&self) -> bool {
        self.problems.iter().any(|problem| matches!(problem, Problem::WeakKey(_)))
    }

    /// Whether some store trusts it.
    pub(super) fn is_trusted(&self) -> bool {
        self.verdicts.iter().any(|(_, verdict)| *verdict == Verdict::Trusted)
    }
}
