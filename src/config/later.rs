//! What the design has and this version has not: known, so that it can be refused by name.
//!
//! When a feature is built its line goes from here and its field comes to `written`.

/// The struct of `written`, its key, and what the key would do.
const KEYS: &[(&str, &str, &str)] = &[
    ("Source", "validate", "validation by JSON Schema"),
    ("Route", "when", "routing by condition (`when`)"),
    ("Destination", "batch", "batched deliveries"),
    ("Destination", "tls", "TLS settings of a destination"),
    ("Destination", "proxy", "sending through a proxy"),
];

/// The enum of `written`, its word, and what the word would do.
const VALUES: &[(&str, &str, &str)] =
    &[("OrderBy", "source", "an order for each source"), ("OrderBy", "type", "an order for each type of events")];

/// Schemes by their provider's name.
const SCHEMES: &[&str] = &["elevenlabs", "fusionauth"];

/// The feature that this key of this struct belongs to.
pub(super) fn key(owner: &str, key: &str) -> Option<&'static str> {
    KEYS.iter().find(|(known, word, _)| *known == owner && *word == key).map(|(.., feature)| *feature)
}

/// The feature that this word of this enum belongs to.
pub(super) fn value(owner: &str, word: &str) -> Option<&'static str> {
    if owner == "Scheme" && SCHEMES.contains(&word) {
        return Some("this provider's scheme (`hmac` can be set to most of them)");
    }
    VALUES.iter().find(|(known, value, _)| *known == owner && *value == word).map(|(.., feature)| *feature)
}
