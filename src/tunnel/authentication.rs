//! Does what the authenticator can't do itself: asks people, the system's Kerberos, chance and
//! the clock.

use std::io;
use std::time::SystemTime;

use tokio::time::Instant;

use super::logins::{Account, Trial};
use super::{Config, LookUpError, Question};
use crate::auth::{Answer, Attempt, Audience, Authenticator, Challenges, Credentials, Fresh, GiveUp, Scheme};
use crate::authority::{Authority, Host};
use crate::proto::content::Persistence;
use crate::proto::{ResponseHead, Status};
use crate::route::ProxyUri;
use crate::secret::Login;

/// The authentication of one exchange.
pub(super) struct Authentication<'a> {
    account: Account,
    proxy: &'a Authority,
    authenticator: Authenticator,
    #[cfg(feature = "negotiate")]
    kerberos: super::kerberos::Kerberos,
    trial: Option<Trial>,
    /// Credentials have been sent.
    sent: bool,
    /// When the exchange must be over; a person's typing is added.
    pub(super) deadline: Instant,
}

/// Why there are no credentials.
pub(super) enum Stopped {
    GaveUp(GiveUp),
    /// Kerberos took too long.
    #[cfg(feature = "negotiate")]
    Late,
    /// There is no randomness to be had.
    System(io::Error),
    /// The login that should be sent could not be had.
    LookUp(LookUpError),
    /// The proxy did not prove itself, though it tried.
    #[cfg(feature = "negotiate")]
    Impostor,
}

impl<'a> Authentication<'a> {
    /// Looks a login up where one is to go with the first request.
    pub(super) async fn new(
        config: &Config,
        uri: &'a ProxyUri,
        target: &Authority,
    ) -> Result<Self, LookUpError> {
        let proxy = &uri.authority;
        let service = config.service.clone().unwrap_or_else(|| service(proxy));
        let audience = Audience { target: target.to_string(), service: service.clone() };
        let account = config.logins.of(uri);
        Ok(Self {
            authenticator: account.authenticator(config.auth, audience).await?,
            account,
            proxy,
            #[cfg(feature = "negotiate")]
            kerberos: super::kerberos::Kerberos::new(service),
            trial: None,
            sent: false,
            deadline: Instant::now() + config.proxy_timeout,
        })
    }

    /// What goes with the first request.
    pub(super) async fn unasked(&mut self) -> Result<Option<Credentials>, Stopped> {
        let answer = self.authenticator.unasked(&fresh()?);
        let resolved = self.resolve(answer).await?;
        self.try_in_turn(resolved).await
    }

    /// What answers a 407.
    pub(super) async fn answer(
        &mut self,
        challenges: &Challenges,
        connection: Persistence,
    ) -> Result<Option<Credentials>, Stopped> {
        let persists = connection == Persistence::Persists;
        let answer = self.authenticator.answer(challenges, persists, &fresh()?);
        let resolved = self.resolve(answer).await;
        if let Err(Stopped::GaveUp(GiveUp::Refused)) = resolved {
            self.account.remember_refusal(self.authenticator.has_refused_ticket());
        }
        self.try_in_turn(resolved?).await
    }

    /// What no connection has tried yet is tried by one at a time.
    async fn try_in_turn(&mut self, found: Option<Credentials>) -> Result<Option<Credentials>, Stopped> {
        if found.is_some() && self.trial.is_none() {
            self.trial = self.account.trial().await;
            // Who had the turn before may have learnt it.
            if !self.sent && self.account.is_refused() {
                return Err(Stopped::GaveUp(GiveUp::Refused));
            }
        }
        self.sent |= found.is_some();
        Ok(found)
    }

    /// The proxy has answered, and not about the credentials.
    fn are_taken(&mut self) {
        if self.sent {
            self.account.remember_success();
        }
        self.trial = None;
    }

    /// Whether a refusal that is no 407 was about the credentials (RFC 9110 §15.5.2).
    pub(super) fn is_refused_by(&mut self, status: Status) -> bool {
        let refused = status == Status::UNAUTHORIZED && self.authenticator.turned_away();
        match refused {
            true => self.account.remember_refusal(self.authenticator.has_refused_ticket()),
            false => self.are_taken(),
        }
        refused
    }

    /// What is under way, if a new connection makes it worthless.
    pub(super) fn interrupted(&self) -> Option<Scheme> {
        self.authenticator.interrupted()
    }

    /// The tunnel stands. RFC 4559 §5: a token on the 2xx proves the proxy; Squid sends none, and
    /// the 2xx counts all the same (R39).
    pub(super) async fn opened(&mut self, response: &ResponseHead) -> Result<(), Stopped> {
        #[cfg(feature = "negotiate")]
        if let Some(token) = self.authenticator.proof(&Challenges::parse(
            response.values("Proxy-Authenticate").chain(response.values("Proxy-Authentication-Info")),
        )) && !self.kerberos.is_proved_by(token, self.deadline).await?
        {
            return Err(Stopped::Impostor);
        }
        self.authenticator.opened(response.values("Proxy-Authentication-Info"));
        self.are_taken();
        Ok(())
    }

    pub(super) fn into_attempts(self) -> Vec<Attempt> {
        self.authenticator.into_attempts()
    }

    /// Asks around until there is something to send.
    async fn resolve(&mut self, mut answer: Answer) -> Result<Option<Credentials>, Stopped> {
        loop {
            answer = match answer {
                Answer::Credentials(credentials) => return Ok(Some(credentials)),
                Answer::Nothing => return Ok(None),
                Answer::GiveUp(why) => return Err(Stopped::GaveUp(why)),
                Answer::WantLogin { realm, refused } => {
                    let question = Question { proxy: self.proxy.clone(), realm, refused };
                    let login = self.login(question).await.map_err(Stopped::LookUp)?;
                    self.authenticator.supply(login, &fresh()?)
                }
                #[cfg(feature = "negotiate")]
                Answer::WantToken { reply } => {
                    let token = self.kerberos.token(reply, self.deadline).await?;
                    if let Err(why) = &token {
                        tracing::debug!("Negotiate: {why}");
                    }
                    self.authenticator.supply_token(token, &fresh()?)
                }
            }
        }
    }

    /// A login that was not refused: what is kept comes first, and what is typed does not replace
    /// it. The time that it takes is a program's or a person's.
    async fn login(&mut self, question: Question) -> Result<Option<Login>, LookUpError> {
        let asked = Instant::now();
        let login = self.account.login(question).await;
        self.deadline += asked.elapsed();
        login
    }
}

/// The proxy's service, unless another is named (RFC 4559 §4.1).
fn service(proxy: &Authority) -> String {
    match proxy.host() {
        Host::Name(name) => format!("HTTP@{name}"),
        Host::Address(address) => format!("HTTP@{address}"),
    }
}

fn fresh() -> Result<Fresh, Stopped> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|error| Stopped::System(error.into()))?;
    Ok(Fresh { nonce, time: SystemTime::now() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r37_the_service_is_http_at_the_proxys_host() {
        for (proxy, wanted) in [
            ("proxy.example:3128", "HTTP@proxy.example"),
            ("192.0.2.1:8080", "HTTP@192.0.2.1"),
            ("[2001:db8::1]:443", "HTTP@2001:db8::1"),
        ] {
            assert_eq!(service(&proxy.parse().expect("a proxy")), wanted);
        }
    }
}
