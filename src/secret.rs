//! Passwords and whom they belong to, as types that cannot be printed.
//!
//! Knows how to hide a secret from `Debug` and to wipe it from memory. Refuses to know where one
//! came from (`cli::credentials`) and what is made of it (`auth`).

use std::fmt;

use zeroize::Zeroizing;

/// Text that is redacted in `Debug`, has no `Display`, and is wiped when dropped.
#[derive(Clone, Eq, Default)]
pub struct Secret(Zeroizing<String>);

/// In a time that does not tell how much of a guess was right.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.0.as_bytes(), other.0.as_bytes());
        let differing = ours.iter().zip(theirs).fold(0, |seen, (a, b)| seen | (a ^ b));
        ours.len() == theirs.len() && std::hint::black_box(differing) == 0
    }
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

/// A user's name and password, as one proxy knows them. What is sent on the wire is made of
/// these by `auth` and called *credentials* there, as in RFC 9110 §11.4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user-id: no colon, no control character.
    user: String,
    /// The password; it may be empty (RFC 7617 §2).
    password: Secret,
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
        let user = user.into();
        if user.contains(':') {
            return Err(LoginError::Colon);
        }
        if user.chars().chain(password.expose().chars()).any(char::is_control) {
            return Err(LoginError::Control);
        }
        Ok(Self { user, password })
    }

    /// The user's name.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The password.
    pub fn password(&self) -> &Secret {
        &self.password
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_in_debug() {
        let login = Login::new("alice", Secret::new("open sesame"));
        assert!(!format!("{login:?}").contains("sesame"));
        assert!(format!("{login:?}").contains("[redacted]"));
    }

    #[test]
    fn r25_user_ids_with_a_colon_or_control_characters_are_refused() {
        assert_eq!(Login::new("a:b", Secret::default()), Err(LoginError::Colon));
        assert_eq!(Login::new("a\r\nX: y", Secret::default()), Err(LoginError::Colon));
        assert_eq!(Login::new("a\n", Secret::default()), Err(LoginError::Control));
        assert_eq!(Login::new("a", Secret::new("b\n")), Err(LoginError::Control));
    }
}
