//! One delivery after the other, at every engine: in the order of acceptance, whatever becomes of the first.

use std::time::Duration;

use hookward::domain::holding::moment_of;
use hookward::domain::{DeadReason, DeliveryState, EventId, Next};
use hookward::store::{Claim, Store, TargetSettings};

use super::world::*;

fn in_order() -> Vec<TargetSettings> {
    targets(&["crm"]).into_iter().map(|settings| TargetSettings { ordered: true, ..settings }).collect()
}

/// What is claimed next, which is one at the most.
async fn next(store: &impl Store) -> Claim {
    loop {
        store.due("crm").await;
        let mut claims = claim(store, "crm", 10).await;
        assert!(claims.len() <= 1, "one after the other: {claims:?}");
        if let Some(claim) = claims.pop() {
            assert!(claim_none(store).await, "nothing goes beside it");
            return claim;
        }
    }
}

async fn claim_none(store: &impl Store) -> bool {
    claim(store, "crm", 10).await.is_empty()
}

async fn keep_some(factory: &impl Factory, store: &impl Store, count: usize) -> Vec<EventId> {
    let mut ids = Vec::new();
    for number in 0..count {
        ids.push(keep(store, factory.clock(), &format!("e{number}"), &["crm"]).await);
    }
    ids
}

pub(super) async fn ordered_deliveries_go_one_after_the_other(factory: &impl Factory) {
    let (store, clock) = (factory.open(), factory.clock());
    store.set_targets(&in_order());
    let ids = keep_some(factory, &store, 4).await;
    let first = next(&store).await;
    assert_eq!(first.event.id, ids[0]);
    store.settle(&first, settlement(clock, &first, 200, Next::Succeeded));
    let second = next(&store).await;
    assert_eq!(second.event.id, ids[1]);
    let later = clock.now().plus(Duration::from_secs(60));
    store.settle(&second, settlement(clock, &second, 500, Next::RetryAt(later)));
    assert!(claim_none(&store).await, "it waits for its retry, and the others behind it");
    clock.advance(Duration::from_secs(59));
    assert!(claim_none(&store).await);
    let lane = store.lane("crm").await.unwrap();
    assert_eq!((lane.pending, lane.in_flight), (3, 0));
    assert!(lane.oldest_due_at.is_some(), "whoever waits behind it is late, and that is seen");
    clock.advance(Duration::from_secs(1));
    let again = next(&store).await;
    assert_eq!((again.event.id, again.attempt), (ids[1], 2));
    store.settle(&again, settlement(clock, &again, 410, Next::Dead(DeadReason::Refused)));
    let third = next(&store).await;
    assert_eq!(third.event.id, ids[2]);
    store.release(&third, clock.now());
    let third = next(&store).await;
    assert_eq!((third.event.id, third.attempt), (ids[2], 1), "given back it is the first again");
    store.settle(&third, settlement(clock, &third, 500, Next::RetryAt(clock.now().plus(Duration::from_secs(3600)))));
    store.hasten("crm");
    let third = next(&store).await;
    assert_eq!(third.event.id, ids[2], "hastened it is due");
    store.settle(&third, settlement(clock, &third, 200, Next::Succeeded));
    let fourth = next(&store).await;
    store.settle(&fourth, settlement(clock, &fourth, 200, Next::Succeeded));
    assert!(claim_none(&store).await);
    let fifth = keep(&store, clock, "e5", &["crm"]).await;
    assert_eq!(next(&store).await.event.id, fifth);
}

pub(super) async fn a_lease_that_ends_and_a_crash_keep_the_order(factory: &impl Factory) {
    let (store, clock) = (factory.open(), factory.clock());
    store.set_targets(&in_order());
    let ids = keep_some(factory, &store, 3).await;
    let first = next(&store).await;
    clock.advance(LEASE);
    let again = next(&store).await;
    assert_eq!((again.event.id, again.attempt), (ids[0], 1), "whoever had it is gone");
    store.settle(&first, settlement(clock, &first, 200, Next::Succeeded));
    assert!(claim_none(&store).await, "only the newest claim ends it");
    store.settle(&again, settlement(clock, &again, 200, Next::Succeeded));
    let second = next(&store).await;
    let later = clock.now().plus(Duration::from_secs(60));
    store.settle(&second, settlement(clock, &second, 500, Next::RetryAt(later)));
    drop(store);
    let store = factory.open();
    store.set_targets(&in_order());
    assert!(claim_none(&store).await, "the second still waits for its retry");
    clock.advance(Duration::from_secs(60));
    let second = next(&store).await;
    assert_eq!((second.event.id, second.attempt), (ids[1], 2));
    drop(store);
    let store = factory.open();
    store.set_targets(&in_order());
    clock.advance(LEASE);
    let second = next(&store).await;
    assert_eq!(second.event.id, ids[1], "it was in flight, and is the first again");
    store.settle(&second, settlement(clock, &second, 200, Next::Succeeded));
    assert_eq!(next(&store).await.event.id, ids[2]);
}

