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
    let entries: Vec<_> =
        answer.split(';').map(str::trim).filter(|entry| !entry.is_empty()).map(entry).collect();
    if entries.is_empty() { vec![entry("DIRECT")] } else { entries }
}

fn entry(text: &str) -> Entry {
    let (kind, place) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let place = place.trim();
    // A script has no say in credentials.
    if let Some((_, place)) = place.rsplit_once('@') {
        return Entry { text: format!("{kind} [redacted]@{place}"), route: Err(ProxyUriError::Userinfo) };
    }
    let scheme = match kind.to_ascii_uppercase().as_str() {
        "DIRECT" if place.is_empty() => return Entry { text: text.to_owned(), route: Ok(Route::Direct) },
        "PROXY" | "HTTP" => "http",
        "HTTPS" => "https",
        // Browsers mean version 4 by it. A name is left to the proxy: it knows more names than we.
        "SOCKS" | "SOCKS4" => "socks4a",
        "SOCKS5" => "socks5h",
        _ => return Entry { text: text.to_owned(), route: Err(ProxyUriError::Scheme(kind.to_owned())) },
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
        assert_eq!(entries("PROXY me:secret@a:1")[0].text, "PROXY [redacted]@a:1");
        assert_eq!(entries("QUIC me:secret@a:1")[0].text, "QUIC [redacted]@a:1");
    }

    proptest! {
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
