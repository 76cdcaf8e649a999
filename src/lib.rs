//! wimble bores a tunnel through an HTTP proxy (RFC 9110 §9.3.6) and carries bytes through it.
//!
//! # The map
//! Imports point down only; `tests/floors.rs` holds the table.
//!
//! | floor | room | knows |
//! | --- | --- | --- |
//! | 0 words | [`authority`] | host and port of a target |
//! | | [`secret`] | passwords, and whom they belong to |
//! | 1 pure | [`auth`] | challenges, and what they are answered |
//! | | [`proto`] | one CONNECT: as messages, as HTTP/1.1 bytes, and its server half |
//! | | [`route`] | which proxy leads to a target |
//! | | [`starttls`] | from plain text to TLS, in each protocol's words |
//! | 2 sockets | [`net`] | dialling, TLS, driving the machines, carrying bytes |
//! | 3 composition | [`tunnel`] | the ladder of stages, from a name to an open tunnel |
//! | | [`front`] | where a local client says its target |
//! | 4 modes | [`mode`] | connect, forward, check, serve |
//! | 5 the person | [`cli`] | words typed, sentences, exit codes |
//!
//! # Opening a tunnel
//! There is one way to open one, [`tunnel::open`]; every mode uses it.
//!
//! ```no_run
//! use wimble::tunnel::{self, Config};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let target = "host.example:22".parse()?;
//! let route = wimble::route::Route::Via(vec!["https://proxy.example".parse()?]);
//! let tunnel = tunnel::open(&target, &route, &Config::default(), &mut ()).await?;
//! // The target's first bytes may have come with the proxy's answer.
//! let (early, stream) = tunnel.into_early_and_stream();
//! # drop((early, stream));
//! # Ok(())
//! # }
//! ```

pub mod auth;
pub mod authority;
#[cfg(feature = "cli")]
pub mod cli;
pub mod front;
pub mod mode;
pub mod net;
pub mod proto;
pub mod route;
pub mod secret;
pub mod starttls;
pub mod tunnel;
