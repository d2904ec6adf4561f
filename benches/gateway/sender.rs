//! Role `sender`: genuine, signed events with unique ids over keep-alive connections. Closed loop: every connection
//! sends its next event as soon as the last one is answered. Open loop: events arrive at random moments of a fixed mean
//! rate whether or not the gateway keeps up, and latency counts from the moment at which an event was due.

use std::collections::VecDeque;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use hdrhistogram::Histogram;
use rustix::event::{Timespec, epoll};

use crate::control::{now_nanos, say, serve};
use crate::event::Template;
use crate::wire::{Connection, READ_BYTES, Read1};

/// What a sender is told on its command line.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) address: String,
    pub(crate) path: String,
    pub(crate) signature_header: String,
    pub(crate) connections: usize,
    /// Signatures made before the start; later ones are made while sending.
    pub(crate) presigned: usize,
    /// Events a second in the open loop; 0 for the closed loop.
    pub(crate) rate: u64,
    /// Number of the first event.
    pub(crate) first: u64,
    /// Stop by itself after so many events; 0 for never.
    pub(crate) events_max: u64,
}

#[derive(Default)]
struct Shared {
    accepted: AtomicU64,
    refused: AtomicU64,
    broken: AtomicU64,
    /// How often the histogram was to be cleared.
    marks: AtomicU64,
    go: AtomicBool,
    stop: AtomicBool,
}

