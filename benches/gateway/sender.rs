//! Role `sender`: genuine, signed events with unique ids over keep-alive connections. Here the closed loop: every
//! connection sends its next event as soon as the last one is answered. The open loop is a file of its own.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use hdrhistogram::Histogram;
use rustix::event::{Timespec, epoll};

use crate::control::{now_nanos, say, serve};
use crate::event::{Supply, Variety};
use crate::open_loop;
use crate::pacer::histogram;
use crate::wire::{Connection, READ_BYTES, Read1};

/// What a sender is told on its command line.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) address: String,
    pub(crate) path: String,
    /// The name of the header that carries `sha256=HEX`; or a whole header line, and nothing is signed.
    pub(crate) credential: String,
    /// Keep-alive connections of the closed loop; the open loop takes as many as it needs.
    pub(crate) connections: usize,
    /// Signatures made before the start; later ones are made while sending.
    pub(crate) presigned: usize,
    /// Events a second in the open loop; 0 for the closed loop.
    pub(crate) rate: u64,
    /// Chooses the random moments of the open loop.
    pub(crate) seed: u64,
    /// Number of the first event.
    pub(crate) first: u64,
    /// In what events differ beside their numbers.
    pub(crate) variety: Variety,
    /// Stop by itself after so many events; 0 for never.
    pub(crate) events_max: u64,
}

/// What the bench and the loop tell each other.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) accepted: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) broken: AtomicU64,
    /// From when on it counts: the moment of `mark`, 0 before.
    pub(crate) mark_nanos: AtomicU64,
    pub(crate) go: AtomicBool,
    pub(crate) stop: AtomicBool,
}

