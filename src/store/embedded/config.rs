//! What the engine is told when it is opened, and why it may refuse.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::domain::Clock;
use crate::store::StoreKeys;
use crate::telemetry::StoreMetrics;

/// How [`Embedded`](super::Embedded) keeps its files.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder of the store; made if it is missing, mode 0700.
    pub path: PathBuf,
    /// Bytes on disk beyond which admission is refused; `None`: only the disk bounds it.
    pub bytes_max: Option<u64>,
    /// Free bytes on the disk below which admission is refused.
    pub disk_free_min: u64,
    /// Bytes of the ledger of rejections; the oldest go first.
    pub rejections_bytes_max: u64,
    /// The longest dedup window of any source: marks are kept this long.
    pub dedup_window_max: Duration,
    /// What a store that is made now is known by: the keys of one whose events it will take in; `None`: its own.
    pub new_keys: Option<StoreKeys>,
    /// Whether an answer waits for the disk.
    pub durability: Durability,
    /// Where the time comes from.
    pub clock: Clock,
    /// What is counted.
    pub metrics: StoreMetrics,
}

/// What an acknowledgement means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Acknowledged is on disk: it survives a power cut.
    #[default]
    Strict,
    /// Acknowledged is with the operating system: it survives a crash of the gateway, but a power cut loses
    /// up to a second.
    Relaxed,
}

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process works in the folder.
    #[error("the store in {} is in use by process {pid}: stop that gateway, or give this one another store.path", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
        /// What the lock file says; `unknown` where it cannot be read.
        pid: Box<str>,
    },
    /// The folder cannot be made, read or written.
    #[error("cannot {action} {}: {source}; check that the folder exists, belongs to this user and is writable", path.display())]
    Folder {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The files were written by another version of hookward.
    #[error(
        "{} has format {found}, this build reads {expected}: {}",
        path.display(),
        if found > expected { "start the newer hookward that wrote it" } else { "open it once with the hookward that wrote it and export it" }
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Ours.
        expected: u32,
    },
    /// The index could not be read or rebuilt.
    #[error("the index of the store in {} cannot be built: {reason}", path.display())]
    Index {
        /// The folder.
        path: PathBuf,
        /// What went wrong.
        reason: Box<str>,
    },
}

// === impl Config ===

impl Config {
    /// The defaults of the design for a store in `path`, on the machine's clock.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            bytes_max: None,
            disk_free_min: 512 * 1024 * 1024,
            rejections_bytes_max: 64 * 1024 * 1024,
            dedup_window_max: Duration::from_secs(96 * 3600),
            new_keys: None,
            durability: Durability::Strict,
            clock: Clock::machine(),
            metrics: StoreMetrics::default(),
        }
    }
}

// === impl OpenError ===

impl OpenError {
    /// Turns an I/O error on a path into the refusal that names it.
    pub(super) fn folder(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Folder { action, path, source }
    }
}
