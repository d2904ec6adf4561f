//! The log on standard error: what it says is chosen by a filter, how it looks by a format.
//!
//! Whatever the filter says: an entry is one line of JSON, or one of text whose further lines are indented,
//! without control characters; other crates log no finer than `debug` (their `trace` shows headers, and with
//! them credentials); and nobody waits for the log's reader ([`lines`](super::lines)).

use std::backtrace::Backtrace;
use std::io::{self, Write};
use std::sync::LazyLock;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tracing::Level;
use tracing_subscriber::filter::{EnvFilter, FilterExt, LevelFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use super::escape;
use super::lines::{Lines, LinesWriter};

/// What the filter is where nobody says.
pub const DEFAULT_FILTER: &str = "info";

/// How an entry is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// An object a line, for machines.
    #[default]
    Json,
    /// Words, for people.
    Text,
}

/// Entries that the log's reader was too slow for, since the start of the process.
static DROPPED: LazyLock<Counter> = LazyLock::new(Counter::default);

/// Why the log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Such as `info,hookward::deliver=trace`; anything else is refused.
    #[error("the log filter cannot be read: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Only one log a process.
    #[error("the log is set up already: {0}")]
    Twice(#[from] TryInitError),
    /// The thread that writes it cannot be started.
    #[error("the log cannot be written: {0}")]
    Writer(#[from] io::Error),
}

/// Sends the process's log to standard error, until what it returns is dropped. `filter` has the form of
/// `RUST_LOG`.
///
/// # Errors
/// [`LogError`]; nothing is logged then.
pub fn install(filter: &str, format: LogFormat) -> Result<LinesWriter, LogError> {
    let filter = EnvFilter::builder().parse(filter)?;
    let calm = filter_fn(|metadata| {
        *metadata.level() <= Level::DEBUG || metadata.target().split("::").next() == Some("hookward")
    });
    // Without the hint nothing could be skipped by its level alone, whatever the filter says.
    let filter = filter.and(calm.with_max_level_hint(LevelFilter::TRACE));
    let (lines, writer) = Lines::start("log", io::stderr(), Duration::ZERO, DROPPED.clone())?;
    let layer = tracing_subscriber::fmt::layer().with_writer(Calm { lines, format }).with_ansi(false);
    let layer = match format {
        LogFormat::Json => layer.json().flatten_event(true).with_filter(filter).boxed(),
        LogFormat::Text => layer.with_filter(filter).boxed(),
    };
    tracing_subscriber::registry().with(layer).try_init()?;
    // A panic is an entry like any other; with a backtrace where RUST_BACKTRACE asks for one.
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(panic = %panic, backtrace = %Backtrace::capture(), "panicked");
    }));
    Ok(writer)
}

/// How many entries the log's reader was too slow for.
pub(super) fn dropped() -> u64 {
    DROPPED.get()
}

/// Takes each entry, which comes in one piece, without its control characters.
#[derive(Clone)]
struct Calm {
    lines: Lines,
    format: LogFormat,
}

impl<'a> MakeWriter<'a> for Calm {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Calm {
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        self.lines.push(calmed(&String::from_utf8_lossy(entry), self.format).as_bytes());
        Ok(entry.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn calmed(entry: &str, format: LogFormat) -> String {
    let mut lines = entry.strip_suffix('\n').unwrap_or(entry).split('\n');
    let mut calmed = escape::escaped(lines.next().unwrap_or_default());
    for line in lines {
        // JSON has none of these outside of its strings, and escapes the ones inside.
        calmed.push_str(if format == LogFormat::Json { "\\u000a" } else { "\n    " });
        calmed.push_str(&escape::escaped(line));
    }
    calmed.push('\n');
    calmed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_cannot_be_forged_inside_another() {
        let entry = "INFO refused detail=a\nERROR forged \u{1b}[31m\u{9b}\n";
        let text = "INFO refused detail=a\n    ERROR forged \\u001b[31m\\u009b\n";
        assert_eq!(calmed(entry, LogFormat::Text), text);
        let json = "INFO refused detail=a\\u000aERROR forged \\u001b[31m\\u009b\n";
        assert_eq!(calmed(entry, LogFormat::Json), json);
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_refused() {
        assert!(matches!(install("hookward=[", LogFormat::Text), Err(LogError::Filter(_))));
    }
}
