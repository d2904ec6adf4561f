//! The seam between those who want something kept and the one thread that writes.
//!
//! Producers encode outside of any lock, append to the batch that is filling and wait for their own answer;
//! the writer takes the batch whole and leaves an empty one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::answer::Waiter;
use super::encode;
use super::lane::Lane;
use super::queue::Entry;
use super::record::{FRAME_BYTES, Framed, Place, Position};
use crate::domain::Seq;
use crate::store::AdmitError;

/// Outcomes wait this long for an admission to ride with.
const LAZY_WAIT: Duration = Duration::from_millis(60);
/// More bytes of outcomes than this are written at once.
const LAZY_BYTES_MAX: usize = 256 * 1024;
/// While more bytes than this wait for a disk that does not take them, no event is admitted: memory is bounded.
const FILLING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// More bytes of outcomes than this do not wait for space on a disk that is full: those deliveries are made again after a
/// start.
const PUT_BACK_BYTES_MAX: usize = 256 * 1024 * 1024;
/// What stands before each batch: frame, position.
pub(super) const BATCH_HEADER_BYTES: usize = FRAME_BYTES + 8;
/// What nobody waits for is synced so long after it was appended, not after it was written: promise 1's 250 ms hold for a
/// power cut too, but for the time that the sync takes.
pub(super) const UNSYNCED_MAX: Duration = Duration::from_millis(200);

/// What waits for the writer.
#[derive(Debug)]
pub(super) struct Journal {
    filling: Mutex<Batch>,
    wake: Condvar,
    /// Synced up to here: what the index may hold.
    durable: AtomicU64,
}

/// Records that share a write and a sync.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Starts with room for the batch's own record.
    pub(super) bytes: Vec<u8>,
    pub(super) items: Vec<Item>,
    /// Somebody waits.
    pub(super) urgent: bool,
    /// Somebody waits for the disk.
    pub(super) sync: bool,
    /// Somebody waits for the disk whatever the configuration says.
    pub(super) flush: bool,
    /// The next record shall go into a new segment.
    pub(super) roll: bool,
    /// The last batch: the writer ends after it.
    pub(super) closing: bool,
    /// As after a crash: what was not written by now never is.
    pub(super) abandoned: bool,
    /// When the first record that nobody waits for was appended.
    pub(super) since: Option<Instant>,
    writer_idle: bool,
    ended: bool,
}

/// Somebody who wants to know when a record is kept.
#[derive(Debug)]
pub(super) struct Item {
    /// Where in the batch the record starts; for a mere flush, where the batch ended then.
    pub(super) at: usize,
    /// False for a mere flush.
    pub(super) has_record: bool,
    pub(super) place: Place,
    pub(super) done: Done,
}

/// What happens when the record is kept, or is not.
pub(super) enum Done {
    Admitted(Box<Admitting>),
    Then(Box<dyn FnOnce(Result<Place, AdmitError>) + Send>),
    /// What became of a delivery: where there is no space it waits for some.
    Outcome(Box<dyn FnOnce(Result<Place, AdmitError>) + Send>),
}

/// An admission under way.
#[derive(Debug)]
pub(super) struct Admitting {
    pub(super) seq: Seq,
    pub(super) dedup_key: Option<[u8; 16]>,
    pub(super) entries: Vec<(Arc<Lane>, Entry)>,
    pub(super) waiter: Waiter,
}

// === impl Journal ===

impl Journal {
    pub(super) fn new(end: Position) -> Self {
        let journal = Self { filling: Mutex::default(), wake: Condvar::new(), durable: AtomicU64::new(0) };
        journal.set_durable(end);
        journal
    }

    /// Appends an event and answers when it is on disk, or at once where too much waits for the disk already.
    pub(super) fn admit(&self, record: impl AsRef<[u8]>, admitting: Box<Admitting>) -> Result<(), AdmitError> {
        let batch = self.lock();
        if batch.bytes.len() > FILLING_BYTES_MAX {
            drop(batch);
            let error = AdmitError::Unavailable("the disk does not take what waits for it".into());
            Done::Admitted(admitting).refuse(&error);
            return Err(error);
        }
        self.push(batch, record.as_ref(), true, Done::Admitted(admitting));
        Ok(())
    }

    /// Appends a record and answers when it is kept; `sync`: when it is on disk.
    pub(super) fn append(&self, record: impl AsRef<[u8]>, sync: bool, done: Done) {
        self.push(self.lock(), record.as_ref(), sync, done);
    }

    fn push(&self, mut batch: MutexGuard<'_, Batch>, record: &[u8], sync: bool, done: Done) {
        if batch.ended {
            drop(batch);
            return done.refuse(&AdmitError::Unavailable("it is closed".into()));
        }
        let at = batch.push(record);
        batch.items.push(Item { at, has_record: !record.is_empty(), place: Place::default(), done });
        batch.sync |= sync;
        batch.flush |= record.is_empty();
        let wake = !batch.urgent && batch.writer_idle;
        batch.urgent = true;
        drop(batch);
        if wake {
            self.wake.notify_one();
        }
    }

    /// Appends a record that nobody waits for.
    pub(super) fn append_lazy(&self, record: &Framed) {
        let mut batch = self.lock();
        if batch.ended {
            return;
        }
        batch.push(&record.0);
        let first = batch.since.is_none();
        batch.since.get_or_insert_with(Instant::now);
        // The writer sleeps without an alarm only while there is nothing at all to write.
        let wake = batch.writer_idle && (first || batch.bytes.len() > LAZY_BYTES_MAX);
        drop(batch);
        if wake {
            self.wake.notify_one();
        }
    }

