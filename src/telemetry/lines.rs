//! Lines for a reader that may be slow: a bounded buffer, and a thread that writes what is in it.
//!
//! Whoever has a line never waits. Where the reader takes too little, lines are dropped and counted.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;

/// How many bytes of lines may wait for their reader.
pub const BUFFER_BYTES_MAX: usize = 4 << 20;

/// How many bytes are written without waiting for more.
const GATHER_BYTES: usize = 64 << 10;

/// How long the end waits for the reader.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// Takes lines; clones share the buffer.
#[derive(Clone)]
pub(super) struct Lines(Arc<Shared>);

/// Ends the writer's thread when it is dropped: keep it until everything that has lines has ended.
#[must_use = "dropped, it ends the log"]
pub struct LinesWriter {
    lines: Lines,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    buffer: Mutex<Buffer>,
    changed: Condvar,
    dropped: Counter,
    /// How long the writer waits for more lines before it writes the first.
    gather: Duration,
}

#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    closed: bool,
    ended: bool,
}

// === impl Lines ===

impl Lines {
    /// Starts the thread that writes to `output`; lines that do not fit are counted in `dropped`.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn start(
        name: &str,
        output: impl Write + Send + 'static,
        gather: Duration,
        dropped: Counter,
    ) -> io::Result<(Self, LinesWriter)> {
        let shared = Arc::new(Shared { buffer: Mutex::default(), changed: Condvar::new(), dropped, gather });
        let lines = Self(Arc::clone(&shared));
        let thread = thread::Builder::new().name(name.into()).spawn(move || shared.write_all(output))?;
        Ok((lines.clone(), LinesWriter { lines, thread: Some(thread) }))
    }

    /// Takes a line, its newline included; never waits.
    pub(super) fn push(&self, line: &[u8]) {
        let shared = &*self.0;
        let mut buffer = shared.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.closed || buffer.bytes.len() + line.len() > BUFFER_BYTES_MAX {
            drop(buffer);
            shared.dropped.inc();
            return;
        }
        let before = buffer.bytes.len();
        buffer.bytes.extend_from_slice(line);
        let wakes = before == 0 || (before < GATHER_BYTES && buffer.bytes.len() >= GATHER_BYTES);
        drop(buffer);
        if wakes {
            shared.changed.notify_all();
        }
    }
}

// === impl Shared ===

impl Shared {
    fn write_all(&self, mut output: impl Write) {
        let mut bytes = Vec::new();
        let mut closed = false;
        while !closed {
            closed = self.take(&mut bytes);
            // A reader that went away (a closed pipe) takes nothing any more; the gateway goes on without it.
            if output.write_all(&bytes).and_then(|()| output.flush()).is_err() {
                self.dropped.inc_by(bytes.iter().filter(|byte| **byte == b'\n').count() as u64);
            }
            bytes.clear();
        }
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        self.changed.notify_all();
    }

    /// Waits for lines, gathers more for a moment, and swaps the buffers; true at the end.
    fn take(&self, bytes: &mut Vec<u8>) -> bool {
        let buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        let empty = |buffer: &mut Buffer| buffer.bytes.is_empty() && !buffer.closed;
        let buffer = self.changed.wait_while(buffer, empty).unwrap_or_else(PoisonError::into_inner);
        let small = |buffer: &mut Buffer| buffer.bytes.len() < GATHER_BYTES && !buffer.closed;
        let (mut buffer, _) =
            self.changed.wait_timeout_while(buffer, self.gather, small).unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut buffer.bytes, bytes);
        buffer.closed
    }
}

// === impl LinesWriter ===

impl Drop for LinesWriter {
    /// Writes what is left; a reader that takes nothing is left alone after two seconds.
    fn drop(&mut self) {
        let shared = &*self.lines.0;
        let mut buffer = shared.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        buffer.closed = true;
        shared.changed.notify_all();
        let (buffer, _) = shared
            .changed
            .wait_timeout_while(buffer, CLOSE_MAX, |buffer| !buffer.ended)
            .unwrap_or_else(PoisonError::into_inner);
        let ended = buffer.ended;
        drop(buffer);
        if let Some(thread) = self.thread.take().filter(|_| ended) {
            // It has written everything: a panic after that changes nothing.
            drop(thread.join());
        }
    }
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
