//! `hookward deliveries`: what became of events, and with an id: one delivery and its attempts.

use serde_json::Value;

use super::Failure;
use super::listing::{Column, FILTERS, Listing, facts, headers, items, text};
use crate::telemetry::escape::escaped;

/// List what became of events, or show one delivery with its attempts.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Show this delivery.
    #[arg(value_name = "ID", conflicts_with_all = ["event", "destination", "status", "event_type", FILTERS])]
    id: Option<String>,
    /// Only of this event: our id, or the sender's own
    #[arg(long, value_name = "ID")]
    event: Option<String>,
    /// Only to this destination.
    #[arg(long)]
    destination: Option<String>,
    /// Only in this state: pending, in_flight, held, succeeded, dead, cancelled or expired.
    #[arg(long)]
    status: Option<String>,
    /// Only of events of this type.
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    #[command(flatten)]
    listing: Listing,
}

/// How deliveries look in a table, here and below their event.
pub(super) const COLUMNS: &[Column] = &[
    ("ID", |row| text(row, "id")),
    ("RECEIVED", |row| text(row, "created")),
    ("DESTINATION", |row| text(row, "destination")),
    ("TYPE", |row| text(row, "type")),
    ("STATUS", status),
    ("ATTEMPTS", |row| text(row, "attempt_count")),
    ("LAST", last),
    ("NEXT", |row| text(row, "next_attempt_at")),
];

fn status(row: &Value) -> String {
    match text(row, "dead_reason") {
        reason if reason.is_empty() => text(row, "status"),
        reason => format!("{} ({reason})", text(row, "status")),
    }
}

fn last(row: &Value) -> String {
    let outcome = match text(row, "response_code") {
        code if code.is_empty() => text(row, "outcome"),
        code => code,
    };
    match row.get("response_time").and_then(Value::as_f64) {
        Some(millis) if !outcome.is_empty() => format!("{outcome} in {millis:.0} ms"),
        _ => outcome,
    }
}

/// Asks the gateway and prints what it says.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    if let Some(id) = &args.id {
        return args.listing.show("/v1/deliveries", id, shown);
    }
    let filters = [
        ("event", &args.event),
        ("destination", &args.destination),
        ("status", &args.status),
        ("type", &args.event_type),
    ];
    args.listing.list("/v1/deliveries", &filters, COLUMNS)
}

fn shown(delivery: &Value) -> String {
    let mut shown = facts(&[
        ("delivery", text(delivery, "id")),
        ("event", text(delivery, "event")),
        ("received", text(delivery, "created")),
        ("source", text(delivery, "source")),
        ("type", text(delivery, "type")),
        ("destination", text(delivery, "destination")),
        ("status", status(delivery)),
        ("next attempt", text(delivery, "next_attempt_at")),
    ]);
    let attempts = items(delivery, "attempts");
    if attempts.is_empty() {
        shown.push_str("\nno attempt was made yet\n");
    }
    for attempt in attempts {
        let error = match text(attempt, "error") {
            error if error.is_empty() => error,
            error => format!(": {}", escaped(&error)),
        };
        let (number, at) = (text(attempt, "number"), text(attempt, "created"));
        shown.push_str(&format!("\nattempt {number} at {at}: {}{error}\n", last(attempt)));
        shown.push_str(&headers(attempt, "response_headers"));
        let body = attempt.get("response_body").map(|body| text(body, "content")).unwrap_or_default();
        if !body.is_empty() {
            shown.push_str(&format!("  {}\n", escaped(&body)));
        }
    }
    shown
}
