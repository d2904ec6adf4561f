//! Where a rate limit remembers its clients: a fixed number of places, taken when they are first needed.

use std::sync::{Mutex, PoisonError};

use governor::nanos::Nanos;
use governor::state::StateStore;

/// Places that a key may take; a full set forgets the key that is closest to idle.
const WAYS: usize = 8;

/// Parts with a lock of their own.
const SHARDS_MAX: usize = 16;

/// The table; a key is a hash that strangers cannot predict.
#[derive(Debug)]
pub(super) struct Table {
    shards: Box<[Mutex<Shard>]>,
    sets_per_shard: usize,
}

/// No memory before the first key, all of it from then on.
#[derive(Debug, Default)]
struct Shard(Vec<[Place; WAYS]>);

/// A client's theoretical arrival time in nanoseconds since the limit was made; 0 is a free place, and a
/// client whose time has passed is as good as forgotten.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    key: u64,
    arrival: u64,
}

// === impl Table ===

impl Table {
    /// A table of `keys_max` places, rounded up to whole sets.
    pub(super) fn new(keys_max: usize) -> Self {
        let sets = keys_max.div_ceil(WAYS).max(1);
        let shards = sets.min(SHARDS_MAX);
        Self { shards: (0..shards).map(|_| Mutex::default()).collect(), sets_per_shard: sets.div_ceil(shards) }
    }

    /// The bytes that the places take now.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let sets = |shard: &Mutex<Shard>| shard.lock().map_or(0, |shard| shard.0.capacity());
        self.shards.iter().map(sets).sum::<usize>() * size_of::<[Place; WAYS]>()
    }
}

impl StateStore for Table {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let hash = usize::try_from(*key & 0xffff_ffff).unwrap_or_default();
        let set = hash / self.shards.len() % self.sets_per_shard;
        let Some(shard) = self.shards.get(hash % self.shards.len()) else {
            return measure(None).map(|(answer, _)| answer);
        };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if shard.0.is_empty() {
            shard.0 = vec![Default::default(); self.sets_per_shard];
        }
        let Some(places) = shard.0.get_mut(set) else { return measure(None).map(|(answer, _)| answer) };
        let known = places.iter().position(|place| place.arrival > 0 && place.key == *key);
        let place = match known {
            Some(known) => places.get_mut(known),
            None => places.iter_mut().min_by_key(|place| place.arrival),
        };
        let arrival = known.and(place.as_ref().map(|place| Nanos::from(place.arrival)));
        let (answer, next) = measure(arrival)?;
        if let Some(place) = place {
            *place = Place { key: *key, arrival: next.into() };
        }
        Ok(answer)
    }
}
