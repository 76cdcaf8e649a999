//! NTLM over HTTP: NTLMv2 alone, as MS-NLMP has it.
//!
//! Three messages on one connection: [`hello`], the proxy's [`Challenge`], [`proof`]. This side's
//! challenge, the time and the proxy's name are arguments. NTLMv1 and LM are never sent: whoever
//! sees them has the password within a day. Nothing is signed or sealed with the keys.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use md4::{Digest as _, Md4};
use md5::Md5;
use zeroize::Zeroizing;

use super::Credentials;
use crate::secret::Login;

/// The scheme's name.
pub const SCHEME: &str = "NTLM";

const SIGNATURE: &[u8] = b"NTLMSSP\0";

/// The largest challenge that is read; those of domain controllers are below 1 KiB.
const MAX_CHALLENGE: usize = 16 * 1024;

/// MS-NLMP §2.2.2.5: what is asked for, and what the proxy must agree to.
mod flags {
    pub(super) const UNICODE: u32 = 1;
    pub(super) const REQUEST_TARGET: u32 = 1 << 2;
    pub(super) const NTLM: u32 = 1 << 9;
    pub(super) const ALWAYS_SIGN: u32 = 1 << 15;
    pub(super) const EXTENDED_SESSIONSECURITY: u32 = 1 << 19;
    pub(super) const TARGET_INFO: u32 = 1 << 23;
    pub(super) const KEY_128: u32 = 1 << 29;
    pub(super) const KEY_56: u32 = 1 << 31;
}

/// No SIGN, SEAL or KEY_EXCH: there is no session in HTTP that would use the keys.
const OFFERED: u32 = flags::UNICODE
    | flags::REQUEST_TARGET
    | flags::NTLM
    | flags::ALWAYS_SIGN
    | flags::EXTENDED_SESSIONSECURITY
    | flags::TARGET_INFO
    | flags::KEY_128
    | flags::KEY_56;

/// MS-NLMP §2.2.2.1: the attributes that are looked for or added.
mod attribute {
    pub(super) const END: u16 = 0;
    pub(super) const FLAGS: u16 = 6;
    pub(super) const TIMESTAMP: u16 = 7;
    pub(super) const TARGET_NAME: u16 = 9;
}

/// In [`attribute::FLAGS`]: the proof has a MIC.
const HAS_MIC: u32 = 2;

/// Where the MIC stands in a proof that has one: behind eight fields and a version.
const MIC: std::ops::Range<usize> = 72..88;

/// NEGOTIATE_MESSAGE (§2.2.1.1): nothing in it depends on the user.
pub fn hello() -> Vec<u8> {
    let mut message = SIGNATURE.to_vec();
    message.extend(1u32.to_le_bytes());
    message.extend(OFFERED.to_le_bytes());
    // No domain and no workstation: both are empty fields.
    message.extend([0; 16]);
    message
}

/// The field value that carries a message.
pub fn credentials(message: &[u8]) -> Credentials {
    Credentials::new(format!("{SCHEME} {}", BASE64_STANDARD.encode(message)))
}

/// CHALLENGE_MESSAGE (§2.2.1.2), as far as it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// As sent: the MIC is made of it.
    message: Vec<u8>,
    flags: u32,
    nonce: [u8; 8],
    /// Attributes and values, without the end.
    attributes: Vec<(u16, Vec<u8>)>,
}

impl Challenge {
    /// Reads the token68 of a challenge. `None`: it is none, or its demands can't be met.
    pub fn parse(token: &str) -> Option<Self> {
        if token.len() > MAX_CHALLENGE {
            return None;
        }
        let message = BASE64_STANDARD.decode(token).ok()?;
        if message.get(..8)? != SIGNATURE || u32_at(&message, 8)? != 2 {
            return None;
        }
        let flags = u32_at(&message, 20)?;
        let nonce = message.get(24..32)?.try_into().ok()?;
        if flags & flags::UNICODE == 0 {
            return None;
        }
        let attributes = match flags & flags::TARGET_INFO {
            0 => Vec::new(),
            _ => attributes(field(&message, 40)?)?,
        };
        Some(Self { flags, nonce, attributes, message })
    }

    fn attribute(&self, wanted: u16) -> Option<&[u8]> {
        self.attributes.iter().find(|(id, _)| *id == wanted).map(|(_, value)| value.as_slice())
    }
}

