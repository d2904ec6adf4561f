//! Webhooks in a store: kept, changed, forgotten; named when something is due; projects apart.

use std::time::Duration;

use hookward::domain::{
    DeliveryState, DisabledBy, Glob, Next, Sealed, SigningSecret, Timestamp, Webhook, WebhookState,
};
use hookward::store::embedded::Embedded;
use hookward::store::{DeliveryFilter, EventFilter, Retention, Store, StoreError, TargetSettings};

use super::embedded::Folder;
use super::world::*;

pub(super) fn webhook(store: &impl Store, project: &str) -> Webhook {
    Webhook {
        id: store.next_webhook_id(),
        project: project.into(),
        url: "https://customer.example/ä?x=1".into(),
        events: vec![Glob::new("payment.*"), Glob::new("*")],
        description: Some("main".into()),
        metadata: vec![("environment".into(), "production".into()), ("empty".into(), "".into())],
        header_names: vec!["Authorization".into()],
        sealed_headers: Sealed(vec![0, 1, 2, 255].into()),
        state: WebhookState::Disabled(DisabledBy::Failing),
        secrets: vec![
            SigningSecret { sealed: Sealed(vec![7; 40].into()), until: None },
            SigningSecret { sealed: Sealed(vec![8; 40].into()), until: Some(Timestamp(START.0 + 5)) },
        ],
        sealed_seed: Some(Sealed(vec![9; 50].into())),
        created_at: START,
        updated_at: Timestamp(START.0 + 1),
        failing_since: Some(Timestamp(START.0 + 2)),
    }
}

pub(super) async fn webhooks_are_kept_changed_and_forgotten(factory: &impl Factory) {
    let store = factory.open();
    assert_eq!(store.webhooks().await.unwrap(), []);
    let (mut one, two) = (webhook(&store, "a"), webhook(&store, "b"));
    let plain = Webhook {
        description: None,
        metadata: Vec::new(),
        header_names: Vec::new(),
        sealed_headers: Sealed::default(),
        state: WebhookState::Active,
        sealed_seed: None,
        failing_since: None,
        ..webhook(&store, "a")
    };
    for kept in [&one, &two, &plain] {
        store.keep_webhook(kept, None).await.unwrap();
    }
    assert_eq!(store.webhooks().await.unwrap(), [one.clone(), two.clone(), plain.clone()]);
    let was = one.clone();
    one.state = WebhookState::Paused;
    one.secrets.truncate(1);
    store.keep_webhook(&one, Some(&was)).await.unwrap();
    store.forget_webhook(two.id).await.unwrap();
    assert_eq!(store.webhooks().await.unwrap(), [one.clone(), plain.clone()]);
    drop(store);
    let store = factory.open();
    assert_eq!(store.webhooks().await.unwrap(), [one, plain.clone()]);
    let next = store.next_webhook_id();
    assert!([was.id, two.id, plain.id].iter().all(|id| *id != next), "ids are not given again");
}

pub(super) async fn a_change_of_what_has_changed_meanwhile_is_refused(factory: &impl Factory) {
    let store = factory.open();
    let first = webhook(&store, "a");
    let second = Webhook { url: "https://elsewhere.example/".into(), ..first.clone() };
    let third = Webhook { state: WebhookState::Active, ..first.clone() };
    store.keep_webhook(&first, None).await.unwrap();
    store.keep_webhook(&second, Some(&first)).await.unwrap();
    for was in [Some(&first), None] {
        let refused = store.keep_webhook(&third, was).await.unwrap_err();
        assert!(matches!(refused, StoreError::Conflict(_)), "{refused}");
    }
    assert_eq!(store.webhook(first.id).await.unwrap().as_ref(), Some(&second));
    store.forget_webhook(first.id).await.unwrap();
    assert_eq!(store.webhook(first.id).await.unwrap(), None);
    let refused = store.keep_webhook(&third, Some(&second)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Conflict(_)), "one that is gone does not come back: {refused}");
}

