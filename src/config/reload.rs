//! The configuration again, while the gateway runs: on SIGHUP and when a file changes.
//!
//! Watched are the folders, not the files: editors and Kubernetes put a new file in the old one's place (for
//! a mounted ConfigMap by swapping the symbolic link `..data`). Files that `{ file: … }` names count too. What
//! was loaded is compared with what runs, so that a touched file changes nothing. A bad file changes nothing
//! either, and says so once.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::check::checked::{Checked, Outbound};
use super::load::attempt;
use super::watched::Watched;
use super::{Error, Loaded};
use crate::guard::dedup::WINDOW_DEFAULT;

/// What became of an attempt to load the configuration again.
#[derive(Debug)]
pub enum Reloaded {
    /// It says something else now: to be applied as a whole.
    Changed(Arc<Checked>),
    /// It says what it said before; after a refusal, all is well again.
    Unchanged,
    /// It cannot be used, and what runs stays.
    Refused(Error),
}

/// Waits for changes; [`next`](Self::next) hands them out one after the other.
#[derive(Debug)]
pub struct Reloads {
    running: Loaded,
    hangup: Signal,
    watched: Watched,
    /// The store forgets marks after the longest window that it was opened with.
    dedup_window_max: Duration,
    /// What was last said against the file, until it is mended.
    refused: Option<String>,
    changed: Arc<Notify>,
}

/// How long a file must be left alone before it is read: it may be half written.
const QUIET: Duration = Duration::from_millis(100);

/// How long a file that is never left alone is waited for.
const QUIET_WAIT_MAX: Duration = Duration::from_secs(2);

// === impl Reloads ===

impl Reloads {
    /// Watches the files of the configuration that runs.
    ///
    /// Where files cannot be watched (some network file systems) this is logged, and SIGHUP remains.
    ///
    /// # Errors
    ///
    /// The process cannot listen for SIGHUP. Must be called inside of a tokio runtime.
    pub fn watch(running: Loaded) -> std::io::Result<Self> {
        let changed = Arc::new(Notify::new());
        let watched = Watched::new(&running.file, &running.referenced, Arc::clone(&changed));
        let dedup_window_max = longest_window(&running.checked).max(WINDOW_DEFAULT);
        Ok(Self { running, hangup: signal(SignalKind::hangup())?, watched, dedup_window_max, refused: None, changed })
    }

    /// Waits until the configuration was loaded again, by SIGHUP or because it changed.
    ///
    /// A change that finds nothing new is passed over; a SIGHUP is always answered. Where the future is dropped while it
    /// loads, the change that it was about may be missed until the next one.
    pub async fn next(&mut self) -> Reloaded {
        loop {
            let asked = self.due().await;
            let reloaded = self.load().await;
            let mended = self.refused.take_if(|_| !matches!(reloaded, Reloaded::Refused(_))).is_some();
            match reloaded {
                Reloaded::Unchanged if !asked && !mended => {}
                Reloaded::Refused(error) => {
                    let said = error.to_string();
                    // What was said already is not news, unless somebody asks.
                    if asked || self.refused.as_deref() != Some(said.as_str()) {
                        tracing::error!(file = %self.running.file.display(), "configuration refused, what runs stays\n{said}");
                        self.refused = Some(said);
                        return Reloaded::Refused(error);
                    }
                }
                news => return news,
            }
        }
    }

    /// Waits for a reason to look; says whether a person asked.
    async fn due(&mut self) -> bool {
        tokio::select! {
            _ = self.hangup.recv() => return true,
            () = self.changed.notified() => {}
        }
        let wait_max = Instant::now() + QUIET_WAIT_MAX;
        while Instant::now() < wait_max {
            let quiet = (Instant::now() + QUIET).min(wait_max);
            if timeout_at(quiet, self.changed.notified()).await.is_err() {
                break;
            }
        }
        false
    }

    async fn load(&mut self) -> Reloaded {
        let file = self.running.file.clone();
        // Reading and checking may take milliseconds: not where requests are served.
        let attempted = tokio::task::spawn_blocking(move || attempt(&file)).await;
        let (loaded, referenced) = match attempted {
            Ok(attempted) => attempted,
            Err(panic) => (Err(Error::internal(&self.running.file, &panic)), Vec::new()),
        };
        let all = self.running.referenced.iter().chain(&referenced).cloned().collect::<Vec<PathBuf>>();
        self.watched.follow(&self.running.file, &all);
        loaded.and_then(|loaded| self.compared(loaded)).unwrap_or_else(Reloaded::Refused)
    }

    fn compared(&mut self, loaded: Loaded) -> Result<Reloaded, Error> {
        let mut fixed = fixed_keys(&self.running.checked, &loaded.checked);
        if longest_window(&loaded.checked) > self.dedup_window_max {
            fixed.push("a dedup.window that is longer than all were at the start");
        }
        if !fixed.is_empty() {
            return Err(Error::Fixed { file: loaded.file, keys: fixed });
        }
        let same = self.running.checked.says_the_same_as(&loaded.checked);
        self.running = loaded;
        if same {
            return Ok(Reloaded::Unchanged);
        }
        tracing::info!(file = %self.running.file.display(), "configuration loaded");
        for warning in &self.running.checked.warnings {
            tracing::warn!("{}", warning.report("warning"));
        }
        Ok(Reloaded::Changed(Arc::new(self.running.checked.clone())))
    }
}

fn longest_window(checked: &Checked) -> Duration {
    let windows = checked.sources.iter().filter_map(|source| source.dedup.as_ref());
    windows.map(|dedup| dedup.window).max().unwrap_or_default()
}

/// Whether something of `outbound` is another; where it is off there is nothing.
fn changed<T: PartialEq>(running: &Checked, new: &Checked, part: impl Fn(&Outbound) -> T) -> bool {
    running.outbound.as_ref().zip(new.outbound.as_ref()).is_some_and(|(old, new)| part(old) != part(new))
}

/// What would have to change and cannot while the gateway runs.
fn fixed_keys(running: &Checked, new: &Checked) -> Vec<&'static str> {
    [
        ("ingress.listen", running.ingress.listen != new.ingress.listen),
        ("admin.listen", running.admin.listen != new.admin.listen),
        ("store", running.store != new.store),
        ("outbound.enabled", running.outbound.is_some() != new.outbound.is_some()),
        ("outbound.secrets_key", changed(running, new, |outbound| outbound.secrets_keys.clone())),
        ("outbound.attempts_max", changed(running, new, |outbound| outbound.attempts_max)),
    ]
    .into_iter()
    .filter_map(|(key, changed)| changed.then_some(key))
    .collect()
}
