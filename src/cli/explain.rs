//! `hookward explain`: a request through the whole configuration, guard by guard, and where it would go. Nothing is
//! sent, stored or counted.

mod fetched;

use std::net::IpAddr;

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use super::client::{Connection, block_on};
use super::configuration::Configuration;
use super::listing::{print_document, text};
use super::request::{RequestArgs, time};
use super::{Failure, print};
use crate::app::explain::{Explanation, Outcome, Step, explain};
use crate::config::Checked;
use crate::domain::{Clock, Route, Timestamp};
use crate::telemetry::escape::escaped;

/// What `explain` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    configuration: Configuration,
    #[command(flatten)]
    request: RequestArgs,
    /// A refused request, by its id, as the gateway's ledger has it.
    #[arg(long, value_name = "ID", conflicts_with_all = ["request", "body", "headers_file", "headers", "url", "event"])]
    rejection: Option<String>,
    /// A kept event, by our id or the sender's, as it came.
    #[arg(long, value_name = "ID", conflicts_with_all = ["request", "body", "headers_file", "headers", "url"])]
    event: Option<String>,
    #[command(flatten)]
    connection: Connection,
    /// The other end of the connection: the client, or the last proxy. 127.0.0.1 without it; of a rejection its client.
    #[arg(long, value_name = "ADDRESS")]
    peer: Option<IpAddr>,
    /// When it came in, in RFC 3339: what a signature's age is measured by. Now without it; of what is kept, when it came.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// For machines: one JSON document.
    #[arg(long)]
    json: bool,
}

/// A request, and what is known of how it came.
struct Captured {
    request: Request<Bytes>,
    peer: Option<IpAddr>,
    at: Option<Timestamp>,
    notes: Vec<String>,
}

/// Prints what everybody says; exit code 1 where it would be refused.
///
/// # Errors
///
/// Something cannot be read, makes no sense, or the request would be refused.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let loaded = args.configuration.load()?;
    let checked = &loaded.checked;
    let captured = captured(args, checked)?;
    let at = match (&args.at, captured.at) {
        (Some(text), _) => time("--at", text)?,
        (None, Some(at)) => at,
        (None, None) => Clock::machine().wall(),
    };
    let peer = args.peer.or(captured.peer).unwrap_or(IpAddr::from([127, 0, 0, 1]));
    let explained = block_on(async {
        explain(checked, &captured.request, peer, at).await.map_err(|error| Failure::Configuration(error.to_string()))
    })?;
    let document = document(&explained, checked, &captured.notes);
    if args.json {
        print_document(&document)?
    } else {
        print(&shown(&document))?
    }
    if matches!(explained.outcome, Outcome::Refused(_)) { Err(Failure::Reported) } else { Ok(()) }
}

fn captured(args: &Args, checked: &Checked) -> Result<Captured, Failure> {
    match (&args.rejection, &args.event) {
        (Some(id), _) => block_on(fetched::rejection(&args.connection.client()?, id)),
        (None, Some(id)) => block_on(fetched::event(&args.connection.client()?, id, checked)),
        (None, None) => Ok(Captured { request: args.request.read()?, peer: None, at: None, notes: Vec::new() }),
    }
}

fn document(explained: &Explanation, checked: &Checked, notes: &[String]) -> Value {
    let (outcome, status, reason) = match &explained.outcome {
        Outcome::Accepted(status) => ("accepted", Some(*status), None),
        Outcome::PassedOn(_) => ("passed_on", None, None),
        Outcome::Handshake(status) => ("handshake", Some(*status), None),
        Outcome::Refused(rejection) => ("refused", Some(rejection.reason.status()), Some(rejection.reason.code())),
    };
    let app = match &explained.outcome {
        Outcome::PassedOn(app) => Some(app),
        _ => None,
    };
    let source = explained.source.as_ref().and_then(|name| checked.sources.iter().find(|source| source.name == *name));
    let kept = source.filter(|_| app.is_some()).and_then(|source| {
        let name = source.kept_for_app()?;
        Some(json!({ "destination": &*name, "status": source.respond.status.as_u16() }))
    });
    let step = |step: &Step| {
        let refused = step.refused.as_ref();
        json!({
            "guard": step.name,
            "says": if refused.is_some() { "no" } else { "yes" },
            "detail": refused.map_or(step.found.as_str(), |refused| &refused.detail),
            "reason": refused.map(|refused| refused.reason.code()),
            "status": refused.map(|refused| refused.reason.status().as_u16()),
        })
    };
    let routes = explained.source.as_ref().filter(|_| outcome == "accepted").map_or_else(Vec::new, |source| {
        let event_type = explained.facts.event_type.as_deref();
        checked.routes.0.iter().map(|route| route_document(route, source, event_type)).collect()
    });
    json!({
        "object": "explanation",
        "outcome": outcome,
        "status": status.map(|status| status.as_u16()),
        "reason": reason,
        "app": app,
        "kept_while_app_fails": kept,
        "reports": source.is_some_and(|source| source.reports),
        "client": explained.client.to_string(),
        "source": explained.source.as_deref(),
        "id": explained.facts.source_event_id.as_deref(),
        "type": explained.facts.event_type.as_deref(),
        "steps": explained.steps.iter().map(step).collect::<Vec<_>>(),
        "routes": routes,
        "deliveries": deliveries(explained, checked),
        "notes": notes,
    })
}

