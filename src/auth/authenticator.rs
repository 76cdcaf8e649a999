//! Picks a scheme, answers with it, and knows when to stop.
//!
//! ```text
//!   unasked ──► credentials of a scheme that is named or remembered ──┐
//!      │                                                              ▼
//!      └─ nothing ──► 407 ──► pick ──► credentials, leg by leg ──► 2xx: opened, remembered
//!                              ▲ ▲                           │
//!            can't be used ────┘ └── another login ◄── 407: refused, forgotten
//! ```
//!
//! Credentials that were refused are never sent again: accounts get locked that way.

use super::memory::Known;
#[cfg(feature = "negotiate")]
use super::negotiate::{self, NoToken};
#[cfg(feature = "ntlm")]
use super::ntlm;
use super::{
    Answer, Attempt, Audience, Challenges, Fresh, GiveUp, Memory, Outcome, Policy, Scheme, basic, digest,
    hexadecimal,
};
use crate::secret::Login;

/// One for each tunnel that is opened.
#[derive(Debug)]
pub struct Authenticator {
    policy: Policy,
    audience: Audience,
    memory: Memory,
    login: Option<Login>,
    /// What the request that is under way carries.
    leg: Option<Leg>,
    /// What the last 407 offered.
    offered: Challenges,
    /// How many credentials have been refused.
    refused: usize,
    attempts: Vec<Attempt>,
}

/// Credentials on their way, and what may still come of them.
#[derive(Debug)]
enum Leg {
    Basic,
    Digest {
        session: digest::Session,
        renewal: Renewal,
    },
    /// The first message, which holds no credentials.
    #[cfg(feature = "ntlm")]
    NtlmHello(Vec<u8>),
    #[cfg(feature = "ntlm")]
    NtlmProof,
    #[cfg(feature = "negotiate")]
    Negotiate(Token),
}

/// Whether a nonce may be replaced by a new one, with the same password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Renewal {
    /// It is from an earlier tunnel: a proxy that was started anew does not know it, and so can't
    /// tell whether anything else was wrong.
    Due,
    /// If the proxy says that it is stale.
    IfStale,
    /// It has been replaced once (R32).
    Done,
}

/// Which token of a context.
#[cfg(feature = "negotiate")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Unasked,
    First,
    Later,
}

impl Authenticator {
    /// Starts with what is known of the user, if anything, and of the proxy.
    pub fn new(policy: Policy, login: Option<Login>, audience: Audience, memory: Memory) -> Self {
        let offered = Challenges::default();
        Self { policy, audience, memory, login, leg: None, offered, refused: 0, attempts: Vec::new() }
    }

    /// Starts with a login having been refused already: nothing is sent.
    pub fn refused(policy: Policy, audience: Audience) -> Self {
        Self { refused: 1, ..Self::new(policy, None, audience, Memory::default()) }
    }

    /// The schemes that were taken up in vain.
    pub fn into_attempts(self) -> Vec<Attempt> {
        self.attempts
    }

    /// Whether it was a ticket that was refused.
    pub fn has_refused_ticket(&self) -> bool {
        match self.attempts.last() {
            #[cfg(feature = "negotiate")]
            Some(Attempt { scheme: Scheme::Negotiate, outcome: Outcome::Refused }) => true,
            Some(_) | None => false,
        }
    }

    /// The scheme that is under way, if what was sent means something on its connection
    /// only.
    pub fn interrupted(&self) -> Option<Scheme> {
        match self.leg.as_ref()? {
            #[cfg(feature = "ntlm")]
            Leg::NtlmProof => Some(Scheme::Ntlm),
            #[cfg(feature = "negotiate")]
            Leg::Negotiate(Token::Later) => Some(Scheme::Negotiate),
            #[cfg(feature = "ntlm")]
            Leg::NtlmHello(_) => None,
            #[cfg(feature = "negotiate")]
            Leg::Negotiate(Token::Unasked | Token::First) => None,
            Leg::Basic | Leg::Digest { .. } => None,
        }
    }

