//! What follows an attempt: retries, Retry-After, dead letters.

use std::time::Duration;

use hookward::domain::{DeadReason, DeliveryState, OutcomeClass};

use super::{Flow, destination, to};
use crate::support::{Answer, Sink};

#[tokio::test]
async fn a_failing_destination_gets_the_same_bytes_until_it_accepts() {
    let sink = Sink::scripted([Answer::status(500), Answer::Close, Answer::status(404), Answer::status(302)]).await;
    let flow = Flow::start().await;
    flow.dispatcher.apply(vec![to(destination("crm", 9), &sink)]);
    let event = flow.admit(7, &["crm"]).await;
    let rows = flow.wait_for("crm", DeliveryState::Succeeded, 1).await;
    let hits = sink.wait_for(5).await;
    assert_eq!(hits.iter().map(super::super::support::Hit::attempt).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    for hit in &hits {
        assert_eq!((&*hit.body, hit.header("hookward-event-id")), (&b"7"[..], &*event.to_string()));
        assert_eq!(hit.header("hookward-delivery-id"), rows[0].id.to_string());
        assert_eq!(hit.header("hookward-event-type"), "payment.failed");
    }
    let outcomes: Vec<_> = flow.attempts(&rows[0]).await.iter().map(|row| (row.outcome, row.status)).collect();
    assert_eq!(
        outcomes,
        [
            (OutcomeClass::Status, Some(500)),
            (OutcomeClass::Protocol, None),
            (OutcomeClass::Status, Some(404)),
            (OutcomeClass::Status, Some(302)),
            (OutcomeClass::Succeeded, Some(200)),
        ]
    );
    assert_eq!(sink.count(), 5, "nothing follows a success");
}

#[tokio::test]
async fn an_exhausted_or_refused_delivery_is_dead_and_kept() {
    let sink = Sink::answering(|hit| Answer::status(if &*hit.body == b"1" { 410 } else { 500 }).body("no")).await;
    let flow = Flow::start().await;
    flow.dispatcher.apply(vec![to(destination("crm", 2), &sink)]);
    flow.admit_many(0..2, &["crm"]).await;
    let mut rows = flow.wait_for("crm", DeliveryState::Dead, 2).await;
    rows.sort_by_key(|row| row.id);
    assert_eq!((rows[0].dead_reason, rows[0].attempts), (Some(DeadReason::Exhausted), 3));
    assert_eq!((rows[1].dead_reason, rows[1].attempts), (Some(DeadReason::Refused), 1));
    assert_eq!(&*flow.attempts(&rows[1]).await[0].response_body, b"no");
    assert_eq!(sink.count(), 4);
}

#[tokio::test]
async fn retry_after_delays_the_next_attempt() {
    let sink = Sink::scripted([Answer::status(503).header("retry-after", 1)]).await;
    let flow = Flow::start().await;
    flow.dispatcher.apply(vec![to(destination("crm", 3), &sink)]);
    flow.admit(0, &["crm"]).await;
    let hits = sink.wait_for(2).await;
    let waited = hits[1].at - hits[0].at;
    assert!(waited >= Duration::from_millis(990), "{waited:?}");
}
