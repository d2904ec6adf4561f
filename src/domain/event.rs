//! One verified webhook, kept byte for byte.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;

use super::{EventId, HeaderBlock, Seq, Timestamp};

/// What a source received and the guards let through, before the store has given it an id.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// The source's name.
    pub source: Arc<str>,
    /// The sender's own id, at most [`SOURCE_EVENT_ID_BYTES_MAX`] bytes.
    pub source_event_id: Option<Box<str>>,
    /// What happened, such as `payment.failed`, at most [`EVENT_TYPE_BYTES_MAX`] bytes.
    pub event_type: Option<Box<str>>,
    /// The tenant that it belongs to; `default` for everything that comes in through a source.
    pub project: Arc<str>,
    /// When the last byte of the request was here.
    pub received_at: Timestamp,
    /// The request's method.
    pub method: Method,
    /// The request's query without the `?`, as it was sent.
    pub query: Option<Box<str>>,
    /// The end-to-end headers as sent: no hop-by-hop fields, no `Host`, no `Content-Length`, none of a sender's own `Hookward-*`.
    pub headers: HeaderBlock,
    /// The body's bytes as sent, content encoding included.
    pub body: Bytes,
    /// The time that the sender signed, where its scheme signs one: tells how old the signature is on a late attempt.
    pub signed_at: Option<Timestamp>,
    /// Which of the source's secrets verified it, counted from 0: a late retry is signed anew with this one.
    pub secret_index: Option<u8>,
}

/// An event that the store holds.
#[derive(Clone, Debug)]
pub struct Event {
    /// Ours.
    pub id: EventId,
    /// Its place in time; `id` carries it too.
    pub seq: Seq,
    /// What was received.
    pub received: NewEvent,
}

/// The longest `source_event_id` that is taken.
pub const SOURCE_EVENT_ID_BYTES_MAX: usize = 255;

/// The longest event type that is taken.
pub const EVENT_TYPE_BYTES_MAX: usize = 255;

/// The project of everything that comes in through a source.
pub const DEFAULT_PROJECT: &str = "default";
