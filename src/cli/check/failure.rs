//! The sentences of a check that failed, and of what is wrong with a certificate.

use std::io;
use std::time::{Duration, SystemTime};

use rustls::AlertDescription;

use crate::cli::exit::Classified as _;
use crate::cli::hints::Detail;
use crate::cli::no_tunnel;
use crate::cli::report::{self, Told};
use crate::mode::check::{CheckError, Problem, Report, StageStatus};
use crate::net::probe::ProbeError;
use crate::net::starttls::StarttlsError;
use crate::net::tls;
use crate::net::trust::Unfit;
use crate::starttls::UpgradeError;
use crate::tunnel::{self, Stage};

/// Characters of what came instead of TLS that are shown.
const MAX_SHOWN: usize = 60;

/// What servers write for browsers that speak plain HTTP to their TLS port: nginx, Apache, Go.
const WANTS_TLS: [&str; 3] =
    ["HTTP request was sent to HTTPS port", "plain HTTP to an SSL", "HTTP request to an HTTPS"];

/// The hint where no TLS was spoken.
const CLOSED_UNASKED: &str =
    "the proxy may say 200 before it has reached the target, or the target does not let this proxy in";

/// How a connection ends that somebody cut.
const RESETS: [io::ErrorKind; 2] = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];

/// The alerts that say what is the matter (RFC 8446 §6.2).
const ALERTS: [(AlertDescription, Detail); 5] = [
    (AlertDescription::CertificateRequired, Detail::ClientCertificate),
    (AlertDescription::ProtocolVersion, Detail::TlsVersion),
    (AlertDescription::HandshakeFailure, Detail::NoCommonCipher),
    (AlertDescription::InsufficientSecurity, Detail::NoCommonCipher),
    (AlertDescription::UnrecognisedName, Detail::NameNotServed),
];

/// A way on which nobody answered, while there are others.
pub(super) fn passed_over(error: &tunnel::Error) -> String {
    no_tunnel::told(error, None).message()
}

/// The failure of a report, if it has one.
pub(in crate::cli) fn failure(report: &Report) -> Option<Told> {
    let error = report.failure.as_ref()?;
    let (target, stage) = (&report.target, error.stage());
    let what = stage.map_or_else(|| target.to_string(), |stage| format!("{} {target}", stage.name()));
    let told = |why: String| Told::new(error.kind(), what, why).at(stage);
    Some(match error {
        CheckError::Route(error) => report::route(error),
        CheckError::Tunnel(error) => {
            let told = no_tunnel::told(error, Some(target));
            if let Some(problems) = proxys_problems(report, &told) {
                let why = sentences(problems);
                return Some(told.saying(format!("the proxy's certificate is not trusted: {why}")));
            }
            let page = report.stages.iter().find_map(|stage| stage.content.as_deref()).unwrap_or_default();
            if WANTS_TLS.iter().any(|words| page.contains(words)) {
                told.because(Detail::PlainHttpOnTlsPort)
            } else {
                told
            }
        }
        CheckError::Page(page) => told(format!("the tunnel opened, and a page came: {:?}", shown(page)))
            .because(Detail::PageAfterSuccess),
        CheckError::Cut { stage, error } => {
            let after = if *stage == Stage::Tls { "the handshake" } else { "it was up" };
            let why = format!("the tunnel was cut off after {after}: {}", report::reason(error));
            told(why).because(Detail::ResetLater)
        }
        CheckError::Closed => told("the tunnel opened and was closed after 0 bytes".into())
            .because(Detail::ClosedAfterSuccess)
            .hint(CLOSED_UNASKED),
        CheckError::Slow { stage: Stage::Http, limit } => {
            told(format!("no answer within {limit:?} (--connect-timeout)")).because(Detail::HttpSilent)
        }
        CheckError::Slow { limit, .. } => {
            told(format!("no handshake within {limit:?} (--connect-timeout)")).because(Detail::TlsSilent)
        }
        CheckError::Starttls(error) => {
            let (why, detail) = starttls(error);
            told(why).because(detail)
        }
        CheckError::Handshake { error, first } => {
            let (why, detail) = no_handshake(report, error, first);
            told(why).because(detail)
        }
        CheckError::Untrusted { stage, with, problems } => {
            let detail = problems.first().map_or(Detail::Untrusted, problem_detail);
            let fault = if detail == Detail::ExpiresSoon { "ends too soon" } else { "is not trusted" };
            let why = format!("the certificate {fault}: {}", sentences(problems));
            Told::new(error.kind(), format!("{} {with}", stage.name()), why).at(*stage).because(detail)
        }
        CheckError::Http(ProbeError::Request(error)) => told(error.to_string()),
        CheckError::Http(ProbeError::Conversation(error)) => {
            let detail = no_answer(causes(error).filter_map(|cause| cause.downcast_ref()));
            let words: Vec<_> = causes(error).map(ToString::to_string).collect();
            told(words.join(": ")).because(detail)
        }
        #[cfg(feature = "http2")]
        CheckError::Http(ProbeError::Http2(error)) => {
            // h2 calls an orderly end of the connection a broken pipe too.
            let broken = error.get_io().filter(|error| error.kind() != io::ErrorKind::BrokenPipe);
            told(error.to_string()).because(no_answer(broken.into_iter()))
        }
    })
}

