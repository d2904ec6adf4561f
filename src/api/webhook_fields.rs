//! What may stand in a webhook: every field bounded, and what is wrong said with its place.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::problem::Problem;
use crate::config::Period;
use crate::domain::headers::is_end_to_end;
use crate::domain::{Glob, Secret};

/// The longest URL, in bytes.
const URL_BYTES_MAX: usize = 2048;
/// The most globs of `events`, and the longest of them.
const EVENTS_MAX: usize = 100;
const EVENT_BYTES_MAX: usize = 255;
/// The longest description, in bytes.
const DESCRIPTION_BYTES_MAX: usize = 1000;
/// The most notes of `metadata`, the longest name and the longest value.
const METADATA_MAX: usize = 50;
const METADATA_NAME_BYTES_MAX: usize = 40;
const METADATA_VALUE_BYTES_MAX: usize = 500;
/// The most custom headers, and the longest value.
const HEADERS_MAX: usize = 20;
const HEADER_BYTES_MAX: usize = 4096;
/// How long a secret that a customer brings may be.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 16..=256;
/// The longest grace of a replaced secret.
const GRACE_MAX: Duration = Duration::from_secs(30 * 86_400);

/// `POST /v1/webhooks`.
#[derive(Debug, JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "CreateWebhook")]
pub(super) struct Create {
    pub(super) url: String,
    pub(super) events: Vec<String>,
    pub(super) description: Option<String>,
    #[serde(default)]
    pub(super) metadata: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    pub(super) active: Option<bool>,
    pub(super) secret: Option<String>,
    #[serde(default)]
    pub(super) asymmetric: bool,
}

/// `PATCH /v1/webhooks/{id}`: what is absent stays.
#[derive(Debug, JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "UpdateWebhook")]
pub(super) struct Update {
    pub(super) url: Option<String>,
    pub(super) events: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Option<String>")]
    pub(super) description: Option<Option<String>>,
    pub(super) metadata: Option<BTreeMap<String, String>>,
    pub(super) headers: Option<BTreeMap<String, String>>,
    pub(super) active: Option<bool>,
    pub(super) asymmetric: Option<bool>,
}

/// `POST /v1/webhooks/{id}/rotate-secret`.
#[derive(Debug, JsonSchema, Deserialize)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RotateSecret")]
pub(super) struct Rotate {
    pub(super) secret: Option<String>,
    pub(super) grace: Option<String>,
}

/// `null` is something else than nothing.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

/// Names with their values.
type Notes = Vec<(Box<str>, Box<str>)>;

pub(super) fn url(text: &str) -> Result<&str, Problem> {
    if text.is_empty() || text.len() > URL_BYTES_MAX {
        return Err(Problem::body("/url", format!("expected 1 to {URL_BYTES_MAX} bytes")));
    }
    Ok(text)
}

pub(super) fn events(globs: &[String]) -> Result<Vec<Glob>, Problem> {
    if globs.is_empty() || globs.len() > EVENTS_MAX {
        return Err(Problem::body("/events", format!("expected 1 to {EVENTS_MAX} types or globs")));
    }
    let glob = |(at, glob): (usize, &String)| {
        let is_glob = (1..=EVENT_BYTES_MAX).contains(&glob.len())
            && glob.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.*".contains(&byte));
        let expected = "expected a type such as payment.failed, or a glob such as payment.* or *";
        if is_glob { Ok(Glob::new(glob)) } else { Err(Problem::body(&format!("/events/{at}"), expected)) }
    };
    globs.iter().enumerate().map(glob).collect()
}

pub(super) fn description(text: Option<String>) -> Result<Option<Box<str>>, Problem> {
    match text {
        Some(text) if text.len() > DESCRIPTION_BYTES_MAX => {
            Err(Problem::body("/description", format!("expected at most {DESCRIPTION_BYTES_MAX} bytes")))
        }
        text => Ok(text.map(String::into_boxed_str)),
    }
}

pub(super) fn metadata(notes: BTreeMap<String, String>) -> Result<Notes, Problem> {
    if notes.len() > METADATA_MAX {
        return Err(Problem::body("/metadata", format!("expected at most {METADATA_MAX} entries")));
    }
    for (name, value) in &notes {
        if name.is_empty() || name.len() > METADATA_NAME_BYTES_MAX || value.len() > METADATA_VALUE_BYTES_MAX {
            let bounds =
                format!("a name has 1 to {METADATA_NAME_BYTES_MAX} bytes, a value at most {METADATA_VALUE_BYTES_MAX}");
            return Err(Problem::body("/metadata", bounds));
        }
    }
    Ok(notes.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
}

/// Custom headers: none that belongs to one connection, to the framing, to us or to the platform.
pub(super) fn headers(headers: BTreeMap<String, String>, prefix: &str) -> Result<Vec<(Box<str>, Secret)>, Problem> {
    if headers.len() > HEADERS_MAX {
        return Err(Problem::body("/headers", format!("expected at most {HEADERS_MAX} headers")));
    }
    let mut checked: Vec<(Box<str>, Secret)> = Vec::new();
    for (name, value) in headers {
        let pointer = format!("/headers/{}", name.replace('~', "~0").replace('/', "~1"));
        let Ok(lower) = name.parse::<HeaderName>() else {
            return Err(Problem::body(&pointer, "not a header name"));
        };
        let prefixed =
            lower.as_str().strip_prefix(&*prefix.to_ascii_lowercase()).is_some_and(|rest| rest.starts_with('-'));
        let ours = ["content-type", "content-encoding", "user-agent", "accept-encoding"].contains(&lower.as_str());
        if !is_end_to_end(lower.as_str()) || lower.as_str().starts_with("webhook-") || prefixed || ours {
            return Err(Problem::body(&pointer, "this header is not the customer's to set"));
        }
        if checked.iter().any(|(known, _)| known.eq_ignore_ascii_case(&name)) {
            return Err(Problem::body(&pointer, "is there twice"));
        }
        if value.is_empty() || value.len() > HEADER_BYTES_MAX || HeaderValue::from_str(&value).is_err() {
            let expected = format!("expected 1 to {HEADER_BYTES_MAX} visible ASCII characters and spaces");
            return Err(Problem::body(&pointer, expected));
        }
        checked.push((name.into(), Secret::new(value)));
    }
    Ok(checked)
}

pub(super) fn secret(text: Option<String>) -> Result<Option<Secret>, Problem> {
    let Some(text) = text else { return Ok(None) };
    if !SECRET_BYTES.contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        let (least, most) = (SECRET_BYTES.start(), SECRET_BYTES.end());
        return Err(Problem::body("/secret", format!("expected {least} to {most} visible ASCII characters")));
    }
    Ok(Some(Secret::new(text)))
}

pub(super) fn grace(text: Option<&str>) -> Result<Option<Duration>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let Period(grace) =
        text.parse().map_err(|_unreadable| Problem::body("/grace", "expected a time such as 24h or 0s"))?;
    if grace > GRACE_MAX {
        return Err(Problem::body("/grace", format!("expected at most {}", Period(GRACE_MAX))));
    }
    Ok(Some(grace))
}
