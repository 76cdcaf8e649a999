//! The server half: whose credentials these are, by Basic or by Digest.
//!
//! Knows the logins, and what clients are asked with. Refuses to know requests and clocks: what is
//! asked for and the time, since the start, are arguments.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::digest::Hash;
use super::nonces::Nonces;
use super::{Challenge, Challenges, Credentials, basic, digest};
use crate::secret::{Login, Secret};

/// What the logins are for.
const REALM: &str = "wimble";

/// What is offered of Digest, in the order of preference (RFC 7616 §3.7). MD5 is what every client
/// knows.
const HASHES: [Hash; 2] = [Hash::Sha256, Hash::Md5];

/// Knows its users.
#[derive(Debug)]
pub struct Verifier {
    logins: Vec<Login>,
    nonces: Mutex<Nonces>,
}

/// Why credentials prove nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unproven {
    /// They are not of any of the logins, or can't be read.
    Refused,
    /// Nothing but the nonce is wrong: it is old, or was used before (RFC 7616 §3.3, `stale`).
    Stale,
}

impl Verifier {
    /// For these users. `key` is random, and makes the nonces.
    pub fn new(logins: Vec<Login>, key: [u8; 32]) -> Self {
        Self { logins, nonces: Mutex::new(Nonces::new(key)) }
    }

    /// The values of Proxy-Authenticate, the strongest scheme first.
    pub fn challenges(&self, stale: bool, now: Duration) -> Vec<String> {
        let nonce = self.nonces().make(now);
        let stale = if stale { ", stale=true" } else { "" };
        let digests = HASHES.map(|hash| {
            format!(
                "{} realm=\"{REALM}\", qop=\"auth\", algorithm={}, nonce=\"{nonce}\", charset=UTF-8, \
                 userhash=true{stale}",
                digest::SCHEME,
                hash.name()
            )
        });
        let basic = format!("{} realm=\"{REALM}\", charset=\"UTF-8\"", basic::SCHEME);
        digests.into_iter().chain([basic]).collect()
    }

    /// Whose credentials these are, for a request of `method` for what `is_target` says.
    ///
    /// # Errors
    /// [`Unproven`].
    pub fn verify(
        &self,
        sent: &Credentials,
        method: &str,
        is_target: impl Fn(&str) -> bool,
        now: Duration,
    ) -> Result<&Login, Unproven> {
        if let Some(login) = basic::login(sent.expose()) {
            let known = login.ok().and_then(|sent| self.logins.iter().find(|login| **login == sent));
            return known.ok_or(Unproven::Refused);
        }
        let sent = Challenges::parse([sent.expose()]);
        let sent = sent.find(digest::SCHEME).ok_or(Unproven::Refused)?;
        let (login, nonce, count) = self.prover(sent, method, is_target).ok_or(Unproven::Refused)?;
        if self.nonces().take(nonce, count, now) { Ok(login) } else { Err(Unproven::Stale) }
    }

