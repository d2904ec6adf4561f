//! What every engine promises, as tests over a factory of engines.

use std::time::Duration;

use hookward::domain::{DeadReason, DeliveryState, Next, Timestamp};
use hookward::store::{Admitted, DeliveryFilter, EventFilter, PageRequest, Store, StoreError};

pub(super) use super::edits::*;
pub(super) use super::marks::*;
pub(super) use super::order::*;
pub(super) use super::requests::*;
pub(super) use super::totals::totals_count_everything_for_good;
pub(super) use super::webhooks::*;
use super::world::*;

/// What every engine does; `@sharded`: what one does whose queues lie in several shards.
macro_rules! suite {
    ($factory:expr) => {
        mod conforms {
            $crate::store::suite::suite!(@sharded $factory);
            $crate::store::suite::suite!(@tests $factory;
                a_late_outcome_counts_until_somebody_else_claims
                a_full_queue_makes_dead_letters
                due_wakes_up
                ordered_deliveries_go_one_after_the_other
                a_lease_that_ends_and_a_crash_keep_the_order
                what_starts_again_takes_its_old_place_in_line
                an_order_may_begin_and_end_while_deliveries_wait
                a_delayed_delivery_holds_the_line_and_one_of_a_paused_source_stands_aside
            );
        }
    };
    (@sharded $factory:expr) => {
        $crate::store::suite::suite!(@tests $factory;
            an_event_comes_back_byte_for_byte
            deliveries_are_attempted_until_they_succeed
            what_is_open_survives_a_reopening
            a_copy_is_a_duplicate_also_after_a_reopening
            a_copy_waits_for_the_first_ones_commit
            a_mark_counts_within_its_window_only
            a_claimed_mark_is_in_flight_then_committed_or_free
            a_committed_mark_survives_a_reopening_and_a_claim_does_not
            a_claim_ends_with_its_lease
            marks_of_kept_and_passed_events_are_the_same_marks
            a_duplicate_starts_dead_deliveries_again
            leases_that_end_give_the_delivery_back
            a_released_claim_counts_no_attempt
            unknown_and_paused_targets_are_held
            delayed_and_expiring_deliveries_keep_their_times
            hastened_deliveries_are_due_now
            redeliver_cancel_and_replay
            many_are_redelivered_at_once_each_by_its_own_state
            either_of_two_marks_makes_a_duplicate_for_good
            pauses_are_kept_and_what_waits_for_a_source_is_released
            foreign_ids_are_not_found
            lists_page_and_filter
            rejections_are_kept_and_bounded
            totals_count_everything_for_good
            everything_of_a_target_is_cancelled_at_once
            lists_keep_projects_apart
            an_event_is_admitted_under_an_id_that_was_given_before
            webhooks_are_kept_changed_and_forgotten
            webhooks_are_named_when_something_is_due
            a_change_of_what_has_changed_meanwhile_is_refused
            requests_under_a_key_are_known_for_good
            a_closed_store_takes_nothing
        );
    };
    (@tests $factory:expr; $($name:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            $crate::store::suite::$name(&$factory).await;
        }
    )*};
}
pub(super) use suite;

pub(super) async fn an_event_comes_back_byte_for_byte(factory: &impl Factory) {
    let store = factory.open();
    let sent = event(factory.clock(), "e1");
    let id = keep(&store, factory.clock(), "e1", &["crm"]).await;
    let check = |got: &hookward::domain::NewEvent| {
        assert_eq!(got.body, sent.body);
        assert_eq!(got.headers, sent.headers);
        assert_eq!((&got.method, &got.query), (&sent.method, &sent.query));
        assert_eq!((&got.source, &got.source_event_id), (&sent.source, &sent.source_event_id));
        assert_eq!((&got.event_type, &got.project), (&sent.event_type, &sent.project));
        assert_eq!((got.received_at, got.secret_index), (sent.received_at, sent.secret_index));
    };
    check(&store.event(id).await.unwrap().received);
    drop(store);
    let store = factory.open();
    store.set_targets(&targets(&["crm"]));
    check(&store.event(id).await.unwrap().received);
    let claim = claim_one(&store, "crm").await;
    check(&claim.event.received);
    assert_eq!(claim.event.id, id);
}

