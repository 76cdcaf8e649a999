//! The text of a configuration file: TOML, every value with the place where it stands.
//!
//! Refuses what it does not know, and secrets in a file that others can read. Does not know what else
//! was said, and who is obeyed.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::table::{self, Kind, SETTINGS, Setting};
use super::{ConfigError, Why};
use crate::cli::words::{self, Spec};
use crate::mode::Place;

/// How alike a name must be to one that there is to be taken for it: of ten letters, how many may stay.
const ALIKE: f64 = 0.6;

/// A file that has been read.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) file: String,
    pub(super) top: Section,
    pub(super) profiles: Vec<(String, Section)>,
}

/// What stands at the top, or in a profile.
#[derive(Debug, Default)]
pub(super) struct Section {
    pub(super) entries: Vec<Entry>,
    pub(super) forwards: Vec<NamedForward>,
}

/// A setting, and what the file has for it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) setting: &'static Setting,
    pub(super) value: Value,
    pub(super) place: Location,
}

/// A value, as it would be typed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value {
    Flag(bool),
    /// One; or any number, where the option repeats.
    Words(Vec<String>),
}

/// A name for one or several SPECs.
#[derive(Clone, Debug)]
pub(in crate::cli) struct NamedForward {
    pub(in crate::cli) name: String,
    /// As they stand in the file.
    pub(super) words: Vec<String>,
    pub(in crate::cli) specs: Vec<Spec>,
    pub(super) place: Location,
}

/// Where in which file, from 1 on; a column is a character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Location {
    file: Arc<str>,
    line: usize,
    column: usize,
}

