//! The request to a customer's webhook: the platform's headers, and a Standard Webhooks signature beside them.
//!
//! What is signed with the platform's scheme is the body alone, with the secret's own characters as the key, as its
//! documentation tells receivers to verify. Standard Webhooks sign id, time and body, with the bytes that the secret
//! is the base64 of. The header of the documentation holds one signature, and the receivers written after it take
//! nothing else: the signature by a secret that is being replaced has a header of its own.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderValue, Method};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use sha2::Sha256;

use super::Endpoint;
use super::http1::Head;
use super::request::Parcel;
use crate::domain::{Clock, DeliveryId, Secret, Timestamp};

/// How the requests to one webhook look and what they are signed with.
#[derive(Clone)]
pub struct WebhookRequest {
    /// The names of the platform's headers, and its `User-Agent`.
    pub names: WebhookHeaders,
    /// The customer's own headers, marked as sensitive.
    pub headers: HeaderMap,
    /// The secrets, the current one first; one that was replaced signs until its time is over.
    pub keys: Vec<(WebhookKey, Option<Timestamp>)>,
    /// For signatures that the receiver verifies with a public key.
    pub asymmetric: Option<AsymmetricKey>,
}

/// The names of the platform's headers, as its documentation writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookHeaders {
    signature: Box<str>,
    previous: Box<str>,
    event_type: Box<str>,
    event_id: Box<str>,
    delivery: Box<str>,
    user_agent: HeaderValue,
}

/// A secret, ready to sign in both ways.
#[derive(Clone)]
pub struct WebhookKey {
    secret: Secret,
    /// Keyed with the secret's own characters.
    plain: Hmac<Sha256>,
    /// Keyed with what the secret is the base64 of; with its characters where it is not base64.
    standard: Hmac<Sha256>,
}

/// An ed25519 key, from its seed.
#[derive(Clone)]
pub struct AsymmetricKey {
    seed: Secret,
    pair: Arc<Ed25519KeyPair>,
}

/// Bytes of an ed25519 seed.
pub const SEED_BYTES: usize = 32;

// === impl WebhookHeaders ===

impl WebhookHeaders {
    /// The names that begin with `prefix`, such as `X-Appmint`.
    #[must_use]
    pub fn new(prefix: &str, user_agent: HeaderValue) -> Self {
        let name = |end: &str| format!("{prefix}-{end}").into();
        Self {
            signature: name("Signature"),
            previous: name("Signature-Previous"),
            event_type: name("Event-Type"),
            event_id: name("Event-Id"),
            delivery: name("Delivery"),
            user_agent,
        }
    }
}

// === impl WebhookKey, AsymmetricKey ===

impl WebhookKey {
    /// A key from the secret as the customer has it; `None` where it is empty.
    #[must_use]
    pub fn new(secret: &Secret) -> Option<Self> {
        let text = secret.expose();
        if text.is_empty() {
            return None;
        }
        let encoded = text.strip_prefix(b"whsec_").unwrap_or(text);
        let decoded = STANDARD.decode(encoded).ok().filter(|bytes| !bytes.is_empty()).map(Secret::new);
        let plain = Hmac::new_from_slice(text).ok()?;
        let standard = Hmac::new_from_slice(decoded.as_ref().map_or(text, Secret::expose)).ok()?;
        Some(Self { secret: secret.clone(), plain, standard })
    }

    /// The platform's signature of a body.
    fn plain(&self, body: &[u8]) -> String {
        let mut mac = self.plain.clone();
        mac.update(body);
        format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
    }

    /// Adds the signature of Standard Webhooks, version 1.
    fn add_standard(&self, signed: [&[u8]; 5], to: &mut String) {
        let mut mac = self.standard.clone();
        signed.into_iter().for_each(|part| mac.update(part));
        append(to, "v1,", &mac.finalize().into_bytes());
    }
}