pub(super) async fn deliveries_are_attempted_until_they_succeed(factory: &impl Factory) {
    let (store, clock) = (factory.open(), factory.clock());
    store.set_targets(&targets(&["crm", "log"]));
    keep(&store, clock, "e1", &["crm", "log"]).await;
    let first = claim_one(&store, "crm").await;
    assert_eq!((first.attempt, first.due_at), (1, clock.now()));
    assert!(claim(&store, "crm", 10).await.is_empty(), "claimed once only");
    let later = clock.now().plus(Duration::from_secs(60));
    store.settle(&first, settlement(clock, &first, 500, Next::RetryAt(later)));
    assert!(claim(&store, "crm", 10).await.is_empty(), "not due yet");
    clock.advance(Duration::from_secs(60));
    let second = claim_one(&store, "crm").await;
    assert_eq!((second.attempt, second.due_at), (2, later));
    store.settle(&second, settlement(clock, &second, 200, Next::Succeeded));
    let log = claim_one(&store, "log").await;
    store.settle(&log, settlement(clock, &log, 410, Next::Dead(DeadReason::Refused)));

    let (row, attempts) = store.delivery(first.id).await.unwrap();
    assert_eq!((row.state, row.attempts, row.response_code), (DeliveryState::Succeeded, 2, Some(200)));
    assert_eq!(row.next_attempt_at, None);
    let seen: Vec<_> =
        attempts.iter().map(|attempt| (attempt.number, attempt.status, attempt.error.as_deref())).collect();
    assert_eq!(seen, [(1, Some(500), Some("refused")), (2, Some(200), None)]);
    assert_eq!(attempts[1].response_body, "answer 200");
    assert_eq!(attempts[1].response_headers, [("server".into(), "test".into())]);
    let (row, _) = store.delivery(log.id).await.unwrap();
    assert_eq!((row.state, row.dead_reason), (DeliveryState::Dead, Some(DeadReason::Refused)));
    store.close().await.unwrap();
}

pub(super) async fn what_is_open_survives_a_reopening(factory: &impl Factory) {
    let clock = factory.clock();
    let store = factory.open();
    store.set_targets(&targets(&["crm"]));
    for number in 0..50 {
        keep(&store, clock, &format!("e{number}"), &["crm"]).await;
    }
    let claims = claim(&store, "crm", 30).await;
    for claim in &claims[..10] {
        store.settle(claim, settlement(clock, claim, 200, Next::Succeeded));
    }
    let later = clock.now().plus(Duration::from_secs(5));
    store.settle(&claims[10], settlement(clock, &claims[10], 500, Next::RetryAt(later)));
    drop(store);

    for round in 0..3 {
        let store = factory.open();
        store.set_targets(&targets(&["crm"]));
        let claims = claim(&store, "crm", 100).await;
        assert_eq!(claims.len(), 39, "round {round}: what was in flight or waiting is due again");
        assert!(claims.is_sorted_by_key(|claim| claim.id), "oldest first");
        for claim in claims {
            let id = claim.event.received.source_event_id.clone().unwrap();
            assert_eq!(claim.event.received.body, body_of(&id));
        }
        assert_eq!(store.health().damaged_records, 0);
        if round == 2 {
            clock.advance(Duration::from_secs(5));
            assert_eq!(claim_one(&store, "crm").await.attempt, 2);
        }
    }
}