    /// Records that found no space, and who waits for them, come before everything that was appended since.
    pub(super) fn put_back(&self, records: &[u8], items: Vec<Item>) {
        let mut batch = self.lock();
        if batch.ended || batch.bytes.len() + records.len() > PUT_BACK_BYTES_MAX {
            drop(batch);
            tracing::error!(bytes = records.len(), "outcomes find no space on the disk and are given up");
            let error = AdmitError::Full("there is no space for it".into());
            return items.into_iter().for_each(|item| item.done.refuse(&error));
        }
        let before = batch.bytes.len();
        let header = encode::batch(Position::default()).0;
        let at = header.len();
        let since = batch.bytes.split_off(before.min(at));
        batch.bytes = header;
        batch.bytes.extend_from_slice(records);
        batch.bytes.extend_from_slice(&since);
        let moved = batch.bytes.len() - before;
        batch.items.iter_mut().for_each(|item| item.at += moved);
        batch.sync |= !items.is_empty();
        let back = items.into_iter().map(|item| Item { at: item.at + at, ..item });
        batch.items.splice(..0, back);
        batch.since.get_or_insert_with(Instant::now);
    }

    /// As [`append`](Self::append), as something to await.
    pub(super) async fn keep(&self, record: Framed) -> Result<Place, AdmitError> {
        let (sender, receiver) = oneshot::channel();
        let done = Done::Then(Box::new(move |kept| drop(sender.send(kept))));
        self.append(&record, true, done);
        receiver.await.unwrap_or_else(|_| Err(AdmitError::Unavailable("it is closed".into())))
    }

    /// Everything that was appended before is on disk when this answers.
    pub(super) fn flush(&self) -> oneshot::Receiver<Result<Place, AdmitError>> {
        let (sender, receiver) = oneshot::channel();
        self.append([], true, Done::Then(Box::new(move |kept| drop(sender.send(kept)))));
        receiver
    }

    /// The next record shall open a new segment.
    pub(super) fn request_roll(&self) {
        self.lock().roll = true;
    }

    /// Lets the writer end: after everything is written, or at once.
    pub(super) fn close(&self, abandon: bool) {
        let mut batch = self.lock();
        batch.closing = true;
        batch.abandoned |= abandon;
        drop(batch);
        self.wake.notify_one();
    }

    /// From now on appending is refused.
    pub(super) fn end(&self) -> Batch {
        let mut batch = self.lock();
        batch.ended = true;
        std::mem::replace(&mut *batch, Batch { ended: true, ..Batch::default() })
    }

    /// Waits for something to do, until `until` at the latest, and swaps the batch for the empty `spare`.
    pub(super) fn take(&self, spare: Batch, unsynced_since: Option<Instant>, until: Option<Instant>) -> Batch {
        let mut batch = self.lock();
        loop {
            let now = Instant::now();
            let (write, sync) =
                (batch.since.map(|since| since + LAZY_WAIT), unsynced_since.map(|at| at + UNSYNCED_MAX));
            let alarm = [write, sync, until].into_iter().flatten().min();
            let due = alarm.is_some_and(|alarm| alarm <= now) || batch.bytes.len() > LAZY_BYTES_MAX;
            if batch.urgent || batch.closing || due {
                break;
            }
            batch.writer_idle = true;
            batch = match alarm {
                Some(alarm) => {
                    let waited = self.wake.wait_timeout(batch, alarm - now);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.wake.wait(batch).unwrap_or_else(PoisonError::into_inner),
            };
            batch.writer_idle = false;
        }
        std::mem::replace(&mut *batch, spare)
    }

    /// Synced up to here.
    pub(super) fn durable(&self) -> Position {
        let packed = self.durable.load(Ordering::Acquire);
        Position { segment: (packed >> 32) as u32, offset: packed as u32 }
    }

    pub(super) fn set_durable(&self, to: Position) {
        self.durable.store(u64::from(to.segment) << 32 | u64::from(to.offset), Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Batch> {
        self.filling.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Batch ===

impl Batch {
    /// Empties it and keeps its memory, unless a burst made it large.
    pub(super) fn clear(&mut self) {
        const KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;
        let mut bytes = std::mem::take(&mut self.bytes);
        let mut items = std::mem::take(&mut self.items);
        bytes.clear();
        items.clear();
        if bytes.capacity() > KEPT_BYTES_MAX {
            bytes = Vec::new();
        }
        *self = Self { bytes, items, ..Self::default() };
    }

    fn push(&mut self, record: &[u8]) -> usize {
        if self.bytes.is_empty() && !record.is_empty() {
            // Filled in by the writer, which knows how far it has synced.
            self.bytes.extend_from_slice(&encode::batch(Position::default()).0);
        }
        let at = self.bytes.len();
        self.bytes.extend_from_slice(record);
        at
    }
}

// === impl Item, Done ===

impl Item {
    /// Whether its record was written, where there was no space from a byte of the batch on.
    pub(super) fn is_kept(&self, full_from: Option<usize>) -> bool {
        full_from.is_none_or(|from| self.at < from)
    }
}

impl Done {
    /// It was not kept.
    pub(super) fn refuse(self, error: &AdmitError) {
        match self {
            Self::Admitted(admitting) => {
                for (lane, _) in &admitting.entries {
                    lane.unreserve();
                }
                admitting.waiter.tell(Err(error.clone()));
            }
            Self::Then(then) | Self::Outcome(then) => then(Err(error.clone())),
        }
    }
}

impl std::fmt::Debug for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Admitted(_) => "Admitted",
            Self::Then(_) => "Then",
            Self::Outcome(_) => "Outcome",
        })
    }
}
