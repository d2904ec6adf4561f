//! YAML to a [`Tree`], within fixed bounds.
//!
//! A bad file costs at most [`NODES_MAX`] nodes of at most [`FILE_BYTES_MAX`] bytes of text, however its aliases
//! multiply: each use of an alias counts as what it stands for.

use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, Span, Tag};
use zeroize::Zeroizing;

use super::problem::Problem;
use super::tree::{Entry, Kind, NodeId, Place, Scalar, Tree};

/// The largest configuration file that is read.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// The most values, lists and mappings in a file, aliases counted as what they stand for.
pub const NODES_MAX: usize = 50_000;

/// The deepest nesting; the deepest key that means something stands at 6.
pub const DEPTH_MAX: usize = 24;

/// Builds the tree of a text.
///
/// # Errors
///
/// The first thing that is not the YAML that we take: a syntax error, a duplicate key, a tag, an alias that grows
/// over the bounds, a second document.
pub(crate) fn parse(text: &str) -> Result<Tree, Problem> {
    let mut options = granit_parser::Options::default();
    options.set_emit_comments(false);
    options.flow_nesting_limit = DEPTH_MAX;
    options.block_nesting_limit = DEPTH_MAX;
    options.disallow_directives = true;
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| {
            let problem = syntax(error.kind(), &error.info(), *error.marker());
            let line = text.lines().nth(problem.place.line.saturating_sub(1)).unwrap_or_default();
            if problem.hint.is_none() && line.contains("${") {
                problem.hint("between `{ }` and `[ ]` YAML needs quotes around a reference: \"${NAME}\"")
            } else {
                problem
            }
        })?;
        // Before the tree is whole nobody knows which value is a secret.
        builder.take(event, &span).map_err(Problem::without_values)?;
    }
    Ok(builder.finish())
}

#[derive(Default)]
struct Builder {
    tree: Tree,
    open: Vec<Open>,
    anchors: HashMap<usize, NodeId>,
    documents: usize,
}

/// A list or mapping whose end has not come yet.
struct Open {
    id: NodeId,
    parts: Parts,
}

enum Parts {
    List(Vec<NodeId>),
    Mapping { entries: Vec<Entry>, seen: HashMap<Box<str>, usize>, key: Option<(Box<str>, Place)> },
}

// === impl Builder ===

