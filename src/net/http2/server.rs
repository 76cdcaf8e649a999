//! The server's side of a connection: the tunnels that are asked for on it, and its end.
//!
//! Knows what a CONNECT request is in HTTP/2 (RFC 9113 §8.5), and bounds what a client can make us
//! keep or do by frames. Refuses to know who may ask for what.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream};
use http::header::{HeaderName, HeaderValue, PROXY_AUTHORIZATION};
use http::{Method, Response, StatusCode};

use super::client::io_error;
use super::wire::{Remains, Wire};
use super::{
    CONNECTION_WINDOW, Connection, FRAMES, Lease, MAX_RESET, MAX_STREAMS, RESET_MEMORY, SEND_BUFFER,
    STREAM_WINDOW, Tunnelled,
};
use crate::net::stream::Stream;
use crate::proto::Status;
use crate::proto::accept::{self, AcceptError, ConnectRequest};
use crate::proto::head;
use crate::proto::limits::MAX_REQUEST_HEAD;
use crate::proto::request;

/// Malformed requests before the connection ends.
const MAX_MALFORMED: usize = 100;

/// A client that asks for tunnels.
pub struct Server {
    running: h2::server::Connection<Wire, Bytes>,
    streams: Connection,
    leaving: bool,
}

/// A request, and the stream that it came on.
#[derive(Debug)]
pub struct Asking {
    request: http::Request<RecvStream>,
    respond: SendResponse<Bytes>,
    lease: Lease,
}

impl Server {
    /// Begins with the client's preface, which is the next that comes.
    ///
    /// # Errors
    /// It does not come.
    pub async fn begin(client: Stream) -> io::Result<Self> {
        // Streams that are reset as fast as they are begun (CVE-2023-44487) cost the client its
        // connection: h2 allows for 20 that ended before they were accepted. Nor does it keep more
        // than a PING or SETTINGS to be answered: it stops reading.
        let streams = Connection::default();
        let running = Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .data_frame_budget(FRAMES)
            .max_send_buffer_size(SEND_BUFFER)
            .max_concurrent_streams(MAX_STREAMS as u32)
            .max_header_list_size(MAX_REQUEST_HEAD as u32)
            .max_concurrent_reset_streams(MAX_RESET)
            .reset_stream_duration(RESET_MEMORY)
            .max_local_error_reset_streams(Some(MAX_MALFORMED))
            .handshake(Wire::new(client, streams.clone(), Remains::default()))
            .await
            .map_err(io_error)?;
        Ok(Self { running, streams, leaving: false })
    }

    /// Carries what all streams send and receive, up to the next request. `None`: the connection
    /// has ended, or there was no tunnel for so long.
    ///
    /// It may be dropped and called again.
    pub async fn accept(&mut self, idle: Duration) -> Option<Asking> {
        loop {
            let is_idle = self.streams.streams() == 0;
            tokio::select! {
                accepted = self.running.accept() => match accepted? {
                    Ok((request, respond)) => {
                        if let Some(asking) = self.admit(request, respond) {
                            return Some(asking);
                        }
                    }
                    Err(error) => {
                        tracing::debug!("the client's connection ends: {error}");
                        return None;
                    }
                },
                () = tokio::time::sleep(idle), if is_idle => {
                    if self.leaving {
                        return None;
                    }
                    self.say_goodbye();
                }
            }
        }
    }

    /// No more requests (RFC 9113 §6.8); those that are under way are still to be accepted.
    pub fn say_goodbye(&mut self) {
        self.leaving = true;
        self.running.graceful_shutdown();
    }

    /// RFC 9113 §8.1.1: what is malformed is a stream error. h2 has seen to the rest: no :scheme
    /// and no :path (§8.5), and nothing of a connection (§8.2.2).
    fn admit(&self, request: http::Request<RecvStream>, mut respond: SendResponse<Bytes>) -> Option<Asking> {
        log(&request);
        let is_connect = request.method() == Method::CONNECT;
        let extended = request.extensions().get::<h2::ext::Protocol>().is_some();
        if is_connect && (extended || request.uri().authority().is_none()) {
            respond.send_reset(Reason::PROTOCOL_ERROR);
            return None;
        }
        // A stream that the client has reset may be one of ours a little longer.
        let Some(lease) = self.streams.lease(MAX_STREAMS) else {
            respond.send_reset(Reason::REFUSED_STREAM);
            return None;
        };
        Some(Asking { request, respond, lease })
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("streams", &self.streams).finish_non_exhaustive()
    }
}

impl Asking {
    /// What it asks for.
    ///
    /// # Errors
    /// It is no CONNECT, or none that can be served.
    pub fn request(&self) -> Result<ConnectRequest, AcceptError> {
        if self.request.method() != Method::CONNECT {
            return Err(AcceptError::Method);
        }
        let authority = self.request.uri().authority();
        let target = authority.and_then(|text| text.as_str().parse().ok()).ok_or(AcceptError::Target)?;
        let authorizations = self.request.headers().get_all(PROXY_AUTHORIZATION);
        let credentials = accept::credentials(authorizations.iter().map(HeaderValue::as_bytes))?;
        Ok(ConnectRequest { target, credentials, early: Bytes::new() })
    }

