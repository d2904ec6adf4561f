//! Destinations that ask for an order: what failed is repeated, what comes behind it waits, across a crash too.
//!
//! The same for gateways that share a Redis is in `redis::order`.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::support::{Answer, Gateway, Hit, PATIENCE, SECRET, Sender, Sink, event};

/// The event that the destination refuses for good.
pub(crate) const REFUSED: usize = 7;

/// The event that is on its way when the gateway that has it dies.
pub(crate) const CRASHED: usize = 20;

/// Events of a run.
pub(crate) const EVENTS: usize = 40;

/// A gateway with one destination, whose deliveries have an order, in this `store`.
pub(crate) fn in_order(store: &str, sink: &Sink) -> String {
    format!(
        "{store}sources:\n  appmint: {{ path: /in, verify: {{ scheme: appmint, secrets: [\"{SECRET}\"] }} }}\n\
         routes:\n  - {{ from: appmint, to: [crm] }}\ndestinations:\n  crm: {{ url: \"{}\", order: {{ by: destination }}, \
         timeout: 3s, retry: {{ schedule: [50ms, 50ms, 50ms, 50ms, 50ms] }}, \
         breaker: {{ failures: 1000, window: 30s, open: 200ms }} }}\n",
        sink.url("/hook")
    )
}

pub(crate) fn id(number: usize) -> String {
    format!("evt_{number:03}")
}

fn number(hit: &Hit) -> usize {
    hit.header("hookward-source-event-id").trim_start_matches("evt_").parse().unwrap()
}

/// Fails every third event twice, one for good, and never answers the first request of another one.
pub(crate) async fn failing() -> Sink {
    let (failed, hung) = (std::sync::Mutex::new(HashMap::<usize, u32>::new()), std::sync::Mutex::new(HashSet::new()));
    Sink::answering(move |hit| {
        let number = number(hit);
        if number == REFUSED {
            return Answer::status(410);
        }
        if number == CRASHED && hung.lock().unwrap().insert(number) {
            return Answer::Hang;
        }
        let mut failed = failed.lock().unwrap();
        let failures = failed.entry(number).or_default();
        *failures += 1;
        if number.is_multiple_of(3) && *failures <= 2 { Answer::status(500) } else { Answer::status(200) }
    })
    .await
}

pub(crate) async fn send(senders: &mut [Sender], numbers: std::ops::Range<usize>) {
    for number in numbers {
        // Each one is acknowledged before the next one is sent, so that there is an order to keep.
        let to = number % senders.len();
        assert_eq!(senders[to].send(&event(&id(number), "payment.succeeded")).await.status, 200);
    }
}

/// Waits until the event that crashes is at the destination.
pub(crate) async fn is_crashing(sink: &Sink) {
    crate::support::eventually("the event that hangs", async || {
        sink.hits().iter().any(|hit| number(hit) == CRASHED).then_some(())
    })
    .await;
}

/// Nothing was ever asked for before all that came earlier had ended, and nothing once more behind a later one but after
/// so many crashes that may have taken outcomes along.
pub(crate) fn judge(hits: &[Hit], crashes: usize) {
    let (mut ended, mut last, mut steps_back) = (0, 0, 0);
    for hit in hits {
        let number = number(hit);
        assert!(number <= ended, "{number} came before {ended} had ended");
        steps_back += usize::from(number < last);
        last = number;
        if number == ended && matches!(hit.status, 200 | 410) {
            ended += 1;
        }
    }
    assert_eq!(ended, EVENTS, "all of them ended");
    assert!(steps_back <= crashes, "{steps_back} of {crashes}");
    let attempts = |of: usize| hits.iter().filter(|hit| number(hit) == of).count();
    assert_eq!((attempts(3), attempts(4), attempts(REFUSED)), (3, 1, 1));
}

#[tokio::test]
async fn what_comes_behind_a_failing_delivery_waits_and_a_crash_keeps_the_order() {
    let sink = failing().await;
    let mut gateway = Gateway::start(&in_order("", &sink)).await;
    send(&mut [Sender::new(&gateway)], 0..30).await;
    is_crashing(&sink).await;
    gateway.kill();
    gateway.run().await;
    send(&mut [Sender::new(&gateway)], 30..EVENTS).await;
    gateway.drained(PATIENCE).await;
    judge(&sink.hits(), 1);
}

/// A reload brings the order, for what waits too, and takes it away again.
#[tokio::test]
async fn an_order_comes_and_goes_with_a_reload() {
    let sink = Sink::answering(|hit| {
        Answer::status(if number(hit) == 0 && hit.attempt() <= 3 { 500 } else { 200 }).after(Duration::from_millis(20))
    })
    .await;
    let ordered = in_order("", &sink);
    let gateway = Gateway::start(&ordered.replace("order: { by: destination }, ", "")).await;
    assert_eq!(gateway.post("/v1/destinations/crm/pause", &serde_json::json!({})).await.status, 200);
    send(&mut [Sender::new(&gateway)], 0..10).await;
    gateway.reload(&ordered).await;
    assert_eq!(gateway.post("/v1/destinations/crm/resume", &serde_json::json!({})).await.status, 200);
    gateway.drained(PATIENCE).await;
    let numbers: Vec<usize> = sink.hits().iter().map(number).collect();
    assert_eq!(numbers, [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    gateway.reload(&ordered.replace("order: { by: destination }, ", "")).await;
    send(&mut [Sender::new(&gateway)], 10..20).await;
    gateway.drained(PATIENCE).await;
    assert_eq!(sink.count(), 23);
}
