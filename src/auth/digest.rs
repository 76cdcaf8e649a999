//! Digest (RFC 7616): a hash that proves the password without sending it.
//!
//! Knows what a challenge demands, and counts the uses of its nonce. The request-target and the
//! client's nonce are arguments. Refuses to know when a challenge is answered.

use std::fmt::Write as _;

use sha2::digest::Output;
use zeroize::Zeroizing;

use super::challenge::{Challenge, Challenges};
use super::{Credentials, hexadecimal};
use crate::secret::Secret;

/// The scheme's name.
pub const SCHEME: &str = "Digest";

/// A hash function of RFC 7616 §6.1, the stronger the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hash {
    Md5,
    Sha256,
    Sha512_256,
}

impl Hash {
    const ALL: [Self; 3] = [Self::Md5, Self::Sha256, Self::Sha512_256];

    /// `H(a ":" b ":" …)` in hexadecimal (§3.3).
    fn of(self, parts: &[&[u8]]) -> Zeroizing<String> {
        fn hex<D: sha2::Digest>(parts: &[&[u8]]) -> String
        where
            Output<D>: AsRef<[u8]>,
        {
            let mut hash = D::new();
            for (n, part) in parts.iter().enumerate() {
                if n > 0 {
                    hash.update(b":");
                }
                hash.update(part);
            }
            hexadecimal(hash.finalize().as_ref())
        }
        Zeroizing::new(match self {
            Self::Md5 => hex::<md5::Md5>(parts),
            Self::Sha256 => hex::<sha2::Sha256>(parts),
            Self::Sha512_256 => hex::<sha2::Sha512_256>(parts),
        })
    }

    /// Its name as an `algorithm`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
            Self::Sha512_256 => "SHA-512-256",
        }
    }

    /// What stands for the password: `H(A1)` (§3.4.2).
    pub(super) fn key(self, user: &str, realm: &str, password: &Secret) -> Zeroizing<String> {
        self.of(&[user.as_bytes(), realm.as_bytes(), password.expose().as_bytes()])
    }

    /// A user's name, hidden from who reads the request (§3.4.4).
    pub(super) fn userhash(self, user: &str, realm: &str) -> Zeroizing<String> {
        self.of(&[user.as_bytes(), realm.as_bytes()])
    }

    /// The proof (§3.4.1). `used` is the count and the client's nonce under `qop=auth`; without, it
    /// is the form of RFC 2069.
    pub(super) fn response(
        self,
        key: &str,
        nonce: &str,
        used: Option<(&str, &str)>,
        method: &str,
        target: &str,
    ) -> Zeroizing<String> {
        let a2 = self.of(&[method.as_bytes(), target.as_bytes()]);
        let (key, nonce, a2) = (key.as_bytes(), nonce.as_bytes(), a2.as_bytes());
        match used {
            Some((count, cnonce)) => self.of(&[key, nonce, count.as_bytes(), cnonce.as_bytes(), b"auth", a2]),
            None => self.of(&[key, nonce, a2]),
        }
    }
}

/// A challenge that can be answered, and how often its nonce was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    hash: Hash,
    /// The `algorithm` as the proxy spelled it, which is echoed.
    spelled: Option<String>,
    realm: String,
    nonce: String,
    opaque: Option<String>,
    /// `qop=auth` is offered; without, the form of RFC 2069 is the answer (§3.4.1).
    protection: bool,
    userhash: bool,
    charset: bool,
    /// The algorithm is a `-sess`.
    keyed: bool,
    /// The nonces of both sides that the key of a `-sess` is made of, once there are any.
    key: Option<(String, String)>,
    count: u32,
}

impl Session {
    /// The strongest of the Digest challenges whose demands can be met, and whether it says that
    /// nothing but the nonce was wrong (§3.3, `stale`). Unknown algorithms, and a `qop` without
    /// `auth`, are passed over (§3.7).
    pub fn strongest(challenges: &Challenges) -> Option<(Self, bool)> {
        let digests = challenges.iter().filter(|c| c.scheme().eq_ignore_ascii_case(SCHEME));
        let usable = digests.filter_map(Self::read);
        // The first of the strongest.
        usable.reduce(|best, other| if other.0.hash > best.0.hash { other } else { best })
    }

