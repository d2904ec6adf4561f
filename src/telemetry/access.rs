//! The access log: one line of JSON a request on standard output, written by a thread of its own.
//!
//! A request never waits for the log: its line goes into a bounded buffer ([`lines`](super::lines)).

use std::fmt;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use serde::Serialize;

use super::escape::SafeJson;
use super::lines::{Lines, LinesWriter};
use crate::domain::Timestamp;

/// How long the writer waits for more lines before it writes the first.
const GATHER: Duration = Duration::from_millis(20);

/// What one request was and what became of it.
#[derive(Clone, Debug, Default)]
pub struct AccessLine<'a> {
    /// When its head was here, or was refused.
    pub time: Timestamp,
    /// Its id in the logs.
    pub request_id: &'a str,
    /// The client, found through trusted proxies only.
    pub remote_ip: Option<IpAddr>,
    /// The other end of the socket.
    pub peer: Option<SocketAddr>,
    /// Its method; `-` where the head could not be read.
    pub method: &'a str,
    /// Its path, without the query: queries carry credentials. `*` where the head could not be read.
    pub path: &'a str,
    /// `HTTP/1.1` or the like; `-` where the head could not be read.
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
pub struct AccessLog(Option<Lines>);

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
    pub fn start(output: impl Write + Send + 'static, dropped: Counter) -> io::Result<(Self, LinesWriter)> {
        let (lines, writer) = Lines::start("access-log", output, GATHER, dropped)?;
        Ok((Self(Some(lines)), writer))
    }

    /// Whether a line would be kept: spares the work of making it.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Takes a line; never waits.
    pub fn write(&self, line: &AccessLine<'_>) {
        if let Some(lines) = &self.0 {
            lines.push(&line.to_json());
        }
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_on() { "AccessLog(on)" } else { "AccessLog(off)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_inside_its_line_and_reads_back_the_same() {
        let line = AccessLine {
            status: 200,
            path: "/a\n{\"status\":999}\u{1b}[2J",
            user_agent: Some("\u{9b}31m\r\n"),
            duration: Duration::from_micros(1234),
            ..AccessLine::default()
        };
        let text = String::from_utf8(line.to_json()).unwrap();
        assert!(text.ends_with('\n') && !text.trim_end().chars().any(crate::telemetry::escape::is_unsafe));
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&read["path"], &read["duration_ms"]), (&line.path.into(), &1.234.into()));
        assert!(read.get("source").is_none());
    }

    #[test]
    fn a_log_that_is_off_takes_nothing() {
        let log = AccessLog::off();
        assert!(!log.is_on());
        log.write(&AccessLine::default());
    }
}
