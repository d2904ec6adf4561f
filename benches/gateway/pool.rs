//! The keep-alive connections of the open loop. There are always some to spare, opened without waiting, so that an
//! arrival finds one however slowly the ones before it are answered, up to a bound.

use std::net::{SocketAddr, TcpStream};

use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

use crate::control::now_nanos;
use crate::wire::{Connection, READ_BYTES, Read1};

/// Connections opened before the first arrival.
const CONNECTIONS_FIRST: usize = 64;
/// Most connections: what comes when all of them are busy waits, and its waiting counts.
const CONNECTIONS_MAX: usize = 1024;
/// Fewer idle ones than this, and another one is opened.
const SPARE_MIN: usize = 16;
/// How long the first connections may take.
const OPEN_NANOS_MAX: u64 = 5_000_000_000;

#[derive(Clone, Copy, PartialEq)]
enum State {
    Opening,
    Idle,
    /// An event is in flight that was due at this moment.
    Busy(u64),
}

struct Slot {
    connection: Connection,
    state: State,
}

/// What became of an event in flight.
pub(crate) enum Seen {
    /// It was answered; `genuine` for a 2xx.
    Answer { due_nanos: u64, genuine: bool },
    /// Its connection ended before an answer.
    Lost { due_nanos: u64 },
}

/// The connections to one address.
pub(crate) struct Pool {
    poll: OwnedFd,
    address: SocketAddr,
    slots: Vec<Slot>,
    /// Last in, first out, as clients with keep-alive do it.
    idle: Vec<usize>,
    opening: usize,
    scratch: Vec<u8>,
}

impl Pool {
    /// A pool whose first connections are open.
    pub(crate) fn new(address: &str) -> Self {
        let mut pool = Self {
            poll: epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll"),
            address: address.parse().expect("an address of the system under test"),
            slots: Vec::with_capacity(CONNECTIONS_MAX),
            idle: Vec::with_capacity(CONNECTIONS_MAX),
            opening: 0,
            scratch: vec![0; READ_BYTES],
        };
        for _ in 0..CONNECTIONS_FIRST {
            pool.open();
        }
        let give_up = now_nanos() + OPEN_NANOS_MAX;
        let mut ready = Vec::with_capacity(CONNECTIONS_FIRST);
        while pool.opening > 0 {
            assert!(now_nanos() < give_up, "{address} did not take {CONNECTIONS_FIRST} connections");
            pool.wait(&mut ready, true);
            for event in ready.drain(..) {
                assert!(pool.handle(event).is_none(), "nothing is in flight yet");
            }
        }
        pool
    }

    /// The epoll that the connections are in.
    pub(crate) fn poll(&self) -> &OwnedFd {
        &self.poll
    }

    /// Connections at present, in whatever state.
    pub(crate) fn connections(&self) -> usize {
        self.slots.len()
    }

    /// When the events in flight were due.
    pub(crate) fn in_flight(&self) -> impl Iterator<Item = u64> {
        self.slots.iter().filter_map(|slot| match slot.state {
            State::Busy(due_nanos) => Some(due_nanos),
            State::Opening | State::Idle => None,
        })
    }

    /// Fills `ready` with what happened; without `sleeps` only with what has happened already.
    pub(crate) fn wait(&self, ready: &mut Vec<epoll::Event>, sleeps: bool) {
        // The timer of the pacer ends the sleep: this bound, which rustix rounds to milliseconds, is for the stop.
        let bound = Timespec { tv_sec: 0, tv_nsec: if sleeps { 20_000_000 } else { 0 } };
        match epoll::wait(&self.poll, rustix::buffer::spare_capacity(ready), Some(&bound)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("epoll of the sender: {error}"),
        }
    }

    /// Sends `request` on an idle connection; false where none is idle, or where the idle one turns out to be gone.
    pub(crate) fn send(&mut self, request: &[u8], due_nanos: u64) -> bool {
        let Some(index) = self.idle.pop() else {
            self.grow();
            return false;
        };
        let slot = &mut self.slots[index];
        slot.state = State::Busy(due_nanos);
        let sent = slot.connection.write(request);
        if !sent {
            self.reopen(index);
        }
        self.grow();
        sent
    }

    /// What one event of the epoll means.
    pub(crate) fn handle(&mut self, event: epoll::Event) -> Option<Seen> {
        let index = usize::try_from(event.data.u64()).expect("an index");
        if self.slots[index].state == State::Opening {
            self.opened(index, event.flags);
            return None;
        }
        let slot = &mut self.slots[index];
        let (mut answered, mut genuine, mut close) = (false, false, false);
        let found = slot.connection.read(&mut self.scratch, |message, bytes| {
            answered = true;
            close |= message.close;
            genuine = bytes.get(9) == Some(&b'2');
        });
        let flags = event.flags;
        let ended = flags.intersects(epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR);
        let usable = slot.connection.flush() && !close && !ended && !matches!(found, Read1::Closed);
        let was = slot.state;
        match was {
            State::Busy(due_nanos) if answered => {
                slot.state = State::Idle;
                self.idle.push(index);
                if !usable {
                    self.reopen(index);
                }
                Some(Seen::Answer { due_nanos, genuine })
            }
            State::Busy(due_nanos) if !usable => {
                self.reopen(index);
                Some(Seen::Lost { due_nanos })
            }
            State::Idle if !usable => {
                self.reopen(index);
                None
            }
            _ => None,
        }
    }

    fn opened(&mut self, index: usize, flags: epoll::EventFlags) {
        let slot = &mut self.slots[index];
        match slot.connection.socket.take_error() {
            Ok(None) => {}
            Ok(Some(error)) | Err(error) => panic!("the system under test takes no connection: {error}"),
        }
        // A fresh socket hangs up once before it connects; only a writable one is open.
        if flags.contains(epoll::EventFlags::OUT) && !flags.contains(epoll::EventFlags::HUP) {
            slot.state = State::Idle;
            self.opening -= 1;
            self.idle.push(index);
        }
    }

    fn grow(&mut self) {
        if self.idle.len() + self.opening < SPARE_MIN && self.slots.len() < CONNECTIONS_MAX {
            self.open();
        }
    }

    fn open(&mut self) {
        let index = self.slots.len();
        let connection = self.connecting(index);
        self.slots.push(Slot { connection, state: State::Opening });
        self.opening += 1;
    }

    /// A new connection in the place of one that has ended.
    fn reopen(&mut self, index: usize) {
        if let Some(at) = self.idle.iter().rposition(|idle| *idle == index) {
            self.idle.remove(at);
        }
        let connection = self.connecting(index);
        // The old socket leaves the epoll as it is dropped.
        self.slots[index] = Slot { connection, state: State::Opening };
        self.opening += 1;
    }

    fn connecting(&self, index: usize) -> Connection {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).expect("a socket");
        match connect(&socket, &self.address) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
            Err(error) => panic!("the system under test takes no connection: {error}"),
        }
        let connection = Connection::new(TcpStream::from(socket)).expect("a socket without blocking");
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        epoll::add(&self.poll, &connection.socket, epoll::EventData::new_u64(index as u64), flags)
            .expect("a connection in the epoll");
        connection
    }
}
