//! What a request says about its signatures: first the head, before the body is there, then what stands in the
//! body.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::encoding::Hash;
use super::scheme::{Form, Place, Signatures, TimestampField, TimestampPlace, TimestampUnit};
use super::template::Part;
use crate::domain::{Reason, Rejection, Timestamp};
use crate::guard::envelope::{DEPTH_MAX, Pointer, Value, scan};
use crate::guard::layer::Head;

/// The most signatures that one header may hold.
pub const SIGNATURES_MAX: usize = 32;

/// The most headers that are counted, each with one signature: DocuSign's bound.
const NUMBERED_MAX: usize = 100;

/// The signatures of one request, found to have the scheme's form.
#[derive(Debug)]
pub(super) struct Read<'a> {
    scheme: &'a Signatures,
    values: Values<'a>,
    /// The signed time: as sent, and what it means.
    pub(super) timestamp: Option<(Cow<'a, str>, Timestamp)>,
    /// The event id's header as sent, where the signature covers it.
    pub(super) id: &'a [u8],
}

/// Where the signatures were found.
#[derive(Debug)]
enum Values<'a> {
    One(Cow<'a, str>),
    Numbered { headers: &'a HeaderMap, name: &'a str },
    InBody(&'a Pointer),
}

/// The one header of a name.
///
/// Two of them are refused: which one the apps behind would read is anybody's guess.
pub(super) fn single<'a>(head: Head<'a>, name: &HeaderName) -> Result<&'a HeaderValue, Rejection> {
    let mut values = head.headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        (None, _) => Err(missing(format!("there is no header {name}"))),
        (Some(_), Some(_)) => Err(malformed(format!("there is more than one header {name}"))),
    }
}

/// A signature that does not have the scheme's form.
pub(super) fn malformed(detail: impl AsRef<str>) -> Rejection {
    Rejection::new(Reason::SignatureMalformed, detail)
}

/// A signature that is not there.
pub(super) fn missing(detail: impl AsRef<str>) -> Rejection {
    Rejection::new(Reason::SignatureMissing, detail)
}

/// The text of a field of a JSON body; a whole number counts as its digits.
pub(super) fn field<'a>(body: &'a [u8], pointer: &Pointer) -> Result<Cow<'a, str>, Rejection> {
    match scan(body, [Some(pointer)], DEPTH_MAX) {
        Ok([Some(Value::Text(text))]) => Ok(text),
        Ok([Some(Value::Integer(digits))]) => Ok(Cow::Borrowed(digits)),
        Ok(_) => Err(missing(format!("the body has no text at {pointer}"))),
        Err(error) => Err(malformed(format!("the body has no {pointer}: {error}"))),
    }
}

// === impl Read ===

impl<'a> Read<'a> {
    /// Reads the headers.
    ///
    /// # Errors
    /// One is absent or does not have the scheme's form.
    pub(super) fn head(
        scheme: &'a Signatures,
        id_header: Option<&HeaderName>,
        head: Head<'a>,
    ) -> Result<Self, Rejection> {
        let values = match &scheme.place {
            Place::Header(name) => match single(head, name)?.to_str() {
                Ok(value) => Values::One(Cow::Borrowed(value)),
                Err(_) => return Err(malformed(format!("{name} is not visible ASCII"))),
            },
            Place::NumberedHeaders(name) => Values::Numbered { headers: head.headers, name },
            Place::Body(pointer) => Values::InBody(pointer),
        };
        let mut read = Self { scheme, values, timestamp: None, id: b"" };
        if !matches!(read.values, Values::InBody(_)) {
            read.check_form()?;
        }
        if let Some(field) = &scheme.timestamp {
            read.timestamp = read.timestamp_of_head(field, head)?;
        }
        if scheme.signed.has(&Part::Id) {
            let Some(id_header) = id_header else { return Err(malformed("the scheme names no header of the id")) };
            read.id = single(head, id_header)?.as_bytes();
            read.check_id(id_header)?;
        }
        Ok(read)
    }

    /// Reads from the body what the signature itself needs of it; nothing where all of that stands in the head.
    ///
    /// # Errors
    /// It is absent or does not have the scheme's form.
    pub(super) fn body(&mut self, body: &'a [u8]) -> Result<(), Rejection> {
        if let Values::InBody(pointer) = self.values {
            self.values = Values::One(field(body, pointer)?);
            self.check_form()?;
        }
        if self.timestamp.is_none() && self.scheme.signed.has(&Part::Timestamp) {
            self.signed_time_of_body(body)?;
        }
        Ok(())
    }

    /// Reads the signed time from the body, where it stands there; believed only behind the signature.
    ///
    /// # Errors
    /// It is absent or no time.
    pub(super) fn signed_time_of_body(&mut self, body: &'a [u8]) -> Result<(), Rejection> {
        if let Some(TimestampField { place: TimestampPlace::Body(pointer), unit, .. }) = &self.scheme.timestamp {
            self.timestamp = Some(parsed(field(body, pointer)?, *unit)?);
        }
        Ok(())
    }

    /// Calls `with` for every signature that has the scheme's form; others (of other versions) are passed over.
    pub(super) fn each_signature(&self, mut with: impl FnMut(&Hash)) {
        let mut candidate = |text: &str| {
            let text = text.strip_prefix(&*self.scheme.prefix);
            let length = self.scheme.algorithm.output_bytes();
            if let Some(hash) = text.and_then(|text| Hash::decode(text.as_bytes(), self.scheme.encoding, length)) {
                with(&hash);
            }
        };
        match (&self.values, self.scheme.form) {
            (Values::One(value), Form::Bare) => candidate(value),
            (Values::One(value), Form::Pairs { separator, key }) => pairs(value, separator, key).for_each(candidate),
            (Values::One(value), Form::List { separator }) => value.split(separator).for_each(candidate),
            (Values::Numbered { headers, name }, _) => {
                let numbered = headers.iter().filter(|(header, _)| is_numbered(header.as_str(), name));
                numbered.filter_map(|(_, value)| value.to_str().ok()).for_each(candidate);
            }
            (Values::InBody(_), _) => {}
        }
    }

