//! `/v1/stream`: what happens, as server-sent events (the HTML standard, section 9.2), for `tail`, `listen` and pages.
//!
//! Each has a name (`event`, `rejection`, `attempt`, `missed`) and an object of JSON on one line. A comment every
//! 10 s says that the stream lives. What a slow reader misses it is told the number of; nothing waits for it. Only what
//! this gateway does is told, not what others do that share its store.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State as Extracted;
use axum::response::Response;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use http_body::Frame;
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc;

use super::caller::Caller;
use super::parameter::{KIND, KINDS, Parameter, SOURCE, TYPE};
use super::params::Query;
use super::problem::Problem;
use super::state::State;
use crate::domain::EventId;
use crate::ingress::Endless;
use crate::store::Store;
use crate::telemetry::tail::{AttemptMade, Happening, Heard, LISTENERS_MAX, Listener};
use crate::telemetry::task;

/// The parameters.
pub(super) const QUERY: &[Parameter] = &[KIND, SOURCE, TYPE];

/// What is answered with.
pub(super) const EVENT_STREAM: &str = "text/event-stream";

/// How often a stream on which nothing happens says that it lives.
const LIVES_EVERY: Duration = Duration::from_secs(10);

/// So many are on their way to a reader; what happens meanwhile waits in the tail.
const WAITING_MAX: usize = 64;

/// Which of it somebody wants to hear.
struct Wanted {
    caller: Caller,
    kind: Option<Box<str>>,
    source: Option<Box<str>>,
    event_type: Option<Box<str>>,
}

/// The body: what the teller makes of what happens.
struct Told(mpsc::Receiver<Bytes>);

/// An event as a stream tells it.
#[derive(Serialize)]
struct Event<'a> {
    object: &'static str,
    id: String,
    source: &'a str,
    source_event_id: Option<&'a str>,
    #[serde(rename = "type")]
    event_type: Option<&'a str>,
    created: String,
    body_bytes: usize,
    duplicate: bool,
}

/// An attempt as a stream tells it.
#[derive(Serialize)]
struct Attempt<'a> {
    object: &'static str,
    delivery: String,
    event: String,
    source: &'a str,
    #[serde(rename = "type")]
    event_type: Option<&'a str>,
    destination: &'a str,
    number: u16,
    outcome: &'static str,
    response_code: Option<u16>,
    /// Milliseconds.
    response_time: f64,
}

pub(super) async fn show<S: Store>(
    Extracted(state): Extracted<State<S>>,
    caller: Caller,
    query: Query,
) -> Result<Response, Problem> {
    let params = query.only(QUERY)?;
    let known = |text: &str| KINDS.contains(&text).then(|| Box::from(text));
    let kind = params.read("kind", format_args!("one of {}", KINDS.join(", ")), known)?;
    let wanted = Wanted { caller, kind, source: params.owned("source"), event_type: params.owned("type") };
    let Some(listener) = state.tail.listen() else {
        let detail = format!("{LISTENERS_MAX} streams are open: wait until one has ended");
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_streams", detail).retry_after(5));
    };
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    task::spawn("stream", tell(state, wanted, listener, sender));
    let mut response = Response::new(Body::new(Told(receiver)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
    response.extensions_mut().insert(Endless);
    Ok(response)
}

/// Tells what is wanted until the reader is gone, or everything is over.
async fn tell<S: Store>(state: State<S>, wanted: Wanted, mut listener: Listener, reader: mpsc::Sender<Bytes>) {
    let mut line = Bytes::from_static(b": this gateway tells what happens from now on\n\n");
    loop {
        if reader.send(line).await.is_err() {
            return;
        }
        line = loop {
            let heard = tokio::select! {
                () = reader.closed() => return,
                heard = tokio::time::timeout(LIVES_EVERY, listener.next()) => heard,
            };
            match heard {
                Err(_nothing) => break Bytes::from_static(b":\n\n"),
                Ok(Heard::Over) => return,
                Ok(Heard::Missed(count)) => break written("missed", &json!({ "object": "missed", "count": count })),
                Ok(Heard::Happening(happening)) => {
                    if let Some(line) = wanted.line(&state, &happening).await {
                        break line;
                    }
                }
            }
        };
    }
}

fn written(kind: &str, data: &impl Serialize) -> Bytes {
    // Texts and numbers: writing them into memory does not fail, and JSON has no line break outside of them.
    let data = serde_json::to_string(data).unwrap_or_default();
    Bytes::from(format!("event: {kind}\ndata: {data}\n\n"))
}

// === impl Wanted ===

impl Wanted {
    async fn line<S: Store>(&self, state: &State<S>, happening: &Happening) -> Option<Bytes> {
        match happening {
            Happening::Event { id, duplicate } if self.wants("event") => self.event(state, *id, *duplicate).await,
            Happening::Attempt(made) if self.wants("attempt") => self.attempt(made),
            Happening::Rejection { id, source, reason } if self.wants("rejection") => {
                // What was refused belongs to no project, and has no type that anybody could believe.
                let is_wanted = self.caller.project.is_none()
                    && self.event_type.is_none()
                    && self.source.as_deref().is_none_or(|wanted| source.as_deref() == Some(wanted));
                let told = json!({
                    "object": "rejection", "id": id.to_string(), "source": source.as_deref(),
                    "reason": reason.code(), "status": reason.status().as_u16(),
                });
                is_wanted.then(|| written("rejection", &told))
            }
            _ => None,
        }
    }

    fn wants(&self, kind: &str) -> bool {
        self.kind.as_deref().is_none_or(|wanted| wanted == kind)
    }

    fn wants_event(&self, project: &str, source: &str, event_type: Option<&str>) -> bool {
        self.caller.owns(project)
            && self.source.as_deref().is_none_or(|wanted| wanted == source)
            && self.event_type.as_deref().is_none_or(|wanted| event_type == Some(wanted))
    }

    async fn event<S: Store>(&self, state: &State<S>, id: EventId, duplicate: bool) -> Option<Bytes> {
        // Gone already, or unreadable: there is nothing to tell of it.
        let event = state.store.event(id).await.ok()?;
        let received = &event.received;
        if !self.wants_event(&received.project, &received.source, received.event_type.as_deref()) {
            return None;
        }
        let told = Event {
            object: "event",
            id: id.to_string(),
            source: &received.source,
            source_event_id: received.source_event_id.as_deref(),
            event_type: received.event_type.as_deref(),
            created: event.seq.time().to_string(),
            body_bytes: received.body.len(),
            duplicate,
        };
        Some(written("event", &told))
    }

    fn attempt(&self, made: &AttemptMade) -> Option<Bytes> {
        if !self.wants_event(&made.project, &made.source, made.event_type.as_deref()) {
            return None;
        }
        let told = Attempt {
            object: "attempt",
            delivery: made.delivery.to_string(),
            event: made.event.to_string(),
            source: &made.source,
            event_type: made.event_type.as_deref(),
            destination: &made.destination,
            number: made.number,
            outcome: made.outcome.as_str(),
            response_code: made.response_code,
            response_time: super::configured::millis(made.duration.as_secs_f64()),
        };
        Some(written("attempt", &told))
    }
}

// === impl Told ===

impl http_body::Body for Told {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}