impl Builder {
    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), Problem> {
        let place = place(span);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(Problem::at(place, "a second document begins here")
                        .hint("a configuration is one document: remove the `---`"));
                }
            }
            Event::Alias(anchor) => {
                let copy = self.alias(anchor, &place)?;
                self.put(copy, &place)?;
            }
            Event::Scalar(text, style, anchor, tag) => {
                refuse_tag(tag.as_deref(), span)?;
                let plain = style == ScalarStyle::Plain;
                if self.put_key(&text, &place)? {
                    return Ok(());
                }
                let scalar = Scalar { text: Zeroizing::new(text.into_owned()), plain, referred: false };
                let id = self.add(Kind::Scalar(scalar), place.clone())?;
                self.remember(anchor, id);
                self.put(id, &place)?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                refuse_tag(tag.as_deref(), span)?;
                self.begin(Kind::List(Vec::new()), Parts::List(Vec::new()), anchor, place)?;
            }
            Event::MappingStart(_, anchor, tag) => {
                refuse_tag(tag.as_deref(), span)?;
                let parts = Parts::Mapping { entries: Vec::new(), seen: HashMap::new(), key: None };
                self.begin(Kind::Mapping(Vec::new()), parts, anchor, place)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(&place)?,
            _ => {}
        }
        Ok(())
    }

    fn finish(mut self) -> Tree {
        if self.tree.nodes.is_empty() {
            // An empty file is an empty mapping.
            self.tree.push(Kind::Mapping(Vec::new()), Place { line: 1, column: 1, bytes: 0..0 });
        }
        self.tree
    }

    fn add(&mut self, kind: Kind, place: Place) -> Result<NodeId, Problem> {
        if self.tree.nodes.len() >= NODES_MAX {
            return Err(Problem::at(place, format!("the file holds more than {NODES_MAX} values"))
                .hint("aliases count as what they stand for"));
        }
        Ok(self.tree.push(kind, place))
    }

    fn remember(&mut self, anchor: usize, id: NodeId) {
        if anchor != 0 {
            self.anchors.insert(anchor, id);
        }
    }

    fn begin(&mut self, kind: Kind, parts: Parts, anchor: usize, place: Place) -> Result<(), Problem> {
        if self.open.len() >= DEPTH_MAX {
            return Err(too_deep(place));
        }
        self.refuse_as_key(&place)?;
        let id = self.add(kind, place)?;
        self.remember(anchor, id);
        self.open.push(Open { id, parts });
        Ok(())
    }

    fn end(&mut self, place: &Place) -> Result<(), Problem> {
        let Some(Open { id, parts }) = self.open.pop() else { return Ok(()) };
        let kind = match parts {
            Parts::List(items) => Kind::List(items),
            Parts::Mapping { entries, .. } => Kind::Mapping(self.merged(entries)?),
        };
        self.fill(id, kind);
        self.put(id, place)
    }

    /// Gives the node its children and the children their parent.
    fn fill(&mut self, id: NodeId, kind: Kind) {
        let children: Vec<NodeId> = match &kind {
            Kind::Scalar(_) => Vec::new(),
            Kind::List(items) => items.clone(),
            Kind::Mapping(entries) => entries.iter().map(|entry| entry.value).collect(),
        };
        for (index, child) in children.into_iter().enumerate() {
            if let Some(child) = self.tree.get_mut(child) {
                child.parent = Some((id, index));
            }
        }
        if let Some(node) = self.tree.get_mut(id) {
            node.kind = kind;
        }
    }

    /// Puts a finished node where the innermost open list or mapping waits for one.
    fn put(&mut self, id: NodeId, place: &Place) -> Result<(), Problem> {
        match self.open.last_mut().map(|open| &mut open.parts) {
            None => {}
            Some(Parts::List(items)) => items.push(id),
            Some(Parts::Mapping { entries, key, .. }) => match key.take() {
                Some((key, key_place)) => entries.push(Entry { key, key_place, value: id }),
                None => return Err(odd_key(place.clone())),
            },
        }
        Ok(())
    }

    /// Takes the scalar as a key where the innermost mapping waits for one.
    fn put_key(&mut self, text: &str, place: &Place) -> Result<bool, Problem> {
        let Some(Parts::Mapping { seen, key, .. }) = self.open.last_mut().map(|open| &mut open.parts) else {
            return Ok(false);
        };
        if key.is_some() {
            return Ok(false);
        }
        if let Some(first) = seen.insert(text.into(), place.line) {
            return Err(Problem::at(place.clone(), "this key is here twice")
                .hint(format!("the first one is on line {first}; keep one of them")));
        }
        *key = Some((text.into(), place.clone()));
        Ok(true)
    }

    fn refuse_as_key(&self, place: &Place) -> Result<(), Problem> {
        match self.open.last().map(|open| &open.parts) {
            Some(Parts::Mapping { key: None, .. }) => Err(odd_key(place.clone())),
            _ => Ok(()),
        }
    }

    /// A copy of what the anchor stands for, in the place of the alias.
    fn alias(&mut self, anchor: usize, place: &Place) -> Result<NodeId, Problem> {
        let Some(&original) = self.anchors.get(&anchor) else {
            return Err(Problem::at(place.clone(), "nothing has this anchor"));
        };
        if self.open.iter().any(|open| open.id == original) {
            return Err(Problem::at(place.clone(), "this alias stands inside of what it stands for"));
        }
        self.copy(original, self.open.len(), place)
    }

    fn copy(&mut self, original: NodeId, depth: usize, place: &Place) -> Result<NodeId, Problem> {
        if depth > DEPTH_MAX {
            return Err(too_deep(place.clone()));
        }
        let Some(node) = self.tree.get(original) else { return Err(odd_key(place.clone())) };
        let own_place = node.place.clone();
        match &node.kind {
            Kind::Scalar(Scalar { text, plain, referred }) => {
                let scalar = Scalar { text: text.clone(), plain: *plain, referred: *referred };
                self.add(Kind::Scalar(scalar), own_place)
            }
            Kind::List(items) => {
                let items = items.clone();
                let id = self.add(Kind::List(Vec::new()), own_place)?;
                let copies =
                    items.into_iter().map(|item| self.copy(item, depth + 1, place)).collect::<Result<_, _>>()?;
                self.fill(id, Kind::List(copies));
                Ok(id)
            }
            Kind::Mapping(entries) => {
                let entries = entries.clone();
                let id = self.add(Kind::Mapping(Vec::new()), own_place)?;
                let mut copies = Vec::with_capacity(entries.len());
                for entry in entries {
                    let value = self.copy(entry.value, depth + 1, place)?;
                    copies.push(Entry { value, ..entry });
                }
                self.fill(id, Kind::Mapping(copies));
                Ok(id)
            }
        }
    }

    /// Does what the merge key says: `<<: *base` (or a list of them) adds the keys that are not written here.
    fn merged(&mut self, mut entries: Vec<Entry>) -> Result<Vec<Entry>, Problem> {
        let Some(index) = entries.iter().position(|entry| &*entry.key == "<<") else { return Ok(entries) };
        let merge = entries.remove(index);
        let bases = match self.tree.get(merge.value).map(|node| &node.kind) {
            Some(Kind::List(items)) => items.clone(),
            _ => vec![merge.value],
        };
        for base in bases {
            let Some(Kind::Mapping(added)) = self.tree.get(base).map(|node| &node.kind) else {
                return Err(Problem::at(merge.key_place, "`<<` takes an alias of a mapping, or a list of them"));
            };
            // The base is a copy already, so its values can move here.
            for entry in added.clone() {
                if entries.iter().all(|own| own.key != entry.key) {
                    entries.push(entry);
                }
            }
        }
        Ok(entries)
    }
}

