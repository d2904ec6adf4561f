//! Handshakes: what a provider asks before it sends events, or between them, answered as it wants and kept nowhere.
//!
//! A [`Handshake`] is data of its scheme: when a request is one, and what the answer is. Where a handshake is asked
//! for depends on what must be known:
//!
//! - by the head alone (Meta's `hub.challenge`, Dropbox's, CloudEvents' `OPTIONS`): before anything is asked of the
//!   body, whose content type is not that of events; other methods than those of events end here with 405
//! - by the body, unsigned (Event Grid's validation): the absent signature waits for the body then
//! - by the body, signed (Slack, Zoom, Discord, Twitch): behind the signature, which must be right
//!
//! What is echoed is bounded, and plain text that no browser takes for a page.
//!
//! - [`kinds`]: what a handshake is made of
//! - [`known`]: those that providers have
//! - [`question`]: the guards

pub mod kinds;
pub mod known;
pub mod question;

pub use kinds::{Answer, Asked, Handshake, Shape, When};
pub use question::{HandshakeHead, HandshakeSigned, HandshakeUnsigned, Handshaken, Handshakes, Lenient};
