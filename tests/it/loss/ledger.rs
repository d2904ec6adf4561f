//! What was sent, what was acknowledged, what arrived, and when the victim died: kept outside the victim.

use std::collections::{HashSet, VecDeque};
use std::sync::Mutex;
use std::time::Instant;

use bytes::Bytes;

use super::stalls::Stall;
use crate::support::{Held, Hit, Reply, event_of_bytes, sha256};

/// The destination that always works, and the one that does not.
pub(super) const DESTINATIONS: [&str; 2] = ["steady", "shaky"];

/// One event in so many is refused for good by the shaky destination: it must end visibly dead.
const REFUSED_FOR_GOOD_EVERY: usize = 499;

/// One event of the run, by its number.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) sha256: [u8; 32],
    /// How many requests carried it.
    pub(super) requests: u32,
    /// How many of them were answered 2xx.
    pub(super) acknowledged: u32,
    /// How many of these were called duplicates.
    pub(super) duplicates: u32,
    /// When the first of them came.
    pub(super) acknowledged_at: Option<Instant>,
}

/// One request at a destination.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    /// The number of its event; `None` where the id is none that we sent.
    pub(super) event: Option<usize>,
    pub(super) sha256: [u8; 32],
    /// From when until when it was kept waiting for its answer.
    pub(super) held: Held,
    /// Whether the answer was 2xx.
    pub(super) taken: bool,
    /// Whether it was one after which the delivery is dead.
    pub(super) refused: bool,
    /// In which life of the victim.
    pub(super) life: usize,
    /// Which attempt the victim said it was.
    pub(super) attempt: u32,
}

/// How a life of the victim ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Death {
    pub(super) at: Instant,
    /// Its disk lost its power.
    pub(super) of_power: bool,
    /// What had reached the victim before this was durable.
    pub(super) synced: Option<Instant>,
}

/// The log of a run.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    sent: Mutex<Vec<Sent>>,
    unacknowledged: Mutex<VecDeque<usize>>,
    arrivals: [Mutex<Vec<Arrival>>; 2],
    deaths: Mutex<Vec<Death>>,
    /// Everything that reached the victim before this is durable: the latest request that it kept and acknowledged.
    synced: Mutex<Option<Instant>>,
    /// When the victim stood still.
    freezes: Mutex<Vec<Stall>>,
    /// When this process stood still.
    stalls: Mutex<Vec<Stall>>,
    oddities: Mutex<Vec<String>>,
}

/// The sender's id of an event.
pub(super) fn id(number: usize) -> String {
    format!("evt_loss_{number:07}")
}

/// The number of an id.
pub(super) fn number(id: &str) -> Option<usize> {
    id.strip_prefix("evt_loss_")?.parse().ok()
}

/// The bytes of an event, made from its number alone: 0.2 to 2.2 kB; of the first ones every other 950 kB, so that even
/// a short run on a small disk fills a file of the journal.
pub(super) fn body(number: usize) -> Bytes {
    let event_type = ["payment.succeeded", "user.created", "document.updated"][number % 3];
    let filling = if matches!(number, 1 | 3 | 5) { 950_000 } else { 100 + number * 7919 % 2000 };
    event_of_bytes(&id(number), event_type, filling)
}

/// Whether the shaky destination refuses this event for good.
pub(super) fn is_refused_for_good(number: usize) -> bool {
    number % REFUSED_FOR_GOOD_EVERY == REFUSED_FOR_GOOD_EVERY - 1
}

// === impl Ledger ===

impl Ledger {
    /// A log as it might have been, to judge.
    pub(super) fn of(sent: Vec<Sent>, arrivals: [Vec<Arrival>; 2], deaths: Vec<Death>) -> Self {
        Self {
            sent: Mutex::new(sent),
            arrivals: arrivals.map(Mutex::new),
            deaths: Mutex::new(deaths),
            ..Self::default()
        }
    }

    /// The next event to send: what an earlier request left unacknowledged, sometimes a repeat, mostly a new one.
    pub(super) fn next(&self) -> usize {
        if let Some(number) = self.unacknowledged.lock().unwrap().pop_front() {
            return number;
        }
        let sent = self.sent.lock().unwrap();
        if !sent.is_empty() && fastrand::u8(..100) < 6 {
            // Half of the repeats follow so closely that the first may still be under way.
            let back = if fastrand::bool() { 40 } else { sent.len() };
            return sent.len() - 1 - fastrand::usize(..back.min(sent.len()));
        }
        drop(sent);
        self.fresh()
    }

