//! `Idempotency-Key` on POST: the same key brings the same answer, and nothing is done twice.
//!
//! As Stripe does it: the first answer is kept for 24 hours and given again with `Idempotent-Replayed: true`. The same key
//! on another request is 422 (`idempotency_key_reused`; the IETF draft's status, Stripe's own is 400), on one whose first
//! copy is still under way 409 (`idempotency_key_in_flight`). Kept are answers of requests that did something, or may
//! have: 2xx and 500. What was refused may be mended and sent again under its key.
//!
//! - A request with a key is finished even if its client goes: that is what the second copy is for.
//! - Keys belong to a project; those of tokens that are bound to none are apart.
//! - Bounded: keys in all, keys of one project, bytes of answers. The oldest go first.
//! - In memory: **a restart forgets them.** What emits has its own, which are durable with the event
//!   (`outbound::emit`).

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sha2::{Digest, Sha256};

use super::caller::Caller;
use super::problem::Problem;
use super::project::PROJECT_HEADER;
use crate::domain::Timestamp;
use crate::telemetry::task;

/// The header of the request.
pub(super) const KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The header of an answer that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What a key looks like: 1 to 255 plain characters, without spaces at its ends, where HTTP drops them.
pub(super) const KEY_PATTERN: &str = "^[!-~]([ -~]{0,253}[!-~])?$";

/// The longest key, in characters.
const KEY_CHARS_MAX: usize = 255;

/// How long an answer is kept.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// How many keys are known at once.
const KEYS_MAX: usize = 10_000;

/// How many of them one project may have.
const KEYS_OF_PROJECT_MAX: usize = 1_000;

/// Bytes that the kept answers may take.
const ANSWERS_BYTES_MAX: usize = 32 << 20;

/// The largest body of a request with a key.
const BODY_BYTES_MAX: usize = 1 << 20;

/// What is known of keys; shared by all requests.
#[derive(Clone, Default)]
pub(super) struct Keys(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    entries: HashMap<Name, Entry>,
    /// Oldest first.
    order: VecDeque<Name>,
    answers_bytes: usize,
}

/// A project's key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Name {
    project: Option<Arc<str>>,
    key: Arc<str>,
}

struct Entry {
    /// SHA-256 of everything that makes it this request and no other.
    request: [u8; 32],
    since: Timestamp,
    /// `None` while it is under way.
    answer: Option<Answer>,
}

/// An answer that is given again.
#[derive(Clone)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// A key whose request is under way; free again when this is dropped without an answer.
struct Ours {
    keys: Keys,
    name: Name,
    done: bool,
}

/// The request's key.
///
/// # Errors
/// 400: there are two, or one that is empty, longer than 255 characters, or not plain text.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(&KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| (1..=KEY_CHARS_MAX).contains(&key.len()));
    match key {
        Some(key) if values.next().is_none() => Ok(Some(key)),
        _ => {
            let detail = format!("Idempotency-Key: needs one value of 1 to {KEY_CHARS_MAX} plain characters");
            Err(Problem::new(StatusCode::BAD_REQUEST, "idempotency_key_invalid", detail))
        }
    }
}

/// The key was used for another request.
pub(super) fn reused() -> Problem {
    let detail = "this Idempotency-Key was used for another request; use a new one";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail)
}

/// Says of an answer that it was given before.
pub(super) fn mark_replayed(response: &mut Response) {
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
}

/// Answers the request: by the handler, or with what that said before.
pub(super) async fn run(keys: &Keys, now: Timestamp, caller: &Caller, request: Request, next: Next) -> Response {
    let name = match key(request.headers()) {
        Ok(None) => return next.run(request).await,
        Ok(Some(key)) => Name { project: caller.project.clone(), key: key.into() },
        Err(problem) => return problem.into_response(),
    };
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else { return unreadable() };
    let ours = match keys.begin(name, fingerprint(&head, &body), now) {
        Ok(Begun::Ours(ours)) => ours,
        Ok(Begun::Answered(answer)) => return answer.again(),
        Err(problem) => return problem.into_response(),
    };
    // In a task of its own: a client that goes away in the middle asks again with the same key.
    let answering = task::spawn("idempotent request", async move {
        let response = next.run(Request::from_parts(head, Body::from(body))).await;
        ours.answer(response).await
    });
    answering.await.unwrap_or_else(|_panicked| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "something broke; the log says what")
            .into_response()
    })
}

