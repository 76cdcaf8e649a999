//! Negotiate (RFC 4559): Kerberos, by tokens that the system's GSSAPI makes.
//!
//! Knows how a token looks in a field. Refuses to know how one is made (`net::gss`).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::{Challenges, Credentials};

/// The scheme's name.
pub const SCHEME: &str = "Negotiate";

/// The field value that carries a token.
pub fn credentials(token: &[u8]) -> Credentials {
    Credentials::new(format!("{SCHEME} {}", BASE64_STANDARD.encode(token)))
}

/// The proxy's token, if it sent one; an empty one if it can't be read.
pub fn token(challenges: &Challenges) -> Option<Vec<u8>> {
    let token = challenges.find(SCHEME)?.token68()?;
    Some(BASE64_STANDARD.decode(token).unwrap_or_default())
}

/// Why there is no token to send. The texts are the library's; they are not escaped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoToken {
    /// There is no GSSAPI library that can be loaded.
    #[error("there is no GSSAPI library ({0})")]
    NoLibrary(String),
    /// The user has no ticket.
    #[error("no Kerberos ticket ({0})")]
    NoTicket(String),
    /// The user's ticket has expired.
    #[error("the Kerberos ticket has expired ({0})")]
    Expired(String),
    /// Kerberos knows no such service.
    #[error("Kerberos does not know the proxy's service ({0})")]
    UnknownService(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r36_r38_a_token_goes_there_and_back() {
        let sent = credentials(b"\x60\x82");
        assert_eq!(sent.expose(), "Negotiate YII=");
        assert_eq!(token(&Challenges::parse([sent.expose()])), Some(b"\x60\x82".to_vec()));
        assert_eq!(token(&Challenges::parse(["Negotiate"])), None);
        assert_eq!(token(&Challenges::parse(["Negotiate YI"])), Some(Vec::new()), "unreadable is not none");
    }
}
