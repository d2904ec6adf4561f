//! The standard event: what a publisher writes, checked, completed, and written as receivers know it.
//!
//! `data` and `previous_attributes` stay as they were written; everything around them is written anew, in the order
//! of the platform's documentation. A field that nobody knows is refused: it would reach no receiver.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::domain::Timestamp;
use crate::domain::catalogue::is_event_type;
use crate::domain::event::SOURCE_EVENT_ID_BYTES_MAX;

/// A standard event that holds together.
#[derive(Clone, Debug)]
pub struct StandardEvent {
    /// The publisher's own id.
    pub id: Option<Box<str>>,
    /// What happened.
    pub event_type: Box<str>,
    created: Option<Box<str>>,
    api_version: Option<Box<str>>,
    data: Box<RawValue>,
    previous_attributes: Option<Box<RawValue>>,
    request: Request,
    livemode: bool,
}

/// What is wrong with an event, for whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct EventFault {
    /// A JSON pointer to the field that is wrong; empty where it is the whole.
    pub pointer: &'static str,
    /// What is wrong.
    pub detail: String,
}

/// The request that caused an event.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[schemars(rename = "CausingRequest")]
#[serde(deny_unknown_fields)]
pub struct Request {
    #[serde(default)]
    id: Option<Box<str>>,
    #[serde(default)]
    idempotency_key: Option<Box<str>>,
}

/// As a publisher writes it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "StandardEvent")]
pub struct WrittenEvent {
    id: Option<Box<str>>,
    #[serde(rename = "type")]
    event_type: Box<str>,
    created: Option<Box<str>>,
    api_version: Option<Box<str>>,
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    data: Box<RawValue>,
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    previous_attributes: Option<Box<RawValue>>,
    request: Option<Request>,
    livemode: Option<bool>,
}

/// As it goes out.
#[derive(Serialize)]
struct Shown<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    created: &'a str,
    api_version: &'a str,
    data: &'a RawValue,
    previous_attributes: &'a RawValue,
    request: &'a Request,
    livemode: bool,
}

/// The version of the format where a publisher names none: the documentation's.
pub const API_VERSION: &str = "2024-01-01";

/// What stands around an event's data takes about so many bytes.
const AROUND_BYTES: usize = 384;

/// The longest text of a field beside id and type, in bytes.
const TEXT_BYTES_MAX: usize = 255;

// === impl StandardEvent ===

impl StandardEvent {
    /// Reads what a publisher wrote.
    ///
    /// # Errors
    /// [`EventFault`]: not JSON, a field that is missing, unknown or makes no sense.
    pub fn parse(body: &[u8]) -> Result<Self, EventFault> {
        let written: WrittenEvent = serde_json::from_slice(body)
            .map_err(|error| EventFault { pointer: "", detail: format!("not a standard event: {error}") })?;
        let event = Self {
            id: written.id,
            event_type: written.event_type,
            created: written.created,
            api_version: written.api_version,
            data: written.data,
            previous_attributes: written.previous_attributes,
            request: written.request.unwrap_or_default(),
            livemode: written.livemode.unwrap_or(true),
        };
        event.check()?;
        Ok(event)
    }

