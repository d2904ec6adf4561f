//! What is configured and how it does: sources, destinations, totals.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Extracted;

use super::params::Query;
use super::problem::Problem;
use super::state::{Configured, DestinationEntry, FeedEntry, State};
use super::wire::{Destination, DestinationStats, List, Queue, Source, SourceCounts, SourceFeed, SourceStats, Stats};
use crate::domain::Reason;
use crate::records::passed;
use crate::store::{LaneState, Paused, Store};
use crate::telemetry::Metrics;

pub(super) async fn sources<S: Store>(
    Extracted(state): Extracted<State<S>>,
    query: Query,
) -> Result<Json<List<Source>>, Problem> {
    query.only(&[])?;
    let configured = state.configured();
    let feeds = (configured.feeds)();
    let data = configured.sources.iter().map(|entry| source(&state, &configured, &feeds, entry)).collect();
    Ok(Json(List { object: "list", url: "/v1/sources", has_more: false, continue_after: None, data }))
}

pub(super) fn source<S>(
    state: &State<S>,
    configured: &Configured,
    feeds: &[FeedEntry],
    entry: &super::SourceEntry,
) -> Source {
    let is_paused = (state.pauses.is_paused)(&Paused::Source(Arc::clone(&entry.name)));
    Source {
        object: "source",
        name: entry.name.to_string(),
        state: if is_paused { "paused" } else { "active" },
        path: entry.path.to_string(),
        scheme: entry.scheme.to_string(),
        mode: entry.mode,
        feeds: feeds
            .iter()
            .filter(|feed| entry.feeds.contains(&feed.name))
            .map(|feed| shown_feed(feed, configured))
            .collect(),
        app: entry.app.as_deref().map(str::to_owned),
        passed_on: entry.app.as_ref().map(|_| state.metrics.source(&entry.name).answered_by_app()),
        since_start: counts(&state.metrics, &entry.name),
    }
}

fn shown_feed(feed: &FeedEntry, configured: &Configured) -> SourceFeed {
    SourceFeed {
        name: feed.name.to_string(),
        url: configured.masks.url(&feed.url),
        state: if feed.entries.is_some() { "loaded" } else { "never_loaded" },
        entries: feed.entries,
        confirmed_at: feed.confirmed_at.map(|at| at.to_string()),
        asked_at: feed.asked_at.map(|at| at.to_string()),
        error: feed.error.as_deref().map(str::to_owned),
    }
}

fn counts(metrics: &Metrics, source: &str) -> SourceCounts {
    let metrics = metrics.source(source);
    SourceCounts {
        received: metrics.received.get(),
        accepted: metrics.accepted.get(),
        duplicates: metrics.duplicates.get(),
        unrouted: metrics.unrouted.get(),
        rejected: Reason::ALL.iter().map(|reason| metrics.rejections(*reason)).sum(),
    }
}

pub(super) async fn stats<S: Store>(
    Extracted(state): Extracted<State<S>>,
    query: Query,
) -> Result<Json<Stats>, Problem> {
    query.only(&[])?;
    let configured = state.configured();
    let proxied = configured.sources.iter().filter(|entry| entry.app.is_some()).map(|entry| &entry.name);
    passed::write_down(&*state.store, &state.metrics, proxied);
    let totals = state.store.totals().await?;
    let source = |entry: &super::SourceEntry| {
        let total = totals.sources.get(&*entry.name).cloned().unwrap_or_default();
        let rejected = total.rejected.values().sum();
        SourceStats {
            name: entry.name.to_string(),
            counts: SourceCounts {
                received: total.accepted + total.duplicates + total.passed_on + rejected,
                accepted: total.accepted,
                duplicates: total.duplicates,
                unrouted: total.unrouted,
                rejected,
            },
            passed_on: (entry.app.is_some() || total.passed_on > 0).then_some(total.passed_on),
            rejections: total.rejected.iter().map(|(reason, count)| (reason.code(), *count)).collect(),
            accept_time_mean: state.metrics.source(&entry.name).accept_duration.mean().map(millis),
        }
    };
    let destination = |entry: &DestinationEntry| {
        let total = totals.targets.get(&*entry.name).copied().unwrap_or_default();
        DestinationStats {
            name: entry.name.to_string(),
            attempts: total.attempts,
            succeeded: total.succeeded,
            dead: total.dead,
            expired: total.expired,
            cancelled: total.cancelled,
            success_rate: total.success_rate(),
            response_time_mean: total.attempt_time_mean().map(millis),
        }
    };
    Ok(Json(Stats {
        object: "stats",
        sources: configured.sources.iter().map(source).collect(),
        destinations: configured.destinations.iter().map(destination).collect(),
    }))
}

/// Seconds as milliseconds, to the microsecond.
pub(super) fn millis(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e3
}

pub(super) async fn destinations<S: Store>(
    Extracted(state): Extracted<State<S>>,
    query: Query,
) -> Result<Json<List<Destination>>, Problem> {
    query.only(&[])?;
    let configured = state.configured();
    let lanes = state.store.lanes().await;
    let lane_of = |name: &str| lanes.iter().find(|lane| &*lane.target == name);
    let show =
        |entry: &DestinationEntry| destination(&state, &configured, &entry.name, Some(entry), lane_of(&entry.name));
    let mut data: Vec<Destination> = configured.destinations.iter().map(show).collect();
    // Destinations that are gone, as long as something is held for their return.
    let known = |lane: &&LaneState| configured.destinations.iter().any(|entry| entry.name == lane.target);
    let gone = lanes.iter().filter(|lane| !known(lane) && lane.pending + lane.in_flight + lane.held > 0);
    data.extend(gone.map(|lane| destination(&state, &configured, &lane.target, None, Some(lane))));
    Ok(Json(List { object: "list", url: "/v1/destinations", has_more: false, continue_after: None, data }))
}

pub(super) fn destination<S>(
    state: &State<S>,
    configured: &Configured,
    name: &Arc<str>,
    entry: Option<&DestinationEntry>,
    lane: Option<&LaneState>,
) -> Destination {
    let is_paused = (state.pauses.is_paused)(&Paused::Destination(Arc::clone(name)));
    Destination {
        object: "destination",
        name: name.to_string(),
        url: entry.map(|entry| configured.masks.url(&entry.url)),
        state: match entry {
            None => "removed",
            Some(_) if is_paused => "paused",
            Some(_) => "active",
        },
        breaker: state.metrics.destination(name).breaker.get().as_str(),
        concurrency: entry.map(|entry| entry.concurrency),
        queue: queue(lane, entry.map(|entry| entry.queue_max)),
    }
}

/// How a lane stands, of which `max` may wait; all zeros where there is none.
pub(super) fn queue(lane: Option<&LaneState>, max: Option<u64>) -> Queue {
    Queue {
        pending: lane.map_or(0, |lane| lane.pending),
        in_flight: lane.map_or(0, |lane| lane.in_flight),
        held: lane.map_or(0, |lane| lane.held),
        max,
        oldest_due_at: lane.and_then(|lane| lane.oldest_due_at).map(|time| time.to_string()),
    }
}
