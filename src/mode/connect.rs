//! `connect`: bridges standard input and output to the target (ssh's ProxyCommand), or hands the
//! connected socket to the parent, which then needs no bridge.
//!
//! The tunnel is opened by a small runtime of this thread, which is gone before the first byte is
//! carried: the bridge needs no more than poll(2).

use std::io;

use bytes::Bytes;

use super::{RouteError, Routes};
use crate::authority::Authority;
use crate::net::bridge::{BridgeError, Carried, bridge};
use crate::net::ending::Patience;
use crate::net::fdpass;
use crate::net::relay::{Early, RelayError, relay};
use crate::net::standard::Standard;
use crate::net::stdio::Stdio;
use crate::net::stream::Stream;
use crate::tunnel::{self, Logins};

/// What to bridge to, and how.
#[derive(Debug)]
pub struct Connect {
    /// The target.
    pub target: Authority,
    /// Which proxy to use.
    pub routes: Routes,
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
    /// No way to the target is known.
    #[error(transparent)]
    Route(#[from] RouteError),
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
    /// The tunnel is no bare socket: TLS with the proxy has to be spoken here.
    #[error("the tunnel is not a bare socket")]
    NoSocket,
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
pub fn run(mut job: Connect) -> Result<Carried, ConnectError> {
    if job.carrier == Carrier::Parent && !fdpass::is_possible() {
        return Err(ConnectError::NoParent);
    }
    // Room for the events of one socket, not of a thousand: three pages that are never touched.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_io().enable_time().max_io_events_per_tick(8).build();
    let runtime = runtime.map_err(ConnectError::System)?;
    let opened = runtime.block_on(async {
        let ways = job.routes.decide(&job.target).await?.routes;
        let tunnel = tunnel::open_first(&job.target, &ways, &job.config, &mut ()).await?;
        match tunnel.into_early_and_stream() {
            (early, Stream::Tcp(stream)) => {
                Ok((early, Way::Socket(stream.into_std().map_err(ConnectError::System)?)))
            }
            (early, stream) => Ok((early, Way::Channel(stream))),
        }
    });
    // Nobody is asked for a password any more.
    job.config.logins = Logins::default();
    let (early, stream) = match (opened, job.carrier) {
        (Ok((early, Way::Socket(stream))), _) => (early, stream),
        (Ok((_, Way::Channel(_))), Carrier::Parent) => return Err(ConnectError::NoSocket),
        (Ok((early, Way::Channel(stream))), Carrier::Bridge(patience)) => {
            let carried = runtime.block_on(async {
                let carried = carry(early, stream, patience).await;
                let rest = || io::Error::new(io::ErrorKind::TimedOut, "the proxy does not take the rest");
                match (carried, job.config.drain().await) {
                    (Ok(_), false) => Err(BridgeError::Cut(rest()).into()),
                    (carried, _) => carried,
                }
            });
            runtime.shutdown_background();
            return carried;
        }
        (Err(error), _) => {
            runtime.shutdown_background();
            return Err(error);
        }
    };
    // A resolver that hangs must not hold up the end of the process.
    runtime.shutdown_background();
    let mut patience = match job.carrier {
        Carrier::Bridge(patience) => patience,
        Carrier::Parent if !early.is_empty() => return Err(ConnectError::TooEarly(early.len())),
        Carrier::Parent => {
            fdpass::pass(&stream).map_err(ConnectError::HandOver)?;
            tracing::debug!("the socket was handed over");
            return Ok(Carried::default());
        }
    };

    let stdio = stdio(&mut patience)?;
    let carried = bridge(early, stream, stdio, patience)?;
    tracing::debug!("{} bytes in, {} bytes out", carried.inbound, carried.outbound);
    Ok(carried)
}

/// What the tunnel is made of.
enum Way {
    /// A bare socket: poll(2) and the kernel carry its bytes.
    Socket(std::net::TcpStream),
    /// Anything else: the relay that `forward` has too.
    Channel(Stream),
}

async fn carry(early: Bytes, stream: Stream, mut patience: Patience) -> Result<Carried, ConnectError> {
    let standard = Standard::new(stdio(&mut patience)?).map_err(ConnectError::System)?;
    let early = Early { inbound: Bytes::new(), outbound: early };
    let carried = match relay(Stream::Channel(Box::new(standard)), stream, early, patience).await {
        Ok(carried) => carried,
        // The target had ended before: it has had what it wanted.
        Err(RelayError::Unwanted(_)) => return Ok(Carried::default()),
        Err(RelayError::Tunnel(error)) => return Err(BridgeError::Cut(error).into()),
        Err(RelayError::Idle) => return Err(BridgeError::Idle(patience.idle.unwrap_or_default()).into()),
        Err(RelayError::Client(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            return Err(BridgeError::OutputClosed.into());
        }
        Err(RelayError::Unread(error)) => return Err(BridgeError::Input(error).into()),
        Err(RelayError::Client(error)) => return Err(BridgeError::Output(error).into()),
    };
    tracing::debug!("{} bytes in, {} bytes out", carried.inbound, carried.outbound);
    Ok(carried)
}

fn stdio(patience: &mut Patience) -> Result<Stdio, ConnectError> {
    let stdio = Stdio::inherited().map_err(ConnectError::System)?;
    if stdio.is_typed() {
        // On a terminal nobody should have to type an end of file: the target's end is the end.
        patience.linger = Some(std::time::Duration::ZERO);
    }
    Ok(stdio)
}
