//! The command line as ssh starts it, read without clap: `connect`, a proxy, a target, nothing else.
//!
//! clap's definitions of some thirty options are a seventh of what a `connect` takes to start
//! (0.15 of 1.05 ms). Refuses whatever is not exactly this, and then clap reads it; that both read
//! the same is a property, below.

use std::ffi::OsString;

use super::args::{Cli, Command, ConnectArgs, LogArgs, ProxyArgs, RelayArgs};

/// Reads `wimble connect [-x URL] HOST PORT` or `HOST:PORT`; `None` leaves it to clap.
pub(super) fn read(words: &[OsString]) -> Option<Cli> {
    let mut words = words.iter().skip(1).map(|word| word.to_str());
    if words.next()? != Some("connect") {
        return None;
    }
    let (mut proxy, mut target) = (None, Vec::new());
    while let Some(word) = words.next() {
        let before = match word? {
            "-x" | "--proxy" => proxy.replace(plain(words.next()??)?),
            word => {
                target.push(plain(word)?);
                None
            }
        };
        // What a second proxy means is not for here to know.
        if before.is_some() {
            return None;
        }
    }
    if !(1..=2).contains(&target.len()) {
        return None;
    }
    let proxy = ProxyArgs { proxy, ..ProxyArgs::default() };
    let connect = ConnectArgs {
        target,
        proxy,
        fdpass: false,
        relay: RelayArgs::default(),
        linger: ConnectArgs::LINGER,
    };
    Some(Cli { command: Command::Connect(connect), log: LogArgs::default() })
}

/// A word that can't be an option.
fn plain(word: &str) -> Option<String> {
    (!word.is_empty() && !word.starts_with('-')).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(list: &[&str]) -> Vec<OsString> {
        ["wimble"].iter().chain(list).map(OsString::from).collect()
    }

    #[test]
    fn the_words_of_an_ssh_config_need_no_clap() {
        for list in [
            &["connect", "--proxy", "http://proxy.example:3128", "host", "22"][..],
            &["connect", "-x", "proxy.example:3128", "host:22"],
            &["connect", "host", "22"],
        ] {
            assert!(read(&words(list)).is_some(), "{list:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_here_clap_reads_alike(
            list in prop::collection::vec(prop::sample::select(vec![
                "connect", "check", "-x", "--proxy", "--proxy=http://p:1", "-xp:1", "http://p:1", "host", "22",
                "host:22", "::1", "--", "-", "", "-v", "-q", "--linger", "0s", "--fdpass", "-U", "--help", "é",
            ]), 0..7),
            behind_connect: bool,
        ) {
            let mut list = list;
            if behind_connect {
                list.insert(0, "connect");
            }
            let list = words(&list);
            if let Some(quick) = read(&list) {
                let clap = Cli::read_by_clap(list).map_err(|error| TestCaseError::fail(error.to_string()))?;
                prop_assert_eq!(format!("{:?}", quick), format!("{:?}", clap));
            }
        }
    }
}
