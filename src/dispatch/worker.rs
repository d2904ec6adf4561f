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
use super::room::Place;
use super::seat::{Call, Handed, Seat};
use crate::store::Store;

pub(super) struct Worker<S: Store, A: Attempts> {
    lane: Arc<Lane<S, A>>,
    seat: Arc<Seat>,
    connection: Option<A::Connection>,
    /// Has a seat of the gate.
    busy: bool,
    /// Where places are counted: the one that it has while it is busy.
    place: Option<Place>,
}

// === impl Worker ===

impl<S: Store, A: Attempts> Worker<S, A> {
    /// A worker for whom a seat was entered.
    pub(super) fn new(lane: Arc<Lane<S, A>>) -> Self {
        Self { lane, seat: Arc::default(), connection: None, busy: true, place: None }
    }

    pub(super) async fn run(mut self, first: Handed) {
        self.place = first.place;
        let mut next = Some(first.claim);
        while let Some(claim) = next.take() {
            let goes_on = self.lane.deliver(&mut self.connection, &claim).await;
            // Whoever waits must not keep an event in memory.
            drop(claim);
            if goes_on && self.lane.keeps_place(self.place.as_ref()) {
                next = self.lane.claim_next().await;
            }
            if next.is_none() {
                self.busy = false;
                self.place = None;
                if !self.lane.sit_down(&self.seat) {
                    return;
                }
                match self.called().await {
                    Call::Deliver(handed) => {
                        self.place = handed.place;
                        next = Some(handed.claim);
                    }
                    Call::Retire => return,
                }
                self.busy = true;
            }
        }
    }

    async fn called(&mut self) -> Call {
        let Self { lane, seat, connection, .. } = self;
        let idle = lane.idles();
        if idle.is_none() {
            *connection = None;
        }
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