impl Location {
    /// `FILE:LINE`, for what is right.
    pub(in crate::cli) fn line(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// What a file's text is read with.
pub(super) struct Reader<'a> {
    file: &'a Path,
    name: Arc<str>,
    text: &'a str,
    /// What group and others may do with the file.
    others: u32,
    /// Whether its owner is neither us nor root.
    is_foreign: bool,
    home: Option<PathBuf>,
}

/// A table's contents in the order of the file, so that the first mistake is the one that is told.
type Lines<'a, 'i> = Vec<(&'a Spanned<std::borrow::Cow<'i, str>>, &'a Spanned<DeValue<'i>>)>;

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a Path, text: &'a str, others: u32, home: Option<PathBuf>) -> Self {
        Self { file, name: file.display().to_string().into(), text, others, is_foreign: false, home }
    }

    /// Whose file it is.
    pub(super) fn foreign(self, is_foreign: bool) -> Self {
        Self { is_foreign, ..self }
    }

    /// Reads the whole.
    pub(super) fn document(&self) -> Result<Document, ConfigError> {
        let table = DeTable::parse(self.text).map_err(|error| {
            self.error(error.span().unwrap_or_default(), Why::Toml(error.message().into()))
        })?;
        let (mut top, mut profiles) = (Section::default(), Vec::new());
        for (key, value) in lines(table.get_ref()) {
            if &**key.get_ref() != "profiles" {
                self.line(&mut top, key, value)?;
                continue;
            }
            for (name, profile) in lines(self.table("profiles", value)?) {
                let mut section = Section::default();
                for (key, value) in lines(self.table(name.get_ref(), profile)?) {
                    self.line(&mut section, key, value)?;
                }
                profiles.push((name.get_ref().to_string(), section));
            }
        }
        Ok(Document { file: self.name.to_string(), top, profiles })
    }

    /// A key of the top or of a profile.
    fn line(
        &self,
        section: &mut Section,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), ConfigError> {
        let name: &str = key.get_ref();
        if name == "forwards" {
            for (name, value) in lines(self.table(name, value)?) {
                section.forwards.push(self.forward(name, value)?);
            }
            return Ok(());
        }
        let Some(setting) = table::setting(name) else {
            let why = match table::NOT_FOR_FILES.iter().find(|(option, _)| *option == name) {
                Some((_, why)) => Why::NotForFiles { key: name.into(), why },
                None => Why::Unknown { key: name.into(), near: near(name) },
            };
            return Err(self.error(key.span(), why));
        };
        let value = Entry { setting, value: self.value(setting, value)?, place: self.place(value.span()) };
        section.entries.push(value);
        Ok(())
    }

    fn value(&self, setting: &'static Setting, value: &Spanned<DeValue<'_>>) -> Result<Value, ConfigError> {
        let (key, kind) = (setting.name, setting.kind);
        if kind == Kind::Flag {
            let flag = value.get_ref().as_bool();
            return flag.map(Value::Flag).ok_or_else(|| self.wants(key, "true or false", value));
        }
        let words = self.words(key, kind.repeats(), value)?;
        for (word, span) in &words {
            if kind.is_secret(word) && self.others != 0 {
                return Err(self.error(span.clone(), Why::Exposed { key, mode: self.others }));
            }
            // Who can write it could have anything run.
            if kind == Kind::Command && self.others & 0o022 != 0 {
                return Err(self.error(span.clone(), Why::Writable { key, mode: self.others }));
            }
            if kind == Kind::Command && self.is_foreign {
                return Err(self.error(span.clone(), Why::Foreign { key }));
            }
        }
        let path = |(word, span)| if kind == Kind::File { self.path(key, word, span) } else { Ok(word) };
        words.into_iter().map(path).collect::<Result<_, _>>().map(Value::Words)
    }

    /// A string or a number; an array of them where several are welcome.
    fn words(
        &self,
        key: &str,
        several: bool,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Vec<(String, Range<usize>)>, ConfigError> {
        let wanted = if several { "a string or an array of strings" } else { "a string" };
        let one = |value: &Spanned<DeValue<'_>>| match value.get_ref() {
            DeValue::String(text) => Ok((text.to_string(), value.span())),
            DeValue::Integer(number) => match decimal(number) {
                Some(number) => Ok((number, value.span())),
                None => Err(self.wants(key, "a number that is not as large", value)),
            },
            // 1.1 is a version, and as it is written.
            DeValue::Float(_) if key == "proxy-http-version" => {
                Ok((self.text[value.span()].to_owned(), value.span()))
            }
            DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => Err(self.wants(key, wanted, value)),
        };
        match value.get_ref().as_array() {
            Some(values) if several => values.iter().map(one).collect(),
            Some(_) | None => Ok(vec![one(value)?]),
        }
    }

    fn forward(
        &self,
        name: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<NamedForward, ConfigError> {
        let (name, span) = (name.get_ref().to_string(), name.span());
        if !words::is_name(&name) {
            return Err(self.error(span, Why::ForwardName { name }));
        }
        let words = self.words(&name, true, value)?;
        if words.is_empty() {
            return Err(self.error(value.span(), Why::NoSpecs { key: name }));
        }
        let spec = |(word, span): &(String, Range<usize>)| {
            let spec = words::spec(word);
            let mut spec = spec.map_err(|why| {
                self.error(span.clone(), Why::Value { key: name.clone(), word: word.clone(), why })
            })?;
            if let Place::Unix(path) = &mut spec.place {
                let word = path.to_string_lossy().into_owned();
                *path = PathBuf::from(self.path(&name, word, span.clone())?);
            }
            Ok(spec)
        };
        let specs = words.iter().map(spec).collect::<Result<_, _>>()?;
        let words = words.into_iter().map(|(word, _)| word).collect();
        Ok(NamedForward { name, words, specs, place: self.place(span) })
    }

    /// Relative to the folder of the file; `~/` is the home. A URL stays one.
    fn path(&self, key: &str, word: String, span: Range<usize>) -> Result<String, ConfigError> {
        if word.is_empty() || word.contains("://") {
            return Ok(word);
        }
        let path = match (word.strip_prefix("~/"), &self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => self.file.parent().map_or_else(|| PathBuf::from(&word), |folder| folder.join(&word)),
        };
        // Elsewhere it would be another file.
        path.to_str().map(str::to_owned).ok_or_else(|| self.error(span, Why::Folder { key: key.into() }))
    }

    fn table<'v, 'i>(
        &self,
        key: &str,
        value: &'v Spanned<DeValue<'i>>,
    ) -> Result<&'v DeTable<'i>, ConfigError> {
        value.get_ref().as_table().ok_or_else(|| self.wants(key, "a table", value))
    }

    fn wants(&self, key: &str, wanted: &'static str, value: &Spanned<DeValue<'_>>) -> ConfigError {
        self.error(value.span(), Why::Type { key: key.into(), wanted })
    }

    fn error(&self, span: Range<usize>, why: Why) -> ConfigError {
        ConfigError { place: self.place(span).to_string(), why }
    }

    fn place(&self, span: Range<usize>) -> Location {
        // What ends too soon ends behind the last byte.
        let mut at = span.start.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let before = &self.text[..at];
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let line = before[line_start..].trim_start_matches('\u{feff}');
        Location {
            file: Arc::clone(&self.name),
            line: before.matches('\n').count() + 1,
            column: line.chars().count() + 1,
        }
    }
}

