//! `Idempotency-Key` on POST: the same key brings the same answer, and nothing is done twice.
//!
//! As Stripe does it: the first answer is kept for 24 hours and given again with `Idempotent-Replayed: true`. The same key
//! on another request is 422 (`idempotency_key_reused`; the IETF draft's status, Stripe's own is 400), on one whose first
//! copy is still under way 409 (`idempotency_key_in_flight`). Kept are answers of requests that did something, or may
//! have: 2xx and 500. What was refused may be mended and sent again under its key.
//!
//! - A request with a key is finished even if its client goes: that is what the second copy is for.
//! - Keys belong to a project; those of tokens that are bound to none are apart.
//! - **Durable**: the key before anything is done, the answer before it is given. After a crash in between, what can be
//!   done twice without harm is done again; for the rest the copy is answered 409 (`idempotency_key_interrupted`), and somebody has to look.
//! - Answers hold secrets of webhooks: they are sealed as those are. What emits has keys of its own, which are kept with
//!   the event (`outbound::emit`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::access::Gate;
use super::caller::Caller;
use super::problem::Problem;
use super::project::PROJECT_HEADER;
use super::state::State;
use super::surface::Operation;
use crate::domain::Sealed;
use crate::store::{KeptRequest, Store};
use crate::telemetry::task;

/// The header of the request.
pub(super) const KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The header of an answer that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What a key looks like: 1 to 255 plain characters, without spaces at its ends, where HTTP drops them.
pub(super) const KEY_PATTERN: &str = "^[!-~]([ -~]{0,253}[!-~])?$";

/// The longest key, in characters.
const KEY_CHARS_MAX: usize = 255;

/// The largest body of a request with a key.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Where several gateways share a store, a request that another one has begun may be under way there for so long.
const ELSEWHERE_MAX: Duration = Duration::from_secs(60);

/// Keys whose requests are under way here, with what makes each that request and no other.
#[derive(Clone, Default)]
pub(super) struct Keys(Arc<Mutex<HashMap<[u8; 32], [u8; 32]>>>);

/// A key whose request is under way; another copy may come when this is dropped.
struct Ours {
    keys: Keys,
    name: [u8; 32],
}

/// An answer that is given again, as it is written.
#[derive(Serialize, Deserialize)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// How an answer is kept: as it is, where the gateway has no key for secrets, and so no secrets.
const OPEN: u8 = 0;
/// Sealed with the key for secrets.
const SEALED: u8 = 1;

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
pub(super) async fn run<S: Store>(
    gate: &Gate<S>,
    operation: &Operation,
    caller: &Caller,
    request: Request,
    next: Next,
) -> Response {
    let name = match key(request.headers()) {
        Ok(None) => return next.run(request).await,
        Ok(Some(key)) => name_of(caller.project.as_deref(), key),
        Err(problem) => return problem.into_response(),
    };
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else { return unreadable() };
    let request = fingerprint(&head, &body);
    let ours = match gate.keys.begin(name, request) {
        Ok(ours) => ours,
        Err(problem) => return problem.into_response(),
    };
    let (state, repeatable) = (gate.state.clone(), operation.repeatable);
    let project = project_of(caller.project.as_deref());
    // In a task of its own: a client that goes away in the middle asks again with the same key.
    let answering = task::spawn("idempotent request", async move {
        let begun = KeptRequest { name, project, request, begun_at: state.clock.now(), answer: None };
        match state.store.begin_request(begun).await {
            Ok(None) => {}
            Ok(Some(known)) => match again(&state, &known, request, repeatable) {
                Ok(Some(response)) => return response,
                Ok(None) => {}
                Err(problem) => return problem.into_response(),
            },
            Err(error) => return Problem::from(error).into_response(),
        }
        let response = next.run(Request::from_parts(head, Body::from(body))).await;
        let response = keep(&state, name, response).await;
        drop(ours);
        response
    });
    answering.await.unwrap_or_else(|_panicked| Problem::broken().into_response())
}

