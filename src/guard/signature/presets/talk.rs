//! Messages, calls and meetings.

use super::super::preset::{Checked, Preset, PresetCopies, PresetField, PresetProof, PresetSignatures};
use super::super::scheme::{Algorithm, Encoding, Form, KeyEncoding, KeyForm, TimestampUnit, UrlForm};
use crate::guard::handshake::known;

const JSON_OR_FORM: &[&str] = &["application/json", "application/x-www-form-urlencoded"];

/// Slack.
pub const SLACK: Preset = Preset {
    name: "slack",
    provider: "Slack",
    proof: PresetProof::Signatures(PresetSignatures {
        place: "header:x-slack-signature",
        prefix: "v0=",
        signed: "v0:{timestamp}:{body}",
        time: "header:x-slack-request-timestamp",
        ..PresetSignatures::HEX
    }),
    event_id: PresetField::Optional(&["body:/event_id"]),
    event_type: PresetField::Optional(&["body:/event/type"]),
    content_types: JSON_OR_FORM,
    handshakes: &[known::SLACK],
    secret: "the app's signing secret (Basic Information)",
    setup: "app, Event Subscriptions (or Interactivity, Slash Commands): request URL",
    page: "https://docs.slack.dev/authentication/verifying-requests-from-slack",
    note: "slash commands and interactions come as forms, without an id: they are not told as copies",
    checked: Checked::TheySign("PyPI slack-sdk"),
    ..Preset::BASE
};

/// Discord's interactions and webhook events.
pub const DISCORD: Preset = Preset {
    name: "discord",
    provider: "Discord",
    proof: PresetProof::Signatures(PresetSignatures {
        place: "header:x-signature-ed25519",
        algorithm: Algorithm::Ed25519,
        signed: "{timestamp}{body}",
        time: "header:x-signature-timestamp",
        key: KeyForm { strip_prefix: "", encoding: KeyEncoding::Hex },
        ..PresetSignatures::HEX
    }),
    event_id: PresetField::Optional(&["body:/id"]),
    event_type: PresetField::Optional(&["body:/type"]),
    handshakes: &[known::DISCORD_INTERACTIONS, known::DISCORD_EVENTS],
    secret: "the application's public key (General Information): not a secret",
    setup: "Developer Portal, application: interactions endpoint URL, or Webhooks, endpoint URL",
    page: "https://docs.discord.com/developers/interactions/overview",
    checked: Checked::TheyVerify("npm discord-interactions"),
    ..Preset::BASE
};

/// Telegram's bots.
pub const TELEGRAM: Preset = Preset {
    name: "telegram",
    provider: "Telegram Bot API",
    proof: PresetProof::Token { header: "x-telegram-bot-api-secret-token", prefix: "" },
    event_id: PresetField::Required(&["body:/update_id"]),
    secret: "the `secret_token` that is given to setWebhook",
    setup: "call setWebhook with `url` and `secret_token`",
    page: "https://core.telegram.org/bots/api#setwebhook",
    note: "a token, no signature: whoever reads one request can send others",
    checked: Checked::OthersVerify("npm grammy"),
    ..Preset::BASE
};

/// Meta: WhatsApp, Instagram, Messenger, Facebook.
pub const META: Preset = Preset {
    name: "meta",
    provider: "Meta (WhatsApp, Instagram, Messenger)",
    proof: PresetProof::Signatures(PresetSignatures {
        place: "header:x-hub-signature-256",
        prefix: "sha256=",
        ..PresetSignatures::HEX
    }),
    event_type: PresetField::Optional(&["body:/object"]),
    copies: PresetCopies::Body,
    handshakes: &[known::META],
    secret: "the app's secret (App settings, Basic)",
    setup: "app, Webhooks (or the product's own page): callback URL and verify token",
    page: "https://developers.facebook.com/docs/graph-api/webhooks/getting-started",
    note: "a batch of changes: copies are told by the whole body",
    checked: Checked::OthersVerify("PyPI pywa"),
    ..Preset::BASE
};

/// LINE's Messaging API.
pub const LINE: Preset = Preset {
    name: "line",
    provider: "LINE Messaging API",
    proof: PresetProof::Signatures(PresetSignatures { place: "header:x-line-signature", ..PresetSignatures::BASE64 }),
    copies: PresetCopies::Body,
    handshakes: &[known::NO_EVENTS],
    secret: "the channel secret",
    setup: "LINE Developers, channel, Messaging API: webhook URL",
    page: "https://developers.line.biz/en/docs/messaging-api/verify-webhook-signature/",
    note: "a batch of events: copies are told by the whole body",
    checked: Checked::TheyVerify("npm @line/bot-sdk"),
    ..Preset::BASE
};

/// Twilio.
pub const TWILIO: Preset = Preset {
    name: "twilio",
    provider: "Twilio",
    proof: PresetProof::Signatures(PresetSignatures {
        place: "header:x-twilio-signature",
        algorithm: Algorithm::Sha1,
        signed: "{url}{form}",
        url: UrlForm::WithOrWithoutPort,
        ..PresetSignatures::BASE64
    }),
    event_id: PresetField::Optional(&["header:i-twilio-idempotency-token"]),
    content_types: JSON_OR_FORM,
    secret: "the account's auth token",
    setup: "the number, the service or the request: status or webhook URL, exactly as `public_url`",
    page: "https://www.twilio.com/docs/usage/security#validating-requests",
    note: "forms are signed by parameter and other bodies by `bodySHA256`; the URL is tried with and without its port",
    checked: Checked::TheySign("npm twilio"),
    ..Preset::BASE
};

