//! Why there is no tunnel, in words: every cause that its opening may end with.

use std::io;

use rustix::io::Errno;

use super::exit::Classified as _;
use super::hints::Detail;
use super::report::{Told, reason};
use super::{proxy_tls, socks, unanswered};
use crate::authority::Authority;
use crate::proto::exchange::ExchangeError;
use crate::proto::head::HeadError;
use crate::proto::http2::{Code, Http2Error};
use crate::proto::{HandshakeError, Refusal, proxy_status};
use crate::tunnel::{self, Cause, Peer, Stage};

/// A tunnel that could not be opened.
pub(super) fn told(error: &tunnel::Error, target: Option<&Authority>) -> Told {
    let told = no_tunnel(error, error.toward.as_deref().or(target));
    let is_about_target = told.detail.is_some_and(|detail| ABOUT_THE_TARGET.contains(&detail));
    if error.toward.is_some() && is_about_target { told.hint(NEXT_PROXY) } else { told }
}

/// What a proxy may have against the target, or the target against it.
const ABOUT_THE_TARGET: [Detail; 6] = [
    Detail::ProxySilent,
    Detail::Forbidden,
    Detail::Refused,
    Detail::TargetUnreachable,
    Detail::TargetUnknown,
    Detail::SocksRefused,
];

/// The hint where that is not the target.
const NEXT_PROXY: &str =
    "that is the next proxy of the chain: may this one reach it, and does the chain begin with the nearest?";

fn no_tunnel(error: &tunnel::Error, target: Option<&Authority>) -> Told {
    let who = match &error.peer {
        Peer::Proxy(place) => format!("proxy {place}"),
        Peer::Target(place) => place.to_string(),
    };
    let what = match (error.stage, target) {
        (Stage::Connect, Some(target)) => format!("connect to {target} through {who}"),
        (Stage::Connect, None) => format!("connect through {who}"),
        (stage, _) => format!("{} {who}", stage.name()),
    };
    let told = |why: String| Told::new(error.kind(), what, why).at(error.stage);
    match &error.cause {
        Cause::Resolve(why) if why.kind() == io::ErrorKind::NotFound => {
            told(reason(why)).because(Detail::NoSuchName).hint("-4 and -6 leave the other addresses out")
        }
        Cause::Resolve(why) => {
            told(format!("the name does not resolve: {}", reason(why))).because(Detail::NoSuchName)
        }
        Cause::Denied => told(error.cause.to_string()),
        Cause::Unreachable(failed) => {
            let each = |(address, error): &(_, io::Error)| match failed.len() {
                1 => reason(error),
                _ => format!("{address}: {}", reason(error)),
            };
            let refused = failed.iter().any(|(_, error)| error.kind() == io::ErrorKind::ConnectionRefused);
            told(failed.iter().map(each).collect::<Vec<_>>().join("; ")).because(if refused {
                Detail::ConnectionRefused
            } else {
                Detail::NoWay
            })
        }
        Cause::Timeout(time) => {
            let (option, detail) = match error.stage {
                Stage::Resolve => ("--connect-timeout", Detail::ResolverSilent),
                Stage::Tcp => ("--connect-timeout", Detail::PacketsDropped),
                Stage::ProxyTls => ("--connect-timeout", Detail::ProxyTlsSilent),
                Stage::Connect | Stage::Tls | Stage::Http => ("--proxy-timeout", Detail::ProxySilent),
            };
            told(format!("no answer within {time:?} ({option})")).because(detail)
        }
        Cause::NoRoom(time) => {
            told(format!("no stream was to be had within {time:?}")).because(Detail::NoRoom)
        }
        Cause::Tls { error, first } => {
            let (why, detail, hint) = proxy_tls::failed(error, first);
            told(why).because(detail).hint(hint)
        }
        Cause::Socks(error) => {
            let (why, detail, hint) = socks::failed(error);
            told(why).because(detail).hint(hint)
        }
        Cause::NoSocksLogin => told("the proxy wants a name and password".into()).because(Detail::NoLogin),
        Cause::Closed => told("closed without an answer".into()).because(Detail::ClosedUnanswered),
        Cause::Broken(why) => {
            let says_why = why.get_ref().is_some_and(|inner| inner.is::<Http2Error>());
            told(reason(why)).because(if says_why { Detail::StreamReset } else { Detail::BrokenUnanswered })
        }
        Cause::Nonsense(why) => {
            let (why, detail) = nonsense(why);
            told(why).because(detail)
        }
        Cause::Http2(error) => told(error.to_string()).because(match error {
            Http2Error::NotChosen | Http2Error::NotHttp2(_) | Http2Error::NoStreams => Detail::NoHttp2,
            Http2Error::Broken(_) | Http2Error::Handshake(_) => Detail::BadHttp,
            Http2Error::Reset(Code::CONNECT_ERROR) => Detail::TargetUnreachable,
            Http2Error::Reset(_) | Http2Error::GoAway(_) => Detail::StreamReset,
        }),
        Cause::Refused(refusal) => told(status_line(refusal)).because(refusal_detail(refusal)),
        Cause::LookUp(why) => told(why.to_string()).because(Detail::LoginNotFound),
        Cause::Unauthenticated { why, attempts, refusal } => {
            let status = format!("{} {}", refusal.status, refusal.reason);
            let (why, detail, hint) = unanswered::explain(*why, attempts, refusal);
            told(format!("{}: {why}", status.trim_end())).because(detail).hint(hint)
        }
        Cause::Impostor => {
            told("its token is not from the service that the ticket is for".into()).because(Detail::Impostor)
        }
        Cause::System(why) => {
            let told = told(reason(why));
            let is_full = Errno::from_io_error(why) == Some(Errno::MFILE);
            if is_full { told.hint("this process may not open more files: ulimit -n") } else { told }
        }
    }
}

