//! `hookward replay`: many deliveries once more, by filter; first only counted.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Client, Connection, block_on, segment};
use super::listing::{print_document, text, time};
use super::{Failure, note, print};

/// Deliver many again.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only those to this destination or webhook.
    #[arg(long, value_name = "NAME")]
    to: Option<String>,
    /// Only of events of this source.
    #[arg(long)]
    source: Option<String>,
    /// Only in this state: dead, cancelled, expired or succeeded.
    #[arg(long, value_name = "STATE", default_value = "dead")]
    status: String,
    /// Only of events of this type.
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Only of events from this time on: 2026-11-23T18:04:05Z, seconds since 1970, or 90s, 15m, 6h, 7d ago.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only of events until this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only count them.
    #[arg(long)]
    dry_run: bool,
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// How often the gateway is asked how far it is.
const ASKED_EVERY: Duration = Duration::from_millis(500);

/// Starts it and waits until it is done.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let client = args.connection.client()?;
    let outcome = block_on(replayed(&client, args))?;
    if args.json {
        print_document(&outcome)?;
    } else if args.dry_run {
        print(&format!("{} deliveries match\n", text(&outcome, "matched")))?;
    } else {
        let [matched, again, skipped] = ["matched", "redelivered", "skipped"].map(|field| text(&outcome, field));
        print(&format!("{matched} deliveries match, {again} are sent again, {skipped} were passed over\n"))?;
    }
    match outcome.get("error").and_then(Value::as_str) {
        Some(error) => Err(Failure::Failed(format!("it ended early: {error}"))),
        None => Ok(()),
    }
}

async fn replayed(client: &Client, args: &Args) -> Result<Value, Failure> {
    let mut created = serde_json::Map::new();
    for (name, given) in [("gte", &args.since), ("lte", &args.until)] {
        created.extend(given.iter().map(|given| (name.to_owned(), time(given).into())));
    }
    let filter = json!({
        "destination": args.to, "source": args.source, "status": args.status, "type": args.event_type, "created": created,
    });
    let body = json!({ "filter": filter, "dry_run": args.dry_run }).to_string().into_bytes();
    let mut replay = client.send(Method::POST, "/v1/replays", body).await?;
    while text(&replay, "status") == "running" {
        note(&format!("{} found so far", text(&replay, "matched")));
        tokio::time::sleep(ASKED_EVERY).await;
        replay = client.get(&format!("/v1/replays/{}", segment(&text(&replay, "id"))), &[]).await?;
    }
    Ok(replay)
}
