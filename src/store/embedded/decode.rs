//! From the bytes of a record back to values. Nothing here trusts what it reads: `None` is a damaged record.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;

use super::record::{
    DeliveryRecord, EventHead, Kind, Mark, Payload, Position, Progress, Record, RedeliverRecord, ReplayRecord,
    SettleRecord, StopRecord,
};
use crate::domain::{
    Attempt, DeadReason, DeliveryState, DisabledBy, Glob, HeaderBlock, HeaderBlockBuilder, NewEvent, Next,
    OutcomeClass, PlannedDelivery, Sealed, Seq, SigningSecret, Timestamp, Webhook, WebhookId, WebhookState,
};
use crate::store::DedupMark;

/// Takes values off the front of a payload.
struct Decoder<'a> {
    rest: &'a [u8],
    /// The payload that `rest` is the end of: what is kept longer shares its memory.
    payload: &'a Payload,
}

/// Any record; of an event only the head, of an attempt not what was answered.
pub(super) fn record(payload: &Payload) -> Option<Record<'_>> {
    let mut from = Decoder::new(payload);
    Some(match payload.kind {
        Kind::Admit => Record::Admit(from.event_head()?),
        Kind::Carry => Record::Carry(from.event_head()?),
        Kind::Settle => Record::Settle(from.settle()?),
        Kind::Stop => Record::Stop(StopRecord {
            seq: Seq(from.u64()?),
            ordinal: from.u16()?,
            state: state(from.u8()?)?,
            dead_reason: reason(from.u8()?)?,
            at: Timestamp(from.u64()?),
        }),
        Kind::Redeliver => Record::Redeliver(RedeliverRecord {
            seq: Seq(from.u64()?),
            ordinal: from.u16()?,
            at: Timestamp(from.u64()?),
        }),
        Kind::Replay => Record::Replay(ReplayRecord {
            seq: Seq(from.u64()?),
            first_ordinal: from.u16()?,
            deliveries: from.deliveries()?,
        }),
        Kind::Marks => {
            let count = from.u32()?;
            let mut marks = Vec::new();
            for _ in 0..count {
                marks.push(Mark { key: from.array()?, seq: Seq(from.u64()?) });
            }
            Record::Marks(marks)
        }
        Kind::Batch => Record::Batch { durable: Position { segment: from.u32()?, offset: from.u32()? } },
        Kind::Rolled => Record::Rolled,
        Kind::Webhook => Record::Webhook(Box::new(from.webhook()?)),
        Kind::WebhookGone => Record::WebhookGone(from.webhook_id()?),
        Kind::Moved => Record::Moved(from.event_head()?),
        Kind::Made => Record::Made(from.settle()?),
    })
}

/// An event, whole: the body is a slice of the payload.
pub(super) fn event(payload: &Payload) -> Option<(Seq, NewEvent, Option<DedupMark>, Vec<DeliveryRecord>)> {
    if !matches!(payload.kind, Kind::Admit | Kind::Carry | Kind::Moved) {
        return None;
    }
    let mut from = Decoder::new(payload);
    let head = from.event_head()?;
    let method = Method::from_bytes(from.text()?.as_bytes()).ok()?;
    let query = from.text_option()?.map(Box::from);
    let signed_at = if payload.version == 1 { None } else { from.time_option()? };
    let headers = from.headers()?;
    let body_bytes = head.body_bytes as usize;
    if from.rest.len() != body_bytes {
        return None;
    }
    let body = payload.bytes.slice(payload.bytes.len() - body_bytes..);
    let received = NewEvent {
        source: head.source.into(),
        source_event_id: head.source_event_id.map(Box::from),
        event_type: head.event_type.map(Box::from),
        project: head.project.into(),
        received_at: head.received_at,
        method,
        query,
        headers,
        body,
        signed_at,
        secret_index: head.secret_index,
    };
    Some((head.seq, received, head.dedup, head.deliveries))
}

