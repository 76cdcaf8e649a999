//! Clients that ask by HTTP CONNECT, in TLS or without: the door of `serve`.
//!
//! Drives `proto::Accept`, and answers; what is spoken is recognised by its first bytes: HTTP/2 has
//! a room of its own, and what is no HTTP is refused at once. Whom to let in is the [`Gate`]'s to
//! say.

use std::io;
use std::time::Duration;

#[cfg(feature = "http2")]
use bytes::Bytes;
use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use super::gate::{Denied, Gate};
#[cfg(feature = "http2")]
use super::http2::Callers;
use super::{Asked, Caller, Heard};
use crate::net::acceptor::Acceptor;
use crate::net::stream::Stream;
use crate::proto::accept::respond;
use crate::proto::{Accept, ConnectRequest, Opening, Status, socks};

/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a client may take for TLS's handshake, from the accept on.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How much of what a denied client still sends is read away, so that the answer is not lost to a
/// reset (RFC 9112 §9.6).
const MAX_DRAINED: usize = 256 * 1024;

/// How clients come in.
#[derive(Debug)]
pub struct Door {
    /// Who may.
    pub gate: Gate,
    /// They speak TLS first.
    pub tls: Option<Acceptor>,
}

impl Door {
    pub(super) async fn receive(&self, client: Stream) -> Result<Heard, Denied> {
        let mut client = match &self.tls {
            Some(tls) => self.secure(tls, client).await?,
            None => client,
        };
        let slow = || Denied::Slow { what: "request", limit: PATIENCE };
        let until = Instant::now() + PATIENCE;
        let opened = tokio::time::timeout_at(until, read(&mut client)).await.unwrap_or_else(|_| Err(slow()));
        let judged = match opened {
            Ok(Opened::Request(request)) => self.gate.judge(&request).map(|()| request),
            #[cfg(feature = "http2")]
            Ok(Opened::Http2(preface)) => {
                let begun = Callers::begin(client.preceded_by(preface));
                let begun = tokio::time::timeout_at(until, begun).await.map_err(|_| slow())?;
                return begun.map(Heard::Callers).map_err(Denied::Broken);
            }
            Err(denied) => Err(denied),
        };
        match judged {
            Ok(ConnectRequest { target, early, .. }) => {
                Ok(Heard::Asked(Asked { target, early, caller: Caller::Http1(client) }))
            }
            Err(denied) => Err(self.turn_away(client, denied).await),
        }
    }

    async fn secure(&self, tls: &Acceptor, client: Stream) -> Result<Stream, Denied> {
        let slow = || Denied::Slow { what: "TLS handshake", limit: HANDSHAKE };
        let until = Instant::now() + HANDSHAKE;
        let first = tokio::time::timeout_at(until, client.peek()).await.map_err(|_| slow())?;
        match first.map_err(Denied::Broken)?.and_then(|first| Opening::of(&[first])) {
            Some(Opening::Tls) => {}
            Some(socks @ (Opening::Socks4 | Opening::Socks5)) => {
                return Err(self.turn_away(client, Denied::Foreign(socks)).await);
            }
            // HTTP/2 needs more than a byte to be told from HTTP/1, and gets the same answer.
            Some(Opening::Http1 | Opening::Http2) | None => {
                return Err(self.turn_away(client, Denied::Foreign(Opening::Http1)).await);
            }
        }
        match tokio::time::timeout_at(until, tls.accept(client)).await {
            Ok(Ok(secured)) => Ok(Stream::Channel(Box::new(secured))),
            Ok(Err(error)) => Err(Denied::Tls(error)),
            Err(_) => Err(slow()),
        }
    }

    /// Answers whom it denies.
    async fn turn_away(&self, mut client: Stream, denied: Denied) -> Denied {
        match (&denied, denied.status()) {
            (_, Some(status)) => deny(&mut client, status, &self.gate.fields(&denied), words(&denied)).await,
            (Denied::Foreign(Opening::Socks4), None) => end(&mut client, &socks::REJECTED).await,
            (Denied::Foreign(Opening::Socks5), None) => end(&mut client, &socks::NO_METHODS).await,
            (_, None) => {}
        }
        denied
    }
}

