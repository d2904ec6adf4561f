//! `sources.*.verify`: which keys belong to which scheme, and whether they agree.

use std::borrow::Cow;

use super::value::{header_name, period, public, secret};
use crate::config::document::problem::Problems;
use crate::config::document::spanned::At;
use crate::config::document::tree::NodeId;
use crate::config::written;
use crate::domain::Secret;
use crate::guard::envelope::Field;
use crate::guard::handshake::{Handshake, known};
use crate::guard::replay_window;
use crate::guard::signature::{
    self, Algorithm, ConfigError, Encoding, KeyEncoding, KeyForm, Part, Place, SECRETS_MAX, Scheme, Signatures,
    Template, TimestampField, Token, Verifier,
};

/// What `verify` becomes.
pub(super) struct Proof {
    pub(super) signature: signature::Config,
    pub(super) replay_window: Option<replay_window::Config>,
    pub(super) handshakes: &'static [Handshake],
    pub(super) verify_token: Option<Secret>,
}

pub(super) fn verify(At { value: written, at }: &At<written::Verify>, problems: &mut Problems<'_>) -> Proof {
    refuse_foreign_keys(written, *at, problems);
    let mut scheme = scheme(written, *at, problems);
    let replay_window = tolerance(written, &mut scheme, problems);
    let public_url = public_url(written, &scheme, *at, problems);
    let secrets = secrets(written, &scheme, *at, problems);
    refuse_unusable(written, &scheme, public_url.as_deref(), problems);
    let handshakes = handshakes(written, &scheme, problems);
    let verify_token = verify_token(written, handshakes, *at, problems);
    Proof { signature: signature::Config { scheme, secrets, public_url }, replay_window, handshakes, verify_token }
}

