//! One file of the journal: a header, then records one after the other.
//!
//! The header stands in the first block twice, so that a damaged sector does not cost the file. It carries
//! the salt that ties the records to this life of the file, and the keys of the store, which thereby survive
//! the loss of everything else. A segment appears under its name only when it is whole (written as `.new`,
//! synced, renamed, folder synced), so rolling to it is free of surprises.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use rustix::fs::{FallocateFlags, SeekFrom, fallocate};
use rustix::io::Errno;

use super::record::{FRAME_BYTES, Kind, Payload, Place, RECORD_VERSION};
use crate::store::StoreKeys;

/// The format of the folder; a change that older builds cannot read raises it. Older ones are read, but not
/// written: a file says what is in it.
pub(super) const FORMAT_VERSION: u32 = 2;

/// Records start here.
pub(super) const HEADER_BYTES: u32 = 4096;

const MAGIC: [u8; 8] = *b"hookward";
const HEADER_FIELDS_BYTES: usize = 68;
const HEADER_COPIES_AT: [usize; 2] = [0, 2048];

/// What was never written reads so.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// An open file of the journal.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u32,
    /// Bytes that may be used, header included.
    pub(super) capacity: u32,
    format: u32,
    salt: u64,
    file: File,
    /// Up to here the blocks have been written once, as far as this process knows; behind it they are only set aside.
    laid: AtomicU32,
}

/// Why a file is not a segment.
#[derive(Debug)]
pub(super) enum HeaderFault {
    Io(io::Error),
    /// Another version of the format.
    Version(u32),
    /// Both copies of the header are damaged.
    Damaged,
}

/// Why a record could not be read back.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadFault {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("its checksum does not hold")]
    Damaged,
}

// === impl ReadFault ===

impl ReadFault {
    /// Whether nothing is wrong with the record: the machine lacks something, and may have it again soon.
    pub(super) fn may_pass(&self) -> bool {
        let Self::Io(error) = self else { return false };
        matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN))
    }
}

// === impl Segment ===

impl Segment {
    /// Makes the file whole and durable, then gives it its name.
    pub(super) fn create(folder: &Path, number: u32, capacity: u32, keys: &StoreKeys) -> io::Result<Self> {
        let unfinished = folder.join(format!("{number:010}.new"));
        let created = Self::create_unfinished(&unfinished, number, capacity, keys);
        let segment = created.inspect_err(|_| {
            // What is left of a file that did not fit would only take the space that it lacks.
            drop(std::fs::remove_file(&unfinished));
        })?;
        std::fs::rename(&unfinished, path_of(folder, number))?;
        sync(&File::open(folder)?)?;
        Ok(segment)
    }