impl AsymmetricKey {
    /// The key pair of a seed of [`SEED_BYTES`]; `None` where it has another length.
    #[must_use]
    pub fn new(seed: &Secret) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose()).ok()?;
        Some(Self { seed: seed.clone(), pair: Arc::new(pair) })
    }

    /// The public key as receivers write it: `whpk_` and base64.
    #[must_use]
    pub fn public(&self) -> String {
        format!("whpk_{}", STANDARD.encode(self.pair.public_key()))
    }

    fn add(&self, signed: [&[u8]; 5], to: &mut String) {
        append(to, "v1a,", self.pair.sign(&signed.concat()).as_ref());
    }
}

fn append(to: &mut String, version: &str, signature: &[u8]) {
    if !to.is_empty() {
        to.push(' ');
    }
    to.push_str(version);
    STANDARD.encode_string(signature, to);
}

// === impl WebhookRequest ===

impl WebhookRequest {
    /// Writes the head of one attempt's request into `out`; its body is the event's.
    pub(super) fn write(&self, out: &mut Vec<u8>, endpoint: &Endpoint, parcel: Parcel<'_>, clock: &Clock) {
        let received = &parcel.event.received;
        let own_id;
        let id = match &received.source_event_id {
            Some(id) => id.as_bytes(),
            None => {
                own_id = parcel.event.id.to_string();
                own_id.as_bytes()
            }
        };
        let (url, names) = (&endpoint.url, &self.names);
        let mut head = Head::start(out, &Method::POST, url.target(), None, url.host_header().as_bytes());
        head.field("content-type", b"application/json");
        head.field("user-agent", names.user_agent.as_bytes());
        if let Some(event_type) = &received.event_type {
            head.field(&names.event_type, event_type.as_bytes());
        }
        head.field(&names.event_id, id);
        head.id(&names.delivery, DeliveryId::PREFIX, &parcel.delivery.digits());
        self.sign(&mut head, id, &received.body, clock);
        for (name, value) in &self.headers {
            head.field(name.as_str(), value.as_bytes());
        }
        head.finish(&Method::POST, received.body.len() as u64);
    }

    fn sign(&self, head: &mut Head<'_>, id: &[u8], body: &[u8], clock: &Clock) {
        let (now, wall) = (clock.now(), clock.wall());
        let timestamp = wall.as_secs().to_string();
        let signed = [id, b".", timestamp.as_bytes(), b".", body];
        let mut standard = String::new();
        let mut first = true;
        for (key, _) in self.keys.iter().filter(|(_, until)| until.is_none_or(|until| until > now)) {
            let name = if std::mem::take(&mut first) { &self.names.signature } else { &self.names.previous };
            head.field(name, key.plain(body).as_bytes());
            key.add_standard(signed, &mut standard);
        }
        if let Some(key) = &self.asymmetric {
            key.add(signed, &mut standard);
        }
        head.field("webhook-id", id);
        head.field("webhook-timestamp", timestamp.as_bytes());
        head.field("webhook-signature", standard.as_bytes());
    }
}

impl PartialEq for WebhookRequest {
    fn eq(&self, other: &Self) -> bool {
        let secret = |(key, until): &(WebhookKey, Option<Timestamp>)| (key.secret.clone(), *until);
        let seed = |key: &AsymmetricKey| key.seed.clone();
        self.names == other.names
            && self.headers == other.headers
            && self.keys.iter().map(secret).eq(other.keys.iter().map(secret))
            && self.asymmetric.as_ref().map(seed) == other.asymmetric.as_ref().map(seed)
    }
}

