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

/// In what events differ beside their numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variety {
    /// In nothing.
    None,
    /// Every second event has the first of [`TYPES`] types, every fourth the second, and so on.
    Types,
    /// They belong to so many projects in turn, and say in their notes when they were due.
    Projects(u64),
}

/// Types of [`Variety::Types`].
pub(crate) const TYPES: u32 = 16;
/// What stands before the moment at which an event was due.
pub(crate) const NOTE: &[u8] = br#""note":""#;
/// Digits of that moment, in nanoseconds.
pub(crate) const NOTE_DIGITS: usize = 20;
/// Of a project's number, behind a `p`.
const PROJECT_DIGITS: usize = 5;
/// Of a type's number, behind `payment.`.
const TYPE_DIGITS: usize = 9;
/// The type where all are the same.
const TYPE: &[u8] = b"payment.succeeded";

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
    /// Where the signature stands; `None` where the sender shows another credential.
    signature: Option<usize>,
    signer: Signer,
    variety: Variety,
    /// Where the number of the project stands, where events have projects.
    project: usize,
    /// Where the type's name ends and its number begins, where they have types.
    type_number: usize,
    note: usize,
}

// === impl Variety ===

impl Variety {
    /// On a command line.
    pub(crate) fn word(self) -> String {
        match self {
            Self::None => "same".to_owned(),
            Self::Types => "types".to_owned(),
            Self::Projects(projects) => projects.to_string(),
        }
    }

    /// The reverse of [`word`](Self::word).
    pub(crate) fn of_word(word: &str) -> Self {
        match word {
            "same" => Self::None,
            "types" => Self::Types,
            projects => Self::Projects(projects.parse().expect("a number of projects")),
        }
    }
}

/// The name of a type of [`Variety::Types`].
pub(crate) fn type_name(index: u32) -> String {
    format!("payment.{index:0TYPE_DIGITS$}")
}

/// The type of an event.
fn type_of(number: u64) -> u32 {
    number.trailing_zeros().min(TYPES - 1)
}

/// The name of a project of [`Variety::Projects`].
pub(crate) fn project_name(index: u64) -> String {
    format!("p{index:0PROJECT_DIGITS$}")
}

// === impl Template ===

impl Template {
    /// A POST to `path` at `host` with this [credential](Plan::credential).
    pub(crate) fn new(host: &str, path: &str, credential: &str, variety: Variety) -> Self {
        let body = body();
        let mut bytes = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Appmint-Webhooks/1.0\r\nAccept: */*\r\n\
             Content-Type: application/json\r\nX-Appmint-Event-Type: payment.succeeded\r\nX-Appmint-Event-Id: "
        )
        .into_bytes();
        let id_header = bytes.len() + ID_PREFIX.len();
        bytes.extend_from_slice(ID_PREFIX);
        bytes.extend_from_slice(&[b'0'; ID_DIGITS]);
        let signature = if credential.contains(": ") {
            bytes.extend_from_slice(format!("\r\n{credential}").as_bytes());
            None
        } else {
            bytes.extend_from_slice(format!("\r\n{credential}: sha256=").as_bytes());
            let signature = bytes.len();
            bytes.extend_from_slice(&[b'0'; 64]);
            Some(signature)
        };
        let project = bytes.len() + "\r\nHookward-Project: p".len();
        if let Variety::Projects(_) = variety {
            bytes.extend_from_slice(format!("\r\nHookward-Project: {}", project_name(0)).as_bytes());
        }
        bytes.extend_from_slice(format!("\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes());
        let start = bytes.len();
        let id = start + ID_PREFIX.len() + br#"{"id":""#.len();
        bytes.extend_from_slice(&body);
        let in_body = |wanted: &[u8]| start + super::wire::find(&body, wanted).expect("its place in the body");
        let type_number = in_body(TYPE) + TYPE.len() - TYPE_DIGITS;
        let note = in_body(NOTE) + NOTE.len();
        Self { bytes, body: start, id, id_header, signature, signer: signer(), variety, project, type_number, note }
    }

    /// The hex signature of event `number`.
    pub(crate) fn sign(&mut self, number: u64) -> [u8; 64] {
        let digits = digits::<ID_DIGITS>(number);
        self.bytes[self.id..self.id + ID_DIGITS].copy_from_slice(&digits);
        let mut mac = self.signer.clone();
        mac.update(&self.bytes[self.body..]);
        let mut text = [0; 64];
        hex::encode_to_slice(mac.finalize().into_bytes(), &mut text).expect("64 digits for 32 bytes");
        text
    }

    /// The request for event `number`, where it is signed with a signature that [`Template::sign`] made before.
    pub(crate) fn patched(&mut self, number: u64, due_nanos: u64, signature: Option<&[u8; 64]>) -> &[u8] {
        let digits = digits::<ID_DIGITS>(number);
        self.put(self.id, digits);
        self.put(self.id_header, digits);
        if let (Some(at), Some(signature)) = (self.signature, signature) {
            self.bytes[at..at + 64].copy_from_slice(signature);
        }
        match self.variety {
            Variety::None => {}
            Variety::Types => self.put(self.type_number, self::digits::<TYPE_DIGITS>(type_of(number).into())),
            Variety::Projects(projects) => {
                self.put(self.project, self::digits::<PROJECT_DIGITS>(number % projects));
                self.put(self.note, self::digits::<NOTE_DIGITS>(due_nanos));
            }
        }
        &self.bytes
    }
}

impl Template {
    fn put<const DIGITS: usize>(&mut self, at: usize, digits: [u8; DIGITS]) {
        self.bytes[at..at + DIGITS].copy_from_slice(&digits);
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
        let mut template = Template::new(address, &plan.path, &plan.credential, plan.variety);
        let presigned = if template.signature.is_some() { plan.presigned as u64 } else { 0 };
        let signatures = (0..presigned).map(|offset| template.sign(plan.first + offset)).collect();
        Self { template, signatures, first: plan.first, sent: 0 }
    }

    /// Requests that were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// The next request, due at `due_nanos`, the same until [`Supply::advance`].
    pub(crate) fn request(&mut self, due_nanos: u64) -> &[u8] {
        let number = self.first + self.sent;
        match self.signatures.get(usize::try_from(self.sent).unwrap_or(usize::MAX)) {
            Some(signature) => self.template.patched(number, due_nanos, Some(signature)),
            None if self.template.signature.is_none() => self.template.patched(number, due_nanos, None),
            None => {
                let signature = self.template.sign(number);
                self.template.patched(number, due_nanos, Some(&signature))
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

fn digits<const DIGITS: usize>(number: u64) -> [u8; DIGITS] {
    let mut digits = [b'0'; DIGITS];
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