    fn create_unfinished(path: &Path, number: u32, capacity: u32, keys: &StoreKeys) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
        preallocate(&file, capacity)?;
        let mut salt = [0; 8];
        getrandom::fill(&mut salt).map_err(io::Error::other)?;
        let (format, salt, laid) = (FORMAT_VERSION, u64::from_le_bytes(salt), AtomicU32::new(HEADER_BYTES));
        let segment = Self { number, capacity, format, salt, file, laid };
        let fields = segment.header_fields(keys);
        let mut header = vec![0; HEADER_BYTES as usize];
        for at in HEADER_COPIES_AT {
            if let Some(copy) = header.get_mut(at..at + HEADER_FIELDS_BYTES + 4) {
                copy.copy_from_slice(&fields);
            }
        }
        segment.file.write_all_at(&header, 0)?;
        sync(&segment.file)?;
        Ok(segment)
    }

    fn header_fields(&self, keys: &StoreKeys) -> Vec<u8> {
        let mut fields = Vec::with_capacity(HEADER_FIELDS_BYTES + 4);
        fields.extend_from_slice(&MAGIC);
        fields.extend_from_slice(&self.format.to_le_bytes());
        fields.extend_from_slice(&self.number.to_le_bytes());
        fields.extend_from_slice(&self.capacity.to_le_bytes());
        fields.extend_from_slice(&self.salt.to_le_bytes());
        fields.extend_from_slice(&keys.mint);
        fields.extend_from_slice(&keys.hash);
        fields.resize(HEADER_FIELDS_BYTES, 0);
        let checksum = crc32fast::hash(&fields);
        fields.extend_from_slice(&checksum.to_le_bytes());
        fields
    }

    /// Opens a file that [`create`](Self::create) made.
    pub(super) fn open(path: &Path) -> Result<(Self, StoreKeys), HeaderFault> {
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(HeaderFault::Io)?;
        let mut header = Vec::new();
        (&file).take(u64::from(HEADER_BYTES)).read_to_end(&mut header).map_err(HeaderFault::Io)?;
        for at in HEADER_COPIES_AT {
            let Some(fields) = header.get(at..at + HEADER_FIELDS_BYTES + 4) else { continue };
            let Some(parsed) = ParsedHeader::read(fields) else { continue };
            let ParsedHeader { version: format, number, capacity, salt, keys } = parsed;
            if !(1..=FORMAT_VERSION).contains(&format) {
                return Err(HeaderFault::Version(format));
            }
            return Ok((Self { number, capacity, format, salt, file, laid: AtomicU32::new(HEADER_BYTES) }, keys));
        }
        Err(HeaderFault::Damaged)
    }

    /// Whether an older build made it: nothing is added to it that such a build could not read.
    pub(super) fn is_old(&self) -> bool {
        self.format < FORMAT_VERSION
    }

    /// Gives back the space behind `end` of a segment that takes no more records.
    pub(super) fn shrink(&self, end: u32) -> io::Result<()> {
        self.file.set_len(u64::from(end))
    }

    /// Makes sure that the whole capacity is there, also after the file was cut.
    pub(super) fn restore_capacity(&self) -> io::Result<()> {
        if self.file.metadata()?.len() < u64::from(self.capacity) {
            preallocate(&self.file, self.capacity)?;
            sync(&self.file)?;
        }
        Ok(())
    }

    /// Bytes that the file really has, at most the capacity.
    pub(super) fn bytes(&self) -> io::Result<u32> {
        let len = self.file.metadata()?.len();
        Ok(u32::try_from(len).unwrap_or(u32::MAX).min(self.capacity))
    }

    pub(super) fn write_at(&self, bytes: &[u8], offset: u32) -> io::Result<()> {
        self.file.write_all_at(bytes, u64::from(offset))
    }

    /// Makes what was written durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        sync(&self.file)
    }

    /// Reads up to `bytes` from `offset`; fewer at the end of the file.
    pub(super) fn read_at(&self, offset: u32, bytes: usize) -> io::Result<Bytes> {
        let mut buffer = vec![0; bytes];
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, u64::from(offset) + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        buffer.truncate(filled);
        Ok(Bytes::from(buffer))
    }

    /// Behind the last byte that is not zero; `from` where there is none from there on.
    pub(super) fn data_end(&self, from: u32) -> io::Result<u32> {
        let (mut at, mut end) = (from, from);
        loop {
            // What was set aside and never written is skipped; a file system that cannot tell has everything read.
            match rustix::fs::seek(&self.file, SeekFrom::Data(u64::from(at))) {
                Err(rustix::io::Errno::NXIO) => return Ok(end),
                Ok(data) => at = at.max(u32::try_from(data).unwrap_or(u32::MAX)),
                Err(_) => {}
            }
            let chunk = self.read_at(at, ZEROS.len())?;
            if chunk.is_empty() {
                return Ok(end);
            }
            if ZEROS.get(..chunk.len()) != Some(&*chunk) {
                let last = chunk.iter().rposition(|byte| *byte != 0).unwrap_or_default();
                end = at.saturating_add(u32::try_from(last + 1).unwrap_or(u32::MAX));
            }
            at = at.saturating_add(u32::try_from(chunk.len()).unwrap_or(u32::MAX));
        }
    }

    /// Writes zeros from `from` to `to`.
    pub(super) fn wipe(&self, from: u32, to: u32) -> io::Result<()> {
        let mut at = from;
        while let Some(left) = to.checked_sub(at).filter(|left| *left > 0) {
            let zeros = ZEROS.get(..left as usize).unwrap_or(&ZEROS);
            self.write_at(zeros, at)?;
            at = at.saturating_add(u32::try_from(zeros.len()).unwrap_or(u32::MAX));
        }
        Ok(())
    }

    /// How far [`lay`](Self::lay) has come.
    pub(super) fn laid(&self) -> u32 {
        self.laid.load(Ordering::Relaxed)
    }

    /// Whether every block has been written once: syncing what is written over them writes no metadata.
    pub(super) fn is_laid(&self) -> bool {
        self.laid() >= self.capacity
    }

    /// Writes the next `bytes` of zeros; only for a segment that holds no records yet. Durable after a sync.
    pub(super) fn lay(&self, bytes: u32) -> io::Result<()> {
        let from = self.laid();
        let to = from.saturating_add(bytes).min(self.capacity);
        self.wipe(from, to)?;
        self.laid.store(to, Ordering::Relaxed);
        Ok(())
    }

    /// Reads one record and verifies it.
    pub(super) fn read(&self, place: Place) -> Result<Payload, ReadFault> {
        let bytes = self.read_at(place.offset, place.bytes as usize)?;
        let (payload, length) = self.parse(&bytes, place.offset).ok_or(ReadFault::Damaged)?;
        if length == place.bytes { Ok(payload) } else { Err(ReadFault::Damaged) }
    }

    /// The record at the start of `bytes`, which lie at `offset`, and its whole length.
    ///
    /// `None` where there is none, or not all of it, or it is damaged.
    pub(super) fn parse(&self, bytes: &Bytes, offset: u32) -> Option<(Payload, u32)> {
        let frame = bytes.get(..FRAME_BYTES)?;
        let field = |at: usize| frame.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        if field(0)? != self.mark() {
            return None;
        }
        let payload_bytes = field(8)? as usize;
        let checked = bytes.get(8..FRAME_BYTES.checked_add(payload_bytes)?)?;
        if crc32fast::hash(checked) ^ self.mask(offset) != field(4)? {
            return None;
        }
        let (kind, version) = (*frame.get(12)?, *frame.get(13)?);
        let kind = Kind::from_byte(kind).filter(|_| (1..=RECORD_VERSION).contains(&version))?;
        let length = (FRAME_BYTES + payload_bytes).next_multiple_of(8);
        let payload = Payload { kind, version, bytes: bytes.slice(FRAME_BYTES..FRAME_BYTES + payload_bytes) };
        Some((payload, u32::try_from(length).ok()?))
    }

    /// Ties a framed record to this segment and `offset`.
    pub(super) fn seal(&self, record: &mut [u8], offset: u32) {
        if let Some(mark) = record.get_mut(..4) {
            mark.copy_from_slice(&self.mark().to_le_bytes());
        }
        let mask = self.mask(offset).to_le_bytes();
        for (byte, mask) in record.iter_mut().skip(4).zip(mask) {
            *byte ^= mask;
        }
    }

    /// What every record of this segment starts with.
    pub(super) fn mark(&self) -> u32 {
        (self.salt >> 32) as u32
    }

    fn mask(&self, offset: u32) -> u32 {
        self.salt as u32 ^ offset
    }
}

