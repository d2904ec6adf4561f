//! Requests that were made under a key, for all gateways: each a string of the first shard that ends with its day.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use redis::Value;
use serde::{Deserialize, Serialize};

use super::engine::Redis;
use super::replies;
use crate::domain::Timestamp;
use crate::store::kept_request::KNOWN_FOR;
use crate::store::{KeptRequest, StoreError};

/// Where all of them are.
const SHARD: usize = 0;

/// A look at what was noted can come too late so often: it ended between two questions.
const LOOKS_MAX: u32 = 3;

/// As it is written.
#[derive(Serialize, Deserialize)]
struct Written {
    request: String,
    project: u64,
    begun_at: u64,
    answer: Option<String>,
}

// === impl Redis ===

impl Redis {
    pub(super) async fn note_request(&self, begun: KeptRequest) -> Result<Option<KeptRequest>, StoreError> {
        for _ in 0..LOOKS_MAX {
            let mut set = redis::cmd("SET");
            set.arg(self.request_key(&begun.name)).arg(text_of(&begun)).arg("NX").arg("PX").arg(millis());
            if self.shared.ask(SHARD, set).await? != Value::Nil {
                return Ok(None);
            }
            if let Some(noted) = self.read_request(begun.name).await? {
                return Ok(Some(noted));
            }
        }
        Err(StoreError::Engine("redis says of a key that it is there and that it is not".into()))
    }

    pub(super) async fn note_answer(&self, name: [u8; 32], answer: Option<Bytes>) -> Result<(), StoreError> {
        let Some(answer) = answer else {
            let mut forget = redis::cmd("DEL");
            forget.arg(self.request_key(&name));
            return self.shared.ask(SHARD, forget).await.map(drop);
        };
        let Some(noted) = self.read_request(name).await? else { return Ok(()) };
        let mut set = redis::cmd("SET");
        let answered = KeptRequest { answer: Some(answer), ..noted };
        set.arg(self.request_key(&name)).arg(text_of(&answered)).arg("XX").arg("KEEPTTL");
        self.shared.ask(SHARD, set).await.map(drop)
    }

    async fn read_request(&self, name: [u8; 32]) -> Result<Option<KeptRequest>, StoreError> {
        let mut get = redis::cmd("GET");
        get.arg(self.request_key(&name));
        let found = self.shared.ask(SHARD, get).await?;
        replies::bytes(&found).map(|text| read(name, text)).transpose()
    }

    fn request_key(&self, name: &[u8; 32]) -> String {
        format!("{}request:{}", self.shared.bases.get(SHARD), hex::encode(name))
    }
}

fn millis() -> u64 {
    u64::try_from(KNOWN_FOR.as_millis()).unwrap_or(u64::MAX)
}

fn text_of(kept: &KeptRequest) -> String {
    let written = Written {
        request: hex::encode(kept.request),
        project: kept.project,
        begun_at: kept.begun_at.0,
        answer: kept.answer.as_ref().map(|answer| STANDARD_NO_PAD.encode(answer)),
    };
    // Text and numbers only: it cannot fail.
    serde_json::to_string(&written).unwrap_or_default()
}

fn read(name: [u8; 32], text: &[u8]) -> Result<KeptRequest, StoreError> {
    let damaged = || StoreError::Damaged("a key of a request cannot be read back".into());
    let written: Written = serde_json::from_slice(text).map_err(|_error| damaged())?;
    let mut request = [0; 32];
    hex::decode_to_slice(&written.request, &mut request).map_err(|_error| damaged())?;
    let answer = written.answer.map(|answer| STANDARD_NO_PAD.decode(answer).map(Bytes::from)).transpose();
    Ok(KeptRequest {
        name,
        project: written.project,
        request,
        begun_at: Timestamp(written.begun_at),
        answer: answer.map_err(|_error| damaged())?,
    })
}
