//! What a configuration file may say: a line for each setting.
//!
//! A setting has the name of an option, and the option's own parser reads its value. Refuses to know
//! what any of them means.

use crate::cli::credentials::{NETRC_VARIABLE, PASSWORD_VARIABLE, USER_VARIABLE};
use crate::route::Proxy;
use crate::route::env::PROXY_VARIABLES;

/// A setting of the configuration file.
#[derive(Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its key, and the long name of the option without `--`.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// The variables of the environment that beat the file.
    pub variables: &'static [&'static str],
    /// A value, as it would be typed, for a sample; empty where there is a default.
    pub example: &'static str,
    /// The setting that it belongs to: where that one is said by who is stronger, this one goes too.
    pub of: Option<&'static str>,
}

/// What the value of a setting is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Flag,
    /// A string or a number, which the option's parser reads.
    Word,
    /// A path, relative to the folder of the file; or a URL, where the option takes one.
    File,
    /// A proxy, or an array of them; a URL may have a password in it.
    Proxy,
    /// A header field, or an array of them; `Proxy-Authorization` is a secret.
    Header,
    /// A name, or `NAME:PASSWORD`.
    User,
    /// What a shell runs.
    Command,
}

/// All of them, in the order of the manual.
pub const SETTINGS: &[Setting] = &[
    Setting::new("proxy", Kind::Proxy, "http://proxy.example:3128").under(&PROXY_VARIABLES),
    #[cfg(feature = "pac")]
    Setting::new("pac", Kind::File, "proxy.pac").under(&PROXY_VARIABLES),
    Setting::new("proxy-http-version", Kind::Word, ""),
    Setting::new("proxy-header", Kind::Header, "X-Team: blue"),
    Setting::new("user-agent", Kind::Word, "curl/8.5.0"),
    Setting::new("ipv4", Kind::Flag, ""),
    Setting::new("ipv6", Kind::Flag, ""),
    Setting::new("proxy-cacert", Kind::File, "proxy-ca.pem"),
    Setting::new("proxy-cert", Kind::File, "me.pem"),
    Setting::new("proxy-key", Kind::File, "me.key").of("proxy-cert"),
    Setting::new("proxy-insecure", Kind::Flag, ""),
    Setting::new("proxy-user", Kind::User, "alice").under(&[USER_VARIABLE]),
    Setting::new("proxy-credentials", Kind::File, "proxy-login"),
    Setting::new("proxy-password-command", Kind::Command, "pass show proxy").under(&[PASSWORD_VARIABLE]),
    Setting::new("netrc", Kind::Flag, ""),
    Setting::new("netrc-file", Kind::File, "~/.netrc").under(&[NETRC_VARIABLE]).of("netrc"),
    #[cfg(feature = "keyring")]
    Setting::new("keyring", Kind::Flag, ""),
    Setting::new("proxy-auth", Kind::Word, ""),
    Setting::new("proxy-spn", Kind::Word, "HTTP@proxy.example"),
    Setting::new("connect-timeout", Kind::Word, ""),
    Setting::new("proxy-timeout", Kind::Word, ""),
    Setting::new("keepalive", Kind::Word, ""),
    Setting::new("half-close-delay", Kind::Word, ""),
    Setting::new("idle-timeout", Kind::Word, "1h"),
    Setting::new("linger", Kind::Word, ""),
    Setting::new("max-connections", Kind::Word, "200"),
    Setting::new("spare", Kind::Word, ""),
    Setting::new("spare-max-age", Kind::Word, ""),
    Setting::new("grace", Kind::Word, ""),
    Setting::new("cacert", Kind::File, "company-ca.pem"),
    Setting::new("warn-expiry", Kind::Word, "30d"),
    Setting::new("color", Kind::Word, ""),
];

/// The options that no file sets, and why.
pub(super) const NOT_FOR_FILES: &[(&str, &str)] = &[
    ("config", "it names the file"),
    ("profile", "it chooses among what the file has as [profiles.NAME]"),
    ("verbose", "it is about one run"),
    ("quiet", "it is about one run"),
    ("log-format", "what is wrong with the file is told in it already"),
    ("fdpass", "it goes with ProxyUseFdpass, which ssh_config has"),
    ("all", "it asks for what the file names"),
    ("ports", "it is what one check is about"),
    ("count", "it is what one check is about"),
    ("interval", "it is what one check is about"),
    ("compare", "it is what one check is about"),
    ("json", "who reads the report knows"),
    ("explain", "it is what one check is about"),
    ("html", "it names what one check writes"),
    ("save-chain", "it names what one check writes"),
    ("http", "it is about one target"),
    ("http-get", "it is about one target"),
    ("starttls", "it is about one target"),
    ("no-tls", "it is about one target"),
    ("sni", "it is about one target"),
    ("alpn", "it is about one target"),
    ("insecure", "for whichever target comes it would be too much"),
];

impl Setting {
    const fn new(name: &'static str, kind: Kind, example: &'static str) -> Self {
        Self { name, kind, variables: &[], example, of: None }
    }

    const fn under(self, variables: &'static [&'static str]) -> Self {
        Self { variables, ..self }
    }

    const fn of(self, other: &'static str) -> Self {
        Self { of: Some(other), ..self }
    }
}

impl Kind {
    /// Whether an array may give several.
    pub(super) fn repeats(self) -> bool {
        matches!(self, Self::Proxy | Self::Header)
    }

    /// Whether nobody else may read this value.
    pub(super) fn is_secret(self, value: &str) -> bool {
        match self {
            Self::Proxy => match value.parse() {
                Ok(Proxy::Via(proxies)) => proxies.iter().any(|proxy| proxy.password.is_some()),
                Ok(Proxy::Direct) => false,
                // What is no proxy may be a password whose place was forgotten.
                Err(_) => value.contains('@'),
            },
            Self::Header => {
                let name = value.split(':').next().unwrap_or_default();
                name.trim().eq_ignore_ascii_case("Proxy-Authorization")
            }
            Self::User => value.contains(':'),
            Self::Flag | Self::Word | Self::File | Self::Command => false,
        }
    }

