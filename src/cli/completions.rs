//! `hookward completions SHELL`: the completions of this command line.

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Command, Failure, print};

/// What `completions` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell to print them for
    shell: Shell,
}

/// Prints the completions to standard output.
///
/// # Errors
///
/// Only where standard output cannot be written.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Command::command(), "hookward", &mut script);
    print(&String::from_utf8_lossy(&script))
}
