//! Where the next character is that a JSON string has to stop at: quotes, backslashes, control characters.
//!
//! Asked for each string of a text, most of them shorter than a word of the processor: so 64 bytes are told at a time,
//! a bit each, and remembered, and the next few strings cost a shift.

use wide::u8x16;

/// The special characters of a text.
pub(super) struct Specials<'a> {
    bytes: &'a [u8],
    /// Where the block begins that is told; a multiple of [`BLOCK_BYTES`].
    from: usize,
    /// A bit for each of its bytes, the first one's lowest: 1 is special.
    bits: u64,
}

/// As many bytes as the mask has bits.
const BLOCK_BYTES: usize = u64::BITS as usize;

// === impl Specials ===

impl<'a> Specials<'a> {
    /// Of this text.
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        let mut specials = Self { bytes, from: 0, bits: 0 };
        specials.tell(0);
        specials
    }

    /// The text.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The place of the first special character at or behind `at`; the text's end where there is none.
    #[inline(always)]
    pub(super) fn next(&mut self, at: usize) -> usize {
        let into = at.wrapping_sub(self.from);
        let rest = if into < BLOCK_BYTES { self.bits >> into } else { 0 };
        if rest == 0 { self.seek(at) } else { at + rest.trailing_zeros() as usize }
    }

    #[inline(never)]
    fn seek(&mut self, mut at: usize) -> usize {
        while at < self.bytes.len() {
            self.tell(at / BLOCK_BYTES * BLOCK_BYTES);
            let rest = self.bits >> (at - self.from);
            if rest != 0 {
                return at + rest.trailing_zeros() as usize;
            }
            at = self.from + BLOCK_BYTES;
        }
        self.bytes.len()
    }

    fn tell(&mut self, from: usize) {
        let rest = self.bytes.get(from..).unwrap_or_default();
        self.from = from;
        self.bits = match rest.first_chunk() {
            Some(block) => bits(block),
            None => {
                // Behind the end nothing is special.
                let mut block = [b' '; BLOCK_BYTES];
                block.iter_mut().zip(rest).for_each(|(to, byte)| *to = *byte);
                bits(&block)
            }
        };
    }
}

#[inline(always)]
fn bits(block: &[u8; BLOCK_BYTES]) -> u64 {
    let (quarters, _) = block.as_chunks::<16>();
    quarters.iter().rev().fold(0, |bits, quarter| {
        let bytes = u8x16::new(*quarter);
        let control = bytes.min(u8x16::splat(0x1f)).simd_eq(bytes);
        let special = bytes.simd_eq(u8x16::splat(b'"')) | bytes.simd_eq(u8x16::splat(b'\\')) | control;
        bits << 16 | u64::from(special.to_bitmask())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_special(byte: u8) -> bool {
        byte < 0x20 || byte == b'"' || byte == b'\\'
    }

    #[test]
    fn each_byte_is_told_in_each_place_of_a_block() {
        for byte in 0..=u8::MAX {
            for place in 0..200 {
                let mut text = vec![b'a'; 200];
                text[place] = byte;
                let expected = if is_special(byte) { place } else { text.len() };
                assert_eq!(Specials::of(&text).next(0), expected, "{byte} at {place}");
            }
        }
    }

    proptest! {
        #[test]
        fn places_are_found_in_whatever_order_they_are_asked_for(
            text in proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'"'), any::<u8>()], 0..300),
            asked in proptest::collection::vec(0_usize..310, 1..40),
        ) {
            let mut specials = Specials::of(&text);
            for at in asked {
                let found = text.iter().skip(at).position(|byte| is_special(*byte)).map(|place| at + place);
                prop_assert_eq!(specials.next(at), found.unwrap_or(text.len()));
            }
        }
    }
}
