//! The publisher's side: an event, a test event, the catalogue.

use axum::Json;
use axum::extract::State as Extracted;
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::body::{JsonBytes, too_large};
use super::params::Query;
use super::problem::Problem;
use super::project::Project;
use super::state::State;
use super::webhook_wire::{EmittedEvent, EventType};
use super::webhooks::{id, sending};
use super::wire::List;
use crate::outbound::{Emission, EmitError, EventFault, StandardEvent};
use crate::store::{AdmitError, Store};

/// The longest `Idempotency-Key`, in bytes, as in Stripe's API.
const KEY_BYTES_MAX: usize = 255;

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
) -> Result<(StatusCode, Json<EmittedEvent>), Problem> {
    query.only(&[])?;
    let sending = sending(&state)?;
    if body.0.len() > sending.settings().body_bytes_max {
        return Err(too_large());
    }
    let key = idempotency_key(&headers)?;
    let mut event = StandardEvent::parse(&body.0)?;
    if let Some(key) = key {
        event.caused_by(key);
    }
    let emission = Emission { project, event, idempotency_key: key.map(Box::from), to: None };
    Ok((StatusCode::ACCEPTED, Json(sending.webhooks.emit(emission).await?.into())))
}

pub(super) async fn test<S: Store>(
    Extracted(state): Extracted<State<S>>,
    Project(project): Project,
    query: Query,
    body: JsonBytes,
) -> Result<(StatusCode, Json<EmittedEvent>), Problem> {
    query.only(&[])?;
    let sending = sending(&state)?;
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
    let emission = Emission { project, event, idempotency_key: None, to };
    Ok((StatusCode::ACCEPTED, Json(sending.webhooks.emit(emission).await?.into())))
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

fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| (1..=KEY_BYTES_MAX).contains(&text.len()));
    match (text, values.next()) {
        (Some(text), None) => Ok(Some(text)),
        _ => {
            let detail = format!("Idempotency-Key: expected one of 1 to {KEY_BYTES_MAX} visible ASCII characters");
            Err(Problem::new(StatusCode::BAD_REQUEST, "idempotency_key_invalid", detail))
        }
    }
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