pub(super) async fn what_starts_again_takes_its_old_place_in_line(factory: &impl Factory) {
    let (store, clock) = (factory.open(), factory.clock());
    store.set_targets(&in_order());
    let ids = keep_some(factory, &store, 6).await;
    let mut dead = Vec::new();
    for id in &ids[..2] {
        let claim = next(&store).await;
        assert_eq!(claim.event.id, *id);
        store.settle(&claim, settlement(clock, &claim, 410, Next::Dead(DeadReason::Refused)));
        dead.push(claim.id);
    }
    let third = next(&store).await;
    // Whichever of them is asked for first.
    for id in [dead[1], dead[0]] {
        store.redeliver(id).await.unwrap();
    }
    assert!(claim_none(&store).await, "the third is on its way");
    store.settle(&third, settlement(clock, &third, 200, Next::Succeeded));
    for id in &dead {
        let claim = next(&store).await;
        assert_eq!((claim.id, claim.attempt), (*id, 2), "before everything younger");
        store.settle(&claim, settlement(clock, &claim, 200, Next::Succeeded));
    }
    let rows = deliveries(&store).await;
    let of = |event: EventId| rows.iter().find(|row| row.event == event).unwrap().id;
    store.redeliver(of(ids[4])).await.unwrap();
    store.cancel(of(ids[3])).await.unwrap();
    let fifth = next(&store).await;
    assert_eq!(fifth.event.id, ids[4], "one that waits keeps its place, and a cancelled one holds up nobody");
    let replayed = store.replay(ids[0], vec![planned("crm")]).await.unwrap();
    store.settle(&fifth, settlement(clock, &fifth, 200, Next::Succeeded));
    let claim = next(&store).await;
    assert_eq!(claim.id, replayed[0]);
    store.settle(&claim, settlement(clock, &claim, 200, Next::Succeeded));
    assert_eq!(store.cancel_all("crm").await.unwrap(), 1);
    assert!(claim_none(&store).await);
    let last = keep(&store, clock, "e9", &["crm"]).await;
    assert_eq!(next(&store).await.event.id, last);
}

pub(super) async fn an_order_may_begin_and_end_while_deliveries_wait(factory: &impl Factory) {
    let (store, clock) = (factory.open(), factory.clock());
    store.set_targets(&targets(&["crm"]));
    let ids = keep_some(factory, &store, 5).await;
    let claims = claim(&store, "crm", 2).await;
    let later = clock.now().plus(Duration::from_secs(60));
    store.settle(&claims[0], settlement(clock, &claims[0], 500, Next::RetryAt(later)));
    store.set_targets(&in_order());
    let sixth = keep(&store, clock, "e6", &["crm"]).await;
    assert!(claim_none(&store).await, "one is still in flight");
    store.settle(&claims[1], settlement(clock, &claims[1], 200, Next::Succeeded));
    assert!(claim_none(&store).await, "the first waits for its retry");
    clock.advance(Duration::from_secs(60));
    for id in [ids[0], ids[2], ids[3]] {
        let claim = next(&store).await;
        assert_eq!(claim.event.id, id);
        store.settle(&claim, settlement(clock, &claim, 200, Next::Succeeded));
    }
    store.set_targets(&targets(&["crm"]));
    let rest: Vec<EventId> = claim(&store, "crm", 10).await.iter().map(|claim| claim.event.id).collect();
    assert_eq!(rest, [ids[4], sixth], "at once again");
}

pub(super) async fn a_delayed_delivery_holds_the_line_and_one_of_a_paused_source_stands_aside(factory: &impl Factory) {
    let (store, clock) = (factory.open(), factory.clock());
    store.set_targets(&in_order());
    let seconds = |count| clock.now().plus(Duration::from_secs(count));
    let mut admission_of = admission(clock, "e0", &["crm"]);
    admission_of.plan.deliveries[0].expires_at = Some(seconds(90));
    store.admit(not_before(admission_of, seconds(60))).await.unwrap();
    let held = admission(clock, "e1", &["crm"]);
    store.admit(not_before(held, moment_of("github"))).await.unwrap();
    let third = keep(&store, clock, "e2", &["crm"]).await;
    let fourth = keep(&store, clock, "e3", &["crm"]).await;
    assert!(claim_none(&store).await, "the first one has a delay");
    clock.advance(Duration::from_secs(90));
    let claim = next(&store).await;
    assert_eq!(claim.event.id, third, "the first has expired, and the second waits for a person");
    assert_eq!(store.release_held(|moment| moment == moment_of("github")).await, 1);
    store.settle(&claim, settlement(clock, &claim, 200, Next::Succeeded));
    let claim = next(&store).await;
    assert_eq!(claim.event.received.source_event_id.as_deref(), Some("e1"), "its old place");
    store.settle(&claim, settlement(clock, &claim, 200, Next::Succeeded));
    assert_eq!(next(&store).await.event.id, fourth);
    let rows = deliveries(&store).await;
    assert_eq!(rows.last().map(|row| row.state), Some(DeliveryState::Expired));
}