    /// A test event: `livemode: false`.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn test(event_type: &str, data: Box<RawValue>) -> Result<Self, EventFault> {
        Self::of_ours(event_type, data, false)
    }

    /// An event about the sending side itself, see [`notices`](super::notices).
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn notice(event_type: &str, data: Box<RawValue>) -> Result<Self, EventFault> {
        Self::of_ours(event_type, data, true)
    }

    fn of_ours(event_type: &str, data: Box<RawValue>, livemode: bool) -> Result<Self, EventFault> {
        let event = Self {
            id: None,
            event_type: event_type.into(),
            created: None,
            api_version: None,
            data,
            previous_attributes: None,
            request: Request::default(),
            livemode,
        };
        event.check()?;
        Ok(event)
    }

    fn check(&self) -> Result<(), EventFault> {
        let fault = |pointer, detail: &str| Err(EventFault { pointer, detail: detail.to_owned() });
        let is_id = |id: &str| {
            (1..=SOURCE_EVENT_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if self.id.as_deref().is_some_and(|id| !is_id(id)) {
            return fault("/id", "an id has 1 to 255 visible ASCII characters");
        }
        if !is_event_type(&self.event_type) {
            return fault("/type", "a type has words of letters, digits, `_` and `-` with dots between them");
        }
        if self.created.as_deref().is_some_and(|time| time.parse::<jiff::Timestamp>().is_err()) {
            return fault("/created", "expected a time of ISO 8601 with its offset, such as 2024-01-15T10:30:00Z");
        }
        let is_object = |value: &RawValue| value.get().starts_with('{');
        if !is_object(&self.data) {
            return fault("/data", "expected an object");
        }
        if self.previous_attributes.as_deref().is_some_and(|value| !is_object(value)) {
            return fault("/previous_attributes", "expected an object");
        }
        let texts = [
            ("/api_version", &self.api_version),
            ("/request/id", &self.request.id),
            ("/request/idempotency_key", &self.request.idempotency_key),
        ];
        for (pointer, text) in texts {
            if text.as_deref().is_some_and(|text| !(1..=TEXT_BYTES_MAX).contains(&text.len())) {
                return fault(pointer, "expected 1 to 255 bytes");
            }
        }
        Ok(())
    }

    /// What made the event, where the publisher's request had such a key and the event does not say so.
    pub fn caused_by(&mut self, idempotency_key: &str) {
        self.request.idempotency_key.get_or_insert_with(|| idempotency_key.into());
    }

    /// The event as it goes out, under this id where it has none, made at `now` where it does not say when.
    #[must_use]
    pub fn write(&self, id: &str, now: Timestamp) -> Vec<u8> {
        let made_now = if self.created.is_some() { String::new() } else { now.to_string() };
        let nothing = RawValue::from_string("{}".to_owned()).ok();
        let Some(nothing) = nothing else { return Vec::new() };
        let shown = Shown {
            id: self.id.as_deref().unwrap_or(id),
            event_type: &self.event_type,
            created: self.created.as_deref().unwrap_or(&made_now),
            api_version: self.api_version.as_deref().unwrap_or(API_VERSION),
            data: &self.data,
            previous_attributes: self.previous_attributes.as_deref().unwrap_or(&nothing),
            request: &self.request,
            livemode: self.livemode,
        };
        let mut written = Vec::with_capacity(self.data.get().len() + AROUND_BYTES);
        // Texts and what was JSON before: writing it into memory does not fail.
        drop(serde_json::to_writer(&mut written, &shown));
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_705_314_600_000);

    #[track_caller]
    fn refused(body: &str, pointer: &str, words: &str) {
        let fault = StandardEvent::parse(body.as_bytes()).unwrap_err();
        assert!(fault.pointer == pointer && fault.detail.contains(words), "{fault:?}");
    }

    #[test]
    fn what_is_left_out_is_completed_and_data_stays_as_it_was_written() {
        let event = StandardEvent::parse(br#"{"type":"user.created","data":{ "n": 1.50, "a":"\u00e4" }}"#).unwrap();
        let written = String::from_utf8(event.write("evt_1", NOW)).unwrap();
        assert_eq!(
            written,
            "{\"id\":\"evt_1\",\"type\":\"user.created\",\"created\":\"2024-01-15T10:30:00.000Z\",\
             \"api_version\":\"2024-01-01\",\"data\":{ \"n\": 1.50, \"a\":\"\\u00e4\" },\"previous_attributes\":{},\
             \"request\":{\"id\":null,\"idempotency_key\":null},\"livemode\":true}"
        );
    }

    #[test]
    fn the_documented_event_goes_out_with_every_value_of_its_own() {
        let body = r#"{"livemode":false,"id":"evt_1234567890abcdef","type":"user.created","created":"2024-01-15T10:30:00Z",
            "api_version":"2023-06-01","data":{"id":"user_abc123"},"previous_attributes":{"a":1},
            "request":{"id":"req_xyz789","idempotency_key":"key_unique_123"}}"#;
        let written = StandardEvent::parse(body.as_bytes()).unwrap().write("other", NOW);
        let value = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
        assert_eq!(value(&written), value(body.as_bytes()));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_place() {
        refused("", "", "not a standard event");
        refused("[]", "", "not a standard event");
        refused(r#"{"type":"a"}"#, "", "missing field `data`");
        refused(r#"{"data":{}}"#, "", "missing field `type`");
        refused(r#"{"type":"a","data":{},"extra":1}"#, "", "unknown field `extra`");
        refused(r#"{"type":"a","type":"b","data":{}}"#, "", "duplicate field `type`");
        refused(r#"{"type":"a b","data":{}}"#, "/type", "words of letters");
        refused(r#"{"type":"a","data":[]}"#, "/data", "object");
        refused(r#"{"type":"a","data":{},"id":""}"#, "/id", "1 to 255");
        refused(r#"{"type":"a","data":{},"id":"a b"}"#, "/id", "visible");
        refused(r#"{"type":"a","data":{},"created":"yesterday"}"#, "/created", "ISO 8601");
        refused(r#"{"type":"a","data":{},"previous_attributes":[]}"#, "/previous_attributes", "object");
        refused(r#"{"type":"a","data":{},"request":{"id":""}}"#, "/request/id", "1 to 255");
        refused(r#"{"type":"a","data":{},"livemode":"yes"}"#, "", "invalid type");
    }
}
