//! `hookward init`: a starting configuration.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;

use super::{Failure, print};

/// What is written: the shortest configuration that does something, with the reason for each line.
const STARTING_CONFIGURATION: &str = include_str!("../../config/minimal.yaml");

/// What `init` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file to write; - prints it instead
    #[arg(default_value = "hookward.yaml")]
    file: PathBuf,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
}

/// Writes the starting configuration; never over a file that is there, unless told to.
///
/// # Errors
///
/// The file is there, or cannot be written.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    if args.file.as_os_str() == "-" {
        return print(STARTING_CONFIGURATION);
    }
    let name = args.file.display();
    let mut options = OpenOptions::new();
    if args.force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    let written =
        options.write(true).open(&args.file).and_then(|mut file| file.write_all(STARTING_CONFIGURATION.as_bytes()));
    match written {
        Ok(()) => print(&format!(
            "wrote {name}\nnext: export APPMINT_WEBHOOK_SECRET=…, then hookward check -c {name} and hookward serve -c {name}\n"
        )),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(Failure::Failed(format!("{name} is there already; --force writes over it")))
        }
        Err(error) => Err(Failure::Failed(format!("cannot write {name}: {error}"))),
    }
}
