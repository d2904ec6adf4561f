//! Sockets that listen already when the gateway starts: systemd's socket activation (`LISTEN_FDS`).
//!
//! Whoever holds the socket (systemd, or a process before this one) keeps it open while one gateway ends and the next
//! one starts, so that no connection is refused in between: it waits in the socket's backlog. The new gateway may be
//! started before the old one has ended. It holds the socket then, and waits for the store's folder and for the admin
//! port, which the old one gives back when it has drained.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use listenfd::ListenFd;
use tokio::time::{Instant, sleep};

use super::StartError;
use crate::ingress::Listener;

/// The sockets that the process was started with.
#[derive(Debug, Default)]
pub struct Inherited(Vec<(SocketAddr, TcpListener)>);

/// How often is looked whether the gateway before this one has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What it may take beyond its drain time-out: attempts that end, the store that closes, the admin port.
const HAND_OVER_MARGIN: Duration = Duration::from_secs(15);

/// How long what a gateway holds that is about to end is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    until: Option<Instant>,
}

// === impl Inherited ===

impl Inherited {
    /// None.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Takes those of the environment (`LISTEN_FDS`, `LISTEN_PID`), once, and before other threads are started: the
    /// variables are removed, so that no child takes them for its own.
    ///
    /// # Errors
    /// What was passed is not a listening TCP socket.
    pub fn take() -> io::Result<Self> {
        let mut passed = ListenFd::from_env();
        let mut sockets = Vec::new();
        for index in 0..passed.len() {
            if let Some(socket) = passed.take_tcp_listener(index)? {
                sockets.push((socket.local_addr()?, socket));
            }
        }
        Ok(Self(sockets))
    }

    /// The one that listens on this address.
    fn at(&mut self, listen: SocketAddr) -> Option<TcpListener> {
        let index = self.0.iter().position(|(address, _)| *address == listen)?;
        Some(self.0.swap_remove(index).1)
    }

    /// The ingress's socket: inherited, or opened.
    ///
    /// # Errors
    /// Sockets were passed and none of them is the ingress's; else what opening it says.
    pub(super) fn ingress(&mut self, listen: SocketAddr, drain: Duration) -> Result<(Listener, Patience), StartError> {
        if self.0.is_empty() {
            return Ok((Listener::bind(listen)?, Patience { until: None }));
        }
        let machine = |cause| StartError::Machine { what: "the socket that was passed cannot be used", cause };
        let Some(socket) = self.at(listen) else {
            let passed: Vec<_> = self.0.iter().map(|(address, _)| address.to_string()).collect();
            let words = format!("it listens on {}, ingress.listen is {listen}", passed.join(", "));
            return Err(machine(io::Error::other(words)));
        };
        let listener = Listener::inherit(socket).map_err(machine)?;
        Ok((listener, Patience { until: Some(Instant::now() + drain + HAND_OVER_MARGIN) }))
    }

    /// The admin port's socket: inherited, or opened when the gateway before this one has given it back.
    ///
    /// # Errors
    /// What opening it says, when patience ends.
    pub(super) async fn admin(&mut self, listen: SocketAddr, patience: Patience) -> Result<Listener, StartError> {
        if let Some(socket) = self.at(listen) {
            return Listener::inherit(socket)
                .map_err(|cause| StartError::Machine { what: "the socket that was passed cannot be used", cause });
        }
        loop {
            match Listener::bind(listen) {
                Err(error) if error.is_in_use() && patience.waits() => sleep(LOOK_AGAIN).await,
                bound => return Ok(bound?),
            }
        }
    }
}

// === impl Patience ===

impl Patience {
    /// Whether it is worth to look again.
    pub(super) fn waits(self) -> bool {
        self.until.is_some_and(|until| Instant::now() < until)
    }

    /// Waits until it is time to look again.
    pub(super) async fn nap(self) {
        sleep(LOOK_AGAIN).await;
    }
}
