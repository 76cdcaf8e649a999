//! Why a SOCKS proxy made no tunnel, in words: every code that it may answer with.

use super::hints::Detail;
use crate::proto::socks::{Refusal as Refused, SocksError};

/// The words, the cause, and what to try.
pub(super) fn failed(error: &SocksError) -> (String, Detail, &'static str) {
    const TARGET: &str = Detail::SocksRefused.hint();
    const RULES: &str = "the proxy's rules forbid this host or port";
    let (words, detail): (String, Detail) = match error {
        SocksError::Refused(Refused::Five(code)) => {
            let (words, hint) = match code {
                1 => ("general failure", TARGET),
                2 => ("not allowed by its rules", RULES),
                3 => ("network unreachable", TARGET),
                4 => ("host unreachable", TARGET),
                5 => ("connection refused by the target", TARGET),
                6 => ("time to live expired", TARGET),
                7 => ("command not supported", "it makes no tunnels"),
                8 => (
                    "address type not supported",
                    "it may know no names, or no IPv6: try an address, or another proxy",
                ),
                _ => ("a code that RFC 1928 does not have", "the proxy failed: its log says why"),
            };
            return (format!("SOCKS5 reply {code}: {words}"), Detail::SocksRefused, hint);
        }
        SocksError::Refused(Refused::Four(code)) => {
            let (words, hint) = match code {
                92 => ("it cannot ask identd who we are", "it wants an identd on this machine"),
                93 => {
                    ("identd and the user-id differ", "--proxy-user NAME must be the name that identd says")
                }
                _ => ("rejected or failed", TARGET),
            };
            return (format!("SOCKS4 reply {code}: {words}"), Detail::SocksRefused, hint);
        }
        SocksError::Methods => (
            "the proxy accepts none of the methods we have: none, and name with password".into(),
            Detail::SocksMethods,
        ),
        SocksError::Forbidden => {
            return (
                "the proxy wants a name and password, and none is to be sent to it".into(),
                Detail::AuthForbidden,
                "SOCKS takes them as they are: --proxy-auth auto or basic sends them",
            );
        }
        SocksError::Login => ("the proxy refused the name and password".into(), Detail::LoginRefused),
        // RFC 1929 §2 has it answer first. It may have fallen over just then: it is not held against them.
        SocksError::LoginUnanswered => {
            return (
                "the proxy closed the connection when it was told the name and password".into(),
                Detail::LoginRefused,
                "that may be its refusal: check name and password",
            );
        }
        SocksError::LoginUnspeakable => {
            return (
                "the proxy wants a name and password, and those given cannot be said to it".into(),
                Detail::Unusable,
                "SOCKS5 takes up to 255 bytes of each, and no hash",
            );
        }
        SocksError::Nonsense(bytes) => {
            (format!("not a SOCKS answer: {:?}", String::from_utf8_lossy(bytes)), Detail::NotSocks)
        }
        SocksError::Unspeakable => ("this target cannot be said to it".into(), Detail::SocksUnspeakable),
        SocksError::Closed => (error.to_string(), Detail::ClosedUnanswered),
        SocksError::Truncated => (error.to_string(), Detail::CutAnswer),
    };
    (words, detail, detail.hint())
}
