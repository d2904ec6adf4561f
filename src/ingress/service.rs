//! From hyper's requests to the gateway's tower service: who asks, since when, and how long it may take.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{CONNECTION, HOST};
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body::Body;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower_service::Service;

use super::answer::Ledger;
use super::body::RequestBody;
use super::call::Call;
use super::client::{self, client_address};
use super::connection::Setup;
use super::drain::{Drain, Stage};
use super::ending::{Ending, Endless};
use super::host::check_target;
use super::interim::Waiting;
use super::line::Asked;
use super::opening::{Origin, Secure};
use super::progress::Progress;
use super::{Config, RETRY_AFTER};
use crate::domain::interim::ToSender;
use crate::domain::{Facts, Hop, Reason, Refused, Rejection};
use crate::telemetry::IngressMetrics;

/// Where and when a request came in; travels in its extensions beside [`Facts`].
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// The other end of the connection: the last proxy, or the client itself. Behind `proxy_protocol` what the
    /// proxy's header says.
    pub peer: SocketAddr,
    /// Whether the connection is encrypted.
    pub scheme: Scheme,
    /// When the first byte of the request was here.
    pub began: Instant,
}

/// Over what a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain.
    Http,
    /// Encrypted by the gateway itself; what a proxy in front of it has decrypted is [`Http`](Self::Http).
    Https,
}

/// The service as hyper calls it on one connection.
#[derive(Debug)]
pub(super) struct Adapter<S> {
    /// The connection's own; hyper asks for one request after the other.
    pub(super) service: RefCell<S>,
    pub(super) shared: Arc<Shared>,
}

/// What the parts of one connection share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) peer: SocketAddr,
    pub(super) secure: Option<Secure>,
    pub(super) progress: Progress,
    /// Interim answers to the request that is served.
    pub(super) interim: Waiting,
    pub(super) limits: Arc<ArcSwap<Config>>,
    pub(super) drain: Arc<Drain>,
    pub(super) ledger: Ledger,
    pub(super) metrics: Arc<IngressMetrics>,
}

pin_project! {
    /// The answer to one request: the service's, or our own refusal.
    pub(super) struct Answering<F> {
        #[pin]
        inner: Inner<F>,
        number: u64,
        // For the case that the service has no answer in time: the request is gone with it then.
        asked: Asked,
        began: Instant,
        client: IpAddr,
        shared: Arc<Shared>,
    }
}

pin_project! {
    #[project = InnerProjection]
    enum Inner<F> {
        Service { #[pin] future: F },
        Refused { response: Option<Response<Bytes>> },
    }
}

const CLOSE: HeaderValue = HeaderValue::from_static("close");

// === impl Adapter ===

impl<S, B> hyper::service::Service<Request<Incoming>> for Adapter<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible> + Clone,
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    type Response = Response<Ending<Either<B, Full<Bytes>>>>;
    type Error = Infallible;
    type Future = Answering<Call<S, Request<RequestBody>>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let shared = &self.shared;
        let (number, began) = shared.progress.request_begins();
        let client = client_address(shared.peer.ip(), request.headers(), &shared.limits.load().trusted_proxies);
        let arrival = Arrival { peer: shared.peer, scheme: shared.scheme(), began };
        let version = Some(request.version());
        let asked = Asked { method: request.method().clone(), uri: request.uri().clone(), version };
        let inner = if let Some(rejection) = shared.refusal(number, &request) {
            let refused = Refused {
                rejection,
                method: asked.method.clone(),
                uri: asked.uri.clone(),
                headers: std::mem::take(request.headers_mut()),
                body: Bytes::new(),
                client: Some(client),
            };
            let mut response = shared.ledger.refuse(refused, version, arrival);
            // RFC 9112 section 6.3: what follows a request that was misread cannot be trusted to be a request.
            response.headers_mut().insert(CONNECTION, CLOSE);
            Inner::Refused { response: Some(response) }
        } else {
            let mut facts = shared.facts(client, began);
            // RFC 9110 section 15.2: HTTP/1.0 has none.
            if version == Some(Version::HTTP_11) {
                facts.interim = ToSender::over(Arc::<Shared>::clone(shared));
            }
            request.extensions_mut().insert(facts);
            request.extensions_mut().insert(arrival);
            Inner::Service { future: Call::new(&mut *self.service.borrow_mut(), request.map(RequestBody::new)) }
        };
        Answering { inner, number, asked, began, client, shared: Arc::clone(shared) }
    }
}

// === impl Shared ===

impl Shared {
    /// A connection that was just opened, and its service.
    pub(super) fn new<S>(origin: Origin, setup: Setup<S>) -> (S, Self) {
        let Setup { service, limits, drain, ledger, metrics } = setup;
        let Origin { peer, accepted, secure } = origin;
        let progress = Progress::new(accepted);
        (service, Self { peer, secure, progress, interim: Waiting::default(), limits, drain, ledger, metrics })
    }

