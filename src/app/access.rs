//! Outside of every source: the access log, and the books of requests that no source wanted, those that the
//! ingress itself turned away included.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http::{Extensions, HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::account::{Booked, Books, cut};
use crate::domain::{Clock, EventId, Facts, Refused, Timestamp};
use crate::ingress::{self, Arrival, TurnedAway};
use crate::intake::{Kept, Passed};
use crate::store::Store;
use crate::telemetry::{AccessLine, AccessLog, RequestId, TraceId};

/// What every request's line is written with.
pub(super) struct AccessLayer<St>(pub(super) Arc<Desk<St>>);

/// What a line shows of a path, in bytes: all of every path that the ingress lets through.
const PATH_BYTES_MAX: usize = 8 << 10;

/// The desk at the door.
pub(super) struct Desk<St> {
    pub(super) log: AccessLog,
    /// Where requests go down that no source wanted.
    pub(super) unmatched: Books<St>,
    pub(super) limits: Arc<ArcSwap<ingress::Config>>,
    pub(super) clock: Clock,
}

/// A service whose requests are logged.
pub(super) struct Access<S, St> {
    inner: S,
    desk: Arc<Desk<St>>,
}

pin_project! {
    /// Writes the line when the answer is there.
    pub(super) struct Logged<F, St> {
        #[pin]
        inner: F,
        desk: Arc<Desk<St>>,
        seen: Option<Box<Seen>>,
        started: Instant,
    }
}

/// What the line needs of the request, taken only while the log is on.
struct Seen {
    time: Timestamp,
    request_id: RequestId,
    trace_id: Option<TraceId>,
    peer: Option<SocketAddr>,
    client: Option<std::net::IpAddr>,
    method: Method,
    uri: Uri,
    version: Option<Version>,
    user_agent: Option<HeaderValue>,
    bytes_in: u64,
}

/// The event that was kept, or passed on.
#[derive(Clone, Copy)]
struct Taken {
    event: EventId,
    duplicate: bool,
}

/// What the line needs of the answer.
struct Outcome<'a> {
    status: StatusCode,
    bytes_out: u64,
    duration: Duration,
    taken: Option<Taken>,
    booked: Option<&'a Booked>,
}

// === impl AccessLayer, Access ===

impl<S, St> Layer<S> for AccessLayer<St> {
    type Service = Access<S, St>;

    fn layer(&self, inner: S) -> Self::Service {
        Access { inner, desk: Arc::clone(&self.0) }
    }
}

impl<S: Clone, St> Clone for Access<S, St> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), desk: Arc::clone(&self.desk) }
    }
}

impl<S, St, B, RB> Service<Request<B>> for Access<S, St>
where
    S: Service<Request<B>, Response = Response<RB>>,
    St: Store,
    B: Body,
    RB: Body,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Logged<S::Future, St>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let seen = self.desk.log.is_on().then(|| Box::new(self.desk.see_request(&request)));
        let started = Instant::now();
        Logged { inner: self.inner.call(request), desk: Arc::clone(&self.desk), seen, started }
    }
}

impl<F, St, RB, E> Future for Logged<F, St>
where
    F: Future<Output = Result<Response<RB>, E>>,
    St: Store,
    RB: Body,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let mut answer = ready!(this.inner.poll(context));
        if let Ok(response) = &mut answer {
            if response.extensions().get::<Refused>().is_some() {
                this.desk.unmatched.metrics.received.inc();
                this.desk.unmatched.enter(response, *this.started);
            }
            if let Some(seen) = this.seen.take() {
                let (status, bytes_out) = (response.status(), response.body().size_hint().lower());
                let (taken, booked) = (Taken::of(response.extensions()), response.extensions().get::<Booked>());
                let duration = this.started.elapsed();
                this.desk.write(&seen, &Outcome { status, bytes_out, duration, taken, booked });
            }
        }
        Poll::Ready(answer)
    }
}