    fn check_form(&self) -> Result<(), Rejection> {
        if let Values::Numbered { headers, name } = &self.values {
            let mut names = headers.keys().filter(|header| is_numbered(header.as_str(), name));
            if let Some(twice) = names.find(|header| headers.get_all(*header).iter().nth(1).is_some()) {
                return Err(malformed(format!("there is more than one header {twice}")));
            }
        }
        let mut signatures = 0_usize;
        self.each_signature(|_| signatures += 1);
        let most = if matches!(self.values, Values::Numbered { .. }) { NUMBERED_MAX } else { SIGNATURES_MAX };
        if (1..=most).contains(&signatures) {
            return Ok(());
        }
        let place = match &self.scheme.place {
            Place::Header(name) => name.to_string(),
            Place::NumberedHeaders(name) => format!("{name}1"),
            Place::Body(pointer) => format!("the body's {pointer}"),
        };
        if signatures == 0
            && matches!(&self.values, Values::Numbered { headers, name }
            if !headers.keys().any(|header| is_numbered(header.as_str(), name)))
        {
            return Err(missing(format!("there is no header {place}")));
        }
        let (_, bytes) = self.scheme.algorithm.output_bytes();
        let (encoding, prefix) = (self.scheme.encoding, &self.scheme.prefix);
        Err(malformed(format!(
            "{place}: expected 1 to {most} signatures of {bytes} bytes as {encoding} after `{prefix}`, found {signatures}"
        )))
    }

    fn timestamp_of_head(
        &self,
        field: &TimestampField,
        head: Head<'a>,
    ) -> Result<Option<(Cow<'a, str>, Timestamp)>, Rejection> {
        let text = match (&field.place, self.scheme.form, &self.values) {
            (TimestampPlace::Header(name), ..) => Cow::Borrowed(single(head, name)?.to_str().unwrap_or_default()),
            (TimestampPlace::Pair(key), Form::Pairs { separator, .. }, Values::One(Cow::Borrowed(value))) => {
                let mut values = pairs(value, separator, key);
                match (values.next(), values.next()) {
                    (Some(text), None) => Cow::Borrowed(text),
                    _ => return Err(malformed(format!("expected one `{key}=` beside the signature"))),
                }
            }
            (TimestampPlace::Pair(_), ..) => return Err(malformed("the scheme has a timestamp pair but no pairs")),
            (TimestampPlace::Body(_), ..) => return Ok(None),
        };
        parsed(text, field.unit).map(Some)
    }

    /// An id that holds the text that ends it in the template could hand a part of itself to what follows:
    /// the same signature for another id and another body.
    fn check_id(&self, id_header: &HeaderName) -> Result<(), Rejection> {
        let parts = self.scheme.signed.parts();
        let ends = parts.iter().zip(parts.iter().skip(1)).filter_map(|pair| match pair {
            (Part::Id, Part::Literal(end)) => Some(end.as_bytes()),
            _ => None,
        });
        for end in ends {
            if self.id.windows(end.len()).any(|window| window == end) {
                let end = end.escape_ascii();
                return Err(malformed(format!("{id_header} holds `{end}`, which ends it in what is signed")));
            }
        }
        Ok(())
    }
}

/// Whether a header is this name with a number from 1 to 100 behind it.
fn is_numbered(header: &str, name: &str) -> bool {
    let number = header.strip_prefix(name).filter(|digits| !digits.starts_with(['0', '+']));
    number.and_then(|digits| digits.parse::<usize>().ok()).is_some_and(|number| number <= NUMBERED_MAX)
}

/// The values of a key in `key=value` pairs.
pub(super) fn pairs<'a>(value: &'a str, separator: char, key: &str) -> impl Iterator<Item = &'a str> {
    value.split(separator).filter_map(move |pair| {
        let (name, value) = pair.split_once('=')?;
        (name.trim() == key).then(|| value.trim())
    })
}

fn parsed(text: Cow<'_, str>, unit: TimestampUnit) -> Result<(Cow<'_, str>, Timestamp), Rejection> {
    match parse_timestamp(&text, unit) {
        Some(timestamp) => Ok((text, timestamp)),
        None => Err(malformed(format!("the timestamp `{}` is not one", text.escape_default()))),
    }
}

/// The time that a text means: digits only for numbers, so that one time is written in one way.
pub(super) fn parse_timestamp(text: &str, unit: TimestampUnit) -> Option<Timestamp> {
    let number = || {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u64>().ok()).flatten()
    };
    match unit {
        TimestampUnit::Seconds => number()?.checked_mul(1000).map(Timestamp),
        TimestampUnit::Milliseconds => number().map(Timestamp),
        TimestampUnit::Rfc3339 => {
            let time: jiff::Timestamp = text.parse().ok()?;
            u64::try_from(time.as_millisecond()).ok().map(Timestamp)
        }
    }
}

/// The text of a time.
pub(super) fn write_timestamp(timestamp: Timestamp, unit: TimestampUnit) -> String {
    match unit {
        TimestampUnit::Seconds => timestamp.as_secs().to_string(),
        TimestampUnit::Milliseconds => timestamp.0.to_string(),
        TimestampUnit::Rfc3339 => timestamp.to_string(),
    }
}
