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

const SENDER: &str = "192.0.2.10";
const STRANGER: &str = "203.0.113.99";
const BOTH: &[&str] = &["analytics", "notifications"];
const ALL: &[&str] = &["analytics", "notifications", "crm"];

/// Every request, in the order in which they are sent.
pub(super) fn cases() -> Vec<Case> {
    use Expected::{Delivered, Duplicate, Refused};
    use Signing::{Absent, Genuine, GenuineAged, Tampered, WrongSecret};
    let user = "evt_demo_user";
    let slow = |id, expected| {
        case("from a source that may send two an hour", SLOW_PATH, id, "file.uploaded", Genuine, expected)
    };
    let mut cases = vec![
        case("genuine", APPMINT_PATH, user, "user.created", Genuine, Delivered(BOTH)),
        case(
            "genuine; the crm fails twice, then recovers",
            APPMINT_PATH,
            STUMBLING_EVENT,
            "payment.succeeded",
            Genuine,
            Delivered(ALL),
        ),
        case("genuine, signed with a time", STANDARD_PATH, "evt_demo_partner", "order.paid", Genuine, Delivered(BOTH)),
        case("the first one again", APPMINT_PATH, user, "user.created", Genuine, Duplicate),
        case("the payment again", APPMINT_PATH, STUMBLING_EVENT, "payment.succeeded", Genuine, Duplicate),
        case(
            "forged: another secret",
            APPMINT_PATH,
            "evt_demo_forged",
            "payment.succeeded",
            WrongSecret,
            Refused(401, "signature_mismatch"),
        ),
        case(
            "tampered with: one byte changed",
            APPMINT_PATH,
            "evt_demo_tampered",
            "payment.succeeded",
            Tampered,
            Refused(401, "signature_mismatch"),
        ),
        case(
            "not signed",
            APPMINT_PATH,
            "evt_demo_unsigned",
            "user.created",
            Absent,
            Refused(401, "signature_missing"),
        ),
        case(
            "stale: signed ten minutes ago",
            STANDARD_PATH,
            "evt_demo_stale",
            "order.paid",
            GenuineAged { minutes: 10 },
            Refused(401, "timestamp_too_old"),
        ),
        Case {
            client: STRANGER,
            ..case(
                "from an address that is not allowed",
                APPMINT_PATH,
                "evt_demo_stranger",
                "user.created",
                Genuine,
                Refused(403, "address_not_allowed"),
            )
        },
        Case {
            body: Bytes::from_static(b"{\"id\": \"evt_demo_broken\", "),
            ..case(
                "signed, but not JSON",
                APPMINT_PATH,
                "evt_demo_broken",
                "user.created",
                Genuine,
                Refused(400, "body_not_json"),
            )
        },
        case(
            "to a path that nobody owns",
            "/webhooks/nobody",
            "evt_demo_lost",
            "user.created",
            Genuine,
            Refused(404, "unknown_path"),
        ),
    ];
    cases.extend([
        slow("evt_demo_slow_1", Delivered(BOTH)),
        slow("evt_demo_slow_2", Delivered(BOTH)),
        slow("evt_demo_slow_3", Refused(429, "rate_limited")),
    ]);
    cases
}

fn case(
    what: &'static str,
    path: &'static str,
    id: &'static str,
    event_type: &str,
    signing: Signing,
    expected: Expected,
) -> Case {
    let body = serde_json::json!({
        "id": id,
        "type": event_type,
        "created": "2026-01-15T10:30:00Z",
        "api_version": "2024-01-01",
        "data": { "id": "obj_1", "amount": 2999, "currency": "usd" },
        "livemode": false,
    });
    Case { what, path, id, body: body.to_string().into(), signing, client: SENDER, expected }
}
