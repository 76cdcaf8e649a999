//! `connect --fdpass`: the socket goes to the parent, with every byte of the target still in it.

use std::io::{IoSliceMut, Read as _};
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;

use rustix::fs::OFlags;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::support::proxy::{BASIC_407, Conn, ScriptedProxy, turn};
use crate::support::{LIMIT, Running, connect_as, connect_via, finish};

/// Runs a command with this stdout to its end with this code; what it says.
#[track_caller]
fn ends(mut cmd: Command, stdout: UnixStream, code: i32) -> String {
    let mut running = Running::start(cmd.arg("--fdpass").stdout(OwnedFd::from(stdout)));
    // Its copy of the socket's other end.
    drop(cmd);
    assert_eq!(running.wait(LIMIT), Some(code), "{}", running.stderr());
    running.stderr()
}

/// Runs a command to its end, and takes the socket that it passes.
#[track_caller]
fn passed(cmd: Command) -> TcpStream {
    let (ours, theirs) = UnixStream::pair().unwrap();
    assert_eq!(ends(cmd, theirs, 0), "");
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [1];
    let got = recvmsg(&ours, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::DONTWAIT);
    assert_eq!(got.map(|got| got.bytes), Ok(1), "a descriptor travels with one byte");
    let passed: Vec<OwnedFd> = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds.collect::<Vec<_>>()),
            RecvAncillaryMessage::ScmCredentials(_) | _ => None,
        })
        .flatten()
        .collect();
    let [socket] = <[OwnedFd; 1]>::try_from(passed).unwrap();
    TcpStream::from(socket)
}

#[test]
fn q44_the_parent_finds_the_targets_first_bytes_in_the_socket() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        conn.send("HTTP/1.1 200 OK\r\nVia: x\r\n\r\nSSH-2.0-target\r\n");
        assert_eq!(conn.exchange(b"more".to_vec()), b"SSH-2.0-client\r\n");
    });
    let socket = passed(connect_via(&proxy, "host:22"));
    let flags = rustix::fs::fcntl_getfl(&socket).unwrap();
    assert!(!flags.contains(OFlags::NONBLOCK), "as one that is fresh from connect(2)");
    let mut socket = Conn::new(socket);
    assert_eq!(socket.exchange(b"SSH-2.0-client\r\n".to_vec()), b"SSH-2.0-target\r\nmore");
    proxy.done();
}

#[test]
fn the_socket_is_that_of_the_tunnel_also_when_the_proxy_asked_twice() {
    let proxy = ScriptedProxy::in_turn(vec![
        turn(|conn| {
            conn.expect_connect("host:22");
            conn.send(
                String::from_utf8_lossy(BASIC_407).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"),
            );
        }),
        turn(|conn| {
            conn.expect_connect("host:22");
            conn.send("HTTP/1.1 200 OK\r\n\r\nfirst");
        }),
    ]);
    let mut socket = passed(connect_as(&proxy, "host:22"));
    let mut said = String::new();
    socket.read_to_string(&mut said).unwrap();
    assert_eq!(said, "first");
    proxy.done();
}

#[test]
fn a_stdout_that_carries_no_descriptor_is_refused_before_anything_is_dialled() {
    let proxy = ScriptedProxy::untouched();
    // `finish` reads a pipe.
    finish(connect_via(&proxy, "host:22").arg("--fdpass"), b"", LIMIT).fails(2).says("ProxyUseFdpass");
    proxy.done();
}

#[test]
fn nothing_is_passed_where_there_is_no_tunnel() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        conn.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    });
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    assert!(ends(connect_via(&proxy, "host:22"), theirs, 7).contains("403"));
    assert_eq!(ours.read(&mut [0]).unwrap(), 0);
    proxy.done();
}

#[test]
fn a_parent_that_has_left_is_told_of() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.open("host:22");
        conn.read_to_any_end();
    });
    let (ours, theirs) = UnixStream::pair().unwrap();
    drop(ours);
    assert!(ends(connect_via(&proxy, "host:22"), theirs, 1).contains("--fdpass"));
    proxy.done();
}