pub(super) async fn deny(client: &mut Stream, status: Status, fields: &[(&str, String)], content: &str) {
    let reason = match status.code() {
        400 => "Bad Request",
        403 => "Forbidden",
        405 => "Method Not Allowed",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        431 => "Request Header Fields Too Large",
        502 => "Bad Gateway",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    };
    end(client, &respond(status, reason, fields, content)).await;
}

/// What a client is told beside the status, where its address is wrong and not its request.
fn words(denied: &Denied) -> &'static str {
    match denied {
        Denied::Foreign(Opening::Tls) => "This port speaks plain HTTP, no TLS: the proxy is http://\n",
        // nginx's words, which programs know.
        Denied::Foreign(_) => "The plain HTTP request was sent to HTTPS port: the proxy is https://\n",
        Denied::Request(_)
        | Denied::Tls(_)
        | Denied::Unauthenticated
        | Denied::Stale
        | Denied::Forbidden(_)
        | Denied::Slow { .. }
        | Denied::Broken(_) => "",
    }
}

/// What a client begins with.
enum Opened {
    Request(ConnectRequest),
    /// The preface, and what came behind it.
    #[cfg(feature = "http2")]
    Http2(Bytes),
}

/// HTTP/2 is known by its preface, in TLS too: what was agreed upon by ALPN is what a client speaks.
async fn read(client: &mut Stream) -> Result<Opened, Denied> {
    let mut accept = Accept::default();
    let mut buffer = BytesMut::with_capacity(4096);
    let mut opened = false;
    loop {
        if client.read_buf(&mut buffer).await.map_err(Denied::Broken)? == 0 {
            return Err(accept.receive_eof().into());
        }
        match Opening::of(&buffer) {
            _ if opened => {}
            None => continue,
            Some(Opening::Http1) => opened = true,
            #[cfg(feature = "http2")]
            Some(Opening::Http2) => return Ok(Opened::Http2(buffer.freeze())),
            Some(foreign) => return Err(Denied::Foreign(foreign)),
        }
        if let Some(request) = accept.receive(&buffer)? {
            return Ok(Opened::Request(request));
        }
        buffer.clear();
    }
}

pub(super) async fn grant(client: &mut Stream) -> io::Result<()> {
    client.write_all(&respond(Status::new(200), "Connection established", &[], "")).await?;
    client.flush().await
}

/// Says the last word.
async fn end(client: &mut Stream, word: &[u8]) {
    if client.write_all(word).await.is_err() || client.shutdown().await.is_err() {
        return;
    }
    let mut buffer = Vec::with_capacity(4096);
    let drain = async {
        let mut drained = 0;
        while drained < MAX_DRAINED {
            buffer.clear();
            match client.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(read) => drained += read,
            }
        }
    };
    let _slow = tokio::time::timeout(Duration::from_secs(2), drain).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::trust::Identity;

    async fn client_of(door: &Door, said: &[u8]) -> Denied {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let mut client = tokio::net::TcpStream::connect(address).await.expect("connected");
        client.write_all(said).await.expect("sent");
        let (accepted, _) = listener.accept().await.expect("accepted");
        let denied = door.receive(Stream::Tcp(accepted)).await.expect_err("nothing was asked for");
        drop(client);
        denied
    }

    fn tls() -> Acceptor {
        let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let der = rustls::pki_types::PrivatePkcs8KeyDer::from(key.signing_key.serialize_der());
        Acceptor::new(Identity { chain: vec![key.cert.into()], key: der.into() }).expect("a key that fits")
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_that_does_not_come_or_does_not_go_on_is_given_up() {
        let door = Door { gate: Gate::new(Vec::new(), [0; 32], Vec::new(), Vec::new()), tls: Some(tls()) };
        for said in [&b""[..], b"\x16", b"\x16\x03\x01\x02\0\x01\0"] {
            let denied = client_of(&door, said).await;
            assert_eq!(denied.to_string(), "no TLS handshake within 10s", "{}", said.escape_ascii());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_does_not_go_on_is_given_up() {
        let door = Door { gate: Gate::new(Vec::new(), [0; 32], Vec::new(), Vec::new()), tls: None };
        for said in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n", b"CONNECT host:22 HT"] {
            assert_eq!(client_of(&door, said).await.to_string(), "no request within 30s");
        }
    }
}
