//! What holds for every preset.

use std::collections::HashSet;

use super::super::super::preset::{PresetField, PresetProof};
use super::super::super::scheme::{Place, TimestampPlace};
use super::super::super::{Config, Verifier};
use super::*;
use crate::domain::Secret;

#[test]
fn every_name_has_its_scheme() {
    let names: Vec<_> = Scheme::names().collect();
    for name in &names {
        assert_eq!(Scheme::named(name).expect("known").name, *name);
    }
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "a name is there twice");
    assert!(Scheme::named("nonsense").is_none());
    for (alias, meant) in ALIASES {
        assert!(Scheme::named(alias).is_none() && Scheme::named(meant).is_some(), "{alias}");
    }
}

/// The words of a preset are read when it is used: here every one of them is.
#[test]
fn every_preset_says_what_it_means() {
    for preset in PRESETS {
        let name = preset.name;
        let scheme = preset.scheme();
        for text in [preset.provider, preset.secret, preset.setup, preset.page] {
            assert!(!text.is_empty(), "{name}: nothing says how to set it up");
        }
        assert!(preset.page.starts_with("https://"), "{name}: {}", preset.page);
        if let (PresetProof::Signatures(words), Proof::Signatures(read)) = (&preset.proof, &scheme.proof) {
            let place = match &read.place {
                Place::Header(header) => format!("header:{header}"),
                Place::NumberedHeaders(header) => format!("headers:{header}"),
                Place::Body(pointer) => format!("body:{pointer}"),
            };
            assert_eq!(place, words.place, "{name}");
            assert_eq!(read.signed.to_string(), words.signed, "{name}");
            let time = read.timestamp.as_ref().map(|field| match &field.place {
                TimestampPlace::Header(header) => format!("header:{header}"),
                TimestampPlace::Pair(key) => format!("pair:{key}"),
                TimestampPlace::Body(pointer) => format!("body:{pointer}"),
            });
            assert_eq!(time.unwrap_or_default(), words.time, "{name}");
        }
        for (field, lookup) in [(preset.event_id, &scheme.event_id), (preset.event_type, &scheme.event_type)] {
            let (PresetField::Optional(words) | PresetField::Required(words)) = field else { continue };
            let body = lookup.body.iter().map(|pointer| format!("body:{pointer}"));
            let read: Vec<_> = body.chain(lookup.header.iter().map(|header| format!("header:{header}"))).collect();
            assert_eq!(read, words, "{name}");
        }
        assert_eq!(scheme.type_detail.is_some(), !preset.type_detail.is_empty(), "{name}");
    }
}

#[test]
fn every_preset_can_verify() {
    for preset in PRESETS {
        let scheme = preset.scheme();
        // A key in whatever the scheme wants it written in; a point of P-256 is none of them.
        let point = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==";
        let hex = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        let secrets = [hex, point, "arn:aws:sns:us-east-1:1:topic", "public:private"];
        let made = secrets.map(|secret| {
            let config = Config {
                scheme: scheme.clone(),
                secrets: vec![Secret::new(secret)],
                public_url: Some("https://hooks.example.com/in".into()),
            };
            Verifier::new(&config).is_ok()
        });
        assert!(made.contains(&true), "{}", preset.name);
    }
}
