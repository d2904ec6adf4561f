//! PayPal: `transmission id|time|webhook id|CRC-32 of the body`, signed by a certificate whose URL the head names.
//!
//! The webhook's id, which binds the signature to us, is what the configuration calls the secret.

use http::HeaderName;
use url::Url;

use super::super::read::{malformed, single};
use super::certificates::{RsaKey, RsaScheme};
use crate::domain::{Rejection, Secret};
use crate::guard::layer::Head;

/// What the head says, read and not yet believed.
#[derive(Debug)]
pub struct Transmission<'a> {
    id: &'a str,
    time: &'a str,
    signature: Vec<u8>,
    /// Where the certificate is: on a host of PayPal's.
    pub certificate: Url,
}

impl<'a> Transmission<'a> {
    /// Reads a head.
    ///
    /// # Errors
    /// A header is absent, is there twice, or names a certificate of somebody else.
    pub fn read(head: Head<'a>) -> Result<Self, Rejection> {
        let header = |name: &'static str| {
            let name = HeaderName::from_static(name);
            single(head, &name)?.to_str().map_err(|_not_text| malformed(format!("{name} is not visible ASCII")))
        };
        let (id, time) = (header("paypal-transmission-id")?, header("paypal-transmission-time")?);
        if id.contains('|') || time.contains('|') {
            return Err(malformed("a `|` in an id or a time would end it in what is signed"));
        }
        if header("paypal-auth-algo")? != "SHA256withRSA" {
            return Err(malformed("paypal-auth-algo is not SHA256withRSA"));
        }
        let signature = super::super::encoding::decode_base64(header("paypal-transmission-sig")?.as_bytes())
            .ok_or_else(|| malformed("paypal-transmission-sig is not base64"))?;
        let certificate =
            pinned(header("paypal-cert-url")?).ok_or_else(|| malformed("paypal-cert-url is not one of PayPal's"))?;
        Ok(Self { id, time, signature, certificate })
    }

    /// The webhook of ours that the key signed this for.
    pub(super) fn verify(&self, webhooks: &[Secret], key: &RsaKey, body: &[u8]) -> Option<usize> {
        let checksum = crc32fast::hash(body);
        webhooks.iter().position(|webhook| {
            let webhook = String::from_utf8_lossy(webhook.expose());
            let signed = format!("{}|{}|{webhook}|{checksum}", self.id, self.time);
            key.verifies(RsaScheme::Sha256, signed.as_bytes(), &self.signature)
        })
    }
}

fn pinned(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_paypal = matches!(
        url.host_str()?,
        "api.paypal.com" | "api.sandbox.paypal.com" | "api-m.paypal.com" | "api-m.sandbox.paypal.com"
    );
    let is_plain =
        url.scheme() == "https" && url.port().is_none() && url.username().is_empty() && url.password().is_none();
    let is_certificate = url.path().starts_with("/v1/notifications/certs/") && url.path().len() <= 128;
    (is_paypal && is_plain && is_certificate && url.query().is_none()).then_some(url)
}
