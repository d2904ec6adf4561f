//! `hookward schema`: the JSON Schema of the configuration.

use super::{Failure, print};
use crate::config;

/// What `schema` takes: nothing.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Prints the schema to standard output.
///
/// # Errors
///
/// Only where standard output cannot be written.
pub(super) fn run(_: &Args) -> Result<(), Failure> {
    let schema = serde_json::to_string_pretty(&config::schema()).map_err(|error| Failure::Failed(error.to_string()))?;
    print(&format!("{schema}\n"))
}
