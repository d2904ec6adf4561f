//! Marks: what makes a copy a duplicate, in both modes.

use std::time::Duration;

use hookward::domain::EventId;
use hookward::store::{Admitted, DedupMark, MarkClaim, MarkClaimed, Store};

use super::world::*;

pub(super) async fn a_copy_is_a_duplicate_also_after_a_reopening(factory: &impl Factory) {
    let clock = factory.clock();
    let store = factory.open();
    let first = keep(&store, clock, "e1", &["crm"]).await;
    let again = store.admit(admission(clock, "e1", &["crm"])).await.unwrap();
    assert_eq!(again, Admitted::Duplicate(first));
    assert_eq!(deliveries(&store).await.len(), 1, "nothing was added");
    // Now the index holds it, too.
    let again = store.admit(admission(clock, "e1", &["crm"])).await.unwrap();
    assert_eq!(again, Admitted::Duplicate(first));
    drop(store);
    let store = factory.open();
    let again = store.admit(admission(clock, "e1", &["crm"])).await.unwrap();
    assert_eq!(again, Admitted::Duplicate(first));
    keep(&store, clock, "e2", &["crm"]).await;
    assert_eq!(deliveries(&store).await.len(), 2);
}

pub(super) async fn a_copy_waits_for_the_first_ones_commit(factory: &impl Factory) {
    let (store, clock) = (factory.open(), factory.clock());
    for round in 0..20 {
        let id = format!("e{round}");
        let copies = (0..16).map(|_| store.admit(admission(clock, &id, &["crm"])));
        let answers = futures(copies).await;
        let kept: Vec<_> = answers.iter().filter(|answer| matches!(answer, Ok(Admitted::Kept(_)))).collect();
        assert_eq!(kept.len(), 1, "one of the copies is the first: {answers:?}");
        let Ok(Admitted::Kept(first)) = kept[0] else { unreachable!() };
        let duplicates = answers.iter().filter(|answer| matches!(answer, Ok(Admitted::Duplicate(of)) if of == first));
        assert_eq!(duplicates.count(), 15);
    }
    assert_eq!(deliveries(&store).await.len(), 20);
}

pub(super) async fn a_mark_counts_within_its_window_only(factory: &impl Factory) {
    let (store, clock) = (factory.open(), factory.clock());
    let first = keep(&store, clock, "e1", &["crm"]).await;
    clock.advance(WINDOW - Duration::from_millis(1));
    assert_eq!(store.admit(admission(clock, "e1", &[])).await.unwrap(), Admitted::Duplicate(first));
    deliveries(&store).await;
    assert_eq!(store.admit(admission(clock, "e1", &[])).await.unwrap(), Admitted::Duplicate(first));
    clock.advance(Duration::from_millis(1));
    let second = keep(&store, clock, "e1", &[]).await;
    assert_ne!(first, second);
    drop(store);
    let store = factory.open();
    assert_eq!(store.admit(admission(clock, "e1", &[])).await.unwrap(), Admitted::Duplicate(second));
}

async fn mark(store: &impl Store, id: &str) -> MarkClaimed {
    store.claim_mark(&"shop".into(), DedupMark { key: key_of(id), window: WINDOW }, LEASE).await.unwrap()
}

async fn ours(store: &impl Store, id: &str) -> MarkClaim {
    match mark(store, id).await {
        MarkClaimed::Ours(claim) => claim,
        other => panic!("{id} is not free: {other:?}"),
    }
}

async fn committed(store: &impl Store, id: &str) -> EventId {
    let claim = ours(store, id).await;
    store.commit_mark(&claim);
    claim.event
}

pub(super) async fn a_claimed_mark_is_in_flight_then_committed_or_free(factory: &impl Factory) {
    let store = factory.open();
    let first = ours(&store, "e1").await;
    assert_eq!(mark(&store, "e1").await, MarkClaimed::InFlight);
    store.release_mark(&first);
    let second = ours(&store, "e1").await;
    assert_ne!(first.event, second.event);
    store.release_mark(&first);
    assert_eq!(mark(&store, "e1").await, MarkClaimed::InFlight, "an old claim releases nothing");
    store.commit_mark(&second);
    assert_eq!(mark(&store, "e1").await, MarkClaimed::Duplicate(second.event));
    store.release_mark(&second);
    assert_eq!(mark(&store, "e1").await, MarkClaimed::Duplicate(second.event), "committed is committed");
    assert_ne!(store.next_event_id(None), store.next_event_id(None));
    assert_eq!(deliveries(&store).await.len(), 0);
    // Now the index holds it, too.
    assert_eq!(mark(&store, "e1").await, MarkClaimed::Duplicate(second.event));
    ours(&store, "e2").await;
}

pub(super) async fn a_committed_mark_survives_a_reopening_and_a_claim_does_not(factory: &impl Factory) {
    let clock = factory.clock();
    let store = factory.open();
    let first = committed(&store, "e1").await;
    ours(&store, "e2").await;
    drop(store);
    let store = factory.open();
    assert_eq!(mark(&store, "e1").await, MarkClaimed::Duplicate(first));
    let second = committed(&store, "e2").await;
    assert_ne!(first, second);
    store.close().await.unwrap();
    assert!(store.claim_mark(&"shop".into(), DedupMark { key: key_of("e3"), window: WINDOW }, LEASE).await.is_err());
    clock.advance(WINDOW - Duration::from_millis(1));
    let store = factory.open();
    assert_eq!(mark(&store, "e2").await, MarkClaimed::Duplicate(second));
    clock.advance(Duration::from_millis(1));
    ours(&store, "e2").await;
}

pub(super) async fn a_claim_ends_with_its_lease(factory: &impl Factory) {
    let (store, clock) = (factory.open(), factory.clock());
    let first = ours(&store, "e1").await;
    clock.advance(LEASE - Duration::from_millis(1));
    assert_eq!(mark(&store, "e1").await, MarkClaimed::InFlight);
    clock.advance(Duration::from_millis(1));
    let second = ours(&store, "e1").await;
    store.release_mark(&first);
    assert_eq!(mark(&store, "e1").await, MarkClaimed::InFlight, "somebody else has it");
    store.commit_mark(&first);
    store.release_mark(&second);
    assert_eq!(mark(&store, "e1").await, MarkClaimed::Duplicate(first.event), "what was taken late was taken");
}

pub(super) async fn marks_of_kept_and_passed_events_are_the_same_marks(factory: &impl Factory) {
    let (store, clock) = (factory.open(), factory.clock());
    let kept = keep(&store, clock, "e1", &["crm"]).await;
    assert_eq!(mark(&store, "e1").await, MarkClaimed::Duplicate(kept));
    let passed = committed(&store, "e2").await;
    assert_eq!(store.admit(admission(clock, "e2", &["crm"])).await.unwrap(), Admitted::Duplicate(passed));
    // An admission waits for what becomes of the claim before it.
    for is_taken in [true, false] {
        let id = format!("e{is_taken}");
        let claim = ours(&store, &id).await;
        let end = async {
            match is_taken {
                true => store.commit_mark(&claim),
                false => store.release_mark(&claim),
            }
        };
        let (admitted, ()) = tokio::join!(store.admit(admission(clock, &id, &["crm"])), end);
        match (is_taken, admitted.unwrap()) {
            (true, Admitted::Duplicate(event)) => assert_eq!(event, claim.event),
            (false, Admitted::Kept(_)) => {}
            (_, other) => panic!("{other:?}"),
        }
    }
}
