//! One direction of a bridge: from readable to written, a step at a time.
//!
//! Between a pipe and the tunnel it is one splice(2) a chunk; a bulk between the tunnel and a Unix
//! socket or a file is spliced through a pipe of ours; everything else is copied.
//!
//! Knows what of splice's word can be trusted. Refuses to wait: who calls has seen ready what
//! [`Flow::wait`] names.

use std::io;
use std::net::TcpStream;
use std::ops::Range;
use std::os::fd::AsFd;

use rustix::buffer::spare_capacity;
use rustix::net::{RecvFlags, SendFlags};

use super::splice::{self, CHUNK, Pipe};
use super::stdio::{End, Kind};

/// What one read takes where bytes have to be copied.
const BUFFER: usize = 128 * 1024;

/// What the smallest pipe of Linux's default size takes in one splice, about.
const SMALL_PIPE: usize = 32 * 1024;

/// Chunks of that size in a row after which it is bulk: the pipe is grown, or one is made to splice
/// through. All pipes of a user share a quota (pipe-user-pages-soft): an idle ssh session must not
/// take 1 MiB of it.
const BULK_AFTER: u8 = 3;

/// One direction.
pub(super) struct Flow {
    pub(super) wait: Wait,
    carrier: Carrier,
    /// Where bytes are copied; empty as long as none had to be.
    buffer: Vec<u8>,
    /// What of the buffer was read and not written yet.
    held: Range<usize>,
    pub(super) carried: u64,
    /// splice(2) said something that may not be so: the next step reads instead.
    doubted: bool,
    /// How often in a row as much as a small pipe holds was moved.
    full: u8,
}

