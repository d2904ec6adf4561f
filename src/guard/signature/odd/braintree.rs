//! Braintree: a form of `bt_signature` and `bt_payload`; the signature is one of several, each behind the public key
//! that it belongs to, and its key is the SHA-1 of the private key.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::{Digest as _, Sha1};
use subtle::ConstantTimeEq as _;
use url::form_urlencoded;

use super::super::read::{malformed, missing};
use crate::domain::{Facts, Rejection, Secret};

/// The longest kind that is taken for a type.
const KIND_BYTES_MAX: usize = 128;

/// The secret whose private key made the signature of its public key.
pub(super) fn verify(secrets: &[Secret], body: &[u8], facts: &mut Facts) -> Result<Option<usize>, Rejection> {
    let (signatures, payload) = (parameter(body, "bt_signature")?, parameter(body, "bt_payload")?);
    if !payload.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=\n".contains(&byte)) {
        return Err(malformed("bt_payload is not base64"));
    }
    let mut matching = None;
    for (index, secret) in secrets.iter().enumerate().rev() {
        let Some((public, private)) = keys(secret) else { continue };
        for (shown, signature) in signatures.split('&').filter_map(|pair| pair.split_once('|')) {
            let Ok(signature) = hex::decode(signature) else { continue };
            // Their own libraries take the payload with and without the line break that base64 tools put at its end.
            let made = [sign(private, &payload), sign(private, &format!("{payload}\n"))];
            let made = made.iter().any(|made| bool::from(made.as_slice().ct_eq(&signature)));
            if made && shown.as_bytes() == public {
                matching = Some(index);
            }
        }
    }
    if matching.is_some() {
        facts.event_type = kind(&payload).map(Into::into);
    }
    Ok(matching)
}

/// The answer to `bt_challenge`: public key and proof. `None` where the challenge is none, or there is no such secret.
pub(in crate::guard::signature) fn answer(secret: &Secret, challenge: &str) -> Option<String> {
    let is_challenge = (20..=32).contains(&challenge.len())
        && challenge.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let (public, private) = keys(secret).filter(|_| is_challenge)?;
    Some(format!("{}|{}", String::from_utf8_lossy(public), hex::encode(sign(private, challenge))))
}

/// The form that a sender with this secret makes of an XML notification.
pub(in crate::guard::signature) fn form(secret: &Secret, xml: &[u8]) -> Option<String> {
    let (public, private) = keys(secret)?;
    let payload = format!("{}\n", STANDARD.encode(xml));
    let signature = format!("{}|{}", String::from_utf8_lossy(public), hex::encode(sign(private, &payload)));
    let mut form = form_urlencoded::Serializer::new(String::new());
    Some(form.append_pair("bt_signature", &signature).append_pair("bt_payload", &payload).finish())
}

fn keys(secret: &Secret) -> Option<(&[u8], &[u8])> {
    let secret = secret.expose();
    let at = secret.iter().position(|byte| *byte == b':')?;
    Some((secret.get(..at)?, secret.get(at + 1..)?))
}

fn sign(private: &[u8], text: &str) -> Vec<u8> {
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(&Sha1::digest(private)) else { return Vec::new() };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// The one parameter of a name.
fn parameter<'a>(body: &'a [u8], name: &str) -> Result<Cow<'a, str>, Rejection> {
    let mut values = form_urlencoded::parse(body).filter(|(shown, _)| shown == name).map(|(_, value)| value);
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        (None, _) => Err(missing(format!("the form has no {name}"))),
        (Some(_), Some(_)) => Err(malformed(format!("the form has more than one {name}"))),
    }
}

/// What stands in the payload's `<kind>`.
fn kind(payload: &str) -> Option<String> {
    let packed: String = payload.chars().filter(|character| *character != '\n').collect();
    let xml = String::from_utf8(STANDARD.decode(packed).ok()?).ok()?;
    let (_, rest) = xml.split_once("<kind>")?;
    let (kind, _) = rest.split_once("</kind>")?;
    let kind = kind.trim();
    let is_word = kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    (is_word && (1..=KIND_BYTES_MAX).contains(&kind.len())).then(|| kind.to_owned())
}
