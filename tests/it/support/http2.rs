//! A proxy that speaks HTTP/2, in the clear or by ALPN, and does with each request what a test says.
//!
//! `done` (or the drop) fails the test when a handler panicked.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::request::Parts;
use http::{Response, StatusCode};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;

use super::LIMIT;

/// How the proxy behaves as a peer.
#[derive(Clone)]
pub(crate) struct Peer {
    /// SETTINGS_MAX_CONCURRENT_STREAMS.
    pub(crate) streams: u32,
    /// The window of each stream; the connection's is four times that.
    pub(crate) window: u32,
    /// Spoken before HTTP/2.
    pub(crate) tls: Option<Arc<ServerConfig>>,
}

impl Peer {
    pub(crate) fn new() -> Self {
        Self { streams: 100, window: 1 << 20, tls: None }
    }
}

/// One request, and what can be done about it.
pub(crate) struct Asked {
    /// On which connection, from 1.
    pub(crate) connection: usize,
    /// Which request of all, from 1.
    pub(crate) nth: usize,
    pub(crate) request: Parts,
    pub(crate) receive: RecvStream,
    pub(crate) respond: SendResponse<Bytes>,
    pub(crate) control: Control,
}

/// What can be done with a whole connection.
#[derive(Clone)]
pub(crate) struct Control(mpsc::UnboundedSender<Order>);

enum Order {
    Goodbye,
    Freeze,
}

impl Control {
    /// GOAWAY, with all that has come accepted.
    pub(crate) fn say_goodbye(&self) {
        self.0.send(Order::Goodbye).unwrap();
    }

    /// Nothing is read and nothing answered any more, not even a ping.
    pub(crate) fn freeze(&self) {
        self.0.send(Order::Freeze).unwrap();
    }
}

type Handled = Pin<Box<dyn Future<Output = ()> + Send>>;
type Handler = Arc<dyn Fn(Asked) -> Handled + Send + Sync>;

/// The proxy.
pub(crate) struct Http2Proxy {
    addr: SocketAddr,
    scheme: &'static str,
    connections: Arc<AtomicUsize>,
    panics: Arc<Mutex<Vec<String>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Http2Proxy {
    /// In the clear.
    pub(crate) fn start<F>(handler: impl Fn(Asked) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::as_peer(Peer::new(), handler)
    }

    pub(crate) fn as_peer<F>(peer: Peer, handler: impl Fn(Asked) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::start_boxed(peer, Arc::new(move |asked| Box::pin(handler(asked))))
    }

    fn start_boxed(peer: Peer, handler: Handler) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let addr = listener.local_addr().unwrap();
        let (connections, panics) = (Arc::default(), Arc::default());
        let (stop, stopped) = oneshot::channel();
        let scheme = if peer.tls.is_some() { "https" } else { "http" };
        let shared = Shared {
            peer,
            handler,
            connections: Arc::clone(&connections),
            requests: Arc::default(),
            panics: Arc::clone(&panics),
        };
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = shared.accept(listener) => {}
                    _ = stopped => {}
                }
            });
            runtime.shutdown_background();
        });
        Self { addr, scheme, connections, panics, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn port(&self) -> u16 {
        self.addr.port()
    }

    pub(crate) fn url(&self) -> String {
        let host = if self.scheme == "https" { "localhost" } else { "127.0.0.1" };
        format!("{}://{host}:{}", self.scheme, self.addr.port())
    }

    /// How many connections there have been.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    #[track_caller]
    pub(crate) fn done(mut self) {
        self.finish();
    }

    #[track_caller]
    fn finish(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        drop(self.stop.take());
        thread.join().unwrap();
        let panics = self.panics.lock().unwrap();
        assert!(panics.is_empty(), "the proxy's handler failed: {panics:?}");
    }
}

impl Drop for Http2Proxy {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.finish();
        }
    }
}

#[derive(Clone)]
struct Shared {
    peer: Peer,
    handler: Handler,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    panics: Arc<Mutex<Vec<String>>>,
}

impl Shared {
    async fn accept(self, listener: TcpListener) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let connection = self.connections.fetch_add(1, Ordering::SeqCst) + 1;
            let this = self.clone();
            tokio::spawn(async move {
                match &this.peer.tls {
                    None => this.serve(connection, stream).await,
                    Some(config) => {
                        let Ok(stream) = TlsAcceptor::from(Arc::clone(config)).accept(stream).await else {
                            return;
                        };
                        this.serve(connection, stream).await;
                    }
                }
            });
        }
    }

    async fn serve(self, connection: usize, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let Ok(mut streams) = Builder::new()
            .max_concurrent_streams(self.peer.streams)
            .initial_window_size(self.peer.window)
            .initial_connection_window_size(4 * self.peer.window)
            .max_header_list_size(1 << 20)
            .handshake(stream)
            .await
        else {
            return;
        };
        let (order, mut orders) = mpsc::unbounded_channel();
        loop {
            tokio::select! {
                accepted = streams.accept() => match accepted {
                    None | Some(Err(_)) => return,
                    Some(Ok((request, respond))) => {
                        let (parts, receive) = request.into_parts();
                        let nth = self.requests.fetch_add(1, Ordering::SeqCst) + 1;
                        let control = Control(order.clone());
                        let asked = Asked { connection, nth, request: parts, receive, respond, control };
                        let handled = tokio::spawn((self.handler)(asked));
                        let panics = Arc::clone(&self.panics);
                        tokio::spawn(async move {
                            if let Err(panic) = handled.await && panic.is_panic() {
                                let panic = panic.into_panic();
                                let why = panic.downcast_ref::<String>().cloned();
                                let why = why.or_else(|| panic.downcast_ref::<&str>().map(|&s| s.to_owned()));
                                panics.lock().unwrap().push(why.unwrap_or_default());
                            }
                        });
                    }
                },
                Some(order) = orders.recv() => match order {
                    Order::Goodbye => streams.graceful_shutdown(),
                    Order::Freeze => std::future::pending().await,
                },
            }
        }
    }
}

