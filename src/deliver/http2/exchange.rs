//! One request over an HTTP/2 connection, until the head of its answer is there.

use std::fmt::Display;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONTENT_LENGTH, TRAILER};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, uri};
use tokio::time::{Instant, Sleep, sleep_until};

use super::answer::Streaming;
use super::sending::Sent;
use super::session::{Place, Slot};
use crate::deliver::EndpointUrl;
use crate::deliver::http1::{Fault, INTERIM_ANSWERS_MAX};
use crate::deliver::upstream::Onward;
use crate::domain::interim::OnInterim;
use crate::domain::{AnswerBody, AppError, Rejection, RequestBody, RequestStream};

/// Whom requests are for: the part of their URI that all have in common.
#[derive(Debug)]
pub(in crate::deliver) struct Destined {
    scheme: Scheme,
    authority: Option<Authority>,
}

/// A request that is on its way, and its place on the connection.
pub(super) struct Exchange {
    pub(super) place: Place,
    /// None where the body was in memory.
    sending: Option<Sending>,
    timer: Pin<Box<Sleep>>,
}

/// A body that goes out piece by piece, as far as the app's windows let it.
struct Sending {
    stream: SendStream<Bytes>,
    piece: Bytes,
    pieces: RequestStream,
    bytes: u64,
    /// Of these so many have not come yet.
    left: u64,
    /// Whether one has been asked for.
    begun: bool,
    /// Whether all of it is out, or nothing more is wanted of it.
    ended: bool,
}

/// Why there is no answer.
enum Unanswered {
    /// The app has said that it did nothing with the request.
    Unprocessed,
    /// It may have.
    Failed(AppError),
}

// === impl Destined ===

impl Destined {
    /// For this URL.
    pub(in crate::deliver) fn to(url: &EndpointUrl) -> Self {
        let scheme = if url.is_https() { Scheme::HTTPS } else { Scheme::HTTP };
        Self { scheme, authority: Authority::try_from(url.host_header().as_bytes()).ok() }
    }

    /// Sends a request and waits for the head of its answer; a small answer is whole then. The request as it was where
    /// the app has done nothing with it.
    pub(in crate::deliver) async fn pass<'a>(
        &self,
        slot: Slot,
        onward: Onward<'a>,
        deadline: Instant,
    ) -> Result<Result<Response<AnswerBody>, AppError>, Onward<'a>> {
        let Some(request) = self.request(&onward) else {
            return Ok(Err(AppError::Unreachable("the request's target cannot be written".into())));
        };
        // What is in memory as a whole can go out again.
        let whole = match &onward.body {
            RequestBody::Whole(bytes) => Some(bytes.clone()),
            RequestBody::Streamed { .. } => None,
        };
        let (place, sent) = slot.send(request, whole.clone()).await;
        let Some(Sent { response, stream }) = sent else { return Err(onward) };
        let is_head = *onward.method == Method::HEAD;
        let mut exchange = Exchange { place, sending: None, timer: Box::pin(sleep_until(deadline)) };
        let Onward { method, path, query, headers, body, interim } = onward;
        exchange.start(stream, body);
        match exchange.head(response, interim).await {
            Ok(head) => Ok(answer(exchange, head, is_head).await),
            Err(Unanswered::Failed(error)) => Ok(Err(error)),
            Err(Unanswered::Unprocessed) => {
                exchange.place.doubt();
                match whole.map(RequestBody::Whole).or_else(|| exchange.give_back()) {
                    Some(body) => Err(Onward { method, path, query, headers, body, interim }),
                    None => Ok(Err(AppError::Unreachable("the app did not take the request".into()))),
                }
            }
        }
    }

    /// The head of a request (RFC 9113 section 8.3.1).
    fn request(&self, onward: &Onward<'_>) -> Option<Request<()>> {
        let target = match onward.query {
            Some(query) => PathAndQuery::from_maybe_shared(Bytes::from(format!("{}?{query}", onward.path))).ok()?,
            None => PathAndQuery::try_from(onward.path).ok()?,
        };
        let mut parts = uri::Parts::default();
        (parts.scheme, parts.authority) = (Some(self.scheme.clone()), self.authority.clone());
        parts.path_and_query = Some(target);
        let mut request = Request::new(());
        *request.method_mut() = onward.method.clone();
        *request.uri_mut() = Uri::from_parts(parts).ok()?;
        *request.version_mut() = Version::HTTP_2;
        let headers = request.headers_mut();
        for (name, value) in onward.headers.iter() {
            // Section 8.2.2: it names what is for one connection of HTTP/1.1 only.
            if name != "connection"
                && let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(value))
            {
                headers.append(name, value);
            }
        }
        let bytes = onward.body.bytes();
        if bytes > 0 || !matches!(*onward.method, Method::GET | Method::HEAD) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
        }
        Some(request)
    }
}

// === impl Exchange ===

impl Exchange {
    /// A body that is not out with the head follows.
    fn start(&mut self, stream: SendStream<Bytes>, body: RequestBody) {
        if let RequestBody::Streamed { bytes, pieces } = body {
            let piece = Bytes::new();
            self.sending = Some(Sending { stream, piece, pieces, bytes, left: bytes, begun: false, ended: false });
        }
    }

