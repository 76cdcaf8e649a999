//! The exit codes: one total match for each room's errors, with no `_`.

use crate::mode::RouteError;
use crate::mode::check::CheckError;
use crate::mode::connect::ConnectError;
#[cfg(feature = "pac")]
use crate::mode::pac::PacCause;
use crate::net::bridge::BridgeError;
use crate::net::probe::ProbeError;
use crate::net::starttls::StarttlsError;
use crate::proto::head::Class;
use crate::proto::http2::{Code, Http2Error};
use crate::proto::socks::{Refusal, SocksError};
#[cfg(feature = "pac")]
use crate::route::pac::PacError;
use crate::tunnel::{Cause, Error, LookUpError, Stage};

/// Ctrl-C came before every target had been checked: 128 and SIGINT, as a shell has it.
pub(super) const INTERRUPTED: u8 = 130;

/// What went wrong, as far as a script cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Local,
    Usage,
    Resolve,
    Unreachable,
    ProxyTls,
    Auth,
    Refused,
    Gateway,
    Protocol,
    Tls,
    Cut,
    Timeout,
}

impl Kind {
    /// The process's exit code.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Local => 1,
            Self::Usage => 2,
            Self::Resolve => 3,
            Self::Unreachable => 4,
            Self::ProxyTls => 5,
            Self::Auth => 6,
            Self::Refused => 7,
            Self::Gateway => 8,
            Self::Protocol => 9,
            Self::Tls => 10,
            Self::Cut => 11,
            Self::Timeout => 124,
        }
    }

    /// Its name in JSON.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Usage => "usage",
            Self::Resolve => "resolve",
            Self::Unreachable => "unreachable",
            Self::ProxyTls => "proxy-tls",
            Self::Auth => "auth",
            Self::Refused => "refused",
            Self::Gateway => "gateway",
            Self::Protocol => "protocol",
            Self::Tls => "tls",
            Self::Cut => "cut",
            Self::Timeout => "timeout",
        }
    }
}

/// The kind of an error.
pub(super) trait Classified {
    fn kind(&self) -> Kind;
}

impl Classified for Error {
    fn kind(&self) -> Kind {
        match &self.cause {
            Cause::Resolve(_) => Kind::Resolve,
            Cause::Unreachable(_) | Cause::Closed | Cause::Broken(_) => Kind::Unreachable,
            Cause::Tls { .. } => Kind::ProxyTls,
            Cause::Socks(error) => error.kind(),
            Cause::Http2(error) => error.kind(),
            Cause::NoSocksLogin => Kind::Auth,
            Cause::Timeout(_) | Cause::NoRoom(_) => Kind::Timeout,
            Cause::Nonsense(_) => Kind::Protocol,
            Cause::Unauthenticated { .. } | Cause::Impostor | Cause::LookUp(LookUpError::Failed(_)) => {
                Kind::Auth
            }
            Cause::LookUp(LookUpError::Late(_)) => Kind::Timeout,
            Cause::System(_) => Kind::Local,
            Cause::Denied => Kind::Refused,
            Cause::Refused(refusal) => match refusal.status.class() {
                Class::Redirection | Class::ClientError => Kind::Refused,
                Class::ServerError => Kind::Gateway,
                Class::Interim | Class::Success => Kind::Protocol,
            },
        }
    }
}

impl Classified for SocksError {
    fn kind(&self) -> Kind {
        match self {
            Self::Methods
            | Self::Forbidden
            | Self::Login
            | Self::LoginUnanswered
            | Self::LoginUnspeakable => Kind::Auth,
            // RFC 1928 §6: 2 is the ruleset, 7 and 8 what the proxy can't do; the others are about
            // the target. SOCKS4's 92 and 93 are about who we are.
            Self::Refused(Refusal::Five(2 | 7 | 8)) => Kind::Refused,
            Self::Refused(Refusal::Five(_)) => Kind::Gateway,
            Self::Refused(Refusal::Four(92 | 93)) => Kind::Auth,
            Self::Refused(Refusal::Four(_)) | Self::Unspeakable => Kind::Refused,
            Self::Nonsense(_) | Self::Truncated => Kind::Protocol,
            Self::Closed => Kind::Unreachable,
        }
    }
}

