//! Lists in pages, newest first: `limit` and `starting_after`, as in Stripe's API.

use std::fmt::Display;
use std::str::FromStr;

use super::params::Params;
use super::problem::Problem;
use super::wire::List;
use crate::domain::{DeliveryId, EventId, RejectionId, Seq};
use crate::store::{Listed, Page, PageRequest};

/// An id that leads to its row's place in a list.
pub(super) trait Cursor: FromStr + Display {
    /// What its text starts with.
    const PREFIX: &'static str;

    /// The row's place; the ordinal breaks the tie between deliveries of one event.
    fn place(&self) -> (Seq, u16);
}

impl Cursor for EventId {
    const PREFIX: &'static str = Self::PREFIX;

    fn place(&self) -> (Seq, u16) {
        (self.seq(), 0)
    }
}

impl Cursor for DeliveryId {
    const PREFIX: &'static str = Self::PREFIX;

    fn place(&self) -> (Seq, u16) {
        (self.seq(), self.ordinal())
    }
}

impl Cursor for RejectionId {
    const PREFIX: &'static str = Self::PREFIX;

    fn place(&self) -> (Seq, u16) {
        (self.seq(), 0)
    }
}

/// Which page was asked for; the cursor is an id of the kind that the list holds.
pub(super) fn requested<Id: Cursor>(params: &Params) -> Result<PageRequest, Problem> {
    let after = params.read("starting_after", format_args!("an id that starts with {}", Id::PREFIX), |text| {
        Some(text.parse::<Id>().ok()?.place())
    })?;
    Ok(PageRequest { limit: params.limit()?, after })
}

/// The page as it is shown.
pub(super) fn shown<Row: Listed, Shown>(
    page: Page<Row>,
    url: &'static str,
    show: impl Fn(Row) -> Shown,
) -> List<Shown> {
    let continue_after = page.stopped_at.map(|id| id.to_string());
    let data = page.rows.into_iter().map(show).collect();
    List { object: "list", url, has_more: page.has_more, continue_after, data }
}
