//! Which events of a zone have a value: sets of places in the zone, one for each state that deliveries had there.
//!
//! A place is the number of an event within its zone. Few holders are written as a list of two bytes each, many as bits:
//! 128 bytes for a thousand events, so that what two or three values have in common is told without a look at a row.

/// Events of a zone that have a place; those beyond have none.
pub(super) const PLACES_MAX: usize = if cfg!(test) { 24 } else { 2048 };
/// A listed holder: its place in these bits, the state above them.
const PLACE_BITS: u32 = 11;
/// The first byte: pairs of place and state, or bits by state.
const LISTED: u8 = 0;
const AS_BITS: u8 = 1;

/// A set of places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bits(Vec<u64>);

/// Which events of a zone have a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holders {
    /// These, by state (0 where the value is not a delivery's).
    Exactly(Vec<(u8, Bits)>),
    /// Also some that have no place.
    Many,
}

// === impl Bits ===

impl Bits {
    /// False: it was there.
    fn set(&mut self, place: u16) -> bool {
        let (word, bit) = (usize::from(place) / 64, 1 << (place % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let Some(word) = self.0.get_mut(word) else { return false };
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Keeps what both have.
    pub(super) fn keep(&mut self, other: &Self) {
        self.0.truncate(other.0.len());
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word &= other);
    }

    fn join(&mut self, other: &Self) {
        self.0.resize(self.0.len().max(other.0.len()), 0);
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word |= other);
    }

    pub(super) fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// From the lowest place up.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> {
        let words = self.0.iter().enumerate();
        words.flat_map(|(at, word)| (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| at * 64 + bit))
    }
}

// === impl Holders ===

impl Default for Holders {
    fn default() -> Self {
        Self::Exactly(Vec::new())
    }
}

impl Holders {
    /// One more; false: it is known, or not written down any more.
    pub(super) fn add(&mut self, state: u8, place: Option<u16>) -> bool {
        let Self::Exactly(sets) = self else { return false };
        let Some(place) = place else {
            *self = Self::Many;
            return true;
        };
        match sets.iter_mut().find(|(its, _)| *its == state) {
            Some((_, bits)) => bits.set(place),
            None => {
                let mut bits = Bits::default();
                bits.set(place);
                sets.push((state, bits));
                true
            }
        }
    }

    /// Those of a state, or all; `None`: it is not known which.
    pub(super) fn of(self, state: Option<u8>) -> Option<Bits> {
        let Self::Exactly(sets) = self else { return None };
        let mut wanted = sets.into_iter().filter(|(its, _)| state.is_none_or(|state| state == *its));
        let mut all = wanted.next().map(|(_, bits)| bits).unwrap_or_default();
        wanted.for_each(|(_, bits)| all.join(&bits));
        Some(all)
    }

    /// As it is stored; `None`: not known which.
    pub(super) fn to_bytes(&self) -> Option<Vec<u8>> {
        let Self::Exactly(sets) = self else { return None };
        let listed: usize = sets.iter().map(|(_, bits)| bits.count() * 2).sum();
        let as_bits: usize = sets.iter().map(|(_, bits)| 2 + bits.0.len() * 8).sum();
        let mut bytes = Vec::with_capacity(1 + listed.min(as_bits));
        if listed <= as_bits {
            bytes.push(LISTED);
            for (state, bits) in sets {
                for place in bits.places() {
                    let entry = u16::try_from(place).unwrap_or_default() | u16::from(*state) << PLACE_BITS;
                    bytes.extend_from_slice(&entry.to_le_bytes());
                }
            }
        } else {
            bytes.push(AS_BITS);
            for (state, bits) in sets {
                bytes.extend_from_slice(&[*state, u8::try_from(bits.0.len()).unwrap_or_default()]);
                bytes.extend(bits.0.iter().flat_map(|word| word.to_le_bytes()));
            }
        }
        Some(bytes)
    }

    /// What was stored. What cannot be read says nothing: its zone is read whole.
    pub(super) fn from_bytes(bytes: Option<&[u8]>) -> Self {
        let sets = match bytes.and_then(<[u8]>::split_first) {
            Some((&LISTED, entries)) => listed(entries),
            Some((&AS_BITS, sets)) => as_bits(sets),
            _ => None,
        };
        sets.map_or(Self::Many, Self::Exactly)
    }
}

fn listed(bytes: &[u8]) -> Option<Vec<(u8, Bits)>> {
    let (entries, rest) = bytes.as_chunks::<2>();
    let mut holders = Holders::default();
    for entry in entries {
        let entry = u16::from_le_bytes(*entry);
        let state = u8::try_from(entry >> PLACE_BITS).ok()?;
        holders.add(state, Some(entry & ((1 << PLACE_BITS) - 1)));
    }
    match holders {
        Holders::Exactly(sets) if rest.is_empty() => Some(sets),
        _ => None,
    }
}