/// An attempt, whole.
pub(super) fn settled(payload: &Payload) -> Option<SettleRecord> {
    if !matches!(payload.kind, Kind::Settle | Kind::Made) {
        return None;
    }
    let mut from = Decoder::new(payload);
    let SettleRecord { seq, ordinal, attempt, next } = from.settle()?;
    let error = from.text_option()?.map(Box::from);
    let response_headers = from.headers()?;
    let response_body = Bytes::copy_from_slice(from.bytes()?);
    let attempt = Attempt { error, response_headers, response_body, ..attempt };
    Some(SettleRecord { seq, ordinal, attempt, next })
}

pub(super) fn outcome(byte: u8) -> Option<OutcomeClass> {
    OutcomeClass::ALL.get(usize::from(byte)).copied()
}

pub(super) fn state(byte: u8) -> Option<DeliveryState> {
    Some(match byte {
        0 => DeliveryState::Pending,
        1 => DeliveryState::Succeeded,
        2 => DeliveryState::Dead,
        3 => DeliveryState::Cancelled,
        4 => DeliveryState::Expired,
        _ => return None,
    })
}

pub(super) fn reason(byte: u8) -> Option<Option<DeadReason>> {
    Some(match byte {
        0 => None,
        1 => Some(DeadReason::Exhausted),
        2 => Some(DeadReason::Refused),
        3 => Some(DeadReason::QueueFull),
        4 => Some(DeadReason::Unreadable),
        _ => return None,
    })
}

fn webhook_state(byte: u8) -> Option<WebhookState> {
    Some(match byte {
        0 => WebhookState::Active,
        1 => WebhookState::Paused,
        2 => WebhookState::Disabled(DisabledBy::Person),
        3 => WebhookState::Disabled(DisabledBy::Gone),
        4 => WebhookState::Disabled(DisabledBy::Failing),
        _ => return None,
    })
}

/// Names and values that took turns.
fn pairs(texts: Vec<Box<str>>) -> Option<Vec<(Box<str>, Box<str>)>> {
    let mut texts = texts.into_iter();
    let mut pairs = Vec::new();
    while let Some(name) = texts.next() {
        pairs.push((name, texts.next()?));
    }
    Some(pairs)
}

// === impl Decoder ===

