//! Admission at the pace of delivery: the answer to a kept event waits a moment while a lane that flows is crowded.
//!
//! Senders that wait for their answers are mostly more than the attempts that a destination allows at a time, so that
//! on a busy machine accepting gets ahead of delivering and fills the queue, and with it memory, for nothing. So an answer
//! waits until the lane has room again. Its event is kept all the same; only the answer is late, by [`HOLD_MAX`] at the
//! most. A lane that cannot have room by then (its destination dead, slow or paused) holds nobody: its queue is
//! there to be filled, and one sick destination must not slow down the senders of the others.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::answer::Waiter;
use super::lane::Lane;

/// The longest that an answer waits for room.
pub(super) const HOLD_MAX: Duration = Duration::from_millis(50);
/// While answers wait, lanes are looked at again after this at the latest.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// Over so long, at least, the pace of a lane is measured.
const WINDOW: Duration = Duration::from_millis(10);
/// A measure that is older than this says nothing any more.
const WINDOW_MAX: Duration = Duration::from_millis(500);
/// So many deliveries may always wait in a lane; otherwise twice as many as are in flight.
const ROOM_MIN: u64 = 64;

/// Answers that wait, oldest first.
#[derive(Debug, Default)]
pub(super) struct Pacing {
    held: VecDeque<Held>,
}

#[derive(Debug)]
struct Held {
    waiter: Waiter,
    lane: Arc<Lane>,
    since: Instant,
}

/// How fast deliveries leave a lane.
#[derive(Debug, Default)]
pub(super) struct Pace {
    measured: Option<(Instant, u64)>,
    each: Option<Duration>,
}

// === impl Pacing ===

impl Pacing {
    /// Answers at once, or when the lane that is crowded has room again.
    pub(super) fn answer(&mut self, waiter: Waiter, crowded: Option<&Arc<Lane>>, now: Instant) {
        match crowded {
            Some(lane) => self.held.push_back(Held { waiter, lane: Arc::clone(lane), since: now }),
            None => tell(waiter),
        }
    }

    /// Answers those whose lane has room again, as many as it has room for, and those that have waited long enough.
    pub(super) fn let_go(&mut self, now: Instant) {
        let mut rooms: Vec<(Arc<Lane>, u64)> = Vec::new();
        for held in std::mem::take(&mut self.held) {
            let known = rooms.iter().position(|(lane, _)| Arc::ptr_eq(lane, &held.lane));
            let at = known.unwrap_or_else(|| {
                rooms.push((Arc::clone(&held.lane), held.lane.room()));
                rooms.len() - 1
            });
            let late = now.saturating_duration_since(held.since) >= HOLD_MAX;
            match rooms.get_mut(at) {
                Some((_, room)) if *room > 0 => {
                    *room -= 1;
                    tell(held.waiter);
                }
                _ if late => tell(held.waiter),
                _ => self.held.push_back(held),
            }
        }
    }

    /// Answers everybody.
    pub(super) fn let_all_go(&mut self) {
        self.held.drain(..).for_each(|held| tell(held.waiter));
    }

    pub(super) fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }
}

// === impl Pace ===

impl Pace {
    /// Whether `excess` more than there is room for will have left within [`HOLD_MAX`]; `left` have left so far.
    pub(super) fn will_clear(&mut self, excess: u64, left: u64, now: Instant) -> bool {
        let (since, before) = *self.measured.get_or_insert((now, left));
        let window = now.saturating_duration_since(since);
        if window >= WINDOW {
            let count = u32::try_from(left.saturating_sub(before)).unwrap_or(u32::MAX);
            self.each = if window > WINDOW_MAX { None } else { window.checked_div(count) };
            self.measured = Some((now, left));
        }
        let excess = u32::try_from(excess).unwrap_or(u32::MAX);
        self.each.is_some_and(|each| each.saturating_mul(excess) <= HOLD_MAX)
    }
}

/// How many more may wait in a lane of which so many are in flight.
pub(super) fn room(in_flight: u64) -> u64 {
    (in_flight * 2).max(ROOM_MIN)
}

/// A sender that went away meanwhile will come again and be told that it is a duplicate.
fn tell(waiter: Waiter) {
    waiter.tell(Ok(()));
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::pin::Pin;
    use std::task::{Context, Waker};

    use super::*;

    use super::super::answer::{Awaited, awaited};
    use super::super::key::Key;
    use super::super::lane::Lanes;
    use super::super::queue::{Entry, NEVER};
    use super::super::record::Place;
    use crate::domain::{Clock, Seq, Timestamp};
    use crate::store::TargetSettings;

    const MILLI: Duration = Duration::from_millis(1);

    /// A lane in which so many deliveries wait.
    fn lane(clock: &Clock, waiting: u64) -> Arc<Lane> {
        let lanes = Lanes::new(clock.clone());
        lanes.loaded();
        let lane = lanes.lane("analytics");
        lanes.set_targets(&[TargetSettings {
            name: "analytics".into(),
            queue_max: u64::MAX,
            paused: false,
            in_flight_max: None,
            ordered: false,
        }]);
        for seq in 0..waiting {
            let key = Key { seq: Seq(seq), ordinal: 0 };
            let entry = Entry {
                key,
                attempts: 0,
                place: Place::default(),
                due_at: Timestamp(0),
                expires_at: NEVER,
                event: None,
            };
            lane.push(entry, clock.now());
        }
        lane
    }

    fn answered(waiters: &mut Vec<Awaited>) -> usize {
        let before = waiters.len();
        let mut context = Context::from_waker(Waker::noop());
        waiters.retain_mut(|waiter| Pin::new(waiter).poll(&mut context).is_pending());
        before - waiters.len()
    }

    #[test]
    fn answers_wait_for_room_in_their_lane_and_not_for_ever() {
        let (clock, start) = (Clock::manual(Timestamp(1_000)), Instant::now());
        let lane = lane(&clock, ROOM_MIN + 10);
        assert!(!lane.is_crowded(start), "whether it flows is not known yet");
        let mut pacing = Pacing::default();
        let mut waiters = Vec::new();
        for _ in 0..20 {
            let (waiter, receiver) = awaited();
            pacing.answer(waiter, Some(&lane), start);
            waiters.push(receiver);
        }
        pacing.let_go(start + MILLI);
        assert_eq!(answered(&mut waiters), 0, "no room");
        let claims = lane.claim(15, clock.now(), Duration::from_secs(10)).claimed;
        pacing.let_go(start + MILLI);
        assert_eq!(answered(&mut waiters), 5, "room for as many");
        for (entry, lease) in claims {
            assert!(lane.land(entry.key, lease).is_some());
        }
        assert!(!lane.is_crowded(start + 20 * MILLI), "59 wait");
        pacing.let_go(start + HOLD_MAX);
        assert_eq!((answered(&mut waiters), pacing.is_holding()), (15, false));
    }

    #[test]
    fn a_lane_that_flows_will_clear_and_one_that_stands_or_crawls_will_not() {
        let start = Instant::now();
        let mut pace = Pace::default();
        assert!(!pace.will_clear(1, 0, start), "nothing is known yet");
        assert!(pace.will_clear(500, 100, start + 10 * MILLI), "100 in 10 ms: 500 in 50 ms");
        assert!(!pace.will_clear(501, 100, start + 11 * MILLI));
        assert!(!pace.will_clear(11, 102, start + 20 * MILLI), "2 in 10 ms: 10 in 50 ms");
        assert!(!pace.will_clear(1, 102, start + 40 * MILLI), "it stands");
        assert!(!pace.will_clear(1, 1_000_000, start + 2_000 * MILLI), "the measure is too old to say");
    }
}
