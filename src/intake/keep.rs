//! The innermost service of a queue-mode source: durable, then 2xx.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};

use super::back::name_event;
use super::headers::{end_to_end, mark_reported};
use crate::domain::event::DEFAULT_PROJECT;
use crate::domain::{Clock, EventId, Facts, Holding, NewEvent, Reason, Refused, Rejection, RejectionId, Routes};
use crate::store::{Admission, AdmitError, Admitted, DedupMark, Store};

/// What the service must know of its source.
#[derive(Clone, Debug)]
pub struct Config {
    /// The source's name.
    pub source: Arc<str>,
    /// The answer to an event that is kept, or that is a copy of a kept one.
    pub respond: Respond,
    /// How long a copy counts as one; `None`: no deduplication.
    pub dedup_window: Option<Duration>,
    /// Headers that a client's `Connection` field cannot strip, since the signature or the event needs them.
    pub needed_headers: Vec<HeaderName>,
    /// Where events go.
    pub routes: Arc<Routes>,
    /// Whether the source is paused.
    pub holding: Arc<Holding>,
}

/// The answer of a source (`sources.*.respond`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Respond {
    /// 2xx.
    pub status: StatusCode,
    /// The body.
    pub body: Bytes,
    /// The body's type.
    pub content_type: HeaderValue,
}

/// Travels in the extensions of the answer, for the log and the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The event; of a copy, the first one's.
    pub event: EventId,
    /// Whether it was a copy.
    pub duplicate: bool,
    /// Whether no route wanted it.
    pub unrouted: bool,
    /// The first of what guards would have refused it for, where they only report.
    pub reported: Option<(RejectionId, Reason)>,
}

/// What the answer needs of a request.
#[derive(Default)]
struct About {
    held: bool,
    unrouted: bool,
    reported: Option<(RejectionId, Reason)>,
    client: Option<IpAddr>,
}

/// Keeps events.
pub struct Keep<S> {
    config: Config,
    store: Arc<S>,
    clock: Clock,
}

// === impl Respond ===

impl Default for Respond {
    /// 200 `OK`, as the platform's own examples answer.
    fn default() -> Self {
        Self {
            status: StatusCode::OK,
            body: Bytes::from_static(b"OK"),
            content_type: HeaderValue::from_static("text/plain; charset=utf-8"),
        }
    }
}

// === impl Keep ===

impl<S: Store> Keep<S> {
    /// The service for one source.
    #[must_use]
    pub fn new(config: Config, store: Arc<S>, clock: Clock) -> Self {
        Self { config, store, clock }
    }

    /// Keeps the event that a request is by what is known of it, and answers.
    pub async fn keep<B: AsRef<Bytes>>(&self, request: Request<B>) -> Response<Bytes> {
        let mut about = About::default();
        // What an admission is made of is gone before it is awaited: it would make the future of each request large.
        let admitted = self.store.admit(self.admission(request, &mut about)).await;
        let About { held, unrouted, reported, client } = about;
        if held && !self.config.holding.is_on() {
            // Resumed meanwhile: what was released then did not have this one yet.
            self.store.release_held(|moment| moment == self.config.holding.moment()).await;
        }
        match admitted {
            Ok(Admitted::Kept(event)) => self.answer(Kept { event, duplicate: false, unrouted, reported }),
            Ok(Admitted::Duplicate(event)) => self.answer(Kept { event, duplicate: true, unrouted, reported }),
            Err(error) => refuse(&error, client),
        }
    }

    fn admission<B: AsRef<Bytes>>(&self, mut request: Request<B>, about: &mut About) -> Admission {
        let facts = request.extensions_mut().remove::<Facts>().unwrap_or_default();
        let received_at = self.clock.now();
        let (head, body) = request.into_parts();
        let mut plan = self.config.routes.plan(&self.config.source, facts.event_type.as_deref(), received_at);
        *about = About {
            held: self.config.holding.hold(&mut plan),
            unrouted: plan.deliveries.is_empty(),
            reported: facts.reported.first().copied(),
            client: facts.client,
        };
        let dedup = facts.dedup_key.zip(self.config.dedup_window).map(|(key, window)| DedupMark { key, window });
        let mut headers = end_to_end(&head.headers, &self.config.needed_headers);
        mark_reported(&mut headers, &facts.reported);
        let event = NewEvent {
            source: Arc::clone(&self.config.source),
            source_event_id: facts.source_event_id,
            event_type: facts.event_type,
            project: project(),
            received_at,
            method: head.method,
            query: head.uri.query().map(Box::from),
            headers: headers.finish(),
            body: body.as_ref().clone(),
            signed_at: facts.signed_at,
            secret_index: facts.secret_index,
        };
        Admission { id: None, event, plan, dedup, also: None }
    }

    fn answer(&self, kept: Kept) -> Response<Bytes> {
        let respond = &self.config.respond;
        let mut response = Response::new(respond.body.clone());
        *response.status_mut() = respond.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, respond.content_type.clone());
        name_event(headers, kept.event);
        if kept.duplicate {
            headers.insert(HeaderName::from_static("hookward-duplicate"), HeaderValue::from_static("true"));
        }
        response.extensions_mut().insert(kept);
        response
    }
}

/// How long a sender waits before it tries a store that could not keep its event.
const RETRY_UNAVAILABLE: Duration = Duration::from_secs(5);
/// The same for a full one: space does not come back in seconds.
const RETRY_FULL: Duration = Duration::from_secs(30);

fn refuse(error: &AdmitError, client: Option<IpAddr>) -> Response<Bytes> {
    let rejection = match error {
        AdmitError::Full(_) => Rejection::new(Reason::StoreFull, error.to_string()).retry_after(RETRY_FULL),
        AdmitError::Unavailable(_) => {
            Rejection::new(Reason::StoreUnavailable, error.to_string()).retry_after(RETRY_UNAVAILABLE)
        }
    };
    let mut response = rejection.to_response();
    // Genuine, and nothing wrong with it: the head was given to the store and is not needed to mend anything.
    response.extensions_mut().insert(Refused {
        rejection,
        method: http::Method::POST,
        uri: http::Uri::default(),
        headers: http::HeaderMap::new(),
        body: Bytes::new(),
        client,
    });
    response
}

fn project() -> Arc<str> {
    use std::sync::LazyLock;
    static DEFAULT: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(DEFAULT_PROJECT));
    Arc::clone(&DEFAULT)
}
