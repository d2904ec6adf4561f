//! A worker: makes one attempt after the other over its own warm connection.
//!
//! After an attempt it claims its next delivery itself; only when there is none it sits down and is called
//! by the pump. While it sits it watches its connection, so that one that the other side closes is gone
//! before the next request is written to it.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use super::Attempts;
use super::lane::Lane;
use super::seat::{Call, Seat};
use crate::store::{Claim, Store};

pub(super) struct Worker<S: Store, A: Attempts> {
    lane: Arc<Lane<S, A>>,
    seat: Arc<Seat>,
    connection: Option<A::Connection>,
    /// Has a seat of the gate.
    busy: bool,
}

// === impl Worker ===

impl<S: Store, A: Attempts> Worker<S, A> {
    /// A worker for whom a seat was entered.
    pub(super) fn new(lane: Arc<Lane<S, A>>) -> Self {
        Self { lane, seat: Arc::default(), connection: None, busy: true }
    }

    pub(super) async fn run(mut self, first: Claim) {
        let mut next = Some(first);
        while let Some(claim) = next.take() {
            let goes_on = self.lane.deliver(&mut self.connection, &claim).await;
            // Whoever waits must not keep an event in memory.
            drop(claim);
            if goes_on {
                next = self.lane.claim_next().await;
            }
            if next.is_none() {
                self.busy = false;
                if !self.lane.sit_down(&self.seat) {
                    return;
                }
                match self.called().await {
                    Call::Deliver(claim) => next = Some(*claim),
                    Call::Retire => return,
                }
                self.busy = true;
            }
        }
    }

    async fn called(&mut self) -> Call {
        let Self { lane, seat, connection, .. } = self;
        if let Some(open) = connection {
            let call = {
                let mut closed = pin!(lane.closed(open));
                poll_fn(|context| {
                    if let Poll::Ready(call) = seat.poll_called(context) {
                        return Poll::Ready(Some(call));
                    }
                    closed.as_mut().poll(context).map(|()| None)
                })
                .await
            };
            if let Some(call) = call {
                return call;
            }
            *connection = None;
        }
        poll_fn(|context| seat.poll_called(context)).await
    }
}

impl<S: Store, A: Attempts> Drop for Worker<S, A> {
    fn drop(&mut self) {
        if self.busy {
            self.lane.broke();
        }
    }
}