impl Asked {
    /// The value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.request.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The target.
    pub(crate) fn target(&self) -> String {
        self.request.uri.to_string()
    }

    /// Opens the tunnel.
    pub(crate) fn open(mut self) -> Tunnel {
        let send = self.respond.send_response(Response::new(()), false).unwrap();
        Tunnel { send, receive: self.receive, control: self.control }
    }

    /// Another answer than 2xx, with a text behind it.
    pub(crate) fn refuse(mut self, status: u16, fields: &[(&str, &str)], content: &'static str) {
        let mut response = Response::builder().status(StatusCode::from_u16(status).unwrap());
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        let mut send = self.respond.send_response(response.body(()).unwrap(), false).unwrap();
        send.send_data(Bytes::from_static(content.as_bytes()), true).unwrap();
    }

    /// RST_STREAM in place of an answer.
    pub(crate) fn reset(mut self, reason: Reason) {
        self.respond.send_reset(reason);
    }

    /// Opens the tunnel to where the target really is, and carries it to its end.
    pub(crate) async fn relay(self) {
        let stream = TcpStream::connect(self.target()).await.unwrap();
        let Tunnel { mut send, mut receive, .. } = self.open();
        let (mut from, mut to) = stream.into_split();
        let inbound = tokio::spawn(async move {
            while let Some(Ok(bytes)) = receive.data().await {
                to.write_all(&bytes).await.ok();
                receive.flow_control().release_capacity(bytes.len()).ok();
            }
            to.shutdown().await.ok();
        });
        let mut buffer = vec![0; 16 * 1024];
        loop {
            match from.read(&mut buffer).await {
                Ok(some @ 1..) => _ = push(&mut send, &buffer[..some]).await,
                Ok(0) => break send.send_data(Bytes::new(), true).unwrap_or(()),
                _ => break send.send_reset(Reason::CONNECT_ERROR),
            }
        }
        inbound.await.unwrap();
    }
}

/// The proxy's end of a tunnel.
pub(crate) struct Tunnel {
    pub(crate) send: SendStream<Bytes>,
    pub(crate) receive: RecvStream,
    pub(crate) control: Control,
}

impl Tunnel {
    /// Whether they all went out, the client being there still.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        push(&mut self.send, bytes).await
    }

    pub(crate) fn end(&mut self) {
        self.send.send_data(Bytes::new(), true).unwrap();
    }

    /// So many bytes.
    pub(crate) async fn read(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            bytes.extend(self.next().await.expect("not so many bytes").unwrap());
        }
        bytes
    }

    /// Everything up to END_STREAM.
    pub(crate) async fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(some) = self.next().await {
            bytes.extend(some.unwrap());
        }
        bytes
    }

    /// The next bytes; an error is a reset.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, h2::Error>> {
        let next = tokio::time::timeout(LIMIT, self.receive.data()).await.expect("nothing came")?;
        if let Ok(bytes) = &next {
            self.receive.flow_control().release_capacity(bytes.len()).unwrap();
        }
        Some(next)
    }

    /// With which reason the client resets the stream.
    pub(crate) async fn until_reset(&mut self) -> Reason {
        loop {
            match self.next().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return error.reason().unwrap(),
                None => panic!("an end instead of a reset"),
            }
        }
    }

    /// Carries back what comes.
    pub(crate) async fn echo(mut self) {
        while let Some(Ok(bytes)) = self.receive.data().await {
            self.receive.flow_control().release_capacity(bytes.len()).unwrap();
            push(&mut self.send, &bytes).await;
        }
        self.send.send_data(Bytes::new(), true).ok();
    }
}

/// Whether it went out; the client may be gone.
async fn push(send: &mut SendStream<Bytes>, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        send.reserve_capacity(bytes.len().min(64 * 1024));
        let room = if send.capacity() > 0 {
            send.capacity()
        } else {
            match tokio::time::timeout(3 * LIMIT, std::future::poll_fn(|cx| send.poll_capacity(cx))).await {
                Ok(Some(Ok(room))) => room,
                Ok(_) => return false,
                Err(_) => panic!("the window does not open"),
            }
        };
        let (now, later) = bytes.split_at(room.min(bytes.len()));
        if send.send_data(Bytes::copy_from_slice(now), false).is_err() {
            return false;
        }
        bytes = later;
    }
    true
}

/// As long as a test takes.
pub(crate) async fn forever() {
    tokio::time::sleep(Duration::from_secs(3600)).await;
}
