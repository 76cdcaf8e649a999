//! The variables that name a proxy, read as curl reads them.

use super::{NoProxy, Policy, Proxy, ProxyUriError};

/// In the order they are asked; the first that is set and not empty decides. `HTTP_PROXY` is not
/// among them: a CGI server sets it from a request's header, and a tunnel is not plain HTTP.
pub const PROXY_VARIABLES: [&str; 5] =
    ["WIMBLE_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];

/// Lower case first, as curl does.
pub const NO_PROXY_VARIABLES: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// A variable that is set to what names no proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvError {
    /// Which one.
    pub variable: &'static str,
    /// What is wrong with it.
    pub why: ProxyUriError,
}

/// What the environment says: the policy, and the variable that decided. `None`: nothing.
///
/// # Errors
/// The variable that would have decided cannot be read: going direct instead would surprise.
pub fn policy(variable: impl Fn(&str) -> Option<String>) -> Result<Option<(Policy, &'static str)>, EnvError> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let Some((name, value)) = PROXY_VARIABLES.iter().find_map(|name| Some((*name, set(name)?))) else {
        return Ok(None);
    };
    let proxy = match value.parse() {
        // Others' variables, which curl takes so.
        Err(ProxyUriError::Path) if name != PROXY_VARIABLES[0] => without_path(&value).parse(),
        parsed => parsed,
    };
    let proxy: Proxy = proxy.map_err(|why| EnvError { variable: name, why })?;
    let exempt = exemptions(variable);
    Ok(Some((Policy { proxy, exempt }, name)))
}

/// What stands before the path of a URL.
fn without_path(uri: &str) -> &str {
    let place =
        uri.rfind('@').or_else(|| uri.find("://").map(|colon| colon + 2)).map_or(0, |before| before + 1);
    let end = uri[place..].find(['/', '?', '#']).map_or(uri.len(), |end| place + end);
    &uri[..end]
}

/// What no_proxy says.
pub fn exemptions(variable: impl Fn(&str) -> Option<String>) -> NoProxy {
    let list = NO_PROXY_VARIABLES.iter().find_map(|name| variable(name).filter(|list| !list.is_empty()));
    list.map(|list| NoProxy::parse(&list)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(set: &[(&str, &str)]) -> Result<Option<&'static str>, EnvError> {
        let find = |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        policy(find).map(|found| found.map(|(_, name)| name))
    }

    #[test]
    fn the_first_variable_that_is_set_decides() {
        let mut set: Vec<_> = PROXY_VARIABLES.iter().map(|name| (*name, "http://p:1")).collect();
        for expected in PROXY_VARIABLES {
            assert_eq!(decided(&set), Ok(Some(expected)));
            set.remove(0);
        }
        assert_eq!(decided(&set), Ok(None));
    }

    #[test]
    fn an_empty_variable_is_not_set_and_http_proxy_is_not_read() {
        let set = [("https_proxy", ""), ("HTTP_PROXY", "http://p:1"), ("http_proxy", "http://p:1")];
        assert_eq!(decided(&set), Ok(None));
    }

    #[test]
    fn a_path_is_passed_over_as_with_curl_and_not_in_our_own_variable() {
        for uri in ["http://p:1/path", "http://p:1?x", "p:1/a/b", "http://me:secret@p:1/#x"] {
            let find = |name: &str| (name == "https_proxy").then(|| uri.to_owned());
            let (policy, _) = policy(find).expect("a proxy").expect("a proxy");
            let Proxy::Via(proxies) = policy.proxy else { panic!("{uri} is direct") };
            assert_eq!(proxies[0].authority.to_string(), "p:1", "{uri}");
        }
        assert_eq!(
            decided(&[("WIMBLE_PROXY", "http://p:1/path")]).map_err(|e| e.why),
            Err(ProxyUriError::Path)
        );
    }

    #[test]
    fn a_bad_variable_is_named_and_does_not_mean_direct() {
        let error = decided(&[("https_proxy", "ftp://p")]).expect_err("ftp is no proxy");
        assert_eq!(error.variable, "https_proxy");
    }
}
