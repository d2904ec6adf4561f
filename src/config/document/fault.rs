//! Why a value could not be taken, before it is a problem with a place.

use std::fmt;

use serde::de;

use super::excerpt::values_in;
use super::problem::Problem;
use super::tree::{NodeId, Tree};

/// Why a value could not be taken.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: Option<NodeId>,
    what: What,
}

#[derive(Debug)]
enum What {
    Missing(&'static str),
    /// The value has another shape: nobody knows whether it is a secret.
    Shape(String),
    Other {
        message: String,
        hint: Option<String>,
    },
}

// === impl Fault ===

impl Fault {
    pub(super) fn or_at(mut self, id: NodeId) -> Self {
        self.at.get_or_insert(id);
        self
    }

    pub(super) fn of_value(id: NodeId, message: String, hint: Option<String>) -> Self {
        Self { at: Some(id), what: What::Other { message, hint } }
    }

    pub(super) fn of_shape(id: NodeId, message: String) -> Self {
        Self { at: Some(id), what: What::Shape(message) }
    }

    pub(super) fn not_built(id: NodeId, feature: &str) -> Self {
        let hint = Some("this version refuses it rather than ignore it: remove it".to_owned());
        Self { at: Some(id), what: What::Other { message: format!("not built yet: {feature}"), hint } }
    }

    /// A key that is there but was left out is not missing.
    pub(super) fn follows_from_another(&self, tree: &Tree) -> bool {
        match (&self.what, self.at) {
            (What::Missing(field), Some(at)) => tree.entries(at).iter().any(|entry| &*entry.key == *field),
            _ => false,
        }
    }

    pub(super) fn into_problem(self, tree: &Tree, at: NodeId) -> Problem {
        match self.what {
            What::Missing(field) => {
                Problem::at(tree.key_place(at), format!("`{field}` is missing here")).path(tree.path_of_key(at, field))
            }
            What::Shape(message) => {
                let mut problem = Problem::at(tree.place(at), message).path(tree.path(at));
                problem.hidden = values_in(tree, at);
                problem
            }
            What::Other { message, hint } => {
                let problem = Problem::at(tree.place(at), message).path(tree.path(at));
                match hint {
                    Some(hint) => problem.hint(hint),
                    None => problem,
                }
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Missing(field) => write!(f, "`{field}` is missing"),
            What::Shape(message) | What::Other { message, .. } => f.write_str(message),
        }
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        // Messages of our own values carry their advice behind a line break.
        let text = message.to_string();
        let (message, hint) = match text.split_once('\n') {
            Some((message, hint)) => (message.to_owned(), Some(hint.to_owned())),
            None => (text, None),
        };
        Self { at: None, what: What::Other { message, hint } }
    }

    fn missing_field(field: &'static str) -> Self {
        Self { at: None, what: What::Missing(field) }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let choices = expected.iter().map(|choice| format!("`{choice}`")).collect::<Vec<_>>().join(", ");
        let hint = similar(variant, expected.iter().copied()).map(|near| format!("did you mean `{near}`?"));
        Self { at: None, what: What::Other { message: format!("not one of {choices}"), hint } }
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        // What was found is not repeated: it may be a secret.
        Self { at: None, what: What::Shape(format!("expected {expected}")) }
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self { at: None, what: What::Other { message: format!("expected {expected}"), hint: None } }
    }
}

/// The choice that the word is most likely a misspelling of.
pub(crate) fn similar<'a>(word: &str, choices: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const WORD_CHARS_MAX: usize = 64;
    if word.chars().count() > WORD_CHARS_MAX {
        return None;
    }
    let word = word.to_ascii_lowercase().replace('-', "_");
    choices
        .map(|choice| (strsim::jaro_winkler(&word, &choice.to_ascii_lowercase().replace('-', "_")), choice))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, choice)| choice)
}
