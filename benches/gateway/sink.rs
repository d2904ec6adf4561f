//! Role `sink`: the destination. Counts every event once by its number, counts repeats apart, answers 200.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rustix::event::epoll;

use crate::control::{now_nanos, say, serve};
use crate::event::number;
use crate::wire::{Connection, READ_BYTES, Read1};

const LISTENER: u64 = u64::MAX;

#[derive(Default)]
struct Counts {
    unique: AtomicU64,
    repeated: AtomicU64,
    unknown: AtomicU64,
    first_nanos: AtomicU64,
    last_nanos: AtomicU64,
}

/// Runs until stdin ends; `listen` is an address, port 0 for a free one, `status` what is answered. Says `port N` first.
pub(crate) fn run(listen: &str, status: &str) {
    let listener = TcpListener::bind(listen).expect("a free address for the sink");
    listener.set_nonblocking(true).expect("a socket without blocking");
    let counts = Arc::new(Counts::default());
    let shown = Arc::clone(&counts);
    serve(move |command| {
        (command == "stats").then(|| {
            format!(
                "{} {} {} {} {}",
                shown.unique.load(Relaxed),
                shown.repeated.load(Relaxed),
                shown.unknown.load(Relaxed),
                shown.first_nanos.load(Relaxed),
                shown.last_nanos.load(Relaxed)
            )
        })
    });
    say(&format!("port {}", listener.local_addr().expect("a bound address").port()));
    // Who is busy wants to be left alone while the bench runs.
    let wait = if status == "503" { "retry-after: 3600\r\n" } else { "" };
    let answer = format!("HTTP/1.1 {status} OK\r\n{wait}content-length: 2\r\n\r\nOK").into_bytes();
    Sink { listener, counts, answer, seen: Vec::new(), connections: Vec::new(), free: Vec::new() }.serve();
}

struct Sink {
    listener: TcpListener,
    counts: Arc<Counts>,
    answer: Vec<u8>,
    seen: Vec<u64>,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
}

impl Sink {
    fn serve(mut self) {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll");
        epoll::add(&poll, &self.listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)
            .expect("the listener in the epoll");
        let mut ready = Vec::with_capacity(512);
        let mut scratch = vec![0; READ_BYTES];
        loop {
            ready.clear();
            match epoll::wait(&poll, rustix::buffer::spare_capacity(&mut ready), None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => panic!("epoll of the sink: {error}"),
            }
            let now = now_nanos();
            for event in ready.drain(..) {
                match event.data.u64() {
                    LISTENER => self.accept(&poll),
                    index => self.receive(usize::try_from(index).expect("an index"), &mut scratch, now),
                }
            }
        }
    }

    fn accept(&mut self, poll: &rustix::fd::OwnedFd) {
        while let Ok((socket, _)) = self.listener.accept() {
            let Ok(connection) = Connection::new(socket) else { continue };
            let index = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            let flags =
                epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
            epoll::add(poll, &connection.socket, epoll::EventData::new_u64(index as u64), flags)
                .expect("a connection in the epoll");
            self.connections[index] = Some(connection);
        }
    }

    fn receive(&mut self, index: usize, scratch: &mut [u8], now: u64) {
        let Some(connection) = &mut self.connections[index] else { return };
        let (counts, seen) = (&self.counts, &mut self.seen);
        let mut answers = 0_usize;
        let mut close = false;
        let found = connection.read(scratch, |message, bytes| {
            count(counts, seen, &bytes[message.head..], now);
            close |= message.close;
            answers += 1;
        });
        let mut open = !matches!(found, Read1::Closed) && connection.flush();
        for _ in 0..answers {
            open &= connection.write(&self.answer);
        }
        if !open || close {
            // Dropping the socket takes it out of the epoll.
            self.connections[index] = None;
            self.free.push(index);
        }
    }
}

fn count(counts: &Counts, seen: &mut Vec<u64>, body: &[u8], now: u64) {
    let Some(number) = number(body) else {
        counts.unknown.fetch_add(1, Relaxed);
        return;
    };
    let (word, bit) = (usize::try_from(number / 64).expect("a small number"), 1_u64 << (number % 64));
    if seen.len() <= word {
        seen.resize(word + 4096, 0);
    }
    if seen[word] & bit != 0 {
        counts.repeated.fetch_add(1, Relaxed);
        return;
    }
    seen[word] |= bit;
    // One thread writes: plain load and store are enough and cheaper than a locked add.
    let unique = counts.unique.load(Relaxed);
    counts.unique.store(unique + 1, Relaxed);
    if unique == 0 {
        counts.first_nanos.store(now, Relaxed);
    }
    counts.last_nanos.store(now, Relaxed);
}
