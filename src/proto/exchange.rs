//! One CONNECT as messages: what is asked, and what each response means for the tunnel.
//!
//! Knows the statuses (RFC 9110 §9.3.6, §15) and how often it may ask. Refuses to know bytes:
//! HTTP/1.1 wraps it in [`super::handshake`].

use bytes::Bytes;

use super::head::{Class, ResponseHead, Status};
use super::limits::{MAX_ATTEMPTS, MAX_INTERIM};
use super::request::{self, Message, RequestFields};
use crate::auth::{Challenges, Credentials, basic};
use crate::authority::Authority;
use crate::secret::Secret;

/// The shortest password that is looked for by itself in a text. One that is shorter stands in many
/// words, and to take it out there would tell it.
const SHORTEST_PASSWORD: usize = 3;

/// The request and how far it got.
#[derive(Debug)]
pub struct Exchange {
    target: Authority,
    fields: RequestFields,
    credentials: Option<Credentials>,
    /// Those that have gone out: the proxy may repeat any.
    sent: Vec<Credentials>,
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

/// The proxy said no, in HTTP. Its text comes from the network and is not escaped.
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
        Self { target, fields, credentials, sent: Vec::new(), attempts: 0, interim: 0 }
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
        if sent.last() != credentials.as_ref() {
            sent.extend(credentials.clone());
        }
        Ok(Message { target, fields, credentials: credentials.as_ref() })
    }

    /// Takes out of a head what a proxy repeats of our secrets in it: its text is shown.
    pub fn mask_head(&self, head: &mut ResponseHead) {
        let secrets = self.secrets();
        let values = head.fields.iter_mut().map(|(_, value)| value);
        values.chain([&mut head.reason]).for_each(|text| mask(text, &secrets));
    }

    /// The same for any other bytes of its.
    pub fn mask(&self, bytes: &[u8]) -> String {
        let mut text = String::from_utf8_lossy(bytes).into_owned();
        mask(&mut text, &self.secrets());
        text
    }

    /// What was sent that nobody else shall read, the longest first: a name and its password too, as
    /// a proxy that took Basic knows them, and as its pages write them.
    fn secrets(&self) -> Vec<Secret> {
        let mut secrets = Vec::new();
        for sent in self.sent.iter().map(Credentials::expose).chain(self.fields.authorization()) {
            // The scheme is no secret, and stands in every challenge.
            secrets.push(sent.split_once(' ').map_or(sent, |(_, token)| token.trim()).to_owned());
            if let Some(Ok(login)) = basic::login(sent)
                && let Some(password) = login.password().map(Secret::expose)
            {
                let pair = format!("{}:{password}", login.user());
                secrets.extend([in_html(&pair), pair]);
                if password.len() >= SHORTEST_PASSWORD {
                    secrets.extend([in_html(password), password.to_owned()]);
                }
            }
        }
        secrets.retain(|secret| !secret.is_empty());
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.into_iter().map(Secret::new).collect()
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
                self.sent.clear();
                Ok(Verdict::Open)
            }
            Class::ClientError if head.status == Status::PROXY_AUTHENTICATION_REQUIRED => {
                Ok(Verdict::Challenged(Challenges::parse(head.values("Proxy-Authenticate"))))
            }
            Class::Redirection | Class::ClientError | Class::ServerError => {
                Ok(Verdict::Refused(refusal(head, Challenges::default())))
            }
        }
    }

    /// Takes the answer to a challenge, for the next request.
    pub fn authorize(&mut self, credentials: Credentials) {
        self.credentials = Some(credentials);
    }
}

fn mask(text: &mut String, secrets: &[Secret]) {
    for secret in secrets.iter().map(Secret::expose) {
        if text.contains(secret) {
            *text = text.replace(secret, "[redacted]");
        }
    }
}

/// As a page has it.
fn in_html(text: &str) -> String {
    [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\"", "&quot;"), ("'", "&#39;")]
        .into_iter()
        .fold(text.to_owned(), |text, (character, entity)| text.replace(character, entity))
}

/// The fields of a response that say why it came, and from whom.
pub fn explanations(head: &ResponseHead) -> Vec<(String, String)> {
    let explains = |name: &str| EXPLAINING.iter().any(|e| e.eq_ignore_ascii_case(name));
    head.fields.iter().filter(|(name, _)| explains(name)).cloned().collect()
}

/// The refusal that a final response other than 2xx is.
pub fn refusal(head: &ResponseHead, challenges: Challenges) -> Refusal {
    Refusal { status: head.status, reason: head.reason.clone(), challenges, explanations: explanations(head) }
}
