//! The tree to values, by serde, with every independent problem found at once.
//!
//! serde stops at the first value that it cannot take. So the value that was wrong is left out and the tree is
//! read again, until nothing is wrong but what follows from a value that was left out. Unknown keys are
//! found on the way by asking each struct for its fields.

use std::cell::RefCell;
use std::collections::HashSet;

use serde::de::value::StrDeserializer;
use serde::de::{Deserialize, Deserializer, IntoDeserializer, Visitor};

use super::access::{Entries, List, NodeThenValue, Single};
use super::excerpt::values_in;
use super::fault::{Fault, similar};
use super::problem::Problem;
use super::spanned::{AT, ONE_OR_MANY, WORD_OR_STRUCT};
use super::tree::{Entry, Kind, NodeId, Scalar, Tree};
use crate::config::later;

/// How many problems are shown at most.
pub(crate) const PROBLEMS_MAX: usize = 20;

/// Reads the tree.
///
/// # Errors
///
/// Everything that is wrong with it, in the order of the text.
pub(crate) fn decode<'t, T: Deserialize<'t>>(tree: &'t Tree) -> Result<T, Vec<Problem>> {
    let reading = Reading { tree, left_out: RefCell::default(), unknown: RefCell::default() };
    let mut problems: Vec<Problem> = Vec::new();
    let value = loop {
        match T::deserialize(Value { reading: &reading, id: Tree::ROOT }) {
            Ok(value) => break Some(value),
            Err(fault) => {
                let at = fault.at.unwrap_or(Tree::ROOT);
                if !fault.follows_from_another(tree) {
                    problems.push(fault.into_problem(tree, at));
                }
                let again = reading.left_out.borrow_mut().insert(at);
                if at == Tree::ROOT || !again || problems.len() >= PROBLEMS_MAX {
                    break None;
                }
            }
        }
    };
    problems.extend(reading.unknown.into_inner().into_iter().map(|(_, problem)| problem));
    problems.sort_by_key(|problem| problem.place.bytes.start);
    match value {
        Some(value) if problems.is_empty() => Ok(value),
        _ => Err(problems),
    }
}

pub(super) struct Reading<'t> {
    tree: &'t Tree,
    /// Values that were wrong.
    pub(super) left_out: RefCell<HashSet<NodeId>>,
    /// Keys that no struct has, by their value.
    unknown: RefCell<Vec<(NodeId, Problem)>>,
}

/// A node as serde asks for it.
#[derive(Clone, Copy)]
pub(super) struct Value<'r, 't> {
    pub(super) reading: &'r Reading<'t>,
    pub(super) id: NodeId,
}

// === impl Value ===

impl<'r, 't> Value<'r, 't> {
    fn kind(&self) -> &'t Kind {
        const NOTHING: &Kind = &Kind::List(Vec::new());
        self.reading.tree.get(self.id).map_or(NOTHING, |node| &node.kind)
    }

    fn shape(self, expected: &str) -> Fault {
        let found = match self.kind() {
            Kind::Scalar(scalar) if scalar.is_null() => {
                let message = "there is no value here".to_owned();
                let hint = Some(format!("write {expected} or remove the key; check the indentation of what follows"));
                return Fault::of_value(self.id, message, hint);
            }
            Kind::Scalar(_) => "a single value",
            Kind::List(_) => "a list",
            Kind::Mapping(_) => "a mapping",
        };
        Fault::of_shape(self.id, format!("expected {expected}, found {found}"))
    }

    fn text(self, expected: &str) -> Result<&'t Scalar, Fault> {
        match self.kind() {
            Kind::Scalar(scalar) if !scalar.is_null() => Ok(scalar),
            _ => Err(self.shape(expected)),
        }
    }

    fn parsed<N: std::str::FromStr>(self, expected: &str) -> Result<N, Fault> {
        let parsed = self.text(expected)?.text.trim().parse();
        parsed.map_err(|_reason| Fault::of_value(self.id, format!("expected {expected}"), None))
    }

    fn list(self, items: &'t [NodeId]) -> List<'r, 't> {
        List { reading: self.reading, items }
    }

    /// The entries that the struct knows; the others are noted.
    fn known(self, entries: &'t [Entry], name: &'static str, fields: &'static [&'static str]) -> Entries<'r, 't> {
        let mut unknown = self.reading.unknown.borrow_mut();
        for entry in entries.iter().filter(|entry| !fields.contains(&&*entry.key)) {
            if unknown.iter().all(|(known, _)| *known != entry.value) && unknown.len() < PROBLEMS_MAX {
                unknown.push((entry.value, unknown_key(self.reading.tree, self.id, entry, name, fields)));
            }
        }
        Entries { reading: self.reading, entries, fields: Some(fields), value: None }
    }
}

