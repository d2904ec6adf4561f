//! `hookward sign`: the request that a sender of a scheme would make, to be looked at or sent.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, Uri};
use serde_json::{Map, Value, json};

use super::configuration::Configuration;
use super::listing::print_document;
use super::request::{append, input, time};
use super::secret::secrets;
use super::{Failure, print};
use crate::domain::Clock;
use crate::guard::signature::{Config, Occasion, Proof, Scheme, Signer};

/// What `sign` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    configuration: Configuration,
    /// Sign as this source's sender does: scheme, secret and URL of the configuration.
    #[arg(long, conflicts_with = "scheme")]
    source: Option<String>,
    /// Sign by this scheme (`hookward schemes`), with the secret of --secret-file or $HOOKWARD_SECRET.
    #[arg(long, required_unless_present = "source")]
    scheme: Option<String>,
    /// A file with the secret; for schemes with public keys, with the private one.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// The URL as the sender calls it, with its query.
    #[arg(long, default_value = "https://localhost/")]
    url: String,
    /// The body; standard input without it.
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// The event's id, where the scheme has it in a header or signs it by itself.
    #[arg(long)]
    id: Option<String>,
    /// The event's type, where the scheme has it in a header.
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// A header besides, `Name: value`.
    #[arg(long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    #[arg(long, default_value = "POST")]
    method: String,
    /// When it is signed, in RFC 3339; now without it.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// For machines: one JSON document with the body in base64.
    #[arg(long)]
    json: bool,
}

/// Prints the request to standard output: its line, its headers, an empty line, its body.
///
/// # Errors
///
/// Scheme, secret or body do not fit, or something cannot be read.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = config(args)?;
    let signer = Signer::new(&config).map_err(failed)?;
    let occasion = Occasion {
        id: args.id.as_deref(),
        event_type: args.event_type.as_deref(),
        signed_at: match &args.at {
            None => Clock::machine().wall(),
            Some(text) => time("--at", text)?,
        },
    };
    let signed = signer.sign(request(args)?, occasion, 0).map_err(failed)?;
    if args.json { print_document(&document(&signed)) } else { print(&text(&signed)) }
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::Failed(error.to_string())
}

fn config(args: &Args) -> Result<Config, Failure> {
    if let Some(name) = &args.source {
        let loaded = args.configuration.load()?;
        let source = loaded.checked.sources.into_iter().find(|source| *source.name == **name);
        let source = source.ok_or_else(|| Failure::Usage(format!("there is no source `{name}`")))?;
        let has_public_key = matches!(&source.signature.scheme.proof,
            Proof::Signatures(signatures) if signatures.algorithm.has_public_key());
        if has_public_key {
            let hint = "its secret is public and cannot sign: use --scheme with the private key in --secret-file";
            return Err(Failure::Usage(format!("the source `{name}`: {hint}")));
        }
        return Ok(source.signature);
    }
    let name = args.scheme.as_deref().unwrap_or_default();
    let scheme = Scheme::named(name)
        .ok_or_else(|| Failure::Usage(format!("there is no scheme `{name}`: `hookward schemes` lists them")))?;
    let secrets = if scheme.believes_everybody() { Vec::new() } else { secrets(args.secret_file.as_slice())? };
    let public_url = Some(args.url.split(['?', '#']).next().unwrap_or_default().into());
    Ok(Config { scheme, secrets, public_url })
}

fn request(args: &Args) -> Result<Request<Bytes>, Failure> {
    let body = input(args.body.as_deref())?;
    let uri: Uri = args.url.parse().map_err(|error| Failure::Usage(format!("--url: {error}")))?;
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let method: Method = args.method.parse().map_err(|error| Failure::Usage(format!("--method: {error}")))?;
    let mut request = Request::builder().method(method).uri(target).body(Bytes::from(body)).map_err(failed)?;
    for header in &args.headers {
        append(request.headers_mut(), header.as_bytes()).map_err(|why| Failure::Usage(format!("--header: {why}")))?;
    }
    Ok(request)
}

fn text(request: &Request<Bytes>) -> String {
    let mut text = format!("{} {}\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
    }
    format!("{text}\n{}", String::from_utf8_lossy(request.body()))
}

fn document(request: &Request<Bytes>) -> Value {
    let headers = request.headers().iter();
    let headers: Map<String, Value> = headers
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned().into()))
        .collect();
    json!({
        "object": "signed_request",
        "method": request.method().as_str(),
        "target": request.uri().to_string(),
        "headers": headers,
        "body_base64": STANDARD.encode(request.body()),
    })
}
