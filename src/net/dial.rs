//! A name and port to a connected socket: getaddrinfo, then happy eyeballs (RFC 8305).
//!
//! The system's resolver is asked, so that nsswitch, mDNS and hosts files count; it gives both
//! families at once, so the resolution delay of RFC 8305 §3 has nothing to wait for. An address
//! literal asks nobody and starts no thread.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::blocking::on_a_thread;
use crate::authority::{Authority, Host};

/// Between the starts of two attempts (RFC 8305 §5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The longest interval between keepalive probes once they have begun.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// Linux's MAX_TCP_KEEPIDLE.
const MAX_KEEPALIVE: Duration = Duration::from_secs(32767);

/// Which addresses may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Family {
    /// Both, interleaved.
    #[default]
    Any,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
}

/// How to dial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Which addresses may be used.
    pub family: Family,
    /// TCP keepalive: how long a connection is silent before it is probed; `None` is off.
    pub keepalive: Option<Duration>,
}

/// No address could be connected to: each that was tried, in the order they failed.
#[derive(Debug)]
pub struct ConnectError(pub Vec<(SocketAddr, io::Error)>);

/// A connection, and those that were tried beside it.
#[derive(Debug)]
pub struct Connected {
    /// The first that was made.
    pub stream: TcpStream,
    /// The addresses that lost: with their error, or `None` where they were silent until then.
    pub losers: Vec<(SocketAddr, Option<io::Error>)>,
}

/// The addresses of a host, in the order they shall be tried.
///
/// # Errors
/// What getaddrinfo says, or that there is no address of the family asked for.
pub async fn resolve(place: &Authority, family: Family) -> io::Result<Vec<SocketAddr>> {
    let found: Vec<SocketAddr> = match place.host() {
        Host::Address(address) => vec![SocketAddr::new(*address, place.port())],
        Host::Name(name) => {
            let (name, port) = (name.clone(), place.port());
            on_a_thread(move || (name.as_str(), port).to_socket_addrs()).await??.collect()
        }
    };
    let wanted = |address: &SocketAddr| match family {
        Family::Any => true,
        Family::V4 => address.is_ipv4(),
        Family::V6 => address.is_ipv6(),
    };
    let addresses = interleave(found.into_iter().filter(wanted).collect());
    if addresses.is_empty() {
        let family = match family {
            Family::Any => "no address",
            Family::V4 => "no IPv4 address",
            Family::V6 => "no IPv6 address",
        };
        return Err(io::Error::new(io::ErrorKind::NotFound, family));
    }
    tracing::debug!("{place} is {addresses:?}");
    Ok(addresses)
}

/// RFC 8305 §4: the families take turns, beginning with the resolver's first; its order within a
/// family (RFC 6724) stays.
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first() else { return addresses };
    let of_first = |a: &SocketAddr| a.is_ipv4() == first.is_ipv4();
    let (mut ours, mut others): (Vec<_>, Vec<_>) = addresses.iter().copied().partition(of_first);
    ours.reverse();
    others.reverse();
    let mut order = Vec::with_capacity(addresses.len());
    while !ours.is_empty() || !others.is_empty() {
        order.extend(ours.pop());
        order.extend(others.pop());
    }
    order.dedup();
    order
}