pub(super) async fn a_duplicate_starts_dead_deliveries_again(factory: &impl Factory) {
    let (store, clock) = (factory.open(), factory.clock());
    store.set_targets(&targets(&["crm", "log"]));
    keep(&store, clock, "e1", &["crm", "log"]).await;
    let (crm, log) = (claim_one(&store, "crm").await, claim_one(&store, "log").await);
    store.settle(&crm, settlement(clock, &crm, 500, Next::Dead(DeadReason::Exhausted)));
    store.settle(&log, settlement(clock, &log, 200, Next::Succeeded));
    for indexed in [false, true] {
        if indexed {
            deliveries(&store).await;
        }
        let copy = store.admit(admission(clock, "e1", &["crm", "log"])).await.unwrap();
        assert!(matches!(copy, Admitted::Duplicate(_)));
        let again = claim_one(&store, "crm").await;
        assert_eq!(again.id, crm.id);
        assert!(claim(&store, "log", 1).await.is_empty(), "what succeeded stays so");
        store.settle(&again, settlement(clock, &again, 500, Next::Dead(DeadReason::Exhausted)));
    }
    store.admit(admission(clock, "e1", &["crm", "log"])).await.unwrap();
    drop(store);
    let store = factory.open();
    store.set_targets(&targets(&["crm", "log"]));
    assert_eq!(claim_one(&store, "crm").await.id, crm.id, "the new start was durable");
}

pub(super) async fn leases_that_end_give_the_delivery_back(factory: &impl Factory) {
    let (store, clock) = (factory.open(), factory.clock());
    store.set_targets(&targets(&["crm"]));
    keep(&store, clock, "e1", &["crm"]).await;
    let first = claim_one(&store, "crm").await;
    clock.advance(LEASE - Duration::from_millis(1));
    assert!(claim(&store, "crm", 1).await.is_empty());
    assert!(store.extend(&first, LEASE).await);
    clock.advance(LEASE - Duration::from_millis(1));
    assert!(claim(&store, "crm", 1).await.is_empty(), "the lease was lengthened");
    clock.advance(Duration::from_millis(1));
    store.due("crm").await;
    let second = claim_one(&store, "crm").await;
    assert_eq!((second.id, second.attempt), (first.id, 1));
    assert!(!store.extend(&first, LEASE).await, "an old lease cannot be lengthened");
    store.settle(&first, settlement(clock, &first, 200, Next::Succeeded));
    let (row, _) = store.delivery(first.id).await.unwrap();
    assert_eq!(row.state, DeliveryState::InFlight, "the older claim was ignored");
    store.settle(&second, settlement(clock, &second, 200, Next::Succeeded));
    assert_eq!(store.delivery(first.id).await.unwrap().0.state, DeliveryState::Succeeded);
}

pub(super) async fn a_late_outcome_counts_until_somebody_else_claims(factory: &impl Factory) {
    let (store, clock) = (factory.open(), factory.clock());
    store.set_targets(&targets(&["crm"]));
    keep(&store, clock, "e1", &["crm"]).await;
    keep(&store, clock, "e2", &["crm"]).await;
    let first = claim_one(&store, "crm").await;
    clock.advance(LEASE);
    let other = claim(&store, "crm", 1).await;
    assert_eq!(other[0].id, first.id, "the one that came back is the oldest");
    clock.advance(LEASE);
    store.due("crm").await;
    store.settle(&other[0], settlement(clock, &other[0], 200, Next::Succeeded));
    let left = claim(&store, "crm", 10).await;
    assert_eq!(left.len(), 1);
    assert_ne!(left[0].id, first.id, "the late outcome was taken");
}

pub(super) async fn a_released_claim_counts_no_attempt(factory: &impl Factory) {
    let (store, clock) = (factory.open(), factory.clock());
    store.set_targets(&targets(&["crm"]));
    keep(&store, clock, "e1", &["crm"]).await;
    let first = claim_one(&store, "crm").await;
    store.release(&first, clock.now().plus(Duration::from_secs(1)));
    assert!(claim(&store, "crm", 1).await.is_empty());
    clock.advance(Duration::from_secs(1));
    assert_eq!(claim_one(&store, "crm").await.attempt, 1);
}

