//! The open deliveries of one target: ready ones in a line, later ones in a heap, claimed ones with a lease.
//!
//! A pure value that is told the time; [`lane`](super::lane) puts the lock around it.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::cache::Cached;
use super::key::{Key, MixState};
use super::line::Line;
use super::record::Place;
use crate::domain::holding::HELD_FROM;
use crate::domain::{Seq, Timestamp};

/// Stands for "never expires" in an [`Entry`].
pub(super) const NEVER: Timestamp = Timestamp(u64::MAX);

/// An open delivery; small, for there may be a million.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) attempts: u16,
    /// Where the event lies.
    pub(super) place: Place,
    pub(super) due_at: Timestamp,
    pub(super) expires_at: Timestamp,
    /// The event itself while it is young.
    pub(super) event: Option<Arc<Cached>>,
}

/// A claimed delivery.
#[derive(Clone, Debug)]
struct Flight {
    entry: Entry,
    lease: u64,
    ends_at: Timestamp,
}

/// What a claim took out of the line.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// To be attempted, each with its lease.
    pub(super) claimed: Vec<(Entry, u64)>,
    /// Too late for these.
    pub(super) expired: Vec<Entry>,
}

/// Where a delivery was found.
#[derive(Debug)]
pub(super) enum Removed {
    Waiting(Entry),
    InFlight,
    Absent,
}

/// One target's open deliveries.
#[derive(Debug, Default)]
pub(super) struct Queue {
    ready: VecDeque<Entry>,
    /// Admitted while those of before the start were still being loaded: they stand behind them.
    fresh: VecDeque<Entry>,
    later: BinaryHeap<Later>,
    flights: HashMap<Key, Flight, MixState>,
    /// Leases that ended and whose deliveries nobody has claimed again: a late outcome still counts.
    lapsed: HashMap<Key, u64, MixState>,
    leases: u64,
    /// No lease ends before this.
    first_end: Timestamp,
    loading: bool,
    /// The last of those from before the start that was loaded.
    loaded_to: Key,
    /// One after the other; then it has all that waits, but for what waits for a person.
    line: Option<Line>,
}

/// Ordered so that the heap gives the earliest first.
#[derive(Debug)]
struct Later(Entry);

// === impl Queue ===

impl Queue {
    pub(super) fn new(loading: bool) -> Self {
        Self { loading, first_end: NEVER, ..Self::default() }
    }

    /// A delivery of an event that was just admitted, or that starts again.
    pub(super) fn push(&mut self, entry: Entry, now: Timestamp) {
        if let Some(line) = &mut self.line {
            line.give_up_place(entry.key);
        }
        if self.line.is_some() && !entry.is_held() {
            self.stand(entry);
        } else if entry.looked_at() > now {
            self.later.push(Later(entry));
        } else if self.loading {
            self.fresh.push_back(entry);
        } else {
            self.ready.push_back(entry);
        }
    }

    /// A delivery from before the start.
    pub(super) fn load(&mut self, entry: Entry, now: Timestamp) {
        self.loaded_to = self.loaded_to.max(entry.key);
        let stands = self.line.is_some() && !entry.is_held();
        if entry.looked_at() > now && !stands { self.later.push(Later(entry)) } else { self.stand(entry) }
    }

    /// From now on one after the other in the order of the events, or whatever is due.
    pub(super) fn set_ordered(&mut self, ordered: bool, now: Timestamp) {
        if ordered && self.line.is_none() {
            let mut line = Line::default();
            self.ready.drain(..).chain(self.fresh.drain(..)).for_each(|entry| line.stand(entry));
            let (held, others) =
                std::mem::take(&mut self.later).into_iter().partition::<Vec<Later>, _>(|later| later.0.is_held());
            self.later = held.into();
            others.into_iter().for_each(|later| line.stand(later.0));
            self.line = Some(line);
        } else if !ordered && let Some(line) = self.line.take() {
            line.into_waiting().for_each(|entry| self.push(entry, now));
        }
    }

