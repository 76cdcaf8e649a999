//! This machine, as far as a script may know it: the clock, names, its own addresses.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs as _, UdpSocket};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::route::pac;

/// This machine, from now on.
pub(super) struct Machine(Instant);

impl Machine {
    pub(super) fn new() -> Self {
        Self(Instant::now())
    }
}

impl pac::World for Machine {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn unix_time(&self) -> i64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }

    fn resolve(&self, name: &str, limit: Duration) -> Vec<IpAddr> {
        // getaddrinfo can't be called back: a thread waits for it, and we for the thread.
        let (found, answer) = mpsc::sync_channel(1);
        let name = name.to_owned();
        let look = move || {
            let addresses = (name.as_str(), 0).to_socket_addrs();
            let _late = found.send(addresses.map(|all| all.map(|address| address.ip()).collect()));
        };
        match thread::Builder::new().name("pac-name".into()).spawn(look) {
            Ok(_) => answer.recv_timeout(limit).ok().and_then(Result::ok).unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }

    /// Those that a connection to the outside would come from: nothing is sent.
    fn own_addresses(&self) -> Vec<IpAddr> {
        // RFC 5737 and RFC 3849: addresses for documentation, reached by the default route.
        let outside: [(IpAddr, IpAddr); 2] = [
            (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()),
            (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into()),
        ];
        let own = |(any, outside)| {
            let socket = UdpSocket::bind((any, 0))?;
            socket.connect((outside, 9))?;
            socket.local_addr().map(|address| address.ip())
        };
        outside.into_iter().map(own).filter_map(|found: io::Result<IpAddr>| found.ok()).collect()
    }
}
