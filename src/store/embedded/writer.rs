//! The one thread that writes the journal: takes a batch, writes it with one call, syncs once, tells everybody.
//!
//! An error of a write or sync is never tried again, for the kernel may have dropped the pages: the gate
//! fails, and nothing of the batch or after it is acknowledged. Only running out of space for a new segment
//! is harmless: nothing of the record was written then. Events are refused then; outcomes, which may have the space that
//! is kept from events, wait in memory until there is some.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Durability;
use super::dedup::{Dedup, Verdict};
use super::encode;
use super::gate::Gate;
use super::headroom::Needs;
use super::indexer::Progress;
use super::journal::{Admitting, BATCH_HEADER_BYTES, Batch, Done, Item, Journal, UNSYNCED_MAX};
use super::keeper::KeeperBell;
use super::lane::Lane;
use super::pacing::{LOOK_AGAIN, Pacing};
use super::queue::Entry;
use super::record::{FRAME_BYTES, Place, Position};
use super::segment::{HEADER_BYTES, Segment};
use super::segments::Segments;
use crate::domain::Clock;
use crate::store::AdmitError;
use crate::telemetry::StoreMetrics;

/// The index may lag this many bytes behind before admissions are slowed down.
const INDEX_LAG_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// A batch of fewer than this was not waited for.
const GATHER_ITEMS_MIN: usize = 8;
/// For each that waited in the last batch the next one is left to grow for so long: while they come faster than
/// this, batches grow, and a sync with its wake-ups is shared by more.
const GATHER_EACH: Duration = Duration::from_micros(60);
/// But not longer than this.
const GATHER_MAX: Duration = Duration::from_millis(1);
/// How long one batch waits for the index at most.
const INDEX_WAIT_MAX: Duration = Duration::from_millis(50);
/// While outcomes find no space they are tried again so often.
const NO_SPACE_WAIT: Duration = Duration::from_millis(50);

/// What the thread owns, and what it shares.
#[derive(Debug)]
pub(super) struct Writer {
    parts: WriterParts,
    active: Arc<Segment>,
    offset: u32,
    /// Written but not synced.
    unsynced: Vec<Arc<Segment>>,
    /// Since when the oldest of it waits: from its appending on.
    unsynced_since: Option<Instant>,
    pacing: Pacing,
}

/// What the writer shares with the rest of the engine.
#[derive(Debug)]
pub(super) struct WriterParts {
    pub(super) journal: Arc<Journal>,
    pub(super) segments: Arc<Segments>,
    pub(super) gate: Arc<Gate>,
    pub(super) dedup: Arc<Dedup>,
    pub(super) progress: Arc<Progress>,
    pub(super) keeper: Arc<KeeperBell>,
    pub(super) needs: Needs,
    pub(super) clock: Clock,
    pub(super) metrics: StoreMetrics,
    pub(super) durability: Durability,
}

// === impl Writer ===

impl Writer {
    /// A writer that goes on at `end`.
    pub(super) fn new(parts: WriterParts, end: Position) -> io::Result<Self> {
        let active = parts.segments.get(end.segment)?;
        active.restore_capacity()?;
        parts.segments.set_active(end.segment);
        Ok(Self {
            parts,
            active,
            offset: end.offset,
            unsynced: Vec::new(),
            unsynced_since: None,
            pacing: Pacing::default(),
        })
    }

    /// Works until the journal is closed.
    pub(super) fn run(mut self) {
        let mut spare = Batch::default();
        let mut gather = Duration::ZERO;
        loop {
            if !gather.is_zero() {
                std::thread::sleep(gather);
            }
            let look_again = self.pacing.is_holding().then(|| Instant::now() + LOOK_AGAIN);
            let mut batch = self.parts.journal.take(std::mem::take(&mut spare), self.unsynced_since, look_again);
            gather = gather_after(batch.items.len());
            let (closing, abandoned) = (batch.closing, batch.abandoned);
            if abandoned {
                self.refuse_all(&mut batch, &AdmitError::Unavailable("it was closed".into()));
            } else {
                self.commit(&mut batch);
            }
            self.pacing.let_go(Instant::now());
            batch.clear();
            spare = batch;
            if closing {
                break;
            }
        }
        self.pacing.let_all_go();
        // What came in between the last batch and the end of taking any.
        let mut last = self.parts.journal.end();
        if last.abandoned || self.parts.gate.usable().is_err() {
            return self.refuse_all(&mut last, &AdmitError::Unavailable("it is closed".into()));
        }
        self.commit(&mut last);
        self.pacing.let_all_go();
        self.seal_journal();
    }

