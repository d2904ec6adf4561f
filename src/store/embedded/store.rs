//! The trait's verbs, each in one line: where it is done.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use super::Embedded;
use super::rejections::Answered;
use crate::domain::{
    DeliveryId, Event, EventId, PlannedDelivery, RejectionId, Seq, Settlement, Timestamp, Turn, Webhook, WebhookId,
};
use crate::store::{
    Admission, AdmitError, Admitted, AttemptRow, Claim, DedupMark, DeliveryFilter, DeliveryRow, EventFilter, EventRow,
    Health, KeptRequest, LaneState, MarkClaim, MarkClaimed, MovedEvent, MovedMark, MovedPage, Page, PageRequest,
    Paused, RejectedRequest, RejectionFilter, RejectionRow, Retention, Store, StoreError, StoreKeys, Swept,
    TargetSettings, TargetTotals, Totals, WebhooksChanged,
};

// === impl Store for Embedded ===

impl Store for Embedded {
    fn admit(&self, admission: Admission) -> impl Future<Output = Result<Admitted, AdmitError>> + Send {
        self.admit_event(admission)
    }

    fn next_event_id(&self, _mark: Option<&DedupMark>) -> EventId {
        self.mint.event(self.next_seq())
    }

    async fn claim_mark(&self, source: &Arc<str>, mark: DedupMark, lease: Duration) -> Result<MarkClaimed, AdmitError> {
        self.claim_one_mark(source, mark, lease).await
    }

    fn commit_mark(&self, claim: &MarkClaim) {
        self.commit_one_mark(claim);
    }

    fn release_mark(&self, claim: &MarkClaim) {
        self.release_one_mark(claim);
    }

