//! When a failed delivery is attempted again.

use std::time::Duration;

use super::{DeadReason, Next, Timestamp};

/// A destination's retry policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// The wait before each retry, counted from the end of the attempt before it.
    pub waits: Vec<Duration>,
    /// Each wait is stretched or shortened by up to this part of itself, 0 to 1.
    pub jitter: f64,
    /// Statuses after which nobody asks again.
    pub final_statuses: Vec<u16>,
}

/// The longest `Retry-After` that is obeyed.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

// === impl Schedule ===

impl Default for Schedule {
    /// Appmint's schedule: at once, then 1 m, 5 m, 15 m, 1 h, 6 h, 24 h.
    fn default() -> Self {
        const MINUTE: u64 = 60;
        Self {
            waits: [0, MINUTE, 5 * MINUTE, 15 * MINUTE, 60 * MINUTE, 360 * MINUTE, 1440 * MINUTE]
                .map(Duration::from_secs)
                .to_vec(),
            jitter: 0.1,
            final_statuses: vec![400, 410, 413, 415, 422],
        }
    }
}

impl Schedule {
    /// What a customer's webhook follows: the platform retries 5xx, 408, 429 and what brought no answer at all, so
    /// every other status below 500 is final.
    #[must_use]
    pub fn of_webhooks() -> Self {
        let retried = [408, 429];
        let final_statuses = (300..500).filter(|status| !retried.contains(status)).collect();
        Self { final_statuses, ..Self::default() }
    }

    /// What follows the failed attempt `number` (from 1) that ended at `ended_at`.
    ///
    /// `random` is a number in 0..1 that spreads the retries; `retry_after` is what the answer asked for,
    /// obeyed up to [`RETRY_AFTER_MAX`] and never to shorten the schedule's own wait.
    #[must_use]
    pub fn after_failure(
        &self,
        number: u16,
        status: Option<u16>,
        ended_at: Timestamp,
        retry_after: Option<Duration>,
        random: f64,
    ) -> Next {
        if status.is_some_and(|status| self.final_statuses.contains(&status)) {
            return Next::Dead(DeadReason::Refused);
        }
        let Some(wait) = self.waits.get(usize::from(number).saturating_sub(1)) else {
            return Next::Dead(DeadReason::Exhausted);
        };
        let spread = 1.0 + self.jitter * (2.0 * random - 1.0);
        let wait = wait.mul_f64(spread.max(0.0));
        let asked = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
        Next::RetryAt(ended_at.plus(wait.max(asked)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: Timestamp = Timestamp(1_000_000);

    #[track_caller]
    fn check(number: u16, status: Option<u16>, retry_after: Option<u64>, random: f64, expected: Next) {
        let asked = retry_after.map(Duration::from_secs);
        assert_eq!(Schedule::default().after_failure(number, status, END, asked, random), expected);
    }

    #[test]
    fn the_default_schedule_is_the_platforms() {
        check(1, Some(500), None, 0.5, Next::RetryAt(END));
        check(2, Some(500), None, 0.5, Next::RetryAt(Timestamp(END.0 + 60_000)));
        check(7, None, None, 0.5, Next::RetryAt(Timestamp(END.0 + 86_400_000)));
        check(8, Some(500), None, 0.5, Next::Dead(DeadReason::Exhausted));
    }

    #[test]
    fn jitter_stays_within_its_tenth() {
        check(2, None, None, 0.0, Next::RetryAt(Timestamp(END.0 + 54_000)));
        check(2, None, None, 1.0, Next::RetryAt(Timestamp(END.0 + 66_000)));
    }

    #[test]
    fn retry_after_only_lengthens_and_is_capped() {
        check(1, Some(503), Some(30), 0.5, Next::RetryAt(Timestamp(END.0 + 30_000)));
        check(2, Some(503), Some(30), 0.5, Next::RetryAt(Timestamp(END.0 + 60_000)));
        check(1, Some(429), Some(9_999_999), 0.5, Next::RetryAt(Timestamp(END.0 + 3_600_000)));
    }

    #[test]
    fn webhooks_are_retried_as_the_platform_says() {
        let after = |status| Schedule::of_webhooks().after_failure(1, status, END, None, 0.5);
        for status in [None, Some(408), Some(429), Some(500), Some(503), Some(599)] {
            assert_eq!(after(status), Next::RetryAt(END), "{status:?}");
        }
        for status in [301, 400, 401, 403, 404, 409, 410, 422, 499] {
            assert_eq!(after(Some(status)), Next::Dead(DeadReason::Refused), "{status}");
        }
    }

    #[test]
    fn final_statuses_end_it_and_others_do_not() {
        check(1, Some(410), None, 0.5, Next::Dead(DeadReason::Refused));
        check(1, Some(404), None, 0.5, Next::RetryAt(END));
        check(1, Some(301), None, 0.5, Next::RetryAt(END));
    }
}
