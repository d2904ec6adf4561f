//! The events of the bench: 1.5 KB of JSON in the platform's standard shape, each with an id of its own, signed as
//! `X-Appmint-Signature: sha256=…`. One template is patched in place, so that sending costs the sender next to nothing.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::sender::Plan;

/// The secret that every system of the bench verifies with.
pub(crate) const SECRET: &str = "hookward-bench-secret-0123456789abcdef";
/// What every event id starts with; twelve digits follow.
pub(crate) const ID_PREFIX: &[u8] = b"evt_bench_";
/// Digits after [`ID_PREFIX`].
pub(crate) const ID_DIGITS: usize = 12;
/// Size of a body, in bytes.
pub(crate) const BODY_BYTES: usize = 1536;

/// HMAC-SHA256 with the key set up once.
pub(crate) type Signer = Hmac<Sha256>;

/// A signer for [`SECRET`].
pub(crate) fn signer() -> Signer {
    Signer::new_from_slice(SECRET.as_bytes()).expect("hmac takes keys of any length")
}

/// One request that is patched for each event.
pub(crate) struct Template {
    bytes: Vec<u8>,
    body: usize,
    id: usize,
    id_header: usize,
    signature: usize,
    signer: Signer,
}

impl Template {
    /// A POST to `path` at `host`, with the signature in `signature_header`.
    pub(crate) fn new(host: &str, path: &str, signature_header: &str) -> Self {
        let body = body();
        let mut bytes = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Appmint-Webhooks/1.0\r\nAccept: */*\r\n\
             Content-Type: application/json\r\nX-Appmint-Event-Type: payment.succeeded\r\nX-Appmint-Event-Id: "
        )
        .into_bytes();
        let id_header = bytes.len() + ID_PREFIX.len();
        bytes.extend_from_slice(ID_PREFIX);
        bytes.extend_from_slice(&[b'0'; ID_DIGITS]);
        bytes.extend_from_slice(format!("\r\n{signature_header}: sha256=").as_bytes());
        let signature = bytes.len();
        bytes.extend_from_slice(&[b'0'; 64]);
        bytes.extend_from_slice(format!("\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes());
        let start = bytes.len();
        let id = start + ID_PREFIX.len() + br#"{"id":""#.len();
        bytes.extend_from_slice(&body);
        Self { bytes, body: start, id, id_header, signature, signer: signer() }
    }

    /// The hex signature of event `number`.
    pub(crate) fn sign(&mut self, number: u64) -> [u8; 64] {
        let digits = digits(number);
        self.bytes[self.id..self.id + ID_DIGITS].copy_from_slice(&digits);
        let mut mac = self.signer.clone();
        mac.update(&self.bytes[self.body..]);
        let mut text = [0; 64];
        hex::encode_to_slice(mac.finalize().into_bytes(), &mut text).expect("64 digits for 32 bytes");
        text
    }

    /// The request for event `number` with a signature that [`Template::sign`] made before.
    pub(crate) fn patched(&mut self, number: u64, signature: &[u8; 64]) -> &[u8] {
        let digits = digits(number);
        self.bytes[self.id..self.id + ID_DIGITS].copy_from_slice(&digits);
        self.bytes[self.id_header..self.id_header + ID_DIGITS].copy_from_slice(&digits);
        self.bytes[self.signature..self.signature + 64].copy_from_slice(signature);
        &self.bytes
    }
}

/// The requests of a plan, one after the other.
pub(crate) struct Supply {
    template: Template,
    signatures: Vec<[u8; 64]>,
    first: u64,
    sent: u64,
}

impl Supply {
    /// Makes the signatures that `plan` wants beforehand; later ones are made while sending.
    pub(crate) fn new(plan: &Plan) -> Self {
        // Of several gateways the name of the first serves all.
        let address = plan.address.split(',').next().unwrap_or_default();
        let mut template = Template::new(address, &plan.path, &plan.signature_header);
        let signatures = (0..plan.presigned as u64).map(|offset| template.sign(plan.first + offset)).collect();
        Self { template, signatures, first: plan.first, sent: 0 }
    }

    /// Requests that were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// The next request, the same until [`Supply::advance`].
    pub(crate) fn request(&mut self) -> &[u8] {
        let number = self.first + self.sent;
        match self.signatures.get(usize::try_from(self.sent).unwrap_or(usize::MAX)) {
            Some(signature) => self.template.patched(number, signature),
            None => {
                let signature = self.template.sign(number);
                self.template.patched(number, &signature)
            }
        }
    }

    /// The request was sent.
    pub(crate) fn advance(&mut self) {
        self.sent += 1;
    }
}

/// The event's number, read from a body that contains its id.
pub(crate) fn number(body: &[u8]) -> Option<u64> {
    let fixed = br#"{"id":""#.len();
    let at = match body.get(fixed..fixed + ID_PREFIX.len()) {
        Some(start) if start == ID_PREFIX => fixed,
        _ => super::wire::find(body, ID_PREFIX)?,
    };
    let digits = body.get(at + ID_PREFIX.len()..at + ID_PREFIX.len() + ID_DIGITS)?;
    digits.iter().try_fold(0_u64, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0')))
}

fn digits(number: u64) -> [u8; ID_DIGITS] {
    let mut digits = [b'0'; ID_DIGITS];
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).expect("one digit");
        rest /= 10;
    }
    digits
}

fn body() -> Vec<u8> {
    let mut body = br#"{"id":"evt_bench_000000000000","type":"payment.succeeded","created":"2026-11-23T12:00:00.000Z","api_version":"2024-01-01","livemode":true,"request":{"id":"req_5f1c","idempotency_key":null},"previous_attributes":null,"data":{"id":"pay_1029384756","amount":12999,"currency":"usd","status":"succeeded","customer":{"id":"cus_48151623","email":"ada@example.com","name":"Ada Lovelace"},"items":["#.to_vec();
    let end = br#"],"note":""}}"#.len();
    let mut index = 0;
    loop {
        let item = format!(
            r#"{}{{"sku":"sku-{index:04}","quantity":{},"price":{},"title":"A thing worth having"}}"#,
            if index == 0 { "" } else { "," },
            index + 1,
            999 + index * 37
        );
        if body.len() + item.len() + end > BODY_BYTES {
            break;
        }
        body.extend_from_slice(item.as_bytes());
        index += 1;
    }
    body.extend_from_slice(br#"],"note":""#);
    while body.len() < BODY_BYTES - 3 {
        body.push(b'x');
    }
    body.extend_from_slice(br#""}}"#);
    body
}
