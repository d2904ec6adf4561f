//! `Idempotency-Key` across a restart: what was done is not done twice, and what nobody knows is said to be so.

use std::path::PathBuf;

use http::Method;
use serde_json::json;

use super::world::World;
use crate::support::Reply;

async fn post(world: &World, path: &str, key: &str, body: &str) -> Reply {
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    world.ask(Method::POST, path, &headers, body.as_bytes()).await
}

fn log(world: &World) -> PathBuf {
    world.folder.path().join("data/requests")
}

/// Leaves of the log what a crash before the last answer would have left.
fn forget_last_answer(world: &World) {
    let text = std::fs::read_to_string(log(world)).unwrap();
    let (rest, last) = text.trim_end().rsplit_once('\n').unwrap();
    assert!(last.contains(" answered "), "{last}");
    std::fs::write(log(world), format!("{rest}\n")).unwrap();
}

const WEBHOOK: &str = r#"{"url":"http://127.0.0.1:9999/hook","events":["*"]}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_is_made_once_and_shown_as_it_was_after_a_restart() {
    let mut world = World::start().await;
    let first = post(&world, "/v1/webhooks", "make-it", WEBHOOK).await;
    assert_eq!((first.status, first.header("idempotent-replayed")), (201, ""));
    let secret = first.json()["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_"));
    world.restart().await;
    let again = post(&world, "/v1/webhooks", "make-it", WEBHOOK).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (201, "true"));
    assert_eq!(again.json(), first.json(), "its secret included");
    assert_eq!(again.header("content-type"), first.header("content-type"));
    assert_eq!(world.list("/v1/webhooks").await.len(), 1);
    let other = post(&world, "/v1/webhooks", "make-it", &WEBHOOK.replace("hook", "hooks")).await;
    assert_eq!((other.status, other.code().as_str()), (422, "idempotency_key_reused"));
    let elsewhere = post(&world, "/v1/replays", "make-it", "{}").await;
    assert_eq!((elsewhere.status, elsewhere.code().as_str()), (422, "idempotency_key_reused"));

    let text = std::fs::read_to_string(log(&world)).unwrap();
    assert!(!text.contains(&secret) && !text.contains("whsec_"), "sealed: {text}");
    assert!(!text.contains("make-it"), "hashed: {text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_refused_is_asked_again_after_a_restart() {
    let mut world = World::start().await;
    let refused = post(&world, "/v1/webhooks", "mended", r#"{"url":"nonsense","events":["*"]}"#).await;
    assert_eq!(refused.status, 400);
    world.restart().await;
    assert_eq!(post(&world, "/v1/webhooks", "mended", WEBHOOK).await.status, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_interrupted_is_done_again_only_where_that_changes_nothing() {
    let mut world = World::start().await;
    let id = post(&world, "/v1/webhooks", "a", WEBHOOK).await.json()["id"].as_str().unwrap().to_owned();
    world.stop().await;
    forget_last_answer(&world);
    world.restart().await;
    for _ in 0..2 {
        let unknown = post(&world, "/v1/webhooks", "a", WEBHOOK).await;
        assert_eq!((unknown.status, unknown.code().as_str()), (409, "idempotency_key_interrupted"));
    }
    assert_eq!(world.list("/v1/webhooks").await.len(), 1, "it was made before the crash, and not once more");

    let pause = format!("/v1/webhooks/{id}/pause");
    assert_eq!(post(&world, &pause, "b", "").await.json()["status"], json!("paused"));
    world.stop().await;
    forget_last_answer(&world);
    world.restart().await;
    let again = post(&world, &pause, "b", "").await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (200, ""), "it was done again");
    assert_eq!(post(&world, &pause, "b", "").await.header("idempotent-replayed"), "true");
}