    /// The value without what is secret, or may be.
    pub(super) fn masked(self, value: &str) -> String {
        let before = |mark| value.split_once(mark).map(|(before, _)| format!("{before}{mark}***"));
        match self {
            Self::Proxy if value.parse::<Proxy>().is_err() => "(not a proxy)".into(),
            Self::Proxy => match value.rsplit_once('@') {
                Some((userinfo, place)) => {
                    let (scheme, userinfo) = match userinfo.split_once("://") {
                        Some((scheme, userinfo)) => (format!("{scheme}://"), userinfo),
                        None => (String::new(), userinfo),
                    };
                    match userinfo.split_once(':') {
                        Some((user, _)) => format!("{scheme}{user}:***@{place}"),
                        None => value.to_owned(),
                    }
                }
                None => value.to_owned(),
            },
            // A URL of a script takes no login, and is shown before that is told.
            Self::File => match (value.split_once("://"), value.rsplit_once('@')) {
                (Some((scheme, _)), Some((_, place))) => format!("{scheme}://***@{place}"),
                _ => value.to_owned(),
            },
            // Other fields may hold tokens too.
            Self::Header => before(':').unwrap_or_else(|| "***".into()),
            Self::User => before(':').unwrap_or_else(|| value.to_owned()),
            Self::Flag | Self::Word | Self::Command => value.to_owned(),
        }
    }
}

/// The setting of this name.
pub(super) fn setting(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::{ArgAction, ValueHint};

    use super::*;

    /// The options of the commands that read a file, but for these commands.
    fn options(without: &[&str]) -> Vec<clap::Arg> {
        let mut command = crate::cli::command();
        command.build();
        let readers = command.get_subcommands().filter(|command| {
            !without.contains(&command.get_name())
                && command.get_arguments().any(|arg| arg.get_long() == Some("config"))
        });
        let options = readers.flat_map(|command| command.get_arguments().cloned());
        options.filter(|arg| arg.get_long().is_some_and(|name| name != "help")).collect()
    }

    #[test]
    fn every_option_is_a_setting_or_has_a_reason_to_be_none() {
        let known: BTreeSet<_> = SETTINGS
            .iter()
            .map(|setting| setting.name)
            .chain(NOT_FOR_FILES.iter().map(|(n, _)| *n))
            .collect();
        assert_eq!(known.len(), SETTINGS.len() + NOT_FOR_FILES.len(), "a name stands twice");
        let options: BTreeSet<_> =
            options(&["config"]).iter().map(|arg| arg.get_long().expect("long").to_owned()).collect();
        for option in &options {
            assert!(
                known.contains(option.as_str()),
                "--{option} has no place in cli/config/table.rs: give it a line in SETTINGS, or in \
                 NOT_FOR_FILES with the reason"
            );
        }
        for name in known {
            assert!(options.contains(name), "{name} stands in the table and is no option");
        }
    }

    #[test]
    fn a_setting_takes_what_its_option_takes() {
        // A keyring has logins for one proxy, not for a chain.
        for arg in options(&["config", "login", "logout"]) {
            let Some(setting) = setting(arg.get_long().expect("long")) else { continue };
            let name = setting.name;
            assert_eq!(setting.kind == Kind::Flag, matches!(arg.get_action(), ArgAction::SetTrue), "{name}");
            assert_eq!(setting.kind.repeats(), matches!(arg.get_action(), ArgAction::Append), "{name}");
            let is_file = matches!(arg.get_value_hint(), ValueHint::FilePath | ValueHint::AnyPath);
            assert_eq!(setting.kind == Kind::File, is_file, "{name}");
            let is_command = arg.get_value_hint() == ValueHint::CommandString;
            assert_eq!(setting.kind == Kind::Command, is_command, "{name}");
            let has_default = !arg.get_default_values().is_empty() || setting.kind == Kind::Flag;
            assert_eq!(setting.example.is_empty(), has_default, "{name}: an example, or a default");
        }
    }

    #[test]
    fn no_secret_is_shown() {
        for (kind, value, shown) in [
            (Kind::Proxy, "http://a:secret@p:1", "http://a:***@p:1"),
            (Kind::Proxy, "a:sec@ret@p:1", "a:***@p:1"),
            (Kind::Proxy, "socks5://a@p:1", "socks5://a@p:1"),
            (Kind::Proxy, "http://a:secret", "(not a proxy)"),
            (Kind::Proxy, "direct", "direct"),
            (Kind::File, "http://a:secret@wpad/x", "http://***@wpad/x"),
            (Kind::File, "a@b", "a@b"),
            (Kind::Header, "Proxy-Authorization: Basic c2VjcmV0", "Proxy-Authorization:***"),
            (Kind::Header, "secret", "***"),
            (Kind::User, "a:secret", "a:***"),
            (Kind::User, "a", "a"),
        ] {
            assert_eq!(kind.masked(value), shown, "{value}");
        }
        for (kind, value, secret) in [
            (Kind::Proxy, "http://a:secret@p:1", true),
            (Kind::Proxy, "http://a@p:1", false),
            (Kind::Proxy, "ftp://a:secret@p:1", true),
            (Kind::Header, "proxy-authorization: Basic c2VjcmV0", true),
            (Kind::Header, "X-Team: blue", false),
            (Kind::User, "a:secret", true),
        ] {
            assert_eq!(kind.is_secret(value), secret, "{value}");
        }
    }
}