pub(super) async fn unknown_and_paused_targets_are_held(factory: &impl Factory) {
    let (store, clock) = (factory.open(), factory.clock());
    let mut settings = targets(&["crm", "log"]);
    settings[1].paused = true;
    store.set_targets(&settings);
    keep(&store, clock, "e1", &["crm", "log", "gone"]).await;
    assert!(claim(&store, "log", 1).await.is_empty());
    assert!(claim(&store, "gone", 1).await.is_empty());
    let states: Vec<_> = deliveries(&store).await.into_iter().map(|row| (row.target.to_string(), row.state)).collect();
    let expected = [("gone", DeliveryState::Held), ("log", DeliveryState::Held), ("crm", DeliveryState::Pending)];
    assert_eq!(states, expected.map(|(name, state)| (name.to_owned(), state)));
    let held = DeliveryFilter { state: Some(DeliveryState::Held), ..Default::default() };
    assert_eq!(store.deliveries(held, FIRST_PAGE).await.unwrap().rows.len(), 2);
    let lanes: Vec<_> =
        store.lanes().await.into_iter().map(|lane| (lane.target.to_string(), lane.pending, lane.held)).collect();
    assert_eq!(lanes, [("crm".into(), 1, 0), ("gone".into(), 0, 1), ("log".into(), 0, 1)]);
    store.set_targets(&targets(&["log", "gone"]));
    assert_eq!(claim(&store, "log", 1).await.len(), 1);
    assert_eq!(claim(&store, "gone", 1).await.len(), 1);
    assert!(claim(&store, "crm", 1).await.is_empty(), "its name is gone now");
}

pub(super) async fn a_full_queue_makes_dead_letters(factory: &impl Factory) {
    let (store, clock) = (factory.open(), factory.clock());
    let mut settings = targets(&["crm", "log"]);
    settings[0].queue_max = 2;
    store.set_targets(&settings);
    for number in 0..4 {
        keep(&store, clock, &format!("e{number}"), &["crm", "log"]).await;
    }
    let dead = DeliveryFilter { state: Some(DeliveryState::Dead), ..Default::default() };
    let rows = store.deliveries(dead, FIRST_PAGE).await.unwrap().rows;
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| &*row.target == "crm" && row.dead_reason == Some(DeadReason::QueueFull)));
    assert_eq!(claim(&store, "log", 10).await.len(), 4, "nobody else is hurt");
    // What is in flight keeps its place: it may come back.
    assert_eq!(claim(&store, "crm", 10).await.len(), 2);
    store.redeliver(rows[0].id).await.unwrap();
    assert_eq!(claim_one(&store, "crm").await.id, rows[0].id);
}

pub(super) async fn delayed_and_expiring_deliveries_keep_their_times(factory: &impl Factory) {
    let (store, clock) = (factory.open(), factory.clock());
    let now = clock.now();
    let mut delayed = admission(clock, "e1", &["crm", "crm2"]);
    delayed.plan.deliveries[0].not_before = Some(now.plus(Duration::from_secs(10)));
    delayed.plan.deliveries[1].expires_at = Some(now.plus(Duration::from_secs(10)));
    store.admit(delayed).await.unwrap();
    drop(store);
    let store = factory.open();
    store.set_targets(&targets(&["crm", "crm2"]));
    assert!(claim(&store, "crm", 1).await.is_empty());
    clock.advance(Duration::from_secs(10));
    assert_eq!(claim_one(&store, "crm").await.due_at, now.plus(Duration::from_secs(10)));
    assert!(claim(&store, "crm2", 1).await.is_empty(), "it came too late");
    // A retry that lies behind the end does not keep the event open until then.
    let mut failing = admission(clock, "e2", &["crm2"]);
    failing.plan.deliveries[0].expires_at = Some(clock.now().plus(Duration::from_secs(10)));
    store.admit(failing).await.unwrap();
    let first = claim_one(&store, "crm2").await;
    let later = clock.now().plus(Duration::from_secs(3600));
    store.settle(&first, settlement(clock, &first, 500, Next::RetryAt(later)));
    clock.advance(Duration::from_secs(10));
    store.due("crm2").await;
    assert!(claim(&store, "crm2", 1).await.is_empty());
    assert_eq!(store.delivery(first.id).await.unwrap().0.state, DeliveryState::Expired);
    let expired = DeliveryFilter { state: Some(DeliveryState::Expired), ..Default::default() };
    assert_eq!(store.deliveries(expired, FIRST_PAGE).await.unwrap().rows.len(), 2);
}

