//! A handshake as data: when a request is one, and what the answer is.

use crate::guard::signature::Encoding;

/// A provider's handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// What it is, for people.
    pub what: &'static str,
    /// The method of its request.
    pub method: &'static str,
    /// All of this holds of its request.
    pub when: &'static [When],
    /// Whether the request must be signed as events are.
    pub signed: bool,
    /// The parameter of the query that must hold the source's `verify_token`, where it has one.
    pub token: Option<&'static str>,
    /// What is answered.
    pub answer: Answer,
}

/// What holds of a handshake's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The query has this parameter.
    Query(&'static str),
    /// The query has this parameter with this value.
    QueryIs(&'static str, &'static str),
    /// There is this header.
    Header(&'static str),
    /// There is no such header.
    NoHeader(&'static str),
    /// This header has this value.
    HeaderIs(&'static str, &'static str),
    /// The body's JSON has something at this pointer.
    Body(&'static str),
    /// The body's JSON has nothing at this pointer.
    NoBody(&'static str),
    /// The body's JSON has this text, or this whole number, at this pointer.
    BodyIs(&'static str, &'static str),
    /// The body's JSON has an empty list at this pointer.
    BodyEmpty(&'static str),
}

/// Where a part of an answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A parameter of the query.
    Query(&'static str),
    /// A header.
    Header(&'static str),
    /// A text in the body's JSON.
    Body(&'static str),
}

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200 with what was asked.
    Echo(Asked, Shape),
    /// 200 with JSON: what was asked (where a name is given for it) and its HMAC with the source's secret.
    Proof {
        /// What was asked.
        of: Asked,
        /// The name under which it is repeated.
        asked: Option<&'static str>,
        /// The name of the HMAC.
        name: &'static str,
        /// What stands before the HMAC.
        prefix: &'static str,
        /// How the HMAC is written.
        encoding: Encoding,
    },
    /// 200 with Braintree's public key and the proof of what was asked.
    PublicKeyAndProof(Asked),
    /// 200, and the URL that was named is called, where it is one of Amazon's.
    Confirm(Asked),
    /// 200 with this JSON.
    Json(&'static str),
    /// 200 without a body.
    Empty,
    /// 204.
    NoContent,
    /// CloudEvents' validation: the origin may send, at any rate.
    Origin,
}

/// How something is echoed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// As plain text.
    Text,
    /// As JSON, under this name.
    Json(&'static str),
}

// === impl When ===

impl When {
    /// Whether it can only be told with the body.
    #[must_use]
    pub fn needs_body(self) -> bool {
        matches!(self, Self::Body(_) | Self::NoBody(_) | Self::BodyIs(..) | Self::BodyEmpty(_))
    }
}

// === impl Handshake ===

impl Handshake {
    /// Whether it can be told and answered by the head alone.
    #[must_use]
    pub fn is_of_head(&self) -> bool {
        let asks_body = |from: &Asked| matches!(from, Asked::Body(_));
        let answered = match &self.answer {
            Answer::Echo(from, _)
            | Answer::Proof { of: from, .. }
            | Answer::PublicKeyAndProof(from)
            | Answer::Confirm(from) => asks_body(from),
            Answer::Json(_) | Answer::Empty | Answer::NoContent | Answer::Origin => false,
        };
        !self.signed && !answered && !self.when.iter().any(|when| when.needs_body())
    }
}
