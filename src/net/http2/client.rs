//! The client's side of a connection: its beginning, asking for tunnels, and noticing its death.
//!
//! Drives `proto::Exchange` as `http1` drives the handshake, one stream for each request. Refuses
//! to know when a connection is shared, and what a refusal means for the next request.

use std::future::poll_fn;
use std::io;
use std::ops::RangeInclusive;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Ping, PingPong};
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, Uri};
use tokio::io::AsyncReadExt as _;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::wire::{Left, Remains, Wire};
use super::{
    CONNECTION_WINDOW, Connection, FRAMES, Lease, MAX_RESET, MAX_STREAMS, RESET_MEMORY, SEND_BUFFER,
    STREAM_WINDOW, Tunnelled,
};
use crate::net::stream::Stream;
use crate::net::tcp_info::{Ends, tcp_info_between};
use crate::proto::exchange::{Exchange, Verdict};
use crate::proto::head::{HeadError, ResponseHead, Status};
use crate::proto::http2::{Code, Http2Error};
use crate::proto::limits::{MAX_FIELDS, MAX_HEAD};
use crate::proto::request::Message;
use crate::proto::{HandshakeError, request};

/// How long a peer may take for a ping: as long as it may be silent, within these. A path over a
/// satellite takes a second.
const PONG: RangeInclusive<Duration> = Duration::from_secs(3)..=Duration::from_secs(15);

/// How long a ping may take that goes with a request: whoever asks is waiting.
const PONG_FOR_REQUEST: Duration = Duration::from_secs(5);

/// How often in that time it is looked whether what is before the ping is on its way.
const LOOKS: u32 = 4;

/// A connection that was heard so lately needs no ping with a request.
const FRESH: Duration = Duration::from_secs(1);

/// How long a peer may take to close behind our end.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long what is still on its way may stand still. On a slow path acknowledgements come in steps.
const STANDSTILL: Duration = Duration::from_secs(10);

/// How long that may take in all.
const LONGEST_FAREWELL: Duration = Duration::from_secs(60);

/// Fields that belong to a connection of HTTP/1.1, and have no place in HTTP/2 (RFC 9113 §8.2.2).
const OF_A_CONNECTION: [&str; 6] =
    ["connection", "proxy-connection", "keep-alive", "te", "transfer-encoding", "upgrade"];

/// What tunnels are asked for with. Clones ask over the same connection.
#[derive(Clone, Debug)]
pub struct Requests {
    sender: SendRequest<Bytes>,
    connection: Connection,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The peer's SETTINGS have come.
    settled: AtomicBool,
    /// A request goes out.
    asked: Notify,
    /// Told when streams may be had that could not before.
    freed: Arc<Notify>,
    /// All that there was to say has gone out, and nothing more will be said.
    said: AtomicBool,
}

/// What came of a request.
#[derive(Debug)]
pub struct Answer {
    /// What it means.
    pub verdict: Verdict,
    /// Its head.
    pub head: ResponseHead,
    /// The tunnel, or the content of a refusal.
    pub stream: Tunnelled,
}

/// Begins a connection over `stream`. The future is the connection: it must be run for anything
/// to move, and ends when nothing more is wanted of it, or it is dead. `freed` is told when a
/// stream can be had again. Where it is silent for `probe` while there are tunnels, it is pinged.
///
/// # Errors
/// The stream is broken.
pub async fn begin(
    stream: Stream,
    freed: Arc<Notify>,
    probe: Option<Duration>,
) -> io::Result<(Requests, impl Future<Output = ()> + Send)> {
    let (settled, said, asked) = (AtomicBool::new(false), AtomicBool::new(false), Notify::new());
    let shared = Arc::new(Shared { settled, asked, freed, said });
    let connection = Connection::new(shared.freed.clone());
    let remains = Remains::default();
    let ends = stream.tcp().and_then(Ends::of);
    let wire = Wire::new(stream, connection.clone(), remains.clone());
    let handshake = Builder::new()
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .data_frame_budget(FRAMES)
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(MAX_HEAD as u32)
        .initial_max_send_streams(MAX_STREAMS)
        .max_concurrent_reset_streams(MAX_RESET)
        .reset_stream_duration(RESET_MEMORY)
        .handshake(wire);
    let (sender, mut running) = handshake.await.map_err(io_error)?;
    let requests = Requests { sender, connection: connection.clone(), shared: shared.clone() };
    let pings = running.ping_pong().ok_or(io::ErrorKind::Unsupported)?;
    Ok((requests, run(running, pings, connection, shared, remains, probe, ends)))
}