/// Connects to the first address that answers: attempts start 250 ms apart, or at once when one
/// fails; the losers are closed.
///
/// # Errors
/// All attempts, where none succeeded.
pub async fn connect(addresses: &[SocketAddr], config: Config) -> Result<Connected, ConnectError> {
    let mut failed: Vec<(SocketAddr, io::Error)> = Vec::new();
    // One address, the common case, needs no task and no timer.
    if let [address] = addresses {
        return match attempt(*address, config).await {
            Ok(stream) => Ok(Connected { stream, losers: Vec::new() }),
            Err(error) => Err(ConnectError(vec![(*address, error)])),
        };
    }
    let mut silent = Vec::new();
    let mut waiting = addresses.iter().copied();
    let mut attempts = JoinSet::new();
    let mut next = waiting.next();
    let mut start_at = Instant::now();
    loop {
        if next.is_some() && (attempts.is_empty() || start_at <= Instant::now()) {
            if let Some(address) = next {
                silent.push(address);
                attempts.spawn(async move { (address, attempt(address, config).await) });
            }
            next = waiting.next();
            start_at = Instant::now() + ATTEMPT_DELAY;
        }
        tokio::select! {
            joined = attempts.join_next() => match joined {
                Some(Ok((address, Ok(stream)))) => {
                    silent.retain(|other| *other != address);
                    let failed = failed.into_iter().map(|(address, error)| (address, Some(error)));
                    let losers = failed.chain(silent.into_iter().map(|address| (address, None))).collect();
                    return Ok(Connected { stream, losers });
                }
                Some(Ok((address, Err(error)))) => {
                    silent.retain(|other| *other != address);
                    failed.push((address, error));
                    start_at = Instant::now();
                }
                Some(Err(_)) | None if next.is_none() => return Err(ConnectError(failed)),
                Some(Err(_)) | None => {}
            },
            () = tokio::time::sleep_until(start_at), if next.is_some() => {}
        }
    }
}

