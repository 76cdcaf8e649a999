//! A stream of HTTP/2 as a channel: the same for the side that asked and the side that was asked.
//!
//! Knows what its ends mean (RFC 9113 §8.5): END_STREAM is a FIN, RST_STREAM a reset, and an end
//! of the connection before either is a break. The peer's window reopens as bytes are read, not as they arrive.
//! What is written waits in the connection's task, as it would in a socket's buffer.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use h2::{Reason, RecvStream, SendStream};

use tokio::time::{Instant, Sleep};

use super::Lease;
use crate::net::channel::Channel;
use crate::proto::http2::{Code, Http2Error};

/// A piece of an upload that is worth a frame: the largest that every peer takes (RFC 9113 §4.2).
const WORTH_A_FRAME: usize = 16 * 1024;

/// How long a window may open by less than that before the piece goes out as it is.
const OVERRIDE: Duration = Duration::from_millis(100);

/// Bytes that may still be written when the peer has said that it wants no more. Whoever writes more
/// than that learns of it.
const MAX_WASTED: usize = 1024 * 1024;

/// A tunnel that is a stream.
pub struct Tunnelled {
    id: u32,
    sending: Mutex<Sending>,
    receiving: Mutex<Receiving>,
    finished: AtomicBool,
    reset: AtomicBool,
    /// Bytes that nobody wanted.
    wasted: AtomicUsize,
    lease: Lease,
}

struct Sending {
    stream: SendStream<Bytes>,
    /// What could not be sent at once.
    waiting: usize,
    /// The widest that the window has been lately.
    widest: usize,
    /// Up to when a narrow one is not used, while that is waited for.
    patience: Pin<Box<Sleep>>,
    waits: bool,
}

struct Receiving {
    stream: RecvStream,
    /// Arrived, and not read to its end yet.
    held: Bytes,
    /// What comes behind that.
    end: Option<End>,
}

enum End {
    Orderly,
    Failed(h2::Error),
    /// HEADERS where only DATA has a place.
    Headers,
}

impl Tunnelled {
    /// Of a stream whose heads have been exchanged.
    pub fn new(sending: SendStream<Bytes>, stream: RecvStream, lease: Lease) -> Self {
        let patience = Box::pin(tokio::time::sleep(OVERRIDE));
        let sending = Sending { stream: sending, waiting: 0, widest: 0, patience, waits: false };
        Self {
            id: stream.stream_id().into(),
            sending: Mutex::new(sending),
            receiving: Mutex::new(Receiving { stream, held: Bytes::new(), end: None }),
            finished: AtomicBool::new(false),
            reset: AtomicBool::new(false),
            wasted: AtomicUsize::new(0),
            lease,
        }
    }

