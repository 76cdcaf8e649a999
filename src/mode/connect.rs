//! `connect`: bridges standard input and output to the target (ssh's ProxyCommand).
//!
//! The tunnel is opened by a small runtime of this thread, which is gone before the first byte is
//! carried: the bridge needs no more than poll(2).

use std::io;

use crate::authority::Authority;
use crate::net::bridge::{BridgeError, Carried, bridge};
use crate::net::ending::Patience;
use crate::net::stdio::Stdio;
use crate::{route, tunnel};

/// What to bridge to, and how.
#[derive(Debug)]
pub struct Connect {
    /// The target.
    pub target: Authority,
    /// Which proxy to use.
    pub routes: route::Policy,
    /// How the tunnel is opened.
    pub config: tunnel::Config,
    /// How it ends.
    pub patience: Patience,
}

/// Why a bridge failed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The tunnel could not be opened.
    #[error(transparent)]
    Tunnel(#[from] tunnel::Error),
    /// It broke, or this side did.
    #[error(transparent)]
    Bridge(#[from] BridgeError),
    /// The system refused something that is needed.
    #[error("the system refused")]
    System(#[source] io::Error),
}

/// Opens the tunnel, then carries bytes until both directions have ended. Standard input is not
/// touched before the tunnel is open.
///
/// # Errors
/// [`ConnectError`].
pub fn run(job: &Connect) -> Result<Carried, ConnectError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let runtime = runtime.map_err(ConnectError::System)?;
    let route = job.routes.route(&job.target);
    let opened = runtime.block_on(async {
        let tunnel = tunnel::open(&job.target, &route, &job.config, &mut ()).await?;
        let (early, stream) = tunnel.into_early_and_stream();
        Ok::<_, ConnectError>((early, stream.into_std().map_err(ConnectError::System)?))
    });
    // A resolver that hangs must not hold up the end of the process.
    runtime.shutdown_background();
    let (early, stream) = opened?;

    let stdio = Stdio::inherited().map_err(ConnectError::System)?;
    let mut patience = job.patience;
    if stdio.is_typed() {
        // On a terminal nobody should have to type an end of file: the target's end is the end.
        patience.linger = Some(std::time::Duration::ZERO);
    }
    let carried = bridge(early, stream, stdio, patience)?;
    tracing::debug!("{} bytes in, {} bytes out", carried.inbound, carried.outbound);
    Ok(carried)
}