/// What of a proof is this side's choice.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a> {
    /// Random.
    pub nonce: [u8; 8],
    /// Now, as [`windows_time`] gives it, where the proxy does not say what time it is.
    pub time: u64,
    /// Whom it is for: `HTTP/PROXY`.
    pub service: &'a str,
}

/// A FILETIME: tenths of microseconds since 1601.
pub fn windows_time(time: SystemTime) -> u64 {
    const FROM_1601_TO_1970: u64 = 11_644_473_600;
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_secs() + FROM_1601_TO_1970) * 10_000_000 + u64::from(since.subsec_nanos()) / 100
}

/// AUTHENTICATE_MESSAGE (§2.2.1.3): the answer to a challenge. `hello` is what it was behind.
pub fn proof(login: &Login, hello: &[u8], challenge: &Challenge, choice: Choice<'_>) -> Vec<u8> {
    let (domain, user) = parts(login.user());
    // §3.1.5.1.2: a proxy that says the time gets no LM response, and a MIC.
    let stamped = challenge.attribute(attribute::TIMESTAMP);
    let mut info = challenge.attributes.clone();
    if stamped.is_some() {
        let flags = challenge.attribute(attribute::FLAGS).and_then(|value| u32_at(value, 0)).unwrap_or(0);
        info.retain(|(id, _)| !matches!(*id, attribute::FLAGS | attribute::TARGET_NAME));
        info.push((attribute::FLAGS, (flags | HAS_MIC).to_le_bytes().to_vec()));
        info.push((attribute::TARGET_NAME, utf16(choice.service)));
    }
    let time = stamped.and_then(|time| time.try_into().ok()).map_or(choice.time, u64::from_le_bytes);
    let key = ntowf_v2(login, user, domain);
    let (nt_response, session_key) = nt_response(&key, &challenge.nonce, &choice.nonce, time, &encode(&info));
    let lm_response = match stamped {
        Some(_) => vec![0; 24],
        None => lm_response(&key, &challenge.nonce, &choice.nonce),
    };

    let mut header = SIGNATURE.to_vec();
    header.extend(3u32.to_le_bytes());
    let mut payload = Vec::new();
    let start = MIC.end;
    // No workstation, no session key.
    for value in [lm_response, nt_response, utf16(domain), utf16(user), Vec::new(), Vec::new()] {
        // All lengths are this side's or bounded by the challenge's.
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes();
        header.extend(length);
        header.extend(length);
        header.extend(u32::try_from(start + payload.len()).unwrap_or(u32::MAX).to_le_bytes());
        payload.extend(value);
    }
    header.extend((challenge.flags & OFFERED).to_le_bytes());
    // The version, which was not asked for, and the MIC.
    header.resize(start, 0);
    let mut message = [header, payload].concat();
    if stamped.is_some() {
        let mic = hmac_md5(&session_key[..], &[hello, &challenge.message, &message]);
        message[MIC].copy_from_slice(&mic);
    }
    message
}

/// `DOMAIN\NAME`; `NAME@REALM` is a name that is whole (§2.2.1.3).
fn parts(user: &str) -> (&str, &str) {
    user.split_once('\\').unwrap_or(("", user))
}

/// NTOWFv2 (§3.3.2). The name counts in capitals, the domain as it is.
fn ntowf_v2(login: &Login, user: &str, domain: &str) -> Zeroizing<[u8; 16]> {
    let hash = match (login.nt_hash(), login.password()) {
        (Some(hash), _) => Zeroizing::new(*hash.expose()),
        (None, password) => {
            let password = Zeroizing::new(utf16(password.map_or("", |password| password.expose())));
            Zeroizing::new(Md4::digest(&password).into())
        }
    };
    let capitals: String = user.chars().map(capital).collect();
    Zeroizing::new(hmac_md5(&hash[..], &[&utf16(&capitals), &utf16(domain)]))
}

/// Windows turns one character into one: no SS for ß.
fn capital(c: char) -> char {
    let mut capitals = c.to_uppercase();
    match (capitals.next(), capitals.next()) {
        (Some(capital), None) => capital,
        _ => c,
    }
}

/// The NTLMv2 response, and the session's base key (§3.3.2).
fn nt_response(
    key: &[u8; 16],
    theirs: &[u8; 8],
    ours: &[u8; 8],
    time: u64,
    info: &[u8],
) -> (Vec<u8>, Zeroizing<[u8; 16]>) {
    let mut temp = vec![1, 1, 0, 0, 0, 0, 0, 0];
    temp.extend(time.to_le_bytes());
    temp.extend(ours);
    temp.extend([0; 4]);
    temp.extend(info);
    temp.extend([0; 4]);
    let proof = hmac_md5(key, &[theirs, &temp]);
    let session_key = Zeroizing::new(hmac_md5(key, &[&proof]));
    ([&proof[..], &temp].concat(), session_key)
}

