//! A set that may say yes wrongly but never no wrongly: whether a key needs to be looked up at all.
//!
//! Grows in chunks of doubling size, 16 bits a key; each key sets eight bits within one cache line.

/// Keys of the first chunk.
const FIRST_CHUNK_KEYS: usize = 4096;
const BITS_A_KEY: usize = 16;
/// A block is a cache line.
const BLOCK_WORDS: usize = 8;
const BITS_SET: u32 = 8;

/// The set.
#[derive(Debug, Default)]
pub(super) struct Bloom {
    chunks: Vec<Chunk>,
}

#[derive(Debug)]
struct Chunk {
    blocks: Vec<[u64; BLOCK_WORDS]>,
    keys: usize,
    keys_max: usize,
}

// === impl Bloom ===

impl Bloom {
    /// Adds a key that is the output of a keyed hash.
    pub(super) fn insert(&mut self, key: &[u8; 16]) {
        if self.chunks.last().is_none_or(|chunk| chunk.keys >= chunk.keys_max) {
            let keys_max = self.chunks.last().map_or(FIRST_CHUNK_KEYS, |chunk| chunk.keys_max * 2);
            self.chunks.push(Chunk::new(keys_max));
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.insert(key);
        }
    }

    /// False: certainly not there.
    pub(super) fn may_contain(&self, key: &[u8; 16]) -> bool {
        self.chunks.iter().rev().any(|chunk| chunk.may_contain(key))
    }
}

// === impl Chunk ===

impl Chunk {
    fn new(keys_max: usize) -> Self {
        let blocks = keys_max * BITS_A_KEY / (64 * BLOCK_WORDS);
        Self { blocks: vec![[0; BLOCK_WORDS]; blocks], keys: 0, keys_max }
    }

    fn insert(&mut self, key: &[u8; 16]) {
        let (block, bits) = self.place(key);
        if let Some(block) = self.blocks.get_mut(block) {
            for (word, bits) in block.iter_mut().zip(bits) {
                *word |= bits;
            }
        }
        self.keys += 1;
    }

    fn may_contain(&self, key: &[u8; 16]) -> bool {
        let (block, bits) = self.place(key);
        self.blocks.get(block).is_none_or(|block| block.iter().zip(bits).all(|(word, bits)| word & bits == bits))
    }

    fn place(&self, key: &[u8; 16]) -> (usize, [u64; BLOCK_WORDS]) {
        let number = u128::from_le_bytes(*key);
        let (block, mut choice) = (number as u64, (number >> 64) as u64);
        let mut bits = [0; BLOCK_WORDS];
        for _ in 0..BITS_SET {
            let bit = choice % 512;
            if let Some(word) = bits.get_mut((bit / 64) as usize) {
                *word |= 1 << (bit % 64);
            }
            // Seven choices of nine bits fit 64; the rotation serves the eighth.
            choice = choice.rotate_right(9);
        }
        (((u128::from(block) * self.blocks.len() as u128) >> 64) as usize, bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::key::mix;

    fn key(number: u64) -> [u8; 16] {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&mix(number).to_le_bytes());
        key[8..].copy_from_slice(&mix(!number).to_le_bytes());
        key
    }

    #[test]
    fn every_key_is_found_and_few_others_are() {
        let mut bloom = Bloom::default();
        for number in 0..50_000 {
            bloom.insert(&key(number));
        }
        assert!((0..50_000).all(|number| bloom.may_contain(&key(number))));
        let wrong = (1_000_000..1_100_000).filter(|number| bloom.may_contain(&key(*number))).count();
        assert!(wrong < 1500, "{wrong} of 100000 probes were wrong");
    }
}
