//! What was received: lists, one event, its bytes, and a replay by today's routes.

use axum::Json;
use axum::body::Body;
use axum::extract::State as Extracted;
use axum::response::Response;
use http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};

use super::caller::Caller;
use super::pages;
use super::parameter::{AFTER_EVENT, CREATED_GTE, CREATED_LTE, LIMIT, Parameter, SOURCE, SOURCE_EVENT_ID, TYPE};
use super::params::{Key, Query};
use super::problem::Problem;
use super::state::State;
use super::wire::{EventDetail, EventItem, List, Replay};
use crate::domain::EventId;
use crate::outbound::emit;
use crate::records::{again, search};
use crate::store::{EventFilter, Store};

/// The parameters of the list.
pub(super) const LIST: &[Parameter] = &[LIMIT, AFTER_EVENT, SOURCE, TYPE, SOURCE_EVENT_ID, CREATED_GTE, CREATED_LTE];

pub(super) async fn list<S: Store>(
    Extracted(state): Extracted<State<S>>,
    caller: Caller,
    query: Query,
) -> Result<Json<List<EventItem>>, Problem> {
    let params = query.only(LIST)?;
    let filter = EventFilter {
        project: caller.project_filter(),
        source: params.owned("source"),
        event_type: params.owned("type"),
        source_event_id: params.owned("source_event_id"),
        created_gte: params.created_gte()?,
        created_lte: params.created_lte()?,
    };
    let page = state.store.events(filter, pages::requested::<EventId>(&params)?).await?;
    Ok(Json(pages::shown(page, "/v1/events", EventItem::from)))
}

pub(super) async fn show<S: Store>(
    Extracted(state): Extracted<State<S>>,
    caller: Caller,
    Key(key): Key,
    query: Query,
) -> Result<Json<EventDetail>, Problem> {
    query.only(&[])?;
    let event = search::event(&*state.store, &key, caller.project.as_deref()).await?;
    let deliveries = search::deliveries_of(&*state.store, event.id).await?;
    let deliveries = pages::shown(deliveries, "/v1/deliveries", Into::into);
    Ok(Json(EventDetail::new(&event, deliveries, &state.configured().masks)))
}

/// The bytes as they were sent. Never rendered by a browser: whoever sent them could be anybody with a secret.
pub(super) async fn body<S: Store>(
    Extracted(state): Extracted<State<S>>,
    caller: Caller,
    Key(key): Key,
    query: Query,
) -> Result<Response, Problem> {
    query.only(&[])?;
    let event = search::event(&*state.store, &key, caller.project.as_deref()).await?;
    let bytes = event.received.body.clone();
    let length = HeaderValue::from(bytes.len());
    let name = format!("attachment; filename=\"{}.body\"", event.id);
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_LENGTH, length);
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    if let Ok(name) = HeaderValue::try_from(name) {
        headers.insert(CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

pub(super) async fn replay<S: Store>(
    Extracted(state): Extracted<State<S>>,
    caller: Caller,
    Key(key): Key,
    query: Query,
) -> Result<(StatusCode, Json<Replay>), Problem> {
    query.only(&[])?;
    let event = search::event(&*state.store, &key, caller.project.as_deref()).await?;
    let plan = match &state.sending {
        Some(sending) if *event.received.source == *emit::SOURCE => {
            let received = &event.received;
            sending.webhooks.plan(&received.project, received.event_type.as_deref().unwrap_or_default())
        }
        _ => (state.configured().plan)(&event, state.clock.now()),
    };
    let made = again::replay(&*state.store, event.id, plan).await?;
    let deliveries = made.iter().map(ToString::to_string).collect();
    Ok((StatusCode::ACCEPTED, Json(Replay { object: "replay", event: event.id.to_string(), deliveries })))
}
