//! How much of a proxy's talk is listened to. The proxy is an attacker until proved otherwise:
//! each of these bounds memory or time that it could take.

/// Bytes of one response head. curl stops at 300 KiB in total, Squid sends 64 KiB by default,
/// Go reads 1 MiB, Node 16 KiB; real proxies with cookies and policy headers stay under 64 KiB.
pub const MAX_HEAD: usize = 256 * 1024;

/// Fields of one head. OpenBSD nc stops at 64 and fails behind real proxies; Apache allows 100,
/// curl 5000.
pub const MAX_FIELDS: usize = 1000;

/// Interim responses before the final one. curl and Go allow 5 to 16.
pub const MAX_INTERIM: usize = 16;

/// Bytes of a refusal's content that are read away to keep its connection; past this a new
/// connection is cheaper. Squid's error pages are 3 to 5 KiB.
pub const MAX_DISCARD: u64 = 1024 * 1024;

/// Bytes of a refusal's content that are kept for a report. Squid's error pages are 3 to 5 KiB.
pub const MAX_EXCERPT: usize = 16 * 1024;

/// Requests sent for one tunnel: the first, two legs for each of three tries of a password, a nonce
/// that was stale, and some that a proxy that closes unannounced makes us repeat. curl has no limit.
pub const MAX_ATTEMPTS: usize = 12;

/// Bytes of a line that is not HTTP that are awaited and quoted before it is given up.
pub const MAX_QUOTE: usize = 256;

/// Bytes of one request head that `accept` takes. nginx and Apache allow 8 KiB a line.
pub const MAX_REQUEST_HEAD: usize = 64 * 1024;
