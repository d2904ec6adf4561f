//! Requests that a gateway has kept, over its admin port.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Request;
use serde_json::Value;

use super::Captured;
use crate::api::mask::MASKED;
use crate::cli::Failure;
use crate::cli::client::{Client, segment};
use crate::cli::listing::{items, text};
use crate::cli::request::append;
use crate::config::Checked;
use crate::domain::Timestamp;

/// A refused request.
pub(super) async fn rejection(client: &Client, id: &str) -> Result<Captured, Failure> {
    let rejection = client.get(&format!("/v1/rejections/{}", segment(id)), &[]).await?;
    let line = text(&rejection, "request_line");
    let (method, target) = line.split_once(' ').unwrap_or(("POST", "/"));
    let content = rejection.get("body").map(|body| text(body, "content")).unwrap_or_default();
    let encoding = rejection.get("body").map(|body| text(body, "encoding")).unwrap_or_default();
    let body = if encoding == "base64" { STANDARD.decode(&content).unwrap_or_default() } else { content.into_bytes() };
    let mut notes = vec![format!("it was refused then as {}", text(&rejection, "reason"))];
    if body.is_empty() && text(&rejection, "reason") != "signature_mismatch" {
        notes.push("its body is not known: what is refused by its head is refused before the body is read".to_owned());
    }
    let request = request(method, target, &rejection, body, &mut notes)?;
    let peer = text(&rejection, "client").parse().ok();
    Ok(Captured { request, peer, at: created(&rejection), notes })
}

/// A kept event; its source's path is today's.
pub(super) async fn event(client: &Client, id: &str, checked: &Checked) -> Result<Captured, Failure> {
    let event = client.get(&format!("/v1/events/{}", segment(id)), &[]).await?;
    let body = client.bytes(&format!("/v1/events/{}/body", segment(&text(&event, "id")))).await?;
    let name = text(&event, "source");
    let source = checked.sources.iter().find(|source| *source.name == *name);
    let source = source.ok_or_else(|| Failure::Failed(format!("the configuration has no source `{name}` any more")))?;
    let target = match text(&event, "query") {
        query if query.is_empty() => source.path.to_string(),
        query => format!("{}?{query}", source.path),
    };
    let mut notes = vec!["of an event the client's address is not kept: --peer says it".to_owned()];
    let request = request(&text(&event, "method"), &target, &event, body, &mut notes)?;
    Ok(Captured { request, peer: None, at: created(&event), notes })
}

fn request(
    method: &str,
    target: &str,
    kept: &Value,
    body: Vec<u8>,
    notes: &mut Vec<String>,
) -> Result<Request<Bytes>, Failure> {
    let unreadable = |why: String| Failure::Failed(format!("what was kept is no request any more: {why}"));
    let built = Request::builder().method(method).uri(target.replace(MASKED, "masked")).body(Bytes::from(body));
    let mut request = built.map_err(|error| unreadable(error.to_string()))?;
    let mut is_masked = target.contains(MASKED);
    for header in items(kept, "headers") {
        let (name, value) = (text(header, "name"), text(header, "value"));
        is_masked |= value == MASKED;
        append(request.headers_mut(), format!("{name}: {value}").as_bytes()).map_err(unreadable)?;
    }
    if is_masked {
        notes.push(
            "credentials are masked in what the admin port gives: a guard that needs them says no here".to_owned(),
        );
    }
    Ok(request)
}

fn created(kept: &Value) -> Option<Timestamp> {
    let time: jiff::Timestamp = text(kept, "created").parse().ok()?;
    u64::try_from(time.as_millisecond()).ok().map(Timestamp)
}
