//! `destinations.*`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{emit, send, with_destination};
use crate::support::{Answer, Gateway, Sink, eventually};

/// The only delivery in this state, with its attempts.
async fn delivery(gateway: &Gateway, state: &str) -> Value {
    let path = format!("/v1/deliveries?status={state}");
    let row = eventually(&format!("a delivery that is {state}"), async || gateway.list(&path).await.pop()).await;
    gateway.get(&format!("/v1/deliveries/{}", row["id"].as_str().unwrap())).await.json()
}

#[tokio::test]
async fn headers_are_added_replaced_and_removed() {
    let sink = Sink::start().await;
    let edits = "headers: { add: { X-Tenant: main, x-replaced: ours }, remove: [x-removed] }";
    let gateway = with_destination(&format!("url: \"{}\", {edits}", sink.url("/hook?key=1"))).await;
    let request = |request: http::request::Builder| {
        request.header("x-replaced", "theirs").header("x-removed", "theirs").header("x-kept", "theirs")
    };
    assert_eq!(send(&gateway, request, "{\"type\":\"a\"}").await.status, 200);
    let hit = &sink.wait_for(1).await[0];
    assert_eq!((hit.header("x-tenant"), hit.header("x-replaced"), hit.header("x-removed")), ("main", "ours", ""));
    assert_eq!((hit.header("x-kept"), hit.uri.path()), ("theirs", "/hook"));
}

#[tokio::test]
async fn authorization_is_the_destinations_own() {
    let basic = format!("Basic {}", STANDARD.encode("user:of-the-test"));
    for (auth, expected) in
        [("bearer: of-the-test", "Bearer of-the-test"), ("username: user, password: of-the-test", basic.as_str())]
    {
        let sink = Sink::start().await;
        let gateway = with_destination(&format!("url: \"{}\", auth: {{ {auth} }}", sink.url("/"))).await;
        let request = |request: http::request::Builder| request.header("authorization", "Bearer theirs");
        assert_eq!(send(&gateway, request, "{\"type\":\"a\"}").await.status, 200);
        assert_eq!(sink.wait_for(1).await[0].header("authorization"), expected);
    }
}

#[tokio::test]
async fn as_much_of_an_answer_is_kept_as_the_bound_says() {
    let sink = Sink::answering(|_| Answer::status(200).body("0123456789abcdef")).await;
    let gateway = with_destination(&format!("url: \"{}\", response_bytes_max: 10B", sink.url("/"))).await;
    emit(&gateway, "a").await;
    let shown = delivery(&gateway, "succeeded").await;
    let kept = shown["attempts"][0]["response_body"].to_string();
    assert!(kept.contains("0123456789") && !kept.contains("abcdef"), "{kept}");
}

#[tokio::test]
async fn no_more_attempts_are_under_way_than_concurrency_says() {
    let (under_way, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let sink = {
        let (under_way, most) = (Arc::clone(&under_way), Arc::clone(&most));
        Sink::answering(move |_| {
            most.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let under_way = Arc::clone(&under_way);
            // Over shortly before the answer goes out: the next one cannot come earlier.
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(90));
                under_way.fetch_sub(1, Ordering::SeqCst);
            });
            Answer::status(200).after(Duration::from_millis(120))
        })
        .await
    };
    let gateway = with_destination(&format!("url: \"{}\", concurrency: 2", sink.url("/"))).await;
    for _ in 0..8 {
        emit(&gateway, "a").await;
    }
    sink.wait_for(8).await;
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn what_is_discarded_succeeds_without_a_request() {
    let gateway = with_destination("discard: true").await;
    emit(&gateway, "a").await;
    assert_eq!(delivery(&gateway, "succeeded").await["destination"], "crm");
}

#[tokio::test]
async fn attempts_begin_no_faster_than_the_rate() {
    let sink = Sink::start().await;
    let limit = "rate_limit: { requests: 2, per: 400ms, burst: 2 }";
    let gateway = with_destination(&format!("url: \"{}\", {limit}", sink.url("/"))).await;
    for _ in 0..6 {
        emit(&gateway, "a").await;
    }
    let hits = sink.wait_for(6).await;
    // Two at once and then one every 200 ms: four more take 800 ms, less what the clocks of two ends differ by.
    let took = hits[5].at - hits[0].at;
    assert!(took >= Duration::from_millis(700), "{took:?}");
}

#[tokio::test]
async fn a_final_status_ends_it_and_the_others_are_tried_by_the_schedule() {
    let sink = Sink::answering(|_| Answer::status(418)).await;
    let retry = |settings: &str| format!("url: \"{}\", retry: {{ {settings} }}", sink.url("/"));
    let gateway = with_destination(&retry("final: [418], schedule: [10ms, 10ms]")).await;
    emit(&gateway, "a").await;
    assert_eq!(delivery(&gateway, "dead").await["attempts"].as_array().unwrap().len(), 1);
    let gateway = with_destination(&retry("schedule: [10ms, 10ms]")).await;
    emit(&gateway, "a").await;
    assert_eq!(delivery(&gateway, "dead").await["attempts"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn jitter_stretches_and_shortens_the_waits() {
    let waits = async |jitter: &str| {
        let sink = Sink::scripted([Answer::status(500)]).await;
        let settings = format!("url: \"{}\", retry: {{ schedule: [400ms], jitter: {jitter} }}", sink.url("/"));
        let gateway = with_destination(&settings).await;
        emit(&gateway, "a").await;
        let hits = sink.wait_for(2).await;
        hits[1].at - hits[0].at
    };
    let exact = waits("0").await;
    assert!(exact >= Duration::from_millis(399), "{exact:?}");
    // A wait of 0 to 800 ms that is never below 380 ms would be a coin that fell on one side 20 times.
    let mut shortest = exact;
    for _ in 0..20 {
        shortest = shortest.min(waits("1").await);
        if shortest < Duration::from_millis(380) {
            return;
        }
    }
    panic!("never below {shortest:?}");
}

#[tokio::test]
async fn an_attempt_ends_at_its_timeout() {
    let sink = Sink::scripted([Answer::Hang]).await;
    let gateway =
        with_destination(&format!("url: \"{}\", timeout: 300ms, retry: {{ schedule: [0s] }}", sink.url("/"))).await;
    let sent = Instant::now();
    emit(&gateway, "a").await;
    sink.wait_for(2).await;
    assert!(sent.elapsed() >= Duration::from_millis(300) && sent.elapsed() < Duration::from_secs(5));
    assert_eq!(delivery(&gateway, "succeeded").await["attempts"][0]["outcome"], "timeout");
}
