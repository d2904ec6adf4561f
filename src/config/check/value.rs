//! The small checks that many keys share: bounds, names, headers, secrets.

use std::num::NonZeroU32;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::config::document::problem::Problems;
use crate::config::document::spanned::At;
use crate::config::quantity::{Period, Size};
use crate::config::written::SecretText;
use crate::domain::Secret;

/// The longest name of a source, a destination or a token.
const NAME_BYTES_MAX: usize = 64;

/// A duration that must not be zero.
pub(super) fn period(written: Option<&At<Period>>, default: Duration, problems: &mut Problems<'_>) -> Duration {
    let Some(At { value: Period(period), at }) = written else { return default };
    if period.is_zero() {
        problems.wrong(*at, "zero would end it before it begins", "write at least 1ms");
        return default;
    }
    *period
}

/// A size within bounds.
pub(super) fn size(written: Option<&At<Size>>, default: u64, min: u64, max: u64, problems: &mut Problems<'_>) -> u64 {
    let Some(At { value: Size(bytes), at }) = written else { return default };
    if !(min..=max).contains(bytes) {
        problems.wrong(*at, "out of bounds", format!("write {} to {}", Size(min), Size(max)));
        return default;
    }
    *bytes
}

/// A number that must not be zero.
pub(super) fn count(written: Option<&At<u32>>, default: NonZeroU32, problems: &mut Problems<'_>) -> NonZeroU32 {
    let Some(At { value, at }) = written else { return default };
    NonZeroU32::new(*value).unwrap_or_else(|| {
        problems.wrong(*at, "zero would let nothing through", "write at least 1");
        default
    })
}

/// Whether a name can be shown anywhere as it is.
pub(super) fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
}

pub(super) const NAME_HINT: &str =
    "a name has letters, digits, `-`, `_` and `.`, begins with a letter or a digit, and is at most 64 long";

/// A header's name.
pub(super) fn header_name(written: &At<String>, problems: &mut Problems<'_>) -> Option<HeaderName> {
    let name = written.value.trim().parse().ok();
    if name.is_none() {
        problems.wrong(written.at, "not a header name", "write it like X-Signature");
    }
    name
}

/// A header's value, marked as sensitive where it is a secret.
pub(super) fn header_value(written: &At<SecretText>, problems: &mut Problems<'_>) -> Option<HeaderValue> {
    let value = HeaderValue::from_str(&written.value.0).ok();
    if value.is_none() {
        problems.wrong(written.at, "cannot stand in a header", "visible ASCII characters and spaces only");
    }
    value.map(|mut value| {
        value.set_sensitive(true);
        value
    })
}

/// A secret that is not empty; a literal one is worth a warning.
pub(super) fn secret(written: &At<SecretText>, problems: &mut Problems<'_>) -> Option<Secret> {
    let secret = public(written, problems)?;
    if !problems.tree().is_referred(written.at) {
        problems.warn(
            written.at,
            "the secret stands in the file itself",
            "fine for trying things out; else write ${NAME} or { file: … }",
        );
    }
    Some(secret)
}

/// What `secrets` takes that everybody may know, such as a public key; not empty.
pub(super) fn public(written: &At<SecretText>, problems: &mut Problems<'_>) -> Option<Secret> {
    let text = written.value.0.as_str();
    let referred = problems.tree().is_referred(written.at);
    if text.trim().is_empty() {
        let hint = if referred { "what it refers to holds nothing" } else { "write ${NAME} or { file: … }" };
        problems.wrong(written.at, "the secret is empty", hint);
        return None;
    }
    if text.strip_suffix('\n').is_some_and(|line| !line.contains('\n')) {
        // Only `{ file: … }` leaves the last line break out; elsewhere somebody put it there.
        problems.wrong(written.at, "the secret ends with a line break", "make it with `printf %s` or `echo -n`");
        return None;
    }
    if text.contains('\n') {
        problems.wrong(written.at, "the secret has several lines", "one secret a value; several make a list");
        return None;
    }
    Some(Secret::new(text))
}