enum Carrier {
    /// From a pipe or into one.
    Splice,
    /// Through a pipe of ours.
    Through(Pipe),
    /// Through the buffer; whether bulk may go through a pipe.
    Copy { bulk: bool },
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
            carrier: match kind {
                Kind::Pipe => Carrier::Splice,
                Kind::Unix | Kind::File => Carrier::Copy { bulk: true },
                Kind::Socket | Kind::Terminal | Kind::Other => Carrier::Copy { bulk: false },
            },
            buffer: early.to_vec(),
            held: 0..early.len(),
            carried: 0,
            doubted: false,
            full: 0,
        }
    }

    /// Whether bytes were read and not written yet.
    pub(super) fn holds(&self) -> bool {
        !self.held.is_empty() || matches!(&self.carrier, Carrier::Through(pipe) if pipe.held() > 0)
    }

    /// From now on it reads: splice(2) does not tell a sink that nobody reads from one that ended.
    pub(super) fn stop_splicing(&mut self) {
        if !self.holds() {
            self.carrier = Carrier::Copy { bulk: false };
            self.wait = Wait::Source;
        }
    }

    /// One step; what is waited for has been seen ready.
    pub(super) fn advance(&mut self, source: &impl Port, sink: &impl Port) -> Result<Moved, Side> {
        if !self.held.is_empty() {
            return self.deliver(sink);
        }
        let doubted = std::mem::take(&mut self.doubted);
        match &self.carrier {
            Carrier::Through(pipe) if pipe.held() > 0 => self.drain(sink),
            Carrier::Splice | Carrier::Through(_) if doubted => self.copy(source, sink),
            Carrier::Splice => self.splice(source, sink),
            Carrier::Through(_) => self.fill(source, sink),
            Carrier::Copy { .. } => self.copy(source, sink),
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
                if self.count(moved) == BULK_AFTER {
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
                self.carrier = Carrier::Copy { bulk: false };
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

    /// Counts chunks that are as large as a small pipe.
    fn count(&mut self, moved: usize) -> u8 {
        self.full = if moved >= SMALL_PIPE { self.full.saturating_add(1) } else { 0 };
        self.full
    }

    /// Out of the source into our pipe, and on into the tunnel, which is asked without waiting.
    fn fill(&mut self, source: &impl Port, sink: &impl Port) -> Result<Moved, Side> {
        let Carrier::Through(pipe) = &mut self.carrier else { return Ok(Moved::Nothing) };
        match pipe.fill(source) {
            // As above: the mark of urgent data, in both.
            Ok(0) => self.doubt(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.doubt(),
            Ok(_) => {
                self.wait = Wait::Sink;
                if sink.is_tunnel() { self.drain(sink) } else { Ok(Moved::Nothing) }
            }
            Err(error) if splice::is_unsupported(&error) => {
                self.carrier = Carrier::Copy { bulk: false };
                Ok(Moved::Nothing)
            }
            Err(error) => Err(Side::Source(error)),
        }
    }

    fn doubt(&mut self) -> Result<Moved, Side> {
        self.doubted = true;
        self.wait = Wait::Source;
        Ok(Moved::Nothing)
    }

    /// Out of our pipe into the sink.
    fn drain(&mut self, sink: &impl Port) -> Result<Moved, Side> {
        let Carrier::Through(pipe) = &mut self.carrier else { return Ok(Moved::Nothing) };
        match pipe.drain(sink, sink.splice_room()) {
            Ok(given) => {
                self.carried += given as u64;
                self.wait = if pipe.held() > 0 { Wait::Sink } else { Wait::Source };
                Ok(Moved::Some)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Moved::Nothing),
            // Such as a file that is appended to.
            Err(error) if splice::is_unsupported(&error) => {
                if let Carrier::Through(pipe) =
                    std::mem::replace(&mut self.carrier, Carrier::Copy { bulk: false })
                {
                    self.buffer = pipe.into_bytes().map_err(Side::Source)?;
                    self.held = 0..self.buffer.len();
                }
                Ok(Moved::Nothing)
            }
            Err(error) => Err(Side::Sink(error)),
        }
    }

    fn copy(&mut self, source: &impl Port, sink: &impl Port) -> Result<Moved, Side> {
        // Not zeroed first: of 32 pages a short read touches one.
        self.buffer.clear();
        self.buffer.reserve_exact(BUFFER);
        match source.read(&mut self.buffer) {
            Ok(0) => {
                self.wait = Wait::Over;
                Ok(Moved::End)
            }
            Ok(read) => {
                self.held = 0..read;
                self.wait = Wait::Sink;
                self.count(read);
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
        if !self.held.is_empty() {
            self.wait = Wait::Sink;
            return Ok(Moved::Some);
        }
        self.wait = Wait::Source;
        if let Carrier::Copy { bulk: true } = self.carrier
            && self.full >= BULK_AFTER
        {
            match Pipe::new() {
                Ok(pipe) => self.carrier = Carrier::Through(pipe),
                Err(error) => {
                    tracing::debug!("no pipe to splice through, copying: {error}");
                    self.carrier = Carrier::Copy { bulk: false };
                }
            }
        }
        if !matches!(self.carrier, Carrier::Copy { .. }) {
            self.buffer = Vec::new();
        }
        Ok(Moved::Some)
    }
}

/// An end as a flow sees it.
pub(super) trait Port: AsFd {
    /// Reads into the spare capacity.
    fn read(&self, buffer: &mut Vec<u8>) -> io::Result<usize>;
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;
    /// A write returns at once even if nothing was said ready.
    fn never_blocks(&self) -> bool;
    /// The most that may be spliced into it when it is ready.
    fn splice_room(&self) -> usize;
    fn is_tunnel(&self) -> bool;
}

impl Port for End {
    fn read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        Self::read(*self, buffer)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        Self::write(*self, bytes)
    }

    fn never_blocks(&self) -> bool {
        matches!(self.kind, Kind::Unix | Kind::Socket)
    }

    fn splice_room(&self) -> usize {
        Self::splice_room(*self)
    }

    fn is_tunnel(&self) -> bool {
        false
    }
}

impl Port for TcpStream {
    fn read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let read = || rustix::net::recv(self, spare_capacity(buffer), RecvFlags::DONTWAIT).map(|(_, n)| n);
        Ok(rustix::io::retry_on_intr(read)?)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let write = || rustix::net::send(self, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        Ok(rustix::io::retry_on_intr(write)?)
    }

    fn never_blocks(&self) -> bool {
        true
    }

    fn splice_room(&self) -> usize {
        usize::MAX
    }

    fn is_tunnel(&self) -> bool {
        true
    }
}
