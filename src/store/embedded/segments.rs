//! The folder of the journal: which segments there are, open handles, the next segment made ahead of time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::OpenError;
use super::headroom::disk_free;
use super::record::{Payload, Place, Position};
use super::segment::{self, HeaderFault, ReadFault, Segment};
use crate::store::StoreKeys;

/// The largest segment; a record that does not fit gets one of its own.
const SEGMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;
const SEGMENT_BYTES_MIN: u64 = 1024 * 1024;
/// The smallest segment of a store whose `bytes_max` is small, and of a disk that is nearly full.
const SEGMENT_BYTES_LEAST: u64 = 256 * 1024;

/// Handles that stay open beside the newest one.
const OPEN_SEGMENTS_MAX: usize = 32;

/// So much of a spare is laid at a time, in bytes: little enough that a roll does not wait for it.
const LAY_BYTES: u32 = 1024 * 1024;

/// All segments of a store.
#[derive(Debug)]
pub(super) struct Segments {
    folder: PathBuf,
    keys: StoreKeys,
    /// No segment is larger, unless one record is.
    bytes_max: u64,
    numbers: Mutex<BTreeSet<u32>>,
    open: Mutex<BTreeMap<u32, Arc<Segment>>>,
    next: Mutex<Next>,
}

/// What follows the segment that is being written; behind one lock, so that both always fit together.
#[derive(Debug, Default)]
struct Next {
    /// The segment that is being written.
    active: u32,
    /// The one after it, ready to be written.
    spare: Option<Arc<Segment>>,
}

/// The folder as it was found.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) segments: Segments,
    /// Files that were set aside because nothing in them can be verified.
    pub(super) damaged_files: u64,
}

// === impl Segments ===

