//! `hookward verify`: whether a request's signature is right, and if not, what differs.
//!
//! The right signature of a body is never printed: `hookward sign` makes one, and who asks for it says so.

use std::path::PathBuf;
use std::time::Duration;

use super::configuration::Configuration;
use super::listing::print_document;
use super::request::{RequestArgs, time};
use super::secret::secrets;
use super::{Failure, diagnosed, print};
use crate::api;
use crate::domain::Clock;
use crate::guard::layer::Head;
use crate::guard::signature::diagnosis::{Budget, Other, Question};
use crate::guard::signature::{Config, Scheme, Verifier};

/// What `verify` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    configuration: Configuration,
    /// Check as this source does: scheme, secrets, URL and tolerance of the configuration.
    #[arg(long, conflicts_with_all = ["scheme", "secret_files"])]
    source: Option<String>,
    /// Check by this scheme (`hookward schemes`), with the secrets of --secret-file or $HOOKWARD_SECRET.
    #[arg(long, required_unless_present = "source")]
    scheme: Option<String>,
    /// A file with a secret; several times for several of them.
    #[arg(long = "secret-file", value_name = "FILE")]
    secret_files: Vec<PathBuf>,
    #[command(flatten)]
    request: RequestArgs,
    /// When it came in, in RFC 3339: what its age is measured by; now without it.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// For machines: one JSON document.
    #[arg(long)]
    json: bool,
}

/// What is checked with.
struct Checks {
    name: String,
    verifier: Verifier,
    tolerance: Option<Duration>,
    /// The other sources of the configuration.
    others: Vec<(String, Verifier)>,
}

/// Says whether the signature is right; exit code 1 where it is not.
///
/// # Errors
///
/// Something cannot be read, makes no sense, or the signature is not right.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let request = args.request.read()?;
    let now = args.at.as_deref().map_or_else(|| Ok(Clock::machine().wall()), |text| time("--at", text))?;
    let checks = match &args.source {
        Some(name) => of_source(args, name)?,
        None => of_scheme(args, &request)?,
    };
    let others: Vec<_> = checks.others.iter().map(|(name, verifier)| Other { name, verifier }).collect();
    let question = Question {
        head: Head::of(&request),
        body: Some(request.body()),
        verifier: &checks.verifier,
        tolerance: checks.tolerance,
        now,
        others: &others,
        budget: Budget::default(),
    };
    let diagnosis = question.diagnose();
    let is_verified = diagnosis.verdict.is_ok();
    let document = api::diagnosed::document(&diagnosis);
    if args.json {
        print_document(&document)?
    } else {
        print(&diagnosed::shown(&document, &checks.name))?
    }
    if is_verified { Ok(()) } else { Err(Failure::Reported) }
}

fn of_source(args: &Args, name: &str) -> Result<Checks, Failure> {
    let loaded = args.configuration.load()?;
    let mut others = Vec::new();
    let mut found = None;
    for source in loaded.checked.sources {
        let verifier = Verifier::new(&source.signature).map_err(|error| Failure::Configuration(error.to_string()))?;
        if *source.name == *name {
            found = Some((verifier, source.replay_window.map(|window| window.tolerance)));
        } else {
            others.push((source.name.to_string(), verifier));
        }
    }
    let (verifier, tolerance) = found.ok_or_else(|| Failure::Usage(format!("there is no source `{name}`")))?;
    Ok(Checks { name: format!("the source `{name}`"), verifier, tolerance, others })
}

fn of_scheme(args: &Args, request: &http::Request<bytes::Bytes>) -> Result<Checks, Failure> {
    let name = args.scheme.as_deref().unwrap_or_default();
    let scheme = Scheme::named(name)
        .ok_or_else(|| Failure::Usage(format!("there is no scheme `{name}`: `hookward schemes` lists them")))?;
    let secrets = if scheme.believes_everybody() { Vec::new() } else { secrets(&args.secret_files)? };
    let tolerance = scheme.tolerance();
    let public_url = Some(args.request.public_url(request));
    let verifier = Verifier::new(&Config { scheme, secrets, public_url });
    let verifier = verifier.map_err(|error| Failure::Usage(format!("the scheme `{name}`: {error}")))?;
    Ok(Checks { name: format!("the scheme `{name}`"), verifier, tolerance, others: Vec::new() })
}