async fn attempt(address: SocketAddr, config: Config) -> io::Result<TcpStream> {
    tracing::debug!("connecting to {address}");
    let socket = match address.ip() {
        IpAddr::V4(_) => TcpSocket::new_v4(),
        IpAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    let stream = socket.connect(address).await.inspect_err(|error| tracing::debug!("{address}: {error}"))?;
    prepare(&stream, config.keepalive);
    tracing::debug!("connected to {address}");
    Ok(stream)
}

/// Sets what a tunnel's socket needs: no waiting for full segments, probes while it is silent, and
/// urgent data in its place among the rest. A system that refuses one of them is no reason to do
/// without the connection.
pub fn prepare(stream: &TcpStream, keepalive: Option<Duration>) {
    let socket = SockRef::from(stream);
    let mut outcomes = vec![socket.set_tcp_nodelay(true), socket.set_out_of_band_inline(true)];
    if let Some(silence) = keepalive {
        // The kernel counts whole seconds, up to 32767.
        let silence = silence.clamp(Duration::from_secs(1), MAX_KEEPALIVE);
        let probes = TcpKeepalive::new().with_time(silence).with_interval(silence.min(KEEPALIVE_INTERVAL));
        outcomes.push(socket.set_tcp_keepalive(&probes));
    }
    for error in outcomes.into_iter().filter_map(Result::err) {
        tracing::debug!("setsockopt: {error}");
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|text| text.parse().expect("an address")).collect()
    }

    /// A listener whose backlog is full: connecting to it neither succeeds nor fails.
    pub(in crate::net) fn black_hole() -> (SocketAddr, Vec<std::net::TcpStream>, std::net::TcpListener) {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        socket.bind(&any.into()).expect("a port");
        socket.listen(0).expect("listening");
        let listener: std::net::TcpListener = socket.into();
        let address = listener.local_addr().expect("bound");
        let mut fill = Vec::new();
        for _ in 0..16 {
            match std::net::TcpStream::connect_timeout(&address, Duration::from_millis(50)) {
                Ok(stream) => fill.push(stream),
                Err(_) => return (address, fill, listener),
            }
        }
        panic!("the backlog does not fill");
    }

    #[test]
    fn r40_the_families_take_turns_from_the_resolvers_first() {
        let order = interleave(addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]));
        assert_eq!(order, addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]));
        let order = interleave(addresses(&["1.1.1.1:1", "[::1]:1"]));
        assert_eq!(order, addresses(&["1.1.1.1:1", "[::1]:1"]));
    }

    #[tokio::test(start_paused = true)]
    async fn r41_r43_the_second_address_is_tried_while_the_first_is_silent() {
        let (hole, _fill, _listener) = black_hole();
        let good = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let good_address = good.local_addr().expect("bound");
        let started = Instant::now();
        let won = connect(&[hole, good_address], Config::default()).await.expect("connected");
        assert_eq!(won.stream.peer_addr().expect("connected"), good_address);
        assert!(matches!(won.losers[..], [(loser, None)] if loser == hole), "{:?}", won.losers);
        // Where time stands still until somebody waits for it, its turn is exact; a timer counts milliseconds.
        let turn = started.elapsed().as_millis();
        assert!((250..=251).contains(&turn), "after {turn} ms");
    }

    /// Whether a connection to this address is being tried, by this machine's list of sockets.
    #[cfg(target_os = "linux")]
    fn is_tried(address: SocketAddr) -> bool {
        const SYN_SENT: &str = "02";
        let peer = format!("0100007F:{:04X}", address.port());
        let list = std::fs::read_to_string("/proc/net/tcp").expect("a list of sockets");
        list.lines().any(|line| {
            let mut fields = line.split_ascii_whitespace().skip(2);
            fields.next() == Some(&peer) && fields.next() == Some(SYN_SENT)
        })
    }

    #[cfg(target_os = "linux")]
    #[tokio::test(start_paused = true)]
    async fn r43_the_losers_are_closed() {
        let (hole, _fill, _listener) = black_hole();
        let good = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let addresses = [hole, good.local_addr().expect("bound")];
        let connecting = tokio::spawn(async move { connect(&addresses, Config::default()).await });
        while !is_tried(hole) {
            tokio::task::yield_now().await;
        }
        let _won = connecting.await.expect("no panic").expect("connected");
        // The runtime drops what was aborted when it next comes to it.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!(!is_tried(hole), "the attempt goes on");
    }

    #[tokio::test]
    async fn a_tunnels_socket_does_not_wait_for_full_segments_and_is_probed_while_it_is_silent() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = [listener.local_addr().expect("bound")];
        let seconds = Duration::from_secs;
        for (keepalive, wanted) in [
            (None, None),
            (Some(seconds(60)), Some((seconds(60), seconds(15)))),
            (Some(seconds(5)), Some((seconds(5), seconds(5)))),
            (Some(Duration::from_millis(1)), Some((seconds(1), seconds(1)))),
            (Some(seconds(1 << 20)), Some((MAX_KEEPALIVE, seconds(15)))),
        ] {
            let config = Config { keepalive, ..Config::default() };
            let stream = connect(&address, config).await.expect("connected").stream;
            let socket = SockRef::from(&stream);
            assert!(socket.tcp_nodelay().expect("an option"));
            assert!(socket.out_of_band_inline().expect("an option"));
            assert_eq!(socket.keepalive().expect("an option"), wanted.is_some(), "{keepalive:?}");
            if let Some(wanted) = wanted {
                let times = (socket.tcp_keepalive_time(), socket.tcp_keepalive_interval());
                assert_eq!((times.0.expect("an option"), times.1.expect("an option")), wanted);
            }
        }
    }

    #[tokio::test]
    async fn r43_a_refused_address_gives_way_at_once_and_all_errors_are_told() {
        let free = || async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
            listener.local_addr().expect("bound")
        };
        let (a, b) = (free().await, free().await);
        let ConnectError(failed) = connect(&[a, b], Config::default()).await.expect_err("nobody listens");
        assert_eq!(failed.iter().map(|(address, _)| *address).collect::<Vec<_>>(), [a, b]);
        assert!(failed.iter().all(|(_, e)| e.kind() == io::ErrorKind::ConnectionRefused));
    }

    #[tokio::test]
    async fn a_literal_of_the_wrong_family_has_no_address() {
        let place: Authority = "127.0.0.1:1".parse().expect("an authority");
        assert!(resolve(&place, Family::V6).await.is_err());
        assert_eq!(resolve(&place, Family::V4).await.expect("an address"), addresses(&["127.0.0.1:1"]));
    }
}
