//! From an emitted event to a signed request, its retries, and what is written down about it.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;

use super::world::World;
use crate::support::{Answer, Sink, eventually};

const MINUTE: Duration = Duration::from_secs(60);

/// As the platform's documentation tells receivers to compute it.
pub(super) fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emitted_event_reaches_its_webhook_signed_and_is_in_the_log() {
    let (sink, world) = (Sink::start().await, World::start().await);
    let body = json!({
        "url": sink.url("/hook?a=b"), "events": ["user.*"], "headers": { "Authorization": "Bearer customer-token" },
    });
    let webhook = world.webhook_with(body).await;
    let emitted = world.emit("evt_1234567890abcdef", "user.created").await;
    assert_eq!((&emitted["id"], &emitted["deliveries"]), (&json!("evt_1234567890abcdef"), &json!(1)));

    let hit = sink.wait_for(1).await.remove(0);
    assert_eq!((hit.method.as_str(), hit.uri.to_string().as_str()), ("POST", "/hook?a=b"));
    assert_eq!(hit.header("content-type"), "application/json");
    assert_eq!(hit.header("user-agent"), "Appmint-Webhooks/1.0");
    assert_eq!(hit.header("x-appmint-signature"), signature(&webhook.secret, &hit.body));
    assert_eq!(hit.header("x-appmint-event-type"), "user.created");
    assert_eq!(hit.header("x-appmint-event-id"), "evt_1234567890abcdef");
    assert_eq!(hit.header("authorization"), "Bearer customer-token");
    let sent: serde_json::Value = serde_json::from_slice(&hit.body).unwrap();
    assert_eq!((&sent["id"], &sent["livemode"]), (&json!("evt_1234567890abcdef"), &json!(true)));
    assert_eq!(sent["data"], json!({ "id": "user_1", "n": 1 }));
    assert!(hit.headers.keys().all(|name| !name.as_str().starts_with("hookward")), "{:?}", hit.headers);

    let row = world.deliveries(&webhook.id, &["succeeded"]).await.remove(0);
    assert_eq!(row["id"], hit.header("x-appmint-delivery"));
    assert_eq!((&row["webhook"], &row["response_code"]), (&json!(webhook.id), &json!(200)));
    let detail = world.get(&format!("/v1/deliveries/{}", row["id"].as_str().unwrap())).await.json();
    assert_eq!(detail["attempts"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_are_retried_on_the_platforms_schedule_and_the_ninth_attempt_is_never_made() {
    let sink = Sink::answering(|_| Answer::status(500).body("no database")).await;
    let world = World::start().await;
    let webhook = world.webhook(&sink, &["*"]).await;
    world.emit("evt_1", "user.created").await;
    sink.wait_for(2).await;
    // A wait may be a tenth shorter or longer.
    for (made, minutes) in [(2, 1), (3, 5), (4, 15), (5, 60), (6, 360), (7, 1440)] {
        waiting(&world, &webhook.id, made).await;
        world.advance(MINUTE * minutes * 89 / 100);
        assert_eq!(sink.count(), made as usize, "not before its time");
        world.advance(MINUTE * minutes * 22 / 100);
        sink.wait_for(made as usize + 1).await;
    }
    let row = world.deliveries(&webhook.id, &["dead"]).await.remove(0);
    assert_eq!((&row["dead_reason"], &row["attempt_count"]), (&json!("exhausted"), &json!(8)));
    let detail = world.get(&format!("/v1/deliveries/{}", row["id"].as_str().unwrap())).await.json();
    let attempts = detail["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 8);
    for (attempt, hit) in attempts.iter().zip(sink.hits()) {
        assert_eq!((&attempt["response_code"], &attempt["error_class"]), (&json!(500), &json!("status")));
        assert_eq!(attempt["response_body"]["content"], "no database");
        assert_eq!(hit.header("x-appmint-signature"), signature(&webhook.secret, &hit.body));
    }
}

/// Waits until an attempt has failed and the next one is planned.
async fn waiting(world: &World, webhook: &str, attempts: u64) {
    let path = format!("/v1/webhooks/{webhook}/deliveries");
    eventually("a planned retry", async || {
        let rows = world.list(&path).await;
        (rows[0]["status"] == "pending" && rows[0]["attempt_count"] == attempts).then_some(())
    })
    .await;
}
