//! SOCKS's name and password (RFC 1929): sent as they are.

use zeroize::Zeroizing;

use crate::secret::Login;

/// The message of RFC 1929 §2; `None`: it can't say them, as name or password are longer than 255
/// bytes, or a hash is all that is known.
pub fn message(login: &Login) -> Option<Zeroizing<Vec<u8>>> {
    let mut message = Zeroizing::new(Vec::with_capacity(3 + 2 * 255));
    message.push(1);
    for part in [login.user(), login.password()?.expose()] {
        message.push(u8::try_from(part.len()).ok()?);
        message.extend(part.bytes());
    }
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn both_have_their_lengths_before_them() {
        let login = Login::new("me", Secret::new("pass")).expect("a login");
        assert_eq!(message(&login).expect("a message").as_slice(), b"\x01\x02me\x04pass");
        let long = Login::new("me", Secret::new("x".repeat(256))).expect("a login");
        assert_eq!(message(&long), None);
    }
}
