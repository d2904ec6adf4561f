//! A body that is whole and in memory, and the buffer in which it grows.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::budget::Share;

/// A whole request body, byte for byte as it was sent, without its trailers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buffered(Bytes);

/// A body on its way.
#[derive(Debug)]
pub(super) struct Buffer {
    held: Held,
    bytes_max: usize,
    /// What it will hold at the most, as far as that is known: no memory is taken beyond it.
    expected_max: usize,
    share: Share,
}

#[derive(Debug)]
enum Held {
    /// Nothing, or one frame: kept as it came, without a copy.
    Frame(Bytes),
    /// Several frames, copied together.
    Joined(Vec<u8>),
}

/// Why a frame was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// The body is larger than `bytes_max`.
    TooLarge,
    /// The budget of all bodies is used up.
    Memory,
}

/// The first buffer for a body of several frames, in bytes: memory is taken as bytes come, not as a sender
/// promises them.
const JOINED_BYTES_MIN: usize = 16 << 10;

// === impl Buffered ===

impl Buffered {
    /// The bytes; a clone of them is cheap.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The bytes, taken out.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl From<Bytes> for Buffered {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl AsRef<Bytes> for Buffered {
    fn as_ref(&self) -> &Bytes {
        &self.0
    }
}

impl AsRef<[u8]> for Buffered {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Body for Buffered {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.0.is_empty() {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.0)))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}

// === impl Buffer ===

impl Buffer {
    /// Empty, bounded by `bytes_max` and by what `share` can grow to; `declared` is the length that the
    /// sender gave.
    pub(super) fn new(bytes_max: usize, declared: Option<u64>, share: Share) -> Self {
        let declared = declared.and_then(|length| usize::try_from(length).ok());
        let expected_max = declared.unwrap_or(bytes_max).min(bytes_max);
        Self { held: Held::Frame(Bytes::new()), bytes_max, expected_max, share }
    }

    /// Takes the next frame.
    pub(super) fn push(&mut self, frame: Bytes) -> Result<(), Full> {
        let len = self.len().saturating_add(frame.len());
        if len > self.bytes_max {
            return Err(Full::TooLarge);
        }
        match &mut self.held {
            Held::Frame(empty) if empty.is_empty() => {
                reserve(&mut self.share, len)?;
                self.held = Held::Frame(frame);
            }
            Held::Frame(first) => {
                let capacity = next_capacity(JOINED_BYTES_MIN, len, self.expected_max);
                reserve(&mut self.share, capacity)?;
                let mut joined = Vec::with_capacity(capacity);
                joined.extend_from_slice(first);
                joined.extend_from_slice(&frame);
                self.held = Held::Joined(joined);
            }
            Held::Joined(joined) => {
                if len > joined.capacity() {
                    let capacity = next_capacity(joined.capacity(), len, self.expected_max);
                    reserve(&mut self.share, capacity)?;
                    joined.reserve_exact(capacity - joined.len());
                }
                joined.extend_from_slice(&frame);
            }
        }
        Ok(())
    }

    /// The body, and its share of the budget to be held as long as the body.
    pub(super) fn finish(self) -> (Buffered, Share) {
        let bytes = match self.held {
            Held::Frame(bytes) => bytes,
            Held::Joined(joined) => Bytes::from(joined),
        };
        (Buffered(bytes), self.share)
    }

    /// How much is here so far, in bytes.
    pub(super) fn len(&self) -> usize {
        match &self.held {
            Held::Frame(bytes) => bytes.len(),
            Held::Joined(joined) => joined.len(),
        }
    }
}

fn reserve(share: &mut Share, bytes: usize) -> Result<(), Full> {
    if share.grow_to(bytes) { Ok(()) } else { Err(Full::Memory) }
}

/// Doubled, enough for `needed`, not above what will ever be needed.
fn next_capacity(capacity: usize, needed: usize, expected_max: usize) -> usize {
    capacity.saturating_mul(2).min(expected_max).max(needed)
}

#[cfg(test)]
mod tests {
    use super::super::BodyBudget;
    use super::*;

    fn buffer(bytes_max: usize, budget: &BodyBudget) -> Buffer {
        Buffer::new(bytes_max, None, budget.share())
    }

    #[test]
    fn one_frame_is_kept_without_a_copy() {
        let (budget, frame) = (BodyBudget::new(100), Bytes::from(vec![7; 10]));
        let mut one = buffer(10, &budget);
        one.push(frame.clone()).unwrap();
        let (body, share) = one.finish();
        assert_eq!(body.bytes().as_ptr(), frame.as_ptr());
        assert_eq!(budget.used(), 10);
        drop(share);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn frames_are_joined_in_order_and_never_exceed_the_budget() {
        let budget = BodyBudget::new(1 << 20);
        let mut joined = buffer(100_000, &budget);
        let mut expected = Vec::new();
        for number in 0..100_u8 {
            let frame = vec![number; 1000];
            joined.push(Bytes::from(frame.clone())).unwrap();
            expected.extend(frame);
            assert!(budget.used() >= expected.len() && budget.used() <= 100_000, "{}", budget.used());
        }
        assert_eq!(joined.push(Bytes::from_static(b"x")), Err(Full::TooLarge));
        assert_eq!(joined.finish().0.into_bytes(), expected);
    }

    #[test]
    fn a_declared_length_bounds_what_is_taken() {
        let budget = BodyBudget::new(1 << 20);
        let mut joined = Buffer::new(1 << 20, Some(70_000), budget.share());
        for _ in 0..7 {
            joined.push(Bytes::from(vec![0; 10_000])).unwrap();
        }
        assert_eq!(budget.used(), 70_000);
    }

    #[test]
    fn a_full_budget_refuses_and_what_was_held_is_given_back() {
        let budget = BodyBudget::new(50_000);
        let mut joined = buffer(100_000, &budget);
        joined.push(Bytes::from(vec![0; 30_000])).unwrap();
        assert_eq!(joined.push(Bytes::from(vec![0; 30_000])), Err(Full::Memory));
        drop(joined);
        assert_eq!(budget.used(), 0);
    }
}
