//! A relay before the server that loses answers: what the server did is done, and nobody hears of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::support::Port;

/// Passes bytes both ways, until it is told to lose the answer to a request.
pub(super) struct Relay {
    port: Port,
    /// Answers to such requests that are still to be lost.
    losing: Arc<AtomicUsize>,
    /// Connections that led to the server.
    connected: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

// === impl Relay ===

impl Relay {
    /// A relay to a server; `needle` is what a request has whose answer may be lost.
    pub(super) async fn start(server: SocketAddr, needle: &'static [u8]) -> Self {
        let port = Port::take();
        let listener = TcpListener::bind(port.address()).await.unwrap();
        let losing = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&losing);
        let connected = Arc::new(AtomicUsize::new(0));
        let connections = Arc::clone(&connected);
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let Ok(server) = TcpStream::connect(server).await else { continue };
                connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(pass(client, server, needle, Arc::clone(&counter)));
            }
        });
        Self { port, losing, connected, task }
    }

    pub(super) fn url(&self) -> String {
        format!("redis://{}/0", self.port.address())
    }

    /// The answers to the next requests of that kind are lost, and their connection with them.
    pub(super) fn lose(&self, answers: usize) {
        self.losing.store(answers, Ordering::SeqCst);
    }

    /// How many connections have led to the server so far.
    pub(super) fn connected(&self) -> usize {
        self.connected.load(Ordering::SeqCst)
    }

    /// How many are still to be lost.
    pub(super) fn left(&self) -> usize {
        self.losing.load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(mut client: TcpStream, mut server: TcpStream, needle: &[u8], losing: Arc<AtomicUsize>) {
    let (mut up, mut down) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut request = Vec::new();
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(bytes @ 1..) = read else { return };
                request.extend_from_slice(&up[..bytes]);
                if server.write_all(&up[..bytes]).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut down) => {
                let Ok(bytes @ 1..) = read else { return };
                let is_wanted = request.windows(needle.len()).any(|window| window == needle);
                request.clear();
                // The server has answered, so it has done what was asked: now the answer goes nowhere.
                if is_wanted && losing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
                    return;
                }
                if client.write_all(&down[..bytes]).await.is_err() {
                    return;
                }
            }
        }
    }
}
