//! The publisher's side: an event, a test event, the catalogue.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Extracted;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::body::{JsonBytes, too_large};
use super::idempotency;
use super::params::Query;
use super::problem::Problem;
use super::project::Project;
use super::state::{Sending, State};
use super::webhook_wire::{EmittedEvent, EventType};
use super::webhooks::{id, sending};
use super::wire::List;
use crate::outbound::{Emission, EmitError, EventFault, RequestKey, StandardEvent};
use crate::store::{AdmitError, Store};
use crate::telemetry::tail::Happening;
use crate::telemetry::task;

/// `POST /v1/test-events`.
#[derive(Debug, JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TestEvent {
    #[serde(rename = "type")]
    event_type: String,
    /// Only to this one.
    webhook: Option<String>,
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    data: Option<Box<RawValue>>,
}

pub(super) async fn emit<S: Store>(
    Extracted(state): Extracted<State<S>>,
    Project(project): Project,
    headers: HeaderMap,
    query: Query,
    body: JsonBytes,
) -> Result<Response, Problem> {
    emit_in(&state, project, &headers, &query, &body).await
}

/// Emits what a publisher wrote.
pub(super) async fn emit_in<S: Store>(
    state: &State<S>,
    project: Arc<str>,
    headers: &HeaderMap,
    query: &Query,
    body: &JsonBytes,
) -> Result<Response, Problem> {
    query.only(&[])?;
    let sending = sending(state)?;
    if body.0.len() > sending.settings().body_bytes_max {
        return Err(too_large());
    }
    let key = request_key(headers, "/v1/events", &body.0)?;
    let mut event = StandardEvent::parse(&body.0)?;
    if let Some(key) = &key {
        event.caused_by(&key.key);
    }
    emitted(state, sending, Emission { project, event, key, to: None }).await
}

pub(super) async fn test<S: Store>(
    Extracted(state): Extracted<State<S>>,
    Project(project): Project,
    headers: HeaderMap,
    query: Query,
    body: JsonBytes,
) -> Result<Response, Problem> {
    query.only(&[])?;
    let sending = sending(&state)?;
    let key = request_key(&headers, "/v1/test-events", &body.0)?;
    let asked: TestEvent = body.read()?;
    let to = match &asked.webhook {
        Some(key) => {
            let webhook = sending.webhooks.of_project(&project, id(key)?)?;
            if !webhook.webhook.state.takes_events() {
                let detail = "the webhook is disabled: make it active first";
                return Err(Problem::new(StatusCode::CONFLICT, "webhook_disabled", detail));
            }
            Some(webhook.webhook.id)
        }
        None => None,
    };
    let data = asked.data.map_or_else(|| RawValue::from_string(r#"{"id":"test"}"#.to_owned()), Ok);
    let data = data.map_err(|error| Problem::body("/data", error.to_string()))?;
    let event = StandardEvent::test(&asked.event_type, data)?;
    emitted(&state, sending, Emission { project, event, key, to }).await
}

pub(super) async fn event_types<S: Store>(
    Extracted(state): Extracted<State<S>>,
    query: Query,
) -> Result<Json<List<EventType>>, Problem> {
    query.only(&[])?;
    let settings = sending(&state)?.settings();
    let data = settings
        .event_types
        .iter()
        .map(|name| EventType { object: "event_type", event_type: name.to_string() })
        .collect();
    Ok(Json(List { object: "list", url: "/v1/event-types", has_more: false, continue_after: None, data }))
}

/// The key of a request and what it is for; the path tells operations apart.
fn request_key(headers: &HeaderMap, path: &str, body: &[u8]) -> Result<Option<RequestKey>, Problem> {
    let Some(key) = idempotency::key(headers)? else { return Ok(None) };
    let mut request = Sha256::new();
    request.update((path.len() as u64).to_be_bytes());
    request.update(path);
    request.update(body);
    Ok(Some(RequestKey { key: key.into(), request: request.finalize().into() }))
}

/// Emits; what has a key is finished even if its client goes, since the client asks again under it.
async fn emitted<S: Store>(
    state: &State<S>,
    sending: &Arc<Sending<S>>,
    emission: Emission,
) -> Result<Response, Problem> {
    let emitted = if emission.key.is_some() {
        let sending = Arc::clone(sending);
        let emitting = task::spawn("keyed emission", async move { sending.webhooks.emit(emission).await });
        emitting.await.map_err(|_panicked| Problem::broken())?
    } else {
        sending.webhooks.emit(emission).await
    }?;
    let replayed = emitted.replayed;
    state.tail.tell(|| Happening::Event { id: emitted.event, duplicate: emitted.duplicate || replayed });
    let mut response = (StatusCode::ACCEPTED, Json(EmittedEvent::from(emitted))).into_response();
    if replayed {
        idempotency::mark_replayed(&mut response);
    }
    Ok(response)
}

impl From<EventFault> for Problem {
    fn from(fault: EventFault) -> Self {
        Self::body(fault.pointer, fault.detail)
    }
}

impl From<EmitError> for Problem {
    fn from(error: EmitError) -> Self {
        match error {
            EmitError::Store(error) => error.into(),
            EmitError::KeyReused => idempotency::reused(),
            EmitError::NotKept(error) => {
                let code = match &error {
                    AdmitError::Full(_) => "store_full",
                    AdmitError::Unavailable(_) => "store_unavailable",
                };
                Self::new(StatusCode::SERVICE_UNAVAILABLE, code, error.to_string()).retry_after(5)
            }
        }
    }
}
