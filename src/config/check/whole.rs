//! Section after section.

use super::checked::Checked;
use super::{destination, outbound, ports, route, source, store};
use crate::config::document::problem::Problems;
use crate::config::written::Configuration;

/// Checks what was written; whether it may be used stands in `problems`.
pub(in crate::config) fn check(written: &Configuration, problems: &mut Problems<'_>) -> Checked {
    let ingress = ports::ingress(written, problems);
    let admin = ports::admin(written.admin.as_ref(), &ingress, problems);
    let store = store::store(written.store.as_ref(), problems);
    let outbound = outbound::outbound(written, problems);
    let sources = source::sources(&written.sources, outbound.is_some(), &ingress, problems);
    let mut destinations = destination::destinations(&written.destinations, store.shards(), problems);
    destinations.extend(sources.iter().filter_map(|source| destination::app(source, ingress.request_timeout)));
    let routes = route::routes(written, problems);
    Checked { ingress, admin, store, sources, routes, destinations, outbound, warnings: Vec::new() }
}
