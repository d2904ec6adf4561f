//! What serde walks through: the entries of a mapping, the items of a list, and the wrappers of [`spanned`](super::spanned).

use serde::de::value::{StrDeserializer, U32Deserializer};
use serde::de::{self, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess};

use super::decode::{Reading, Value};
use super::fault::Fault;
use super::tree::{Entry, NodeId};

/// The entries of a mapping: without those that were left out, and for a struct without those it does not know.
pub(super) struct Entries<'r, 't> {
    pub(super) reading: &'r Reading<'t>,
    pub(super) entries: &'t [Entry],
    pub(super) fields: Option<&'static [&'static str]>,
    pub(super) value: Option<NodeId>,
}

impl<'de, 'r, 't: 'de> MapAccess<'de> for Entries<'r, 't> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        while let Some((entry, rest)) = self.entries.split_first() {
            self.entries = rest;
            let known = self.fields.is_none_or(|fields| fields.contains(&&*entry.key));
            if known && !self.reading.left_out.borrow().contains(&entry.value) {
                self.value = Some(entry.value);
                let key: StrDeserializer<'_, Fault> = (*entry.key).into_deserializer();
                return seed.deserialize(key).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        let id = self.value.take().ok_or_else(|| <Fault as de::Error>::custom("a value"))?;
        seed.deserialize(Value { reading: self.reading, id }).map_err(|fault| fault.or_at(id))
    }
}

/// The items of a list, without those that were left out.
pub(super) struct List<'r, 't> {
    pub(super) reading: &'r Reading<'t>,
    pub(super) items: &'t [NodeId],
}

impl<'de, 'r, 't: 'de> SeqAccess<'de> for List<'r, 't> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        while let Some((&id, rest)) = self.items.split_first() {
            self.items = rest;
            if !self.reading.left_out.borrow().contains(&id) {
                let item = seed.deserialize(Value { reading: self.reading, id });
                return item.map(Some).map_err(|fault| fault.or_at(id));
            }
        }
        Ok(None)
    }
}

/// What is not a list, as a list of one.
pub(super) struct Single<'r, 't>(pub(super) Option<Value<'r, 't>>);

impl<'de, 'r, 't: 'de> SeqAccess<'de> for Single<'r, 't> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        self.0.take().map(|value| seed.deserialize(value)).transpose()
    }
}

/// What [`super::spanned::At`] reads: the node's number, then the value.
pub(super) struct NodeThenValue<'r, 't> {
    pub(super) value: Value<'r, 't>,
    pub(super) step: u8,
}

impl<'de, 'r, 't: 'de> SeqAccess<'de> for NodeThenValue<'r, 't> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        self.step += 1;
        match self.step {
            1 => {
                let number: U32Deserializer<Fault> = self.value.id.0.into_deserializer();
                seed.deserialize(number).map(Some)
            }
            2 => seed.deserialize(self.value).map(Some),
            _ => Ok(None),
        }
    }
}
