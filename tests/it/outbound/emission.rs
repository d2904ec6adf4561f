//! Emission: what is taken, what is a copy, and who gets it.

use http_body_util::Full;
use serde_json::{Value, json};

use super::world::{SECRETS_KEY, World};
use crate::support::{Client, Gateway, Reply, Sink};

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
    let again = world.ask(http::Method::POST, "/v1/events", &headers, keyed.as_bytes()).await;
    assert_eq!((again.header("idempotent-replayed"), again.json()), ("true", made.clone()), "as the first time");
    world.emit("evt_b", "user.created").await;
    assert_eq!(sink.wait_for(3).await.len(), 3, "the copies went nowhere");
    // The two deliveries were under way together: whichever came first.
    let hits = sink.hits();
    let mut sent = hits.iter().map(|hit| serde_json::from_slice::<Value>(&hit.body).unwrap());
    let keyed = sent.find(|sent| sent["id"] == made["id"]).expect("it was delivered");
    assert_eq!(keyed["request"]["idempotency_key"], json!("key-1"));
}

/// A gateway in a process of its own, with one webhook.
async fn killable(sink: &Sink) -> Gateway {
    let config =
        format!("outbound: {{ enabled: true, allow_private: [127.0.0.0/8], secrets_key: \"{SECRETS_KEY}\" }}\n");
    let gateway = Gateway::start(&config).await;
    let body = json!({ "url": sink.url("/hook"), "events": ["*"] });
    assert_eq!(gateway.post("/v1/webhooks", &body).await.status, 201);
    gateway
}

async fn emit(gateway: &Gateway, path: &str, key: &str, body: &Value) -> Reply {
    let request = http::Request::post(path).header("content-type", "application/json").header("idempotency-key", key);
    let request = request.body(Full::from(body.to_string())).unwrap();
    Client::new(gateway.admin()).send(request).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_kept_with_its_event_for_the_same_request_only_also_across_kill_9() {
    let sink = Sink::start().await;
    let mut gateway = killable(&sink).await;
    let nameless = json!({ "type": "user.created", "data": { "n": 1 } });
    let named = json!({ "id": "evt_named", "type": "user.created", "data": { "n": 2 } });
    let test = json!({ "type": "user.created" });
    let requests = [("/v1/events", "k1", &nameless), ("/v1/events", "k2", &named), ("/v1/test-events", "k3", &test)];
    let mut answers = Vec::new();
    for (path, key, body) in requests {
        let reply = emit(&gateway, path, key, body).await;
        assert_eq!((reply.status, reply.header("idempotent-replayed")), (202, ""), "{key}");
        assert_eq!(reply.json()["deliveries"], 1);
        answers.push(reply.json());
    }
    // At once: the answer said that it is durable.
    gateway.kill();
    gateway.run().await;
    for ((path, key, body), first) in requests.into_iter().zip(&answers) {
        let reply = emit(&gateway, path, key, body).await;
        assert_eq!((reply.status, reply.header("idempotent-replayed")), (202, "true"), "{key}");
        assert_eq!(reply.json(), *first, "{key}");
        for (path, other) in [
            ("/v1/events", json!({ "type": "user.created", "data": { "n": 3 } })),
            ("/v1/events", json!({ "id": "evt_named", "type": "user.created", "data": { "n": 3 } })),
            ("/v1/events", json!({ "id": "evt_other", "type": "user.created", "data": { "n": 3 } })),
            ("/v1/test-events", json!({ "type": "user.updated" })),
        ] {
            let refused = emit(&gateway, path, key, &other).await;
            assert_eq!((refused.status, refused.code().as_str()), (422, "idempotency_key_reused"), "{key} {other}");
        }
    }
    let copy = emit(&gateway, "/v1/events", "k9", &named).await;
    assert_eq!((&copy.json()["duplicate"], copy.header("idempotent-replayed")), (&json!(true), ""), "by its id");
    assert_eq!(gateway.list("/v1/events?limit=10").await.len(), 3, "nothing was added");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_same_request_many_times_at_once_one_is_made_and_all_are_answered_alike() {
    let (sink, world) = (Sink::start().await, World::start().await);
    world.webhook(&sink, &["*"]).await;
    let headers = [("content-type", "application/json"), ("idempotency-key", "key")];
    for body in [json!({ "type": "a.b", "data": {} }), json!({ "id": "evt_1", "type": "a.b", "data": {} })] {
        let body = body.to_string();
        let headers = [headers[0], ("idempotency-key", if body.contains("evt_1") { "k1" } else { "k2" })];
        let asks = (0..12).map(|_| world.ask(http::Method::POST, "/v1/events", &headers, body.as_bytes()));
        let replies = crate::support::join_all(asks.collect()).await;
        assert!(replies.iter().all(|reply| reply.status == 202 && reply.body == replies[0].body));
        let made = replies.iter().filter(|reply| reply.header("idempotent-replayed").is_empty());
        assert_eq!(made.count(), 1);
    }
    sink.wait_for(2).await;
    assert_eq!(world.list("/v1/events?limit=10").await.len(), 2);
}
