//! What is generated from the command line's definition is checked in, and compared here.
//! `WIMBLE_BLESS=1 cargo test --test it generated` writes it anew.
//!
//! It is the command line of the default features: that is what people install.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap_mangen::Man;

use crate::support::{LIMIT, finish, wimble};

#[test]
fn man_pages_and_completions_are_those_of_this_command_line() {
    let mut wanted = BTreeMap::new();
    let mut command = wimble::cli::command().term_width(100);
    command.build();
    man_pages(&command, &mut wanted);
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
