//! As written to checked: every value in its stage's own type, every contradiction named.
//!
//! Each file checks one section and goes on after a problem, so that a person hears of all of them at once.
//! A value that is wrong is replaced by its default for the rest of the check; nothing that was wrong
//! leaves this module.

pub(super) mod checked;
mod destination;
mod ports;
mod route;
mod source;
mod store;
mod value;
mod verify;

use super::document::problem::Problems;
use super::written::Configuration;
use checked::Checked;

/// Checks what was written; whether it may be used stands in `problems`.
pub(super) fn check(written: &Configuration, problems: &mut Problems<'_>) -> Checked {
    let ingress = ports::ingress(written.ingress.as_ref(), problems);
    let admin = ports::admin(written.admin.as_ref(), &ingress, problems);
    let store = store::store(written.store.as_ref(), problems);
    let sources = source::sources(&written.sources, &ingress, problems);
    let destinations = destination::destinations(&written.destinations, problems);
    let routes = route::routes(written, problems);
    Checked { ingress, admin, store, sources, routes, destinations, warnings: Vec::new() }
}
