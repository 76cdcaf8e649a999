//! Drives SOCKS over a stream: the same small loop as for HTTP/1.1.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::stream::Stream;
use crate::proto::socks::{Client, SocksError, Step};

/// Why a conversation failed.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The proxy said no, spoke nonsense, or closed.
    #[error(transparent)]
    Socks(#[from] SocksError),
    /// The connection broke.
    #[error(transparent)]
    Broken(io::Error),
}

/// Sends and reads until the tunnel stands (true), or a name and password are wanted (false).
///
/// # Errors
/// [`DriveError`]; the deadline is the caller's.
pub async fn drive(client: &mut Client, stream: &mut Stream) -> Result<bool, DriveError> {
    loop {
        match client.step()? {
            Step::Transmit(bytes) => {
                stream.write_all(&bytes).await.map_err(DriveError::Broken)?;
                stream.flush().await.map_err(DriveError::Broken)?;
            }
            Step::Receive(most) => {
                let mut answer = vec![0; most];
                match stream.read(&mut answer).await.map_err(DriveError::Broken)? {
                    0 => client.receive_eof(),
                    read => drop(client.receive(&answer[..read])),
                }
            }
            Step::Authenticate => return Ok(false),
            Step::Open => return Ok(true),
        }
    }
}
