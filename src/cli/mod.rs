//! The command line: one file a verb.
//!
//! A verb is a module with `Args` (clap) and `run(args) -> Result<(), Failure>`. To add one: its file, a `mod`
//! line here, a variant of `Verb` and its arm in `run`, both in `verb.rs`.
//!
//! What a verb prints for the reader goes to standard output through `output`, everything else to standard
//! error. Exit codes: 0 done, 1 failed, 2 wrong usage, 78 bad configuration ([`Failure`]).

mod check;
mod client;
mod completions;
mod configuration;
mod deliveries;
mod demo;
mod diagnosed;
mod emit;
mod events;
mod explain;
mod export;
mod failure;
mod healthcheck;
mod import;
mod init;
mod listen;
mod listing;
mod output;
mod pausing;
mod progress;
mod readmit;
mod redeliver;
mod rejections;
mod replay;
mod request;
mod schema;
mod schemes;
mod secret;
mod send;
mod serve;
mod several;
mod sign;
mod stream;
mod tail;
mod verb;
mod verify;
mod webhooks;

pub use configuration::Configuration;
pub use failure::Failure;
pub use output::{note, print};
pub use verb::{Command, main};
