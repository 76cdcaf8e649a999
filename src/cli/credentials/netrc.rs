//! A netrc file's text: the login for a host, as ftp and curl read it.
//!
//! Pure. Knows the words `machine`, `default`, `login`, `password`, `account`, `macdef`, comments,
//! and curl's quotes. Refuses to know where the file is and who may read it.

use std::iter::Peekable;
use std::str::Chars;

use zeroize::Zeroizing;

use super::{Entry, Proof};
use crate::secret::Secret;

/// A quote that is never closed: whatever stands behind it cannot be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a quote is not closed")]
pub(in crate::cli) struct OpenQuote;

/// The first entry for `host`, or `default`, that is for this login where one is asked for.
pub(super) fn find(text: &str, host: &str, login: Option<&str>) -> Result<Option<Entry>, OpenQuote> {
    let mut words = Words(text.chars().peekable());
    let mut entry: Option<Entry> = None;
    let fits = |entry: &Entry| entry.fits(login);
    while let Some(word) = words.next()? {
        match word.as_str() {
            "machine" | "default" => {
                if entry.as_ref().is_some_and(fits) {
                    return Ok(entry);
                }
                let ours = match word.as_str() {
                    "default" => true,
                    _ => words.next()?.is_some_and(|name| name.eq_ignore_ascii_case(host)),
                };
                entry = ours.then(Entry::default);
            }
            "login" => {
                let value = words.next()?;
                if let Some(entry) = &mut entry {
                    entry.user = value.map(|value| value.to_string());
                }
            }
            "password" => {
                let value = words.next()?;
                if let Some(entry) = &mut entry {
                    let secret = |mut value: Zeroizing<String>| Secret::new(std::mem::take(&mut *value));
                    entry.proof = value.map(secret).map(Proof::Password);
                }
            }
            "account" => {
                words.next()?;
            }
            "macdef" => words.skip_macro(),
            // ftp's other words mean nothing here.
            _ => {}
        }
    }
    Ok(entry.filter(fits))
}

struct Words<'t>(Peekable<Chars<'t>>);

impl Words<'_> {
    /// The next word, without its quotes; any of them may be a password.
    fn next(&mut self) -> Result<Option<Zeroizing<String>>, OpenQuote> {
        loop {
            while self.0.next_if(|c| c.is_ascii_whitespace()).is_some() {}
            match self.0.peek() {
                None => return Ok(None),
                Some('#') => while self.0.next_if(|c| *c != '\n').is_some() {},
                Some('"') => return self.quoted().map(Some),
                Some(_) => {
                    // Its length first: a string that grows leaves what it held behind.
                    let length = self.0.clone().take_while(|c| !c.is_ascii_whitespace()).map(char::len_utf8);
                    let mut word = Zeroizing::new(String::with_capacity(length.sum()));
                    while let Some(c) = self.0.next_if(|c| !c.is_ascii_whitespace()) {
                        word.push(c);
                    }
                    return Ok(Some(word));
                }
            }
        }
    }

    /// As curl reads it: `\n`, `\r` and `\t` are what they are in C, any other character behind a
    /// backslash is itself.
    fn quoted(&mut self) -> Result<Zeroizing<String>, OpenQuote> {
        self.0.next();
        // One that is as long as it can get.
        let rest = self.0.clone().take_while(|c| *c != '\n').map(char::len_utf8).sum();
        let mut word = Zeroizing::new(String::with_capacity(rest));
        loop {
            match self.0.next() {
                None | Some('\n') => return Err(OpenQuote),
                Some('"') => return Ok(word),
                Some('\\') => word.push(match self.0.next() {
                    None | Some('\n') => return Err(OpenQuote),
                    Some('n') => '\n',
                    Some('r') => '\r',
                    Some('t') => '\t',
                    Some(other) => other,
                }),
                Some(other) => word.push(other),
            }
        }
    }

    /// A macro ends with an empty line, and nothing in it is for us.
    fn skip_macro(&mut self) {
        let mut line = 0;
        for c in self.0.by_ref() {
            match c {
                '\n' if line == 0 => return,
                '\n' => line = 0,
                '\r' => {}
                _ => line += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pair(text: &str, host: &str, login: Option<&str>) -> Option<(String, String)> {
        let entry = find(text, host, login).expect("closed quotes")?;
        let password = entry.proof.map(|proof| match proof {
            Proof::Password(password) => password.expose().to_owned(),
            Proof::NtHash(hash) => panic!("{hash:?}"),
        });
        Some((entry.user.unwrap_or_default(), password.unwrap_or_default()))
    }

    #[test]
    fn the_first_entry_that_fits_is_taken() {
        let text = "# machine proxy login no password no\n\
                    machine other login olga password o\n\
                    machine PROXY\n\tlogin alice\n\tpassword a#1 # a comment\n\taccount login\n\
                    machine proxy login bob password b\n\
                    default login anonymous password user@site\n\
                    machine late login l password l\n";
        for (host, login, found) in [
            ("proxy", None, Some(("alice", "a#1"))),
            ("Proxy", Some("alice"), Some(("alice", "a#1"))),
            ("proxy", Some("bob"), Some(("bob", "b"))),
            ("proxy", Some("carol"), None),
            ("other", None, Some(("olga", "o"))),
            ("unknown", None, Some(("anonymous", "user@site"))),
            ("late", None, Some(("anonymous", "user@site"))),
        ] {
            let found = found.map(|(login, password)| (login.to_owned(), password.to_owned()));
            assert_eq!(pair(text, host, login), found, "{host} {login:?}");
        }
    }

    #[test]
    fn an_entry_without_a_login_is_for_any() {
        assert_eq!(pair("machine p password x", "p", Some("alice")), Some((String::new(), "x".into())));
    }

    #[test]
    fn values_may_be_keywords_and_may_be_quoted() {
        for (text, login, password) in [
            ("machine p login login password password", "login", "password"),
            ("machine p login machine password default", "machine", "default"),
            (r#"machine p login "a b" password "c\"d\\e\t#\q""#, "a b", "c\"d\\e\t#q"),
            (r#"machine "p" password "" login a"#, "a", ""),
            (r#"machine p login a"b password c\d"#, "a\"b", "c\\d"),
            ("machine p login DOMAIN\\alice password x", "DOMAIN\\alice", "x"),
        ] {
            assert_eq!(pair(text, "p", None), Some((login.into(), password.into())), "{text}");
        }
        for text in [r#"machine p password "x"#, "machine p password \"x\ny\"", r#"machine p password "x\"#] {
            assert_eq!(find(text, "p", None), Err(OpenQuote), "{text}");
        }
    }

    #[test]
    fn macros_are_passed_over_up_to_an_empty_line() {
        let text = "machine q login no password no\nmacdef init\nmachine p login m password m\n\nmachine p login a password x";
        assert_eq!(pair(text, "p", None), Some(("a".into(), "x".into())));
        assert_eq!(pair("macdef init\r\nmachine p login a password b", "p", None), None);
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "\\PC*", host in "[a-z.]{0,8}") {
            let _read = find(&text, &host, None);
        }

        #[test]
        fn what_is_quoted_comes_back(
            login in "[^\u{0}\u{a}]{1,20}", password in "[^\u{0}\u{a}]{0,20}", before in "[ a-z]{0,20}",
        ) {
            let quote = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
            let text = format!(
                "machine {before} x machine p.example\nlogin {} password {}\ndefault", quote(&login), quote(&password)
            );
            prop_assert_eq!(pair(&text, "p.example", Some(&login)), Some((login, password)));
        }
    }
}
