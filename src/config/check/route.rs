//! `routes`: names that exist, globs, delays.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::config::document::fault::similar;
use crate::config::document::problem::Problems;
use crate::config::document::spanned::{At, OneOrMany};
use crate::config::quantity::Period;
use crate::config::written::{self, Configuration};
use crate::domain::event::EVENT_TYPE_BYTES_MAX;
use crate::domain::{Glob, Route, Routes};

/// The most routes: each event is held against each of them.
const ROUTES_MAX: usize = 1000;

pub(super) fn routes(written: &Configuration, problems: &mut Problems<'_>) -> Routes {
    let sources: Vec<&str> = written.sources.0.iter().map(|(name, _)| name.as_str()).collect();
    let is_proxied = |source: &At<written::Source>| {
        source.value.mode.as_ref().is_some_and(|mode| matches!(mode.value, written::Mode::Proxy))
    };
    let proxied = written.sources.0.iter().filter(|(_, source)| is_proxied(source));
    let proxied: Vec<&str> = proxied.map(|(name, _)| name.as_str()).collect();
    let destinations: Vec<&str> = written.destinations.0.iter().map(|(name, _)| name.as_str()).collect();
    if let Some(one_more) = written.routes.get(ROUTES_MAX) {
        problems.wrong(
            one_more.at,
            format!("more than {ROUTES_MAX} routes"),
            "several sources or types fit in one route",
        );
        return Routes::default();
    }
    let routes: Vec<Route> =
        written.routes.iter().map(|route| self::route(route, &sources, &proxied, &destinations, problems)).collect();
    warn_of_unused(written, &proxied, &routes, problems);
    Routes(routes)
}

fn route(
    At { value: written, .. }: &At<written::Route>,
    sources: &[&str],
    proxied: &[&str],
    destinations: &[&str],
    problems: &mut Problems<'_>,
) -> Route {
    let everything = matches!(written.from.value.0.as_slice(), [only] if only.value == "*");
    let from = (!everything).then(|| names(&written.from, "source", sources, problems));
    for name in written.from.value.0.iter().filter(|name| proxied.contains(&name.value.as_str())) {
        let message = format!("`{}` is in proxy mode: its events go to its app, not over routes", name.value);
        problems.wrong(name.at, message, "remove it here, or write `mode: queue` there");
    }
    let to = names(&written.to, "destination", destinations, problems);
    let types = written.types.as_ref().map(|types| globs(types, problems));
    let delay = written.delay.as_ref().map(|delay| delay.value.0).filter(|delay| !delay.is_zero());
    let expires = written.expires.as_ref().map(|expires| expires.value.0);
    if let (Some(expires), Some(written)) = (expires, &written.expires)
        && expires <= delay.unwrap_or(Duration::ZERO)
    {
        let hint = match delay {
            Some(delay) => format!("write more than {}", Period(delay)),
            None => "write at least 1ms".to_owned(),
        };
        problems.wrong(written.at, "expires before the first attempt", hint);
    }
    Route { from, types, to, delay, expires }
}

fn names(
    At { value: list, at }: &At<OneOrMany<String>>,
    what: &str,
    known: &[&str],
    problems: &mut Problems<'_>,
) -> Vec<Arc<str>> {
    if list.0.is_empty() {
        problems.wrong(*at, format!("no {what} is named"), format!("name at least one {what}"));
    }
    let mut names: Vec<Arc<str>> = Vec::new();
    for At { value: name, at } in &list.0 {
        if name == "*" && what == "source" {
            problems.wrong(*at, "`*` already means every source", "write `from: \"*\"`");
        } else if !known.contains(&name.as_str()) {
            let hint = match (similar(name, known.iter().copied()), known) {
                (Some(near), _) => format!("did you mean `{near}`?"),
                (None, []) => format!("there are no {what}s; add one below `{what}s`"),
                (None, _) => format!("the {what}s are {}", known.join(", ")),
            };
            problems.wrong(*at, format!("there is no {what} of this name"), hint);
        } else if names.iter().any(|other| **other == **name) {
            problems.wrong(*at, format!("this {what} is here twice"), "remove one of them");
        }
        names.push(name.as_str().into());
    }
    names
}

fn globs(At { value: list, at }: &At<OneOrMany<String>>, problems: &mut Problems<'_>) -> Vec<Glob> {
    if list.0.is_empty() {
        problems.wrong(*at, "no type could match", "name at least one, or remove the key to take every event");
    }
    for At { value: glob, at } in &list.0 {
        let visible = !glob.is_empty() && glob.bytes().all(|byte| !byte.is_ascii_control() && byte != b' ');
        if !visible || glob.len() > EVENT_TYPE_BYTES_MAX {
            problems.wrong(*at, "no type could match this", "write it like payment.* or user.created");
        }
    }
    list.0.iter().map(|glob| Glob::new(&glob.value)).collect()
}

fn warn_of_unused(written: &Configuration, proxied: &[&str], routes: &[Route], problems: &mut Problems<'_>) {
    let every_source = routes.iter().any(|route| route.from.is_none());
    let used: HashSet<&str> = routes.iter().flat_map(|route| route.from.iter().flatten()).map(AsRef::as_ref).collect();
    let is_unused = |name: &str| !every_source && !used.contains(name) && !proxied.contains(&name);
    for (name, source) in written.sources.0.iter().filter(|(name, _)| is_unused(name)) {
        let message = format!("no route takes the events of `{name}`");
        problems.warn_name(source.at, message, "they are kept and marked unrouted; add a route");
    }
    let used: HashSet<&str> = routes.iter().flat_map(|route| &route.to).map(AsRef::as_ref).collect();
    for (name, destination) in written.destinations.0.iter().filter(|(name, _)| !used.contains(name.as_str())) {
        problems.warn_name(destination.at, format!("no route leads to `{name}`"), "add one, or remove the destination");
    }
}
