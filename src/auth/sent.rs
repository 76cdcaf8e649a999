//! What has been sent of a login: a proxy may repeat it, and its text is shown.
//!
//! Knows what is secret in a Proxy-Authorization field, and the forms in which it comes back.

use std::cmp::Reverse;

use super::basic;
use crate::secret::Secret;

/// What stands in its place.
const REDACTED: &str = "[redacted]";

/// The shortest password that is looked for by itself. One that is shorter stands in many words,
/// and to take it out there would tell it.
const SHORTEST_PASSWORD: usize = 3;

/// Everything secret that one proxy was sent, the longest first.
#[derive(Clone, Debug, Default)]
pub struct Sent(Vec<Secret>);

impl Sent {
    /// A value of Proxy-Authorization goes out. Whoever takes Basic knows name and password then,
    /// and may write them into a page.
    pub fn add(&mut self, value: &str) {
        // The scheme is no secret, and stands in every challenge.
        let mut secrets = vec![value.split_once(' ').map_or(value, |(_, token)| token.trim()).to_owned()];
        if let Some(Ok(login)) = basic::login(value)
            && let Some(password) = login.password().map(Secret::expose)
        {
            let pair = format!("{}:{password}", login.user());
            secrets.extend([in_html(&pair), pair]);
            if password.len() >= SHORTEST_PASSWORD {
                secrets.extend([in_html(password), password.to_owned()]);
            }
        }
        for secret in secrets.into_iter().filter(|secret| !secret.is_empty()).map(Secret::new) {
            if !self.0.contains(&secret) {
                self.0.push(secret);
            }
        }
        self.0.sort_by_key(|secret| Reverse(secret.expose().len()));
    }

    /// Also what that proxy was sent.
    pub fn join(&mut self, other: &Self) {
        self.0.extend(other.0.iter().filter(|secret| !self.0.contains(secret)).cloned().collect::<Vec<_>>());
        self.0.sort_by_key(|secret| Reverse(secret.expose().len()));
    }

    /// A text without it.
    pub fn mask(&self, text: &str) -> String {
        self.0.iter().map(Secret::expose).fold(text.to_owned(), |text, secret| text.replace(secret, REDACTED))
    }

    /// The same for what may be no text.
    pub fn mask_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        self.0.iter().map(|secret| secret.expose().as_bytes()).fold(bytes.to_vec(), |bytes, secret| {
            let mut masked = Vec::with_capacity(bytes.len());
            let mut rest = &bytes[..];
            while let Some(at) = rest.windows(secret.len()).position(|window| window == secret) {
                masked.extend_from_slice(&rest[..at]);
                masked.extend_from_slice(REDACTED.as_bytes());
                rest = &rest[at + secret.len()..];
            }
            masked.extend_from_slice(rest);
            masked
        })
    }
}

/// As a page has it.
fn in_html(text: &str) -> String {
    [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\"", "&quot;"), ("'", "&#39;")]
        .into_iter()
        .fold(text.to_owned(), |text, (character, entity)| text.replace(character, entity))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(user: &str, password: &str) -> Sent {
        let mut sent = Sent::default();
        sent.add(basic::credentials(user, &Secret::new(password)).expose());
        sent
    }

    #[test]
    fn a_login_is_masked_as_it_was_sent_and_as_whoever_took_it_may_write_it() {
        let sent = sent("aladdin", "open<sesame>");
        for (said, shown) in [
            ("no: Basic YWxhZGRpbjpvcGVuPHNlc2FtZT4=", "no: Basic [redacted]"),
            ("aladdin:open<sesame> may not", "[redacted] may not"),
            ("open<sesame>, open<sesame>", "[redacted], [redacted]"),
            ("<b>aladdin:open&lt;sesame&gt;</b>", "<b>[redacted]</b>"),
            ("aladdin may not", "aladdin may not"),
            ("", ""),
        ] {
            assert_eq!(sent.mask(said), shown);
            assert_eq!(String::from_utf8(sent.mask_bytes(said.as_bytes())).expect("text"), shown);
        }
        assert_eq!(sent.mask_bytes(b"\xffopen<sesame>\xfe"), b"\xff[redacted]\xfe");
    }

    #[test]
    fn what_is_no_basic_is_masked_whole_and_a_short_password_with_its_name_alone() {
        let mut token = Sent::default();
        token.add("Bearer sesame-7351");
        assert_eq!(token.mask("Bearer sesame-7351 is no good"), "Bearer [redacted] is no good");
        let short = sent("aladdin", "no");
        assert_eq!(short.mask("aladdin:no: no, not now"), "[redacted]: no, not now");
        let mut both = Sent::default();
        both.join(&token);
        both.join(&short);
        assert_eq!(both.mask("sesame-7351 aladdin:no"), "[redacted] [redacted]");
        assert_eq!(Sent::default().mask("as it is"), "as it is");
    }
}
