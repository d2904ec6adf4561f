//! From a file to a checked configuration: find it, read it, resolve, decode, check.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::check::check;
use super::check::checked::Checked;
use super::document::excerpt::secrets_in;
use super::document::parse::{FILE_BYTES_MAX, parse};
use super::document::problem::{Problem, Problems};
use super::document::reference::{Surroundings, resolve};
use super::document::tree::Tree;
use super::document::{decode::PROBLEMS_MAX, decode::decode};
use super::written::Configuration;
use super::{Error, Finding};

/// A configuration and the files that it was made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// What it says.
    pub checked: Checked,
    /// The configuration file.
    pub file: PathBuf,
    /// Every file that `{ file: … }` named.
    pub referenced: Vec<PathBuf>,
}

/// The variable that names the configuration file.
pub const FILE_VARIABLE: &str = "HOOKWARD_CONFIG";

/// Where a configuration is looked for when nobody names one.
pub const DEFAULT_FILES: [&str; 2] = ["./hookward.yaml", "/etc/hookward/hookward.yaml"];

/// The configuration file: `named`, `$HOOKWARD_CONFIG`, `./hookward.yaml`, `/etc/hookward/hookward.yaml`, in that order.
///
/// A file that was named is taken whether it is there or not: to fall back on another one would be a surprise.
///
/// # Errors
///
/// [`Error::NotFound`] where nobody named one and neither of the last two is there.
pub fn find(named: Option<&Path>) -> Result<PathBuf, Error> {
    let from_environment = || environment(FILE_VARIABLE).filter(|name| !name.is_empty()).map(PathBuf::from);
    if let Some(file) = named.map(PathBuf::from).or_else(from_environment) {
        return Ok(file);
    }
    let looked_for = DEFAULT_FILES.map(PathBuf::from);
    match looked_for.iter().find(|file| file.exists()) {
        Some(file) => Ok(file.clone()),
        None => Err(Error::NotFound { looked_for: looked_for.to_vec() }),
    }
}

/// Loads a configuration file, with the process's environment.
///
/// # Errors
///
/// [`Error`]: the file cannot be read, or everything that is wrong with it.
pub fn load(file: &Path) -> Result<Loaded, Error> {
    load_with(file, &environment)
}

/// Loads a configuration file, with this environment.
///
/// # Errors
///
/// As [`load`].
pub fn load_with(file: &Path, variable: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Error> {
    attempt_with(file, variable).0
}

/// Loads a configuration file, and says which files it names even where it cannot be used.
pub(super) fn attempt(file: &Path) -> (Result<Loaded, Error>, Vec<PathBuf>) {
    attempt_with(file, &environment)
}

fn attempt_with(file: &Path, variable: &dyn Fn(&str) -> Option<String>) -> (Result<Loaded, Error>, Vec<PathBuf>) {
    let text = match read(file) {
        Ok(text) => text,
        Err(error) => return (Err(error), Vec::new()),
    };
    let showing = Showing { file: file.into(), text: &text, masked: Vec::new() };
    let mut tree = match parse(&text) {
        Ok(tree) => tree,
        Err(problem) => return (Err(Error::Invalid(showing.findings(vec![problem]))), Vec::new()),
    };
    let showing = Showing { masked: secrets_in(&tree, &text), ..showing };
    let folder = file.parent().unwrap_or(Path::new(""));
    let (referenced, unresolved) = resolve(&mut tree, &Surroundings { variable, folder });
    let mut referenced: Vec<PathBuf> = referenced.into_iter().collect();
    referenced.sort();
    let loaded = checked(&tree, &showing, unresolved).map(|checked| Loaded {
        checked,
        file: file.to_owned(),
        referenced: referenced.clone(),
    });
    (loaded, referenced)
}

/// What the findings show of the file.
struct Showing<'a> {
    file: Arc<Path>,
    text: &'a str,
    /// Where secrets stand.
    masked: Vec<Range<usize>>,
}

impl Showing<'_> {
    fn findings(&self, problems: Vec<Problem>) -> Vec<Finding> {
        // What one problem must not show no other may show either.
        let hidden = problems.iter().flat_map(|problem| &problem.hidden);
        let masked: Vec<_> = self.masked.iter().chain(hidden).cloned().collect();
        problems.into_iter().map(|problem| Finding::new(&self.file, self.text, &masked, problem)).collect()
    }
}

fn checked(tree: &Tree, showing: &Showing<'_>, unresolved: Vec<Problem>) -> Result<Checked, Error> {
    let written: Configuration = match decode(tree) {
        Ok(written) if unresolved.is_empty() => written,
        Ok(_) => return Err(Error::Invalid(showing.findings(unresolved))),
        Err(problems) => return Err(Error::Invalid(showing.findings(merged(unresolved, problems)))),
    };
    let mut problems = Problems::new(tree);
    let mut checked = check(&written, &mut problems);
    if !problems.found.is_empty() {
        problems.found.sort_by_key(|problem| problem.place.bytes.start);
        problems.found.truncate(PROBLEMS_MAX);
        return Err(Error::Invalid(showing.findings(problems.found)));
    }
    problems.warnings.sort_by_key(|warning| warning.place.bytes.start);
    checked.warnings = showing.findings(problems.warnings);
    Ok(checked)
}

/// Both lists, in the order of the text; a value whose reference leads nowhere is not also of the wrong shape.
fn merged(unresolved: Vec<Problem>, problems: Vec<Problem>) -> Vec<Problem> {
    let mut all = unresolved;
    for problem in problems {
        if all.iter().all(|known| known.path != problem.path || problem.path.is_empty()) {
            all.push(problem);
        }
    }
    all.sort_by_key(|problem| problem.place.bytes.start);
    all.truncate(PROBLEMS_MAX);
    all
}

fn read(file: &Path) -> Result<String, Error> {
    let unreadable = |cause: io::Error| Error::Unreadable { file: file.to_owned(), cause };
    let opened = File::open(file).map_err(unreadable)?;
    let metadata = opened.metadata().map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(unreadable(io::ErrorKind::IsADirectory.into()));
    }
    // The size is asked first, so that a huge file is not read at all; a pipe has none and is cut off.
    if metadata.len() > FILE_BYTES_MAX {
        return Err(Error::TooLarge { file: file.to_owned() });
    }
    let mut bytes = Vec::new();
    opened.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Error::TooLarge { file: file.to_owned() });
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        Error::NotText { file: file.to_owned(), line }
    })
}

#[allow(clippy::disallowed_methods, reason = "the one place where the environment is read")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
