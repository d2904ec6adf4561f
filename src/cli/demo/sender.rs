//! The demo's sender: signs as the platform does, or forges, and reads the answers.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;

use super::cases::{APPMINT_PATH, Case, Expected, STANDARD_PATH, Signing};
use super::run::Many;
use crate::cli::Failure;
use crate::domain::Clock;

/// The secrets that sources and sender share, made anew for each run.
pub(super) struct Secrets {
    pub(super) appmint: String,
    pub(super) standard: String,
    standard_key: [u8; 32],
}

/// Sends requests to the ingress and asks the admin port about them.
pub(super) struct Sender {
    client: reqwest::Client,
    ingress: SocketAddr,
    admin: SocketAddr,
    secrets: Secrets,
    clock: Clock,
}

/// What the gateway answered.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) duplicate: bool,
    /// The code of the problem, where it refused.
    pub(super) code: Option<String>,
    /// The id of the event or of the rejection.
    pub(super) id: String,
}

// === impl Secrets ===

impl Secrets {
    pub(super) fn new() -> Result<Self, Failure> {
        let mut bytes = [0_u8; 56];
        getrandom::fill(&mut bytes).map_err(|error| Failure::Failed(format!("no random numbers: {error}")))?;
        let (appmint, standard) = bytes.split_at(24);
        let standard_key =
            standard.try_into().map_err(|error| Failure::Failed(format!("a key has 32 bytes: {error}")))?;
        Ok(Self {
            appmint: hex::encode(appmint),
            standard: format!("whsec_{}", STANDARD.encode(standard)),
            standard_key,
        })
    }
}

// === impl Sender ===

impl Sender {
    pub(super) fn new(ingress: SocketAddr, admin: SocketAddr, secrets: Secrets) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().unwrap_or_default();
        Self { client, ingress, admin, secrets, clock: Clock::machine() }
    }

    /// Sends one case and reads the answer.
    pub(super) async fn send(&self, case: &Case) -> Result<Answer, Failure> {
        let mut request = self
            .client
            .post(format!("http://{}{}", self.ingress, case.path))
            .header("content-type", "application/json")
            .header("x-forwarded-for", case.client);
        for (name, value) in self.signature(case) {
            request = request.header(name, value);
        }
        let response = request.body(sent_body(case)).send().await.map_err(|error| unreachable(&error))?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let status = response.status().as_u16();
        let duplicate = header("hookward-duplicate").is_some();
        let id = header("hookward-event-id").or_else(|| header("hookward-rejection-id")).unwrap_or_default();
        let body = response.bytes().await.map_err(|error| unreachable(&error))?;
        let problem: Option<Value> = serde_json::from_slice(&body).ok();
        let code = problem.and_then(|problem| Some(problem.get("code")?.as_str()?.to_owned()));
        Ok(Answer { status, duplicate, code, id })
    }

    /// Sends `number` genuine events, every tenth one twice, and counts the answers.
    pub(super) async fn send_many(&self, number: usize) -> Result<Many, Failure> {
        let mut many = Many::default();
        for index in 0..number {
            let body = serde_json::json!({ "id": format!("evt_more_{index}"), "type": "user.updated", "data": { "n": index } });
            let case = Case {
                what: "one of many",
                path: APPMINT_PATH,
                id: "",
                body: Bytes::from(body.to_string()),
                signing: Signing::Genuine,
                client: "192.0.2.20",
                expected: Expected::Duplicate,
            };
            for copy in 0..if index % 10 == 9 { 2 } else { 1 } {
                let answer = self.send(&case).await?;
                many.sent += 1;
                match (answer.status, answer.duplicate) {
                    (200, false) if copy == 0 => many.kept += 1,
                    (200, true) if copy == 1 => many.duplicates += 1,
                    _ => many.other += 1,
                }
            }
        }
        Ok(many)
    }

    /// What the ledger of rejections says about a refused request.
    pub(super) async fn why(&self, answer: &Answer) -> Result<Option<String>, Failure> {
        if answer.code.is_none() {
            return Ok(None);
        }
        let url = format!("http://{}/v1/rejections?limit=100", self.admin);
        let response = self.client.get(url).send().await.map_err(|error| unreachable(&error))?;
        let bytes = response.bytes().await.map_err(|error| unreachable(&error))?;
        let list: Value = serde_json::from_slice(&bytes).map_err(|error| Failure::Failed(error.to_string()))?;
        let rows = list.get("data").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let row = rows.iter().find(|row| row.get("id").and_then(Value::as_str) == Some(&answer.id));
        Ok(row.and_then(|row| Some(row.get("detail")?.as_str()?.to_owned())))
    }

    fn signature(&self, case: &Case) -> Vec<(&'static str, String)> {
        let minutes = match case.signing {
            Signing::Absent => return Vec::new(),
            Signing::GenuineAged { minutes } => minutes,
            Signing::Genuine | Signing::WrongSecret | Signing::Tampered => 0,
        };
        if case.path == STANDARD_PATH {
            let signed_at = self.clock.wall().minus(Duration::from_secs(60 * minutes)).as_secs();
            let mac = mac(
                &self.secrets.standard_key,
                &[case.id.as_bytes(), b".", signed_at.to_string().as_bytes(), b".", &case.body],
            );
            return vec![
                ("webhook-id", case.id.to_owned()),
                ("webhook-timestamp", signed_at.to_string()),
                ("webhook-signature", format!("v1,{}", STANDARD.encode(mac))),
            ];
        }
        let forged = case.signing == Signing::WrongSecret;
        let secret: &[u8] = if forged { b"a guess" } else { self.secrets.appmint.as_bytes() };
        vec![("x-appmint-signature", format!("sha256={}", hex::encode(mac(secret, &[&case.body]))))]
    }
}

/// The body as it is sent: with one byte changed where the case says so.
fn sent_body(case: &Case) -> Bytes {
    let mut body = case.body.to_vec();
    if case.signing == Signing::Tampered
        && let Some(digit) = body.iter_mut().find(|byte| byte.is_ascii_digit())
    {
        *digit = if *digit == b'9' { b'1' } else { *digit + 1 };
    }
    body.into()
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    // HMAC takes keys of every length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

fn unreachable(error: &reqwest::Error) -> Failure {
    Failure::Failed(format!("the gateway did not answer: {error}"))
}
