//! Bodies that are too large to be held in memory until the app has them: in files that have no name.
//!
//! - A file is made in the gateway's own folder, mode 0600, and unlinked at once: whatever ends the process, nothing
//!   stays. All of them together are bounded in bytes.
//! - What the guards want to know of a body is computed while it comes. Where they have to see it at once it is read back for
//!   them, one at a time for the whole gateway, so that however many are on their way no more than one is in memory.
//! - Whoever writes or reads a file does so off the threads that serve connections.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, spawn_blocking};

use super::budget::Share;
use super::{BodyBudget, RETRY_AFTER};
use crate::domain::{Reason, Rejection, RequestPieces};

/// Where large bodies lie; clones share it.
#[derive(Clone, Debug)]
pub struct Spool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: Box<Path>,
    disk: BodyBudget,
    /// Whose body the guards look at.
    turn: Arc<Semaphore>,
}

/// A file that grows.
#[derive(Debug)]
pub(super) struct Writer {
    file: File,
    bytes: u64,
    disk: Share,
}

/// A whole body in a file, and its bytes in memory for as long as the guards look at them.
#[derive(Debug)]
pub(super) struct Spooled {
    pieces: Pieces,
    seen: Bytes,
    /// In the order in which they are given back.
    _memory: Share,
    _turn: OwnedSemaphorePermit,
}

/// The body out of its file, piece by piece.
#[derive(Debug)]
pub(super) struct Pieces {
    file: Arc<File>,
    bytes: u64,
    at: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    _disk: Share,
}

/// A piece of a body, in bytes: what is in memory of one that is written or read.
pub(super) const PIECE_BYTES: usize = 256 << 10;

/// How long a sender waits before it tries a disk that could not take its body.
const RETRY_BROKEN: Duration = Duration::from_secs(5);

// === impl Spool ===

impl Spool {
    /// Bodies lie in `folder`, which must be there; what they take is counted in `disk`.
    #[must_use]
    pub fn new(folder: &Path, disk: BodyBudget) -> Self {
        Self(Arc::new(Inner { folder: folder.into(), disk, turn: Arc::new(Semaphore::new(1)) }))
    }

    /// Changes how many bytes all files may have; those that are there stay.
    pub fn set_max(&self, bytes_max: usize) {
        self.0.disk.set_max(bytes_max);
    }

    /// A file without a byte and without a name.
    pub(super) async fn file(&self) -> Result<Writer, Rejection> {
        let spool = Arc::clone(&self.0);
        let file = blocking(move || tempfile::tempfile_in(&spool.folder)).await?;
        Ok(Writer { file, bytes: 0, disk: self.0.disk.share() })
    }

    /// Waits until no other body is looked at, and reads this one back; `memory` is what it may take of it.
    pub(super) async fn look_at(&self, writer: Writer, mut memory: Share) -> Result<Spooled, Rejection> {
        let Writer { file, bytes, disk } = writer;
        let Ok(turn) = Arc::clone(&self.0.turn).acquire_owned().await else {
            return Err(unusable(&io::Error::other("the gateway ends")));
        };
        let count = usize::try_from(bytes).unwrap_or(usize::MAX);
        if !memory.grow_to(count) {
            let detail = "body_memory_max is used up: a large body could not be looked at";
            return Err(Rejection::new(Reason::BodyMemoryFull, detail).retry_after(RETRY_AFTER));
        }
        let file = Arc::new(file);
        let shared = Arc::clone(&file);
        let seen = blocking(move || read(&shared, 0, count)).await?;
        let pieces = Pieces { file, bytes, at: 0, reading: None, _disk: disk };
        Ok(Spooled { pieces, seen, _memory: memory, _turn: turn })
    }
}

// === impl Writer ===

impl Writer {
    /// Puts a piece behind what is there, and gives its memory back.
    pub(super) async fn write(self, mut piece: Vec<u8>) -> Result<(Self, Vec<u8>), Rejection> {
        let Self { mut file, bytes, mut disk } = self;
        let bytes = bytes.saturating_add(piece.len() as u64);
        if !disk.grow_to(usize::try_from(bytes).unwrap_or(usize::MAX)) {
            let detail = "body_spool_max is used up";
            return Err(Rejection::new(Reason::BodyMemoryFull, detail).retry_after(RETRY_AFTER));
        }
        let (file, piece) = blocking(move || {
            file.write_all(&piece)?;
            piece.clear();
            Ok((file, piece))
        })
        .await?;
        Ok((Self { file, bytes, disk }, piece))
    }

    /// The body as it goes on.
    pub(super) fn pieces(self) -> Pieces {
        let Self { file, bytes, disk } = self;
        Pieces { file: Arc::new(file), bytes, at: 0, reading: None, _disk: disk }
    }
}

// === impl Spooled ===

impl Spooled {
    /// The whole body.
    pub(super) fn seen(&self) -> &Bytes {
        &self.seen
    }

    /// The body as it goes on; the next one may be looked at.
    pub(super) fn pieces(self) -> Pieces {
        self.pieces
    }
}

// === impl Pieces ===

impl Pieces {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Rejection;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Rejection>>> {
        let this = &mut *self;
        let left = this.bytes - this.at;
        if left == 0 {
            return Poll::Ready(None);
        }
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES);
        let reading = this.reading.get_or_insert_with(|| {
            let (file, at) = (Arc::clone(&this.file), this.at);
            spawn_blocking(move || read(&file, at, count))
        });
        let piece = ready!(Pin::new(reading).poll(context)).unwrap_or_else(|error| Err(io::Error::other(error)));
        this.reading = None;
        this.at += count as u64;
        Poll::Ready(Some(piece.map(Frame::data).map_err(|error| unusable(&error))))
    }

    fn is_end_stream(&self) -> bool {
        self.at == self.bytes
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes - self.at)
    }
}

impl RequestPieces for Pieces {
    fn begin_again(mut self: Pin<&mut Self>) -> bool {
        // One that is being read is dropped.
        (self.at, self.reading) = (0, None);
        true
    }
}

fn read(file: &File, at: u64, count: usize) -> io::Result<Bytes> {
    let mut bytes = vec![0; count];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes.into())
}

async fn blocking<T: Send + 'static>(what: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, Rejection> {
    let done = spawn_blocking(what).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    done.map_err(|error| unusable(&error))
}

fn unusable(error: &io::Error) -> Rejection {
    let detail = format!("a large body could not be put aside: {error}");
    Rejection::new(Reason::StoreUnavailable, detail).retry_after(RETRY_BROKEN)
}
