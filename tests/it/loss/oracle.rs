//! The judge: compares what was acknowledged with what arrived (RELIABILITY.md, O1 to O4).
//!
//! - **Lost**: an acknowledged event that a destination never took and that is not visibly dead by policy (O1).
//! - **Altered**, **invented**: bytes or events that nobody sent (O2).
//! - **Repeated**: taken twice in one life of the victim, or again after a crash although the first answer came so
//!   long before it that its outcome must have been written (O3, promise 1). After a power cut written is not enough, it
//!   must have been synced: that is so where an event was kept and acknowledged whose request was sent long enough after
//!   the answer, for the journal is one sequence; and where the cut came so much later that the syncs of a slow disk
//!   are over too. While a victim is frozen it can write nothing, and that time is not counted. Not counted as repeated, but printed: another
//!   attempt, where the destination itself kept the first one waiting for as long as an attempt may take. The victim had
//!   no answer by then, so it could not know the outcome. That a victim was frozen, starved or slow is no excuse, for
//!   the answer lay there.
//! - **False duplicate**: the first request ever of an event was answered as a copy (O4).
//!
//! Whether the gateway's own totals say the same (O5) is asked by the campaign, which can ask it.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::{Duration, Instant};

use super::ledger::{Arrival, DESTINATIONS, Death, Ledger, Sent, id, is_refused_for_good};
use super::stalls::{Stall, stalled};

/// Promise 1: outcomes are written within 250 ms.
const OUTCOMES_UNWRITTEN_MAX: Duration = Duration::from_millis(250);

/// What a busy machine of two cores may add between a sink's answer and the moment when the gateway has read it.
const READING_MAX: Duration = Duration::from_millis(250);

/// The 250 ms of promise 1 end with a sync where the power is cut. It may have to wait for one that is under way. On a
/// loop-mounted disk that three lives and a machine's other work share, one takes 10 to 300 ms.
const SYNCING_MAX: Duration = Duration::from_millis(600);

/// The destinations' `timeout`: whoever has no answer by then does not know what became of the attempt.
pub(super) const ATTEMPT_MAX: Duration = Duration::from_secs(5);

/// An attempt begins before its destination has read the request: by so much less than [`ATTEMPT_MAX`] it may have been
/// kept waiting.
const SENDING_MAX: Duration = Duration::from_millis(250);

/// How many examples of a failing are printed.
const EXAMPLES_MAX: usize = 5;

/// What the oracle found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    pub(super) sent: usize,
    pub(super) acknowledged: usize,
    pub(super) duplicates_answered: u32,
    pub(super) taken: usize,
    pub(super) dead_by_policy: usize,
    /// Requests that were copies of an event that a destination refuses for good.
    copies_of_refused: u64,
    /// Deliveries that were repeated because of a crash, within what promise 1 allows.
    pub(super) repeated_by_crashes: usize,
    /// How long before its crash the oldest of them had been answered.
    pub(super) oldest_repeat: Duration,
    /// Deliveries that were repeated because their destination had not answered when the attempt's time was over.
    pub(super) repeated_unknown: usize,
    pub(crate) lost: Vec<String>,
    pub(crate) altered: Vec<String>,
    pub(crate) invented: Vec<String>,
    pub(crate) repeated: Vec<String>,
    pub(crate) false_duplicates: Vec<String>,
    pub(crate) unacknowledged: Vec<String>,
    pub(crate) oddities: Vec<String>,
}

