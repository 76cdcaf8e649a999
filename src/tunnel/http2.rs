//! The stage `connect` over HTTP/2: a stream for each request, on a connection that others share.
//!
//! Knows when a request may be sent again, and when only HTTP/1.1 helps: the ladder then goes on
//! there, with what has been found out so far.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::authentication::{Authentication, Stopped};
use super::pool::Found;
use super::{CONTENT_PATIENCE, Cause, Error, Facts, Http, Ladder, Peer, Stage, Tunnel, reach};
use crate::auth::{self, Credentials, GiveUp};
use crate::net::http1::read_excerpt;
use crate::net::http2::client::{Answer, AskError, Requests, begin};
use crate::net::http2::{Lease, Tunnelled};
use crate::net::stream::Stream;
use crate::proto::content::{Excerpt, Persistence};
use crate::proto::exchange::Verdict;
use crate::proto::http2::Http2Error;
use crate::proto::{Exchange, HandshakeError, Version};
use crate::route::Protocol;

/// Requests that are sent again where the proxy has not touched them: the connection was about to
/// close, or had died unnoticed. A proxy that goes on like this means it.
const MAX_AGAIN: u32 = 2;

/// What is waited before a stream that was refused is asked for again, the first time: one that was
/// reset counts with its proxy a little longer.
const PAUSE: Duration = Duration::from_millis(100);

/// A place for a stream.
pub(super) struct Place {
    requests: Requests,
    lease: Lease,
    /// Nobody has asked over this connection before.
    fresh: bool,
}

/// How far HTTP/2 led.
pub(super) enum Asked<'a> {
    /// To the target.
    Open(Tunnel),
    /// To HTTP/1.1, with these credentials.
    Http1(Box<Authentication<'a>>, Option<Credentials>),
}

impl<'a> Ladder<'a> {
    /// A place on a connection of HTTP/2; or a connection of HTTP/1.1, which is in use then.
    pub(super) async fn place(&mut self) -> Result<Option<Place>, Error> {
        let wanted = match (self.config.http, self.proxy.protocol) {
            (Http::Two, _) | (Http::Auto, Protocol::Https) => !is_bound(self.config.auth),
            (Http::One | Http::Auto, _) => false,
        };
        if !wanted {
            self.reach().await?;
            return Ok(None);
        }
        let shared = self.config.pool.of(self.proxy, self.nearer);
        let limit = self.config.connect_timeout;
        let deadline = Instant::now() + limit;
        let found = timeout_at(deadline, shared.find()).await;
        let slow = |peer: &Peer| Error::new(Stage::Tcp, peer.clone(), Cause::Timeout(limit));
        let late = |_| match shared.is_known() {
            true => self.failed(Cause::NoRoom(limit)),
            // Another was to find out what it speaks, and gets no answer either.
            false => slow(&self.peer),
        };
        let dial = match found.map_err(late)? {
            Found::Room(requests, lease) => return Ok(Some(Place { requests, lease, fresh: false })),
            Found::Dial(dial) => dial,
            Found::Http1 => {
                self.reach().await?;
                return Ok(None);
            }
        };
        let offer: &[&[u8]] = match self.config.http {
            Http::Two => &[b"h2"],
            Http::Auto | Http::One => &[b"h2", b"http/1.1"],
        };
        let peer = self.peer.clone();
        let reaching = reach(self.proxy, self.nearer, self.config, self.observer, offer);
        // Who has waited for another has no more time for that; a chain has it for each proxy.
        let (stream, chosen) = match dial.is_late() && self.nearer.is_empty() {
            true => timeout_at(deadline, reaching).await.map_err(|_| slow(&peer))??,
            false => reaching.await?,
        };
        match (self.proxy.protocol, chosen.as_deref()) {
            (Protocol::Https, Some(b"h2")) | (Protocol::Http, _) => {}
            (_, _) if self.config.http == Http::Two => {
                return Err(self.failed(Cause::Http2(Http2Error::NotChosen)));
            }
            (_, _) => {
                dial.speaks_http1();
                self.stream = Some(stream);
                return Ok(None);
            }
        }
        let begun = begin(stream, dial.freed(), self.config.dial.keepalive).await;
        let (requests, running) = begun.map_err(|error| self.broken(error))?;
        let task = tokio::spawn(running);
        let lease = dial.connected(requests.clone(), task);
        let lease = lease.ok_or_else(|| self.failed(Cause::Closed))?;
        Ok(Some(Place { requests, lease, fresh: true }))
    }

