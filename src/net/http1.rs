//! Drives the handshake over a socket: a loop too small to hide a bug.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::stream::Stream;
use crate::proto::content::Excerpt;
use crate::proto::{Handshake, HandshakeError, Step};

/// One read: a head fits nearly always, and no more than a page of memory is touched for it.
const READ: usize = 4 * 1024;

/// How long content that nobody wants may stand still, before the request goes over another
/// connection (Q24).
const STALLED: Duration = Duration::from_secs(2);

/// Why a conversation failed.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The proxy spoke nonsense, or closed.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The connection broke.
    #[error(transparent)]
    Broken(io::Error),
}

/// A connection to a proxy.
pub trait Wire: AsyncRead + AsyncWrite + Unpin + Send {
    /// Reads some of a response to the end of `buffer`, or nothing at its end; where the
    /// connection lets one look first, nothing that stands behind the response.
    fn take(
        &mut self,
        handshake: &Handshake,
        buffer: &mut Vec<u8>,
    ) -> impl Future<Output = io::Result<usize>> + Send;
}

/// The target's first bytes stay in the socket: there splice(2) finds them, and a program that is
/// handed the socket (Q44).
impl Wire for TcpStream {
    async fn take(&mut self, handshake: &Handshake, buffer: &mut Vec<u8>) -> io::Result<usize> {
        buffer.resize(READ, 0);
        let seen = self.peek(buffer).await?;
        buffer.truncate(handshake.belonging(&buffer[..seen]));
        self.read_exact(buffer).await
    }
}

/// A channel lets nobody look at its bytes: what stands behind the response comes out as early.
impl Wire for Stream {
    async fn take(&mut self, handshake: &Handshake, buffer: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => Wire::take(socket, handshake, buffer).await,
            Self::Unix(_) | Self::Channel(_) => self.read_buf(buffer).await,
        }
    }
}

/// Sends and reads until the handshake wants something that is not sending or reading.
///
/// # Errors
/// [`DriveError`]; the deadline is the caller's.
pub async fn drive(handshake: &mut Handshake, stream: &mut impl Wire) -> Result<Step, DriveError> {
    let mut buffer = Vec::with_capacity(READ);
    let mut broken = None;
    loop {
        let step = handshake.step().map_err(|error| match (error, broken.take()) {
            (HandshakeError::Closed | HandshakeError::Truncated, Some(broken)) => DriveError::Broken(broken),
            (error, _) => DriveError::Handshake(error),
        })?;
        match step {
            // An answer may have come before the connection broke: reading tells (Q20).
            Step::Transmit(request) => {
                broken = match stream.write_all(&request).await {
                    Ok(()) => stream.flush().await.err(),
                    Err(error) => Some(error),
                };
            }
            Step::Receive => {
                buffer.clear();
                let discards = handshake.discards();
                let take = stream.take(handshake, &mut buffer);
                let taken = match discards {
                    true => tokio::time::timeout(STALLED, take).await.unwrap_or(Ok(0)),
                    false => take.await,
                };
                match taken {
                    Ok(0) => handshake.receive_eof(),
                    Ok(_) => handshake.receive(&buffer),
                    // In TLS, an end without close_notify: it cuts an answer off like any other.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => handshake.receive_eof(),
                    Err(error) => {
                        broken = Some(error);
                        handshake.receive_eof();
                    }
                }
            }
            Step::Authenticate { .. } | Step::Reconnect | Step::Open { .. } | Step::Refused(_) => {
                return Ok(step);
            }
        }
    }
}

/// Reads the beginning of a refusal's content: as much as comes in time.
pub async fn read_excerpt(
    mut excerpt: Excerpt,
    stream: &mut (impl AsyncRead + Unpin),
    patience: Duration,
) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(READ);
    let read = async {
        // What was read with the head may be all of it.
        while !excerpt.receive(&buffer) {
            buffer.clear();
            if !matches!(stream.read_buf(&mut buffer).await, Ok(1..)) {
                break;
            }
        }
    };
    // What has come by then is what there is to tell.
    let _late = tokio::time::timeout(patience, read).await;
    excerpt.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::RequestFields;

    /// What can't be looked at before it is read.
    impl Wire for tokio::io::DuplexStream {
        async fn take(&mut self, _: &Handshake, buffer: &mut Vec<u8>) -> io::Result<usize> {
            self.read_buf(buffer).await
        }
    }

    fn handshake() -> Handshake {
        Handshake::new("host:22".parse().expect("a target"), RequestFields::default(), None)
    }

    #[tokio::test]
    async fn q44_the_targets_first_bytes_stay_in_the_socket() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let mut ours = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connected");
        let (mut proxys, _) = listener.accept().await.expect("accepted");
        let mut request = Vec::new();
        let proxy = async {
            while !request.ends_with(b"\r\n\r\n") {
                proxys.read_buf(&mut request).await.expect("a request");
            }
            let answer = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\nSSH-2.0-x\r\n\r\n";
            proxys.write_all(answer).await.expect("sent");
        };
        let mut handshake = handshake();
        let (step, ()) = tokio::join!(drive(&mut handshake, &mut ours), proxy);
        let Ok(Step::Open { early, .. }) = step else { panic!("{step:?}") };
        assert_eq!(early, "");
        let mut banner = [0; 13];
        ours.read_exact(&mut banner).await.expect("the target's first bytes");
        assert_eq!(&banner, b"SSH-2.0-x\r\n\r\n");
    }

    #[tokio::test]
    async fn a_short_write_and_a_split_answer_make_a_tunnel() {
        let (mut ours, mut proxys) = tokio::io::duplex(5);
        let mut handshake = handshake();
        let proxy = async {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                proxys.read_buf(&mut request).await.expect("a request");
            }
            proxys.write_all(b"HTTP/1.1 200 OK\r\n\r\nSSH").await.expect("sent");
        };
        let (step, ()) = tokio::join!(drive(&mut handshake, &mut ours), proxy);
        let Ok(Step::Open { early, .. }) = step else { panic!("{step:?}") };
        let mut rest = vec![0; 3 - early.len()];
        ours.read_exact(&mut rest).await.expect("what was not read yet");
        assert_eq!([&early[..], &rest].concat(), b"SSH");
    }
}
