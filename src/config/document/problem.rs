//! One thing that is wrong with a configuration: where, what, and what to do about it.

use std::ops::Range;

use super::tree::{NodeId, Place, Tree};

/// What a stage of the loading found; a [`Finding`](crate::config::Finding) is the same for people.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) place: Place,
    pub(crate) path: Box<str>,
    pub(crate) message: String,
    pub(crate) hint: Option<Box<str>>,
    /// Parts of the text that no excerpt may show because of this problem: what stands where nothing is known
    /// about its secrecy.
    pub(crate) hidden: Vec<Range<usize>>,
    /// No value of the line may be shown: the text is not YAML, so nobody knows which of them are secrets.
    pub(crate) keys_only: bool,
}

/// What the checks write their findings into.
#[derive(Debug)]
pub(crate) struct Problems<'t> {
    tree: &'t Tree,
    pub(crate) found: Vec<Problem>,
    pub(crate) warnings: Vec<Problem>,
}

// === impl Problem ===

impl Problem {
    pub(crate) fn at(place: Place, message: impl Into<String>) -> Self {
        Self { place, path: Box::default(), message: message.into(), hint: None, hidden: Vec::new(), keys_only: false }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into().into_boxed_str());
        self
    }

    pub(crate) fn path(mut self, path: String) -> Self {
        self.path = path.into_boxed_str();
        self
    }

    pub(crate) fn without_values(mut self) -> Self {
        self.keys_only = true;
        self
    }
}

// === impl Problems ===

impl<'t> Problems<'t> {
    pub(crate) fn new(tree: &'t Tree) -> Self {
        Self { tree, found: Vec::new(), warnings: Vec::new() }
    }

    pub(crate) fn tree(&self) -> &'t Tree {
        self.tree
    }

    /// Notes what is wrong with this value.
    pub(crate) fn wrong(&mut self, at: NodeId, message: impl Into<String>, hint: impl Into<String>) {
        self.found.push(self.problem(at, message, hint));
    }

    /// Notes what is wrong with a key of this mapping, which need not be there: points at the key or the mapping.
    pub(crate) fn wrong_key(
        &mut self,
        mapping: NodeId,
        key: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let problem = match self.tree.entries(mapping).iter().find(|entry| &*entry.key == key) {
            Some(entry) => Problem::at(entry.key_place.clone(), message),
            None => Problem::at(self.tree.key_place(mapping), message),
        };
        self.found.push(problem.hint(hint).path(self.tree.path_of_key(mapping, key)));
    }

    /// Notes what is wrong with the name that somebody gave to this value.
    pub(crate) fn wrong_name(&mut self, at: NodeId, message: impl Into<String>, hint: impl Into<String>) {
        self.found.push(self.problem_of_name(at, message, hint));
    }

    /// Notes what works but is likely not meant so, of what has this name.
    pub(crate) fn warn_name(&mut self, at: NodeId, message: impl Into<String>, hint: impl Into<String>) {
        self.warnings.push(self.problem_of_name(at, message, hint));
    }

    /// Notes what works but is likely not meant so.
    pub(crate) fn warn(&mut self, at: NodeId, message: impl Into<String>, hint: impl Into<String>) {
        self.warnings.push(self.problem(at, message, hint));
    }

    fn problem(&self, at: NodeId, message: impl Into<String>, hint: impl Into<String>) -> Problem {
        Problem::at(self.tree.place(at), message).hint(hint).path(self.tree.path(at))
    }

    fn problem_of_name(&self, at: NodeId, message: impl Into<String>, hint: impl Into<String>) -> Problem {
        Problem::at(self.tree.key_place(at), message).hint(hint).path(self.tree.path(at))
    }
}
