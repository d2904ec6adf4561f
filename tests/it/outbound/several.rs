//! Several gateways that send, at one Redis: whatever one of them is told the others know, and each event is delivered once.

use http::Method;
use serde_json::json;

use super::world::World;
use crate::support::{RedisServer, Sink, eventually};

/// Gateways on the machine's own clock would do as well; these have clocks of their own, which stand.
async fn gateways(redis: &RedisServer, settings: &str) -> [World; 2] {
    let admin = "admin: { listen: \"127.0.0.1:0\" }\n";
    let store = redis.store(settings);
    [World::at(&store, admin, "").await, World::at(&store, admin, "").await]
}

/// Waits until a webhook is shown so.
async fn shown(world: &World, id: &str, status: u16, state: &str) {
    eventually("a change that the other gateway knows", async || {
        let reply = world.get(&format!("/v1/webhooks/{id}")).await;
        (reply.status == status && (status != 200 || reply.json()["status"] == state)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_of_one_gateway_gets_the_events_of_all() {
    let (redis, sink) = (RedisServer::start(), Sink::start().await);
    let [one, two] = gateways(&redis, ", shards: 3").await;
    let made = one.webhook(&sink, &["user.*"]).await;
    shown(&two, &made.id, 200, "active").await;
    for number in 0..20 {
        let world = if number % 2 == 0 { &one } else { &two };
        let emitted = world.emit(&format!("evt_{number}"), "user.created").await;
        assert_eq!(emitted["deliveries"], 1);
    }
    sink.wait_for(20).await;
    two.deliveries(&made.id, &["succeeded"; 20]).await;
    let mut taken: Vec<_> = sink.hits().iter().map(|hit| hit.header("x-appmint-event-id").to_owned()).collect();
    taken.sort();
    taken.dedup();
    assert_eq!((taken.len(), sink.hits().len()), (20, 20), "each once");
    // A copy is known wherever it comes.
    assert_eq!(two.emit("evt_0", "user.created").await["deliveries"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_to_a_webhook_counts_for_every_gateway() {
    let (redis, sink) = (RedisServer::start(), Sink::start().await);
    let [one, two] = gateways(&redis, "").await;
    let made = one.webhook(&sink, &["*"]).await;
    let path = format!("/v1/webhooks/{}", made.id);
    shown(&two, &made.id, 200, "active").await;
    assert_eq!(two.post(&format!("{path}/pause"), &json!({})).await.status, 200);
    shown(&one, &made.id, 200, "paused").await;
    one.emit("evt_1", "user.created").await;
    two.deliveries(&made.id, &["held"]).await;
    // Each changes something else at once: neither is lost.
    let (first, second) = tokio::join!(
        async { one.send(Method::PATCH, &path, &json!({ "description": "by one" })).await.status },
        async { two.send(Method::PATCH, &path, &json!({ "events": ["user.*"] })).await.status },
    );
    assert_eq!((first, second), (200, 200));
    let both = async |world: &World| {
        let shown = world.get(&path).await.json();
        (shown["description"] == "by one" && shown["events"] == json!(["user.*"])).then_some(())
    };
    eventually("both changes at both gateways", async || both(&one).await.and(both(&two).await)).await;
    assert_eq!(one.post(&format!("{path}/resume"), &json!({})).await.status, 200);
    sink.wait_for(1).await;
    two.deliveries(&made.id, &["succeeded"]).await;
    assert_eq!(two.ask(Method::DELETE, &path, &[], b"").await.status, 200);
    shown(&one, &made.id, 404, "").await;
    assert_eq!(one.emit("evt_2", "user.created").await["deliveries"], 0);
}

/// An event for a webhook that the gateway which finds it due has not heard of yet is not cancelled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_events_of_a_new_webhook_are_not_cancelled() {
    let (redis, sink) = (RedisServer::start(), Sink::start().await);
    let [one, two] = gateways(&redis, "").await;
    for number in 0..10 {
        let made = one.webhook(&sink, &[&format!("kind{number}")]).await;
        one.emit(&format!("evt_{number}"), &format!("kind{number}")).await;
        one.deliveries(&made.id, &["succeeded"]).await;
    }
    assert_eq!(two.list("/v1/deliveries?status=cancelled").await.len(), 0);
    assert_eq!(sink.hits().len(), 10);
}
