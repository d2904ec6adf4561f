//! Stage 5: one attempt is one request is one outcome.

pub mod endpoint;
pub mod resign;
pub mod signing;

pub use endpoint::{Endpoint, EndpointUrl, EndpointUrlError, HeaderEdits, SignatureMode};
pub use resign::{KeepSignatures, Resign};
pub use signing::{SigningKey, SigningKeyError};
