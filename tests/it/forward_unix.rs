//! `forward unix:PATH`: whose socket it is, and what is never taken away.

use crate::forward::{SIGTERM, forward};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::support::origin::Origin;
use crate::support::{LIMIT, Running, assert_is_an_error};

#[test]
fn a_unix_socket_listens_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tunnel");
    let proxy = Origin::echoing_proxy();
    let spec = format!("unix:{}:host:22", path.display());
    let running = Running::start(&mut forward(&proxy.url(), &[&spec]));
    let line = running.stderr_line(|line| line.starts_with("listening on "), LIMIT);
    assert!(line.contains(path.to_str().unwrap()) && line.ends_with(" -> host:22"), "{line}");
    let mut conn = UnixStream::connect(&path).unwrap();
    conn.set_read_timeout(Some(LIMIT)).unwrap();
    conn.write_all(b"hello").unwrap();
    let mut got = [0; 5];
    conn.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"hello");
}

#[test]
fn a_unix_socket_is_gone_behind_a_good_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tunnel");
    let spec = format!("unix:{}:host:22", path.display());
    let mut running = Running::start(&mut forward("http://127.0.0.1:1", &[&spec]));
    running.stderr_line(|line| line.starts_with("listening on "), LIMIT);
    running.signal(SIGTERM);
    assert_eq!(running.wait(LIMIT), Some(0));
    let end = UnixStream::connect(&path).map(drop).map_err(|why| why.kind());
    assert!(matches!(end, Err(ErrorKind::NotFound | ErrorKind::ConnectionRefused)), "{end:?}");
}

/// A forward that listens at this path, if it can.
fn forward_at(path: &Path) -> Running {
    let spec = format!("unix:{}:host:22", path.display());
    Running::start(&mut forward("http://127.0.0.1:1", &[&spec]))
}

#[track_caller]
fn listens(running: &Running) {
    running.stderr_line(|line| line.starts_with("listening on unix:"), LIMIT);
}

/// A forward is told that this path is taken, and by what, and leaves what is there alone.
#[track_caller]
fn is_left_alone(path: &Path) {
    let what = match fs::symlink_metadata(path).unwrap().file_type().is_socket() {
        true => "hint: it is the socket of a process that lives",
        false => "hint: what is there is no socket",
    };
    let before = fs::symlink_metadata(path).unwrap();
    let mut running = forward_at(path);
    assert_eq!(running.wait(LIMIT), Some(1), "{}", running.stderr());
    assert_is_an_error(&running.stderr());
    assert!(running.stderr().contains(path.to_str().unwrap()), "{}", running.stderr());
    assert!(running.stderr().contains(what), "{}", running.stderr());
    let after = fs::symlink_metadata(path).unwrap();
    assert_eq!((after.dev(), after.ino()), (before.dev(), before.ino()));
}

#[test]
fn a_unix_socket_that_somebody_listens_on_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("listener");
    let listener = UnixListener::bind(&path).unwrap();
    is_left_alone(&path);
    listener.set_nonblocking(true).unwrap();
    while listener.accept().is_ok() {}
    listener.set_nonblocking(false).unwrap();
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(b"still here").unwrap();
    drop(client);
    let mut got = String::new();
    listener.accept().unwrap().0.read_to_string(&mut got).unwrap();
    assert_eq!(got, "still here");
}

#[test]
fn a_unix_socket_whose_listener_is_busy_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("busy");
    let address = SockAddr::unix(&path).unwrap();
    let socket = || Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    let listener = socket();
    listener.bind(&address).unwrap();
    listener.listen(0).unwrap();
    let mut waiting = Vec::new();
    let full = loop {
        let client = socket();
        client.set_nonblocking(true).unwrap();
        match client.connect(&address) {
            Ok(()) => waiting.push(client),
            Err(why) => break why.kind(),
        }
    };
    assert_eq!(full, ErrorKind::WouldBlock);
    is_left_alone(&path);
}

#[test]
fn a_unix_datagram_socket_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("datagrams");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    is_left_alone(&path);
    UnixDatagram::unbound().unwrap().send_to(b"still here", &path).unwrap();
    let mut got = [0; 64];
    assert_eq!(socket.recv(&mut got).unwrap(), 10);
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, "precious").unwrap();
    is_left_alone(&path);
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(dir.path().join("nothing"), &link).unwrap();
    is_left_alone(&link);
}

#[test]
fn a_unix_socket_in_a_folder_that_is_not_there_has_a_hint_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let mut running = forward_at(&dir.path().join("none/socket"));
    assert_eq!(running.wait(LIMIT), Some(1), "{}", running.stderr());
    assert!(running.stderr().contains("hint: the folder is not there"), "{}", running.stderr());
}

#[test]
fn a_unix_socket_that_was_left_behind_is_replaced_and_is_for_its_user_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stale");
    drop(UnixListener::bind(&path).unwrap());
    let running = forward_at(&path);
    listens(&running);
    drop(UnixStream::connect(&path).unwrap());
    assert_eq!(fs::symlink_metadata(&path).unwrap().mode() & 0o077, 0, "others may connect");
}

#[test]
fn a_unix_socket_of_a_newer_instance_is_not_taken_away() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tunnel");
    let mut older = forward_at(&path);
    listens(&older);
    fs::remove_file(&path).unwrap();
    let mut newer = forward_at(&path);
    listens(&newer);
    older.signal(SIGTERM);
    assert_eq!(older.wait(LIMIT), Some(0));
    drop(UnixStream::connect(&path).unwrap());
    newer.signal(SIGTERM);
    assert_eq!(newer.wait(LIMIT), Some(0));
    assert!(!path.exists(), "the socket is left behind");
}