/// What is said of a request whose key is known; `None`: it is made again.
fn again<S: Store>(
    state: &State<S>,
    known: &KeptRequest,
    request: [u8; 32],
    repeatable: bool,
) -> Result<Option<Response>, Problem> {
    if known.request != request {
        return Err(reused());
    }
    if let Some(answer) = &known.answer {
        return match opened(state, known.name, answer) {
            Some(answer) => Ok(Some(answer.again())),
            None => Err(interrupted("it was answered, but the answer cannot be read any more")),
        };
    }
    if state.store.is_shared() && state.clock.now().since(known.begun_at) < ELSEWHERE_MAX {
        return Err(in_flight());
    }
    if repeatable { Ok(None) } else { Err(interrupted("the gateway ended while it was under way")) }
}

/// Keeps the answer, where the request did something, and gives it.
async fn keep<S: Store>(state: &State<S>, name: [u8; 32], response: Response) -> Response {
    let (head, body) = response.into_parts();
    // Our own answer, in memory already: reading it does not fail.
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let counts = head.status.is_success() || head.status == StatusCode::INTERNAL_SERVER_ERROR;
    let answer = if counts { kept(state, name, &Answer::new(head.status, &head.headers, &body)) } else { None };
    if let Err(error) = state.store.end_request(name, answer).await {
        tracing::error!(%error, "what a request with an Idempotency-Key was answered was not kept");
    }
    Response::from_parts(head, Body::from(body))
}

fn in_flight() -> Problem {
    let detail = "the first request with this Idempotency-Key is still under way";
    Problem::new(StatusCode::CONFLICT, "idempotency_key_in_flight", detail).retry_after(1)
}

fn interrupted(what: &str) -> Problem {
    let detail =
        format!("{what}: look whether what you asked for was done, and use a new Idempotency-Key where it was not");
    Problem::new(StatusCode::CONFLICT, "idempotency_key_interrupted", detail)
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

/// A key as the store knows it; two projects never have the same.
fn name_of(project: Option<&str>, key: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update([u8::from(project.is_some())]);
    for part in [project.unwrap_or_default(), key] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// A number for the project: the same for the same, and seldom for two.
fn project_of(project: Option<&str>) -> u64 {
    let hash: [u8; 32] = Sha256::digest(project.unwrap_or_default()).into();
    hash.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

// === how answers are kept ===

fn kept<S: Store>(state: &State<S>, name: [u8; 32], answer: &Answer) -> Option<Bytes> {
    // Text and numbers only: it cannot fail.
    let text = serde_json::to_vec(answer).unwrap_or_default();
    let (form, text) = match &state.sending {
        None => (OPEN, text),
        Some(sending) => match sending.webhooks.seal(&use_of(name), &text) {
            Ok(sealed) => (SEALED, sealed.0.to_vec()),
            Err(error) => {
                tracing::error!(%error, "what a request with an Idempotency-Key was answered was not kept");
                return None;
            }
        },
    };
    Some([&[form], &text[..]].concat().into())
}

fn opened<S: Store>(state: &State<S>, name: [u8; 32], kept: &[u8]) -> Option<Answer> {
    let (form, text) = kept.split_first()?;
    match (*form, &state.sending) {
        (OPEN, _) => serde_json::from_slice(text).ok(),
        (SEALED, Some(sending)) => {
            let opened = sending.webhooks.open(&use_of(name), &Sealed(Bytes::copy_from_slice(text))).ok()?;
            serde_json::from_slice(opened.expose()).ok()
        }
        _ => None,
    }
}

fn use_of(name: [u8; 32]) -> String {
    format!("{}: answer", hex::encode(name))
}

// === impl Keys, Ours, Answer ===

impl Keys {
    fn begin(&self, name: [u8; 32], request: [u8; 32]) -> Result<Ours, Problem> {
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match under_way.get(&name) {
            Some(other) if *other != request => Err(reused()),
            Some(_) => Err(in_flight()),
            None => {
                under_way.insert(name, request);
                Ok(Ours { keys: self.clone(), name })
            }
        }
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        self.keys.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

impl Answer {
    fn new(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        Self { status: status.as_u16(), headers, body: STANDARD_NO_PAD.encode(body) }
    }

    fn again(self) -> Response {
        let mut response = Response::new(Body::from(STANDARD_NO_PAD.decode(self.body).unwrap_or_default()));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or_default();
        let headers = self.headers.into_iter();
        let headers = headers
            .filter_map(|(name, value)| Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?)));
        response.headers_mut().extend(headers);
        mark_replayed(&mut response);
        response
    }
}