impl<'a> Decoder<'a> {
    fn new(payload: &'a Payload) -> Self {
        Self { rest: &payload.bytes, payload }
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const COUNT: usize>(&mut self) -> Option<[u8; COUNT]> {
        self.take(COUNT)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = self.u32()?;
        self.take(count as usize)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    fn text_option(&mut self) -> Option<Option<&'a str>> {
        let count = self.u32()?;
        if count == u32::MAX {
            return Some(None);
        }
        std::str::from_utf8(self.take(count as usize)?).ok().map(Some)
    }

    fn time_option(&mut self) -> Option<Option<Timestamp>> {
        let millis = self.u64()?;
        Some((millis != u64::MAX).then_some(Timestamp(millis)))
    }

    fn headers(&mut self) -> Option<HeaderBlock> {
        if self.payload.version == 1 {
            return self.counted_headers();
        }
        let block = self.bytes()?;
        HeaderBlock::from_bytes(self.payload.bytes.slice_ref(block))
    }

    /// Version 1: how many, then each name and value behind their lengths.
    fn counted_headers(&mut self) -> Option<HeaderBlock> {
        let count = self.u32()? as usize;
        let mut headers = HeaderBlockBuilder::default();
        for _ in 0..count {
            let (name, value) = (self.bytes()?, self.bytes()?);
            headers.try_add(name, value).then_some(())?;
        }
        Some(headers.finish())
    }

    fn settle(&mut self) -> Option<SettleRecord> {
        let (seq, ordinal, number) = (Seq(self.u64()?), self.u16()?, self.u16()?);
        let started_at = Timestamp(self.u64()?);
        let duration = Duration::from_micros(self.u64()?);
        let outcome = outcome(self.u8()?)?;
        let status = Some(self.u16()?).filter(|status| *status != 0);
        let (tag, dead, at) = (self.u8()?, reason(self.u8()?)?, Timestamp(self.u64()?));
        let next = match tag {
            0 => Next::Succeeded,
            1 => Next::RetryAt(at),
            2 => Next::Dead(dead?),
            _ => return None,
        };
        let (response_headers, response_body) = (HeaderBlock::default(), Bytes::new());
        let attempt =
            Attempt { number, started_at, duration, outcome, status, response_headers, response_body, error: None };
        Some(SettleRecord { seq, ordinal, attempt, next })
    }

    fn texts(&mut self) -> Option<Vec<Box<str>>> {
        let count = self.u32()?;
        (0..count).map(|_| self.text().map(Box::from)).collect()
    }

    fn sealed(&mut self) -> Option<Sealed> {
        self.bytes().map(|bytes| Sealed(Bytes::copy_from_slice(bytes)))
    }

    fn webhook_id(&mut self) -> Option<WebhookId> {
        self.array().map(u128::from_le_bytes).map(WebhookId::from_u128)
    }

    fn webhook(&mut self) -> Option<Webhook> {
        let id = self.webhook_id()?;
        let (created_at, updated_at) = (Timestamp(self.u64()?), Timestamp(self.u64()?));
        let failing_since = self.time_option()?;
        let state = webhook_state(self.u8()?)?;
        Some(Webhook {
            id,
            created_at,
            updated_at,
            failing_since,
            state,
            project: self.text()?.into(),
            url: self.text()?.into(),
            description: self.text_option()?.map(Box::from),
            events: self.texts()?.iter().map(|glob| Glob::new(glob)).collect(),
            metadata: pairs(self.texts()?)?,
            header_names: self.texts()?,
            sealed_headers: self.sealed()?,
            sealed_seed: match self.u8()? {
                0 => None,
                1 => Some(self.sealed()?),
                _ => return None,
            },
            secrets: {
                let count = self.u32()?;
                let secret = |_| Some(SigningSecret { sealed: self.sealed()?, until: self.time_option()? });
                (0..count).map(secret).collect::<Option<_>>()?
            },
        })
    }

    fn event_head(&mut self) -> Option<EventHead<'a>> {
        let seq = Seq(self.u64()?);
        let received_at = Timestamp(self.u64()?);
        let dedup = match self.u8()? {
            0 => None,
            1 => Some(DedupMark { key: self.array()?, window: Duration::from_millis(self.u64()?) }),
            _ => return None,
        };
        let secret_index = match self.u16()? {
            0 => None,
            index => Some(u8::try_from(index - 1).ok()?),
        };
        Some(EventHead {
            seq,
            received_at,
            dedup,
            secret_index,
            source: self.text()?,
            project: self.text()?,
            event_type: self.text_option()?,
            source_event_id: self.text_option()?,
            body_bytes: self.u32()?,
            deliveries: self.deliveries()?,
        })
    }

    fn deliveries(&mut self) -> Option<Vec<DeliveryRecord>> {
        let count = self.u16()?;
        let mut deliveries = Vec::new();
        for _ in 0..count {
            let planned = PlannedDelivery {
                target: Arc::from(self.text()?),
                route: self.u16()?,
                not_before: self.time_option()?,
                expires_at: self.time_option()?,
                order_key: self.text_option()?.map(Box::from),
                batch_key: self.text_option()?.map(Box::from),
            };
            deliveries.push(DeliveryRecord { planned, progress: self.progress()? });
        }
        Some(deliveries)
    }

    fn progress(&mut self) -> Option<Progress> {
        Some(Progress {
            state: state(self.u8()?)?,
            dead_reason: reason(self.u8()?)?,
            attempts: self.u16()?,
            due_at: Timestamp(self.u64()?),
            finished_at: Timestamp(self.u64()?),
            response_code: Some(self.u16()?).filter(|code| *code != 0),
            response_millis: Some(self.u32()?).filter(|millis| *millis != u32::MAX),
            outcome: match self.u8()? {
                u8::MAX => None,
                byte => Some(outcome(byte)?),
            },
        })
    }
}