    /// Something ended for good, and that is on disk: whoever stands behind it may go.
    pub(super) fn ended(&mut self, key: Key) {
        if let Some(line) = &mut self.line {
            line.give_up_place(key);
        }
    }

    /// Its end is being written: nobody passes it before.
    pub(super) fn is_ending(&mut self, key: Key) -> bool {
        if let Some(line) = &mut self.line {
            line.keep_place(key);
        }
        self.line.is_some()
    }

    /// In line, or as the last of those that are due.
    fn stand(&mut self, entry: Entry) {
        match &mut self.line {
            Some(line) => line.stand(entry),
            None => self.ready.push_back(entry),
        }
    }

    fn take_next(&mut self, now: Timestamp) -> Option<Entry> {
        match &mut self.line {
            None => self.ready.pop_front().or_else(|| self.fresh.pop_front()),
            Some(line) if self.flights.is_empty() => line.take_due(now, self.loading.then_some(self.loaded_to)),
            Some(_) => None,
        }
    }

    /// Everything from before the start is there.
    pub(super) fn loaded(&mut self) {
        self.loading = false;
        if self.ready.is_empty() {
            std::mem::swap(&mut self.ready, &mut self.fresh);
        }
        self.ready.append(&mut self.fresh);
        self.fresh = VecDeque::new();
    }

    /// Takes up to `most` due deliveries, oldest first.
    pub(super) fn claim(&mut self, most: usize, now: Timestamp, lease_ends_at: Timestamp) -> Taken {
        self.ripen(now);
        let mut taken = Taken::default();
        while taken.claimed.len() < most {
            let Some(mut entry) = self.take_next(now) else { break };
            if !self.lapsed.is_empty() {
                self.lapsed.remove(&entry.key);
            }
            if entry.expires_at <= now {
                taken.expired.push(entry);
                continue;
            }
            self.leases += 1;
            let event = entry.event.take();
            let flight = Flight { entry: entry.clone(), lease: self.leases, ends_at: lease_ends_at };
            self.flights.insert(entry.key, flight);
            entry.event = event;
            taken.claimed.push((entry, self.leases));
        }
        if !taken.claimed.is_empty() {
            self.first_end = self.first_end.min(lease_ends_at);
        }
        taken
    }

    /// Ends a claim: gives the entry back if `lease` is still the newest one.
    pub(super) fn land(&mut self, key: Key, lease: u64) -> Option<Entry> {
        if self.flights.get(&key).is_some_and(|flight| flight.lease == lease) {
            return self.flights.remove(&key).map(|flight| flight.entry);
        }
        if self.lapsed.get(&key) == Some(&lease) {
            self.lapsed.remove(&key);
            return self.remove_waiting(key);
        }
        None
    }

    /// Lengthens a lease that has not ended.
    pub(super) fn extend(&mut self, key: Key, lease: u64, now: Timestamp, ends_at: Timestamp) -> bool {
        match self.flights.get_mut(&key) {
            Some(flight) if flight.lease == lease && flight.ends_at > now => {
                flight.ends_at = ends_at;
                self.first_end = self.first_end.min(ends_at);
                true
            }
            _ => false,
        }
    }

    /// Makes everything due now that waits for its time, and not for a person.
    pub(super) fn hasten(&mut self, now: Timestamp) {
        self.make_due(|due_at| due_at < HELD_FROM, now);
        if let Some(line) = &mut self.line {
            line.hasten(now);
        }
    }

    /// Makes due what waits for a person, where that is over; how many those were.
    pub(super) fn release(&mut self, over: impl Fn(Timestamp) -> bool, now: Timestamp) -> u64 {
        self.make_due(|due_at| due_at >= HELD_FROM && over(due_at), now)
    }

