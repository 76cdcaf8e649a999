//! Why a proxy was chosen: which option, variable or no_proxy entry decided, and what else was
//! looked at. Passwords in URLs are left out.

use super::config::Location;
use super::settings::Variables;
use crate::authority::Authority;
use crate::mode::Routes;
use crate::route::env::{NO_PROXY_VARIABLES, PROXY_VARIABLES};
use crate::route::{NoProxy, Policy, Proxy, ProxyUri, Route};

/// What named the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// An option on the command line.
    Option(&'static str),
    /// A variable of the environment.
    Variable(&'static str),
    /// The configuration file.
    File(Location),
    /// Nothing did: no_proxy sends targets direct, and to the others no way is known.
    NoProxy,
}

/// The reasoning behind one way to the targets.
#[derive(Clone, Debug)]
pub(super) struct Explanation {
    origin: Origin,
    /// The script that decides, if one does; then nothing else does.
    script: Option<String>,
    proxy: Proxy,
    exempt: NoProxy,
    /// The variable that holds the exemptions, and what it says.
    no_proxy: Option<(&'static str, String)>,
    /// Every variable that can name a proxy, with what it names.
    variables: Vec<(&'static str, Option<String>)>,
}

impl Explanation {
    pub(super) fn new(origin: Origin, routes: &Routes, variables: Variables<'_>) -> Self {
        let (script, policy) = match routes {
            Routes::Named(policy) => (None, policy.clone()),
            Routes::Unnamed { exempt } => (None, Policy { proxy: Proxy::Direct, exempt: exempt.clone() }),
            #[cfg(feature = "pac")]
            Routes::Script { pac, exempt } => {
                let policy = Policy { proxy: Proxy::Direct, exempt: exempt.clone() };
                (Some(pac.location().to_string()), policy)
            }
        };
        let set = |name: &'static str| variables(name).filter(|value| !value.is_empty());
        Self {
            origin,
            script,
            proxy: policy.proxy,
            exempt: policy.exempt,
            no_proxy: NO_PROXY_VARIABLES.iter().find_map(|name| Some((*name, set(name)?))),
            variables: PROXY_VARIABLES
                .iter()
                .map(|name| (*name, set(name).map(|url| masked(&url))))
                .collect(),
        }
    }

    /// What decided for this target: the option, the variable, the line of the configuration file, or
    /// the variable of no_proxy; `none` where nothing did.
    pub(super) fn decided_by(&self, target: &Authority) -> String {
        match (&self.no_proxy, self.exempt.entry(target), &self.origin) {
            (Some((variable, _)), Some(_), _) => (*variable).to_owned(),
            (_, _, Origin::Option(name) | Origin::Variable(name)) => (*name).to_owned(),
            (_, _, Origin::File(place)) => place.line(),
            (_, _, Origin::NoProxy) => "none".to_owned(),
        }
    }

    /// The same in the first line of a report.
    pub(super) fn in_short(&self, target: &Authority) -> String {
        let decided_by = self.decided_by(target);
        match (self.exempt.entry(target), &self.origin) {
            (Some(entry), _) => format!("({decided_by}: {entry})"),
            (None, Origin::NoProxy) => "(no proxy is given)".into(),
            (None, Origin::Option(_) | Origin::Variable(_) | Origin::File(_)) => format!("({decided_by})"),
        }
    }

    /// Everything that was looked at, in order, up to what decided: of a script, its answer.
    pub(super) fn at_length(&self, target: &Authority, answer: Option<&str>) -> Vec<(String, String)> {
        let mut lines = Vec::new();
        let mut say = |name: &str, text: String| lines.push((name.to_owned(), text));
        let decided = match &self.proxy {
            Proxy::Direct => "direct".to_owned(),
            Proxy::Via(proxies) => named(proxies),
        };
        if let Origin::Option(option) = self.origin {
            match &self.script {
                None => say(option, format!("{decided}: an option decides, for every target")),
                Some(script) => {
                    say(
                        option,
                        format!("{script}: an option decides, and the script is asked for every target"),
                    );
                    say("its answer", answered(target, answer));
                }
            }
            let other =
                |(name, url): &(&str, Option<String>)| url.as_ref().map(|url| format!("{name}={url}"));
            let passed_over: Vec<_> = self.variables.iter().filter_map(other).collect();
            if !passed_over.is_empty() {
                say("environment", format!("not asked: {}", passed_over.join(", ")));
            }
            if let Some((variable, list)) = &self.no_proxy {
                say(variable, format!("not asked: {list}"));
            }
            return lines;
        }
        say("--proxy", "not given".into());
        for (name, url) in &self.variables {
            match url {
                None => say(name, "not set".into()),
                Some(url) => {
                    say(name, format!("{url}: the first that is set decides"));
                    break;
                }
            }
        }
        match &self.origin {
            Origin::File(place) => {
                let what = self.script.as_ref().unwrap_or(&decided);
                say(&place.line(), format!("{what}: the file decides, as no option and no variable does"));
            }
            Origin::NoProxy => say("configuration", "names no proxy".into()),
            Origin::Option(_) | Origin::Variable(_) => {}
        }
        match (&self.no_proxy, self.exempt.entry(target)) {
            (None, _) => say("no_proxy", "not set".into()),
            (Some((variable, list)), Some(entry)) => {
                say(variable, format!("{list}: the entry {entry} sends {target} direct"));
            }
            (Some((variable, list)), None) => say(variable, format!("{list}: no entry is about {target}")),
        }
        if self.script.is_some() && !self.exempt.matches(target) {
            say("its answer", answered(target, answer));
            return lines;
        }
        let policy = Policy { proxy: self.proxy.clone(), exempt: self.exempt.clone() };
        say(
            "so",
            match policy.route(target) {
                Route::Direct if self.origin == Origin::NoProxy && !self.exempt.matches(target) => {
                    format!("no way to {target} is known")
                }
                Route::Direct => format!("{target} is reached without a proxy"),
                Route::Via(proxies) => format!("{target} is reached through {}", named(&proxies)),
            },
        );
        lines
    }
}

/// What a script says of a target.
fn answered(target: &Authority, answer: Option<&str>) -> String {
    answer.map_or_else(|| "none".into(), |answer| format!("for {target}: {answer}"))
}

/// The proxies of a way without their userinfo, nearest first.
fn named(proxies: &[ProxyUri]) -> String {
    proxies.iter().map(|proxy| proxy.authority.to_string()).collect::<Vec<_>>().join(", then ")
}

/// A URL without its userinfo.
fn masked(url: &str) -> String {
    match url.parse::<Proxy>() {
        Ok(Proxy::Direct) => "direct".into(),
        Ok(Proxy::Via(proxies)) => named(&proxies),
        // Not the one that decides: that would have been an error. It may be anything, a password too.
        Err(_) => "(not a proxy)".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::env;

    fn explanation(set: &[(&str, &str)]) -> Explanation {
        let variables =
            |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        let (policy, variable) = env::policy(variables).expect("readable").expect("a proxy");
        Explanation::new(Origin::Variable(variable), &policy.into(), &variables)
    }

    #[test]
    fn what_decided_is_named_and_no_password_is() {
        let set = [
            ("https_proxy", "http://me:secret@p:1"),
            ("all_proxy", "http://me:secret@q:1"),
            ("no_proxy", "localhost,.example.com"),
        ];
        let explanation = explanation(&set);
        let (far, near) =
            ("host:22".parse().expect("a target"), "a.example.com:22".parse().expect("a target"));
        assert_eq!(explanation.in_short(&far), "(https_proxy)");
        assert_eq!(explanation.in_short(&near), "(no_proxy: .example.com)");
        let said = format!("{:?}{:?}", explanation.at_length(&far, None), explanation.at_length(&near, None));
        assert!(!said.contains("secret") && !said.contains("me:"), "{said}");
        assert_eq!(
            explanation.at_length(&far, None).last().expect("a line").1,
            "host:22 is reached through p:1"
        );
        assert_eq!(
            explanation.at_length(&near, None).last().expect("a line").1,
            "a.example.com:22 is reached without a proxy"
        );
    }
}
