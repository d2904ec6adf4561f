//! Answers that are written past hyper: where no request exists that a service could answer.
//!
//! A head that is late, malformed or too large gets the same problem+json as everything else that is refused;
//! hyper's own bare answers are replaced on their way to the socket.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{CONNECTION, DATE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, Version};

use super::line::Asked;
use super::service::Arrival;
use crate::domain::{Clock, Reason, Refused, Rejection};

/// Told of every request that the ingress refuses by itself, before a service sees it or instead of a service that
/// had its time; answers with the rejection's id.
#[derive(Clone)]
pub struct Ledger(Arc<Keep>);

type Keep = dyn Fn(TurnedAway) -> Option<HeaderValue> + Send + Sync;

/// A request that the ingress refused by itself.
#[derive(Clone, Debug)]
pub struct TurnedAway {
    /// What was refused and why. The method is `-` and the target `*` where the head could not be read, and the
    /// target may be cut where it was too long.
    pub refused: Refused,
    /// Over which protocol; `None` where the head could not be read.
    pub version: Option<Version>,
    /// From where, and since when.
    pub arrival: Arrival,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
}

/// The header that carries the rejection's id to the sender.
const REJECTION_ID: HeaderName = HeaderName::from_static("hookward-rejection-id");

// === impl Ledger ===

impl Ledger {
    /// Calls `keep` for each refusal; it must not block.
    pub fn new(keep: impl Fn(TurnedAway) -> Option<HeaderValue> + Send + Sync + 'static) -> Self {
        Self(Arc::new(keep))
    }

    /// Keeps the refusal and makes its answer.
    pub(super) fn refuse(&self, refused: Refused, version: Option<Version>, arrival: Arrival) -> Response<Bytes> {
        let mut response: Response<Bytes> = refused.rejection.to_response();
        let bytes_out = response.body().len() as u64;
        if let Some(id) = (self.0)(TurnedAway { refused, version, arrival, bytes_out }) {
            response.headers_mut().insert(REJECTION_ID, id);
        }
        response
    }

    /// The same for a request of which there is no more than its request line.
    pub(super) fn refuse_head(
        &self,
        rejection: Rejection,
        asked: Asked,
        client: IpAddr,
        arrival: Arrival,
    ) -> Response<Bytes> {
        let Asked { method, uri, version } = asked;
        let (headers, body) = (HeaderMap::new(), Bytes::new());
        self.refuse(Refused { rejection, method, uri, headers, body, client: Some(client) }, version, arrival)
    }
}

impl Default for Ledger {
    /// Keeps nothing.
    fn default() -> Self {
        Self::new(|_| None)
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ledger")
    }
}

/// The reason behind an answer of hyper's own, which has a status and nothing else.
pub(super) fn reason_of_bare_answer(bytes: &[u8]) -> Option<Reason> {
    let rest = bytes.strip_prefix(b"HTTP/1.1 4")?;
    let line_end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    let (line, fields) = rest.split_at(line_end);
    if !fields.starts_with(b"\r\nconnection: close\r\ncontent-length: 0\r\ndate: ") {
        return None;
    }
    match line.get(..2)? {
        b"00" => Some(Reason::MalformedRequest),
        b"14" => Some(Reason::UriTooLong),
        b"31" => Some(Reason::HeadersTooLarge),
        _ => None,
    }
}

/// An answer that ends its connection, as bytes for the socket.
pub(super) fn serialise(response: Response<Bytes>) -> Vec<u8> {
    let (mut head, body) = response.into_parts();
    head.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    let now = UNIX_EPOCH + Duration::from_millis(Clock::machine().wall().0);
    if let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(now)) {
        head.headers.insert(DATE, date);
    }
    let reason = head.status.canonical_reason().unwrap_or_default();
    let mut bytes =
        format!("HTTP/1.1 {} {reason}\r\ncontent-length: {}\r\n", head.status.as_u16(), body.len()).into_bytes();
    for (name, value) in &head.headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&body);
    bytes
}