impl Requests {
    /// A place for a stream, while the peer takes one more.
    pub fn lease(&self) -> Option<Lease> {
        // Before its SETTINGS have come nobody knows how many it takes. One must be worth a try.
        let most = match self.shared.settled.load(Ordering::Acquire) {
            true => self.sender.current_max_send_streams().min(MAX_STREAMS),
            false => 1,
        };
        self.connection.lease(most)
    }

    /// Whether new streams can be begun: the peer has not said goodbye, and is not dead.
    pub fn is_open(&self) -> bool {
        let ready = self.sender.clone().poll_ready(&mut Context::from_waker(Waker::noop()));
        self.connection.cause().is_none() && !matches!(ready, Poll::Ready(Err(_)))
    }

    /// Whether it still moves, for who waits for its end.
    pub fn pulse(&self) -> Pulse {
        Pulse { connection: self.connection.clone(), shared: self.shared.clone() }
    }

    /// How many streams the peer takes, as far as is known.
    pub fn limit(&self) -> Option<usize> {
        let most = self.sender.current_max_send_streams().min(MAX_STREAMS);
        // None at all is the peer's word: what is assumed at first is more.
        (most == 0 || self.shared.settled.load(Ordering::Acquire)).then_some(most)
    }

    /// Asks once, on a stream of its own.
    ///
    /// # Errors
    /// [`AskError`]; the deadline is the caller's.
    pub async fn ask(&self, exchange: &mut Exchange, lease: Lease) -> Result<Answer, AskError> {
        let request = encode(exchange.message().map_err(HandshakeError::from)?)?;
        let mut sender = self.sender.clone();
        let (mut response, sending) =
            sender.send_request(request, false).map_err(|error| self.failed(&error))?;
        self.shared.asked.notify_one();
        loop {
            let (head, receiving) = match poll_fn(|cx| poll_answer(&mut response, cx)).await {
                Ok(Came::Interim(interim)) => (decode(&interim)?, None),
                Ok(Came::Final(answer)) => (decode(&answer)?, Some(answer.into_body())),
                Err(error) => return Err(self.failed(&error)),
            };
            exchange.log(&head, "2");
            // RFC 9113 §3.4: the peer's SETTINGS come before anything else of it.
            if !self.shared.settled.swap(true, Ordering::AcqRel) {
                self.shared.freed.notify_waiters();
            }
            let verdict = exchange.response(&head).map_err(HandshakeError::from)?;
            if let Some(receiving) = receiving {
                let stream = Tunnelled::new(sending, receiving, lease);
                return Ok(Answer { verdict, head, stream });
            }
        }
    }

    fn failed(&self, error: &h2::Error) -> AskError {
        if let Some(cause) = self.connection.cause() {
            return AskError::Broken(cause);
        }
        match (error.get_io(), error.reason().map(Code::from)) {
            // What h2 calls the end of a connection that had streams.
            (Some(io), _) if io.kind() == io::ErrorKind::BrokenPipe => HandshakeError::Closed.into(),
            (Some(io), _) => AskError::Broken(io::Error::new(io.kind(), io.to_string())),
            (None, Some(code)) => AskError::Http2(match (error.is_remote(), error.is_go_away()) {
                (true, true) => Http2Error::GoAway(code),
                (true, false) => Http2Error::Reset(code),
                (false, _) if self.connection.is_spoken() => Http2Error::Broken(code),
                (false, _) => Http2Error::NotHttp2(code),
            }),
            (None, None) => AskError::Broken(io::Error::other(error.to_string())),
        }
    }
}

/// A sign of life that keeps no connection alive.
#[derive(Debug)]
pub struct Pulse {
    connection: Connection,
    shared: Arc<Shared>,
}

impl Pulse {
    /// When bytes last came or went.
    pub fn last(&self) -> Instant {
        self.connection.moved()
    }

