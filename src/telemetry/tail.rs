//! What happens, told to those who look on: where nobody does it costs one load of a counter.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{broadcast, watch};

use crate::domain::{DeliveryId, EventId, OutcomeClass, Reason, RejectionId};

/// Something that happened; no more of it than was at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// An event was kept or emitted, or was a copy of this one.
    Event {
        /// Ours.
        id: EventId,
        /// Whether it was held already.
        duplicate: bool,
    },
    /// A request was refused, or would have been.
    Rejection {
        /// Ours.
        id: RejectionId,
        /// Whose path it was.
        source: Option<Arc<str>>,
        /// Why.
        reason: Reason,
    },
    /// An attempt of a delivery has ended.
    Attempt(Box<AttemptMade>),
}

/// An attempt that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptMade {
    /// Of this delivery.
    pub delivery: DeliveryId,
    /// Of this event.
    pub event: EventId,
    /// To whom the event belongs.
    pub project: Arc<str>,
    /// Where it came from.
    pub source: Arc<str>,
    /// What happened.
    pub event_type: Option<Box<str>>,
    /// To this destination or webhook.
    pub destination: Arc<str>,
    /// From 1.
    pub number: u16,
    /// How it is classed.
    pub outcome: OutcomeClass,
    /// The answer's status, where there was an answer.
    pub response_code: Option<u16>,
    /// How long it took.
    pub duration: Duration,
}

/// Tells what happens.
#[derive(Debug)]
pub struct Tail {
    listeners: AtomicUsize,
    sender: broadcast::Sender<Arc<Happening>>,
    over: watch::Sender<bool>,
}

/// Somebody who looks on.
#[derive(Debug)]
pub struct Listener {
    tail: Arc<Tail>,
    receiver: broadcast::Receiver<Arc<Happening>>,
    over: watch::Receiver<bool>,
}

/// What a listener hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// This happened.
    Happening(Arc<Happening>),
    /// It was too slow for so many.
    Missed(u64),
    /// Nothing more will come.
    Over,
}

/// So many may look on at once.
pub const LISTENERS_MAX: usize = 32;

/// So much is held for a listener that is slow.
const HELD_MAX: usize = 1024;

// === impl Tail ===

impl Default for Tail {
    fn default() -> Self {
        let (sender, over) = (broadcast::Sender::new(HELD_MAX), watch::Sender::new(false));
        Self { listeners: AtomicUsize::new(0), sender, over }
    }
}

impl Tail {
    /// Tells something, made only where somebody listens.
    #[inline]
    pub fn tell(&self, happening: impl FnOnce() -> Happening) {
        if self.listeners.load(Ordering::Relaxed) > 0 {
            // Whoever listened may be gone by now.
            drop(self.sender.send(Arc::new(happening())));
        }
    }

    /// Looks on from now; `None` where [`LISTENERS_MAX`] do.
    #[must_use]
    pub fn listen(self: &Arc<Self>) -> Option<Listener> {
        let one_more = |listeners| (listeners < LISTENERS_MAX).then_some(listeners + 1);
        self.listeners.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Listener { tail: Arc::clone(self), receiver: self.sender.subscribe(), over: self.over.subscribe() })
    }

    /// Nothing more happens: listeners hear that.
    pub fn end(&self) {
        self.over.send_replace(true);
    }
}

// === impl Listener ===

impl Listener {
    /// Waits for the next thing that happens.
    pub async fn next(&mut self) -> Heard {
        tokio::select! {
            biased;
            heard = self.receiver.recv() => match heard {
                Ok(happening) => Heard::Happening(happening),
                Err(broadcast::error::RecvError::Lagged(missed)) => Heard::Missed(missed),
                Err(broadcast::error::RecvError::Closed) => Heard::Over,
            },
            // The sender lives as long as we do.
            _ = self.over.wait_for(|over| *over) => Heard::Over,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.tail.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{IdMint, Seq};

    fn event(number: u64) -> Happening {
        Happening::Event { id: IdMint::new([7; 16]).event(Seq(number)), duplicate: false }
    }

    #[tokio::test]
    async fn who_listens_hears_it_and_where_nobody_does_nothing_is_made() {
        let tail = Arc::new(Tail::default());
        tail.tell(|| panic!("nobody listens"));
        let mut listener = tail.listen().unwrap();
        tail.tell(|| event(1));
        assert_eq!(listener.next().await, Heard::Happening(Arc::new(event(1))));
        drop(listener);
        tail.tell(|| panic!("nobody listens any more"));
    }

    #[tokio::test]
    async fn a_slow_listener_hears_how_much_it_missed_and_everybody_that_it_is_over() {
        let tail = Arc::new(Tail::default());
        let mut listener = tail.listen().unwrap();
        for number in 0..HELD_MAX as u64 + 10 {
            tail.tell(|| event(number));
        }
        assert_eq!(listener.next().await, Heard::Missed(10));
        for number in 10..HELD_MAX as u64 + 10 {
            assert_eq!(listener.next().await, Heard::Happening(Arc::new(event(number))));
        }
        tail.end();
        assert_eq!(listener.next().await, Heard::Over);
        assert_eq!(tail.listen().unwrap().next().await, Heard::Over, "who comes later, too");
    }

    #[test]
    fn listeners_are_bounded_and_their_places_come_back() {
        let tail = Arc::new(Tail::default());
        let listeners: Vec<_> = (0..LISTENERS_MAX).map(|_| tail.listen().unwrap()).collect();
        assert!(tail.listen().is_none());
        drop(listeners);
        assert!(tail.listen().is_some());
    }
}
