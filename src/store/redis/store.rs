//! The trait's verbs, each in one line: where it is done.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use super::Redis;
use crate::domain::{
    DeliveryId, Event, EventId, PlannedDelivery, RejectionId, Seq, Settlement, Timestamp, Turn, Webhook, WebhookId,
};
use crate::store::{
    Admission, AdmitError, Admitted, AttemptRow, Claim, DedupMark, DeliveryFilter, DeliveryRow, EventFilter, EventRow,
    Health, KeptRequest, LaneState, MarkClaim, MarkClaimed, MovedEvent, MovedMark, MovedPage, Page, PageRequest,
    Paused, RejectedRequest, RejectionFilter, RejectionRow, Retention, Store, StoreError, StoreKeys, Swept,
    TargetSettings, TargetTotals, Totals, WebhooksChanged,
};

// === impl Store for Redis ===

impl Store for Redis {
    async fn admit(&self, admission: Admission) -> Result<Admitted, AdmitError> {
        self.admit_event(admission).await
    }

    fn next_event_id(&self, mark: Option<&DedupMark>) -> EventId {
        // Event and mark go into one script, and so into one shard.
        let shard = mark.map_or_else(|| self.shared.next_shard(), |mark| self.shared.shard_of_mark(&mark.key));
        self.shared.mint.event(self.shared.sequence.next(&self.shared.clock, shard))
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
        self.shared.ledger.count_passed_on(source, count);
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn take_turn(&self, turn: Turn) -> Result<Duration, StoreError> {
        self.take_one_turn(turn).await
    }

    fn set_targets(&self, targets: &[TargetSettings]) {
        self.shared.lanes.set_targets(targets);
    }

    fn set_target(&self, settings: &TargetSettings) {
        self.shared.lanes.set_target(settings);
    }

    async fn claim(&self, target: &str, most: usize, lease: Duration) -> Result<Vec<Claim>, StoreError> {
        self.claim_due(target, most, lease).await
    }

    async fn due(&self, target: &str) {
        self.shared.lanes.lane(target).due(&self.shared.clock, |shard| self.shared.links.of(shard).is_up()).await;
    }

    async fn stirred(&self) -> Vec<Arc<str>> {
        self.shared.lanes.stirring().stirred().await
    }

    fn rest(&self, target: &str) {
        self.shared.lanes.lane(target).rest();
    }

    fn settle(&self, claim: &Claim, settlement: Settlement) {
        self.settle_claim(claim, settlement);
    }

    fn release(&self, claim: &Claim, due_at: Timestamp) {
        self.release_claim(claim, due_at);
    }

    async fn extend(&self, claim: &Claim, lease: Duration) -> bool {
        self.extend_claim(claim, lease).await
    }

    fn hasten(&self, target: &str) {
        self.hasten_target(target);
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
        self.await_changed_pauses().await;
    }

    async fn release_held(&self, over: impl Fn(Timestamp) -> bool + Send) -> u64 {
        self.release_what_waits(over).await
    }

    async fn begin_request(&self, begun: KeptRequest) -> Result<Option<KeptRequest>, StoreError> {
        self.note_request(begun).await
    }

    async fn end_request(&self, name: [u8; 32], answer: Option<Bytes>) -> Result<(), StoreError> {
        self.note_answer(name, answer).await
    }

    fn next_webhook_id(&self) -> WebhookId {
        self.shared.next_webhook_id()
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
        self.await_changed_webhooks().await
    }

    async fn replay(&self, event: EventId, deliveries: Vec<PlannedDelivery>) -> Result<Vec<DeliveryId>, StoreError> {
        self.replay_event(event, deliveries).await
    }

    fn reject(&self, request: RejectedRequest) -> RejectionId {
        self.note_rejection(&request)
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
        self.list_rejections(filter, page).await
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        self.add_up().await
    }

    async fn target_totals(&self, target: &str) -> Result<TargetTotals, StoreError> {
        self.add_up_target(target).await
    }

    async fn lane(&self, target: &str) -> Option<LaneState> {
        self.lane_state(target).await
    }

    async fn lanes(&self) -> Vec<LaneState> {
        self.lane_states().await
    }

    fn health(&self) -> Health {
        let shared = &self.shared;
        let closed = shared.is_closed().then(|| Arc::from("the store is closed"));
        Health {
            reasons: closed.into_iter().chain(shared.links.reasons()).collect(),
            bytes: shared.links.bytes_used(),
            damaged_records: shared.damaged.load(Ordering::Relaxed),
        }
    }

    async fn sweep(&self, retention: Retention) -> Result<Swept, StoreError> {
        self.sweep_step(retention).await
    }

    fn keys(&self) -> StoreKeys {
        self.store_keys()
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