/// The keys that only the schemes of the configuration's own making have, where each was written.
fn keys(written: &written::Verify) -> [(&'static str, Option<NodeId>, &'static [&'static str]); 10] {
    const HMAC: &[&str] = &["hmac"];
    const CUSTOM: &[&str] = &["hmac", "token", "basic", "none"];
    fn at<T>(value: Option<&At<T>>) -> Option<NodeId> {
        value.map(|value| value.at)
    }
    [
        ("header", at(written.header.as_ref()), &["hmac", "token"]),
        ("prefix", at(written.prefix.as_ref()), &["hmac", "token"]),
        ("algorithm", at(written.algorithm.as_ref()), HMAC),
        ("encoding", at(written.encoding.as_ref()), HMAC),
        ("signed", at(written.signed.as_ref()), HMAC),
        ("timestamp_header", at(written.timestamp_header.as_ref()), HMAC),
        ("id", at(written.id.as_ref()), CUSTOM),
        ("type", at(written.event_type.as_ref()), CUSTOM),
        ("key_encoding", at(written.key_encoding.as_ref()), HMAC),
        ("handshake", at(written.handshake.as_ref()), CUSTOM),
    ]
}

fn refuse_foreign_keys(written: &written::Verify, at: NodeId, problems: &mut Problems<'_>) {
    let name = written.scheme.value.0;
    for (key, written_at, schemes) in keys(written) {
        if written_at.is_none() || schemes.contains(&name) {
            continue;
        }
        let message = format!("the scheme `{name}` has no `{key}`");
        problems.wrong_key(at, key, message, format!("remove it; it belongs to {}", schemes.join(", ")));
    }
    if name == "none" && written.secrets.is_some() {
        let hint = "remove it, or name the scheme that it is for";
        problems.wrong_key(at, "secrets", "the scheme `none` has no `secrets`", hint);
    }
}

fn scheme(written: &written::Verify, at: NodeId, problems: &mut Problems<'_>) -> Scheme {
    let id = field(written.id.as_ref(), problems);
    let event_type = field(written.event_type.as_ref(), problems);
    match written.scheme.value.0 {
        "hmac" => Scheme::hmac(hmac(written, at, id.as_ref(), problems), id, event_type),
        "token" => Scheme::token(token(written, problems), id, event_type),
        "basic" => Scheme::basic(id, event_type),
        "none" => {
            problems.warn(
                written.scheme.at,
                "everybody who finds the path is believed",
                "fine for trying things out; else choose a scheme",
            );
            Scheme::none(id, event_type)
        }
        // A name that is none was refused when it was read.
        preset => Scheme::named(preset).unwrap_or_else(|| Scheme::none(id, event_type)),
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

fn hmac(written: &written::Verify, at: NodeId, id: Option<&Field>, problems: &mut Problems<'_>) -> Signatures {
    let mut hmac = Signatures::default();
    match &written.header {
        Some(header) => {
            if let Some(name) = header_name(header, problems) {
                hmac.place = Place::Header(name);
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
fn signed(
    written: &written::Verify,
    at: NodeId,
    hmac: &mut Signatures,
    id: Option<&Field>,
    problems: &mut Problems<'_>,
) {
    let mut broken = false;
    if let Some(signed) = &written.signed {
        match signed.value.parse::<Template>() {
            Ok(template) if template.covers_body() => hmac.signed = template,
            Ok(_) | Err(_) => {
                broken = true;
                let hint =
                    "text with {body}, which must be there, {timestamp}, {id}, {method} and {url}; {form} for a form";
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
        signature::Proof::Signatures(signatures) => signatures.timestamp.as_mut(),
        _ => None,
    };
    match (timestamp, &written.tolerance) {
        (None, None) => None,
        (None, Some(tolerance)) => {
            let message = format!("the scheme `{}` signs no time here", written.scheme.value.0);
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
    let name = &scheme.name;
    let Some(public_url) = &written.public_url else {
        if scheme.signs_url() {
            let (key, message) = match scheme.is_custom() {
                true => ("signed", "{url} is signed and nothing says what the sender calls us".to_owned()),
                false => ("public_url", format!("the scheme `{name}` signs the URL, and nothing says what it is")),
            };
            problems.wrong_key(at, key, message, "add `public_url` with the URL as the sender has it, without a query");
        }
        return None;
    };
    let parsed = url::Url::parse(&public_url.value).ok();
    let usable = parsed.is_some_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none() && url.fragment().is_none()
    });
    if !usable {
        let hint = "write it like https://hooks.example.com/webhooks/crm, without a query";
        problems.wrong(public_url.at, "not a URL", hint);
    } else if !scheme.signs_url() {
        if name == "hmac" {
            let hint = "add {url} to `signed`, or remove `public_url`";
            problems.wrong(public_url.at, "`signed` does not have {url}", hint);
        } else {
            let message = format!("the scheme `{name}` has no `public_url`: it does not sign the URL");
            problems.wrong(public_url.at, message, "remove it");
        }
    }
    Some(public_url.value.as_str().into())
}

fn secrets(written: &written::Verify, scheme: &Scheme, at: NodeId, problems: &mut Problems<'_>) -> Vec<Secret> {
    let name = &scheme.name;
    let Some(list) = &written.secrets else {
        if !scheme.believes_everybody() {
            let message = format!("the scheme `{name}` needs at least one secret");
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
        let secret = match scheme.secret_is_public() {
            true => public(written, problems),
            false => secret(written, problems),
        };
        let Some(secret) = secret else { continue };
        if secrets.contains(&secret) {
            problems.wrong(written.at, "this secret is here twice", "remove one of them");
        }
        if name == "basic" && !secret.expose().contains(&b':') {
            problems.wrong(written.at, "not user:password", "a secret of `basic` is both, with a colon between them");
        }
        secrets.push(secret);
    }
    secrets
}

/// The scheme's own handshakes, or those of the sender that is named.
fn handshakes(written: &written::Verify, scheme: &Scheme, problems: &mut Problems<'_>) -> &'static [Handshake] {
    let Some(named) = &written.handshake else { return scheme.handshakes };
    let name = named.value.trim();
    if let Some((_, handshakes)) = known::BY_NAME.iter().find(|(known, _)| *known == name) {
        return handshakes;
    }
    let names = known::BY_NAME.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    problems.wrong(named.at, "nobody of this name has a handshake here", format!("one of {names}"));
    &[]
}

fn verify_token(
    written: &written::Verify,
    handshakes: &[Handshake],
    at: NodeId,
    problems: &mut Problems<'_>,
) -> Option<Secret> {
    let token = written.verify_token.as_ref()?;
    if handshakes.iter().all(|handshake| handshake.token.is_none()) {
        let message = format!("the scheme `{}` has no handshake that shows a token", written.scheme.value.0);
        problems.wrong_key(at, "verify_token", message, "remove it");
        return None;
    }
    secret(token, problems)
}

/// Secrets that the scheme cannot make a key of, each at its own place.
fn refuse_unusable(written: &written::Verify, scheme: &Scheme, public_url: Option<&str>, problems: &mut Problems<'_>) {
    for secret in written.secrets.iter().flat_map(|list| &list.value.0) {
        let alone = signature::Config {
            scheme: scheme.clone(),
            secrets: vec![Secret::new(secret.value.0.as_str())],
            public_url: public_url.map(Into::into),
        };
        let message = match Verifier::new(&alone) {
            Err(ConfigError::SecretEncoding { encoding, .. }) => format!("the secret is not written in {encoding}"),
            Err(ConfigError::SecretForm { wanted, .. }) => format!("not {wanted}"),
            Err(ConfigError::PublicKey { algorithm, .. }) => format!("not a public key of {algorithm}"),
            _ => continue,
        };
        problems.wrong(secret.at, message, "copy it once more, as a whole, from where the sender shows it");
    }
}
