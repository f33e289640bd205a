//! Reading typed structs out of the tree.
//!
//! Every struct is strict, also one that does not say so itself. An error knows the way to the value
//! it is about, and never holds the value.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};

use crate::tree::{Entry, KeyPath, Node, NodeKind, Part, Scalar, Step};

/// Why a value does not have the shape that it should have.
#[derive(Debug)]
pub struct ShapeError {
    /// From the inside out.
    reversed_path: Vec<Step>,
    /// Whether it is about the key or the value at the path.
    pub part: Part,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with the shape of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No such key is known here.
    UnknownKey {
        /// The key.
        name: String,
        /// The keys that are known here.
        valid: &'static [&'static str],
    },
    /// One word of a few was expected.
    UnknownWord {
        /// The words.
        valid: &'static [&'static str],
    },
    /// Another kind of value was expected.
    WrongKind {
        /// What stands there.
        found: &'static str,
        /// What should.
        expected: String,
    },
    /// The right kind of value, but not one that is possible.
    BadValue {
        /// What should stand there.
        expected: String,
    },
    /// A key that must be there is not.
    MissingKey {
        /// The key.
        name: &'static str,
    },
    /// What the type itself says.
    Other(String),
    /// A variable holds something that is not possible here; what it is must not be shown.
    BadVariable,
}

impl ShapeError {
    fn new(fault: Fault) -> Self {
        Self {
            reversed_path: Vec::new(),
            part: Part::Value,
            fault,
        }
    }

    fn inside(mut self, step: Step) -> Self {
        self.reversed_path.push(step);
        self
    }

    fn at_key(name: &str, fault: Fault) -> Self {
        let mut error = Self::new(fault).inside(Step::Key(name.to_owned()));
        error.part = Part::Key;
        error
    }

    /// Returns the way from the top to the value.
    pub fn path(&self) -> KeyPath {
        KeyPath(self.reversed_path.iter().rev().cloned().collect())
    }
}

