//! Those that data cannot say, and Event Grid, whose proof is a token in the URL.

use super::super::odd::Odd;
use super::super::preset::{Checked, Preset, PresetCopies, PresetField, PresetProof};
use crate::guard::handshake::known;

/// Adyen's payment webhooks.
pub const ADYEN: Preset = Preset {
    name: "adyen",
    provider: "Adyen (payment webhooks)",
    proof: PresetProof::Odd(Odd::Adyen),
    copies: PresetCopies::Body,
    respond: "[accepted]",
    secret: "the HMAC key of the webhook, in hexadecimal",
    setup: "Developers, Webhooks, Standard webhook: URL, JSON, and generate an HMAC key",
    page: "https://docs.adyen.com/development-resources/webhooks/verify-hmac-signatures/",
    note: "eight fields of each item are signed and not the rest; a batch: copies are told by the whole body",
    checked: Checked::TheySign("npm @adyen/api-library"),
    ..Preset::BASE
};

/// Amazon SNS.
pub const AWS_SNS: Preset = Preset {
    name: "aws-sns",
    provider: "Amazon SNS",
    proof: PresetProof::Odd(Odd::AwsSns),
    event_id: PresetField::Required(&["body:/MessageId"]),
    event_type: PresetField::Required(&["body:/Type"]),
    content_types: &["text/plain", "application/json"],
    handshakes: &[known::AWS_SNS],
    secret: "the ARN of the topic: not a secret, but what makes a message yours, since SNS signs for everybody",
    setup: "subscribe this source's URL to the topic with protocol HTTPS, without raw message delivery; it is confirmed by itself",
    page: "https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html",
    note: "the certificate is fetched from sns.REGION.amazonaws.com alone; message attributes are not signed; SNS sends the same \
           time with every attempt, so that its age is not limited",
    checked: Checked::TheSame("npm sns-validator"),
    ..Preset::BASE
};

/// Azure Event Grid.
pub const AZURE_EVENT_GRID: Preset = Preset {
    name: "azure-event-grid",
    provider: "Azure Event Grid",
    proof: PresetProof::Query("code"),
    event_id: PresetField::Optional(&["header:ce-id"]),
    event_type: PresetField::Optional(&["header:ce-type"]),
    copies: PresetCopies::Body,
    content_types: &["application/json", "application/cloudevents+json", "application/cloudevents-batch+json"],
    handshakes: &[known::EVENT_GRID, known::CLOUDEVENTS],
    secret: "a secret of your own: the subscription's endpoint URL ends with `?code=` and that secret",
    setup: "event subscription with endpoint type Web Hook: this source's URL with `?code=…`; any schema",
    page: "https://learn.microsoft.com/azure/event-grid/webhook-event-delivery",
    note: "tokens of Entra are not checked; the query goes on to destinations, masked in every output of the gateway",
    ..Preset::BASE
};

/// Braintree.
pub const BRAINTREE: Preset = Preset {
    name: "braintree",
    provider: "Braintree",
    proof: PresetProof::Odd(Odd::Braintree),
    copies: PresetCopies::Body,
    content_types: &["application/x-www-form-urlencoded"],
    handshakes: &[known::BRAINTREE],
    secret: "public key and private key with a colon between them",
    setup: "Settings, API, Webhooks, Create new webhook: destination URL",
    page: "https://developer.paypal.com/braintree/docs/guides/webhooks/parse",
    note: "the type is the notification's kind; no id: copies are told by the whole body",
    checked: Checked::TheySign("braintree of npm and PyPI"),
    ..Preset::BASE
};

/// PayPal.
pub const PAYPAL: Preset = Preset {
    name: "paypal",
    provider: "PayPal",
    proof: PresetProof::Odd(Odd::PayPal),
    event_id: PresetField::Required(&["body:/id"]),
    event_type: PresetField::Required(&["body:/event_type"]),
    secret: "the webhook's id: not a secret, but what binds the signature to you",
    setup: "Developer Dashboard, app, Webhooks: URL and events",
    page: "https://developer.paypal.com/api/rest/webhooks/rest/",
    note: "the certificate is fetched from PayPal's own hosts alone; what is signed holds a CRC-32 of the body, which is not a hash",
    checked: Checked::TheySign("PyPI paypalrestsdk with a key of ours"),
    ..Preset::BASE
};
