//! The option that names the configuration file, the same for every verb that reads it.

use std::path::PathBuf;

use super::Failure;
use crate::config::{self, Loaded};

/// `--config FILE`.
#[derive(Debug, clap::Args)]
pub struct Configuration {
    /// The configuration file; else $HOOKWARD_CONFIG, ./hookward.yaml, /etc/hookward/hookward.yaml
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

// === impl Configuration ===

impl Configuration {
    /// Finds, loads and checks the file.
    ///
    /// # Errors
    ///
    /// [`Failure::Configuration`] with everything that is wrong: exit code 78.
    pub fn load(&self) -> Result<Loaded, Failure> {
        config::find(self.config.as_deref())
            .and_then(|file| config::load(&file))
            .map_err(|error| Failure::Configuration(error.to_string()))
    }
}
