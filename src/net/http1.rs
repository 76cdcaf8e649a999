//! Drives the handshake over a socket: a loop too small to hide a bug.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::proto::{Handshake, HandshakeError, Step};

/// One read: a head with its early bytes fits nearly always.
const READ: usize = 16 * 1024;

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

/// Sends and reads until the handshake wants something that is not sending or reading.
///
/// # Errors
/// [`DriveError`]; the deadline is the caller's.
pub async fn drive(
    handshake: &mut Handshake,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
) -> Result<Step, DriveError> {
    let mut buffer = Vec::with_capacity(READ);
    let mut broken = None;
    loop {
        let step = handshake.step().map_err(|error| match (error, broken.take()) {
            (HandshakeError::Closed | HandshakeError::Truncated, Some(broken)) => DriveError::Broken(broken),
            (error, _) => DriveError::Handshake(error),
        })?;
        match step {
            // An answer may have come before the connection broke: reading tells (Q20).
            Step::Transmit(request) => broken = stream.write_all(&request).await.err(),
            Step::Receive => {
                buffer.clear();
                match stream.read_buf(&mut buffer).await {
                    Ok(0) => handshake.receive_eof(),
                    Ok(_) => handshake.receive(&buffer),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::RequestFields;

    #[tokio::test]
    async fn a_short_write_and_a_split_answer_make_a_tunnel() {
        let (mut ours, mut proxys) = tokio::io::duplex(5);
        let mut handshake =
            Handshake::new("host:22".parse().expect("a target"), RequestFields::default(), None);
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
