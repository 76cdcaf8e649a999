//! What `wimble` does, seen from outside: one binary, one room for each thing that people do with it.
#![allow(clippy::unwrap_used, reason = "a test that cannot set up its peers shall panic")]

mod support;

mod auth;
mod check;
mod cli;
mod connect;
mod credentials;
mod environment;
mod fdpass;
mod forward;
mod forward_resets;
mod forward_unix;
mod quirks;
mod quirks_auth;
mod relay;
mod rfc;
mod serve;
mod spare;
mod stdio;
mod timeouts;

#[cfg(not(feature = "keyring"))]
mod generated;
#[cfg(feature = "keyring")]
mod keyring;

mod check_real;
mod curl;
mod ssh;
