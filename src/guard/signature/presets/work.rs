//! Everything else that a company runs on.

use super::super::preset::{Checked, Preset, PresetCopies, PresetField, PresetProof, PresetSignatures};
use super::super::scheme::{TimestampUnit, UrlForm};
use crate::guard::handshake::known;

/// HubSpot's signature of the third version.
pub const HUBSPOT: Preset = Preset {
    name: "hubspot",
    provider: "HubSpot (signature v3)",
    proof: PresetProof::Signatures(PresetSignatures {
        place: "header:x-hubspot-signature-v3",
        signed: "{method}{url}{body}{timestamp}",
        time: "header:x-hubspot-request-timestamp",
        time_unit: TimestampUnit::Milliseconds,
        url: UrlForm::Unescaped,
        ..PresetSignatures::BASE64
    }),
    copies: PresetCopies::Body,
    secret: "the app's client secret",
    setup: "app, Webhooks: target URL, exactly as `public_url`",
    page: "https://developers.hubspot.com/docs/apps/legacy-apps/authentication/validating-requests",
    note: "a batch of events: copies are told by the whole body",
    checked: Checked::TheySign("npm @hubspot/api-client"),
    ..Preset::BASE
};

/// DocuSign Connect.
pub const DOCUSIGN: Preset = Preset {
    name: "docusign",
    provider: "DocuSign Connect",
    proof: PresetProof::Signatures(PresetSignatures {
        place: "headers:x-docusign-signature-",
        ..PresetSignatures::BASE64
    }),
    event_type: PresetField::Optional(&["body:/event"]),
    copies: PresetCopies::Body,
    content_types: &[],
    secret: "one of the HMAC keys of Connect",
    setup: "Settings, Connect: URL to publish, include HMAC signature",
    page: "https://developers.docusign.com/platform/webhooks/connect/validate/",
    note: "one header for each of their keys: any one of them may match",
    checked: Checked::OthersVerify("npm nuxt-webhook-validators"),
    ..Preset::BASE
};

/// Dropbox.
pub const DROPBOX: Preset = Preset {
    name: "dropbox",
    provider: "Dropbox",
    proof: PresetProof::Signatures(PresetSignatures { place: "header:x-dropbox-signature", ..PresetSignatures::HEX }),
    content_types: &[],
    handshakes: &[known::DROPBOX],
    secret: "the app's secret",
    setup: "App Console, app, Webhooks: webhook URI",
    page: "https://www.dropbox.com/developers/reference/webhooks",
    note: "no id, and two notices may be the same byte for byte: copies cannot be told",
    checked: Checked::OthersVerify("npm nuxt-webhook-validators"),
    ..Preset::BASE
};

/// Typeform.
pub const TYPEFORM: Preset = Preset {
    name: "typeform",
    provider: "Typeform",
    proof: PresetProof::Signatures(PresetSignatures {
        place: "header:typeform-signature",
        prefix: "sha256=",
        ..PresetSignatures::BASE64
    }),
    event_id: PresetField::Optional(&["body:/event_id"]),
    event_type: PresetField::Optional(&["body:/event_type"]),
    secret: "the webhook's secret",
    setup: "form, Connect, Webhooks: endpoint, then Edit, Secret",
    page: "https://www.typeform.com/developers/webhooks/secure-your-webhooks/",
    ..Preset::BASE
};

/// Calendly.
pub const CALENDLY: Preset = Preset {
    name: "calendly",
    provider: "Calendly",
    proof: PresetProof::Signatures(PresetSignatures {
        place: "header:calendly-webhook-signature",
        ..PresetSignatures::TIME_AND_V1
    }),
    event_type: PresetField::Optional(&["body:/event"]),
    copies: PresetCopies::Body,
    secret: "the `signing_key` that the subscription was created with",
    setup: "create a webhook subscription through the API: url and signing_key",
    page: "https://developer.calendly.com/api-docs",
    note: "no id: copies are told by the whole body, which holds its time",
    ..Preset::BASE
};

/// WorkOS.
pub const WORKOS: Preset = Preset {
    name: "workos",
    provider: "WorkOS",
    proof: PresetProof::Signatures(PresetSignatures {
        place: "header:workos-signature",
        time_unit: TimestampUnit::Milliseconds,
        tolerance_seconds: 180,
        ..PresetSignatures::TIME_AND_V1
    }),
    event_id: PresetField::Required(&["body:/id"]),
    event_type: PresetField::Required(&["body:/event"]),
    secret: "the endpoint's signing secret",
    setup: "Dashboard, Webhooks, Create webhook: endpoint URL and events",
    page: "https://workos.com/docs/events/data-syncing/webhooks",
    checked: Checked::TheySign("npm @workos-inc/node"),
    ..Preset::BASE
};

/// Okta's event hooks.
pub const OKTA: Preset = Preset {
    name: "okta",
    provider: "Okta (event hooks)",
    proof: PresetProof::Token { header: "authorization", prefix: "" },
    event_id: PresetField::Optional(&["body:/eventId"]),
    event_type: PresetField::Optional(&["body:/eventType"]),
    handshakes: &[known::OKTA],
    secret: "the authentication secret of the hook",
    setup: "Workflow, Event Hooks, Create: endpoint URL, authentication field `Authorization` and its secret; then Verify",
    page: "https://developer.okta.com/docs/concepts/event-hooks/",
    note: "a token, no signature: whoever reads one request can send others",
    ..Preset::BASE
};
