//! What became of events: lists, one delivery with its attempts, once more, no more.

use axum::Json;
use axum::extract::State as Extracted;
use http::StatusCode;

use super::pages;
use super::params::{Key, Params, Query};
use super::problem::Problem;
use super::project::Project;
use super::state::State;
use super::wire::{Delivery, DeliveryDetail, List};
use crate::domain::{DeliveryId, DeliveryState, EventId};
use crate::records::again;
use crate::store::{AttemptRow, DeliveryFilter, DeliveryRow, Store, StoreError};

pub(super) async fn list<S: Store>(
    Extracted(state): Extracted<State<S>>,
    Project(project): Project,
    query: Query,
) -> Result<Json<List<Delivery>>, Problem> {
    let params = query.only(&[
        "limit",
        "starting_after",
        "event",
        "source",
        "destination",
        "status",
        "type",
        "created[gte]",
        "created[lte]",
    ])?;
    let filter = DeliveryFilter {
        project: Some((*project).into()),
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
    Project(project): Project,
    Key(key): Key,
    query: Query,
) -> Result<Json<DeliveryDetail>, Problem> {
    query.only(&[])?;
    let (row, attempts) = of_project(&state, &project, &key).await?;
    Ok(Json(DeliveryDetail::new(row, attempts, &state.configured().masks)))
}

pub(super) async fn redeliver<S: Store>(
    Extracted(state): Extracted<State<S>>,
    Project(project): Project,
    Key(key): Key,
    query: Query,
) -> Result<(StatusCode, Json<Delivery>), Problem> {
    query.only(&[])?;
    let (row, _) = of_project(&state, &project, &key).await?;
    let row = again::redeliver(&*state.store, row.id).await?;
    Ok((StatusCode::ACCEPTED, Json(row.into())))
}

pub(super) async fn cancel<S: Store>(
    Extracted(state): Extracted<State<S>>,
    Project(project): Project,
    Key(key): Key,
    query: Query,
) -> Result<Json<Delivery>, Problem> {
    query.only(&[])?;
    let (row, _) = of_project(&state, &project, &key).await?;
    let row = again::cancel(&*state.store, row.id, &state.metrics).await?;
    Ok(Json(row.into()))
}

/// `status`: one of the states.
pub(super) fn status(params: &Params) -> Result<Option<DeliveryState>, Problem> {
    let states = DeliveryState::ALL.map(DeliveryState::as_str).join(", ");
    params.read("status", format_args!("one of {states}"), DeliveryState::from_word)
}

/// A delivery of the project; another one's is not there.
async fn of_project<S: Store>(
    state: &State<S>,
    project: &str,
    key: &str,
) -> Result<(DeliveryRow, Vec<AttemptRow>), Problem> {
    let found = state.store.delivery(id(key)?).await?;
    if *found.0.project == *project { Ok(found) } else { Err(StoreError::NotFound.into()) }
}

fn id(key: &str) -> Result<DeliveryId, Problem> {
    key.parse().map_err(|_not_an_id| Problem::not_found("delivery with this id"))
}
