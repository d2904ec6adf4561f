//! Customers' webhooks: register, list, change, rotate, pause, delete; how each does and what went there.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Extracted;
use http::StatusCode;

use super::body::JsonBytes;
use super::caller::Caller;
use super::parameter::{AFTER_DELIVERY, AFTER_WEBHOOK, CREATED_GTE, CREATED_LTE, LIMIT, Parameter, STATUS, TYPE};
use super::params::{Key, Query};
use super::problem::Problem;
use super::project::Project;
use super::state::{Sending, State};
use super::webhook_fields::{self as fields, Create, Rotate, Update};
use super::webhook_wire::{Deleted, Webhook, WebhookStats};
use super::wire::{Delivery, List};
use super::{configured, deliveries, pages};
use crate::domain::{DeliveryId, DisabledBy, WebhookId, WebhookState};
use crate::outbound::{Change, NewWebhook, OpenedWebhook, WebhookError};
use crate::store::{DeliveryFilter, Store};

/// The parameters of the list.
pub(super) const LIST: &[Parameter] = &[LIMIT, AFTER_WEBHOOK];

/// The parameters of the log.
pub(super) const LOG: &[Parameter] = &[LIMIT, AFTER_DELIVERY, STATUS, TYPE, CREATED_GTE, CREATED_LTE];

pub(super) async fn create<S: Store>(
    Extracted(state): Extracted<State<S>>,
    Project(project): Project,
    query: Query,
    body: JsonBytes,
) -> Result<(StatusCode, Json<Webhook>), Problem> {
    query.only(&[])?;
    let sending = sending(&state)?;
    let asked: Create = body.read()?;
    let url = vetted(sending, fields::url(&asked.url)?).await?;
    let new = NewWebhook {
        project,
        url,
        events: fields::events(&asked.events)?,
        description: fields::description(asked.description)?,
        metadata: fields::metadata(asked.metadata)?,
        headers: fields::headers(asked.headers, &sending.settings().header_prefix)?,
        state: state_of(asked.active.unwrap_or(true)),
        secret: fields::secret(asked.secret)?,
        asymmetric: asked.asymmetric,
    };
    let made = sending.webhooks.create(new).await?;
    tracing::info!(webhook = %made.webhook.id, project = &*made.webhook.project, "webhook registered");
    Ok((StatusCode::CREATED, Json(Webhook::with_secret(&made))))
}

pub(super) async fn list<S: Store>(
    Extracted(state): Extracted<State<S>>,
    Project(project): Project,
    query: Query,
) -> Result<Json<List<Webhook>>, Problem> {
    let params = query.only(LIST)?;
    let after = params.read("starting_after", "an id that starts with webhook_", |text| text.parse().ok())?;
    let (found, has_more) = sending(&state)?.webhooks.list(&project, params.limit()?, after);
    let data = found.iter().map(|webhook| Webhook::new(webhook)).collect();
    Ok(Json(List { object: "list", url: "/v1/webhooks", has_more, continue_after: None, data }))
}

pub(super) async fn show<S: Store>(
    Extracted(state): Extracted<State<S>>,
    caller: Caller,
    Key(key): Key,
    query: Query,
) -> Result<Json<Webhook>, Problem> {
    query.only(&[])?;
    Ok(Json(Webhook::new(&*own(&state, &caller, &key)?)))
}

pub(super) async fn update<S: Store>(
    Extracted(state): Extracted<State<S>>,
    caller: Caller,
    Key(key): Key,
    query: Query,
    body: JsonBytes,
) -> Result<Json<Webhook>, Problem> {
    query.only(&[])?;
    let sending = sending(&state)?;
    // Before what was sent is looked at: nobody learns anything of another project's webhooks.
    let stands = own(&state, &caller, &key)?;
    let asked: Update = body.read()?;
    let url = match asked.url {
        Some(url) => Some(vetted(sending, fields::url(&url)?).await?),
        None => None,
    };
    let prefix = sending.settings().header_prefix.clone();
    let change = Change {
        url,
        events: asked.events.map(|globs| fields::events(&globs)).transpose()?,
        description: asked.description.map(fields::description).transpose()?,
        metadata: asked.metadata.map(fields::metadata).transpose()?,
        headers: asked.headers.map(|headers| fields::headers(headers, &prefix)).transpose()?,
        // What is paused is active already.
        state: asked.active.filter(|active| *active != stands.webhook.state.takes_events()).map(state_of),
        asymmetric: asked.asymmetric,
    };
    let changed = sending.webhooks.update(&stands.webhook.project, stands.webhook.id, change).await?;
    Ok(Json(Webhook::new(&changed)))
}

pub(super) async fn delete<S: Store>(
    Extracted(state): Extracted<State<S>>,
    caller: Caller,
    Key(key): Key,
    query: Query,
) -> Result<Json<Deleted>, Problem> {
    query.only(&[])?;
    let OpenedWebhook { webhook, .. } = &*own(&state, &caller, &key)?;
    let id = webhook.id;
    sending(&state)?.webhooks.delete(&webhook.project, id).await?;
    tracing::info!(webhook = %id, project = &*webhook.project, "webhook deleted");
    Ok(Json(Deleted { object: "webhook", id: id.to_string(), deleted: true }))
}