    fn sending(&self) -> MutexGuard<'_, Sending> {
        self.sending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn receiving(&self) -> MutexGuard<'_, Receiving> {
        self.receiving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until what can be sent is worth a frame. More is reserved only when it is there to be
    /// sent: what one stream holds of the connection's window the others lack.
    fn poll_capacity(&self, sending: &mut Sending, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.finished.load(Ordering::Acquire) {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let worth = sending.worth_sending();
            sending.stream.reserve_capacity(worth);
            if sending.stream.capacity() >= worth {
                sending.waits = false;
                return Poll::Ready(Ok(()));
            }
            match sending.stream.poll_capacity(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(_)) | None) if self.wastes(sending) => return Poll::Ready(Ok(())),
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Err(self.unwanted(sending))),
                Poll::Pending => ready!(sending.poll_narrow(cx)),
            }
        }
    }

    /// Whether what is written goes nowhere: a server that has answered, and needs no more for it,
    /// says so by NO_ERROR (RFC 9113 §8.1; nghttpx at the end of each tunnel). That is no reset: who
    /// passed one on would take from the client what it has not read yet.
    fn wastes(&self, sending: &mut Sending) -> bool {
        let reset = sending.stream.poll_reset(&mut Context::from_waker(Waker::noop()));
        matches!(reset, Poll::Ready(Ok(Reason::NO_ERROR))) && self.wasted.load(Ordering::Relaxed) < MAX_WASTED
    }

    /// Why nothing can be sent any more.
    fn unwanted(&self, sending: &mut Sending) -> io::Error {
        match sending.stream.poll_reset(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(reason @ (Reason::NO_ERROR | Reason::CANCEL))) => {
                io::Error::new(io::ErrorKind::BrokenPipe, reset(reason))
            }
            Poll::Ready(Ok(reason)) => self.reset_by(reason),
            // It had ended before: as with a socket, what is sent then is not wanted.
            Poll::Ready(Err(error)) if self.has_ended_before(&error) => {
                io::Error::new(io::ErrorKind::BrokenPipe, self.failed(&error))
            }
            Poll::Ready(Err(error)) => self.failed(&error),
            Poll::Pending => io::ErrorKind::BrokenPipe.into(),
        }
    }

    fn reset_by(&self, reason: Reason) -> io::Error {
        match reason {
            // It is torn down, and nothing is said of its end.
            Reason::CANCEL | Reason::NO_ERROR => {
                io::Error::new(io::ErrorKind::ConnectionAborted, format!("{}, without an end", reset(reason)))
            }
            _ => io::Error::new(io::ErrorKind::ConnectionReset, reset(reason)),
        }
    }

    fn failed(&self, error: &h2::Error) -> io::Error {
        if let Some(cause) = self.lease.connection().cause() {
            return cause;
        }
        match (error.get_io(), error.reason()) {
            // What h2 calls the end of a connection that had streams. Whoever speaks HTTP/2 has a word
            // for the end of each: without it that was none.
            (Some(io), _) if io.kind() == io::ErrorKind::BrokenPipe => {
                io::Error::new(io::ErrorKind::ConnectionAborted, "the proxy closed the connection")
            }
            (Some(io), _) => io::Error::new(io.kind(), io.to_string()),
            (None, Some(reason)) if error.is_reset() && error.is_remote() => self.reset_by(reason),
            (None, Some(reason)) => {
                let why = match error.is_remote() {
                    true => Http2Error::GoAway(reason.into()),
                    false => Http2Error::Broken(reason.into()),
                };
                io::Error::new(io::ErrorKind::ConnectionReset, why)
            }
            (None, None) => io::Error::new(io::ErrorKind::ConnectionReset, error.to_string()),
        }
    }

    /// Whether this is of the connection, and the stream had ended in order before it. h2 tells of
    /// the error alone.
    fn has_ended_before(&self, error: &h2::Error) -> bool {
        let of_the_connection = error.is_io() || (error.is_go_away() && !error.is_remote());
        of_the_connection && self.lease.connection().has_ended(self.id)
    }
}

/// A reset in words.
pub(super) fn reset(reason: Reason) -> String {
    format!("RST_STREAM {}", Code::from(reason))
}

impl Sending {
    /// From how much on something is sent. A window that opens little by little would else be used
    /// little by little, for ever: the peer gives it back in the pieces that it got (RFC 9293
    /// §3.8.6.2.1, which has the same for TCP).
    fn worth_sending(&self) -> usize {
        self.waiting.min(WORTH_A_FRAME).min(self.widest / 2).max(1)
    }

    /// Waits until a narrow window has to do. Others may hold what is missing of the connection's.
    fn poll_narrow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let narrow = self.stream.capacity();
        if narrow == 0 {
            return Poll::Pending;
        }
        if !std::mem::replace(&mut self.waits, true) {
            self.patience.as_mut().reset(Instant::now() + OVERRIDE);
        }
        ready!(self.patience.as_mut().poll(cx));
        self.waits = false;
        self.widest = narrow;
        Poll::Ready(())
    }
}

impl Receiving {
    /// Waits for bytes, or what comes in their place.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.held.is_empty() && self.end.is_none() {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(bytes)) => self.held = bytes,
                Some(Err(error)) => self.end = Some(End::Failed(error)),
                None => {
                    // RFC 9113 §8.5: no frame but DATA may follow; trailers are HEADERS.
                    let trailers = self.stream.poll_trailers(cx);
                    self.end = Some(match ready!(trailers) {
                        Ok(None) => End::Orderly,
                        Ok(Some(_)) => End::Headers,
                        Err(error) => End::Failed(error),
                    });
                }
            }
        }
        Poll::Ready(())
    }
}

