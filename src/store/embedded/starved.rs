//! What the index does where the disk has no space for it.
//!
//! It makes some: the journal file that lies ready for events goes, copies of damaged files go, the WAL is emptied. Where
//! the WAL has grown and cannot be emptied, for what it holds would make the index longer than there is room, the index is
//! built anew from the journal: without the WAL that is less. A start goes on with an index that is behind: what it lacks is
//! read from the journal into memory.

use std::io;
use std::path::Path;

use super::deaths::Deaths;
use super::dedup::Dedup;
use super::fold::Fold;
use super::index::{self, Index, IndexFault};
use super::indexer::{Indexer, start_of};
use super::lane::Lanes;
use super::queue::{Entry, NEVER};
use super::readers::Readers;
use crate::domain::Clock;

/// So often a transaction is tried with what there is before the index is built anew.
const TRIES_MAX: u32 = 3;
/// More records than this are not read into memory, some 300 MB: the start fails then.
const TAIL_RECORDS_MAX: usize = 1_000_000;

/// How long it has been going on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Starved {
    tries: u32,
    /// A start found no space.
    pub(super) from_the_start: bool,
    /// It was built anew already: that is not the way out.
    built_anew: bool,
}

// === impl Indexer ===

impl Indexer {
    /// Makes room for the next try; true where the index had better be built anew.
    pub(super) fn make_room(&mut self) -> bool {
        self.starved.tries += 1;
        self.let_go_of_the_rest();
        self.index.empty_wal();
        let anew = self.starved.tries >= TRIES_MAX && !self.starved.built_anew && self.index.is_wal_large();
        if anew {
            self.starved.built_anew = true;
            let wal_bytes = self.index.wal_bytes();
            tracing::warn!(wal_bytes, "the disk has no space to empty the index's WAL: the index is built anew");
        }
        anew
    }

    /// What the store can do without.
    fn let_go_of_the_rest(&self) {
        match self.segments.give_spare_up() {
            Ok(true) => tracing::info!("the journal file that lay ready was given up: the index needs its space"),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "the journal file that lies ready cannot be removed"),
        }
        for path in [self.path.clone(), self.path.with_file_name("rejections.db")] {
            if index::remove_set_aside(&path) {
                tracing::warn!(file = %path.display(), "the copy of a damaged file was removed: there is no space for it");
            }
        }
    }

    /// What is open keeps its space, so everybody lets go of it first.
    pub(super) fn build_anew(
        &mut self,
        readers: &Readers,
        clear_away: fn(&Path) -> io::Result<()>,
    ) -> Result<(), IndexFault> {
        self.index.close()?;
        readers.clear();
        clear_away(&self.path)?;
        let start = start_of(&self.segments);
        let mut opened = Index::open(&self.path, self.segments.keys(), start, self.headroom.wal_pages)?;
        if let Some(bell) = self.index.checkpointer.take() {
            opened.call(bell)?;
        }
        self.index = opened;
        Ok(())
    }

    /// Indexes everything; what there is no space for is read into memory instead.
    pub(super) fn index_all(&mut self) -> Result<Option<Fold>, IndexFault> {
        let mut made_room = false;
        loop {
            match self.step(None) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(fault) if fault.is_no_space() => {
                    self.start_over();
                    if std::mem::replace(&mut made_room, true) {
                        return self.read_tail(fault).map(Some);
                    }
                    self.let_go_of_the_rest();
                    self.index.empty_wal();
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    fn read_tail(&mut self, fault: IndexFault) -> Result<Fold, IndexFault> {
        let mut fold = Fold::default();
        if !self.read(&mut fold, None, TAIL_RECORDS_MAX)? {
            return Err(fault);
        }
        tracing::warn!(records = fold.records, "the disk has no space for the index, which stays behind");
        self.gate.set_index_trouble(Some(format!(
            "the index cannot be written ({fault}): what was kept is delivered, lists are old; free space on the disk"
        )));
        self.starved.from_the_start = true;
        // Counted down when it comes to it.
        self.metrics.index_lag.inc_by(fold.admitted.into());
        // Looked at again then.
        self.damage.clear();
        Ok(fold)
    }
}

/// What the index does not hold, where it is looked for beside the index.
pub(super) fn load_tail(tail: &mut Fold, lanes: &Lanes, dedup: &Dedup, deaths: &Deaths, clock: &Clock) {
    tail.sort();
    let now = clock.now();
    tail.marks.iter().for_each(|mark| dedup.commit(&mark.key, mark.seq));
    tail.died.iter().for_each(|key| deaths.add(*key));
    for (key, row) in tail.deliveries.iter().filter(|(_, row)| row.progress.is_open()) {
        let entry = Entry {
            key: *key,
            attempts: row.progress.attempts,
            place: row.event,
            due_at: row.progress.due_at,
            expires_at: row.expires_at.unwrap_or(NEVER),
            event: None,
        };
        lanes.lane(&row.target).with(|queue| queue.load(entry, now));
    }
}
