//! Configuration: which file there is, which of its profiles counts, and who is obeyed where several
//! say something: flag > environment > profile > file > default.
//!
//! What the file says becomes words of the command line, so that one parser reads both. Refuses to
//! know what a setting means.

mod document;
mod shown;
mod table;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches};

use self::document::{Document, Entry, Reader, Section, Value};
pub(super) use self::document::{Location, NamedForward};
pub(super) use self::shown::options;
pub use self::table::{Kind, SETTINGS, Setting};
use super::credentials;
use super::report::sentence;
use super::settings::Variables;

/// The file, where `--config` does not name one.
const CONFIG_VARIABLE: &str = "WIMBLE_CONFIG";

/// The profile, where `--profile` does not name one.
const PROFILE_VARIABLE: &str = "WIMBLE_PROFILE";

/// What is wrong with a file, or with which one was asked for: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {why}")]
pub(super) struct ConfigError {
    /// `FILE:LINE:COLUMN`, `FILE`, or who asked.
    pub(super) place: String,
    pub(super) why: Why,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Why {
    #[error("{0}")]
    Read(io::Error),
    #[error("{0}")]
    Toml(String),
    #[error("{key}: no such setting")]
    Unknown { key: String, near: Option<&'static str> },
    #[error("{key}: an option of the command line alone: {why}")]
    NotForFiles { key: String, why: &'static str },
    #[error("{key}: {wanted} is wanted")]
    Type { key: String, wanted: &'static str },
    #[error("{key}: {word:?}: {why}")]
    Value { key: String, word: String, why: String },
    #[error("{key}: {why}")]
    Together { key: &'static str, why: String },
    #[error("{key}: it has a secret, and group or others have rights to the file ({mode:03o}): chmod 600")]
    Exposed { key: &'static str, mode: u32 },
    #[error("{key}: group or others can write the file ({mode:03o}), and so have anything run: chmod go-w")]
    Writable { key: &'static str, mode: u32 },
    #[error("{key}: the file is somebody else's, who could so have anything run: chown")]
    Foreign { key: &'static str },
    #[error("{key}: a relative path, and the name of the folder that it is relative to is not UTF-8")]
    Folder { key: String },
    #[error("{key}: an empty list: it is one SPEC or several")]
    NoSpecs { key: String },
    #[error("{name}: a name of a forward is not empty, has no colon, and does not begin with -")]
    ForwardName { name: String },
    #[error("{name}: {file} has no such profile")]
    NoProfile { name: String, file: String, known: Vec<String> },
    #[error("{name}: there is no configuration file that could have it")]
    NoFile { name: String },
}

/// Whether a plain `connect` has more to obey than its words: one failed `open`, if it has not.
pub(super) fn is_there(variables: Variables<'_>) -> bool {
    let set = |name: &str| variables(name).is_some_and(|value| !value.is_empty());
    set(CONFIG_VARIABLE)
        || set(PROFILE_VARIABLE)
        || default_file(variables).is_some_and(|file| !File::open(file).is_err_and(|error| is_absent(&error)))
}

/// `$XDG_CONFIG_HOME/wimble/config.toml`, else below `~/.config` (XDG Base Directory; there a relative
/// path is to be ignored).
fn default_file(variables: Variables<'_>) -> Option<PathBuf> {
    let folder = |name: &str| variables(name).map(PathBuf::from).filter(|folder| folder.is_absolute());
    let folder = folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")))?;
    Some(folder.join("wimble/config.toml"))
}

/// The file that counts for one run, if there is one.
#[derive(Debug)]
pub(super) struct Config {
    document: Option<Document>,
    /// Who named the file, and which it would have been.
    file: Option<(&'static str, PathBuf)>,
    /// Who named the profile, and which of the document's it is.
    profile: Option<(&'static str, usize)>,
}

impl Config {
    /// Reads the file that was asked for, or the one in its place, which may be missing.
    pub(super) fn load(typed: &ArgMatches, variables: Variables<'_>) -> Result<Self, ConfigError> {
        let set = |name: &str| variables(name).filter(|value| !value.is_empty());
        let file = match (typed.get_one::<PathBuf>("config"), set(CONFIG_VARIABLE)) {
            (Some(file), _) => Some(("--config", file.clone())),
            (None, Some(file)) => Some((CONFIG_VARIABLE, file.into())),
            (None, None) => default_file(variables).map(|file| ("default", file)),
        };
        let document = match &file {
            Some((by, file)) => read(file, *by != "default", variables)?,
            None => None,
        };
        let profile = match (typed.get_one::<String>("profile"), set(PROFILE_VARIABLE)) {
            (Some(name), _) => Some(("--profile", name.clone())),
            (None, Some(name)) => Some((PROFILE_VARIABLE, name)),
            (None, None) => None,
        };
        let profile = match profile {
            Some((by, name)) => Some((by, find(document.as_ref(), by, name)?)),
            None => None,
        };
        Ok(Self { document, file, profile })
    }

    /// The profile and what stands outside of any, the stronger first.
    fn layers(&self) -> Vec<(Option<&str>, &Section)> {
        let Some(document) = &self.document else { return Vec::new() };
        let profile = self.profile.map(|(_, place)| &document.profiles[place]);
        let profile = profile.map(|(name, section)| (Some(name.as_str()), section));
        profile.into_iter().chain([(None, &document.top)]).collect()
    }

    /// Who decides each setting that `command` has. What does not go with something that a stronger
    /// one says has no say: `--proxy-insecure` takes back the `proxy-cacert` of the file.
    pub(super) fn standings(
        &self,
        command: &clap::Command,
        typed: &ArgMatches,
        variables: Variables<'_>,
    ) -> Vec<Standing<'_>> {
        let is_typed =
            |arg: &&Arg| typed.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
        // What stronger ones have said, whether it could stand in a file or not.
        let mut said: Vec<&Arg> = command.get_arguments().filter(is_typed).collect();
        let set = |name: &&&str| variables(name).is_some_and(|value| !value.is_empty());
        let mut standings = Vec::new();
        for setting in SETTINGS {
            let Some(arg) = option(command, setting.name) else { continue };
            let variable = setting.variables.iter().find(set);
            let origin = match variable {
                _ if is_typed(&arg) => Origin::Flag,
                Some(variable) => {
                    said.push(arg);
                    Origin::Variable(variable)
                }
                None => Origin::Default,
            };
            standings.push(Standing { setting, origin, entry: None });
        }
        for (profile, section) in self.layers() {
            let mut now = Vec::new();
            for entry in &section.entries {
                let of_this = |standing: &&mut Standing<'_>| standing.setting == entry.setting;
                let Some(standing) = standings.iter_mut().find(of_this) else { continue };
                let Some(arg) = option(command, entry.setting.name) else { continue };
                let other = |said: &&Arg| {
                    excludes(command, arg, said)
                        || entry.setting.of.is_some_and(|of| said.get_long() == Some(of))
                };
                if !matches!(standing.origin, Origin::Default) || said.iter().any(other) {
                    continue;
                }
                standing.origin = Origin::File { profile };
                standing.entry = Some(entry);
                // What is switched off excludes nothing.
                if !matches!(&entry.value, Value::Flag(false)) {
                    now.push(arg);
                }
            }
            said.extend(now);
        }
        standings
    }

    /// What of the file counts, for those who tell of it.
    pub(super) fn filed(&self, standings: &[Standing<'_>]) -> Filed {
        let place = |standing: &Standing<'_>| {
            let of_profile = matches!(standing.origin, Origin::File { profile: Some(_) });
            Some((standing.setting.name, Filing { place: standing.entry?.place.clone(), of_profile }))
        };
        let mut forwards: Vec<NamedForward> = Vec::new();
        for (_, section) in self.layers() {
            let is_new = |forward: &&NamedForward| forwards.iter().all(|known| known.name != forward.name);
            let new: Vec<_> = section.forwards.iter().filter(is_new).cloned().collect();
            forwards.extend(new);
        }
        Filed {
            file: self.document.as_ref().map(|document| document.file.clone()),
            places: standings.iter().filter_map(place).collect(),
            forwards,
        }
    }

    /// Why the words of the file can't be read: which of them it is, and where it stands. `read` reads
    /// the words typed with some of the file's among them.
    pub(super) fn blame(
        &self,
        standings: &[Standing<'_>],
        error: &clap::Error,
        read: impl Fn(&[OsString]) -> Result<ArgMatches, clap::Error>,
    ) -> ConfigError {
        for standing in standings {
            let Some(Entry { value: Value::Words(values), place, setting }) = standing.entry else {
                continue;
            };
            for value in values {
                let alone = read(&[word(setting, value)]).err().filter(|error| {
                    matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue)
                });
                if let Some(error) = alone {
                    let (key, word) = (setting.name.to_owned(), value.clone());
                    let why = Why::Value { key, word, why: refusal(&error) };
                    return ConfigError { place: place.to_string(), why };
                }
            }
        }
        // What is needed stands in the table before what needs it.
        let mut so_far = Vec::new();
        for entry in standings.iter().filter_map(|standing| standing.entry) {
            so_far.extend(entry_words(entry));
            if let Err(error) = read(&so_far) {
                let why = Why::Together { key: entry.setting.name, why: dispute(&error, entry.setting.name) };
                return ConfigError { place: entry.place.to_string(), why };
            }
        }
        let file = self.document.as_ref().map(|document| document.file.clone()).unwrap_or_default();
        ConfigError { place: file, why: Why::Toml(sentence(error)) }
    }
}

/// Who decides a setting.
#[derive(Debug)]
pub(super) struct Standing<'a> {
    setting: &'static Setting,
    origin: Origin<'a>,
    /// What the file says, where the file decides.
    entry: Option<&'a Entry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin<'a> {
    Flag,
    Variable(&'static str),
    File { profile: Option<&'a str> },
    Default,
}

#[derive(Clone, Debug)]
struct Filing {
    place: Location,
    /// Whether it stands in the profile.
    of_profile: bool,
}

/// What the file had a say in.
#[derive(Clone, Debug, Default)]
pub(super) struct Filed {
    /// The file.
    pub(super) file: Option<String>,
    places: Vec<(&'static str, Filing)>,
    pub(super) forwards: Vec<NamedForward>,
}

impl Filed {
    /// Where the value of a setting stands, if the file decides it.
    pub(super) fn place(&self, name: &str) -> Option<&Location> {
        self.filing(name).map(|filing| &filing.place)
    }

    /// Whether it is the profile that decides it.
    pub(super) fn is_of_profile(&self, name: &str) -> bool {
        self.filing(name).is_some_and(|filing| filing.of_profile)
    }

    fn filing(&self, name: &str) -> Option<&Filing> {
        self.places.iter().find(|(known, _)| *known == name).map(|(_, filing)| filing)
    }

    /// The same, where something else has been put in the place of that setting.
    pub(super) fn without(mut self, name: &str) -> Self {
        self.places.retain(|(known, _)| *known != name);
        self
    }
}

/// What the file says, as it would be typed.
pub(super) fn words(standings: &[Standing<'_>]) -> Vec<OsString> {
    standings.iter().filter_map(|standing| standing.entry).flat_map(entry_words).collect()
}

fn entry_words(entry: &Entry) -> Vec<OsString> {
    match &entry.value {
        Value::Flag(true) => vec![format!("--{}", entry.setting.name).into()],
        Value::Flag(false) => Vec::new(),
        Value::Words(values) => values.iter().map(|value| word(entry.setting, value)).collect(),
    }
}

fn word(setting: &Setting, value: &str) -> OsString {
    format!("--{}={value}", setting.name).into()
}

fn option<'c>(command: &'c clap::Command, name: &str) -> Option<&'c Arg> {
    command.get_arguments().find(|arg| arg.get_long() == Some(name))
}

fn excludes(command: &clap::Command, one: &Arg, other: &Arg) -> bool {
    let says = |one: &Arg, other: &Arg| command.get_arg_conflicts_with(one).contains(&other);
    says(one, other) || says(other, one)
}

/// clap's reason for refusing a value, without the option's name and usage.
fn refusal(error: &clap::Error) -> String {
    if let Some(why) = std::error::Error::source(error) {
        return why.to_string();
    }
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(known)) if !known.is_empty() => {
            format!("it is one of {}", known.join(", "))
        }
        // What has no list of values is only refused if it has none itself.
        Some(_) if error.kind() == ErrorKind::InvalidValue => "it is empty".to_owned(),
        _ => sentence(error),
    }
}

/// What clap has against a setting beside the others.
fn dispute(error: &clap::Error, key: &str) -> String {
    let named = |kind| match error.get(kind) {
        Some(ContextValue::String(name)) => vec![name.clone()],
        Some(ContextValue::Strings(names)) => names.clone(),
        Some(_) | None => Vec::new(),
    };
    let others = [named(ContextKind::InvalidArg), named(ContextKind::PriorArg)].concat();
    // --NAME <VALUE>
    let others = others.iter().filter_map(|name| name.split(' ').next()?.strip_prefix("--"));
    let others = others.filter(|name| *name != key).collect::<Vec<_>>().join(", ");
    if others.is_empty() {
        // Of a chain, where one proxy is wanted.
        sentence(error)
    } else if error.kind() == ErrorKind::ArgumentConflict {
        format!("it does not go together with {others}")
    } else if error.kind() == ErrorKind::MissingRequiredArgument {
        format!("it needs {others}")
    } else {
        sentence(error)
    }
}

/// Whether the usual file counts as missing; as ssh does with its own, also where it is closed to us, as
/// in somebody else's home.
fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    matches!(error.kind(), NotFound | NotADirectory | PermissionDenied)
}

fn read(file: &Path, must_exist: bool, variables: Variables<'_>) -> Result<Option<Document>, ConfigError> {
    let failed = |error| ConfigError { place: file.display().to_string(), why: Why::Read(error) };
    let opened = match credentials::open(file) {
        Ok(opened) => opened,
        Err(error) if !must_exist && is_absent(&error) => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let (others, is_foreign) = (opened.others, opened.is_foreign);
    let text = opened.text().map_err(failed)?;
    let reader = Reader::new(file, &text, others, variables("HOME").map(PathBuf::from));
    reader.foreign(is_foreign).document().map(Some)
}

/// The place of a profile in the document.
fn find(document: Option<&Document>, by: &'static str, name: String) -> Result<usize, ConfigError> {
    let failed = |why| ConfigError { place: by.to_owned(), why };
    let Some(document) = document else { return Err(failed(Why::NoFile { name })) };
    let place = document.profiles.iter().position(|(known, _)| *known == name);
    place.ok_or_else(|| {
        let known = document.profiles.iter().map(|(name, _)| name.clone()).collect();
        failed(Why::NoProfile { name, file: document.file.clone(), known })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Layer {
        Flag,
        Variable,
        Profile,
        File,
    }

    /// The profile's name.
    const PROFILE: &str = "there";

    /// What a flag, the profile and the file say, each something else where there is a choice.
    fn values(setting: &Setting) -> [String; 3] {
        let mut definition = crate::cli::command();
        definition.build();
        let command = definition.find_subcommand(words_of(setting.name)[1]).expect("a command");
        let known = option(command, setting.name).expect("an option").get_possible_values();
        let values = match setting.kind {
            Kind::Flag => ["true"; 3],
            Kind::File => ["/a", "/b", "/c"],
            Kind::Proxy => ["a:1", "b:1", "c:1"],
            Kind::Header => ["A: a", "B: b", "C: c"],
            Kind::User | Kind::Command => ["a", "b", "c"],
            Kind::Word if !known.is_empty() => [0, 1, 2].map(|n| known[n % known.len()].get_name()),
            Kind::Word => ["1", "2", "3"],
        };
        values.map(str::to_owned)
    }

    /// One line of TOML.
    fn line(setting: &Setting, value: &str) -> String {
        let quote = if setting.kind == Kind::Flag { "" } else { "\"" };
        format!("{} = {quote}{value}{quote}\n", setting.name)
    }

    fn config(text: &str, profile: Option<usize>) -> Config {
        let document = Reader::new(Path::new("/w.toml"), text, 0, None).document().expect(text);
        Config { document: Some(document), file: None, profile: profile.map(|place| ("--profile", place)) }
    }

    /// The words of a command that has this option.
    fn words_of(name: &str) -> [&'static str; 3] {
        let commands =
            [["wimble", "connect", "h:1"], ["wimble", "forward", "1:h:1"], ["wimble", "check", "h:1"]];
        let mut definition = crate::cli::command();
        definition.build();
        let has = |words: &&[&str; 3]| {
            let command = definition.find_subcommand(words[1]).expect("a command");
            option(command, name).is_some()
        };
        *commands.iter().find(has).expect(name)
    }

    /// Who decides the setting where these layers say something, and what the option then has.
    fn decided(setting: &'static Setting, layers: &[Layer]) -> (String, Option<String>) {
        // Alone it would go with nothing.
        let with = setting.of.map(|of| table::setting(of).expect("a setting"));
        let said: Vec<_> = with.into_iter().chain([setting]).collect();
        let has = |layer| layers.contains(&layer);
        let [flag, profile, file] = [0, 1, 2].map(|n| move |setting: &Setting| values(setting)[n].clone());
        let lines = |value: &dyn Fn(&Setting) -> String| {
            said.iter().map(|setting| line(setting, &value(setting))).collect::<String>()
        };
        let mut text = if has(Layer::File) { lines(&file) } else { String::new() };
        if has(Layer::Profile) {
            text += &format!("[profiles.{PROFILE}]\n{}", lines(&profile));
        }
        let config = config(&text, has(Layer::Profile).then_some(0));
        let mut typed: Vec<OsString> = words_of(setting.name).map(OsString::from).to_vec();
        if has(Layer::Flag) {
            typed.extend(said.iter().map(|setting| match setting.kind == Kind::Flag {
                true => format!("--{}", setting.name).into(),
                false => word(setting, &flag(setting)),
            }));
        }
        let variables = |name: &str| {
            (has(Layer::Variable) && setting.variables.contains(&name)).then(|| "x:1".to_owned())
        };

        let mut definition = crate::cli::command();
        let matches = definition.try_get_matches_from_mut(&typed).expect("words");
        let (name, inner) = matches.subcommand().expect("a command");
        let command = definition.find_subcommand(name).expect("a command");
        let standings = config.standings(command, inner, &variables);
        let standing = standings.iter().find(|standing| standing.setting == setting).expect("a setting");
        let origin = match standing.origin {
            Origin::Flag => "flag".to_owned(),
            Origin::Variable(name) => format!("variable {name}"),
            Origin::File { profile: Some(name) } => format!("profile {name}"),
            Origin::File { profile: None } => "file".to_owned(),
            Origin::Default => "default".to_owned(),
        };
        typed.splice(2..2, words(&standings));
        let matches = crate::cli::command().try_get_matches_from(&typed).expect("words");
        let (_, inner) = matches.subcommand().expect("a command");
        let id = option(command, setting.name).expect("an option").get_id().as_str();
        let given = inner.value_source(id) == Some(ValueSource::CommandLine);
        let raw = inner.get_raw(id).and_then(|mut values| values.next());
        (origin, raw.filter(|_| given).map(|value| value.to_string_lossy().into_owned()))
    }

    #[test]
    fn a_flag_beats_the_environment_and_that_the_profile_and_that_the_file() {
        for setting in SETTINGS {
            let [flag, profile, file] = values(setting).map(Some);
            let mut table = vec![(Layer::Flag, "flag".to_owned(), flag)];
            if let Some(name) = setting.variables.first() {
                // The variable is not asked by way of the option.
                table.push((Layer::Variable, format!("variable {name}"), None));
            }
            table.push((Layer::Profile, format!("profile {PROFILE}"), profile));
            table.push((Layer::File, "file".to_owned(), file));
            for strongest in 0..table.len() {
                let layers: Vec<_> = table[strongest..].iter().map(|(layer, _, _)| *layer).collect();
                let (_, origin, value) = table[strongest].clone();
                assert_eq!(decided(setting, &layers), (origin, value), "{}: {layers:?}", setting.name);
            }
            assert_eq!(decided(setting, &[]), ("default".to_owned(), None), "{}", setting.name);
        }
    }

    /// The words that the file and its first profile have to say beside `typed`, where these are set.
    fn filed(text: &str, typed: &[&str], set: &[&str]) -> Vec<OsString> {
        let config = config(text, text.contains("[profiles.").then_some(0));
        let mut definition = crate::cli::command();
        let matches = definition.try_get_matches_from_mut(typed).expect("words");
        let (name, inner) = matches.subcommand().expect("a command");
        let command = definition.find_subcommand(name).expect("a command");
        words(&config.standings(command, inner, &|name| set.contains(&name).then(|| "x:1".to_owned())))
    }

    #[test]
    fn of_two_that_exclude_each_other_the_stronger_counts() {
        let mut definition = crate::cli::command();
        definition.build();
        let commands = ["connect", "forward", "check"].map(|name| definition.find_subcommand(name));
        let exclude = |(one, other): &(&Setting, &Setting)| {
            commands.iter().flatten().any(|command| {
                match (option(command, one.name), option(command, other.name)) {
                    (Some(one), Some(other)) => excludes(command, one, other),
                    _ => false,
                }
            })
        };
        let pairs = SETTINGS.iter().flat_map(|one| SETTINGS.iter().map(move |other| (one, other)));
        let pairs: Vec<_> = pairs.filter(exclude).collect();
        assert!(!pairs.is_empty());
        for (stronger, weaker) in pairs {
            let [typed, ..] = values(stronger);
            let words = match stronger.kind == Kind::Flag {
                true => format!("--{}", stronger.name),
                false => format!("--{}={typed}", stronger.name),
            };
            let plain = words_of(stronger.name);
            let text = line(weaker, &values(weaker)[0]);
            let none: [OsString; 0] = [];
            assert_eq!(filed(&text, &[&plain[..], &[&words]].concat(), &[]), none, "{words}, {text}");
            for variable in stronger.variables {
                assert_eq!(filed(&text, &plain, &[variable]), none, "{variable}, {text}");
            }
            let text = format!("{text}[profiles.p]\n{}", line(stronger, &typed));
            assert_eq!(filed(&text, &plain, &[]), [OsString::from(words)], "{text}");
        }
    }

    #[test]
    fn what_does_not_go_with_something_stronger_has_no_say() {
        let connect = ["wimble", "connect", "h:1"];
        for (text, typed, wanted) in [
            ("proxy-cacert = \"/a\"", "--proxy-insecure", &[][..]),
            ("proxy-insecure = true", "--proxy-cacert=/b", &[]),
            ("ipv4 = true", "-6", &[]),
            ("proxy-cert = \"/a\"\nproxy-key = \"/b\"", "--proxy-cert=/c", &[]),
            ("netrc-file = \"/a\"", "--netrc", &[]),
            ("proxy-cacert = \"/a\"", "--netrc", &["--proxy-cacert=/a"]),
            ("proxy-cacert = \"/a\"\n[profiles.p]\nproxy-insecure = true", "-4", &["--proxy-insecure"]),
            ("proxy-cacert = \"/a\"\n[profiles.p]\nproxy-insecure = false", "-4", &["--proxy-cacert=/a"]),
            ("netrc = true\n[profiles.p]\nnetrc = false", "-4", &[]),
            ("proxy-header = [\"A: a\", \"B: b\"]", "-4", &["--proxy-header=A: a", "--proxy-header=B: b"]),
            ("proxy-header = [\"A: a\"]\n[profiles.p]\nproxy-header = []", "-4", &[]),
            ("grace = 1\nwarn-expiry = \"1d\"\nlinger = 2", "-4", &["--linger=2"]),
        ] {
            assert_eq!(filed(text, &[&connect[..], &[typed]].concat(), &[]), wanted, "{text}, {typed}");
        }
        // Nor what does not go with an option that no file has.
        let sweep = ["wimble", "check", "h", "--ports=1"];
        assert_eq!(filed("cacert = \"/a\"\nspare = 3", &sweep, &[]), [""; 0]);
    }

    #[test]
    fn the_sample_says_every_setting_and_changes_nothing() {
        let sample = include_str!("../../../examples/config.toml");
        let (mut definition, mut plain) = (crate::cli::command(), 0);
        definition.build();
        let arg = |name| {
            let commands = ["connect", "forward", "check"].map(|name| definition.find_subcommand(name));
            commands.into_iter().flatten().find_map(|command| option(command, name)).expect(name)
        };
        let config = config(sample, None);
        for entry in &config.layers()[0].1.entries {
            plain += 1;
            let defaults = arg(entry.setting.name).get_default_values();
            let defaults: Vec<_> =
                defaults.iter().map(|value| value.to_string_lossy().into_owned()).collect();
            let wanted = match entry.setting.kind == Kind::Flag {
                true => Value::Flag(false),
                false => Value::Words(defaults),
            };
            assert_eq!(entry.value, wanted, "{}", entry.setting.name);
        }
        // What has no default is a comment, which would be taken without the #.
        let all: String = sample
            .lines()
            .map(|line| line.strip_prefix('#').unwrap_or(line))
            .filter(|line| !line.starts_with(' '))
            .map(|line| format!("{line}\n"))
            .collect();
        let document = Reader::new(Path::new("/w.toml"), &all, 0, None).document().expect("a file");
        // The keyring is a feature that the sample is made without.
        let wanted = SETTINGS.iter().filter(|setting| setting.name != "keyring").count();
        assert_eq!(document.top.entries.len(), wanted, "{all}");
        assert!(plain > 0 && !document.profiles.is_empty() && !document.top.forwards.is_empty());
    }
}
