//! The key of a delivery in memory, and a hash for keys that nobody outside can choose.

use std::hash::{BuildHasherDefault, Hasher};

use crate::domain::Seq;

/// A delivery: its event and its place in the event's plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) seq: Seq,
    pub(super) ordinal: u16,
}

/// For keys that are our own numbers, names of our configuration or already the output of a keyed hash: mixing
/// is enough for them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MixHasher(u64);

pub(super) type MixState = BuildHasherDefault<MixHasher>;

// === impl MixHasher ===

impl Hasher for MixHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            self.write_u64(rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = mix(self.0 ^ value);
    }

    fn write_u16(&mut self, value: u16) {
        self.write_u64(u64::from(value));
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }
}

/// The finalizer of splitmix64: every bit of the input reaches every bit of the output.
pub(super) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}
