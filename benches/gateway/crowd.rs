//! Role `crowd`: the endpoints of thousands of webhooks, some of which can be told to be sick. Says its ports as JSON first;
//! `well` and `sick` say how the others are from then on, `mark` begins to measure, `stats` says what healthy webhooks got.

use std::cell::RefCell;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{LocalSet, spawn_local};

use crate::control::{now_nanos, say, serve};
use crate::event::{NOTE, NOTE_DIGITS, number};
use crate::pacer::histogram;
use crate::wire::{READ_BYTES, find, message};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK";
/// How late slow webhooks answer when they are.
const LATE: Duration = Duration::from_secs(3);
/// Connections that wait to be accepted where none is.
const BACKLOG_FULL: u32 = 1;
const BACKLOG: u32 = 4096;

/// Where webhooks are.
#[derive(Serialize, Deserialize)]
pub(crate) struct Ports {
    /// Always answers; under `/slow` late while it is sick.
    pub(crate) open: u16,
    /// Closed while it is sick.
    pub(crate) refusing: u16,
    /// Open, but nobody accepts while it is sick.
    pub(crate) full: u16,
}

/// What healthy webhooks got.
struct Seen {
    all: HashSet<(u64, u64)>,
    repeated: u64,
    latency: Histogram<u64>,
    mark_nanos: u64,
}

impl Seen {
    fn begin(&mut self) {
        *self = Self { all: HashSet::new(), repeated: 0, latency: histogram(), mark_nanos: 0 };
    }

    fn arrived(&mut self, webhook: u64, body: &[u8]) {
        let now = now_nanos();
        let Some(event) = number(body) else { return };
        if !self.all.insert((webhook, event)) {
            self.repeated += 1;
            return;
        }
        let due = find(body, NOTE).and_then(|at| {
            let digits = body.get(at + NOTE.len()..at + NOTE.len() + NOTE_DIGITS)?;
            std::str::from_utf8(digits).ok()?.parse::<u64>().ok()
        });
        if let Some(due) = due.filter(|due| self.mark_nanos > 0 && *due >= self.mark_nanos) {
            self.latency.saturating_record(now.saturating_sub(due).max(1));
        }
    }

    fn line(&self) -> String {
        let at = |quantile| self.latency.value_at_quantile(quantile);
        format!("{} {} {} {} {}", self.all.len(), self.repeated, at(0.5), at(0.99), self.latency.max())
    }
}

/// Runs until stdin ends.
pub(crate) fn run() {
    let (commands, told) = mpsc::channel(16);
    serve(move |command| {
        // The answer comes from the loop.
        drop(commands.blocking_send(command.to_owned()));
        None
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(LocalSet::new().run_until(answer(told)));
}

async fn answer(mut told: mpsc::Receiver<String>) {
    let (is_sick, sick) = watch::channel(false);
    let seen = Rc::new(RefCell::new(Seen { all: HashSet::new(), repeated: 0, latency: histogram(), mark_nanos: 0 }));
    let (open, refusing, full) = (listen(0, BACKLOG), listen(0, BACKLOG), listen(0, BACKLOG_FULL));
    let port = |listener: &TcpListener| listener.local_addr().expect("a bound address").port();
    let ports = Ports { open: port(&open), refusing: port(&refusing), full: port(&full) };
    say(&serde_json::to_string(&ports).expect("ports as JSON"));
    spawn_local(accept_always(open, Rc::clone(&seen), sick.clone()));
    spawn_local(accept_while_well(full, Rc::clone(&seen), sick.clone()));
    spawn_local(be_there_while_well(refusing, ports.refusing, Rc::clone(&seen), sick.clone()));
    while let Some(command) = told.recv().await {
        let line = match command.as_str() {
            "well" | "sick" => {
                is_sick.send_replace(command == "sick");
                seen.borrow_mut().begin();
                // The tasks of the listeners have seen it when this has had its turn.
                tokio::time::sleep(Duration::from_millis(50)).await;
                u64::from(command == "sick").to_string()
            }
            "mark" => {
                seen.borrow_mut().mark_nanos = now_nanos();
                "1".to_owned()
            }
            _ => seen.borrow().line(),
        };
        say(&line);
    }
}

fn listen(port: u16, backlog: u32) -> TcpListener {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("a socket whose address can be used again");
    socket.bind(SocketAddr::from(([127, 0, 0, 1], port))).expect("a free port of the crowd");
    socket.listen(backlog).expect("a listening socket")
}

type Shared = Rc<RefCell<Seen>>;

async fn accept_always(listener: TcpListener, seen: Shared, sick: watch::Receiver<bool>) {
    loop {
        if let Ok((socket, _)) = listener.accept().await {
            spawn_local(converse(socket, Rc::clone(&seen), sick.clone()));
        }
    }
}

async fn accept_while_well(listener: TcpListener, seen: Shared, mut sick: watch::Receiver<bool>) {
    let told = sick.clone();
    loop {
        drop(sick.wait_for(|sick| !sick).await);
        tokio::select! {
            biased;
            _ = sick.wait_for(|sick| *sick) => {}
            accepted = listener.accept() => {
                if let Ok((socket, _)) = accepted {
                    spawn_local(converse(socket, Rc::clone(&seen), told.clone()));
                }
            }
        }
    }
}

async fn be_there_while_well(first: TcpListener, port: u16, seen: Shared, mut sick: watch::Receiver<bool>) {
    let (told, mut listener) = (sick.clone(), Some(first));
    loop {
        let here = listener.take().unwrap_or_else(|| listen(port, BACKLOG));
        tokio::select! {
            biased;
            _ = sick.wait_for(|sick| *sick) => {}
            () = accept_always(here, Rc::clone(&seen), told.clone()) => {}
        }
        drop(sick.wait_for(|sick| !sick).await);
    }
}

/// Answers whatever comes over a connection.
async fn converse(mut socket: TcpStream, seen: Shared, sick: watch::Receiver<bool>) {
    let (mut unread, mut scratch) = (Vec::new(), vec![0; READ_BYTES]);
    while let Ok(count @ 1..) = socket.read(&mut scratch).await {
        unread.extend_from_slice(&scratch[..count]);
        while let Some(found) = message(&unread) {
            let path = unread.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
            let path = std::str::from_utf8(path).unwrap_or_default();
            let (kind, webhook) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
            if let ("well", Ok(webhook)) = (kind, webhook.parse()) {
                seen.borrow_mut().arrived(webhook, &unread[found.head..found.total]);
            }
            let late = kind == "slow" && *sick.borrow();
            unread.drain(..found.total);
            if late {
                tokio::time::sleep(LATE).await;
            }
            if socket.write_all(ANSWER).await.is_err() {
                return;
            }
        }
    }
}
