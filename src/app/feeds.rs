//! The address lists that are followed: loaded from their last good copy, asked for again and again, and never
//! replaced by something worse.
//!
//! A list lives as long as a source names it; a reload that keeps it keeps it as it is. Only a whole answer of addresses
//! within the bounds takes the place of the list in use and of its copy; whatever else comes is an error that is
//! logged, counted and shown. A list that has neither an answer nor a copy lets nobody in.

mod copy;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use url::Url;

use self::copy::Copy;
use crate::api::FeedEntry;
use crate::config::Checked;
use crate::deliver::Getter;
use crate::domain::{Clock, Timestamp};
use crate::guard::allow_ips::{self, Feed, List};
use crate::telemetry::Metrics;

/// All of them.
pub(super) struct Feeds {
    folder: PathBuf,
    getter: Getter,
    clock: Clock,
    metrics: Metrics,
    followed: Mutex<HashMap<Feed, Arc<Followed>>>,
    /// Something is followed that was not.
    changed: Notify,
}

/// One of them.
struct Followed {
    feed: Feed,
    list: Arc<List>,
    state: Mutex<State>,
}

/// How it does.
struct State {
    /// What the answer in use was marked with.
    etag: Option<Box<str>>,
    last_modified: Option<Box<str>>,
    /// When the provider last said that this is the list.
    confirmed_at: Option<Timestamp>,
    /// When it was last asked.
    asked_at: Option<Timestamp>,
    /// Why that was of no use.
    error: Option<Arc<str>>,
    failures: u32,
    due: Instant,
}

/// The largest answer.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// The whole of an exchange.
const TIMEOUT: Duration = Duration::from_secs(10);
/// After a failure; twice as long after each further one, and never longer than the usual time.
const RETRY_AFTER: Duration = Duration::from_secs(60);
/// How far from each other those end up that were asked together, as a part of their time.
const JITTER: f64 = 0.1;

/// The folder of the copies in the store's folder.
const FOLDER: &str = "feeds";

/// What an exchange with a provider came to.
enum Asked {
    /// A list, and the answer that it was read from.
    New(Vec<ipnet::IpNet>, Copy),
    /// The same as before.
    Same,
}

// === impl Feeds ===

