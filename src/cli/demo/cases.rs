//! What the demo sends, and how each request should end.

use bytes::Bytes;

/// How a request is signed, or is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signing {
    /// With the source's secret.
    Genuine,
    /// With the source's secret, and a minute's age for each of these.
    GenuineAged { minutes: u64 },
    /// With another secret.
    WrongSecret,
    /// With the source's secret, and one byte of the body changed afterwards.
    Tampered,
    /// Not at all.
    Absent,
}

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// What it stands for.
    pub(super) what: &'static str,
    /// The ingress's path.
    pub(super) path: &'static str,
    /// The sender's own event id.
    pub(super) id: &'static str,
    pub(super) body: Bytes,
    pub(super) signing: Signing,
    /// The address that the trusted proxy in front says the client has.
    pub(super) client: &'static str,
    pub(super) expected: Expected,
}

/// How it should end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// Kept, and taken once by each of these services.
    Delivered(&'static [&'static str]),
    /// Told 2xx again, and not delivered again.
    Duplicate,
    /// Refused with this status and code.
    Refused(u16, &'static str),
}

/// The event that the crm refuses twice before it takes it.
pub(super) const STUMBLING_EVENT: &str = "evt_demo_payment";

/// The path of a source with a signed time (Standard Webhooks).
pub(super) const STANDARD_PATH: &str = "/webhooks/partner";
/// The path of the platform's source.
pub(super) const APPMINT_PATH: &str = "/webhooks/appmint";
/// The path of a source that takes two requests an hour.
pub(super) const SLOW_PATH: &str = "/webhooks/slow";

/// The event whose body is cut off before it is signed.
const BROKEN_EVENT: &str = "evt_demo_broken";
/// The event that comes from an address that no source allows.
const STRANGERS_EVENT: &str = "evt_demo_stranger";

const SENDER: &str = "192.0.2.10";
const STRANGER: &str = "203.0.113.99";
const BOTH: &[&str] = &["analytics", "notifications"];
const ALL: &[&str] = &["analytics", "notifications", "crm"];

/// One row of [`CASES`]: what, path, id, type, signing, how it should end.
type Row = (&'static str, &'static str, &'static str, &'static str, Signing, Expected);

/// Every request, in the order in which they are sent.
#[rustfmt::skip]
const CASES: &[Row] = &[
    ("genuine", APPMINT_PATH, "evt_demo_user", "user.created", Signing::Genuine, Expected::Delivered(BOTH)),
    ("genuine; the crm fails twice, then recovers", APPMINT_PATH, STUMBLING_EVENT, "payment.succeeded", Signing::Genuine, Expected::Delivered(ALL)),
    ("genuine, signed with a time", STANDARD_PATH, "evt_demo_partner", "order.paid", Signing::Genuine, Expected::Delivered(BOTH)),
    ("the first one again", APPMINT_PATH, "evt_demo_user", "user.created", Signing::Genuine, Expected::Duplicate),
    ("the payment again", APPMINT_PATH, STUMBLING_EVENT, "payment.succeeded", Signing::Genuine, Expected::Duplicate),
    ("forged: another secret", APPMINT_PATH, "evt_demo_forged", "payment.succeeded", Signing::WrongSecret, Expected::Refused(401, "signature_mismatch")),
    ("tampered with: one byte changed", APPMINT_PATH, "evt_demo_tampered", "payment.succeeded", Signing::Tampered, Expected::Refused(401, "signature_mismatch")),
    ("not signed", APPMINT_PATH, "evt_demo_unsigned", "user.created", Signing::Absent, Expected::Refused(401, "signature_missing")),
    ("stale: signed ten minutes ago", STANDARD_PATH, "evt_demo_stale", "order.paid", Signing::GenuineAged { minutes: 10 }, Expected::Refused(401, "timestamp_too_old")),
    ("from an address that is not allowed", APPMINT_PATH, STRANGERS_EVENT, "user.created", Signing::Genuine, Expected::Refused(403, "address_not_allowed")),
    ("signed, but not JSON", APPMINT_PATH, BROKEN_EVENT, "user.created", Signing::Genuine, Expected::Refused(400, "body_not_json")),
    ("to a path that nobody owns", "/webhooks/nobody", "evt_demo_lost", "user.created", Signing::Genuine, Expected::Refused(404, "unknown_path")),
    ("from a source that may send two an hour", SLOW_PATH, "evt_demo_slow_1", "file.uploaded", Signing::Genuine, Expected::Delivered(BOTH)),
    ("from the same source", SLOW_PATH, "evt_demo_slow_2", "file.uploaded", Signing::Genuine, Expected::Delivered(BOTH)),
    ("from the same source, too fast", SLOW_PATH, "evt_demo_slow_3", "file.uploaded", Signing::Genuine, Expected::Refused(429, "rate_limited")),
];

/// Every request, in the order in which they are sent.
pub(super) fn cases() -> Vec<Case> {
    CASES.iter().map(case).collect()
}

fn case(&(what, path, id, event_type, signing, expected): &Row) -> Case {
    let body = serde_json::json!({
        "id": id,
        "type": event_type,
        "created": "2026-01-15T10:30:00Z",
        "api_version": "2024-01-01",
        "data": { "id": "obj_1", "amount": 2999, "currency": "usd" },
        "livemode": false,
    });
    let mut body = body.to_string();
    if id == BROKEN_EVENT {
        body.truncate(body.len() / 2);
    }
    let client = if id == STRANGERS_EVENT { STRANGER } else { SENDER };
    Case { what, path, id, body: body.into(), signing, client, expected }
}
