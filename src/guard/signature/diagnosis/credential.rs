//! Tokens and passwords: what stands where they should stand, and which mistake makes them fit.

use std::borrow::Cow;
use std::fmt;

use subtle::ConstantTimeEq;
use url::form_urlencoded;

use super::super::encoding::decode_base64;
use super::super::scheme::{Proof, Token};
use super::finding::Finding;
use crate::domain::Secret;
use crate::guard::layer::Head;

/// A change after which a token or password is one of the secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialChange {
    /// Without what stands around it.
    Trimmed,
    /// But for upper and lower case.
    Case,
    /// Decoded from base64.
    Base64,
    /// Decoded from a URL's escapes.
    Unescaped,
    /// Without the prefix that is there twice.
    PrefixTwice,
    /// But the secret has white space or quotes around it.
    SecretTrimmed,
    /// The user is right and the password is not.
    User,
}

/// What stands in a place that was masked.
pub(super) const MASKED: &str = "[masked]";

/// What there is to say of a credential that is not right.
pub(super) fn findings(proof: &Proof, secrets: &[Secret], head: Head<'_>, findings: &mut Vec<Finding>) {
    let shown = match proof {
        Proof::Token(token) => of_header(token, head, findings),
        Proof::Basic => {
            let token = Token { header: http::header::AUTHORIZATION, prefix: Cow::Borrowed("Basic ") };
            of_header(&token, head, findings).and_then(|text| {
                let decoded = decode_base64(&text);
                if decoded.is_none() {
                    findings.push(Finding::NotASignature { characters: text.len() });
                }
                decoded
            })
        }
        Proof::Query(name) => of_query(name, head, findings),
        Proof::Signatures(_) | Proof::Odd(_) | Proof::None => None,
    };
    let Some(shown) = shown else { return };
    let prefix = if let Proof::Token(token) = proof { &*token.prefix } else { "" };
    let fits = secrets.iter().enumerate().find_map(|(index, secret)| {
        Some(Finding::CredentialFits { secret: index + 1, change: change(&shown, secret.expose(), prefix, proof)? })
    });
    findings.push(fits.unwrap_or(Finding::CredentialOther { secrets: secrets.len() }));
}

/// The text behind the prefix, of the first header of that name.
fn of_header(token: &Token, head: Head<'_>, findings: &mut Vec<Finding>) -> Option<Vec<u8>> {
    let mut values = head.headers.get_all(&token.header).iter();
    let Some(value) = values.next() else {
        findings.push(Finding::HeaderMissing { name: token.header.as_str().into() });
        return None;
    };
    if values.next().is_some() {
        findings.push(Finding::HeaderTwice { name: token.header.as_str().into() });
    }
    let value = value.as_bytes();
    if value == MASKED.as_bytes() {
        findings.push(Finding::CredentialMasked { place: token.header.as_str().into() });
        return None;
    }
    let prefix = token.prefix.as_bytes();
    match value.split_at_checked(prefix.len()) {
        Some((before, rest)) if before.eq_ignore_ascii_case(prefix) => Some(rest.to_vec()),
        _ => {
            findings.push(Finding::PrefixMissing { expected: (&*token.prefix).into() });
            Some(value.to_vec())
        }
    }
}

fn of_query(name: &str, head: Head<'_>, findings: &mut Vec<Finding>) -> Option<Vec<u8>> {
    let query = head.uri.query().unwrap_or_default();
    let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(shown, _)| shown == name);
    let Some((_, value)) = values.next() else {
        findings.push(Finding::FieldMissing { detail: format!("the query has no `{name}`").into() });
        return None;
    };
    if values.next().is_some() {
        findings.push(Finding::FieldMissing { detail: format!("the query has more than one `{name}`").into() });
    }
    if value == MASKED {
        findings.push(Finding::CredentialMasked { place: format!("`{name}` in the query").into() });
        return None;
    }
    Some(value.into_owned().into_bytes())
}

fn change(shown: &[u8], secret: &[u8], prefix: &str, proof: &Proof) -> Option<CredentialChange> {
    let is = |one: &[u8], other: &[u8]| bool::from(one.ct_eq(other));
    let without_prefix = shown.get(prefix.len()..).unwrap_or_default();
    let has_prefix = shown.get(..prefix.len()).is_some_and(|before| before.eq_ignore_ascii_case(prefix.as_bytes()));
    let text = String::from_utf8_lossy(shown);
    let unescaped = form_urlencoded::parse(text.as_bytes()).map(|(name, _)| name.into_owned()).collect::<String>();
    let user = |text: &[u8]| text.split(|byte| *byte == b':').next().unwrap_or_default().to_vec();
    let changes = [
        (CredentialChange::Trimmed, is(bare(shown), secret)),
        (CredentialChange::PrefixTwice, has_prefix && !prefix.is_empty() && is(without_prefix, secret)),
        (CredentialChange::SecretTrimmed, is(shown, bare(secret))),
        (CredentialChange::Case, is(&shown.to_ascii_lowercase(), &secret.to_ascii_lowercase())),
        (CredentialChange::Base64, decode_base64(shown).is_some_and(|decoded| is(&decoded, secret))),
        (CredentialChange::Unescaped, is(unescaped.as_bytes(), secret)),
        (CredentialChange::User, matches!(proof, Proof::Basic) && is(&user(shown), &user(secret))),
    ];
    changes.into_iter().find_map(|(change, fits)| fits.then_some(change))
}

/// Without white space and quotes around it.
fn bare(text: &[u8]) -> &[u8] {
    let text = text.trim_ascii();
    text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(text)
}

impl fmt::Display for CredentialChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trimmed => "with white space or quotes around it",
            Self::Case => "but for upper and lower case",
            Self::Base64 => "written in base64: it should stand there as it is",
            Self::Unescaped => "with the escapes of a URL: it should stand there as it is",
            Self::PrefixTwice => "behind a prefix that is there twice",
            Self::SecretTrimmed => "but the configured one has white space or quotes around it",
            Self::User => "by its user: the password is another one",
        })
    }
}
