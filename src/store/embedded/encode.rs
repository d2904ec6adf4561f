//! From values to the bytes of a record: little-endian numbers, text and bytes behind their length.

use bytes::Bytes;

use super::record::{
    DeliveryRecord, FRAME_BYTES, Framed, Kind, Mark, Position, Progress, RECORD_VERSION, RedeliverRecord, ReplayRecord,
    StopRecord,
};
use crate::domain::{
    Attempt, DeadReason, DeliveryState, DisabledBy, Glob, HeaderBlock, NewEvent, Next, OutcomeClass, Seq, Timestamp,
    Webhook, WebhookId, WebhookState,
};
use crate::store::DedupMark;

/// Builds one record.
pub(super) struct Encoder(Vec<u8>);

/// `Admit` (or `Carry`, or `Moved`) of an event.
pub(super) fn event(
    kind: Kind,
    seq: Seq,
    received: &NewEvent,
    dedup: Option<&DedupMark>,
    deliveries: &[DeliveryRecord],
) -> Framed {
    let variable = received.body.len() + received.headers.as_bytes().len() + 96 * deliveries.len();
    let mut out = Encoder::new(kind, 512 + variable);
    out.u64(seq.0);
    out.u64(received.received_at.0);
    out.u8(u8::from(dedup.is_some()));
    if let Some(mark) = dedup {
        out.raw(&mark.key);
        out.u64(u64::try_from(mark.window.as_millis()).unwrap_or(u64::MAX));
    }
    out.u16(received.secret_index.map_or(0, |index| u16::from(index) + 1));
    out.text(&received.source);
    out.text(&received.project);
    out.text_option(received.event_type.as_deref());
    out.text_option(received.source_event_id.as_deref());
    out.u32(length(received.body.len()));
    out.deliveries(deliveries);
    out.text(received.method.as_str());
    out.text_option(received.query.as_deref());
    out.u64(received.signed_at.map_or(u64::MAX, |at| at.0));
    out.headers(&received.headers);
    out.raw(&received.body);
    out.finish()
}

/// Lets the headers and the body of an event be parts of its record, the last two: one piece of memory then serves
/// the journal and the deliveries, and the buffer from which the event was read is free at once.
pub(super) fn share(record: Framed, received: &mut NewEvent) -> Bytes {
    let payload = record.0.get(8..12).and_then(|field| field.try_into().ok()).map_or(0, u32::from_le_bytes);
    let record = Bytes::from(record.0);
    let body_end = (FRAME_BYTES + payload as usize).min(record.len());
    let body_start = body_end.saturating_sub(received.body.len());
    let headers_start = body_start.saturating_sub(received.headers.as_bytes().len());
    received.headers = std::mem::take(&mut received.headers).moved_to(record.slice(headers_start..body_start));
    received.body = record.slice(body_start..body_end);
    record
}

/// `Settle`: an attempt and what follows.
pub(super) fn settle(seq: Seq, ordinal: u16, attempt: &Attempt, next: Next) -> Framed {
    attempted(Kind::Settle, seq, ordinal, attempt, next)
}

/// `Made`: an attempt that was settled in another store.
pub(super) fn made(seq: Seq, ordinal: u16, attempt: &Attempt) -> Framed {
    attempted(Kind::Made, seq, ordinal, attempt, Next::Succeeded)
}

fn attempted(kind: Kind, seq: Seq, ordinal: u16, attempt: &Attempt, next: Next) -> Framed {
    let variable_bytes = attempt.error.as_deref().map_or(0, str::len)
        + attempt.response_headers.as_bytes().len()
        + attempt.response_body.len();
    let mut out = Encoder::new(kind, 64 + variable_bytes);
    let mut fixed = Fixed { bytes: [0; 41], at: 0 };
    fixed.put(seq.0.to_le_bytes());
    fixed.put(ordinal.to_le_bytes());
    fixed.put(attempt.number.to_le_bytes());
    fixed.put(attempt.started_at.0.to_le_bytes());
    fixed.put(u64::try_from(attempt.duration.as_micros()).unwrap_or(u64::MAX).to_le_bytes());
    fixed.put([outcome_byte(attempt.outcome)]);
    fixed.put(attempt.status.unwrap_or(0).to_le_bytes());
    let (tag, reason, at) = match next {
        Next::Succeeded => (0, 0, Timestamp(0)),
        Next::RetryAt(at) => (1, 0, at),
        Next::Dead(reason) => (2, reason_byte(Some(reason)), Timestamp(0)),
    };
    fixed.put([tag, reason]);
    fixed.put(at.0.to_le_bytes());
    out.raw(&fixed.bytes);
    out.text_option(attempt.error.as_deref());
    out.headers(&attempt.response_headers);
    out.bytes(&attempt.response_body);
    out.finish()
}