    /// Who proves a password, whatever the nonce: that is returned with its count.
    fn prover<'a>(
        &self,
        sent: &'a Challenge,
        method: &str,
        is_target: impl Fn(&str) -> bool,
    ) -> Option<(&Login, &'a str, u32)> {
        let (nonce, uri) = (sent.parameter("nonce")?, sent.parameter("uri")?);
        let (cnonce, nc, response) =
            (sent.parameter("cnonce")?, sent.parameter("nc")?, sent.parameter("response")?);
        // RFC 7616 §3.4: an answer without an algorithm is one of MD5.
        let algorithm = sent.parameter("algorithm").unwrap_or(Hash::Md5.name());
        let hash = HASHES.into_iter().find(|hash| hash.name().eq_ignore_ascii_case(algorithm))?;
        // Without qop (RFC 2069) nothing is counted, and every answer could be sent again.
        let counted = sent.parameter("qop")?.eq_ignore_ascii_case("auth") && nc.len() == 8;
        // §3.4.6: what is proved is a request for this, and nothing else.
        if !counted || sent.parameter("realm")? != REALM || !is_target(uri) {
            return None;
        }
        let count = hexadecimal(nc)?;

        let login = self.named(sent, hash);
        // Who is not known takes as long as who is.
        let (user, password) = login
            .and_then(|login| Some((login.user(), login.password()?.clone())))
            .unwrap_or_else(|| ("", Secret::default()));
        let key = hash.key(user, REALM, &password);
        let wanted = hash.response(&key, nonce, Some((nc, cnonce)), method, uri);
        let proved = Secret::new(wanted.as_str()) == Secret::new(response);
        login.filter(|_| proved).map(|login| (login, nonce, count))
    }

    /// The login with the name that was sent: hashed (§3.4.4), in UTF-8 (§3.4), or as it is.
    fn named(&self, sent: &Challenge, hash: Hash) -> Option<&Login> {
        let find = |is: &dyn Fn(&str) -> bool| self.logins.iter().find(|login| is(login.user()));
        if sent.parameter("userhash").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            let name = sent.parameter("username")?;
            return find(&|user| *hash.userhash(user, REALM) == *name);
        }
        match (sent.parameter("username"), sent.parameter("username*")) {
            (Some(name), None) => find(&|user| user == name),
            (None, Some(encoded)) => {
                let name = extended(encoded)?;
                find(&|user| user == name)
            }
            (Some(_), Some(_)) | (None, None) => None,
        }
    }

    fn nonces(&self) -> MutexGuard<'_, Nonces> {
        self.nonces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `UTF-8''caf%C3%A9` (RFC 8187 §3.2.1).
