//! Why TLS with a proxy failed, in words: which check said no, and what to try.

use std::io;

use rustls::{AlertDescription, CertificateError};

use super::hints::Detail;
use super::report::reason;
use crate::net::trust::{Unfit, unfit};

/// The words, the cause, and what to try.
pub(super) fn failed(error: &io::Error, first: &[u8]) -> (String, Detail, &'static str) {
    let told = |why: String, detail: Detail| (why, detail, detail.hint());
    if !first.is_empty() && !matches!(first[0], 0x14..=0x17) {
        let shown: String = String::from_utf8_lossy(first).chars().take(60).collect();
        let shown = shown.lines().next().unwrap_or_default().to_owned();
        return told(format!("no TLS but {shown:?}"), Detail::ProxyWithoutTls);
    }
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => {
            if unfit(why) == Some(&Unfit::NotItsKey) {
                return told(
                    format!("the proxy's certificate proves nothing: {}", Unfit::NotItsKey),
                    Detail::CopiedCertificate,
                );
            }
            let (why, hint) = untrusted(why);
            (format!("the proxy's certificate is not trusted: {why}"), Detail::ProxyUntrusted, hint)
        }
        Some(rustls::Error::AlertReceived(
            alert @ (AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::AccessDenied),
        )) => told(
            format!("the proxy refuses our certificate, or misses one: alert {alert:?}"),
            Detail::ProxyWantsCertificate,
        ),
        // What TLS 1.2 says to who shows no certificate (RFC 5246 §7.4.6), and to much else.
        Some(rustls::Error::AlertReceived(alert @ AlertDescription::HandshakeFailure)) => (
            format!("the proxy ended the handshake: alert {alert:?}"),
            Detail::ProxyTlsFailed,
            "it may want a certificate of ours (--proxy-cert FILE), or speak no TLS that is still safe: openssl s_client -connect HOST:PORT shows more",
        ),
        Some(rustls::Error::AlertReceived(alert)) => {
            told(format!("the proxy ended the handshake: alert {alert:?}"), Detail::ProxyTlsFailed)
        }
        Some(other) => told(other.to_string(), Detail::ProxyTlsFailed),
        None if error.kind() == io::ErrorKind::UnexpectedEof => (
            "closed in the middle of the handshake".into(),
            Detail::ProxyTlsFailed,
            "the port may not speak TLS: is the proxy http://? Or it wants a certificate of ours (--proxy-cert)",
        ),
        None => told(reason(error), Detail::ProxyWithoutTls),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "rustls adds variants; what has no words here has its own"
)]
fn untrusted(why: &CertificateError) -> (String, &'static str) {
    use CertificateError as Certificate;
    if let Some(unfit) = unfit(why) {
        return (
            unfit.to_string(),
            "the proxy needs another certificate; until then --proxy-insecure accepts this one, and anybody's",
        );
    }
    match why {
        Certificate::Expired | Certificate::ExpiredContext { .. } => {
            ("it has expired".into(), "the proxy's certificate must be renewed")
        }
        Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
            ("it is not valid yet".into(), Detail::NotYetValid.hint())
        }
        Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
            let names = match why {
                Certificate::NotValidForNameContext { presented, .. } if !presented.is_empty() => {
                    let some: Vec<_> = presented.iter().take(4).map(|name| bare_name(name)).collect();
                    format!("it is for {}", some.join(", "))
                }
                _ => "it is for no name at all".into(),
            };
            (format!("{names}, not for this name"), "give the proxy by a name that its certificate has")
        }
        Certificate::UnknownIssuer => ("its issuer is not known here".into(), Detail::ProxyUntrusted.hint()),
        Certificate::Revoked => ("it was revoked".into(), "the proxy's certificate must be replaced"),
        other => (
            other.to_string(),
            "--proxy-cacert FILE trusts this very certificate, once you know that it is the right one",
        ),
    }
}

/// rustls shows the names of a certificate in the words of its types: `DnsName("a.example")`,
/// `IpAddress(127.0.0.1)`.
fn bare_name(shown: &str) -> &str {
    let within = shown.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(shown);
    within.trim_matches('"')
}
