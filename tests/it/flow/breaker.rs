//! The breaker: a sick destination costs no attempts, and is not run over when it recovers.

use std::time::Duration;

use hookward::domain::DeliveryState;
use hookward::telemetry::handles::BreakerState;

use super::{Flow, breaker, destination, seats, to};
use crate::support::{Answer, Sink, eventually};

const OPEN: Duration = Duration::from_millis(400);

#[tokio::test]
async fn an_open_breaker_uses_up_no_attempts_and_a_probe_closes_it() {
    let sink = Sink::answering(|_| Answer::status(503)).await;
    let flow = Flow::start().await;
    let mut sick = destination("crm", 5);
    (sick.concurrency, sick.breaker) = (seats(2), breaker(4, OPEN));
    flow.dispatcher.apply(vec![to(sick, &sink)]);
    flow.admit_many(0..50, &["crm"]).await;
    eventually("an open breaker", async || (flow.status("crm").breaker == BreakerState::Open).then_some(())).await;
    let opened_at = sink.count();
    assert!((4..=5).contains(&opened_at), "four failures, and what was under way: {opened_at}");
    // While it is open, and over two probes that fail.
    sink.wait_for(opened_at + 2).await;
    let hits = sink.hits();
    assert!(hits[opened_at].at - hits[opened_at - 1].at >= OPEN - Duration::from_millis(20));
    assert!(hits[opened_at + 1].at - hits[opened_at].at >= OPEN - Duration::from_millis(20));
    sink.answer(|_| Answer::status(200));
    let rows = flow.wait_for("crm", DeliveryState::Succeeded, 50).await;
    let failed: usize = rows.iter().map(|row| usize::from(row.attempts) - 1).sum();
    assert!(failed <= opened_at + 3, "{failed} attempts of 50 deliveries were used up");
    assert_eq!(flow.status("crm").breaker, BreakerState::Closed);
}

#[tokio::test]
async fn a_destination_that_recovers_is_not_run_over() {
    let mut sink = Sink::start().await;
    let flow = Flow::start().await;
    let mut sick = destination("crm", 5);
    // Nothing would be due for an hour: closing the breaker makes it due.
    sick.schedule.waits = vec![Duration::from_secs(3600); 5];
    sick.breaker = breaker(3, OPEN);
    sick.concurrency = seats(3);
    sink.down().await;
    flow.dispatcher.apply(vec![to(sick, &sink)]);
    flow.admit_many(0..300, &["crm"]).await;
    eventually("an open breaker", async || (flow.status("crm").breaker == BreakerState::Open).then_some(())).await;
    sink.up().await;
    let hits = sink.wait_for(300).await;
    let first = hits[0].at;
    let in_first_second = hits.iter().filter(|hit| hit.at - first < Duration::from_millis(900)).count();
    assert!(in_first_second <= 60, "{in_first_second} in the first second");
    let rows = flow.wait_for("crm", DeliveryState::Succeeded, 100).await;
    assert!(rows.iter().all(|row| row.attempts <= 2));
}

#[tokio::test]
async fn refusals_for_good_do_not_open_it() {
    let sink = Sink::answering(|_| Answer::status(422)).await;
    let flow = Flow::start().await;
    let mut strict = destination("crm", 5);
    strict.breaker = breaker(3, OPEN);
    flow.dispatcher.apply(vec![to(strict, &sink)]);
    flow.admit_many(0..30, &["crm"]).await;
    flow.wait_for("crm", DeliveryState::Dead, 30).await;
    assert_eq!((sink.count(), flow.status("crm").breaker), (30, BreakerState::Closed));
}
