//! `Idempotency-Key`: the same answer again, nothing done twice, and what is refused.

use std::time::Duration;

use hookward::store::Store;
use http::Method;

use super::fixture::{ADMIN, DEAD, Fixture, SHOP_ADMIN, event, settled};
use crate::support::Reply;

async fn post(fixture: &Fixture, path: &str, token: &str, keys: &[&str]) -> Reply {
    let token = format!("Bearer {token}");
    let mut headers = vec![("authorization", token.as_str())];
    headers.extend(keys.iter().map(|key| ("idempotency-key", *key)));
    fixture.ask(Method::POST, path, &headers).await
}

/// The path that sends an event again.
async fn replay_of(fixture: &Fixture, id: &str) -> String {
    format!("/v1/events/{}/replay", fixture.admit(event(&fixture.clock, id, "payment.failed"), &[]).await)
}

#[tokio::test]
async fn the_same_key_brings_the_same_answer_and_does_nothing_twice() {
    let fixture = Fixture::new().await;
    let path = replay_of(&fixture, "a").await;
    let first = post(&fixture, &path, ADMIN, &["key-1"]).await;
    assert_eq!((first.status, first.header("idempotent-replayed")), (202, ""));
    let second = post(&fixture, &path, ADMIN, &["key-1"]).await;
    assert_eq!((second.status, second.header("idempotent-replayed")), (202, "true"));
    assert_eq!((&second.body, second.header("content-type")), (&first.body, first.header("content-type")));
    assert_eq!(fixture.claim("log").await.len(), 1, "one replay was made");
    let third = post(&fixture, &path, ADMIN, &["key-2"]).await;
    assert_ne!(third.body, first.body, "another key is another request");
    let unkeyed = post(&fixture, &path, ADMIN, &[]).await;
    assert_eq!((unkeyed.status, unkeyed.header("idempotent-replayed")), (202, ""));
    assert_eq!(fixture.claim("log").await.len(), 2);

    fixture.clock.advance(Duration::from_secs(24 * 60 * 60));
    assert_eq!(post(&fixture, &path, ADMIN, &["key-1"]).await.header("idempotent-replayed"), "", "a day later");
}

#[tokio::test]
async fn a_key_on_another_request_is_422_and_of_another_project_its_own() {
    let fixture = Fixture::new().await;
    let (one, other) = (replay_of(&fixture, "a").await, replay_of(&fixture, "b").await);
    assert_eq!(post(&fixture, &one, ADMIN, &["key"]).await.status, 202);
    let reused = post(&fixture, &other, ADMIN, &["key"]).await;
    assert_eq!((reused.status, reused.code().as_str()), (422, "idempotency_key_reused"));
    // The same key of a project is none that was used before: the event is not there for it.
    let foreign = post(&fixture, &one, SHOP_ADMIN, &["key"]).await;
    assert_eq!((foreign.status, foreign.header("idempotent-replayed")), (404, ""));
    assert_eq!(post(&fixture, &one, ADMIN, &["key"]).await.header("idempotent-replayed"), "true", "it still stands");
}

#[tokio::test]
async fn what_was_refused_may_be_asked_again_under_its_key() {
    let fixture = Fixture::new().await;
    let id = fixture.admit(event(&fixture.clock, "a", "payment.failed"), &["crm"]).await;
    let claim = fixture.claim("crm").await.remove(0);
    let path = format!("/v1/deliveries/{}/redeliver", claim.id);
    let refused = post(&fixture, &path, ADMIN, &["key"]).await;
    assert_eq!((refused.status, refused.code().as_str()), (409, "conflict"), "{id} is under way");
    fixture.store.settle(&claim, settled(&claim, &fixture.clock, 500, b"", DEAD));
    let done = post(&fixture, &path, ADMIN, &["key"]).await;
    assert_eq!((done.status, done.header("idempotent-replayed")), (202, ""));
    assert_eq!(post(&fixture, &path, ADMIN, &["key"]).await.header("idempotent-replayed"), "true");
}

#[tokio::test]
async fn two_at_once_are_one_and_a_conflict() {
    let fixture = Fixture::new().await;
    let path = replay_of(&fixture, "a").await;
    let asks = (0..8).map(|_| post(&fixture, &path, ADMIN, &["key"]));
    let replies: Vec<Reply> = crate::support::join_all(asks.collect()).await;
    let mut done = 0;
    for reply in &replies {
        match reply.status {
            202 => done += usize::from(reply.header("idempotent-replayed").is_empty()),
            409 => assert_eq!(reply.code(), "idempotency_key_in_flight"),
            other => panic!("{other}"),
        }
    }
    assert_eq!(done, 1);
    assert!(replies.iter().any(|reply| reply.status == 409), "the first one waits for the disk meanwhile");
    assert_eq!(fixture.claim("log").await.len(), 1);
}

#[tokio::test]
async fn a_key_has_1_to_255_plain_characters_and_stands_there_once() {
    let fixture = Fixture::new().await;
    let path = replay_of(&fixture, "a").await;
    for wrong in [&[""][..], &[&"k".repeat(256)], &["a", "b"], &["ä"]] {
        let reply = post(&fixture, &path, ADMIN, wrong).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "idempotency_key_invalid"), "{wrong:?}");
    }
    assert_eq!(post(&fixture, &path, ADMIN, &[&"k".repeat(255)]).await.status, 202);
    assert_eq!(fixture.claim("log").await.len(), 1);
}
