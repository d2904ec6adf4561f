//! Deliveries that succeeded before their event entered the index: they lie packed in the event's row.
//!
//! Nearly all deliveries are of this kind, and none of them costs a row. Whatever else becomes of a delivery,
//! also later, gets a row of its own in `deliveries`, and that row counts then.

use std::sync::Arc;

use super::key::Key;
use super::record::{Place, Progress};
use super::rows::DeliveryRecordRow;
use crate::domain::{DeliveryState, Seq, Timestamp};

/// Bytes behind the entries.
const CHECKSUM_BYTES: usize = 4;
/// Stands for what is absent.
const NO_CODE: u16 = 0;
const NO_MILLIS: u32 = u32::MAX;
const NO_OUTCOME: u8 = u8::MAX;
const NO_TIME: u64 = u64::MAX;

/// A delivery in an event's row; the target still as its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packed {
    pub(super) ordinal: u16,
    pub(super) target: i64,
    attempts: u16,
    code: u16,
    outcome: u8,
    millis: u32,
    due_at: u64,
    pub(super) finished_at: u64,
    expires_at: u64,
    last: Place,
}

/// Builds the bytes of one event.
#[derive(Debug, Default)]
pub(super) struct Packer {
    bytes: Vec<u8>,
}

// === impl Packer ===

impl Packer {
    /// Adds a delivery; false where it needs a row.
    pub(super) fn add(&mut self, ordinal: u16, target: i64, row: &DeliveryRecordRow) -> bool {
        let Progress { state, attempts, due_at, finished_at, response_code, response_millis, outcome, .. } =
            row.progress;
        let (Ok(target), Some(last)) = (u32::try_from(target), row.last) else { return false };
        if state != DeliveryState::Succeeded || row.stored.is_some() {
            return false;
        }
        let out = &mut self.bytes;
        out.extend_from_slice(&ordinal.to_le_bytes());
        out.extend_from_slice(&target.to_le_bytes());
        out.extend_from_slice(&attempts.to_le_bytes());
        out.extend_from_slice(&response_code.unwrap_or(NO_CODE).to_le_bytes());
        out.push(outcome.map_or(NO_OUTCOME, super::encode::outcome_byte));
        out.extend_from_slice(&response_millis.unwrap_or(NO_MILLIS).to_le_bytes());
        out.extend_from_slice(&due_at.0.to_le_bytes());
        out.extend_from_slice(&finished_at.0.to_le_bytes());
        out.extend_from_slice(&row.expires_at.map_or(NO_TIME, |at| at.0).to_le_bytes());
        for part in [last.segment, last.offset, last.bytes] {
            out.extend_from_slice(&part.to_le_bytes());
        }
        true
    }

    /// The bytes for the event's row; empty where nothing was added. The packer is empty afterwards.
    pub(super) fn finish(
        &mut self,
        seq: Seq,
        place: Place,
        then: impl FnOnce(&[u8]) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        if !self.bytes.is_empty() {
            let checksum = checksum(seq, place, &self.bytes);
            self.bytes.extend_from_slice(&checksum);
        }
        let done = then(&self.bytes);
        self.bytes.clear();
        done
    }
}

/// What was packed into the row of an event that lies at `place`, by ordinal; `None`: it is damaged.
pub(super) fn unpack(seq: Seq, place: Place, bytes: &[u8]) -> Option<Vec<Packed>> {
    let Some(end) = bytes.len().checked_sub(CHECKSUM_BYTES) else { return bytes.is_empty().then(Vec::new) };
    let (mut entries, stored) = bytes.split_at_checked(end)?;
    if checksum(seq, place, entries) != stored {
        return None;
    }
    let mut unpacked = Vec::new();
    while !entries.is_empty() {
        unpacked.push(Packed {
            ordinal: take(&mut entries).map(u16::from_le_bytes)?,
            target: take(&mut entries).map(u32::from_le_bytes)?.into(),
            attempts: take(&mut entries).map(u16::from_le_bytes)?,
            code: take(&mut entries).map(u16::from_le_bytes)?,
            outcome: take(&mut entries).map(u8::from_le_bytes)?,
            millis: take(&mut entries).map(u32::from_le_bytes)?,
            due_at: take(&mut entries).map(u64::from_le_bytes)?,
            finished_at: take(&mut entries).map(u64::from_le_bytes)?,
            expires_at: take(&mut entries).map(u64::from_le_bytes)?,
            last: Place {
                segment: take(&mut entries).map(u32::from_le_bytes)?,
                offset: take(&mut entries).map(u32::from_le_bytes)?,
                bytes: take(&mut entries).map(u32::from_le_bytes)?,
            },
        });
    }
    Some(unpacked)
}

