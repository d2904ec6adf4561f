//! Handshakes as guards: what has an answer of its own does not reach the events.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use url::form_urlencoded;

use super::kinds::{Answer, Asked, Handshake, Shape, When};
use crate::domain::{Facts, Reason, Rejection, Secret};
use crate::guard::envelope::{DEPTH_MAX, Pointer, Value as Scanned, scan};
use crate::guard::layer::{Guard, Head, Own};
use crate::guard::signature::odd::aws_sns;
use crate::guard::signature::{SignatureHead, Verifier};
use crate::telemetry::task;

/// The handshakes of one source.
#[derive(Clone, Debug)]
pub struct Handshakes {
    handshakes: Vec<Ready>,
    /// The methods of events.
    methods: Vec<Method>,
    verify_token: Option<Secret>,
    verifier: Arc<Verifier>,
}

/// A handshake, and where the first thing stands that is asked of its body.
#[derive(Clone, Debug)]
struct Ready {
    handshake: Handshake,
    first: Option<(When, Pointer)>,
}

/// Travels in the extensions of an answer: it was a handshake, and nothing was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshaken;

/// Answers what is a handshake by its head, and refuses methods that only a handshake has.
#[derive(Clone, Debug)]
pub struct HandshakeHead(pub Arc<Handshakes>);

/// The signature's question to the head, put off until the body is there where only the body can tell whether
/// the request is a handshake that nobody signs.
#[derive(Clone, Debug)]
pub struct Lenient {
    /// The source's handshakes, where it has any.
    pub handshakes: Option<Arc<Handshakes>>,
    /// The question.
    pub next: SignatureHead,
}

/// Answers what is a handshake by its body that nobody signs.
#[derive(Clone, Debug)]
pub struct HandshakeUnsigned(pub Arc<Handshakes>);

/// Answers what is a handshake by its signed body.
#[derive(Clone, Debug)]
pub struct HandshakeSigned(pub Arc<Handshakes>);

/// The most bytes that are echoed.
const ECHO_BYTES_MAX: usize = 4096;

// === impl Handshakes ===

impl Handshakes {
    /// The handshakes of a source whose events come by `methods`; `None` where it has none.
    #[must_use]
    pub fn new(
        handshakes: &'static [Handshake],
        methods: &[Method],
        verify_token: Option<Secret>,
        verifier: Arc<Verifier>,
    ) -> Option<Self> {
        let handshakes: Vec<_> = handshakes.iter().map(|handshake| Ready::new(*handshake)).collect();
        (!handshakes.is_empty()).then(|| Self { handshakes, methods: methods.to_vec(), verify_token, verifier })
    }

    /// The methods that the source takes: those of events and those of handshakes.
    #[must_use]
    pub fn methods_of(handshakes: &[Handshake], events: &[Method]) -> Vec<Method> {
        let mut methods = events.to_vec();
        for method in handshakes.iter().filter_map(|handshake| handshake.method.parse().ok()) {
            if !methods.contains(&method) {
                methods.push(method);
            }
        }
        methods
    }

    /// The answer to a request that is a handshake by its head.
    fn of_head(&self, head: Head<'_>) -> Result<Own, Rejection> {
        let mut of_head = self.each().filter(|handshake| handshake.is_of_head());
        if let Some(handshake) = of_head.find(|handshake| is_head(handshake, head)) {
            return self.answer(handshake, head, None, None);
        }
        if self.methods.contains(head.method) {
            return Ok(None);
        }
        let allow = self.methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
        let detail = format!("{} is no handshake of this scheme", head.method);
        Err(Rejection::new(Reason::MethodNotAllowed, detail).allow(&allow))
    }

    /// Whether a body could make this request a handshake that nobody signs.
    fn waits_for_body(&self, head: Head<'_>) -> bool {
        let mut unsigned = self.each().filter(|handshake| !handshake.signed && !handshake.is_of_head());
        unsigned.any(|handshake| is_head(handshake, head))
    }

    /// The answer to a request that is a handshake by its body.
    fn of_body(&self, signed: bool, head: Head<'_>, body: &[u8], facts: &Facts) -> Result<Own, Rejection> {
        for ready in &self.handshakes {
            let handshake = &ready.handshake;
            let is_candidate = handshake.signed == signed && !handshake.is_of_head() && is_head(handshake, head);
            if !is_candidate || !ready.may_be(body) {
                continue;
            }
            let Ok(body) = serde_json::from_slice::<Value>(body) else { return Ok(None) };
            if is_body(handshake, &body) {
                return self.answer(handshake, head, Some(&body), facts.secret_index);
            }
        }
        Ok(None)
    }

    fn each(&self) -> impl Iterator<Item = &Handshake> {
        self.handshakes.iter().map(|ready| &ready.handshake)
    }