impl Channel for Tunnelled {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.receiving().poll(cx).map(Ok)
    }

    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut receiving = self.receiving();
        let mut read = 0;
        while read < buffer.len() && receiving.poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            let some = receiving.held.len().min(buffer.len() - read);
            if some == 0 {
                // Only the end is left.
                break;
            }
            receiving.held.copy_to_slice(&mut buffer[read..read + some]);
            read += some;
        }
        if read > 0 {
            // A stream that is closed by now has no window left.
            let _closed = receiving.stream.flow_control().release_capacity(read);
            return Ok(read);
        }
        match &receiving.end {
            None => Err(io::ErrorKind::WouldBlock.into()),
            Some(End::Orderly) => Ok(0),
            Some(End::Failed(error)) if self.has_ended_before(error) => Ok(0),
            Some(End::Failed(error)) => Err(self.failed(error)),
            Some(End::Headers) => {
                self.sending().stream.send_reset(Reason::PROTOCOL_ERROR);
                Err(io::Error::new(io::ErrorKind::InvalidData, "HEADERS inside the tunnel"))
            }
        }
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_capacity(&mut self.sending(), cx)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let mut sending = self.sending();
        sending.waiting = bytes.len();
        if self.poll_capacity(&mut sending, &mut Context::from_waker(Waker::noop()))?.is_pending() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        sending.stream.reserve_capacity(bytes.len());
        let room = sending.stream.capacity();
        let some = room.min(bytes.len());
        let sent = sending.stream.send_data(Bytes::copy_from_slice(&bytes[..some]), false);
        // What it could not send at once it does not keep from the others.
        sending.stream.reserve_capacity(0);
        sending.widest = sending.widest.max(room);
        sending.waiting -= some;
        match sent {
            Ok(()) => Ok(some),
            Err(_) if self.wastes(&mut sending) => {
                self.wasted.fetch_add(bytes.len(), Ordering::Relaxed);
                Ok(bytes.len())
            }
            Err(_) => Err(self.unwanted(&mut sending)),
        }
    }

    /// The connection's task sends what was taken, whatever becomes of this.
    fn poll_flush(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn finish(&self) -> io::Result<()> {
        if !self.finished.swap(true, Ordering::AcqRel) {
            // A stream that is closed already needs no end.
            let _closed = self.sending().stream.send_data(Bytes::new(), true);
        }
        Ok(())
    }

    fn broken(&self) -> Pin<Box<dyn Future<Output = io::Error> + Send + '_>> {
        Box::pin(std::future::poll_fn(|cx| {
            let mut sending = self.sending();
            match ready!(sending.stream.poll_reset(cx)) {
                Ok(Reason::NO_ERROR) => Poll::Pending,
                Ok(_) | Err(_) => Poll::Ready(self.unwanted(&mut sending)),
            }
        }))
    }

    fn reset_on_close(&self) {
        self.reset.store(true, Ordering::Release);
    }
}

/// RFC 9113 §8.5: a reset is a stream error of type CONNECT_ERROR. A close without one is an end,
/// if the peer is done; else h2 says that nobody listens (CANCEL), and sends nothing more.
impl Drop for Tunnelled {
    fn drop(&mut self) {
        if *self.reset.get_mut() {
            self.sending().stream.send_reset(Reason::CONNECT_ERROR);
        } else {
            let _closed = self.finish();
        }
        self.lease.connection().forget(self.id);
    }
}

