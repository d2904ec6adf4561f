//! `hookward redeliver`: deliveries once more, now, whatever became of them.

use serde_json::Value;

use super::Failure;
use super::client::{Client, Connection, block_on, segment};
use super::listing::text;
use super::several::Several;

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
        let mut several = Several::new(args.json);
        for id in &args.ids {
            for delivery in several.of(id, deliveries_of(&client, id).await)?.unwrap_or_default() {
                let answer = client.post(&format!("/v1/deliveries/{}/redeliver", segment(&delivery))).await;
                if let Some(answer) = several.of(&delivery, answer)? {
                    several.print(&answer, done)?;
                }
            }
        }
        several.end()
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

fn done(delivery: &Value) -> String {
    let (id, to, status) = (text(delivery, "id"), text(delivery, "destination"), text(delivery, "status"));
    format!("{id} to {to}: {status}\n")
}