/// `403 Forbidden`, and what the proxy says about it.
fn status_line(refusal: &Refusal) -> String {
    let mut line = format!("{} {}", refusal.status, refusal.reason).trim_end().to_owned();
    // Who says it is a check's to tell.
    let why = |name: &str| !["Via", "Server", "Proxy-Agent"].iter().any(|who| who.eq_ignore_ascii_case(name));
    for (name, value) in refusal.explanations.iter().filter(|(name, _)| why(name)) {
        line.push_str(&format!(" ({name}: {value})"));
    }
    line
}

fn refusal_detail(refusal: &Refusal) -> Detail {
    match refusal.status.code() {
        300..=399 => return Detail::CaptivePortal,
        401 => return Detail::WebServer,
        429 => return Detail::TooMany,
        // RFC 6585 §6.
        511 => return Detail::CaptivePortal,
        _ => {}
    }
    if let Some(detail) = proxys_word(refusal) {
        return detail;
    }
    match refusal.status.code() {
        400 => Detail::BadRequest,
        403 => Detail::Forbidden,
        404 | 405 | 501 => Detail::NoConnect,
        402..=499 => Detail::Refused,
        502..=504 => Detail::TargetUnreachable,
        _ => Detail::ProxyFailed,
    }
}

/// The cause, where the proxy has a name for it: Squid's, or RFC 9209 §2.3.
fn proxys_word(refusal: &Refusal) -> Option<Detail> {
    let values = |name: &'static str| {
        let named = refusal.explanations.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    };
    if values("X-Squid-Error").any(|value| value.split(' ').next() == Some("ERR_DNS_FAIL")) {
        return Some(Detail::TargetUnknown);
    }
    match proxy_status::failure(values("Proxy-Status"))?.as_str() {
        "dns_error" | "dns_timeout" => Some(Detail::TargetUnknown),
        "destination_unavailable"
        | "destination_ip_unroutable"
        | "connection_refused"
        | "connection_terminated"
        | "connection_timeout" => Some(Detail::TargetUnreachable),
        "destination_ip_prohibited" | "http_request_denied" => Some(Detail::Forbidden),
        "proxy_loop_detected" => Some(Detail::Circles),
        "proxy_internal_error" | "proxy_configuration_error" => Some(Detail::ProxyFailed),
        // The others are about answers that a CONNECT does not wait for, or new: the status says more.
        _ => None,
    }
}

