//! `hookward events`: what was received, and with an id: one event and what became of it.

use std::io::Write;

use serde_json::Value;

use super::Failure;
use super::client::segment;
use super::deliveries;
use super::listing::{Column, FILTERS, Listing, facts, headers, items, table, text};

/// List what was received, or show one event with its deliveries.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Show this event: our id, or the sender's own.
    #[arg(value_name = "ID", conflicts_with_all = ["event_type", "source_event_id", FILTERS])]
    id: Option<String>,
    /// Print the event's body as it was sent, and nothing else.
    #[arg(long, requires = "id")]
    body: bool,
    /// Only of this type.
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Only with this id of the sender.
    #[arg(long, value_name = "ID")]
    source_event_id: Option<String>,
    #[command(flatten)]
    listing: Listing,
}

const COLUMNS: &[Column] = &[
    ("ID", |row| text(row, "id")),
    ("RECEIVED", |row| text(row, "created")),
    ("SOURCE", |row| text(row, "source")),
    ("TYPE", |row| text(row, "type")),
    ("SENDER'S ID", |row| text(row, "source_event_id")),
    ("BYTES", |row| text(row, "body_bytes")),
    ("DELIVERIES", |row| text(row, "delivery_count")),
];

/// Asks the gateway and prints what it says.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.id {
        Some(id) if args.body => print_body(args, id),
        Some(id) => args.listing.show("/v1/events", id, shown),
        None => {
            let filters = [("type", &args.event_type), ("source_event_id", &args.source_event_id)];
            args.listing.list("/v1/events", &filters, COLUMNS)
        }
    }
}

fn print_body(args: &Args, id: &str) -> Result<(), Failure> {
    let path = format!("/v1/events/{}/body", segment(id));
    let body = args.listing.ask(async |client| client.bytes(&path).await)?;
    let mut out = std::io::stdout().lock();
    out.write_all(&body)?;
    Ok(out.flush()?)
}

fn shown(event: &Value) -> String {
    let mut shown = facts(&[
        ("event", text(event, "id")),
        ("received", text(event, "created")),
        ("source", text(event, "source")),
        ("type", text(event, "type")),
        ("sender's id", text(event, "source_event_id")),
        ("method", text(event, "method")),
        ("query", text(event, "query")),
        ("body bytes", text(event, "body_bytes")),
    ]);
    let deliveries = event.get("deliveries").map_or(&[][..], |list| items(list, "data"));
    shown.push_str(&format!("\nheaders\n{}\ndeliveries\n{}", headers(event, "headers"), shown_deliveries(deliveries)));
    shown
}

fn shown_deliveries(deliveries: &[Value]) -> String {
    if deliveries.is_empty() { "none: no route wanted it\n".to_owned() } else { table(deliveries, deliveries::COLUMNS) }
}
