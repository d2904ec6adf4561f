//! `hookward rejections`: which requests were refused, and why; with an id: one of them, whole.

use serde_json::Value;

use super::listing::{Column, FILTERS, Listing, facts, headers, text};
use super::{Failure, diagnosed};
use crate::telemetry::escape::escaped;

/// List refused requests and why they were refused, or show one.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Show this one: the `Hookward-Rejection-Id` that the sender was answered with.
    #[arg(value_name = "ID", conflicts_with_all = ["reason", FILTERS])]
    id: Option<String>,
    /// Only for this reason, such as `signature_mismatch`.
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    listing: Listing,
}

const COLUMNS: &[Column] = &[
    ("ID", |row| text(row, "id")),
    ("AT", |row| text(row, "created")),
    ("SOURCE", |row| text(row, "source")),
    ("STATUS", |row| text(row, "status")),
    ("REASON", |row| text(row, "reason")),
    ("CLIENT", |row| text(row, "client")),
    ("REQUEST", |row| short(row, "request_line", 60)),
    ("DETAIL", |row| short(row, "detail", 120)),
];

/// A field's first characters: a table is for looking, `--json` shows everything.
fn short(row: &Value, field: &str, characters_max: usize) -> String {
    let whole = text(row, field);
    match whole.char_indices().nth(characters_max) {
        Some((end, _)) => format!("{}…", whole.get(..end).unwrap_or_default()),
        None => whole,
    }
}

/// Asks the gateway and prints what it says.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.id {
        Some(id) => args.listing.show("/v1/rejections", id, shown),
        None => args.listing.list("/v1/rejections", &[("reason", &args.reason)], COLUMNS),
    }
}

fn shown(rejection: &Value) -> String {
    let mut shown = facts(&[
        ("rejection", text(rejection, "id")),
        ("at", text(rejection, "created")),
        ("source", text(rejection, "source")),
        ("status", text(rejection, "status")),
        ("reason", text(rejection, "reason")),
        ("detail", text(rejection, "detail")),
        ("client", text(rejection, "client")),
        ("request", text(rejection, "request_line")),
    ]);
    if let Some(diagnosis) = rejection.get("diagnosis").filter(|diagnosis| diagnosis.is_object()) {
        let today = "today's configuration";
        shown.push_str(&format!("\nsignature: {}", diagnosed::shown(diagnosis, today)));
    }
    shown.push_str(&format!("\nheaders\n{}", headers(rejection, "headers")));
    let body = rejection.get("body").map(|body| text(body, "content")).unwrap_or_default();
    if !body.is_empty() {
        shown.push_str(&format!("\nbody\n  {}\n", escaped(&body)));
    }
    shown
}
