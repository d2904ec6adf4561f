//! The schemes that have a name, as data.
//!
//! To add one: an entry in the file of its trade, its name in [`PRESETS`], and a case in `tests/it/schemes` with the
//! vendor's own package. docs/schemes.md is printed from here.
//!
//! - [`standard`]: the platform's own and Standard Webhooks
//! - [`code`]: where code and its issues live
//! - [`money`]: payments and shops
//! - [`talk`]: messages, calls and meetings
//! - [`work`]: everything else that a company runs on
//! - [`odd`]: those that data cannot say

pub mod code;
pub mod money;
mod named;
pub mod odd;
pub mod standard;
pub mod talk;
pub mod work;

pub use standard::{APPMINT, STANDARD_WEBHOOKS};

use super::preset::Preset;

/// Every scheme that the configuration knows by name, beside `hmac`, `token`, `basic` and `none`, which take
/// settings of their own.
pub static PRESETS: &[&Preset] = &[
    &APPMINT,
    &STANDARD_WEBHOOKS,
    &standard::SVIX,
    &code::GITHUB,
    &code::GITLAB,
    &code::GITLAB_SIGNED,
    &code::BITBUCKET,
    &code::LINEAR,
    &code::VERCEL,
    &code::SANITY,
    &code::PAGERDUTY,
    &money::STRIPE,
    &money::SHOPIFY,
    &money::SHOPIFY_EVENTS,
    &money::SQUARE,
    &money::PADDLE,
    &money::RAZORPAY,
    &money::WOOCOMMERCE,
    &money::XERO,
    &talk::SLACK,
    &talk::DISCORD,
    &talk::TELEGRAM,
    &talk::META,
    &talk::LINE,
    &talk::TWILIO,
    &talk::SENDGRID,
    &talk::MAILGUN,
    &talk::ZOOM,
    &talk::TWITCH,
    &talk::INTERCOM,
    &talk::X,
    &work::HUBSPOT,
    &work::DOCUSIGN,
    &work::DROPBOX,
    &work::TYPEFORM,
    &work::CALENDLY,
    &work::WORKOS,
    &work::OKTA,
    &odd::ADYEN,
    &odd::AWS_SNS,
    &odd::AZURE_EVENT_GRID,
    &odd::BRAINTREE,
    &odd::PAYPAL,
];
