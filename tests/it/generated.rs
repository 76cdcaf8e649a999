//! What is generated from the command line's definition and the table of settings is checked in, and
//! compared here.
//! `WIMBLE_BLESS=1 cargo test --test it generated` writes it anew.
//!
//! It is the command line of the default features: that is what people install.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};
use wimble::cli::{SETTINGS, Setting, SettingKind};

use crate::support::{LIMIT, finish, wimble};

#[test]
fn man_pages_and_completions_are_those_of_this_command_line() {
    let mut wanted = BTreeMap::new();
    let mut command = wimble::cli::command().term_width(100);
    command.build();
    man_pages(&command, &mut wanted);
    wanted.insert("man/wimble.toml.5".into(), manual_of_the_configuration(&command));
    wanted.insert("examples/config.toml".into(), sample_configuration(&command).into_bytes());
    for (shell, name) in [
        ("bash", "wimble.bash"),
        ("zsh", "_wimble"),
        ("fish", "wimble.fish"),
        ("elvish", "wimble.elv"),
        ("powershell", "_wimble.ps1"),
    ] {
        let script = finish(wimble().args(["completions", shell]), b"", LIMIT).exits(0).stdout;
        assert!(!script.is_empty(), "completions {shell}");
        wanted.insert(Path::new("completions").join(name), script);
    }
    if std::env::var_os("WIMBLE_BLESS").is_some() {
        for (path, content) in &wanted {
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, content).expect("written");
        }
    }
    for (path, content) in &wanted {
        let found = fs::read(path).unwrap_or_default();
        assert!(
            found == *content,
            "{} is out of date: WIMBLE_BLESS=1 cargo test --test it generated",
            path.display()
        );
    }
    for folder in ["man", "completions"] {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            assert!(wanted.contains_key(&path), "{} belongs to nothing", path.display());
        }
    }
}

#[test]
fn a_keyring_that_is_not_built_in_is_told_how_to_be_asked_all_the_same() {
    for words in [&["connect", "--keyring", "host:22"][..], &["login"], &["logout", "-x", "proxy:1"]] {
        finish(wimble().args(words), b"", LIMIT)
            .fails(2)
            .says("--proxy-password-command 'secret-tool lookup");
    }
    let help = finish(wimble().args(["connect", "--help"]), b"", LIMIT).exits(0).text();
    assert!(help.contains("--netrc"), "{help}");
    assert!(!help.contains("keyring"), "{help}");
}

fn man_pages(command: &clap::Command, wanted: &mut BTreeMap<PathBuf, Vec<u8>>) {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let mut page = Vec::new();
    Man::new(command.clone()).title(name.to_uppercase()).render(&mut page).expect("a page");
    let environment = environment(command.get_name());
    let end = page.windows(VERSION.len()).position(|part| part == VERSION).unwrap_or(page.len());
    page.splice(end..end, environment);
    wanted.insert(Path::new("man").join(format!("{name}.1")), page);
    for sub in command.get_subcommands() {
        man_pages(sub, wanted);
    }
}

/// What the pages have last, where they have it.
const VERSION: &[u8] = b".SH VERSION\n";

/// The commands that ask a proxy, and the page of all.
const ASK: &[&str] = &["wimble", "connect", "forward", "check"];

/// As [`ASK`], and what shows what they would be told.
const ASK_OR_SHOW: &[&str] = &["wimble", "connect", "forward", "check", "config"];

/// As [`ASK`], and the one that asks for the passphrase of a key too.
const ASK_OR_SERVE: &[&str] = &["wimble", "connect", "forward", "check", "serve"];

