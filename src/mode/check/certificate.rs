//! What stands in a certificate, read so that also a broken one can be told about.

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::*;
use x509_parser::public_key::PublicKey;

use crate::net::trust::LEAST_RSA;

/// The facts of one certificate. Text in it is the certificate's and not escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The subject's distinguished name.
    pub subject: String,
    /// The issuer's distinguished name.
    pub issuer: String,
    /// The names it is for: DNS names and addresses.
    pub names: Vec<String>,
    /// When it begins to be valid.
    pub not_before: Option<Moment>,
    /// When it ceases to be.
    pub not_after: Option<Moment>,
    /// The kind of its key and how many bits it has, `EC 256`.
    pub key: String,
    /// Whether the key is shorter than what is accepted today (RSA 2048, EC 224 bits).
    pub weak_key: bool,
    /// The algorithm that its issuer signed it with, as OpenSSL names it.
    pub signature: String,
    /// Whether that algorithm is broken (MD5, SHA-1).
    pub weak_signature: bool,
    /// Its serial number in hexadecimal.
    pub serial: String,
    /// Whether it names itself as its issuer.
    pub self_issued: bool,
    /// SHA-256 over its DER, 64 hexadecimal digits.
    pub sha256: String,
    /// SHA-256 over its key (SubjectPublicKeyInfo): it stays when a certificate is renewed.
    pub key_sha256: String,
}

/// A moment in UTC, to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Seconds since 1970; certificates may be older.
    pub unix: i64,
    year: i32,
    month: u8,
    day: u8,
    second_of_day: u32,
}

impl Moment {
    fn new(time: ASN1Time) -> Self {
        let at = time.to_datetime();
        let second_of_day =
            u32::from(at.hour()) * 3600 + u32::from(at.minute()) * 60 + u32::from(at.second());
        Self {
            unix: time.timestamp(),
            year: at.year(),
            month: u8::from(at.month()),
            day: at.day(),
            second_of_day,
        }
    }

    /// `2026-11-19`.
    pub fn date(&self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    /// How long ago it was, or `Err` how long it still takes.
    ///
    /// # Errors
    /// The moment is in the future.
    pub fn elapsed(&self, now: SystemTime) -> Result<Duration, Duration> {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs().cast_signed());
        let seconds = now.saturating_sub(self.unix);
        let span = Duration::from_secs(seconds.unsigned_abs());
        if seconds >= 0 { Ok(span) } else { Err(span) }
    }
}

impl std::fmt::Display for Moment {
    /// RFC 3339.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (hour, minute) = (self.second_of_day / 3600, self.second_of_day / 60 % 60);
        write!(f, "{}T{hour:02}:{minute:02}:{:02}Z", self.date(), self.second_of_day % 60)
    }
}

impl CertificateFacts {
    /// Reads what can be read; of what is no certificate at all only the fingerprint is known.
    pub fn read(der: &CertificateDer<'_>) -> Self {
        let sha256 = hex(&Sha256::digest(der), "");
        let Ok((_, certificate)) = X509Certificate::from_der(der) else {
            return Self { sha256, ..Self::default() };
        };
        let validity = certificate.validity();
        let names = certificate.subject_alternative_name().ok().flatten();
        let oid = certificate.signature_algorithm.algorithm.to_id_string();
        let algorithm = ALGORITHMS.iter().find(|(known, ..)| *known == oid);
        let (key, bits) = key(certificate.public_key());
        Self {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            names: names.map(|n| n.value.general_names.iter().filter_map(name).collect()).unwrap_or_default(),
            not_before: Some(Moment::new(validity.not_before)),
            not_after: Some(Moment::new(validity.not_after)),
            weak_key: bits.is_some_and(|(bits, least)| bits < least),
            key,
            signature: algorithm.map_or(oid.clone(), |(_, name, _)| (*name).to_owned()),
            weak_signature: algorithm.is_some_and(|(.., weak)| *weak),
            serial: hex(serial(&certificate), ":"),
            self_issued: certificate.subject() == certificate.issuer(),
            sha256,
            key_sha256: hex(&Sha256::digest(certificate.public_key().raw), ""),
        }
    }

    /// Whole days until it ceases to be valid; negative when that is past.
    pub fn days_left(&self, now: SystemTime) -> Option<i64> {
        Some(match self.not_after?.elapsed(now) {
            Ok(past) => -(past.as_secs() / DAY).cast_signed(),
            Err(left) => (left.as_secs() / DAY).cast_signed(),
        })
    }
}

/// Signature algorithms, as OpenSSL names them, and whether they are broken.
const ALGORITHMS: [(&str, &str, bool); 13] = [
    ("1.2.840.113549.1.1.4", "md5WithRSAEncryption", true),
    ("1.2.840.113549.1.1.5", "sha1WithRSAEncryption", true),
    ("1.2.840.113549.1.1.10", "rsassaPss", false),
    ("1.2.840.113549.1.1.11", "sha256WithRSAEncryption", false),
    ("1.2.840.113549.1.1.12", "sha384WithRSAEncryption", false),
    ("1.2.840.113549.1.1.13", "sha512WithRSAEncryption", false),
    ("1.2.840.10045.4.1", "ecdsa-with-SHA1", true),
    ("1.2.840.10045.4.3.2", "ecdsa-with-SHA256", false),
    ("1.2.840.10045.4.3.3", "ecdsa-with-SHA384", false),
    ("1.2.840.10045.4.3.4", "ecdsa-with-SHA512", false),
    ("1.2.840.10040.4.3", "dsaWithSHA1", true),
    ("1.3.101.112", "ED25519", false),
    ("1.3.101.113", "ED448", false),
];

const DAY: u64 = 86_400;

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(octets) => match octets.len() {
            4 => <[u8; 4]>::try_from(*octets).ok().map(|o| std::net::Ipv4Addr::from(o).to_string()),
            16 => <[u8; 16]>::try_from(*octets).ok().map(|o| std::net::Ipv6Addr::from(o).to_string()),
            _ => None,
        },
        GeneralName::OtherName(..)
        | GeneralName::RFC822Name(_)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::URI(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => None,
    }
}

/// Without the octet that DER puts before a first bit of 1: no tool shows it.
fn serial<'a>(certificate: &'a X509Certificate<'_>) -> &'a [u8] {
    match certificate.raw_serial() {
        [0, rest @ ..] if !rest.is_empty() => rest,
        serial => serial,
    }
}

/// Its kind and size in words, and where the size counts, with the least that is accepted.
fn key(info: &SubjectPublicKeyInfo<'_>) -> (String, Option<(usize, usize)>) {
    match info.parsed() {
        Ok(PublicKey::RSA(key)) => (format!("RSA {}", key.key_size()), Some((key.key_size(), LEAST_RSA))),
        Ok(PublicKey::EC(key)) => (format!("EC {}", key.key_size()), Some((key.key_size(), 224))),
        Ok(PublicKey::DSA(_)) => ("DSA".into(), None),
        Ok(PublicKey::GostR3410(_) | PublicKey::GostR3410_2012(_)) => ("GOST".into(), None),
        Ok(PublicKey::Unknown(_)) | Err(_) => match info.algorithm.algorithm.to_id_string().as_str() {
            "1.3.101.112" => ("Ed25519".into(), None),
            "1.3.101.113" => ("Ed448".into(), None),
            oid => (oid.to_owned(), None),
        },
    }
}

fn hex(octets: &[u8], between: &str) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(between)
}
