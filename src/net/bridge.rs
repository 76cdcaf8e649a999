//! The relay between standard input/output and a bare TCP tunnel: one thread, poll(2), and one
//! splice(2) a chunk wherever a pipe is on our side.
//!
//! Knows when each side may be touched without waiting inside a system call; how bytes move is
//! `flow`'s. Only what is needed is polled: a descriptor that can't make progress can't wake us.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::ending::{Due, Ending, Patience, Waiting};
use super::flow::{Flow, Moved, Side, Wait};
use super::stdio::Stdio;

/// What was carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Bytes towards the target.
    pub inbound: u64,
    /// Bytes towards the client.
    pub outbound: u64,
}

/// Why a bridge ended early.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// The tunnel was reset, or took no more bytes before it ended.
    #[error("the tunnel was cut off")]
    Cut(#[source] io::Error),
    /// Standard input could not be read.
    #[error("standard input")]
    Input(#[source] io::Error),
    /// Standard output could not be written.
    #[error("standard output")]
    Output(#[source] io::Error),
    /// Nobody reads standard output any more.
    #[error("standard output was closed")]
    OutputClosed,
    /// Both directions were silent for so long.
    #[error("silent for {0:?}")]
    Idle(Duration),
    /// poll(2) failed.
    #[error("poll")]
    Poll(#[source] io::Error),
}

/// Carries bytes until both directions have ended: `early` first, then whatever comes.
///
/// # Errors
/// [`BridgeError`]: whenever a byte that was read may not have been delivered.
pub fn bridge(
    early: Bytes,
    tunnel: TcpStream,
    stdio: Stdio,
    patience: Patience,
) -> Result<Carried, BridgeError> {
    tunnel.set_nonblocking(true).map_err(BridgeError::Poll)?;
    Bridge {
        ending: Ending::new(patience, Instant::now()),
        patience,
        inbound: Flow::new(stdio.input.kind, &[]),
        outbound: Flow::new(stdio.output.kind, &early),
        tunnel,
        stdio,
        output_gone: false,
        cut: None,
    }
    .run()
}

struct Bridge {
    ending: Ending,
    patience: Patience,
    inbound: Flow,
    outbound: Flow,
    tunnel: TcpStream,
    stdio: Stdio,
    /// Nobody reads standard output; what the client had sent before is still carried.
    output_gone: bool,
    /// The tunnel took no more bytes; what it still has for the client is carried first.
    cut: Option<io::Error>,
}

/// What poll said.
#[derive(Clone, Copy, Default)]
struct Ready {
    input: bool,
    output: bool,
    output_gone: bool,
    tunnel_readable: bool,
    tunnel_writable: bool,
    tunnel_gone: bool,
}

impl Bridge {
    fn run(mut self) -> Result<Carried, BridgeError> {
        loop {
            let now = Instant::now();
            let alarm = match self.ending.due(now, self.waiting()) {
                Due::Later(alarm) => alarm,
                Due::HalfClose => {
                    tracing::debug!("end of input passed on to the target");
                    // ENOTCONN: the proxy is gone already, which reading will tell.
                    let _gone = self.tunnel.shutdown(Shutdown::Write);
                    self.ending.half_closed();
                    continue;
                }
                Due::Over => return self.over(),
                Due::Unread => return Err(BridgeError::OutputClosed),
                Due::Idle => return Err(BridgeError::Idle(self.patience.idle.unwrap_or_default())),
            };
            let ready = self.wait(alarm.map(|at| at.saturating_duration_since(now)))?;
            if ready.output_gone {
                self.output_left();
                if self.outbound.holds() {
                    return Err(BridgeError::OutputClosed);
                }
            }
            self.outbound(ready)?;
            self.inbound(ready)?;
        }
    }

    /// Which direction has bytes at hand that its sink does not take.
    fn waiting(&self) -> Waiting {
        Waiting { inbound: self.inbound.wait == Wait::Sink, outbound: self.outbound.wait == Wait::Sink }
    }

    /// Both have ended, or the client was silent behind the target's end.
    fn over(self) -> Result<Carried, BridgeError> {
        if let Some(cut) = self.cut {
            return Err(BridgeError::Cut(cut));
        }
        Ok(Carried { inbound: self.inbound.carried, outbound: self.outbound.carried })
    }

    fn wait(&self, timeout: Option<Duration>) -> Result<Ready, BridgeError> {
        let mut tunnel = PollFlags::empty();
        tunnel.set(PollFlags::IN, self.outbound.wait == Wait::Source);
        tunnel.set(PollFlags::OUT, self.inbound.wait == Wait::Sink);
        // Behind the target's end a reset of the tunnel is the end of input as well.
        let listen_for_reset = self.ending.target_has_ended() && self.inbound.wait != Wait::Over;
        let input = self.inbound.wait == Wait::Source;
        let output = self.outbound.wait != Wait::Over && !self.output_gone;
        let mut output_events = PollFlags::empty();
        output_events.set(PollFlags::OUT, self.outbound.wait == Wait::Sink);

        let none = PollFlags::empty();
        let wanted = [
            (self.tunnel.as_fd(), tunnel, !tunnel.is_empty() || listen_for_reset),
            (self.stdio.input.as_fd(), PollFlags::IN, input),
            (self.stdio.output.as_fd(), output_events, output),
        ];
        let mut fds = [
            PollFd::from_borrowed_fd(wanted[0].0, wanted[0].1),
            PollFd::from_borrowed_fd(wanted[0].0, none),
            PollFd::from_borrowed_fd(wanted[0].0, none),
        ];
        let mut places = [0; 3];
        let mut count = 0;
        for (place, (fd, events, _)) in wanted.iter().enumerate().filter(|(_, (_, _, wanted))| *wanted) {
            fds[count] = PollFd::from_borrowed_fd(*fd, *events);
            places[count] = place;
            count += 1;
        }
        let timeout = timeout.and_then(|t| Timespec::try_from(t).ok());
        match poll(&mut fds[..count], timeout.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(Ready::default()),
            Err(error) => return Err(BridgeError::Poll(error.into())),
        }
        let mut said = [none; 3];
        for (fd, place) in fds[..count].iter().zip(places) {
            said[place] = fd.revents();
        }
        let broken = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
        Ok(Ready {
            input: !said[1].is_empty(),
            output: said[2].contains(PollFlags::OUT),
            output_gone: said[2].intersects(broken),
            tunnel_readable: said[0].intersects(PollFlags::IN | broken),
            tunnel_writable: said[0].intersects(PollFlags::OUT | broken),
            tunnel_gone: listen_for_reset && said[0].intersects(broken),
        })
    }

    fn outbound(&mut self, ready: Ready) -> Result<(), BridgeError> {
        let can = match self.outbound.wait {
            Wait::Source => ready.tunnel_readable,
            Wait::Sink => ready.output,
            Wait::Over => false,
        };
        if !can {
            return Ok(());
        }
        let output = self.stdio.output;
        match self.outbound.advance(&self.tunnel, &output) {
            Ok(Moved::Some) => self.ending.moved(Instant::now()),
            Ok(Moved::Nothing) => {}
            Ok(Moved::End) => {
                tracing::debug!("the target has ended");
                self.ending.target_ended(Instant::now());
                output.finish_output().map_err(BridgeError::Output)?;
            }
            Err(Side::Source(error)) => return Err(BridgeError::Cut(self.cut.take().unwrap_or(error))),
            Err(Side::Sink(error)) if error.kind() == io::ErrorKind::BrokenPipe => self.output_left(),
            Err(Side::Sink(error)) => return Err(BridgeError::Output(error)),
        }
        if self.output_gone && self.outbound.holds() {
            return Err(BridgeError::OutputClosed);
        }
        Ok(())
    }

    fn inbound(&mut self, ready: Ready) -> Result<(), BridgeError> {
        if ready.tunnel_gone && self.inbound.wait == Wait::Source {
            self.refused();
            return Ok(());
        }
        let can = match self.inbound.wait {
            Wait::Source => ready.input,
            Wait::Sink => ready.tunnel_writable,
            Wait::Over => false,
        };
        if !can {
            return Ok(());
        }
        match self.inbound.advance(&self.stdio.input, &self.tunnel) {
            Ok(Moved::Some) => self.ending.moved(Instant::now()),
            Ok(Moved::Nothing) => {}
            Ok(Moved::End) => {
                tracing::debug!("end of input");
                self.ending.client_ended(Instant::now());
            }
            Err(Side::Source(error)) => return Err(BridgeError::Input(error)),
            // EPIPE and not ECONNRESET: the target had ended its direction in order before.
            Err(Side::Sink(error)) => {
                if error.kind() != io::ErrorKind::BrokenPipe && !self.ending.target_has_ended() {
                    self.cut = Some(error);
                }
                self.refused();
            }
        }
        Ok(())
    }

    /// Nobody reads standard output any more. That is the end of this process if the target has
    /// more to say; if it has not, nothing was lost.
    fn output_left(&mut self) {
        if self.output_gone {
            return;
        }
        tracing::debug!("nobody reads standard output any more");
        self.output_gone = true;
        self.ending.client_left(Instant::now());
        self.outbound.stop_splicing();
    }

    /// The tunnel takes no more bytes: what it still has for the client is read.
    fn refused(&mut self) {
        tracing::debug!("the tunnel takes no more input");
        self.inbound.wait = Wait::Over;
        self.ending.client_ended(Instant::now());
        self.ending.half_closed();
    }
}
