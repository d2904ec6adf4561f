//! Which verb was asked for, and who answers.

use std::process::ExitCode;
use std::sync::LazyLock;

use clap::{Parser, Subcommand};

use super::{Failure, check, completions, init, schema};

/// A webhook gateway: lets genuine webhooks in, once, durably, and out to every service that wants them.
#[derive(Debug, Parser)]
#[command(name = "hookward", version = VERSION.as_str(), max_term_width = 100, after_help = EXIT_CODES)]
pub struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Check a configuration and say what it means.
    Check(check::Args),
    /// Write a starting configuration.
    Init(init::Args),
    /// Print the JSON Schema of the configuration.
    Schema(schema::Args),
    /// Print the completions for a shell.
    Completions(completions::Args),
}

/// The version, with the commit where the build knew it: `HOOKWARD_COMMIT=$(git rev-parse --short HEAD) cargo build`.
static VERSION: LazyLock<String> = LazyLock::new(|| match option_env!("HOOKWARD_COMMIT") {
    Some(commit) => format!("{} ({commit})", env!("CARGO_PKG_VERSION")),
    None => env!("CARGO_PKG_VERSION").to_owned(),
});

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage, 78 bad configuration";

/// Reads the command line, does what it says and returns the exit code of the process.
#[must_use]
pub fn main() -> ExitCode {
    // clap prints help, version and usage errors itself and exits with 0 or 2.
    match run(Command::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Check(args) => check::run(&args),
        Verb::Init(args) => init::run(&args),
        Verb::Schema(args) => schema::run(&args),
        Verb::Completions(args) => completions::run(&args),
    }
}
