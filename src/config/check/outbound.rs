//! `outbound`: the sending side.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::checked::Outbound;
use super::ports::networks;
use super::value::{count, period, size};
use crate::config::document::problem::Problems;
use crate::config::document::spanned::At;
use crate::config::written;
use crate::dispatch::RateLimit;
use crate::domain::catalogue::is_event_type;

/// The shortest `secrets_key`: `openssl rand -base64 32` has 44 characters.
const KEY_CHARS_MIN: usize = 32;

/// The longest prefix of header names.
const PREFIX_CHARS_MAX: usize = 40;

/// The most attempts of one webhook at once.
const CONCURRENCY_MAX: u32 = 1000;

/// The bounds of attempts of all webhooks at once; a quarter of them is for failing ones.
const ATTEMPTS: std::ops::RangeInclusive<u32> = 4..=100_000;

/// The largest catalogue.
const EVENT_TYPES_MAX: usize = 1000;

/// `None`: it is off.
pub(super) fn outbound(whole: &written::Configuration, problems: &mut Problems<'_>) -> Option<Outbound> {
    let At { value: written, at } = whole.outbound.as_ref()?;
    let enabled = written.enabled.as_ref().is_some_and(|enabled| enabled.value);
    let default = Outbound::default();
    let checked = Outbound {
        secrets_keys: keys(written, problems),
        header_prefix: written
            .header_prefix
            .as_ref()
            .map_or(default.header_prefix, |prefix| self::prefix(prefix, problems)),
        user_agent: written.user_agent.as_ref().map_or(default.user_agent, |agent| user_agent(agent, problems)),
        event_types: written.event_types.as_ref().map_or(default.event_types, |types| event_types(types, problems)),
        timeout: period(written.timeout.as_ref(), default.timeout, problems),
        allow_private: networks_of_webhooks(written.allow_private.as_deref(), problems),
        concurrency: number(written.concurrency.as_ref(), default.concurrency, 1..=CONCURRENCY_MAX, problems),
        attempts_max: number(written.attempts_max.as_ref(), default.attempts_max, ATTEMPTS, problems),
        rate_limit: written.rate_limit.as_ref().map(|limit| RateLimit {
            requests: count(Some(&limit.value.requests), NonZeroU32::MIN, problems),
            per: period(Some(&limit.value.per), Duration::from_secs(1), problems),
            burst: count(limit.value.burst.as_ref(), NonZeroU32::MIN, problems),
        }),
        queue_max: written.queue_max.as_ref().map_or(default.queue_max, |most| most.value.max(1)),
        webhooks_max: number(written.webhooks_max.as_ref(), default.webhooks_max, 1..=u32::MAX, problems),
        body_bytes_max: usize::try_from(size(
            written.body_bytes_max.as_ref(),
            default.body_bytes_max as u64,
            1 << 10,
            16 << 20,
            problems,
        ))
        .unwrap_or(default.body_bytes_max),
        disable_after: period(written.disable_after.as_ref(), default.disable_after, problems),
        rotation_grace: period(written.rotation_grace.as_ref(), default.rotation_grace, problems),
    };
    if enabled && written.secrets_key.is_none() {
        problems.wrong_key(
            *at,
            "secrets_key",
            "missing: the secrets of webhooks would stand readable on the disk",
            "make one with `openssl rand -base64 32` and write secrets_key: \"${NAME}\"",
        );
    }
    enabled.then_some(checked)
}

fn keys(written: &written::Outbound, problems: &mut Problems<'_>) -> Vec<crate::domain::Secret> {
    let keys = written.secrets_key.iter().flat_map(|keys| &keys.value.0);
    let mut checked = Vec::new();
    for key in keys {
        let Some(secret) = super::value::secret(key, problems) else { continue };
        if secret.expose().len() < KEY_CHARS_MIN {
            problems.wrong(
                key.at,
                format!("shorter than {KEY_CHARS_MIN} characters"),
                "make one with `openssl rand -base64 32`",
            );
        }
        checked.push(secret);
    }
    checked
}

fn prefix(At { value, at }: &At<String>, problems: &mut Problems<'_>) -> Box<str> {
    let is_name = (1..=PREFIX_CHARS_MAX).contains(&value.len()) && value.parse::<HeaderName>().is_ok();
    // `webhook-signature` is Standard Webhooks' own name.
    if !is_name || value.ends_with('-') || value.eq_ignore_ascii_case("webhook") {
        problems.wrong(
            *at,
            "header names cannot begin with it",
            format!("write it like X-Appmint: at most {PREFIX_CHARS_MAX} characters, without the `-` behind it, not `webhook`"),
        );
    }
    value.as_str().into()
}

fn user_agent(At { value, at }: &At<String>, problems: &mut Problems<'_>) -> HeaderValue {
    let text = Some(value.trim()).filter(|text| !text.is_empty() && text.is_ascii());
    text.and_then(|text| HeaderValue::from_str(text).ok()).unwrap_or_else(|| {
        problems.wrong(*at, "cannot stand in a header", "write it like Appmint-Webhooks/1.0");
        HeaderValue::from_static("-")
    })
}

fn event_types(At { value: types, at }: &At<Vec<At<String>>>, problems: &mut Problems<'_>) -> Arc<[Box<str>]> {
    if types.is_empty() || types.len() > EVENT_TYPES_MAX {
        problems.wrong(*at, "out of bounds", format!("write 1 to {EVENT_TYPES_MAX} types"));
    }
    for (place, event_type) in types.iter().enumerate() {
        if !is_event_type(&event_type.value) {
            problems.wrong(event_type.at, "not an event type", "write it like payment.failed");
        }
        if types.iter().take(place).any(|earlier| earlier.value == event_type.value) {
            problems.wrong(event_type.at, "stands there twice", "remove one of them");
        }
    }
    types.iter().map(|event_type| event_type.value.as_str().into()).collect()
}

fn networks_of_webhooks(written: Option<&[At<String>]>, problems: &mut Problems<'_>) -> Vec<ipnet::IpNet> {
    let networks = networks(written, "webhooks may call every address, this machine's own included", problems);
    if let Some(first) = written.and_then(<[_]>::first) {
        problems.warn(
            first.at,
            "webhooks may be in networks that are not public",
            "whoever registers webhooks can make the gateway call services in there",
        );
    }
    networks
}

fn number(
    written: Option<&At<u32>>,
    default: NonZeroUsize,
    bounds: std::ops::RangeInclusive<u32>,
    problems: &mut Problems<'_>,
) -> NonZeroUsize {
    let Some(At { value, at }) = written else { return default };
    match usize::try_from(*value).ok().and_then(NonZeroUsize::new).filter(|_| bounds.contains(value)) {
        Some(number) => number,
        None => {
            problems.wrong(*at, "out of bounds", format!("write {} to {}", bounds.start(), bounds.end()));
            default
        }
    }
}
