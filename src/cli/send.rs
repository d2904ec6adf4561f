//! `hookward send`: signed test events to a source of a running gateway, and what became of them.

mod follow;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use serde_json::{Value, json};
use url::Url;

use super::client::{Connection, block_on};
use super::configuration::Configuration;
use super::request::input;
use super::secret::secrets;
use super::{Failure, print};
use crate::config::{Checked, Source};
use crate::deliver::Getter;
use crate::domain::Clock;
use crate::guard::signature::{Occasion, Sample, Signer};
use crate::telemetry::escape::escaped;

/// What `send` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    configuration: Configuration,
    /// Send to this source of the configuration, signed as its sender does.
    #[arg(long)]
    source: String,
    /// Where the gateway is; without a path the source's is added. The configuration's ingress without it.
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// A file with the secret, where the configuration has a public key: the private one.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// The event's type.
    #[arg(long = "type", value_name = "TYPE", default_value = "test.event")]
    event_type: String,
    /// The event's `data`, as JSON.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    data: String,
    /// The whole body from a file (`-`: standard input) instead of an event of ours.
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    body: Option<PathBuf>,
    /// The event's id; a new one for each event without it.
    #[arg(long)]
    id: Option<String>,
    /// How many events.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// Send the same event each time: all but the first are copies.
    #[arg(long)]
    repeat_id: bool,
    /// Wait until the deliveries have ended, or have failed for now, and say how; over the admin port.
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    connection: Connection,
    /// For machines: an object of JSON a line.
    #[arg(long)]
    json: bool,
}

/// What is sent again and again.
struct Sending<'a> {
    args: &'a Args,
    source: &'a Source,
    signer: Signer,
    url: Url,
    data: Value,
    body: Option<Bytes>,
    getter: Getter,
}

/// How long an answer may take, and how large it may be.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(30);
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Sends, and prints how each was answered; exit code 1 where one was not accepted.
///
/// # Errors
///
/// Something makes no sense, nobody answers, or an event was not accepted.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let loaded = args.configuration.load()?;
    let source = loaded.checked.sources.iter().find(|source| *source.name == *args.source);
    let source = source.ok_or_else(|| Failure::Usage(format!("there is no source `{}`", args.source)))?;
    let sending = Sending {
        args,
        source,
        signer: signer(args, source)?,
        url: url(args, source, &loaded.checked)?,
        data: serde_json::from_str(&args.data).map_err(|error| Failure::Usage(format!("--data: {error}")))?,
        body: args.body.as_deref().map(|file| input(Some(file))).transpose()?.map(Bytes::from),
        getter: Getter::default(),
    };
    block_on(sending.all())
}

fn signer(args: &Args, source: &Source) -> Result<Signer, Failure> {
    let mut signature = source.signature.clone();
    match &args.secret_file {
        Some(file) => signature.secrets = secrets(std::slice::from_ref(file))?,
        None if signature.scheme.secret_is_public() => {
            let hint = "its secret is public and cannot sign: give the private key with --secret-file";
            return Err(Failure::Usage(format!("the source `{}`: {hint}", source.name)));
        }
        None => {}
    }
    Signer::new(&signature).map_err(|error| Failure::Failed(error.to_string()))
}

/// Where the source is; an address that stands for all of them is called by loopback.
fn url(args: &Args, source: &Source, checked: &Checked) -> Result<Url, Failure> {
    let Some(to) = &args.to else {
        let mut listen = checked.ingress.listen;
        if listen.port() == 0 {
            return Err(Failure::Usage("the configuration lets the system choose the port: say --to".to_owned()));
        }
        if checked.ingress.tls.is_some() {
            let hint = "say --to https:// with a name that its certificate has";
            return Err(Failure::Usage(format!("the ingress of the configuration speaks TLS: {hint}")));
        }
        match listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => listen.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => listen.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        return Url::parse(&format!("http://{listen}{}", source.path))
            .map_err(|error| Failure::Failed(error.to_string()));
    };
    let url = Url::parse(to).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let mut url =
        url.ok_or_else(|| Failure::Usage(format!("--to {to:?} is not a URL such as http://127.0.0.1:8080")))?;
    if url.path() == "/" {
        url.set_path(&source.path);
    }
    Ok(url)
}