    fn answer(
        &self,
        handshake: &Handshake,
        head: Head<'_>,
        body: Option<&Value>,
        secret: Option<u8>,
    ) -> Result<Own, Rejection> {
        if let (Some(parameter), Some(expected)) = (handshake.token, &self.verify_token) {
            let shown = query(head, parameter).unwrap_or_default();
            if !bool::from(Sha256::digest(shown.as_bytes()).ct_eq(&Sha256::digest(expected.expose()))) {
                return Err(Rejection::new(Reason::SignatureMismatch, format!("{parameter} is not the verify_token")));
            }
        }
        let asked = |from: Asked| {
            let text = asked(from, head, body).filter(|text| text.len() <= ECHO_BYTES_MAX);
            text.ok_or_else(|| Rejection::new(Reason::MalformedRequest, "the handshake has nothing to be echoed"))
        };
        Ok(Some(Box::new(match handshake.answer {
            Answer::Echo(from, Shape::Text) => plain(asked(from)?.into_owned()),
            Answer::Echo(from, Shape::Json(name)) => json([(name, asked(from)?.into_owned())]),
            Answer::Proof { of, asked: repeated, name, prefix, encoding } => {
                let asked = asked(of)?;
                let Some(proof) = self.verifier.prove(asked.as_bytes(), usize::from(secret.unwrap_or(0)), encoding)
                else {
                    return Err(Rejection::new(Reason::Internal, "the handshake's secret makes no HMAC"));
                };
                let repeated = repeated.map(|name| (name, asked.into_owned()));
                json(repeated.into_iter().chain([(name, format!("{prefix}{proof}"))]))
            }
            Answer::PublicKeyAndProof(from) => {
                let answer = self.verifier.answer_of_braintree(&asked(from)?);
                plain(answer.ok_or_else(|| Rejection::new(Reason::MalformedRequest, "not a challenge"))?)
            }
            Answer::Confirm(from) => {
                confirm(&self.verifier, &asked(from)?)?;
                respond(StatusCode::OK, None, "")
            }
            Answer::Json(text) => respond(StatusCode::OK, Some("application/json"), text),
            Answer::Empty => respond(StatusCode::OK, None, ""),
            Answer::NoContent => respond(StatusCode::NO_CONTENT, None, ""),
            Answer::Origin => origin(head, &self.methods),
        })))
    }
}

// === impl Ready ===

impl Ready {
    fn new(handshake: Handshake) -> Self {
        let mut asked = handshake.when.iter().filter_map(|when| match *when {
            When::Body(pointer) | When::BodyIs(pointer, _) => Some((*when, pointer.parse().ok()?)),
            When::BodyEmpty(pointer) => Some((*when, format!("{pointer}/0").parse().ok()?)),
            _ => None,
        });
        let first = asked.next();
        Self { handshake, first }
    }

    /// Whether a look at one field says that the body may be the handshake's: nearly every body is an event's,
    /// and is not built up for this.
    fn may_be(&self, body: &[u8]) -> bool {
        let Some((when, pointer)) = &self.first else { return true };
        let Ok([found]) = scan(body, [Some(pointer)], DEPTH_MAX) else { return false };
        match (when, found) {
            (When::BodyIs(_, text), Some(Scanned::Text(found))) => found == *text,
            (When::BodyIs(_, text), Some(Scanned::Integer(found))) => found == *text,
            (When::BodyEmpty(_), found) => found.is_none(),
            (When::Body(_), found) => found.is_some(),
            _ => false,
        }
    }
}

fn is_head(handshake: &Handshake, head: Head<'_>) -> bool {
    head.method.as_str() == handshake.method
        && handshake.when.iter().all(|when| match *when {
            When::Query(name) => query(head, name).is_some(),
            When::QueryIs(name, value) => query(head, name).is_some_and(|shown| shown == value),
            When::Header(name) => head.headers.contains_key(name),
            When::NoHeader(name) => !head.headers.contains_key(name),
            When::HeaderIs(name, value) => head.headers.get(name).is_some_and(|shown| is_value(shown, value)),
            When::Body(_) | When::NoBody(_) | When::BodyIs(..) | When::BodyEmpty(_) => true,
        })
}

fn is_body(handshake: &Handshake, body: &Value) -> bool {
    handshake.when.iter().all(|when| match *when {
        When::Body(pointer) => body.pointer(pointer).is_some(),
        When::NoBody(pointer) => body.pointer(pointer).is_none(),
        When::BodyIs(pointer, text) => match body.pointer(pointer) {
            Some(Value::String(shown)) => shown == text,
            Some(Value::Number(shown)) => shown.to_string() == text,
            _ => false,
        },
        When::BodyEmpty(pointer) => body.pointer(pointer).and_then(Value::as_array).is_some_and(Vec::is_empty),
        When::Query(_) | When::QueryIs(..) | When::Header(_) | When::NoHeader(_) | When::HeaderIs(..) => true,
    })
}

/// Whether a header has this value, its parameters aside.
fn is_value(shown: &HeaderValue, value: &str) -> bool {
    let shown = shown.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    shown.trim_ascii().eq_ignore_ascii_case(value.as_bytes())
}

fn query<'a>(head: Head<'a>, name: &str) -> Option<Cow<'a, str>> {
    let query = head.uri.query()?;
    form_urlencoded::parse(query.as_bytes()).find(|(shown, _)| shown == name).map(|(_, value)| value)
}