fn extended(value: &str) -> Option<String> {
    let (charset, encoded) = value.split_once('\'')?;
    let (_language, encoded) = encoded.split_once('\'')?;
    if !charset.eq_ignore_ascii_case("UTF-8") {
        return None;
    }
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut pieces = encoded.split('%');
    bytes.extend_from_slice(pieces.next()?.as_bytes());
    for piece in pieces {
        let (digits, plain) = piece.split_at_checked(2)?;
        bytes.push(u8::try_from(hexadecimal(digits)?).ok()?);
        bytes.extend_from_slice(plain.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

/// Digits and nothing else: what the library reads may have a sign.
fn hexadecimal(digits: &str) -> Option<u32> {
    let plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    plain.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::digest::Session;
    use proptest::prelude::*;

    const NOW: Duration = Duration::from_secs(9);

    fn verifier() -> Verifier {
        let login = |user: &str, password| Login::new(user, Secret::new(password)).expect("a plain name");
        let logins = vec![login("aladdin", "open sesame"), login("caf\u{e9} \"\\", "p"), login("", "")];
        Verifier::new(logins, [1; 32])
    }

    /// What a client that can do that much answers with.
    fn answer(challenge: &str, user: &str, password: &str) -> Credentials {
        let (mut session, _) = Session::strongest(&Challenges::parse([challenge])).expect("a challenge");
        session.credentials(user, &Secret::new(password), "CONNECT", "host:22", "cnonce")
    }

    fn verified<'a>(verifier: &'a Verifier, sent: &Credentials) -> Result<&'a str, Unproven> {
        verifier.verify(sent, "CONNECT", |uri| uri == "host:22", NOW).map(Login::user)
    }

    #[test]
    fn what_the_client_half_answers_is_proof_by_every_hash_and_way_to_say_a_name() {
        let verifier = verifier();
        for user in ["aladdin", "caf\u{e9} \"\\"] {
            let password = if user == "aladdin" { "open sesame" } else { "p" };
            for hash in 0..HASHES.len() {
                for left_out in ["", "userhash=true", ", charset=UTF-8, userhash=true"] {
                    let challenge = verifier.challenges(false, NOW)[hash].replace(left_out, "");
                    let sent = answer(&challenge, user, password);
                    assert_eq!(verified(&verifier, &sent), Ok(user), "{}", sent.expose());
                    assert_eq!(verified(&verifier, &sent), Err(Unproven::Stale), "a replay");
                }
            }
        }
    }

    #[test]
    fn a_wrong_password_is_refused_and_not_called_stale() {
        let verifier = verifier();
        let challenge = &verifier.challenges(false, NOW)[0];
        for (user, password) in [("aladdin", "wrong"), ("nobody", ""), ("aladdin", "p")] {
            let sent = answer(challenge, user, password);
            assert_eq!(verified(&verifier, &sent), Err(Unproven::Refused), "{user}");
        }
    }

    #[test]
    fn a_right_password_with_a_wrong_nonce_is_stale() {
        let (verifier, other) = (verifier(), Verifier::new(Vec::new(), [2; 32]));
        let sent = answer(&other.challenges(false, NOW)[0], "aladdin", "open sesame");
        assert_eq!(verified(&verifier, &sent), Err(Unproven::Stale));
        assert!(verifier.challenges(true, NOW)[0].ends_with(", stale=true"));
    }

    #[test]
    fn what_is_proved_is_one_request() {
        let verifier = verifier();
        let sent = || answer(&verifier.challenges(false, NOW)[0], "aladdin", "open sesame");
        let elsewhere = verifier.verify(&sent(), "CONNECT", |uri| uri == "host:23", NOW);
        assert_eq!(elsewhere.err(), Some(Unproven::Refused));
        let otherwise = verifier.verify(&sent(), "GET", |uri| uri == "host:22", NOW);
        assert_eq!(otherwise.err(), Some(Unproven::Refused));
    }

    #[test]
    fn answers_that_could_be_sent_again_are_refused() {
        let verifier = verifier();
        let challenge = verifier.challenges(false, NOW)[1].clone();
        let old = answer(&challenge.replace("qop=\"auth\", ", ""), "aladdin", "open sesame");
        assert_eq!(verified(&verifier, &old), Err(Unproven::Refused), "RFC 2069");
        let sent = answer(&challenge, "aladdin", "open sesame");
        let short = Credentials::new(sent.expose().replace("nc=00000001", "nc=1"));
        assert_eq!(verified(&verifier, &short), Err(Unproven::Refused));
    }

    #[test]
    fn basic_is_proof_too() {
        let verifier = verifier();
        let sent = |password| basic::credentials("aladdin", &Secret::new(password));
        assert_eq!(verified(&verifier, &sent("open sesame")), Ok("aladdin"));
        assert_eq!(verified(&verifier, &sent("wrong")), Err(Unproven::Refused));
    }

    #[test]
    fn an_extended_value_is_read_to_the_letter() {
        assert_eq!(extended("utf-8'en'caf%c3%A9x").as_deref(), Some("caf\u{e9}x"));
        for broken in [
            "",
            "UTF-8'x",
            "ISO-8859-1''x",
            "UTF-8''%",
            "UTF-8''%4",
            "UTF-8''%zz",
            "UTF-8''%+f",
            "UTF-8''%ff",
            "UTF-8''%\u{e9}",
        ] {
            assert_eq!(extended(broken), None, "{broken}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_client_sends_is_read_without_a_panic_and_proves_nothing(
            sent in prop::collection::vec(
                ("username\\*?|realm|nonce|uri|response|algorithm|qop|nc|cnonce|userhash", "auth|wimble|MD5|0000000.|host:22|UTF-8''%..|\\PC{0,9}"),
                0..12,
            ),
        ) {
            let list: Vec<_> = sent.iter().map(|(n, v)| format!("{n}=\"{}\"", v.replace(['\\', '"'], ""))).collect();
            let sent = Credentials::new(format!("Digest {}", list.join(", ")));
            prop_assert!(verified(&verifier(), &sent).is_err());
        }
    }
}
