//! `hookward readmit`: refused requests are let in after all, where today's guards let them.

use serde_json::Value;

use super::Failure;
use super::client::{Connection, block_on, segment};
use super::listing::text;
use super::several::Several;

/// Let refused requests in after all, once a wrong secret is mended: today's guards are asked again.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The ids that the senders were answered with (`Hookward-Rejection-Id`).
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
            let answer = client.post(&format!("/v1/rejections/{}/readmit", segment(id))).await;
            if let Some(answer) = several.of(id, answer)? {
                several.print(&answer, done)?;
            }
        }
        several.end()
    })
}

fn done(answer: &Value) -> String {
    let is_copy = answer.get("duplicate").and_then(Value::as_bool) == Some(true);
    let came_of_it = if is_copy { "is held already, as" } else { "is now" };
    format!("{} {came_of_it} {}\n", text(answer, "rejection"), text(answer, "event"))
}
