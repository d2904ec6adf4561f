//! `hookward tail`: what happens, as it happens.

use serde_json::Value;

use super::client::block_on;
use super::listing::text;
use super::stream::{Listening, Stream, Told};
use super::{Failure, print};

/// Print what happens: events, attempts, refused requests.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this: event, attempt or rejection.
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    #[command(flatten)]
    listening: Listening,
}

/// Prints until it is interrupted.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let client = args.listening.connection.client()?;
    let query = args.listening.query(args.kind.as_deref());
    block_on(async {
        let mut stream = Stream::open(&client, &query).await?;
        loop {
            match stream.next().await? {
                Some(told) if args.listening.json => print(&format!("{}\n", told.data))?,
                Some(told) => print(&format!("{}\n", shown(&told)))?,
                None => stream = Stream::again(&client, &query).await,
            }
        }
    })
}

/// One line.
fn shown(told: &Told) -> String {
    let data = &told.data;
    let field = |name: &str| text(data, name);
    match told.kind.as_str() {
        "event" => {
            let copy = if data.get("duplicate").and_then(Value::as_bool) == Some(true) { " (a copy)" } else { "" };
            format!("event     {} {} {}{copy}", field("id"), field("source"), field("type"))
        }
        "attempt" => {
            let outcome = match field("response_code") {
                code if code.is_empty() => field("outcome"),
                code => code,
            };
            let (delivery, to, number) = (field("delivery"), field("destination"), field("number"));
            let millis = data.get("response_time").and_then(Value::as_f64).unwrap_or_default();
            format!("attempt   {delivery} {to} {} #{number}: {outcome} in {millis:.0} ms", field("type"))
        }
        "rejection" => {
            format!("rejected  {} {} {} {}", field("id"), field("source"), field("status"), field("reason"))
        }
        "missed" => format!("missed    {} happenings: this reader was too slow", field("count")),
        other => format!("{}  {}", crate::telemetry::escape::escaped(other), field("id")),
    }
}
