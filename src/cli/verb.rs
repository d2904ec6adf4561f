//! Which verb was asked for, and who answers.

use std::process::ExitCode;
use std::sync::LazyLock;

use clap::{Parser, Subcommand};

use super::{
    Failure, check, completions, deliveries, demo, emit, events, explain, export, healthcheck, import, init, redeliver,
    rejections, replay, schema, schemes, send, serve, sign, verify, webhooks,
};

/// A webhook gateway: lets genuine webhooks in, once, durably, and out to every service that wants them.
#[derive(Debug, Parser)]
#[command(name = "hookward", version = VERSION.as_str(), max_term_width = 100, after_help = EXIT_CODES)]
pub struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the gateway.
    Serve(serve::Args),
    /// See it work: a gateway, three services and a sender on loopback.
    Demo(demo::Args),
    /// List what was received, or show one event with its deliveries.
    Events(events::Args),
    /// List what became of events, or show one delivery with its attempts.
    Deliveries(deliveries::Args),
    /// List refused requests and why they were refused, or show one.
    Rejections(rejections::Args),
    /// Emit an event: it goes to every webhook of its project that wants it.
    Emit(emit::Args),
    /// Customers' webhooks: list, show, create, update, rotate, pause, test, delete.
    Webhooks(webhooks::Args),
    /// Deliver many again, by filter.
    Replay(replay::Args),
    /// Deliver again, now: a delivery, or every dead delivery of an event.
    Redeliver(redeliver::Args),
    /// Ask the gateway whether it is ready: exit code 0 if it is, 1 if not.
    Healthcheck(healthcheck::Args),
    /// Check a configuration and say what it means.
    Check(check::Args),
    /// Write a starting configuration.
    Init(init::Args),
    /// List whose webhooks are checked by name, or show what to set up for one of them.
    Schemes(schemes::Args),
    /// Print the request that a sender of a scheme would make.
    Sign(sign::Args),
    /// Send signed test events to a source of a running gateway.
    Send(send::Args),
    /// Say whether a request's signature is right, and if not, what differs.
    Verify(verify::Args),
    /// Take a request through the whole configuration: what each guard says, and where it would go.
    Explain(explain::Args),
    /// Write down everything that the store holds, as lines of JSON, for another store.
    Export(export::Args),
    /// Take in what another store held.
    Import(import::Args),
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
        Verb::Serve(args) => serve::run(&args),
        Verb::Demo(args) => demo::run(&args),
        Verb::Events(args) => events::run(&args),
        Verb::Deliveries(args) => deliveries::run(&args),
        Verb::Rejections(args) => rejections::run(&args),
        Verb::Redeliver(args) => redeliver::run(&args),
        Verb::Emit(args) => emit::run(&args),
        Verb::Webhooks(args) => webhooks::run(&args),
        Verb::Replay(args) => replay::run(&args),
        Verb::Healthcheck(args) => healthcheck::run(&args),
        Verb::Check(args) => check::run(&args),
        Verb::Init(args) => init::run(&args),
        Verb::Schemes(args) => schemes::run(&args),
        Verb::Sign(args) => sign::run(&args),
        Verb::Send(args) => send::run(&args),
        Verb::Verify(args) => verify::run(&args),
        Verb::Explain(args) => explain::run(&args),
        Verb::Export(args) => export::run(&args),
        Verb::Import(args) => import::run(&args),
        Verb::Schema(args) => schema::run(&args),
        Verb::Completions(args) => completions::run(&args),
    }
}
