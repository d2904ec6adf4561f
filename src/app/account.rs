//! The outermost layer of a source: every answer is counted, and every refusal kept in the ledger.

use std::fmt::Write as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::readmit::{CUT, LET_THROUGH};
use crate::domain::{Clock, Reason, Refused, Rejection, RejectionId};
use crate::guard::handshake::Handshaken;
use crate::intake::{Kept, Passed};
use crate::store::{RejectedRequest, Store};
use crate::telemetry::tail::Happening;
use crate::telemetry::{SourceMetrics, Tail};

/// Headers of a refused request that the ledger keeps, in bytes.
const LEDGER_HEADERS_BYTES_MAX: usize = 16 << 10;
/// The request line that the ledger keeps, in bytes.
const LEDGER_LINE_BYTES_MAX: usize = 2 << 10;

/// What is counted where.
pub(super) struct Books<St> {
    /// The source; none for paths that no source has.
    pub(super) source: Option<Arc<str>>,
    pub(super) store: Arc<St>,
    pub(super) metrics: Arc<SourceMetrics>,
    pub(super) clock: Clock,
    /// Who looks on.
    pub(super) tail: Arc<Tail>,
    /// The header in which this source's senders show a token: its value is a secret.
    pub(super) secret_header: Option<HeaderName>,
}

/// Travels in the extensions of the answer, for the access log.
#[derive(Clone, Debug)]
pub(super) struct Booked {
    pub(super) source: Option<Arc<str>>,
    pub(super) rejection: Option<(RejectionId, Reason)>,
}

/// Puts the books in front of a service.
pub(super) struct AccountLayer<St>(pub(super) Arc<Books<St>>);

/// A service whose answers are accounted for.
pub(super) struct Account<S, St> {
    inner: S,
    books: Arc<Books<St>>,
}

pin_project! {
    /// Accounts for the answer when it is there.
    pub(super) struct Accounted<F, St> {
        #[pin]
        inner: F,
        books: Arc<Books<St>>,
        started: Instant,
    }
}

// === impl AccountLayer, Account ===

impl<S, St> Layer<S> for AccountLayer<St> {
    type Service = Account<S, St>;

    fn layer(&self, inner: S) -> Self::Service {
        Account { inner, books: Arc::clone(&self.0) }
    }
}

impl<S: Clone, St> Clone for Account<S, St> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), books: Arc::clone(&self.books) }
    }
}

impl<S, St, B, RB> Service<Request<B>> for Account<S, St>
where
    S: Service<Request<B>, Response = Response<RB>>,
    St: Store,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Accounted<S::Future, St>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.books.metrics.received.inc();
        let started = Instant::now();
        Accounted { inner: self.inner.call(request), books: Arc::clone(&self.books), started }
    }
}

impl<F, St, RB, E> Future for Accounted<F, St>
where
    F: Future<Output = Result<Response<RB>, E>>,
    St: Store,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let mut answer = ready!(this.inner.poll(context));
        if let Ok(response) = &mut answer {
            this.books.enter(response, *this.started);
        }
        Poll::Ready(answer)
    }
}

// === impl Books ===

impl<St: Store> Books<St> {
    pub(super) fn enter<RB>(&self, response: &mut Response<RB>, started: Instant) {
        let mut rejection = None;
        if let Some(kept) = response.extensions().get::<Kept>() {
            let counter = if kept.duplicate { &self.metrics.duplicates } else { &self.metrics.accepted };
            counter.inc();
            if kept.unrouted && !kept.duplicate {
                self.metrics.unrouted.inc();
            }
            self.metrics.accept_duration.observe(started.elapsed());
            rejection = kept.reported;
            self.tail.tell(|| Happening::Event { id: kept.event, duplicate: kept.duplicate });
            tracing::debug!(source = self.source.as_deref(), event = %kept.event, duplicate = kept.duplicate, "kept");
        } else if let Some(passed) = response.extensions().get::<Passed>() {
            if passed.duplicate {
                self.metrics.duplicates.inc();
            } else {
                self.metrics.passed_on(response.status());
                self.metrics.app_duration.observe(passed.app_duration);
            }
            self.metrics.accept_duration.observe(started.elapsed());
            rejection = passed.reported;
            tracing::debug!(source = self.source.as_deref(), event = %passed.event, duplicate = passed.duplicate, "passed on");
        } else if response.extensions().get::<Handshaken>().is_some() {
            self.metrics.handshakes.inc();
            tracing::debug!(source = self.source.as_deref(), "handshake answered");
        } else if let Some(refused) = response.extensions_mut().remove::<Refused>() {
            let reason = refused.rejection.reason;
            let id = self.refuse(refused);
            if let Ok(text) = HeaderValue::try_from(id.to_string()) {
                response.headers_mut().insert(HeaderName::from_static("hookward-rejection-id"), text);
            }
            rejection = Some((id, reason));
        }
        response.extensions_mut().insert(Booked { source: self.source.clone(), rejection });
    }

    /// Counts a refusal and keeps it in the ledger.
    pub(super) fn refuse(&self, refused: Refused) -> RejectionId {
        let reason = refused.rejection.reason;
        self.metrics.rejected(reason);
        let id = self.store.reject(self.ledger_entry(refused));
        self.tail.tell(|| Happening::Rejection { id, source: self.source.clone(), reason });
        tracing::debug!(source = self.source.as_deref(), rejection = %id, reason = reason.code(), "refused");
        id
    }

    /// Counts what a guard would have refused and keeps it in the ledger, which says that it was let through.
    pub(super) fn report(&self, mut refused: Refused) -> RejectionId {
        let Rejection { reason, detail, .. } = &mut refused.rejection;
        *detail = format!("{LET_THROUGH}: {detail}").into();
        let reason = *reason;
        self.metrics.reported(reason);
        let id = self.store.reject(self.ledger_entry(refused));
        self.tail.tell(|| Happening::Rejection { id, source: self.source.clone(), reason });
        id
    }

    fn ledger_entry(&self, refused: Refused) -> RejectedRequest {
        let line = format!("{} {}", refused.method, refused.uri);
        RejectedRequest {
            rejection: refused.rejection,
            source: self.source.clone(),
            at: self.clock.now(),
            client: refused.client,
            request_line: cut(&line, LEDGER_LINE_BYTES_MAX).into(),
            headers: self.masked(&refused.headers).into(),
            // A copy: the original may be a slice that keeps a whole read buffer alive.
            body: Bytes::copy_from_slice(&refused.body),
        }
    }

    /// A line for each header; credentials are masked, and what is too much is left out.
    fn masked(&self, headers: &HeaderMap) -> String {
        let mut lines = String::new();
        for (name, value) in headers {
            let secret = [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE].contains(name)
                || self.secret_header.as_ref() == Some(name)
                || value.is_sensitive();
            let shown = if secret { "[masked]".into() } else { String::from_utf8_lossy(value.as_bytes()) };
            if lines.len() + name.as_str().len() + shown.len() > LEDGER_HEADERS_BYTES_MAX {
                lines.push_str(CUT);
                break;
            }
            // Writing into a String does not fail.
            if writeln!(lines, "{name}: {shown}").is_err() {
                break;
            }
        }
        lines
    }
}

/// The beginning of a text, to a whole character.
pub(super) fn cut(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default()
}
