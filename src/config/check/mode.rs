//! `sources.*.mode`, and what belongs to one mode only.

use super::checked::Mode;
use crate::config::document::problem::Problems;
use crate::config::document::tree::NodeId;
use crate::config::written;
use crate::deliver::EndpointUrl;

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
    match EndpointUrl::parse(&app.value) {
        Ok(url) if url.query().is_some() => {
            problems.wrong(app.at, "the app's URL has a query", "remove it: the sender's own query is passed on");
        }
        Ok(url) => return Mode::Proxy { app: url, keeps, fails_open },
        Err(error) => problems.wrong(app.at, error.to_string(), "write it like http://app:3000"),
    }
    Mode::Queue
}