/// A route, and why it takes the event or not.
fn route_document(route: &Route, source: &str, event_type: Option<&str>) -> Value {
    let globs = |route: &Route| {
        let types = route.types.iter().flatten();
        types.map(|glob| glob.as_str().to_owned()).collect::<Vec<_>>().join(", ")
    };
    let why = if !route.takes_source(source) {
        format!("takes events of {}", route.from.as_deref().unwrap_or_default().join(", "))
    } else if let Some(glob) = route.glob_of(event_type) {
        format!("`{}` matches the type", glob.as_str())
    } else if route.types.is_none() {
        "takes every type".to_owned()
    } else if event_type.is_none() {
        format!("the event has no type, and it takes only {}", globs(route))
    } else {
        format!("none of {} matches the type", globs(route))
    };
    let to: Vec<&str> = route.to.iter().map(|to| &**to).collect();
    json!({ "to": to, "takes": route.wants(source, event_type), "why": why })
}

fn deliveries(explained: &Explanation, checked: &Checked) -> Vec<Value> {
    let planned = explained.plan.deliveries.iter();
    planned
        .map(|planned| {
            let destination = checked.destinations.iter().find(|to| to.settings.name == planned.target);
            let endpoint = destination.and_then(|to| to.endpoint.as_ref());
            // A query may carry a token.
            let url = endpoint.map(|endpoint| endpoint.url.as_str().split('?').next().unwrap_or_default().to_owned());
            json!({
                "destination": &*planned.target,
                "route": planned.route + 1,
                "url": url,
                "not_before": planned.not_before.map(|at| at.to_string()),
                "expires_at": planned.expires_at.map(|at| at.to_string()),
            })
        })
        .collect()
}

/// What becomes of the event while the app cannot be reached; nothing where it is not kept.
fn kept(kept: &Value) -> String {
    match (text(kept, "status"), text(kept, "destination")) {
        (_, name) if name.is_empty() => String::new(),
        (status, name) => {
            format!("; while it cannot be reached: kept, answered with {status}, and delivered to it as {name}")
        }
    }
}

/// The document for a person.
fn shown(document: &Value) -> String {
    let list = |field: &str| document.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    let line = |mark: &str, name: &str, detail: &str| format!("  {mark:<3} {name:<18} {}\n", escaped(detail));
    let mut shown = String::new();
    for step in list("steps") {
        let reason = match text(&step, "reason") {
            reason if reason.is_empty() => reason,
            reason => format!("{} {reason}: ", text(&step, "status")),
        };
        shown.push_str(&line(
            &text(&step, "says"),
            &text(&step, "guard"),
            &format!("{reason}{}", text(&step, "detail")),
        ));
    }
    let status = text(document, "status");
    shown.push_str(&match text(document, "outcome").as_str() {
        "accepted" => format!("\naccepted: answered with {status}\n"),
        "passed_on" => format!(
            "\npassed on to {}: the app answers{}\n",
            escaped(&text(document, "app")),
            document.get("kept_while_app_fails").map_or_else(String::new, kept)
        ),
        "handshake" => format!("\na handshake: answered with {status}, nothing is kept\n"),
        _ => format!("\nrefused: answered with {status}\n"),
    });
    let routes = list("routes");
    if !routes.is_empty() {
        shown.push_str("\nroutes\n");
    }
    for (index, route) in routes.iter().enumerate() {
        let mark = if route.get("takes").and_then(Value::as_bool).unwrap_or_default() { "yes" } else { "no" };
        let to = route.get("to").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let to = to.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
        shown.push_str(&line(mark, &format!("{} to {to}", index + 1), &text(route, "why")));
    }
    let deliveries = list("deliveries");
    if text(document, "outcome") == "accepted" {
        shown.push_str(if deliveries.is_empty() {
            "\nno delivery: kept, and marked unrouted\n"
        } else {
            "\ndeliveries\n"
        });
    }
    for delivery in deliveries {
        let url = match text(&delivery, "url") {
            url if url.is_empty() => "dropped (discard)".to_owned(),
            url => url,
        };
        let after = |word: &str, field: &str| match text(&delivery, field) {
            time if time.is_empty() => time,
            time => format!(", {word} {time}"),
        };
        let (from, until) = (after("not before", "not_before"), after("expires at", "expires_at"));
        shown.push_str(&format!("  {}: {}{from}{until}\n", text(&delivery, "destination"), escaped(&url)));
    }
    for note in list("notes") {
        shown.push_str(&format!("\nnote: {}\n", escaped(note.as_str().unwrap_or_default())));
    }
    shown
}