impl Segments {
    /// Reads the folder, or makes it with the first segment; a new one has `new_keys`, else random ones.
    pub(super) fn open(
        folder: PathBuf,
        store_bytes_max: Option<u64>,
        new_keys: Option<StoreKeys>,
    ) -> Result<Opened, OpenError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(OpenError::folder("make the folder", &folder))?;
        let mut found = BTreeMap::new();
        let mut keys = None;
        let mut damaged_files = 0;
        for (number, path) in list(&folder).map_err(OpenError::folder("list", &folder))? {
            match Segment::open(&path) {
                Ok((segment, its_keys)) if segment.number == number => {
                    keys = Some(its_keys);
                    found.insert(number, Arc::new(segment));
                }
                Ok(_) | Err(HeaderFault::Damaged) => {
                    damaged_files += 1;
                    let aside = path.with_extension("damaged");
                    tracing::error!(file = %path.display(), "the header of a journal file is damaged, set aside");
                    std::fs::rename(&path, &aside).map_err(OpenError::folder("set aside", &path))?;
                }
                Err(HeaderFault::Version(found)) => {
                    return Err(OpenError::Format { path, found, expected: segment::FORMAT_VERSION });
                }
                Err(HeaderFault::Io(error)) => return Err(OpenError::folder("open", path)(error)),
            }
        }
        let keys = match keys.or(new_keys) {
            Some(keys) => keys,
            None => StoreKeys::random().map_err(OpenError::folder("make the keys of", &folder))?,
        };
        let numbers = found.keys().copied().collect();
        let segments = Self {
            folder,
            keys,
            // An eighth: one is written, one lies ready, the others can go one by one.
            bytes_max: store_bytes_max.map_or(SEGMENT_BYTES_MAX, |max| (max / 8).max(SEGMENT_BYTES_LEAST)),
            numbers: Mutex::new(numbers),
            open: Mutex::new(found),
            next: Mutex::default(),
        };
        if segments.numbers().is_empty() {
            let first =
                segments.create(1, 0, None).map_err(OpenError::folder("make a journal file in", &segments.folder))?;
            lock(&segments.open).insert(first.number, first);
        }
        Ok(Opened { segments, damaged_files })
    }

    pub(super) fn keys(&self) -> &StoreKeys {
        &self.keys
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Ascending.
    pub(super) fn numbers(&self) -> Vec<u32> {
        lock(&self.numbers).iter().copied().collect()
    }

    /// The lowest number above `number`.
    pub(super) fn after(&self, number: u32) -> Option<u32> {
        lock(&self.numbers).range(number.saturating_add(1)..).next().copied()
    }

    /// The segment with this number, opened if need be.
    pub(super) fn get(&self, number: u32) -> io::Result<Arc<Segment>> {
        let mut open = lock(&self.open);
        if let Some(segment) = open.get(&number) {
            return Ok(Arc::clone(segment));
        }
        let (segment, _) = Segment::open(&segment::path_of(&self.folder, number)).map_err(|fault| match fault {
            HeaderFault::Io(error) => error,
            other => io::Error::other(format!("{other:?}")),
        })?;
        let segment = Arc::new(segment);
        open.insert(number, Arc::clone(&segment));
        while open.len() > OPEN_SEGMENTS_MAX {
            // The newest are the busiest; the oldest that is not the one just asked for goes.
            let Some(oldest) = open.keys().copied().find(|oldest| *oldest != number) else { break };
            open.remove(&oldest);
        }
        Ok(segment)
    }

    /// Reads one record.
    pub(super) fn read(&self, place: Place) -> Result<Payload, ReadFault> {
        self.get(place.segment)?.read(place)
    }

    /// Writing goes on in this segment.
    pub(super) fn set_active(&self, number: u32) {
        *lock(&self.next) = Next { active: number, spare: None };
    }

    /// About how many bytes of the journal lie between the two.
    pub(super) fn bytes_between(&self, from: Position, to: Position) -> u64 {
        let whole = lock(&self.numbers).range(from.segment..to.segment.max(from.segment)).copied().collect::<Vec<_>>();
        let bytes = |number| std::fs::metadata(segment::path_of(&self.folder, number)).map_or(0, |file| file.len());
        let whole: u64 = whole.into_iter().map(bytes).sum();
        (whole + u64::from(to.offset)).saturating_sub(from.offset.into())
    }

    /// Makes the next segment if there is none ready, and if so many bytes of the disk stay free.
    pub(super) fn prepare_spare(&self, needed_bytes: u64) -> io::Result<()> {
        let mut next = lock(&self.next);
        if next.spare.is_none() {
            next.spare = Some(self.next_spare(next.active, 0, Some(needed_bytes))?);
        }
        Ok(())
    }

    /// Writes zeros over the next blocks of the spare, at most up to `offset`; false where that far is done.
    ///
    /// A sync of what is written over blocks that were written before costs half of one that takes new blocks
    /// into use, for which the file system has metadata to write too.
    pub(super) fn lay_spare(&self, offset: u32) -> io::Result<bool> {
        let next = lock(&self.next);
        let Some(spare) = next.spare.clone().filter(|spare| spare.laid() < offset.min(spare.capacity)) else {
            return Ok(false);
        };
        // Behind the lock, or its first records could be written meanwhile; the slow part, the sync, is not.
        spare.lay(LAY_BYTES)?;
        drop(next);
        spare.sync()?;
        Ok(true)
    }

    /// Whether the active segment's blocks were all written before.
    pub(super) fn active_is_laid(&self) -> bool {
        let active = lock(&self.next).active;
        lock(&self.open).get(&active).is_some_and(|active| active.is_laid())
    }

    /// Whether there is a spare and its blocks were all written before.
    pub(super) fn spare_is_laid(&self) -> bool {
        lock(&self.next).spare.as_ref().is_some_and(|spare| spare.is_laid())
    }

    /// Removes the spare, where there is one; another is made the next time.
    pub(super) fn give_spare_up(&self) -> io::Result<bool> {
        // Behind the lock: nobody may make one with the same number meanwhile.
        let mut next = lock(&self.next);
        let Some(spare) = next.spare.take() else { return Ok(false) };
        self.remove(spare.number)?;
        Ok(true)
    }

    /// The segment that follows the active one, with room for a record of `record_bytes`: the active one now.
    ///
    /// Of a new one `needed_bytes` of the disk stay free, beside what its index will take; `None`: it may have the last of it.
    pub(super) fn roll(&self, record_bytes: usize, needed_bytes: Option<u64>) -> io::Result<Arc<Segment>> {
        let mut next = lock(&self.next);
        let rolled = match next.spare.take() {
            Some(ready) if fits(&ready, record_bytes) => ready,
            Some(ready) => {
                // The number is needed for a larger file.
                self.remove(ready.number)?;
                self.next_spare(next.active, record_bytes, needed_bytes)?
            }
            None => self.next_spare(next.active, record_bytes, needed_bytes)?,
        };
        next.active = rolled.number;
        lock(&self.open).insert(rolled.number, Arc::clone(&rolled));
        Ok(rolled)
    }

    /// Deletes a segment; gives back the bytes that it had.
    pub(super) fn remove(&self, number: u32) -> io::Result<u64> {
        lock(&self.open).remove(&number);
        let path = segment::path_of(&self.folder, number);
        let bytes = std::fs::metadata(&path).map(|metadata| metadata.len()).unwrap_or_default();
        std::fs::remove_file(&path)?;
        lock(&self.numbers).remove(&number);
        segment::sync(&File::open(&self.folder)?)?;
        Ok(bytes)
    }

    fn next_spare(&self, after: u32, record_bytes: usize, needed_bytes: Option<u64>) -> io::Result<Arc<Segment>> {
        // A spare of an earlier run lies ready under the next number.
        if let Some(number) = self.after(after) {
            let segment = self.get(number)?;
            if fits(&segment, record_bytes) {
                return Ok(segment);
            }
            self.remove(number)?;
        }
        self.create(after.saturating_add(1), record_bytes, needed_bytes)
    }

    fn create(&self, number: u32, record_bytes: usize, needed_bytes: Option<u64>) -> io::Result<Arc<Segment>> {
        let free = self.disk_free()?;
        let least = if free < SEGMENT_BYTES_MIN * 8 { SEGMENT_BYTES_LEAST } else { SEGMENT_BYTES_MIN };
        let usual = (free / 8).clamp(least, SEGMENT_BYTES_MAX).min(self.bytes_max);
        let needed = record_bytes as u64 + u64::from(segment::HEADER_BYTES) + 64;
        let capacity = u32::try_from(usual.max(needed).next_multiple_of(4096)).unwrap_or(u32::MAX);
        // What comes into it will be indexed too.
        let wanted = needed_bytes.map_or(capacity.into(), |needed| needed.saturating_add(u64::from(capacity) * 2));
        if free < wanted {
            let needed = needed_bytes.unwrap_or_default();
            let message = format!("{free} bytes are free, of which what is stored needs {needed}");
            return Err(io::Error::new(io::ErrorKind::StorageFull, message));
        }
        let created = Segment::create(&self.folder, number, capacity, &self.keys)?;
        lock(&self.numbers).insert(number);
        Ok(Arc::new(created))
    }

    /// Bytes that the disk has left for us.
    pub(super) fn disk_free(&self) -> io::Result<u64> {
        disk_free(&self.folder)
    }
}

/// Whether records of this build, of this size, can go into it.
fn fits(segment: &Segment, record_bytes: usize) -> bool {
    !segment.is_old() && record_bytes as u64 + u64::from(segment::HEADER_BYTES) + 64 <= u64::from(segment.capacity)
}

/// The journal files of a folder by number; what was not finished is removed.
fn list(folder: &Path) -> io::Result<BTreeMap<u32, PathBuf>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if extension == Some("new") {
            std::fs::remove_file(&path)?;
        }
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let (Some("journal"), Some(number)) = (extension, number) {
            found.insert(number, path);
        }
    }
    Ok(found)
}

/// A thread that panicked cannot have left these maps half changed.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