fn unknown_key(
    tree: &Tree,
    mapping: NodeId,
    entry: &Entry,
    name: &'static str,
    fields: &'static [&'static str],
) -> Problem {
    let path = tree.path_of_key(mapping, &entry.key);
    let mut problem = if let Some(feature) = later::key(name, &entry.key) {
        Problem::at(entry.key_place.clone(), format!("not built yet: {feature}"))
            .hint("this version refuses the key rather than ignore it: remove it")
    } else {
        let problem = Problem::at(entry.key_place.clone(), "unknown key");
        match similar(&entry.key, fields.iter().copied()) {
            Some(near) => problem.hint(format!("did you mean `{near}`?")),
            None => problem.hint(format!("known here: {}", fields.join(", "))),
        }
    };
    problem.hidden = values_in(tree, entry.value);
    problem.path(path)
}

macro_rules! numbers {
    ($($method:ident $visit:ident $type:ty;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            let expected = format!("a whole number from {} to {}", <$type>::MIN, <$type>::MAX);
            visitor.$visit(self.parsed::<$type>(&expected)?).map_err(|fault: Fault| fault.or_at(self.id))
        })*
    };
}

impl<'de, 'r, 't: 'de> Deserializer<'de> for Value<'r, 't> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.kind() {
            Kind::Scalar(_) => self.deserialize_str(visitor),
            Kind::List(_) => self.deserialize_seq(visitor),
            Kind::Mapping(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_bool(self.parsed("`true` or `false`")?)
    }

    numbers! {
        deserialize_i8 visit_i8 i8; deserialize_i16 visit_i16 i16; deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64; deserialize_u8 visit_u8 u8; deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32; deserialize_u64 visit_u64 u64;
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_f64(self.parsed("a number such as 0.1")?).map_err(|fault: Fault| fault.or_at(self.id))
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_str(&self.text("a text")?.text).map_err(|fault: Fault| fault.or_at(self.id))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        // A key without a value is a mistake (often of indentation), not an absent key.
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Fault> {
        Err(self.shape("nothing"))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Fault> {
        let taken = match (name, self.kind()) {
            (AT, _) => visitor.visit_seq(NodeThenValue { value: self, step: 0 }),
            (ONE_OR_MANY, Kind::List(items)) => visitor.visit_seq(self.list(items)),
            (ONE_OR_MANY, _) => visitor.visit_seq(Single(Some(self))),
            (WORD_OR_STRUCT, Kind::Scalar(_)) => self.deserialize_str(visitor),
            _ => visitor.visit_newtype_struct(self),
        };
        taken.map_err(|fault: Fault| fault.or_at(self.id))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.kind() {
            Kind::List(items) => visitor.visit_seq(self.list(items)).map_err(|fault: Fault| fault.or_at(self.id)),
            _ => Err(self.shape("a list (`[…]`, or lines with `-`)")),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.kind() {
            Kind::Mapping(entries) => visitor
                .visit_map(Entries { reading: self.reading, entries, fields: None, value: None })
                .map_err(|fault: Fault| fault.or_at(self.id)),
            _ => Err(self.shape("a mapping from names to values")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.kind() {
            Kind::Mapping(entries) => {
                visitor.visit_map(self.known(entries, name, fields)).map_err(|fault: Fault| fault.or_at(self.id))
            }
            _ => Err(self.shape(&format!("a mapping with the keys {}", fields.join(", ")))),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let choices = variants.iter().map(|choice| format!("`{choice}`")).collect::<Vec<_>>().join(", ");
        let word = self.text(&format!("one of {choices}"))?.text.trim();
        if let Some(feature) = later::value(name, word) {
            return Err(Fault::not_built(self.id, feature));
        }
        let word: StrDeserializer<'_, Fault> = word.into_deserializer();
        visitor.visit_enum(word).map_err(|fault| fault.or_at(self.id))
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }
}