// === impl Sending ===

impl Sending<'_> {
    async fn all(&self) -> Result<(), Failure> {
        let mut refused = 0;
        let first = self.args.id.clone().unwrap_or_else(new_id);
        let mut copied = None;
        for number in 0..self.args.count {
            let id = match (number, self.args.repeat_id) {
                (0, _) | (_, true) => first.clone(),
                (_, false) => new_id(),
            };
            let sample = match copied.take() {
                Some(sample) => sample,
                None => self.sample(&id),
            };
            refused += u32::from(!self.one(&id, &sample).await?);
            copied = Some(sample).filter(|_| self.args.repeat_id);
        }
        if refused == 0 { Ok(()) } else { Err(Failure::Reported) }
    }

    fn sample(&self, id: &str) -> Sample {
        let now = Clock::machine().wall();
        let scheme = &self.source.signature.scheme;
        let sample = Sample::new(scheme, id, &self.args.event_type, &self.data, now);
        match &self.body {
            Some(body) => Sample { body: body.clone(), ..sample },
            None => sample,
        }
    }

    /// Sends one; whether it was accepted.
    async fn one(&self, id: &str, sample: &Sample) -> Result<bool, Failure> {
        let failed = |error: String| Failure::Failed(error);
        let mut request = Request::new(sample.body.clone());
        *request.method_mut() = self.source.methods.first().cloned().unwrap_or(Method::POST);
        let target =
            self.url.query().map_or_else(|| self.url.path().to_owned(), |query| format!("{}?{query}", self.url.path()));
        *request.uri_mut() = target.parse().map_err(|error| failed(format!("--to: {error}")))?;
        let occasion =
            Occasion { id: Some(id), event_type: Some(&sample.head_type), signed_at: Clock::machine().wall() };
        let signed = self.signer.sign(request, occasion, 0).map_err(|error| failed(error.to_string()))?;
        // Some schemes put something into the query.
        let mut url = self.url.clone();
        url.set_query(signed.uri().query());
        let got = self.getter.call(&url, &signed, ANSWER_BYTES_MAX, ANSWER_WAIT_MAX).await;
        let got = got.map_err(|error| failed(format!("no gateway answers at {}: {error}", self.url)))?;
        let header = |name: &str| got.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let event = header("hookward-event-id");
        let is_accepted = (200..300).contains(&got.status);
        let answer = json!({
            "object": "answer",
            "status": got.status,
            "event": Some(event).filter(|id| !id.is_empty()),
            "rejection": Some(header("hookward-rejection-id")).filter(|id| !id.is_empty()),
            "duplicate": header("hookward-duplicate") == "true",
            "source_event_id": id,
        });
        self.tell(&answer, &got.body)?;
        if self.args.follow && is_accepted && !event.is_empty() {
            follow::deliveries(&self.args.connection.client()?, event, self.args.json).await?;
        }
        Ok(is_accepted)
    }

    fn tell(&self, answer: &Value, body: &[u8]) -> Result<(), Failure> {
        if self.args.json {
            return print(&format!("{answer}\n"));
        }
        let text = |field: &str| escaped(answer.get(field).and_then(Value::as_str).unwrap_or_default());
        let copy = if answer.get("duplicate") == Some(&Value::Bool(true)) { ", a copy" } else { "" };
        let status = answer.get("status").and_then(Value::as_u64).unwrap_or_default();
        let (event, rejection) = (text("event"), text("rejection"));
        let line = if !event.is_empty() {
            format!("{status}  event {event}{copy}\n")
        } else if !rejection.is_empty() {
            let problem: Value = serde_json::from_slice(body).unwrap_or_default();
            let code = escaped(problem.get("code").and_then(Value::as_str).unwrap_or_default());
            format!("{status}  {code}: rejection {rejection} (hookward rejections {rejection})\n")
        } else {
            format!("{status}  neither kept nor refused by a gateway\n")
        };
        print(&line)
    }
}

/// An id that nobody has used.
fn new_id() -> String {
    format!("evt_test_{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..))
}
