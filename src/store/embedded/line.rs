//! The deliveries of a target whose events go out one after the other, in the order in which they were accepted.
//!
//! Only the first in line is ever claimed, and nobody while something is in flight. What is taken out for a moment keeps
//! its place: nobody passes it before it is back, or its end is on disk, since after a crash it would be there again.

use std::collections::{BTreeMap, BTreeSet};

use super::key::Key;
use super::queue::Entry;
use crate::domain::Timestamp;

/// Everything that waits, by its event's seq, but for what waits for a person.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiting: BTreeMap<Key, Entry>,
    out: BTreeSet<Key>,
}

// === impl Line ===

impl Line {
    /// Takes its place, again or for the first time.
    pub(super) fn stand(&mut self, entry: Entry) {
        self.waiting.insert(entry.key, entry);
    }

    /// Notes that a delivery is away and keeps its place.
    pub(super) fn keep_place(&mut self, key: Key) {
        self.out.insert(key);
    }

    /// A delivery that was away is back, or has ended for good.
    pub(super) fn give_up_place(&mut self, key: Key) {
        self.out.remove(&key);
    }

    /// The one that comes next, due or not; nobody while one that may come before it is away. While those of before the
    /// start are still being loaded only what is not behind the last of them counts.
    fn first(&self, loaded_to: Option<Key>) -> Option<&Entry> {
        if !self.out.is_empty() {
            return None;
        }
        let (key, entry) = self.waiting.first_key_value()?;
        loaded_to.is_none_or(|last| *key <= last).then_some(entry)
    }

    /// When something has to be done about the first in line.
    pub(super) fn next_due(&self, loaded_to: Option<Key>) -> Option<Timestamp> {
        self.first(loaded_to).map(Entry::looked_at)
    }

    /// Takes the first out if its time has come.
    pub(super) fn take_due(&mut self, now: Timestamp, loaded_to: Option<Key>) -> Option<Entry> {
        let key = self.first(loaded_to).filter(|entry| entry.looked_at() <= now)?.key;
        self.waiting.remove(&key)
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Entry> {
        self.waiting.remove(&key)
    }

    /// Everything that waits; all of it keeps its place.
    pub(super) fn take_out(&mut self, goes: impl Fn(Key) -> bool) -> Vec<Entry> {
        let keys: Vec<Key> = self.waiting.keys().copied().filter(|key| goes(*key)).collect();
        self.out.extend(&keys);
        keys.into_iter().filter_map(|key| self.waiting.remove(&key)).collect()
    }

    /// Makes everything due that waits for its time.
    pub(super) fn hasten(&mut self, now: Timestamp) {
        self.waiting.values_mut().filter(|entry| entry.due_at > now).for_each(|entry| entry.due_at = now);
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Since when the first of those that are due has been so: they wait although another one comes before them.
    pub(super) fn oldest_due_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.waiting.values().map(|entry| entry.due_at).find(|at| *at <= now)
    }

    /// No line any more: everything that waits.
    pub(super) fn into_waiting(self) -> impl Iterator<Item = Entry> {
        self.waiting.into_values()
    }
}