    fn make_due(&mut self, is_meant: impl Fn(Timestamp) -> bool, now: Timestamp) -> u64 {
        let all = std::mem::take(&mut self.later).into_iter();
        let (meant, others): (Vec<Later>, Vec<Later>) = all.partition(|later| is_meant(later.0.due_at));
        self.later = others.into();
        let mut waiting: Vec<Entry> = meant.into_iter().map(|later| later.0).collect();
        waiting.sort_unstable_by_key(|entry| (entry.due_at, entry.key));
        let count = waiting.len() as u64;
        for mut entry in waiting {
            entry.due_at = now;
            self.stand(entry);
        }
        count
    }

    /// Takes a waiting delivery out, wherever it stands. Walks through all of them: a person asked.
    pub(super) fn remove(&mut self, key: Key, now: Timestamp) -> Removed {
        self.ripen(now);
        if self.flights.contains_key(&key) {
            return Removed::InFlight;
        }
        self.lapsed.remove(&key);
        let Some(entry) = self.remove_waiting(key) else { return Removed::Absent };
        if let Some(line) = &mut self.line {
            line.keep_place(key);
        }
        Removed::Waiting(entry)
    }

    /// Takes everything out that waits.
    pub(super) fn take_waiting(&mut self) -> Vec<Entry> {
        let later = std::mem::take(&mut self.later).into_iter().map(|later| later.0);
        let in_line = self.line.as_mut().map(|line| line.take_out(|_| true)).unwrap_or_default();
        self.ready.drain(..).chain(self.fresh.drain(..)).chain(later).chain(in_line).collect()
    }

    fn remove_waiting(&mut self, key: Key) -> Option<Entry> {
        if let Some(entry) = self.line.as_mut().and_then(|line| line.remove(key)) {
            return Some(entry);
        }
        for line in [&mut self.ready, &mut self.fresh] {
            if let Some(at) = line.iter().position(|entry| entry.key == key) {
                return line.remove(at);
            }
        }
        if !self.later.iter().any(|later| later.0.key == key) {
            return None;
        }
        let mut found = None;
        let rest = std::mem::take(&mut self.later).into_iter().filter_map(|later| {
            if later.0.key == key {
                found = Some(later.0);
                return None;
            }
            Some(later)
        });
        self.later = rest.collect();
        found
    }

    /// Takes every waiting delivery of these events out; those in flight stay and are named.
    pub(super) fn take_events(&mut self, events: &HashSet<Seq, MixState>) -> (Vec<Entry>, Vec<Key>) {
        let mut taken =
            self.line.as_mut().map(|line| line.take_out(|key| events.contains(&key.seq))).unwrap_or_default();
        for line in [&mut self.ready, &mut self.fresh] {
            line.retain_mut(|entry| {
                let goes = events.contains(&entry.key.seq);
                if goes {
                    taken.push(entry.clone());
                }
                !goes
            });
        }
        if self.later.iter().any(|later| events.contains(&later.0.key.seq)) {
            let (goes, stays) = std::mem::take(&mut self.later)
                .into_iter()
                .partition::<Vec<Later>, _>(|later| events.contains(&later.0.key.seq));
            self.later = stays.into();
            taken.extend(goes.into_iter().map(|later| later.0));
        }
        let flying = self.flights.keys().filter(|key| events.contains(&key.seq)).copied().collect();
        (taken, flying)
    }

    /// Moves what has become due, and what its claimer forgot, into the line.
    pub(super) fn ripen(&mut self, now: Timestamp) {
        while self.later.peek().is_some_and(|later| later.0.looked_at() <= now) {
            if let Some(Later(entry)) = self.later.pop() {
                self.stand(entry);
            }
        }
        if self.first_end > now {
            return;
        }
        let mut lapsed: Vec<(Entry, u64)> = Vec::new();
        let mut first_end = NEVER;
        self.flights.retain(|_, flight| {
            let over = flight.ends_at <= now;
            if over {
                lapsed.push((flight.entry.clone(), flight.lease));
            } else {
                first_end = first_end.min(flight.ends_at);
            }
            !over
        });
        self.first_end = first_end;
        lapsed.sort_unstable_by_key(|(entry, _)| std::cmp::Reverse((entry.due_at, entry.key)));
        for (entry, lease) in lapsed {
            self.lapsed.insert(entry.key, lease);
            match &mut self.line {
                Some(line) => line.stand(entry),
                None => self.ready.push_front(entry),
            }
        }
    }

