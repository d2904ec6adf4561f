//! The handshakes that providers have.

use super::kinds::{Answer, Asked, Handshake, Shape, When};
use crate::guard::signature::Encoding;

/// Slack's `url_verification`.
pub const SLACK: Handshake = Handshake {
    what: "POST with `type: url_verification`: its `challenge` comes back",
    method: "POST",
    when: &[When::BodyIs("/type", "url_verification")],
    signed: true,
    token: None,
    answer: Answer::Echo(Asked::Body("/challenge"), Shape::Text),
};

/// Meta's verification of a callback URL.
pub const META: Handshake = Handshake {
    what: "GET with `hub.mode=subscribe`: its `hub.challenge` comes back where `hub.verify_token` is `verify_token`",
    method: "GET",
    when: &[When::QueryIs("hub.mode", "subscribe"), When::Query("hub.challenge")],
    signed: false,
    token: Some("hub.verify_token"),
    answer: Answer::Echo(Asked::Query("hub.challenge"), Shape::Text),
};

/// Strava's verification: Meta's question with an answer in JSON.
pub const STRAVA: Handshake = Handshake {
    what: "GET with `hub.mode=subscribe`: its `hub.challenge` comes back as JSON",
    answer: Answer::Echo(Asked::Query("hub.challenge"), Shape::Json("hub.challenge")),
    ..META
};

/// Zoom's validation, asked again every three days.
pub const ZOOM: Handshake = Handshake {
    what: "POST with `event: endpoint.url_validation`: `plainToken` comes back with its HMAC",
    method: "POST",
    when: &[When::BodyIs("/event", "endpoint.url_validation")],
    signed: true,
    token: None,
    answer: Answer::Proof {
        of: Asked::Body("/payload/plainToken"),
        asked: Some("plainToken"),
        name: "encryptedToken",
        prefix: "",
        encoding: Encoding::Hex,
    },
};

/// X's challenge-response check.
pub const X: Handshake = Handshake {
    what: "GET with `crc_token`: its HMAC comes back",
    method: "GET",
    when: &[When::Query("crc_token")],
    signed: false,
    token: None,
    answer: Answer::Proof {
        of: Asked::Query("crc_token"),
        asked: None,
        name: "response_token",
        prefix: "sha256=",
        encoding: Encoding::Base64,
    },
};

/// Dropbox's verification.
pub const DROPBOX: Handshake = Handshake {
    what: "GET with `challenge`: it comes back",
    method: "GET",
    when: &[When::Query("challenge")],
    signed: false,
    token: None,
    answer: Answer::Echo(Asked::Query("challenge"), Shape::Text),
};

