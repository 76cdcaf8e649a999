//! One HTTP request over a stream, and the head of its answer: in HTTP/1.1 hyper speaks, in HTTP/2
//! h2, which hyper would use too.
//!
//! The content is left where it is. A head is bounded: by hyper to 100 fields, some 400 KiB, in
//! HTTP/2 to as much.

use std::pin::pin;

#[cfg(feature = "http2")]
use bytes::Bytes;
use hyper::http::request;
use hyper::{HeaderMap, Request, Response, Version};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// The largest head in HTTP/2, as it counts (RFC 9113 §6.5.2): what hyper permits.
#[cfg(feature = "http2")]
const MAX_HEAD: u32 = 400 * 1024;

/// What is offered by ALPN for a request.
pub const OFFER: &[&str] = if cfg!(feature = "http2") { &["h2", "http/1.1"] } else { &["http/1.1"] };

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// `HEAD` or `GET`.
    pub method: String,
    /// The path, with a slash in front.
    pub path: String,
    /// What to call ourselves.
    pub user_agent: Option<String>,
}

/// The head of the answer. Text is the server's and not escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// `HTTP/1.1`, `HTTP/1.0` or `HTTP/2`.
    pub version: &'static str,
    /// The status code.
    pub status: u16,
    /// What the server calls itself.
    pub server: Option<String>,
    /// Where it sends its clients (3xx).
    pub location: Option<String>,
}

/// Asks. `authority` is what stands in Host, `protocol` what ALPN has agreed upon.
///
/// # Errors
/// hyper's or h2's: no HTTP, or the connection broke.
pub async fn probe<S>(
    stream: S,
    authority: &str,
    wanted: &Probe,
    protocol: Option<&str>,
) -> Result<Answer, ProbeError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match protocol {
        #[cfg(feature = "http2")]
        Some("h2") => http2(stream, authority, wanted).await,
        Some(_) | None => http1(stream, authority, wanted).await,
    }
}

async fn http1<S>(stream: S, authority: &str, wanted: &Probe) -> Result<Answer, ProbeError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // RFC 9110 §7.2: Host is the first field.
    let request = Request::builder().uri(wanted.path.as_str()).header("host", authority);
    let request = wanted.put_in(request).body(String::new())?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    Ok(drive(connection, sender.send_request(request)).await?.into())
}

#[cfg(feature = "http2")]
async fn http2<S>(stream: S, authority: &str, wanted: &Probe) -> Result<Answer, ProbeError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // RFC 9113 §8.3.1: scheme, authority and path are of the request itself.
    let request = Request::builder().uri(format!("https://{authority}{}", wanted.path));
    let request = wanted.put_in(request).body(())?;
    let mut settings = h2::client::Builder::new();
    settings.enable_push(false).max_header_list_size(MAX_HEAD);
    let (sender, connection) = settings.handshake::<_, Bytes>(stream).await?;
    let answer = async { sender.ready().await?.send_request(request, true)?.0.await };
    Ok(drive(connection, answer).await?.into())
}

impl Probe {
    fn put_in(&self, request: request::Builder) -> request::Builder {
        let request = request.method(self.method.as_str());
        match &self.user_agent {
            Some(user_agent) => request.header("user-agent", user_agent),
            None => request,
        }
    }
}

impl<B> From<Response<B>> for Answer {
    fn from(response: Response<B>) -> Self {
        let field = |fields: &HeaderMap, name| {
            fields.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        Self {
            version: match response.version() {
                Version::HTTP_10 => "HTTP/1.0",
                Version::HTTP_2 => "HTTP/2",
                _ => "HTTP/1.1",
            },
            status: response.status().as_u16(),
            server: field(response.headers(), "server"),
            location: field(response.headers(), "location"),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The path is none.
    #[error(transparent)]
    Request(#[from] hyper::http::Error),
    /// No HTTP came, or the connection broke.
    #[error(transparent)]
    Conversation(#[from] hyper::Error),
    /// The same in HTTP/2.
    #[cfg(feature = "http2")]
    #[error(transparent)]
    Http2(#[from] h2::Error),
}

/// The connection must be polled for the answer to come.
pub(super) async fn drive<T>(connection: impl Future, answer: impl Future<Output = T>) -> T {
    let (mut connection, mut answer) = (pin!(connection), pin!(answer));
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // What it has ended with is what the answer ends with.
        _ended = &mut connection => answer.await,
    }
}
