//! The helpers about names and addresses, as Netscape defined them.

use std::net::IpAddr;

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

/// `isInNetEx`: one of the addresses is in the network `ADDRESS/LENGTH`.
pub(super) fn is_in_prefix(addresses: &[IpAddr], prefix: &str) -> bool {
    prefix.parse::<IpNet>().is_ok_and(|network| addresses.iter().any(|address| network.contains(address)))
}

/// `sortIpAddressList`: in ascending order, those of version 6 first, each as it was written; `None`
/// if one is no address.
pub(super) fn sorted(list: &str) -> Option<String> {
    let read = |text: &str| {
        let text = text.trim();
        let address: IpAddr = text.parse().ok()?;
        Some((address.is_ipv4(), address, text.to_owned()))
    };
    let mut addresses = list.split(';').map(read).collect::<Option<Vec<_>>>()?;
    addresses.sort();
    Some(addresses.into_iter().map(|(_, _, text)| text).collect::<Vec<_>>().join(";"))
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn addresses_are_found_in_a_network_and_sorted() {
        let addresses = ["2001:db8::1".parse().expect("an address")];
        assert!(is_in_prefix(&addresses, "2001:db8::/32") && !is_in_prefix(&addresses, "10.0.0.0/8"));
        let list = "10.2.3.9;2001:4898:28::fc14; ::1;9.0.0.1;0:0::9";
        assert_eq!(sorted(list).as_deref(), Some("::1;0:0::9;2001:4898:28::fc14;9.0.0.1;10.2.3.9"));
        assert_eq!((sorted(""), sorted("10.0.0.1;x")), (None, None));
    }
}