/// `Stop`.
pub(super) fn stop(record: &StopRecord) -> Framed {
    let mut out = Encoder::new(Kind::Stop, 32);
    out.u64(record.seq.0);
    out.u16(record.ordinal);
    out.u8(state_byte(record.state));
    out.u8(reason_byte(record.dead_reason));
    out.u64(record.at.0);
    out.finish()
}

/// `Redeliver`.
pub(super) fn redeliver(record: &RedeliverRecord) -> Framed {
    let mut out = Encoder::new(Kind::Redeliver, 32);
    out.u64(record.seq.0);
    out.u16(record.ordinal);
    out.u64(record.at.0);
    out.finish()
}

/// `Replay`.
pub(super) fn replay(record: &ReplayRecord) -> Framed {
    let mut out = Encoder::new(Kind::Replay, 64 + 96 * record.deliveries.len());
    out.u64(record.seq.0);
    out.u16(record.first_ordinal);
    out.deliveries(&record.deliveries);
    out.finish()
}

/// `Marks`.
pub(super) fn marks(marks: &[Mark]) -> Framed {
    let mut out = Encoder::new(Kind::Marks, 8 + 24 * marks.len());
    out.u32(length(marks.len()));
    for mark in marks {
        out.raw(&mark.key);
        out.u64(mark.seq.0);
    }
    out.finish()
}

/// `Batch`: everything before `durable` was synced.
pub(super) fn batch(durable: Position) -> Framed {
    let mut out = Encoder::new(Kind::Batch, 8);
    out.u32(durable.segment);
    out.u32(durable.offset);
    out.finish()
}

/// `Rolled`.
pub(super) fn rolled() -> Framed {
    Encoder::new(Kind::Rolled, 0).finish()
}

/// `Webhook`.
pub(super) fn webhook(webhook: &Webhook) -> Framed {
    let mut out = Encoder::new(Kind::Webhook, 1024);
    out.raw(&webhook.id.as_u128().to_le_bytes());
    out.u64(webhook.created_at.0);
    out.u64(webhook.updated_at.0);
    out.u64(webhook.failing_since.map_or(u64::MAX, |at| at.0));
    out.u8(webhook_state_byte(webhook.state));
    out.text(&webhook.project);
    out.text(&webhook.url);
    out.text_option(webhook.description.as_deref());
    out.texts(webhook.events.iter().map(Glob::as_str));
    out.texts(webhook.metadata.iter().flat_map(|(name, value)| [&**name, &**value]));
    out.texts(webhook.header_names.iter().map(|name| &**name));
    out.bytes(&webhook.sealed_headers.0);
    out.u8(u8::from(webhook.sealed_seed.is_some()));
    if let Some(seed) = &webhook.sealed_seed {
        out.bytes(&seed.0);
    }
    out.u32(length(webhook.secrets.len()));
    for secret in &webhook.secrets {
        out.bytes(&secret.sealed.0);
        out.u64(secret.until.map_or(u64::MAX, |at| at.0));
    }
    out.finish()
}

/// `WebhookGone`.
pub(super) fn webhook_gone(id: WebhookId) -> Framed {
    let mut out = Encoder::new(Kind::WebhookGone, 16);
    out.raw(&id.as_u128().to_le_bytes());
    out.finish()
}

fn webhook_state_byte(state: WebhookState) -> u8 {
    match state {
        WebhookState::Active => 0,
        WebhookState::Paused => 1,
        WebhookState::Disabled(DisabledBy::Person) => 2,
        WebhookState::Disabled(DisabledBy::Gone) => 3,
        WebhookState::Disabled(DisabledBy::Failing) => 4,
    }
}

