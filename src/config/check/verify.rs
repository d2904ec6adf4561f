//! `sources.*.verify`: which keys belong to which scheme, and whether they agree.

use std::borrow::Cow;

use super::value::{header_name, period, secret};
use crate::config::document::problem::Problems;
use crate::config::document::spanned::At;
use crate::config::document::tree::NodeId;
use crate::config::written::{self, Scheme as Word};
use crate::domain::Secret;
use crate::guard::envelope::Field;
use crate::guard::replay_window;
use crate::guard::signature::{
    self, Algorithm, ConfigError, Encoding, Hmac, KeyEncoding, KeyForm, Part, SECRETS_MAX, Scheme, Template,
    TimestampField, Token, Verifier,
};

/// What `verify` becomes.
pub(super) struct Proof {
    pub(super) signature: signature::Config,
    pub(super) replay_window: Option<replay_window::Config>,
}

pub(super) fn verify(At { value: written, at }: &At<written::Verify>, problems: &mut Problems<'_>) -> Proof {
    refuse_foreign_keys(written, *at, problems);
    let mut scheme = scheme(written, *at, problems);
    let replay_window = tolerance(written, &mut scheme, problems);
    let public_url = public_url(written, &scheme, *at, problems);
    let secrets = secrets(written, *at, problems);
    refuse_unusable(written, &scheme, public_url.as_deref(), problems);
    Proof { signature: signature::Config { scheme, secrets, public_url }, replay_window }
}

/// Every key but `scheme`, where it was written, and the schemes that have it.
fn keys(written: &written::Verify) -> [(&'static str, Option<NodeId>, &'static [Word]); 11] {
    use Word::{Appmint, Basic, Hmac, None as Nothing, StandardWebhooks, Token};
    const CUSTOM: &[Word] = &[Hmac, Token, Basic, Nothing];
    fn at<T>(value: Option<&At<T>>) -> Option<NodeId> {
        value.map(|value| value.at)
    }
    [
        ("secrets", at(written.secrets.as_ref()), &[Appmint, StandardWebhooks, Hmac, Token, Basic]),
        ("public_url", at(written.public_url.as_ref()), &[Hmac]),
        ("header", at(written.header.as_ref()), &[Hmac, Token]),
        ("prefix", at(written.prefix.as_ref()), &[Hmac, Token]),
        ("algorithm", at(written.algorithm.as_ref()), &[Hmac]),
        ("encoding", at(written.encoding.as_ref()), &[Hmac]),
        ("signed", at(written.signed.as_ref()), &[Hmac]),
        ("timestamp_header", at(written.timestamp_header.as_ref()), &[Hmac]),
        ("id", at(written.id.as_ref()), CUSTOM),
        ("type", at(written.event_type.as_ref()), CUSTOM),
        ("key_encoding", at(written.key_encoding.as_ref()), &[Hmac]),
    ]
}

fn refuse_foreign_keys(written: &written::Verify, at: NodeId, problems: &mut Problems<'_>) {
    let word = written.scheme.value;
    for (key, written_at, schemes) in keys(written) {
        if written_at.is_none() || schemes.contains(&word) {
            continue;
        }
        let having = schemes.iter().map(|scheme| scheme.word()).collect::<Vec<_>>().join(", ");
        let message = format!("the scheme `{}` has no `{key}`", word.word());
        problems.wrong_key(at, key, message, format!("remove it; it belongs to {having}"));
    }
}

fn scheme(written: &written::Verify, at: NodeId, problems: &mut Problems<'_>) -> Scheme {
    let id = field(written.id.as_ref(), problems);
    let event_type = field(written.event_type.as_ref(), problems);
    let word = written.scheme.value;
    match word {
        Word::Hmac => Scheme::hmac(hmac(written, at, id.as_ref(), problems), id, event_type),
        Word::Token => Scheme::token(token(written, problems), id, event_type),
        Word::Basic => Scheme::basic(id, event_type),
        Word::None => {
            problems.warn(
                written.scheme.at,
                "everybody who finds the path is believed",
                "fine for trying things out; else choose a scheme",
            );
            Scheme::none(id, event_type)
        }
        Word::Appmint | Word::StandardWebhooks => {
            Scheme::named(word.word()).unwrap_or_else(|| Scheme::none(id, event_type))
        }
    }
}

