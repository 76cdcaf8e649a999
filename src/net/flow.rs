//! One direction of a bridge: from readable to written, a step at a time.
//!
//! Knows splice(2), what of its word can be trusted, and copying where it can't be used. Refuses to
//! wait: who calls has seen ready what [`Flow::wait`] names.

use std::io;
use std::net::TcpStream;
use std::ops::Range;
use std::os::fd::AsFd;

use rustix::net::{RecvFlags, SendFlags};

use super::splice::{self, CHUNK};
use super::stdio::{End, Kind};

/// What one read takes where bytes have to be copied.
const BUFFER: usize = 128 * 1024;

/// What the smallest pipe of Linux's default size takes in one splice, about.
const SMALL_PIPE: usize = 32 * 1024;

/// Full splices in a row after which a pipe is grown. All pipes of a user share a quota
/// (pipe-user-pages-soft): an idle ssh session must not take 1 MiB of it.
const GROW_AFTER: u8 = 3;

/// One direction.
pub(super) struct Flow {
    pub(super) wait: Wait,
    pub(super) carrier: Carrier,
    /// Where bytes are copied; empty as long as none had to be.
    buffer: Vec<u8>,
    /// What of the buffer was read and not written yet.
    pub(super) held: Range<usize>,
    pub(super) carried: u64,
    /// splice(2) said something that may not be so: the next step reads instead.
    doubted: bool,
    /// How often in a row a splice moved as much as a small pipe holds.
    full: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    Splice,
    Copy,
}

/// What must be ready before a flow can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    Source,
    Sink,
    Over,
}

pub(super) enum Moved {
    Some,
    Nothing,
    End,
}

/// Which end failed.
pub(super) enum Side {
    Source(io::Error),
    Sink(io::Error),
}

impl Flow {
    /// `kind` is what stands on our side; `early` goes first.
    pub(super) fn new(kind: Kind, early: &[u8]) -> Self {
        Self {
            wait: if early.is_empty() { Wait::Source } else { Wait::Sink },
            carrier: if kind == Kind::Pipe { Carrier::Splice } else { Carrier::Copy },
            buffer: early.to_vec(),
            held: 0..early.len(),
            carried: 0,
            doubted: false,
            full: 0,
        }
    }

    /// One step; what is waited for has been seen ready.
    pub(super) fn advance(&mut self, source: &impl Port, sink: &impl Port) -> Result<Moved, Side> {
        match self.carrier {
            _ if !self.held.is_empty() => self.deliver(sink),
            Carrier::Splice if std::mem::take(&mut self.doubted) => self.copy(source, sink),
            Carrier::Splice => self.splice(source, sink),
            Carrier::Copy => self.copy(source, sink),
        }
    }

    fn splice(&mut self, source: &impl Port, sink: &impl Port) -> Result<Moved, Side> {
        match splice::splice(source, sink, CHUNK) {
            // Out of a socket, splice stops at the mark of urgent data, for ever, and calls it the
            // end once there is a FIN behind it. Reading goes on.
            Ok(0) if !sink.is_tunnel() => {
                self.doubted = true;
                self.wait = Wait::Source;
                Ok(Moved::Nothing)
            }
            Ok(0) => {
                self.wait = Wait::Over;
                Ok(Moved::End)
            }
            Ok(moved) => {
                self.carried += moved as u64;
                self.wait = Wait::Source;
                self.full = if moved >= SMALL_PIPE { self.full.saturating_add(1) } else { 0 };
                if self.full == GROW_AFTER {
                    splice::grow(if sink.is_tunnel() { source.as_fd() } else { sink.as_fd() });
                }
                Ok(Moved::Some)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // It does not say which side: the one that was not waited for; or, as above, none.
                self.doubted = self.wait == Wait::Sink;
                self.wait = if self.wait == Wait::Source { Wait::Sink } else { Wait::Source };
                Ok(Moved::Nothing)
            }
            Err(error) if splice::is_unsupported(&error) => {
                self.carrier = Carrier::Copy;
                self.wait = Wait::Source;
                Ok(Moved::Nothing)
            }
            // One end is a pipe: it can't fail as a source, and as a sink only by having no reader.
            Err(error) if sink.is_tunnel() || error.kind() == io::ErrorKind::BrokenPipe => {
                Err(Side::Sink(error))
            }
            Err(error) => Err(Side::Source(error)),
        }
    }

    fn copy(&mut self, source: &impl Port, sink: &impl Port) -> Result<Moved, Side> {
        self.buffer.resize(BUFFER, 0);
        match source.read(&mut self.buffer) {
            Ok(0) => {
                self.wait = Wait::Over;
                Ok(Moved::End)
            }
            Ok(read) => {
                self.held = 0..read;
                self.wait = Wait::Sink;
                if sink.never_blocks() { self.deliver(sink) } else { Ok(Moved::Nothing) }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.wait = Wait::Source;
                Ok(Moved::Nothing)
            }
            Err(error) => Err(Side::Source(error)),
        }
    }

    fn deliver(&mut self, sink: &impl Port) -> Result<Moved, Side> {
        match sink.write(&self.buffer[self.held.clone()]) {
            Ok(written) => {
                self.held.start += written;
                self.carried += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Moved::Nothing),
            Err(error) => return Err(Side::Sink(error)),
        }
        self.wait = if self.held.is_empty() { Wait::Source } else { Wait::Sink };
        if self.held.is_empty() && self.carrier == Carrier::Splice {
            self.buffer = Vec::new();
        }
        Ok(Moved::Some)
    }
}

/// An end as a flow sees it.
pub(super) trait Port: AsFd {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize>;
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;
    /// A write returns at once even if nothing was said ready.
    fn never_blocks(&self) -> bool;
    fn is_tunnel(&self) -> bool;
}

impl Port for End {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Self::read(*self, buffer)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        Self::write(*self, bytes)
    }

    fn never_blocks(&self) -> bool {
        self.kind == Kind::Socket
    }

    fn is_tunnel(&self) -> bool {
        false
    }
}

impl Port for TcpStream {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = || rustix::net::recv(self, &mut *buffer, RecvFlags::DONTWAIT).map(|(_, n)| n);
        Ok(rustix::io::retry_on_intr(read)?)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let write = || rustix::net::send(self, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        Ok(rustix::io::retry_on_intr(write)?)
    }

    fn never_blocks(&self) -> bool {
        true
    }

    fn is_tunnel(&self) -> bool {
        true
    }
}
