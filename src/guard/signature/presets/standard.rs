//! The platform's own scheme, and the standard that others share.

use super::super::preset::{Checked, Preset, PresetField, PresetProof, PresetSignatures, WHSEC};
use super::super::scheme::Form;

/// The platform's own: HMAC-SHA256 of the raw body, `X-Appmint-Signature: sha256=<hex>`.
///
/// Id and type stand in the signed body; the headers serve only where the body has none. The platform's event is
/// JSON, and needs both.
pub const APPMINT: Preset = Preset {
    name: "appmint",
    provider: "Appmint",
    proof: PresetProof::Signatures(PresetSignatures {
        place: "header:x-appmint-signature",
        prefix: "sha256=",
        ..PresetSignatures::HEX
    }),
    event_id: PresetField::Required(&["body:/id", "header:x-appmint-event-id"]),
    event_type: PresetField::Required(&["body:/type", "header:x-appmint-event-type"]),
    secret: "the webhook's secret, shown once when it is created",
    setup: "create a webhook with this source's URL and the events that are wanted",
    page: "https://appmint.io",
    note: "the platform's own documentation is the reference",
    ..Preset::BASE
};

const TRIO: PresetSignatures = PresetSignatures {
    place: "header:webhook-signature",
    form: Form::List { separator: ' ' },
    prefix: "v1,",
    signed: "{id}.{timestamp}.{body}",
    time: "header:webhook-timestamp",
    key: WHSEC,
    ..PresetSignatures::BASE64
};

/// Standard Webhooks 1.0.0, symmetric (`v1`): HMAC-SHA256 of `id.timestamp.body`, keys as `whsec_<base64>`.
///
/// The id is the signed `webhook-id`. The body's `type` is recommended there, not required.
pub const STANDARD_WEBHOOKS: Preset = Preset {
    name: "standard-webhooks",
    provider: "Standard Webhooks",
    proof: PresetProof::Signatures(TRIO),
    event_id: PresetField::Required(&["header:webhook-id"]),
    event_type: PresetField::Optional(&["body:/type"]),
    content_types: &[],
    secret: "the endpoint's signing secret, `whsec_…`",
    setup: "add this source's URL as an endpoint",
    page: "https://www.standardwebhooks.com",
    note: "OpenAI, Anthropic, Google Gemini, Kong, Supabase and many more sign like this; the asymmetric `v1a` is passed over",
    checked: Checked::TheySign("standardwebhooks of npm and PyPI"),
    ..Preset::BASE
};

/// Svix: Standard Webhooks under its own names of the headers.
pub const SVIX: Preset = Preset {
    name: "svix",
    provider: "Svix",
    proof: PresetProof::Signatures(PresetSignatures {
        place: "header:svix-signature",
        time: "header:svix-timestamp",
        ..TRIO
    }),
    event_id: PresetField::Required(&["header:svix-id"]),
    event_type: PresetField::Optional(&["body:/type"]),
    content_types: &[],
    secret: "the endpoint's signing secret, `whsec_…`",
    setup: "add this source's URL as an endpoint in the application portal",
    page: "https://docs.svix.com/receiving/verifying-payloads/how",
    note: "also what Clerk, Resend and others send that use Svix",
    checked: Checked::TheySign("npm svix"),
    ..Preset::BASE
};

/// The trio under the standard's own names, for presets that differ in what the body holds.
pub(super) const STANDARD_TRIO: PresetSignatures = TRIO;
