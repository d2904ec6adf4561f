//! What the store's tests are made of: a folder, a clock that stands still, events, attempts.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hookward::domain::{
    Attempt, Clock, HeaderBlock, HeaderBlockBuilder, NewEvent, Next, OutcomeClass, Plan, PlannedDelivery, Settlement,
    Timestamp,
};
use hookward::store::{
    Admission, Admitted, Claim, DedupMark, DeliveryRow, PageRequest, Store, StoreKeys, TargetSettings,
};
use http::Method;

/// 2026-01-01, so that nothing depends on today.
pub(super) const START: Timestamp = Timestamp(1_767_225_600_000);
pub(super) const LEASE: Duration = Duration::from_secs(30);
pub(super) const WINDOW: Duration = Duration::from_secs(96 * 3600);
pub(super) const FIRST_PAGE: PageRequest = PageRequest { limit: 100, after: None };

/// A folder and a clock; engines are opened in it again and again.
pub(super) trait Factory {
    type Engine: Store;
    fn open(&self) -> Self::Engine;
    /// The same, but a store that is made now has these keys.
    fn open_with(&self, keys: StoreKeys) -> Self::Engine;
    fn clock(&self) -> &Clock;
}

pub(super) fn event(clock: &Clock, id: &str) -> NewEvent {
    let headers = headers(&[("x-signature", b"sha256=abc"), ("x-twice", b"one"), ("x-twice", b"tw\xf6")]);
    NewEvent {
        source: "github".into(),
        source_event_id: Some(id.into()),
        event_type: Some("push.created".into()),
        project: "default".into(),
        received_at: clock.now(),
        method: Method::POST,
        query: Some("a=1&b=%20".into()),
        headers,
        body: body_of(id),
        signed_at: Some(clock.now().minus(Duration::from_secs(3))),
        secret_index: Some(1),
    }
}

fn headers(fields: &[(&str, &[u8])]) -> HeaderBlock {
    let mut block = HeaderBlockBuilder::default();
    for (name, value) in fields {
        assert!(block.try_add(name.as_bytes(), value));
    }
    block.finish()
}

/// A body that names its event, so that a wrong one is noticed.
pub(super) fn body_of(id: &str) -> Bytes {
    Bytes::from(format!("{{\"id\":\"{id}\",\"fill\":\"{}\"}}", id.repeat(20)))
}

pub(super) fn planned(target: &str) -> PlannedDelivery {
    PlannedDelivery {
        target: target.into(),
        route: 3,
        not_before: None,
        expires_at: None,
        order_key: Some("customer-1".into()),
        batch_key: None,
    }
}

pub(super) fn key_of(id: &str) -> [u8; 16] {
    let mut key = [0_u8; 16];
    for (at, byte) in id.bytes().enumerate() {
        key[at % 16] = key[at % 16].wrapping_mul(31).wrapping_add(byte);
    }
    key
}

pub(super) fn admission(clock: &Clock, id: &str, targets: &[&str]) -> Admission {
    Admission {
        id: None,
        event: event(clock, id),
        plan: Plan { deliveries: targets.iter().map(|target| planned(target)).collect() },
        dedup: Some(DedupMark { key: key_of(id), window: WINDOW }),
        also: None,
    }
}

/// The same, due at this time.
pub(super) fn not_before(mut admission: Admission, at: Timestamp) -> Admission {
    admission.plan.deliveries.iter_mut().for_each(|delivery| delivery.not_before = Some(at));
    admission
}

pub(super) async fn keep(store: &impl Store, clock: &Clock, id: &str, targets: &[&str]) -> hookward::domain::EventId {
    match store.admit(admission(clock, id, targets)).await {
        Ok(Admitted::Kept(id)) => id,
        other => panic!("{id} was not kept: {other:?}"),
    }
}

pub(super) fn targets(names: &[&str]) -> Vec<TargetSettings> {
    let settings = |name: &&str| TargetSettings {
        name: Arc::from(*name),
        queue_max: 1_000_000,
        paused: false,
        in_flight_max: None,
        ordered: false,
    };
    names.iter().map(settings).collect()
}

pub(super) fn settlement(clock: &Clock, claim: &Claim, status: u16, next: Next) -> Settlement {
    Settlement {
        attempt: Attempt {
            number: claim.attempt,
            started_at: clock.now(),
            duration: Duration::from_millis(12),
            outcome: if status < 300 { OutcomeClass::Succeeded } else { OutcomeClass::Status },
            status: Some(status),
            response_headers: headers(&[("server", b"test")]),
            response_body: Bytes::from(format!("answer {status}")),
            error: (status >= 300).then(|| "refused".into()),
        },
        next,
    }
}

pub(super) async fn claim(store: &impl Store, target: &str, most: usize) -> Vec<Claim> {
    store.claim(target, most, LEASE).await.unwrap()
}

pub(super) async fn claim_one(store: &impl Store, target: &str) -> Claim {
    let mut claims = claim(store, target, 1).await;
    assert_eq!(claims.len(), 1, "one delivery of {target} is due");
    claims.remove(0)
}

pub(super) async fn deliveries(store: &impl Store) -> Vec<DeliveryRow> {
    store.deliveries(Default::default(), FIRST_PAGE).await.unwrap().rows
}

/// Polls all of them in turns until each has answered.
pub(super) async fn futures<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut all: Vec<_> = all.map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(move |context| {
        for (one, answer) in all.iter_mut().filter(|(_, answer)| answer.is_none()) {
            if let std::task::Poll::Ready(ready) = one.as_mut().poll(context) {
                *answer = Some(ready);
            }
        }
        if all.iter().any(|(_, answer)| answer.is_none()) {
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(all.iter_mut().map(|(_, answer)| answer.take().unwrap()).collect())
    })
    .await
}