impl fmt::Debug for WebhookRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookRequest").field("names", &self.names).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::EndpointUrl;
    use crate::domain::event::DEFAULT_PROJECT;
    use crate::domain::{Event, HeaderBlock, IdMint, NewEvent, Seq};

    const NOW: Timestamp = Timestamp(1_614_265_330_000);

    fn request(keys: &[(&str, Option<Timestamp>)]) -> WebhookRequest {
        let key = |(secret, until): &(&str, _)| (WebhookKey::new(&Secret::new(*secret)).unwrap(), *until);
        WebhookRequest {
            names: WebhookHeaders::new("X-Appmint", HeaderValue::from_static("Appmint-Webhooks/1.0")),
            headers: HeaderMap::new(),
            keys: keys.iter().map(key).collect(),
            asymmetric: None,
        }
    }

    fn written(request: &WebhookRequest) -> String {
        let mint = IdMint::new([1; 16]);
        let seq = Seq::first_at(NOW);
        let received = NewEvent {
            source: "outbound".into(),
            source_event_id: Some("msg_p5jXN8AQM9LWM0D4loKWxJek".into()),
            event_type: Some("payment.failed".into()),
            project: DEFAULT_PROJECT.into(),
            received_at: NOW,
            method: Method::POST,
            query: None,
            headers: HeaderBlock::default(),
            body: br#"{"test": 2432232314}"#.as_slice().into(),
            signed_at: None,
            secret_index: None,
        };
        let event = Event { id: mint.event(seq), seq, received };
        let parcel = Parcel { event: &event, delivery: mint.delivery(seq, 0), attempt: 1 };
        let endpoint = Endpoint::new(EndpointUrl::parse("http://customer.example/hook?a=b").unwrap());
        let mut out = Vec::new();
        request.write(&mut out, &endpoint, parcel, &Clock::manual(NOW));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_platforms_headers_and_the_standard_ones_stand_side_by_side() {
        let head = written(&request(&[("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", None)]));
        assert!(head.starts_with("POST /hook?a=b HTTP/1.1\r\nhost: customer.example\r\n"), "{head}");
        // printf '{"test": 2432232314}' | openssl dgst -sha256 -hmac whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw
        let signature = "80ec8a89ce3cd22133a1066caecb4d04fea7467657c8514d717ec42c38a5c94c";
        assert!(head.contains(&format!("\r\nX-Appmint-Signature: sha256={signature}\r\n")), "{head}");
        for line in [
            "content-type: application/json",
            "user-agent: Appmint-Webhooks/1.0",
            "X-Appmint-Event-Type: payment.failed",
            "X-Appmint-Event-Id: msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp: 1614265330",
            // The example of the standard-webhooks repository's reference implementations.
            "webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            "content-length: 20",
        ] {
            assert!(head.contains(&format!("\r\n{line}\r\n")), "{line} is not in {head}");
        }
        assert!(head.contains("\r\nX-Appmint-Delivery: delivery_") && !head.to_lowercase().contains("hookward"));
    }

    #[test]
    fn a_replaced_secret_signs_until_its_time_is_over() {
        let later = NOW.plus(std::time::Duration::from_millis(1));
        let both = written(&request(&[("new", None), ("old", Some(later))]));
        assert_eq!(both.matches("\r\nX-Appmint-Signature: ").count(), 1);
        assert_eq!(both.matches("\r\nX-Appmint-Signature-Previous: sha256=").count(), 1);
        assert_eq!(both.matches("v1,").count(), 2);
        let one = written(&request(&[("new", None), ("old", Some(NOW))]));
        assert!(!one.contains("Previous") && one.matches("v1,").count() == 1);
    }

    #[test]
    fn an_asymmetric_signature_verifies_with_the_public_key() {
        let key = AsymmetricKey::new(&Secret::new([7; SEED_BYTES])).unwrap();
        let public = STANDARD.decode(key.public().strip_prefix("whpk_").unwrap()).unwrap();
        let head = written(&WebhookRequest { asymmetric: Some(key), ..request(&[("secret", None)]) });
        let (_, signature) = head.split_once("v1a,").unwrap();
        let signature = STANDARD.decode(signature.split(['\r', ' ']).next().unwrap()).unwrap();
        let signed = br#"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}"#;
        let verifier = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, public);
        verifier.verify(signed, &signature).unwrap();
    }
}
