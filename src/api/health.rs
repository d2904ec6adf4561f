//! Alive, ready, and what was counted: open to everybody who reaches the port, so no secrets and no ids.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Extracted;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;

use super::problem::Problem;
use super::state::State;
use super::wire::{Alive, Ready, ReadyConfig};
use crate::store::{LaneState, Store};
use crate::telemetry::LaneGauges;
use crate::telemetry::metrics;

/// The process answers; nothing else is asked.
pub(super) async fn livez() -> Response {
    Json(Alive { status: "alive" }).into_response()
}

/// Whether senders should be sent here, and if not, why.
pub(super) async fn readyz<S: Store>(Extracted(state): Extracted<State<S>>) -> Response {
    let ready = ready(&state);
    let status = if ready.reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(ready)).into_response()
}

fn ready<S: Store>(state: &State<S>) -> Ready {
    let readiness = &state.readiness;
    let mut reasons: Vec<String> = Vec::new();
    if !readiness.is_started() {
        reasons.push("starting: not everything listens yet".to_owned());
    }
    if readiness.is_draining() {
        reasons.push("draining: the gateway is shutting down".to_owned());
    }
    let never = |feed: &super::FeedEntry| {
        let name = &feed.name;
        feed.entries.is_none().then(|| format!("the address list {name} was never loaded: its senders are refused"))
    };
    let mut warnings: Vec<String> = (state.configured().feeds)().iter().filter_map(never).collect();
    let store = state.store.health().reasons.into_iter().map(|reason| format!("store: {reason}"));
    let configured = state.configured();
    let open: Vec<&str> =
        configured.sources.iter().filter(|source| source.fails_open).map(|source| &*source.name).collect();
    if open.is_empty() {
        reasons.extend(store);
    } else {
        // Something can be done without the store: whoever sends here is better served than nobody.
        let open = open.join(", ");
        warnings.extend(store.map(|reason| format!("{reason}; dedup is off for {open}, other sources are refused")));
    }
    let reload = readiness.reload();
    let (refused_at, error) = reload.refused.map(|(at, why)| (at.to_string(), why.to_string())).unzip();
    Ready {
        status: if reasons.is_empty() { "ready" } else { "not_ready" }.to_owned(),
        reasons,
        warnings,
        durability: if readiness.is_relaxed() { "relaxed" } else { "strict" }.to_owned(),
        config: ReadyConfig { loaded_at: reload.loaded_at.map(|at| at.to_string()), refused_at, error },
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// Everything that is counted, as OpenMetrics.
pub(super) async fn scrape<S: Store>(Extracted(state): Extracted<State<S>>) -> Result<Response, Problem> {
    let now = state.clock.now();
    let lanes = state.store.lanes().await;
    // A destination that has caught up may have no lane any more: it shows zeros.
    let idle = state.configured();
    let idle = idle.destinations.iter().filter(|entry| !lanes.iter().any(|lane| lane.target == entry.name));
    let idle = idle.map(|entry| (Arc::clone(&entry.name), LaneGauges::default()));
    let busy = lanes.iter().map(|lane| {
        let oldest_due_age = lane.oldest_due_at.map(|due| now.since(due)).unwrap_or_default();
        let LaneState { pending, in_flight, held, .. } = *lane;
        (Arc::clone(&lane.target), LaneGauges { pending, in_flight, held, oldest_due_age })
    });
    let feeds = (state.configured().feeds)();
    let wall = state.clock.wall();
    let age = |feed: &super::FeedEntry| feed.confirmed_at.map(|at| wall.since(at));
    state.metrics.show_feeds(feeds.iter().map(|feed| (&*feed.name, age(feed), feed.entries.unwrap_or_default())));
    let health = state.store.health();
    state.metrics.store().set_health(health.reasons.is_empty(), health.bytes, health.damaged_records);
    let text = state.metrics.scrape(busy.chain(idle)).map_err(|error| {
        tracing::error!(%error, "the metrics could not be written");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the metrics could not be written")
    })?;
    Ok(([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}