    /// An event that was never sent.
    pub(super) fn fresh(&self) -> usize {
        let mut sent = self.sent.lock().unwrap();
        let number = sent.len();
        sent.push(Sent {
            sha256: sha256(&body(number)),
            requests: 0,
            acknowledged: 0,
            duplicates: 0,
            acknowledged_at: None,
        });
        number
    }

    /// What must be sent again, if anything.
    pub(super) fn next_unacknowledged(&self) -> Option<usize> {
        self.unacknowledged.lock().unwrap().pop_front()
    }

    /// Whoever was sending has been stopped half way: all that is not acknowledged must be sent again.
    pub(super) fn begin_again(&self) {
        let sent = self.sent.lock().unwrap();
        let open = sent.iter().enumerate().filter(|(_, event)| event.acknowledged == 0).map(|(number, _)| number);
        *self.unacknowledged.lock().unwrap() = open.collect();
    }

    /// Notes that a request is about to go out.
    pub(super) fn requested(&self, number: usize) {
        self.sent.lock().unwrap()[number].requests += 1;
    }

    /// Notes how a request ended that was sent at this time; true where the event is acknowledged now.
    pub(super) fn answered(&self, number: usize, asked_at: Instant, answer: &Result<Reply, String>) -> bool {
        match answer {
            Ok(reply) if reply.status == 200 => {
                let event = &mut self.sent.lock().unwrap()[number];
                event.acknowledged += 1;
                event.acknowledged_at.get_or_insert_with(Instant::now);
                event.duplicates += u32::from(reply.is_duplicate());
                // A copy may be acknowledged by the sync of the first one.
                if !reply.is_duplicate() {
                    let mut synced = self.synced.lock().unwrap();
                    *synced = (*synced).max(Some(asked_at));
                }
                return true;
            }
            Ok(reply) if reply.status == 503 && !reply.header("retry-after").is_empty() => {}
            Ok(reply) => {
                let body = String::from_utf8_lossy(&reply.body).into_owned();
                self.odd(format!("{} was answered {} {body}", id(number), reply.status));
            }
            Err(_) => {}
        }
        self.unacknowledged.lock().unwrap().push_back(number);
        false
    }

    /// Events that a destination has refused for good, with the destination: where nobody can ask the victim any more.
    pub(super) fn refused_for_good(&self) -> HashSet<(usize, usize)> {
        let refused = |destination| {
            let arrivals = self.arrivals(destination).into_iter().filter(|arrival| arrival.refused);
            arrivals.filter_map(move |arrival| Some((arrival.event?, destination)))
        };
        (0..DESTINATIONS.len()).flat_map(refused).collect()
    }

    /// Notes a request at a destination, and with which status it was answered.
    pub(super) fn arrived(&self, destination: usize, hit: &Hit, status: u16) {
        let arrival = Arrival {
            event: number(hit.header("hookward-source-event-id")),
            sha256: hit.sha256,
            held: hit.held.clone(),
            taken: status == 200,
            refused: status == 410,
            life: self.deaths.lock().unwrap().len(),
            attempt: hit.header("hookward-attempt").parse().unwrap_or_default(),
        };
        self.arrivals[destination].lock().unwrap().push(arrival);
    }

    /// Notes that the victim died at this moment and that all which it had sent has arrived.
    pub(super) fn died(&self, at: Instant, of_power: bool) {
        let synced = *self.synced.lock().unwrap();
        self.deaths.lock().unwrap().push(Death { at, of_power, synced });
    }

    /// Notes that the victim stood still.
    pub(super) fn was_frozen(&self, from: Instant, until: Instant) {
        self.freezes.lock().unwrap().push((from, until));
    }

    pub(super) fn freezes(&self) -> Vec<Stall> {
        self.freezes.lock().unwrap().clone()
    }

    /// Notes when this process stood still so far.
    pub(super) fn stood_still(&self, stalls: Vec<Stall>) {
        *self.stalls.lock().unwrap() = stalls;
    }

    pub(super) fn stalls(&self) -> Vec<Stall> {
        self.stalls.lock().unwrap().clone()
    }

    /// Notes an answer that must not be.
    pub(super) fn odd(&self, what: String) {
        self.oddities.lock().unwrap().push(what);
    }

    pub(super) fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }

    pub(super) fn arrivals(&self, destination: usize) -> Vec<Arrival> {
        self.arrivals[destination].lock().unwrap().clone()
    }

    pub(super) fn deaths(&self) -> Vec<Death> {
        self.deaths.lock().unwrap().clone()
    }

    pub(super) fn oddities(&self) -> Vec<String> {
        self.oddities.lock().unwrap().clone()
    }
}
