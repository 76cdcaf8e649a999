//! The ways to a target: the policy that was named, or a script that is asked.

#[cfg(feature = "pac")]
use std::sync::Arc;

#[cfg(feature = "pac")]
use super::pac::{Pac, PacFailure};
use crate::authority::Authority;
use crate::route::{NoProxy, Policy, Route};

/// How routes are chosen in one run. Clones share what a script has answered.
#[derive(Clone, Debug)]
pub enum Routes {
    /// The proxies that were named, or none, for all targets that are not exempt.
    Named(Policy),
    /// Nothing names a proxy: no way is known but to the targets that are exempt.
    Unnamed {
        /// The targets that go direct.
        exempt: NoProxy,
    },
    /// A script's, for all targets that are not exempt.
    #[cfg(feature = "pac")]
    Script {
        /// The script.
        pac: Arc<Pac>,
        /// The targets that go direct, and for which it is not asked.
        exempt: NoProxy,
    },
}

/// The ways to one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// At least one; the next is for when no proxy answers on the one before.
    pub routes: Vec<Route>,
    /// What the script answered, if one was asked; not escaped.
    pub script: Option<String>,
}

/// Why no way is known.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// Nothing names a proxy, and the target is not exempt.
    #[error("no proxy is given for {target}")]
    NoProxy {
        /// The target.
        target: Authority,
    },
    /// The script does not tell.
    #[cfg(feature = "pac")]
    #[error(transparent)]
    Pac(#[from] PacFailure),
}

impl From<Policy> for Routes {
    fn from(policy: Policy) -> Self {
        Self::Named(policy)
    }
}

impl Routes {
    /// The ways to a target.
    ///
    /// # Errors
    /// [`RouteError`]; a policy that was named has none.
    pub async fn decide(&self, target: &Authority) -> Result<Decision, RouteError> {
        match self {
            Self::Named(policy) => Ok(Decision { routes: vec![policy.route(target)], script: None }),
            Self::Unnamed { exempt } if exempt.matches(target) => {
                Ok(Decision { routes: vec![Route::Direct], script: None })
            }
            Self::Unnamed { .. } => Err(RouteError::NoProxy { target: target.clone() }),
            #[cfg(feature = "pac")]
            Self::Script { exempt, .. } if exempt.matches(target) => {
                Ok(Decision { routes: vec![Route::Direct], script: None })
            }
            #[cfg(feature = "pac")]
            Self::Script { pac, .. } => {
                let ways = pac.find(target).await?;
                let entries: Vec<_> = ways.answer.iter().map(|entry| entry.text.as_str()).collect();
                Ok(Decision { script: Some(entries.join("; ")), routes: ways.routes })
            }
        }
    }
}