/// A request that was not answered, by what the connection did.
fn no_answer<'a>(mut errors: impl Iterator<Item = &'a io::Error>) -> Detail {
    let reset = errors.any(|error| RESETS.contains(&error.kind()));
    if reset { Detail::ResetLater } else { Detail::NoHttp }
}

/// What is wrong with the certificate of the proxy that the way ends at, if that is why.
fn proxys_problems<'a>(report: &'a Report, told: &Told) -> Option<&'a [Problem]> {
    let failed = report.stages.iter().find(|stage| stage.status == StageStatus::Failed)?;
    let problems = failed.tls.as_ref()?.problems.as_slice();
    let judged = told.detail == Some(Detail::ProxyUntrusted);
    (judged && !problems.is_empty()).then_some(problems)
}

fn sentences(problems: &[Problem]) -> String {
    problems.iter().map(problem).collect::<Vec<_>>().join("; ")
}

/// A TLS handshake that failed: by an alert, by the certificate, or told by the first bytes that
/// came instead (Q33, Q34).
fn no_handshake(report: &Report, error: &io::Error, first: &[u8]) -> (String, Detail) {
    let tls = report.found.tls.as_ref();
    let wanted = tls.is_some_and(|tls| tls.seen.wants_certificate);
    if let Some(alert) = tls::alert(error) {
        let known = ALERTS.iter().find(|(known, _)| *known == alert).map(|(_, detail)| *detail);
        let detail = if wanted { Detail::ClientCertificate } else { known.unwrap_or(Detail::TlsAlert) };
        let why = if detail == Detail::ClientCertificate {
            "the target wants a certificate of its client"
        } else {
            "the target ended the handshake"
        };
        return (format!("{why} (alert {})", u8::from(alert)), detail);
    }
    let gone = RESETS.contains(&error.kind()) || error.kind() == io::ErrorKind::UnexpectedEof;
    if wanted && gone {
        let why = "the target wants a certificate of its client, and ended the handshake";
        return (why.into(), Detail::ClientCertificate);
    }
    if first.is_empty() {
        let (how, detail) = match RESETS.contains(&error.kind()) {
            true => ("reset", Detail::ResetAfterSuccess),
            false => ("closed", Detail::ClosedAfterSuccess),
        };
        return (format!("the tunnel opened and was {how} after 0 bytes"), detail);
    }
    if matches!(first.first(), Some(0x14..=0x17)) {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        let detail = if gone {
            Detail::ResetLater
        } else if let Some(rustls::Error::PeerIncompatible(why)) = inner {
            let old = *why == rustls::PeerIncompatible::ServerDoesNotSupportTls12Or13;
            if old { Detail::TlsVersion } else { Detail::NoCommonCipher }
        } else {
            Detail::TlsBroken
        };
        return (report::reason(error), detail);
    }
    let detail = if first.starts_with(b"HTTP/1.1 400") || first.starts_with(b"HTTP/1.0 400") {
        // What a web server makes of a ClientHello.
        Detail::PlainHttp
    } else if first.starts_with(b"HTTP/") || first.starts_with(b"<") {
        Detail::PageAfterSuccess
    } else {
        Detail::NotTls
    };
    (format!("no TLS but {:?}", shown(first)), detail)
}

