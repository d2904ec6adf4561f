//! A request body as the gateway's own stack has it: in memory, in a file, or still on its way.

use bytes::Bytes;

use super::Buffered;
use super::live::Live;
use super::spool::{Pieces, Spooled};
use crate::domain::{RequestBody, RequestStream};

/// A request body that may be larger than what is held in memory of one.
///
/// The guards see its bytes through [`AsRef`]. One that is still on its way, or was looked at while it came, has none for
/// them: they ask nothing of it, or what is [known](crate::domain::Facts::digested) of it.
#[derive(Debug)]
pub struct Received(Place);

#[derive(Debug)]
enum Place {
    Memory(Buffered),
    File(Spooled),
    /// In a file, and nobody looks at it any more.
    Unseen(Pieces),
    OnItsWay(Live),
}

/// Where there is nothing to look at.
static NOTHING: Bytes = Bytes::new();

// === impl Received ===

impl Received {
    /// The bytes, where they are in memory for good: those of a file are for the guards only.
    #[must_use]
    pub fn kept_bytes(&self) -> Bytes {
        match &self.0 {
            Place::Memory(body) => body.bytes().clone(),
            Place::File(_) | Place::Unseen(_) | Place::OnItsWay(_) => Bytes::new(),
        }
    }
}

impl From<Buffered> for Received {
    fn from(body: Buffered) -> Self {
        Self(Place::Memory(body))
    }
}

impl From<Spooled> for Received {
    fn from(body: Spooled) -> Self {
        Self(Place::File(body))
    }
}

impl From<Pieces> for Received {
    fn from(body: Pieces) -> Self {
        Self(Place::Unseen(body))
    }
}

impl From<Live> for Received {
    fn from(body: Live) -> Self {
        Self(Place::OnItsWay(body))
    }
}

impl AsRef<Bytes> for Received {
    fn as_ref(&self) -> &Bytes {
        match &self.0 {
            Place::Memory(body) => body.bytes(),
            Place::File(body) => body.seen(),
            Place::Unseen(_) | Place::OnItsWay(_) => &NOTHING,
        }
    }
}

impl AsRef<[u8]> for Received {
    fn as_ref(&self) -> &[u8] {
        AsRef::<Bytes>::as_ref(self)
    }
}

impl From<Pieces> for RequestBody {
    fn from(pieces: Pieces) -> Self {
        Self::Streamed { bytes: pieces.bytes(), pieces: Box::pin(pieces) as RequestStream }
    }
}

/// What the guards looked at of a file is free then.
impl From<Received> for RequestBody {
    fn from(body: Received) -> Self {
        match body.0 {
            Place::Memory(body) => Self::Whole(body.into_bytes()),
            Place::File(body) => body.pieces().into(),
            Place::Unseen(pieces) => pieces.into(),
            Place::OnItsWay(body) => Self::Streamed { bytes: body.bytes(), pieces: Box::pin(body) as RequestStream },
        }
    }
}
