//! What the bench asks hookward's admin port.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

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

/// The whole answer, head and all.
fn get(admin: &str, path: &str) -> std::io::Result<String> {
    let mut socket = TcpStream::connect(admin)?;
    socket.set_read_timeout(Some(ANSWER_MAX))?;
    socket.write_all(format!("GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut text = String::new();
    socket.read_to_string(&mut text)?;
    Ok(text)
}