fn starttls(error: &StarttlsError) -> (String, Detail) {
    match error {
        StarttlsError::Broken(error) => (report::reason(error), Detail::StarttlsClosed),
        StarttlsError::Upgrade(error) => {
            let detail = match error {
                UpgradeError::Refused(_) => Detail::StarttlsRefused,
                UpgradeError::NotOffered => Detail::StarttlsNotOffered,
                UpgradeError::OtherProtocol(_) | UpgradeError::TooLong => Detail::StarttlsOtherProtocol,
                UpgradeError::PlainTextBehind(_) => Detail::StarttlsInjected,
                UpgradeError::Closed => Detail::StarttlsClosed,
            };
            let why = match error {
                UpgradeError::Refused(words) => format!("TLS was refused: {words}"),
                UpgradeError::NotOffered => "TLS is not offered".into(),
                UpgradeError::OtherProtocol(bytes) => format!("another protocol: {:?}", shown(bytes)),
                UpgradeError::PlainTextBehind(_) | UpgradeError::TooLong | UpgradeError::Closed => {
                    error.to_string()
                }
            };
            (why, detail)
        }
    }
}

fn problem_detail(problem: &Problem) -> Detail {
    match problem {
        Problem::Expired(_) => Detail::Expired,
        Problem::NotYetValid(_) => Detail::NotYetValid,
        Problem::ExpiresSoon(_) => Detail::ExpiresSoon,
        Problem::WrongName { .. } => Detail::WrongName,
        Problem::SelfSigned => Detail::SelfSigned,
        Problem::UnknownIssuer(_) | Problem::OtherIssuer(_) => Detail::UnknownIssuer,
        Problem::MissingIssuer(_) => Detail::MissingIssuer,
        Problem::Copied => Detail::CopiedCertificate,
        Problem::WeakKey(_) => Detail::WeakKey,
        Problem::WeakSignature(_) => Detail::WeakSignature,
        Problem::Other(_) => Detail::Untrusted,
    }
}

/// What is wrong with a certificate, in words and numbers.
pub(super) fn problem(problem: &Problem) -> String {
    let now = SystemTime::now();
    match problem {
        Problem::Expired(at) => match days(at.elapsed(now).unwrap_or_default()).as_str() {
            "today" => format!("it expired today, {at}"),
            days => format!("it expired {days} ago, on {}", at.date()),
        },
        Problem::ExpiresSoon(at) => match days(at.elapsed(now).err().unwrap_or_default()).as_str() {
            "today" => format!("it expires today, {at}"),
            days => format!("it expires in {days}, on {}", at.date()),
        },
        Problem::NotYetValid(at) => format!("it is not valid before {at}"),
        Problem::WrongName { asked, names } if names.is_empty() => {
            format!("it is for no name at all, not for {asked}")
        }
        Problem::WrongName { asked, names } => {
            let some: Vec<_> = names.iter().take(4).map(String::as_str).collect();
            let more = if names.len() > some.len() { ", …" } else { "" };
            format!("it is for {}{more}, not for {asked}", some.join(", "))
        }
        Problem::SelfSigned => "it is self-signed".into(),
        Problem::UnknownIssuer(issuer) => format!("its issuer is not known here: {issuer}"),
        Problem::OtherIssuer(issuer) => {
            format!("it is not signed by the authority of this name that is known here: {issuer}")
        }
        Problem::MissingIssuer(issuer) => {
            format!("it came alone, and its issuer is no root that is known here: {issuer}")
        }
        Problem::Copied => Unfit::NotItsKey.to_string(),
        Problem::WeakKey(key) => format!("its key is too short: {key}"),
        Problem::WeakSignature(algorithm) => format!("it is signed with {algorithm}, which is broken"),
        Problem::Other(reason) => reason.clone(),
    }
}

fn days(span: Duration) -> String {
    match span.as_secs() / 86_400 {
        0 => "today".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

/// The beginning of what came.
fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(MAX_SHOWN).collect()
}

/// An error and what caused it, which hyper keeps apart.
fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}
