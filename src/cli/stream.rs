//! `/v1/stream` as the verbs read it: server-sent events, one after the other.

use std::time::Duration;

use serde_json::Value;

use super::client::{Client, Connection};
use super::{Failure, note};

/// Of what somebody wants to hear, and how.
#[derive(Debug, clap::Args)]
pub(super) struct Listening {
    /// Only of this source.
    #[arg(long)]
    source: Option<String>,
    /// Only of this type.
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Print an object of JSON a line.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) connection: Connection,
}

/// Something that the gateway told.
#[derive(Debug, PartialEq)]
pub(super) struct Told {
    /// `event`, `attempt`, `rejection` or `missed`.
    pub(super) kind: String,
    /// What.
    pub(super) data: Value,
}

/// A stream that is open.
pub(super) struct Stream {
    response: reqwest::Response,
    lines: Lines,
}

/// Lines that came, and what they have said of the next event.
#[derive(Default)]
struct Lines {
    unread: Vec<u8>,
    kind: String,
    data: String,
}

/// No line of a gateway's is longer.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Until a stream that broke off is opened anew.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

// === impl Listening ===

impl Listening {
    /// As the API takes it.
    pub(super) fn query(&self, kind: Option<&str>) -> Vec<(&'static str, String)> {
        let kind = kind.map(|kind| ("kind", kind.to_owned()));
        let source = self.source.clone().map(|source| ("source", source));
        let event_type = self.event_type.clone().map(|event_type| ("type", event_type));
        [kind, source, event_type].into_iter().flatten().collect()
    }
}

// === impl Stream ===

impl Stream {
    /// Opens it.
    pub(super) async fn open(client: &Client, query: &[(&str, String)]) -> Result<Self, Failure> {
        Ok(Self { response: client.stream("/v1/stream", query).await?, lines: Lines::default() })
    }

    /// Opens it anew once the gateway is there again.
    pub(super) async fn again(client: &Client, query: &[(&str, String)]) -> Self {
        note(
            "the stream has ended; waiting for the gateway. What happens meanwhile is not told: see `hookward events`",
        );
        loop {
            tokio::time::sleep(AGAIN_AFTER).await;
            if let Ok(stream) = Self::open(client, query).await {
                return stream;
            }
        }
    }

    /// The next event; `None` where the gateway has ended the stream.
    pub(super) async fn next(&mut self) -> Result<Option<Told>, Failure> {
        loop {
            if let Some(told) = self.lines.next()? {
                return Ok(Some(told));
            }
            // A connection that breaks off ends the stream as a gateway that stops does.
            match self.response.chunk().await {
                Ok(Some(bytes)) => self.lines.unread.extend_from_slice(&bytes),
                Ok(None) | Err(_) => return Ok(None),
            }
        }
    }
}

// === impl Lines ===

impl Lines {
    /// The next event that is whole.
    fn next(&mut self) -> Result<Option<Told>, Failure> {
        while let Some(end) = memchr::memchr(b'\n', &self.unread) {
            let line: Vec<u8> = self.unread.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            if line.is_empty() {
                let (kind, data) = (std::mem::take(&mut self.kind), std::mem::take(&mut self.data));
                if data.is_empty() {
                    continue;
                }
                let not_json = |error| Failure::Failed(format!("what the gateway tells is not JSON: {error}"));
                return Ok(Some(Told { kind, data: serde_json::from_str(&data).map_err(not_json)? }));
            }
            match line.split_once(':') {
                Some(("event", kind)) => kind.trim_start().clone_into(&mut self.kind),
                Some(("data", data)) => self.data.push_str(data.strip_prefix(' ').unwrap_or(data)),
                // Comments, and fields that nobody here asks for.
                _ => {}
            }
        }
        if self.unread.len() + self.data.len() > LINE_BYTES_MAX {
            return Err(Failure::Failed("what the gateway tells has no end".to_owned()));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_come_out_whole_however_their_bytes_come_in() {
        let text = b": hello\n\nevent: event\ndata: {\"id\":\"a: b\"}\n\n:\n\nevent: missed\r\ndata:{\"count\":\r\ndata:2}\r\n\r\n";
        for step in 1..text.len() {
            let (mut lines, mut told) = (Lines::default(), Vec::new());
            for part in text.chunks(step) {
                lines.unread.extend_from_slice(part);
                while let Some(one) = lines.next().unwrap() {
                    told.push(one);
                }
            }
            let of = |kind: &str, data| Told { kind: kind.to_owned(), data };
            assert_eq!(told, [of("event", json!({ "id": "a: b" })), of("missed", json!({ "count": 2 }))], "{step}");
        }
    }

    #[test]
    fn what_never_ends_is_not_kept() {
        let mut lines = Lines { unread: vec![b'x'; LINE_BYTES_MAX + 1], ..Lines::default() };
        assert!(lines.next().is_err());
    }
}