    /// Asks until there is a tunnel, or a reason why there is none.
    pub(super) async fn ask(
        &mut self,
        mut place: Place,
        mut authentication: Authentication<'a>,
        unasked: Option<Credentials>,
    ) -> Result<Asked<'a>, Error> {
        self.observer.learnt(Facts::Speaks { version: Version::Http2 });
        if unasked.as_ref().is_some_and(Credentials::are_bound) {
            return Ok(self.give_up_on_http2(authentication, unasked));
        }
        let mut exchange = Exchange::new(self.target.clone(), self.config.fields.clone(), unasked.clone());
        let mut sent = unasked;
        let mut again = 0;
        loop {
            let Place { requests, lease, fresh } = place;
            let asked = timeout_at(authentication.deadline, requests.ask(&mut exchange, lease)).await;
            let patience = self.config.proxy_timeout;
            let late = |_| match requests.limit() {
                // It may not even have gone out (RFC 9113 §5.1.2).
                Some(0) => self.failed(Cause::NoRoom(patience)),
                Some(_) | None => self.failed(Cause::Timeout(patience)),
            };
            let asked = asked.map_err(late)?;
            let Answer { verdict, head, stream } = match asked {
                Ok(answer) => answer,
                Err(AskError::Http2(error)) if error.wants_http_1_1() => {
                    return Ok(self.give_up_on_http2(authentication, sent));
                }
                Err(error) if again < MAX_AGAIN && may_be_repeated(&error, fresh) => {
                    if requests.limit() == Some(0) {
                        return Err(self.failed(Cause::Http2(Http2Error::NoStreams)));
                    }
                    again += 1;
                    if let AskError::Http2(Http2Error::Reset(_)) = error {
                        let pause = tokio::time::sleep(PAUSE * again);
                        // What is too late is found out below.
                        let _late = timeout_at(authentication.deadline, pause).await;
                    }
                    tracing::debug!("asking again: {error}");
                    match self.another(authentication.deadline).await? {
                        Some(other) => place = other,
                        None => return Ok(Asked::Http1(authentication.into(), sent)),
                    }
                    continue;
                }
                Err(error) => return Err(self.unanswered(error)),
            };
            let challenges = match verdict {
                // No final response is one.
                Verdict::Interim => return Err(self.failed(Cause::Closed)),
                Verdict::Open => {
                    self.observer.learnt(Facts::Answered { response: &head, sent: exchange.sent() });
                    if let Err(stopped) = authentication.opened(&head).await {
                        return Err(self.stopped(stopped, authentication, None));
                    }
                    tracing::debug!("the tunnel is open");
                    let stream = Stream::Channel(Box::new(stream));
                    return Ok(Asked::Open(Tunnel { early: bytes::Bytes::new(), stream }));
                }
                Verdict::Refused(refusal) => {
                    self.observer.learnt(Facts::Refused { refusal: &refusal });
                    self.read_page(stream, &exchange).await;
                    if authentication.is_refused_by(refusal.status) {
                        let refused = Stopped::GaveUp(GiveUp::Refused);
                        return Err(self.stopped(refused, authentication, Some(refusal)));
                    }
                    return Err(self.failed(Cause::Refused(refusal.into())));
                }
                Verdict::Challenged(challenges) => challenges,
            };
            let refusal = exchange.refusal(&head);
            self.observer.learnt(Facts::Refused { refusal: &refusal });
            let stopped = match authentication.answer(&challenges, Persistence::Persists).await {
                Ok(Some(credentials)) => {
                    self.observer.learnt(Facts::Authorized { scheme: credentials.scheme() });
                    if credentials.are_bound() {
                        return Ok(self.give_up_on_http2(authentication, Some(credentials)));
                    }
                    sent = Some(credentials.clone());
                    exchange.authorize(credentials);
                    drop(stream);
                    // Its place is free again, unless somebody was quicker.
                    place = match requests.lease() {
                        Some(lease) => Place { requests, lease, fresh: false },
                        None => match self.another(authentication.deadline).await? {
                            Some(other) => other,
                            None => return Ok(Asked::Http1(authentication.into(), sent)),
                        },
                    };
                    continue;
                }
                Ok(None) => Stopped::GaveUp(GiveUp::NoLogin),
                Err(stopped) => stopped,
            };
            self.read_page(stream, &exchange).await;
            return Err(self.stopped(stopped, authentication, Some(refusal)));
        }
    }

    /// This tunnel goes on over HTTP/1.1, and later ones begin there.
    fn give_up_on_http2(&self, authentication: Authentication<'a>, sent: Option<Credentials>) -> Asked<'a> {
        tracing::debug!("HTTP/1.1 is needed");
        self.config.pool.of(self.proxy, self.nearer).needs_http1();
        Asked::Http1(authentication.into(), sent)
    }

    /// Another place, in the time that the whole exchange has. What is seen on the way to it is not
    /// told twice.
    async fn another(&mut self, deadline: Instant) -> Result<Option<Place>, Error> {
        let mut nobody = ();
        let Self { target, proxy, nearer, config, .. } = *self;
        let mut ladder = Ladder {
            target,
            proxy,
            nearer,
            peer: self.peer.clone(),
            config,
            observer: &mut nobody,
            stream: None,
        };
        let place = timeout_at(deadline, ladder.place()).await;
        self.stream = ladder.stream.take();
        let place = place.map_err(|_| self.failed(Cause::Timeout(self.config.proxy_timeout)))??;
        if place.as_ref().is_none_or(|place| place.fresh) {
            self.observer.learnt(Facts::Reconnected);
        }
        Ok(place)
    }

    /// Tells the observer what the proxy wrote behind its refusal, if that is wanted.
    async fn read_page(&mut self, stream: Tunnelled, exchange: &Exchange) {
        if self.observer.wants_content() {
            let mut stream = Stream::Channel(Box::new(stream));
            let content = read_excerpt(Excerpt::of_stream(), &mut stream, CONTENT_PATIENCE).await;
            self.observer.learnt(Facts::Content { content: &exchange.sent().mask_bytes(&content) });
        }
    }

    fn unanswered(&self, error: AskError) -> Error {
        match error {
            AskError::Broken(error) => self.broken(error),
            AskError::Http2(Http2Error::Handshake(HandshakeError::Closed)) => self.failed(Cause::Closed),
            AskError::Http2(Http2Error::Handshake(error)) => self.failed(Cause::Nonsense(error)),
            AskError::Http2(error) => self.failed(Cause::Http2(error)),
        }
    }
}

/// RFC 9113 §8.7. Where a connection that has served before ends without an answer, that is no
/// answer to this request (Q20, Q22): nothing has come of it yet.
fn may_be_repeated(error: &AskError, fresh: bool) -> bool {
    match error {
        AskError::Http2(Http2Error::Handshake(HandshakeError::Closed)) | AskError::Broken(_) => !fresh,
        AskError::Http2(error) => error.is_unprocessed(),
    }
}

/// Whether all that may be sent means something on its connection only.
fn is_bound(policy: auth::Policy) -> bool {
    match policy {
        auth::Policy::Only(scheme) => scheme.is_bound(),
        auth::Policy::Auto | auth::Policy::None => false,
    }
}