    /// What to send before the proxy asks.
    pub fn unasked(&mut self, fresh: &Fresh) -> Answer {
        if self.refused > 0 {
            return Answer::Nothing;
        }
        match (self.policy, self.memory.recall()) {
            (Policy::None, _) => Answer::Nothing,
            (Policy::Only(scheme), Some(known)) if scheme != known.scheme => Answer::Nothing,
            (Policy::Only(_) | Policy::Auto, Some(known)) => {
                self.login = known.login.or(self.login.take());
                self.again(known.scheme, fresh)
            }
            (Policy::Only(Scheme::Basic), None) => self.again(Scheme::Basic, fresh),
            #[cfg(feature = "negotiate")]
            (Policy::Only(Scheme::Negotiate), None) => self.again(Scheme::Negotiate, fresh),
            (Policy::Only(_) | Policy::Auto, None) => Answer::Nothing,
        }
    }

    /// A scheme without having been asked.
    fn again(&mut self, scheme: Scheme, fresh: &Fresh) -> Answer {
        let password = self.login.as_ref().and_then(Login::password);
        match (scheme, &self.login, password) {
            (Scheme::Basic, Some(login), Some(password)) => {
                self.leg = Some(Leg::Basic);
                Answer::Credentials(basic::credentials(login.user(), password))
            }
            (Scheme::Digest, Some(login), Some(password)) => {
                let (target, cnonce) = (&self.audience.target, hexadecimal(&fresh.nonce));
                let used = self
                    .memory
                    .reuse(|session| session.credentials(login.user(), password, "CONNECT", target, &cnonce));
                let Some((session, credentials)) = used else { return Answer::Nothing };
                self.leg = Some(Leg::Digest { session, renewal: Renewal::Due });
                Answer::Credentials(credentials)
            }
            #[cfg(feature = "ntlm")]
            (Scheme::Ntlm, Some(_), _) => self.hello(),
            #[cfg(feature = "negotiate")]
            (Scheme::Negotiate, _, _) => {
                self.leg = Some(Leg::Negotiate(Token::Unasked));
                Answer::WantToken { reply: None }
            }
            (_, None, _) | (Scheme::Basic | Scheme::Digest, Some(_), None) => Answer::Nothing,
        }
    }

    /// What to answer to the challenges of a 407. `persists`: the next request goes over the same
    /// connection.
    pub fn answer(&mut self, challenges: &Challenges, persists: bool, fresh: &Fresh) -> Answer {
        if self.policy == Policy::None {
            return Answer::GiveUp(GiveUp::Forbidden);
        }
        self.offered = challenges.clone();
        match self.leg.take() {
            None => self.pick(fresh),
            Some(leg) => self.go_on(leg, persists, fresh),
        }
    }

