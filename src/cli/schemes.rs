//! `hookward schemes`: whose webhooks can be checked by name, how they sign, and what to set up where.

mod page;

use serde_json::{Value, json};

use super::listing::{Column, facts, print_document, table, text};
use super::{Failure, print};
use crate::config::Size;
use crate::guard::signature::odd::Odd;
use crate::guard::signature::preset::{PresetCopies, PresetField, PresetProof, PresetSignatures};
use crate::guard::signature::{Checked, PRESETS, Place, Preset, Proof, UrlForm};

/// What `schemes` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Show this scheme with what to set up; all of them in a table without it.
    name: Option<String>,
    /// For machines: one JSON document.
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// The page docs/schemes.md.
    #[arg(long, conflicts_with = "name")]
    markdown: bool,
}

/// Prints the schemes to standard output.
///
/// # Errors
///
/// There is no such scheme, or standard output cannot be written.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    if args.markdown {
        return print(&page::markdown());
    }
    let Some(name) = &args.name else {
        let rows: Vec<Value> = PRESETS.iter().map(|preset| document(preset)).collect();
        if args.json {
            return print_document(&json!({ "object": "list", "data": rows, "has_more": false }));
        }
        let columns: [Column; 4] = [
            ("SCHEME", |row| text(row, "name")),
            ("PROVIDER", |row| text(row, "provider")),
            ("PROOF", |row| text(row, "proof")),
            ("CHECKED AGAINST", |row| text(row, "checked")),
        ];
        return print(&table(&rows, &columns));
    };
    let Some(preset) = PRESETS.iter().find(|preset| preset.name == name) else {
        return Err(Failure::Usage(format!("there is no scheme `{name}`: `hookward schemes` lists them")));
    };
    if args.json { print_document(&document(preset)) } else { print(&facts(&described(preset))) }
}

/// A scheme for machines.
fn document(preset: &Preset) -> Value {
    let scheme = preset.scheme();
    json!({
        "object": "scheme",
        "name": preset.name,
        "provider": preset.provider,
        "proof": proof(preset),
        "tolerance_seconds": scheme.tolerance().map(|tolerance| tolerance.as_secs()),
        "public_url": scheme.signs_url(),
        "id": places(preset.event_id),
        "type": types(preset),
        "copies_by": copies(preset),
        "content_types": preset.content_types,
        "body_bytes_max": preset.body_bytes_max,
        "handshakes": preset.handshakes.iter().map(|handshake| handshake.what).collect::<Vec<_>>(),
        "secret": preset.secret,
        "secret_is_public": scheme.secret_is_public(),
        "setup": preset.setup,
        "page": preset.page,
        "note": preset.note,
        "checked": checked(preset),
    })
}

/// A scheme for a person.
fn described(preset: &Preset) -> Vec<(&'static str, String)> {
    let scheme = preset.scheme();
    let public_url = if scheme.signs_url() { ", public_url: \"https://…\"" } else { "" };
    let token =
        if preset.handshakes.iter().any(|one| one.token.is_some()) { ", verify_token: \"${TOKEN}\"" } else { "" };
    vec![
        ("provider", preset.provider.to_owned()),
        ("set up", preset.setup.to_owned()),
        ("configure", format!("verify: {{ scheme: {}, secrets: [\"${{SECRET}}\"]{public_url}{token} }}", preset.name)),
        ("secret", preset.secret.to_owned()),
        ("proof", proof(preset)),
        ("tolerance", time(preset).unwrap_or_default()),
        ("id", places(preset.event_id)),
        ("type", types(preset)),
        ("copies by", copies(preset).to_owned()),
        ("takes", preset.content_types.join(", ")),
        ("body", preset.body_bytes_max.map(|bytes| format!("at most {}", Size(bytes))).unwrap_or_default()),
        ("handshakes", preset.handshakes.iter().map(|one| one.what).collect::<Vec<_>>().join("; ")),
        ("note", preset.note.to_owned()),
        ("checked", checked(preset)),
        ("page", preset.page.to_owned()),
    ]
}

/// How they prove themselves, in a line.
fn proof(preset: &Preset) -> String {
    match (&preset.proof, &preset.scheme().proof) {
        (PresetProof::Token { header, .. }, _) => format!("{header} equals the secret"),
        (PresetProof::Query(name), _) => format!("?{name}= equals the secret"),
        (PresetProof::Odd(Odd::Adyen), _) => "HMAC-SHA256 of eight fields of each item, in the body".to_owned(),
        (PresetProof::Odd(Odd::Braintree), _) => "HMAC-SHA1 of bt_payload, in bt_signature".to_owned(),
        (PresetProof::Odd(Odd::AwsSns), _) => "RSA of the message's fields, in the body".to_owned(),
        (PresetProof::Odd(Odd::PayPal), _) => {
            "RSA of id, time, webhook id and CRC-32, in paypal-transmission-sig".to_owned()
        }
        (PresetProof::Signatures(words), Proof::Signatures(read)) => {
            let place = match &read.place {
                Place::Header(name) => name.to_string(),
                Place::NumberedHeaders(name) => format!("{name}1 to 100"),
                Place::Body(pointer) => format!("the body's {pointer}"),
            };
            let prefix = if words.prefix.is_empty() { String::new() } else { format!(" after `{}`", words.prefix) };
            format!("{} of {}{}, {}{prefix} in {place}", algorithm(words), words.signed, url(words), words.encoding)
        }
        (PresetProof::Signatures(_), _) => String::new(),
    }
}

fn algorithm(words: &PresetSignatures) -> String {
    let name = words.algorithm.to_string();
    if words.algorithm.has_public_key() { name } else { format!("hmac-{name}") }
}

fn url(words: &PresetSignatures) -> &'static str {
    match words.url {
        UrlForm::AsIs => "",
        UrlForm::WithOrWithoutPort => " (with or without a port)",
        UrlForm::Unescaped => " (unescaped)",
    }
}

/// Where the time stands and how old it may be.
fn time(preset: &Preset) -> Option<String> {
    let PresetProof::Signatures(words) = &preset.proof else { return None };
    (!words.time.is_empty()).then(|| format!("{} s, by {}", words.tolerance_seconds, words.time))
}

fn places(field: PresetField) -> String {
    match field {
        PresetField::Nowhere => String::new(),
        PresetField::Optional(places) => format!("{}, where it is there", places.join(" or ")),
        PresetField::Required(places) => places.join(" or "),
    }
}

fn types(preset: &Preset) -> String {
    let places = places(preset.event_type);
    match (preset.type_detail, preset.proof) {
        ("", PresetProof::Odd(Odd::Adyen)) => "the first item's eventCode".to_owned(),
        ("", PresetProof::Odd(Odd::Braintree)) => "the notification's kind".to_owned(),
        ("", _) => places,
        (detail, _) => format!("{places}, then a dot and {detail}"),
    }
}

fn copies(preset: &Preset) -> &'static str {
    match (preset.copies, preset.event_id) {
        (PresetCopies::Body, _) => "body",
        (PresetCopies::Id, PresetField::Nowhere) => "nothing",
        (PresetCopies::Id, _) => "id",
    }
}

fn checked(preset: &Preset) -> String {
    match preset.checked {
        Checked::TheySign(who) => format!("what {who} signs, we accept"),
        Checked::TheyVerify(who) => format!("what we sign, {who} accepts"),
        Checked::OthersVerify(who) => format!("what we sign, {who} accepts, which is not the provider's own"),
        Checked::TheSame(who) => format!("{who} and we accept the same"),
        Checked::No => "nobody's code: built by the provider's description alone".to_owned(),
    }
}
