//! Many deliveries once more: by filter, first only counted, with progress.

use std::time::Duration;

use axum::Json;
use axum::extract::State as Extracted;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;

use super::body::JsonBytes;
use super::params::{self, Key, Query};
use super::problem::Problem;
use super::project::Project;
use super::state::State;
use super::webhook_wire::{BulkReplay, REPLAY_PREFIX};
use crate::domain::{DeliveryState, Timestamp};
use crate::records::replays::RUNNING_MAX;
use crate::store::{DeliveryFilter, Store};

/// A replay that is over within this time is answered with its outcome.
const ANSWERED_AFTER: Duration = Duration::from_secs(1);

/// `POST /v1/replays`.
#[derive(Debug, JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "StartReplay")]
pub(super) struct Asked {
    #[serde(default)]
    filter: Filter,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Debug, Default, JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ReplayFilter")]
pub(super) struct Filter {
    destination: Option<Box<str>>,
    webhook: Option<Box<str>>,
    source: Option<Box<str>>,
    /// `dead` by default.
    #[schemars(extend("enum" = ["succeeded", "dead", "cancelled", "expired", null]))]
    status: Option<Box<str>>,
    #[serde(rename = "type")]
    event_type: Option<Box<str>>,
    #[serde(default)]
    created: Created,
}

#[derive(Debug, Default, JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "CreatedRange")]
pub(super) struct Created {
    gte: Option<Box<str>>,
    lte: Option<Box<str>>,
}

pub(super) async fn start<S: Store>(
    Extracted(state): Extracted<State<S>>,
    Project(project): Project,
    query: Query,
    body: JsonBytes,
) -> Result<(StatusCode, Json<BulkReplay>), Problem> {
    query.only(&[])?;
    let asked: Asked = body.read()?;
    let Filter { destination, webhook, source, status, event_type, created } = asked.filter;
    if destination.is_some() && webhook.is_some() {
        return Err(Problem::body("/filter/webhook", "a webhook is a destination: name one of them"));
    }
    let status = status.as_deref().unwrap_or("dead");
    let ended = |state: &DeliveryState| !state.is_open();
    let status = DeliveryState::from_word(status).filter(ended).ok_or_else(|| {
        Problem::body("/filter/status", "expected one of succeeded, dead, cancelled, expired; dead by default")
    })?;
    let time = |pointer: &str, text: Option<Box<str>>, last: bool| -> Result<Option<Timestamp>, Problem> {
        let Some(text) = text else { return Ok(None) };
        let span =
            params::time(&text).ok_or_else(|| Problem::body(pointer, format!("expected {}", params::TIME_EXPECTED)))?;
        Ok(Some(if last { span.1 } else { span.0 }))
    };
    let filter = DeliveryFilter {
        project: Some((*project).into()),
        source,
        target: destination.or(webhook),
        state: Some(status),
        event_type,
        created_gte: time("/filter/created/gte", created.gte, false)?,
        created_lte: time("/filter/created/lte", created.lte, true)?,
        ..DeliveryFilter::default()
    };
    let Some(replay) = state.replays.start(&state.store, project, filter, asked.dry_run) else {
        let detail = format!("{RUNNING_MAX} replays are under way: wait until one has ended");
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_replays", detail).retry_after(5));
    };
    // Where it takes longer, the answer says how far it is.
    let over = tokio::time::timeout(ANSWERED_AFTER, replay.done()).await.is_ok();
    let status = if over { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(BulkReplay::from(&*replay))))
}

pub(super) async fn show<S: Store>(
    Extracted(state): Extracted<State<S>>,
    Project(project): Project,
    Key(key): Key,
    query: Query,
) -> Result<Json<BulkReplay>, Problem> {
    query.only(&[])?;
    let number = key.strip_prefix(REPLAY_PREFIX).and_then(|number| number.parse().ok());
    let replay = number.and_then(|number| state.replays.get(&project, number));
    replay.map(|replay| Json(BulkReplay::from(&*replay))).ok_or_else(|| Problem::not_found("replay with this id"))
}
