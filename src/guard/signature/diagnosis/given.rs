//! What a request shows, read leniently: every text that could be meant as its signature, and what is wrong with it.

use std::borrow::Cow;

use http::HeaderName;

use super::super::PRESETS;
use super::super::encoding::Hash;
use super::super::read::{SIGNATURES_MAX, field, pairs};
use super::super::scheme::{Form, Place, Proof, Signatures, TimestampPlace};
use super::super::template::Part;
use super::covered::shown;
use super::credential::MASKED;
use super::finding::Finding;
use super::shape::{Shape, hmac_of};
use crate::guard::layer::Head;

/// What is shown.
#[derive(Debug, Default)]
pub(super) struct Given<'a> {
    /// What may be signatures, decoded.
    pub(super) signatures: Vec<Candidate>,
    /// Each text that was looked at, cut, with its shape.
    pub(super) texts: Vec<(Box<str>, Shape)>,
    /// The signed time as it was sent.
    pub(super) timestamp: Option<Cow<'a, str>>,
    /// The id as it was sent.
    pub(super) id: &'a [u8],
    /// What is wrong with all of that.
    pub(super) findings: Vec<Finding>,
    /// Whether what was shown has been masked.
    pub(super) is_masked: bool,
}

/// What may be a signature.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) hash: Hash,
    /// The header, where it is not the scheme's.
    pub(super) header: Option<HeaderName>,
}

/// Headers that are looked at in search of a signature that is not where it belongs.
const OTHER_HEADERS_MAX: usize = 4;
/// Keys of pairs that are named.
const KEYS_SHOWN_MAX: usize = 8;

// === impl Given ===

impl<'a> Given<'a> {
    /// Reads a request as one of this scheme.
    pub(super) fn read(
        signatures: &Signatures,
        id_header: Option<&HeaderName>,
        head: Head<'a>,
        body: Option<&'a [u8]>,
    ) -> Self {
        let mut given = Self::default();
        let values = given.values(signatures, head, body);
        for value in &values {
            given.value(signatures, value);
        }
        if values.is_empty() && !given.is_masked {
            given.elsewhere(signatures, head);
        }
        given.timestamp = given.timestamp_of(signatures, &values, head, body);
        if signatures.signed.has(&Part::Id)
            && let Some(name) = id_header
        {
            given.id = given.single(name, head).map(|value| value.as_bytes()).unwrap_or_default();
        }
        given
    }

    fn single(&mut self, name: &HeaderName, head: Head<'a>) -> Option<&'a http::HeaderValue> {
        let mut values = head.headers.get_all(name).iter();
        let first = values.next();
        if first.is_none() {
            self.findings.push(Finding::HeaderMissing { name: name.as_str().into() });
        } else if values.next().is_some() {
            self.findings.push(Finding::HeaderTwice { name: name.as_str().into() });
        }
        first
    }

    /// The texts in the scheme's place.
    fn values(&mut self, signatures: &Signatures, head: Head<'a>, body: Option<&'a [u8]>) -> Vec<Cow<'a, str>> {
        let headers: Vec<_> = match &signatures.place {
            Place::Header(name) => {
                self.single(name, head);
                head.headers.get_all(name).iter().map(|value| (name.as_str(), value)).collect()
            }
            Place::NumberedHeaders(name) => {
                let numbered = |header: &HeaderName| header.as_str().starts_with(&**name);
                let found: Vec<_> = head.headers.iter().filter(|(header, _)| numbered(header)).collect();
                if found.is_empty() {
                    self.findings.push(Finding::HeaderMissing { name: format!("{name}1").into() });
                }
                found.into_iter().map(|(header, value)| (header.as_str(), value)).collect()
            }
            Place::Body(pointer) => {
                let Some(body) = body else { return Vec::new() };
                return match field(body, pointer) {
                    Ok(text) => vec![text],
                    Err(rejection) => {
                        self.findings.push(Finding::FieldMissing { detail: rejection.detail });
                        Vec::new()
                    }
                };
            }
        };
        let mut values = Vec::new();
        for (name, value) in headers.into_iter().take(SIGNATURES_MAX) {
            match value.to_str() {
                Ok(MASKED) => {
                    self.is_masked = true;
                    self.findings.push(Finding::CredentialMasked { place: name.into() });
                }
                Ok(text) => values.push(Cow::Borrowed(text)),
                Err(_not_text) => self.findings.push(Finding::NotText { name: name.into() }),
            }
        }
        values
    }

    /// Takes a value apart by the scheme's form.
    fn value(&mut self, signatures: &Signatures, value: &str) {
        let texts: Vec<&str> = match signatures.form {
            Form::Bare => vec![value],
            Form::List { separator } => value.split(separator).collect(),
            Form::Pairs { separator, key } => {
                let found: Vec<&str> = pairs(value, separator, key).collect();
                if found.is_empty() {
                    let keys = value.split(separator).filter_map(|pair| pair.split_once('='));
                    let keys = keys.map(|(key, _)| shown(key.trim().as_bytes())).take(KEYS_SHOWN_MAX).collect();
                    self.findings.push(Finding::PairMissing { key, found: keys });
                    value.split(separator).map(|pair| pair.split_once('=').map_or(pair, |(_, text)| text)).collect()
                } else {
                    found
                }
            }
        };
        let mut wrong = Vec::new();
        let mut right = 0;
        for text in texts.into_iter().take(SIGNATURES_MAX) {
            let before = wrong.len();
            self.candidate(signatures, text, None, &mut wrong);
            right += usize::from(wrong.len() == before);
        }
        // One that has the scheme's form is what counts; the others are of other versions.
        if right == 0 {
            wrong.dedup();
            self.findings.extend(wrong.into_iter().take(KEYS_SHOWN_MAX));
        }
    }