fn take<const COUNT: usize>(from: &mut &[u8]) -> Option<[u8; COUNT]> {
    let (taken, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(*taken)
}

fn checksum(seq: Seq, place: Place, entries: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&seq.0.to_le_bytes());
    for part in [place.segment, place.offset, place.bytes] {
        hasher.update(&part.to_le_bytes());
    }
    hasher.update(entries);
    hasher.finalize().to_le_bytes()
}

// === impl Packed ===

impl Packed {
    /// As a row; the table holds none of it.
    pub(super) fn to_row(self, event: Place, target: Arc<str>) -> DeliveryRecordRow {
        let progress = Progress {
            state: DeliveryState::Succeeded,
            dead_reason: None,
            attempts: self.attempts,
            due_at: Timestamp(self.due_at),
            finished_at: Timestamp(self.finished_at),
            response_code: (self.code != NO_CODE).then_some(self.code),
            response_millis: (self.millis != NO_MILLIS).then_some(self.millis),
            outcome: super::decode::outcome(self.outcome),
        };
        let expires_at = (self.expires_at != NO_TIME).then_some(Timestamp(self.expires_at));
        DeliveryRecordRow { target, progress, expires_at, event, last: Some(self.last), stored: None }
    }

    /// The key of this delivery of an event.
    pub(super) fn key(self, seq: Seq) -> Key {
        Key { seq, ordinal: self.ordinal }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::OutcomeClass;

    const EVENT: Place = Place { segment: 3, offset: 4096, bytes: 512 };

    fn row(state: DeliveryState) -> DeliveryRecordRow {
        let progress = Progress {
            state,
            dead_reason: None,
            attempts: 2,
            due_at: Timestamp(77),
            finished_at: Timestamp(99),
            response_code: Some(204),
            response_millis: None,
            outcome: Some(OutcomeClass::Succeeded),
        };
        let last = Some(Place { segment: 3, offset: 9000, bytes: 64 });
        DeliveryRecordRow { target: "crm".into(), progress, expires_at: None, event: EVENT, last, stored: None }
    }

    fn packed() -> Vec<u8> {
        let mut packer = Packer::default();
        assert!(packer.add(0, 7, &row(DeliveryState::Succeeded)));
        assert!(!packer.add(1, 8, &row(DeliveryState::Dead)), "this one needs a row");
        assert!(packer.add(
            2,
            9,
            &DeliveryRecordRow { expires_at: Some(Timestamp(5)), ..row(DeliveryState::Succeeded) }
        ));
        let mut bytes = Vec::new();
        packer
            .finish(Seq(11), EVENT, |packed| {
                bytes.extend_from_slice(packed);
                Ok(())
            })
            .unwrap();
        bytes
    }

    #[test]
    fn what_is_packed_comes_back() {
        let unpacked = unpack(Seq(11), EVENT, &packed()).unwrap();
        let places: Vec<_> = unpacked.iter().map(|one| (one.ordinal, one.target)).collect();
        assert_eq!(places, [(0, 7), (2, 9)]);
        let expected = row(DeliveryState::Succeeded);
        let found = unpacked[0].to_row(EVENT, "crm".into());
        assert_eq!((found.progress, found.last, found.expires_at), (expected.progress, expected.last, None));
        assert_eq!(unpacked[1].to_row(EVENT, "log".into()).expires_at, Some(Timestamp(5)));
        assert_eq!(unpack(Seq(11), EVENT, &[]), Some(Vec::new()));
    }

    #[test]
    fn no_flipped_bit_and_no_other_event_passes() {
        let bytes = packed();
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unpack(Seq(11), EVENT, &bytes), None);
        }
        assert_eq!(unpack(Seq(12), EVENT, &bytes), None);
        assert_eq!(unpack(Seq(11), Place { offset: 0, ..EVENT }, &bytes), None);
        assert!((1..bytes.len()).all(|end| unpack(Seq(11), EVENT, &bytes[..end]).is_none()));
    }
}
