//! What became of events: lists, one delivery with its attempts, once more, no more.

use axum::Json;
use axum::extract::State as Extracted;
use http::StatusCode;

use super::caller::Caller;
use super::pages;
use super::parameter::{
    AFTER_DELIVERY, CREATED_GTE, CREATED_LTE, DESTINATION, EVENT, LIMIT, Parameter, SOURCE, STATUS, TYPE,
};
use super::params::{Key, Params, Query};
use super::problem::Problem;
use super::state::State;
use super::wire::{Delivery, DeliveryDetail, List};
use crate::domain::{DeliveryId, DeliveryState, EventId};
use crate::records::{again, search};
use crate::store::{DeliveryFilter, DeliveryRow, Page, Store, StoreError};

/// The parameters of the list.
pub(super) const LIST: &[Parameter] =
    &[LIMIT, AFTER_DELIVERY, EVENT, SOURCE, DESTINATION, STATUS, TYPE, CREATED_GTE, CREATED_LTE];

/// What there is of an event that there is not.
const NONE: Page<DeliveryRow> = Page { rows: Vec::new(), has_more: false, stopped_at: None };

pub(super) async fn list<S: Store>(
    Extracted(state): Extracted<State<S>>,
    caller: Caller,
    query: Query,
) -> Result<Json<List<Delivery>>, Problem> {
    let params = query.only(LIST)?;
    let after = pages::requested::<DeliveryId>(&params)?;
    let event = match params.text("event") {
        Some(key) => match event(&*state.store, key, caller.project.as_deref()).await? {
            Some(id) => Some(id),
            None => return Ok(Json(pages::shown(NONE, "/v1/deliveries", Delivery::from))),
        },
        None => None,
    };
    let filter = DeliveryFilter {
        project: caller.project_filter(),
        event,
        source: params.owned("source"),
        target: params.owned("destination"),
        state: status(&params)?,
        event_type: params.owned("type"),
        created_gte: params.created_gte()?,
        created_lte: params.created_lte()?,
    };
    let page = state.store.deliveries(filter, after).await?;
    Ok(Json(pages::shown(page, "/v1/deliveries", Delivery::from)))
}

pub(super) async fn show<S: Store>(
    Extracted(state): Extracted<State<S>>,
    caller: Caller,
    Key(key): Key,
    query: Query,
) -> Result<Json<DeliveryDetail>, Problem> {
    query.only(&[])?;
    let (row, attempts) = state.store.delivery(id(&key)?).await?;
    caller.check(&row.project)?;
    Ok(Json(DeliveryDetail::new(row, attempts, &state.configured().masks)))
}

pub(super) async fn redeliver<S: Store>(
    Extracted(state): Extracted<State<S>>,
    caller: Caller,
    Key(key): Key,
    query: Query,
) -> Result<(StatusCode, Json<Delivery>), Problem> {
    query.only(&[])?;
    let id = own(&*state.store, &caller, &key).await?;
    let row = again::redeliver(&*state.store, id).await?;
    Ok((StatusCode::ACCEPTED, Json(row.into())))
}

pub(super) async fn cancel<S: Store>(
    Extracted(state): Extracted<State<S>>,
    caller: Caller,
    Key(key): Key,
    query: Query,
) -> Result<Json<Delivery>, Problem> {
    query.only(&[])?;
    let id = own(&*state.store, &caller, &key).await?;
    let row = again::cancel(&*state.store, id, &state.metrics).await?;
    Ok(Json(row.into()))
}

/// `status`: one of the states.
pub(super) fn status(params: &Params) -> Result<Option<DeliveryState>, Problem> {
    let states = DeliveryState::ALL.map(DeliveryState::as_str).join(", ");
    params.read("status", format_args!("one of {states}"), DeliveryState::from_word)
}

/// The event that is meant: our id, or the newest that its sender called so; `None` where there is none.
async fn event<S: Store>(store: &S, key: &str, project: Option<&str>) -> Result<Option<EventId>, Problem> {
    if let Ok(id) = key.parse() {
        return Ok(Some(id));
    }
    match search::event(store, key, project).await {
        Ok(event) => Ok(Some(event.id)),
        Err(StoreError::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The delivery with this id, where it is the caller's.
async fn own<S: Store>(store: &S, caller: &Caller, key: &str) -> Result<DeliveryId, Problem> {
    let id = id(key)?;
    if caller.project.is_some() {
        caller.check(&store.delivery(id).await?.0.project)?;
    }
    Ok(id)
}

fn id(key: &str) -> Result<DeliveryId, Problem> {
    key.parse().map_err(|_not_an_id| Problem::not_found("delivery with this id"))
}
