//! `connect` on every kind of stdin and stdout that a parent may hand it, and what it must leave as it was.

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read, Seek, Write, pipe};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::sync::mpsc;

use rustix::fs::{OFlags, fcntl_getfl};

use crate::support::proxy::ScriptedProxy;
use crate::support::{LIMIT, Running, assert_same, connect_via, in_time, noise, wimble_through};

const SIZE: usize = 1_500_000;

/// A target that takes `SIZE` bytes of noise while it sends `SIZE` bytes of other noise.
fn noisy() -> ScriptedProxy {
    ScriptedProxy::start(|conn| {
        conn.open("host:22");
        assert_same(&conn.exchange(noise(SIZE, 1)), &noise(SIZE, 2));
    })
}

fn write_noise(mut to: impl Write + Send + 'static) {
    std::thread::spawn(move || to.write_all(&noise(SIZE, 2)));
}

fn assert_reads_noise(mut from: impl Read + Send + 'static) {
    let got = in_time(LIMIT, move || {
        let mut got = Vec::new();
        from.read_to_end(&mut got).map(|_| got)
    });
    assert_same(&got.unwrap(), &noise(SIZE, 1));
}

/// A file with the noise that goes to the target, at its start.
fn noise_file() -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&noise(SIZE, 2)).unwrap();
    file.rewind().unwrap();
    file
}

/// Runs `connect` on these two, noise both ways, and waits for its good end.
#[track_caller]
fn carries(stdin: impl Into<Stdio>, stdout: impl Into<Stdio>, meanwhile: impl FnOnce()) {
    let proxy = noisy();
    let mut child = {
        // The command holds the parent's handles: it has to go before anybody waits for an end.
        let mut cmd = connect_via(&proxy, "host:22");
        Running::start(cmd.stdin(stdin).stdout(stdout))
    };
    meanwhile();
    assert_eq!(child.wait(LIMIT), Some(0), "{}", child.stderr());
    proxy.done();
}

#[test]
fn pipes() {
    let (stdin, to) = pipe().unwrap();
    let (from, stdout) = pipe().unwrap();
    carries(stdin, stdout, || {
        write_noise(to);
        assert_reads_noise(from);
    });
}

#[test]
fn two_socketpairs() {
    let (stdin, to) = UnixStream::pair().unwrap();
    let (from, stdout) = UnixStream::pair().unwrap();
    carries(OwnedFd::from(stdin), OwnedFd::from(stdout), || {
        write_noise(to);
        assert_reads_noise(from);
    });
}

#[test]
fn one_socketpair_for_both() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let again = theirs.try_clone().unwrap();
    let mut to = ours.try_clone().unwrap();
    carries(OwnedFd::from(theirs), OwnedFd::from(again), || {
        std::thread::spawn(move || {
            to.write_all(&noise(SIZE, 2)).unwrap();
            to.shutdown(std::net::Shutdown::Write).unwrap();
        });
        assert_reads_noise(ours);
    });
}

#[test]
fn stdin_is_a_file() {
    let (from, stdout) = pipe().unwrap();
    carries(noise_file(), stdout, || assert_reads_noise(from));
}

#[test]
fn stdout_is_a_file() {
    let stdout = tempfile::tempfile().unwrap();
    let mut file = stdout.try_clone().unwrap();
    carries(noise_file(), stdout, || {});
    file.rewind().unwrap();
    assert_reads_noise(file);
}

#[test]
fn stdout_is_a_file_open_for_appending() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    std::fs::write(&path, "before\n").unwrap();
    let (stdin, to) = pipe().unwrap();
    carries(stdin, File::options().append(true).open(&path).unwrap(), || write_noise(to));
    let mut file = File::open(&path).unwrap();
    let mut before = [0; 7];
    file.read_exact(&mut before).unwrap();
    assert_eq!(&before, b"before\n");
    assert_reads_noise(file);
}

#[test]
fn both_are_dev_null() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.open("host:22");
        conn.send(noise(SIZE, 1));
        conn.finish_writing();
        assert_eq!(conn.read_to_end(), b"");
    });
    let mut child = Running::start(connect_via(&proxy, "host:22").stdin(Stdio::null()).stdout(Stdio::null()));
    assert_eq!(child.wait(LIMIT), Some(0), "{}", child.stderr());
    proxy.done();
}