/// SendGrid's event webhook.
pub const SENDGRID: Preset = Preset {
    name: "sendgrid",
    provider: "SendGrid (event webhook)",
    proof: PresetProof::Signatures(PresetSignatures {
        place: "header:x-twilio-email-event-webhook-signature",
        algorithm: Algorithm::EcdsaP256,
        signed: "{timestamp}{body}",
        time: "header:x-twilio-email-event-webhook-timestamp",
        key: KeyForm { strip_prefix: "", encoding: KeyEncoding::Base64 },
        ..PresetSignatures::BASE64
    }),
    copies: PresetCopies::Body,
    secret: "the verification key that Signed Event Webhook shows: a public key, not a secret",
    setup: "Settings, Mail Settings, Event Webhooks: post URL, Enable Signed Event Webhook",
    page: "https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features",
    note: "a batch of events: copies are told by the whole body",
    checked: Checked::TheyVerify("npm @sendgrid/eventwebhook"),
    ..Preset::BASE
};

/// Mailgun, whose signature stands in the body and covers a time and a token alone.
pub const MAILGUN: Preset = Preset {
    name: "mailgun",
    provider: "Mailgun",
    proof: PresetProof::Signatures(PresetSignatures {
        place: "body:/signature/signature",
        signed: "{timestamp}{body:/signature/token}",
        time: "body:/signature/timestamp",
        ..PresetSignatures::HEX
    }),
    event_id: PresetField::Required(&["body:/signature/token"]),
    event_type: PresetField::Optional(&["body:/event-data/event"]),
    secret: "the webhook signing key",
    setup: "Sending, Webhooks: URL for each event type",
    page: "https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks",
    note: "does not sign the event itself: each token counts once, so that a request that was read cannot be sent again with another event",
    checked: Checked::TheyVerify("PyPI mailgun"),
    ..Preset::BASE
};

/// Zoom.
pub const ZOOM: Preset = Preset {
    name: "zoom",
    provider: "Zoom",
    proof: PresetProof::Signatures(PresetSignatures {
        place: "header:x-zm-signature",
        prefix: "v0=",
        signed: "v0:{timestamp}:{body}",
        time: "header:x-zm-request-timestamp",
        ..PresetSignatures::HEX
    }),
    event_type: PresetField::Optional(&["body:/event"]),
    copies: PresetCopies::Body,
    handshakes: &[known::ZOOM],
    secret: "the app's secret token (Features, Access)",
    setup: "Marketplace, app, Features, Event Subscriptions: event notification endpoint URL",
    page: "https://developers.zoom.us/docs/api/webhooks/",
    note: "no id: copies are told by the whole body, which holds its time",
    checked: Checked::TheyVerify("npm @zoom/rivet"),
    ..Preset::BASE
};

/// Twitch's EventSub.
pub const TWITCH: Preset = Preset {
    name: "twitch",
    provider: "Twitch EventSub",
    proof: PresetProof::Signatures(PresetSignatures {
        place: "header:twitch-eventsub-message-signature",
        prefix: "sha256=",
        signed: "{id}{timestamp}{body}",
        time: "header:twitch-eventsub-message-timestamp",
        time_unit: TimestampUnit::Rfc3339,
        tolerance_seconds: 600,
        ..PresetSignatures::HEX
    }),
    event_id: PresetField::Required(&["header:twitch-eventsub-message-id"]),
    event_type: PresetField::Optional(&["header:twitch-eventsub-subscription-type"]),
    handshakes: &[known::TWITCH],
    secret: "the `secret` that the subscription was created with",
    setup: "create an EventSub subscription with transport webhook: callback and secret",
    page: "https://dev.twitch.tv/docs/eventsub/handling-webhook-events/",
    checked: Checked::OthersVerify("npm nuxt-webhook-validators"),
    ..Preset::BASE
};

/// Intercom.
pub const INTERCOM: Preset = Preset {
    name: "intercom",
    provider: "Intercom",
    proof: PresetProof::Signatures(PresetSignatures {
        place: "header:x-hub-signature",
        prefix: "sha1=",
        algorithm: Algorithm::Sha1,
        ..PresetSignatures::HEX
    }),
    event_id: PresetField::Optional(&["body:/id"]),
    event_type: PresetField::Optional(&["body:/topic"]),
    handshakes: &[known::INTERCOM],
    secret: "the app's client secret",
    setup: "Developer Hub, app, Webhooks: endpoint URL and topics",
    page: "https://developers.intercom.com/docs/webhooks/setting-up-webhooks",
    checked: Checked::OthersVerify("npm @activepieces/piece-intercom"),
    ..Preset::BASE
};

/// X (Twitter), account activity.
pub const X: Preset = Preset {
    name: "x",
    provider: "X (account activity)",
    proof: PresetProof::Signatures(PresetSignatures {
        place: "header:x-twitter-webhooks-signature",
        prefix: "sha256=",
        form: Form::Bare,
        encoding: Encoding::Base64,
        ..PresetSignatures::HEX
    }),
    copies: PresetCopies::Body,
    handshakes: &[known::X],
    secret: "the app's consumer secret (API secret key)",
    setup: "register the URL through the webhooks API",
    page: "https://docs.x.com/x-api/webhooks/introduction",
    note: "no id: copies are told by the whole body",
    checked: Checked::TheyVerify("npm twitter-autohook"),
    ..Preset::BASE
};
