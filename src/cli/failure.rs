//! How a verb ends when it does not end well, and its exit code.

use std::io::{self, Write};
use std::process::ExitCode;

/// Why a verb did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It was tried and did not work: exit code 1.
    #[error("{0}")]
    Failed(String),
    /// What was asked makes no sense: exit code 2, as clap's own.
    #[error("{0}")]
    Usage(String),
    /// The configuration is not one that the gateway can run with: exit code 78 (`EX_CONFIG`), so that
    /// systemd's `RestartPreventExitStatus=78` stops a crash loop.
    #[error("{0}")]
    Configuration(String),
    /// As [`Configuration`](Self::Configuration), where everything is said already: exit code 78.
    #[error("the configuration cannot be used")]
    ReportedConfiguration,
    /// Nobody reads the output any more (`hookward … | head`): not worth a word, exit code 0.
    #[error("the output was closed")]
    OutputClosed,
    /// The verb has said everything already; exit code 1.
    #[error("failed")]
    Reported,
}

// === impl Failure ===

impl Failure {
    /// The process's exit code.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::Reported => 1,
            Self::Usage(_) => 2,
            Self::Configuration(_) | Self::ReportedConfiguration => 78,
            Self::OutputClosed => 0,
        }
    }

    /// Says it on standard error, where there is something to say.
    #[must_use]
    pub fn report(&self) -> ExitCode {
        if !matches!(self, Self::OutputClosed | Self::Reported | Self::ReportedConfiguration) {
            // Where standard error is closed too there is nobody left to tell.
            drop(writeln!(io::stderr(), "{}{self}", self.prefix()));
        }
        ExitCode::from(self.code())
    }

    fn prefix(&self) -> &'static str {
        // The errors of a configuration say `error` themselves, each with its place.
        if matches!(self, Self::Configuration(_)) { "" } else { "error: " }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Self::OutputClosed } else { Self::Failed(error.to_string()) }
    }
}