    /// Whether all that there was to say has gone out, and nothing more will be said.
    pub fn has_said_all(&self) -> bool {
        self.shared.said.load(Ordering::Acquire)
    }
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// HTTP/2 says so, or what came is none.
    #[error(transparent)]
    Http2(#[from] Http2Error),
    /// The connection broke.
    #[error(transparent)]
    Broken(io::Error),
}

impl From<HandshakeError> for AskError {
    fn from(error: HandshakeError) -> Self {
        Self::Http2(error.into())
    }
}

enum Came {
    Interim(Response<()>),
    Final(Response<h2::RecvStream>),
}

fn poll_answer(response: &mut ResponseFuture, cx: &mut Context<'_>) -> Poll<Result<Came, h2::Error>> {
    if let Poll::Ready(Some(interim)) = response.poll_informational(cx) {
        return Poll::Ready(interim.map(Came::Interim));
    }
    Pin::new(response).poll(cx).map_ok(Came::Final)
}

/// RFC 9113 §8.5: `:method` and `:authority` alone.
fn encode(Message { target, credentials, fields }: Message<'_>) -> Result<Request<()>, AskError> {
    let invalid = |_| AskError::Broken(io::ErrorKind::InvalidInput.into());
    let authority = target.to_string();
    let uri = Uri::builder().authority(authority.as_str()).build().map_err(invalid)?;
    let mut headers = HeaderMap::new();
    let mut shown = request::is_shown().then(|| format!("CONNECT {authority} HTTP/2"));
    let mut add = |name: &str, value: &str, sensitive: bool| {
        let (Ok(name), Ok(mut header)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
            return Err(AskError::Broken(io::ErrorKind::InvalidInput.into()));
        };
        if !OF_A_CONNECTION.contains(&name.as_str()) {
            if let Some(shown) = &mut shown {
                shown.push_str(&format!("\n{name}: {value}"));
            }
            header.set_sensitive(sensitive);
            headers.append(name, header);
        }
        Ok(())
    };
    if let Some(credentials) = credentials {
        add("proxy-authorization", credentials.expose(), true)?;
    }
    for field in fields.iter() {
        add(field.name(), field.value(), field.is_sensitive())?;
    }
    request::log(shown.unwrap_or_default().as_bytes());
    let mut request = Request::new(());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

/// The head, in the words of every version. There are no reason phrases in HTTP/2 (RFC 9113 §8.3.2).
fn decode<T>(response: &Response<T>) -> Result<ResponseHead, HandshakeError> {
    if response.headers().len() > MAX_FIELDS {
        return Err(HeadError::TooManyLines.into());
    }
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Ok(ResponseHead {
        http_1_0: false,
        status: Status::new(response.status().as_u16()),
        reason: String::new(),
        fields: response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
    })
}

/// Moves a connection until it is over.
async fn run(
    running: h2::client::Connection<Wire, Bytes>,
    mut pings: PingPong,
    connection: Connection,
    shared: Arc<Shared>,
    remains: Remains,
    probe: Option<Duration>,
    ends: Option<Ends>,
) {
    let mut running = Box::pin(running);
    // The first one goes with the first request: behind its answer the peer's SETTINGS are known.
    let mut pinged = pings.send_ping(Ping::opaque()).is_ok().then(|| Pinged::new(None, ends));
    let mut unmissed = Instant::now();
    loop {
        let due = match (&pinged, probe) {
            (Some(pinged), _) => pinged.next_look(),
            (None, Some(probe)) => unmissed.max(connection.heard()).checked_add(probe),
            (None, None) => None,
        };
        let mut asked = pin!(shared.asked.notified());
        tokio::select! {
            over = &mut running => {
                if let Err(error) = over {
                    tracing::debug!("HTTP/2: {error}");
                    if error.is_io() {
                        connection.die(&io_error(error));
                    } else if let (true, true, Some(reason)) = (error.is_go_away(), error.is_remote(), error.reason()) {
                        let why = Http2Error::GoAway(reason.into());
                        connection.die(&io::Error::new(io::ErrorKind::ConnectionAborted, why));
                    }
                }
                break;
            }
            pong = poll_fn(|cx| pings.poll_pong(cx)), if pinged.is_some() => {
                if pong.is_ok() {
                    pinged = None;
                    shared.settled.store(true, Ordering::Release);
                    shared.freed.notify_waiters();
                } else {
                    // The connection is over, and tells so above.
                    pinged = Some(Pinged::new(None, ends));
                }
            }
            () = at(due) => match &mut pinged {
                Some(pinged) => if pinged.is_given_up(&connection) {
                    connection.die(&io::Error::new(io::ErrorKind::TimedOut, "it does not answer pings"));
                    break;
                },
                // Something was heard meanwhile.
                None if probe.is_some_and(|probe| connection.heard().elapsed() < probe) => {}
                None if connection.streams() > 0 => {
                    let patience = probe.map(|probe| probe.clamp(*PONG.start(), *PONG.end()));
                    pinged = pings.send_ping(Ping::opaque()).is_ok().then(|| Pinged::new(patience, ends));
                }
                // Nobody would miss it.
                None => unmissed = Instant::now(),
            },
            () = &mut asked => {
                if pinged.is_none() && connection.heard().elapsed() > FRESH {
                    let sent = pings.send_ping(Ping::opaque()).is_ok();
                    pinged = sent.then(|| Pinged::new(Some(PONG_FOR_REQUEST), ends));
                }
            }
        }
    }
    drop(running);
    let left = remains.lock().unwrap_or_else(PoisonError::into_inner).take();
    // Who waits for a stream of this one looks for another.
    shared.freed.notify_waiters();
    if let Some(Left { stream, all_sent }) = left {
        let taken = farewell(stream, &connection).await;
        shared.said.store(all_sent && taken, Ordering::Release);
    }
}

/// A ping that is not answered yet.
#[derive(Debug)]
struct Pinged {
    /// How long nothing may be seen of the peer; `None`: for ever.
    patience: Option<Duration>,
    ends: Option<Ends>,
    looked: Instant,
    /// When the peer was last seen to take something.
    taken: Instant,
    unacknowledged: u32,
}

impl Pinged {
    fn new(patience: Option<Duration>, ends: Option<Ends>) -> Self {
        let now = Instant::now();
        let unacknowledged = patience.map_or(0, |_| unacknowledged(ends));
        Self { patience, ends, looked: now, taken: now, unacknowledged }
    }

    fn next_look(&self) -> Option<Instant> {
        self.looked.checked_add(self.patience? / LOOKS)
    }

    /// Whether the peer is dead. Whatever is heard postpones that: a pong may come behind much that
    /// is on the way already. So does what it takes: the ping may stand behind megabytes that are on
    /// their way to it.
    fn is_given_up(&mut self, connection: &Connection) -> bool {
        self.looked = Instant::now();
        let before = std::mem::replace(&mut self.unacknowledged, unacknowledged(self.ends));
        if self.unacknowledged < before {
            self.taken = self.looked;
        }
        let alive = self.taken.max(connection.heard());
        self.patience.is_some_and(|patience| alive.elapsed() >= patience)
    }
}

/// Bytes on their way.
fn unacknowledged(ends: Option<Ends>) -> u32 {
    ends.and_then(tcp_info_between).map_or(0, |info| info.unacknowledged)
}

/// Reads up to the peer's end. A socket that is closed while something unread is there (a
/// WINDOW_UPDATE is enough) is reset, and what was still on its way out is lost: whether nothing
/// can have been.
async fn farewell(mut stream: Stream, connection: &Connection) -> bool {
    let ends = stream.tcp().and_then(Ends::of);
    let began = Instant::now();
    let mut nobody_reads = [0; 4096];
    let (mut on_its_way, mut moved) = (u32::MAX, began);
    while moved.elapsed() < STANDSTILL && began.elapsed() < LONGEST_FAREWELL {
        let until_its_end = async { while let Ok(1..) = stream.read(&mut nobody_reads).await {} };
        if tokio::time::timeout(FAREWELL, until_its_end).await.is_ok() {
            // It wants no more.
            return true;
        }
        match unacknowledged(ends) {
            0 => return true,
            rest if rest < on_its_way => {
                (on_its_way, moved) = (rest, Instant::now());
                connection.moves();
            }
            _ => {}
        }
    }
    false
}

/// Sleeps until then; for ever, where there is no such moment.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

pub(super) fn io_error(error: h2::Error) -> io::Error {
    let text = error.to_string();
    error.into_io().unwrap_or_else(|| io::Error::other(text))
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// A connection that is full, and whoever may read from it.
    async fn full() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let near = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connected");
        let (far, _) = listener.accept().await.expect("accepted");
        near.writable().await.expect("room");
        while near.try_write(&[0; 16 * 1024]).is_ok() {}
        (near, far)
    }

    #[tokio::test(start_paused = true)]
    async fn a_ping_behind_much_that_is_being_taken_is_waited_for_and_one_behind_nothing_is_not() {
        let (near, mut far) = full().await;
        let (connection, patience) = (Connection::default(), *PONG.start());
        // Heard once, long ago.
        tokio::time::sleep(2 * patience).await;
        let mut pinged = Pinged::new(Some(patience), Ends::of(&near));
        let mut bytes = vec![0; 300_000];
        for _ in 0..3 * LOOKS {
            let _some = far.read(&mut bytes).await.expect("bytes");
            at(pinged.next_look()).await;
            assert!(!pinged.is_given_up(&connection), "it takes what comes");
        }
        let stopped = Instant::now();
        while !pinged.is_given_up(&connection) {
            at(pinged.next_look()).await;
        }
        assert!(stopped.elapsed() < 2 * patience, "{:?}", stopped.elapsed());
    }

    /// What comes of a farewell to a peer that reads 100 kB a second, so many times; before it more
    /// is sent than that takes in any time.
    async fn parted(times: usize) -> bool {
        let (near, mut far) = full().await;
        let reads = async {
            let mut bytes = vec![0; 100_000];
            for _ in 0..times {
                let _end = far.read(&mut bytes).await;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            std::future::pending().await
        };
        let connection = Connection::default();
        tokio::select! {
            taken = farewell(Stream::Tcp(near), &connection) => taken,
            () = reads => unreachable!("it never ends"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_its_time_is_waited_for_and_one_that_takes_nothing_is_not() {
        assert!(parted(usize::MAX).await);
        let began = Instant::now();
        assert!(!parted(3).await);
        assert!(began.elapsed() < 2 * STANDSTILL);
    }
}
