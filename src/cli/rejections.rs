//! `hookward rejections`: which requests were refused, and why.

use serde_json::Value;

use super::Failure;
use super::client::{Connection, block_on};
use super::listing::{Column, Listing, text};

/// List refused requests and why they were refused.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only of this source.
    #[arg(long)]
    source: Option<String>,
    /// Only for this reason, such as `signature_mismatch`.
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    listing: Listing,
    #[command(flatten)]
    connection: Connection,
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
    let client = args.connection.client()?;
    let filters = [("source", &args.source), ("reason", &args.reason)];
    block_on(args.listing.run(&client, "/v1/rejections", &filters, COLUMNS))
}
