//! What each key of the configuration does in a running gateway, where no other test shows it.
//!
//! `tests/it/config/keys.rs` says which test shows which key.

mod admin;
mod destination;
mod ingress;
mod proxied;
mod reported;
mod route;
mod source;
mod store;
pub(crate) mod tls;
mod verify;

use bytes::Bytes;
use http::Request;
use http::request::Builder;
use http_body_util::Full;

use crate::support::{Client, Gateway, Reply, Sink};

/// A gateway with one source `a` at `/in` with these settings, and one destination `crm`.
async fn with_source(settings: &str, sink: &Sink) -> Gateway {
    Gateway::start(&format!(
        "sources:\n  a: {{ path: /in, {settings} }}\nroutes:\n  - {{ from: a, to: crm }}\ndestinations:\n  crm: {{ url: \"{}\" }}\n",
        sink.url("/hook")
    ))
    .await
}

/// A gateway with one source `a` that believes everybody, and one destination `crm` with these settings.
async fn with_destination(settings: &str) -> Gateway {
    Gateway::start(&format!(
        "sources:\n  a: {{ path: /in, verify: {{ scheme: none, type: 'body:/type' }}, dedup: off }}\n\
         routes:\n  - {{ from: a, to: crm }}\ndestinations:\n  crm: {{ {settings} }}\n"
    ))
    .await
}

/// Sends any request to `/in`.
async fn send(gateway: &Gateway, change: impl FnOnce(Builder) -> Builder, body: impl Into<Bytes>) -> Reply {
    let request = Request::post("/in").header("content-type", "application/json");
    let request = change(request).body(Full::new(body.into())).unwrap();
    Client::new(gateway.ingress()).send(request).await.unwrap_or_else(|error| panic!("no answer: {error}"))
}

/// Sends an event of this type that needs no signature.
async fn emit(gateway: &Gateway, event_type: &str) -> Reply {
    let reply = send(gateway, |request| request, format!("{{\"type\":\"{event_type}\"}}")).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply
}
