//! Proxy mode from outside: a sender, the gateway, and an app whose every byte the test decides.

mod app;
mod bytes;
mod connections;
mod desync;
mod draining;
mod duplicates;
mod fields;
mod http2;
mod interim;
mod kept;
mod large;
mod paths;
mod rfc;
mod statuses;
mod streams;
mod tls;

use http::Request;

use self::app::App;
use crate::support::{Gateway, SECRET, Sender, event};

/// A configuration with the source `appmint` at `/in` that is passed on to this URL.
fn to_app(url: &str) -> String {
    to_app_with(url, "")
}

/// The same with more settings of the source.
fn to_app_with(url: &str, settings: &str) -> String {
    format!(
        "sources:\n  appmint:\n    path: /in\n    mode: proxy\n    app: \"{url}\"\n    \
         verify: {{ scheme: appmint, secrets: [\"{SECRET}\"] }}\n{settings}"
    )
}

/// The bytes of a signed request for one connection.
fn signed(sender: &Sender, id: &str, fields: &str) -> Vec<u8> {
    let body = event(id, "order.paid");
    let request: Request<()> = sender.request(&body).body(()).unwrap();
    let mut head = format!("POST /in HTTP/1.1\r\nhost: shop.example\r\ncontent-length: {}\r\n{fields}", body.len());
    for (name, value) in request.headers() {
        head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    [head.as_bytes(), b"\r\n", &body].concat()
}

/// A gateway in front of an app.
async fn start() -> (App, Gateway, Sender) {
    let app = App::listen().await;
    let gateway = Gateway::start(&to_app(&app.url())).await;
    let sender = Sender::new(&gateway);
    (app, gateway, sender)
}
