//! The demo from start to end.

use std::path::Path;
use std::time::Duration;

use super::cases::{self, Case, Expected, STUMBLING_EVENT};
use super::report::{Counts, Document, Ended, table};
use super::sender::{Answer, Secrets, Sender};
use super::services::Service;
use crate::app::{self, Running};
use crate::cli::{Failure, print};
use crate::config;
use crate::telemetry::{AccessLog, Metrics};

/// A gateway, three services and a sender on loopback; shows what becomes of every request.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Stop when everything has been shown; exit code 0 only if every event ended as it should.
    #[arg(long)]
    exit: bool,
    /// Print one JSON document with the counts instead of the table.
    #[arg(long)]
    json: bool,
    /// How many more genuine events to send, a tenth of them twice.
    #[arg(long, default_value_t = 200, value_name = "NUMBER")]
    events: usize,
}

/// How long the last retry may take to arrive before the demo says that it did not.
const SETTLE_MAX: Duration = Duration::from_secs(20);

/// Runs the verb.
///
/// # Errors
/// [`Failure`] where the gateway does not start, or where with `--exit` an event did not end as it should.
pub(in crate::cli) fn run(args: &Args) -> Result<(), Failure> {
    app::runtime()?.block_on(demo(args))
}

async fn demo(args: &Args) -> Result<(), Failure> {
    let folder = TemporaryFolder::new()?;
    let services = [
        Service::start("analytics", None).await?,
        Service::start("notifications", None).await?,
        Service::start("crm", Some((STUMBLING_EVENT, 2))).await?,
    ];
    let secrets = Secrets::new()?;
    let file = folder.0.join("hookward.yaml");
    std::fs::write(&file, configuration(&folder.0, &services, &secrets))?;
    let loaded = config::load(&file).map_err(|error| Failure::Configuration(error.to_string()))?;
    let running = app::start(&loaded.checked, app::Inherited::none(), AccessLog::off(), Metrics::new())
        .await
        .map_err(|error| Failure::Failed(error.to_string()))?;
    let failed = show(args, &running, &services, secrets).await;
    if !args.exit && failed.is_ok() {
        say(
            args,
            &format!("\nThe gateway stays up until Ctrl-C. Ask it: hookward events --admin http://{}\n", running.admin),
        )?;
        app::Interrupts::listen()?.next().await;
    }
    running.stop().await;
    failed
}

async fn show(args: &Args, running: &Running, services: &[Service], secrets: Secrets) -> Result<(), Failure> {
    let sender = Sender::new(running.ingress, running.admin, secrets);
    say(
        args,
        &format!(
            "hookward demo\n  ingress  http://{}\n  admin    http://{}\n{}\n",
            running.ingress,
            running.admin,
            services.iter().map(|s| format!("  {:<13} http://{}\n", s.name, s.address)).collect::<String>(),
        ),
    )?;
    let cases = cases::cases();
    let mut answers = Vec::with_capacity(cases.len());
    for case in &cases {
        answers.push(sender.send(case).await?);
    }
    let more = sender.send_many(args.events).await?;
    let expected = cases.iter().filter(|case| matches!(case.expected, Expected::Delivered(_))).count() + more.kept;
    settle(services, &cases, expected).await;
    let mut ended = Vec::with_capacity(cases.len());
    for (case, answer) in cases.iter().zip(&answers) {
        let why = sender.why(answer).await?;
        ended.push(Ended::judge(case, answer, why.as_deref(), services));
    }
    let counts = count(&answers, &ended, &more, services, expected);
    if args.json {
        let document = Document { counts: &counts, requests: &ended };
        let text = serde_json::to_string_pretty(&document).map_err(|error| Failure::Failed(error.to_string()))?;
        print(&format!("{text}\n"))?;
    } else {
        print(&format!("{}\n{}\n", table(&ended), summary(&counts)))?;
    }
    if counts.not_as_expected > 0 {
        Err(Failure::Failed(format!("{} requests did not end as they should", counts.not_as_expected)))
    } else {
        Ok(())
    }
}