/// Judges a drained run; `dead` are the numbers of events and destinations that the victim shows as dead.
pub(super) fn judge(ledger: &Ledger, dead: &HashSet<(usize, usize)>) -> Verdict {
    let sent = ledger.sent();
    let mut verdict = Verdict { sent: sent.len(), oddities: ledger.oddities(), ..Verdict::default() };
    for (number, event) in sent.iter().enumerate() {
        verdict.duplicates_answered += event.duplicates;
        if is_refused_for_good(number) {
            verdict.copies_of_refused += u64::from(event.requests.saturating_sub(1));
        }
        if event.acknowledged == 0 {
            verdict.unacknowledged.push(id(number));
            continue;
        }
        verdict.acknowledged += 1;
        if event.requests == 1 && event.duplicates == 1 {
            verdict.false_duplicates.push(id(number));
        }
    }
    for (destination, destination_name) in DESTINATIONS.iter().enumerate() {
        let mut taken: HashMap<usize, Vec<Arrival>> = HashMap::new();
        for arrival in ledger.arrivals(destination) {
            match arrival.event.and_then(|number| Some((number, sent.get(number)?))) {
                None => verdict.invented.push(format!("{:?} at {destination_name}", arrival.event)),
                Some((number, event)) if event.sha256 != arrival.sha256 => {
                    verdict.altered.push(format!("{} at {destination_name}", id(number)));
                }
                Some((number, _)) if arrival.taken => taken.entry(number).or_default().push(arrival),
                Some(_) => {}
            }
        }
        for (number, event) in sent.iter().enumerate() {
            let name = format!("{} at {destination_name}", id(number));
            match taken.get(&number) {
                Some(arrivals) => verdict.judge_repeats(&name, arrivals, ledger),
                None if event.acknowledged == 0 => {}
                None if dead.contains(&(number, destination)) && destination == 1 && is_refused_for_good(number) => {
                    verdict.dead_by_policy += 1;
                }
                None => verdict.lost.push(format!("{name}, acknowledged {}", before_death(event, ledger))),
            }
        }
    }
    verdict
}

/// When an event was acknowledged, seen from the next death of the victim: what is lost young was never synced.
fn before_death(event: &Sent, ledger: &Ledger) -> String {
    let Some(at) = event.acknowledged_at else { return "at a time unknown".to_owned() };
    match ledger.deaths().into_iter().enumerate().find(|(_, death)| death.at > at) {
        Some((life, death)) => format!("{:?} before the end of life {life}", death.at - at),
        None => "in the last life".to_owned(),
    }
}

/// For how long at most the victim waited for this answer: from the request's arrival, and where the destination stood
/// still it may have lain there before it was read.
fn waited(arrival: &Arrival, stalls: &[Stall]) -> Duration {
    let (from, until) = (arrival.held.from(), arrival.held.until());
    let before = from.checked_sub(ATTEMPT_MAX).unwrap_or(from);
    until.saturating_duration_since(from) + stalled(stalls, before, from)
}

/// Whether the victim that died this death must have kept an outcome; `age` is how old it was then, by the victim's own
/// time.
fn must_be_known(death: &Death, age: impl Fn(Instant) -> Duration) -> bool {
    let written_after = OUTCOMES_UNWRITTEN_MAX + READING_MAX;
    if !death.of_power {
        return age(death.at) > written_after;
    }
    let is_behind_a_sync = death.synced.is_some_and(|synced| age(synced) > written_after);
    is_behind_a_sync || age(death.at) > written_after + SYNCING_MAX
}

// === impl Verdict ===

impl Verdict {
    fn judge_repeats(&mut self, name: &str, arrivals: &[Arrival], ledger: &Ledger) {
        self.taken += 1;
        let (deaths, stalls, freezes) = (ledger.deaths(), ledger.stalls(), ledger.freezes());
        for pair in arrivals.windows(2) {
            let (first, second) = (&pair[0], &pair[1]);
            if first.life == second.life {
                let waited = waited(first, &stalls);
                if second.attempt > first.attempt && waited + SENDING_MAX >= ATTEMPT_MAX {
                    self.repeated_unknown += 1;
                    continue;
                }
                let apart = second.held.from().saturating_duration_since(first.held.from());
                self.repeated.push(format!(
                    "{name}: taken twice in life {}, {apart:?} apart, the first kept waiting for {waited:?}",
                    first.life
                ));
                continue;
            }
            let (death, answered) = (&deaths[first.life], first.held.until());
            let of_its_own = |until: Instant| {
                until.saturating_duration_since(answered).saturating_sub(stalled(&freezes, answered, until))
            };
            let age = of_its_own(death.at);
            self.repeated_by_crashes += 1;
            self.oldest_repeat = self.oldest_repeat.max(age);
            if must_be_known(death, of_its_own) {
                let (life, [one, other]) = (second.life, [first.attempt, second.attempt]);
                self.repeated.push(format!(
                    "{name}: attempt {one} was answered {age:?} before the crash, attempt {other} in life {life}"
                ));
            }
        }
    }

