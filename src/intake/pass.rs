//! The innermost service of a proxy-mode source: the mark is claimed, the request passed on, and the mark committed
//! where the app took the event (2xx), released otherwise (promise 2).
//!
//! - The claim is memory under a lease. Dropping the request releases it.
//! - An answer that is whole with its head, as nearly all are, commits before the sender has its first byte; one that
//!   streams commits with its last. An answer that breaks off in the middle releases: the sender has no whole answer
//!   either, and its retry gets through. A sender that leaves in the middle of a 2xx leaves a committed mark.
//! - Interim answers (1xx) go back as they come, where the sender's protocol lets us.
//! - A request is given to the app once. Whether an app that broke off has seen it nobody knows; the sender decides.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use tokio::time::Instant;

use super::app::{App, Onward};
use super::{Keep, Respond, back, body, onward, trailers};
use crate::domain::interim::OnInterim;
use crate::domain::{
    AnswerBody, AppError, Clock, EventId, Facts, Reason, Refused, Rejection, RejectionId, RequestBody,
};
use crate::store::{DedupMark, MarkClaim, MarkClaimed, Store};
use crate::telemetry::SourceMetrics;

/// What the service must know of its source.
#[derive(Clone, Debug)]
pub struct PassConfig {
    /// The source's name.
    pub source: Arc<str>,
    /// The answer to a copy of an event that the app has taken.
    pub respond: Respond,
    /// How long a copy counts as one; `None`: no deduplication.
    pub dedup_window: Option<Duration>,
    /// Headers that a client's `Connection` field cannot strip, since the signature or the event needs them.
    pub needed_headers: Vec<HeaderName>,
    /// The time from the first byte of a request to the last of its answer.
    pub timeout: Duration,
    /// How long a claim lasts that nobody ends.
    pub lease: Duration,
    /// Whether it is passed on also while the store cannot tell whether it is a copy.
    pub fails_open: bool,
}

/// Travels in the extensions of the answer, for the log and the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// The event; of a copy, the first one's.
    pub event: EventId,
    /// Whether it was a copy, which the app did not see.
    pub duplicate: bool,
    /// How long the app took until the head of its answer was there; zero for a copy.
    pub app_duration: Duration,
    /// The first of what guards would have refused it for, where they only report.
    pub reported: Option<(RejectionId, Reason)>,
}

/// Passes events on.
pub struct Pass<S, A> {
    config: PassConfig,
    app: A,
    store: Arc<S>,
    clock: Clock,
    metrics: Arc<SourceMetrics>,
    /// Takes an event that the app saw nothing of.
    kept: Option<Keep<S>>,
}

/// Why a request was not passed on.
enum Unpassed {
    Refused(Rejection),
    /// The app saw nothing of it, and its claim is given back.
    NotSeen(AppError),
}

/// The body of a request that is kept after all.
struct Whole(Bytes);

/// What a request has of its mark: released when it is dropped.
struct Held<S: Store> {
    event: EventId,
    /// Nobody could tell whether it is a copy.
    is_unchecked: bool,
    claim: Option<MarkClaim>,
    store: Arc<S>,
}

/// How a request goes on.
enum Claimed<S: Store> {
    First(Held<S>),
    Copy(EventId),
}

/// When a copy of what is under way may come again: most apps are done by then.
const RETRY_IN_FLIGHT: Duration = Duration::from_secs(2);

/// How long a sender waits before it tries a store that could not answer.
const RETRY_UNAVAILABLE: Duration = Duration::from_secs(5);

// === impl Pass ===

impl<S: Store, A: App> Pass<S, A> {
    /// The service for one source.
    #[must_use]
    pub fn new(config: PassConfig, app: A, store: Arc<S>, clock: Clock, metrics: Arc<SourceMetrics>) -> Self {
        Self { config, app, store, clock, metrics, kept: None }
    }

    /// The same with somebody who takes an event that the app saw nothing of (`if_app_fails: keep`). Such a body must be
    /// whole in memory.
    #[must_use]
    pub fn keeping(self, kept: Option<Keep<S>>) -> Self {
        Self { kept, ..self }
    }

    pub(super) async fn pass<B: Into<RequestBody>>(&self, request: Request<B>) -> Response<AnswerBody> {
        let (mut head, body) = request.into_parts();
        let mut facts = head.extensions.remove::<Facts>().unwrap_or_default();
        let body = body.into();
        // For the ledger, which keeps what is in memory anyway.
        let whole = if let RequestBody::Whole(bytes) = &body { bytes.clone() } else { Bytes::new() };
        let came = facts.trailers.take().map(|trailers| *trailers);
        let body = trailers::attach(body, came, &head.headers, &self.config.needed_headers);
        let rejection = match (self.try_pass(&head, body, &facts).await, &self.kept) {
            (Ok(response), _) => return response,
            (Err(Unpassed::NotSeen(error)), Some(kept)) => {
                tracing::debug!(source = %self.config.source, %error, "kept for the app, which cannot be reached");
                head.extensions.insert(facts);
                return kept.keep(Request::from_parts(head, Whole(whole))).await.map(AnswerBody::Whole);
            }
            (Err(Unpassed::NotSeen(error)), None) => error.into(),
            (Err(Unpassed::Refused(rejection)), _) => rejection,
        };
        let mut response = rejection.to_response();
        let Parts { method, uri, headers, .. } = head;
        response.extensions_mut().insert(Refused {
            rejection,
            method,
            uri,
            headers,
            body: whole,
            client: facts.client,
        });
        response
    }

