//! Values that may be written as another kind: Promtail reads the settings of `drop`, `limit`,
//! `multiline`, `pack` and `sampling` weakly, so that `rate: "10"` is a number there and `labels: pod` a
//! list.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::Deserializer;
use serde::de::{Error, SeqAccess, Unexpected, Visitor};

/// A number that may stand in quotes.
pub(super) trait Number: FromStr {
    /// What it is, in an operator's words.
    const WORDS: &'static str;
}

impl Number for f64 {
    const WORDS: &'static str = "a number";
}

impl Number for u32 {
    const WORDS: &'static str = "a whole number, 0 or more";
}

impl Number for u64 {
    const WORDS: &'static str = "a whole number, 0 or more";
}

impl Number for usize {
    const WORDS: &'static str = "a whole number, 0 or more";
}

/// Reads a number that must be given.
pub(super) fn number<'de, D: Deserializer<'de>, T: Number>(deserializer: D) -> Result<T, D::Error> {
    let missing = || D::Error::invalid_type(Unexpected::Unit, &T::WORDS);
    optional_number(deserializer)?.ok_or_else(missing)
}

/// Reads a number, or nothing.
pub(super) fn optional_number<'de, D: Deserializer<'de>, T: Number>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    deserializer.deserialize_any(NumberVisitor(PhantomData))
}

struct NumberVisitor<T>(PhantomData<T>);

impl<T: Number> Visitor<'_> for NumberVisitor<T> {
    type Value = Option<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(T::WORDS)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        let number = text.trim().parse();
        let refuse = |_| E::invalid_type(Unexpected::Str(text), &self);
        number.map(Some).map_err(refuse)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        let refuse = |_| E::invalid_type(Unexpected::Unsigned(number), &self);
        number.to_string().parse().map(Some).map_err(refuse)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        let refuse = |_| E::invalid_type(Unexpected::Signed(number), &self);
        number.to_string().parse().map(Some).map_err(refuse)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        let refuse = |_| E::invalid_type(Unexpected::Float(number), &self);
        number.to_string().parse().map(Some).map_err(refuse)
    }
}

/// Reads `true` or `false`.
pub(super) fn truth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    optional_truth(deserializer).map(Option::unwrap_or_default)
}

/// Reads `true` or `false`, or nothing.
pub(super) fn optional_truth<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<bool>, D::Error> {
    deserializer.deserialize_any(TruthVisitor)
}

struct TruthVisitor;

impl Visitor<'_> for TruthVisitor {
    type Value = Option<bool>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("`true` or `false`")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Some(value))
    }

    /// The words of Go's `strconv.ParseBool`, and those of old YAML.
    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        match text.to_ascii_lowercase().as_str() {
            "1" | "t" | "true" | "y" | "yes" | "on" => Ok(Some(true)),
            "" | "0" | "f" | "false" | "n" | "no" | "off" => Ok(Some(false)),
            _ => Err(E::invalid_type(Unexpected::Str(text), &self)),
        }
    }
}

/// Reads names: a list of them, or one.
pub(super) fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    optional_names(deserializer).map(Option::unwrap_or_default)
}

/// Reads names, or nothing.
pub(super) fn optional_names<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<String>>, D::Error> {
    deserializer.deserialize_any(NamesVisitor)
}

struct NamesVisitor;

impl<'de> Visitor<'de> for NamesVisitor {
    type Value = Option<Vec<String>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(
            "a name, in quotes where YAML takes it for another thing, or a list of names",
        )
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Some(vec![name.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut names = Vec::new();
        while let Some(name) = list.next_element()? {
            names.push(name);
        }
        Ok(Some(names))
    }
}