/// The LMv2 response (§3.3.2): no weaker, and for proxies that say no time.
fn lm_response(key: &[u8; 16], theirs: &[u8; 8], ours: &[u8; 8]) -> Vec<u8> {
    [&hmac_md5(key, &[theirs, ours])[..], ours].concat()
}

fn hmac_md5(key: &[u8], parts: &[&[u8]]) -> [u8; 16] {
    // HMAC takes keys of any length (RFC 2104 §2).
    let Ok(mut mac) = Hmac::<Md5>::new_from_slice(key) else { return [0; 16] };
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// The bytes that a field of length, capacity and offset points to (§2.2.1.2).
fn field(message: &[u8], at: usize) -> Option<&[u8]> {
    let length = usize::from(u16_at(message, at)?);
    let start = usize::try_from(u32_at(message, at + 4)?).ok()?;
    message.get(start..start.checked_add(length)?)
}

/// AV_PAIRs (§2.2.2.1) up to their end.
fn attributes(mut bytes: &[u8]) -> Option<Vec<(u16, Vec<u8>)>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (id, length) = (u16_at(bytes, 0)?, usize::from(u16_at(bytes, 2)?));
        if id == attribute::END {
            break;
        }
        found.push((id, bytes.get(4..4 + length)?.to_vec()));
        bytes = &bytes[4 + length..];
    }
    Some(found)
}