    fn read(challenge: &Challenge) -> Option<(Self, bool)> {
        let text = |name| match challenge.parameter(name) {
            // What would end the line of the answer is no honest demand.
            Some(value) if value.chars().any(char::is_control) => Err(()),
            value => Ok(value.map(str::to_owned)),
        };
        let is = |name, wanted: &str| {
            challenge.parameter(name).is_some_and(|value| value.eq_ignore_ascii_case(wanted))
        };
        let spelled = text("algorithm").ok()?;
        let name = spelled.as_deref().unwrap_or("MD5").to_ascii_uppercase();
        let plain = name.strip_suffix("-SESS");
        let hash = Hash::ALL.into_iter().find(|hash| hash.name() == plain.unwrap_or(&name))?;
        let protection = match challenge.parameter("qop") {
            Some(list) if list.split([',', ' ']).any(|qop| qop.eq_ignore_ascii_case("auth")) => true,
            Some(_) => return None,
            None => false,
        };
        let session = Self {
            hash,
            spelled,
            realm: text("realm").ok()??,
            nonce: text("nonce").ok()??,
            opaque: text("opaque").ok()?,
            protection,
            userhash: is("userhash", "true"),
            charset: is("charset", "UTF-8"),
            keyed: plain.is_some(),
            key: None,
            count: 0,
        };
        Some((session, is("stale", "true")))
    }

    /// What the proxy calls the space it protects.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// Whether both are of one nonce.
    pub fn has_nonce_of(&self, other: &Self) -> bool {
        self.nonce == other.nonce
    }

    /// Whichever of the two has used their nonce more often: a count must not be used twice.
    pub fn later(self, other: &Self) -> Self {
        Self { count: self.count.max(other.count), ..self }
    }

    /// Takes the nonce for the next request from Proxy-Authentication-Info (§3.5), where there is
    /// one.
    pub fn renew(&mut self, info: &str) {
        // The field is a challenge's parameters, without the scheme.
        let info = Challenges::parse([format!("{SCHEME} {info}").as_str()]);
        let next = info.find(SCHEME).and_then(|info| info.parameter("nextnonce"));
        if let Some(next) = next.filter(|next| !next.chars().any(char::is_control)) {
            self.nonce = next.to_owned();
            self.count = 0;
        }
    }

    /// Answers, and counts the use of the nonce. `cnonce` is this side's nonce, a new one each
    /// time.
    pub fn credentials(
        &mut self,
        user: &str,
        password: &Secret,
        method: &str,
        target: &str,
        cnonce: &str,
    ) -> Credentials {
        self.count = self.count.saturating_add(1);
        let hash = self.hash;
        let username = self.username(user);
        let mut key = hash.key(user, &self.realm, password);
        let cnonce = if self.keyed {
            // §3.4.2: the key is made once, of the first nonces. Proxies that make it anew for each
            // request get the same, as long as this side's nonce stays what it was.
            let (nonce, cnonce) = self.key.get_or_insert_with(|| (self.nonce.clone(), cnonce.to_owned()));
            key = hash.of(&[key.as_bytes(), nonce.as_bytes(), cnonce.as_bytes()]);
            cnonce.as_str()
        } else {
            cnonce
        };
        let count = format!("{:08x}", self.count);
        let used = self.protection.then_some((count.as_str(), cnonce));
        let response = hash.response(&key, &self.nonce, used, method, target);

        let mut value = format!("{SCHEME} {username}");
        quote(&mut value, ", realm", &self.realm);
        quote(&mut value, ", nonce", &self.nonce);
        quote(&mut value, ", uri", target);
        quote(&mut value, ", response", &response);
        // §3.4: algorithm, qop and nc are not quoted, and what was not offered is not sent.
        if let Some(algorithm) = &self.spelled {
            value += ", algorithm=";
            value += algorithm;
        }
        if self.protection {
            value += ", qop=auth, nc=";
            value += &count;
        }
        if self.protection || self.keyed {
            quote(&mut value, ", cnonce", cnonce);
        }
        if let Some(opaque) = &self.opaque {
            quote(&mut value, ", opaque", opaque);
        }
        if self.userhash {
            value += ", userhash=true";
        }
        Credentials::new(value)
    }

