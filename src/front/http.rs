//! Clients that ask by HTTP CONNECT: the gate of `serve`.
//!
//! Drives `proto::Accept`; knows who may ask (Basic) and for what (patterns).

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Pattern, Wish};
use crate::auth::basic;
use crate::authority::{Authority, Host};
use crate::net::stream::Stream;
use crate::proto::accept::respond;
use crate::proto::{Accept, AcceptError, ConnectRequest, Status};
use crate::secret::Login;

/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much of what a denied client still sends is read away, so that the answer is not lost to a
/// reset (RFC 9112 §9.6).
const MAX_DRAINED: usize = 256 * 1024;

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
    /// It sent no credentials, or wrong ones.
    #[error("not authenticated")]
    Unauthenticated,
    /// Its target is not for it.
    #[error("{0} is not permitted")]
    Forbidden(Authority),
    /// It took too long to ask.
    #[error("no request within {PATIENCE:?}")]
    Slow,
    /// Its connection broke.
    #[error("the client's connection broke")]
    Broken(#[source] io::Error),
}

impl Gate {
    pub(super) async fn hear(&self, client: &mut Stream) -> Result<Wish, Denied> {
        let request = match tokio::time::timeout(PATIENCE, read(client)).await {
            Ok(read) => read,
            Err(_) => Err(Denied::Slow),
        };
        let denied = match request.and_then(|request| self.judge(request)) {
            Ok(wish) => return Ok(wish),
            Err(denied) => denied,
        };
        let status = match &denied {
            Denied::Request(error) => error.status(),
            Denied::Unauthenticated => Some(Status::PROXY_AUTHENTICATION_REQUIRED),
            Denied::Forbidden(_) => Some(Status::new(403)),
            Denied::Slow => Some(Status::new(408)),
            Denied::Broken(_) => None,
        };
        if let Some(status) = status {
            deny(client, status).await;
        }
        Err(denied)
    }

    fn judge(&self, request: ConnectRequest) -> Result<Wish, Denied> {
        if !self.logins.is_empty() {
            let login = request.credentials.and_then(|c| basic::login(c.expose())).and_then(Result::ok);
            if !login.is_some_and(|login| self.logins.contains(&login)) {
                return Err(Denied::Unauthenticated);
            }
        }
        let among = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(&request.target));
        // 0.0.0.0 and :: name no host; Linux takes them for loopback, whatever the patterns say of that.
        let nowhere = matches!(request.target.host(), Host::Address(a) if a.to_canonical().is_unspecified());
        if nowhere || among(&self.deny) || !(self.allow.is_empty() || among(&self.allow)) {
            return Err(Denied::Forbidden(request.target));
        }
        Ok(Wish { target: request.target, early: request.early })
    }
}

async fn read(client: &mut Stream) -> Result<ConnectRequest, Denied> {
    let mut accept = Accept::default();
    let mut buffer = Vec::with_capacity(4096);
    loop {
        buffer.clear();
        if client.read_buf(&mut buffer).await.map_err(Denied::Broken)? == 0 {
            return Err(accept.receive_eof().into());
        }
        if let Some(request) = accept.receive(&buffer)? {
            return Ok(request);
        }
    }
}

pub(super) async fn grant(client: &mut Stream) -> io::Result<()> {
    client.write_all(&respond(Status::new(200), "Connection established", &[])).await
}

pub(super) async fn deny(client: &mut Stream, status: Status) {
    let (reason, fields): (_, &[_]) = match status.code() {
        400 => ("Bad Request", &[]),
        403 => ("Forbidden", &[]),
        405 => ("Method Not Allowed", &[("Allow", "CONNECT")]),
        407 => (
            "Proxy Authentication Required",
            &[("Proxy-Authenticate", "Basic realm=\"wimble\", charset=\"UTF-8\"")],
        ),
        408 => ("Request Timeout", &[]),
        431 => ("Request Header Fields Too Large", &[]),
        502 => ("Bad Gateway", &[]),
        504 => ("Gateway Timeout", &[]),
        _ => ("", &[]),
    };
    if client.write_all(&respond(status, reason, fields)).await.is_err() || client.finish().is_err() {
        return;
    }
    let mut buffer = Vec::with_capacity(4096);
    let drain = async {
        let mut drained = 0;
        while drained < MAX_DRAINED {
            buffer.clear();
            match client.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(read) => drained += read,
            }
        }
    };
    let _slow = tokio::time::timeout(Duration::from_secs(2), drain).await;
}