fn asked<'a>(from: Asked, head: Head<'a>, body: Option<&'a Value>) -> Option<Cow<'a, str>> {
    match from {
        Asked::Query(name) => query(head, name),
        Asked::Header(name) => head.headers.get(name)?.to_str().ok().map(Cow::Borrowed),
        Asked::Body(pointer) => match body?.pointer(pointer)? {
            Value::String(text) => Some(Cow::Borrowed(text)),
            Value::Number(number) => Some(Cow::Owned(number.to_string())),
            _ => None,
        },
    }
}

/// Calls the URL that confirms a subscription, behind the answer: the sender does not wait for it.
fn confirm(verifier: &Verifier, url: &str) -> Result<(), Rejection> {
    let url = aws_sns::pinned(url)
        .ok_or_else(|| Rejection::new(Reason::MalformedRequest, "SubscribeURL is not one of Amazon's"))?;
    let Some(certificates) = verifier.certificates().cloned() else { return Ok(()) };
    drop(task::spawn("confirm subscription", async move {
        match certificates.call(&url).await {
            Ok(()) => tracing::info!(host = url.host_str(), "subscription confirmed"),
            Err(error) => tracing::warn!(host = url.host_str(), error, "subscription not confirmed"),
        }
    }));
    Ok(())
}

// === answers ===

fn respond(status: StatusCode, kind: Option<&'static str>, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    if let Some(kind) = kind {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    response.extensions_mut().insert(Handshaken);
    response
}

/// Text of the sender's: no browser may take it for a page.
fn plain(text: String) -> Response<Bytes> {
    let mut response = respond(StatusCode::OK, Some("text/plain; charset=utf-8"), text);
    let nosniff = HeaderValue::from_static("nosniff");
    response.headers_mut().insert(HeaderName::from_static("x-content-type-options"), nosniff);
    response
}

fn json(fields: impl IntoIterator<Item = (&'static str, String)>) -> Response<Bytes> {
    let fields = fields.into_iter().map(|(name, text)| (name.to_owned(), Value::String(text)));
    let text = Value::Object(fields.collect::<Map<_, _>>()).to_string();
    respond(StatusCode::OK, Some("application/json"), text)
}

/// HTTP 1.1 Web Hooks for Event Delivery, section 4: who may send, and how much.
fn origin(head: Head<'_>, methods: &[Method]) -> Response<Bytes> {
    let mut response = respond(StatusCode::OK, None, "");
    let headers = response.headers_mut();
    if let Some(origin) = head.headers.get("webhook-request-origin") {
        headers.insert(HeaderName::from_static("webhook-allowed-origin"), origin.clone());
    }
    if head.headers.contains_key("webhook-request-rate") {
        headers.insert(HeaderName::from_static("webhook-allowed-rate"), HeaderValue::from_static("*"));
    }
    let allow = methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
    if let Ok(allow) = HeaderValue::from_str(&allow) {
        headers.insert(ALLOW, allow);
    }
    response
}

// === impl Guard ===

impl<B> Guard<B> for HandshakeHead {
    fn check(&self, head: Head<'_>, body: &B, facts: &mut Facts) -> Result<(), Rejection> {
        self.answer(head, body, facts).map(drop)
    }

    fn answer(&self, head: Head<'_>, _body: &B, _facts: &mut Facts) -> Result<Own, Rejection> {
        self.0.of_head(head)
    }

    fn name(&self) -> &'static str {
        "handshake"
    }
}

impl<B> Guard<B> for Lenient {
    fn check(&self, head: Head<'_>, body: &B, facts: &mut Facts) -> Result<(), Rejection> {
        match &self.handshakes {
            Some(handshakes) if handshakes.waits_for_body(head) => Ok(()),
            _ => self.next.check(head, body, facts),
        }
    }

    fn name(&self) -> &'static str {
        "signature_head"
    }
}

impl<B: AsRef<[u8]>> Guard<B> for HandshakeUnsigned {
    fn check(&self, head: Head<'_>, body: &B, facts: &mut Facts) -> Result<(), Rejection> {
        self.answer(head, body, facts).map(drop)
    }

    fn answer(&self, head: Head<'_>, body: &B, facts: &mut Facts) -> Result<Own, Rejection> {
        self.0.of_body(false, head, body.as_ref(), facts)
    }

    fn name(&self) -> &'static str {
        "handshake_unsigned"
    }
}

impl<B: AsRef<[u8]>> Guard<B> for HandshakeSigned {
    fn check(&self, head: Head<'_>, body: &B, facts: &mut Facts) -> Result<(), Rejection> {
        self.answer(head, body, facts).map(drop)
    }

    fn answer(&self, head: Head<'_>, body: &B, facts: &mut Facts) -> Result<Own, Rejection> {
        self.0.of_body(true, head, body.as_ref(), facts)
    }

    fn name(&self) -> &'static str {
        "handshake_signed"
    }
}

#[cfg(test)]
#[path = "question_tests.rs"]
mod tests;
