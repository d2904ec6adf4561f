//! Adyen's payment webhooks: a batch of items, and in each the HMAC of eight of its fields.
//!
//! Every item must be signed; what else an item holds is not. The items are read without building the body up, so
//! that a field that is there twice is refused.

use std::borrow::Cow;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::super::encoding::Hash;
use super::super::read::{malformed, missing};
use super::super::scheme::Encoding;
use crate::domain::{Facts, Rejection, Secret};
use crate::guard::envelope::{DEPTH_MAX, Pointer, Value, scan};

/// The most items of a batch; Adyen sends up to six.
const ITEMS_MAX: usize = 32;

/// The fields in the order in which they are signed.
const FIELDS: [&str; 8] = [
    "pspReference",
    "originalReference",
    "merchantAccountCode",
    "merchantReference",
    "amount/value",
    "amount/currency",
    "eventCode",
    "success",
];

/// The secret that signed every item.
pub(super) fn verify(secrets: &[Secret], body: &[u8], facts: &mut Facts) -> Result<Option<usize>, Rejection> {
    let keys: Vec<Vec<u8>> = secrets.iter().map(|secret| hex::decode(secret.expose()).unwrap_or_default()).collect();
    let mut matching: Option<usize> = None;
    for number in 0..ITEMS_MAX {
        let Some((signed, signature, event)) = item(body, number)? else {
            if number == 0 {
                return Err(missing("the body has no notificationItems"));
            }
            return Ok(matching);
        };
        let mut of_item = None;
        for (index, key) in keys.iter().enumerate().rev() {
            if mac(key, &signed).is_some_and(|mac| bool::from(mac.ct_eq(signature.as_slice()))) {
                of_item = Some(index);
            }
        }
        if of_item.is_none() {
            return Ok(None);
        }
        matching = matching.or(of_item);
        if number == 0 {
            facts.event_type = Some(event.into());
        }
    }
    Err(malformed(format!("more than {ITEMS_MAX} notificationItems")))
}

/// The signature of an item as the sender makes it, in base64.
pub(in crate::guard::signature) fn sign(key: &[u8], body: &[u8], number: usize) -> Option<String> {
    let signed = fields(body, number).ok()??;
    mac(key, &joined(&signed)).map(|mac| Hash::of(&mac).encode(Encoding::Base64))
}

fn mac(key: &[u8], signed: &str) -> Option<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(signed.as_bytes());
    Some(mac.finalize().into_bytes().into())
}

/// What is signed of an item, its signature, and what happened; `None` behind the last one.
fn item(body: &[u8], number: usize) -> Result<Option<(String, Hash, String)>, Rejection> {
    let Some(fields) = fields(body, number)? else { return Ok(None) };
    let [.., signature] = &fields;
    let Some(signature) = signature else { return Err(missing(format!("item {number} has no hmacSignature"))) };
    let Some(signature) = Hash::decode(signature.as_bytes(), Encoding::Base64, (32, 32)) else {
        return Err(malformed(format!("the hmacSignature of item {number} is not 32 bytes in base64")));
    };
    let [.., event, _, _] = &fields;
    let event = event.as_deref().unwrap_or_default().to_owned();
    Ok(Some((joined(&fields), signature, event)))
}

fn joined(fields: &[Option<Cow<'_, str>>; 9]) -> String {
    let signed: Vec<&str> = fields.iter().take(8).map(|field| field.as_deref().unwrap_or_default()).collect();
    signed.join(":")
}

/// The eight fields of an item and its signature; `None` behind the last item.
fn fields(body: &[u8], number: usize) -> Result<Option<[Option<Cow<'_, str>>; 9]>, Rejection> {
    // An element that is no item does not end the list: what stands behind it must be signed too.
    let element = format!("/notificationItems/{number}");
    let item = format!("{element}/NotificationRequestItem");
    let pointer = |field: &str| format!("{item}/{field}").parse::<Pointer>().ok();
    let [a, b, c, d, e, f, g, h] = FIELDS.map(pointer);
    let (signature, whole) = (pointer("additionalData/hmacSignature"), element.parse::<Pointer>().ok());
    let pointers = [&a, &b, &c, &d, &e, &f, &g, &h, &signature, &whole].map(Option::as_ref);
    let found =
        scan(body, pointers, DEPTH_MAX).map_err(|error| malformed(format!("the body cannot be read: {error}")))?;
    let [a, b, c, d, e, f, g, h, signature, whole] = found;
    if whole.is_none() {
        return Ok(None);
    }
    Ok(Some([a, b, c, d, e, f, g, h, signature].map(text)))
}

fn text(value: Option<Value<'_>>) -> Option<Cow<'_, str>> {
    match value? {
        Value::Text(text) => Some(text),
        Value::Integer(digits) => Some(Cow::Borrowed(digits)),
        Value::Null | Value::Other => None,
    }
}
