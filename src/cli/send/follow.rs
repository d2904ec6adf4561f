//! What becomes of an event's deliveries, asked until there is nothing more to wait for.

use std::time::Duration;

use serde_json::Value;

use crate::cli::client::{Client, segment};
use crate::cli::listing::{items, text};
use crate::cli::{Failure, print};
use crate::telemetry::escape::escaped;

/// How often is asked.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// How long is waited for a delivery that nobody attempts.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Waits until each delivery has ended or has had an attempt, and prints what came of it.
pub(super) async fn deliveries(client: &Client, event: &str, as_json: bool) -> Result<(), Failure> {
    let began = tokio::time::Instant::now();
    let path = format!("/v1/events/{}", segment(event));
    loop {
        let shown = client.get(&path, &[]).await?;
        let deliveries = shown.get("deliveries").map_or(&[][..], |list| items(list, "data"));
        let is_known = |delivery: &Value| {
            let attempts = delivery.get("attempt_count").and_then(Value::as_u64).unwrap_or_default();
            match text(delivery, "status").as_str() {
                "pending" => attempts > 0,
                "in_flight" => false,
                _ => true,
            }
        };
        if deliveries.iter().all(is_known) || began.elapsed() > WAIT_MAX {
            return print(&told(deliveries, as_json));
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

fn told(deliveries: &[Value], as_json: bool) -> String {
    if deliveries.is_empty() && !as_json {
        return "     no delivery: no route wanted it\n".to_owned();
    }
    let line = |delivery: &Value| {
        if as_json {
            return format!("{delivery}\n");
        }
        let last = match text(delivery, "response_code") {
            // What is discarded has an outcome and no answer.
            code if code.is_empty() => Some(text(delivery, "outcome"))
                .filter(|outcome| *outcome != text(delivery, "status"))
                .unwrap_or_default(),
            code => code,
        };
        let next = match text(delivery, "next_attempt_at") {
            next if next.is_empty() || text(delivery, "status") != "pending" => String::new(),
            next => format!(", again at {next}"),
        };
        let [to, status, id] = ["destination", "status", "id"].map(|field| escaped(&text(delivery, field)));
        let last = if last.is_empty() { last } else { format!(" ({})", escaped(&last)) };
        format!("     {to}: {status}{last}{next}  {id}\n")
    };
    deliveries.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_delivery_is_a_line() {
        let delivery = json!({
            "id": "delivery_1", "destination": "crm", "status": "pending", "response_code": 500, "outcome": "status",
            "next_attempt_at": "2026-01-02T15:04:05Z",
        });
        assert_eq!(
            told(std::slice::from_ref(&delivery), false),
            "     crm: pending (500), again at 2026-01-02T15:04:05Z  delivery_1\n"
        );
        assert_eq!(told(std::slice::from_ref(&delivery), true), format!("{delivery}\n"));
        assert_eq!(told(&[], true), "");
        assert!(told(&[], false).contains("no route wanted it"));
    }
}
