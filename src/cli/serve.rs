//! `hookward serve`: runs the gateway until it is told to stop.

use std::path::PathBuf;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::app::{self, Inherited, Interrupts, Running};
use crate::cli::Failure;
use crate::config::{self, Loaded, Reloaded, Reloads};
use crate::telemetry::{AccessLog, Metrics, logging, task};

/// Run the gateway.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration file; default: $HOOKWARD_CONFIG, ./hookward.yaml, /etc/hookward/hookward.yaml.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What is logged on standard error, such as `info` or `hookward::deliver=debug`.
    #[arg(long, env = "HOOKWARD_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
    /// How it is logged.
    #[arg(long, env = "HOOKWARD_LOG_FORMAT", default_value = "json", value_name = "FORMAT")]
    log_format: Format,
    /// The line of JSON on standard output for each request.
    #[arg(long, env = "HOOKWARD_ACCESS_LOG", default_value = "on", value_name = "SWITCH")]
    access_log: Switch,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    /// A line of JSON each.
    Json,
    /// For reading in a terminal.
    Text,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Switch {
    On,
    Off,
}

/// Runs the verb.
///
/// # Errors
/// [`Failure::Configuration`] for a configuration that cannot be used, [`Failure::Failed`] where a port or the
/// store cannot be opened.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let format = match args.log_format {
        Format::Json => logging::LogFormat::Json,
        Format::Text => logging::LogFormat::Text,
    };
    // First of all: before there are threads.
    let inherited = Inherited::take().map_err(|error| Failure::Failed(format!("LISTEN_FDS: {error}")))?;
    let _until_the_end = logging::install(&args.log, format).map_err(|error| Failure::Usage(error.to_string()))?;
    let loaded = config::find(args.config.as_deref())
        .and_then(|file| config::load(&file))
        .map_err(|error| Failure::Configuration(error.to_string()))?;
    for warning in &loaded.checked.warnings {
        tracing::warn!("{}", warning.report("warning"));
    }
    raise_open_files();
    let metrics = Metrics::new();
    let (log, writer) = if args.access_log == Switch::On {
        let (log, writer) = AccessLog::start(std::io::stdout(), metrics.ingress().access_log_dropped.clone())?;
        (log, Some(writer))
    } else {
        (AccessLog::off(), None)
    };
    let ended = app::runtime()?.block_on(serve(loaded, inherited, log, metrics));
    drop(writer);
    ended
}

async fn serve(loaded: Loaded, inherited: Inherited, log: AccessLog, metrics: Metrics) -> Result<(), Failure> {
    // Before anything says that it is ready: a signal that comes earlier would end the process.
    let mut interrupts = Interrupts::listen()?;
    let mut reloads = Reloads::watch(loaded.clone())?;
    let started = tokio::select! {
        started = app::start(&loaded.checked, inherited, log, metrics) => started,
        // It may wait long, for a gateway that drains.
        () = interrupts.next() => return Ok(()),
    };
    let running = started.map_err(|error| Failure::Failed(error.to_string()))?;
    tracing::info!(
        ingress = %running.ingress,
        admin = %running.admin,
        config = %loaded.file.display(),
        durability = loaded.checked.store.durability.as_str(),
        version = env!("CARGO_PKG_VERSION"),
        "serving"
    );
    loop {
        tokio::select! {
            reloaded = reloads.next() => reload(&running, &reloaded),
            () = interrupts.next() => break,
        }
    }
    tracing::info!("draining");
    // Whoever asks twice does not want to wait: what is in flight is made again after the next start.
    let _impatient = task::spawn("second signal", async move {
        interrupts.next().await;
        tracing::warn!("stopped without draining");
        std::process::exit(1);
    });
    running.stop().await;
    tracing::info!("stopped");
    Ok(())
}

fn reload(running: &Running, reloaded: &Reloaded) {
    match reloaded {
        Reloaded::Changed(checked) => {
            if let Err(error) = running.reload(checked) {
                tracing::error!(%error, "configuration refused, what runs stays");
            }
        }
        Reloaded::Unchanged => running.reloaded(),
        Reloaded::Refused(error) => running.reload_refused(&error.to_string()),
    }
}

/// Connections are files: the usual soft limit of 1024 is far below `connections_max`.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}
