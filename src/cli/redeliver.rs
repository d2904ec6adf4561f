//! `hookward redeliver`: deliveries once more, now, whatever became of them.

use serde_json::{Value, json};

use super::client::{Client, Connection, block_on, segment};
use super::listing::text;
use super::{Failure, print};

/// Deliver again, now: a delivery, or every dead delivery of an event.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Ids of deliveries, or of events: then their dead deliveries.
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// Print an object of JSON a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Asks the gateway for each; goes on after one that fails.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let client = args.connection.client()?;
    block_on(async {
        let mut failed = false;
        for id in &args.ids {
            let deliveries = match deliveries_of(&client, id).await {
                Ok(deliveries) => deliveries,
                Err(failure) => {
                    failed = true;
                    report(args.json, id, &failure)?;
                    continue;
                }
            };
            for delivery in deliveries {
                match client.post(&format!("/v1/deliveries/{}/redeliver", segment(&delivery))).await {
                    Ok(answer) => done(args.json, &answer)?,
                    Err(failure) => {
                        failed = true;
                        report(args.json, &delivery, &failure)?;
                    }
                }
            }
        }
        if failed { Err(Failure::Reported) } else { Ok(()) }
    })
}

/// The delivery itself, or the dead ones of the event.
async fn deliveries_of(client: &Client, id: &str) -> Result<Vec<String>, Failure> {
    if id.starts_with("delivery_") {
        return Ok(vec![id.to_owned()]);
    }
    // Whoever calls an event by its sender's id: the list needs ours.
    let event = client.get(&format!("/v1/events/{}", segment(id)), &[]).await?;
    let query = [("event", text(&event, "id")), ("status", "dead".to_owned()), ("limit", "100".to_owned())];
    let list = client.get("/v1/deliveries", &query).await?;
    let dead: Vec<String> = super::listing::items(&list, "data").iter().map(|row| text(row, "id")).collect();
    if dead.is_empty() {
        return Err(Failure::Failed(format!("no delivery of {} is dead", text(&event, "id"))));
    }
    Ok(dead)
}

fn done(as_json: bool, delivery: &Value) -> Result<(), Failure> {
    if as_json {
        return print(&format!("{delivery}\n"));
    }
    let (id, to, status) = (text(delivery, "id"), text(delivery, "destination"), text(delivery, "status"));
    print(&format!("{id} to {to}: {status}\n"))
}

/// Says why one of several was not done.
pub(super) fn report(as_json: bool, id: &str, failure: &Failure) -> Result<(), Failure> {
    if as_json {
        return print(&format!("{}\n", json!({ "id": id, "error": failure.to_string() })));
    }
    eprintln!("error: {}: {failure}", id.escape_debug());
    Ok(())
}