/// Runs as told: says `ready`, starts at `go`, answers `stats`, clears its histogram at `mark`, and ends at `stop`
/// with one line: accepted, refused, broken, then p50, p90, p99, p99.9 and maximum latency in nanoseconds.
pub(crate) fn run(plan: &Plan) {
    let shared = Arc::new(Shared::default());
    let seen = Arc::clone(&shared);
    serve(move |command| match command {
        "go" => {
            seen.go.store(true, Relaxed);
            None
        }
        "mark" => {
            seen.marks.fetch_add(1, Relaxed);
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
    let mut sender = Sender::new(plan.clone(), shared);
    say("ready");
    while !sender.shared.go.load(Relaxed) {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    sender.send_all();
}

struct Slot {
    connection: Connection,
    /// When the event in flight was due; 0 while nothing is in flight.
    due_nanos: u64,
}

struct Sender {
    plan: Plan,
    shared: Arc<Shared>,
    poll: rustix::fd::OwnedFd,
    template: Template,
    signatures: Vec<[u8; 64]>,
    slots: Vec<Slot>,
    next: u64,
    in_flight: usize,
    latency: Histogram<u64>,
    scratch: Vec<u8>,
}

impl Sender {
    fn new(plan: Plan, shared: Arc<Shared>) -> Self {
        let mut template = Template::new(&plan.address, &plan.path, &plan.signature_header);
        let signatures = (0..plan.presigned as u64).map(|offset| template.sign(plan.first + offset)).collect();
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll");
        let slots = (0..plan.connections)
            .map(|index| Slot { connection: connect(&poll, &plan.address, index), due_nanos: 0 })
            .collect();
        // Up to a minute in steps of 0.1 %.
        let latency = Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("bounds of a histogram");
        Self {
            plan,
            shared,
            poll,
            template,
            signatures,
            slots,
            next: 0,
            in_flight: 0,
            latency,
            scratch: vec![0; READ_BYTES],
        }
    }

    fn send_all(&mut self) {
        if self.plan.rate == 0 {
            for index in 0..self.slots.len() {
                self.send(index, now_nanos());
            }
            self.closed_loop();
        } else {
            self.open_loop();
        }
        self.finish();
    }

    fn done(&self) -> bool {
        self.shared.stop.load(Relaxed) || (self.plan.events_max > 0 && self.next >= self.plan.events_max)
    }

    fn closed_loop(&mut self) {
        let mut answered = Vec::with_capacity(self.slots.len());
        let mut marks = 0;
        loop {
            self.receive(&mut answered, 20_000_000);
            self.see_mark(&mut marks);
            if self.done() {
                return;
            }
            let now = now_nanos();
            for index in answered.drain(..) {
                self.send(index, now);
            }
        }
    }

    /// Arrivals by an exponential clock; what finds no free connection waits in order, and its time counts.
    fn open_loop(&mut self) {
        rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1)).expect("a timer slack of 1 ns");
        let gap = 1e9 / self.plan.rate as f64;
        let mut random = fastrand::Rng::with_seed(self.plan.first);
        let mut idle: Vec<usize> = (0..self.slots.len()).collect();
        let mut waiting = VecDeque::new();
        let mut marks = 0;
        let mut arrival = now_nanos() as f64;
        while !self.done() {
            let now = now_nanos();
            while arrival <= now as f64 {
                waiting.push_back(arrival as u64);
                arrival -= (1.0 - random.f64()).ln() * gap;
            }
            while let (Some(due), Some(index)) = (waiting.front().copied(), idle.pop()) {
                waiting.pop_front();
                self.send(index, due);
            }
            // The last 20 µs before an arrival are spent polling: no timer is exact enough.
            let pause = (arrival as u64).saturating_sub(now_nanos()).saturating_sub(20_000);
            self.receive(&mut idle, pause.min(20_000_000));
            self.see_mark(&mut marks);
        }
    }

    fn see_mark(&mut self, marks: &mut u64) {
        let now = self.shared.marks.load(Relaxed);
        if now != *marks {
            *marks = now;
            self.latency.reset();
        }
    }

    fn send(&mut self, index: usize, due_nanos: u64) {
        let number = self.plan.first + self.next;
        let request = match self.signatures.get(usize::try_from(self.next).unwrap_or(usize::MAX)) {
            Some(signature) => self.template.patched(number, signature),
            None => {
                let signature = self.template.sign(number);
                self.template.patched(number, &signature)
            }
        };
        self.next += 1;
        let slot = &mut self.slots[index];
        slot.due_nanos = due_nanos;
        self.in_flight += 1;
        if !slot.connection.write(request) {
            self.reconnect(index);
        }
    }

    /// Waits at most `wait_nanos`, takes all answers and appends the connections that are free again.
    fn receive(&mut self, free: &mut Vec<usize>, wait_nanos: u64) {
        let mut ready = Vec::with_capacity(512);
        let wait = Timespec { tv_sec: 0, tv_nsec: i64::try_from(wait_nanos.min(999_999_999)).unwrap_or(0) };
        match epoll::wait(&self.poll, rustix::buffer::spare_capacity(&mut ready), Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("epoll of the sender: {error}"),
        }
        for event in ready {
            let index = usize::try_from(event.data.u64()).expect("an index");
            let mut answers = 0;
            let mut genuine = false;
            let mut close = false;
            let slot = &mut self.slots[index];
            let found = slot.connection.read(&mut self.scratch, |message, bytes| {
                answers += 1;
                close |= message.close;
                genuine = bytes.get(9) == Some(&b'2');
            });
            let open = slot.connection.flush() && !matches!(found, Read1::Closed);
            if answers > 0 && slot.due_nanos > 0 {
                self.answered(index, genuine);
                free.push(index);
            }
            if !open || close {
                let lost = self.slots[index].due_nanos > 0;
                self.reconnect(index);
                if lost {
                    free.push(index);
                }
            }
        }
    }

    fn answered(&mut self, index: usize, genuine: bool) {
        let slot = &mut self.slots[index];
        let took = now_nanos().saturating_sub(slot.due_nanos);
        slot.due_nanos = 0;
        self.in_flight -= 1;
        self.latency.saturating_record(took.max(1));
        let counter = if genuine { &self.shared.accepted } else { &self.shared.refused };
        counter.store(counter.load(Relaxed) + 1, Relaxed);
    }

    fn reconnect(&mut self, index: usize) {
        if self.slots[index].due_nanos > 0 {
            self.shared.broken.fetch_add(1, Relaxed);
            self.in_flight -= 1;
        }
        self.slots[index] = Slot { connection: connect(&self.poll, &self.plan.address, index), due_nanos: 0 };
    }

    fn finish(&mut self) {
        let give_up = now_nanos() + 10_000_000_000;
        let mut free = Vec::new();
        while self.in_flight > 0 && now_nanos() < give_up {
            self.receive(&mut free, 20_000_000);
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
