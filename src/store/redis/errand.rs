//! What nobody waits for: outcomes, claims that are given back, marks, counts, entries of the ledger. Done in their order
//! by `apply.lua`, which knows each by its letter.

use std::sync::Arc;

use super::key::{Key, seq_text, time};
use super::record;
use super::script::Call;
use crate::domain::{DeadReason, Next, Seq, Settlement, Timestamp};

/// One errand.
#[derive(Clone, Debug)]
pub(super) enum Errand {
    /// The outcome of a claim.
    Settle { key: Key, target: Arc<str>, lease: u64, settlement: Box<Settlement> },
    /// A claim is given back.
    Release { key: Key, target: Arc<str>, lease: u64, due_at: Timestamp },
    /// A claimed delivery cannot be attempted, ever.
    GiveUp { key: Key, target: Arc<str>, lease: u64, reason: DeadReason, at: Timestamp },
    /// Everything that waits for the target is due.
    Hasten { target: Arc<str> },
    /// The event of a mark was taken.
    CommitMark { mark: [u8; 16], seq: Seq },
    /// The event of a mark was not taken.
    ReleaseMark { mark: [u8; 16], seq: Seq },
    /// Something was counted.
    Count { name: Box<str>, by: u64 },
    /// An entry of the ledger.
    Note { seq: Seq, entry: Vec<u8> },
}

/// What errands need to know of the store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Milliseconds for which marks are kept.
    pub(super) marks_kept: u64,
    /// Bytes of the ledger.
    pub(super) ledger_bytes_max: u64,
}

// === impl Errand ===

impl Errand {
    /// Its letter and arguments.
    pub(super) fn write(&self, call: &mut Call, bounds: Bounds) {
        match self {
            Self::Settle { key, target, lease, settlement } => settle(call, *key, target, *lease, settlement),
            Self::Release { key, target, lease, due_at } => {
                claimed(call, "R", *key, target, *lease).number(time(*due_at));
            }
            Self::GiveUp { key, target, lease, reason, at } => {
                let rest = record::rest_unattempted(*reason, *at);
                claimed(call, "E", *key, target, *lease).bytes("D").bytes(rest);
            }
            Self::Hasten { target } => {
                call.bytes("H").bytes(&**target);
            }
            Self::CommitMark { mark, seq } => {
                call.bytes("M").bytes(hex::encode(mark)).bytes(seq_text(*seq)).number(bounds.marks_kept);
            }
            Self::ReleaseMark { mark, seq } => {
                call.bytes("U").bytes(hex::encode(mark)).bytes(seq_text(*seq));
            }
            Self::Count { name, by } => {
                call.bytes("N").bytes(&**name).number(*by);
            }
            Self::Note { seq, entry } => {
                call.bytes("J").bytes(seq_text(*seq)).bytes(entry).number(bounds.ledger_bytes_max);
            }
        }
    }

    /// The target that has something due from then on, once it is done.
    pub(super) fn wakes(&self) -> Option<(&Arc<str>, Timestamp)> {
        match self {
            Self::Settle { target, settlement, .. } => match settlement.next {
                Next::RetryAt(at) => Some((target, at)),
                Next::Succeeded | Next::Dead(_) => None,
            },
            Self::Release { target, due_at, .. } => Some((target, *due_at)),
            Self::Hasten { target } => Some((target, Timestamp(0))),
            _ => None,
        }
    }

    /// Whether it ends what an admission may wait for.
    pub(super) fn frees_mark(&self) -> bool {
        matches!(self, Self::CommitMark { .. } | Self::ReleaseMark { .. })
    }
}

/// A lease as it stands in a delivery's progress.
pub(super) fn lease_text(lease: u64) -> String {
    format!("{lease:016x}")
}

fn claimed<'a>(call: &'a mut Call, letter: &str, key: Key, target: &str, lease: u64) -> &'a mut Call {
    call.bytes(letter).bytes(key.member()).bytes(target).bytes(lease_text(lease))
}

fn settle(call: &mut Call, key: Key, target: &str, lease: u64, settlement: &Settlement) {
    let Settlement { attempt, next } = settlement;
    let (letter, due_at) = match next {
        Next::Succeeded => ("S", Timestamp(0)),
        Next::Dead(_) => ("D", Timestamp(0)),
        Next::RetryAt(at) => ("P", *at),
    };
    claimed(call, "S", key, target, lease)
        .bytes(letter)
        .number(attempt.number.into())
        .number(time(due_at))
        .bytes(record::rest(attempt, *next))
        .bytes(record::attempt(attempt))
        .number(record::micros(attempt.duration));
}