/// Waits until every service has what it should get, or long enough to say that it will not.
async fn settle(services: &[Service], cases: &[Case], expected: usize) {
    let until = tokio::time::Instant::now() + SETTLE_MAX;
    let all_taken = || {
        services.iter().all(|service| match service.name {
            "crm" => cases
                .iter()
                .filter(|case| matches!(case.expected, Expected::Delivered(names) if names.contains(&"crm")))
                .all(|case| service.seen(case.id).taken > 0),
            _ => service.totals().0 >= expected,
        })
    };
    while !all_taken() && tokio::time::Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What [`Sender::send_many`] heard.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Many {
    pub(super) sent: usize,
    pub(super) kept: usize,
    pub(super) duplicates: usize,
    pub(super) other: usize,
}

fn count(answers: &[Answer], ended: &[Ended], more: &Many, services: &[Service], expected: usize) -> Counts {
    let fan_out: Vec<&Service> = services.iter().filter(|service| service.name != "crm").collect();
    let missing: usize = fan_out.iter().map(|service| service.totals().0.abs_diff(expected)).sum();
    let repeated: usize = services.iter().map(|service| service.totals().1).sum();
    Counts {
        sent: answers.len() + more.sent,
        kept: answers.iter().filter(|answer| answer.status == 200 && !answer.duplicate).count() + more.kept,
        duplicates: answers.iter().filter(|answer| answer.duplicate).count() + more.duplicates,
        refused: answers.iter().filter(|answer| answer.code.is_some()).count(),
        delivered: services.iter().map(|service| service.totals().0).sum(),
        delivered_more_than_once: repeated,
        not_as_expected: ended.iter().filter(|row| !row.as_expected()).count() + more.other + missing + repeated,
    }
}

fn summary(counts: &Counts) -> String {
    format!(
        "{} requests sent: {} kept, {} duplicates, {} refused; {} deliveries, {} made more than once; {} not as they should be",
        counts.sent,
        counts.kept,
        counts.duplicates,
        counts.refused,
        counts.delivered,
        counts.delivered_more_than_once,
        counts.not_as_expected,
    )
}

fn configuration(folder: &Path, services: &[Service], secrets: &Secrets) -> String {
    let destinations: String = services
        .iter()
        .map(|service| {
            let retry = if service.name == "crm" { ", retry: { schedule: [200ms, 500ms, 1s] }" } else { "" };
            format!("  {}: {{ url: \"http://{}/webhooks\"{retry} }}\n", service.name, service.address)
        })
        .collect();
    format!(
        r#"
ingress: {{ listen: "127.0.0.1:0", trusted_proxies: [127.0.0.1] }}
admin: {{ listen: "127.0.0.1:0" }}
store: {{ path: '{path}', disk_free_min: 16MiB }}
sources:
  appmint:
    path: {appmint}
    allow_ips: [192.0.2.0/24]
    rate_limit: {{ requests: 100000, per: 1m, burst: 100000, by: ip }}
    verify: {{ scheme: appmint, secrets: ["{secret}"] }}
  partner:
    path: {partner}
    verify: {{ scheme: standard-webhooks, secrets: ["{standard_secret}"] }}
  slow:
    path: {slow}
    rate_limit: {{ requests: 2, per: 1h, burst: 2, by: ip }}
    verify: {{ scheme: appmint, secrets: ["{secret}"] }}
routes:
  - {{ from: appmint, types: ["payment.*"], to: [crm] }}
  - {{ from: "*", to: [analytics, notifications] }}
destinations:
{destinations}"#,
        path = folder.join("store").display(),
        appmint = cases::APPMINT_PATH,
        partner = cases::STANDARD_PATH,
        slow = cases::SLOW_PATH,
        secret = secrets.appmint,
        standard_secret = secrets.standard,
    )
}

fn say(args: &Args, text: &str) -> Result<(), Failure> {
    if args.json { Ok(()) } else { print(text) }
}

/// A folder that goes away with the demo.
struct TemporaryFolder(std::path::PathBuf);

impl TemporaryFolder {
    fn new() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("hookward-demo-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, folder = %self.0.display(), "the demo's folder was left behind");
        }
    }
}