impl Feeds {
    /// Follows nothing yet; copies are kept below the store's folder.
    pub(super) fn new(store: &std::path::Path, clock: Clock, metrics: Metrics) -> Self {
        Self {
            folder: store.join(FOLDER),
            getter: Getter::default(),
            clock,
            metrics,
            followed: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// The lists of a source's feeds, each with its name; one that was not followed before begins with its copy.
    pub(super) fn of(&self, config: &allow_ips::Config) -> Vec<(Arc<str>, Arc<List>)> {
        let mut followed = lock(&self.followed);
        let lists = config.feeds.iter().map(|feed| {
            let one = followed.entry(feed.clone()).or_insert_with(|| {
                self.changed.notify_one();
                Arc::new(Followed::new(feed, &self.folder))
            });
            (Arc::clone(&feed.name), Arc::clone(&one.list))
        });
        lists.collect()
    }

    /// The lists as their copies say, without following anything: for whoever explains what a gateway would do.
    pub(super) fn copies(store: &std::path::Path, config: &allow_ips::Config) -> Vec<(Arc<str>, Arc<List>)> {
        let folder = store.join(FOLDER);
        let list = |feed: &Feed| (Arc::clone(&feed.name), Arc::clone(&Followed::new(feed, &folder).list));
        config.feeds.iter().map(list).collect()
    }

    /// Lets go of what no source names any more; the copies stay, in case the name returns.
    pub(super) fn forget(&self, checked: &Checked) {
        let named = |feed: &Feed| {
            checked.sources.iter().filter_map(|source| source.allow_ips.as_ref()).any(|list| list.feeds.contains(feed))
        };
        lock(&self.followed).retain(|feed, _| named(feed));
    }

    /// How each does, by its name.
    pub(super) fn states(&self) -> Vec<FeedEntry> {
        let followed: Vec<_> = lock(&self.followed).values().cloned().collect();
        let mut states: Vec<_> = followed.iter().map(|one| one.entry()).collect();
        states.sort_by(|one, other| one.name.cmp(&other.name));
        states
    }

    /// Asks for each when it is due, for ever.
    pub(super) async fn run(self: Arc<Self>) {
        loop {
            let now = Instant::now();
            let followed: Vec<_> = lock(&self.followed).values().cloned().collect();
            let (due, later): (Vec<_>, Vec<_>) = followed.into_iter().partition(|one| lock(&one.state).due <= now);
            if due.is_empty() {
                let next = later.iter().map(|one| lock(&one.state).due).min();
                tokio::select! {
                    () = self.changed.notified() => {}
                    () = tokio::time::sleep_until(next.unwrap_or(now)), if next.is_some() => {}
                }
                continue;
            }
            // Side by side: a slow one does not make the others old.
            let mut asking = JoinSet::new();
            for one in due {
                let feeds = Arc::clone(&self);
                asking.spawn(async move { feeds.refresh(&one).await });
            }
            while let Some(done) = asking.join_next().await {
                if let Err(error) = done {
                    tracing::error!(%error, "following an address list did not end well");
                }
            }
        }
    }

    async fn refresh(&self, one: &Followed) {
        let asked = self.ask(one).await;
        let now = self.clock.wall();
        let name = &*one.feed.name;
        let marks = match &asked {
            Ok(Asked::New(networks, copy)) => {
                one.list.replace(networks);
                tracing::info!(feed = name, entries = networks.len(), "address list loaded");
                Some((copy.etag.clone(), copy.last_modified.clone()))
            }
            _ => None,
        };
        let asked = match asked {
            Ok(Asked::New(_, copy)) => {
                let (folder, feed) = (self.folder.clone(), one.feed.clone());
                // Written and synced: not where requests are served.
                let kept = tokio::task::spawn_blocking(move || copy.write(&folder, &feed)).await;
                if let Err(error) = kept.unwrap_or_else(|panic| Err(std::io::Error::other(panic))) {
                    tracing::error!(feed = name, %error, "the address list could not be kept: a restart may be without it");
                }
                Ok(())
            }
            Ok(Asked::Same) => Ok(()),
            Err(error) => Err(error),
        };
        let metrics = self.metrics.feed(name);
        let mut state = lock(&one.state);
        state.asked_at = Some(now);
        let wait = match asked {
            Ok(()) => {
                if let Some((etag, last_modified)) = marks {
                    state.etag = etag;
                    state.last_modified = last_modified;
                }
                metrics.ok.inc();
                state.confirmed_at = Some(now);
                state.error = None;
                state.failures = 0;
                one.feed.refresh
            }
            Err(error) => {
                let never = one.list.entries().is_none();
                if never {
                    tracing::error!(feed = name, error, "there is no address list: its senders are refused");
                } else {
                    tracing::warn!(
                        feed = name,
                        error,
                        "the address list could not be renewed, the last good one stays"
                    );
                }
                metrics.failed.inc();
                state.error = Some(error.into());
                state.failures = state.failures.saturating_add(1);
                (RETRY_AFTER * 2_u32.saturating_pow(state.failures.min(16) - 1)).min(one.feed.refresh)
            }
        };
        state.due = Instant::now() + wait.mul_f64(1.0 + JITTER * (2.0 * fastrand::f64() - 1.0));
    }

    async fn ask(&self, one: &Followed) -> Result<Asked, String> {
        let feed = &one.feed;
        let url: Url = feed.url.parse().map_err(|error| format!("{}: {error}", feed.url))?;
        let mut request = Request::new(Bytes::new());
        let agent = concat!("hookward/", env!("CARGO_PKG_VERSION"));
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(agent));
        {
            let state = lock(&one.state);
            let marks = [(IF_NONE_MATCH, &state.etag), (IF_MODIFIED_SINCE, &state.last_modified)];
            for (name, value) in marks {
                if let Some(value) = value.as_deref().and_then(|text| HeaderValue::from_str(text).ok()) {
                    request.headers_mut().insert(name, value);
                }
            }
        }
        let got = self.getter.call(&url, &request, ANSWER_BYTES_MAX, TIMEOUT).await?;
        match got.status {
            304 if one.list.entries().is_some() => Ok(Asked::Same),
            200 => {
                let networks = feed.parse(&got.body).map_err(|error| error.to_string())?;
                let etag = mark(&got.headers, &ETAG);
                let last_modified = mark(&got.headers, &LAST_MODIFIED);
                Ok(Asked::New(networks, Copy { etag, last_modified, fetched_at: self.clock.wall(), body: got.body }))
            }
            status => Err(format!("answered with {status}")),
        }
    }
}

/// A header that is sent back as it came; one that is too long for that is forgotten.
fn mark(headers: &HeaderMap, name: &HeaderName) -> Option<Box<str>> {
    const MARK_BYTES_MAX: usize = 256;
    let text = headers.get(name)?.to_str().ok()?;
    (text.len() <= MARK_BYTES_MAX).then(|| text.into())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Followed ===

impl Followed {
    /// Begins with the copy, where there is a good one.
    fn new(feed: &Feed, folder: &std::path::Path) -> Self {
        let list = Arc::new(List::default());
        let mut state = State {
            etag: None,
            last_modified: None,
            confirmed_at: None,
            asked_at: None,
            error: None,
            failures: 0,
            due: Instant::now(),
        };
        match Copy::read(folder, feed) {
            Ok(Some(copy)) => match feed.parse(&copy.body) {
                Ok(networks) => {
                    list.replace(&networks);
                    state.confirmed_at = Some(copy.fetched_at);
                    state.etag = copy.etag;
                    state.last_modified = copy.last_modified;
                }
                Err(error) => tracing::error!(feed = &*feed.name, %error, "the copy of the address list is no list"),
            },
            Ok(None) => {}
            Err(error) => tracing::error!(feed = &*feed.name, %error, "the copy of the address list cannot be read"),
        }
        Self { feed: feed.clone(), list, state: Mutex::new(state) }
    }

    fn entry(&self) -> FeedEntry {
        let state = lock(&self.state);
        FeedEntry {
            name: Arc::clone(&self.feed.name),
            url: Arc::clone(&self.feed.url),
            entries: self.list.entries(),
            confirmed_at: state.confirmed_at,
            asked_at: state.asked_at,
            error: state.error.clone(),
        }
    }
}
