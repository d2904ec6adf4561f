//! `sources.*.mode`, and what belongs to one mode only.

use super::checked::Mode;
use crate::config::document::problem::Problems;
use crate::config::document::tree::NodeId;
use crate::config::written;
use crate::deliver::{EndpointUrl, Speaks};

/// What becomes of a source's events; `source` is where the source stands.
pub(super) fn mode(written: &written::Source, source: NodeId, problems: &mut Problems<'_>) -> Mode {
    match written.mode.as_ref().map(|mode| mode.value) {
        None | Some(written::Mode::Queue) => {
            for (at, key) in [
                (written.app.as_ref().map(|app| app.at), "app"),
                (written.if_app_fails.as_ref().map(|value| value.at), "if_app_fails"),
                (written.fail.as_ref().map(|value| value.at), "fail"),
            ] {
                if let Some(at) = at {
                    problems.wrong(
                        at,
                        format!("`{key}` means something with `mode: proxy` only"),
                        "write `mode: proxy`, or remove it",
                    );
                }
            }
            Mode::Queue
        }
        Some(written::Mode::Proxy) => proxy(written, source, problems),
    }
}

fn proxy(written: &written::Source, source: NodeId, problems: &mut Problems<'_>) -> Mode {
    let keeps = match written.if_app_fails.as_ref().map(|value| value.value) {
        None | Some(written::IfAppFails::Reject) => false,
        Some(written::IfAppFails::Keep) => true,
    };
    let fails_open = matches!(written.fail.as_ref().map(|value| value.value), Some(written::Fail::Open));
    if let Some(respond) = written.respond.as_ref().filter(|_| !keeps) {
        problems.wrong(respond.at, "the app answers: `respond` would say nothing", "remove it, or write `mode: queue`");
    }
    let Some(app) = &written.app else {
        problems.wrong_key(source, "app", "`mode: proxy` has no app to pass requests on to", "add `app: http://…`");
        return Mode::Queue;
    };
    let (at, url, http) = match &app.value {
        written::App::Url(url) => (app.at, url, None),
        written::App::Settings { url, http } => (url.at, &url.value, http.as_ref()),
    };
    let speaks = match http.map(|http| http.value) {
        None | Some(written::Http::One) => Speaks::Http1,
        Some(written::Http::Two) => Speaks::Http2,
        Some(written::Http::Auto) => Speaks::Either,
    };
    if let Some(http) = http.filter(|_| keeps && speaks == Speaks::Http2) {
        problems.wrong(
            http.at,
            "what `if_app_fails: keep` keeps is delivered over HTTP/1.1, which this app would not get",
            "write `auto` where the app speaks both, or `if_app_fails: reject`",
        );
    }
    match EndpointUrl::parse(url) {
        Ok(url) if url.query().is_some() => {
            problems.wrong(at, "the app's URL has a query", "remove it: the sender's own query is passed on");
        }
        Ok(url) => {
            if let Some(http) = http.filter(|_| speaks == Speaks::Either && !url.is_https()) {
                problems.wrong(
                    http.at,
                    "`auto` is agreed on in the TLS handshake, and http:// has none",
                    "write `2` where the app speaks HTTP/2 in cleartext, or remove it",
                );
            }
            return Mode::Proxy { app: url, speaks, keeps, fails_open };
        }
        Err(error) => problems.wrong(at, error.to_string(), "write it like http://app:3000"),
    }
    Mode::Queue
}
