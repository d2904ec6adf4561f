//! What is wrong with a configuration, for people: file, line, column, key path, what and what to do.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::document::excerpt::Excerpt;
use super::document::parse::FILE_BYTES_MAX;
use super::document::problem::Problem;

/// One problem, or one warning. It never contains a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The configuration file.
    pub file: Arc<Path>,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The way to the key: `sources.appmint.verify.secrets[0]`; empty for the file as a whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The line of the file.
    pub excerpt: Option<Excerpt>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// None of the places has one.
    #[error(
        "error: there is no configuration file\n  looked for {}\n  = help: name one with --config, or write one with `hookward init`",
        Places(.looked_for)
    )]
    NotFound {
        /// Where it was looked for, in this order.
        looked_for: Vec<PathBuf>,
    },
    /// The file cannot be read.
    #[error("error: cannot read the configuration {}: {cause}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The file is too large to be a configuration.
    #[error("error: the configuration {} is larger than {} KiB", .file.display(), FILE_BYTES_MAX >> 10)]
    TooLarge {
        /// The file.
        file: PathBuf,
    },
    /// The file is not text.
    #[error("error: the configuration {} is not UTF-8 text, see line {line}", .file.display())]
    NotText {
        /// The file.
        file: PathBuf,
        /// The first line that is not.
        line: usize,
    },
    /// It says something else about what cannot change while the gateway runs.
    #[error(
        "error: {} cannot change while the gateway runs\n  --> {}\n  = help: put the old value back, or restart the gateway",
        .keys.join(" and "),
        .file.display()
    )]
    Fixed {
        /// The file.
        file: PathBuf,
        /// The keys.
        keys: Vec<&'static str>,
    },
    /// The loader itself broke.
    #[error("error: loading {} broke: {cause}; please report this", .file.display())]
    Internal {
        /// The file.
        file: PathBuf,
        /// What the task said.
        cause: String,
    },
    /// It was read and cannot be used.
    #[error("{}", Listed(.0))]
    Invalid(Vec<Finding>),
}

struct Places<'a>(&'a [PathBuf]);

struct Listed<'a>(&'a [Finding]);

// === impl Finding ===

impl Finding {
    /// The problem with its line, everything masked that is or may be a secret.
    pub(super) fn new(file: &Arc<Path>, text: &str, masked: &[Range<usize>], problem: Problem) -> Self {
        let excerpt = Excerpt::new(text, &problem.place, masked, problem.keys_only);
        Self {
            file: Arc::clone(file),
            line: problem.place.line,
            column: problem.place.column,
            path: problem.path.into(),
            message: problem.message,
            hint: problem.hint.map(String::from),
            excerpt,
        }
    }

    /// The finding with its place and its line, headed by `error` or `warning`.
    #[must_use]
    pub fn report(&self, heading: &str) -> String {
        let place = format!("{}:{}:{}", self.file.display(), self.line, self.column);
        let path = if self.path.is_empty() { String::new() } else { format!("{}: ", self.path) };
        let mut report = format!("{heading}: {path}{}\n  --> {place}", self.message);
        let gutter = self.line.to_string().len();
        if let Some(excerpt) = &self.excerpt {
            let mark = format!("{}{}", " ".repeat(excerpt.mark_from), "^".repeat(excerpt.mark_width));
            report
                .push_str(&format!("\n {:gutter$} |\n {} | {}\n {:gutter$} | {mark}", "", self.line, excerpt.line, ""));
        }
        if let Some(hint) = &self.hint {
            report.push_str(&format!("\n {:gutter$} = help: {hint}", ""));
        }
        report
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.report("error"))
    }
}

// === impl Error ===

impl Error {
    pub(super) fn internal(file: &Path, cause: &dyn fmt::Display) -> Self {
        Self::Internal { file: file.to_owned(), cause: cause.to_string() }
    }

    /// The problems of a file that was read; empty where it could not be.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        match self {
            Self::Invalid(findings) => findings,
            _ => &[],
        }
    }
}

impl fmt::Display for Places<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places: Vec<_> = self.0.iter().map(|place| place.display().to_string()).collect();
        f.write_str(&places.join(", "))
    }
}

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reports: Vec<_> = self.0.iter().map(|finding| finding.report("error")).collect();
        f.write_str(&reports.join("\n\n"))
    }
}
