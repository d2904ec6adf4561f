//! Sources and destinations are paused and resumed.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Extracted;
use http::StatusCode;

use super::configured;
use super::params::{Key, Query};
use super::problem::Problem;
use super::state::State;
use super::wire::{Destination, Source};
use crate::store::{Paused, Store};

pub(super) async fn pause_source<S: Store>(
    Extracted(state): Extracted<State<S>>,
    key: Key,
    query: Query,
) -> Result<Json<Source>, Problem> {
    set_source(&state, &key, &query, true).await
}

pub(super) async fn resume_source<S: Store>(
    Extracted(state): Extracted<State<S>>,
    key: Key,
    query: Query,
) -> Result<Json<Source>, Problem> {
    set_source(&state, &key, &query, false).await
}

pub(super) async fn pause_destination<S: Store>(
    Extracted(state): Extracted<State<S>>,
    key: Key,
    query: Query,
) -> Result<Json<Destination>, Problem> {
    set_destination(&state, &key, &query, true).await
}

pub(super) async fn resume_destination<S: Store>(
    Extracted(state): Extracted<State<S>>,
    key: Key,
    query: Query,
) -> Result<Json<Destination>, Problem> {
    set_destination(&state, &key, &query, false).await
}

async fn set_source<S: Store>(
    state: &State<S>,
    Key(name): &Key,
    query: &Query,
    paused: bool,
) -> Result<Json<Source>, Problem> {
    query.only(&[])?;
    let configured = state.configured();
    let Some(entry) = configured.sources.iter().find(|entry| *entry.name == **name) else {
        return Err(Problem::not_found("source with this name"));
    };
    if paused && entry.app.is_some() {
        let detail = "this source passes requests on to an app: there is nothing that could wait";
        return Err(Problem::new(StatusCode::CONFLICT, "source_passes_on", detail));
    }
    (state.pauses.set)(Paused::Source(Arc::clone(&entry.name)), paused).await?;
    Ok(Json(configured::source(state, &configured, &(configured.feeds)(), entry)))
}

async fn set_destination<S: Store>(
    state: &State<S>,
    Key(name): &Key,
    query: &Query,
    paused: bool,
) -> Result<Json<Destination>, Problem> {
    query.only(&[])?;
    let configured = state.configured();
    let Some(entry) = configured.destinations.iter().find(|entry| *entry.name == **name) else {
        return Err(Problem::not_found("destination with this name"));
    };
    (state.pauses.set)(Paused::Destination(Arc::clone(&entry.name)), paused).await?;
    let lane = state.store.lane(name).await;
    Ok(Json(configured::destination(state, &configured, &entry.name, Some(entry), lane.as_ref())))
}