    async fn try_pass(&self, head: &Parts, body: RequestBody, facts: &Facts) -> Result<Response<AnswerBody>, Unpassed> {
        if onward::is_in_circles(&head.headers) {
            let detail = "it passed through hookward too often: see `app`";
            return Err(Rejection::new(Reason::LoopDetected, detail).into());
        }
        let held = match self.claim(facts).await? {
            Claimed::First(held) => held,
            Claimed::Copy(event) => return Ok(self.answer_copy(event, facts.reported.first().copied())),
        };
        let ours = onward::Ours {
            event: held.event,
            source: &self.config.source,
            received_at: self.clock.now(),
            is_unchecked: held.is_unchecked,
        };
        let with_trailers = onward::wants_trailers(&head.headers);
        let headers = onward::headers(head, facts, &self.config.needed_headers, &ours, with_trailers);
        let began = Instant::now();
        let since = facts.hop.map_or(began, |hop| Instant::from_std(hop.began));
        let connection = facts.interim.connection();
        let pass_back = |status, mut headers| {
            back::clean(&mut headers, false, false);
            if let Some(connection) = connection {
                connection.answer(status, &headers);
            }
        };
        let interim = connection.map(|_| &pass_back as OnInterim<'_>);
        let onward = Onward { method: &head.method, query: head.uri.query(), headers: &headers, body, interim };
        let answer = self.app.pass(onward, since + self.config.timeout).await?;
        let app_duration = began.elapsed();
        let reported = facts.reported.first().copied();
        let passed = Passed { event: held.event, duplicate: false, app_duration, reported };
        Ok(self.answer(&head.method, with_trailers, held, passed, answer))
    }

    async fn claim(&self, facts: &Facts) -> Result<Claimed<S>, Rejection> {
        let store = Arc::clone(&self.store);
        let Some((key, window)) = facts.dedup_key.zip(self.config.dedup_window) else {
            return Ok(Claimed::First(Held {
                event: store.next_event_id(None),
                is_unchecked: false,
                claim: None,
                store,
            }));
        };
        let mark = DedupMark { key, window };
        match store.claim_mark(&self.config.source, mark, self.config.lease).await {
            Ok(MarkClaimed::Ours(claim)) => {
                Ok(Claimed::First(Held { event: claim.event, is_unchecked: false, claim: Some(claim), store }))
            }
            Ok(MarkClaimed::Duplicate(event)) => Ok(Claimed::Copy(event)),
            Ok(MarkClaimed::InFlight) => {
                let detail = "the app has not answered the first copy yet";
                Err(Rejection::new(Reason::DuplicateInFlight, detail).retry_after(RETRY_IN_FLIGHT))
            }
            Err(error) if self.config.fails_open => {
                self.metrics.dedup_skipped.inc();
                tracing::debug!(source = %self.config.source, %error, "passed on without asking whether it is a copy");
                Ok(Claimed::First(Held { event: store.next_event_id(None), is_unchecked: true, claim: None, store }))
            }
            Err(error) => {
                Err(Rejection::new(Reason::StoreUnavailable, error.to_string()).retry_after(RETRY_UNAVAILABLE))
            }
        }
    }

    fn answer_copy(&self, event: EventId, reported: Option<(RejectionId, Reason)>) -> Response<AnswerBody> {
        let respond = &self.config.respond;
        let mut response = Response::new(AnswerBody::Whole(respond.body.clone()));
        *response.status_mut() = respond.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, respond.content_type.clone());
        headers.insert(HeaderName::from_static("hookward-duplicate"), HeaderValue::from_static("true"));
        back::name_event(headers, event);
        response.extensions_mut().insert(Passed { event, duplicate: true, app_duration: Duration::ZERO, reported });
        response
    }

    fn answer(
        &self,
        method: &http::Method,
        with_trailers: bool,
        held: Held<S>,
        passed: Passed,
        answer: Response<AnswerBody>,
    ) -> Response<AnswerBody> {
        let (mut parts, body) = answer.into_parts();
        let event = held.event;
        let keeps_length = *method == http::Method::HEAD || parts.status == StatusCode::NOT_MODIFIED;
        back::clean(&mut parts.headers, keeps_length, with_trailers);
        back::name_event(&mut parts.headers, event);
        parts.extensions.insert(passed);
        let was_taken = parts.status.is_success();
        let body = match body {
            AnswerBody::Whole(bytes) => {
                held.end(was_taken);
                AnswerBody::Whole(bytes)
            }
            AnswerBody::Streamed(body) => {
                let held = if was_taken { Some(held) } else { None };
                let (metrics, source) = (Arc::clone(&self.metrics), Arc::clone(&self.config.source));
                body::watched(
                    body,
                    back::announced(&parts.headers),
                    Box::new(move |well| {
                        if !well {
                            metrics.answers_cut.inc();
                            tracing::warn!(%source, %event, "the app's answer broke off; so does what the sender gets");
                        }
                        if let Some(held) = held {
                            held.end(well);
                        }
                    }),
                )
            }
        };
        Response::from_parts(parts, body)
    }
}

// === impl Unpassed, Whole ===

impl From<Rejection> for Unpassed {
    fn from(rejection: Rejection) -> Self {
        Self::Refused(rejection)
    }
}

impl From<AppError> for Unpassed {
    fn from(error: AppError) -> Self {
        if error.saw_nothing() { Self::NotSeen(error) } else { Self::Refused(error.into()) }
    }
}

impl AsRef<Bytes> for Whole {
    fn as_ref(&self) -> &Bytes {
        &self.0
    }
}

// === impl Held ===

impl<S: Store> Held<S> {
    /// The app has answered: taken, or not.
    fn end(mut self, was_taken: bool) {
        if was_taken && let Some(claim) = self.claim.take() {
            self.store.commit_mark(&claim);
        }
    }
}

impl<S: Store> Drop for Held<S> {
    fn drop(&mut self) {
        if let Some(claim) = self.claim.take() {
            self.store.release_mark(&claim);
        }
    }
}