/// The body did not come, or is too large; either way nothing was done.
fn unreadable() -> Response {
    let detail = format!("the body of a request with an Idempotency-Key has at most {BODY_BYTES_MAX} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail).into_response()
}

fn fingerprint(head: &Parts, body: &[u8]) -> [u8; 32] {
    let target = head.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
    let content_type = head.headers.get(http::header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let mut hash = Sha256::new();
    // A token that is bound to no project may name one.
    let project = head.headers.get(PROJECT_HEADER).map_or(&b""[..], HeaderValue::as_bytes);
    for part in [target.as_bytes(), content_type, project, body] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// What a key was good for.
enum Begun {
    /// It is new: the request is to be made.
    Ours(Ours),
    /// It was made before.
    Answered(Answer),
}

// === impl Keys ===

impl Keys {
    fn begin(&self, name: Name, request: [u8; 32], now: Timestamp) -> Result<Begun, Problem> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.forget_expired(now);
        match known.entries.get(&name) {
            Some(entry) if entry.request != request => Err(reused()),
            Some(Entry { answer: Some(answer), .. }) => Ok(Begun::Answered(answer.clone())),
            Some(_) => {
                let detail = "the first request with this Idempotency-Key is still under way";
                Err(Problem::new(StatusCode::CONFLICT, "idempotency_key_in_flight", detail).retry_after(1))
            }
            None => {
                known.make_room(&name);
                known.order.push_back(name.clone());
                known.entries.insert(name.clone(), Entry { request, since: now, answer: None });
                Ok(Begun::Ours(Ours { keys: self.clone(), name, done: false }))
            }
        }
    }
}

// === impl Known ===

impl Known {
    fn forget(&mut self, place: usize) {
        let entry = self.order.remove(place).and_then(|name| self.entries.remove(&name));
        self.answers_bytes -= entry.and_then(|entry| entry.answer).map_or(0, |answer| answer.bytes());
    }

    fn forget_expired(&mut self, now: Timestamp) {
        while let Some(name) = self.order.front()
            && self.entries.get(name).is_none_or(|entry| now.since(entry.since) >= KEPT_FOR)
        {
            self.forget(0);
        }
    }

    /// Forgets the oldest answers until one more key has its place. Keys that are under way are as few as connections.
    fn make_room(&mut self, name: &Name) {
        let of_project = |known: &Self| known.order.iter().filter(|other| other.project == name.project).count();
        while of_project(self) >= KEYS_OF_PROJECT_MAX {
            let Some(place) = self.oldest(|other| other.project == name.project) else { break };
            self.forget(place);
        }
        while self.order.len() >= KEYS_MAX || self.answers_bytes >= ANSWERS_BYTES_MAX {
            let Some(place) = self.oldest(|_| true) else { break };
            self.forget(place);
        }
    }

    fn oldest(&self, is_meant: impl Fn(&Name) -> bool) -> Option<usize> {
        let is_answered = |name: &Name| self.entries.get(name).is_none_or(|entry| entry.answer.is_some());
        self.order.iter().position(|name| is_meant(name) && is_answered(name))
    }
}

// === impl Ours, Answer ===

impl Ours {
    /// Keeps the answer, where the request did something, and gives it.
    async fn answer(mut self, response: Response) -> Response {
        let (head, body) = response.into_parts();
        // Our own answer, in memory already: reading it does not fail.
        let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
        if head.status.is_success() || head.status == StatusCode::INTERNAL_SERVER_ERROR {
            let answer = Answer { status: head.status, headers: head.headers.clone(), body: body.clone() };
            let mut known = self.keys.0.lock().unwrap_or_else(PoisonError::into_inner);
            let bytes = answer.bytes();
            if let Some(entry) = known.entries.get_mut(&self.name) {
                entry.answer = Some(answer);
                known.answers_bytes += bytes;
            }
            drop(known);
            self.done = true;
        }
        Response::from_parts(head, Body::from(body))
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let mut known = self.keys.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = known.order.iter().position(|name| *name == self.name) {
            known.forget(place);
        }
    }
}

impl Answer {
    fn bytes(&self) -> usize {
        self.body.len() + self.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>()
    }

    fn again(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        mark_replayed(&mut response);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(project: Option<&str>, key: &str) -> Name {
        Name { project: project.map(Into::into), key: key.into() }
    }

    async fn keep(keys: &Keys, name: Name, body: &[u8], now: Timestamp) {
        let Ok(Begun::Ours(ours)) = keys.begin(name, [0; 32], now) else { panic!("the key is not new") };
        drop(ours.answer(Response::new(Body::from(body.to_vec()))).await);
    }

    fn is_kept(keys: &Keys, name: Name, now: Timestamp) -> bool {
        matches!(keys.begin(name, [0; 32], now), Ok(Begun::Answered(_)))
    }

    fn sizes(keys: &Keys) -> (usize, usize, usize) {
        let known = keys.0.lock().unwrap();
        (known.entries.len(), known.order.len(), known.answers_bytes)
    }

    #[tokio::test]
    async fn a_project_pushes_out_its_own_keys_only() {
        let (keys, now) = (Keys::default(), Timestamp(0));
        keep(&keys, name(Some("other"), "first"), b"x", now).await;
        for number in 0..=KEYS_OF_PROJECT_MAX {
            keep(&keys, name(Some("own"), &number.to_string()), b"x", now).await;
        }
        assert!(is_kept(&keys, name(Some("other"), "first"), now));
        assert!(!is_kept(&keys, name(Some("own"), "0"), now), "the oldest is gone");
        assert!(is_kept(&keys, name(Some("own"), "2"), now));
    }

    #[tokio::test]
    async fn keys_and_bytes_are_bounded_in_all() {
        let (keys, now) = (Keys::default(), Timestamp(0));
        for number in 0..KEYS_MAX + 10 {
            keep(&keys, name(Some(&format!("p{}", number % 100)), &number.to_string()), b"x", now).await;
        }
        assert_eq!(sizes(&keys), (KEYS_MAX, KEYS_MAX, KEYS_MAX));
        let keys = Keys::default();
        let body = vec![0; ANSWERS_BYTES_MAX / 4];
        for number in 0..20 {
            keep(&keys, name(None, &number.to_string()), &body, now).await;
        }
        assert!(sizes(&keys).2 <= ANSWERS_BYTES_MAX, "{:?}", sizes(&keys));
        assert!(is_kept(&keys, name(None, "19"), now) && !is_kept(&keys, name(None, "1"), now));
    }

    #[tokio::test]
    async fn a_day_later_a_key_is_new() {
        let keys = Keys::default();
        keep(&keys, name(None, "a"), b"x", Timestamp(0)).await;
        let last = Timestamp(0).plus(KEPT_FOR).minus(Duration::from_millis(1));
        assert!(is_kept(&keys, name(None, "a"), last));
        assert!(!is_kept(&keys, name(None, "a"), Timestamp(0).plus(KEPT_FOR)));
        assert_eq!(sizes(&keys), (0, 0, 0), "and nothing of it is left");
    }
}
