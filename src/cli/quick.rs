//! The command line as ssh and scripts have it, read without clap: `connect`, a proxy, when the end
//! is passed on, a target, nothing else.
//!
//! clap's definitions of some thirty options are a seventh of what a `connect` takes to start
//! (0.15 of 1.05 ms). Refuses whatever is not exactly this, and then clap reads it; that both read
//! the same is a property, below. Whether there is a configuration to obey is not looked at here.

use std::ffi::OsString;

use super::args::{Cli, Command, ConnectArgs, LogArgs, ProxyArgs, RelayArgs};
use super::words;

/// Reads `wimble connect [-x URL] [--half-close-delay TIME] HOST PORT` or `HOST:PORT`; `None` leaves
/// it to clap.
pub(super) fn read(argv: &[OsString]) -> Option<Cli> {
    let mut words = argv.iter().skip(1).map(|word| word.to_str());
    if words.next()? != Some("connect") {
        return None;
    }
    let (mut proxy, mut half_close, mut target) = (None, None, Vec::new());
    while let Some(word) = words.next() {
        match word? {
            // What a second one means is not for here to know.
            "-x" | "--proxy" if proxy.is_none() => proxy = Some(plain(words.next()??)?),
            "--half-close-delay" if half_close.is_none() => {
                half_close = Some(words::half_close(&plain(words.next()??)?).ok()?);
            }
            word => target.push(plain(word)?),
        }
    }
    if !(1..=2).contains(&target.len()) {
        return None;
    }
    let proxy = ProxyArgs { proxy: proxy.into_iter().collect(), ..ProxyArgs::default() };
    let mut relay = RelayArgs::default();
    relay.half_close_delay = half_close.unwrap_or(relay.half_close_delay);
    let connect = ConnectArgs { target, proxy, fdpass: false, relay, linger: ConnectArgs::LINGER };
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

    fn argv(list: &[&str]) -> Vec<OsString> {
        ["wimble"].iter().chain(list).map(OsString::from).collect()
    }

    #[test]
    fn the_words_of_an_ssh_config_need_no_clap() {
        for list in [
            &["connect", "--proxy", "http://proxy.example:3128", "host", "22"][..],
            &["connect", "-x", "proxy.example:3128", "host:22"],
            &["connect", "host", "22"],
            &["connect", "--half-close-delay", "never", "host", "22"],
        ] {
            assert!(read(&argv(list)).is_some(), "{list:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_here_clap_reads_alike(
            groups in prop::collection::vec(prop::sample::select(vec![
                &["host"][..], &["22"], &["host:22"], &["::1"], &["-x", "p:1"], &["--proxy", "http://p:1"],
                &["--half-close-delay", "0"], &["--half-close-delay", "never"], &["--half-close-delay", "x"],
                &["--proxy=http://p:1"], &["-xp:1"], &["-x"], &["--"], &["-"], &[""], &["-v"], &["-q"],
                &["--linger", "0s"], &["--fdpass"], &["-U", "a"], &["--help"], &["check"],
            ]), 0..5),
        ) {
            let list = argv(&[&["connect"], &groups.concat()[..]].concat());
            if let Some(quick) = read(&list) {
                let clap = Cli::read_by_clap(&list, &|_| None)
                    .map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
                prop_assert_eq!(format!("{:?}", quick), format!("{:?}", clap));
            }
        }
    }
}
