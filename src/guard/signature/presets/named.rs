//! From a name to its scheme.

use super::super::scheme::{Proof, Scheme, Signatures, Token};
use super::PRESETS;

/// Names that people try, and the name of the scheme that they mean.
const ALIASES: &[(&str, &str)] = &[
    ("facebook", "meta"),
    ("instagram", "meta"),
    ("messenger", "meta"),
    ("threads", "meta"),
    ("whatsapp", "meta"),
    ("twitter", "x"),
    ("standardwebhooks", "standard-webhooks"),
    ("openai", "standard-webhooks"),
    ("clerk", "svix"),
    ("resend", "svix"),
    ("docusign-connect", "docusign"),
    ("pager-duty", "pagerduty"),
    ("woo", "woocommerce"),
    ("sns", "aws-sns"),
    ("amazon-sns", "aws-sns"),
    ("event-grid", "azure-event-grid"),
    ("eventgrid", "azure-event-grid"),
    ("bearer", "token"),
];

/// The schemes that take settings of their own.
const CUSTOM: [&str; 4] = ["hmac", "token", "basic", "none"];

impl Scheme {
    /// The names that [`named`](Self::named) knows.
    pub fn names() -> impl Iterator<Item = &'static str> {
        PRESETS.iter().map(|preset| preset.name).chain(CUSTOM)
    }

    /// The scheme with this name in the configuration; `hmac` and `token` come with their default settings.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "hmac" => Some(Self::hmac(Signatures::default(), None, None)),
            "token" => Some(Self::token(Token::default(), None, None)),
            "basic" => Some(Self::basic(None, None)),
            "none" => Some(Self::none(None, None)),
            _ => PRESETS.iter().find(|preset| preset.name == name).map(|preset| preset.scheme()),
        }
    }

    /// The name that a name of something else stands for, such as `meta` for `whatsapp`.
    #[must_use]
    pub fn alias(name: &str) -> Option<&'static str> {
        let name = name.to_ascii_lowercase().replace('_', "-");
        ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, meant)| *meant)
    }

    /// Whether the scheme is one of the configuration's own making.
    #[must_use]
    pub fn is_custom(&self) -> bool {
        CUSTOM.contains(&&*self.name)
    }

    /// Whether it believes everybody.
    #[must_use]
    pub fn believes_everybody(&self) -> bool {
        matches!(self.proof, Proof::None)
    }
}

#[cfg(test)]
#[path = "named_tests.rs"]
mod tests;
