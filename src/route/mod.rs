//! Which proxy leads to a target, if any.
//!
//! Knows proxy URIs, the variables that curl reads, no_proxy, and proxy auto-config scripts. Refuses
//! to dial, and to read the environment: it comes in as a function.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod env;
pub mod no_proxy;
#[cfg(feature = "pac")]
pub mod pac;
pub mod proxy_uri;

pub use no_proxy::NoProxy;
pub use proxy_uri::{Protocol, Proxy, ProxyUri, ProxyUriError};

use crate::authority::Authority;

/// The decision for one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Straight to the target.
    Direct,
    /// Through these proxies, the nearest first; at least one.
    Via(Vec<ProxyUri>),
}

impl Route {
    /// The proxies, the nearest first; none where it is direct.
    pub fn proxies(&self) -> &[ProxyUri] {
        match self {
            Self::Direct => &[],
            Self::Via(proxies) => proxies,
        }
    }
}

/// How a route is chosen for each target of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The proxies that were named.
    pub proxy: Proxy,
    /// The targets that go direct all the same.
    pub exempt: NoProxy,
}

impl Policy {
    /// The way to `target`.
    pub fn route(&self, target: &Authority) -> Route {
        match &self.proxy {
            Proxy::Via(proxies) if !self.exempt.matches(target) => Route::Via(proxies.clone()),
            Proxy::Via(_) | Proxy::Direct => Route::Direct,
        }
    }
}
