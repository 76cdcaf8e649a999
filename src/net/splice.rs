//! splice(2): bytes from one descriptor to another that never come up here.
//!
//! The one place that tells Linux from other systems; elsewhere [`splice`] says that it can't and
//! the relays copy. A pipe must be on one side. Our sockets are non-blocking *and*
//! `SPLICE_F_NONBLOCK` is set: a splice that waits for the network holds the pipe's lock, and
//! whoever reads the other end hangs with it.

use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The most one splice moves; also what pipes are grown to, where the system lets us.
pub(super) const CHUNK: usize = 1024 * 1024;

/// Moves up to `most` bytes; `Ok(0)` is the source's end.
///
/// # Errors
/// `WouldBlock` does not say which side; `InvalidInput` and `Unsupported`: these two can't be
/// spliced, nothing was moved, copy instead.
#[cfg(target_os = "linux")]
pub(super) fn splice(from: impl AsFd, to: impl AsFd, most: usize) -> io::Result<usize> {
    use rustix::pipe::{SpliceFlags, splice};
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    loop {
        match splice(&from, None, &to, None, most, flags) {
            Err(rustix::io::Errno::INTR) => {}
            done => return done.map_err(io::Error::from),
        }
    }
}

#[cfg(target_os = "linux")]
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::pipe::{PipeFlags, pipe_with};
    let ends = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
    grow(&ends.1);
    Ok(ends)
}

/// Lets a pipe hold a whole chunk. Refused beyond /proc/sys/fs/pipe-user-pages-soft: it is then as
/// it was.
#[cfg(target_os = "linux")]
pub(super) fn grow(pipe: impl AsFd) {
    if rustix::pipe::fcntl_getpipe_size(&pipe).is_ok_and(|size| size >= CHUNK) {
        return;
    }
    if let Err(error) = rustix::pipe::fcntl_setpipe_size(pipe, CHUNK) {
        tracing::trace!("the pipe stays as it is: {error}");
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn splice(_: impl AsFd, _: impl AsFd, _: usize) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn grow(_: impl AsFd) {}

/// How many more pipes there may be.
static ROOM: Room = Room(AtomicUsize::new(usize::MAX));

/// Leaves the other descriptors to connections. It is said before there is a pipe.
pub(super) fn limit_pipes(most: usize) {
    ROOM.0.store(most, Ordering::Relaxed);
}

#[derive(Debug)]
struct Room(AtomicUsize);

impl Room {
    fn take(&'static self) -> Option<Permit> {
        let one_less = |room: usize| room.checked_sub(1);
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        taken.ok().map(|_| Permit(self))
    }
}

/// One of those that there may be.
#[derive(Debug)]
struct Permit(&'static Room);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A pipe of our own to splice through, for two ends that are none.
#[derive(Debug)]
pub(super) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    held: usize,
    _permit: Permit,
}

impl Pipe {
    /// # Errors
    /// No descriptors are left for it, or this system has no splice.
    pub(super) fn new() -> io::Result<Self> {
        let permit =
            ROOM.take().ok_or_else(|| io::Error::other("the other descriptors are for connections"))?;
        let (read, write) = pipe()?;
        Ok(Self { read, write, held: 0, _permit: permit })
    }

    /// Bytes in it.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Takes a chunk out of `source`; the pipe is empty before.
    ///
    /// # Errors
    /// As [`splice`].
    pub(super) fn fill(&mut self, source: impl AsFd) -> io::Result<usize> {
        let taken = splice(source, &self.write, CHUNK)?;
        self.held += taken;
        Ok(taken)
    }

    /// Takes some of `bytes`; the pipe is empty before.
    ///
    /// # Errors
    /// write(2)'s.
    pub(super) fn put(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = rustix::io::retry_on_intr(|| rustix::io::write(&self.write, bytes))?;
        self.held += taken;
        Ok(taken)
    }

    /// Gives up to `most` bytes of what it holds to `sink`.
    ///
    /// # Errors
    /// As [`splice`].
    pub(super) fn drain(&mut self, sink: impl AsFd, most: usize) -> io::Result<usize> {
        let given = splice(&self.read, sink, self.held.min(most))?;
        self.held -= given;
        Ok(given)
    }

    /// What it holds, read out, for a sink that can't be spliced into.
    ///
    /// # Errors
    /// read(2)'s.
    pub(super) fn into_bytes(self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.held];
        std::fs::File::from(self.read).read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

/// Whether an error of [`splice`] says that these two ends can't be spliced at all.
pub(super) fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_pipes_as_there_may_be_and_one_more_when_one_goes() {
        let room: &'static Room = Box::leak(Box::new(Room(AtomicUsize::new(2))));
        let (first, second) = (room.take(), room.take());
        assert!(first.is_some() && second.is_some());
        assert!((0..3).all(|_| room.take().is_none()), "a refusal changes nothing");
        drop(first);
        assert!(room.take().is_some());
    }
}