/// The variables that are read, what for, and by whom.
const ENVIRONMENT: &[(&[&str], &str, &[&str])] = &[
    (
        &["WIMBLE_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
        "The proxy, where no option names one; the first that is set and not empty. In the forms that --proxy \
         takes.",
        ASK_OR_SHOW,
    ),
    (
        &["no_proxy", "NO_PROXY"],
        "The targets that go direct, unless an option names the proxy: names with all below them, addresses, \
         networks (10.0.0.0/8), each with a port or without; * is every target.",
        ASK,
    ),
    (
        &["WIMBLE_PROXY_USER"],
        "The name for the proxy, or NAME:PASSWORD, where no option and no URL has one.",
        ASK_OR_SHOW,
    ),
    (
        &["WIMBLE_PROXY_PASSWORD"],
        "The password for the name, wherever that is from, where no option and no URL has one.",
        ASK_OR_SHOW,
    ),
    (
        &["NETRC"],
        "The netrc file: for --netrc, and as the last place where credentials are looked for. There a file \
         that is missing or readable by others is passed over.",
        ASK_OR_SHOW,
    ),
    (&["WIMBLE_CONFIG"], "The configuration file, where --config names none.", ASK_OR_SHOW),
    (&["WIMBLE_PROFILE"], "The profile in it that counts, where --profile names none.", ASK_OR_SHOW),
    (
        &["XDG_CONFIG_HOME", "HOME"],
        "Where the configuration file is, where nothing names it: wimble/config.toml in the one, \
         .config/wimble/config.toml in the other. HOME also has the .netrc of --netrc.",
        ASK_OR_SHOW,
    ),
    (
        &["SSH_ASKPASS", "SSH_ASKPASS_REQUIRE", "DISPLAY", "WAYLAND_DISPLAY"],
        "Who asks for a password or a passphrase, as with ssh: SSH_ASKPASS is a program, ssh-askpass unless \
         told, that is run where there is no terminal but a display. SSH_ASKPASS_REQUIRE is never, prefer \
         (rather than the terminal) or force.",
        ASK_OR_SERVE,
    ),
    (
        &["SSL_CERT_FILE", "SSL_CERT_DIR"],
        "The certificates that count as this system's store: who is trusted as an https:// proxy, and by \
         wimble check as a target.",
        ASK,
    ),
    (
        &["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"],
        "Whether the report has colours, where --color does not say.",
        &["wimble", "check"],
    ),
];

/// The section of a command, if it reads any.
fn environment(command: &str) -> Vec<u8> {
    let mut section = Roff::new();
    let read = ENVIRONMENT.iter().filter(|(_, _, commands)| commands.contains(&command));
    for (place, (names, what_for, _)) in read.enumerate() {
        if place == 0 {
            section.control("SH", ["ENVIRONMENT"]);
        }
        section.control("TP", []);
        section.text([bold(names.join(", "))]);
        section.text([roman(*what_for)]);
    }
    section.to_roff().into_bytes()
}

/// The pages and README.md name the same.
#[test]
fn every_variable_stands_in_the_pages_and_in_the_readme() {
    let readme = fs::read_to_string("README.md").expect("README.md");
    let (_, table) = readme.split_once("\n## Environment variables\n").expect("the section");
    let table = table.split("\n## ").next().expect("its text");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let in_readme: BTreeSet<_> =
        rows.flat_map(|row| row.split('`')).filter(|word| !word.contains(',')).collect();
    let in_pages: BTreeSet<_> = ENVIRONMENT.iter().flat_map(|(names, _, _)| names.iter().copied()).collect();
    assert_eq!(in_readme.into_iter().filter(|word| !word.is_empty()).collect::<BTreeSet<_>>(), in_pages);
    for variable in SETTINGS.iter().flat_map(|setting| setting.variables) {
        assert!(in_pages.contains(variable), "{variable}");
    }
}

/// The commands that have a setting's option, and the option.
fn option_of<'c>(command: &'c clap::Command, setting: &Setting) -> (Vec<&'c str>, &'c clap::Arg) {
    let readers =
        ["connect", "forward", "check"].map(|name| command.find_subcommand(name).expect("a command"));
    let option =
        |command: &'c clap::Command| command.get_arguments().find(|arg| arg.get_long() == Some(setting.name));
    let found = readers.into_iter().filter_map(|command| Some((command.get_name(), option(command)?)));
    let (names, options): (Vec<_>, Vec<_>) = found.unzip();
    (names, options.first().unwrap_or_else(|| panic!("no command has --{}", setting.name)))
}

/// The default as TOML; `None` where there is none.
fn default_of(setting: &Setting, option: &clap::Arg) -> Option<String> {
    if matches!(setting.kind, SettingKind::Flag) {
        return Some("false".into());
    }
    option.get_default_values().first().map(|value| format!("\"{}\"", value.to_string_lossy()))
}

fn help_of(option: &clap::Arg) -> String {
    option.get_help().map(ToString::to_string).unwrap_or_default()
}

const FORWARDS: &str = "[forwards]\ndb = \"5432:db.example:5432\"\nweb = [\"8080:intranet.example:80\", \"8443:intranet.example:443\"]";

const PROFILE: &str = "[profiles.home]\nproxy = \"direct\"";

fn sample_configuration(command: &clap::Command) -> String {
    let mut text = String::from(
        "# The configuration of wimble: a sample with every setting, see wimble.toml(5). It changes\n\
         # nothing: what has a default stands with it, what has none is a comment. Put it into\n\
         # ~/.config/wimble/config.toml, and keep what you want to be different.\n",
    );
    for setting in SETTINGS {
        let (_, option) = option_of(command, setting);
        text.push('\n');
        for line in wrapped(&help_of(option), 96) {
            text.push_str(&format!("# {line}\n"));
        }
        match default_of(setting, option) {
            Some(value) => text.push_str(&format!("{} = {value}\n", setting.name)),
            None => text.push_str(&format!("#{} = \"{}\"\n", setting.name, setting.example)),
        }
    }
    let commented = |text: &str| text.lines().map(|line| format!("#{line}\n")).collect::<String>();
    text.push_str("\n# Names for forwards: wimble forward db web, or wimble forward --all\n");
    text.push_str(&commented(FORWARDS));
    text.push_str("\n# Another set of settings, which counts with --profile home or WIMBLE_PROFILE=home\n");
    text.push_str(&commented(PROFILE));
    text
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("a line");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            let space = if line.is_empty() { "" } else { " " };
            line.push_str(&format!("{space}{word}"));
        }
    }
    lines
}

