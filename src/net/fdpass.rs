//! Handing a connected socket to the parent over standard output (ssh's `ProxyUseFdpass`).
//!
//! Knows SCM_RIGHTS. Refuses to know what the socket is good for: whoever is given it finds in it
//! every byte that was not read before.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::os::fd::AsFd as _;

use rustix::net::{AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg, sockopt};

/// Whether standard output can carry a descriptor: it is a Unix socket.
pub fn is_possible() -> bool {
    sockopt::socket_domain(rustix::stdio::stdout()) == Ok(AddressFamily::UNIX)
}

/// Hands `socket` over, blocking as one that is fresh from connect(2). It stays open here.
///
/// # Errors
/// Nobody is there to take it, or standard output is no Unix socket.
pub fn pass(socket: &TcpStream) -> io::Result<()> {
    socket.set_nonblocking(false)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let sockets = [socket.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&sockets));
    // A descriptor travels with a byte, or not at all; ssh reads one and does not look at it.
    let byte = [IoSlice::new(&[0])];
    let send = || sendmsg(rustix::stdio::stdout(), &byte, &mut control, SendFlags::NOSIGNAL);
    rustix::io::retry_on_intr(send)?;
    Ok(())
}
