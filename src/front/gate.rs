//! Who may ask a proxy of ours, and for what: the same for a request of any version.
//!
//! Refuses to know connections, and how a denial is worded.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::Pattern;
use crate::auth::verifier::{Unproven, Verifier};
use crate::authority::{Authority, Host};
use crate::proto::{AcceptError, ConnectRequest, Opening, Status};
use crate::secret::Login;

/// Who may ask, and for what.
#[derive(Debug)]
pub struct Gate {
    /// Who may ask; `None` is everybody.
    users: Option<Verifier>,
    since: Instant,
    allow: Vec<Pattern>,
    deny: Vec<Pattern>,
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
    /// Its credentials are right, but for a nonce that is old or was used before.
    #[error("a nonce that is stale")]
    Stale,
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

/// 0.0.0.0 and :: name no host; Linux takes them for loopback, whatever the patterns say of that.
fn is_nowhere(address: IpAddr) -> bool {
    address.to_canonical().is_unspecified()
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
            Self::Unauthenticated | Self::Stale => Some(Status::PROXY_AUTHENTICATION_REQUIRED),
            Self::Forbidden(_) => Some(Status::new(403)),
            Self::Slow { .. } => Some(Status::new(408)),
        }
    }
}

impl Gate {
    /// With no logins everybody may ask; `key` is random, and makes the nonces of Digest. What is
    /// allowed is everything if nothing is, and what is denied is not, even if allowed.
    pub fn new(logins: Vec<Login>, key: [u8; 32], allow: Vec<Pattern>, deny: Vec<Pattern>) -> Self {
        let users = (!logins.is_empty()).then(|| Verifier::new(logins, key));
        Self { users, since: Instant::now(), allow, deny }
    }

    /// Lets a request in.
    ///
    /// # Errors
    /// [`Denied`], not answered yet.
    pub(super) fn judge(&self, request: &ConnectRequest) -> Result<(), Denied> {
        if let Some(users) = &self.users {
            let sent = request.credentials.as_ref().ok_or(Denied::Unauthenticated)?;
            let is_target = |uri: &str| uri.parse::<Authority>().is_ok_and(|uri| uri == request.target);
            users.verify(sent, "CONNECT", is_target, self.since.elapsed()).map_err(
                |unproven| match unproven {
                    Unproven::Refused => Denied::Unauthenticated,
                    Unproven::Stale => Denied::Stale,
                },
            )?;
        }
        let among = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(&request.target));
        let nowhere = matches!(request.target.host(), Host::Address(address) if is_nowhere(*address));
        if nowhere || among(&self.deny) || !(self.allow.is_empty() || among(&self.allow)) {
            return Err(Denied::Forbidden(request.target.clone()));
        }
        Ok(())
    }

    /// Which addresses that names lead to may be dialled. What is allowed is a matter of what is asked
    /// for, as a name is; what is denied is denied under every name.
    pub fn permits(&self) -> impl Fn(&SocketAddr) -> bool + Send + Sync + use<> {
        let deny = self.deny.clone();
        move |address| {
            !is_nowhere(address.ip()) && !deny.iter().any(|pattern| pattern.matches_address(*address))
        }
    }

    /// What is sent with the answer to a denial.
    pub(super) fn fields(&self, denied: &Denied) -> Vec<(&'static str, String)> {
        let stale = match denied {
            Denied::Request(AcceptError::Method) => return vec![("Allow", "CONNECT".into())],
            Denied::Unauthenticated => false,
            Denied::Stale => true,
            Denied::Request(_)
            | Denied::Foreign(_)
            | Denied::Tls(_)
            | Denied::Forbidden(_)
            | Denied::Slow { .. }
            | Denied::Broken(_) => return Vec::new(),
        };
        let challenges = self.users.as_ref().map(|users| users.challenges(stale, self.since.elapsed()));
        challenges.into_iter().flatten().map(|challenge| ("Proxy-Authenticate", challenge)).collect()
    }
}