/// Runs as told: says `ready`, starts at `go`, answers `stats`, measures from `mark` on, and ends at `stop` with one
/// line: accepted, refused, broken, then p50, p90, p99, p99.9 and maximum latency in nanoseconds. The open loop ends with
/// its [`open_loop::Outcome`] instead.
pub(crate) fn run(plan: &Plan) {
    let shared = Arc::new(Shared::default());
    let seen = Arc::clone(&shared);
    serve(move |command| match command {
        "go" => {
            seen.go.store(true, Relaxed);
            None
        }
        "mark" => {
            seen.mark_nanos.store(now_nanos(), Relaxed);
            None
        }
        "stop" => {
            seen.stop.store(true, Relaxed);
            None
        }
        _ => Some(format!(
            "{} {} {}",
            seen.accepted.load(Relaxed),
            seen.refused.load(Relaxed),
            seen.broken.load(Relaxed)
        )),
    });
    if plan.rate > 0 {
        return open_loop::run(plan, shared);
    }
    let mut sender = Sender::new(plan.clone(), shared);
    say("ready");
    while !sender.shared.go.load(Relaxed) {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    sender.closed_loop();
    sender.finish();
}

struct Slot {
    connection: Connection,
    /// When the event in flight was sent; 0 while nothing is in flight.
    sent_nanos: u64,
}

struct Sender {
    plan: Plan,
    shared: Arc<Shared>,
    poll: rustix::fd::OwnedFd,
    events: Supply,
    slots: Vec<Slot>,
    in_flight: usize,
    latency: Histogram<u64>,
    scratch: Vec<u8>,
}

impl Sender {
    fn new(plan: Plan, shared: Arc<Shared>) -> Self {
        let events = Supply::new(&plan);
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll");
        let slots = (0..plan.connections)
            .map(|index| Slot { connection: connect(&poll, &plan.address, index), sent_nanos: 0 })
            .collect();
        let (in_flight, latency, scratch) = (0, histogram(), vec![0; READ_BYTES]);
        Self { plan, shared, poll, events, slots, in_flight, latency, scratch }
    }

    fn done(&self) -> bool {
        self.shared.stop.load(Relaxed) || (self.plan.events_max > 0 && self.events.sent() >= self.plan.events_max)
    }

    fn closed_loop(&mut self) {
        for index in 0..self.slots.len() {
            self.send(index, now_nanos());
        }
        let mut answered = Vec::with_capacity(self.slots.len());
        loop {
            self.receive(&mut answered);
            if self.done() {
                return;
            }
            let now = now_nanos();
            for index in answered.drain(..) {
                self.send(index, now);
            }
        }
    }

    fn send(&mut self, index: usize, sent_nanos: u64) {
        while !self.slots[index].connection.write(self.events.request(sent_nanos)) {
            // It ended while nothing was in flight, so no event was lost with it.
            self.reconnect(index);
        }
        self.events.advance();
        self.slots[index].sent_nanos = sent_nanos;
        self.in_flight += 1;
    }

    /// Waits for answers, takes all that are there and appends the connections that are free again.
    fn receive(&mut self, free: &mut Vec<usize>) {
        let mut ready = Vec::with_capacity(512);
        let wait = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        match epoll::wait(&self.poll, rustix::buffer::spare_capacity(&mut ready), Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("epoll of the sender: {error}"),
        }
        for event in ready {
            let index = usize::try_from(event.data.u64()).expect("an index");
            let mut answers = 0;
            let mut genuine = false;
            let flags = event.flags;
            let mut close = flags.intersects(epoll::EventFlags::RDHUP | epoll::EventFlags::HUP);
            let slot = &mut self.slots[index];
            let found = slot.connection.read(&mut self.scratch, |message, bytes| {
                answers += 1;
                close |= message.close;
                genuine = bytes.get(9) == Some(&b'2');
            });
            let open = slot.connection.flush() && !matches!(found, Read1::Closed);
            let busy = slot.sent_nanos > 0;
            if answers > 0 && busy {
                self.answered(index, genuine);
            }
            if !open || close {
                self.reconnect(index);
            }
            // Answered or lost: either way the connection in its place is free.
            if busy && self.slots[index].sent_nanos == 0 {
                free.push(index);
            }
        }
    }

    fn answered(&mut self, index: usize, genuine: bool) {
        let slot = &mut self.slots[index];
        let (sent_nanos, mark_nanos) = (slot.sent_nanos, self.shared.mark_nanos.load(Relaxed));
        slot.sent_nanos = 0;
        self.in_flight -= 1;
        // A quick refusal is no quick acceptance.
        if genuine && mark_nanos > 0 && sent_nanos >= mark_nanos {
            self.latency.saturating_record(now_nanos().saturating_sub(sent_nanos).max(1));
        }
        let counter = if genuine { &self.shared.accepted } else { &self.shared.refused };
        counter.store(counter.load(Relaxed) + 1, Relaxed);
    }

    fn reconnect(&mut self, index: usize) {
        if self.slots[index].sent_nanos > 0 {
            self.shared.broken.fetch_add(1, Relaxed);
            self.in_flight -= 1;
        }
        self.slots[index] = Slot { connection: connect(&self.poll, &self.plan.address, index), sent_nanos: 0 };
    }

    fn finish(&mut self) {
        let give_up = now_nanos() + 10_000_000_000;
        let mut free = Vec::new();
        while self.in_flight > 0 && now_nanos() < give_up {
            self.receive(&mut free);
        }
        // Events that ran out by their number: the bench still asks for counts until it says stop.
        while !self.shared.stop.load(Relaxed) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let at = |quantile| self.latency.value_at_quantile(quantile);
        say(&format!(
            "{} {} {} {} {} {} {} {}",
            self.shared.accepted.load(Relaxed),
            self.shared.refused.load(Relaxed),
            self.shared.broken.load(Relaxed) + self.in_flight as u64,
            at(0.5),
            at(0.9),
            at(0.99),
            at(0.999),
            self.latency.max()
        ));
    }
}

fn connect(poll: &rustix::fd::OwnedFd, address: &str, index: usize) -> Connection {
    // The connections are spread over all gateways.
    let doors: Vec<&str> = address.split(',').collect();
    let address = doors[index % doors.len()];
    let give_up = now_nanos() + 5_000_000_000;
    let socket = loop {
        match TcpStream::connect(address) {
            Ok(socket) => break socket,
            Err(error) if now_nanos() > give_up => panic!("sender cannot connect to {address}: {error}"),
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(5)),
        }
    };
    let connection = Connection::new(socket).expect("a socket without blocking");
    let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
    epoll::add(poll, &connection.socket, epoll::EventData::new_u64(index as u64), flags)
        .expect("a connection in the epoll");
    connection
}
