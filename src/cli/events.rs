//! `hookward events`: what was received, and with an id: one event and what became of it.

use std::io::Write;

use serde_json::Value;

use super::client::{Client, Connection, block_on};
use super::deliveries;
use super::listing::{Column, Listing, facts, headers, items, print_document, table, text};
use super::{Failure, print};

/// List what was received, or show one event with its deliveries.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Show this event: our id, or the sender's own.
    #[arg(value_name = "ID", conflicts_with_all = ["source", "event_type", "source_event_id", "limit", "after", "since", "until"])]
    id: Option<String>,
    /// Print the event's body as it was sent, and nothing else.
    #[arg(long, requires = "id")]
    body: bool,
    /// Only of this source.
    #[arg(long)]
    source: Option<String>,
    /// Only of this type.
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Only with this id of the sender.
    #[arg(long, value_name = "ID")]
    source_event_id: Option<String>,
    #[command(flatten)]
    listing: Listing,
    #[command(flatten)]
    connection: Connection,
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
    let client = args.connection.client()?;
    block_on(async {
        let Some(id) = &args.id else {
            let filters =
                [("source", &args.source), ("type", &args.event_type), ("source_event_id", &args.source_event_id)];
            return args.listing.run(&client, "/v1/events", &filters, COLUMNS).await;
        };
        show(&client, args, id).await
    })
}

async fn show(client: &Client, args: &Args, id: &str) -> Result<(), Failure> {
    let path = format!("/v1/events/{}", segment(id));
    if args.body {
        let body = client.bytes(&format!("{path}/body")).await?;
        let mut out = std::io::stdout().lock();
        out.write_all(&body)?;
        return Ok(out.flush()?);
    }
    let event = client.get(&path, &[]).await?;
    if args.listing.json() {
        return print_document(&event);
    }
    let deliveries = event.get("deliveries").map_or(&[][..], |list| items(list, "data"));
    print(&facts(&[
        ("event", text(&event, "id")),
        ("received", text(&event, "created")),
        ("source", text(&event, "source")),
        ("type", text(&event, "type")),
        ("sender's id", text(&event, "source_event_id")),
        ("method", text(&event, "method")),
        ("query", text(&event, "query")),
        ("body bytes", text(&event, "body_bytes")),
    ]))?;
    print(&format!("\nheaders\n{}\ndeliveries\n{}", headers(&event, "headers"), shown(deliveries)))
}

fn shown(deliveries: &[Value]) -> String {
    if deliveries.is_empty() { "none: no route wanted it\n".to_owned() } else { table(deliveries, deliveries::COLUMNS) }
}

/// Text as one segment of a path, whatever it holds.
pub(super) fn segment(text: &str) -> String {
    let mut safe = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') {
            safe.push(char::from(byte));
        } else {
            safe.push_str(&format!("%{byte:02X}"));
        }
    }
    safe
}
