//! `hookward import`: takes in what another store held.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::configuration::Configuration;
use super::export::{document, failure};
use super::progress::{Unit, bar};
use super::{Failure, print};
use crate::app::{self, moving as app_moving};
use crate::records::moving::{self, Moved};

/// Bytes that are read at a time.
const READ_BYTES: usize = 256 << 10;

/// What `import` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file that `hookward export` wrote; `-` for standard input
    #[arg(value_name = "FILE", default_value = "-")]
    input: PathBuf,
    #[command(flatten)]
    configuration: Configuration,
    /// Say what was read as one JSON document
    #[arg(long)]
    json: bool,
}

/// Reads an export into the store that is configured: a new one, or one that was begun with the same export. What is
/// there already is left as it is, so that an import that was interrupted is simply made again.
///
/// # Errors
///
/// [`Failure::Failed`]: the store or the file cannot be used; what was read before is kept.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let checked = args.configuration.load()?.checked;
    let (input, bytes) = open(&args.input)?;
    let opening = moving::begin(input).map_err(|error| failure(error.into()))?;
    let bar = bar(bytes, Unit::Bytes);
    let told = |moved: &Moved| bar.set_position(moved.bytes);
    let done = app::runtime()?.block_on(app_moving::import(&checked, opening, told));
    drop(bar);
    let moved = done.map_err(failure)?;
    if args.json {
        return print(&format!("{}\n", document(&moved)));
    }
    let Moved { events, new, open, marks, webhooks, .. } = moved;
    print(&format!(
        "{events} events ({new} of them new) with {open} open deliveries, {marks} dedup marks, {webhooks} webhooks\n"
    ))
}

fn open(path: &Path) -> Result<(Box<dyn BufRead>, Option<u64>), Failure> {
    if path == Path::new("-") {
        return Ok((Box::new(BufReader::with_capacity(READ_BYTES, io::stdin())), None));
    }
    let failed = |error: io::Error| Failure::Failed(format!("cannot read {}: {error}", path.display()));
    let file = File::open(path).map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    Ok((Box::new(BufReader::with_capacity(READ_BYTES, file)), Some(bytes)))
}