    /// When something may be due next; at once where something is.
    pub(super) fn next_due(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.ripen(now);
        if !self.ready.is_empty() || !self.fresh.is_empty() {
            return Some(now);
        }
        let later = self.later.peek().map(|later| later.0.looked_at());
        let lapse = (self.first_end != NEVER).then_some(self.first_end);
        let line = self.line.as_ref().filter(|_| self.flights.is_empty());
        let first = line.and_then(|line| line.next_due(self.loading.then_some(self.loaded_to)));
        [later, lapse, first].into_iter().flatten().min()
    }

    /// Deliveries that wait, due or not.
    pub(super) fn waiting(&self) -> u64 {
        let in_line = self.line.as_ref().map_or(0, Line::len);
        (self.ready.len() + self.fresh.len() + self.later.len() + in_line) as u64
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.flights.len() as u64
    }

    pub(super) fn is_in_flight(&self, key: Key) -> bool {
        self.flights.contains_key(&key)
    }

    /// What is in flight, in no order.
    pub(super) fn keys_in_flight(&self) -> Vec<Key> {
        self.flights.keys().copied().collect()
    }

    /// Since when the first in line has been due.
    pub(super) fn oldest_due_at(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.ripen(now);
        match &self.line {
            Some(line) => line.oldest_due_at(now),
            None => self.ready.front().or(self.fresh.front()).map(|entry| entry.due_at),
        }
    }
}

// === impl Entry, Later ===

impl Entry {
    /// When something has to be done about it: attempted, or given up because it is too late by then.
    pub(super) fn looked_at(&self) -> Timestamp {
        self.due_at.min(self.expires_at)
    }

    /// Whether it waits for a person.
    fn is_held(&self) -> bool {
        self.due_at >= HELD_FROM
    }
}

impl Ord for Later {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.0.looked_at(), other.0.key).cmp(&(self.0.looked_at(), self.0.key))
    }
}

impl PartialOrd for Later {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Later {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Later {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::holding::moment_of;

    #[test]
    fn what_waits_for_a_person_is_hastened_by_nothing_and_released_by_its_moment() {
        let (now, mut queue) = (Timestamp(1_000), Queue::new(false));
        let (ours, theirs) = (moment_of("ours"), moment_of("theirs"));
        for (ordinal, due_at) in (0..).zip([Timestamp(5_000), ours, theirs, ours]) {
            let key = Key { seq: Seq(1), ordinal };
            let place = Place::default();
            // The last one is too late before anybody releases it.
            let expires_at = if ordinal == 3 { Timestamp(9_000) } else { NEVER };
            queue.push(Entry { key, attempts: 0, place, due_at, expires_at, event: None }, now);
        }
        queue.hasten(now);
        let claimed = |queue: &mut Queue, now| {
            let taken = queue.claim(10, now, now.plus(std::time::Duration::from_secs(3600)));
            let of = |entries: Vec<Entry>| entries.iter().map(|entry| entry.key.ordinal).collect::<Vec<_>>();
            (of(taken.claimed.into_iter().map(|(entry, _)| entry).collect()), of(taken.expired))
        };
        assert_eq!(claimed(&mut queue, now), (vec![0], vec![]));
        assert_eq!(claimed(&mut queue, Timestamp(10_000)), (vec![], vec![3]), "what expires does so while it waits");
        assert_eq!(queue.release(|moment| moment == ours, Timestamp(10_000)), 1);
        assert_eq!(claimed(&mut queue, Timestamp(10_000)), (vec![1], vec![]));
        assert_eq!(queue.release(|moment| moment == theirs, Timestamp(10_000)), 1);
        assert_eq!(claimed(&mut queue, Timestamp(10_000)), (vec![2], vec![]));
    }
}
