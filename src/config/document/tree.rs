//! The tree: scalars, lists and mappings, each with its place and its parent.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// A node's number in its [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NodeId(pub(super) u32);

/// Where something stands in the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// From 1.
    pub(crate) line: usize,
    /// From 1, in characters.
    pub(crate) column: usize,
    /// In the text.
    pub(crate) bytes: Range<usize>,
}

/// Every node of a configuration file; the root comes first.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(super) nodes: Vec<Node>,
    /// Where values were read that a file holds.
    pub(super) files: HashMap<NodeId, PathBuf>,
}

/// One node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(super) kind: Kind,
    pub(super) place: Place,
    /// The list or mapping that it stands in, and at which index.
    pub(super) parent: Option<(NodeId, usize)>,
}

/// What a node is.
#[derive(Debug)]
pub(crate) enum Kind {
    Scalar(Scalar),
    List(Vec<NodeId>),
    Mapping(Vec<Entry>),
}

/// A value that is not a list or mapping.
pub(crate) struct Scalar {
    /// What it says, after escapes and references.
    pub(super) text: Zeroizing<String>,
    /// Written without quotes: `null` and `~` mean nothing then.
    pub(super) plain: bool,
    /// Whether it says what an environment variable or a file holds: not to be shown, even where it is wrong.
    pub(super) referred: bool,
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(super) key: Box<str>,
    pub(super) key_place: Place,
    pub(super) value: NodeId,
}

// === impl Scalar ===

impl Scalar {
    /// Whether nothing was written: `key:`, `key: ~` or `key: null`.
    pub(super) fn is_null(&self) -> bool {
        self.plain && !self.referred && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }
}

impl std::fmt::Debug for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // It may be a secret; nothing here knows.
        f.write_str("Scalar(…)")
    }
}

// === impl Tree ===

impl Tree {
    /// The root.
    pub(crate) const ROOT: NodeId = NodeId(0);

    pub(super) fn push(&mut self, kind: Kind, place: Place) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(Node { kind, place, parent: None });
        id
    }

    pub(super) fn get(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(usize::try_from(id.0).ok()?)
    }

    pub(super) fn get_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(usize::try_from(id.0).ok()?)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)).map(NodeId)
    }

    pub(super) fn scalar(&self, id: NodeId) -> Option<&Scalar> {
        match self.get(id).map(|node| &node.kind) {
            Some(Kind::Scalar(scalar)) => Some(scalar),
            _ => None,
        }
    }

    pub(super) fn entries(&self, id: NodeId) -> &[Entry] {
        match self.get(id).map(|node| &node.kind) {
            Some(Kind::Mapping(entries)) => entries,
            _ => &[],
        }
    }

    /// Whether the value came through `${…}` or `{ file: … }`.
    pub(crate) fn is_referred(&self, id: NodeId) -> bool {
        self.scalar(id).is_some_and(|scalar| scalar.referred)
    }

    /// The file that the value was read from.
    pub(crate) fn file_of(&self, id: NodeId) -> Option<&Path> {
        self.files.get(&id).map(PathBuf::as_path)
    }

    /// The key of the mapping entry whose value this is.
    pub(super) fn entry_of(&self, id: NodeId) -> Option<&Entry> {
        let (parent, index) = self.get(id)?.parent?;
        self.entries(parent).get(index)
    }

    /// Where to point for this node: at its value, or at its key where nothing was written.
    pub(crate) fn place(&self, id: NodeId) -> Place {
        let nothing_written = self.scalar(id).is_some_and(Scalar::is_null);
        match (nothing_written, self.entry_of(id), self.get(id)) {
            (true, Some(entry), _) => entry.key_place.clone(),
            (_, _, Some(node)) => node.place.clone(),
            _ => Place::default(),
        }
    }

    /// Where the node's key stands; the node itself in a list.
    pub(crate) fn key_place(&self, id: NodeId) -> Place {
        self.entry_of(id).map_or_else(|| self.place(id), |entry| entry.key_place.clone())
    }

    /// The way from the root: `sources.appmint.verify.secrets[0]`; empty for the root.
    pub(crate) fn path(&self, id: NodeId) -> String {
        let mut steps = Vec::new();
        let mut at = id;
        while let Some((parent, index)) = self.get(at).and_then(|node| node.parent) {
            match self.entries(parent).get(index) {
                Some(entry) => steps.push(key_step(&entry.key)),
                None => steps.push(format!("[{index}]")),
            }
            at = parent;
        }
        let mut path = String::new();
        for step in steps.iter().rev() {
            if !path.is_empty() && !step.starts_with('[') {
                path.push('.');
            }
            path.push_str(step);
        }
        path
    }

    /// The path of a key in this mapping.
    pub(crate) fn path_of_key(&self, mapping: NodeId, key: &str) -> String {
        let path = self.path(mapping);
        if path.is_empty() { key_step(key) } else { format!("{path}.{}", key_step(key)) }
    }
}

/// A key as a step of a path: quoted where it has dots or other odd characters, cut where it is long.
fn key_step(key: &str) -> String {
    const KEY_CHARS_MAX: usize = 64;
    let short: String = key.chars().take(KEY_CHARS_MAX).collect();
    let plain = !short.is_empty() && short.chars().all(|char| char.is_ascii_alphanumeric() || "_-/".contains(char));
    if plain { short } else { format!("{short:?}") }
}