    /// Decodes what may be a signature, however it is written, and says what is wrong with it.
    fn candidate(
        &mut self,
        signatures: &Signatures,
        text: &str,
        header: Option<&HeaderName>,
        wrong: &mut Vec<Finding>,
    ) {
        let bare = text.trim().trim_matches(['"', '\'']);
        if bare.len() != text.len() {
            wrong.push(Finding::SignatureWrapped);
        }
        let expected = &*signatures.prefix;
        let (found, rest) = match bare.strip_prefix(expected) {
            Some(rest) if !expected.is_empty() => (expected, rest),
            _ => split_prefix(bare),
        };
        if found != expected {
            let (expected, found) = (expected.into(), shown(found.as_bytes()));
            wrong.push(match found.is_empty() {
                true => Finding::PrefixMissing { expected },
                false => Finding::PrefixOther { expected, found },
            });
        }
        let (shape, decoded) = Shape::of(rest, signatures.encoding);
        if self.texts.len() < SIGNATURES_MAX {
            self.texts.push((shown(text.as_bytes()), shape));
        }
        let (least, most) = signatures.algorithm.output_bytes();
        let Some(decoded) = decoded else {
            wrong.push(Finding::NotASignature { characters: shape.characters });
            return;
        };
        match shape.encoding {
            Some(found) if found != signatures.encoding => {
                wrong.push(Finding::EncodingOther { expected: signatures.encoding, found });
            }
            _ if shape.lacks_padding => wrong.push(Finding::PaddingMissing),
            _ => {}
        }
        if !(least..=most).contains(&decoded.len()) {
            let of = hmac_of(decoded.len());
            wrong.push(Finding::LengthOther { expected: most, found: decoded.len(), of });
        }
        if self.signatures.len() < SIGNATURES_MAX {
            self.signatures.push(Candidate { hash: Hash::of(&decoded), header: header.cloned() });
        }
    }

    /// Looks for a signature in headers that are not the scheme's.
    fn elsewhere(&mut self, signatures: &Signatures, head: Head<'a>) {
        let mut looked_at = 0;
        for (name, value) in head.headers {
            let scheme = scheme_with(name);
            let is_telling = ["signature", "hmac", "-sig"].iter().any(|word| name.as_str().contains(word));
            if (scheme.is_none() && !is_telling) || looked_at == OTHER_HEADERS_MAX {
                continue;
            }
            looked_at += 1;
            self.findings.push(Finding::HeaderElsewhere { name: name.as_str().into(), scheme });
            let Ok(text) = value.to_str() else { continue };
            for piece in text.split([',', ';', ' ']).take(KEYS_SHOWN_MAX) {
                self.candidate(signatures, piece, Some(name), &mut Vec::new());
            }
        }
    }

    fn timestamp_of(
        &mut self,
        signatures: &Signatures,
        values: &[Cow<'a, str>],
        head: Head<'a>,
        body: Option<&'a [u8]>,
    ) -> Option<Cow<'a, str>> {
        match &signatures.timestamp.as_ref()?.place {
            TimestampPlace::Header(name) => {
                let text = self.single(name, head)?.to_str().ok();
                if text.is_none() {
                    self.findings.push(Finding::NotText { name: name.as_str().into() });
                }
                text.map(Cow::Borrowed)
            }
            TimestampPlace::Pair(key) => {
                let Form::Pairs { separator, .. } = signatures.form else { return None };
                let mut found = values.iter().flat_map(|value| pairs(value, separator, key));
                let first = found.next().map(|text| Cow::Owned(text.to_owned()));
                if first.is_none() && !values.is_empty() {
                    self.findings.push(Finding::PairMissing { key, found: Vec::new() });
                }
                first
            }
            TimestampPlace::Body(pointer) => match field(body?, pointer) {
                Ok(text) => Some(text),
                Err(rejection) => {
                    self.findings.push(Finding::FieldMissing { detail: rejection.detail });
                    None
                }
            },
        }
    }
}

/// A word and `=` or `,` before a signature, as `sha256=` or `v1,`; nothing where only padding would be left.
fn split_prefix(text: &str) -> (&str, &str) {
    const PREFIX_BYTES_MAX: usize = 16;
    let end = text.find(['=', ',']).filter(|end| (1..PREFIX_BYTES_MAX).contains(end));
    match end.and_then(|end| text.split_at_checked(end + 1)) {
        Some((prefix, rest)) if !rest.trim_matches('=').is_empty() => (prefix, rest),
        _ => ("", text),
    }
}

/// The named scheme that has its signature in this header.
fn scheme_with(header: &HeaderName) -> Option<&'static str> {
    let has = |proof: &Proof| match proof {
        Proof::Signatures(signatures) => match &signatures.place {
            Place::Header(name) => name == header,
            Place::NumberedHeaders(name) => header.as_str().starts_with(&**name),
            Place::Body(_) => false,
        },
        _ => false,
    };
    PRESETS.iter().find(|preset| has(&preset.scheme().proof)).map(|preset| preset.name)
}