    /// Whether these totals of the gateway's own are those of the logs, when nothing is open: accepted events;
    /// deliveries that succeeded, that are dead, that ended otherwise. A copy of an event whose delivery is dead starts
    /// it again, so that it may end once more.
    pub(super) fn agrees_with(&self, [accepted, succeeded, dead, otherwise]: [u64; 4]) -> bool {
        let dead_least = self.dead_by_policy as u64;
        [accepted, succeeded, otherwise] == [self.acknowledged as u64, self.taken as u64, 0]
            && (dead_least..=dead_least + self.copies_of_refused).contains(&dead)
    }

    /// Every failing by its name.
    pub(super) fn failings(&self) -> [(&'static str, &[String]); 7] {
        [
            ("lost", &self.lost),
            ("altered", &self.altered),
            ("invented", &self.invented),
            ("repeated without need", &self.repeated),
            ("false duplicates", &self.false_duplicates),
            ("never acknowledged", &self.unacknowledged),
            ("odd answers", &self.oddities),
        ]
    }

    /// Whether every promise was kept.
    pub(crate) fn is_clean(&self) -> bool {
        self.failings().iter().all(|(_, cases)| cases.is_empty())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "sent {}, acknowledged {}, duplicates answered {}, taken by destinations {}, dead by policy {}, \
             repeated by crashes {} (oldest answered {} ms before), by attempts without an answer {}",
            self.sent,
            self.acknowledged,
            self.duplicates_answered,
            self.taken,
            self.dead_by_policy,
            self.repeated_by_crashes,
            self.oldest_repeat.as_millis(),
            self.repeated_unknown,
        )?;
        for (name, cases) in self.failings() {
            write!(formatter, ", {name} {}", cases.len())?;
        }
        for (name, cases) in self.failings() {
            for case in cases.iter().take(EXAMPLES_MAX) {
                write!(formatter, "\n  {name}: {case}")?;
            }
        }
        Ok(())
    }
}

mod tests {
    use super::*;
    use crate::support::Held;

    /// What the run of a [`check`] was like, in milliseconds after its start. Its victim died at 1000 and 2000.
    #[derive(Default)]
    struct Run {
        /// By power cuts, with everything synced that had come before this.
        synced: Option<u64>,
        /// From when until when the victim stood still.
        frozen: Option<(u64, u64)>,
    }

    /// One event, taken by the steady destination at these times (milliseconds after the start, by life), in a run
    /// with deaths by `kill -9`: how often it was repeated by a crash, and whether wrongly.
    fn check(taken: &[(u64, usize)], repeated_by_crashes: usize, is_clean: bool) {
        check_run(&Run::default(), taken, repeated_by_crashes, is_clean);
    }

    fn check_run(run: &Run, taken: &[(u64, usize)], repeated_by_crashes: usize, is_clean: bool) {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let death =
            |milliseconds| Death { at: at(milliseconds), of_power: run.synced.is_some(), synced: run.synced.map(at) };
        let sent = Sent { sha256: [7; 32], requests: 1, acknowledged: 1, duplicates: 0, acknowledged_at: None };
        let arrival = |&(milliseconds, life): &(u64, usize)| Arrival {
            event: Some(0),
            sha256: [7; 32],
            held: Held::between(at(milliseconds), at(milliseconds)),
            taken: true,
            refused: false,
            life,
            attempt: 1,
        };
        let shaky = vec![arrival(&(1, 0))];
        let steady = taken.iter().map(arrival).collect();
        let ledger = Ledger::of(vec![sent], [steady, shaky], vec![death(1000), death(2000)]);
        if let Some((from, until)) = run.frozen {
            ledger.was_frozen(at(from), at(until));
        }
        let verdict = judge(&ledger, &HashSet::new());
        assert_eq!((verdict.repeated_by_crashes, verdict.is_clean()), (repeated_by_crashes, is_clean), "{verdict}");
    }

