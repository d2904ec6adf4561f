//! Reads the journal from front to back: the same walk for the live index and for a start.
//!
//! What is damaged is stepped over: the walk goes on at the next record that verifies, in this segment or a
//! later one. Only where nothing valid follows does the journal end.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::record::{Kind, Payload, Place, Position};
use super::segment::{HEADER_BYTES, Segment};
use super::segments::Segments;

/// Read ahead this much at a time.
const CHUNK_BYTES: usize = 128 * 1024;

/// A walk through the journal.
#[derive(Debug)]
pub(super) struct Scanner {
    segments: Arc<Segments>,
    at: Position,
    segment: Option<(Arc<Segment>, u32)>,
    chunk: Bytes,
    chunk_at: u32,
    /// Nothing behind it is read.
    limit: Option<Position>,
}

/// What lies next.
#[derive(Debug)]
pub(super) enum Found {
    Record {
        place: Place,
        payload: Payload,
    },
    /// Nothing between these two verifies, but what follows does.
    Damage {
        from: Position,
        to: Position,
    },
    /// Nothing valid follows.
    End,
}

// === impl Scanner ===

impl Scanner {
    pub(super) fn new(segments: Arc<Segments>, from: Position) -> Self {
        Self { segments, at: from, segment: None, chunk: Bytes::new(), chunk_at: 0, limit: None }
    }

    /// Where the next record is looked for; after [`Found::End`] the end of the journal.
    pub(super) fn position(&self) -> Position {
        self.at
    }

    /// The next record before `limit` (all of the journal where there is none).
    pub(super) fn next(&mut self, limit: Option<Position>) -> io::Result<Found> {
        self.limit = limit;
        if limit.is_some_and(|limit| self.at >= limit) {
            // What was read ahead behind the limit may be written by now; and a file that is removed meanwhile takes its space
            // until nobody has it open.
            (self.chunk, self.segment) = (Bytes::new(), None);
            return Ok(Found::End);
        }
        if let Some((place, payload)) = self.record_at(self.at)? {
            self.step_over(place, &payload);
            return Ok(Found::Record { place, payload });
        }
        let from = self.at;
        match self.resume(limit)? {
            Some(to) => {
                self.at = to;
                Ok(Found::Damage { from, to })
            }
            None => {
                self.segment = None;
                self.chunk = Bytes::new();
                Ok(Found::End)
            }
        }
    }

    fn step_over(&mut self, place: Place, payload: &Payload) {
        self.at = place.end();
        if payload.kind == Kind::Rolled {
            let next = self.segments.after(place.segment).unwrap_or(place.segment.saturating_add(1));
            self.at = Position { segment: next, offset: HEADER_BYTES };
        }
    }

    /// The valid record at exactly this position.
    fn record_at(&mut self, at: Position) -> io::Result<Option<(Place, Payload)>> {
        let Some((segment, _)) = self.segment_of(at.segment)? else { return Ok(None) };
        self.fill(&segment, at.offset, CHUNK_BYTES)?;
        if let Some((payload, bytes)) = segment.parse(&self.window(at.offset), at.offset) {
            return Ok(Some((Place { segment: at.segment, offset: at.offset, bytes }, payload)));
        }
        // It may only be longer than what was read ahead; a damaged length reads at most one segment too much.
        let window = self.window(at.offset);
        let marked = window.get(..4).is_some_and(|mark| mark == segment.mark().to_le_bytes());
        let length = window.get(8..12).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes);
        let wanted = (length as usize).saturating_add(32);
        if !marked || wanted <= window.len() || wanted > segment.capacity as usize {
            return Ok(None);
        }
        self.chunk = segment.read_at(at.offset, wanted.max(CHUNK_BYTES))?;
        self.chunk_at = at.offset;
        let parsed = segment.parse(&self.chunk, at.offset);
        Ok(parsed.map(|(payload, bytes)| (Place { segment: at.segment, offset: at.offset, bytes }, payload)))
    }

    /// Looks for the next valid record behind what does not verify.
    fn resume(&mut self, limit: Option<Position>) -> io::Result<Option<Position>> {
        let mut segment_number = self.at.segment;
        let mut offset = self.at.offset.next_multiple_of(8).saturating_add(8);
        loop {
            if let Some(found) = self.resume_in(segment_number, offset, limit)? {
                return Ok(Some(found));
            }
            let Some(next) = self.segments.after(segment_number) else { return Ok(None) };
            (segment_number, offset) = (next, HEADER_BYTES);
        }
    }

    fn resume_in(&mut self, number: u32, mut offset: u32, limit: Option<Position>) -> io::Result<Option<Position>> {
        let Some((segment, end)) = self.segment_of(number)? else { return Ok(None) };
        let mark = segment.mark().to_le_bytes();
        while offset < end {
            if limit.is_some_and(|limit| Position { segment: number, offset } >= limit) {
                return Ok(None);
            }
            self.fill(&segment, offset, CHUNK_BYTES)?;
            let window = self.window(offset);
            if window.len() < 8 {
                return Ok(None);
            }
            let candidate = find_mark(&window, mark);
            let step = candidate.unwrap_or(window.len() / 8 * 8);
            offset = offset.saturating_add(u32::try_from(step).unwrap_or(u32::MAX));
            if candidate.is_some() {
                let at = Position { segment: number, offset };
                if self.record_at(at)?.is_some() {
                    return Ok(Some(at));
                }
                offset = offset.saturating_add(8);
            }
        }
        Ok(None)
    }

    fn segment_of(&mut self, number: u32) -> io::Result<Option<(Arc<Segment>, u32)>> {
        if let Some((segment, end)) = &self.segment
            && segment.number == number
        {
            return Ok(Some((Arc::clone(segment), *end)));
        }
        let segment = match self.segments.get(number) {
            Ok(segment) => segment,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let end = segment.bytes()?;
        self.segment = Some((Arc::clone(&segment), end));
        self.chunk = Bytes::new();
        Ok(Some((segment, end)))
    }

    /// What was read ahead from `offset` on.
    fn window(&self, offset: u32) -> Bytes {
        let skip = offset.saturating_sub(self.chunk_at) as usize;
        if offset < self.chunk_at || skip > self.chunk.len() { Bytes::new() } else { self.chunk.slice(skip..) }
    }

    /// Reads ahead where less than a small record's worth is left.
    fn fill(&mut self, segment: &Segment, offset: u32, bytes: usize) -> io::Result<()> {
        const LEFT_MIN: usize = 16 * 1024;
        if self.window(offset).len() < LEFT_MIN {
            // What lies behind the limit may be half written, and reading it would only fill memory with zeros.
            let limit = self.limit.filter(|limit| limit.segment == segment.number && limit.offset > offset);
            let read_to = self.chunk_at as usize + self.chunk.len();
            if !self.window(offset).is_empty() && limit.is_some_and(|limit| read_to >= limit.offset as usize) {
                return Ok(());
            }
            let bytes = limit.map_or(bytes, |limit| bytes.min((limit.offset - offset) as usize));
            self.chunk = segment.read_at(offset, bytes)?;
            self.chunk_at = offset;
        }
        Ok(())
    }
}

/// Where the mark stands at a multiple of eight.
fn find_mark(window: &[u8], mark: [u8; 4]) -> Option<usize> {
    let finder = memchr::memmem::Finder::new(&mark);
    let mut from = 0;
    loop {
        let at = from + finder.find(window.get(from..)?)?;
        if at % 8 == 0 {
            return Some(at);
        }
        // The next one may overlap this one.
        from = at + 1;
    }
}