fn field(written: Option<&At<String>>, problems: &mut Problems<'_>) -> Option<Field> {
    let written = written?;
    let field = written.value.trim().parse().ok();
    if field.is_none() {
        problems.wrong(written.at, "names no place in a request", "write body:/pointer or header:NAME");
    }
    field
}

fn hmac(written: &written::Verify, at: NodeId, id: Option<&Field>, problems: &mut Problems<'_>) -> Hmac {
    let mut hmac = Hmac::default();
    match &written.header {
        Some(header) => {
            if let Some(name) = header_name(header, problems) {
                hmac.header = name;
            }
        }
        None => problems.wrong_key(
            at,
            "header",
            "the scheme `hmac` needs the header that carries the signature",
            "add `header: X-Signature`, with the name that the sender uses",
        ),
    }
    if let Some(prefix) = &written.prefix {
        hmac.prefix = Cow::Owned(prefix.value.clone());
    }
    if let Some(algorithm) = &written.algorithm {
        hmac.algorithm = match algorithm.value {
            written::Algorithm::Sha1 => Algorithm::Sha1,
            written::Algorithm::Sha256 => Algorithm::Sha256,
            written::Algorithm::Sha512 => Algorithm::Sha512,
        };
    }
    if let Some(encoding) = &written.encoding {
        hmac.encoding = match encoding.value {
            written::Encoding::Hex => Encoding::Hex,
            written::Encoding::Base64 => Encoding::Base64,
            written::Encoding::Base64Url => Encoding::Base64Url,
        };
    }
    if let Some(encoding) = &written.key_encoding {
        hmac.key = KeyForm {
            encoding: match encoding.value {
                written::KeyEncoding::Utf8 => KeyEncoding::Utf8,
                written::KeyEncoding::Hex => KeyEncoding::Hex,
                written::KeyEncoding::Base64 => KeyEncoding::Base64,
            },
            ..KeyForm::UTF8
        };
    }
    signed(written, at, &mut hmac, id, problems);
    hmac
}

/// The template, and what its fields need.
fn signed(written: &written::Verify, at: NodeId, hmac: &mut Hmac, id: Option<&Field>, problems: &mut Problems<'_>) {
    let mut broken = false;
    if let Some(signed) = &written.signed {
        match signed.value.parse::<Template>() {
            Ok(template) => hmac.signed = template,
            Err(_) => {
                broken = true;
                let hint = "text with {body}, which must be there, {timestamp}, {id}, {method} and {url}";
                problems.wrong(signed.at, "not a template of what is signed", hint);
            }
        }
    }
    if let Some(header) = &written.timestamp_header {
        hmac.timestamp = header_name(header, problems).map(TimestampField::header);
        if !hmac.signed.has(&Part::Timestamp) && !broken {
            let hint = "add {timestamp} to `signed`, as the sender does, or remove `timestamp_header`";
            problems.wrong(header.at, "the time in this header is not signed: anybody could renew it", hint);
        }
    } else if hmac.signed.has(&Part::Timestamp) {
        let hint = "add `timestamp_header` with the header that carries the time";
        problems.wrong_key(at, "signed", "{timestamp} is signed and nothing says where it stands", hint);
    }
    if hmac.signed.has(&Part::Id) && !matches!(id, Some(Field::Header(_))) {
        let hint = "add `id: header:NAME` with the header that carries it";
        problems.wrong_key(at, "signed", "{id} is signed and nothing says which header it stands in", hint);
    }
}

fn token(written: &written::Verify, problems: &mut Problems<'_>) -> Token {
    let mut token = Token::default();
    if let Some(name) = written.header.as_ref().and_then(|header| header_name(header, problems)) {
        if name != token.header {
            token.prefix = Cow::Borrowed("");
        }
        token.header = name;
    }
    if let Some(prefix) = &written.prefix {
        token.prefix = Cow::Owned(prefix.value.clone());
    }
    token
}

