//! Where code, its issues and its incidents live.

use super::super::preset::{Checked, Preset, PresetCopies, PresetField, PresetProof, PresetSignatures};
use super::super::scheme::{Algorithm, Encoding, Form, TimestampUnit};
use super::standard::STANDARD_TRIO;

const JSON_OR_FORM: &[&str] = &["application/json", "application/x-www-form-urlencoded"];

/// GitHub.
pub const GITHUB: Preset = Preset {
    name: "github",
    provider: "GitHub",
    proof: PresetProof::Signatures(PresetSignatures {
        place: "header:x-hub-signature-256",
        prefix: "sha256=",
        ..PresetSignatures::HEX
    }),
    event_id: PresetField::Required(&["header:x-github-delivery"]),
    event_type: PresetField::Required(&["header:x-github-event"]),
    type_detail: "body:/action",
    content_types: JSON_OR_FORM,
    body_bytes_max: Some(25 << 20),
    secret: "the webhook's secret",
    setup: "repository, organisation or app, Settings, Webhooks: payload URL, a secret, content type application/json",
    page: "https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries",
    note: "never sent again by itself; the type is the event with its action, `pull_request.opened`",
    checked: Checked::TheySign("npm @octokit/webhooks-methods"),
    ..Preset::BASE
};

/// GitLab's secret token.
pub const GITLAB: Preset = Preset {
    name: "gitlab",
    provider: "GitLab (secret token)",
    proof: PresetProof::Token { header: "x-gitlab-token", prefix: "" },
    event_id: PresetField::Optional(&["header:idempotency-key"]),
    event_type: PresetField::Optional(&["body:/object_kind", "header:x-gitlab-event"]),
    secret: "the webhook's secret token",
    setup: "project or group, Settings, Webhooks: URL and secret token",
    page: "https://docs.gitlab.com/user/project/integrations/webhooks/",
    note: "a token, no signature: whoever reads one request can send others; disabled by GitLab after four failures in a row",
    checked: Checked::OthersVerify("PyPI gidgetlab"),
    ..Preset::BASE
};

/// GitLab's signing token.
pub const GITLAB_SIGNED: Preset = Preset {
    name: "gitlab-signed",
    provider: "GitLab (signing token)",
    proof: PresetProof::Signatures(STANDARD_TRIO),
    event_id: PresetField::Required(&["header:webhook-id"]),
    event_type: PresetField::Optional(&["body:/object_kind", "header:x-gitlab-event"]),
    secret: "the webhook's signing token, `whsec_…`",
    setup: "project or group, Settings, Webhooks: URL and signing token",
    page: "https://docs.gitlab.com/user/project/integrations/webhooks/",
    note: "Standard Webhooks with GitLab's types",
    checked: Checked::TheySign("npm standardwebhooks"),
    ..Preset::BASE
};

/// Bitbucket Cloud.
pub const BITBUCKET: Preset = Preset {
    name: "bitbucket",
    provider: "Bitbucket Cloud",
    proof: PresetProof::Signatures(PresetSignatures {
        place: "header:x-hub-signature",
        prefix: "sha256=",
        ..PresetSignatures::HEX
    }),
    event_id: PresetField::Optional(&["header:x-request-uuid"]),
    event_type: PresetField::Optional(&["header:x-event-key"]),
    secret: "the webhook's secret",
    setup: "repository or workspace, Settings, Webhooks: URL and secret",
    page: "https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/",
    checked: Checked::OthersVerify("npm nuxt-webhook-validators"),
    ..Preset::BASE
};

/// Linear.
pub const LINEAR: Preset = Preset {
    name: "linear",
    provider: "Linear",
    proof: PresetProof::Signatures(PresetSignatures {
        place: "header:linear-signature",
        time: "body:/webhookTimestamp",
        time_unit: TimestampUnit::Milliseconds,
        tolerance_seconds: 60,
        ..PresetSignatures::HEX
    }),
    event_id: PresetField::Optional(&["header:linear-delivery"]),
    event_type: PresetField::Optional(&["body:/type"]),
    type_detail: "body:/action",
    secret: "the webhook's signing secret",
    setup: "Settings, API, Webhooks: URL and the resources that are wanted",
    page: "https://linear.app/developers/webhooks",
    note: "the type is the resource with its action, `Issue.create`",
    checked: Checked::TheyVerify("npm @linear/sdk"),
    ..Preset::BASE
};

/// Vercel.
pub const VERCEL: Preset = Preset {
    name: "vercel",
    provider: "Vercel",
    proof: PresetProof::Signatures(PresetSignatures {
        place: "header:x-vercel-signature",
        algorithm: Algorithm::Sha1,
        ..PresetSignatures::HEX
    }),
    event_id: PresetField::Optional(&["body:/id"]),
    event_type: PresetField::Optional(&["body:/type"]),
    secret: "the webhook's secret, or the integration's client secret",
    setup: "team settings, Webhooks: URL and events",
    page: "https://vercel.com/docs/webhooks/webhooks-api",
    checked: Checked::OthersVerify("npm nuxt-webhook-validators"),
    ..Preset::BASE
};

/// Sanity.
pub const SANITY: Preset = Preset {
    name: "sanity",
    provider: "Sanity",
    proof: PresetProof::Signatures(PresetSignatures {
        place: "header:sanity-webhook-signature",
        encoding: Encoding::Base64Url,
        time_unit: TimestampUnit::Milliseconds,
        ..PresetSignatures::TIME_AND_V1
    }),
    event_id: PresetField::Optional(&["header:idempotency-key"]),
    secret: "the webhook's secret",
    setup: "project, API, GROQ-powered webhooks: URL and secret",
    page: "https://www.sanity.io/docs/content-lake/webhooks",
    checked: Checked::TheySign("npm @sanity/webhook"),
    ..Preset::BASE
};

/// PagerDuty's webhooks of the third version.
pub const PAGERDUTY: Preset = Preset {
    name: "pagerduty",
    provider: "PagerDuty (V3)",
    proof: PresetProof::Signatures(PresetSignatures {
        place: "header:x-pagerduty-signature",
        form: Form::Pairs { separator: ',', key: "v1" },
        ..PresetSignatures::HEX
    }),
    event_id: PresetField::Optional(&["body:/event/id"]),
    event_type: PresetField::Optional(&["body:/event/event_type"]),
    copies: PresetCopies::Id,
    secret: "the subscription's secret, shown once when it is created",
    setup: "Integrations, Generic Webhooks (v3): webhook URL and scope",
    page: "https://developer.pagerduty.com/docs/verifying-webhook-signatures",
    ..Preset::BASE
};
