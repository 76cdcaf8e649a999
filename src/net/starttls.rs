//! Drives an upgrade over a stream.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::starttls::{Step, Upgrade, UpgradeError};

/// Why TLS cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum StarttlsError {
    /// The server did not go along.
    #[error(transparent)]
    Upgrade(#[from] UpgradeError),
    /// The connection broke.
    #[error(transparent)]
    Broken(#[from] io::Error),
}

/// Talks until the TLS handshake can begin.
///
/// # Errors
/// [`StarttlsError`]; the deadline is the caller's.
pub async fn upgrade<S>(upgrade: &mut Upgrade, stream: &mut S) -> Result<(), StarttlsError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut buffer = Vec::with_capacity(4096);
    loop {
        match upgrade.step()? {
            Step::Transmit(bytes) => {
                stream.write_all(&bytes).await?;
                stream.flush().await?;
            }
            Step::Receive => {
                buffer.clear();
                match stream.read_buf(&mut buffer).await? {
                    0 => upgrade.receive_eof(),
                    _ => upgrade.receive(&buffer),
                }
            }
            Step::Upgraded => return Ok(()),
        }
    }
}
