//! What becomes of webhooks by what they answer, and by what people do to them.

use std::time::Duration;

use http::Method;
use serde_json::json;

use super::world::World;
use crate::support::{Answer, Sink, eventually};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_410_disables_the_webhook_and_cancels_what_waits_for_it() {
    let (gone, other, world) = (Sink::start().await, Sink::start().await, World::start().await);
    gone.answer(
        |hit| if hit.header("x-appmint-event-id") == "evt_0" { Answer::status(500) } else { Answer::status(410) },
    );
    let webhook = world.webhook(&gone, &["*"]).await;
    world.webhook(&other, &["*"]).await;
    world.emit("evt_0", "user.created").await;
    gone.wait_for(2).await;
    world.emit("evt_1", "user.created").await;
    let path = format!("/v1/webhooks/{}", webhook.id);
    let shown = eventually("a disabled webhook", async || {
        let shown = world.get(&path).await.json();
        (shown["status"] == "disabled").then_some(shown)
    })
    .await;
    assert_eq!((&shown["disabled_reason"], &shown["active"]), (&json!("gone"), &json!(false)));
    assert!(shown["notice"].as_str().unwrap().contains("410"));
    world.deliveries(&webhook.id, &["dead", "cancelled"]).await;
    let emitted = world.emit("evt_2", "user.created").await;
    assert_eq!(emitted["deliveries"], 1, "only the other one gets it");
    other.wait_for(3).await;
    // Active again it takes events again.
    gone.answer(|_| Answer::status(200));
    world.send(Method::PATCH, &path, &json!({ "active": true })).await;
    world.emit("evt_3", "user.created").await;
    world.deliveries(&webhook.id, &["succeeded", "dead", "cancelled"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_fails_for_disable_after_is_disabled_also_across_a_restart() {
    let sink = Sink::answering(|_| Answer::status(404)).await;
    let mut world = World::with("  disable_after: 3h\n").await;
    let webhook = world.webhook(&sink, &["*"]).await;
    let path = format!("/v1/webhooks/{}", webhook.id);
    for hour in 0..3 {
        world.emit(&format!("evt_{hour}"), "user.created").await;
        sink.wait_for(hour + 1).await;
        // Ended as well as made: an attempt under way would end in the next hour.
        world.deliveries(&webhook.id, &vec!["dead"; hour + 1]).await;
        // More than an hour: what a request itself took counts, and the first one took longest.
        world.advance(HOUR + Duration::from_secs(60));
        if hour == 1 {
            eventually("a note", async || world.get(&path).await.json()["failing_since"].is_string().then_some(()))
                .await;
            world.restart().await;
        }
    }
    assert_eq!(world.get(&path).await.json()["status"], "active", "not yet");
    world.emit("evt_3", "user.created").await;
    eventually("a disabled webhook", async || {
        (world.get(&path).await.json()["disabled_reason"] == "failing").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_named_in_notices_to_is_told_that_a_webhook_was_disabled() {
    let (gone, operator, customer) = (Sink::start().await, Sink::start().await, Sink::start().await);
    gone.answer(|_| Answer::status(410));
    let mut world = World::with("  notices_to: operations\n").await;
    let body = json!({ "url": operator.url("/hook"), "events": ["webhook.*"] }).to_string();
    let headers = [("content-type", "application/json"), ("hookward-project", "operations")];
    assert_eq!(world.ask(Method::POST, "/v1/webhooks", &headers, body.as_bytes()).await.status, 201);
    world.webhook(&customer, &["*"]).await;
    let body = json!({ "url": gone.url("/hook"), "events": ["user.*"], "metadata": { "team": "blue" },
        "headers": { "X-Key": "canary-of-a-customer" } });
    let webhook = world.webhook_with(body).await;
    let by_a_person = world.webhook(&customer, &["file.*"]).await;
    world.send(Method::PATCH, &format!("/v1/webhooks/{}", by_a_person.id), &json!({ "active": false })).await;
    world.emit("evt_1", "user.created").await;
    let hit = operator.wait_for(1).await.remove(0);
    let notice: serde_json::Value = serde_json::from_slice(&hit.body).unwrap();
    assert_eq!((&notice["type"], &notice["livemode"]), (&json!("webhook.disabled"), &json!(true)));
    let data = &notice["data"];
    assert_eq!((&data["reason"], &data["webhook"]["id"]), (&json!("gone"), &json!(webhook.id)));
    assert_eq!(
        (&data["webhook"]["project"], &data["webhook"]["metadata"]["team"]),
        (&json!("default"), &json!("blue"))
    );
    assert!(data["disabled_at"].is_string() && !String::from_utf8_lossy(&hit.body).contains("canary"));
    assert!(hit.header("x-appmint-signature").starts_with("sha256="), "signed as every event is");
    let count = r#"hookward_webhooks_disabled_total{reason="gone"} 1"#;
    let path = format!("/v1/webhooks/{}", webhook.id);
    eventually("the webhook is disabled", async || {
        (world.get(&path).await.json()["status"] == "disabled").then_some(())
    })
    .await;
    eventually("a count", async || {
        String::from_utf8_lossy(&world.get("/metrics").await.body).contains(count).then_some(())
    })
    .await;
    // Kept like any event, and of the operator's project alone.
    world.restart().await;
    let headers = [("hookward-project", "operations")];
    let listed = world.ask(Method::GET, "/v1/events?type=webhook.disabled", &headers, b"").await.json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1, "once, and nothing of what a person did");
    assert_eq!((operator.count(), customer.wait_for(1).await.len()), (1, 1), "customers hear nothing of it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_webhook_queues_up_and_gets_everything_when_it_is_resumed() {
    let (sink, world) = (Sink::start().await, World::start().await);
    let webhook = world.webhook(&sink, &["*"]).await;
    let act = async |act: &str| {
        let reply = world.post(&format!("/v1/webhooks/{}/{act}", webhook.id), &json!({})).await;
        assert_eq!(reply.status, 200);
        reply.json()
    };
    assert_eq!(act("pause").await["status"], "paused");
    for number in 0..3 {
        world.emit(&format!("evt_{number}"), "user.created").await;
    }
    world.deliveries(&webhook.id, &["held", "held", "held"]).await;
    let stats = world.get(&format!("/v1/webhooks/{}/stats", webhook.id)).await.json();
    assert_eq!((&stats["queue"]["held"], &stats["attempts"]), (&json!(3), &json!(0)));
    assert_eq!(sink.count(), 0);
    act("resume").await;
    sink.wait_for(3).await;
    world.deliveries(&webhook.id, &["succeeded", "succeeded", "succeeded"]).await;
    let stats = world.get(&format!("/v1/webhooks/{}/stats", webhook.id)).await.json();
    assert_eq!((&stats["succeeded"], &stats["success_rate"]), (&json!(3), &json!(1.0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_secrets_sign_until_the_grace_is_over() {
    let (sink, mut world) = (Sink::start().await, World::with("  rotation_grace: 2h\n").await);
    let webhook = world.webhook(&sink, &["*"]).await;
    let rotated = world.post(&format!("/v1/webhooks/{}/rotate-secret", webhook.id), &json!({})).await.json();
    assert_ne!(rotated["secret"], webhook.secret.as_str());
    assert_eq!(rotated["previous_secrets_until"].as_array().unwrap().len(), 1);
    world.restart().await;
    world.emit("evt_1", "user.created").await;
    let hit = sink.wait_for(1).await.remove(0);
    let new = super::deliveries::signature(rotated["secret"].as_str().unwrap(), &hit.body);
    let old = super::deliveries::signature(&webhook.secret, &hit.body);
    assert_eq!((hit.header("x-appmint-signature"), hit.header("x-appmint-signature-previous")), (&*new, &*old));
    assert_eq!(hit.header("webhook-signature").matches("v1,").count(), 2);
    world.advance(HOUR * 2);
    world.emit("evt_2", "user.created").await;
    let hit = sink.wait_for(2).await.remove(1);
    assert_eq!(hit.header("x-appmint-signature-previous"), "");
    assert_eq!(hit.header("webhook-signature").matches("v1,").count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statuses_that_the_platform_does_not_retry_are_final_and_redirects_are_not_followed() {
    let (sink, elsewhere, world) = (Sink::start().await, Sink::start().await, World::start().await);
    let to = elsewhere.url("/stolen");
    sink.answer(move |hit| {
        let status = hit.header("x-appmint-event-id").trim_start_matches("evt_").parse().unwrap();
        Answer::status(status).header("location", &to)
    });
    let webhook = world.webhook(&sink, &["*"]).await;
    let mut states = Vec::new();
    for (status, state) in [
        (301, "dead"),
        (400, "dead"),
        (401, "dead"),
        (404, "dead"),
        (408, "pending"),
        (429, "pending"),
        (503, "pending"),
    ] {
        world.emit(&format!("evt_{status}"), "user.created").await;
        states.insert(0, state);
        world.deliveries(&webhook.id, &states).await;
    }
    assert_eq!(elsewhere.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_after_is_obeyed_and_an_errors_text_shows_no_address() {
    let (mut sink, world) = (Sink::start().await, World::start().await);
    sink.answer(|_| Answer::status(503).header("retry-after", "600"));
    let webhook = world.webhook(&sink, &["*"]).await;
    world.emit("evt_1", "user.created").await;
    sink.wait_for(1).await;
    let log = format!("/v1/webhooks/{}/deliveries", webhook.id);
    let row = eventually("the outcome of the attempt", async || {
        let row = world.list(&log).await.remove(0);
        (row["attempt_count"].as_u64() >= Some(1)).then_some(row)
    })
    .await;
    assert_eq!((&row["status"], &row["attempt_count"]), (&json!("pending"), &json!(1)), "the retry at once waits too");
    world.advance(Duration::from_secs(599));
    assert_eq!(sink.count(), 1);
    sink.down().await;
    world.advance(Duration::from_secs(1));
    let path = format!("/v1/deliveries/{}", row["id"].as_str().unwrap());
    let detail = eventually("a failed connection", async || {
        let detail = world.get(&path).await.json();
        (detail["attempt_count"].as_u64() >= Some(2)).then_some(detail)
    })
    .await;
    let attempt = &detail["attempts"][1];
    assert_eq!(attempt["error_class"], "connect");
    let host = sink.address().to_string();
    assert!(!attempt["error"].as_str().unwrap().contains(&host), "{attempt}");
    assert!(world.get(&format!("/v1/webhooks/{}", webhook.id)).await.json()["active"] == true);
}