fn encode(attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (id, value) in attributes {
        bytes.extend(id.to_le_bytes());
        bytes.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
        bytes.extend(value);
    }
    bytes.extend([0; 4]);
    bytes
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::hexadecimal;
    use super::*;
    use crate::secret::{NtHash, Secret};
    use proptest::prelude::*;

    /// The user of MS-NLMP §4.2.1.
    fn user() -> Login {
        Login::new("Domain\\User", Secret::new("Password")).expect("a plain name")
    }

    fn the_key() -> Zeroizing<[u8; 16]> {
        ntowf_v2(&user(), "User", "Domain")
    }

    const THEIRS: [u8; 8] = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
    const OURS: [u8; 8] = [0xaa; 8];

    fn info() -> Vec<(u16, Vec<u8>)> {
        vec![(2, utf16("Domain")), (1, utf16("Server"))]
    }

    #[test]
    fn the_examples_of_ms_nlmp_section_4_2_4_come_out() {
        assert_eq!(hexadecimal(&the_key()[..]), "0c868a403bfd7a93a3001ef22ef02e3f", "NTOWFv2");
        let (response, key) = nt_response(&the_key(), &THEIRS, &OURS, 0, &encode(&info()));
        assert_eq!(hexadecimal(&response[..16]), "68cd0ab851e51c96aabc927bebef6a1c", "NTProofStr");
        assert_eq!(hexadecimal(&key[..]), "8de40ccadbc14a82f15cb0ad0de95ca3", "SessionBaseKey");
        let lm = lm_response(&the_key(), &THEIRS, &OURS);
        assert_eq!(hexadecimal(&lm), "86c35097ac9cec102554764a57cccc19aaaaaaaaaaaaaaaa", "LMv2");
    }

    #[test]
    fn a_hash_in_place_of_the_password_gives_the_same() {
        // MS-NLMP §4.2.2.1.2: NTOWFv1 of "Password".
        let hash = 0xa4f4_9c40_6510_bdca_b682_4ee7_c30f_d852_u128.to_be_bytes();
        let login = Login::with_nt_hash("User", NtHash::new(hash)).expect("a plain name");
        assert_eq!(ntowf_v2(&login, "User", "Domain"), the_key());
        assert_eq!(ntowf_v2(&user(), "uSER", "Domain"), the_key(), "the name counts in capitals");
    }

    #[test]
    fn a_name_is_taken_apart_at_its_backslash_alone() {
        assert_eq!(parts("CORP\\alice"), ("CORP", "alice"));
        assert_eq!(parts("alice@corp.example"), ("", "alice@corp.example"));
        assert_eq!(parts("alice"), ("", "alice"));
    }

    /// A CHALLENGE_MESSAGE with these attributes.
    fn challenge(attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let info = encode(attributes);
        let mut message = SIGNATURE.to_vec();
        message.extend(2u32.to_le_bytes());
        message.extend([0; 8]);
        message.extend(OFFERED.to_le_bytes());
        message.extend(THEIRS);
        message.extend([0; 8]);
        let length = u16::try_from(info.len()).expect("short").to_le_bytes();
        message.extend([length, length].concat());
        message.extend(48u32.to_le_bytes());
        [message, info].concat()
    }

    fn parsed(message: &[u8]) -> Option<Challenge> {
        Challenge::parse(&BASE64_STANDARD.encode(message))
    }

    fn prove(attributes: &[(u16, Vec<u8>)]) -> (Challenge, Vec<u8>) {
        let challenge = parsed(&challenge(attributes)).expect("a challenge");
        let choice = Choice { nonce: OURS, time: 7, service: "HTTP/proxy" };
        let proof = proof(&user(), &hello(), &challenge, choice);
        (challenge, proof)
    }

    #[test]
    fn a_proof_says_who_and_how_in_the_places_where_it_is_looked_for() {
        let (_, message) = prove(&info());
        assert_eq!(field(&message, 28), Some(&utf16("Domain")[..]));
        assert_eq!(field(&message, 36), Some(&utf16("User")[..]));
        let nt = field(&message, 20).expect("the NT response");
        let (wanted, _) = nt_response(&the_key(), &THEIRS, &OURS, 7, &encode(&info()));
        assert_eq!(nt, wanted);
        assert_eq!(field(&message, 12).map(<[u8]>::len), Some(24));
        assert_eq!(message[MIC], [0; 16], "no time, no MIC");
    }

    #[test]
    fn a_challenge_with_a_time_gets_a_mic_and_no_lm_response() {
        let mut attributes = info();
        attributes.push((attribute::TIMESTAMP, 5u64.to_le_bytes().to_vec()));
        let (challenge, mut message) = prove(&attributes);
        assert_eq!(field(&message, 12), Some(&[0; 24][..]));
        let nt = field(&message, 20).expect("the NT response").to_vec();
        assert_eq!(nt[24..32], 5u64.to_le_bytes(), "the proxy's time");
        let said = super::attributes(&nt[44..]).expect("attributes");
        assert!(said.contains(&(attribute::FLAGS, HAS_MIC.to_le_bytes().to_vec())));
        assert!(said.contains(&(attribute::TARGET_NAME, utf16("HTTP/proxy"))));
        let mic = message[MIC].to_vec();
        message[MIC].fill(0);
        let key = hmac_md5(&the_key()[..], &[&nt[..16]]);
        assert_eq!(mic, hmac_md5(&key, &[&hello(), &challenge.message, &message]));
    }

    #[test]
    fn no_session_is_asked_for_that_nobody_would_use() {
        const SIGN: u32 = 1 << 4;
        const SEAL: u32 = 1 << 5;
        const KEY_EXCH: u32 = 1 << 30;
        const LM_KEY: u32 = 1 << 7;
        assert_eq!(OFFERED & (SIGN | SEAL | KEY_EXCH | LM_KEY), 0);
        let (_, message) = prove(&info());
        assert_eq!(u32_at(&message, 60), Some(OFFERED));
    }

    #[test]
    fn every_truncation_of_a_challenge_is_refused() {
        let whole = challenge(&info());
        assert!(parsed(&whole).is_some());
        for end in 0..whole.len() - 4 {
            assert_eq!(parsed(&whole[..end]), None, "cut at {end}");
        }
        assert_eq!(Challenge::parse(&"A".repeat(MAX_CHALLENGE + 4)), None);
    }

    proptest! {
        #[test]
        fn no_challenge_makes_a_panic(
            places in prop::collection::vec((0usize..90, any::<u8>()), 0..12),
            tail in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut message = challenge(&info());
            message.extend(tail);
            for (at, byte) in places {
                if let Some(place) = message.get_mut(at) {
                    *place = byte;
                }
            }
            if let Some(challenge) = parsed(&message) {
                let choice = Choice { nonce: OURS, time: 0, service: "HTTP/p" };
                let proof = proof(&user(), &hello(), &challenge, choice);
                prop_assert_eq!(field(&proof, 36), Some(&utf16("User")[..]));
            }
        }

        #[test]
        fn no_token_makes_a_panic(token in "\\PC{0,80}|[A-Za-z0-9+/=]{0,80}") {
            Challenge::parse(&token);
        }
    }
}
