//! Emission: what is taken, what is a copy, and who gets it.

use serde_json::json;

use super::world::World;
use crate::support::Sink;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_is_known_by_its_id_or_its_idempotency_key_and_not_delivered_again() {
    let (sink, mut world) = (Sink::start().await, World::start().await);
    world.webhook(&sink, &["*"]).await;
    let first = world.emit("evt_a", "user.created").await;
    assert_eq!(first["duplicate"], false);
    let keyed = json!({ "type": "user.created", "data": {} }).to_string();
    let headers = [("content-type", "application/json"), ("idempotency-key", "key-1")];
    let made = world.ask(http::Method::POST, "/v1/events", &headers, keyed.as_bytes()).await.json();
    sink.wait_for(2).await;
    world.restart().await;
    let again = world.emit("evt_a", "user.created").await;
    assert_eq!((&again["duplicate"], &again["id"], &again["event"]), (&json!(true), &json!("evt_a"), &first["event"]));
    let again = world.ask(http::Method::POST, "/v1/events", &headers, keyed.as_bytes()).await.json();
    assert_eq!((&again["duplicate"], &again["id"]), (&json!(true), &made["id"]));
    world.emit("evt_b", "user.created").await;
    assert_eq!(sink.wait_for(3).await.len(), 3, "the copies went nowhere");
    let sent: serde_json::Value = serde_json::from_slice(&sink.hits()[1].body).unwrap();
    assert_eq!((&sent["id"], &sent["request"]["idempotency_key"]), (&made["id"], &json!("key-1")));
}
