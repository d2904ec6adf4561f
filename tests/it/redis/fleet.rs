//! Three gateways on one server, a sender that spreads over them, and what became of each event.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::support::{Gateway, RedisServer, SECRET, Sender, Sink, event_of_bytes};

/// Connections of the sender.
const CONNECTIONS: usize = 12;

/// One event in so many is sent again, to another gateway.
const REPEATED_EVERY: usize = 10;

/// How long a sender waits after a refusal.
const PAUSE: Duration = Duration::from_millis(20);

/// Outcomes are written within 250 ms; a busy machine may need as long again until an answer is read.
const IN_FLIGHT_MAX: Duration = Duration::from_millis(500);

/// How long leases that a dead gateway left may take to end, and the rest to drain.
pub(super) const DRAIN_MAX: Duration = Duration::from_secs(90);

/// Gateways, their servers and two destinations.
pub(super) struct Fleet<R = RedisServer> {
    pub(super) redis: R,
    pub(super) gateways: Vec<Gateway>,
    sinks: [Sink; 2],
}

/// A sender that runs until it is stopped.
pub(super) struct Storm {
    stop: Arc<AtomicBool>,
    log: Arc<Log>,
    tasks: JoinSet<()>,
}

/// What was sent, by number: how often it was acknowledged, and how often as a copy.
#[derive(Default)]
pub(super) struct Log {
    next: AtomicUsize,
    acknowledged: Mutex<HashMap<usize, (u32, u32)>>,
}

/// What became of the acknowledged events.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) acknowledged: usize,
    pub(super) copies: usize,
    pub(super) taken: usize,
    pub(super) lost: Vec<String>,
    /// Taken more than once, near a crash.
    pub(super) repeated_by_crashes: usize,
    /// Taken more than once without a crash that explains it.
    pub(super) repeated: Vec<String>,
    /// The first request ever was answered as a copy.
    pub(super) false_copies: Vec<String>,
}

// === impl Fleet ===

impl Fleet {
    pub(super) async fn start(redis: RedisServer, settings: &str) -> Self {
        let store = redis.store(settings);
        Self::at(redis, &store).await
    }
}

impl<R> Fleet<R> {
    /// Gateways with this `store` section.
    pub(super) async fn at(redis: R, store: &str) -> Self {
        let sinks = [Sink::start().await, Sink::start().await];
        let destination = |name: &str, sink: &Sink| {
            format!(
                "  {name}: {{ url: \"{}\", timeout: 2s, retry: {{ schedule: [100ms, 1s, 1s, 1s, 1s, 1s] }}, \
                 breaker: {{ failures: 100000, window: 30s, open: 200ms }} }}\n",
                sink.url("/hook")
            )
        };
        let config = format!(
            "{store}sources:\n  appmint: {{ path: /in, verify: {{ scheme: appmint, secrets: [\"{SECRET}\"] }} }}\n\
             routes:\n  - {{ from: appmint, to: [one, two] }}\ndestinations:\n{}{}",
            destination("one", &sinks[0]),
            destination("two", &sinks[1]),
        );
        let mut gateways = Vec::new();
        for _ in 0..3 {
            gateways.push(Gateway::start(&config).await);
        }
        Self { redis, gateways, sinks }
    }

