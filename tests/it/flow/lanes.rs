//! Lanes: isolation, concurrency, pace, reload, drain, panics.

use std::future::{Future, pending};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hookward::dispatch::{Attempts, RateLimit};
use hookward::domain::{Attempt, Clock, DeliveryState, HeaderBlock, OutcomeClass};
use hookward::store::Claim;

use super::{Flow, destination, seats, to};
use crate::support::{Answer, Sink, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_reaches_every_destination_once() {
    let (analytics, crm) = (Sink::start().await, Sink::start().await);
    let flow = Flow::start().await;
    flow.dispatcher.apply(vec![to(destination("analytics", 1), &analytics), to(destination("crm", 1), &crm)]);
    flow.admit_many(0..2000, &["analytics", "crm"]).await;
    for sink in [&analytics, &crm] {
        let mut numbers: Vec<usize> =
            sink.wait_for(2000).await.iter().map(|hit| String::from_utf8_lossy(&hit.body).parse().unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..2000).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_silent_destination_does_not_slow_another() {
    let (silent, healthy) = (Sink::answering(|_| Answer::Hang).await, Sink::start().await);
    let flow = Flow::start().await;
    flow.dispatcher.apply(vec![to(destination("silent", 1), &silent), to(destination("healthy", 1), &healthy)]);
    let start = Instant::now();
    flow.admit_many(0..200, &["silent", "healthy"]).await;
    healthy.wait_for(200).await;
    assert!(start.elapsed() < Duration::from_secs(5), "the silent one's time-out was not waited for");
    assert_eq!(silent.count(), 32, "its own concurrency bounds it");
}

#[tokio::test]
async fn concurrency_is_kept_and_can_be_changed_while_attempts_are_under_way() {
    let sink = Sink::answering(|_| Answer::Hang).await;
    let flow = Flow::start().await;
    let mut narrow = destination("crm", 1);
    narrow.concurrency = seats(3);
    flow.dispatcher.apply(vec![to(narrow.clone(), &sink)]);
    flow.admit_many(0..20, &["crm"]).await;
    sink.wait_for(3).await;
    assert_eq!(flow.status("crm").in_flight, 3);
    narrow.concurrency = seats(5);
    flow.dispatcher.apply(vec![to(narrow, &sink)]);
    sink.wait_for(5).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!((sink.count(), flow.status("crm").in_flight), (5, 5));
}

#[tokio::test]
async fn the_rate_limit_spaces_attempts() {
    let sink = Sink::start().await;
    let flow = Flow::start().await;
    let mut slow = destination("crm", 1);
    let (requests, burst) = (NonZeroU32::new(50).unwrap(), NonZeroU32::new(5).unwrap());
    slow.rate_limit = Some(RateLimit { requests, per: Duration::from_secs(1), burst });
    flow.dispatcher.apply(vec![to(slow, &sink)]);
    flow.admit_many(0..40, &["crm"]).await;
    let hits = sink.wait_for(40).await;
    let took = hits[39].at - hits[0].at;
    assert!(took >= Duration::from_millis(650), "35 attempts at 50/s after a burst of 5 take 0.7 s, not {took:?}");
}

#[tokio::test]
async fn a_new_url_applies_to_what_is_pending() {
    let (old, new) = (Sink::answering(|_| Answer::status(500)).await, Sink::start().await);
    let flow = Flow::start().await;
    flow.dispatcher.apply(vec![to(destination("crm", 1000), &old)]);
    flow.admit_many(0..10, &["crm"]).await;
    old.wait_for(20).await;
    flow.dispatcher.apply(vec![to(destination("crm", 1000), &new)]);
    flow.wait_for("crm", DeliveryState::Succeeded, 10).await;
    assert_eq!(new.count(), 10);
}

#[tokio::test]
async fn a_removed_destination_stops_and_goes_on_when_its_name_returns() {
    let sink = Sink::start().await;
    let flow = Flow::start().await;
    flow.dispatcher.apply(vec![to(destination("crm", 1), &sink)]);
    flow.admit(0, &["crm"]).await;
    sink.wait_for(1).await;
    flow.dispatcher.apply(vec![]);
    flow.admit_many(1..5, &["crm"]).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!((sink.count(), flow.dispatcher.states().len()), (1, 0));
    flow.dispatcher.apply(vec![to(destination("crm", 1), &sink)]);
    sink.wait_for(5).await;
}

#[tokio::test]
async fn a_drain_ends_what_is_under_way_and_begins_nothing() {
    let sink = Sink::answering(|_| Answer::status(200).after(Duration::from_millis(300))).await;
    let flow = Flow::start().await;
    let mut narrow = destination("crm", 1);
    narrow.concurrency = seats(2);
    flow.dispatcher.apply(vec![to(narrow, &sink)]);
    flow.admit_many(0..6, &["crm"]).await;
    sink.wait_for(2).await;
    let cut = flow.dispatcher.drain(tokio::time::Instant::now() + Duration::from_secs(10)).await;
    assert_eq!((cut, sink.count()), (0, 2));
    assert_eq!(flow.wait_for("crm", DeliveryState::Succeeded, 2).await.len(), 2);
    assert_eq!(flow.wait_for("crm", DeliveryState::Pending, 4).await.len(), 4);
}

#[tokio::test]
async fn a_drain_does_not_wait_for_ever() {
    let sink = Sink::answering(|_| Answer::Hang).await;
    let flow = Flow::start().await;
    flow.dispatcher.apply(vec![to(destination("crm", 1), &sink)]);
    flow.admit_many(0..3, &["crm"]).await;
    sink.wait_for(3).await;
    let start = Instant::now();
    let cut = flow.dispatcher.drain(tokio::time::Instant::now() + Duration::from_millis(200)).await;
    assert_eq!(cut, 3);
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn discard_accepts_and_drops() {
    let flow = Flow::start().await;
    flow.dispatcher.apply(vec![(destination("nowhere", 1), None)]);
    flow.admit_many(0..50, &["nowhere"]).await;
    assert_eq!(flow.wait_for("nowhere", DeliveryState::Succeeded, 50).await.len(), 50);
}

#[tokio::test]
async fn a_paused_destination_gets_nothing_until_it_is_resumed() {
    let sink = Sink::start().await;
    let flow = Flow::start().await;
    let mut paused = destination("crm", 1);
    paused.paused = true;
    flow.dispatcher.apply(vec![to(paused.clone(), &sink)]);
    flow.admit_many(0..5, &["crm"]).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(sink.count(), 0);
    paused.paused = false;
    flow.dispatcher.apply(vec![to(paused, &sink)]);
    sink.wait_for(5).await;
}

/// Breaks on every third attempt.
struct Breaking(AtomicUsize);

impl Attempts for Breaking {
    type Endpoint = ();
    type Connection = ();

    fn attempt(
        &self,
        (): &(),
        _connection: &mut Option<()>,
        claim: &Claim,
        _begun: tokio::time::Instant,
    ) -> impl Future<Output = Attempt> + Send {
        let broken = self.0.fetch_add(1, Ordering::SeqCst).is_multiple_of(3);
        let number = claim.attempt;
        async move {
            tokio::task::yield_now().await;
            assert!(!broken, "on purpose");
            Attempt {
                number,
                started_at: Clock::machine().now(),
                duration: Duration::ZERO,
                outcome: OutcomeClass::Succeeded,
                status: Some(200),
                response_headers: HeaderBlock::default(),
                response_body: Bytes::new(),
                error: None,
            }
        }
    }

    fn closed(&self, _connection: &mut ()) -> impl Future<Output = ()> + Send {
        pending()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_an_attempt_is_a_failed_attempt() {
    let flow = Flow::with(Breaking(AtomicUsize::new(0)), Clock::machine()).await;
    flow.dispatcher.apply(vec![(destination("crm", 50), Some(Arc::new(())))]);
    flow.admit_many(0..60, &["crm"]).await;
    let rows = flow.wait_for("crm", DeliveryState::Succeeded, 60).await;
    assert!(rows.iter().any(|row| row.attempts > 1));
    let retried = rows.iter().find(|row| row.attempts > 1).unwrap();
    let attempts = flow.attempts(retried).await;
    assert!(attempts[0].error.as_ref().unwrap().contains("defect"), "{attempts:?}");
    eventually("idle workers", async || (flow.status("crm").in_flight == 0).then_some(())).await;
}
