//! What a script answers: `PROXY a:1; SOCKS5 b:2; DIRECT`.

use crate::route::{ProxyUri, ProxyUriError, Route};

/// One entry of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As the script wrote it, but for a name and password: not escaped.
    pub text: String,
    /// The way it names, or why it can't be used.
    pub route: Result<Route, ProxyUriError>,
}

/// Reads an answer. Nothing at all means the same as DIRECT.
pub(super) fn entries(answer: &str) -> Vec<Entry> {
    let mut parts: Vec<String> = Vec::new();
    for part in answer.split(';') {
        match parts.last_mut() {
            // What no kind begins may be the rest of a password that has a semicolon in it.
            Some(before) if kind(part).is_none() => {
                before.push(';');
                before.push_str(part);
            }
            Some(_) | None => parts.push(part.to_owned()),
        }
    }
    let mut entries = Vec::new();
    for part in &parts {
        match redacted(part.trim()) {
            // A script has no say in credentials.
            Some(text) => entries.push(Entry { text, route: Err(ProxyUriError::Userinfo) }),
            None => entries.extend(part.split(';').map(str::trim).filter(|e| !e.is_empty()).map(entry)),
        }
    }
    if entries.is_empty() { vec![entry("DIRECT")] } else { entries }
}

/// The text without a name and password, if there may be one: all up to the last `@`, but for a kind
/// or a scheme before it.
fn redacted(text: &str) -> Option<String> {
    let (userinfo, place) = text.rsplit_once('@')?;
    let is_scheme = |scheme: &str| scheme.bytes().all(|b| b.is_ascii_alphanumeric());
    let before = match (kind(userinfo), userinfo.split_once("://")) {
        (Some(_), _) => format!("{} ", userinfo.split_whitespace().next().unwrap_or_default()),
        (None, Some((scheme, _))) if is_scheme(scheme) => format!("{scheme}://"),
        (None, _) => String::new(),
    };
    Some(format!("{before}[redacted]@{place}"))
}

/// What the first word of an entry means.
enum Kind {
    Direct,
    /// A proxy's URI has this scheme.
    Proxy(&'static str),
}

fn kind(entry: &str) -> Option<Kind> {
    Some(match entry.split_whitespace().next()?.to_ascii_uppercase().as_str() {
        "DIRECT" => Kind::Direct,
        "PROXY" | "HTTP" => Kind::Proxy("http"),
        "HTTPS" => Kind::Proxy("https"),
        // Browsers mean version 4 by it. A name is left to the proxy: it knows more names than we.
        "SOCKS" | "SOCKS4" => Kind::Proxy("socks4a"),
        "SOCKS5" => Kind::Proxy("socks5h"),
        _ => return None,
    })
}

fn entry(text: &str) -> Entry {
    let (word, place) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let place = place.trim();
    let scheme = match kind(text) {
        Some(Kind::Direct) if place.is_empty() => {
            return Entry { text: text.to_owned(), route: Ok(Route::Direct) };
        }
        Some(Kind::Proxy(scheme)) => scheme,
        Some(Kind::Direct) | None => {
            return Entry { text: text.to_owned(), route: Err(ProxyUriError::Scheme(word.to_owned())) };
        }
    };
    let route = format!("{scheme}://{place}").parse::<ProxyUri>().map(|proxy| Route::Via(vec![proxy]));
    Entry { text: text.to_owned(), route }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(answer: &str) -> Vec<Option<String>> {
        let shown = |entry: Entry| {
            entry.route.ok().map(|route| match route {
                Route::Direct => "direct".to_owned(),
                Route::Via(uris) => uris[0].authority.to_string(),
            })
        };
        entries(answer).into_iter().map(shown).collect()
    }

    #[test]
    fn an_answer_is_a_list_in_its_order() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read(" PROXY a:1;proxy\tb ; ; DIRECT"), [some("a:1"), some("b:80"), some("direct")]);
        assert_eq!(read("PROXY [::1]:3128"), [some("[::1]:3128")]);
        for nothing in ["", " ", ";;"] {
            assert_eq!(read(nothing), [some("direct")], "{nothing:?}");
        }
    }

    #[test]
    fn what_cannot_be_used_stays_in_the_list_with_its_reason() {
        for text in ["QUIC a:1", "PROXY", "PROXY a:b", "PROXY me:secret@a:1", "DIRECT x", "\u{1f600}"] {
            assert_eq!(read(text), [None], "{text}");
        }
    }

    #[test]
    fn every_kind_of_proxy_has_its_scheme_and_its_port() {
        for (text, uri) in [
            ("PROXY a", "http://a:80"),
            ("HTTP a:1", "http://a:1"),
            ("HTTPS a", "https://a:443"),
            ("SOCKS a", "socks4a://a:1080"),
            ("SOCKS4 a:1", "socks4a://a:1"),
            ("SOCKS5 a", "socks5h://a:1080"),
        ] {
            let proxy = uri.parse().expect("a proxy");
            assert_eq!(entries(text)[0].route, Ok(Route::Via(vec![proxy])), "{text}");
        }
    }

    #[test]
    fn a_name_and_password_are_not_kept() {
        for (answer, texts) in [
            ("PROXY me:secret@a:1", "PROXY [redacted]@a:1"),
            ("QUIC me:secret@a:1", "[redacted]@a:1"),
            ("http://me:secret@a:1", "http://[redacted]@a:1"),
            ("me:secret@a:1; PROXY b:1", "[redacted]@a:1 | PROXY b:1"),
            ("HTTP://me:secret@a DIRECT", "HTTP://[redacted]@a DIRECT"),
            ("PROXY http://me:secret@a", "PROXY [redacted]@a"),
            ("PROXY b:1; PROXY me:sec;ret@a; DIRECT", "PROXY b:1 | PROXY [redacted]@a | DIRECT"),
            ("PROXY me:sec@ret@a; ;b", "PROXY [redacted]@a; ;b"),
            ("me:s://ecret@a", "[redacted]@a"),
        ] {
            let all: Vec<_> = entries(answer).into_iter().map(|entry| entry.text).collect();
            assert_eq!(all.join(" | "), texts, "{answer}");
        }
    }

    proptest! {
        #[test]
        fn whatever_stands_around_a_password_it_is_not_kept(
            before in "(PROXY |http://|x |; ?|PROXY a:1; ?)?", user in "[a-z;:/ ]{0,6}", after in "[a-z:;@ ]{0,6}",
        ) {
            let answer = format!("{before}{user}:S3CRET@{after}");
            for entry in entries(&answer) {
                prop_assert!(!entry.text.contains("S3CRET"), "{answer}: {}", entry.text);
            }
        }

        #[test]
        fn every_answer_is_a_list_with_something_in_it(answer in "\\PC{0,60}") {
            prop_assert!(!entries(&answer).is_empty());
        }

        #[test]
        fn entries_come_in_their_order(ports in prop::collection::vec(1..=u16::MAX, 1..8)) {
            let answer: Vec<_> = ports.iter().map(|port| format!("PROXY a:{port}")).collect();
            let read: Vec<_> = ports.iter().map(|port| Some(format!("a:{port}"))).collect();
            prop_assert_eq!(super::tests::read(&answer.join("; ")), read);
        }
    }
}