fn lines<'a, 'i>(table: &'a DeTable<'i>) -> Lines<'a, 'i> {
    let mut lines: Vec<_> = table.iter().collect();
    lines.sort_by_key(|(key, _)| key.span().start);
    lines
}

fn decimal(number: &DeInteger<'_>) -> Option<String> {
    i64::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number.to_string())
}

/// The setting that was meant, if there is one that looks like it.
fn near(name: &str) -> Option<&'static str> {
    let known = SETTINGS.iter().map(|setting| setting.name).chain(["profiles", "forwards"]);
    let alike = known
        .map(|known| (strsim::normalized_damerau_levenshtein(name, known), known))
        .filter(|(alike, _)| *alike > ALIKE);
    alike.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use proptest::prelude::*;

    use super::*;

    fn read(text: &str, others: u32) -> Result<Document, String> {
        let reader = Reader::new(Path::new("/etc/w.toml"), text, others, Some("/home/a".into()));
        reader.document().map_err(|error| error.to_string())
    }

    #[test]
    fn a_mistake_is_told_with_its_line_column_and_key() {
        for (text, told) in [
            ("a", "/etc/w.toml:1:2: "),
            ("proxy = \"p:1\"\nproxy = \"p:2\"", "/etc/w.toml:2:1: "),
            ("\n  conect-timeout = 1", "/etc/w.toml:2:3: conect-timeout: no such setting"),
            ("netrc = \"yes\"", "/etc/w.toml:1:9: netrc: true or false is wanted"),
            ("[profiles.'ü']\nspare = 1.5", "/etc/w.toml:2:9: spare: a string is wanted"),
            ("\u{feff}zz = 1", "/etc/w.toml:1:1: zz: no such"),
            ("'ü' = 1", "/etc/w.toml:1:1: ü: no such setting"),
            ("color = 'ü' 1", "/etc/w.toml:1:13: "),
            ("proxy = [\"p:1\", 2, true]", "/etc/w.toml:1:20: proxy: a string or an array"),
            ("user-agent = [\"a\"]", "/etc/w.toml:1:14: user-agent: a string is wanted"),
            ("spare = 99999999999999999999", "/etc/w.toml:1:9: spare: a number"),
            ("verbose = 1", "/etc/w.toml:1:1: verbose: an option of the command line alone: it is about"),
            ("profiles = 1", "/etc/w.toml:1:12: profiles: a table is wanted"),
            ("[profiles]\na = 1", "/etc/w.toml:2:5: a: a table is wanted"),
            ("[profiles.a.profiles.b]", "/etc/w.toml:1:13: profiles: no such setting"),
            ("[forwards]\ndb = \"x:h:1\"", "/etc/w.toml:2:6: db: \"x:h:1\": \"x\" is not a port"),
            ("[forwards]\ndb = []", "/etc/w.toml:2:6: db: an empty list"),
            ("[forwards]\n\"a:b\" = \"1:h:1\"", "/etc/w.toml:2:1: a:b: a name of a forward"),
        ] {
            let error = read(text, 0).expect_err(text);
            assert!(error.starts_with(told), "{text}: {error}");
        }
    }

    #[test]
    fn what_was_meant_is_found() {
        for (typed, meant) in [
            ("proxy_user", Some("proxy-user")),
            ("connect-timout", Some("connect-timeout")),
            ("profile", Some("profiles")),
            ("timeout", None),
            ("x", None),
        ] {
            assert_eq!(near(typed), meant, "{typed}");
        }
    }

    #[test]
    fn a_secret_is_not_taken_from_a_file_that_others_can_read() {
        for text in [
            "proxy = \"http://a:secret@p:1\"",
            "proxy = [\"p:1\", \"http://a:secret@p:1\"]",
            "proxy-user = \"a:secret\"",
            "proxy-header = \"Proxy-Authorization: Basic secret\"",
            "[profiles.a]\nproxy-user = \"a:secret\"",
        ] {
            assert!(read(text, 0).is_ok(), "{text}");
            for others in [0o040, 0o004, 0o044, 0o020] {
                let error = read(text, others).expect_err(text);
                assert!(error.contains("chmod 600") && !error.contains("secret@"), "{error}");
            }
        }
        let open = "proxy = \"http://a@p:1\"\nproxy-user = \"a\"\nproxy-header = \"X: y\"";
        assert!(read(open, 0o044).is_ok());
    }

    #[test]
    fn a_command_is_not_taken_from_a_file_that_others_can_write() {
        let text = "proxy-password-command = \"pass show proxy\"";
        assert!(read(text, 0o044).is_ok());
        for others in [0o020, 0o002, 0o066] {
            assert!(read(text, others).expect_err(text).contains("chmod"), "{others:o}");
        }
        let foreign = |text| Reader::new(Path::new("/etc/w.toml"), text, 0, None).foreign(true).document();
        assert!(foreign(text).expect_err(text).to_string().ends_with("chown"));
        assert!(foreign("proxy = \"p:1\"").is_ok(), "what it says is no more than a wish");
    }

    #[test]
    fn paths_are_relative_to_the_file_and_to_the_home() {
        let words = |text: &str| match &read(text, 0).expect(text).top.entries[0].value {
            Value::Words(words) => words.clone(),
            Value::Flag(_) => Vec::new(),
        };
        assert_eq!(words("cacert = \"ca.pem\""), ["/etc/ca.pem"]);
        assert_eq!(words("cacert = \"/ca.pem\""), ["/ca.pem"]);
        assert_eq!(words("cacert = \"~/ca.pem\""), ["/home/a/ca.pem"]);
        assert_eq!(words("cacert = \"http://a/b\""), ["http://a/b"]);
        assert_eq!(words("user-agent = \"a/b\""), ["a/b"], "no path");
        assert_eq!(words("spare = 0x10"), ["16"]);
        assert_eq!(words("proxy-http-version = 1.1"), ["1.1"]);
        let folder = Path::new(std::ffi::OsStr::from_bytes(b"/\xff/w.toml"));
        let beside = |text| Reader::new(folder, text, 0, None).document().map(drop);
        let error = beside("pac = \"x.pac\"").expect_err("there is no word for it").to_string();
        assert!(error.contains(":1:7: pac: a relative path"), "{error}");
        assert!(beside("pac = \"/x.pac\"").is_ok() && beside("[forwards]\na = \"unix:s:h:1\"").is_err());
        let forwards = read("[forwards]\na = \"unix:s:h:1\"", 0).expect("a file").top.forwards;
        assert_eq!(forwards[0].specs[0].place, Place::Unix("/etc/s".into()));
    }

    proptest! {
        #[test]
        fn whatever_stands_in_a_file_is_read_or_refused_in_one_place(
            lines in prop::collection::vec(prop_oneof![
                "\\PC{0,12}",
                "(proxy|netrc|spare|forwards|profiles\\.a|zz) ?= ?(\"[a:@é]{0,4}\"|[0-9]{1,3}|true|\\[\"x\"\\]|\\{ ?\\})",
                "\\[(forwards|profiles|profiles\\.[a-z]|\\[a\\])\\]",
            ], 0..6),
            others in prop::sample::select(vec![0, 0o044]),
        ) {
            let text = lines.join("\n");
            if let Err(told) = read(&text, others) {
                let line: usize = told.split(':').nth(1).and_then(|line| line.parse().ok()).expect("a line");
                prop_assert!((1..=text.matches('\n').count() + 1).contains(&line), "{}", told);
            }
        }
    }
}
