//! Amazon SNS: some fields of the message, each behind its name, signed by a certificate whose URL the message names.
//!
//! Anybody with an account can have SNS sign a message: what makes one ours is its topic, which is what the
//! configuration calls the secret.

use std::borrow::Cow;

use url::Url;

use super::super::read::{malformed, missing};
use super::certificates::{RsaKey, RsaScheme};
use crate::domain::{Rejection, Secret};
use crate::guard::envelope::{DEPTH_MAX, Pointer, Value, scan};

/// A message, read and not yet believed.
#[derive(Debug)]
pub struct Message<'a> {
    topic: Cow<'a, str>,
    scheme: RsaScheme,
    signature: Vec<u8>,
    signed: String,
    /// Where its certificate is: on a host of Amazon's.
    pub certificate: Url,
}

/// The signed fields in their order; the last ones belong to confirmations alone.
const SIGNED: [&str; 8] = ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"];

impl<'a> Message<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// It is no message of SNS, or names a certificate of somebody else.
    pub fn read(body: &'a [u8]) -> Result<Self, Rejection> {
        let pointer = |name: &str| format!("/{name}").parse::<Pointer>().ok();
        let [a, b, c, d, e, f, g, h] = SIGNED.map(pointer);
        let [i, j, k] = ["Signature", "SignatureVersion", "SigningCertURL"].map(pointer);
        let pointers = [&a, &b, &c, &d, &e, &f, &g, &h, &i, &j, &k].map(Option::as_ref);
        let found =
            scan(body, pointers, DEPTH_MAX).map_err(|error| malformed(format!("not a message of SNS: {error}")))?;
        let [a, b, c, d, e, f, g, h, signature, version, certificate] = found.map(text);
        let fields = [a, b, c, d, e, f, g, h];
        let is_confirmation = fields.last().and_then(Option::as_deref).is_some_and(|kind| kind != "Notification");
        let mut signed = String::with_capacity(body.len());
        for (name, field) in SIGNED.iter().zip(&fields) {
            let of_confirmation = matches!(*name, "SubscribeURL" | "Token");
            let Some(field) = field.as_deref().filter(|_| !of_confirmation || is_confirmation) else { continue };
            signed.extend([name, "\n", field, "\n"]);
        }
        let [.., topic, _] = fields;
        let topic = topic.ok_or_else(|| missing("the message has no TopicArn"))?;
        let scheme = match version.as_deref() {
            Some("1") => RsaScheme::Sha1,
            Some("2") => RsaScheme::Sha256,
            _ => return Err(malformed("SignatureVersion is neither 1 nor 2")),
        };
        let signature = signature.ok_or_else(|| missing("the message has no Signature"))?;
        let signature = super::super::encoding::decode_base64(signature.as_bytes())
            .ok_or_else(|| malformed("Signature is not base64"))?;
        let certificate = certificate.ok_or_else(|| missing("the message has no SigningCertURL"))?;
        let certificate = pinned(&certificate).filter(|url| {
            let name = url.path().strip_prefix("/SimpleNotificationService-");
            name.and_then(|name| name.strip_suffix(".pem")).is_some_and(|name| name.len() <= 64)
        });
        let certificate = certificate.ok_or_else(|| malformed("SigningCertURL is not one of Amazon's"))?;
        Ok(Self { topic, scheme, signature, signed, certificate })
    }

    /// The topic of ours that the message belongs to, where the key signed it.
    pub(super) fn verify(&self, topics: &[Secret], key: &RsaKey) -> Option<usize> {
        let topic = topics.iter().position(|topic| topic.expose() == self.topic.as_bytes())?;
        key.verifies(self.scheme, self.signed.as_bytes(), &self.signature).then_some(topic)
    }
}

/// The URL, where it is `https` on a host of SNS: `sns.REGION.amazonaws.com` or, in China, `….com.cn`.
#[must_use]
pub fn pinned(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let host = url.host_str()?;
    let host = host.strip_suffix(".cn").unwrap_or(host);
    let region = host.strip_prefix("sns.")?.strip_suffix(".amazonaws.com")?;
    let is_region = region.len() >= 3 && region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let is_plain =
        url.scheme() == "https" && url.port().is_none() && url.username().is_empty() && url.password().is_none();
    (is_region && is_plain).then_some(url)
}

fn text(value: Option<Value<'_>>) -> Option<Cow<'_, str>> {
    match value? {
        Value::Text(text) => Some(text),
        Value::Integer(_) | Value::Null | Value::Other => None,
    }
}