/// The replay window, where the scheme signs a time; the scheme gets the same tolerance.
fn tolerance(
    written: &written::Verify,
    scheme: &mut Scheme,
    problems: &mut Problems<'_>,
) -> Option<replay_window::Config> {
    let timestamp = match &mut scheme.proof {
        signature::Proof::Hmac(hmac) => hmac.timestamp.as_mut(),
        _ => None,
    };
    match (timestamp, &written.tolerance) {
        (None, None) => None,
        (None, Some(tolerance)) => {
            let message = format!("the scheme `{}` signs no time here", written.scheme.value.word());
            problems.wrong(tolerance.at, message, "remove `tolerance`");
            None
        }
        (Some(timestamp), tolerance) => {
            timestamp.tolerance = period(tolerance.as_ref(), timestamp.tolerance, problems);
            Some(replay_window::Config { tolerance: timestamp.tolerance })
        }
    }
}

fn public_url(written: &written::Verify, scheme: &Scheme, at: NodeId, problems: &mut Problems<'_>) -> Option<Box<str>> {
    let signed = matches!(&scheme.proof, signature::Proof::Hmac(hmac) if hmac.signed.has(&Part::Url));
    let Some(public_url) = &written.public_url else {
        if signed {
            let hint = "add `public_url` with the URL as the sender has it, without a query";
            problems.wrong_key(at, "signed", "{url} is signed and nothing says what the sender calls us", hint);
        }
        return None;
    };
    let parsed = url::Url::parse(&public_url.value).ok();
    let usable = parsed.is_some_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none() && url.fragment().is_none()
    });
    if !usable {
        problems.wrong(
            public_url.at,
            "not a URL",
            "write it like https://hooks.example.com/webhooks/crm, without a query",
        );
    } else if !signed && written.scheme.value == Word::Hmac {
        problems.wrong(public_url.at, "`signed` does not have {url}", "add {url} to `signed`, or remove `public_url`");
    }
    Some(public_url.value.as_str().into())
}

fn secrets(written: &written::Verify, at: NodeId, problems: &mut Problems<'_>) -> Vec<Secret> {
    let word = written.scheme.value;
    let Some(list) = &written.secrets else {
        if word != Word::None {
            let message = format!("the scheme `{}` needs at least one secret", word.word());
            problems.wrong_key(at, "secrets", message, "add `secrets: [\"${NAME}\"]`");
        }
        return Vec::new();
    };
    if list.value.0.is_empty() {
        problems.wrong(list.at, "the list is empty", "add a secret: `[\"${NAME}\"]`");
    }
    if list.value.0.len() > SECRETS_MAX {
        problems.wrong(list.at, format!("more than {SECRETS_MAX} secrets"), "remove those that are rotated out");
    }
    let mut secrets: Vec<Secret> = Vec::new();
    for written in &list.value.0 {
        let Some(secret) = secret(written, problems) else { continue };
        if secrets.contains(&secret) {
            problems.wrong(written.at, "this secret is here twice", "remove one of them");
        }
        if word == Word::Basic && !secret.expose().contains(&b':') {
            problems.wrong(written.at, "not user:password", "a secret of `basic` is both, with a colon between them");
        }
        secrets.push(secret);
    }
    secrets
}

/// Secrets that the scheme cannot make a key of, each at its own place.
fn refuse_unusable(written: &written::Verify, scheme: &Scheme, public_url: Option<&str>, problems: &mut Problems<'_>) {
    for secret in written.secrets.iter().flat_map(|list| &list.value.0) {
        let alone = signature::Config {
            scheme: scheme.clone(),
            secrets: vec![Secret::new(secret.value.0.as_str())],
            public_url: public_url.map(Into::into),
        };
        if let Err(ConfigError::SecretEncoding { encoding, .. }) = Verifier::new(&alone) {
            let message = format!("the secret is not written in {encoding}");
            problems.wrong(secret.at, message, "copy it once more, as a whole, from where the sender shows it");
        }
    }
}
