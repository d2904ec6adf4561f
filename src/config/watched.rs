//! Which folders are watched for a configuration, and which names in them matter.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// A watch over the files of a configuration.
#[derive(Debug)]
pub(super) struct Watched {
    watcher: Option<RecommendedWatcher>,
    seen: Seen,
    changed: Arc<Notify>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    folders: HashSet<PathBuf>,
    names: HashSet<OsString>,
}

/// What Kubernetes swaps in a mounted ConfigMap or Secret.
const KUBERNETES_LINK: &str = "..data";

// === impl Watched ===

impl Watched {
    /// Watches the files; the first look is due at once.
    pub(super) fn new(file: &Path, referenced: &[PathBuf], changed: Arc<Notify>) -> Self {
        let mut watched = Self { watcher: None, seen: Seen::default(), changed };
        watched.follow(file, referenced);
        watched
    }

    /// Watches these files from now on.
    pub(super) fn follow(&mut self, file: &Path, referenced: &[PathBuf]) {
        let seen = Seen::of(std::iter::once(file).chain(referenced.iter().map(PathBuf::as_path)));
        if seen == self.seen && self.watcher.is_some() {
            return;
        }
        match watcher(&seen, Arc::clone(&self.changed)) {
            Ok(watcher) => self.watcher = Some(watcher),
            Err(error) => {
                tracing::warn!(%error, "configuration files cannot be watched, a change needs SIGHUP");
                self.watcher = None;
            }
        }
        self.seen = seen;
        // What changed between the old watch and the new one.
        self.changed.notify_one();
    }
}

impl Seen {
    fn of<'a>(files: impl Iterator<Item = &'a Path>) -> Self {
        let mut seen = Self { folders: HashSet::new(), names: HashSet::from([KUBERNETES_LINK.into()]) };
        for file in files {
            seen.add(file);
            if let Ok(target) = file.canonicalize() {
                seen.add(&target);
            }
        }
        seen
    }

    fn add(&mut self, file: &Path) {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        self.folders.insert(folder.to_owned());
        self.names.extend(file.file_name().map(OsString::from));
    }
}

fn watcher(seen: &Seen, changed: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let names = seen.names.clone();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        if event.as_ref().map_or(true, |event| matters(event, &names)) {
            changed.notify_one();
        }
    })?;
    let mut watching = 0;
    for folder in &seen.folders {
        match watcher.watch(folder, RecursiveMode::NonRecursive) {
            Ok(()) => watching += 1,
            // A folder that is not there yet has nothing to say; its file is an error of the configuration.
            Err(error) => tracing::debug!(folder = %folder.display(), %error, "folder cannot be watched"),
        }
    }
    if watching == 0 { Err(notify::Error::path_not_found()) } else { Ok(watcher) }
}

/// Reading a file is an event too: our own reading must not make us read again.
fn matters(event: &Event, names: &HashSet<OsString>) -> bool {
    let written = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    };
    written && event.paths.iter().any(|path| path.file_name().is_some_and(|name| names.contains(name)))
}