    async fn head(
        &mut self,
        mut response: ResponseFuture,
        interim: Option<OnInterim<'_>>,
    ) -> Result<Response<RecvStream>, Unanswered> {
        let mut came = 0;
        let mut pass_on = |answer: Response<()>| {
            came += 1;
            let (parts, ()) = answer.into_parts();
            match interim {
                // RFC 9113 section 8.6.
                _ if parts.status == StatusCode::SWITCHING_PROTOCOLS => return Err(Fault::Upgrade),
                _ if came > INTERIM_ANSWERS_MAX => return Err(Fault::Interim),
                Some(interim) => interim(parts.status, parts.headers),
                None => {}
            }
            Ok(())
        };
        poll_fn(|context| self.poll_head(&mut response, &mut pass_on, context)).await
    }

    fn poll_head(
        &mut self,
        response: &mut ResponseFuture,
        interim: &mut impl FnMut(Response<()>) -> Result<(), Fault>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Response<RecvStream>, Unanswered>> {
        if let Err(rejection) = self.send(context) {
            return Poll::Ready(Err(Unanswered::Failed(rejection.into())));
        }
        while let Poll::Ready(Some(answer)) = response.poll_informational(context) {
            match answer.map(&mut *interim) {
                Ok(Ok(())) => {}
                Ok(Err(fault)) => return Poll::Ready(Err(Unanswered::Failed(broken(&fault)))),
                Err(error) => return Poll::Ready(Err(Unanswered::from(&error))),
            }
        }
        match Pin::new(response).poll(context) {
            Poll::Ready(Ok(response)) => Poll::Ready(Ok(response)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(Unanswered::from(&error))),
            Poll::Pending => match self.poll_too_late(context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(()) => {
                    let what = if self.is_sent() { "no answer came" } else { "the request was not taken" };
                    Poll::Ready(Err(Unanswered::Failed(AppError::TooSlow(format!("timed out: {what}").into()))))
                }
            },
        }
    }

    /// The body as it was, where that can be had again.
    fn give_back(self) -> Option<RequestBody> {
        let Sending { mut pieces, bytes, begun, .. } = self.sending?;
        (!begun || pieces.as_mut().begin_again()).then_some(RequestBody::Streamed { bytes, pieces })
    }

    /// Sends what there is of the body, as far as the app takes it. It ends without an error where the app wants no
    /// more: the answer says why.
    pub(super) fn send(&mut self, context: &mut Context<'_>) -> Result<(), Rejection> {
        let Some(sending) = self.sending.as_mut().filter(|sending| !sending.ended) else { return Ok(()) };
        let Poll::Ready(sent) = sending.poll_sent(context) else { return Ok(()) };
        sending.ended = true;
        if sent.is_err() {
            sending.stream.send_reset(Reason::CANCEL);
        }
        sent
    }

    fn is_sent(&self) -> bool {
        self.sending.as_ref().is_none_or(|sending| sending.ended)
    }

    /// Whether its time is over. The connection is in doubt then.
    pub(super) fn poll_too_late(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let passed = self.timer.as_mut().poll(context);
        if passed.is_ready() {
            self.place.doubt();
        }
        passed
    }
}

// === impl Sending ===

impl Sending {
    /// Until all is sent, or the app wants no more.
    fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        loop {
            if self.piece.is_empty() {
                self.begun = true;
                match self.pieces.as_mut().poll_frame(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Some(Err(rejection))) => return Poll::Ready(Err(rejection)),
                    Poll::Ready(Some(Ok(frame))) => match frame.into_trailers() {
                        Ok(trailers) => {
                            // Where it fails the answer says why.
                            drop(self.stream.send_trailers(trailers));
                            return Poll::Ready(Ok(()));
                        }
                        Err(frame) => self.piece = frame.into_data().unwrap_or_default(),
                    },
                    Poll::Ready(None) => {
                        // Where less came than was said the app sees that it is not whole.
                        drop(self.stream.send_data(Bytes::new(), true));
                        return Poll::Ready(Ok(()));
                    }
                }
                continue;
            }
            self.stream.reserve_capacity(self.piece.len());
            let capacity = match self.stream.capacity() {
                0 => match self.stream.poll_capacity(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Some(Ok(capacity))) => capacity,
                    Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Ok(())),
                },
                capacity => capacity,
            };
            let part = self.piece.split_to(capacity.min(self.piece.len()));
            self.left = self.left.saturating_sub(part.len() as u64);
            // Its end goes with the last piece, unless trailers may follow.
            let is_last = self.left == 0 && self.piece.is_empty() && self.pieces.is_end_stream();
            if self.stream.send_data(part, is_last).is_err() || is_last {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

// === impl Unanswered ===

impl From<&h2::Error> for Unanswered {
    fn from(error: &h2::Error) -> Self {
        let is_refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
        // h2 gives a GOAWAY to those streams only that come after the last one that it names.
        if error.is_remote() && (is_refused || error.is_go_away()) {
            return Self::Unprocessed;
        }
        Self::Failed(broken(error))
    }
}

/// The answer behind a head.
async fn answer(
    exchange: Exchange,
    head: Response<RecvStream>,
    is_head: bool,
) -> Result<Response<AnswerBody>, AppError> {
    let (parts, body) = head.into_parts();
    let length = if is_head { Some(0) } else { length(&parts.headers) };
    let mut streaming = Streaming::new(exchange, body, length);
    let body = poll_fn(|context| streaming.poll_with_head(context)).await?;
    Ok(Response::from_parts(parts, body))
}

/// The app may have seen the request.
pub(super) fn broken(why: &dyn Display) -> AppError {
    AppError::Broken(format!("the exchange broke: {why}").into())
}

/// What the head says of the body's length, where no trailers follow: h2 has looked whether it is one.
fn length(headers: &HeaderMap) -> Option<u64> {
    if headers.contains_key(TRAILER) {
        return None;
    }
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