fn nonsense(error: &HandshakeError) -> (String, Detail) {
    match error {
        HandshakeError::Head(HeadError::StatusLine(line)) => {
            let shown: String = String::from_utf8_lossy(line).chars().take(80).collect();
            let detail = if line.starts_with(b"SSH-") {
                Detail::SshPort
            } else if line.starts_with(b"HTTP/") || line.starts_with(b"ICY") {
                Detail::BadHttp
            } else {
                Detail::NotHttp
            };
            (format!("not an HTTP answer: {shown:?}"), detail)
        }
        HandshakeError::Head(error @ HeadError::Field(line)) => {
            let shown: String = String::from_utf8_lossy(line).chars().take(80).collect();
            (format!("{error}: {shown:?}"), Detail::BadHttp)
        }
        HandshakeError::Head(HeadError::TlsRecord) => {
            ("a TLS record instead of an HTTP answer".into(), Detail::TlsPort)
        }
        HandshakeError::Head(error @ (HeadError::TooLarge | HeadError::TooManyLines)) => {
            (error.to_string(), Detail::BadHttp)
        }
        HandshakeError::Exchange(error @ ExchangeError::SwitchingProtocols) => {
            (error.to_string(), Detail::NotHttp)
        }
        HandshakeError::Exchange(error) => (error.to_string(), Detail::Circles),
        HandshakeError::Closed | HandshakeError::Truncated => (error.to_string(), Detail::CutAnswer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::GiveUp;
    use crate::proto::socks::SocksError;

    #[test]
    fn what_no_test_can_wait_for_has_its_cause() {
        let peer = || Peer::Proxy("proxy:1".parse().expect("an authority"));
        let unreachable =
            || Cause::Unreachable(vec![(([192, 0, 2, 1], 1).into(), io::ErrorKind::HostUnreachable.into())]);
        let tls = |error: rustls::Error| Cause::Tls { error: io::Error::other(error), first: Vec::new() };
        let slow = || Cause::Timeout(std::time::Duration::from_secs(1));
        for (stage, cause, detail) in [
            (Stage::Resolve, slow(), "resolver-silent"),
            (Stage::Tcp, slow(), "packets-dropped"),
            (Stage::Tcp, unreachable(), "no-way"),
            (Stage::ProxyTls, slow(), "proxy-tls-silent"),
            (Stage::Connect, Cause::Socks(SocksError::Methods), "socks-methods"),
            (Stage::Connect, Cause::Socks(SocksError::Unspeakable), "socks-unspeakable"),
            (Stage::Connect, Cause::Socks(SocksError::Nonsense(b"HTTP".to_vec())), "not-socks"),
            (
                Stage::Connect,
                Cause::Socks(SocksError::Refused(crate::proto::socks::Refusal::Five(2))),
                "socks-refused",
            ),
            (Stage::ProxyTls, tls(rustls::CertificateError::UnknownIssuer.into()), "proxy-untrusted"),
            (
                Stage::ProxyTls,
                tls(rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired)),
                "proxy-wants-certificate",
            ),
            (
                Stage::ProxyTls,
                tls(rustls::Error::AlertReceived(rustls::AlertDescription::HandshakeFailure)),
                "proxy-tls-failed",
            ),
            (
                Stage::ProxyTls,
                Cause::Tls { error: io::ErrorKind::InvalidData.into(), first: b"HTTP/1.1 400".to_vec() },
                "proxy-without-tls",
            ),
            (Stage::Connect, Cause::Impostor, "impostor"),
        ] {
            let told = told(&tunnel::Error { stage, peer: peer(), toward: None, cause }, None);
            assert_eq!(told.detail.map(Detail::name), Some(detail));
        }
    }

    #[test]
    fn a_407_that_gets_no_answer_has_its_cause() {
        let refusal = Refusal {
            status: crate::proto::Status::PROXY_AUTHENTICATION_REQUIRED,
            reason: String::new(),
            challenges: crate::auth::Challenges::default(),
            explanations: Vec::new(),
        };
        for (why, detail) in [
            (GiveUp::Unusable, "unusable-credentials"),
            (GiveUp::Interrupted(crate::auth::Scheme::Basic), "auth-interrupted"),
        ] {
            let (_, cause, hint) = unanswered::explain(why, &[], &refusal);
            assert_eq!(cause.name(), detail);
            assert_eq!(hint, cause.hint());
        }
    }
}