    /// Says behind everything that all of it was synced: whatever is found damaged later was durable once.
    fn seal_journal(&mut self) {
        if self.sync().is_err() {
            return;
        }
        let mut seal = encode::batch(self.position()).0;
        if self.offset as usize + seal.len() + FRAME_BYTES <= self.active.capacity as usize {
            self.active.seal(&mut seal, self.offset);
            let written = self.active.write_at(&seal, self.offset).and_then(|()| self.active.sync());
            if written.is_ok() {
                self.offset += u32::try_from(seal.len()).unwrap_or_default();
                self.parts.journal.set_durable(self.position());
            }
        }
    }

    fn commit(&mut self, batch: &mut Batch) {
        if let Err(error) = self.parts.gate.usable() {
            return self.refuse_all(batch, &error);
        }
        self.wait_for_index();
        let started = Instant::now();
        let outcome = self.write(batch).and_then(|full| {
            // Before the sync, with which the index may begin to read them.
            let is_event = |item: &&Item| item.is_kept(full) && matches!(item.done, Done::Admitted(_));
            let events = batch.items.iter().filter(is_event).count();
            self.parts.metrics.index_lag.inc_by(i64::try_from(events).unwrap_or(i64::MAX));
            self.sync_if_wanted(batch).map(|()| full)
        });
        let full = match outcome {
            Ok(full) => full,
            Err(error) => {
                self.parts.gate.fail(format!(
                    "writing the journal in {} failed: {error}; check the disk, then restart: what was acknowledged is verified then",
                    self.parts.segments.folder().display()
                ));
                let refusal =
                    self.parts.gate.usable().err().unwrap_or(AdmitError::Unavailable("writing failed".into()));
                return self.refuse_all(batch, &refusal);
            }
        };
        if !batch.items.is_empty() {
            self.parts.metrics.commit_duration.observe(started.elapsed());
            self.parts.metrics.commit_bytes.observe_number(batch.bytes.len() as u64);
        }
        if let Some(from) = full {
            self.put_back(batch, from);
        }
        self.complete(batch, full);
    }

    /// What became of deliveries is not refused for want of space: from this byte on it is written with a later batch.
    fn put_back(&self, batch: &mut Batch, from: usize) {
        let (mut bytes, mut items) = (Vec::new(), Vec::new());
        let mut waiting = std::mem::take(&mut batch.items).into_iter().peekable();
        while let Some(item) = waiting.next_if(|item| item.at < from) {
            batch.items.push(item);
        }
        // The batch's own record goes with the batch.
        let mut at = from.max(BATCH_HEADER_BYTES);
        while let Ok(length) = record_bytes(&batch.bytes, at) {
            while let Some(flush) = waiting.next_if(|item| item.at == at && !item.has_record) {
                batch.items.push(flush);
            }
            let item = waiting.next_if(|item| item.at == at);
            if item.as_ref().is_none_or(|item| matches!(item.done, Done::Outcome(_))) {
                items.extend(item.map(|item| Item { at: bytes.len(), ..item }));
                bytes.extend_from_slice(batch.bytes.get(at..at + length).unwrap_or_default());
            } else {
                batch.items.extend(item);
            }
            at += length;
        }
        batch.items.extend(waiting);
        if !bytes.is_empty() {
            self.parts.journal.put_back(&bytes, items);
            if !batch.closing {
                std::thread::sleep(NO_SPACE_WAIT);
            }
        }
    }

