//! Names of keys, and members of sorted sets: text that Lua and Rust share.

use super::cluster::{SLOTS, slot};
use super::sequence;
use crate::domain::holding::HELD_FROM;
use crate::domain::{Seq, Timestamp};

/// The latest time that is stored: fourteen digits, the most that a number keeps in Lua's own formatting.
const TIME_MAX: u64 = 99_999_999_999_999;

/// What is due from [`HELD_FROM`] on, and waits for a person, is stored as from here on (the year 4821), for want of digits.
const STORED_HELD_FROM: u64 = 90_000_000_000_000;

/// Where each shard's keys begin.
#[derive(Clone, Debug)]
pub(super) struct Bases(Vec<Box<str>>);

/// The key of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) seq: Seq,
    pub(super) ordinal: u16,
}

/// A seq as it stands in keys: 16 hex digits.
pub(super) fn seq_text(seq: Seq) -> String {
    format!("{:016x}", seq.0)
}

/// The seq that this text is.
pub(super) fn seq_of(text: &[u8]) -> Option<Seq> {
    let text = std::str::from_utf8(text).ok()?;
    u64::from_str_radix(text, 16).ok().map(Seq)
}

/// A time as it is stored.
pub(super) fn time(at: Timestamp) -> u64 {
    match at.0.checked_sub(HELD_FROM.0) {
        Some(held) => held.saturating_add(STORED_HELD_FROM).min(TIME_MAX),
        None => at.0.min(STORED_HELD_FROM - 1),
    }
}

/// A time that was [stored](time).
pub(super) fn time_of(stored: u64) -> Timestamp {
    Timestamp(stored.checked_sub(STORED_HELD_FROM).map_or(stored, |held| held + HELD_FROM.0))
}

// === impl Bases ===

impl Bases {
    pub(super) fn new(prefix: &str, shards: u8) -> Self {
        Self((0..shards.max(1)).map(|shard| format!("{{{prefix}:{shard}}}:").into()).collect())
    }

    /// Those of a cluster: tags whose slots lie evenly over all slots, so that however the nodes share the slots, each has
    /// as many shards as another, give or take one. The first tag is always the same, so that a store is recognised.
    pub(super) fn spread(prefix: &str, shards: u8) -> Self {
        let first = slot(&format!("{prefix}:0"));
        let width = SLOTS / u16::from(shards.max(1));
        let tag = |shard: u8| {
            let lies_well = |tag: &String| {
                let distance = (slot(tag) + SLOTS - first) % SLOTS;
                let wanted = u16::from(shard) * width;
                (wanted..=wanted + width / 8).contains(&distance)
            };
            // Some hundred tries at the most; there is always one in the end.
            let plain = std::iter::once(format!("{prefix}:{shard}"));
            plain.chain((1..u32::MAX).map(|salt| format!("{prefix}:{shard}.{salt}"))).find(lies_well)
        };
        Self((0..shards.max(1)).filter_map(tag).map(|tag| format!("{{{tag}}}:").into()).collect())
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, shard: usize) -> &str {
        self.0.get(shard).map_or("", |base| base)
    }

    /// The shard of a seq. One of another store may name a shard that this one does not have: it is spread over those
    /// that there are.
    pub(super) fn shard_of(&self, seq: Seq) -> usize {
        sequence::shard_of(seq) % self.count().max(1)
    }

    /// Where the keys of a seq's shard begin.
    pub(super) fn of(&self, seq: Seq) -> &str {
        self.get(self.shard_of(seq))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|base| &**base)
    }
}

// === impl Key ===

impl Key {
    /// As it stands in sorted sets: in the order of the events.
    pub(super) fn member(self) -> String {
        format!("{:016x}{:04x}", self.seq.0, self.ordinal)
    }

    /// A member, or a seq alone: then the event's first delivery.
    pub(super) fn from_text(text: &[u8]) -> Option<Self> {
        Self::from_member(text).or_else(|| Some(Self { seq: seq_of(text)?, ordinal: 0 }))
    }

    pub(super) fn from_member(member: &[u8]) -> Option<Self> {
        let (seq, ordinal) = member.split_at_checked(16)?;
        let ordinal = u16::from_str_radix(std::str::from_utf8(ordinal).ok()?, 16).ok()?;
        Some(Self { seq: seq_of(seq)?, ordinal })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::holding;

    #[test]
    fn times_lead_back_and_those_of_paused_sources_have_room() {
        let now = Timestamp(1_767_225_600_000);
        for at in [Timestamp(0), now, holding::moment_of("a"), holding::moment_of("github"), HELD_FROM] {
            assert_eq!(time_of(time(at)), at);
        }
        assert_eq!(time(Timestamp(u64::MAX)), TIME_MAX);
        assert!(time(Timestamp(HELD_FROM.0 - 1)) < time(HELD_FROM));
    }

    #[test]
    fn members_lead_back_and_keep_the_order() {
        let keys = [(5, 0), (5, 1), (5, 300), (6, 0), (u64::MAX >> 1, 65_535)];
        let keys = keys.map(|(seq, ordinal)| Key { seq: Seq(seq), ordinal });
        let members = keys.map(Key::member);
        assert!(members.is_sorted());
        assert_eq!(members.map(|member| Key::from_member(member.as_bytes())), keys.map(Some));
        assert_eq!(Key::from_member(b"00"), None);
        assert_eq!(Bases::new("hookward", 2).iter().collect::<Vec<_>>(), ["{hookward:0}:", "{hookward:1}:"]);
    }
    #[test]
    fn a_clusters_shards_lie_evenly_over_the_slots() {
        for shards in 1..=32_u8 {
            let bases = Bases::spread("hookward", shards);
            assert_eq!((bases.count(), bases.get(0)), (usize::from(shards), "{hookward:0}:"));
            let mut slots: Vec<u16> = bases.iter().map(|base| slot(base.trim_matches(['{', '}', ':']))).collect();
            slots.sort_unstable();
            for nodes in [3, 5, 7] {
                let share = SLOTS / nodes + 1;
                let on = |node| slots.iter().filter(|slot| *slot / share == node).count();
                let counts: Vec<usize> = (0..nodes).map(on).collect();
                let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
                assert!(most - least <= 2, "{shards} shards on {nodes} nodes: {counts:?}");
            }
        }
    }
}
