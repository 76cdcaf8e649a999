//! What `wimble` does, seen from outside: one binary, one room for each thing that people do with it.
#![allow(clippy::unwrap_used, reason = "a test that cannot set up its peers shall panic")]

mod support;

mod auth;
mod auth_schemes;
mod chain_logins;
mod check;
mod check_chains;
mod check_many;
mod check_output;
mod check_outside;
mod cli;
mod config;
mod connect;
mod credentials;
mod environment;
mod fdpass;
mod forward;
mod forward_resets;
mod forward_unix;
#[cfg(feature = "http2")]
mod http2;
#[cfg(feature = "http2")]
mod http2_frames;
#[cfg(feature = "http2")]
mod http2_shared;
mod pac;
mod proxy_tls;
mod quirks;
mod quirks_auth;
mod relay;
mod rfc;
mod serve;
mod serve_digest;
mod serve_http2;
mod serve_tls;
mod socks_logins;
mod spare;
mod stdio;
mod timeouts;

#[cfg(not(feature = "keyring"))]
mod generated;
#[cfg(feature = "keyring")]
mod keyring;

mod auth_real;
mod check_intercepted;
mod check_proxy_tls;
mod check_real;
mod check_starttls;
mod check_tls;
mod client_key;
mod curl;
#[cfg(feature = "http2")]
mod http2_real;
mod ssh;
mod ways;
