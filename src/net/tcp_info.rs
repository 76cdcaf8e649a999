//! What the kernel knows of a TCP connection: its round trips and what it had to send again.
//!
//! Linux gives it as TCP_INFO; getsockopt(2) would need `unsafe`, the same structure comes by
//! sock_diag(7), as ss(8) asks for it. Elsewhere, and where the kernel does not say, there is none.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;

/// A connection as its own kernel sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpInfo {
    /// The smoothed round-trip time; right behind the handshake, that of the handshake.
    pub round_trip: Duration,
    /// Segments that were sent again, the SYN included.
    pub retransmits: u32,
    /// Bytes that were written, and that the peer's kernel has not acknowledged.
    pub unacknowledged: u32,
}

/// Which connection that is, for who does not hold it.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    local: SocketAddr,
    peer: SocketAddr,
}

impl Ends {
    /// `None`: it is not connected any more.
    pub fn of(stream: &TcpStream) -> Option<Self> {
        Some(Self { local: stream.local_addr().ok()?, peer: stream.peer_addr().ok()? })
    }
}

/// Asks the kernel.
pub fn tcp_info(stream: &TcpStream) -> Option<TcpInfo> {
    Ends::of(stream).and_then(tcp_info_between)
}

/// Asks the kernel.
#[cfg(target_os = "linux")]
pub fn tcp_info_between(Ends { local, peer }: Ends) -> Option<TcpInfo> {
    use rustix::net::netlink::{self, SocketAddrNetlink};
    use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

    let request = request(local, peer);
    let flags = SocketFlags::CLOEXEC;
    let kernel =
        rustix::net::socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(netlink::SOCK_DIAG))
            .ok()?;
    rustix::net::sendto(&kernel, &request, SendFlags::empty(), &SocketAddrNetlink::new(0, 0)).ok()?;
    // The kernel has answered by the time that the request is sent.
    let mut answer = [0; 2048];
    let (_, length) = rustix::net::recv(&kernel, &mut answer[..], RecvFlags::DONTWAIT).ok()?;
    read(answer.get(..length)?)
}

/// Asks nobody.
#[cfg(not(target_os = "linux"))]
pub fn tcp_info_between(_: Ends) -> Option<TcpInfo> {
    None
}

#[cfg(target_os = "linux")]
fn request(local: SocketAddr, peer: SocketAddr) -> Vec<u8> {
    use std::net::IpAddr;

    const AF_INET: u8 = 2;
    const AF_INET6: u8 = 10;
    const IPPROTO_TCP: u8 = 6;
    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    const NLM_F_REQUEST: u16 = 1;
    /// `1 << (INET_DIAG_INFO - 1)`.
    const WANT_INFO: u8 = 2;

    let octets = |address: IpAddr| {
        let mut sixteen = [0; 16];
        match address {
            IpAddr::V4(v4) => sixteen[..4].copy_from_slice(&v4.octets()),
            IpAddr::V6(v6) => sixteen = v6.octets(),
        }
        sixteen
    };
    let family = if local.is_ipv4() { AF_INET } else { AF_INET6 };
    // struct inet_diag_req_v2; its inet_diag_sockid has ports and addresses in network order.
    let mut body = vec![family, IPPROTO_TCP, WANT_INFO, 0];
    body.extend_from_slice(&u32::MAX.to_ne_bytes()); // any state
    body.extend_from_slice(&local.port().to_be_bytes());
    body.extend_from_slice(&peer.port().to_be_bytes());
    body.extend_from_slice(&octets(local.ip()));
    body.extend_from_slice(&octets(peer.ip()));
    body.extend_from_slice(&0_u32.to_ne_bytes()); // any interface
    body.extend_from_slice(&[0xff; 8]); // INET_DIAG_NOCOOKIE
    // struct nlmsghdr.
    let mut message = Vec::with_capacity(HEADER + body.len());
    message.extend_from_slice(&((HEADER + body.len()) as u32).to_ne_bytes());
    message.extend_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    message.extend_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    message.extend_from_slice(&[0; 8]); // sequence, port
    message.extend_from_slice(&body);
    message
}

/// `sizeof (struct nlmsghdr)`.
#[cfg(target_os = "linux")]
const HEADER: usize = 16;

#[cfg(target_os = "linux")]
fn read(message: &[u8]) -> Option<TcpInfo> {
    /// `sizeof (struct inet_diag_msg)`, behind which the attributes stand.
    const DIAG: usize = 72;
    const INET_DIAG_INFO: u16 = 2;
    /// `offsetof (struct inet_diag_msg, idiag_wqueue)`.
    const WQUEUE: usize = 60;
    /// Offsets in struct tcp_info.
    const RTT: usize = 68;
    const TOTAL_RETRANS: usize = 100;

    let number = |of: &[u8], at: usize| Some(u32::from_ne_bytes(of.get(at..at + 4)?.try_into().ok()?));
    let unacknowledged = number(message.get(HEADER..)?, WQUEUE)?;
    let mut rest = message.get(HEADER + DIAG..)?;
    while let (Some(length), Some(kind)) = (rest.get(..2), rest.get(2..4)) {
        let length = usize::from(u16::from_ne_bytes(length.try_into().ok()?));
        let value = rest.get(4..length)?;
        if u16::from_ne_bytes(kind.try_into().ok()?) == INET_DIAG_INFO {
            return Some(TcpInfo {
                round_trip: Duration::from_micros(number(value, RTT)?.into()),
                retransmits: number(value, TOTAL_RETRANS)?,
                unacknowledged,
            });
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_on_loopback_has_a_short_round_trip_and_lost_nothing() {
        for loopback in ["127.0.0.1:0", "[::1]:0"] {
            let listener = tokio::net::TcpListener::bind(loopback).await.expect("a listener");
            let stream = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connected");
            let info = tcp_info(&stream).expect("the kernel's word");
            assert!(info.round_trip > Duration::ZERO && info.round_trip < Duration::from_secs(1), "{info:?}");
            assert_eq!((info.retransmits, info.unacknowledged), (0, 0));
        }
    }

    #[tokio::test]
    async fn a_syn_that_is_sent_again_is_counted() {
        let (address, _fill, listener) = crate::net::dial::tests::black_hole();
        let mut connecting = std::pin::pin!(TcpStream::connect(address));
        tokio::select! {
            biased;
            _ = &mut connecting => panic!("the backlog has room"),
            () = std::future::ready(()) => {}
        }
        // Room for the next one, which the kernel sends after a second.
        let _first = listener.accept().expect("one that waits");
        let stream = connecting.await.expect("connected");
        let info = tcp_info(&stream).expect("the kernel's word");
        assert!((1..=3).contains(&info.retransmits), "{info:?}");
    }

    #[tokio::test]
    async fn what_the_peer_does_not_read_is_unacknowledged() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let stream = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connected");
        let mut written = 0;
        stream.writable().await.expect("room");
        while let Ok(some) = stream.try_write(&[0; 64 * 1024]) {
            written += some;
        }
        let info = tcp_info(&stream).expect("the kernel's word");
        assert!((1..=written).contains(&(info.unacknowledged as usize)), "{info:?} of {written}");
    }

    #[test]
    fn an_answer_that_is_cut_or_has_an_attribute_without_length_says_nothing() {
        let mut message = vec![0; HEADER + 72];
        for length in 0..message.len() {
            assert_eq!(read(&message[..length]), None);
        }
        message.extend_from_slice(&[0; 64]);
        assert_eq!(read(&message), None);
    }
}
