//! The import law of DESIGN.md, executed: `use crate::…` points down only.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A room, the rooms of `src/` that it may import, and why no others.
const LAW: [(&str, &[&str], &str); 12] = [
    ("authority", &[], "a target is words: it knows nobody"),
    ("secret", &[], "a secret is words: it knows nobody"),
    ("auth", &["secret"], "schemes compute with words, and know no message and no connection"),
    ("proto", &["authority", "auth"], "the protocol is a value: no socket, no route, no password"),
    ("route", &["authority", "secret"], "choosing a proxy is not dialling it"),
    ("starttls", &[], "what is said before TLS is words and numbers: no socket, no target"),
    (
        "net",
        &["authority", "auth", "proto", "starttls"],
        "sockets carry bytes for whoever asks, along any route; of auth it is the words for tokens",
    ),
    (
        "tunnel",
        &["authority", "secret", "auth", "proto", "route", "net"],
        "opening knows no front and no mode",
    ),
    (
        "front",
        &["authority", "secret", "auth", "proto", "net"],
        "a local client's wish knows no route and no tunnel",
    ),
    (
        "mode",
        &["authority", "secret", "auth", "proto", "route", "starttls", "net", "tunnel", "front"],
        "a mode composes what is below and knows no flags and no sentences",
    ),
    (
        "cli",
        &["authority", "secret", "auth", "proto", "route", "starttls", "net", "tunnel", "front", "mode"],
        "the person stands above everything",
    ),
    ("lib", &[], "the map has no logic"),
];

/// Crates that only some rooms may know, and why.
const CRATES: [(&str, &[&str], &str); 17] = [
    ("tokio", &["net", "tunnel", "front", "mode", "cli"], "the pure rooms are fed with bytes, not polled"),
    ("rustls", &["net", "mode", "cli"], "TLS is a socket's affair, and a check's"),
    ("httparse", &["proto"], "who reads heads is proto"),
    ("sfv", &["proto"], "and what stands in their fields"),
    ("socket2", &["net"], "socket options are net's"),
    ("getrandom", &["tunnel", "mode"], "chance comes in as an argument; who composes has it"),
    (
        "libloading",
        &["net"],
        "what is opened at run time is called without the compiler's checks: in one room",
    ),
    ("md4", &["auth"], "hashes of passwords are made where they are answered"),
    ("pkcs8", &["cli"], "whoever asks for a passphrase opens the key"),
    ("keyring", &["cli"], "where a secret is kept is the person's affair"),
    ("rquickjs", &["route"], "foreign scripts run in one place, within its bounds"),
    ("clap", &["cli"], "words typed are the command line's"),
    ("toml", &["cli"], "a configuration file is words typed earlier"),
    ("anyhow", &[], "errors have types; only the binary's edge may forget them"),
    ("h2", &["net"], "frames, windows and streams are net's"),
    ("hyper", &["net"], "who speaks HTTP to a target is net"),
    ("x509_parser", &["net", "mode"], "certificates are read by who accepts them, and who reports them"),
];

