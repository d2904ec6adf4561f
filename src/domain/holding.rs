//! A source that a person has paused: its events are kept, and their deliveries wait for it to be resumed.
//!
//! What waits is due far in the future, at a moment that is this source's alone, so that an event costs nothing more
//! while it waits and nothing has to be written when it may go.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Plan, Timestamp};

/// Deliveries that are due from here on (the year 9000) wait for a person.
pub const HELD_FROM: Timestamp = Timestamp(221_845_392_000_000);

/// So many moments there are: half a year of milliseconds.
const MOMENTS: u64 = 1 << 34;

/// Whether a source is paused; asked once an event.
#[derive(Debug)]
pub struct Holding {
    /// When its deliveries are due while it is paused.
    moment: Timestamp,
    /// The same while it is; 0 while it is not.
    until: AtomicU64,
}

/// The moment of a source.
#[must_use]
pub fn moment_of(source: &str) -> Timestamp {
    // FNV-1a: the same in every version, since what waits stands in stores.
    let hash = source
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    Timestamp(HELD_FROM.0 + hash % MOMENTS)
}

// === impl Holding ===

impl Holding {
    /// Of a source that is not paused.
    #[must_use]
    pub fn of(source: &str) -> Self {
        Self { moment: moment_of(source), until: AtomicU64::new(0) }
    }

    /// When its deliveries are due while it is paused.
    #[must_use]
    pub fn moment(&self) -> Timestamp {
        self.moment
    }

    /// Pauses or resumes it, for whatever comes from now on.
    pub fn set(&self, paused: bool) {
        self.until.store(if paused { self.moment.0 } else { 0 }, Ordering::SeqCst);
    }

    /// Whether it is paused.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.until.load(Ordering::SeqCst) != 0
    }

    /// Lets the deliveries of a plan wait where it is paused; whether it did.
    pub fn hold(&self, plan: &mut Plan) -> bool {
        let held = self.is_on();
        if held {
            plan.deliveries.iter_mut().for_each(|delivery| delivery.not_before = Some(self.moment));
        }
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_has_a_moment_of_its_own_that_no_version_changes() {
        assert_eq!(moment_of("appmint"), moment_of("appmint"));
        assert_ne!(moment_of("appmint"), moment_of("github"));
        assert_eq!(moment_of("appmint"), Timestamp(221_848_412_434_236));
        for source in ["", "a", "appmint", "a-source.with_signs"] {
            let moment = moment_of(source);
            assert!(moment >= HELD_FROM && moment.0 < 253_402_300_800_000, "before the year 10000: {moment:?}");
        }
    }

    #[test]
    fn a_plan_waits_only_while_it_is_on() {
        let holding = Holding::of("appmint");
        let delivery = super::super::PlannedDelivery {
            target: "crm".into(),
            route: 0,
            not_before: None,
            expires_at: None,
            order_key: None,
            batch_key: None,
        };
        let mut plan = Plan { deliveries: vec![delivery] };
        assert!(!holding.hold(&mut plan) && plan.deliveries[0].not_before.is_none());
        holding.set(true);
        assert!(holding.is_on() && holding.hold(&mut plan));
        assert_eq!(plan.deliveries[0].not_before, Some(holding.moment()));
        holding.set(false);
        assert!(!holding.is_on());
    }
}