fn refuse_tag(tag: Option<&Tag>, span: &Span) -> Result<(), Problem> {
    if tag.is_none() {
        return Ok(());
    }
    let span = span.tag_span().unwrap_or(*span);
    Err(Problem::at(place(&span), "tags mean nothing here")
        .hint("remove what begins with `!`, or put the value in quotes"))
}

fn too_deep(place: Place) -> Problem {
    Problem::at(place, format!("nested deeper than {DEPTH_MAX} levels"))
}

fn odd_key(place: Place) -> Problem {
    Problem::at(place, "a key must be a name, not a list, a mapping or an alias")
}

fn place(span: &Span) -> Place {
    let start = span.start.byte_offset().unwrap_or_default();
    let end = span.end.byte_offset().unwrap_or_default().max(start);
    Place { line: span.start.line(), column: span.start.col() + 1, bytes: start..end }
}

fn syntax(kind: &ErrorKind, info: &str, marker: Marker) -> Problem {
    let place = place(&Span::empty(marker));
    let info = info.trim();
    match kind {
        // The anchor's name may be a secret that somebody wrote without quotes.
        ErrorKind::UnknownAnchor => Problem::at(place, "this alias names an anchor that is not there")
            .hint("put a value that begins with `*` in quotes"),
        ErrorKind::DirectiveDisallowed => Problem::at(place, "directives (`%…`) mean nothing here"),
        _ if info.contains("limit") || info.contains("nesting") => {
            Problem::at(place, format!("nested deeper than {DEPTH_MAX} levels: {info}"))
        }
        _ => Problem::at(place, format!("not valid YAML: {info}")),
    }
    .without_values()
}