pub(super) async fn webhooks_are_named_when_something_is_due(factory: &impl Factory) {
    let (store, clock) = (factory.open(), factory.clock());
    let id = store.next_webhook_id();
    let target = id.to_string();
    // Whoever waits hears of it, and only once.
    let to = [target.as_str()];
    let (named, _) = tokio::join!(store.stirred(), keep(&store, clock, "e1", &to));
    assert_eq!(named.iter().map(|name| &**name).collect::<Vec<_>>(), [&*target]);
    keep(&store, clock, "e2", &[&target]).await;
    assert!(nobody_stirs(&store).await, "it is ours until it is given back");
    let first = claim_one(&store, &target).await;
    store.rest(&target);
    assert_eq!(store.stirred().await.len(), 1, "the second is due still");
    let second = claim_one(&store, &target).await;
    let later = clock.now().plus(Duration::from_secs(3600));
    store.settle(&first, settlement(clock, &first, 200, Next::Succeeded));
    store.settle(&second, settlement(clock, &second, 500, Next::RetryAt(later)));
    store.rest(&target);
    assert!(nobody_stirs(&store).await, "nothing is due");
    clock.advance(Duration::from_secs(3600));
    assert_eq!(store.stirred().await.len(), 1);
    // Paused ones are not named, and are as soon as they are not paused any more.
    let settings = |paused| TargetSettings {
        name: target.as_str().into(),
        queue_max: 10,
        paused,
        in_flight_max: None,
        ordered: false,
    };
    store.set_target(&settings(true));
    store.rest(&target);
    assert!(nobody_stirs(&store).await);
    assert_eq!(deliveries(&store).await[0].state, DeliveryState::Held);
    store.set_target(&settings(false));
    assert_eq!(store.stirred().await.len(), 1);
    // Destinations do not make webhooks' deliveries held, and are never named.
    store.set_targets(&targets(&["crm"]));
    keep(&store, clock, "e3", &["crm"]).await;
    assert_eq!(claim(&store, &target, 10).await.len(), 1);
    assert!(nobody_stirs(&store).await);
    drop(store);
    let store = factory.open();
    assert_eq!(store.stirred().await.len(), 1, "a start names what is due");
}

async fn nobody_stirs(store: &impl Store) -> bool {
    tokio::time::timeout(Duration::from_millis(20), store.stirred()).await.is_err()
}

pub(super) async fn everything_of_a_target_is_cancelled_at_once(factory: &impl Factory) {
    let (store, clock) = (factory.open(), factory.clock());
    let target = store.next_webhook_id().to_string();
    for number in 0..5 {
        keep(&store, clock, &format!("e{number}"), &[&target, "crm"]).await;
    }
    let flying = claim_one(&store, &target).await;
    assert_eq!(store.cancel_all(&target).await.unwrap(), 4);
    assert_eq!(store.cancel_all("nobody").await.unwrap(), 0);
    store.settle(&flying, settlement(clock, &flying, 200, Next::Succeeded));
    drop(store);
    let store = factory.open();
    assert!(claim(&store, &target, 10).await.is_empty());
    let of = |state| DeliveryFilter { target: Some(target.as_str().into()), state: Some(state), ..Default::default() };
    let count = async |filter| store.deliveries(filter, FIRST_PAGE).await.unwrap().rows.len();
    assert_eq!((count(of(DeliveryState::Cancelled)).await, count(of(DeliveryState::Succeeded)).await), (4, 1));
    let totals = store.target_totals(&target).await.unwrap();
    assert_eq!((totals.cancelled, totals.succeeded, totals.attempts), (4, 1, 1));
    assert_eq!(store.target_totals("nobody").await.unwrap(), Default::default());
}

