//! What scripts answer, read. `None` throughout where an answer is not what the script writes.

use redis::Value;

use super::jobs::{MarkFound, Taken, Verdict};
use super::key::{Key, seq_of};
use crate::domain::{Seq, Timestamp};

/// The elements of an array.
pub(super) fn array(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(values) => Some(values),
        _ => None,
    }
}

/// A text or bytes; nothing where there is none.
pub(super) fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.as_bytes()),
        _ => None,
    }
}

pub(super) fn text(value: &Value) -> Option<&str> {
    std::str::from_utf8(bytes(value)?).ok()
}

/// A number, also where it is written as text, perhaps in Lua's way.
pub(super) fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        other => {
            let text = text(other)?;
            text.parse().ok().or_else(|| Some(text.parse::<f64>().ok()?.max(0.0) as u64))
        }
    }
}

pub(super) fn seq(value: &Value) -> Option<Seq> {
    seq_of(bytes(value)?)
}

/// What became of several admissions, for [`verdict_at`], and the deliveries that went to standing claims.
pub(super) fn admitted(value: &Value) -> Option<(&Value, Vec<Key>)> {
    let [verdicts, granted] = array(value)? else { return None };
    Some((verdicts, array(granted)?.iter().filter_map(|member| Key::from_member(bytes(member)?)).collect()))
}

/// Of the admission at this place of several. All of them were kept where that is all that was said.
pub(super) fn verdict_at(verdicts: &Value, at: usize) -> Option<(Verdict, Vec<&str>)> {
    match array(verdicts) {
        Some(each) => verdict(each.get(at)?),
        None => verdict(verdicts),
    }
}

/// Of one admission: the verdict, and the targets of which dead deliveries start again.
fn verdict(value: &Value) -> Option<(Verdict, Vec<&str>)> {
    // Most are just kept, and say no more than that.
    let (letter, rest) = array(value).map_or(Some((value, &[][..])), <[Value]>::split_first)?;
    match text(letter)? {
        "K" => Some((Verdict::Kept, Vec::new())),
        "D" => {
            let (first, targets) = rest.split_first()?;
            Some((Verdict::Duplicate(seq(first)?), targets.iter().filter_map(text).collect()))
        }
        "I" => Some((Verdict::InFlight, Vec::new())),
        "X" => Some((Verdict::SeqTaken, Vec::new())),
        _ => None,
    }
}

pub(super) fn mark(value: &Value) -> Option<MarkFound> {
    let (letter, rest) = array(value)?.split_first()?;
    match text(letter)? {
        "O" => Some(MarkFound::Ours),
        "I" => Some(MarkFound::InFlight),
        "D" => Some(MarkFound::Duplicate(seq(rest.first()?)?)),
        _ => None,
    }
}

/// Of one target: when it is to be looked at next, and what was claimed.
pub(super) fn claims(value: &Value, lease: u64) -> Option<(Option<Timestamp>, Vec<Taken>)> {
    let (next, taken) = array(value)?.split_first()?;
    let mut claims = Vec::with_capacity(taken.len());
    for one in taken {
        let mut words = text(one)?.split(' ');
        claims.push(Taken {
            key: Key::from_member(words.next()?.as_bytes())?,
            attempts: words.next()?.parse().unwrap_or(u16::MAX),
            due_at: Timestamp(words.next()?.parse().ok()?),
            expires_at: words.next()?.parse::<u64>().ok().filter(|at| *at != 0).map(Timestamp),
            lease,
        });
    }
    Some((next_time(next), claims))
}

/// A time, or nothing where nothing waits.
pub(super) fn next_time(value: &Value) -> Option<Timestamp> {
    number(value).map(Timestamp)
}
