//! `destinations`: where, how fast, how often.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use zeroize::Zeroizing;

use super::checked::{Destination, Source};
use super::value::{NAME_HINT, count, header_name, header_value, is_name, period, secret, size};
use crate::config::document::problem::Problems;
use crate::config::document::spanned::{At, Named};
use crate::config::document::tree::NodeId;
use crate::config::written;
use crate::deliver::{Endpoint, EndpointUrl, HeaderEdits, SignatureMode, SigningKey};
use crate::dispatch::{self, BreakerSettings, RateLimit};
use crate::domain::{Schedule, WebhookId};

/// The most attempts of one destination that may be under way at once.
const CONCURRENCY_MAX: u32 = 10_000;

/// The most retries; an attempt's number has 16 bits and a person has patience.
const RETRIES_MAX: usize = 100;

/// The most of an answer's body that is kept.
const RESPONSE_BYTES_MAX: u64 = 16 << 20;

pub(super) fn destinations(
    written: &Named<written::Destination>,
    shards: u8,
    problems: &mut Problems<'_>,
) -> Vec<Destination> {
    let mut destinations = Vec::new();
    for (name, destination) in &written.0 {
        if !is_name(name) {
            problems.wrong_name(destination.at, "not a name", NAME_HINT);
        }
        if name.parse::<WebhookId>().is_ok() {
            problems.wrong(
                destination.at,
                "the id of a webhook",
                "webhooks are registered through the API: choose a name",
            );
        }
        let settings = settings(name, &destination.value, problems);
        if let Some(order) = destination.value.order.as_ref().filter(|_| shards > 1) {
            problems.wrong(
                order.at,
                format!("one line, and the store has {shards} shards, each of which knows its own part of it only"),
                "write `store.shards: 1`, in a cluster too, or leave `order` out",
            );
        }
        let endpoint = endpoint(destination, settings.timeout, problems);
        destinations.push(Destination { settings, endpoint });
    }
    destinations
}

/// The app of a source whose events are kept while it cannot be reached: a destination like any other, with the
/// defaults of all but its time, which is what it has when it answers itself.
pub(super) fn app(source: &Source, request_timeout: Duration) -> Option<Destination> {
    let (name, app) = (source.kept_for_app()?, source.mode.app()?);
    let mut settings = dispatch::Destination::new(name);
    settings.timeout = request_timeout;
    let mut endpoint = Endpoint::new(app.with_path_behind(&source.path)?);
    endpoint.timeout = request_timeout;
    Some(Destination { settings, endpoint: Some(endpoint) })
}

fn settings(name: &str, written: &written::Destination, problems: &mut Problems<'_>) -> dispatch::Destination {
    let default = dispatch::Destination::new(name);
    let mut settings = default.clone();
    settings.timeout = period(written.timeout.as_ref(), default.timeout, problems);
    if let Some(At { value, at }) = &written.concurrency {
        match usize::try_from(*value).ok().and_then(NonZeroUsize::new) {
            Some(concurrency) if *value <= CONCURRENCY_MAX => settings.concurrency = concurrency,
            _ => problems.wrong(*at, "out of bounds", format!("write 1 to {CONCURRENCY_MAX}")),
        }
    }
    if let Some(At { value: written::Order { by }, at }) = &written.order {
        let written::OrderBy::Destination = by.value;
        settings.ordered = true;
        if written.concurrency.as_ref().is_some_and(|concurrency| concurrency.value > 1) {
            problems.wrong(
                *at,
                "one delivery after the other, and `concurrency` allows several at once",
                "leave `concurrency` out or write 1: the order needs it",
            );
        }
        settings.concurrency = NonZeroUsize::MIN;
    }
    settings.concurrency_shared = written.concurrency_shared.as_ref().is_some_and(|shared| shared.value);
    if let Some(At { value, at }) = &written.queue_max {
        settings.queue_max = *value;
        if *value == 0 {
            problems.wrong(*at, "every delivery would be dead at once", "write at least 1");
        }
    }
    settings.schedule = written.retry.as_ref().map_or(default.schedule, |retry| schedule(&retry.value, problems));
    settings.breaker =
        written.breaker.as_ref().map_or(default.breaker, |breaker| self::breaker(&breaker.value, problems));
    settings.rate_limit = written.rate_limit.as_ref().map(|limit| RateLimit {
        requests: count(Some(&limit.value.requests), NonZeroU32::MIN, problems),
        per: period(Some(&limit.value.per), Duration::from_secs(1), problems),
        burst: count(limit.value.burst.as_ref(), NonZeroU32::MIN, problems),
    });
    settings
}

fn schedule(written: &written::Retry, problems: &mut Problems<'_>) -> Schedule {
    let mut schedule = Schedule::default();
    if let Some(At { value: waits, at }) = &written.schedule {
        if waits.len() > RETRIES_MAX {
            problems.wrong(*at, "too many retries", format!("write at most {RETRIES_MAX}"));
        }
        schedule.waits = waits.iter().map(|wait| wait.value.0).collect();
    }
    if let Some(At { value: jitter, at }) = &written.jitter {
        schedule.jitter = *jitter;
        if !(0.0..=1.0).contains(jitter) {
            problems.wrong(*at, "not a part of the wait", "write 0 to 1");
        }
    }
    if let Some(At { value: statuses, .. }) = &written.final_statuses {
        schedule.final_statuses = statuses.iter().map(|status| status.value).collect();
        for At { value: status, at } in statuses {
            match status {
                200..=299 => problems.wrong(*at, "2xx is success already", "remove it"),
                100..=199 | 300..=599 => {}
                _ => problems.wrong(*at, "not a status", "write 300 to 599"),
            }
        }
    }
    schedule
}

