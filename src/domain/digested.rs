//! What the guards want to know of a body that is not in memory: computed while it came.

use super::{Rejection, Timestamp};

/// What was found in a body while it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digested {
    /// The SHA-256 of all its bytes.
    pub sha256: [u8; 32],
    /// Who signed it; `None` where the proof does not cover the body.
    pub signature: Option<Result<Verified, Rejection>>,
    /// Id, type and the type's detail, where they stand in the body.
    pub fields: Result<[Option<Scalar>; 3], Rejection>,
}

/// What came of comparing signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The secret that made one of them, counted from 0; `None`: none of them did.
    pub secret: Option<usize>,
    /// The time that was signed, where one is.
    pub signed_at: Option<Timestamp>,
}

/// A value of a JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// A string, unescaped.
    Text(Box<str>),
    /// A number without fraction and exponent, as it is written.
    Integer(Box<str>),
    /// `null`.
    Null,
    /// Something else: a truth value, another number, a container, or a string with a lone surrogate.
    Other,
}
