//! Passwords and whom they belong to, as types that cannot be printed.
//!
//! Knows how to hide a secret from `Debug` and to wipe it from memory. Refuses to know where one
//! came from (`cli::credentials`) and what is made of it (`auth`).

use std::fmt;

use zeroize::Zeroizing;

/// Text that is redacted in `Debug`, has no `Display`, and is wiped when dropped.
#[derive(Clone, Eq, Default)]
pub struct Secret(Zeroizing<String>);

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        same(self.0.as_bytes(), other.0.as_bytes())
    }
}

/// In a time that does not tell how much of a guess was right.
fn same(ours: &[u8], theirs: &[u8]) -> bool {
    let differing = ours.iter().zip(theirs).fold(0, |seen, (a, b)| seen | (a ^ b));
    ours.len() == theirs.len() && std::hint::black_box(differing) == 0
}

impl Secret {
    /// Takes a text into keeping.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself, for the one place that computes with it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The MD4 of a password, which NTLM takes in its place: as good as the password, and hidden and
/// wiped like one.
#[derive(Clone)]
pub struct NtHash(Zeroizing<[u8; 16]>);

impl NtHash {
    /// Takes a hash into keeping.
    pub fn new(hash: [u8; 16]) -> Self {
        Self(Zeroizing::new(hash))
    }

    /// The hash itself, for the one place that computes with it.
    pub fn expose(&self) -> &[u8; 16] {
        &self.0
    }
}

impl PartialEq for NtHash {
    fn eq(&self, other: &Self) -> bool {
        same(&*self.0, &*other.0)
    }
}

impl Eq for NtHash {}

impl fmt::Debug for NtHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A user's name and what proves it, as one proxy knows them. What is sent on the wire is made of
/// these by `auth` and called *credentials* there, as in RFC 9110 §11.4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user-id: no colon, no control character.
    user: String,
    proof: Proof,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Proof {
    /// It may be empty (RFC 7617 §2).
    Password(Secret),
    NtHash(NtHash),
}

/// Why a name and password cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// RFC 7617 §2: a user-id with a colon cannot be told from its password.
    #[error("a user name cannot contain a colon")]
    Colon,
    /// RFC 7617 §2: neither part may have control characters.
    #[error("a user name or password cannot contain control characters")]
    Control,
}

impl Login {
    /// Pairs a name with a password.
    ///
    /// # Errors
    /// What RFC 7617 §2 forbids: a colon in the name, control characters in either.
    pub fn new(user: impl Into<String>, password: Secret) -> Result<Self, LoginError> {
        if password.expose().chars().any(char::is_control) {
            return Err(LoginError::Control);
        }
        Ok(Self { user: checked(user.into())?, proof: Proof::Password(password) })
    }

    /// Pairs a name with the hash of a password, with which NTLM alone can do anything.
    ///
    /// # Errors
    /// As for [`Login::new`].
    pub fn with_nt_hash(user: impl Into<String>, hash: NtHash) -> Result<Self, LoginError> {
        Ok(Self { user: checked(user.into())?, proof: Proof::NtHash(hash) })
    }

    /// The user's name.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The password, unless its hash is all that is known.
    pub fn password(&self) -> Option<&Secret> {
        match &self.proof {
            Proof::Password(password) => Some(password),
            Proof::NtHash(_) => None,
        }
    }

    /// The hash of the password, where it was given in place of the password.
    pub fn nt_hash(&self) -> Option<&NtHash> {
        match &self.proof {
            Proof::Password(_) => None,
            Proof::NtHash(hash) => Some(hash),
        }
    }
}

/// A user-id that RFC 7617 §2 permits.
fn checked(user: String) -> Result<String, LoginError> {
    if user.contains(':') {
        return Err(LoginError::Colon);
    }
    if user.chars().any(char::is_control) {
        return Err(LoginError::Control);
    }
    Ok(user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_in_debug() {
        let login = Login::new("alice", Secret::new("open sesame"));
        assert!(!format!("{login:?}").contains("sesame"));
        assert!(format!("{login:?}").contains("[redacted]"));
        let login = Login::with_nt_hash("alice", NtHash::new([0xab; 16])).expect("a plain name");
        assert_eq!(format!("{login:?}"), "Login { user: \"alice\", proof: NtHash([redacted]) }");
        assert!(login.password().is_none(), "a hash is no password");
    }

    #[test]
    fn r25_user_ids_with_a_colon_or_control_characters_are_refused() {
        assert_eq!(Login::new("a:b", Secret::default()), Err(LoginError::Colon));
        assert_eq!(Login::new("a\r\nX: y", Secret::default()), Err(LoginError::Colon));
        assert_eq!(Login::new("a\n", Secret::default()), Err(LoginError::Control));
        assert_eq!(Login::new("a", Secret::new("b\n")), Err(LoginError::Control));
    }
}
