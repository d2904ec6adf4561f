//! What an operation says about itself; the [document](super::openapi) is made of it.

use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::parameter::Parameter;
use super::surface::Operation;

/// The part of an operation that is there for its readers.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// What it does, in a line.
    pub(super) summary: &'static str,
    pub(super) query: &'static [Parameter],
    /// The JSON that it takes.
    pub(super) takes: Option<SchemaOf>,
    /// Statuses of success with what is answered.
    pub(super) answers: Vec<(u16, Answered)>,
    /// Its own statuses of failure, beside those that many have.
    pub(super) fails: &'static [u16],
}

/// Makes the schema of a type, or names it where it is made already.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// The body of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answered {
    /// JSON of this schema.
    Json(SchemaOf),
    /// Bytes of this content type.
    Bytes(&'static str),
}

// === impl Operation ===

impl Operation {
    /// What it does, in a line.
    pub(super) fn says(mut self, summary: &'static str) -> Self {
        self.told.summary = summary;
        self
    }

    /// The parameters of its query.
    pub(super) fn query(mut self, query: &'static [Parameter]) -> Self {
        self.told.query = query;
        self
    }

    /// A token that is bound to no project may name one, in the header `Hookward-Project`.
    pub(super) fn names_project(mut self) -> Self {
        self.names_project = true;
        self
    }

    /// The JSON that it takes.
    pub(super) fn takes<T: JsonSchema>(mut self) -> Self {
        self.told.takes = Some(SchemaGenerator::subschema_for::<T>);
        self
    }

    /// What it answers with this status.
    pub(super) fn answers<T: JsonSchema>(mut self, status: u16) -> Self {
        self.told.answers.push((status, Answered::Json(SchemaGenerator::subschema_for::<T>)));
        self
    }

    /// Answers 200 with bytes of this content type.
    pub(super) fn answers_bytes(mut self, content_type: &'static str) -> Self {
        self.told.answers.push((200, Answered::Bytes(content_type)));
        self
    }

    /// Its own statuses of failure.
    pub(super) fn fails(mut self, fails: &'static [u16]) -> Self {
        self.told.fails = fails;
        self
    }

    /// Every status of failure, in order.
    pub(super) fn failures(&self) -> Vec<u16> {
        let mut statuses = self.told.fails.to_vec();
        if !self.is_open() {
            // The query, the token, the role, too many wrong tokens, the store.
            statuses.extend([400, 401, 403, 429, 500, 503]);
        }
        if self.path.contains('{') {
            statuses.push(404);
        }
        if self.told.takes.is_some() {
            statuses.extend([413, 415]);
        }
        if self.method == Method::POST {
            // What becomes of an `Idempotency-Key`.
            statuses.extend([409, 413, 422]);
        }
        statuses.sort_unstable();
        statuses.dedup();
        statuses
    }
}
