//! What is paused at one gateway is paused at all that share a Redis, and outlives them.

use serde_json::{Value, json};

use crate::support::{Gateway, PATIENCE, RedisServer, Sender, Sink, appmint_to, event, eventually};

async fn act(gateway: &Gateway, path: &str) -> Value {
    let reply = gateway.post(path, &json!({})).await;
    assert_eq!(reply.status, 200, "{path}: {}", String::from_utf8_lossy(&reply.body));
    reply.json()
}

/// Waits until a gateway shows something in this state.
async fn shows(gateway: &Gateway, kind: &str, state: &str) {
    eventually(&format!("{kind} {state}"), async || {
        let listed = gateway.list(&format!("/v1/{kind}")).await;
        (listed[0]["state"] == state).then_some(())
    })
    .await;
}

async fn send(gateway: &Gateway, number: usize) {
    let reply = Sender::new(gateway).send(&event(&format!("evt_{number}"), "payment.succeeded")).await;
    assert_eq!(reply.status, 200, "its senders notice nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_is_paused_at_one_gateway_is_paused_at_all_and_after_they_have_died() {
    let (redis, crm) = (RedisServer::start(), Sink::start().await);
    let config = format!("{}{}", redis.store(""), appmint_to(&[("crm", &crm)]));
    let (mut one, two) = (Gateway::start(&config).await, Gateway::start(&config).await);
    assert_eq!(act(&one, "/v1/destinations/crm/pause").await["state"], "paused");
    shows(&two, "destinations", "paused").await;
    send(&one, 0).await;
    send(&two, 1).await;
    one.kill();
    one.run().await;
    shows(&one, "destinations", "paused").await;
    // A third one knows from its start.
    let three = Gateway::start(&config).await;
    shows(&three, "destinations", "paused").await;
    send(&three, 2).await;
    let held = one.list("/v1/deliveries?status=held").await;
    assert_eq!((held.len(), crm.count()), (3, 0));
    assert_eq!(act(&three, "/v1/destinations/crm/resume").await["state"], "active");
    shows(&one, "destinations", "active").await;
    shows(&two, "destinations", "active").await;
    crm.wait_for(3).await;
    one.drained(PATIENCE).await;
    assert_eq!(crm.count(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_source_that_is_paused_at_one_gateway_wait_whichever_takes_them() {
    // Several shards: what waits is in all of them.
    let (redis, crm) = (RedisServer::start(), Sink::start().await);
    let config = format!("{}{}", redis.store(", shards: 3"), appmint_to(&[("crm", &crm)]));
    let (one, mut two) = (Gateway::start(&config).await, Gateway::start(&config).await);
    act(&one, "/v1/sources/appmint/pause").await;
    shows(&two, "sources", "paused").await;
    for number in 0..6 {
        send(&one, number).await;
        send(&two, 6 + number).await;
    }
    two.kill();
    two.run().await;
    send(&two, 12).await;
    let waiting = one.list("/v1/deliveries?status=pending&limit=100").await;
    assert_eq!(waiting.len(), 13);
    assert!(waiting.iter().all(|row| row["next_attempt_at"].is_null()), "{waiting:?}");
    assert_eq!(crm.count(), 0);
    act(&two, "/v1/sources/appmint/resume").await;
    shows(&one, "sources", "active").await;
    crm.wait_for(13).await;
    send(&one, 13).await;
    crm.wait_for(14).await;
    one.drained(PATIENCE).await;
    assert_eq!(crm.count(), 14, "each once");
}
