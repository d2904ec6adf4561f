//! `hookward check`: is this configuration one that the gateway can run with, and what does it mean?

mod machine;
mod meaning;

use super::configuration::Configuration;
use super::{Failure, print};
use crate::config;

/// What `check` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    configuration: Configuration,
    /// Print one JSON document instead
    #[arg(long)]
    json: bool,
    /// Print problems and warnings only
    #[arg(short, long)]
    quiet: bool,
}

/// Loads the file, says what is wrong (standard error, exit code 78) or what it means (standard output).
///
/// # Errors
///
/// [`Failure::Configuration`] where it cannot be used.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let loaded = config::find(args.configuration.config.as_deref()).and_then(|file| config::load(&file));
    if args.json {
        print(&machine::document(&loaded))?;
        return loaded.map(drop).map_err(|_error| Failure::ReportedConfiguration);
    }
    let loaded = loaded.map_err(|error| Failure::Configuration(error.to_string()))?;
    for warning in &loaded.checked.warnings {
        super::output::note(&format!("{}\n", warning.report("warning")));
    }
    if args.quiet { Ok(()) } else { print(&meaning::describe(&loaded)) }
}
