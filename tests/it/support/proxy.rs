//! A proxy that does what its script says, one script for each connection.
//!
//! `done` (or the drop) fails the test when a script panicked, when one was never reached, and when the program
//! came once more than there were scripts.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::SendFlags;
use rustix::net::sockopt::{Timeout, set_socket_linger, set_socket_recv_buffer_size, set_socket_timeout};

use super::LIMIT;

/// What happens on one connection.
pub(crate) type Turn = Box<dyn FnOnce(&mut Conn) + Send>;

/// Boxes a script for `ScriptedProxy::in_turn`.
pub(crate) fn turn(script: impl FnOnce(&mut Conn) + Send + 'static) -> Turn {
    Box::new(script)
}

/// The answer that opens a tunnel.
pub(crate) const OK: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// The answer that asks for Basic credentials and keeps the connection.
pub(crate) const BASIC_407: &[u8] = b"HTTP/1.1 407 Proxy Authentication Required\r\n\
    Proxy-Authenticate: Basic realm=\"cave\"\r\nContent-Length: 0\r\n\r\n";

/// A listener on 127.0.0.1 driven by scripts.
pub(crate) struct ScriptedProxy {
    addr: SocketAddr,
    listener: TcpListener,
    thread: Option<JoinHandle<()>>,
}

impl ScriptedProxy {
    /// One connection.
    pub(crate) fn start(script: impl FnOnce(&mut Conn) + Send + 'static) -> Self {
        Self::in_turn(vec![turn(script)])
    }

    /// Several connections, one after the other: the next is accepted when the script before it returned (and
    /// its connection was closed by that).
    pub(crate) fn in_turn(scripts: Vec<Turn>) -> Self {
        Self::on(bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))), scripts)
    }

    /// As `in_turn`, on a listener of the test's own.
    pub(crate) fn on(listener: TcpListener, scripts: Vec<Turn>) -> Self {
        let addr = listener.local_addr().unwrap();
        let own = listener.try_clone().unwrap();
        let thread = thread::spawn(move || {
            let wanted = scripts.len();
            for (n, script) in scripts.into_iter().enumerate() {
                script(&mut accept(&own, &format!("connection {} of {wanted}", n + 1)));
            }
        });
        Self { addr, listener, thread: Some(thread) }
    }

    /// A proxy to which nobody must come.
    pub(crate) fn untouched() -> Self {
        Self::in_turn(Vec::new())
    }

    pub(crate) fn port(&self) -> u16 {
        self.addr.port()
    }

    /// `http://127.0.0.1:PORT`
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// `http://USERINFO@127.0.0.1:PORT`
    pub(crate) fn url_with(&self, userinfo: &str) -> String {
        format!("http://{userinfo}@{}", self.addr)
    }

    /// Every script ran to its end, and nobody came besides. To be called when the program is gone.
    #[track_caller]
    pub(crate) fn done(mut self) {
        self.finish();
    }

    #[track_caller]
    fn finish(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        if let Err(panic) = thread.join() {
            let why = panic.downcast_ref::<String>().map(String::as_str);
            let why = why.or(panic.downcast_ref::<&str>().copied()).unwrap_or("?");
            panic!("the proxy's script failed: {why}");
        }
        self.listener.set_nonblocking(true).unwrap();
        match self.listener.accept() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            other => panic!("the program came once too often: {other:?}"),
        }
    }
}

impl Drop for ScriptedProxy {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.finish();
        }
    }
}

fn bind(addr: SocketAddr) -> TcpListener {
    TcpListener::bind(addr).unwrap()
}

fn accept(listener: &TcpListener, which: &str) -> Conn {
    // On Linux a receive timeout bounds accept(2) too.
    set_socket_timeout(listener, Timeout::Recv, Some(LIMIT)).unwrap();
    let (stream, _) = listener.accept().unwrap_or_else(|why| panic!("nobody came for {which}: {why}"));
    Conn::new(stream)
}

/// One connection of the program to the proxy (or of the test to the program), every wait bounded.
pub(crate) struct Conn {
    stream: Option<TcpStream>,
}

