//! What waits for a shard's next pipeline.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::errand::Errand;
use super::jobs::{AdmitJob, ClaimJob, MarkJob, TurnJob, Verdict};
use crate::store::AdmitError;

/// Errands of one pipeline: the server does nothing else meanwhile.
const ERRANDS_MAX: usize = 512;

/// Admissions of one pipeline.
const ADMISSIONS_MAX: usize = 256;

/// Turns of one pipeline.
const TURNS_MAX: usize = 1024;

/// Bytes of the admissions of one pipeline, unless a single one has more.
const ADMISSION_BYTES_MAX: usize = 4 << 20;

/// How long an admission whose answer was lost waits for the connection to come back.
const PATIENCE: Duration = Duration::from_secs(1);

/// Answered when everything before it is done.
type Flush = oneshot::Sender<Result<(), Arc<str>>>;

/// What waits.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    bell: Notify,
}

#[derive(Default)]
struct Waiting {
    errands: VecDeque<Errand>,
    /// On their way; again if their answer is lost.
    sent: Arc<Vec<Errand>>,
    admissions: VecDeque<AdmitJob>,
    marks: Vec<MarkJob>,
    turns: Vec<TurnJob>,
    claims: Vec<ClaimJob>,
    flushes: Vec<Flush>,
    /// Nobody brings anything any more.
    is_closed: bool,
}

/// One pipeline's worth.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) errands: Arc<Vec<Errand>>,
    pub(super) admissions: Vec<AdmitJob>,
    pub(super) marks: Vec<MarkJob>,
    pub(super) turns: Vec<TurnJob>,
    pub(super) claims: Vec<ClaimJob>,
    pub(super) flushes: Vec<Flush>,
}

// === impl Outbox ===

impl Outbox {
    pub(super) fn run(&self, errand: Errand) {
        self.lock().errands.push_back(errand);
        self.bell.notify_one();
    }

    pub(super) fn run_all(&self, errands: impl IntoIterator<Item = Errand>) {
        self.lock().errands.extend(errands);
        self.bell.notify_one();
    }

    pub(super) fn admit(&self, job: AdmitJob) {
        self.ask(|waiting| waiting.admissions.push_back(job));
    }

    pub(super) fn mark(&self, job: MarkJob) {
        self.ask(|waiting| waiting.marks.push(job));
    }

    pub(super) fn turn(&self, job: TurnJob) {
        self.ask(|waiting| waiting.turns.push(job));
    }

    pub(super) fn claim(&self, job: ClaimJob) {
        self.ask(|waiting| waiting.claims.push(job));
    }

    /// Once it is closed, jobs are dropped: whoever waits hears that.
    fn ask(&self, add: impl FnOnce(&mut Waiting)) {
        let mut waiting = self.lock();
        if !waiting.is_closed {
            add(&mut waiting);
            drop(waiting);
            self.bell.notify_one();
        }
    }

    /// Waits until every errand so far is done.
    ///
    /// # Errors
    /// They could not be done now.
    pub(super) async fn flush(&self) -> Result<(), Arc<str>> {
        let receiver = {
            let mut waiting = self.lock();
            if waiting.errands.is_empty() && waiting.sent.is_empty() {
                return Ok(());
            }
            if waiting.is_closed {
                return Err("the store is closed".into());
            }
            let (sender, receiver) = oneshot::channel();
            waiting.flushes.push(sender);
            receiver
        };
        self.bell.notify_one();
        receiver.await.unwrap_or_else(|_| Err("the store is closed".into()))
    }

    /// Waits until something may have come.
    pub(super) async fn called(&self) {
        self.bell.notified().await;
    }

    pub(super) fn ring(&self) {
        self.bell.notify_one();
    }

