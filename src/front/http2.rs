//! Clients that ask by CONNECT of HTTP/2, several times on one connection.
//!
//! Drives `net::http2::Server`, and answers. Whom to let in is the [`Gate`]'s to say, as with
//! HTTP/1.

use std::io;
use std::time::Duration;

use bytes::Bytes;

use super::gate::{Denied, Gate};
use super::{Asked, Caller};
use crate::net::http2::{Asking, Server};
use crate::net::stream::Stream;

/// How long a connection may be without a tunnel. nginx has 75 s, nghttpx 3 minutes.
const IDLE: Duration = Duration::from_secs(60);

/// The requests of one client.
#[derive(Debug)]
pub struct Callers(Box<Server>);

impl Callers {
    pub(super) async fn begin(client: Stream) -> io::Result<Self> {
        Ok(Self(Box::new(Server::begin(client).await?)))
    }

    pub(super) async fn next(&mut self, gate: &Gate) -> Option<Result<Asked, Denied>> {
        let asking = self.0.accept(IDLE).await?;
        let judged = asking.request().map_err(Denied::from).and_then(|request| {
            gate.judge(&request)?;
            Ok(request.target)
        });
        Some(match judged {
            Ok(target) => Ok(Asked { target, early: Bytes::new(), caller: Caller::Http2(Box::new(asking)) }),
            Err(denied) => Err(turn_away(asking, denied, gate)),
        })
    }

    /// Takes no more than what is under way.
    pub fn say_goodbye(&mut self) {
        self.0.say_goodbye();
    }
}

/// Answers whom it denies.
fn turn_away(asking: Asking, denied: Denied, gate: &Gate) -> Denied {
    if let Some(status) = denied.status() {
        asking.refuse(status, &gate.fields(&denied));
    }
    denied
}
