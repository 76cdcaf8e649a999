//! What `wimble` does, seen from outside: one binary, one room for each thing that people do with it.
#![allow(clippy::unwrap_used, reason = "a test that cannot set up its peers shall panic")]

mod support;

mod auth;
mod auth_schemes;
mod check;
mod cli;
mod connect;
mod environment;
mod fdpass;
mod forward;
mod forward_resets;
mod forward_unix;
mod proxy_tls;
mod quirks;
mod quirks_auth;
mod relay;
mod rfc;
mod serve;
mod spare;
mod stdio;
mod timeouts;

mod generated;

mod auth_real;
mod check_real;
mod curl;
mod ssh;
mod ways;
