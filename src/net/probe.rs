//! One HTTP/1.1 request over a stream, and the head of its answer; hyper speaks.
//!
//! Not HTTP/2: h2 doubles the relocations of the program, and so costs every `connect` 5 % of its
//! start.
//!
//! The content is left where it is. A head is bounded by hyper: 100 fields, some 400 KiB.

use std::pin::pin;

use hyper::body::Incoming;
use hyper::{Request, Response, Version};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

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
    /// `HTTP/1.1` or `HTTP/1.0`.
    pub version: &'static str,
    /// The status code.
    pub status: u16,
    /// What the server calls itself.
    pub server: Option<String>,
    /// Where it sends its clients (3xx).
    pub location: Option<String>,
}

/// Asks. `authority` is what stands in Host.
///
/// # Errors
/// hyper's: no HTTP, or the connection broke.
pub async fn probe<S>(stream: S, authority: &str, wanted: &Probe) -> Result<Answer, ProbeError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut request = Request::builder().method(wanted.method.as_str()).uri(wanted.path.as_str());
    request = request.header("host", authority);
    if let Some(user_agent) = &wanted.user_agent {
        request = request.header("user-agent", user_agent);
    }
    let request = request.body(String::new())?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let response = drive(connection, sender.send_request(request)).await?;
    let field = |name| {
        let value = response.headers().get(name)?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    Ok(Answer {
        version: if response.version() == Version::HTTP_10 { "HTTP/1.0" } else { "HTTP/1.1" },
        status: response.status().as_u16(),
        server: field("server"),
        location: field("location"),
    })
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
}

/// The connection must be polled for the answer to come.
async fn drive(
    connection: impl Future<Output = hyper::Result<()>>,
    answer: impl Future<Output = hyper::Result<Response<Incoming>>>,
) -> hyper::Result<Response<Incoming>> {
    let (mut connection, mut answer) = (pin!(connection), pin!(answer));
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // What it has ended with is what the answer ends with.
        _ended = &mut connection => answer.await,
    }
}
