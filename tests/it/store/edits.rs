//! What people do to deliveries, at every engine.

use std::time::Duration;

use hookward::domain::holding::moment_of;
use hookward::domain::{DeadReason, DeliveryState, Next};
use hookward::store::{Paused, Store, StoreError};

use super::world::*;

pub(super) async fn redeliver_cancel_and_replay(factory: &impl Factory) {
    let (store, clock) = (factory.open(), factory.clock());
    store.set_targets(&targets(&["crm", "log"]));
    let event = keep(&store, clock, "e1", &["crm"]).await;
    let first = claim_one(&store, "crm").await;
    assert!(matches!(store.redeliver(first.id).await, Err(StoreError::Conflict(_))), "in flight");
    assert!(matches!(store.cancel(first.id).await, Err(StoreError::Conflict(_))), "in flight");
    store.settle(&first, settlement(clock, &first, 200, Next::Succeeded));
    assert!(matches!(store.cancel(first.id).await, Err(StoreError::Conflict(_))), "it has ended");
    store.redeliver(first.id).await.unwrap();
    let second = claim_one(&store, "crm").await;
    assert_eq!((second.id, second.attempt), (first.id, 2));
    let later = clock.now().plus(Duration::from_secs(60));
    store.settle(&second, settlement(clock, &second, 500, Next::RetryAt(later)));
    store.redeliver(first.id).await.unwrap();
    let third = claim_one(&store, "crm").await;
    assert_eq!(third.attempt, 3, "a waiting one is due now");
    store.settle(&third, settlement(clock, &third, 500, Next::RetryAt(later)));
    store.cancel(first.id).await.unwrap();
    clock.advance(Duration::from_secs(60));
    assert!(claim(&store, "crm", 1).await.is_empty());
    assert_eq!(store.delivery(first.id).await.unwrap().0.state, DeliveryState::Cancelled);

    let added = store.replay(event, vec![planned("log"), planned("crm")]).await.unwrap();
    assert_eq!(added.iter().map(|id| id.ordinal()).collect::<Vec<_>>(), [1, 2]);
    let again = store.replay(event, vec![planned("log")]).await.unwrap();
    assert_eq!(again[0].ordinal(), 3);
    drop(store);
    let store = factory.open();
    store.set_targets(&targets(&["crm", "log"]));
    assert_eq!(claim(&store, "log", 9).await.len(), 2);
    let replayed = claim_one(&store, "crm").await;
    assert_eq!((replayed.id, replayed.attempt), (added[1], 1));
    assert_eq!(replayed.event.received.body, body_of("e1"));
    assert_eq!(store.events(Default::default(), FIRST_PAGE).await.unwrap().rows[0].deliveries, 4);
}

pub(super) async fn many_are_redelivered_at_once_each_by_its_own_state(factory: &impl Factory) {
    let (store, clock) = (factory.open(), factory.clock());
    store.set_targets(&targets(&["crm"]));
    for number in 0..5 {
        keep(&store, clock, &format!("e{number}"), &["crm"]).await;
    }
    let claims = store.claim("crm", 5, LEASE).await.unwrap();
    // The first three are dead, the fourth waits for its retry, the fifth is in flight.
    let later = Next::RetryAt(clock.now().plus(Duration::from_secs(60)));
    for claim in &claims[..3] {
        store.settle(claim, settlement(clock, claim, 500, Next::Dead(DeadReason::Exhausted)));
    }
    store.settle(&claims[3], settlement(clock, &claims[3], 500, later));
    let foreign = hookward::domain::IdMint::new([9; 16]).delivery(claims[0].id.seq(), 0);
    let ids = vec![claims[0].id, claims[4].id, claims[3].id, foreign, claims[1].id, claims[2].id];
    let done = store.redeliver_many(ids).await;
    assert!(
        matches!(&*done, [Ok(()), Err(StoreError::Conflict(_)), Ok(()), Err(StoreError::NotFound), Ok(()), Ok(())]),
        "{done:?}"
    );
    drop(store);
    let store = factory.open();
    store.set_targets(&targets(&["crm"]));
    assert_eq!(store.claim("crm", 9, LEASE).await.unwrap().len(), 5, "those four, and what was in flight");
}

pub(super) async fn pauses_are_kept_and_what_waits_for_a_source_is_released(factory: &impl Factory) {
    let (store, clock) = (factory.open(), factory.clock());
    let (source, destination) = (Paused::Source("github".into()), Paused::Destination("crm".into()));
    assert!(store.pauses().await.unwrap().is_empty());
    store.keep_pause(&source, true).await.unwrap();
    store.keep_pause(&destination, true).await.unwrap();
    store.keep_pause(&destination, true).await.unwrap();
    drop(store);
    let store = factory.open();
    let mut paused = store.pauses().await.unwrap();
    paused.sort();
    assert_eq!(paused, [source.clone(), destination.clone()]);
    store.keep_pause(&destination, false).await.unwrap();
    assert_eq!(store.pauses().await.unwrap(), [source]);

    store.set_targets(&targets(&["crm"]));
    let (ours, theirs) = (moment_of("github"), moment_of("stripe"));
    for number in 0..12 {
        let moment = if number % 4 == 3 { theirs } else { ours };
        store.admit(not_before(admission(clock, &format!("e{number}"), &["crm"]), moment)).await.unwrap();
    }
    store.hasten("crm");
    clock.advance(Duration::from_secs(3600));
    assert!(claim(&store, "crm", 20).await.is_empty(), "nothing but a person makes them due");
    let rows = deliveries(&store).await;
    assert!(rows.iter().all(|row| row.state == DeliveryState::Pending), "{rows:?}");
    assert!(rows.iter().all(|row| row.next_attempt_at.is_some_and(|at| at == ours || at == theirs)), "{rows:?}");
    assert_eq!(store.release_held(|moment| moment == ours).await, 9);
    assert_eq!(store.release_held(|moment| moment == ours).await, 0);
    assert_eq!(claim(&store, "crm", 20).await.len(), 9);
    drop(store);
    let store = factory.open();
    store.set_targets(&targets(&["crm"]));
    // What was released and not delivered may have to be released again after a restart.
    store.release_held(|_| true).await;
    assert_eq!(claim(&store, "crm", 20).await.len(), 12);
}