    /// Opens the tunnel.
    ///
    /// # Errors
    /// The client has gone.
    pub fn grant(mut self) -> io::Result<Stream> {
        head::log_sent("HTTP/2 200");
        let sending = self.respond.send_response(Response::new(()), false).map_err(io_error)?;
        Ok(Stream::Channel(Box::new(Tunnelled::new(sending, self.request.into_body(), self.lease))))
    }

    /// Answers with no tunnel. A client that sends all the same is told to stop (RFC 9113 §8.1).
    pub fn refuse(mut self, status: Status, fields: &[(&str, String)]) {
        let lines: String =
            fields.iter().map(|(name, value)| format!("\n{}: {value}", name.to_ascii_lowercase())).collect();
        head::log_sent(&format!("HTTP/2 {status}{lines}"));
        let mut response = Response::new(());
        if let Ok(code) = StatusCode::from_u16(status.code()) {
            *response.status_mut() = code;
        }
        for (name, value) in fields {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(*name), HeaderValue::try_from(value)) {
                response.headers_mut().append(name, value);
            }
        }
        // A client that has gone needs none.
        let _gone = self.respond.send_response(response, true);
    }

    /// Waits until the client has no use for an answer any more.
    pub async fn gone(&mut self) -> io::Error {
        match poll_fn(|cx| self.respond.poll_reset(cx)).await {
            Ok(reason) => io::Error::new(io::ErrorKind::ConnectionReset, super::stream::reset(reason)),
            Err(error) => io_error(error),
        }
    }
}

/// The lines of a request, as those of HTTP/1.1 are shown.
fn log(request: &http::Request<RecvStream>) {
    if !request::is_shown() {
        return;
    }
    let mut lines = format!("{} {} HTTP/2", request.method(), request.uri()).into_bytes();
    for (name, value) in request.headers() {
        lines.extend([b"\n", name.as_str().as_bytes(), b": ", value.as_bytes()].concat());
    }
    request::log_received(&lines);
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixStream;

    const IDLE: Duration = Duration::from_secs(60);
    const GOAWAY: u8 = 7;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).expect("a short one");
        [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
    }

    /// A server, and a client that has sent its preface.
    async fn served() -> (Server, UnixStream) {
        let (mut client, server) = UnixStream::pair().expect("a pair");
        client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("sent");
        client.write_all(&frame(4, 0, 0, b"")).await.expect("sent");
        (Server::begin(Stream::Unix(server)).await.expect("a preface"), client)
    }

    /// The payload of the GOAWAY that is the last frame of all.
    async fn goaway(mut client: UnixStream) -> Vec<u8> {
        let mut last = Vec::new();
        loop {
            let mut head = [0; 9];
            if client.read_exact(&mut head).await.is_err() {
                return last;
            }
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            client.read_exact(&mut payload).await.expect("a whole frame");
            if head[3] == GOAWAY {
                last = payload;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_tunnel_is_given_up_though_the_client_says_nothing() {
        let (mut server, client) = served().await;
        let began = tokio::time::Instant::now();
        assert!(server.accept(IDLE).await.is_none());
        assert_eq!(began.elapsed().as_secs(), 2 * IDLE.as_secs(), "once more as long for its answer");
        drop(server);
        assert_eq!(goaway(client).await[4..8], [0; 4], "NO_ERROR");
    }

    #[tokio::test]
    async fn what_is_not_read_is_bounded_by_frames_too_and_not_by_bytes_alone() {
        let (mut server, mut client) = served().await;
        // RFC 7541 §6.2.2: literals, without Huffman.
        let block = b"\0\x07:method\x07CONNECT\0\x0a:authority\x07host:22";
        client.write_all(&frame(1, 4, 1, block)).await.expect("sent");
        let _asking = server.accept(IDLE).await.expect("a request");
        let (mut reading, mut writing) = client.into_split();
        let flood = tokio::spawn(async move {
            let bytes = frame(0, 0, 1, b"x").repeat(1000);
            let mut sent = 0;
            while sent < STREAM_WINDOW && writing.write_all(&bytes).await.is_ok() {
                sent += 1000;
            }
            sent
        });
        let answers = tokio::spawn(async move { reading.read_to_end(&mut Vec::new()).await });
        assert!(server.accept(IDLE).await.is_none());
        drop(server);
        let sent = flood.await.expect("a count");
        assert!((FRAMES / 256..2 * FRAMES / 256).contains(&(sent as usize)), "{sent} frames were kept");
        answers.await.expect("no panic").ok();
    }
}
