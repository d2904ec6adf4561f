//! What a person has paused: a small file beside the journal, written whole and put in the old one's place.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::Embedded;
use crate::store::{Paused, StoreError};

const FILE: &str = "pauses";

/// The first line; another one is of another version.
const HEAD: &str = "hookward pauses 1";

// === impl Embedded ===

impl Embedded {
    pub(super) async fn write_pause(&self, what: &Paused, paused: bool) -> Result<(), StoreError> {
        let _edit = self.edits.lock().await;
        let (file, what) = (self.pauses_file(), what.clone());
        let written = tokio::task::spawn_blocking(move || {
            let mut pauses = read(&file)?;
            let changed = if paused { pauses.insert(what) } else { pauses.remove(&what) };
            if changed { write(&file, &pauses).map_err(|error| unwritable(&file, &error)) } else { Ok(()) }
        });
        written.await.map_err(|error| StoreError::Engine(error.to_string().into()))?
    }

    pub(super) async fn read_pauses(&self) -> Result<Vec<Paused>, StoreError> {
        let file = self.pauses_file();
        let read = tokio::task::spawn_blocking(move || read(&file));
        let pauses = read.await.map_err(|error| StoreError::Engine(error.to_string().into()))??;
        Ok(pauses.into_iter().collect())
    }

    fn pauses_file(&self) -> PathBuf {
        self.segments.folder().with_file_name(FILE)
    }
}

fn read(file: &Path) -> Result<BTreeSet<Paused>, StoreError> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(StoreError::Engine(format!("{} cannot be read: {error}", file.display()).into())),
    };
    let damaged = || {
        let what = "is damaged, or of another version: remove it, and nothing is paused any more";
        StoreError::Damaged(format!("{} {what}", file.display()).into())
    };
    let mut lines = text.lines();
    if lines.next() != Some(HEAD) {
        return Err(damaged());
    }
    let pauses = lines.map(|line| match line.split_once(' ') {
        Some(("source", name)) => Some(Paused::Source(name.into())),
        Some(("destination", name)) => Some(Paused::Destination(name.into())),
        _ => None,
    });
    pauses.collect::<Option<_>>().ok_or_else(damaged)
}

/// The names have no line breaks: the configuration sees to that.
fn write(file: &Path, pauses: &BTreeSet<Paused>) -> io::Result<()> {
    let next = file.with_extension("next");
    let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
    writeln!(out, "{HEAD}")?;
    for pause in pauses {
        match pause {
            Paused::Source(name) => writeln!(out, "source {name}")?,
            Paused::Destination(name) => writeln!(out, "destination {name}")?,
        }
    }
    out.sync_all()?;
    drop(out);
    std::fs::rename(&next, file)?;
    match file.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn unwritable(file: &Path, error: &io::Error) -> StoreError {
    StoreError::Engine(format!("{} cannot be written: {error}", file.display()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_what_is_damaged_is_said_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        assert_eq!(read(&file).unwrap(), BTreeSet::new());
        let pauses = BTreeSet::from([Paused::Source("a".into()), Paused::Destination("a".into())]);
        write(&file, &pauses).unwrap();
        assert_eq!(read(&file).unwrap(), pauses);
        for damaged in ["", "hookward pauses 2\n", "hookward pauses 1\nlane a\n", "hookward pauses 1\nsource\n"] {
            std::fs::write(&file, damaged).unwrap();
            assert!(matches!(read(&file), Err(StoreError::Damaged(_))), "{damaged:?}");
        }
    }
}