impl Conn {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: Some(stream) }
    }

    /// A client's connection to a port of 127.0.0.1.
    #[track_caller]
    pub(crate) fn to(port: u16) -> Self {
        Self::new(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap())
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        self.stream.as_ref().unwrap()
    }

    /// Reads a head, exactly to its blank line.
    #[track_caller]
    pub(crate) fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            match self.stream().read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                other => panic!("{other:?} in the middle of the head {:?}", String::from_utf8_lossy(&head)),
            }
        }
        String::from_utf8(head).unwrap()
    }

    /// Reads the CONNECT request for `target` and checks its request line; the head is the result.
    #[track_caller]
    pub(crate) fn expect_connect(&mut self, target: &str) -> String {
        let head = self.head();
        let line = head.split("\r\n").next().unwrap();
        assert_eq!(line, format!("CONNECT {target} HTTP/1.1"), "request line of {head:?}");
        head
    }

    /// Reads the CONNECT request for `target` and opens the tunnel.
    #[track_caller]
    pub(crate) fn open(&mut self, target: &str) -> String {
        let head = self.expect_connect(target);
        self.send(OK);
        head
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream().write_all(bytes.as_ref()).unwrap();
    }

    /// As `send`, for bytes that the peer may well refuse to take to the end.
    pub(crate) fn send_in_vain(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream().write_all(bytes.as_ref()).ok();
    }

    /// One segment for each byte, with a pause that lets the reader see each alone; the peer may leave meanwhile.
    pub(crate) fn send_bytewise(&mut self, bytes: impl AsRef<[u8]>) {
        for byte in bytes.as_ref() {
            self.send_in_vain([*byte]);
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// One segment for each part, with a pause that lets the reader see each alone.
    #[track_caller]
    pub(crate) fn send_parts(&mut self, parts: &[&str]) {
        for part in parts {
            self.send(part);
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// A byte of urgent data (RFC 9293 §3.8.5).
    #[track_caller]
    pub(crate) fn send_urgent(&mut self, byte: u8) {
        assert_eq!(rustix::net::send(self.stream(), &[byte], SendFlags::OOB), Ok(1));
    }

    /// Lets little lie here unread, whatever the peer would like to send.
    pub(crate) fn shrink_receive_buffer(&mut self) {
        set_socket_recv_buffer_size(self.stream(), 64 * 1024).unwrap();
    }

    /// The end of what this side sends (no matter if the peer has gone already).
    pub(crate) fn finish_writing(&mut self) {
        self.stream().shutdown(Shutdown::Write).ok();
    }

    /// Sends `bytes` and an end, and at the same time reads to the peer's end.
    #[track_caller]
    pub(crate) fn exchange(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        let mut writer = self.stream().try_clone().unwrap();
        let sent = thread::spawn(move || {
            writer.write_all(&bytes)?;
            writer.shutdown(Shutdown::Write)
        });
        let got = self.read_to_end();
        sent.join().unwrap().unwrap();
        got
    }

    /// The connection itself, kept open beyond the script.
    pub(crate) fn take(&mut self) -> Self {
        Self { stream: self.stream.take() }
    }

    /// Ends the connection with a RST.
    #[track_caller]
    pub(crate) fn reset(&mut self) {
        let stream = self.stream.take().unwrap();
        set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    }

    /// Closes the connection (a RST goes out if there is something unread).
    pub(crate) fn close(&mut self) {
        self.stream.take();
    }

    #[track_caller]
    pub(crate) fn read_exact(&mut self, n: usize) -> Vec<u8> {
        let mut bytes = vec![0; n];
        self.stream().read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Everything up to the peer's orderly end.
    #[track_caller]
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.stream().read_to_end(&mut bytes) {
            Ok(_) => bytes,
            Err(why) => panic!("{why} instead of an orderly end, behind {} bytes", bytes.len()),
        }
    }

    /// Everything up to the peer's end, orderly or not.
    #[track_caller]
    pub(crate) fn read_to_any_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.stream().read_to_end(&mut bytes) {
            Err(why) if why.kind() != ErrorKind::ConnectionReset => panic!("{why} instead of an end"),
            _ => bytes,
        }
    }

    /// The peer ends the connection with a RST.
    #[track_caller]
    pub(crate) fn expect_reset(&mut self) {
        let mut bytes = Vec::new();
        let end = self.stream().read_to_end(&mut bytes).map_err(|why| why.kind());
        assert_eq!(end, Err(ErrorKind::ConnectionReset), "behind {} bytes", bytes.len());
    }

    /// The peer ends the connection with a RST, soon; also where an end was read before, or where nothing is read.
    #[track_caller]
    pub(crate) fn expect_reset_unread(&mut self) {
        let mut fds = [PollFd::new(self.stream(), PollFlags::empty())];
        let soon = Timespec { tv_sec: 5, tv_nsec: 0 };
        poll(&mut fds, Some(&soon)).unwrap();
        assert!(fds[0].revents().contains(PollFlags::ERR), "no reset but {:?}", fds[0].revents());
    }

    /// Nothing more comes, not even an end, for `span`.
    #[track_caller]
    pub(crate) fn expect_silence(&mut self, span: Duration) {
        self.stream().set_read_timeout(Some(span)).unwrap();
        let got = self.stream().read(&mut [0; 64]).map_err(|why| why.kind());
        assert_eq!(got, Err(ErrorKind::WouldBlock), "there should be silence");
        self.stream().set_read_timeout(Some(LIMIT)).unwrap();
    }
}

/// The values of a field in a head, in order, whatever the case of its name.
pub(crate) fn fields<'h>(head: &'h str, name: &str) -> Vec<&'h str> {
    head.split("\r\n")
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .filter(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
        .collect()
}

/// The value of `Proxy-Authorization` for `NAME:PASSWORD`.
pub(crate) fn basic(name_and_password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(name_and_password))
}

/// What the head authorizes itself with.
pub(crate) fn authorization(head: &str) -> Vec<&str> {
    fields(head, "proxy-authorization")
}
