//! HTTP/2 to the app: many requests over one connection, and none of them twice.

mod answers;
mod app;
mod connections;
mod goodbyes;
mod safety;
mod servers;
mod trailers;

use self::app::App;
use crate::support::{Gateway, SECRET, Sender};

/// The source `appmint` at `/in`, passed on to this URL over the HTTP that these settings say.
fn spoken_to(url: &str, http: &str) -> String {
    format!(
        "sources:\n  appmint:\n    path: /in\n    mode: proxy\n    app: {{ url: \"{url}\", http: {http} }}\n    \
         verify: {{ scheme: appmint, secrets: [\"{SECRET}\"] }}\n"
    )
}

/// A gateway that gives its app so little time.
fn hasty(app: &App) -> String {
    let ingress = "ingress: { listen: \"@INGRESS@\", request_timeout: 1s, header_timeout: 1s }\n";
    format!("{ingress}{}", spoken_to(&app.url(), "2"))
}

/// A gateway in front of an app that takes so many requests at a time over one connection.
async fn start(streams_max: u32) -> (App, Gateway, Sender) {
    let app = App::listen(streams_max).await;
    let gateway = Gateway::start(&spoken_to(&app.url(), "2")).await;
    let sender = Sender::new(&gateway);
    (app, gateway, sender)
}
