//! A request through the whole configuration without being sent: what each guard says, and where it would go.
//!
//! The guards are the gateway's own, built by the same functions and asked in the same order. Nothing is stored and
//! nothing is counted: rate limits are full here, and whether the event is a copy only the gateway's store knows. Address
//! lists that are followed are taken from their last good copy.

use std::convert::Infallible;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::Full;
use tower::{Layer as _, ServiceExt as _, service_fn};

use super::feeds::Feeds;
use super::{StartError, allow_ips, before_body, behind_body, handshakes, is_by_address};
use crate::config::{Checked, Source};
use crate::domain::{Clock, Facts, Plan, Refused, Rejection, Timestamp};
use crate::guard::body::{BodyBudget, Buffered};
use crate::guard::signature::Verifier;
use crate::guard::{BodyLayer, Guard, Head, Own, RateLimit};
use crate::ingress::{Table, client_address, host, is_trusted};

/// What became of a request.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The client's address as the ingress takes it.
    pub client: IpAddr,
    /// The source that its path belongs to.
    pub source: Option<Arc<str>>,
    /// What each step said, in order; the last one refused where the request is refused.
    pub steps: Vec<Step>,
    /// How it would be answered.
    pub outcome: Outcome,
    /// What is known of it.
    pub facts: Facts,
    /// Where it would go; nothing where it is refused.
    pub plan: Plan,
}

/// What one of the steps said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its name: `client`, `path`, `body`, or a guard's.
    pub name: &'static str,
    /// What was found, where it let the request through.
    pub found: String,
    /// Why it refused.
    pub refused: Option<Rejection>,
}

/// How a request ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As an event, with the source's own answer.
    Accepted(StatusCode),
    /// Proxy mode: by the app at this URL, without its query.
    PassedOn(Box<str>),
    /// As a handshake: answered by the gateway, nothing kept.
    Handshake(StatusCode),
    /// Refused.
    Refused(Rejection),
}

/// How long a body that is in memory already may take to be read.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks everything that the gateway would ask about this request, had it come from `peer` at this time.
///
/// # Errors
/// A configuration that the gateway could not start with.
pub async fn explain(
    checked: &Checked,
    request: &Request<Bytes>,
    peer: IpAddr,
    at: Timestamp,
) -> Result<Explanation, StartError> {
    let client = client_address(peer, request.headers(), &checked.ingress.trusted_proxies);
    let mut telling = Telling {
        store: &checked.store.path,
        steps: vec![Step { name: "client", found: client_found(peer, client, checked), refused: None }],
        facts: Facts { client: Some(client), ..Facts::default() },
    };
    let places = checked.sources.iter().map(|source| {
        let methods = crate::guard::handshake::Handshakes::methods_of(source.handshakes, &source.methods);
        (source.path.clone(), methods, source)
    });
    let table = Table::new(places)?;
    let found = framed(request).and_then(|()| table.find(request.method(), request.uri().path()).copied());
    let mut explained = None;
    let outcome = match found {
        Ok(source) => {
            let found = format!("{} belongs to the source `{}`", source.path, source.name);
            telling.steps.push(Step { name: "path", found, refused: None });
            explained = Some(source);
            telling.guards(source, request, at).await?
        }
        Err(rejection) => {
            telling.steps.push(Step { name: "path", found: String::new(), refused: Some(rejection.clone()) });
            Outcome::Refused(rejection)
        }
    };
    let plan = match (&outcome, explained) {
        (Outcome::Accepted(_), Some(source)) => {
            checked.routes.plan(&source.name, telling.facts.event_type.as_deref(), at)
        }
        _ => Plan { deliveries: Vec::new() },
    };
    let source = explained.map(|source| Arc::clone(&source.name));
    Ok(Explanation { client, source, steps: telling.steps, outcome, facts: telling.facts, plan })
}

/// What the ingress asks before it looks for the path; a captured request may have lost its host.
fn framed(request: &Request<Bytes>) -> Result<(), Rejection> {
    let mut headers = request.headers().clone();
    headers.entry(HOST).or_insert(HeaderValue::from_static("localhost"));
    host::check_target(Version::HTTP_11, request.method(), request.uri(), &headers)
}

fn client_found(peer: IpAddr, client: IpAddr, checked: &Checked) -> String {
    let peer = peer.to_canonical();
    if is_trusted(peer, &checked.ingress.trusted_proxies) {
        format!("{client}, by what the trusted proxy {peer} says")
    } else {
        format!("{client}, the peer itself: it is no trusted proxy")
    }
}

/// What was told so far.
struct Telling<'a> {
    /// Where the last good copies of address lists are.
    store: &'a Path,
    steps: Vec<Step>,
    facts: Facts,
}

// === impl Telling ===