    /// Sends to all of them.
    pub(super) fn storm(&self) -> Storm {
        let (stop, log) = (Arc::new(AtomicBool::new(false)), Arc::new(Log::default()));
        let addresses: Vec<_> = self.gateways.iter().map(Gateway::ingress).collect();
        let mut tasks = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (stop, log, addresses) = (Arc::clone(&stop), Arc::clone(&log), addresses.clone());
            tasks.spawn(async move {
                let mut senders: Vec<_> = addresses.iter().map(|to| Sender::to(*to, "/in", SECRET)).collect();
                while !stop.load(Ordering::Relaxed) {
                    let number = log.next.fetch_add(1, Ordering::Relaxed);
                    let first = fastrand::usize(..senders.len());
                    log.send(&mut senders, first, number).await;
                    if number % REPEATED_EVERY == 0 {
                        let other = (first + 1 + fastrand::usize(..senders.len() - 1)) % senders.len();
                        log.send(&mut senders, other, number).await;
                    }
                }
            });
        }
        Storm { stop, log, tasks }
    }

    /// Waits until nothing is open and compares; `crashes` are the moments at which a gateway was killed.
    pub(super) async fn judge(&self, log: &Log, crashes: &[Instant]) -> Outcome {
        self.gateways[0].drained(DRAIN_MAX).await;
        let mut outcome = Outcome::default();
        let mut taken: [HashMap<String, Vec<Instant>>; 2] = Default::default();
        for (sink, taken) in self.sinks.iter().zip(&mut taken) {
            for hit in sink.hits() {
                taken.entry(hit.header("hookward-source-event-id").to_owned()).or_default().push(hit.at);
            }
        }
        for (number, (acknowledged, copies)) in &*log.acknowledged.lock().unwrap() {
            outcome.acknowledged += 1;
            outcome.copies += *copies as usize;
            if *acknowledged == *copies {
                outcome.false_copies.push(id(*number));
            }
            for (destination, taken) in taken.iter().enumerate() {
                let name = format!("{} at {destination}", id(*number));
                match taken.get(&id(*number)) {
                    None => outcome.lost.push(name),
                    Some(times) => outcome.judge_repeats(name, times, crashes),
                }
            }
        }
        outcome
    }
}

impl Outcome {
    fn judge_repeats(&mut self, name: String, times: &[Instant], crashes: &[Instant]) {
        self.taken += 1;
        let near = |first: &Instant| {
            crashes.iter().any(|crash| {
                crash.saturating_duration_since(*first) <= IN_FLIGHT_MAX
                    && first.saturating_duration_since(*crash) <= IN_FLIGHT_MAX
            })
        };
        for first in &times[..times.len() - 1] {
            if near(first) {
                self.repeated_by_crashes += 1;
            } else {
                self.repeated.push(name.clone());
            }
        }
    }

    /// Whether every promise was kept.
    pub(super) fn is_clean(&self) -> bool {
        self.lost.is_empty() && self.repeated.is_empty() && self.false_copies.is_empty()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "acknowledged {}, copies {}, taken by destinations {}, repeated by crashes {}, lost {:?}, \
             repeated without need {:?}, false copies {:?}",
            self.acknowledged,
            self.copies,
            self.taken,
            self.repeated_by_crashes,
            self.lost,
            self.repeated,
            self.false_copies
        )
    }
}

// === impl Storm, Log ===

impl Storm {
    /// Events that were acknowledged so far.
    pub(super) fn acknowledged(&self) -> usize {
        self.log.acknowledged.lock().unwrap().len()
    }

    /// Ends after what is under way is acknowledged.
    pub(super) async fn stop(self) -> Arc<Log> {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.join_all().await;
        self.log
    }
}

impl Log {
    /// Sends until it is acknowledged: first there, then anywhere.
    async fn send(&self, senders: &mut [Sender], first: usize, number: usize) {
        let mut to = first;
        let body = event_of_bytes(&id(number), "payment.succeeded", 200);
        let mut requests = 0;
        loop {
            requests += 1;
            match senders[to].try_send(&body).await {
                Ok(reply) if reply.status == 200 => {
                    let mut acknowledged = self.acknowledged.lock().unwrap();
                    let entry = acknowledged.entry(number).or_default();
                    entry.0 += 1;
                    // A request whose answer was lost may have been kept: then the next one is a copy, rightly.
                    entry.1 += u32::from(reply.is_duplicate() && (requests == 1 || entry.0 > 1));
                    return;
                }
                Ok(reply) if reply.status != 503 => panic!("{} was answered {}", id(number), reply.status),
                Ok(_) | Err(_) => tokio::time::sleep(PAUSE).await,
            }
            to = fastrand::usize(..senders.len());
        }
    }
}

fn id(number: usize) -> String {
    format!("evt_fleet_{number:07}")
}
