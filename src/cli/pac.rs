//! Why a proxy auto-config script named no way, in words.

use super::hints::Detail;
use super::report::reason;
use crate::mode::pac::PacCause;
use crate::net::fetch::FetchError;
use crate::route::pac::PacError;

/// The words, and the cause where there is something to be tried.
pub(super) fn failed(cause: &PacCause) -> (String, Option<Detail>) {
    match cause {
        PacCause::Read(error) => (reason(error), Some(Detail::PacNotRead)),
        PacCause::Fetch(error @ FetchError::TooLarge(_)) => (fetched(error), Some(Detail::PacBroken)),
        PacCause::Fetch(error) => (fetched(error), Some(Detail::PacNotFetched)),
        PacCause::SlowServer(time) => {
            (format!("it did not come within {time:?} (--connect-timeout)"), Some(Detail::PacNotFetched))
        }
        PacCause::Slow(time) => {
            (format!("no answer within {time:?} (--connect-timeout)"), Some(Detail::PacTooSlow))
        }
        PacCause::Thread(error) => (format!("no thread to run it: {}", reason(error)), None),
        PacCause::Script(error) => {
            let detail = match error {
                PacError::Engine(_) => None,
                PacError::TooSlow => Some(Detail::PacTooSlow),
                PacError::NoWay(_) => Some(Detail::PacNoWay),
                PacError::TooLarge
                | PacError::Script(_)
                | PacError::NoFunction
                | PacError::NoText(_)
                | PacError::LongAnswer(_) => Some(Detail::PacBroken),
            };
            (error.to_string(), detail)
        }
    }
}

fn fetched(error: &FetchError) -> String {
    match error {
        FetchError::Resolve(error) => format!("its server's name does not resolve: {}", reason(error)),
        FetchError::Unreachable(failed) => {
            let each = failed.0.iter().map(|(address, error)| format!("{address}: {}", reason(error)));
            format!("its server cannot be reached: {}", each.collect::<Vec<_>>().join("; "))
        }
        FetchError::Tls(error) => format!("no TLS with its server: {}", reason(error)),
        FetchError::Request(error) => error.to_string(),
        FetchError::Conversation(error) if error.is_parse() => format!("its server speaks no HTTP: {error}"),
        FetchError::Conversation(error) => format!("its server broke off: {error}"),
        FetchError::Status { status, location: None } => format!("its server answers {status}"),
        FetchError::Status { status, location: Some(location) } => {
            format!("its server answers {status}, and sends to {}", without_userinfo(location))
        }
        FetchError::Encoding(encoding) => {
            format!("its server sends it compressed ({encoding}), which was not asked for")
        }
        FetchError::TooLarge(limit) => format!("it is larger than {limit} bytes"),
    }
}

/// A URL, or what was sent as one, without a name and password.
fn without_userinfo(url: &str) -> String {
    match (url.rsplit_once('@'), url.split_once("//")) {
        (None, _) => url.to_owned(),
        (Some((userinfo, place)), Some((scheme, _))) if userinfo.contains("//") => {
            format!("{scheme}//[redacted]@{place}")
        }
        (Some((_, place)), _) => format!("[redacted]@{place}"),
    }
}

#[cfg(test)]
mod tests {
    use super::without_userinfo;

    #[test]
    fn where_a_server_sends_to_is_told_without_a_password() {
        for (url, told) in [
            ("http://x/y", "http://x/y"),
            ("http://me:secret@x/y", "http://[redacted]@x/y"),
            ("//me:secret@x/y", "//[redacted]@x/y"),
            ("me:secret@x//y", "[redacted]@x//y"),
            ("http://me:sec//r@et@x", "http://[redacted]@x"),
        ] {
            assert_eq!(without_userinfo(url), told);
        }
    }
}
