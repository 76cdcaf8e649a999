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

pub mod auth;
pub mod authority;
pub mod proto;
pub mod route;
pub mod secret;