impl fmt::Debug for Tunnelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnelled").field("finished", &self.finished).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::super::{CONNECTION_WINDOW, Connection, STREAM_WINDOW};
    use super::*;
    use crate::net::stream::Stream;

    /// Both ends of streams over one connection, as many as are asked for.
    struct Pair {
        sender: h2::client::SendRequest<Bytes>,
        accepted: UnboundedReceiver<(h2::RecvStream, h2::server::SendResponse<Bytes>)>,
        connections: [Connection; 2],
    }

    async fn pair() -> Pair {
        let (near, far): (DuplexStream, DuplexStream) = tokio::io::duplex(64 * 1024);
        let (accept, accepted) = unbounded_channel();
        tokio::spawn(async move {
            let mut server = h2::server::Builder::new()
                .initial_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .handshake(far)
                .await
                .expect("a preface");
            while let Some(Ok((request, respond))) = server.accept().await {
                accept.send((request.into_body(), respond)).expect("somebody waits");
            }
        });
        let (sender, running) = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .handshake(near)
            .await
            .expect("a connection");
        tokio::spawn(running);
        Pair { sender, accepted, connections: Default::default() }
    }

    impl Pair {
        async fn streams(&mut self) -> [Stream; 2] {
            let mut request = http::Request::new(());
            *request.method_mut() = http::Method::CONNECT;
            *request.uri_mut() = "host:22".parse().expect("an authority");
            let (response, sending) = self.sender.send_request(request, false).expect("a stream");
            let (receiving, mut respond) = self.accepted.recv().await.expect("a request");
            let far = respond.send_response(http::Response::new(()), false).expect("an answer");
            let near = response.await.expect("an answer").into_body();
            let lease = |side: usize| self.connections[side].lease(usize::MAX).expect("a place");
            [(sending, near, lease(0)), (far, receiving, lease(1))]
                .map(|(sending, receiving, lease)| Tunnelled::new(sending, receiving, lease))
                .map(|tunnelled| Stream::Channel(Box::new(tunnelled)))
        }
    }

    async fn read(stream: &mut Stream, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes).await.expect("bytes");
        bytes
    }

    #[tokio::test]
    async fn r46_each_direction_ends_alone() {
        let [mut near, mut far] = pair().await.streams().await;
        near.write_all(b"question").await.expect("taken");
        near.shutdown().await.expect("an end");
        let mut question = Vec::new();
        far.read_to_end(&mut question).await.expect("an orderly end");
        assert_eq!(question, b"question");
        far.write_all(b"answer").await.expect("taken");
        assert_eq!(read(&mut near, 6).await, b"answer");
        far.shutdown().await.expect("an end");
        assert_eq!(near.read(&mut [0]).await.expect("an orderly end"), 0);
        let late = near.write(b"late").await.map_err(|error| error.kind());
        assert_eq!(late, Err(io::ErrorKind::BrokenPipe));
    }

    #[tokio::test]
    async fn r47_a_reset_is_an_error_and_no_end() {
        let [near, mut far] = pair().await.streams().await;
        near.reset_on_close();
        drop(near);
        let error = far.read(&mut [0]).await.expect_err("a reset");
        assert_eq!(
            (error.kind(), error.to_string()),
            (io::ErrorKind::ConnectionReset, "RST_STREAM CONNECT_ERROR".into())
        );
    }

    #[tokio::test]
    async fn a_close_before_the_peer_is_done_tells_that_nobody_listens() {
        let [near, mut far] = pair().await.streams().await;
        drop(near);
        let error = far.read(&mut [0]).await.expect_err("torn down");
        assert_eq!(
            (error.kind(), error.to_string()),
            (io::ErrorKind::ConnectionAborted, "RST_STREAM CANCEL, without an end".into())
        );
        let late = far.write(b"late").await.map_err(|error| error.kind());
        assert_eq!(late, Err(io::ErrorKind::BrokenPipe));
    }

    #[tokio::test]
    async fn a_close_when_the_peer_is_done_loses_nothing() {
        let [near, mut far] = pair().await.streams().await;
        let mut near = near;
        far.shutdown().await.expect("an end");
        assert_eq!(near.read(&mut [0]).await.expect("an orderly end"), 0);
        near.write_all(&[7; 60_000]).await.expect("taken");
        drop(near);
        let mut rest = Vec::new();
        far.read_to_end(&mut rest).await.expect("an orderly end");
        assert_eq!(rest.len(), 60_000);
    }

    #[tokio::test]
    async fn r48_the_window_reopens_as_bytes_are_read_and_no_sooner() {
        let mut pair = pair().await;
        let [mut slow, mut flooded] = pair.streams().await;
        let flood = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let sent = flood.clone();
        tokio::spawn(async move {
            while let Ok(some) = flooded.write(&[7; 16 * 1024]).await {
                sent.fetch_add(some, Ordering::Relaxed);
            }
        });
        // Another stream carries more than the connection's first window meanwhile.
        let [mut fast, mut source] = pair.streams().await;
        let lots = 2 * STREAM_WINDOW as usize;
        tokio::spawn(async move { source.write_all(&vec![8; lots]).await });
        assert_eq!(read(&mut fast, lots).await.len(), lots);
        let most = STREAM_WINDOW as usize + super::super::SEND_BUFFER + 512 * 1024;
        let unread = flood.load(Ordering::Relaxed);
        assert!(unread <= most, "{unread} bytes are on the way, and nobody reads them");
        // And what is read makes room.
        assert_eq!(read(&mut slow, lots).await.len(), lots);
    }

    /// A stream whose other end is made of frames, and has the windows that everything begins with.
    async fn by_hand() -> (Tunnelled, DuplexStream) {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        // SETTINGS, and `:status: 200` (RFC 7541 appendix A).
        far.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.expect("room");
        let (mut sender, running) = h2::client::handshake(near).await.expect("a connection");
        tokio::spawn(running);
        let request = http::Request::connect("host:22").body(()).expect("a request");
        let (response, sending) = sender.send_request(request, false).expect("a stream");
        far.read_exact(&mut [0; 24]).await.expect("a preface");
        let mut header = [0; 9];
        while header[3] != 1 {
            far.read_exact(&mut header).await.expect("a frame");
            far.read_exact(&mut vec![0; usize::from(header[2])]).await.expect("a short frame");
        }
        far.write_all(&[0, 0, 1, 1, 4, 0, 0, 0, 1, 0x88]).await.expect("room");
        let receiving = response.await.expect("an answer").into_body();
        let lease = Connection::default().lease(1).expect("a place");
        (Tunnelled::new(sending, receiving, lease), far)
    }

    /// Opens the windows of the connection and the stream.
    async fn open(far: &mut DuplexStream, by: u16) {
        let [high, low] = by.to_be_bytes();
        for stream in [0, 1] {
            far.write_all(&[0, 0, 4, 8, 0, 0, 0, 0, stream, 0, 0, high, low]).await.expect("room");
        }
    }

    async fn is_ready(near: &Tunnelled, within: Duration) -> bool {
        tokio::time::timeout(within, std::future::poll_fn(|cx| near.poll_write_ready(cx))).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_that_opens_in_small_steps_is_not_used_in_small_pieces() {
        let (near, mut far) = by_hand().await;
        let bytes = [7; 70_000];
        let write = |length: usize| near.try_write(&bytes[..length]).map_err(|error| error.kind());
        assert_eq!(write(70_000), Ok(65_535));
        assert_eq!(write(20_000), Err(io::ErrorKind::WouldBlock));
        open(&mut far, 10_000).await;
        assert!(!is_ready(&near, OVERRIDE / 2).await);
        assert_eq!(write(20_000), Err(io::ErrorKind::WouldBlock));
        open(&mut far, 6_384).await;
        assert!(is_ready(&near, OVERRIDE / 4).await);
        assert_eq!(write(20_000), Ok(16_384));
        // Nor does a last piece wait for more than it is.
        assert_eq!(write(100), Err(io::ErrorKind::WouldBlock));
        open(&mut far, 100).await;
        assert!(is_ready(&near, OVERRIDE / 4).await);
        assert_eq!(write(100), Ok(100));
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_that_stays_narrow_is_waited_for_once() {
        let (near, mut far) = by_hand().await;
        let bytes = [7; 70_000];
        assert_eq!(near.try_write(&bytes).map_err(|error| error.kind()), Ok(65_535));
        for patience in [OVERRIDE * 2, OVERRIDE / 4, OVERRIDE / 4] {
            near.try_write(&bytes).expect_err("no room");
            open(&mut far, 1_000).await;
            assert!(is_ready(&near, patience).await);
            assert_eq!(near.try_write(&bytes).map_err(|error| error.kind()), Ok(1_000));
        }
    }

    #[tokio::test]
    async fn r50_headers_inside_the_tunnel_are_an_error() {
        let mut pair = pair().await;
        let mut request = http::Request::new(());
        *request.method_mut() = http::Method::CONNECT;
        *request.uri_mut() = "host:22".parse().expect("an authority");
        let (response, sending) = pair.sender.send_request(request, false).expect("a stream");
        let (_receiving, mut respond) = pair.accepted.recv().await.expect("a request");
        let mut far = respond.send_response(http::Response::new(()), false).expect("an answer");
        far.send_trailers(http::HeaderMap::new()).expect("sent");
        let near = response.await.expect("an answer").into_body();
        let lease = pair.connections[0].lease(1).expect("a place");
        let mut near = Stream::Channel(Box::new(Tunnelled::new(sending, near, lease)));
        let error = near.read(&mut [0]).await.expect_err("no end");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let reset = poll_reset(&mut far).await;
        assert_eq!(reset, Reason::PROTOCOL_ERROR);
    }

    async fn poll_reset(stream: &mut SendStream<Bytes>) -> Reason {
        std::future::poll_fn(|cx| stream.poll_reset(cx)).await.expect("a reset")
    }
}