#[test]
fn imports_point_down_only() {
    let mut broken = Vec::new();
    for (room, path, text) in sources() {
        let Some((_, allowed, why)) = LAW.iter().find(|(name, _, _)| *name == room) else {
            panic!("{path}: the room {room} has no place in the law: give it one, with a reason");
        };
        for imported in imports(&path, &text).into_iter().map(|(room, _)| room) {
            if imported != room && !allowed.contains(&imported.as_str()) {
                broken.push(format!("{path} imports {imported}: {why}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn crates_are_known_where_they_belong() {
    let mut broken = Vec::new();
    for (room, path, text) in sources() {
        for (name, rooms, why) in CRATES {
            if !rooms.contains(&room.as_str()) && text.contains(&format!("{name}::")) {
                broken.push(format!("{path} uses {name}: {why}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn modes_do_not_know_each_other() {
    for (room, path, text) in sources() {
        // The room's door shows them all.
        if room != "mode" || path == "src/mode/mod.rs" {
            continue;
        }
        for mode in ["connect", "forward", "serve", "check"] {
            let is_own =
                path == format!("src/mode/{mode}.rs") || path.starts_with(&format!("src/mode/{mode}/"));
            let is_known = imports(&path, &text).contains(&("mode".to_owned(), mode.to_owned()));
            assert!(is_own || !is_known, "{path} knows {mode}");
        }
    }
}

#[test]
fn a_way_up_is_an_import_too() {
    let found =
        |path, text| imports(path, text).into_iter().map(|(a, b)| format!("{a} {b}")).collect::<Vec<_>>();
    assert_eq!(found("src/net/dial.rs", "use super::super::cli::Plan;"), ["cli Plan"]);
    assert_eq!(found("src/net/mod.rs", "use super::cli;"), ["cli "]);
    assert_eq!(found("src/net/http2/mod.rs", "super::tls::A; super::super::auth::B"), ["auth B", "net tls"]);
    assert_eq!(found("src/net/tls.rs", "mod inner { use super::X; }"), ["net X"]);
    let list = "use crate::{mode::{serve::Serve, check::Check as C}, net::tls};";
    assert_eq!(found("src/mode/pac/mod.rs", list), ["mode check", "mode serve", "net tls"]);
    assert_eq!(
        found("src/mode/pac/mod.rs", "use super::{check, serve::{A, B}};"),
        ["mode check", "mode serve"]
    );
}

#[test]
fn the_map_names_every_room() {
    let map = fs::read_to_string("src/lib.rs").expect("src/lib.rs");
    let rooms: BTreeSet<_> =
        sources().into_iter().map(|(room, _, _)| room).filter(|room| room != "lib").collect();
    for room in rooms {
        assert!(map.contains(&format!("[`{room}`]")), "src/lib.rs does not name {room}");
    }
}

#[test]
fn every_file_opens_with_what_it_is() {
    for (_, path, text) in sources() {
        assert!(text.starts_with("//! "), "{path} has no //! on its first line");
    }
}

/// Every file of `src/` but `main.rs`: its room, its path, its text without tests.
fn sources() -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    collect(Path::new("src"), &mut found);
    assert!(found.len() > 20, "the sources were not found");
    found
}

fn collect(folder: &Path, found: &mut Vec<(String, String, String)>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("main.rs") {
            let inside = path.strip_prefix("src").expect("inside src");
            let room = inside.iter().next().expect("a name").to_string_lossy().replace(".rs", "");
            let text = fs::read_to_string(&path).expect("text");
            let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned();
            found.push((room, path.display().to_string(), text));
        }
    }
}

/// The rooms of a file's paths by `crate::` and `super::`, and what of each is named first: of
/// `crate::net::tls::X` it is `net` and `tls`.
fn imports(path: &str, text: &str) -> BTreeSet<(String, String)> {
    let mut own: Vec<_> = path.trim_start_matches("src/").trim_end_matches(".rs").split('/').collect();
    if own.last() == Some(&"mod") {
        own.pop();
    }
    let mut found = BTreeSet::new();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    for start in ["crate::", "super::"] {
        for (at, _) in text.match_indices(start) {
            // Within a path that was taken from its beginning, or a word of another name.
            if text[..at].ends_with("super::") || text[..at].ends_with(is_word) {
                continue;
            }
            let mut rest = &text[at..];
            let mut base = own.clone();
            if let Some(behind) = rest.strip_prefix("crate::") {
                (base, rest) = (Vec::new(), behind);
            }
            while let Some(behind) = rest.strip_prefix("super::") {
                base.pop();
                rest = behind;
            }
            for path in paths(rest) {
                let mut whole = base.iter().map(|word| (*word).to_owned()).chain(path);
                let room = whole.next().unwrap_or_default();
                found.insert((room, whole.next().unwrap_or_default()));
            }
        }
    }
    found
}

/// The paths that a text begins with: one, or several with braces.
fn paths(text: &str) -> Vec<Vec<String>> {
    let Some(list) = text.strip_prefix('{') else {
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        let word = vec![text[..end].to_owned()];
        let behind = text[end..].strip_prefix("::").map(paths).unwrap_or_default();
        if behind.is_empty() {
            return vec![word];
        }
        return behind.into_iter().map(|path| [word.clone(), path].concat()).collect();
    };
    let mut found = Vec::new();
    let (mut depth, mut from) = (0, 0);
    for (at, sign) in list.char_indices() {
        match sign {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                let one = list[from..at].trim();
                if !one.is_empty() {
                    found.extend(paths(one));
                }
                from = at + 1;
                if sign == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    found
}
