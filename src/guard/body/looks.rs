//! What the guards want to know of a large body, computed while it comes, so that it need not be read back for them.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::domain::{Digested, Rejection};
use crate::guard::dedup::{self, By};
use crate::guard::envelope::{self, Envelope, Field, Piecewise};
use crate::guard::layer::Head;
use crate::guard::signature::{Hashing, Verifier};

/// The questions of one source's guards; clones share them.
#[derive(Clone, Debug)]
pub struct Looks(Arc<Questions>);

#[derive(Debug)]
struct Questions {
    verifier: Arc<Verifier>,
    envelope: Envelope,
}

/// A body that is looked at while it comes.
pub(super) struct Looking<'a> {
    envelope: &'a Envelope,
    signature: Option<Result<Hashing<'a>, Rejection>>,
    fields: Option<Piecewise<'a, 3>>,
    hash: Sha256,
}

// === impl Looks ===

impl Looks {
    /// What these guards ask; `None` where one of them wants the body at once.
    #[must_use]
    pub fn of(verifier: &Arc<Verifier>, envelope: &envelope::Config, dedup: Option<&dedup::Config>) -> Option<Self> {
        let by_field = dedup.is_some_and(|dedup| matches!(dedup.by, By::Field(Field::Body(_))));
        let questions = Questions { verifier: Arc::clone(verifier), envelope: Envelope::new(envelope.clone()) };
        (!by_field && verifier.takes_pieces()).then(|| Self(Arc::new(questions)))
    }

    /// Begins to look at the body behind this head; `None` where it has to be read at once, since it is compressed.
    pub(super) fn begin<'a>(&'a self, head: Head<'a>) -> Option<Looking<'a>> {
        let Questions { verifier, envelope } = &*self.0;
        let fields = if envelope.reads_body() { Some(envelope.piecewise(head.headers)?) } else { None };
        Some(Looking { envelope, signature: verifier.hashing(head).transpose(), fields, hash: Sha256::new() })
    }
}

// === impl Looking ===

impl Looking<'_> {
    /// Looks at the next piece.
    pub(super) fn take(&mut self, piece: &[u8]) {
        if let Some(Ok(hashing)) = &mut self.signature {
            hashing.take(piece);
        }
        if let Some(fields) = &mut self.fields {
            fields.take(piece);
        }
        self.hash.update(piece);
    }

    /// The body is whole.
    pub(super) fn finish(self) -> Digested {
        let fields = self.fields.map_or(Ok([None, None, None]), Piecewise::finish);
        Digested {
            sha256: self.hash.finalize().into(),
            signature: self.signature.map(|hashing| hashing.map(Hashing::finish)),
            fields: self.envelope.found(fields),
        }
    }
}
