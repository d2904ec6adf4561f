//! An app of which the test reads and writes every byte.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::support::PATIENCE;

/// A listening socket.
#[derive(Debug)]
pub(super) struct App {
    listener: TcpListener,
}

/// One connection, of which either end may be the test's.
#[derive(Debug)]
pub(super) struct Talk {
    stream: TcpStream,
    /// Read and not used yet.
    read: Vec<u8>,
}

/// A request as it came over the wire.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    /// Its lines, without the empty one.
    pub(super) head: Vec<String>,
    pub(super) body: Vec<u8>,
}

impl App {
    pub(super) async fn listen() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }

    /// The next connection of the gateway.
    pub(super) async fn accept(&self) -> Talk {
        let (stream, _) = timeout(PATIENCE, self.listener.accept()).await.expect("a connection").unwrap();
        Talk { stream, read: Vec::new() }
    }

    /// Whether the gateway has opened a connection that nobody accepted.
    pub(super) async fn is_called(&self) -> bool {
        // What was connected before now is there already: one turn of the loop finds it.
        timeout(Duration::from_millis(1), self.listener.accept()).await.is_ok()
    }
}

impl Talk {
    /// A connection to somebody.
    pub(super) async fn to(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), read: Vec::new() }
    }

    /// A connection that somebody else has made.
    pub(super) fn over(stream: TcpStream) -> Self {
        Self { stream, read: Vec::new() }
    }

    /// The connection, for somebody who speaks something else; nothing of it has been read.
    pub(super) fn into_stream(self) -> TcpStream {
        assert!(self.read.is_empty());
        self.stream
    }

    /// Writes these bytes.
    pub(super) async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads until these bytes have come, and gives everything up to and with them.
    pub(super) async fn until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.read, end) {
                return self.read.drain(..at + end.len()).collect();
            }
            assert!(self.more().await, "closed before {end:?}: {}", String::from_utf8_lossy(&self.read));
        }
    }

    /// Reads a message whose body has a length.
    pub(super) async fn message(&mut self) -> Wire {
        let head = String::from_utf8(self.until(b"\r\n\r\n").await).unwrap();
        let head: Vec<String> = head.trim_end().split("\r\n").map(str::to_owned).collect();
        let wire = Wire { head, body: Vec::new() };
        let length = wire.field("content-length").map_or(0, |length| length.parse().unwrap());
        while self.read.len() < length {
            assert!(self.more().await, "closed in the middle of a body");
        }
        Wire { body: self.read.drain(..length).collect(), ..wire }
    }

    /// Reads to the end of the connection, however it ends.
    pub(super) async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.read)
    }

    async fn more(&mut self) -> bool {
        let mut bytes = vec![0; 16 << 10];
        let read = timeout(PATIENCE, self.stream.read(&mut bytes)).await;
        let read = read.unwrap_or_else(|_| panic!("nothing more comes: {}", String::from_utf8_lossy(&self.read)));
        let count = read.unwrap_or_default();
        self.read.extend_from_slice(&bytes[..count]);
        count > 0
    }
}

impl Wire {
    /// The only value of a field.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let values = self.fields(name);
        assert!(values.len() <= 1, "{name} twice in {:?}", self.head);
        values.first().copied()
    }

    /// All values of a field.
    pub(super) fn fields(&self, name: &str) -> Vec<&str> {
        self.head.iter().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect()
    }
}