pub(super) async fn rotate<S: Store>(
    Extracted(state): Extracted<State<S>>,
    caller: Caller,
    Key(key): Key,
    query: Query,
    body: JsonBytes,
) -> Result<Json<Webhook>, Problem> {
    query.only(&[])?;
    let sending = sending(&state)?;
    let OpenedWebhook { webhook, .. } = &*own(&state, &caller, &key)?;
    let asked: Rotate = body.read()?;
    let (secret, grace) = (fields::secret(asked.secret)?, fields::grace(asked.grace.as_deref())?);
    let rotated = sending.webhooks.rotate(&webhook.project, webhook.id, secret, grace).await?;
    Ok(Json(Webhook::with_secret(&rotated)))
}

pub(super) async fn pause<S: Store>(
    Extracted(state): Extracted<State<S>>,
    caller: Caller,
    key: Key,
    query: Query,
) -> Result<Json<Webhook>, Problem> {
    put_into(&state, &caller, &key, &query, WebhookState::Paused).await
}

pub(super) async fn resume<S: Store>(
    Extracted(state): Extracted<State<S>>,
    caller: Caller,
    key: Key,
    query: Query,
) -> Result<Json<Webhook>, Problem> {
    put_into(&state, &caller, &key, &query, WebhookState::Active).await
}

async fn put_into<S: Store>(
    state: &State<S>,
    caller: &Caller,
    Key(key): &Key,
    query: &Query,
    into: WebhookState,
) -> Result<Json<Webhook>, Problem> {
    query.only(&[])?;
    let change = Change { state: Some(into), ..Change::default() };
    let stands = own(state, caller, key)?;
    let changed = sending(state)?.webhooks.update(&stands.webhook.project, stands.webhook.id, change).await?;
    Ok(Json(Webhook::new(&changed)))
}

/// The log: what went to one webhook.
pub(super) async fn log<S: Store>(
    Extracted(state): Extracted<State<S>>,
    caller: Caller,
    Key(key): Key,
    query: Query,
) -> Result<Json<List<Delivery>>, Problem> {
    let params = query.only(LOG)?;
    let webhook = own(&state, &caller, &key)?;
    let filter = DeliveryFilter {
        target: Some(webhook.webhook.id.to_string().into()),
        state: deliveries::status(&params)?,
        event_type: params.owned("type"),
        created_gte: params.created_gte()?,
        created_lte: params.created_lte()?,
        ..DeliveryFilter::default()
    };
    let page = state.store.deliveries(filter, pages::requested::<DeliveryId>(&params)?).await?;
    Ok(Json(pages::shown(page, "/v1/deliveries", Delivery::from)))
}

pub(super) async fn stats<S: Store>(
    Extracted(state): Extracted<State<S>>,
    caller: Caller,
    Key(key): Key,
    query: Query,
) -> Result<Json<WebhookStats>, Problem> {
    query.only(&[])?;
    let target = own(&state, &caller, &key)?.webhook.id.to_string();
    let total = state.store.target_totals(&target).await?;
    let lane = state.store.lane(&target).await;
    Ok(Json(WebhookStats {
        object: "webhook_stats",
        webhook: target,
        attempts: total.attempts,
        succeeded: total.succeeded,
        dead: total.dead,
        cancelled: total.cancelled,
        success_rate: total.success_rate(),
        response_time_mean: total.attempt_time_mean().map(configured::millis),
        queue: configured::queue(lane.as_ref(), None),
    }))
}

/// The sending side, where it is on.
pub(super) fn sending<S>(state: &State<S>) -> Result<&Arc<Sending<S>>, Problem> {
    let off =
        || Problem::new(StatusCode::NOT_FOUND, "outbound_off", "outbound mode is off: outbound.enabled turns it on");
    state.sending.as_ref().ok_or_else(off)
}

/// The webhook with this id, where it is the caller's; another project's is not there.
fn own<S: Store>(state: &State<S>, caller: &Caller, key: &str) -> Result<Arc<OpenedWebhook>, Problem> {
    let found = sending(state)?.webhooks.get(id(key)?).filter(|found| caller.owns(&found.webhook.project));
    found.ok_or_else(|| WebhookError::NotFound.into())
}

/// The id in the path; whatever is no id is nobody's.
pub(super) fn id(key: &str) -> Result<WebhookId, Problem> {
    key.parse().map_err(|_not_an_id| Problem::not_found("webhook with this id"))
}

async fn vetted<S>(sending: &Sending<S>, url: &str) -> Result<Box<str>, Problem> {
    (sending.vet)(url.into()).await.map_err(|refused| Problem::body("/url", refused))
}

fn state_of(active: bool) -> WebhookState {
    if active { WebhookState::Active } else { WebhookState::Disabled(DisabledBy::Person) }
}

impl From<WebhookError> for Problem {
    fn from(error: WebhookError) -> Self {
        match error {
            WebhookError::NotFound => Self::not_found("webhook with this id"),
            WebhookError::TooMany(_) => Self::new(StatusCode::CONFLICT, "too_many_webhooks", error.to_string()),
            WebhookError::Store(error) => error.into(),
            WebhookError::Seal(_) => {
                tracing::error!(%error, "a webhook was not changed");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "something broke; the log says what")
            }
        }
    }
}