    /// Over what its requests come.
    pub(super) fn scheme(&self) -> Scheme {
        if self.secure.is_some() { Scheme::Https } else { Scheme::Http }
    }

    /// What is known of a request before any guard has looked at it.
    pub(super) fn facts(&self, client: IpAddr, began: Instant) -> Facts {
        let peer = self.peer.ip().to_canonical();
        let is_trusted = client::is_trusted(peer, &self.limits.load().trusted_proxies);
        let hop = Hop { peer, is_trusted, is_https: self.secure.is_some(), began: began.into_std() };
        Facts { client: Some(client), hop: Some(hop), ..Facts::default() }
    }

    /// Refuses a request for a host that has another certificate than the connection was made with (RFC 9110
    /// section 15.5.20).
    pub(super) fn misdirected(&self, host: Option<&str>, headers: &HeaderMap) -> Option<Rejection> {
        let secure = self.secure.as_ref()?;
        if secure.tls.identities().len() < 2 {
            return None;
        }
        let host = host.or_else(|| without_port(headers.get(HOST)?.to_str().ok()?))?;
        let wrong = secure.tls.is_misdirected(secure.server_name.as_deref(), host);
        wrong.then(|| Rejection::new(Reason::MisdirectedRequest, "host has another certificate than the connection"))
    }

    /// What can be said against a request before any service sees it.
    fn refusal(&self, number: u64, request: &Request<Incoming>) -> Option<Rejection> {
        if let Some(rejection) = self.progress.refusal_of(number) {
            return Some(rejection.clone());
        }
        if let Err(rejection) = check_target(request.version(), request.method(), request.uri(), request.headers()) {
            return Some(rejection);
        }
        if let Some(rejection) = self.misdirected(request.uri().host(), request.headers()) {
            return Some(rejection);
        }
        (self.drain.stage() == Stage::Cut).then(draining)
    }
}

// === impl Answering ===

impl<F, B> Future for Answering<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    type Output = Result<Response<Ending<Either<B, Full<Bytes>>>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Shared { peer, progress, drain, ledger, .. } = &**this.shared;
        let is_whole = || progress.is_whole(*this.number);
        let mut response = match this.inner.project() {
            InnerProjection::Refused { response } => {
                let response = response.take().unwrap_or_default();
                response.map(|body| Either::Right(Full::new(body)))
            }
            InnerProjection::Service { future } => match polled(future, &this.shared.interim, cx) {
                Poll::Ready(Ok(response)) => response.map(Either::Left),
                Poll::Ready(Err(never)) => match never {},
                Poll::Pending => {
                    // The connection's timer says when; nobody else wakes us for it.
                    if !progress.is_expired() {
                        return Poll::Pending;
                    }
                    let rejection = overdue(is_whole(), drain.stage());
                    let arrival = Arrival { peer: *peer, scheme: this.shared.scheme(), began: *this.began };
                    let response = ledger.refuse_head(rejection, std::mem::take(this.asked), *this.client, arrival);
                    response.map(|body| Either::Right(Full::new(body)))
                }
            },
        };
        // hyper would close without saying so where the rest of the body is still on its way.
        if !is_whole() || drain.stage() != Stage::Open {
            response.headers_mut().insert(CONNECTION, CLOSE);
        }
        if response.extensions().get::<Endless>().is_some() {
            progress.answer_is_endless();
        }
        this.shared.metrics.responses.count(response.status());
        Poll::Ready(Ok(response.map(|body| Ending::new(body, *this.number, Arc::clone(this.shared)))))
    }
}

/// Polls the service. hyper may not flush once more by itself for an interim answer that it has passed on.
fn polled<F: Future>(future: Pin<&mut F>, interim: &Waiting, cx: &mut Context<'_>) -> Poll<F::Output> {
    let waited = interim.is_some();
    let polled = future.poll(cx);
    if !waited && interim.is_some() {
        cx.waker().wake_by_ref();
    }
    polled
}

/// Why a request in flight is ended by its deadline.
pub(super) fn overdue(is_whole: bool, stage: Stage) -> Rejection {
    if stage == Stage::Cut {
        draining()
    } else if is_whole {
        Rejection::new(Reason::RequestTimeout, "no answer within request_timeout").retry_after(RETRY_AFTER)
    } else {
        Rejection::new(Reason::BodyTimeout, "body incomplete at request_timeout")
    }
}

pub(super) fn draining() -> Rejection {
    Rejection::new(Reason::Draining, "past the drain deadline").retry_after(RETRY_AFTER)
}

/// The host of a `Host` header, in the form in which certificates name it.
fn without_port(host: &str) -> Option<&str> {
    match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next(),
        None => host.split(':').next(),
    }
}

// === impl Scheme ===

impl Scheme {
    /// `http` or `https`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}