/// The fields of a header whose checksum holds.
struct ParsedHeader {
    version: u32,
    number: u32,
    capacity: u32,
    salt: u64,
    keys: StoreKeys,
}

impl ParsedHeader {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (fields, checksum) = bytes.split_at_checked(HEADER_FIELDS_BYTES)?;
        let u32_at = |at: usize| fields.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        let whole = fields.starts_with(&MAGIC) && crc32fast::hash(fields).to_le_bytes() == *checksum;
        whole.then_some(())?;
        Some(Self {
            version: u32_at(8)?,
            number: u32_at(12)?,
            capacity: u32_at(16)?,
            salt: u64::from_le_bytes(fields.get(20..28)?.try_into().ok()?),
            keys: StoreKeys { mint: fields.get(28..44)?.try_into().ok()?, hash: fields.get(44..60)?.try_into().ok()? },
        })
    }
}

/// Where the segment with this number lies.
pub(super) fn path_of(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:010}.journal"))
}

/// The one place where the journal is made durable.
pub(super) fn sync(file: &File) -> io::Result<()> {
    // Broken on purpose: the loss harness proves with it that a power cut would be noticed.
    if cfg!(feature = "fault-no-fsync") {
        return Ok(());
    }
    file.sync_data()
}

fn preallocate(file: &File, capacity: u32) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, u64::from(capacity)) {
        // Not every file system can: there the file only gets its length.
        Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(u64::from(capacity)),
        other => other.map_err(io::Error::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn laying_writes_zeros_piece_by_piece_and_leaves_the_header_alone() {
        let folder = tempfile::tempdir().unwrap();
        let capacity = 256 * 1024;
        let segment = Segment::create(folder.path(), 1, capacity, &StoreKeys::random().unwrap()).unwrap();
        let header = segment.read_at(0, HEADER_BYTES as usize).unwrap();
        let written = [HEADER_BYTES, 104_095, 104_096, capacity - 1];
        for at in written {
            segment.write_at(b"x", at).unwrap();
        }
        let left = || written.map(|at| segment.read_at(at, 1).unwrap() == "x");
        segment.lay(100_000).unwrap();
        assert_eq!((segment.laid(), segment.is_laid(), left()), (104_096, false, [false, false, true, true]));
        segment.lay(u32::MAX).unwrap();
        assert_eq!((segment.is_laid(), left()), (true, [false; 4]));
        assert_eq!(segment.read_at(0, HEADER_BYTES as usize).unwrap(), header);
        assert_eq!(segment.bytes().unwrap(), capacity);
        assert_eq!(segment.data_end(HEADER_BYTES).unwrap(), HEADER_BYTES, "zeros are no data");
    }
}
