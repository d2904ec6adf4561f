//! Seqs that several gateways give without asking each other.
//!
//! Of a seq's 22 bits behind the milliseconds, eleven count, six are the gateway's number and five the shard. Numbers
//! are handed out in turn, so that two gateways that run at the same time may get the same one after 64 starts:
//! whoever keeps an event under a seq that is taken is told so, and takes the next.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::{Clock, Seq};

const COUNTER_BITS: u32 = 11;
const GATEWAY_BITS: u32 = 6;
const SHARD_BITS: u32 = 5;

/// Gives one gateway's seqs.
#[derive(Debug)]
pub(super) struct Sequence {
    gateway: u64,
    /// Milliseconds and count of the last one.
    last: AtomicU64,
}

// === impl Sequence ===

impl Sequence {
    /// Of the gateway that is the `start`th of this store.
    pub(super) fn new(start: u64) -> Self {
        Self { gateway: start % (1 << GATEWAY_BITS), last: AtomicU64::new(0) }
    }

    /// Larger than every one before, also where the clock went back.
    pub(super) fn next(&self, clock: &Clock, shard: usize) -> Seq {
        let first = clock.now().0 << COUNTER_BITS;
        let next = |last: u64| first.max(last + 1);
        let last = self.last.fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| Some(next(last)));
        let (millis, counter) = {
            let own = next(last.unwrap_or_else(|last| last));
            (own >> COUNTER_BITS, own & ((1 << COUNTER_BITS) - 1))
        };
        let shard = shard as u64 & ((1 << SHARD_BITS) - 1);
        Seq(millis << Seq::COUNTER_BITS | counter << (GATEWAY_BITS + SHARD_BITS) | self.gateway << SHARD_BITS | shard)
    }
}

/// The shard that stands in a seq.
pub(super) fn shard_of(seq: Seq) -> usize {
    (seq.0 & ((1 << SHARD_BITS) - 1)) as usize
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::Timestamp;

    #[test]
    fn seqs_grow_name_their_shard_and_do_not_meet() {
        let clock = Clock::manual(Timestamp(1_767_225_600_000));
        let gateways = [Sequence::new(3), Sequence::new(4)];
        let mut all = Vec::new();
        for _ in 0..5000 {
            for gateway in &gateways {
                let seq = gateway.next(&clock, 7);
                assert_eq!(shard_of(seq), 7);
                all.push(seq);
            }
        }
        // 2048 in a millisecond: the rest is lent by the next ones.
        assert_eq!(all.last().map(|seq| seq.time()), Some(Timestamp(1_767_225_600_002)));
        for gateway in all.chunks(2).map(|pair| pair[0]).collect::<Vec<_>>().windows(2) {
            assert!(gateway[0] < gateway[1]);
        }
        clock.advance(Duration::from_secs(1));
        let later = gateways[0].next(&clock, 0);
        assert!(all.iter().all(|seq| *seq < later));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 10_000);
    }
}
