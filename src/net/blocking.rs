//! Work that blocks, on a thread of its own.
//!
//! tokio has a pool for it, which ends the process where the system gives no thread (a container's
//! limit): one lookup too many would take every tunnel that is open with it.

use std::io;
use std::thread;

use tokio::sync::{Semaphore, oneshot};

/// As many at once as tokio's pool has; the others wait.
static ROOM: Semaphore = Semaphore::const_new(512);

/// What comes of `work`. It goes on when nobody waits for it any more, and does not hold up the end
/// of the process.
///
/// # Errors
/// The system gives no thread ([`io::ErrorKind::WouldBlock`]), or `work` panics.
pub async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let room = ROOM.acquire().await.map_err(io::Error::other)?;
    let (tell, told) = oneshot::channel();
    let body = move || {
        let _nobody_waits = tell.send(work());
        drop(room);
    };
    let no_thread =
        |error| io::Error::new(io::ErrorKind::WouldBlock, format!("no thread is to be had: {error}"));
    thread::Builder::new().spawn(body).map_err(no_thread)?;
    told.await.map_err(|_| io::Error::other("the thread ended without a result"))
}
