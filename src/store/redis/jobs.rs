//! What somebody waits for: admissions, claims of marks, claims of deliveries.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::key::{Key, seq_text, time};
use super::script::Call;
use crate::domain::{Event, Seq, Timestamp, Turn};
use crate::store::{AdmitError, DedupMark, MarkClaimed};

/// An event that is to be kept.
pub(super) struct AdmitJob {
    pub(super) seq: Seq,
    pub(super) mark: Option<DedupMark>,
    pub(super) head: Vec<u8>,
    /// By what the sender's id is found; empty where there is none.
    pub(super) lookup: String,
    pub(super) event: Arc<Event>,
    pub(super) planned: Vec<Planned>,
    pub(super) since: Instant,
    /// Sent before, and the answer was lost.
    pub(super) is_repeated: bool,
    pub(super) waiter: oneshot::Sender<Verdict>,
}

/// A delivery of an event that is to be kept.
pub(super) struct Planned {
    pub(super) target: Arc<str>,
    pub(super) plan: Vec<u8>,
    pub(super) due_at: Timestamp,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) queue_max: u64,
    pub(super) ordered: bool,
}

/// What became of an admission.
#[derive(Debug)]
pub(super) enum Verdict {
    Kept,
    Duplicate(Seq),
    /// Somebody passes the event on at the moment.
    InFlight,
    /// Another event has this seq.
    SeqTaken,
    Failed(AdmitError),
}

/// A mark that is to be claimed.
pub(super) struct MarkJob {
    pub(super) source: Arc<str>,
    pub(super) mark: DedupMark,
    pub(super) seq: Seq,
    pub(super) ends_at: Timestamp,
    pub(super) lease: Duration,
    pub(super) waiter: oneshot::Sender<Result<MarkFound, AdmitError>>,
}

/// As [`MarkClaimed`], with seqs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MarkFound {
    Ours,
    InFlight,
    Duplicate(Seq),
}

/// A turn in a rate that is to be taken.
pub(super) struct TurnJob {
    pub(super) turn: Turn,
    pub(super) waiter: oneshot::Sender<Result<Duration, Arc<str>>>,
}

/// Deliveries that are to be claimed.
pub(super) struct ClaimJob {
    pub(super) target: Arc<str>,
    pub(super) most: usize,
    pub(super) lease: Duration,
    pub(super) waiter: oneshot::Sender<Result<Vec<Taken>, Arc<str>>>,
}

/// A delivery that was claimed, its event not read yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) key: Key,
    pub(super) attempts: u16,
    pub(super) due_at: Timestamp,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) lease: u64,
}

// === impl AdmitJob, Planned, MarkJob, TurnJob ===

impl AdmitJob {
    /// Roughly what it takes on the way.
    pub(super) fn bytes(&self) -> usize {
        self.head.len() + self.event.received.body.len() + self.event.received.headers.as_bytes().len()
    }

    pub(super) fn write(&self, call: &mut Call) {
        let received = &self.event.received;
        match &self.mark {
            Some(mark) => call.bytes(hex::encode(mark.key)).number(millis(mark.window)),
            None => call.bytes("").number(0),
        };
        call.bytes(&self.head).bytes(received.headers.as_bytes()).bytes(&received.body);
        call.bytes(&self.lookup).bytes(&*received.source).number(self.planned.len() as u64);
        for planned in &self.planned {
            planned.write(call);
        }
    }

    pub(super) fn answer(self, verdict: Verdict) {
        // A sender that went away meanwhile will come again and be told that it is a duplicate.
        drop(self.waiter.send(verdict));
    }
}

impl Planned {
    pub(super) fn write(&self, call: &mut Call) {
        call.bytes(&*self.target).bytes(&self.plan).number(time(self.due_at));
        call.number(self.expires_at.map_or(0, |at| time(at).max(1))).number(self.queue_max);
        call.number(self.ordered.into());
    }
}

impl MarkJob {
    pub(super) fn write(&self, call: &mut Call) {
        // A claim outlives its lease in the server, where the times are not ours.
        let kept = millis(self.lease).saturating_add(60_000);
        call.bytes(hex::encode(self.mark.key)).number(millis(self.mark.window)).bytes(seq_text(self.seq));
        call.number(time(self.ends_at)).number(kept).bytes(&*self.source);
    }
}

impl TurnJob {
    pub(super) fn write(&self, call: &mut Call, now: Timestamp) {
        let Turn { limit, client, interval, burst } = &self.turn;
        let micros = |duration: Duration| millis(duration.saturating_mul(1000));
        call.bytes(format!("{limit}:{client:016x}")).number(time(now) * 1000).number(micros(*interval));
        call.number(micros(interval.saturating_mul(burst.saturating_sub(1))));
    }
}

impl MarkFound {
    /// The same in the store's words.
    pub(super) fn shown(
        self,
        ours: crate::store::MarkClaim,
        id: impl FnOnce(Seq) -> crate::domain::EventId,
    ) -> MarkClaimed {
        match self {
            Self::Ours => MarkClaimed::Ours(ours),
            Self::InFlight => MarkClaimed::InFlight,
            Self::Duplicate(first) => MarkClaimed::Duplicate(id(first)),
        }
    }
}

/// Whole milliseconds; bounded so that Lua counts with them exactly.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).min(99_999_999_999_999)
}
