//! `hookward export`: everything that the store holds, as lines of JSON.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::configuration::Configuration;
use super::progress::{Unit, bar};
use super::{Failure, note, print};
use crate::app::{self, moving};
use crate::config::Checked;
use crate::records::moving::Moved;

/// What `export` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    configuration: Configuration,
    /// The file to write, made new and readable by its owner only; without it standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Say what was written as one JSON document
    #[arg(long, requires = "output")]
    json: bool,
}

/// Opens the store that is configured and writes down what it holds: events with their deliveries and attempts, dedup
/// marks and webhooks. The embedded store must not be in use.
///
/// # Errors
///
/// [`Failure::Failed`]: the store or the file cannot be used. Events that cannot be read are passed over, said and
/// end in exit code 1.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let checked = args.configuration.load()?.checked;
    let moved = match &args.output {
        Some(path) => into_file(&checked, path)?,
        None => write(&checked, io::stdout())?,
    };
    let text = summary(&moved);
    match (&args.output, args.json) {
        (Some(_), true) => print(&format!("{}\n", document(&moved)))?,
        (Some(path), false) => print(&format!("{text}\nwritten to {}\n", path.display()))?,
        (None, _) => note(&text),
    }
    if moved.damaged > 0 {
        return Err(Failure::Failed(format!("{} events are damaged and were left out", moved.damaged)));
    }
    Ok(())
}

/// Whole, or not there: the file gets its name when it is.
fn into_file(checked: &Checked, path: &Path) -> Result<Moved, Failure> {
    let failed =
        |action: &str, error: &io::Error| Failure::Failed(format!("cannot {action} {}: {error}", path.display()));
    if path.exists() {
        return Err(Failure::Failed(format!("{} is there already: name another file", path.display())));
    }
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let unfinished = PathBuf::from(unfinished);
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished);
    let file = opened.map_err(|error| failed("write", &error))?;
    let moved = write(checked, &file).inspect_err(|_| {
        // What is left of it is of no use to anybody.
        drop(std::fs::remove_file(&unfinished));
    })?;
    file.sync_all().and_then(|()| std::fs::rename(&unfinished, path)).map_err(|error| failed("finish", &error))?;
    Ok(moved)
}

fn write(checked: &Checked, out: impl Write) -> Result<Moved, Failure> {
    let bar = bar(Some(0), Unit::Events);
    let told = |moved: &Moved, all: u64| {
        bar.set_length(all.max(moved.events));
        bar.set_position(moved.events);
    };
    let done = app::runtime()?.block_on(moving::export(checked, BufWriter::new(out), told));
    drop(bar);
    done.map_err(failure)
}

/// A closed pipe is no failure, as everywhere.
pub(super) fn failure(error: moving::Unmoved) -> Failure {
    match error {
        moving::Unmoved::Move(crate::records::moving::MoveError::Io(error)) => error.into(),
        other => Failure::Failed(other.to_string()),
    }
}

fn summary(moved: &Moved) -> String {
    let Moved { events, open, marks, webhooks, .. } = moved;
    format!("{events} events with {open} open deliveries, {marks} dedup marks, {webhooks} webhooks")
}

/// What was written or read, for machines.
pub(super) fn document(moved: &Moved) -> serde_json::Value {
    let Moved { events, new, damaged, open, marks, webhooks, bytes } = moved;
    serde_json::json!({
        "events": events, "new": new, "damaged": damaged, "open_deliveries": open, "marks": marks, "webhooks": webhooks,
        "bytes": bytes,
    })
}
