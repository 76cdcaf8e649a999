//! Targets on loopback: servers that a tunnel can lead to.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use super::LIMIT;
use super::proxy::{Conn, OK};

/// A TCP server that handles any number of connections, each in a thread; it ends with the test process.
pub(crate) struct Origin {
    port: u16,
}

impl Origin {
    /// Sends back what it is sent, then ends its direction too.
    pub(crate) fn echo() -> Self {
        Self::serving(|stream| echo(&stream))
    }

    /// Speaks first, as sshd does, then echoes nothing and ends when the client does.
    pub(crate) fn greeting(words: &'static [u8]) -> Self {
        Self::serving(move |mut stream| {
            stream.write_all(words).ok();
            stream.read_to_end(&mut Vec::new()).ok();
        })
    }

    /// A proxy that opens every tunnel and echoes what comes through it: for many connections, where a script
    /// would say the same for each.
    pub(crate) fn echoing_proxy() -> Self {
        Self::serving(|stream| {
            let mut conn = Conn::new(stream);
            conn.head();
            conn.send(OK);
            echo(conn.stream());
        })
    }

    /// Gives each connection to `serve`.
    pub(crate) fn serving(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                stream.set_read_timeout(Some(LIMIT)).ok();
                let serve = Arc::clone(&serve);
                thread::spawn(move || serve(stream));
            }
        });
        Self { port }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// `http://127.0.0.1:PORT`, for one that is a proxy
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.target())
    }

    /// `127.0.0.1:PORT`
    pub(crate) fn target(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

fn echo(mut stream: &TcpStream) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..n]).is_err() {
            return;
        }
    }
    stream.shutdown(Shutdown::Write).ok();
}
