//! One CONNECT as messages: what is asked, and what each response means for the tunnel.
//!
//! Knows the statuses (RFC 9110 §9.3.6, §15) and how often it may ask. Refuses to know bytes:
//! HTTP/1.1 wraps it in [`super::handshake`].

use bytes::Bytes;

use super::head::{self, Class, ResponseHead, Status};
use super::limits::{MAX_ATTEMPTS, MAX_INTERIM};
use super::request::{self, Message, RequestFields};
use crate::auth::{Challenges, Credentials, Sent};
use crate::authority::Authority;

/// The request and how far it got.
#[derive(Debug)]
pub struct Exchange {
    target: Authority,
    fields: RequestFields,
    credentials: Option<Credentials>,
    /// All that have gone out: the proxy may repeat any.
    sent: Sent,
    attempts: usize,
    interim: usize,
}

/// What a response means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Another response follows (RFC 9110 §15.2).
    Interim,
    /// The tunnel stands at the byte behind this head (RFC 9110 §9.3.6).
    Open,
    /// Credentials are asked for (RFC 9110 §15.5.8).
    Challenged(Challenges),
    /// The proxy said no.
    Refused(Refusal),
}

/// The proxy said no, in HTTP. Its text comes from the network and is not escaped; what it repeats
/// of our secrets is taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The final status.
    pub status: Status,
    /// The reason phrase; empty where absent.
    pub reason: String,
    /// What a 407 offered.
    pub challenges: Challenges,
    /// The fields in which proxies say why, in the order sent.
    pub explanations: Vec<(String, String)>,
}

/// The fields in which proxies say why (RFC 9209, Squid, a redirect's other place) and who they
/// are (RFC 9110 §7.6.3, §10.2.4; what Apache and tinyproxy call themselves).
const EXPLAINING: [&str; 6] = ["Proxy-Status", "X-Squid-Error", "Location", "Via", "Server", "Proxy-Agent"];

/// Why an exchange cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// 101 to a CONNECT, which asked for no upgrade (RFC 9110 §15.2.2).
    #[error("101 Switching Protocols in answer to CONNECT")]
    SwitchingProtocols,
    /// More than [`MAX_INTERIM`] interim responses.
    #[error("more than {MAX_INTERIM} interim responses")]
    TooManyInterim,
    /// More than [`MAX_ATTEMPTS`] requests would be needed.
    #[error("no final answer after {MAX_ATTEMPTS} requests")]
    TooManyAttempts,
}

impl Exchange {
    /// Asks for a tunnel to `target`; `credentials` go with the first request.
    pub fn new(target: Authority, fields: RequestFields, credentials: Option<Credentials>) -> Self {
        let mut sent = Sent::default();
        fields.authorization().for_each(|by_hand| sent.add(by_hand));
        Self { target, fields, credentials, sent, attempts: 0, interim: 0 }
    }

    /// The next request, as the bytes of an HTTP/1.1 head.
    ///
    /// # Errors
    /// [`ExchangeError::TooManyAttempts`].
    pub(super) fn request(&mut self) -> Result<Bytes, ExchangeError> {
        let Message { target, fields, credentials } = self.message()?;
        Ok(request::encode(target, fields, credentials))
    }

    /// The next request, as a message.
    ///
    /// # Errors
    /// [`ExchangeError::TooManyAttempts`].
    pub fn message(&mut self) -> Result<Message<'_>, ExchangeError> {
        if self.attempts == MAX_ATTEMPTS {
            return Err(ExchangeError::TooManyAttempts);
        }
        self.attempts += 1;
        self.interim = 0;
        let Self { target, fields, credentials, sent, .. } = self;
        if let Some(credentials) = credentials {
            sent.add(credentials.expose());
        }
        Ok(Message { target, fields, credentials: credentials.as_ref() })
    }

    /// What has been sent of a login so far.
    pub fn sent(&self) -> &Sent {
        &self.sent
    }

    /// Tells `-vv` of a response in HTTP of this version.
    pub fn log(&self, head: &ResponseHead, version: &str) {
        if tracing::enabled!(tracing::Level::TRACE) {
            head::log(&head.without(&self.sent), version);
        }
    }

    /// The refusal that a final response other than 2xx is, as it may be shown.
    pub fn refusal(&self, head: &ResponseHead) -> Refusal {
        let head = head.without(&self.sent);
        let challenges = match head.status {
            Status::PROXY_AUTHENTICATION_REQUIRED => Challenges::parse(head.values("Proxy-Authenticate")),
            _ => Challenges::default(),
        };
        let explanations = explanations(&head);
        Refusal { status: head.status, reason: head.reason, challenges, explanations }
    }

    /// Judges a response.
    ///
    /// # Errors
    /// 101, and too many interim responses.
    pub fn response(&mut self, head: &ResponseHead) -> Result<Verdict, ExchangeError> {
        match head.status.class() {
            Class::Interim if head.status.code() == 101 => Err(ExchangeError::SwitchingProtocols),
            Class::Interim => {
                self.interim += 1;
                if self.interim > MAX_INTERIM {
                    return Err(ExchangeError::TooManyInterim);
                }
                Ok(Verdict::Interim)
            }
            Class::Success => {
                // RFC 9110 §11.7.2: credentials are for the proxy, never for what is behind it.
                self.credentials = None;
                Ok(Verdict::Open)
            }
            Class::ClientError if head.status == Status::PROXY_AUTHENTICATION_REQUIRED => {
                Ok(Verdict::Challenged(Challenges::parse(head.values("Proxy-Authenticate"))))
            }
            Class::Redirection | Class::ClientError | Class::ServerError => {
                Ok(Verdict::Refused(self.refusal(head)))
            }
        }
    }

    /// Takes the answer to a challenge, for the next request.
    pub fn authorize(&mut self, credentials: Credentials) {
        self.credentials = Some(credentials);
    }
}

/// The fields of a response that say why it came, and from whom.
pub fn explanations(head: &ResponseHead) -> Vec<(String, String)> {
    let explains = |name: &str| EXPLAINING.iter().any(|e| e.eq_ignore_ascii_case(name));
    head.fields.iter().filter(|(name, _)| explains(name)).cloned().collect()
}
