//! The log on standard error: what it says is chosen by a filter, how it looks by a format.
//!
//! Two things hold whatever the filter says: one entry is one line without control characters, and other
//! crates log no finer than `debug` (their `trace` shows headers, and with them credentials).

use std::io::{self, Write};

use tracing::Level;
use tracing_subscriber::filter::{EnvFilter, FilterExt, LevelFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use super::escape;

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

/// Why the log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Such as `info,hookward::deliver=trace`; anything else is refused.
    #[error("the log filter cannot be read: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Only one log a process.
    #[error("the log is set up already: {0}")]
    Twice(#[from] TryInitError),
}

/// Sends the process's log to standard error. `filter` has the form of `RUST_LOG`.
///
/// # Errors
/// [`LogError`]; nothing is logged then.
pub fn install(filter: &str, format: LogFormat) -> Result<(), LogError> {
    let filter = EnvFilter::builder().parse(filter)?;
    let calm = filter_fn(|metadata| {
        *metadata.level() <= Level::DEBUG || metadata.target().split("::").next() == Some("hookward")
    });
    // Without the hint nothing could be skipped by its level alone, whatever the filter says.
    let filter = filter.and(calm.with_max_level_hint(LevelFilter::TRACE));
    let layer = tracing_subscriber::fmt::layer().with_writer(OneLine(io::stderr)).with_ansi(false);
    let layer = match format {
        LogFormat::Json => layer.json().flatten_event(true).with_filter(filter).boxed(),
        LogFormat::Text => layer.with_filter(filter).boxed(),
    };
    tracing_subscriber::registry().with(layer).try_init()?;
    Ok(())
}

/// Writes each entry, which comes in one piece, as one line without control characters.
struct OneLine<Make>(Make);

struct OneLineWriter<Output>(Output);

impl<'a, Make: MakeWriter<'a>> MakeWriter<'a> for OneLine<Make> {
    type Writer = OneLineWriter<Make::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        OneLineWriter(self.0.make_writer())
    }
}

impl<Output: Write> Write for OneLineWriter<Output> {
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(entry);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let mut line = escape::escaped(line);
        line.push('\n');
        self.0.write_all(line.as_bytes())?;
        Ok(entry.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_one_line_without_controls() {
        let mut written = Vec::new();
        let entry = "INFO refused detail=a\nERROR forged \u{1b}[31m\u{9b}\n";
        assert_eq!(OneLineWriter(&mut written).write(entry.as_bytes()).unwrap(), entry.len());
        assert_eq!(
            String::from_utf8(written).unwrap(),
            "INFO refused detail=a\\u000aERROR forged \\u001b[31m\\u009b\n"
        );
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_refused() {
        assert!(matches!(install("hookward=[", LogFormat::Text), Err(LogError::Filter(_))));
    }
}