impl Classified for Http2Error {
    fn kind(&self) -> Kind {
        match self {
            Self::NotChosen | Self::NotHttp2(_) | Self::Broken(_) | Self::Handshake(_) => Kind::Protocol,
            Self::Reset(Code::CONNECT_ERROR) => Kind::Gateway,
            Self::Reset(_) | Self::GoAway(_) | Self::NoStreams => Kind::Unreachable,
        }
    }
}

impl Classified for RouteError {
    fn kind(&self) -> Kind {
        match *self {
            Self::NoProxy { .. } => Kind::Usage,
            #[cfg(feature = "pac")]
            Self::Pac(ref failure) => match &failure.cause {
                PacCause::SlowServer(_) | PacCause::Slow(_) | PacCause::Script(PacError::TooSlow) => {
                    Kind::Timeout
                }
                PacCause::Thread(_) | PacCause::Script(PacError::Engine(_)) => Kind::Local,
                PacCause::Read(_)
                | PacCause::Fetch(_)
                | PacCause::Script(
                    PacError::TooLarge
                    | PacError::Script(_)
                    | PacError::NoFunction
                    | PacError::NoText(_)
                    | PacError::LongAnswer(_)
                    | PacError::NoWay(_),
                ) => Kind::Usage,
            },
        }
    }
}

impl Classified for BridgeError {
    fn kind(&self) -> Kind {
        match self {
            Self::Cut(_) => Kind::Cut,
            Self::Input(_) | Self::Output(_) | Self::OutputClosed | Self::Poll(_) => Kind::Local,
            Self::Idle(_) => Kind::Timeout,
        }
    }
}

impl Classified for ConnectError {
    fn kind(&self) -> Kind {
        match self {
            Self::Route(error) => error.kind(),
            Self::Tunnel(error) => error.kind(),
            Self::Bridge(error) => error.kind(),
            Self::NoParent | Self::NoSocket => Kind::Usage,
            Self::TooEarly(_) => Kind::Protocol,
            Self::HandOver(_) | Self::System(_) => Kind::Local,
        }
    }
}

impl Classified for CheckError {
    fn kind(&self) -> Kind {
        match self {
            Self::Route(error) => error.kind(),
            Self::Tunnel(error) => error.kind(),
            Self::Page(_) => Kind::Protocol,
            Self::Http(ProbeError::Conversation(error)) if error.is_parse() => Kind::Protocol,
            #[cfg(feature = "http2")]
            Self::Http(ProbeError::Http2(error)) if error.is_io() => Kind::Cut,
            #[cfg(feature = "http2")]
            Self::Http(ProbeError::Http2(_)) => Kind::Protocol,
            Self::Cut { .. } | Self::Closed | Self::Http(ProbeError::Conversation(_)) => Kind::Cut,
            Self::Untrusted { stage: Stage::ProxyTls, .. } => Kind::ProxyTls,
            Self::Starttls(StarttlsError::Upgrade(_) | StarttlsError::Broken(_))
            | Self::Handshake { .. }
            | Self::Untrusted { .. } => Kind::Tls,
            Self::Slow { .. } => Kind::Timeout,
            Self::Http(ProbeError::Request(_)) => Kind::Usage,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Challenges;
    use crate::proto::{Refusal, Status};
    use crate::tunnel::Peer;

    #[test]
    fn r09_a_status_decides_by_its_class() {
        for (code, exit) in
            [(302, 7), (400, 7), (403, 7), (451, 7), (499, 7), (500, 8), (503, 8), (599, 8), (799, 8)]
        {
            let refusal = Refusal {
                status: Status::new(code),
                reason: String::new(),
                challenges: Challenges::default(),
                explanations: Vec::new(),
            };
            let peer = Peer::Proxy("proxy:1".parse().expect("an authority"));
            let cause = Cause::Refused(refusal.into());
            let error = Error { stage: Stage::Connect, peer, toward: None, cause };
            assert_eq!(error.kind().code(), exit, "{code}");
        }
    }
}