fn breaker(written: &written::Breaker, problems: &mut Problems<'_>) -> BreakerSettings {
    let default = BreakerSettings::default();
    BreakerSettings {
        failures: count(written.failures.as_ref(), default.failures, problems),
        window: period(written.window.as_ref(), default.window, problems),
        open: period(written.open.as_ref(), default.open, problems),
    }
}

fn endpoint(
    At { value: written, at }: &At<written::Destination>,
    timeout: Duration,
    problems: &mut Problems<'_>,
) -> Option<Endpoint> {
    let discard = written.discard.as_ref().filter(|discard| discard.value);
    let url = match (&written.url, discard) {
        (None, Some(discard)) => {
            problems.warn(discard.at, "every delivery is dropped", "fine for trying things out");
            return None;
        }
        (Some(url), Some(_)) => {
            problems.wrong(url.at, "a destination with `discard: true` sends nothing", "remove one of them");
            return None;
        }
        (None, None) => {
            problems.wrong_key(*at, "url", "`url` is missing here", "write where requests go, or `discard: true`");
            return None;
        }
        (Some(url), None) => url,
    };
    let mut endpoint = Endpoint::new(match EndpointUrl::parse(url.value.trim()) {
        Ok(url) => url,
        Err(error) => {
            problems.wrong(url.at, error.to_string(), "write it like http://crm-service/webhooks");
            return None;
        }
    });
    endpoint.timeout = timeout;
    let kept =
        size(written.response_bytes_max.as_ref(), endpoint.response_bytes_max as u64, 0, RESPONSE_BYTES_MAX, problems);
    endpoint.response_bytes_max = usize::try_from(kept).unwrap_or(usize::MAX);
    endpoint.headers = written.headers.as_ref().map(|edits| headers(&edits.value, problems)).unwrap_or_default();
    endpoint.auth = written.auth.as_ref().and_then(|auth| authorization(&auth.value, auth.at, problems));
    endpoint.sign = written.sign.as_ref().and_then(|sign| signing_key(&sign.value, problems));
    endpoint.signature = match written.signature.as_ref().map(|mode| mode.value) {
        None | Some(written::SignatureMode::Auto) => SignatureMode::Auto,
        Some(written::SignatureMode::Keep) => SignatureMode::Keep,
        Some(written::SignatureMode::Refresh) => SignatureMode::Refresh,
    };
    Some(endpoint)
}

fn signing_key(written: &written::Sign, problems: &mut Problems<'_>) -> Option<SigningKey> {
    let key = SigningKey::from_secret(&secret(&written.secret, problems)?);
    key.map_err(|error| problems.wrong(written.secret.at, error.to_string(), "the receiver needs the same one")).ok()
}

/// Headers that this gateway or the connection owns.
fn is_ours(name: &HeaderName) -> bool {
    const OWNED: [&str; 9] = [
        "host",
        "content-length",
        "connection",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "keep-alive",
        "proxy-connection",
    ];
    OWNED.contains(&name.as_str()) || name.as_str().starts_with("hookward-")
}

fn headers(written: &written::Headers, problems: &mut Problems<'_>) -> HeaderEdits {
    let mut edits = HeaderEdits { add: HeaderMap::new(), remove: Vec::new() };
    for (name, value) in &written.add.0 {
        let Ok(name) = name.parse::<HeaderName>() else {
            problems.wrong_name(value.at, "not a header name", "write it like X-Tenant");
            continue;
        };
        if is_ours(&name) {
            problems.wrong_name(value.at, "this header is the gateway's own", "choose another name");
        }
        if let Some(value) = header_value(value, problems) {
            edits.add.insert(name, value);
        }
    }
    for name in &written.remove {
        let Some(checked) = header_name(name, problems) else { continue };
        if is_ours(&checked) {
            problems.wrong(name.at, "this header is the gateway's own", "it cannot be removed");
        } else if edits.add.contains_key(&checked) {
            problems.wrong(name.at, "`add` sets this header", "what is added replaces the sender's: remove it here");
        }
        edits.remove.push(checked);
    }
    edits
}

fn authorization(written: &written::Auth, at: NodeId, problems: &mut Problems<'_>) -> Option<HeaderValue> {
    let value = match (&written.bearer, &written.username, &written.password) {
        (Some(bearer), None, None) => {
            let token = secret(bearer, problems)?;
            let token = std::str::from_utf8(token.expose()).unwrap_or_default();
            Zeroizing::new(format!("Bearer {}", token.trim()))
        }
        (None, Some(username), Some(password)) => {
            if username.value.contains(':') {
                problems.wrong(username.at, "a user name has no colon", "RFC 7617 ends it there");
            }
            let password = secret(password, problems)?;
            let password = std::str::from_utf8(password.expose()).unwrap_or_default();
            let both = Zeroizing::new(format!("{}:{password}", username.value));
            Zeroizing::new(format!("Basic {}", STANDARD.encode(both.as_bytes())))
        }
        _ => {
            problems.wrong(at, "neither `bearer` alone nor `username` with `password`", "write one of the two");
            return None;
        }
    };
    let mut value = match HeaderValue::from_str(&value) {
        Ok(value) => value,
        Err(_) => {
            problems.wrong(at, "cannot stand in a header", "visible ASCII characters only");
            return None;
        }
    };
    value.set_sensitive(true);
    Some(value)
}
