//! Reading what is secret: files that belong to their owner alone, and what programs print.
//!
//! Buffers are wiped, those that were outgrown too. Refuses to know what the text means.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use zeroize::Zeroizing;

use super::CredentialsError;

/// The largest file, or output of a program, that is read.
const MAX_TEXT: usize = 1024 * 1024;

/// Where a buffer begins; most secrets fit.
const FIRST_CAPACITY: usize = 4096;

/// What is in memory from now on is in no core dump, and no other process of this user can attach
/// and read it. It is never taken back: a password that has been sent may be left in a buffer that
/// nobody here can wipe. A program that has no secrets never comes here.
pub(super) fn conceal() {
    #[cfg(target_os = "linux")]
    if let Err(why) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable) {
        tracing::debug!("core dumps stay possible: {why}");
    }
}

/// The text of a file that its owner alone can read, as ssh wants of a key.
pub(super) fn file(file: &Path) -> Result<Zeroizing<String>, CredentialsError> {
    let name = file.display().to_string();
    let failed = |error| CredentialsError::Read { file: name.clone(), error };
    let opened = open(file).map_err(failed)?;
    if opened.others != 0 {
        return Err(CredentialsError::Exposed { file: name, mode: opened.mode });
    }
    conceal();
    opened.text().map_err(failed)
}

/// A file, and who may do what with it.
pub(in crate::cli) struct Opened {
    file: fs::File,
    mode: u32,
    /// What group and others may; a pipe (`<(pass show proxy)`) has no rights to speak of.
    pub(in crate::cli) others: u32,
    /// Whether it is a file of somebody who is neither root nor us.
    pub(in crate::cli) is_foreign: bool,
}

/// Opens a file, which is then looked at: its name may be another's by now.
pub(in crate::cli) fn open(file: &Path) -> io::Result<Opened> {
    let file = fs::File::open(file)?;
    let found = file.metadata()?;
    let mode = found.mode() & 0o777;
    let others = if found.is_file() { mode & 0o077 } else { 0 };
    let is_foreign = found.is_file() && ![0, rustix::process::geteuid().as_raw()].contains(&found.uid());
    Ok(Opened { file, mode, others, is_foreign })
}

impl Opened {
    /// The whole text, up to a limit.
    pub(in crate::cli) fn text(self) -> io::Result<Zeroizing<String>> {
        text(self.file)
    }
}

/// Everything up to the end of `input`, which must be text.
pub(super) fn text(mut input: impl Read) -> io::Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(vec![0; FIRST_CAPACITY]);
    let mut filled = 0;
    loop {
        match input.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if filled == bytes.len() {
            if filled >= MAX_TEXT {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "more than a megabyte"));
            }
            // By hand: a vector that grows leaves what it held behind.
            let mut larger = Zeroizing::new(vec![0; 2 * filled]);
            larger[..filled].copy_from_slice(&bytes);
            bytes = larger;
        }
    }
    let text = std::str::from_utf8(&bytes[..filled])
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))?;
    // Editors of Windows put it in front of a text; it would be part of a name.
    Ok(Zeroizing::new(text.strip_prefix('\u{feff}').unwrap_or(text).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_any_length_is_whole_up_to_the_limit() {
        for length in [0, 1, FIRST_CAPACITY - 1, FIRST_CAPACITY, 100_000] {
            let written = "x".repeat(length);
            assert_eq!(*text(written.as_bytes()).expect("text"), written);
        }
        assert_eq!(*text("\u{feff}alice:sesame".as_bytes()).expect("text"), "alice:sesame");
        assert!(text(io::repeat(b'x')).is_err(), "an endless file ends");
        assert!(text(&b"\xff"[..]).is_err(), "latin-1 is not guessed");
    }
}
