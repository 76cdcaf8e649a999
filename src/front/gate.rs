//! Who may ask a proxy of ours, and for what: the same for a request of any version.
//!
//! Refuses to know connections, and how a denial is worded.

use std::io;
use std::time::Duration;

use super::Pattern;
use crate::auth::basic;
use crate::authority::{Authority, Host};
use crate::proto::{AcceptError, ConnectRequest, Opening, Status};
use crate::secret::Login;

/// Who may ask, and for what.
#[derive(Debug, Default)]
pub struct Gate {
    /// Who may ask; empty is everybody.
    pub logins: Vec<Login>,
    /// What may be asked for; empty is everything.
    pub allow: Vec<Pattern>,
    /// What may not be asked for, even if allowed.
    pub deny: Vec<Pattern>,
}

/// Why a client got nothing. It has been answered.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// It did not ask properly.
    #[error("{0}")]
    Request(#[from] AcceptError),
    /// It speaks something else than this port does.
    #[error("it speaks {}", spoken(*.0))]
    Foreign(Opening),
    /// TLS with it failed.
    #[error("TLS: {0}")]
    Tls(#[source] io::Error),
    /// It sent no credentials, or wrong ones.
    #[error("not authenticated")]
    Unauthenticated,
    /// Its target is not for it.
    #[error("{0} is not permitted")]
    Forbidden(Authority),
    /// It took too long to say this.
    #[error("no {what} within {limit:?}")]
    Slow {
        /// What it should have said.
        what: &'static str,
        /// In which time.
        limit: Duration,
    },
    /// Its connection broke.
    #[error("the client's connection broke")]
    Broken(#[source] io::Error),
}

fn spoken(opening: Opening) -> &'static str {
    match opening {
        Opening::Http1 => "plain HTTP",
        Opening::Http2 => "HTTP/2",
        Opening::Tls => "TLS",
        Opening::Socks4 => "SOCKS4",
        Opening::Socks5 => "SOCKS5",
    }
}

impl Denied {
    /// The status to answer with; `None` where there is nobody to be answered, or not in HTTP.
    pub(super) fn status(&self) -> Option<Status> {
        match self {
            Self::Request(error) => error.status(),
            Self::Foreign(Opening::Http1 | Opening::Tls) => Some(Status::new(400)),
            Self::Foreign(Opening::Http2) => Some(Status::new(505)),
            Self::Foreign(Opening::Socks4 | Opening::Socks5) | Self::Tls(_) | Self::Broken(_) => None,
            Self::Unauthenticated => Some(Status::PROXY_AUTHENTICATION_REQUIRED),
            Self::Forbidden(_) => Some(Status::new(403)),
            Self::Slow { .. } => Some(Status::new(408)),
        }
    }
}

impl Gate {
    /// Lets a request in.
    ///
    /// # Errors
    /// [`Denied`], not answered yet.
    pub(super) fn judge(&self, request: &ConnectRequest) -> Result<(), Denied> {
        if !self.logins.is_empty() {
            let sent = request.credentials.as_ref();
            let login = sent.and_then(|sent| basic::login(sent.expose())).and_then(Result::ok);
            if !login.is_some_and(|login| self.logins.contains(&login)) {
                return Err(Denied::Unauthenticated);
            }
        }
        let among = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(&request.target));
        // 0.0.0.0 and :: name no host; Linux takes them for loopback, whatever the patterns say of that.
        let nowhere = matches!(request.target.host(), Host::Address(a) if a.to_canonical().is_unspecified());
        if nowhere || among(&self.deny) || !(self.allow.is_empty() || among(&self.allow)) {
            return Err(Denied::Forbidden(request.target.clone()));
        }
        Ok(())
    }

    /// What is sent with an answer of this status.
    pub(super) fn fields(&self, status: Status) -> Vec<(&'static str, String)> {
        match status.code() {
            405 => vec![("Allow", "CONNECT".into())],
            407 => vec![("Proxy-Authenticate", "Basic realm=\"wimble\", charset=\"UTF-8\"".into())],
            _ => Vec::new(),
        }
    }
}