fn as_bits(mut bytes: &[u8]) -> Option<Vec<(u8, Bits)>> {
    let mut sets = Vec::new();
    while let Some((&[state, words], rest)) = bytes.split_first_chunk() {
        let (its, rest) = rest.split_at_checked(usize::from(words) * 8)?;
        sets.push((state, Bits(its.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect())));
        bytes = rest;
    }
    bytes.is_empty().then_some(sets)
}

/// The [`seq_key`](super::index::seq_key)s of a zone's events in the order of their places: each as its distance from
/// the one before it, in as few bytes as that needs.
pub(super) fn pack_keys(first: i64, keys: &[i64]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(keys.len() * 2);
    let mut before = first;
    for key in keys {
        let distance = key.wrapping_sub(before);
        // Near ones on either side become small numbers.
        let mut left = (distance << 1 ^ distance >> 63).cast_unsigned();
        while left >= 0x80 {
            bytes.push(left as u8 | 0x80);
            left >>= 7;
        }
        bytes.push(left as u8);
        before = *key;
    }
    bytes
}

/// What [`pack_keys`] wrote; `None`: it is damaged.
pub(super) fn unpack_keys(first: i64, bytes: &[u8]) -> Option<Vec<i64>> {
    let mut keys = Vec::with_capacity(bytes.len());
    let (mut before, mut distance, mut shift) = (first, 0_u64, 0);
    for byte in bytes {
        distance |= u64::from(byte & 0x7f).checked_shl(shift)?;
        shift += 7;
        if byte & 0x80 == 0 {
            let signed = (distance >> 1).cast_signed() ^ -((distance & 1).cast_signed());
            before = before.wrapping_add(signed);
            keys.push(before);
            (distance, shift) = (0, 0);
        }
    }
    (shift == 0).then_some(keys)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn holders_come_back_and_are_what_was_added(
            added in prop::collection::vec((0..5_u8, prop_oneof![0..40_u16, 0..2048_u16]), 0..600),
        ) {
            let (mut holders, mut model) = (Holders::default(), BTreeSet::new());
            for (state, place) in added {
                prop_assert_eq!(holders.add(state, Some(place)), model.insert((state, place)));
            }
            let stored = holders.to_bytes().unwrap();
            prop_assert!(stored.len() <= 1 + model.len() * 2, "a list is the most that it takes");
            let read = Holders::from_bytes(Some(&stored));
            for state in (0..6).map(Some).chain([None]) {
                let wanted: BTreeSet<_> = model
                    .iter()
                    .filter(|(its, _)| state.is_none_or(|state| state == *its))
                    .map(|(_, place)| usize::from(*place))
                    .collect();
                let bits = read.clone().of(state).unwrap();
                prop_assert_eq!(bits.count(), wanted.len());
                prop_assert_eq!(bits.is_empty(), wanted.is_empty());
                prop_assert_eq!(bits.places().collect::<BTreeSet<_>>(), wanted);
            }
        }

        #[test]
        fn what_two_have_is_what_both_have(
            left in prop::collection::btree_set(0..300_u16, 0..80),
            right in prop::collection::btree_set(0..900_u16, 0..200),
        ) {
            let bits = |places: &BTreeSet<u16>| {
                let mut bits = Bits::default();
                places.iter().for_each(|place| assert!(bits.set(*place)));
                bits
            };
            let both: Vec<usize> = left.intersection(&right).map(|place| usize::from(*place)).collect();
            for (one, other) in [(&left, &right), (&right, &left)] {
                let mut kept = bits(one);
                kept.keep(&bits(other));
                prop_assert_eq!(kept.places().collect::<Vec<_>>(), both.clone());
            }
        }

        #[test]
        fn keys_come_back(first in any::<i64>(), keys in prop::collection::vec(any::<i64>(), 0..50)) {
            prop_assert_eq!(unpack_keys(first, &pack_keys(first, &keys)), Some(keys));
        }

        #[test]
        fn what_is_not_ours_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Some(bits) = Holders::from_bytes(Some(&bytes)).of(None) {
                prop_assert!(bits.count() <= bytes.len() * 8);
            }
            prop_assert!(unpack_keys(0, &bytes).is_none_or(|keys| keys.len() <= bytes.len()));
        }
    }

    #[test]
    fn who_has_no_place_makes_it_many() {
        let mut holders = Holders::default();
        assert!(holders.add(0, Some(3)) && holders.add(1, None) && !holders.add(0, Some(4)));
        assert_eq!((holders.to_bytes(), holders.of(Some(0))), (None, None));
        assert_eq!(Holders::from_bytes(None), Holders::Many);
        assert_eq!(Holders::from_bytes(Some(&[AS_BITS, 0, 2, 1])), Holders::Many, "cut off");
    }

    #[test]
    fn neighbours_in_a_millisecond_cost_a_byte_each() {
        let keys: Vec<i64> = (1_000..2_000).collect();
        assert_eq!(pack_keys(1_000, &keys).len(), 1_000);
    }
}