pub(super) fn outcome_byte(outcome: OutcomeClass) -> u8 {
    OutcomeClass::ALL.iter().position(|known| *known == outcome).and_then(|at| u8::try_from(at).ok()).unwrap_or(0)
}

pub(super) fn state_byte(state: DeliveryState) -> u8 {
    match state {
        DeliveryState::Pending | DeliveryState::InFlight | DeliveryState::Held => 0,
        DeliveryState::Succeeded => 1,
        DeliveryState::Dead => 2,
        DeliveryState::Cancelled => 3,
        DeliveryState::Expired => 4,
    }
}

pub(super) fn reason_byte(reason: Option<DeadReason>) -> u8 {
    match reason {
        None => 0,
        Some(DeadReason::Exhausted) => 1,
        Some(DeadReason::Refused) => 2,
        Some(DeadReason::QueueFull) => 3,
        Some(DeadReason::Unreadable) => 4,
    }
}

/// Everything that is stored is bounded far below 4 GiB by the limits on bodies and headers.
fn length(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// The fields of a record that have the same length in every record, put together before they are appended.
struct Fixed<const BYTES: usize> {
    bytes: [u8; BYTES],
    at: usize,
}

impl<const BYTES: usize> Fixed<BYTES> {
    #[inline]
    fn put<const COUNT: usize>(&mut self, field: [u8; COUNT]) {
        if let Some(place) = self.bytes.get_mut(self.at..self.at + COUNT) {
            place.copy_from_slice(&field);
        }
        self.at += COUNT;
    }
}

// === impl Encoder ===

impl Encoder {
    fn new(kind: Kind, payload_bytes: usize) -> Self {
        let mut out = Vec::with_capacity(FRAME_BYTES + payload_bytes + 8);
        // Mark, checksum and length follow when the record is whole.
        out.extend_from_slice(&[0; 12]);
        out.extend_from_slice(&[kind as u8, RECORD_VERSION, 0, 0]);
        Self(out)
    }

    fn finish(mut self) -> Framed {
        let payload = length(self.0.len() - FRAME_BYTES).to_le_bytes();
        if let Some(place) = self.0.get_mut(8..12) {
            place.copy_from_slice(&payload);
        }
        let checksum = crc32fast::hash(self.0.get(8..).unwrap_or_default()).to_le_bytes();
        if let Some(place) = self.0.get_mut(4..8) {
            place.copy_from_slice(&checksum);
        }
        self.0.resize(self.0.len().next_multiple_of(8), 0);
        Framed(self.0)
    }

    fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    fn u16(&mut self, value: u16) {
        self.raw(&value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.raw(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.raw(&value.to_le_bytes());
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.u32(length(bytes.len()));
        self.raw(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn text_option(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.u32(u32::MAX),
        }
    }

    fn texts<'a>(&mut self, texts: impl Iterator<Item = &'a str>) {
        let at = self.0.len();
        self.u32(0);
        let mut count = 0;
        for text in texts {
            self.text(text);
            count += 1;
        }
        if let Some(place) = self.0.get_mut(at..at + 4) {
            place.copy_from_slice(&length(count).to_le_bytes());
        }
    }

    /// As they go over a wire.
    fn headers(&mut self, headers: &HeaderBlock) {
        self.bytes(headers.as_bytes());
    }

    fn deliveries(&mut self, deliveries: &[DeliveryRecord]) {
        self.u16(u16::try_from(deliveries.len()).unwrap_or(u16::MAX));
        for DeliveryRecord { planned, progress } in deliveries {
            self.text(&planned.target);
            self.u16(planned.route);
            self.u64(planned.not_before.map_or(u64::MAX, |at| at.0));
            self.u64(planned.expires_at.map_or(u64::MAX, |at| at.0));
            self.text_option(planned.order_key.as_deref());
            self.text_option(planned.batch_key.as_deref());
            self.progress(progress);
        }
    }

    fn progress(&mut self, progress: &Progress) {
        self.u8(state_byte(progress.state));
        self.u8(reason_byte(progress.dead_reason));
        self.u16(progress.attempts);
        self.u64(progress.due_at.0);
        self.u64(progress.finished_at.0);
        self.u16(progress.response_code.unwrap_or(0));
        self.u32(progress.response_millis.unwrap_or(u32::MAX));
        self.u8(progress.outcome.map_or(u8::MAX, outcome_byte));
    }
}