pub(super) async fn lists_keep_projects_apart(factory: &impl Factory) {
    let (store, clock) = (factory.open(), factory.clock());
    store.set_targets(&targets(&["crm"]));
    for number in 0..60 {
        let mut admission = admission(clock, &format!("e{number}"), &["crm"]);
        admission.event.project = ["default", "one", "two"][number % 3].into();
        store.admit(admission).await.unwrap();
        clock.advance(Duration::from_millis(5));
    }
    for claim in claim(&store, "crm", 30).await {
        store.settle(&claim, settlement(clock, &claim, 200, Next::Succeeded));
    }
    for project in ["default", "one", "two"] {
        let events = EventFilter { project: Some(project.into()), ..EventFilter::default() };
        let rows = store.events(events, FIRST_PAGE).await.unwrap().rows;
        assert!(rows.len() == 20 && rows.iter().all(|row| &*row.project == project), "{rows:?}");
        let all = DeliveryFilter { project: Some(project.into()), ..DeliveryFilter::default() };
        for (state, count) in [(None, 20), (Some(DeliveryState::Succeeded), 10), (Some(DeliveryState::Pending), 10)] {
            let rows = store.deliveries(DeliveryFilter { state, ..all.clone() }, FIRST_PAGE).await.unwrap().rows;
            assert!(rows.len() == count && rows.iter().all(|row| &*row.project == project), "{rows:?}");
        }
    }
    let nobody = EventFilter { project: Some("three".into()), ..EventFilter::default() };
    assert!(store.events(nobody, FIRST_PAGE).await.unwrap().rows.is_empty());
    assert_eq!(store.events(EventFilter::default(), FIRST_PAGE).await.unwrap().rows.len(), 60);
}

pub(super) async fn an_event_is_admitted_under_an_id_that_was_given_before(factory: &impl Factory) {
    let (store, clock) = (factory.open(), factory.clock());
    let mark = admission(clock, "e1", &[]).dedup;
    let id = store.next_event_id(mark.as_ref());
    keep(&store, clock, "between", &["crm"]).await;
    let admitted = store.admit(hookward::store::Admission { id: Some(id), ..admission(clock, "e1", &["crm"]) }).await;
    assert_eq!(admitted.unwrap(), hookward::store::Admitted::Kept(id));
    assert_eq!(store.event(id).await.unwrap().received.body, body_of("e1"));
    assert_eq!(deliveries(&store).await.len(), 2);
}

/// Webhooks outlive the segments that they were written in, and a deleted one does not come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_carries_webhooks_and_brings_none_back() {
    const DAY: Duration = Duration::from_secs(86_400);
    let folder = Folder::new();
    let store = Embedded::open(folder.config()).unwrap();
    store.set_targets(&targets(&["crm"]));
    let (stays, goes) = (webhook(&store, "a"), webhook(&store, "b"));
    store.keep_webhook(&stays, None).await.unwrap();
    store.keep_webhook(&goes, None).await.unwrap();
    let limits = Retention { events: DAY * 3, rejections: DAY * 3, bytes_max: None };
    let mut removed = 0;
    for round in 0..6 {
        if round == 2 {
            store.forget_webhook(goes.id).await.unwrap();
        }
        keep(&store, &folder.clock, &format!("e{round}"), &["crm"]).await;
        let claim = claim_one(&store, "crm").await;
        store.settle(&claim, settlement(&folder.clock, &claim, 200, Next::Succeeded));
        for _ in 0..20 {
            removed += store.sweep(limits).await.unwrap().bytes;
        }
        folder.clock.advance(DAY * 2);
    }
    assert!(removed > 0, "segments went");
    assert_eq!(store.webhooks().await.unwrap(), std::slice::from_ref(&stays));
    drop(store);
    // Also where the index has to be built from what is left of the journal.
    std::fs::remove_file(folder.path.path().join("index.db")).unwrap();
    let store = Embedded::open(folder.config()).unwrap();
    assert_eq!(store.webhooks().await.unwrap(), [stays]);
    assert_eq!(store.health().damaged_records, 0);
}
