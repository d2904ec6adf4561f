//! What the bench asks hookward's admin port.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::wire::{READ_BYTES, message};

/// Longest wait for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Whether the gateway says that it is ready for events.
pub(crate) fn is_ready(admin: &str) -> bool {
    get(admin, "/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// The page of metrics, behind its head.
pub(crate) fn metrics(admin: &str) -> String {
    get(admin, "/metrics").expect("the metrics of hookward")
}

/// A keep-alive connection to the API.
pub(crate) struct Client {
    socket: TcpStream,
    host: String,
    unread: Vec<u8>,
}

impl Client {
    /// Connects.
    pub(crate) fn new(admin: &str) -> Self {
        let socket = TcpStream::connect(admin).expect("the admin port of hookward");
        socket.set_nodelay(true).expect("a socket without Nagle");
        socket.set_read_timeout(Some(ANSWER_MAX)).expect("a socket with a time-out");
        Self { socket, host: admin.to_owned(), unread: Vec::new() }
    }

    /// Asks and waits for the answer: its status and its body. `headers` are whole lines, each with its line break.
    pub(crate) fn ask(&mut self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{headers}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}",
            self.host
        );
        self.socket.write_all(request.as_bytes()).expect("a request to the API");
        let mut scratch = vec![0; READ_BYTES];
        loop {
            if let Some(found) = message(&self.unread) {
                let status = std::str::from_utf8(&self.unread[9..12]).ok().and_then(|text| text.parse().ok());
                let body = String::from_utf8_lossy(&self.unread[found.head..found.total]).into_owned();
                self.unread.drain(..found.total);
                return (status.expect("a status"), body);
            }
            let count = self.socket.read(&mut scratch).expect("an answer of the API");
            assert!(count > 0, "the admin port closed the connection instead of answering {method} {path}");
            self.unread.extend_from_slice(&scratch[..count]);
        }
    }
}

/// The whole answer, head and all.
fn get(admin: &str, path: &str) -> std::io::Result<String> {
    let mut socket = TcpStream::connect(admin)?;
    socket.set_read_timeout(Some(ANSWER_MAX))?;
    socket.write_all(format!("GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut text = String::new();
    socket.read_to_string(&mut text)?;
    Ok(text)
}
