//! What the head says about the signature: everything that can be told before the body is there.

use http::{HeaderName, HeaderValue};

use super::encoding::Hash;
use super::scheme::{Form, Hmac, TimestampPlace, TimestampUnit};
use super::template::Part;
use crate::domain::{Reason, Rejection, Timestamp};
use crate::guard::layer::Head;

/// The most signatures that one header may hold.
pub const SIGNATURES_MAX: usize = 32;

/// The signature headers of one request, found to have the scheme's form.
#[derive(Debug)]
pub(super) struct Read<'a> {
    hmac: &'a Hmac,
    value: &'a str,
    /// The signed time: as sent, and what it means.
    pub(super) timestamp: Option<(&'a str, Timestamp)>,
    /// The event id's header as sent, where the signature covers it.
    pub(super) id: &'a [u8],
}

/// The one header of a name.
///
/// Two of them are refused: which one the apps behind would read is anybody's guess.
pub(super) fn single<'a>(head: Head<'a>, name: &HeaderName) -> Result<&'a HeaderValue, Rejection> {
    let mut values = head.headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        (None, _) => Err(Rejection::new(Reason::SignatureMissing, format!("there is no header {name}"))),
        (Some(_), Some(_)) => Err(malformed(format!("there is more than one header {name}"))),
    }
}

/// A signature header that does not have the scheme's form.
pub(super) fn malformed(detail: impl AsRef<str>) -> Rejection {
    Rejection::new(Reason::SignatureMalformed, detail)
}

// === impl Read ===

impl<'a> Read<'a> {
    /// Reads the headers.
    ///
    /// # Errors
    /// One is absent or does not have the scheme's form.
    pub(super) fn head(hmac: &'a Hmac, id_header: Option<&HeaderName>, head: Head<'a>) -> Result<Self, Rejection> {
        let Ok(value) = single(head, &hmac.header)?.to_str() else {
            return Err(malformed(format!("{} is not visible ASCII", hmac.header)));
        };
        let mut read = Self { hmac, value, timestamp: None, id: b"" };
        let mut signatures = 0_usize;
        read.each_signature(|_| signatures += 1);
        if signatures == 0 || signatures > SIGNATURES_MAX {
            let detail = format!(
                "{}: expected 1 to {SIGNATURES_MAX} signatures of {} bytes as {} after `{}`, found {signatures}",
                hmac.header,
                hmac.algorithm.output_bytes(),
                hmac.encoding,
                hmac.prefix
            );
            return Err(malformed(detail));
        }
        read.timestamp = read.timestamp_of(head)?;
        if hmac.signed.has(&Part::Id) {
            let Some(id_header) = id_header else { return Err(malformed("the scheme names no header of the id")) };
            read.id = single(head, id_header)?.as_bytes();
            read.check_id(id_header)?;
        }
        Ok(read)
    }

    /// Calls `with` for every signature that has the scheme's form; others (of other versions) are passed over.
    pub(super) fn each_signature(&self, mut with: impl FnMut(&Hash)) {
        let mut candidate = |text: &str| {
            let text = text.strip_prefix(&*self.hmac.prefix);
            let length = self.hmac.algorithm.output_bytes();
            if let Some(hash) = text.and_then(|text| Hash::decode(text.as_bytes(), self.hmac.encoding, length)) {
                with(&hash);
            }
        };
        match &self.hmac.form {
            Form::Bare => candidate(self.value),
            Form::Pairs { separator, key } => pairs(self.value, *separator, key).for_each(candidate),
            Form::List { separator } => self.value.split(*separator).for_each(candidate),
        }
    }

    fn timestamp_of(&self, head: Head<'a>) -> Result<Option<(&'a str, Timestamp)>, Rejection> {
        let Some(field) = &self.hmac.timestamp else { return Ok(None) };
        let text = match (&field.place, &self.hmac.form) {
            (TimestampPlace::Header(name), _) => single(head, name)?.to_str().unwrap_or_default(),
            (TimestampPlace::Pair(key), Form::Pairs { separator, .. }) => {
                let mut values = pairs(self.value, *separator, key);
                match (values.next(), values.next()) {
                    (Some(text), None) => text,
                    _ => return Err(malformed(format!("{}: expected one `{key}=`", self.hmac.header))),
                }
            }
            (TimestampPlace::Pair(_), _) => return Err(malformed("the scheme has a timestamp pair but no pairs")),
        };
        match parse_timestamp(text, field.unit) {
            Some(timestamp) => Ok(Some((text, timestamp))),
            None => Err(malformed(format!("the timestamp `{}` is not one", text.escape_default()))),
        }
    }

    /// An id that holds the text that ends it in the template could hand a part of itself to what follows:
    /// the same signature for another id and another body.
    fn check_id(&self, id_header: &HeaderName) -> Result<(), Rejection> {
        let parts = self.hmac.signed.parts();
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

/// The values of a key in `key=value` pairs.
fn pairs<'a>(value: &'a str, separator: char, key: &str) -> impl Iterator<Item = &'a str> {
    value.split(separator).filter_map(move |pair| {
        let (name, value) = pair.split_once('=')?;
        (name.trim() == key).then(|| value.trim())
    })
}

/// The time that a text means: digits only for numbers, so that one time is written in one way.
fn parse_timestamp(text: &str, unit: TimestampUnit) -> Option<Timestamp> {
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
