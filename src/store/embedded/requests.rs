//! Requests that were made under a key: a small log beside the journal, whole in memory, and written anew where most of it
//! is over.
//!
//! Each line is synced before it counts. A line that a crash has torn ends the log; one that is damaged in the
//! middle is left out, as if its request had never been made, and said.
//!
//! Bounded: keys in all, keys of one project, bytes of answers. The oldest answered ones go first.

use std::collections::{HashMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;

use super::Embedded;
use crate::domain::Timestamp;
use crate::store::kept_request::KNOWN_FOR;
use crate::store::{KeptRequest, StoreError};

const FILE: &str = "requests";

/// The first line; another one is of another version.
const HEAD: &str = "hookward requests 1";

/// How many keys are known at once.
const KEYS_MAX: usize = 10_000;

/// How many of them one project may have.
const KEYS_OF_PROJECT_MAX: usize = 1_000;

/// Bytes that the kept answers may take.
const ANSWERS_BYTES_MAX: usize = 32 << 20;

/// The log is written anew when it has so many lines more than there are keys.
const LINES_OVER_MAX: usize = 2_000;

/// The log of a store; opened by whoever asks first.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests(Arc<Mutex<Option<Log>>>);

#[derive(Debug)]
struct Log {
    path: PathBuf,
    file: File,
    lines: usize,
    known: Known,
}

/// What is known, within its bounds.
#[derive(Debug, Default)]
struct Known {
    entries: HashMap<[u8; 32], KeptRequest>,
    /// Oldest first.
    order: VecDeque<[u8; 32]>,
    answers_bytes: usize,
}

// === impl Embedded ===

impl Embedded {
    pub(super) async fn note_request(&self, begun: KeptRequest) -> Result<Option<KeptRequest>, StoreError> {
        self.with_requests(move |log| log.begin(begun)).await
    }

    pub(super) async fn note_answer(&self, name: [u8; 32], answer: Option<Bytes>) -> Result<(), StoreError> {
        self.with_requests(move |log| log.end(name, answer)).await
    }

    async fn with_requests<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Log) -> io::Result<R> + Send + 'static,
    ) -> Result<R, StoreError> {
        let (requests, path) = (self.requests.clone(), self.segments.folder().with_file_name(FILE));
        let working = tokio::task::spawn_blocking(move || {
            let unusable = |error: io::Error| StoreError::Engine(format!("{}: {error}", path.display()).into());
            let mut log = requests.0.lock().unwrap_or_else(PoisonError::into_inner);
            let mut open = match log.take() {
                Some(open) => open,
                None => Log::open(&path).map_err(unusable)?,
            };
            // After a failure it is read again: what of it is on the disk is not known.
            let done = work(&mut open).map_err(unusable)?;
            *log = Some(open);
            Ok(done)
        });
        working.await.map_err(|error| StoreError::Engine(error.to_string().into()))?
    }
}

// === impl Log ===