    #[test]
    fn a_repeat_needs_a_crash_that_came_soon_after_the_answer() {
        check(&[(900, 0)], 0, true);
        check(&[(900, 0), (1100, 1)], 1, true);
        // In flight at the crash: the answer came after it.
        check(&[(1010, 0), (1100, 1)], 1, true);
        check(&[(900, 0), (1900, 1), (2100, 2)], 2, true);
        check(&[(100, 0), (1100, 1)], 1, false);
        check(&[(900, 0), (950, 0)], 0, false);
        check(&[(900, 0), (1100, 1), (2100, 2)], 2, false);
    }

    #[test]
    fn after_a_power_cut_a_repeat_may_be_as_old_as_what_is_not_synced() {
        let check = |synced, answered, is_clean| {
            check_run(&Run { synced: Some(synced), frozen: None }, &[(answered, 1), (2100, 2)], 1, is_clean);
        };
        check(900, 1000, true);
        check(900, 850, false);
        // An event was acknowledged whose request came more than 500 ms after the answer.
        check(1450, 1000, true);
        check(1550, 1000, false);
    }

    #[test]
    fn the_time_in_which_the_victim_stood_still_makes_no_outcome_old() {
        let check = |frozen, is_clean| {
            check_run(&Run { synced: None, frozen }, &[(1200, 1), (2100, 2)], 1, is_clean);
        };
        check(None, false);
        check(Some((1200, 1600)), true);
        check(Some((1100, 1400)), false);
    }

    /// One event that the steady destination took twice in one life, 6 s apart: the first was kept waiting for so many
    /// milliseconds, and before it was read the destination had stood still for so many.
    fn check_twice(held: u64, stalled: u64, attempts: [u32; 2], is_clean: bool) {
        let start = Instant::now() + Duration::from_secs(60);
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let sent = Sent { sha256: [7; 32], requests: 1, acknowledged: 1, duplicates: 0, acknowledged_at: None };
        let arrival = |(from, until), attempt| Arrival {
            event: Some(0),
            sha256: [7; 32],
            held: Held::between(at(from), at(until)),
            taken: true,
            refused: false,
            life: 0,
            attempt,
        };
        let steady = vec![arrival((0, held), attempts[0]), arrival((6000, 6001), attempts[1])];
        let ledger = Ledger::of(vec![sent], [steady, vec![arrival((0, 0), 1)]], Vec::new());
        ledger.stood_still(vec![(start - Duration::from_millis(stalled), start), (at(6000), at(9000))]);
        let verdict = judge(&ledger, &HashSet::new());
        assert_eq!((verdict.is_clean(), verdict.repeated_unknown), (is_clean, usize::from(is_clean)), "{verdict}");
    }

    #[test]
    fn a_repeat_within_one_life_needs_a_destination_that_kept_the_first_attempt_waiting_for_its_time_out() {
        check_twice(5050, 0, [1, 2], true);
        check_twice(5050, 0, [1, 1], false);
        check_twice(3000, 0, [1, 2], false);
        // The victim was slow, or frozen: the answer lay there.
        check_twice(5, 0, [1, 2], false);
        // The destination was frozen, and its own clock began late.
        check_twice(5, 5000, [1, 2], true);
        check_twice(5, 3000, [1, 2], false);
    }

    #[test]
    fn an_event_that_a_destination_never_took_is_lost_unless_it_refused_it_for_good() {
        check(&[], 0, false);
        let sent = |_| Sent { sha256: [7; 32], requests: 1, acknowledged: 1, duplicates: 0, acknowledged_at: None };
        let arrival = |number| Arrival {
            event: Some(number),
            sha256: [7; 32],
            held: Held::between(Instant::now(), Instant::now()),
            taken: true,
            refused: false,
            life: 0,
            attempt: 1,
        };
        // Event 498 is one that the shaky destination refuses for good.
        let steady = (0..499).map(arrival).collect();
        let shaky = (0..498).map(arrival).collect();
        let ledger = Ledger::of((0..499).map(sent).collect(), [steady, shaky], Vec::new());
        assert_eq!(judge(&ledger, &HashSet::new()).lost.len(), 1);
        let verdict = judge(&ledger, &HashSet::from([(498, 1)]));
        assert!(verdict.is_clean() && verdict.dead_by_policy == 1, "{verdict}");
    }
}
