//! The embedded engine passes the suite.

use std::time::Duration;

use hookward::domain::Clock;
use hookward::store::StoreKeys;
use hookward::store::embedded::{Config, Embedded};

use super::world::{Factory, START};

/// An engine in a folder of its own.
pub(super) struct Folder {
    pub(super) path: tempfile::TempDir,
    pub(super) clock: Clock,
}

impl Folder {
    pub(super) fn new() -> Self {
        // In memory: these tests are about what is written, not about how long a disk takes to do it.
        Self { path: tempfile::tempdir_in("/dev/shm").unwrap(), clock: Clock::manual(START) }
    }

    pub(super) fn config(&self) -> Config {
        let mut config = Config::new(self.path.path());
        config.disk_free_min = 0;
        config.dedup_window_max = Duration::from_secs(96 * 3600);
        config.clock = self.clock.clone();
        config
    }
}

impl Factory for Folder {
    type Engine = Embedded;

    fn open(&self) -> Embedded {
        Embedded::open(self.config()).unwrap()
    }

    fn open_with(&self, keys: StoreKeys) -> Embedded {
        Embedded::open(Config { new_keys: Some(keys), ..self.config() }).unwrap()
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }
}

super::suite::suite!(super::Folder::new());
