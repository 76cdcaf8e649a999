//! Basic (RFC 7617): the name and password in base64.
//!
//! UTF-8 is used whether or not `charset="UTF-8"` is offered (§2.1): it is what every browser
//! sends today.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use super::Credentials;
use crate::secret::{Login, LoginError, Secret};

/// The scheme's name, in the casing that every proxy takes.
pub const SCHEME: &str = "Basic";

/// `Basic base64(user ":" password)`; `None` where the hash of the password is all that is known.
pub fn credentials(login: &Login) -> Option<Credentials> {
    let pair = Zeroizing::new(format!("{}:{}", login.user(), login.password()?.expose()));
    Some(Credentials::new(format!("{SCHEME} {}", BASE64_STANDARD.encode(pair.as_bytes()))))
}

/// The server half: the login in a Proxy-Authorization value, if it is Basic and well-formed.
///
/// # Errors
/// A name or password that RFC 7617 §2 forbids.
pub fn login(value: &str) -> Option<Result<Login, LoginError>> {
    let (scheme, token) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return None;
    }
    let pair = Zeroizing::new(BASE64_STANDARD.decode(token.trim()).ok()?);
    let (user, password) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
    Some(Login::new(user, Secret::new(password)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(user: &str, password: &str) -> String {
        let login = Login::new(user, Secret::new(password)).expect("a plain name");
        credentials(&login).expect("a password").expose().to_owned()
    }

    #[test]
    fn the_examples_of_rfc_7617_come_out() {
        assert_eq!(encoded("Aladdin", "open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(encoded("test", "123\u{a3}"), "Basic dGVzdDoxMjPCow==", "R27: UTF-8 (§2.1)");
    }

    #[test]
    fn r26_an_empty_password_works() {
        assert_eq!(encoded("alice", ""), "Basic YWxpY2U6");
    }

    #[test]
    fn the_server_half_reads_what_the_client_half_writes() {
        let sent = Login::new("al ice", Secret::new("p:w")).expect("a plain name");
        let credentials = credentials(&sent).expect("a password");
        assert_eq!(login(credentials.expose()), Some(Ok(sent)));
        assert_eq!(login("Bearer abc"), None);
        assert_eq!(login("Basic !!!"), None);
    }
}