    /// The user's name as the proxy wants it (§3.4.4), or in UTF-8 (§4).
    fn username(&self, user: &str) -> String {
        let mut parameter = String::new();
        if self.userhash {
            quote(&mut parameter, "username", &self.hash.userhash(user, &self.realm));
        } else if self.charset && !user.is_ascii() {
            parameter += "username*=UTF-8''";
            for byte in user.bytes() {
                if byte.is_ascii_alphanumeric() {
                    parameter.push(char::from(byte));
                } else {
                    let _infallible = write!(parameter, "%{byte:02X}");
                }
            }
        } else {
            quote(&mut parameter, "username", user);
        }
        parameter
    }
}

/// `name="value"`, a quoted-string (RFC 9110 §5.6.4).
fn quote(to: &mut String, name: &str, value: &str) {
    to.push_str(name);
    to.push_str("=\"");
    for c in value.chars() {
        if matches!(c, '"' | '\\') {
            to.push('\\');
        }
        to.push(c);
    }
    to.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn session(challenge: &str) -> Session {
        Session::strongest(&Challenges::parse([challenge])).expect("a challenge that can be answered").0
    }

    fn parameter(credentials: &Credentials, name: &str) -> Option<String> {
        let sent = Challenges::parse([credentials.expose()]);
        sent.find(SCHEME).expect("Digest").parameter(name).map(str::to_owned)
    }

    #[test]
    fn r31_r33_the_examples_of_rfc_7616_section_3_9_1_come_out() {
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let mut session = session(&format!(
                "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
                 nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
                 opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            ));
            let password = Secret::new("Circle of Life");
            let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
            let sent = session.credentials("Mufasa", &password, "GET", "/dir/index.html", cnonce);
            assert_eq!(
                sent.expose(),
                format!(
                    "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", \
                     nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", uri=\"/dir/index.html\", \
                     response=\"{response}\", algorithm={algorithm}, qop=auth, nc=00000001, cnonce=\"{cnonce}\", \
                     opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
                )
            );
        }
    }

    /// With the values of erratum 4897: the RFC's own were made with SHA-512, cut off.
    #[test]
    fn r34_the_example_of_rfc_7616_section_3_9_2_comes_out() {
        let mut session = session(
            "Digest realm=\"api@example.org\", qop=\"auth\", algorithm=SHA-512-256, \
             nonce=\"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK\", \
             opaque=\"HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS\", charset=UTF-8, userhash=true",
        );
        let password = Secret::new("Secret, or not?");
        let cnonce = "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v";
        let sent = session.credentials("J\u{e4}s\u{f8}n Doe", &password, "GET", "/doe.json", cnonce);
        let is = |name, value: &str| assert_eq!(parameter(&sent, name).as_deref(), Some(value), "{name}");
        is("username", "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b");
        is("response", "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5");
        is("userhash", "true");
    }

    #[test]
    fn q32_r30_the_strongest_algorithm_is_taken_and_unknown_ones_are_passed_over() {
        let hash = |offers: &[&str]| {
            let lines: Vec<_> =
                offers.iter().map(|a| format!("Digest realm=r, nonce=n, algorithm={a}")).collect();
            Session::strongest(&Challenges::parse(lines.iter().map(String::as_str))).map(|(s, _)| s.hash)
        };
        assert_eq!(hash(&["MD5", "SHA-512-256", "SHA-256"]), Some(Hash::Sha512_256));
        assert_eq!(hash(&["md5-SESS", "\"sha-256\""]), Some(Hash::Sha256));
        assert_eq!(hash(&["SHA3-999", "MD5"]), Some(Hash::Md5), "R30");
        assert_eq!(hash(&["SHA3-999"]), None);
    }

    #[test]
    fn r35_a_challenge_that_cannot_be_met_is_passed_over() {
        let usable = |challenge: &str| Session::strongest(&Challenges::parse([challenge])).is_some();
        assert!(!usable("Digest realm=r, nonce=n, qop=\"auth-int\""));
        assert!(usable("Digest realm=r, nonce=n, qop=\"auth-int,AUTH\""));
        assert!(!usable("Digest realm=r"), "no nonce");
        assert!(!usable("Digest nonce=n"), "no realm");
        assert!(!usable("Digest realm=r, nonce=\"a\u{1}b\""));
    }

    #[test]
    fn a_challenge_without_qop_is_answered_as_rfc_2069_has_it() {
        let mut session =
            session("Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"");
        let sent =
            session.credentials("Mufasa", &Secret::new("CircleOfLife"), "GET", "/dir/index.html", "not used");
        // The example of RFC 2069 §2.4 with the response of its erratum.
        assert_eq!(parameter(&sent, "response").as_deref(), Some("1949323746fe6a43ef61f9606e7febea"));
        for absent in ["qop", "nc", "cnonce", "algorithm", "opaque", "userhash"] {
            assert_eq!(parameter(&sent, absent), None, "{absent} was not offered");
        }
    }

    #[test]
    fn r31_a_nonce_is_counted_and_the_next_one_begins_anew() {
        let mut session = session("Digest realm=r, nonce=one, qop=auth");
        let mut used = || {
            let sent = session.credentials("u", &Secret::new("p"), "CONNECT", "host:22", "c");
            (parameter(&sent, "nonce").expect("a nonce"), parameter(&sent, "nc").expect("a count"))
        };
        assert_eq!(used(), ("one".into(), "00000001".into()));
        assert_eq!(used(), ("one".into(), "00000002".into()));
        session.renew("qop=auth, nextnonce=\"two\"");
        session.renew("rspauth=\"x\"");
        let sent = session.credentials("u", &Secret::new("p"), "CONNECT", "host:22", "c");
        assert_eq!(parameter(&sent, "nonce").as_deref(), Some("two"), "q32: nextnonce");
        assert_eq!(parameter(&sent, "nc").as_deref(), Some("00000001"));
    }

    #[test]
    fn r34_the_key_of_a_sess_is_made_of_the_first_nonces() {
        let mut session = session("Digest realm=r, nonce=one, qop=auth, algorithm=SHA-256-sess");
        let password = Secret::new("p");
        let hash = |parts: &[&[u8]]| Hash::Sha256.of(parts);
        let a1 = hash(&[hash(&[b"u", b"r", b"p"]).as_bytes(), b"one", b"first"]);
        let a2 = hash(&[b"CONNECT", b"host:22"]);
        for (count, cnonce) in [("00000001", "first"), ("00000002", "second")] {
            let sent = session.credentials("u", &password, "CONNECT", "host:22", cnonce);
            let wanted = hash(&[a1.as_bytes(), b"one", count.as_bytes(), b"first", b"auth", a2.as_bytes()]);
            assert_eq!(parameter(&sent, "response").as_deref(), Some(wanted.as_str()));
        }
    }

    #[test]
    fn r27_a_name_beyond_ascii_is_sent_as_the_proxy_says() {
        let mut plain = session("Digest realm=r, nonce=n");
        let sent = plain.credentials("caf\u{e9} \"x\"", &Secret::default(), "CONNECT", "host:22", "c");
        assert_eq!(parameter(&sent, "username").as_deref(), Some("caf\u{e9} \"x\""));
        let mut utf8 = session("Digest realm=r, nonce=n, charset=utf-8");
        let sent = utf8.credentials("caf\u{e9}", &Secret::default(), "CONNECT", "host:22", "c");
        assert!(sent.expose().starts_with("Digest username*=UTF-8''caf%C3%A9, "), "{}", sent.expose());
    }

    proptest! {
        #[test]
        fn whatever_a_proxy_demands_the_answer_is_one_line_that_can_be_read(
            demands in prop::collection::vec(
                ("realm|nonce|qop|algorithm|opaque|userhash|charset|stale", "auth|MD5|SHA-256-sess|true|\\PC{0,20}"),
                0..8,
            ),
            user in "[^:\\pC]{0,10}",
        ) {
            let list: Vec<_> = demands.iter().map(|(n, v)| format!("{n}=\"{}\"", v.replace(['\\', '"'], "\\\""))).collect();
            let line = format!("Digest realm=r, nonce=n, {}", list.join(", "));
            if let Some((mut session, _)) = Session::strongest(&Challenges::parse([line.as_str()])) {
                let sent = session.credentials(&user, &Secret::new("p"), "CONNECT", "host:22", "c");
                prop_assert!(!sent.expose().chars().any(char::is_control));
                prop_assert_eq!(parameter(&sent, "uri"), Some("host:22".to_owned()));
            }
        }
    }
}