/// Discord's ping of an interactions endpoint.
pub const DISCORD_INTERACTIONS: Handshake = Handshake {
    what: "POST with `type: 1` and no `event`: `{\"type\":1}`; what is signed wrongly, as Discord tries, gets 401",
    method: "POST",
    when: &[When::BodyIs("/type", "1"), When::NoBody("/event")],
    signed: true,
    token: None,
    answer: Answer::Json(r#"{"type":1}"#),
};

/// Discord's ping of a webhook events endpoint.
pub const DISCORD_EVENTS: Handshake = Handshake {
    what: "POST with `type: 0`: 204",
    when: &[When::BodyIs("/type", "0")],
    answer: Answer::NoContent,
    ..DISCORD_INTERACTIONS
};

/// Twitch's verification of a callback.
pub const TWITCH: Handshake = Handshake {
    what: "POST of message type `webhook_callback_verification`: its `challenge` comes back",
    method: "POST",
    when: &[When::HeaderIs("twitch-eventsub-message-type", "webhook_callback_verification")],
    signed: true,
    token: None,
    answer: Answer::Echo(Asked::Body("/challenge"), Shape::Text),
};

/// Xero's intent to receive, and LINE's test of a URL: a batch without events.
pub const NO_EVENTS: Handshake = Handshake {
    what: "POST with an empty list of `events`: 200 without a body where the signature is right, else 401",
    method: "POST",
    when: &[When::BodyEmpty("/events")],
    signed: true,
    token: None,
    answer: Answer::Empty,
};

/// Intercom looks whether somebody is there.
pub const INTERCOM: Handshake =
    Handshake { what: "HEAD: 200", method: "HEAD", when: &[], signed: false, token: None, answer: Answer::Empty };

/// WooCommerce pings a new webhook with a form that nothing signs.
pub const WOOCOMMERCE: Handshake = Handshake {
    what: "POST of an unsigned form, when the webhook is created: 200",
    method: "POST",
    when: &[
        When::NoHeader("x-wc-webhook-signature"),
        When::HeaderIs("content-type", "application/x-www-form-urlencoded"),
    ],
    signed: false,
    token: None,
    answer: Answer::Empty,
};

/// Okta's verification of an event hook.
pub const OKTA: Handshake = Handshake {
    what: "GET with `X-Okta-Verification-Challenge`: it comes back as JSON",
    method: "GET",
    when: &[When::Header("x-okta-verification-challenge")],
    signed: false,
    token: None,
    answer: Answer::Echo(Asked::Header("x-okta-verification-challenge"), Shape::Json("verification")),
};

/// Microsoft Graph's validation of a subscription.
pub const MICROSOFT_GRAPH: Handshake = Handshake {
    what: "POST with `validationToken` in the query: it comes back",
    method: "POST",
    when: &[When::Query("validationToken")],
    signed: false,
    token: None,
    answer: Answer::Echo(Asked::Query("validationToken"), Shape::Text),
};

/// monday.com's verification of a URL.
pub const MONDAY: Handshake = Handshake {
    what: "POST with `challenge` in the body: it comes back as JSON",
    method: "POST",
    when: &[When::Body("/challenge"), When::NoBody("/event")],
    signed: false,
    token: None,
    answer: Answer::Echo(Asked::Body("/challenge"), Shape::Json("challenge")),
};

/// CloudEvents' abuse protection: may this origin send?
pub const CLOUDEVENTS: Handshake = Handshake {
    what: "OPTIONS with `WebHook-Request-Origin`: that origin is allowed",
    method: "OPTIONS",
    when: &[When::Header("webhook-request-origin")],
    signed: false,
    token: None,
    answer: Answer::Origin,
};

/// Azure Event Grid's validation of a subscription in its own schema.
pub const EVENT_GRID: Handshake = Handshake {
    what: "POST of `aeg-event-type: SubscriptionValidation`: its `validationCode` comes back",
    method: "POST",
    when: &[When::HeaderIs("aeg-event-type", "SubscriptionValidation")],
    signed: false,
    token: None,
    answer: Answer::Echo(Asked::Body("/0/data/validationCode"), Shape::Json("validationResponse")),
};

/// Braintree's verification of a destination.
pub const BRAINTREE: Handshake = Handshake {
    what: "GET with `bt_challenge`: the public key and the challenge's HMAC come back",
    method: "GET",
    when: &[When::Query("bt_challenge")],
    signed: false,
    token: None,
    answer: Answer::PublicKeyAndProof(Asked::Query("bt_challenge")),
};

/// The confirmation of a subscription to a topic of SNS.
pub const AWS_SNS: Handshake = Handshake {
    what: "POST of `Type: SubscriptionConfirmation`: its `SubscribeURL` is called, where it is one of Amazon's",
    method: "POST",
    when: &[When::BodyIs("/Type", "SubscriptionConfirmation")],
    signed: true,
    token: None,
    answer: Answer::Confirm(Asked::Body("/SubscribeURL")),
};

/// Those that `verify.handshake` knows: of senders that have no scheme of their own here.
pub const BY_NAME: &[(&str, &[Handshake])] = &[
    ("cloudevents", &[CLOUDEVENTS]),
    ("microsoft-graph", &[MICROSOFT_GRAPH]),
    ("monday", &[MONDAY]),
    ("okta", &[OKTA]),
    ("strava", &[STRAVA]),
];
