//! The sentences about a 407 that got no answer, or none that helped. A table of `cli::report`.

use super::hints::Detail;
use crate::auth::{Attempt, GiveUp, Outcome, Scheme};
use crate::proto::{Refusal, Status};

/// Why, the cause, and what to try: the cause's hint, unless what was tried tells more.
pub(super) fn explain(why: GiveUp, attempts: &[Attempt], refusal: &Refusal) -> (String, Detail, String) {
    let seen = seen(attempts, refusal);
    let wanted = format!("the proxy wants credentials ({seen})");
    let (why, detail, hint) = match why {
        GiveUp::NoChallenge => (
            "the proxy wants credentials but sent no Proxy-Authenticate that can be read".into(),
            Detail::NoChallenge,
            None,
        ),
        GiveUp::NoCommonScheme => (
            format!("the proxy wants credentials by a scheme that is not to be used ({seen})"),
            Detail::NoCommonScheme,
            Some(format!("wimble speaks {}; {}", spoken(), Detail::NoCommonScheme.hint())),
        ),
        GiveUp::Unusable => {
            let remedy = attempts.iter().rev().find_map(remedy);
            (wanted, Detail::Unusable, remedy.map(str::to_owned))
        }
        GiveUp::NoLogin => {
            let remedy = attempts.iter().find_map(remedy);
            let both = |remedy| format!("{}; for Negotiate: {remedy}", Detail::NoLogin.hint());
            (wanted, Detail::NoLogin, remedy.map(both))
        }
        GiveUp::Refused => (
            format!("the proxy refused the credentials ({seen})"),
            Detail::LoginRefused,
            attempts.iter().rev().find_map(refused).map(str::to_owned),
        ),
        GiveUp::Interrupted(scheme) => (
            format!(
                "{} takes several messages on one connection, and the proxy closes it in between ({seen})",
                scheme.name()
            ),
            Detail::AuthInterrupted,
            None,
        ),
        GiveUp::Forbidden => (wanted, Detail::AuthForbidden, None),
    };
    (why, detail, hint.unwrap_or_else(|| detail.hint().into()))
}

/// What was offered, as the proxy spelled it, and what was tried.
fn seen(attempts: &[Attempt], refusal: &Refusal) -> String {
    let mut offered = Vec::new();
    for scheme in refusal.challenges.iter().map(|challenge| challenge.scheme()) {
        // Digest is offered once for each hash.
        if !offered.contains(&scheme) {
            offered.push(scheme);
        }
    }
    let offered = if offered.is_empty() { "no scheme".into() } else { offered.join(", ") };
    let tried: Vec<_> = attempts.iter().map(tried).collect();
    match (refusal.status, tried.is_empty()) {
        (_, true) => format!("offered: {offered}"),
        // It is over: nothing is offered any more.
        (Status::UNAUTHORIZED, false) => format!("tried: {}", tried.join(", ")),
        (_, false) => format!("offered: {offered}; tried: {}", tried.join(", ")),
    }
}

fn tried(Attempt { scheme, outcome }: &Attempt) -> String {
    let name = scheme.name();
    match outcome {
        Outcome::Refused => format!("{name}, refused"),
        Outcome::Challenge => format!("{name}, whose challenge can't be met"),
        Outcome::NtHash => format!("{name}, which takes a password and no hash"),
        #[cfg(feature = "negotiate")]
        Outcome::NoToken(why) => format!("{name}, but {why}"),
    }
}

/// What makes a scheme usable.
fn remedy(attempt: &Attempt) -> Option<&'static str> {
    #[cfg(feature = "negotiate")]
    use crate::auth::negotiate::NoToken;
    match &attempt.outcome {
        Outcome::Refused => None,
        Outcome::Challenge => Some("-vv shows the challenge"),
        Outcome::NtHash => Some("give the password: its hash serves NTLM alone"),
        #[cfg(feature = "negotiate")]
        Outcome::NoToken(NoToken::NoTicket(_) | NoToken::Expired(_)) => {
            Some("kinit gets a ticket, klist shows those that there are")
        }
        #[cfg(feature = "negotiate")]
        Outcome::NoToken(NoToken::UnknownService(_)) => {
            Some("--proxy-spn HTTP@NAME tells the service's name, where it is not the proxy's in --proxy")
        }
        #[cfg(feature = "negotiate")]
        Outcome::NoToken(NoToken::NoLibrary(_)) => {
            Some("install MIT's or Heimdal's GSSAPI library (Debian: libgssapi-krb5-2)")
        }
        #[cfg(feature = "negotiate")]
        Outcome::NoToken(NoToken::Other(_)) => Some("KRB5_TRACE=/dev/stderr shows what Kerberos does"),
    }
}

fn refused(attempt: &Attempt) -> Option<&'static str> {
    match attempt {
        #[cfg(feature = "negotiate")]
        Attempt { scheme: Scheme::Negotiate, outcome: Outcome::Refused } => {
            Some("klist shows whose ticket it was; --proxy-spn names the proxy's service, if it is another")
        }
        #[cfg(feature = "ntlm")]
        Attempt { scheme: Scheme::Ntlm, outcome: Outcome::Refused } => Some(
            "check name, domain (DOMAIN\\NAME) and password; they are not sent again, as accounts get locked that way",
        ),
        Attempt { outcome: Outcome::Refused, .. } => Some(Detail::LoginRefused.hint()),
        Attempt { .. } => None,
    }
}

fn spoken() -> String {
    let names: Vec<_> = Scheme::ALL.iter().map(|scheme| scheme.name()).collect();
    names.join(", ")
}
