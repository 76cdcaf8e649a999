//! Standard input and output as a channel, for tunnels that poll(2) knows nothing of.
//!
//! As in `stdio`, `O_NONBLOCK` is never set on descriptors that are the parent's as well: the
//! runtime watches duplicates, and poll(2) is asked before one is touched that could block.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::Interest;
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::sync::Notify;

use super::channel::Channel;
use super::splice::{self, CHUNK, Pipe};
use super::stdio::{End, Kind, Stdio};

/// What is written to a pipe directly: what a pipe that is ready takes without waiting. More goes
/// through a pipe of ours, out of which splice(2) moves it without waiting and without a copy.
const SMALL: usize = 4096;

/// Writes of more than that in a row after which standard output's pipe is grown.
const BULK_AFTER: u8 = 3;

/// Standard input and output.
#[derive(Debug)]
pub struct Standard {
    stdio: Stdio,
    /// Tells when there is input; `None`: always, as with files.
    input: Option<Receiver>,
    output: Mutex<Output>,
    /// For who waits until nobody reads; closed with the output, which would not end otherwise.
    watch: Mutex<Option<Sender>>,
    finished: Notify,
    hung_up: Notify,
}

#[derive(Debug, Default)]
struct Output {
    /// Tells when there is room; `None`: always.
    room: Option<Sender>,
    through: Option<Pipe>,
    large: u8,
}

impl Standard {
    /// Watches them on the runtime that this is called on.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn new(stdio: Stdio) -> io::Result<Self> {
        let watched = |fd: OwnedFd| Sender::from_owned_fd_unchecked(fd);
        let room = watch(stdio.output, watched)?;
        let output = Mutex::new(Output { room, through: None, large: 0 });
        Ok(Self {
            input: watch(stdio.input, Receiver::from_owned_fd_unchecked)?,
            watch: Mutex::new(watch(stdio.output, watched)?),
            output,
            stdio,
            finished: Notify::new(),
            hung_up: Notify::new(),
        })
    }
}

/// Registers a duplicate. What can't be watched (a file) is always ready.
fn watch<T>(end: End, register: impl FnOnce(OwnedFd) -> io::Result<T>) -> io::Result<Option<T>> {
    match register(end.as_fd().try_clone_to_owned()?) {
        Ok(watched) => Ok(Some(watched)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        Err(error) => Err(error),
    }
}

/// What poll(2) says at once.
fn at_present(end: End, events: PollFlags) -> io::Result<PollFlags> {
    let mut fds = [PollFd::from_borrowed_fd(end.as_fd(), events)];
    rustix::io::retry_on_intr(|| poll(&mut fds, Some(&Timespec::default())))?;
    Ok(fds[0].revents())
}

impl Channel for Standard {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.input.as_ref().map_or(Poll::Ready(Ok(())), |input| input.poll_read_ready(cx))
    }

    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let end = self.stdio.input;
        let Some(input) = &self.input else { return end.read_into(buffer) };
        let read = input.try_io(|| match at_present(end, PollFlags::IN)?.is_empty() {
            true => Err(io::ErrorKind::WouldBlock.into()),
            false => end.read_into(buffer),
        })?;
        // A socket that is both ends: nobody is behind it any more.
        let gone = || at_present(self.stdio.output, PollFlags::empty());
        if read == 0 && matches!(end.kind, Kind::Unix | Kind::Socket) && gone()?.contains(PollFlags::HUP) {
            self.hung_up.notify_one();
        }
        Ok(read)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.output().room.as_ref().map_or(Poll::Ready(Ok(())), |room| room.poll_write_ready(cx))
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.output().write(self.stdio.output, bytes)
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut output = self.output();
            match output.drain(self.stdio.output) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                drained => return Poll::Ready(drained),
            }
            if let Some(room) = &output.room {
                ready!(room.poll_write_ready(cx))?;
            }
        }
    }

    /// The reader sees the end when no descriptor of the pipe is left in this process.
    fn finish(&self) -> io::Result<()> {
        *self.output() = Output::default();
        self.finished.notify_one();
        drop(self.take_watch());
        self.stdio.output.finish_output()
    }

    /// Only reading and writing tell.
    fn broken(&self) -> Pin<Box<dyn Future<Output = io::Error> + Send + '_>> {
        Box::pin(std::future::pending())
    }

    fn left(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            let watch = self.take_watch();
            let broken = async {
                match &watch {
                    Some(watch) => drop(watch.ready(Interest::ERROR).await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = broken => return,
                () = self.hung_up.notified() => return,
                () = self.finished.notified() => {}
            }
            drop(watch);
            std::future::pending().await
        })
    }

    /// A pipe has no break: whoever reads it hears of that by our exit code.
    fn reset_on_close(&self) {}
}

impl Standard {
    fn take_watch(&self) -> Option<Sender> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn output(&self) -> MutexGuard<'_, Output> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Output {
    fn write(&mut self, end: End, bytes: &[u8]) -> io::Result<usize> {
        self.drain(end)?;
        if end.kind == Kind::Pipe && bytes.len() > SMALL {
            return self.write_through(end, bytes);
        }
        self.large = 0;
        let write = || match at_present(end, PollFlags::OUT)?.is_empty() {
            true => Err(io::ErrorKind::WouldBlock.into()),
            false => end.write(bytes),
        };
        match &self.room {
            Some(room) => room.try_io(write),
            None => end.write(bytes),
        }
    }

    fn write_through(&mut self, end: End, bytes: &[u8]) -> io::Result<usize> {
        self.large = self.large.saturating_add(1);
        if self.large == BULK_AFTER {
            splice::grow(end.as_fd());
        }
        let through = match &mut self.through {
            Some(through) => through,
            none => none.insert(Pipe::new()?),
        };
        let taken = through.put(bytes)?;
        match self.drain(end) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            Ok(()) | Err(_) => Ok(taken),
        }
    }

    /// Out of our pipe into standard output.
    fn drain(&mut self, end: End) -> io::Result<()> {
        let Some(through) = &mut self.through else { return Ok(()) };
        while through.held() > 0 {
            let drain = || through.drain(end.as_fd(), CHUNK);
            match &self.room {
                Some(room) => room.try_io(drain)?,
                None => return Err(io::ErrorKind::Unsupported.into()),
            };
        }
        Ok(())
    }
}