    /// A 407 to a request with credentials is a next leg, or has refused them (RFC 9110 §15.5.8).
    #[cfg_attr(
        not(any(feature = "ntlm", feature = "negotiate")),
        expect(unused_variables, reason = "schemes of one leg go on over any connection")
    )]
    fn go_on(&mut self, leg: Leg, persists: bool, fresh: &Fresh) -> Answer {
        match leg {
            Leg::Basic => self.refuse(Scheme::Basic, fresh),
            Leg::Digest { session, renewal } => match (renewal, digest::Session::strongest(&self.offered)) {
                (Renewal::Due, Some((new, stale))) if stale || !new.has_nonce_of(&session) => {
                    self.digest(new, Renewal::Done, fresh)
                }
                (Renewal::IfStale, Some((new, true))) => self.digest(new, Renewal::Done, fresh),
                (Renewal::Due | Renewal::IfStale | Renewal::Done, _) => self.refuse(Scheme::Digest, fresh),
            },
            #[cfg(feature = "ntlm")]
            Leg::NtlmHello(hello) => {
                let challenge = self.offered.find(ntlm::SCHEME).and_then(|c| c.token68());
                match (challenge.and_then(ntlm::Challenge::parse), &self.login) {
                    (Some(_), Some(_)) if !persists => Answer::GiveUp(GiveUp::Interrupted(Scheme::Ntlm)),
                    (Some(challenge), Some(login)) => {
                        let [nonce @ .., _, _, _, _, _, _, _, _] = fresh.nonce;
                        let service = self.audience.service.replacen('@', "/", 1);
                        let choice =
                            ntlm::Choice { nonce, time: ntlm::windows_time(fresh.time), service: &service };
                        let proof = ntlm::proof(login, &hello, &challenge, choice);
                        self.leg = Some(Leg::NtlmProof);
                        Answer::Credentials(ntlm::credentials(&proof))
                    }
                    (_, _) => self.pass_over(Scheme::Ntlm, Outcome::Challenge, fresh),
                }
            }
            #[cfg(feature = "ntlm")]
            Leg::NtlmProof => self.refuse(Scheme::Ntlm, fresh),
            #[cfg(feature = "negotiate")]
            Leg::Negotiate(_) => match negotiate::token(&self.offered) {
                Some(_) if !persists => Answer::GiveUp(GiveUp::Interrupted(Scheme::Negotiate)),
                Some(token) => {
                    self.leg = Some(Leg::Negotiate(Token::Later));
                    Answer::WantToken { reply: Some(token) }
                }
                None => self.refuse(Scheme::Negotiate, fresh),
            },
        }
    }

    fn refuse(&mut self, scheme: Scheme, fresh: &Fresh) -> Answer {
        self.disown(scheme);
        match scheme {
            // A ticket is not typed: there is no other to ask for.
            #[cfg(feature = "negotiate")]
            Scheme::Negotiate => Answer::GiveUp(GiveUp::Refused),
            #[cfg(feature = "ntlm")]
            Scheme::Ntlm => self.pick(fresh),
            Scheme::Digest | Scheme::Basic => self.pick(fresh),
        }
    }

    /// Forgets what was refused.
    fn disown(&mut self, scheme: Scheme) {
        self.memory.forget();
        self.login = None;
        self.refused += 1;
        self.attempts.push(Attempt { scheme, outcome: Outcome::Refused });
    }

    fn pass_over(&mut self, scheme: Scheme, outcome: Outcome, fresh: &Fresh) -> Answer {
        self.attempts.push(Attempt { scheme, outcome });
        self.pick(fresh)
    }

    /// The strongest scheme offered that was not passed over.
    fn pick(&mut self, fresh: &Fresh) -> Answer {
        let permitted = |scheme: &Scheme| match self.policy {
            Policy::Auto => true,
            Policy::Only(named) => named == *scheme,
            Policy::None => false,
        };
        let unusable = |scheme: &Scheme| {
            self.attempts.iter().any(|a| a.scheme == *scheme && a.outcome != Outcome::Refused)
        };
        let mut offered =
            Scheme::ALL.iter().copied().filter(|s| permitted(s) && self.offered.find(s.name()).is_some());
        let Some(scheme) = offered.find(|scheme| !unusable(scheme)) else {
            return Answer::GiveUp(if self.refused > 0 {
                GiveUp::Refused
            } else if self.offered.is_empty() {
                GiveUp::NoChallenge
            } else if self.attempts.is_empty() {
                GiveUp::NoCommonScheme
            } else {
                GiveUp::Unusable
            });
        };
        self.begin(scheme, fresh)
    }

    fn begin(&mut self, scheme: Scheme, fresh: &Fresh) -> Answer {
        #[cfg(feature = "negotiate")]
        if scheme == Scheme::Negotiate {
            if self.refused > 0 {
                return Answer::GiveUp(GiveUp::Refused);
            }
            self.leg = Some(Leg::Negotiate(Token::First));
            return Answer::WantToken { reply: None };
        }
        let session = digest::Session::strongest(&self.offered).map(|(session, _)| session);
        if scheme == Scheme::Digest && session.is_none() {
            return self.pass_over(scheme, Outcome::Challenge, fresh);
        }
        let Some(login) = &self.login else {
            let realm = self.offered.find(scheme.name()).and_then(|c| c.parameter("realm"));
            return Answer::WantLogin { realm: realm.unwrap_or_default().to_owned(), refused: self.refused };
        };
        match (scheme, session, login.password()) {
            #[cfg(feature = "ntlm")]
            (Scheme::Ntlm, _, _) => self.hello(),
            (Scheme::Digest, Some(session), Some(_)) => self.digest(session, Renewal::IfStale, fresh),
            (Scheme::Basic, _, Some(password)) => {
                self.leg = Some(Leg::Basic);
                Answer::Credentials(basic::credentials(login.user(), password))
            }
            (_, _, _) => self.pass_over(scheme, Outcome::NtHash, fresh),
        }
    }

    fn digest(&mut self, session: digest::Session, renewal: Renewal, fresh: &Fresh) -> Answer {
        let Some((login, password)) = self.login.as_ref().and_then(|l| Some((l, l.password()?))) else {
            return self.refuse(Scheme::Digest, fresh);
        };
        let (target, cnonce) = (&self.audience.target, hexadecimal(&fresh.nonce));
        let (session, credentials) = self.memory.count(session, |session| {
            session.credentials(login.user(), password, "CONNECT", target, &cnonce)
        });
        self.leg = Some(Leg::Digest { session, renewal });
        Answer::Credentials(credentials)
    }

    #[cfg(feature = "ntlm")]
    fn hello(&mut self) -> Answer {
        let hello = ntlm::hello();
        let credentials = ntlm::credentials(&hello);
        self.leg = Some(Leg::NtlmHello(hello));
        Answer::Credentials(credentials)
    }

    /// Takes the login that [`Answer::WantLogin`] asked for; `None` if there is none to be had.
    pub fn supply(&mut self, login: Option<Login>, fresh: &Fresh) -> Answer {
        match login {
            Some(login) => {
                self.login = Some(login);
                self.pick(fresh)
            }
            None if self.refused > 0 => Answer::GiveUp(GiveUp::Refused),
            None => Answer::GiveUp(GiveUp::NoLogin),
        }
    }

    /// Takes the token that [`Answer::WantToken`] asked for, or why there is none.
    #[cfg(feature = "negotiate")]
    pub fn supply_token(&mut self, token: Result<Vec<u8>, NoToken>, fresh: &Fresh) -> Answer {
        match (token, self.leg.take()) {
            (Ok(token), leg) => {
                self.leg = leg;
                Answer::Credentials(negotiate::credentials(&token))
            }
            // What it replied to the first token can't be answered: that is a refusal.
            (Err(_), Some(Leg::Negotiate(Token::Later))) => self.refuse(Scheme::Negotiate, fresh),
            (Err(why), Some(Leg::Negotiate(Token::Unasked))) => {
                let outcome = Outcome::NoToken(why);
                self.attempts.push(Attempt { scheme: Scheme::Negotiate, outcome });
                Answer::Nothing
            }
            (Err(why), _) => self.pass_over(Scheme::Negotiate, Outcome::NoToken(why), fresh),
        }
    }

    /// Whether a final answer that is no 407 has refused credentials all the same: tinyproxy says
    /// 401 to wrong ones.
    pub fn turned_away(&mut self) -> bool {
        let scheme = match self.leg.take() {
            Some(Leg::Basic) => Scheme::Basic,
            Some(Leg::Digest { .. }) => Scheme::Digest,
            #[cfg(feature = "ntlm")]
            Some(Leg::NtlmProof) => Scheme::Ntlm,
            #[cfg(feature = "negotiate")]
            Some(Leg::Negotiate(_)) => Scheme::Negotiate,
            #[cfg(feature = "ntlm")]
            Some(Leg::NtlmHello(_)) => return false,
            None => return false,
        };
        self.disown(scheme);
        true
    }

    /// The token by which the proxy of a 2xx proves itself, where a token was sent to it.
    #[cfg(feature = "negotiate")]
    pub fn proof(&self, challenges: &Challenges) -> Option<Vec<u8>> {
        self.leg.as_ref().filter(|leg| matches!(leg, Leg::Negotiate(_)))?;
        negotiate::token(challenges)
    }

    /// The tunnel stands: remembers what opened it. `info` is its Proxy-Authentication-Info.
    pub fn opened<'i>(&mut self, info: impl IntoIterator<Item = &'i str>) {
        let (scheme, digest) = match self.leg.take() {
            None => return,
            Some(Leg::Basic) => (Scheme::Basic, None),
            Some(Leg::Digest { mut session, .. }) => {
                info.into_iter().for_each(|info| session.renew(info));
                (Scheme::Digest, Some(session))
            }
            #[cfg(feature = "ntlm")]
            Some(Leg::NtlmHello(_) | Leg::NtlmProof) => (Scheme::Ntlm, None),
            #[cfg(feature = "negotiate")]
            Some(Leg::Negotiate(_)) => (Scheme::Negotiate, None),
        };
        self.memory.remember(Known { scheme, login: self.login.take(), digest });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::{NtHash, Secret};
    use std::time::SystemTime;

    const FRESH: Fresh = Fresh { nonce: [7; 16], time: SystemTime::UNIX_EPOCH };

    fn challenges(value: &str) -> Challenges {
        Challenges::parse([value])
    }

    fn login(user: &str) -> Login {
        Login::new(user, Secret::new("pw")).expect("a plain name")
    }

    fn with(policy: Policy, login: Option<Login>, memory: &Memory) -> Authenticator {
        let audience = Audience { target: "host:22".into(), service: "HTTP@proxy".into() };
        Authenticator::new(policy, login, audience, memory.clone())
    }

    fn auto(user: &str) -> Authenticator {
        with(Policy::Auto, Some(login(user)), &Memory::default())
    }

    /// What is sent, from its scheme to the first blank or comma; in brackets, what else is wanted.
    fn sent(answer: &Answer) -> String {
        match answer {
            Answer::Credentials(credentials) => {
                let value = credentials.expose();
                let nonce = value.split("nonce=\"").nth(1).and_then(|rest| rest.split('"').next());
                let count = value.split("nc=").nth(1).and_then(|rest| rest.get(..8));
                let scheme = value.split(' ').next().unwrap_or_default();
                [Some(scheme), nonce, count].into_iter().flatten().collect::<Vec<_>>().join(" ")
            }
            Answer::Nothing => "nothing".into(),
            Answer::WantLogin { realm, refused } => format!("[login {realm} {refused}]"),
            #[cfg(feature = "negotiate")]
            Answer::WantToken { reply } => format!("[token {}]", reply.is_some()),
            Answer::GiveUp(why) => format!("{why:?}"),
        }
    }

    /// The answers to these challenges, one after the other, on a connection that persists.
    fn talk(auth: &mut Authenticator, said: &[&str]) -> Vec<String> {
        said.iter().map(|said| sent(&auth.answer(&challenges(said), true, &FRESH))).collect()
    }

    #[test]
    fn auto_sends_nothing_before_it_is_asked() {
        assert_eq!(auto("a").unasked(&FRESH), Answer::Nothing);
    }

    #[test]
    fn basic_is_sent_at_once_when_it_is_named() {
        let named =
            |scheme| sent(&with(Policy::Only(scheme), Some(login("a")), &Memory::default()).unasked(&FRESH));
        assert_eq!(named(Scheme::Basic), "Basic");
        assert_eq!(named(Scheme::Digest), "nothing", "there is no nonce yet");
    }

    #[test]
    fn q45_refused_credentials_are_never_sent_again() {
        for offer in ["Basic realm=x", "Digest realm=x, nonce=n", "Digest realm=x, nonce=n, Basic realm=x"] {
            let mut auth = auto("a");
            let answers = talk(&mut auth, &[offer, offer]);
            assert_eq!(answers[1], "[login x 1]", "{offer}: {answers:?}");
            assert_eq!(auth.supply(None, &FRESH), Answer::GiveUp(GiveUp::Refused));
        }
    }

    #[test]
    fn a_second_login_may_be_tried_where_the_first_was_refused() {
        let mut auth = with(Policy::Only(Scheme::Basic), Some(login("a")), &Memory::default());
        auth.unasked(&FRESH);
        assert_eq!(talk(&mut auth, &["Basic realm=x"]), ["[login x 1]"]);
        let second = basic::credentials("b", &Secret::new("pw"));
        assert_eq!(auth.supply(Some(login("b")), &FRESH), Answer::Credentials(second));
    }

    #[test]
    fn q26_a_407_without_a_challenge_is_told_apart() {
        assert_eq!(
            auto("a").answer(&Challenges::default(), true, &FRESH),
            Answer::GiveUp(GiveUp::NoChallenge)
        );
        assert_eq!(talk(&mut auto("a"), &["Bearer"]), ["NoCommonScheme"]);
        let mut digest_alone = with(Policy::Only(Scheme::Digest), Some(login("a")), &Memory::default());
        assert_eq!(talk(&mut digest_alone, &["Basic realm=x, Negotiate"]), ["NoCommonScheme"]);
    }

    #[test]
    fn none_never_answers() {
        let mut auth = with(Policy::None, Some(login("a")), &Memory::default());
        assert_eq!(auth.unasked(&FRESH), Answer::Nothing);
        assert_eq!(talk(&mut auth, &["Basic realm=x"]), ["Forbidden"]);
    }

    #[test]
    fn r19_the_strongest_scheme_offered_is_taken() {
        let all = "Basic realm=x, NTLM, Digest realm=x, nonce=weak, Digest realm=x, nonce=strong, algorithm=SHA-256";
        assert_eq!(talk(&mut auto("a"), &[all]), ["Digest strong"]);
        #[cfg(feature = "ntlm")]
        assert_eq!(talk(&mut auto("a"), &["Basic realm=x, NTLM"]), ["NTLM"]);
        #[cfg(feature = "negotiate")]
        assert_eq!(talk(&mut auto("a"), &[&format!("{all}, Negotiate")]), ["[token false]"]);
    }

    #[test]
    fn q32_r32_a_stale_nonce_is_replaced_once_and_silently() {
        let first = "Digest realm=x, nonce=one, qop=auth";
        let stale = "Digest realm=x, nonce=two, qop=auth, stale=TRUE";
        let mut auth = auto("a");
        assert_eq!(talk(&mut auth, &[first, stale]), ["Digest one 00000001", "Digest two 00000001"]);
        assert_eq!(talk(&mut auth, &[stale]), ["[login x 1]"], "stale for ever");
        assert_eq!(talk(&mut auto("a"), &[first, first])[1], "[login x 1]", "not stale but refused");
    }

    #[test]
    fn a_challenge_that_cannot_be_met_is_passed_over_for_a_weaker_scheme() {
        let offer = "Digest realm=x, nonce=n, algorithm=SHA3, Basic realm=x";
        assert_eq!(talk(&mut auto("a"), &[offer]), ["Basic"]);
        let mut auth = auto("a");
        assert_eq!(talk(&mut auth, &["Digest realm=x, nonce=n, algorithm=SHA3"]), ["Unusable"]);
        assert_eq!(auth.into_attempts(), [Attempt { scheme: Scheme::Digest, outcome: Outcome::Challenge }]);
    }

    #[test]
    fn a_hash_of_a_password_is_not_sent_as_one() {
        let hash = Login::with_nt_hash("a", NtHash::new([1; 16])).expect("a plain name");
        let offer = "Digest realm=x, nonce=n, Basic realm=x";
        let mut auth = with(Policy::Auto, Some(hash.clone()), &Memory::default());
        assert_eq!(talk(&mut auth, &[offer]), ["Unusable"]);
        #[cfg(feature = "ntlm")]
        {
            let mut auth = with(Policy::Auto, Some(hash), &Memory::default());
            assert_eq!(talk(&mut auth, &[&format!("{offer}, NTLM")]), ["NTLM"]);
        }
    }

    #[test]
    fn r31_what_opened_one_tunnel_is_sent_at_once_for_the_next() {
        let memory = Memory::default();
        let mut first = with(Policy::Auto, Some(login("a")), &memory);
        talk(&mut first, &["Digest realm=x, nonce=one, qop=auth"]);
        first.opened([]);
        // The login may have been typed: it is remembered too.
        let mut second = with(Policy::Auto, None, &memory);
        assert_eq!(sent(&second.unasked(&FRESH)), "Digest one 00000002");
        let mut third = with(Policy::Auto, None, &memory);
        assert_eq!(sent(&third.unasked(&FRESH)), "Digest one 00000003", "counted over all connections");
        third.opened(["nextnonce=\"two\""]);
        second.opened([]);
        let mut fourth = with(Policy::Only(Scheme::Digest), None, &memory);
        assert!(sent(&fourth.unasked(&FRESH)).starts_with("Digest "));
        assert_eq!(with(Policy::Only(Scheme::Basic), None, &memory).unasked(&FRESH), Answer::Nothing);
    }

    #[test]
    fn r31_a_nonce_that_the_proxy_gives_to_several_is_counted_over_all_of_them() {
        let memory = Memory::default();
        let offer = "Digest realm=x, nonce=one, qop=auth";
        let mut all = [(); 3].map(|()| with(Policy::Auto, Some(login("a")), &memory));
        for (auth, answer) in
            all.iter_mut().zip(["Digest one 00000001", "Digest one 00000002", "Digest one 00000003"])
        {
            assert_eq!(talk(auth, &[offer]), [answer]);
        }
        // The first is taken; the others are still on their way.
        all[0].opened([]);
        assert_eq!(sent(&with(Policy::Auto, None, &memory).unasked(&FRESH)), "Digest one 00000004");
    }

    #[test]
    fn q32_the_next_nonce_is_used_by_the_next_tunnel() {
        let memory = Memory::default();
        let mut first = with(Policy::Auto, Some(login("a")), &memory);
        talk(&mut first, &["Digest realm=x, nonce=one, qop=auth"]);
        first.opened(["nextnonce=\"two\""]);
        assert_eq!(sent(&with(Policy::Auto, None, &memory).unasked(&FRESH)), "Digest two 00000001");
    }

    #[test]
    fn a_remembered_nonce_that_the_proxy_forgot_is_replaced_even_if_it_does_not_say_stale() {
        let memory = Memory::default();
        let mut first = with(Policy::Auto, Some(login("a")), &memory);
        talk(&mut first, &["Digest realm=x, nonce=one, qop=auth"]);
        first.opened([]);
        let mut second = with(Policy::Auto, None, &memory);
        second.unasked(&FRESH);
        let anew = "Digest realm=x, nonce=two, qop=auth";
        assert_eq!(talk(&mut second, &[anew, anew]), ["Digest two 00000001", "[login x 1]"]);
        assert_eq!(with(Policy::Auto, None, &memory).unasked(&FRESH), Answer::Nothing, "and forgotten");
    }

    #[cfg(feature = "ntlm")]
    mod of_ntlm {
        use super::*;

        /// A challenge with no attributes.
        const CHALLENGE: &str = "NTLM TlRMTVNTUAACAAAAAAAAADgAAAABAgAAASNFZ4mrze8AAAAAAAAAAAAAAAAAAAAA";

        #[test]
        fn q30_the_three_messages_stay_on_one_connection() {
            let mut auth = auto("D\\a");
            assert_eq!(auth.interrupted(), None);
            assert_eq!(talk(&mut auth, &["NTLM", CHALLENGE]), ["NTLM", "NTLM"]);
            assert_eq!(auth.interrupted(), Some(Scheme::Ntlm), "a proof is for this connection");
            assert_eq!(talk(&mut auth, &["NTLM"]), ["[login  1]"]);
            let mut auth = auto("a");
            talk(&mut auth, &["NTLM"]);
            let closed = auth.answer(&challenges(CHALLENGE), false, &FRESH);
            assert_eq!(closed, Answer::GiveUp(GiveUp::Interrupted(Scheme::Ntlm)));
        }

        #[test]
        fn a_challenge_that_is_none_leads_to_the_next_scheme() {
            for nonsense in ["NTLM TlRMTVNTUAAC, Basic realm=x", "NTLM, Basic realm=x"] {
                assert_eq!(talk(&mut auto("a"), &["NTLM, Basic realm=x", nonsense]), ["NTLM", "Basic"]);
            }
        }
    }

    #[cfg(feature = "negotiate")]
    mod of_negotiate {
        use super::*;

        fn no_ticket() -> Result<Vec<u8>, NoToken> {
            Err(NoToken::NoTicket("none".into()))
        }

        #[test]
        fn without_a_ticket_the_next_scheme_is_taken() {
            let mut auth = auto("a");
            assert_eq!(talk(&mut auth, &["Negotiate, Basic realm=x"]), ["[token false]"]);
            assert_eq!(sent(&auth.supply_token(no_ticket(), &FRESH)), "Basic");
        }

        #[test]
        fn q45_behind_a_refused_ticket_nothing_else_is_tried() {
            let mut auth = auto("a");
            talk(&mut auth, &["Negotiate, Basic realm=x"]);
            assert_eq!(sent(&auth.supply_token(Ok(vec![1]), &FRESH)), "Negotiate");
            assert_eq!(talk(&mut auth, &["Negotiate, Basic realm=x"]), ["Refused"]);
            assert!(auth.has_refused_ticket());
        }

        #[test]
        fn r38_a_token_in_a_407_is_a_next_leg_on_the_same_connection() {
            let mut auth = auto("a");
            talk(&mut auth, &["Negotiate"]);
            auth.supply_token(Ok(vec![1]), &FRESH);
            assert_eq!(auth.interrupted(), None, "a first token is for any connection");
            assert_eq!(talk(&mut auth, &["Negotiate YII="]), ["[token true]"]);
            auth.supply_token(Ok(vec![2]), &FRESH);
            assert_eq!(auth.interrupted(), Some(Scheme::Negotiate), "R36");
            let closed = auth.answer(&challenges("Negotiate YII="), false, &FRESH);
            assert_eq!(closed, Answer::GiveUp(GiveUp::Interrupted(Scheme::Negotiate)));
        }

        #[test]
        fn named_it_is_sent_at_once_and_without_a_ticket_nothing_is() {
            let mut auth = with(Policy::Only(Scheme::Negotiate), None, &Memory::default());
            assert_eq!(sent(&auth.unasked(&FRESH)), "[token false]");
            assert_eq!(auth.supply_token(no_ticket(), &FRESH), Answer::Nothing);
            assert_eq!(talk(&mut auth, &["Negotiate, Basic realm=x"]), ["Unusable"]);
        }

        #[test]
        fn r39_the_token_of_a_2xx_is_looked_at_if_one_was_sent() {
            let answer = challenges("Negotiate YII=");
            let mut auth = auto("a");
            assert_eq!(auth.proof(&answer), None);
            talk(&mut auth, &["Negotiate"]);
            auth.supply_token(Ok(vec![1]), &FRESH);
            assert_eq!(auth.proof(&answer), Some(b"\x60\x82".to_vec()));
            assert_eq!(auth.proof(&Challenges::default()), None);
        }
    }
}
