//! The envelope as a guard: who sent what, by the signed body.

use std::borrow::Cow;

use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderName};

use super::inflate::inflated;
use super::pointer::{Lookup, Pointer};
use super::scan::{ScanError, Value, scan};
use super::{Config, Piecewise};
use crate::domain::event::{EVENT_TYPE_BYTES_MAX, SOURCE_EVENT_ID_BYTES_MAX};
use crate::domain::{Facts, Reason, Rejection};
use crate::guard::layer::{Guard, GuardLayer, Head};

/// The envelope as a tower layer.
pub type EnvelopeLayer = GuardLayer<Envelope>;

/// The guard.
#[derive(Clone, Debug)]
pub struct Envelope {
    config: Config,
}

/// A field's place and bounds.
struct Wanted<'a> {
    what: &'static str,
    lookup: &'a Lookup,
    bytes_max: usize,
    missing: Reason,
}

/// A field that was found, and whether the body has it.
type Found<'a> = Option<(Cow<'a, str>, bool)>;

// === impl Envelope ===

impl Envelope {
    /// The guard with these places and bounds.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    /// Id, type and the type's detail in the body; nothing where none of them stands there.
    fn read_body<'a>(&self, body: &'a [u8]) -> Result<[Option<Value<'a>>; 3], Rejection> {
        let (id, event_type) = (self.config.event_id.body.as_ref(), self.config.event_type.body.as_ref());
        // Each field more makes the pass slower, and few schemes have the third.
        let found = match &self.config.type_detail {
            None => scan(body, [id, event_type], self.config.depth_max).map(|[id, event_type]| [id, event_type, None]),
            detail => scan(body, [id, event_type, detail.as_ref()], self.config.depth_max),
        };
        self.found(found)
    }

    /// The same of a body that comes in pieces; nothing where its bytes are not what is read.
    pub(in crate::guard) fn piecewise(&self, headers: &HeaderMap) -> Option<Piecewise<'_, 3>> {
        let Config { event_id, event_type, type_detail, depth_max, .. } = &self.config;
        let pointers = [event_id.body.as_ref(), event_type.body.as_ref(), type_detail.as_ref()];
        (!headers.contains_key(CONTENT_ENCODING)).then(|| Piecewise::new(pointers, *depth_max))
    }

    /// Whether the body is read at all.
    pub(in crate::guard) fn reads_body(&self) -> bool {
        self.config.reads_body()
    }

    /// What was found, or why the body is refused.
    pub(in crate::guard) fn found<T>(
        &self,
        found: Result<[Option<T>; 3], ScanError>,
    ) -> Result<[Option<T>; 3], Rejection> {
        match found {
            Ok(found) => Ok(found),
            Err(ScanError::NotJson { .. }) if !self.needs_json() => Ok([None, None, None]),
            Err(error) => {
                let reason = match error {
                    ScanError::NotJson { .. } => Reason::BodyNotJson,
                    ScanError::TooDeep { .. } => Reason::BodyTooDeep,
                    ScanError::DuplicateKey { .. } => Reason::BodyDuplicateKey,
                };
                Err(Rejection::new(reason, error.to_string()))
            }
        }
    }

    fn needs_json(&self) -> bool {
        let needs = |lookup: &Lookup| lookup.required && lookup.body.is_some();
        needs(&self.config.event_id) || needs(&self.config.event_type)
    }

    fn inflated<'a>(&self, headers: &HeaderMap, body: &'a [u8]) -> Result<Cow<'a, [u8]>, Rejection> {
        match inflated(headers, body, self.config.inflated_bytes_max) {
            Err(rejection) if rejection.reason == Reason::ContentEncodingUnknown && !self.needs_json() => {
                Ok(Cow::Borrowed(b""))
            }
            inflated => inflated,
        }
    }

    fn settle(&self, headers: &HeaderMap, values: [Option<Value<'_>>; 3], facts: &mut Facts) -> Result<(), Rejection> {
        let [id, event_type, detail] = values;
        let config = &self.config;
        let id = Wanted {
            what: "id",
            lookup: &config.event_id,
            bytes_max: SOURCE_EVENT_ID_BYTES_MAX,
            missing: Reason::EventIdMissing,
        }
        .settle(headers, id)?;
        let event_type = Wanted {
            what: "type",
            lookup: &config.event_type,
            bytes_max: EVENT_TYPE_BYTES_MAX,
            missing: Reason::EventTypeMissing,
        }
        .settle(headers, event_type)?;
        if let Some((id, in_body)) = id {
            facts.source_event_id_signed = if in_body { config.body_signed } else { config.id_header_signed };
            facts.source_event_id = Some(id.into());
        }
        // Where the scheme has no place for a type, the signature guard may have read one.
        if let Some((event_type, _)) = event_type {
            facts.event_type = Some(match detail {
                Some(Value::Text(detail)) if is_detail(&event_type, &detail) => format!("{event_type}.{detail}").into(),
                _ => event_type.into(),
            });
        }
        Ok(())
    }
}

