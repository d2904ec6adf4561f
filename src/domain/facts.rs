//! What is known about a request so far; each stage adds what it found.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;

use super::interim::ToSender;
use super::{Digested, Reason, RejectionId, Timestamp};

/// Travels in the request's extensions, inserted once (by the ingress, or by the first guard in an app of
/// its own) and filled in on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The client's address, found through trusted proxies only; v4-mapped v6 already turned into v4.
    pub client: Option<IpAddr>,
    /// How the request came to us; `None` in an app of its own, where nobody knows.
    pub hop: Option<Hop>,
    /// How interim answers (1xx) get to the sender.
    pub interim: ToSender,
    /// Which of the source's secrets verified the request, counted from 0.
    pub secret_index: Option<u8>,
    /// The time that the sender signed, where the scheme has one.
    pub signed_at: Option<Timestamp>,
    /// The sender's own event id, from the signed part where it has one.
    pub source_event_id: Option<Box<str>>,
    /// Whether the proof of the request covers that id: where it does not, the body's hash is part of what
    /// tells a copy.
    pub source_event_id_signed: bool,
    /// What happened.
    pub event_type: Option<Box<str>>,
    /// What tells a copy from a new event: keyed hash of source and whatever the source deduplicates by.
    pub dedup_key: Option<[u8; 16]>,
    /// What was found in a body that is not in memory: guards ask this instead of its bytes, which they do not see.
    pub digested: Option<Arc<Digested>>,
    /// What came behind the body, where that is in memory or in a file. No guard asks for it.
    pub trailers: Option<Box<HeaderMap>>,
    /// What guards would have refused it for, each reason once, where they only report (`enforce: report`).
    pub reported: Vec<(RejectionId, Reason)>,
}

/// The last step of a request on its way to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The other end of the connection: the client, or the proxy that is nearest to us.
    pub peer: IpAddr,
    /// Whether it is one of the proxies that the configuration trusts.
    pub is_trusted: bool,
    /// Whether the connection is encrypted.
    pub is_https: bool,
    /// When the first byte of the request was here.
    pub began: Instant,
}