    /// Writes the batch; answers from which byte on there was no space.
    fn write(&mut self, batch: &mut Batch) -> io::Result<Option<usize>> {
        let wanted = std::mem::take(&mut batch.roll) && self.offset > HEADER_BYTES;
        if wanted || self.active.is_old() {
            let full = self.roll(0, None, true)?;
            if full {
                tracing::warn!("no space to begin a new journal file early");
            }
        }
        if batch.bytes.is_empty() {
            return Ok(None);
        }
        self.unsynced_since = self.unsynced_since.or(batch.since);
        let header = encode::batch(self.parts.journal.durable()).0;
        if let Some(place) = batch.bytes.get_mut(..header.len()) {
            place.copy_from_slice(&header);
        }
        let last_event = batch.items.iter().rfind(|item| matches!(item.done, Done::Admitted(_))).map(|item| item.at);
        let (mut run_start, mut at) = (0, 0);
        let mut items = batch.items.iter_mut().peekable();
        while at < batch.bytes.len() {
            let length = record_bytes(&batch.bytes, at)?;
            let used = self.offset as usize + (at - run_start);
            if used + length + FRAME_BYTES > self.active.capacity as usize {
                self.write_run(batch.bytes.get(run_start..at).unwrap_or_default())?;
                run_start = at;
                // Outcomes may have what is kept from events; what retention writes gives more back than it takes.
                let needs = &self.parts.needs;
                let needed = match items.peek() {
                    _ if last_event.is_some_and(|last| last >= at) => Some(needs.bytes()),
                    Some(Item { done: Done::Then(_), has_record: true, .. }) => None,
                    _ => Some(needs.bytes_of_index()),
                };
                if self.roll(length, needed, false)? {
                    return Ok(Some(at));
                }
                continue;
            }
            let offset = u32::try_from(used).map_err(io::Error::other)?;
            let record = batch.bytes.get_mut(at..at + length).unwrap_or_default();
            self.active.seal(record, offset);
            while let Some(item) = items.next_if(|item| item.at <= at) {
                if item.at == at {
                    let bytes = u32::try_from(length).map_err(io::Error::other)?;
                    item.place = Place { segment: self.active.number, offset, bytes };
                }
            }
            at += length;
        }
        self.write_run(batch.bytes.get(run_start..).unwrap_or_default())?;
        Ok(None)
    }

