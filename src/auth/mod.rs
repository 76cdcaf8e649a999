//! What a proxy asks for, and what it is answered.
//!
//! [`challenge`] reads what the proxy offers, a file per scheme makes the answer, and the
//! [`Authenticator`] picks, answers and gives up. All of it is pure: no message, no connection,
//! no clock. Schemes don't know each other.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod basic;
pub mod challenge;

use std::fmt;

pub use challenge::{Challenge, Challenges};

use crate::secret::{Login, Secret};

/// The value of a Proxy-Authorization field (RFC 9110 §11.4), hidden from `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials(Secret);

impl Credentials {
    /// Takes a field value: one line, made by a scheme.
    pub(crate) fn new(value: String) -> Self {
        Self(Secret::new(value))
    }

    /// The field value, for the room that writes the request.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Which schemes may be used, and when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Nothing before the proxy asks; then the strongest scheme that it offers and we hold
    /// credentials for (RFC 9110 §11.4).
    #[default]
    Auto,
    /// Basic, with the first request: it saves the round trip of the 407.
    Basic,
    /// Never, whatever the proxy asks.
    None,
}

/// What to do about a 407.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Send these.
    Credentials(Credentials),
    /// A name and password are needed: [`Authenticator::supply`] them, or give up.
    WantLogin {
        /// What the proxy calls the space it protects; from the network, not escaped.
        realm: String,
        /// How many logins were refused already.
        refused: usize,
    },
    /// Nothing can be answered.
    GiveUp(GiveUp),
}

/// Why a 407 is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GiveUp {
    /// The 407 had no Proxy-Authenticate that could be read.
    NoChallenge,
    /// It offers no scheme that we speak.
    NoCommonScheme,
    /// There is no name and password to answer with.
    NoLogin,
    /// It has refused the name and password that it was given.
    Refused,
    /// The policy is to never answer.
    Forbidden,
}

/// Picks a scheme, answers with it, and knows when to stop. One for each tunnel that is opened:
/// it never sends refused credentials again, as accounts get locked that way.
#[derive(Debug)]
pub struct Authenticator {
    policy: Policy,
    login: Option<Login>,
    /// The present login was sent with the request that is under way.
    sent: bool,
    /// How many logins have been refused.
    refused: usize,
}

impl Authenticator {
    /// Starts with what is known of the user, if anything.
    pub fn new(policy: Policy, login: Option<Login>) -> Self {
        Self { policy, login, sent: false, refused: 0 }
    }

    /// Starts with a login having been refused already: nothing is sent.
    pub fn refused(policy: Policy) -> Self {
        Self { refused: 1, ..Self::new(policy, None) }
    }

    /// What to send before the proxy asks.
    pub fn unasked(&mut self) -> Option<Credentials> {
        match (self.policy, &self.login) {
            (Policy::Basic, Some(login)) => {
                let credentials = basic::credentials(login)?;
                self.sent = true;
                Some(credentials)
            }
            (Policy::Auto | Policy::None | Policy::Basic, _) => None,
        }
    }

    /// What to answer to the challenges of a 407.
    pub fn answer(&mut self, challenges: &Challenges) -> Answer {
        if self.policy == Policy::None {
            return Answer::GiveUp(GiveUp::Forbidden);
        }
        if self.sent {
            // RFC 9110 §15.5.8: a 407 to a request with credentials has refused them.
            self.login = None;
            self.sent = false;
            self.refused += 1;
        }
        let Some(basic) = challenges.find(basic::SCHEME) else {
            return Answer::GiveUp(match challenges.is_empty() {
                _ if self.refused > 0 => GiveUp::Refused,
                true => GiveUp::NoChallenge,
                false => GiveUp::NoCommonScheme,
            });
        };
        match self.login.as_ref().map(basic::credentials) {
            Some(Some(credentials)) => {
                self.sent = true;
                Answer::Credentials(credentials)
            }
            Some(None) => Answer::GiveUp(GiveUp::NoLogin),
            None => {
                let realm = basic.parameter("realm").unwrap_or_default().to_owned();
                Answer::WantLogin { realm, refused: self.refused }
            }
        }
    }

    /// Takes the login that [`Answer::WantLogin`] asked for; `None` if there is none to be had.
    pub fn supply(&mut self, login: Option<Login>) -> Answer {
        match login {
            Some(login) => {
                let Some(credentials) = basic::credentials(&login) else {
                    return Answer::GiveUp(GiveUp::NoLogin);
                };
                self.login = Some(login);
                self.sent = true;
                Answer::Credentials(credentials)
            }
            None if self.refused > 0 => Answer::GiveUp(GiveUp::Refused),
            None => Answer::GiveUp(GiveUp::NoLogin),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenges(value: &str) -> Challenges {
        Challenges::parse([value])
    }

    fn login(user: &str) -> Login {
        Login::new(user, Secret::new("pw")).expect("a plain name")
    }

    #[test]
    fn auto_sends_nothing_before_it_is_asked() {
        assert_eq!(Authenticator::new(Policy::Auto, Some(login("a"))).unasked(), None);
    }

    #[test]
    fn basic_is_sent_at_once_when_it_is_named() {
        assert!(Authenticator::new(Policy::Basic, Some(login("a"))).unasked().is_some());
    }

    #[test]
    fn q45_refused_credentials_are_never_sent_again() {
        let mut auth = Authenticator::new(Policy::Auto, Some(login("a")));
        assert!(matches!(auth.answer(&challenges("Basic realm=x")), Answer::Credentials(_)));
        let again = auth.answer(&challenges("Basic realm=x"));
        assert_eq!(again, Answer::WantLogin { realm: "x".into(), refused: 1 });
        assert_eq!(auth.supply(None), Answer::GiveUp(GiveUp::Refused));
    }

    #[test]
    fn a_second_login_may_be_tried_where_the_first_was_refused() {
        let mut auth = Authenticator::new(Policy::Basic, Some(login("a")));
        auth.unasked();
        assert!(matches!(auth.answer(&challenges("Basic realm=x")), Answer::WantLogin { refused: 1, .. }));
        assert_eq!(
            auth.supply(Some(login("b"))),
            Answer::Credentials(basic::credentials(&login("b")).expect("a password"))
        );
    }

    #[test]
    fn q26_a_407_without_a_challenge_is_told_apart() {
        let mut auth = Authenticator::new(Policy::Auto, Some(login("a")));
        assert_eq!(auth.answer(&Challenges::default()), Answer::GiveUp(GiveUp::NoChallenge));
        assert_eq!(auth.answer(&challenges("Negotiate, NTLM")), Answer::GiveUp(GiveUp::NoCommonScheme));
    }

    #[test]
    fn none_never_answers() {
        let mut auth = Authenticator::new(Policy::None, Some(login("a")));
        assert_eq!(auth.unasked(), None);
        assert_eq!(auth.answer(&challenges("Basic realm=x")), Answer::GiveUp(GiveUp::Forbidden));
    }
}
