//! `kill -9` while events are emitted: what was answered 202 reaches its webhook, byte for byte, and nothing else does.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

use super::world::SECRETS_KEY;
use crate::support::{Client, Gateway, Sink, eventually_within};

const CYCLES: usize = 6;
const PUBLISHERS: usize = 8;
/// So many events are acknowledged in each life before it ends.
const EVENTS_PER_LIFE: usize = 200;
/// Promise 1: outcomes are written within 250 ms; and what a busy machine adds until the gateway has read the answer.
const REPEATED_WITHIN: Duration = Duration::from_millis(500);

/// What the publishers know.
#[derive(Default)]
struct Book {
    next: AtomicUsize,
    /// Numbers that were not answered, to be emitted again under the same id.
    unanswered: Mutex<Vec<usize>>,
    acknowledged: Mutex<Vec<usize>>,
}

fn id(number: usize) -> String {
    format!("evt_loss_{number:06}")
}

fn event(number: usize) -> Value {
    json!({ "id": id(number), "type": "payment.succeeded", "data": { "n": number, "fill": "x".repeat(number % 900) } })
}

/// Emits until the gateway is gone.
async fn publish(address: std::net::SocketAddr, book: Arc<Book>) {
    let mut client = Client::new(address);
    loop {
        let again = book.unanswered.lock().unwrap().pop();
        let number = again.unwrap_or_else(|| book.next.fetch_add(1, Ordering::SeqCst));
        let body = Bytes::from(event(number).to_string());
        let request =
            Request::post("/v1/events").header("content-type", "application/json").body(Full::new(body)).unwrap();
        match client.send(request).await {
            Ok(reply) if reply.status == 202 => book.acknowledged.lock().unwrap().push(number),
            _ => {
                book.unanswered.lock().unwrap().push(number);
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_it_is_killed_under_load() {
    let sink = Sink::start().await;
    let config =
        format!("outbound: {{ enabled: true, allow_private: [127.0.0.0/8], secrets_key: \"{SECRETS_KEY}\" }}\n");
    let mut gateway = Gateway::start(&config).await;
    let body = json!({ "url": sink.url("/hook"), "events": ["payment.*"] });
    assert_eq!(gateway.post("/v1/webhooks", &body).await.status, 201);
    let (book, mut deaths) = (Arc::new(Book::default()), Vec::new());
    for _ in 0..CYCLES {
        let before = book.acknowledged.lock().unwrap().len();
        let publishers: Vec<_> =
            (0..PUBLISHERS).map(|_| tokio::spawn(publish(gateway.admin(), Arc::clone(&book)))).collect();
        eventually_within(Duration::from_secs(60), "acknowledged events", async || {
            (book.acknowledged.lock().unwrap().len() >= before + EVENTS_PER_LIFE).then_some(())
        })
        .await;
        gateway.kill();
        deaths.push(Instant::now());
        for publisher in publishers {
            publisher.await.unwrap();
        }
        sink.quiet().await;
        gateway.run().await;
    }
    eventually_within(Duration::from_secs(60), "an empty queue", async || {
        let mut open = 0;
        for state in ["pending", "in_flight", "held"] {
            open += gateway.list(&format!("/v1/deliveries?status={state}&limit=1")).await.len();
        }
        (open == 0).then_some(())
    })
    .await;
    let mut taken: HashMap<String, Vec<Instant>> = HashMap::new();
    for hit in sink.hits() {
        let sent: Value = serde_json::from_slice(&hit.body).unwrap();
        let number = usize::try_from(sent["data"]["n"].as_u64().unwrap()).unwrap();
        assert_eq!((&sent["id"], &sent["data"]), (&json!(id(number)), &event(number)["data"]), "nobody sent this");
        taken.entry(id(number)).or_default().push(hit.at);
    }
    let acknowledged = book.acknowledged.lock().unwrap().clone();
    let lost: Vec<_> = acknowledged.iter().map(|number| id(*number)).filter(|id| !taken.contains_key(id)).collect();
    assert!(lost.is_empty(), "{} of {} lost: {lost:?}", lost.len(), acknowledged.len());
    // Repeated is only what was in flight, or whose outcome was not written, when it was killed.
    let mut repeated = 0;
    for (id, times) in &taken {
        for pair in times.windows(2) {
            let death = deaths.iter().find(|death| **death >= pair[0]);
            let near = death.is_some_and(|death| *death - pair[0] <= REPEATED_WITHIN && pair[1] > *death);
            assert!(near, "{id} was delivered twice, {:?} apart", pair[1] - pair[0]);
            repeated += 1;
        }
    }
    println!("loss: {} acknowledged in {CYCLES} lives, {repeated} repeated by crashes", acknowledged.len());
}
