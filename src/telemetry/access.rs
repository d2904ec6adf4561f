//! The access log: one line of JSON a request on standard output, written by a thread of its own.
//!
//! A request never waits for the log: its line goes into a bounded buffer, and where the reader of the
//! log is too slow for that, lines are dropped and counted.

use std::fmt;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use serde::Serialize;

use super::escape::SafeJson;
use crate::domain::Timestamp;

/// How many bytes of lines may wait for their reader.
pub const BUFFER_BYTES_MAX: usize = 4 << 20;

/// How long the writer waits for more lines before it writes the first.
const GATHER: Duration = Duration::from_millis(20);

/// How many bytes are written without waiting for more.
const GATHER_BYTES: usize = 64 << 10;

/// How long the end waits for the reader.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// What one request was and what became of it.
#[derive(Clone, Debug, Default)]
pub struct AccessLine<'a> {
    /// When its head was here.
    pub time: Timestamp,
    /// Its id in the logs.
    pub request_id: &'a str,
    /// The client, found through trusted proxies only.
    pub remote_ip: Option<IpAddr>,
    /// The other end of the socket.
    pub peer: Option<SocketAddr>,
    /// Its method.
    pub method: &'a str,
    /// Its path, without the query: queries carry credentials.
    pub path: &'a str,
    /// `HTTP/1.1` or the like.
    pub proto: &'a str,
    /// The answer's status.
    pub status: u16,
    /// The body's bytes.
    pub bytes_in: u64,
    /// The answer's body's bytes.
    pub bytes_out: u64,
    /// From the head to the answer.
    pub duration: Duration,
    /// What the client says that it is.
    pub user_agent: Option<&'a str>,
    /// Whose path it was.
    pub source: Option<&'a str>,
    /// Under which id it is kept.
    pub event_id: Option<&'a str>,
    /// Under which id its rejection is in the ledger.
    pub rejection_id: Option<&'a str>,
    /// Why it was rejected.
    pub reason: Option<&'a str>,
    /// Whether it was a copy.
    pub duplicate: bool,
    /// The sender's trace.
    pub trace_id: Option<&'a str>,
}

/// Where lines go; clones share the buffer.
#[derive(Clone)]
pub struct AccessLog(Option<Arc<Shared>>);

/// Ends the writer; keep it until everything that logs has ended.
#[derive(Debug)]
pub struct AccessLogWriter {
    log: AccessLog,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    buffer: Mutex<Buffer>,
    changed: Condvar,
    dropped: Counter,
}

#[derive(Default)]
struct Buffer {
    lines: Vec<u8>,
    closed: bool,
    ended: bool,
}

/// The line as it is written.
#[derive(Serialize)]
struct Written<'a> {
    time: String,
    request_id: &'a str,
    remote_ip: Option<IpAddr>,
    peer: Option<SocketAddr>,
    method: &'a str,
    path: &'a str,
    proto: &'a str,
    status: u16,
    bytes_in: u64,
    bytes_out: u64,
    duration_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejection_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    duplicate: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
}

// === impl AccessLine ===

impl AccessLine<'_> {
    /// The line of JSON, its newline included.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let written = Written {
            time: self.time.to_string(),
            request_id: self.request_id,
            remote_ip: self.remote_ip,
            peer: self.peer,
            method: self.method,
            path: self.path,
            proto: self.proto,
            status: self.status,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            duration_ms: (self.duration.as_secs_f64() * 1e6).round() / 1e3,
            user_agent: self.user_agent,
            source: self.source,
            event_id: self.event_id,
            rejection_id: self.rejection_id,
            reason: self.reason,
            duplicate: self.duplicate,
            trace_id: self.trace_id,
        };
        let mut line = Vec::with_capacity(512);
        if written.serialize(&mut serde_json::Serializer::with_formatter(&mut line, SafeJson)).is_err() {
            // Strings and numbers into memory: cannot happen, and half a line would be worse than none.
            line.clear();
        }
        line.push(b'\n');
        line
    }
}

// === impl AccessLog ===

impl AccessLog {
    /// A log that takes nothing.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    /// A log that writes to `output` from a thread of its own; lines that do not fit are counted in `dropped`.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(output: impl Write + Send + 'static, dropped: Counter) -> io::Result<(Self, AccessLogWriter)> {
        let shared = Arc::new(Shared { buffer: Mutex::default(), changed: Condvar::new(), dropped });
        let log = Self(Some(Arc::clone(&shared)));
        let thread = thread::Builder::new().name("access-log".into()).spawn(move || shared.write_all(output))?;
        Ok((log.clone(), AccessLogWriter { log, thread: Some(thread) }))
    }

    /// Whether a line would be kept: spares the work of making it.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Takes a line; never waits.
    pub fn write(&self, line: &AccessLine<'_>) {
        let Some(shared) = &self.0 else { return };
        let line = line.to_json();
        let mut buffer = shared.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.closed || buffer.lines.len() + line.len() > BUFFER_BYTES_MAX {
            drop(buffer);
            shared.dropped.inc();
            return;
        }
        let before = buffer.lines.len();
        buffer.lines.extend_from_slice(&line);
        let wakes = before == 0 || (before < GATHER_BYTES && buffer.lines.len() >= GATHER_BYTES);
        drop(buffer);
        if wakes {
            shared.changed.notify_all();
        }
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_on() { "AccessLog(on)" } else { "AccessLog(off)" })
    }
}

// === impl Shared ===

impl Shared {
    fn write_all(&self, mut output: impl Write) {
        let mut lines = Vec::new();
        let mut closed = false;
        while !closed {
            closed = self.take(&mut lines);
            // A reader that went away (a closed pipe) takes nothing any more; the gateway goes on without it.
            if output.write_all(&lines).and_then(|()| output.flush()).is_err() {
                self.dropped.inc_by(lines.iter().filter(|byte| **byte == b'\n').count() as u64);
            }
            lines.clear();
        }
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        self.changed.notify_all();
    }

    /// Waits for lines, gathers more for a moment, and swaps the buffers; true at the end.
    fn take(&self, lines: &mut Vec<u8>) -> bool {
        let buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        let empty = |buffer: &mut Buffer| buffer.lines.is_empty() && !buffer.closed;
        let buffer = self.changed.wait_while(buffer, empty).unwrap_or_else(PoisonError::into_inner);
        let small = |buffer: &mut Buffer| buffer.lines.len() < GATHER_BYTES && !buffer.closed;
        let (mut buffer, _) =
            self.changed.wait_timeout_while(buffer, GATHER, small).unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut buffer.lines, lines);
        buffer.closed
    }
}

// === impl AccessLogWriter ===

impl Drop for AccessLogWriter {
    /// Writes what is left; a reader that takes nothing is left alone after two seconds.
    fn drop(&mut self) {
        let Some(shared) = &self.log.0 else { return };
        let mut buffer = shared.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        buffer.closed = true;
        shared.changed.notify_all();
        let (buffer, _) = shared
            .changed
            .wait_timeout_while(buffer, CLOSE_MAX, |buffer| !buffer.ended)
            .unwrap_or_else(PoisonError::into_inner);
        let ended = buffer.ended;
        drop(buffer);
        if let Some(thread) = self.thread.take().filter(|_| ended)
            && thread.join().is_err()
        {
            tracing::error!("the access log's writer panicked");
        }
    }
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
