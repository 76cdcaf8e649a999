//! `connect`: bridges standard input and output to the target (ssh's ProxyCommand), or hands the
//! connected socket to the parent, which then needs no bridge.
//!
//! The tunnel is opened by a small runtime of this thread, which is gone before the first byte is
//! carried: the bridge needs no more than poll(2).

use std::io;

use crate::authority::Authority;
use crate::net::bridge::{BridgeError, Carried, bridge};
use crate::net::ending::Patience;
use crate::net::fdpass;
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
    /// Who carries the bytes.
    pub carrier: Carrier,
}

/// Who carries the bytes once the tunnel stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// This process, between standard input and output, until it ends like this.
    Bridge(Patience),
    /// The parent, which is handed the socket over standard output (ssh's `ProxyUseFdpass`).
    Parent,
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
    /// The parent carries no socket: standard output is not a Unix socket.
    #[error("standard output is not a Unix socket")]
    NoParent,
    /// Bytes of the target were read already, which a socket that is handed over would lack.
    #[error("{0} bytes of the target came too early")]
    TooEarly(usize),
    /// The parent did not take the socket.
    #[error("the socket was not taken")]
    HandOver(#[source] io::Error),
    /// The system refused something that is needed.
    #[error("the system refused")]
    System(#[source] io::Error),
}

/// Opens the tunnel, then carries bytes until both directions have ended, or hands it over.
/// Standard input is not touched before the tunnel is open.
///
/// # Errors
/// [`ConnectError`].
pub fn run(job: &Connect) -> Result<Carried, ConnectError> {
    if job.carrier == Carrier::Parent && !fdpass::is_possible() {
        return Err(ConnectError::NoParent);
    }
    // Room for the events of one socket, not of a thousand: three pages that are never touched.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_io().enable_time().max_io_events_per_tick(8).build();
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
    let mut patience = match job.carrier {
        Carrier::Bridge(patience) => patience,
        Carrier::Parent if !early.is_empty() => return Err(ConnectError::TooEarly(early.len())),
        Carrier::Parent => {
            fdpass::pass(&stream).map_err(ConnectError::HandOver)?;
            tracing::debug!("the socket was handed over");
            return Ok(Carried::default());
        }
    };

    let stdio = Stdio::inherited().map_err(ConnectError::System)?;
    if stdio.is_typed() {
        // On a terminal nobody should have to type an end of file: the target's end is the end.
        patience.linger = Some(std::time::Duration::ZERO);
    }
    let carried = bridge(early, stream, stdio, patience)?;
    tracing::debug!("{} bytes in, {} bytes out", carried.inbound, carried.outbound);
    Ok(carried)
}
