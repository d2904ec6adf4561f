//! `outbound.*`: each key where it takes effect.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Method;
use serde_json::json;

use super::world::{SECRETS_KEY, World};
use crate::support::{Answer, Gateway, Sink, eventually, hookward};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_outbound_nothing_is_emitted_and_nobody_is_registered() {
    let off = "sources: { a: { path: /in, verify: { scheme: none } } }\noutbound: { enabled: false }\n";
    let gateway = Gateway::start(off).await;
    for path in ["/v1/events", "/v1/webhooks", "/v1/test-events"] {
        let reply = gateway.post(path, &json!({ "type": "a", "data": {} })).await;
        assert_eq!((reply.status, reply.code().as_str()), (404, "outbound_off"), "{path}");
    }
    assert_eq!(gateway.get("/v1/webhooks").await.code(), "outbound_off");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_open_with_the_key_that_sealed_them_and_one_after_the_other_while_it_is_rotated() {
    let config =
        |keys: &str| format!("outbound: {{ enabled: true, allow_private: [127.0.0.0/8], secrets_key: {keys} }}\n");
    let mut gateway = Gateway::start(&config(&format!("\"{SECRETS_KEY}\""))).await;
    let body = json!({ "url": "http://127.0.0.1:9999/", "events": ["*"] });
    assert_eq!(gateway.post("/v1/webhooks", &body).await.status, 201);
    gateway.terminate();
    gateway.ended().await;
    gateway.configure(&config("\"another key for tests, long enough too\""));
    gateway.spawn();
    assert!(!gateway.ended().await.success());
    assert!(gateway.log().contains("is outbound.secrets_key the right one?"), "{}", gateway.log());
    gateway.configure(&config(&format!("[\"another key for tests, long enough too\", \"{SECRETS_KEY}\"]")));
    gateway.run().await;
    assert_eq!(gateway.list("/v1/webhooks").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_platforms_names_are_the_configurations_also_after_a_reload() {
    let world = World::with("  header_prefix: X-Acme\n  user_agent: Acme/2\n  event_types: [order.paid]\n").await;
    let sink = Sink::start().await;
    world.webhook(&sink, &["*"]).await;
    world.emit("evt_1", "order.paid").await;
    let hit = sink.wait_for(1).await.remove(0);
    assert_eq!((hit.header("x-acme-event-id"), hit.header("user-agent")), ("evt_1", "Acme/2"));
    assert!(hit.header("x-acme-signature").starts_with("sha256=") && hit.header("x-appmint-signature").is_empty());
    assert_eq!(world.list("/v1/event-types").await, [json!({ "object": "event_type", "type": "order.paid" })]);
    let refused = json!({ "url": sink.url("/"), "events": ["*"], "headers": { "X-Acme-Signature": "sha256=forged" } });
    assert_eq!(world.post("/v1/webhooks", &refused).await.status, 400);
    world.reload(|outbound| outbound.header_prefix = "X-Other".into());
    world.emit("evt_2", "order.paid").await;
    assert_eq!(sink.wait_for(2).await[1].header("x-other-event-id"), "evt_2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn private_addresses_are_refused_unless_they_are_allowed() {
    let world = World::start().await;
    for url in
        ["http://10.0.0.1:8080/", "http://169.254.169.254/latest/meta-data", "http://[::1]:8080/", "ftp://a.example/"]
    {
        let reply = world.post("/v1/webhooks", &json!({ "url": url, "events": ["*"] })).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "body_invalid"), "{url}");
        assert_eq!(reply.json()["errors"][0]["pointer"], "#/url");
    }
    let sink = Sink::start().await;
    let webhook = world.webhook(&sink, &["*"]).await;
    // Also what was saved before: it is asked again before each connection.
    world.reload(|outbound| outbound.allow_private.clear());
    world.emit("evt_1", "user.created").await;
    let path = format!("/v1/webhooks/{}/deliveries", webhook.id);
    let row = eventually("a refused attempt", async || {
        let rows = world.list(&path).await;
        (rows[0]["attempt_count"].as_u64() >= Some(1)).then(|| rows[0].clone())
    })
    .await;
    assert_eq!((&row["outcome"], sink.count()), (&json!("connect"), 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_ends_with_the_timeout() {
    let (sink, world) = (Sink::answering(|_| Answer::Hang).await, World::with("  timeout: 100ms\n").await);
    let webhook = world.webhook(&sink, &["*"]).await;
    world.emit("evt_1", "user.created").await;
    let path = format!("/v1/webhooks/{}/deliveries", webhook.id);
    eventually("a timeout", async || (world.list(&path).await[0]["outcome"] == "timeout").then_some(())).await;
}

/// How many requests are under way at once at most, where each takes until 20 have come.
async fn most_at_once(world: &World, webhooks: usize, wanted: usize) -> usize {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let sink = {
        let (now, most) = (Arc::clone(&now), Arc::clone(&most));
        Sink::answering(move |_| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            Answer::Hang
        })
        .await
    };
    for _ in 0..webhooks {
        world.webhook(&sink, &["*"]).await;
    }
    for number in 0..20 {
        world.emit(&format!("evt_{number}"), "user.created").await;
    }
    sink.wait_for(wanted).await;
    // Whatever else would have begun has had its turn once the lists say that nothing moves.
    world.list("/v1/deliveries?status=in_flight&limit=100").await.len().max(most.load(Ordering::SeqCst))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_of_one_webhook_and_of_all_are_bounded() {
    let world = World::with("  concurrency: 2\n  attempts_max: 100\n").await;
    assert_eq!(most_at_once(&world, 1, 2).await, 2);
    let world = World::with("  concurrency: 5\n  attempts_max: 8\n").await;
    assert_eq!(most_at_once(&world, 3, 6).await, 6, "a quarter is for failing ones");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_of_one_webhook_are_paced() {
    let (sink, world) = (Sink::start().await, World::with("  rate_limit: { requests: 1, per: 1h, burst: 3 }\n").await);
    let webhook = world.webhook(&sink, &["*"]).await;
    for number in 0..5 {
        world.emit(&format!("evt_{number}"), "user.created").await;
    }
    sink.wait_for(3).await;
    world.deliveries(&webhook.id, &["pending", "pending", "succeeded", "succeeded", "succeeded"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queue_webhooks_and_events_are_bounded() {
    let world = World::with("  queue_max: 2\n  webhooks_max: 2\n  body_bytes_max: 1KiB\n").await;
    let sink = Sink::start().await;
    let webhook = world.webhook(&sink, &["*"]).await;
    world.post(&format!("/v1/webhooks/{}/pause", webhook.id), &json!({})).await;
    for number in 0..3 {
        world.emit(&format!("evt_{number}"), "user.created").await;
    }
    let rows = world.deliveries(&webhook.id, &["dead", "held", "held"]).await;
    assert_eq!(rows[0]["dead_reason"], "queue_full");
    world.webhook(&sink, &["never"]).await;
    let third = world.post("/v1/webhooks", &json!({ "url": sink.url("/"), "events": ["*"] })).await;
    assert_eq!((third.status, third.code().as_str()), (409, "too_many_webhooks"));
    let large = json!({ "type": "user.created", "data": { "fill": "x".repeat(1024) } });
    assert_eq!(world.post("/v1/events", &large).await.status, 413);
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_place() {
    let refused = |outbound: &str, words: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hookward.yaml");
        std::fs::write(&file, format!("outbound:\n  enabled: true\n{outbound}")).unwrap();
        let output = hookward(&["check", "-c", file.to_str().unwrap()], &[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(78) && said.contains(words), "{said}");
        assert!(!said.contains("hush"), "{said}");
    };
    let key = format!("  secrets_key: \"{SECRETS_KEY}\"\n");
    refused("", "secrets_key");
    refused("  secrets_key: hush\n", "shorter than 32 characters");
    refused(&format!("{key}  header_prefix: webhook\n"), "header names cannot begin with it");
    refused(&format!("{key}  header_prefix: \"X Y\"\n"), "header names cannot begin with it");
    refused(&format!("{key}  event_types: [a b]\n"), "not an event type");
    refused(&format!("{key}  attempts_max: 3\n"), "write 4 to 100000");
    refused(&format!("{key}  concurrency: 0\n"), "write 1 to 1000");
    refused(&format!("{key}  allow_private: [intranet]\n"), "neither an address nor a network");
    refused(&format!("{key}  body_bytes_max: 1B\n"), "out of bounds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_in_a_webhook_is_refused_with_its_place() {
    let world = World::start().await;
    let base = json!({ "url": "https://customer.example/", "events": ["*"] });
    let with = |field: &str, value: serde_json::Value| {
        let mut body = base.clone();
        body[field] = value;
        body
    };
    for (body, pointer) in [
        (with("url", json!("")), "#/url"),
        (with("url", json!("https://customer.example/#part")), "#/url"),
        (with("events", json!([])), "#/events"),
        (with("events", json!(["a b"])), "#/events/0"),
        (with("description", json!("x".repeat(1001))), "#/description"),
        (with("metadata", json!({ "": "x" })), "#/metadata"),
        (with("secret", json!("short")), "#/secret"),
        (with("headers", json!({ "Host": "a" })), "#/headers/Host"),
        (with("headers", json!({ "Connection": "close" })), "#/headers/Connection"),
        (with("headers", json!({ "Content-Length": "1" })), "#/headers/Content-Length"),
        (with("headers", json!({ "Transfer-Encoding": "chunked" })), "#/headers/Transfer-Encoding"),
        (with("headers", json!({ "Hookward-Event-Id": "a" })), "#/headers/Hookward-Event-Id"),
        (with("headers", json!({ "Webhook-Id": "a" })), "#/headers/Webhook-Id"),
        (with("headers", json!({ "X-Appmint-Signature": "a" })), "#/headers/X-Appmint-Signature"),
        (with("headers", json!({ "A B": "a" })), "#/headers/A B"),
        (with("headers", json!({ "X-A": "a\r\nX-B: b" })), "#/headers/X-A"),
        (with("unknown", json!(1)), "#"),
    ] {
        let reply = world.post("/v1/webhooks", &body).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "body_invalid"), "{body}");
        assert_eq!(reply.json()["errors"][0]["pointer"], pointer, "{body}");
    }
    let form = world.ask(Method::POST, "/v1/webhooks", &[], base.to_string().as_bytes()).await;
    assert_eq!((form.status, form.code().as_str()), (415, "content_type_not_json"));
}
