//! The verbs of a store.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::kept_request::KeptRequest;
use super::moved::{MovedEvent, MovedMark, MovedPage, StoreKeys};
use super::query::{
    AttemptRow, DeliveryFilter, DeliveryRow, EventFilter, EventRow, Page, PageRequest, RejectionFilter, RejectionRow,
    TargetTotals, Totals,
};
use super::terms::{
    Admission, AdmitError, Admitted, Claim, DedupMark, Health, LaneState, MarkClaim, MarkClaimed, Paused,
    RejectedRequest, Retention, StoreError, Swept, TargetSettings, WebhooksChanged,
};
use crate::domain::{
    DeliveryId, Event, EventId, PlannedDelivery, RejectionId, Seq, Settlement, Timestamp, Turn, Webhook, WebhookId,
};

/// An engine that keeps events. Every verb may be called from any task.
pub trait Store: Send + Sync + 'static {
    /// Keeps an event with its deliveries and its mark in one atomic durable step.
    ///
    /// A copy of an event whose admission is still under way waits for that one's commit. It may begin when it is called:
    /// whoever drops the future before it is done does not know whether the event was kept.
    ///
    /// # Errors
    /// [`AdmitError`]; the event was not kept then.
    fn admit(&self, admission: Admission) -> impl Future<Output = Result<Admitted, AdmitError>> + Send;

    /// An id for an event that is passed on and not kept, or that is about to be admitted under it, with that mark.
    fn next_event_id(&self, mark: Option<&DedupMark>) -> EventId;

    /// Takes the mark of an event that is about to be passed on, for `lease`. Nothing is written: a crash gives
    /// it back. A full store takes marks all the same; one that cannot be written then is gone after a restart.
    ///
    /// # Errors
    /// [`AdmitError::Unavailable`]: the store has failed or is closing; nothing was claimed.
    fn claim_mark(
        &self,
        source: &Arc<str>,
        mark: DedupMark,
        lease: Duration,
    ) -> impl Future<Output = Result<MarkClaimed, AdmitError>> + Send;

    /// The event of a claim was taken: later copies are duplicates, at once. Returns at once; written within 250 ms,
    /// so that a crash before leaves no mark.
    ///
    /// Counts also where the lease had ended: what was taken was taken.
    fn commit_mark(&self, claim: &MarkClaim);

    /// The event of a claim was not taken: the next copy is the first. Ignored where the lease ended and somebody else
    /// has the mark, or where it was committed.
    fn release_mark(&self, claim: &MarkClaim);

    /// Counts requests that the app of a proxy-mode source answered. Returns at once; written with the ledger, now and then.
    fn count_passed_on(&self, source: &Arc<str>, count: u64);

    /// Whether several gateways may have this store at the same time, so that it counts for all of them.
    fn is_shared(&self) -> bool;

    /// Takes a turn in a rate that all gateways keep together; how long to wait for the next one, or zero where it was
    /// taken. Kept as long as it matters.
    ///
    /// # Errors
    /// [`StoreError::Engine`]: nobody can tell now. [`StoreError::Unsupported`] where the store is not shared.
    fn take_turn(&self, turn: Turn) -> impl Future<Output = Result<Duration, StoreError>> + Send;

    /// Tells which destinations exist; deliveries of all others are held until their name returns. Webhooks, whose
    /// targets are named by their ids, are not concerned: they flow unless [`set_target`](Self::set_target) says otherwise.
    fn set_targets(&self, targets: &[TargetSettings]);

    /// Tells how one webhook's target stands, and names it to whoever asks [`stirred`](Self::stirred) where something is due.
    fn set_target(&self, settings: &TargetSettings);

    /// Takes up to `most` due deliveries of a target, oldest due first, for `lease`.
    ///
    /// # Errors
    /// [`StoreError::Engine`]. A delivery whose event cannot be read is settled as dead, not returned.
    fn claim(
        &self,
        target: &str,
        most: usize,
        lease: Duration,
    ) -> impl Future<Output = Result<Vec<Claim>, StoreError>> + Send;

    /// Waits until the target may have a due delivery (a wake-up may be spurious, none is missed).
    fn due(&self, target: &str) -> impl Future<Output = ()> + Send;

    /// Waits until webhooks' targets have something due, and names them. A target that was named is the caller's: it is
    /// not named again before [`rest`](Self::rest) gives it back. Where several gateways share a store, each is named to all.
    fn stirred(&self) -> impl Future<Output = Vec<Arc<str>>> + Send;

    /// Nobody looks at a webhook's target from now on: it is named again when, or if, something is due.
    fn rest(&self, target: &str);

    /// Records an attempt and what follows. Returns at once; written within 250 ms.
    ///
    /// A claim whose lease ended and that was claimed again is ignored.
    fn settle(&self, claim: &Claim, settlement: Settlement);

    /// Gives a claim back as if it had not been made: due at `due_at`, no attempt counted.
    fn release(&self, claim: &Claim, due_at: Timestamp);

    /// Lengthens a lease to `lease` from now; false where it had ended already.
    fn extend(&self, claim: &Claim, lease: Duration) -> impl Future<Output = bool> + Send;

    /// Makes every waiting (not in-flight) delivery of the target due now, as when its breaker closes.
    fn hasten(&self, target: &str);

    /// A dead, cancelled, expired, succeeded or waiting delivery again, now; durable before it returns.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Conflict`] while it is in flight, [`StoreError::Engine`].
    fn redeliver(&self, id: DeliveryId) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The same for many, in their order; all of them share what durability costs.
    fn redeliver_many(&self, ids: Vec<DeliveryId>) -> impl Future<Output = Vec<Result<(), StoreError>>> + Send;

    /// Stops a delivery that is open; durable before it returns.
    ///
    /// # Errors
    /// As [`redeliver`](Self::redeliver).
    fn cancel(&self, id: DeliveryId) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Cancels everything of a target that waits; durable before it returns how many those were. What is in flight
    /// ends by itself.
    ///
    /// # Errors
    /// [`StoreError::Engine`].
    fn cancel_all(&self, target: &str) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Notes that something is paused, or is not any more; durable before it returns.
    ///
    /// # Errors
    /// [`StoreError::Engine`], [`StoreError::Damaged`]; it stands as before then.
    fn keep_pause(&self, what: &Paused, paused: bool) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// What is paused.
    ///
    /// # Errors
    /// As [`keep_pause`](Self::keep_pause).
    fn pauses(&self) -> impl Future<Output = Result<Vec<Paused>, StoreError>> + Send;

    /// Waits until what is paused may have been changed by another gateway since it was read last. An engine of a single
    /// gateway waits for ever.
    fn changed_pauses(&self) -> impl Future<Output = ()> + Send;

    /// Makes the deliveries due that [wait for their source](crate::domain::holding), those whose moment is `over`; how
    /// many. Nothing is written: after a restart it must be asked for again.
    fn release_held(&self, over: impl Fn(Timestamp) -> bool + Send) -> impl Future<Output = u64> + Send;

    /// Notes that a request is begun under its key, unless one that is known still has that key: it is returned then, and
    /// nothing was noted. Durable before it returns.
    ///
    /// # Errors
    /// [`StoreError::Engine`], [`StoreError::Damaged`]: nobody should make the request.
    fn begin_request(&self, begun: KeptRequest)
    -> impl Future<Output = Result<Option<KeptRequest>, StoreError>> + Send;

    /// Notes what a request under a key was answered; `None`: it was not made after all, and its key is free. Durable before
    /// it returns.
    ///
    /// # Errors
    /// As [`begin_request`](Self::begin_request): it stands as begun then.
    fn end_request(&self, name: [u8; 32], answer: Option<Bytes>)
    -> impl Future<Output = Result<(), StoreError>> + Send;

    /// An id for a webhook that is about to be registered.
    fn next_webhook_id(&self) -> WebhookId;

    /// Keeps a webhook as it stands from now on; durable before it returns. `was`: as it stood when the change was made up;
    /// `None`: it is new.
    ///
    /// # Errors
    /// [`StoreError::Engine`]; it stands as before then. [`StoreError::Conflict`]: it does not stand as it was, because
    /// somebody else has changed it meanwhile.
    fn keep_webhook(
        &self,
        webhook: &Webhook,
        was: Option<&Webhook>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Forgets a webhook; durable before it returns. Its deliveries stay what they are.
    ///
    /// # Errors
    /// [`StoreError::Engine`].
    fn forget_webhook(&self, id: WebhookId) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Every webhook, in the order in which they were registered.
    ///
    /// # Errors
    /// [`StoreError::Engine`], [`StoreError::Damaged`] where one cannot be read: nobody should go on without it.
    fn webhooks(&self) -> impl Future<Output = Result<Vec<Webhook>, StoreError>> + Send;

    /// One webhook as it stands now, if there is one.
    ///
    /// # Errors
    /// As [`webhooks`](Self::webhooks).
    fn webhook(&self, id: WebhookId) -> impl Future<Output = Result<Option<Webhook>, StoreError>> + Send;

    /// Waits until webhooks may have been changed by another gateway, since they were all read or since this said so last.
    /// An engine of a single gateway waits for ever.
    fn changed_webhooks(&self) -> impl Future<Output = WebhooksChanged> + Send;

    /// Adds deliveries to an event that is already kept, past dedup; durable before it returns their ids.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Engine`].
    fn replay(
        &self,
        event: EventId,
        deliveries: Vec<PlannedDelivery>,
    ) -> impl Future<Output = Result<Vec<DeliveryId>, StoreError>> + Send;

    /// Notes a refused request in the bounded ledger; never waits, drops (and counts) what is too much.
    fn reject(&self, request: RejectedRequest) -> RejectionId;

    /// Events, newest first.
    ///
    /// # Errors
    /// [`StoreError::Engine`].
    fn events(
        &self,
        filter: EventFilter,
        page: PageRequest,
    ) -> impl Future<Output = Result<Page<EventRow>, StoreError>> + Send;

    /// One event with head and body.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Damaged`], [`StoreError::Engine`].
    fn event(&self, id: EventId) -> impl Future<Output = Result<Arc<Event>, StoreError>> + Send;

    /// Deliveries, newest event first.
    ///
    /// # Errors
    /// [`StoreError::Engine`].
    fn deliveries(
        &self,
        filter: DeliveryFilter,
        page: PageRequest,
    ) -> impl Future<Output = Result<Page<DeliveryRow>, StoreError>> + Send;

    /// One delivery and its attempts, oldest first.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Engine`].
    fn delivery(
        &self,
        id: DeliveryId,
    ) -> impl Future<Output = Result<(DeliveryRow, Vec<AttemptRow>), StoreError>> + Send;

    /// Refused requests, newest first.
    ///
    /// # Errors
    /// [`StoreError::Engine`].
    fn rejections(
        &self,
        filter: RejectionFilter,
        page: PageRequest,
    ) -> impl Future<Output = Result<Page<RejectionRow>, StoreError>> + Send;

    /// Everything that was counted since the store was made, restarts included. A crash of the process may lose the
    /// last second of what left nothing behind: copies and refused requests.
    ///
    /// # Errors
    /// [`StoreError::Engine`].
    fn totals(&self) -> impl Future<Output = Result<Totals, StoreError>> + Send;

    /// The same of one target.
    ///
    /// # Errors
    /// [`StoreError::Engine`].
    fn target_totals(&self, target: &str) -> impl Future<Output = Result<TargetTotals, StoreError>> + Send;

    /// Every destination's queue.
    fn lanes(&self) -> impl Future<Output = Vec<LaneState>> + Send;

    /// One target's queue, if it ever had a delivery.
    fn lane(&self, target: &str) -> impl Future<Output = Option<LaneState>> + Send;

    /// Whether it can keep events, and why not.
    fn health(&self) -> Health;

    /// Removes a small step's worth of what retention lets go.
    ///
    /// # Errors
    /// [`StoreError::Engine`].
    fn sweep(&self, retention: Retention) -> impl Future<Output = Result<Swept, StoreError>> + Send;

    /// What this store is known by.
    fn keys(&self) -> StoreKeys;

    /// How many events it holds, roughly: for whoever shows how far a move is.
    ///
    /// # Errors
    /// [`StoreError::Engine`].
    fn count_events(&self) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// The oldest events behind `after`, as they stand; a bounded number of them, in bytes too.
    ///
    /// # Errors
    /// [`StoreError::Engine`]. An event that is damaged is counted and passed over.
    fn read_out(&self, after: Option<Seq>) -> impl Future<Output = Result<MovedPage, StoreError>> + Send;

    /// Some dedup marks from a place on, and the place of the next; `None` begins, and ends. One may come twice.
    ///
    /// # Errors
    /// [`StoreError::Engine`].
    fn read_marks(
        &self,
        from: Option<u64>,
    ) -> impl Future<Output = Result<(Vec<MovedMark>, Option<u64>), StoreError>> + Send;

    /// Keeps events of another store with the same [`keys`](Self::keys) as they stood there, durable before it returns how
    /// many were new: those that are here already are left as they are.
    ///
    /// # Errors
    /// [`StoreError::Engine`]: some may have been kept.
    fn take_in(&self, events: Vec<MovedEvent>) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Keeps marks of another store with the same keys, durable before it returns. One that is too old to count is left out.
    ///
    /// # Errors
    /// [`StoreError::Engine`]: some may have been kept.
    fn take_marks(&self, marks: Vec<MovedMark>) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Takes no more admissions, writes and syncs everything, and stops the engine's threads.
    ///
    /// # Errors
    /// [`StoreError::Engine`]: something could not be written.
    fn close(&self) -> impl Future<Output = Result<(), StoreError>> + Send;
}
