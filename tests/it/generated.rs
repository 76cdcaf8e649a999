//! What is generated from the command line's definition and the table of settings is checked in, and
//! compared here.
//! `WIMBLE_BLESS=1 cargo test --test it generated` writes it anew.
//!
//! It is the command line of the default features: that is what people install.

use std::collections::BTreeMap;
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
    wanted.insert(Path::new("man").join(format!("{name}.1")), page);
    for sub in command.get_subcommands() {
        man_pages(sub, wanted);
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
    match setting.kind {
        SettingKind::Flag => Some("false".into()),
        _ => option.get_default_values().first().map(|value| format!("\"{}\"", value.to_string_lossy())),
    }
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
        let value = match setting.kind {
            SettingKind::Flag => "true or false".to_owned(),
            SettingKind::Proxy | SettingKind::Header => "string or array of strings".to_owned(),
            _ => option.get_value_names().map(|names| names[0].to_string()).unwrap_or_default(),
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
