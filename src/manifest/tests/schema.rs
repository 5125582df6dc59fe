//! The paths of every field that the API types can read, learned from the types themselves: a deserializer that answers each
//! question with whatever the type asks for, and notes what was asked.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde::de::value::Error;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

/// The paths of `T`, in the form of the field table.
pub fn paths<T: DeserializeOwned>(kind: &str) -> BTreeSet<String> {
    let seen = RefCell::new(BTreeSet::new());
    T::deserialize(Schema { path: String::new(), kind, seen: &seen }).expect("every question was answered");
    seen.into_inner()
}

#[derive(Clone)]
struct Schema<'a> {
    path: String,
    kind: &'a str,
    seen: &'a RefCell<BTreeSet<String>>,
}

impl Schema<'_> {
    fn below(&self, suffix: &str) -> Self {
        Schema { path: format!("{}{suffix}", self.path).trim_start_matches('.').to_owned(), ..self.clone() }
    }

    fn text(&self) -> &str {
        match self.path.as_str() {
            "apiVersion" if self.kind == "Job" => "batch/v1",
            "apiVersion" => "v1",
            "kind" => self.kind,
            path if path.ends_with("Timestamp") || path.ends_with("Time") || path.ends_with("At") => {
                "2026-11-22T18:00:00Z"
            }
            path if path.ends_with(".time") || path.ends_with("Since") => "2026-11-22T18:00:00Z",
            _ => "",
        }
    }
}

impl<'de> Deserializer<'de> for Schema<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_i64(1)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(true)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.text())
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.text())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Entries { of: self, keys: vec!["[]"] })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Entries { of: self, keys: vec!["*"] })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_map(Entries { of: self, keys: fields.to_vec() })
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct enum
        identifier ignored_any
    }
}

/// The fields of a struct, the one entry of a free-form map, or the one item of a list.
struct Entries<'a> {
    of: Schema<'a>,
    keys: Vec<&'static str>,
}

impl Entries<'_> {
    fn enter<'de, S: DeserializeSeed<'de>>(&mut self, suffix: &str, seed: S) -> Result<S::Value, Error> {
        let below = self.of.below(suffix);
        below.seen.borrow_mut().insert(below.path.clone());
        seed.deserialize(below)
    }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.keys.last().map(|key| seed.deserialize((*key).into_deserializer())).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let key = self.keys.pop().expect("a key came before");
        self.enter(&format!(".{key}"), seed)
    }
}

impl<'de> SeqAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        self.keys.pop().map(|item| self.enter(item, seed)).transpose()
    }
}
