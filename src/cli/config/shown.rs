//! `wimble config`: what is in force, and where each value comes from, as a configuration file of its
//! own. Secrets are masked.

use std::fmt::Write as _;

use clap::ArgMatches;

use super::document::Value;
use super::table::Kind;
use super::{Config, Origin, SETTINGS, Standing, option};
use crate::cli::report::json_line;
use crate::cli::settings::Variables;
use crate::route::env::PROXY_VARIABLES;

/// Where the comments begin.
const COMMENT: usize = 44;

/// The options that `wimble config` takes: those of all settings, and what names the file.
pub(in crate::cli) fn options(commands: impl IntoIterator<Item = clap::Command>) -> Vec<clap::Arg> {
    let mut options: Vec<clap::Arg> = Vec::new();
    for command in commands {
        for arg in command.get_arguments() {
            let is_setting = |name| SETTINGS.iter().any(|setting| setting.name == name);
            let wanted =
                arg.get_long().is_some_and(|name| is_setting(name) || name == "config" || name == "profile");
            if wanted && options.iter().all(|known| known.get_id() != arg.get_id()) {
                options.push(arg.clone());
            }
        }
    }
    options
}

impl Config {
    /// Everything, as TOML.
    pub(in crate::cli) fn shown(
        &self,
        command: &clap::Command,
        typed: &ArgMatches,
        standings: &[Standing<'_>],
        variables: Variables<'_>,
    ) -> String {
        let mut page = String::new();
        let mut say = |what: &str, from: &str| {
            let _infallible = writeln!(page, "{what:<COMMENT$} # {}", crate::cli::report::printable(from));
        };
        match (&self.document, &self.file) {
            (Some(document), Some((by, _))) => say(&format!("# file {}", quoted(&document.file)), by),
            (_, Some((_, file))) => say("# no file", &format!("there is no {}", file.display())),
            (_, None) => say("# no file", "there is no HOME that could have one"),
        }
        if let (Some(document), Some((by, place))) = (&self.document, self.profile) {
            say(&format!("# profile {}", quoted(&document.profiles[place].0)), by);
        }
        for standing in standings {
            let name = standing.setting.name;
            let Some(arg) = option(command, name) else { continue };
            let value = match standing.origin {
                Origin::Flag => Some(match typed.get_raw(arg.get_id().as_str()) {
                    Some(values) if standing.setting.kind != Kind::Flag => {
                        shown(standing.setting.kind, values.map(|value| value.to_string_lossy()))
                    }
                    Some(_) | None => "true".into(),
                }),
                Origin::Variable(variable) if is_a_proxys(standing, variable) => None,
                // The variable has what the command would print: the password.
                Origin::Variable(_) if standing.setting.kind == Kind::Command => Some(quoted("***")),
                Origin::Variable(variable) => Some(shown(standing.setting.kind, variables(variable))),
                Origin::File { .. } => standing.entry.map(|entry| match &entry.value {
                    Value::Flag(flag) => flag.to_string(),
                    Value::Words(words) => shown(standing.setting.kind, words),
                }),
                Origin::Default if standing.setting.kind == Kind::Flag => Some("false".into()),
                Origin::Default => {
                    let default = arg.get_default_values().first();
                    default.map(|value| quoted(&value.to_string_lossy()))
                }
            };
            let from = match (standing.origin, standing.entry) {
                (Origin::Flag, _) => format!("--{name}"),
                (Origin::Variable(variable), _) if is_a_proxys(standing, variable) => {
                    format!("not asked: {variable}")
                }
                (Origin::Variable(variable), _) => variable.to_owned(),
                (Origin::File { profile: Some(profile) }, Some(entry)) => {
                    format!("profile {profile} of {}", entry.place.line())
                }
                (Origin::File { .. }, Some(entry)) => entry.place.line(),
                (Origin::File { .. } | Origin::Default, _) => "default".to_owned(),
            };
            match value {
                Some(value) => say(&format!("{name} = {value}"), &from),
                None if standing.origin == Origin::Default => say(&format!("# {name}"), "not set"),
                None => say(&format!("# {name}"), &from),
            }
        }
        let forwards = self.filed(standings).forwards;
        if !forwards.is_empty() {
            say("[forwards]", "wimble forward NAME...");
        }
        for forward in forwards {
            let key = quoted(&forward.name);
            say(&format!("{key} = {}", shown(Kind::Word, &forward.words)), &forward.place.line());
        }
        page
    }
}

/// Whether a variable beats the setting and has no value for it: who names a proxy asks no script.
fn is_a_proxys(standing: &Standing<'_>, variable: &str) -> bool {
    standing.setting.kind != Kind::Proxy && PROXY_VARIABLES.contains(&variable)
}

/// One value, or an array.
fn shown(kind: Kind, values: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let values: Vec<_> = values.into_iter().map(|value| quoted(&kind.masked(value.as_ref()))).collect();
    match values.as_slice() {
        [value] => value.clone(),
        values => format!("[{}]", values.join(", ")),
    }
}

/// A basic string of TOML: JSON's escapes are among its own.
fn quoted(text: &str) -> String {
    json_line(&text.into()).trim_end().to_owned()
}
