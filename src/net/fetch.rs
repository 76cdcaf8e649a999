//! One file from a web server, whole and in memory: a proxy auto-config script. hyper speaks.
//!
//! Follows no redirect, and asks no proxy: it is the file that names them. A head is bounded by
//! hyper, the content by whoever asks, the time too.

use std::fmt;
use std::io;

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode, body::Incoming};
use hyper_util::rt::TokioIo;

use super::dial;
use super::probe::drive;
use super::secured::NotSecured;
use super::stream::Stream;
use super::trust;
use crate::authority::Authority;

/// Where a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Whether TLS is spoken: `https://`.
    pub secure: bool,
    /// The server.
    pub server: Authority,
    /// The path, query included; it begins with a slash.
    pub path: String,
}

impl Address {
    /// The server as it stands in a URL and in Host: without the port that goes without saying.
    fn host(&self) -> String {
        match (self.secure, self.server.port()) {
            (true, 443) | (false, 80) => self.server.host().to_string(),
            _ => self.server.to_string(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.secure { "https" } else { "http" }, self.host(), self.path)
    }
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The server's name has no address.
    #[error("no address")]
    Resolve(#[source] io::Error),
    /// No address of the server could be connected to.
    #[error("no address answers")]
    Unreachable(dial::ConnectError),
    /// TLS with the server failed.
    #[error("no TLS")]
    Tls(#[source] io::Error),
    /// The path can't be asked for.
    #[error(transparent)]
    Request(#[from] hyper::http::Error),
    /// The server speaks no HTTP, or ended before the file did.
    #[error(transparent)]
    Conversation(#[from] hyper::Error),
    /// Another answer than 200.
    #[error("the answer is {status}")]
    Status {
        /// The status code.
        status: u16,
        /// Where it is instead (3xx); from the network, not escaped.
        location: Option<String>,
    },
    /// It is compressed, which was not asked for; from the network, not escaped.
    #[error("in the encoding {0}")]
    Encoding(String),
    /// It is larger than was allowed.
    #[error("larger than {0} bytes")]
    TooLarge(usize),
}

/// Fetches a file of at most `limit` bytes. The deadline is the caller's.
///
/// # Errors
/// [`FetchError`].
pub async fn fetch(
    address: &Address,
    dial: dial::Config,
    tls: &trust::Tls,
    limit: usize,
) -> Result<Bytes, FetchError> {
    let addresses = dial::resolve(&address.server, dial.family).await.map_err(FetchError::Resolve)?;
    if address.secure {
        tls.prepare();
    }
    let connected = dial::connect(&addresses, dial).await.map_err(FetchError::Unreachable)?;
    let mut stream = Stream::Tcp(connected.stream);
    if address.secure {
        let name = trust::server_name(address.server.host())
            .map_err(|error| FetchError::Tls(io::Error::other(error)))?;
        let secured = tls.secure(stream, name, &["http/1.1"], None).await;
        let secured = secured.map_err(|NotSecured { error, .. }| FetchError::Tls(error))?;
        stream = Stream::Channel(Box::new(secured));
    }
    let request = Request::get(address.path.as_str()).header("host", address.host());
    let request = request.header("accept", "application/x-ns-proxy-autoconfig, */*").body(String::new())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let file = async { content(sender.send_request(request).await?, limit).await };
    drive(connection, file).await
}

async fn content(response: Response<Incoming>, limit: usize) -> Result<Bytes, FetchError> {
    if response.status() != StatusCode::OK {
        let location = response.headers().get("location");
        let location = location.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        return Err(FetchError::Status { status: response.status().as_u16(), location });
    }
    // RFC 9110 §8.4: a list of what was done to it; identity is nothing.
    if let Some(encoding) = response.headers().get("content-encoding")
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return Err(FetchError::Encoding(String::from_utf8_lossy(encoding.as_bytes()).into_owned()));
    }
    match Limited::new(response.into_body(), limit).collect().await {
        Ok(content) => Ok(content.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(FetchError::TooLarge(limit)),
        Err(error) => Err(match error.downcast::<hyper::Error>() {
            Ok(error) => FetchError::Conversation(*error),
            // The body has no other errors.
            Err(_) => FetchError::TooLarge(limit),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// What is made of an answer, sent whole or in pieces of this size.
    async fn fetched(answer: &[u8], piece: usize) -> Result<Bytes, FetchError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let server: Authority = listener.local_addr().expect("bound").to_string().parse().expect("a server");
        let address = Address { secure: false, server: server.clone(), path: "/proxy.pac?a".into() };
        let serve = async {
            let (mut client, _) = listener.accept().await.expect("accepted");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                client.read_buf(&mut request).await.expect("a request");
            }
            for piece in answer.chunks(piece) {
                // A client that has had enough leaves.
                if client.write_all(piece).await.is_err() {
                    break;
                }
            }
            String::from_utf8(request).expect("text")
        };
        let tls = trust::Tls::default();
        let (got, request) = tokio::join!(fetch(&address, dial::Config::default(), &tls, 10), serve);
        let beginning = format!("GET /proxy.pac?a HTTP/1.1\r\nhost: {server}\r\n");
        assert!(request.starts_with(&beginning), "{request}");
        got
    }

    #[tokio::test]
    async fn a_file_comes_whole_however_its_length_is_told() {
        for piece in [1, 1000] {
            for (answer, content) in [
                (&b"HTTP/1.1 200 OK\r\n\r\nabc"[..], &b"abc"[..]),
                (b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc and more", b"abc"),
                (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
                (
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
                    b"abc",
                ),
                (b"HTTP/1.1 200 OK\r\nContent-Encoding: Identity\r\n\r\nabc", b"abc"),
                (b"HTTP/1.1 200 OK\r\n\r\n0123456789", b"0123456789"),
            ] {
                assert_eq!(fetched(answer, piece).await.expect("a file"), content, "{answer:?}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_file_is_told_apart() {
        for (answer, is_told) in [
            (&b""[..], (|e| matches!(e, FetchError::Conversation(_))) as fn(&FetchError) -> bool),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", |e| {
                matches!(e, FetchError::Conversation(_))
            }),
            (b"\x15\x03\x01\x00\x02\x02\x46", |e| matches!(e, FetchError::Conversation(_))),
            (b"HTTP/1.1 404 Not Found\r\n\r\n", |e| matches!(e, FetchError::Status { status: 404, .. })),
            (
                b"HTTP/1.1 302 Found\r\nLocation: http://x/\r\n\r\n",
                |e| matches!(e, FetchError::Status { status: 302, location: Some(to) } if to == "http://x/"),
            ),
            (
                b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b",
                |e| matches!(e, FetchError::Encoding(encoding) if encoding == "gzip"),
            ),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n0123456789a", |e| {
                matches!(e, FetchError::TooLarge(10))
            }),
            (b"HTTP/1.1 200 OK\r\n\r\n0123456789a", |e| matches!(e, FetchError::TooLarge(10))),
        ] {
            let error = fetched(answer, 1000).await.expect_err("no file");
            assert!(is_told(&error), "{answer:?}: {error:?}");
        }
    }
}
