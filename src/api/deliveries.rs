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
use crate::records::again;
use crate::store::{DeliveryFilter, Store};

/// The parameters of the list.
pub(super) const LIST: &[Parameter] =
    &[LIMIT, AFTER_DELIVERY, EVENT, SOURCE, DESTINATION, STATUS, TYPE, CREATED_GTE, CREATED_LTE];

pub(super) async fn list<S: Store>(
    Extracted(state): Extracted<State<S>>,
    caller: Caller,
    query: Query,
) -> Result<Json<List<Delivery>>, Problem> {
    let params = query.only(LIST)?;
    let filter = DeliveryFilter {
        project: caller.project_filter(),
        event: params.read("event", "an id that starts with evt_", |text| text.parse::<EventId>().ok())?,
        source: params.owned("source"),
        target: params.owned("destination"),
        state: status(&params)?,
        event_type: params.owned("type"),
        created_gte: params.created_gte()?,
        created_lte: params.created_lte()?,
    };
    let page = state.store.deliveries(filter, pages::requested::<DeliveryId>(&params)?).await?;
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
