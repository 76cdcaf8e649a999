//! The helpers about names and addresses, as Netscape defined them.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

/// `isPlainHostName`: no dots.
pub(super) fn is_plain(host: &str) -> bool {
    !host.contains('.') && host.parse::<IpAddr>().is_err()
}

/// `dnsDomainIs`: the host's name ends like this. Browsers compare texts, so `"example.com"` covers
/// `badexample.com` too; scripts write `".example.com"`.
pub(super) fn is_in_domain(host: &str, domain: &str) -> bool {
    host.to_ascii_lowercase().ends_with(&domain.to_ascii_lowercase())
}

/// `localHostOrDomainIs`: the whole name, or its first part where that is all there is.
pub(super) fn is_local_or(host: &str, name: &str) -> bool {
    let (host, name) = (host.to_ascii_lowercase(), name.to_ascii_lowercase());
    host == name || name.strip_prefix(&host).is_some_and(|behind| behind.starts_with('.'))
}

/// `dnsDomainLevels`: the number of dots.
pub(super) fn levels(host: &str) -> usize {
    host.matches('.').count()
}

/// `convert_addr`: four bytes as a number, signed as JavaScript's bit operators have it.
pub(super) fn convert(address: &str) -> i32 {
    address.parse::<Ipv4Addr>().map_or(0, |address| i32::from_be_bytes(address.octets()))
}

/// `isInNet`: an address, a network and its mask, all in dots.
pub(super) fn is_in_net(address: Option<Ipv4Addr>, network: &str, mask: &str) -> bool {
    let (Some(address), Ok(network), Ok(mask)) =
        (address, network.parse::<Ipv4Addr>(), mask.parse::<Ipv4Addr>())
    else {
        return false;
    };
    address & mask == network & mask
}

/// `isInNetEx`: one of the addresses is in the network `ADDRESS/LENGTH`.
pub(super) fn is_in_prefix(addresses: &[IpAddr], prefix: &str) -> bool {
    prefix.parse::<IpNet>().is_ok_and(|network| addresses.iter().any(|address| network.contains(address)))
}

/// `shExpMatch`: `*` is any text, `?` one character; the whole text must match. In the product of
/// both lengths at worst, whatever the pattern.
pub(super) fn matches(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<_>, Vec<_>) = (text.chars().collect(), pattern.chars().collect());
    let (mut t, mut p) = (0, 0);
    // Where to go on when what follows the last star does not match.
    let mut retry = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((t, p));
                p += 1;
            }
            Some(&c) if c == '?' || c == text[t] => (t, p) = (t + 1, p + 1),
            Some(_) | None => {
                let Some((from, star)) = retry else { return false };
                retry = Some((from + 1, star));
                (t, p) = (from + 1, star + 1);
            }
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_compared_as_browsers_do() {
        assert!(is_plain("www") && !is_plain("www.example.com") && !is_plain("::1"));
        assert!(is_in_domain("www.Example.com", ".example.com"));
        assert!(!is_in_domain("www", ".example.com") && !is_in_domain("example.com", ".example.com"));
        assert!(is_local_or("www.example.com", "www.example.com") && is_local_or("www", "www.example.com"));
        assert!(!is_local_or("www.other.com", "www.example.com") && !is_local_or("ww", "www.example.com"));
        assert_eq!((levels("www"), levels("www.example.com")), (0, 2));
    }

    #[test]
    fn addresses_are_compared_under_their_mask() {
        let address = |text: &str| text.parse().ok();
        assert!(is_in_net(address("198.95.249.79"), "198.95.249.79", "255.255.255.255"));
        assert!(is_in_net(address("198.95.6.8"), "198.95.0.0", "255.255.0.0"));
        assert!(!is_in_net(address("198.96.6.8"), "198.95.0.0", "255.255.0.0"));
        assert!(!is_in_net(None, "0.0.0.0", "0.0.0.0") && !is_in_net(address("1.2.3.4"), "x", "0.0.0.0"));
        assert_eq!(
            (convert("104.16.41.2"), convert("255.0.0.1"), convert("x")),
            (1_745_889_538, -16_777_215, 0)
        );
        let addresses = ["2001:db8::1".parse().expect("an address")];
        assert!(is_in_prefix(&addresses, "2001:db8::/32") && !is_in_prefix(&addresses, "10.0.0.0/8"));
    }

    #[test]
    fn shell_expressions_match_the_whole_text() {
        for (text, pattern, matched) in [
            ("http://home.example.com/people/ari/index.html", "*/ari/*", true),
            ("http://home.example.com/people/montulli/index.html", "*/ari/*", false),
            ("host", "h?st", true),
            ("host", "h?t", false),
            ("host", "host*", true),
            ("host.example", "*.example", true),
            ("host.exampleX", "*.example", false),
            ("a.b", "a?b", true),
            ("axb", "a.b", false),
            ("", "*", true),
            ("", "", true),
            ("x", "", false),
            ("aab", "*ab", true),
        ] {
            assert_eq!(matches(text, pattern), matched, "{text} {pattern}");
        }
    }

    proptest! {
        #[test]
        fn a_text_matches_itself_with_any_part_starred(before in "[a-c.]{0,8}", part in "[a-c.]{0,8}", after in "[a-c.]{0,8}") {
            let text = format!("{before}{part}{after}");
            let pattern = format!("{before}*{after}");
            prop_assert!(matches(&text, &pattern), "{} {}", text, pattern);
        }
    }
}
