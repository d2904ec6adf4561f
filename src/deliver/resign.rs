//! The hook that renews a sender's signature; what knows the schemes implements it.

use http::HeaderMap;

use super::SignatureMode;
use crate::domain::{Event, Timestamp};

/// Renews the sender's signature on a late attempt.
pub trait Resign: Send + Sync + 'static {
    /// Called with the headers as they are about to go out, for every attempt whose destination says
    /// [`SignatureMode::Auto`] or [`SignatureMode::Refresh`], never for [`SignatureMode::Keep`].
    ///
    /// With `Auto` it leaves the headers alone while the sender's tolerance still accepts them at `now` (the
    /// wall clock). Otherwise it puts a new timestamp and signature in their place, made with the secret that
    /// verified the event, and keeps the old ones as `Hookward-Original-<header>`. Where the scheme has no
    /// timestamp, or nothing is known of the source any more, it does nothing.
    fn resign(&self, event: &Event, mode: SignatureMode, now: Timestamp, headers: &mut HeaderMap);
}

/// Leaves every signature as it came.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeepSignatures;

impl Resign for KeepSignatures {
    fn resign(&self, _event: &Event, _mode: SignatureMode, _now: Timestamp, _headers: &mut HeaderMap) {}
}