fn manual_of_the_configuration(command: &clap::Command) -> Vec<u8> {
    let mut page = Roff::new();
    let version = format!("wimble {}", command.get_version().expect("a version"));
    page.control("TH", ["WIMBLE.TOML", "5", "", version.as_str()]);
    page.control("SH", ["NAME"]);
    page.text([roman("wimble.toml - the configuration of wimble(1)")]);
    page.control("SH", ["DESCRIPTION"]);
    for paragraph in [
        "A file in TOML. It is the one that --config names, else WIMBLE_CONFIG, else \
         $XDG_CONFIG_HOME/wimble/config.toml, else ~/.config/wimble/config.toml. The last two may be missing, \
         or in a folder that is closed to you; the first two may not. --config /dev/null reads none. wimble \
         serve reads no file.",
        "A setting has the name of an option of the command line, without the dashes, and takes what the option \
         takes: a string, or a number; true or false where the option has no value; an array where the option \
         may be repeated. A setting that a command has no option for is passed over by that command.",
        "An option on the command line beats the environment, the environment beats the profile, and the \
         profile beats what stands outside of profiles. The stronger one replaces the weaker, also arrays. A \
         setting that does not go together with an option or a setting that is stronger has no say: \
         --proxy-insecure takes back a proxy-cacert. wimble config shows what is in force and where each value \
         comes from.",
        "Paths are relative to the folder of the file; ~/ is the home directory.",
        "What is unknown or can't be read is an error, told with the line and the column.",
        "A password, in a proxy's URL or behind the name in proxy-user, and a Proxy-Authorization header, are \
         taken from a file only if group and others have no rights to it. proxy-password-command is taken only \
         if group and others can't write the file.",
    ] {
        page.control("PP", []);
        page.text([roman(paragraph)]);
    }
    page.control("SH", ["SETTINGS"]);
    for setting in SETTINGS {
        let (commands, option) = option_of(command, setting);
        let value = if matches!(setting.kind, SettingKind::Flag) {
            "true or false".to_owned()
        } else if matches!(setting.kind, SettingKind::Proxy | SettingKind::Header) {
            "string or array of strings".to_owned()
        } else {
            option.get_value_names().map(|names| names[0].to_string()).unwrap_or_default()
        };
        page.control("TP", []);
        page.text([bold(setting.name), roman(" = "), italic(value)]);
        let mut text = help_of(option);
        if !text.ends_with('.') {
            text.push('.');
        }
        if let Some(default) = default_of(setting, option) {
            text.push_str(&format!(" Default: {default}."));
        }
        if !setting.variables.is_empty() {
            text.push_str(&format!(" Stronger in the environment: {}.", setting.variables.join(", ")));
        }
        if let Some(other) = setting.of {
            text.push_str(&format!(
                " It goes with {other}: where that is said by a stronger one, this has no say."
            ));
        }
        text.push_str(&format!(" For {}.", commands.join(", ")));
        page.text([roman(text)]);
    }
    page.control("SH", ["PROFILES"]);
    page.text([roman(
        "[profiles.NAME] is a table of settings that count when --profile NAME or WIMBLE_PROFILE asks for them. \
         A profile may have its own forwards.",
    )]);
    page.control("SH", ["FORWARDS"]);
    page.text([roman(
        "[forwards] has names, each for a SPEC of wimble-forward(1) or an array of them. wimble forward NAME \
         listens there, wimble forward --all listens for all. A name of the profile replaces one outside. A name \
         is not empty, has no colon and does not begin with a dash.",
    )]);
    page.control("SH", ["EXAMPLE"]);
    page.control("EX", []);
    let example =
        format!("proxy = \"http://proxy.example:3128\"\nproxy-user = \"alice\"\n\n{FORWARDS}\n\n{PROFILE}");
    for line in example.lines() {
        page.text([roman(line)]);
    }
    page.control("EE", []);
    page.control("SH", ["SEE ALSO"]);
    page.text([roman("wimble(1), wimble-config(1), wimble-connect(1), wimble-forward(1), wimble-check(1)")]);
    page.render().into_bytes()
}