#[test]
fn stdin_is_closed_altogether() {
    let proxy = ScriptedProxy::start(|conn| {
        conn.expect_connect("host:22");
        // Descriptor 0 must not have become the socket to the proxy or anything else that is then read.
        conn.send("HTTP/1.1 200 OK\r\n\r\nbanner");
        conn.finish_writing();
        assert_eq!(conn.read_to_any_end(), b"");
    });
    let inner = connect_via(&proxy, "host:22");
    let mut cmd = wimble_through("sh", &["-c", "exec \"$0\" \"$@\" <&-"], &inner);
    let mut child = Running::start(cmd.stdout(Stdio::piped()));
    let mut stdout = child.take_stdout();
    let mut got = String::new();
    stdout.read_to_string(&mut got).unwrap();
    assert_eq!(got, "banner", "{}", child.stderr());
    assert_eq!(child.wait(LIMIT), Some(0), "{}", child.stderr());
    proxy.done();
}

fn is_blocking(fd: impl AsFd) -> bool {
    !fcntl_getfl(fd).unwrap().contains(OFlags::NONBLOCK)
}

/// An open tunnel, its stdin, stdout and stderr observed through handles on the same descriptions.
fn stays_blocking(stdin: OwnedFd, to: impl Write, stdout: OwnedFd, from: impl Read) {
    let (release, released) = mpsc::channel::<()>();
    let proxy = ScriptedProxy::start(move |conn| {
        conn.open("host:22");
        conn.send("up");
        assert_eq!(conn.read_exact(4), b"ping");
        conn.send("pong");
        released.recv_timeout(LIMIT).unwrap();
        conn.finish_writing();
        conn.read_to_any_end();
    });
    let (mut to, mut from) = (to, from);
    let watched = [stdin.try_clone().unwrap(), stdout.try_clone().unwrap()];
    let all_blocking = || watched.iter().all(is_blocking);
    let mut child = {
        let mut cmd = connect_via(&proxy, "host:22");
        Running::start(cmd.stdin(stdin).stdout(stdout))
    };
    let mut word = [0; 2];
    from.read_exact(&mut word).unwrap();
    assert!(all_blocking(), "while the tunnel is up");
    to.write_all(b"ping").unwrap();
    let mut word = [0; 4];
    from.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"pong");
    assert!(all_blocking(), "while bytes are carried");
    release.send(()).unwrap();
    drop(to);
    assert_eq!(child.wait(LIMIT), Some(0), "{}", child.stderr());
    assert!(all_blocking(), "behind the end");
    proxy.done();
}

#[test]
fn inherited_pipes_are_never_set_non_blocking() {
    let (stdin, to): (PipeReader, PipeWriter) = pipe().unwrap();
    let (from, stdout) = pipe().unwrap();
    stays_blocking(stdin.into(), to, stdout.into(), from);
}

#[test]
fn inherited_sockets_are_never_set_non_blocking() {
    let (stdin, to) = UnixStream::pair().unwrap();
    let (from, stdout) = UnixStream::pair().unwrap();
    from.set_read_timeout(Some(LIMIT)).unwrap();
    stays_blocking(stdin.into(), to, stdout.into(), from);
}

#[test]
fn an_inherited_non_blocking_pipe_works_too() {
    let (stdin, to) = pipe().unwrap();
    let (from, stdout) = pipe().unwrap();
    rustix::fs::fcntl_setfl(&stdin, OFlags::NONBLOCK).unwrap();
    rustix::fs::fcntl_setfl(&stdout, OFlags::WRONLY | OFlags::NONBLOCK).unwrap();
    carries(stdin, stdout, || {
        write_noise(to);
        assert_reads_noise(from);
    });
}

#[test]
fn one_socketpair_whose_peer_has_said_all_and_left() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let again = theirs.try_clone().unwrap();
    let proxy = ScriptedProxy::start(|conn| {
        conn.open("host:22");
        assert_same(&conn.read_to_end(), &noise(SIZE, 2));
    });
    let mut child = {
        let mut cmd = connect_via(&proxy, "host:22");
        Running::start(cmd.stdin(OwnedFd::from(theirs)).stdout(OwnedFd::from(again)))
    };
    let mut to = ours;
    in_time(LIMIT, move || to.write_all(&noise(SIZE, 2))).unwrap();
    assert_eq!(child.wait(LIMIT), Some(0), "{}", child.stderr());
    proxy.done();
}