pub(super) async fn hastened_deliveries_are_due_now(factory: &impl Factory) {
    let (store, clock) = (factory.open(), factory.clock());
    store.set_targets(&targets(&["crm"]));
    keep(&store, clock, "e1", &["crm"]).await;
    keep(&store, clock, "e2", &["crm"]).await;
    let claims = claim(&store, "crm", 2).await;
    let later = clock.now().plus(Duration::from_secs(3600));
    store.settle(&claims[0], settlement(clock, &claims[0], 500, Next::RetryAt(later)));
    store.hasten("crm");
    let again = claim(&store, "crm", 2).await;
    assert_eq!(again.len(), 1, "what is in flight stays so");
    assert_eq!((again[0].id, again[0].attempt), (claims[0].id, 2));
}

pub(super) async fn foreign_ids_are_not_found(factory: &impl Factory) {
    let (store, clock) = (factory.open(), factory.clock());
    let event = keep(&store, clock, "e1", &["crm"]).await;
    let forged = hookward::domain::EventId::from_u128(event.as_u128() ^ 1);
    assert!(matches!(store.event(forged).await, Err(StoreError::NotFound)));
    assert!(matches!(store.replay(forged, vec![planned("crm")]).await, Err(StoreError::NotFound)));
    let delivery = deliveries(&store).await[0].id;
    let forged = hookward::domain::DeliveryId::from_u128(delivery.as_u128() ^ 1);
    assert!(matches!(store.delivery(forged).await, Err(StoreError::NotFound)));
    assert!(matches!(store.redeliver(forged).await, Err(StoreError::NotFound)));
    assert!(matches!(store.cancel(forged).await, Err(StoreError::NotFound)));
}

pub(super) async fn lists_page_and_filter(factory: &impl Factory) {
    let (store, clock) = (factory.open(), factory.clock());
    store.set_targets(&targets(&["crm", "log"]));
    for number in 0..120 {
        let mut admission = admission(clock, &format!("e{number}"), &["crm", "log"]);
        admission.event.source = if number % 3 == 0 { "stripe".into() } else { "github".into() };
        admission.event.event_type = (number % 2 == 0).then(|| "even".into());
        store.admit(admission).await.unwrap();
        clock.advance(Duration::from_millis(10));
    }
    let mut seen = Vec::new();
    let mut page = PageRequest { limit: 7, after: None };
    loop {
        let found = store.deliveries(Default::default(), page).await.unwrap();
        seen.extend(found.rows.iter().map(|row| (row.id.seq(), row.id.ordinal())));
        page.after = seen.last().copied();
        if !found.has_more {
            break;
        }
    }
    assert_eq!(seen.len(), 240);
    assert!(seen.is_sorted_by(|left, right| left > right), "newest first, each once");

    let count = async |filter: EventFilter| store.events(filter, FIRST_PAGE).await.unwrap().rows.len();
    let source = |name: &str| EventFilter { source: Some(name.into()), ..Default::default() };
    assert_eq!(count(source("stripe")).await, 40);
    assert_eq!(count(source("nobody")).await, 0);
    assert_eq!(count(EventFilter { event_type: Some("even".into()), ..source("stripe") }).await, 20);
    let by_id = EventFilter { source_event_id: Some("e77".into()), ..Default::default() };
    assert_eq!(store.events(by_id, FIRST_PAGE).await.unwrap().rows[0].source_event_id.as_deref(), Some("e77"));
    let from = Timestamp(START.0 + 1000);
    let to = Timestamp(START.0 + 1100);
    let between = EventFilter { created_gte: Some(from), created_lte: Some(to), ..Default::default() };
    assert_eq!(count(between).await, 11, "both ends included");

    for claim in claim(&store, "crm", 30).await {
        store.settle(&claim, settlement(clock, &claim, 200, Next::Succeeded));
    }
    let flying = claim(&store, "crm", 5).await.len();
    let all = DeliveryFilter { target: Some("crm".into()), ..Default::default() };
    let state = |state| DeliveryFilter { state: Some(state), ..all.clone() };
    let count = async |filter: DeliveryFilter| store.deliveries(filter, FIRST_PAGE).await.unwrap().rows.len();
    assert_eq!(count(state(DeliveryState::Succeeded)).await, 30);
    assert_eq!(count(state(DeliveryState::InFlight)).await, flying);
    assert_eq!(count(state(DeliveryState::Pending)).await, 85);
    assert_eq!(count(state(DeliveryState::Dead)).await, 0);
    assert_eq!(count(DeliveryFilter { event_type: Some("even".into()), ..all.clone() }).await, 60);
    let of = |source: &str| DeliveryFilter { source: Some(source.into()), ..Default::default() };
    assert_eq!(count(of("stripe")).await, 80);
    assert_eq!(count(of("nobody")).await, 0);
    let stripe = DeliveryFilter { source: Some("stripe".into()), ..all.clone() };
    assert_eq!(count(DeliveryFilter { event_type: Some("even".into()), ..stripe.clone() }).await, 20);
    assert_eq!(count(DeliveryFilter { state: Some(DeliveryState::Succeeded), ..stripe.clone() }).await, 10);
    assert_eq!(count(DeliveryFilter { state: Some(DeliveryState::Pending), ..stripe }).await, 40 - 10 - 2);
    let one = deliveries(&store).await[0].event;
    assert_eq!(count(DeliveryFilter { event: Some(one), ..Default::default() }).await, 2);
}

