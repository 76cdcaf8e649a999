//! `no_proxy`: the targets that are reached without a proxy.
//!
//! Names cover themselves and what is below them, as with curl; addresses match as addresses or
//! by CIDR; an entry may have a port; `*` is everything. Nothing is resolved: a name never
//! matches an address.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::authority::{Authority, Host};

/// A parsed list. What can't be read exempts nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoProxy(Vec<Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// As it stands in the list.
    word: String,
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    All,
    /// Lower case, without dots at either end.
    Domain(String),
    Network(IpNet),
}

impl NoProxy {
    /// Reads a list separated by commas or blanks.
    pub fn parse(list: &str) -> Self {
        let words = list.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
        Self(words.filter_map(Entry::parse).collect())
    }

    /// Whether a target is exempt.
    pub fn matches(&self, target: &Authority) -> bool {
        self.entry(target).is_some()
    }

    /// The first entry that exempts a target, as it stands in the list.
    pub fn entry(&self, target: &Authority) -> Option<&str> {
        let exempts = |entry: &&Entry| {
            entry.port.is_none_or(|port| port == target.port()) && entry.hosts.contains(target.host())
        };
        self.0.iter().find(exempts).map(|entry| entry.word.as_str())
    }
}

impl Entry {
    fn parse(word: &str) -> Option<Self> {
        if let Some(hosts) = Hosts::parse(word) {
            return Some(Self { word: word.to_owned(), hosts, port: None });
        }
        let (hosts, port) = word.rsplit_once(':')?;
        let hosts = Hosts::parse(hosts)?;
        Some(Self { word: word.to_owned(), hosts, port: Some(port.parse().ok()?) })
    }
}

impl Hosts {
    fn parse(word: &str) -> Option<Self> {
        if word == "*" {
            return Some(Self::All);
        }
        let bare = word.strip_prefix('[').and_then(|w| w.strip_suffix(']')).unwrap_or(word);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Some(Self::Network(address.into()));
        }
        if let Ok(network) = bare.parse::<IpNet>() {
            return Some(Self::Network(network));
        }
        let name = word.strip_prefix('*').unwrap_or(word).trim_matches('.').to_ascii_lowercase();
        match name.parse::<Host>() {
            Ok(Host::Name(name)) => Some(Self::Domain(name)),
            Ok(Host::Address(_)) | Err(_) => None,
        }
    }

    fn contains(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::All, _) => true,
            (Self::Domain(domain), Host::Name(name)) => {
                let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
                name.strip_suffix(domain).is_some_and(|above| above.is_empty() || above.ends_with('.'))
            }
            (Self::Network(network), Host::Address(address)) => network.contains(&address.to_canonical()),
            (Self::Domain(_), Host::Address(_)) | (Self::Network(_), Host::Name(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_form_of_an_entry_matches_what_it_names() {
        for (list, target, exempt) in [
            ("*", "host:22", true),
            ("*", "[2001:db8::1]:22", true),
            ("", "host:22", false),
            ("example.com", "example.com:22", true),
            ("example.com", "a.EXAMPLE.com.:22", true),
            ("example.com", "badexample.com:22", false),
            (".example.com", "a.example.com:22", true),
            (".example.com", "example.com:22", true),
            ("*.example.com", "a.example.com:22", true),
            ("example.com.", "example.com:22", true),
            ("a, b  c,,d", "c:22", true),
            ("host:443", "host:443", true),
            ("host:443", "host:22", false),
            ("10.0.0.0/8", "10.1.2.3:22", true),
            ("10.0.0.0/8", "11.1.2.3:22", false),
            ("10.0.0.0/8", "[::ffff:10.1.2.3]:22", true),
            ("10.1.2.3", "10.1.2.3:22", true),
            ("10.1.2.3:443", "10.1.2.3:22", false),
            ("::1", "[::1]:22", true),
            ("[::1]", "[::1]:22", true),
            ("[::1]:443", "[::1]:443", true),
            ("[::1]:443", "[::1]:22", false),
            ("2001:db8::/32", "[2001:db8::5]:22", true),
            ("10.0.0.0/99", "10.0.0.0:22", false),
            ("10", "10.1.2.3:22", false),
        ] {
            let target: Authority = target.parse().expect("a target");
            assert_eq!(NoProxy::parse(list).matches(&target), exempt, "{list:?} {target}");
        }
    }

    #[test]
    fn the_entry_that_decides_is_named_as_it_was_written() {
        let list = NoProxy::parse("localhost, .Example.com:443,10.0.0.0/8");
        let entry = |target: &str| list.entry(&target.parse().expect("a target")).map(str::to_owned);
        assert_eq!(entry("a.example.com:443").as_deref(), Some(".Example.com:443"));
        assert_eq!(entry("10.1.2.3:22").as_deref(), Some("10.0.0.0/8"));
        assert_eq!(entry("a.example.com:22"), None);
    }

    proptest! {
        #[test]
        fn no_list_makes_it_panic(list in "\\PC{0,60}") {
            let target: Authority = "host.example:22".parse().expect("a target");
            NoProxy::parse(&list).matches(&target);
        }
    }
}