    /// Everything that waits, as far as it fits; `None` where nothing does.
    pub(super) fn take(&self) -> Option<Batch> {
        let mut waiting = self.lock();
        let waiting = &mut *waiting;
        let errands: Vec<Errand> = {
            let count = waiting.errands.len().min(ERRANDS_MAX);
            waiting.errands.drain(..count).collect()
        };
        let mut batch = Batch { errands: Arc::new(errands), ..Batch::default() };
        waiting.sent = Arc::clone(&batch.errands);
        // Whoever asks sees what was done before: the rest waits until all errands are on their way.
        if waiting.errands.is_empty() {
            batch.marks = std::mem::take(&mut waiting.marks);
            batch.claims = std::mem::take(&mut waiting.claims);
            batch.flushes = std::mem::take(&mut waiting.flushes);
        }
        let turns = waiting.turns.len().min(TURNS_MAX);
        batch.turns = waiting.turns.drain(..turns).collect();
        let mut bytes = 0;
        while batch.admissions.len() < ADMISSIONS_MAX && (bytes == 0 || bytes < ADMISSION_BYTES_MAX) {
            let Some(job) = waiting.admissions.pop_front() else { break };
            bytes += job.bytes().max(1);
            batch.admissions.push(job);
        }
        (!batch.is_empty()).then_some(batch)
    }

    /// The errands that were on their way are done.
    pub(super) fn done(&self) {
        self.lock().sent = Arc::default();
    }

    /// The errands that were on their way are to be sent again, before all others.
    pub(super) fn again(&self) {
        let mut waiting = self.lock();
        let sent = std::mem::take(&mut waiting.sent);
        for errand in sent.iter().rev() {
            waiting.errands.push_front(errand.clone());
        }
    }

    /// Puts an admission whose answer was lost before all others.
    pub(super) fn admit_again(&self, mut job: AdmitJob) {
        job.is_repeated = true;
        self.lock().admissions.push_front(job);
    }

    /// There is no connection: nobody waits for one, but those whose answer was lost, for a moment.
    pub(super) fn refuse(&self, reason: &Arc<str>) {
        let (admissions, marks, turns, claims, flushes) = {
            let mut waiting = self.lock();
            let (patient, refused): (Vec<_>, Vec<_>) = std::mem::take(&mut waiting.admissions)
                .into_iter()
                .partition(|job| job.is_repeated && job.since.elapsed() < PATIENCE);
            waiting.admissions = patient.into();
            let marks = std::mem::take(&mut waiting.marks);
            let turns = std::mem::take(&mut waiting.turns);
            let claims = std::mem::take(&mut waiting.claims);
            (refused, marks, turns, claims, std::mem::take(&mut waiting.flushes))
        };
        let unavailable = || AdmitError::Unavailable(Arc::clone(reason));
        admissions.into_iter().for_each(|job| job.answer(Verdict::Failed(unavailable())));
        marks.into_iter().for_each(|job| drop(job.waiter.send(Err(unavailable()))));
        turns.into_iter().for_each(|job| drop(job.waiter.send(Err(Arc::clone(reason)))));
        claims.into_iter().for_each(|job| drop(job.waiter.send(Err(Arc::clone(reason)))));
        flushes.into_iter().for_each(|flush| drop(flush.send(Err(Arc::clone(reason)))));
    }

    /// Closes it. Gives everything that nobody waits for, on its way or not: for whoever brings it instead.
    pub(super) fn abandon(&self) -> Vec<Errand> {
        self.again();
        let mut waiting = self.lock();
        waiting.is_closed = true;
        waiting.admissions.clear();
        waiting.marks.clear();
        waiting.turns.clear();
        waiting.claims.clear();
        waiting.flushes.clear();
        waiting.errands.drain(..).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Batch ===

impl Batch {
    fn is_empty(&self) -> bool {
        self.errands.is_empty()
            && self.admissions.is_empty()
            && self.marks.is_empty()
            && self.turns.is_empty()
            && self.claims.is_empty()
            && self.flushes.is_empty()
    }
}