// === impl Desk ===

impl<St: Store> Desk<St> {
    /// Keeps what the ingress refused by itself, and gives the rejection's id.
    pub(super) fn turn_away(&self, turned: TurnedAway) -> Option<HeaderValue> {
        let TurnedAway { refused, version, arrival, bytes_out } = turned;
        let reason = refused.rejection.reason;
        let seen = self.log.is_on().then(|| Seen {
            client: refused.client,
            method: refused.method.clone(),
            uri: refused.uri.clone(),
            version,
            ..self.see(Some(arrival.peer), &refused.headers)
        });
        self.unmatched.metrics.received.inc();
        let id = self.unmatched.refuse(refused);
        if let Some(seen) = seen {
            let booked = Booked { source: None, rejection: Some((id, reason)) };
            let (status, duration) = (reason.status(), arrival.began.elapsed());
            self.write(&seen, &Outcome { status, bytes_out, duration, taken: None, booked: Some(&booked) });
        }
        HeaderValue::try_from(id.to_string()).ok()
    }
}

impl<St> Desk<St> {
    fn see_request<B: Body>(&self, request: &Request<B>) -> Seen {
        let peer = request.extensions().get::<Arrival>().map(|arrival| arrival.peer);
        Seen {
            client: request.extensions().get::<Facts>().and_then(|facts| facts.client),
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: Some(request.version()),
            bytes_in: request.body().size_hint().lower(),
            ..self.see(peer, request.headers())
        }
    }

    /// What stands in the headers, and when.
    fn see(&self, peer: Option<SocketAddr>, headers: &HeaderMap) -> Seen {
        let trusted =
            peer.is_some_and(|peer| ingress::is_trusted(peer.ip().to_canonical(), &self.limits.load().trusted_proxies));
        Seen {
            time: self.clock.now(),
            request_id: RequestId::of(headers, trusted),
            trace_id: TraceId::of(headers),
            peer,
            client: None,
            method: Method::default(),
            uri: Uri::default(),
            version: None,
            user_agent: headers.get(header::USER_AGENT).cloned(),
            bytes_in: 0,
        }
    }

    fn write(&self, seen: &Seen, outcome: &Outcome<'_>) {
        let Outcome { status, bytes_out, duration, taken, booked } = *outcome;
        let event_id = taken.map(|taken| taken.event.to_string());
        let rejection = booked.and_then(|booked| booked.rejection);
        let rejection_id = rejection.map(|(id, _)| id.to_string());
        self.log.write(&AccessLine {
            time: seen.time,
            request_id: seen.request_id.as_str(),
            remote_ip: seen.client,
            peer: seen.peer,
            method: seen.method.as_str(),
            path: cut(seen.uri.path(), PATH_BYTES_MAX),
            proto: match seen.version {
                None => "-",
                Some(Version::HTTP_10) => "HTTP/1.0",
                Some(Version::HTTP_2) => "HTTP/2.0",
                Some(_) => "HTTP/1.1",
            },
            status: status.as_u16(),
            bytes_in: seen.bytes_in,
            bytes_out,
            duration,
            user_agent: seen.user_agent.as_ref().and_then(|agent| agent.to_str().ok()),
            source: booked.and_then(|booked| booked.source.as_deref()),
            event_id: event_id.as_deref(),
            rejection_id: rejection_id.as_deref(),
            reason: rejection.map(|(_, reason)| reason.code()),
            duplicate: taken.is_some_and(|taken| taken.duplicate),
            trace_id: seen.trace_id.as_ref().map(TraceId::as_str),
        });
    }
}

// === impl Taken ===

impl Taken {
    fn of(answer: &Extensions) -> Option<Self> {
        let kept = answer.get::<Kept>().map(|kept| Self { event: kept.event, duplicate: kept.duplicate });
        kept.or_else(|| answer.get::<Passed>().map(|passed| Self { event: passed.event, duplicate: passed.duplicate }))
    }
}