    fn count_passed_on(&self, source: &Arc<str>, count: u64) {
        self.ledger.count(source, Answered::ByApp, count, self.clock.now());
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn take_turn(&self, _turn: Turn) -> Result<Duration, StoreError> {
        Err(StoreError::Unsupported("only a store that several gateways share counts for all of them"))
    }

    fn set_targets(&self, targets: &[TargetSettings]) {
        self.lanes.set_targets(targets);
    }

    fn set_target(&self, settings: &TargetSettings) {
        self.lanes.set_target(settings);
    }

    async fn claim(&self, target: &str, most: usize, lease: Duration) -> Result<Vec<Claim>, StoreError> {
        self.claim_due(target, most, lease).await
    }

    async fn due(&self, target: &str) {
        self.lanes.lane(target).due(&self.clock).await;
    }

    async fn stirred(&self) -> Vec<Arc<str>> {
        self.lanes.stirring().stirred().await
    }

    fn rest(&self, target: &str) {
        if let Some(lane) = self.lanes.get(target)
            && let Some(rest) = lane.rest()
        {
            rest.begin();
            lane.look();
        }
    }

    fn settle(&self, claim: &Claim, settlement: Settlement) {
        self.settle_claim(claim, settlement);
    }

    fn release(&self, claim: &Claim, due_at: Timestamp) {
        self.release_claim(claim, due_at);
    }

    async fn extend(&self, claim: &Claim, lease: Duration) -> bool {
        self.extend_claim(claim, lease)
    }

    fn hasten(&self, target: &str) {
        if let Some(lane) = self.lanes.get(target) {
            let now = self.clock.now();
            lane.with(|queue| queue.hasten(now));
            lane.notify();
        }
    }

    async fn redeliver(&self, id: DeliveryId) -> Result<(), StoreError> {
        self.redeliver_one(id).await
    }

    async fn redeliver_many(&self, ids: Vec<DeliveryId>) -> Vec<Result<(), StoreError>> {
        self.restart_many(ids).await
    }

    async fn cancel(&self, id: DeliveryId) -> Result<(), StoreError> {
        self.cancel_one(id).await
    }

    async fn cancel_all(&self, target: &str) -> Result<u64, StoreError> {
        self.cancel_waiting(target).await
    }

    async fn keep_pause(&self, what: &Paused, paused: bool) -> Result<(), StoreError> {
        self.write_pause(what, paused).await
    }

    async fn pauses(&self) -> Result<Vec<Paused>, StoreError> {
        self.read_pauses().await
    }

    async fn changed_pauses(&self) {
        // Nobody else works in the folder.
        std::future::pending().await
    }

    async fn release_held(&self, over: impl Fn(Timestamp) -> bool + Send) -> u64 {
        // Those of before the start too; where they cannot be read the store has closed itself.
        if self.wait_loaded().await.is_err() {
            return 0;
        }
        let now = self.clock.now();
        let release = |lane: &std::sync::Arc<super::lane::Lane>| {
            let released = lane.with(|queue| queue.release(&over, now));
            if released > 0 {
                lane.notify();
            }
            released
        };
        self.lanes.all().iter().map(release).sum()
    }

    async fn begin_request(&self, begun: KeptRequest) -> Result<Option<KeptRequest>, StoreError> {
        self.note_request(begun).await
    }

    async fn end_request(&self, name: [u8; 32], answer: Option<Bytes>) -> Result<(), StoreError> {
        self.note_answer(name, answer).await
    }

    fn next_webhook_id(&self) -> WebhookId {
        self.mint.webhook(self.next_seq())
    }

    async fn keep_webhook(&self, webhook: &Webhook, was: Option<&Webhook>) -> Result<(), StoreError> {
        self.write_webhook(webhook, was).await
    }

    async fn forget_webhook(&self, id: WebhookId) -> Result<(), StoreError> {
        self.write_webhook_gone(id).await
    }

    async fn webhooks(&self) -> Result<Vec<Webhook>, StoreError> {
        self.read_webhooks().await
    }

    async fn webhook(&self, id: WebhookId) -> Result<Option<Webhook>, StoreError> {
        self.read_webhook(id).await
    }

    async fn changed_webhooks(&self) -> WebhooksChanged {
        // Nobody else works in the folder.
        std::future::pending().await
    }

    async fn replay(&self, event: EventId, deliveries: Vec<PlannedDelivery>) -> Result<Vec<DeliveryId>, StoreError> {
        self.replay_event(event, deliveries).await
    }

    fn reject(&self, request: RejectedRequest) -> RejectionId {
        let seq = self.next_seq();
        self.ledger.note(seq, request);
        self.mint.rejection(seq)
    }

    async fn events(&self, filter: EventFilter, page: PageRequest) -> Result<Page<EventRow>, StoreError> {
        self.list_events(filter, page).await
    }

    async fn event(&self, id: EventId) -> Result<Arc<Event>, StoreError> {
        self.read_one_event(id).await
    }

    async fn deliveries(&self, filter: DeliveryFilter, page: PageRequest) -> Result<Page<DeliveryRow>, StoreError> {
        self.list_deliveries(filter, page).await
    }

    async fn delivery(&self, id: DeliveryId) -> Result<(DeliveryRow, Vec<AttemptRow>), StoreError> {
        self.read_one_delivery(id).await
    }

    async fn rejections(&self, filter: RejectionFilter, page: PageRequest) -> Result<Page<RejectionRow>, StoreError> {
        let (ledger, mint) = (Arc::clone(&self.ledger), self.mint.clone());
        let listed = tokio::task::spawn_blocking(move || ledger.list(&filter, page, &mint)).await;
        let listed = listed.map_err(|error| StoreError::Engine(error.to_string().into()))?;
        listed.map_err(|fault| StoreError::Engine(fault.to_string().into()))
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        self.add_up().await
    }

    async fn target_totals(&self, target: &str) -> Result<TargetTotals, StoreError> {
        self.add_up_target(target).await
    }

    async fn lane(&self, target: &str) -> Option<LaneState> {
        self.lanes.state(target)
    }

    async fn lanes(&self) -> Vec<LaneState> {
        self.lanes.states()
    }

    fn health(&self) -> Health {
        Health {
            reasons: self.gate.reasons(),
            bytes: self.bell.bytes.load(Ordering::Relaxed),
            damaged_records: self.gate.damaged_records.load(Ordering::Relaxed),
        }
    }

    async fn sweep(&self, retention: Retention) -> Result<Swept, StoreError> {
        self.sweep_step(retention).await
    }

    fn keys(&self) -> StoreKeys {
        *self.segments.keys()
    }

    async fn count_events(&self) -> Result<u64, StoreError> {
        self.count_all_events().await
    }

    async fn read_out(&self, after: Option<Seq>) -> Result<MovedPage, StoreError> {
        self.read_events_out(after).await
    }

    async fn read_marks(&self, from: Option<u64>) -> Result<(Vec<MovedMark>, Option<u64>), StoreError> {
        self.read_marks_out(from).await
    }

    async fn take_in(&self, events: Vec<MovedEvent>) -> Result<u64, StoreError> {
        self.take_events_in(events).await
    }

    async fn take_marks(&self, marks: Vec<MovedMark>) -> Result<(), StoreError> {
        self.take_marks_in(marks).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.close_whole().await
    }
}
