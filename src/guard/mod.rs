//! Stage 2: the guards. One file each, and each a pure question: may this request go on?
//!
//! A guard reads the head, the body and the facts that are known so far, and answers yes or with a typed
//! rejection. [`layer`] turns a question into a tower layer, once for all of them, so that each guard works
//! in any axum, tonic or hyper app without the gateway; the gateway uses the same ones. In the order in
//! which a request meets them:
//!
//! 1. [`allow_ips`]: 403 for addresses that are not on the list
//! 2. [`rate_limit`] by ip: 429
//! 3. [`handshake`] by the head: answered here
//! 4. [`declared`]: 413 and 415 by what the head says about the body
//! 5. [`signature`] over the head: 401 where a signature header is absent or malformed, before the body
//! 6. [`body`]: the body, bounded
//! 7. [`handshake`] by an unsigned body: answered here
//! 8. [`signature`]: 401 unless one of the secrets makes one of the signatures
//! 9. [`replay_window`]: 401 for a signed time that is too far from now
//! 10. [`handshake`] by the signed body: answered here
//! 11. [`envelope`]: id and type from the signed body; 400 where they are missing or contradict the headers
//! 12. [`rate_limit`] by source or header: counts verified requests only
//! 13. [`dedup`]: what tells a copy from a new event
//!
//! Invariants: what can be refused before the body is read is refused before it is read; a guard never
//! waits, allocates within a stated bound, and tells the sender nothing but status and code. What comes
//! before a signature is checked is not believed after it.

pub mod allow_ips;
pub mod body;
pub mod declared;
pub mod dedup;
pub mod envelope;
pub mod handshake;
pub mod layer;
pub mod rate_limit;
pub mod replay_window;
pub mod report;
pub mod signature;

pub use allow_ips::{AllowIps, AllowIpsLayer};
pub use body::{BodyBudget, BodyLayer, Buffered, Large, Looks, ReceiveLayer, Received, Spool};
pub use declared::{Declared, DeclaredLayer};
pub use dedup::{Dedup, DedupLayer};
pub use envelope::{Envelope, EnvelopeLayer};
pub use handshake::{HandshakeHead, HandshakeSigned, HandshakeUnsigned};
pub use layer::{Guard, GuardLayer, Guarded, Head, Own, Tell};
pub use rate_limit::{RateLimit, RateLimitLayer};
pub use replay_window::{ReplayWindow, ReplayWindowLayer};
pub use report::Reporter;
pub use signature::{Signature, SignatureHead, SignatureHeadLayer, SignatureLayer};