    fn write_run(&mut self, run: &[u8]) -> io::Result<()> {
        if run.is_empty() {
            return Ok(());
        }
        self.active.write_at(run, self.offset)?;
        self.offset += u32::try_from(run.len()).map_err(io::Error::other)?;
        if self.unsynced.last().is_none_or(|last| last.number != self.active.number) {
            self.unsynced.push(Arc::clone(&self.active));
        }
        self.unsynced_since.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Goes on in the next segment; true where there is no space for one.
    fn roll(&mut self, record_bytes: usize, needed_bytes: Option<u64>, shrink: bool) -> io::Result<bool> {
        let next = match self.parts.segments.roll(record_bytes, needed_bytes) {
            Ok(next) => next,
            Err(error) if is_no_space(&error) => {
                self.parts.gate.set_full(Some(format!("no space for a journal file: {error}; free space on the disk")));
                self.parts.keeper.ring();
                return Ok(true);
            }
            Err(error) => return Err(error),
        };
        let mut rolled = encode::rolled().0;
        self.active.seal(&mut rolled, self.offset);
        self.write_run(&rolled)?;
        if shrink {
            self.active.shrink(self.offset)?;
        }
        self.active = next;
        self.offset = HEADER_BYTES;
        self.parts.keeper.ring();
        Ok(false)
    }

    fn sync_if_wanted(&mut self, batch: &Batch) -> io::Result<()> {
        let strict = batch.sync && (self.parts.durability == Durability::Strict || batch.flush);
        let late = self.unsynced_since.is_some_and(|since| since.elapsed() >= UNSYNCED_MAX);
        if strict || late || batch.closing { self.sync() } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        if !self.unsynced.is_empty() {
            let started = Instant::now();
            for segment in self.unsynced.drain(..) {
                segment.sync()?;
            }
            self.parts.metrics.fsync_duration.observe(started.elapsed());
        }
        self.unsynced_since = None;
        self.parts.journal.set_durable(self.position());
        self.parts.progress.journal_grew();
        Ok(())
    }

    fn position(&self) -> Position {
        Position { segment: self.active.number, offset: self.offset }
    }

    fn complete(&mut self, batch: &mut Batch, full_from: Option<usize>) {
        let full = AdmitError::Full("there is no space for another journal file".into());
        let mut admitted = Vec::with_capacity(batch.items.len());
        let mut events: u64 = 0;
        for item in batch.items.drain(..) {
            if !item.is_kept(full_from) {
                self.refuse(item.done, &full);
                continue;
            }
            match item.done {
                Done::Admitted(mut admitting) => {
                    events += 1;
                    for (_, entry) in &mut admitting.entries {
                        entry.place = item.place;
                    }
                    admitted.push(admitting);
                }
                Done::Then(then) | Done::Outcome(then) => then(Ok(item.place)),
            }
        }
        if events > 0 {
            self.parts.metrics.commit_events.observe_number(events);
        }
        self.enqueue(&mut admitted);
        let now = Instant::now();
        for admitting in admitted {
            if let Some(key) = &admitting.dedup_key {
                self.parts.dedup.commit(key, admitting.seq);
            }
            let mut lanes = admitting.entries.iter().map(|(lane, _)| lane);
            self.pacing.answer(admitting.waiter, lanes.find(|lane| lane.is_crowded(now)), now);
        }
    }

    /// Puts the new deliveries into their lanes, each lane locked and woken once.
    fn enqueue(&self, admitted: &mut [Box<Admitting>]) {
        let mut lanes: Vec<(Arc<Lane>, Vec<Entry>)> = Vec::new();
        for admitting in admitted {
            for (lane, entry) in &mut admitting.entries {
                let event = entry.event.take();
                let entry = Entry { event, ..entry.clone() };
                match lanes.iter_mut().find(|(known, _)| Arc::ptr_eq(known, lane)) {
                    Some((_, entries)) => entries.push(entry),
                    None => lanes.push((Arc::clone(lane), vec![entry])),
                }
            }
        }
        let now = self.parts.clock.now();
        for (lane, entries) in lanes {
            lane.push_reserved(entries, now);
        }
    }

    fn refuse(&self, done: Done, error: &AdmitError) {
        if let Done::Admitted(admitting) = &done
            && let Some(key) = &admitting.dedup_key
        {
            self.parts.dedup.release(key, &Verdict::Failed(error.clone()));
        }
        done.refuse(error);
    }

    fn refuse_all(&self, batch: &mut Batch, error: &AdmitError) {
        for item in batch.items.drain(..) {
            self.refuse(item.done, error);
        }
    }

    /// An index that falls behind makes admissions wait, or memory would fill with what it does not hold yet.
    fn wait_for_index(&self) {
        let started = Instant::now();
        while self.parts.progress.lag_bytes(self.position()) > INDEX_LAG_BYTES_MAX && started.elapsed() < INDEX_WAIT_MAX
        {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// How long the next batch is left to grow after one in which so many waited.
fn gather_after(items: usize) -> Duration {
    let items = if items < GATHER_ITEMS_MIN { 0 } else { u32::try_from(items).unwrap_or(u32::MAX) };
    GATHER_EACH.saturating_mul(items).min(GATHER_MAX)
}

/// The length of the record at `at`, from its frame.
fn record_bytes(bytes: &[u8], at: usize) -> io::Result<usize> {
    let field = bytes.get(at + 8..at + 12).and_then(|field| field.try_into().ok()).map(u32::from_le_bytes);
    let payload = field.ok_or_else(|| io::Error::other("a record in memory has no frame"))?;
    Ok((FRAME_BYTES + payload as usize).next_multiple_of(8))
}

/// Whether an error says that the disk, the quota or the file system is at its end.
pub(super) fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
