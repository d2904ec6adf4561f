//! The hook that renews a sender's signature; what knows the schemes implements it.

use http::{HeaderName, HeaderValue};

use super::SignatureMode;
use crate::domain::{Clock, Event};

/// Renews the sender's signature on a late attempt.
pub trait Resign: Send + Sync + 'static {
    /// The fields that take the place of the sender's own, whose values go out as `Hookward-Original-<name>`
    /// then; none where the sender's signature goes out as it came. Called for every attempt whose destination
    /// says [`SignatureMode::Auto`] or [`SignatureMode::Refresh`], never for [`SignatureMode::Keep`].
    ///
    /// With `Auto` there are none while the sender's tolerance still accepts its own at what the clock's wall
    /// shows. Otherwise they are a new timestamp and signature, made with the secret that verified the event.
    /// Where the scheme has no timestamp, or nothing is known of the source any more, there are none.
    fn resign(&self, event: &Event, mode: SignatureMode, clock: &Clock) -> Vec<(HeaderName, HeaderValue)>;
}

/// Leaves every signature as it came.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeepSignatures;

impl Resign for KeepSignatures {
    fn resign(&self, _event: &Event, _mode: SignatureMode, _clock: &Clock) -> Vec<(HeaderName, HeaderValue)> {
        Vec::new()
    }
}