impl<B: AsRef<[u8]>> Guard<B> for Envelope {
    fn check(&self, head: Head<'_>, body: &B, facts: &mut Facts) -> Result<(), Rejection> {
        if let Some(digested) = facts.digested.clone() {
            let fields = digested.fields.as_ref().map_err(Rejection::clone)?;
            self.settle(head.headers, fields.each_ref().map(|field| field.as_ref().map(Value::from)), facts)
        } else if self.config.reads_body() {
            let body = self.inflated(head.headers, body.as_ref())?;
            self.settle(head.headers, self.read_body(&body)?, facts)
        } else {
            self.settle(head.headers, [None, None, None], facts)
        }
    }

    fn name(&self) -> &'static str {
        "envelope"
    }
}

/// Whether a detail can stand behind a type.
fn is_detail(event_type: &str, detail: &str) -> bool {
    let bytes = event_type.len() + 1 + detail.len();
    !detail.is_empty() && bytes <= EVENT_TYPE_BYTES_MAX && !detail.chars().any(char::is_control)
}

// === impl Wanted ===

impl Wanted<'_> {
    /// The field's text: the body's, or where it has none the header's.
    fn settle<'a>(&self, headers: &'a HeaderMap, in_body: Option<Value<'a>>) -> Result<Found<'a>, Rejection> {
        let in_body = self.fit(in_body.map_or(Ok(None), |value| self.text(value)))?;
        let in_header = self.fit(self.lookup.header.as_ref().map_or(Ok(None), |name| self.header(headers, name)))?;
        match (in_body, in_header) {
            (Some(body), Some(header)) if self.missing == Reason::EventIdMissing && body != header => {
                let detail =
                    format!("the body's id is `{}`, the header's `{}`", body.escape_debug(), header.escape_debug());
                Err(Rejection::new(Reason::EventIdMismatch, detail))
            }
            (Some(body), _) => Ok(Some((body, true))),
            (None, Some(header)) => Ok(Some((Cow::Borrowed(header), false))),
            (None, None) if self.lookup.required => Err(Rejection::new(self.missing, self.nowhere())),
            (None, None) => Ok(None),
        }
    }

    /// Where the scheme can do without the field, one that is unfit counts as absent.
    fn fit<T>(&self, field: Result<Option<T>, Rejection>) -> Result<Option<T>, Rejection> {
        match field {
            Err(rejection) if rejection.reason == self.missing && !self.lookup.required => Ok(None),
            field => field,
        }
    }

    /// The text of a body's value; `null` and empty text count as absent.
    fn text<'a>(&self, value: Value<'a>) -> Result<Option<Cow<'a, str>>, Rejection> {
        let text = match value {
            Value::Text(text) => text,
            Value::Integer(digits) => Cow::Borrowed(digits),
            Value::Null => return Ok(None),
            Value::Other => return Err(self.unfit("is neither text nor a whole number")),
        };
        self.bounded(&text)?;
        Ok((!text.is_empty()).then_some(text))
    }

    /// The text of the header; where it comes more than once, all have to agree.
    fn header<'a>(&self, headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Rejection> {
        let mut values = headers.get_all(name).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.any(|other| other != value) {
            let reason = if self.missing == Reason::EventIdMissing { Reason::EventIdMismatch } else { self.missing };
            return Err(Rejection::new(reason, format!("the headers {name} differ")));
        }
        let Ok(text) = std::str::from_utf8(value.as_bytes()) else { return Err(self.unfit("is not UTF-8")) };
        self.bounded(text)?;
        Ok((!text.is_empty()).then_some(text))
    }

    fn bounded(&self, text: &str) -> Result<(), Rejection> {
        if text.len() > self.bytes_max {
            return Err(self.unfit(&format!("has {} bytes, {} are allowed", text.len(), self.bytes_max)));
        }
        // It goes on in a header: a line break in it would end that header.
        let has_control = if text.is_ascii() {
            text.bytes().any(|byte| byte.is_ascii_control())
        } else {
            text.chars().any(char::is_control)
        };
        if has_control { Err(self.unfit("has a control character")) } else { Ok(()) }
    }

    fn unfit(&self, how: &str) -> Rejection {
        Rejection::new(self.missing, format!("the event's {} {how}", self.what))
    }

    fn nowhere(&self) -> String {
        let body = self.lookup.body.as_ref().map(Pointer::to_string);
        let header = self.lookup.header.as_ref().map(HeaderName::as_str);
        let places = [body.as_deref(), header].into_iter().flatten().collect::<Vec<_>>().join(" nor in ");
        format!("the event has no {} in {places}", self.what)
    }
}

#[cfg(test)]
#[path = "question_tests.rs"]
mod tests;
