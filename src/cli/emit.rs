//! `hookward emit`: an event to every webhook of its project that wants it.

use std::io::Read as _;
use std::path::PathBuf;

use reqwest::Method;
use serde_json::Value;

use super::client::{Connection, block_on};
use super::listing::{print_document, text};
use super::{Failure, print};

/// Emit an event.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The event's type, such as payment.failed; without it the file holds the whole standard event.
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Its own id, by which a copy is known.
    #[arg(long, value_name = "ID", requires = "event_type")]
    id: Option<String>,
    /// A test event: `livemode` is false.
    #[arg(long, requires = "event_type")]
    test: bool,
    /// A file with the event, or with its `data` where a type is given; `-` for standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// The largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Emits it.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let read = read(&args.file)?;
    let body = match &args.event_type {
        None => read,
        Some(event_type) => {
            let data: Value = serde_json::from_slice(&read)
                .map_err(|error| Failure::Failed(format!("{}: not JSON: {error}", args.file.display())))?;
            let mut event = serde_json::Map::new();
            event.insert("type".into(), event_type.as_str().into());
            event.insert("data".into(), data);
            event.insert("livemode".into(), (!args.test).into());
            event.extend(args.id.iter().map(|id| ("id".to_owned(), id.as_str().into())));
            Value::Object(event).to_string().into_bytes()
        }
    };
    let client = args.connection.client()?;
    let emitted = block_on(client.send(Method::POST, "/v1/events", body))?;
    if args.json {
        return print_document(&emitted);
    }
    let copy = if emitted.get("duplicate").and_then(Value::as_bool) == Some(true) { ", emitted before" } else { "" };
    print(&format!("{}: {} deliveries{copy}\n", text(&emitted, "id"), text(&emitted, "deliveries")))
}

fn read(file: &std::path::Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let refused = |error: std::io::Error| Failure::Failed(format!("{} cannot be read: {error}", file.display()));
    if file.as_os_str() == "-" {
        std::io::stdin().lock().take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(refused)?;
    } else {
        let open = std::fs::File::open(file).map_err(refused)?;
        open.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(refused)?;
    }
    Ok(bytes)
}