impl fmt::Display for ShapeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}` does not have the right shape", self.path())
    }
}

impl std::error::Error for ShapeError {}

impl de::Error for ShapeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Fault::Other(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let expected = describe(&expected.to_string());
        Self::new(Fault::WrongKind {
            found: kind_of(&found),
            expected,
        })
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(Fault::BadValue {
            expected: describe(&expected.to_string()),
        })
    }

    fn unknown_variant(_: &str, valid: &'static [&'static str]) -> Self {
        Self::new(Fault::UnknownWord { valid })
    }

    fn unknown_field(name: &str, valid: &'static [&'static str]) -> Self {
        Self::at_key(
            name,
            Fault::UnknownKey {
                name: name.to_owned(),
                valid,
            },
        )
    }

    fn missing_field(name: &'static str) -> Self {
        Self::new(Fault::MissingKey { name })
    }
}

/// Puts what serde calls an expected value into an operator's words.
fn describe(expected: &str) -> String {
    let words = match expected {
        "a boolean" => "`true` or `false`",
        "a sequence" => "a list, `[…]`",
        "a map" => "a map, `{ key: value }`",
        "a string" | "path string" | "string or map" => "text",
        "unit variant" | "variant identifier" => "a word",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        other if other.starts_with("struct ") => "keys below it, `{ key: value }`",
        other if other.starts_with("enum ") => "a word",
        other => other,
    };
    words.to_owned()
}

fn kind_of(found: &Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "`true` or `false`",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "a number",
        Unexpected::Char(_) | Unexpected::Str(_) | Unexpected::Bytes(_) => "text",
        Unexpected::Unit | Unexpected::Option => "nothing",
        Unexpected::Seq => "a list",
        Unexpected::Map => "a map",
        Unexpected::NewtypeStruct
        | Unexpected::Enum
        | Unexpected::UnitVariant
        | Unexpected::NewtypeVariant
        | Unexpected::TupleVariant
        | Unexpected::StructVariant
        | Unexpected::Other(_) => "something else",
    }
}

/// Reads a value.
///
/// # Errors
/// The first thing that does not fit.
pub fn read<T: DeserializeOwned>(node: &Node) -> Result<T, ShapeError> {
    T::deserialize(Reader(node))
}

fn read_with<'de, S: DeserializeSeed<'de>>(
    node: &'de Node,
    seed: S,
) -> Result<S::Value, ShapeError> {
    seed.deserialize(Reader(node)).map_err(|mut error| {
        if is_expanded(node) && error.reversed_path.is_empty() {
            error.fault = hide_value(error.fault);
        }
        error
    })
}

fn is_expanded(node: &Node) -> bool {
    matches!(&node.kind, NodeKind::Scalar(scalar) if scalar.is_expanded())
}

/// What a type says about a value may quote it, and a variable's value must not be shown.
fn hide_value(fault: Fault) -> Fault {
    match fault {
        Fault::Other(_) => Fault::BadVariable,
        Fault::UnknownKey { .. }
        | Fault::UnknownWord { .. }
        | Fault::WrongKind { .. }
        | Fault::BadValue { .. }
        | Fault::MissingKey { .. }
        | Fault::BadVariable => fault,
    }
}

#[derive(Clone, Copy)]
struct Reader<'de>(&'de Node);

impl<'de> Reader<'de> {
    fn wrong_kind(self, expected: &dyn de::Expected) -> ShapeError {
        let found = match &self.0.kind {
            NodeKind::Null => "nothing",
            NodeKind::List(_) => "a list",
            NodeKind::Map(_) => "a map",
            NodeKind::Scalar(scalar) => match Typed::of(scalar) {
                Typed::Bool(_) => "`true` or `false`",
                Typed::Unsigned(_) | Typed::Signed(_) | Typed::Float(_) => "a number",
                Typed::Text => "text",
            },
        };
        ShapeError::new(Fault::WrongKind {
            found,
            expected: describe(&expected.to_string()),
        })
    }

    fn scalar(self) -> Option<&'de Scalar> {
        match &self.0.kind {
            NodeKind::Scalar(scalar) => Some(scalar),
            NodeKind::Null | NodeKind::List(_) | NodeKind::Map(_) => None,
        }
    }

    fn typed(self) -> Typed {
        self.scalar().map_or(Typed::Text, Typed::of)
    }

    fn number<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match self.typed() {
            Typed::Unsigned(number) => visitor.visit_u64(number),
            Typed::Signed(number) => visitor.visit_i64(number),
            Typed::Float(number) => visitor.visit_f64(number),
            Typed::Bool(_) | Typed::Text => Err(self.wrong_kind(&visitor)),
        }
    }
}

/// What a value is where it may be a number or a boolean.
enum Typed {
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text,
}

impl Typed {
    fn of(scalar: &Scalar) -> Self {
        let value = scalar.value.as_str();
        if !scalar.is_typed() {
            return Self::Text;
        }
        if let Ok(value) = value.parse() {
            return Self::Bool(value);
        }
        if let Ok(value) = value.parse() {
            return Self::Unsigned(value);
        }
        if let Ok(value) = value.parse() {
            return Self::Signed(value);
        }
        let is_number =
            value.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first));
        match value.parse() {
            Ok(value) if is_number => Self::Float(value),
            Ok(_) | Err(_) => Self::Text,
        }
    }
}

macro_rules! forward {
    ($to:ident: $($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
            self.$to(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = ShapeError;

    forward!(number: deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8
        deserialize_u16 deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64);
    forward!(deserialize_str: deserialize_char deserialize_string deserialize_bytes
        deserialize_byte_buf deserialize_identifier);

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match &self.0.kind {
            NodeKind::Null => visitor.visit_unit(),
            NodeKind::List(_) => self.deserialize_seq(visitor),
            NodeKind::Map(_) => self.deserialize_map(visitor),
            NodeKind::Scalar(scalar) => match self.typed() {
                Typed::Bool(value) => visitor.visit_bool(value),
                Typed::Unsigned(_) | Typed::Signed(_) | Typed::Float(_) => self.number(visitor),
                Typed::Text => visitor.visit_str(&scalar.value),
            },
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        if let Some(value) = self.scalar().and_then(Scalar::old_boolean) {
            return visitor.visit_bool(value);
        }
        match self.typed() {
            Typed::Bool(value) => visitor.visit_bool(value),
            Typed::Unsigned(_) | Typed::Signed(_) | Typed::Float(_) | Typed::Text => {
                Err(self.wrong_kind(&visitor))
            }
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match self.scalar() {
            Some(scalar) => visitor.visit_str(&scalar.value),
            None => Err(self.wrong_kind(&visitor)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match &self.0.kind {
            NodeKind::Null => visitor.visit_none(),
            NodeKind::Scalar(_) | NodeKind::List(_) | NodeKind::Map(_) => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match &self.0.kind {
            NodeKind::Null => visitor.visit_unit(),
            NodeKind::Scalar(_) | NodeKind::List(_) | NodeKind::Map(_) => {
                Err(self.wrong_kind(&visitor))
            }
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match &self.0.kind {
            NodeKind::List(nodes) => visitor.visit_seq(ListReader(nodes.iter().enumerate())),
            NodeKind::Null | NodeKind::Scalar(_) | NodeKind::Map(_) => {
                Err(self.wrong_kind(&visitor))
            }
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match &self.0.kind {
            NodeKind::Map(entries) => visitor.visit_map(MapReader {
                rest: entries,
                value: None,
            }),
            NodeKind::Null | NodeKind::Scalar(_) | NodeKind::List(_) => {
                Err(self.wrong_kind(&visitor))
            }
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        let NodeKind::Map(entries) = &self.0.kind else {
            return Err(self.wrong_kind(&visitor));
        };
        for entry in entries {
            if !fields.contains(&entry.name.as_str()) {
                return Err(de::Error::unknown_field(&entry.name, fields));
            }
        }
        visitor.visit_map(StructReader(MapReader {
            rest: entries,
            value: None,
        }))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        match &self.0.kind {
            NodeKind::Scalar(scalar) => visitor.visit_enum(WordReader(&scalar.value)),
            NodeKind::Map(entries) => {
                let map = MapReader {
                    rest: entries,
                    value: None,
                };
                visitor.visit_enum(MapAccessDeserializer::new(map))
            }
            NodeKind::Null | NodeKind::List(_) => Err(self.wrong_kind(&visitor)),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        visitor.visit_unit()
    }
}

struct ListReader<'de>(std::iter::Enumerate<std::slice::Iter<'de, Node>>);

impl<'de> SeqAccess<'de> for ListReader<'de> {
    type Error = ShapeError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, ShapeError> {
        let Some((index, node)) = self.0.next() else {
            return Ok(None);
        };
        let read = read_with(node, seed);
        read.map(Some)
            .map_err(|error| error.inside(Step::Index(index)))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint().1
    }
}

struct MapReader<'de> {
    rest: &'de [Entry],
    value: Option<&'de Entry>,
}

impl<'de> MapAccess<'de> for MapReader<'de> {
    type Error = ShapeError;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, ShapeError> {
        let Some((entry, rest)) = self.rest.split_first() else {
            return Ok(None);
        };
        self.rest = rest;
        self.value = Some(entry);
        let name: StrDeserializer<'_, ShapeError> = entry.name.as_str().into_deserializer();
        let read = seed.deserialize(name);
        read.map(Some)
            .map_err(|error| ShapeError::at_key(&entry.name, error.fault))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<S::Value, ShapeError> {
        let entry = self
            .value
            .take()
            .ok_or_else(|| de::Error::custom("a value before its key"))?;
        let read = read_with(&entry.node, seed);
        read.map_err(|error| error.inside(Step::Key(entry.name.clone())))
    }
}

/// Like [`MapReader`], but a key without a value is as one that is not there: everything below it may
/// have been commented out.
struct StructReader<'de>(MapReader<'de>);

impl<'de> MapAccess<'de> for StructReader<'de> {
    type Error = ShapeError;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, ShapeError> {
        while let Some((entry, rest)) = self.0.rest.split_first() {
            if !matches!(entry.node.kind, NodeKind::Null) {
                break;
            }
            self.0.rest = rest;
        }
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<S::Value, ShapeError> {
        self.0.next_value_seed(seed)
    }
}

struct WordReader<'de>(&'de str);

impl<'de> EnumAccess<'de> for WordReader<'de> {
    type Error = ShapeError;
    type Variant = NoContent;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, NoContent), ShapeError> {
        let word: StrDeserializer<'_, ShapeError> = self.0.into_deserializer();
        seed.deserialize(word).map(|variant| (variant, NoContent))
    }
}

/// The content of a variant that is a word alone.
struct NoContent;

impl NoContent {
    fn fail() -> ShapeError {
        let expected = "keys below it, `{ key: value }`".to_owned();
        ShapeError::new(Fault::WrongKind {
            found: "a word alone",
            expected,
        })
    }
}

impl<'de> VariantAccess<'de> for NoContent {
    type Error = ShapeError;

    fn unit_variant(self) -> Result<(), ShapeError> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, _: S) -> Result<S::Value, ShapeError> {
        Err(Self::fail())
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, ShapeError> {
        Err(Self::fail())
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, ShapeError> {
        Err(Self::fail())
    }
}