pub(super) async fn due_wakes_up(factory: &impl Factory) {
    let (store, clock) = (factory.open(), factory.clock());
    store.set_targets(&targets(&["crm"]));
    let waited = tokio::join!(store.due("crm"), keep(&store, clock, "e1", &["crm"]));
    assert_eq!(waited.0, ());
    let claim = claim_one(&store, "crm").await;
    let later = clock.now().plus(Duration::from_secs(60));
    store.settle(&claim, settlement(clock, &claim, 500, Next::RetryAt(later)));
    let early = tokio::time::timeout(Duration::from_millis(20), store.due("crm")).await;
    assert!(early.is_err(), "nothing is due");
    clock.advance(Duration::from_secs(60));
    store.due("crm").await;
}

pub(super) async fn rejections_are_kept_and_bounded(factory: &impl Factory) {
    let (store, clock) = (factory.open(), factory.clock());
    let request = |number: usize| hookward::store::RejectedRequest {
        rejection: hookward::domain::Rejection::new(hookward::domain::Reason::SignatureMismatch, "no secret fits"),
        source: Some("github".into()),
        at: clock.now(),
        client: Some([127, 0, 0, 1].into()),
        request_line: format!("POST /hook?{number}").into(),
        headers: "host: x".into(),
        body: body_of("r"),
    };
    let ids: Vec<_> = (0..30).map(|number| store.reject(request(number))).collect();
    let page = store.rejections(Default::default(), PageRequest { limit: 20, after: None }).await.unwrap();
    assert!(page.has_more);
    assert_eq!(page.rows[0].id, ids[29]);
    assert_eq!((&*page.rows[0].request_line, page.rows[0].client.as_deref()), ("POST /hook?29", Some("127.0.0.1")));
    for number in 0..20_000 {
        store.reject(request(number));
    }
    store.close().await.unwrap();
    drop(store);
    let store = factory.open();
    assert!(store.rejections(Default::default(), FIRST_PAGE).await.unwrap().has_more);
}

pub(super) async fn a_closed_store_takes_nothing(factory: &impl Factory) {
    let (store, clock) = (factory.open(), factory.clock());
    store.set_targets(&targets(&["crm"]));
    keep(&store, clock, "e1", &["crm"]).await;
    let claim = claim_one(&store, "crm").await;
    store.settle(&claim, settlement(clock, &claim, 200, Next::Succeeded));
    store.close().await.unwrap();
    assert!(store.admit(admission(clock, "e2", &["crm"])).await.is_err());
    assert!(!store.health().reasons.is_empty());
    let store = factory.open();
    let rows = deliveries(&store).await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].state, DeliveryState::Succeeded, "the last outcome was written");
}