impl Log {
    fn open(path: &Path) -> io::Result<Self> {
        let mut known = Known::default();
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let mut lines = text.split_inclusive('\n');
                if lines.next().map(str::trim_end) != Some(HEAD) {
                    let what = "is damaged, or of another version: remove it, and no Idempotency-Key was ever used";
                    return Err(io::Error::new(ErrorKind::InvalidData, what));
                }
                let (mut damaged, mut torn) = (0, 0);
                for line in lines {
                    damaged += torn;
                    torn = 0;
                    match line.strip_suffix('\n').and_then(read) {
                        Some(Line::Begun(begun)) => known.insert(begun),
                        Some(Line::Ended(name, answer)) => known.end(name, answer),
                        None => torn = 1,
                    }
                }
                if damaged > 0 {
                    tracing::error!(file = %path.display(), damaged, "keys of requests were damaged and are forgotten");
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let (file, lines) = write_anew(path, &known)?;
        Ok(Self { path: path.to_owned(), file, lines, known })
    }

    fn begin(&mut self, begun: KeptRequest) -> io::Result<Option<KeptRequest>> {
        self.known.forget_expired(begun.begun_at);
        if let Some(known) = self.known.entries.get(&begun.name) {
            return Ok(Some(known.clone()));
        }
        self.known.make_room(begun.project);
        self.append(&Line::Begun(begun.clone()))?;
        self.known.insert(begun);
        Ok(None)
    }

    fn end(&mut self, name: [u8; 32], answer: Option<Bytes>) -> io::Result<()> {
        self.append(&Line::Ended(name, answer.clone()))?;
        self.known.end(name, answer);
        Ok(())
    }

    fn append(&mut self, line: &Line) -> io::Result<()> {
        if self.lines > self.known.entries.len() * 2 + LINES_OVER_MAX {
            (self.file, self.lines) = write_anew(&self.path, &self.known)?;
        }
        self.file.write_all(written(line).as_bytes())?;
        self.file.sync_data()?;
        self.lines += 1;
        Ok(())
    }
}

/// Puts what is known in the old file's place; the file, at its end, and how many lines it has.
fn write_anew(path: &Path, known: &Known) -> io::Result<(File, usize)> {
    let next = path.with_extension("next");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
    let mut text = format!("{HEAD}\n");
    let mut lines = 0;
    for entry in known.order.iter().filter_map(|name| known.entries.get(name)) {
        text.push_str(&written(&Line::Begun(KeptRequest { answer: None, ..entry.clone() })));
        lines += 1;
        if let Some(answer) = &entry.answer {
            text.push_str(&written(&Line::Ended(entry.name, Some(answer.clone()))));
            lines += 1;
        }
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&next, path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok((file, lines))
}

// === the lines ===

/// A line of the log.
enum Line {
    Begun(KeptRequest),
    /// Answered; without an answer it was not made after all.
    Ended([u8; 32], Option<Bytes>),
}

/// A line: its checksum, and words.
fn written(line: &Line) -> String {
    let words = match line {
        Line::Begun(begun) => {
            let (name, request) = (hex::encode(begun.name), hex::encode(begun.request));
            format!("begun {name} {request} {} {}", begun.project, begun.begun_at.0)
        }
        Line::Ended(name, Some(answer)) => format!("answered {} {}", hex::encode(name), STANDARD_NO_PAD.encode(answer)),
        Line::Ended(name, None) => format!("undone {}", hex::encode(name)),
    };
    format!("{:08x} {words}\n", crc32fast::hash(words.as_bytes()))
}

fn read(line: &str) -> Option<Line> {
    let (sum, words) = line.split_once(' ')?;
    if u32::from_str_radix(sum, 16).ok()? != crc32fast::hash(words.as_bytes()) {
        return None;
    }
    let hash = |word: Option<&str>| {
        let mut bytes = [0; 32];
        hex::decode_to_slice(word?, &mut bytes).ok().map(|()| bytes)
    };
    let mut words = words.split(' ');
    match words.next()? {
        "begun" => {
            let (name, request) = (hash(words.next())?, hash(words.next())?);
            let (project, at) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            Some(Line::Begun(KeptRequest { name, project, request, begun_at: Timestamp(at), answer: None }))
        }
        "answered" => {
            let name = hash(words.next())?;
            let answer = STANDARD_NO_PAD.decode(words.next()?).ok()?;
            Some(Line::Ended(name, Some(answer.into())))
        }
        "undone" => Some(Line::Ended(hash(words.next())?, None)),
        _ => None,
    }
}

// === impl Known ===

impl Known {
    fn insert(&mut self, begun: KeptRequest) {
        if !self.entries.contains_key(&begun.name) {
            self.order.push_back(begun.name);
            self.entries.insert(begun.name, begun);
        }
    }

    fn end(&mut self, name: [u8; 32], answer: Option<Bytes>) {
        match (self.entries.get_mut(&name), answer) {
            (Some(entry), Some(answer)) if entry.answer.is_none() => {
                self.answers_bytes += answer.len();
                entry.answer = Some(answer);
            }
            (Some(_), None) => {
                if let Some(place) = self.order.iter().position(|other| *other == name) {
                    self.forget(place);
                }
            }
            _ => {}
        }
    }

    fn forget(&mut self, place: usize) {
        let entry = self.order.remove(place).and_then(|name| self.entries.remove(&name));
        self.answers_bytes -= entry.and_then(|entry| entry.answer).map_or(0, |answer| answer.len());
    }

    fn forget_expired(&mut self, now: Timestamp) {
        while let Some(name) = self.order.front()
            && self.entries.get(name).is_none_or(|entry| now.since(entry.begun_at) >= KNOWN_FOR)
        {
            self.forget(0);
        }
    }

    /// Forgets the oldest answers until one more key of this project has its place. What is under way is as little as
    /// there are connections.
    fn make_room(&mut self, project: u64) {
        let is_own = |known: &Self, name: &[u8; 32]| known.entries.get(name).is_some_and(|own| own.project == project);
        while self.order.iter().filter(|name| is_own(self, name)).count() >= KEYS_OF_PROJECT_MAX {
            let Some(place) = self.oldest(|entry| entry.project == project) else { break };
            self.forget(place);
        }
        while self.order.len() >= KEYS_MAX || self.answers_bytes >= ANSWERS_BYTES_MAX {
            let Some(place) = self.oldest(|_| true) else { break };
            self.forget(place);
        }
    }

    fn oldest(&self, is_meant: impl Fn(&KeptRequest) -> bool) -> Option<usize> {
        let goes = |entry: &KeptRequest| entry.answer.is_some() && is_meant(entry);
        self.order.iter().position(|name| self.entries.get(name).is_none_or(goes))
    }
}

#[cfg(test)]
#[path = "requests_tests.rs"]
mod tests;
