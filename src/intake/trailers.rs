//! Trailers of a request (RFC 9110 section 6.5) on their way to the app: behind the body, where the app speaks HTTP/2.
//!
//! - No guard has seen them and no signature covers them. Those that an app could take for something that was proven, and those
//!   that say who asks, what for, or how to read the message (section 6.5.1), are left out; the others stay trailers.
//! - Over HTTP/1.1 a body goes on with its length, which leaves no place for trailers: they are dropped (RFC 9112 section 7.1.2).

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use http_body::{Body, Frame};

use super::headers::{is_protected, named_by_connection};
use crate::domain::headers::is_trailer;
use crate::domain::{Rejection, RequestBody, RequestPieces, RequestStream};

/// A body with what follows it.
struct Trailed {
    body: Pieces,
    /// What may go on of the trailers that have come.
    trailers: HeaderMap,
    are_told: bool,
    /// Names that mean something for the event, or for one connection only.
    left_out: Vec<HeaderName>,
}

enum Pieces {
    /// In memory, and how much of it is out.
    Whole {
        bytes: Bytes,
        is_out: bool,
    },
    Streamed(RequestStream),
}

/// The body with the trailers that may go on: those that `came` with it, and those that come with its pieces. The fields
/// in `needed` are read by guards.
pub(super) fn attach(
    body: RequestBody,
    came: Option<HeaderMap>,
    headers: &HeaderMap,
    needed: &[HeaderName],
) -> RequestBody {
    let bytes = body.bytes();
    let body = match (body, &came) {
        // Nearly all.
        (RequestBody::Whole(bytes), None) => return RequestBody::Whole(bytes),
        (RequestBody::Whole(bytes), Some(_)) => Pieces::Whole { bytes, is_out: false },
        (RequestBody::Streamed { pieces, .. }, _) => Pieces::Streamed(pieces),
    };
    let mut left_out = named_by_connection(headers);
    left_out.extend_from_slice(needed);
    let trailers = may_go_on(&came.unwrap_or_default(), &left_out);
    RequestBody::Streamed { bytes, pieces: Box::pin(Trailed { body, trailers, are_told: false, left_out }) }
}

fn may_go_on(came: &HeaderMap, left_out: &[HeaderName]) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    for (name, value) in came {
        if is_trailer(name.as_str()) && !is_protected(name) && !is_asked_for(name) && !left_out.contains(name) {
            trailers.append(name, value.clone());
        }
    }
    trailers
}

/// Fields that say what is wanted of the app, and under which conditions (RFC 9110 sections 13 and 14).
fn is_asked_for(name: &HeaderName) -> bool {
    matches!(name.as_str(), "pragma" | "range") || name.as_str().starts_with("if-")
}

// === impl Trailed ===

impl Body for Trailed {
    type Data = Bytes;
    type Error = Rejection;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Rejection>>> {
        let this = &mut *self;
        match ready!(this.body.poll(context)) {
            Some(Ok(frame)) => match frame.into_trailers() {
                Ok(came) => this.trailers = may_go_on(&came, &this.left_out),
                Err(data) => return Poll::Ready(Some(Ok(data))),
            },
            Some(Err(rejection)) => return Poll::Ready(Some(Err(rejection))),
            None => {}
        }
        let are_told = std::mem::replace(&mut this.are_told, true);
        let trailers = (!are_told && !this.trailers.is_empty()).then(|| this.trailers.clone());
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        (self.are_told || self.trailers.is_empty()) && self.body.has_ended()
    }
}

impl RequestPieces for Trailed {
    fn begin_again(mut self: Pin<&mut Self>) -> bool {
        self.are_told = false;
        match &mut self.body {
            Pieces::Whole { is_out, .. } => {
                *is_out = false;
                true
            }
            Pieces::Streamed(pieces) => pieces.as_mut().begin_again(),
        }
    }
}

// === impl Pieces ===

impl Pieces {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Rejection>>> {
        match self {
            Self::Whole { bytes, is_out } => {
                let data = (!std::mem::replace(is_out, true) && !bytes.is_empty()).then(|| bytes.clone());
                Poll::Ready(data.map(|data| Ok(Frame::data(data))))
            }
            Self::Streamed(pieces) => pieces.as_mut().poll_frame(context),
        }
    }

    fn has_ended(&self) -> bool {
        match self {
            Self::Whole { bytes, is_out } => *is_out || bytes.is_empty(),
            Self::Streamed(pieces) => pieces.is_end_stream(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn fields(names: &[&'static str]) -> HeaderMap {
        names.iter().map(|name| (HeaderName::from_static(name), HeaderValue::from_static("1"))).collect()
    }

    #[test]
    fn what_could_be_taken_for_something_else_does_not_go_on() {
        let came = fields(&[
            "x-sum",
            "grpc-status",
            "authorization",
            "cookie",
            "host",
            "content-length",
            "content-type",
            "transfer-encoding",
            "te",
            "trailer",
            "via",
            "forwarded",
            "x-forwarded-for",
            "x-real-ip",
            "hookward-event-id",
            "if-match",
            "range",
            "max-forwards",
            "x-signature",
            "x-hop",
        ]);
        let left_out = [HeaderName::from_static("x-signature"), HeaderName::from_static("x-hop")];
        assert_eq!(may_go_on(&came, &left_out), fields(&["x-sum", "grpc-status"]));
    }

    #[test]
    fn a_body_in_memory_without_trailers_stays_as_it_is() {
        let body = attach(RequestBody::Whole(Bytes::from_static(b"x")), None, &HeaderMap::new(), &[]);
        assert!(matches!(body, RequestBody::Whole(bytes) if bytes == "x"));
    }
}