impl Telling<'_> {
    /// Asks the guards of a source, with its body between them.
    async fn guards(
        &mut self,
        source: &Source,
        request: &Request<Bytes>,
        at: Timestamp,
    ) -> Result<Outcome, StartError> {
        let refused = |error| StartError::Source { name: Arc::clone(&source.name), error };
        let verifier = Arc::new(Verifier::new(&source.signature).map_err(refused)?);
        let (handshakes, clock) = (handshakes(source, &verifier), Clock::manual(at));
        let limits = source.rate_limits.iter();
        let (by_address, by_request): (Vec<_>, Vec<_>) = limits.partition(|limit| is_by_address(&limit.by));
        let limits = |limits: Vec<_>| limits.into_iter().map(|limit| Arc::new(RateLimit::new(limit, clock.clone())));
        let allowed = allow_ips(source, |list| Feeds::copies(self.store, list));
        let before = before_body(source, &verifier, handshakes.as_ref(), allowed, limits(by_address).collect());
        let nothing = Buffered::default();
        if let Some(outcome) = self
            .row(&before, source, request, &nothing)
            .and_then(|outcome| self.enforced(outcome, &before, source, request, &nothing))
        {
            return Ok(outcome);
        }
        let body = match self.body(source, request).await {
            Ok(body) => body,
            Err(rejection) => return Ok(Outcome::Refused(rejection)),
        };
        let by_request = limits(by_request).collect();
        // Whatever makes the keys unpredictable is the store's: here only what they are made of counts.
        let behind = behind_body(source, &verifier, handshakes.as_ref(), by_request, &clock, [0; 16]);
        let outcome = self.row(&behind, source, request, &body);
        let outcome = outcome.and_then(|outcome| self.enforced(outcome, &behind, source, request, &body));
        Ok(outcome.unwrap_or_else(|| match source.mode.app() {
            None => Outcome::Accepted(source.respond.status),
            Some(app) => Outcome::PassedOn(app.as_str().split('?').next().unwrap_or_default().into()),
        }))
    }

    /// Asks a row of guards; an outcome where one of them ends the request.
    fn row(
        &mut self,
        guards: &impl Guard<Buffered>,
        source: &Source,
        request: &Request<Bytes>,
        body: &Buffered,
    ) -> Option<Outcome> {
        let mut before = self.facts.clone();
        let steps = &mut self.steps;
        let mut tell = |name: &'static str, said: &Result<Own, Rejection>, facts: &Facts| {
            let found = said.as_ref().ok().map(|own| match own {
                Some(own) => format!("a handshake, answered with {}", own.status().as_u16()),
                None => found(name, source, &before, facts),
            });
            before.clone_from(facts);
            steps.push(Step { name, found: found.unwrap_or_default(), refused: said.as_ref().err().cloned() });
        };
        match guards.narrate(Head::of(request), body, &mut self.facts, &mut tell) {
            Ok(None) => None,
            Ok(Some(own)) => Some(Outcome::Handshake(own.status())),
            Err(rejection) => Some(Outcome::Refused(rejection)),
        }
    }

    /// The outcome, where it counts: guards that only report let through what they refuse.
    fn enforced(
        &mut self,
        outcome: Outcome,
        guards: &impl Guard<Buffered>,
        source: &Source,
        request: &Request<Bytes>,
        body: &Buffered,
    ) -> Option<Outcome> {
        if !source.reports || !matches!(outcome, Outcome::Refused(_)) {
            return Some(outcome);
        }
        let mut reasons = Vec::new();
        let own = guards.report(Head::of(request), body, &mut self.facts, &mut |rejection, _| {
            reasons.push(rejection.reason.code());
        });
        self.facts.dedup_key = None;
        let found = format!("report: let through, noted and marked Hookward-Reported: {}", reasons.join(", "));
        self.steps.push(Step { name: "enforce", found, refused: None });
        own.map(|own| Outcome::Handshake(own.status()))
    }

    /// Reads the body as the gateway does.
    async fn body(&mut self, source: &Source, request: &Request<Bytes>) -> Result<Buffered, Rejection> {
        let bytes_max = usize::try_from(source.declared.body_bytes_max).unwrap_or(usize::MAX);
        let layer = BodyLayer::new(bytes_max, BODY_TIMEOUT, BodyBudget::new(usize::MAX));
        let kept = service_fn(|request: Request<Buffered>| async move {
            let mut response = Response::new(Bytes::new());
            response.extensions_mut().insert(request.into_body());
            Ok::<_, Infallible>(response)
        });
        let asked = Request::new(Full::new(request.body().clone()));
        let answer = layer.layer(kept).oneshot(asked).await;
        let mut answer = answer.unwrap_or_else(|never| match never {});
        if let Some(refused) = answer.extensions_mut().remove::<Refused>() {
            let refused_by = Some(refused.rejection.clone());
            self.steps.push(Step { name: "body", found: String::new(), refused: refused_by });
            return Err(refused.rejection);
        }
        let found = format!("{} bytes, at most {bytes_max} are taken", request.body().len());
        self.steps.push(Step { name: "body", found, refused: None });
        Ok(answer.extensions_mut().remove::<Buffered>().unwrap_or_default())
    }
}

/// What a guard found that let the request through.
fn found(name: &str, source: &Source, before: &Facts, facts: &Facts) -> String {
    match name {
        "allow_ips" => "the client is on the list".to_owned(),
        "rate_limit" => "would count this request; the gateway knows how many there were".to_owned(),
        "handshake" | "handshake_unsigned" | "handshake_signed" => "no handshake".to_owned(),
        "declared" => "size and content type are what the source takes".to_owned(),
        "signature_head" => "the head has what the signature needs".to_owned(),
        "signature" => match facts.secret_index {
            Some(index) => {
                let of = source.signature.secrets.len();
                format!("{}: secret {} of {of} made it", source.signature.scheme.name, usize::from(index) + 1)
            }
            None => format!("{}: believes everybody", source.signature.scheme.name),
        },
        "replay_window" => match facts.signed_at {
            Some(signed_at) => format!("signed at {signed_at}, within the tolerance"),
            None => "no time was signed".to_owned(),
        },
        "envelope" => {
            let or_none = |text: &Option<Box<str>>| text.as_deref().unwrap_or("none").to_owned();
            format!("id {}, type {}", or_none(&facts.source_event_id), or_none(&facts.event_type))
        }
        "dedup" => match (before.dedup_key, facts.dedup_key) {
            (None, Some(_)) => "would be marked; whether it is a copy the gateway's store knows".to_owned(),
            _ => "nothing tells copies of it: delivered each time".to_owned(),
        },
        _ => "lets it through".to_owned(),
    }
}
