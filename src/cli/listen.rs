//! `hookward listen`: a gateway's events on a laptop, without a tunnel.
//!
//! Events are read from the admin port as they come and sent on from here, byte for byte, one after the other. The
//! gateway neither knows nor waits: nothing is retried, and its own deliveries are made as ever.

use std::time::{Duration, Instant};

use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::client::{Client, block_on, segment};
use super::listing::{items, text};
use super::stream::{Listening, Stream};
use super::{Failure, note, print};
use crate::api::MASKED;

/// Send a gateway's events on to an address of yours, as they come.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to: http://localhost:3000/webhooks.
    #[arg(long, value_name = "URL")]
    forward_to: Url,
    #[command(flatten)]
    listening: Listening,
}

/// How long the address may take.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(30);

/// Sends on until it is interrupted.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    if !matches!(args.forward_to.scheme(), "http" | "https") {
        return Err(Failure::Usage("--forward-to: expected an address of http or https".to_owned()));
    }
    let client = args.listening.connection.client()?;
    let query = args.listening.query(Some("event"));
    let http = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(ANSWER_WAIT_MAX)
        .build()
        .map_err(|error| Failure::Failed(format!("the HTTP client cannot be set up: {error}")))?;
    block_on(async {
        let mut stream = Stream::open(&client, &query).await?;
        note(&format!("events go to {} from now on", args.forward_to));
        loop {
            let Some(told) = stream.next().await? else {
                stream = Stream::again(&client, &query).await;
                continue;
            };
            if told.kind == "missed" {
                note(&format!("{} events came too fast for this and were not sent on", text(&told.data, "count")));
                continue;
            }
            // A copy was sent on when its first one came.
            if told.data.get("duplicate").and_then(Value::as_bool) == Some(true) {
                continue;
            }
            let line = forward(&client, &http, &args.forward_to, &told.data).await;
            print(&if args.listening.json { format!("{line}\n") } else { shown(&line) })?;
        }
    })
}

/// Sends one event on; what came of it.
async fn forward(client: &Client, http: &reqwest::Client, to: &Url, told: &Value) -> Value {
    let begun = Instant::now();
    let outcome = match request(client, http, to, told).await {
        Ok(request) => request.send().await.map_err(|error| error.to_string()),
        Err(failure) => Err(failure.to_string()),
    };
    let (status, error) = match outcome {
        Ok(answer) => (Some(answer.status().as_u16()), None),
        Err(error) => (None, Some(error)),
    };
    json!({
        "object": "forwarded", "event": text(told, "id"), "type": told.get("type"),
        "response_code": status, "error": error, "response_time": begun.elapsed().as_millis() as u64,
    })
}

/// The request as it came, but for what the gateway keeps to itself.
async fn request(
    client: &Client,
    http: &reqwest::Client,
    to: &Url,
    told: &Value,
) -> Result<reqwest::RequestBuilder, Failure> {
    let path = format!("/v1/events/{}", segment(&text(told, "id")));
    let (event, body) = (client.get(&path, &[]).await?, client.bytes(&format!("{path}/body")).await?);
    let plain = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let method = plain("method").parse::<Method>().unwrap_or(Method::POST);
    let mut to = to.clone();
    if !plain("query").is_empty() {
        let own = to.query().map(|own| format!("{own}&")).unwrap_or_default();
        to.set_query(Some(&format!("{own}{}", plain("query"))));
    }
    let mut request = http.request(method, to).body(body);
    for header in items(&event, "headers") {
        let value = |name: &str| header.get(name).and_then(Value::as_str).unwrap_or_default();
        if value("value") != MASKED {
            request = request.header(value("name"), value("value"));
        }
    }
    for (name, field) in [
        ("hookward-event-id", "id"),
        ("hookward-source", "source"),
        ("hookward-source-event-id", "source_event_id"),
        ("hookward-event-type", "type"),
    ] {
        if !plain(field).is_empty() {
            request = request.header(name, plain(field));
        }
    }
    Ok(request)
}

fn shown(line: &Value) -> String {
    let outcome = match text(line, "response_code") {
        code if code.is_empty() => text(line, "error"),
        code => code,
    };
    let (event, event_type, millis) = (text(line, "event"), text(line, "type"), text(line, "response_time"));
    format!("{event} {event_type}: {outcome} in {millis} ms\n")
}
