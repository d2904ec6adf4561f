//! Payments and shops.

use super::super::preset::{Checked, Preset, PresetCopies, PresetField, PresetProof, PresetSignatures};
use super::super::scheme::Form;
use crate::guard::handshake::known;

/// Stripe. The key is the secret's own text, `whsec_` included.
pub const STRIPE: Preset = Preset {
    name: "stripe",
    provider: "Stripe",
    proof: PresetProof::Signatures(PresetSignatures {
        place: "header:stripe-signature",
        ..PresetSignatures::TIME_AND_V1
    }),
    event_id: PresetField::Required(&["body:/id"]),
    event_type: PresetField::Required(&["body:/type"]),
    secret: "the endpoint's signing secret, `whsec_…`",
    setup: "Workbench, Webhooks, Add destination: endpoint URL and events",
    page: "https://docs.stripe.com/webhooks/signature",
    note: "`v0`, which is there to catch mistakes, never counts",
    checked: Checked::TheySign("stripe of npm and PyPI"),
    ..Preset::BASE
};

/// Shopify's webhooks.
pub const SHOPIFY: Preset = Preset {
    name: "shopify",
    provider: "Shopify (webhooks)",
    proof: PresetProof::Signatures(PresetSignatures {
        place: "header:x-shopify-hmac-sha256",
        ..PresetSignatures::BASE64
    }),
    event_id: PresetField::Required(&["header:x-shopify-webhook-id"]),
    event_type: PresetField::Required(&["header:x-shopify-topic"]),
    secret: "the app's client secret; for webhooks of the admin the one that Settings, Notifications shows",
    setup: "app configuration or Settings, Notifications, Webhooks: URL and topics, format JSON",
    page: "https://shopify.dev/docs/apps/build/webhooks/subscribe/https",
    note: "an event has one id for all subscriptions: the id here is that of the delivery, the same on every retry",
    checked: Checked::TheyVerify("npm @shopify/shopify-api"),
    ..Preset::BASE
};

/// Shopify's newer events, whose headers have other names.
pub const SHOPIFY_EVENTS: Preset = Preset {
    name: "shopify-events",
    provider: "Shopify (events)",
    proof: PresetProof::Signatures(PresetSignatures {
        place: "header:shopify-hmac-sha256",
        ..PresetSignatures::BASE64
    }),
    event_id: PresetField::Required(&["header:shopify-webhook-id"]),
    event_type: PresetField::Required(&["header:shopify-topic"]),
    secret: "the app's client secret",
    setup: "app configuration: URL and topics",
    page: "https://shopify.dev/docs/apps/build/webhooks",
    checked: Checked::TheyVerify("npm @shopify/shopify-api"),
    ..Preset::BASE
};

/// Square.
pub const SQUARE: Preset = Preset {
    name: "square",
    provider: "Square",
    proof: PresetProof::Signatures(PresetSignatures {
        place: "header:x-square-hmacsha256-signature",
        signed: "{url}{body}",
        ..PresetSignatures::BASE64
    }),
    event_id: PresetField::Required(&["body:/event_id"]),
    event_type: PresetField::Required(&["body:/type"]),
    secret: "the subscription's signature key",
    setup: "Developer Console, app, Webhooks, Subscriptions: the URL exactly as `public_url`",
    page: "https://developer.squareup.com/docs/webhooks/step3validate",
    checked: Checked::TheyVerify("npm square"),
    ..Preset::BASE
};

/// Paddle Billing.
pub const PADDLE: Preset = Preset {
    name: "paddle",
    provider: "Paddle Billing",
    proof: PresetProof::Signatures(PresetSignatures {
        place: "header:paddle-signature",
        form: Form::Pairs { separator: ';', key: "h1" },
        signed: "{timestamp}:{body}",
        time: "pair:ts",
        tolerance_seconds: 5,
        ..PresetSignatures::HEX
    }),
    event_id: PresetField::Required(&["body:/event_id"]),
    event_type: PresetField::Required(&["body:/event_type"]),
    secret: "the notification destination's secret key, `pdl_ntfset_…`",
    setup: "Developer tools, Notifications, New destination: URL and events",
    page: "https://developer.paddle.com/webhooks/signature-verification",
    note: "their own libraries take five seconds and so do we; write a longer `tolerance` where clocks differ",
    checked: Checked::TheyVerify("npm @paddle/paddle-node-sdk"),
    ..Preset::BASE
};

/// Razorpay.
pub const RAZORPAY: Preset = Preset {
    name: "razorpay",
    provider: "Razorpay",
    proof: PresetProof::Signatures(PresetSignatures { place: "header:x-razorpay-signature", ..PresetSignatures::HEX }),
    event_id: PresetField::Optional(&["header:x-razorpay-event-id"]),
    event_type: PresetField::Required(&["body:/event"]),
    secret: "the webhook's secret",
    setup: "Account & Settings, Webhooks: URL, secret and events",
    page: "https://razorpay.com/docs/webhooks/validate-test/",
    checked: Checked::TheyVerify("npm razorpay"),
    ..Preset::BASE
};

/// WooCommerce.
pub const WOOCOMMERCE: Preset = Preset {
    name: "woocommerce",
    provider: "WooCommerce",
    proof: PresetProof::Signatures(PresetSignatures {
        place: "header:x-wc-webhook-signature",
        ..PresetSignatures::BASE64
    }),
    event_id: PresetField::Optional(&["header:x-wc-webhook-delivery-id"]),
    event_type: PresetField::Optional(&["header:x-wc-webhook-topic"]),
    handshakes: &[known::WOOCOMMERCE],
    secret: "the webhook's secret",
    setup: "WooCommerce, Settings, Advanced, Webhooks: delivery URL, secret and topic",
    page: "https://woocommerce.com/document/webhooks/",
    note: "each attempt has an id of its own, so that a repeated attempt is not told as a copy",
    checked: Checked::OthersVerify("npm @hookflo/tern"),
    ..Preset::BASE
};

/// Xero.
pub const XERO: Preset = Preset {
    name: "xero",
    provider: "Xero",
    proof: PresetProof::Signatures(PresetSignatures { place: "header:x-xero-signature", ..PresetSignatures::BASE64 }),
    copies: PresetCopies::Body,
    handshakes: &[known::NO_EVENTS],
    secret: "the webhooks key of the app",
    setup: "My Apps, app, Webhooks: delivery URL; then Send intent to receive",
    page: "https://developer.xero.com/documentation/guides/webhooks/configuring-your-server/",
    note: "a batch of events: copies are told by the whole body",
    ..Preset::BASE
};
