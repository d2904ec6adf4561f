//! The body of an answer, whose end is the end of its request: one that streams is under way until its last byte.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::service::Shared;

/// In the extensions of an answer that streams without an end: `request_timeout` does not count for it.
#[derive(Clone, Copy, Debug)]
pub struct Endless;

pin_project! {
    /// Tells the connection when the body has ended, or was dropped.
    pub(super) struct Ending<B> {
        #[pin]
        body: B,
        served: Option<Served>,
    }
}

/// A request that is being answered.
struct Served {
    number: u64,
    shared: Arc<Shared>,
}

// === impl Ending ===

impl<B: Body> Ending<B> {
    /// The body of the answer to the request with this number.
    pub(super) fn new(body: B, number: u64, shared: Arc<Shared>) -> Self {
        let served = Served { number, shared };
        Self { served: (!body.is_end_stream()).then_some(served), body }
    }
}

impl<B: Body> Body for Ending<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.body.as_mut().poll_frame(context));
        if !matches!(frame, Some(Ok(_))) || this.body.is_end_stream() {
            *this.served = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

// === impl Served ===

impl Drop for Served {
    fn drop(&mut self) {
        self.shared.progress.request_ends(self.number);
    }
}
