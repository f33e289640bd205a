//! Names and values as text: read from JSON, and written as a stream selector.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// Pairs that one record or stream of a body may hold: a pair takes six bytes there and many times
/// that once it is read. A backend takes a few hundred at most.
pub const MAX_PAIRS: usize = 1 << 16;

/// A JSON object whose values are strings, in the order it is written; a name may stand twice.
///
/// Borrows from the text what is not escaped there. More than [`MAX_PAIRS`] pairs are refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JsonPairs<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl JsonPairs<'_> {
    /// Returns the pairs, in the order of the object.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for JsonPairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor)
    }
}

/// A string that is borrowed where it can be: a plain `Cow` never is.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = JsonPairs<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<JsonPairs<'de>, A::Error> {
        let mut pairs = Vec::new();
        while let Some((Text(name), Text(value))) = object.next_entry()? {
            if pairs.len() >= MAX_PAIRS {
                return Err(A::Error::custom("too many pairs"));
            }
            pairs.push((name, value));
        }
        Ok(JsonPairs(pairs))
    }
}

/// Appends labels as Loki's parser reads them: `{a="x", b="y"}`, values quoted as Go quotes them.
pub fn put_selector<'a>(text: &mut String, labels: impl Iterator<Item = (&'a str, &'a str)>) {
    text.push('{');
    for (index, (name, value)) in labels.enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        text.push_str(name);
        text.push('=');
        put_quoted(text, value);
    }
    text.push('}');
}

/// Quotes a value as `strconv.Quote` of Go does.
///
/// A character that cannot be printed is escaped by its number. Which those are depends on the Unicode
/// tables of a version; the value that a parser reads does not.
fn put_quoted(text: &mut String, value: &str) {
    text.push('"');
    for char in value.chars() {
        match char {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{7}' => text.push_str("\\a"),
            '\u{8}' => text.push_str("\\b"),
            '\u{B}' => text.push_str("\\v"),
            '\u{C}' => text.push_str("\\f"),
            ' '..='~' => text.push(char),
            _ if char.is_ascii() => put_number(text, "\\x", 2, char),
            _ if is_printable(char) => text.push(char),
            '\u{80}'..='\u{FFFF}' => put_number(text, "\\u", 4, char),
            _ => put_number(text, "\\U", 8, char),
        }
    }
    text.push('"');
}

fn put_number(text: &mut String, prefix: &str, digits: usize, char: char) {
    let number = u32::from(char);
    write!(text, "{prefix}{number:0digits$x}").expect("writing to a string cannot fail");
}

/// Rust's `Debug` escapes what is not printable, as Go does.
fn is_printable(char: char) -> bool {
    char.escape_debug().count() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(pairs: &[(&str, &str)]) -> String {
        let mut text = String::new();
        put_selector(&mut text, pairs.iter().copied());
        text
    }

    #[test]
    fn values_are_quoted_as_go_quotes_them() {
        assert_eq!(selector(&[]), "{}");
        assert_eq!(selector(&[("a", "x"), ("b", "y z")]), r#"{a="x", b="y z"}"#);
        assert_eq!(
            selector(&[("a", "\"\\\n\r\t\u{7}\u{8}\u{B}\u{C}")]),
            r#"{a="\"\\\n\r\t\a\b\v\f"}"#
        );
        assert_eq!(
            selector(&[("a", "\u{0}\u{7F}\u{85}é日\u{200B}\u{E0001}")]),
            r#"{a="\x00\x7f\u0085é日\u200b\U000e0001"}"#
        );
    }

    #[test]
    fn an_object_is_read_in_its_order_and_copied_only_where_it_is_escaped() {
        let pairs: JsonPairs<'_> =
            serde_json::from_str(r#"{"b":"x","a":"\u00e9\n","b":""}"#).unwrap();
        assert_eq!(
            pairs.iter().collect::<Vec<_>>(),
            [("b", "x"), ("a", "é\n"), ("b", "")]
        );
        let copied: Vec<bool> = pairs
            .0
            .iter()
            .map(|(_, value)| matches!(value, Cow::Owned(_)))
            .collect();
        assert_eq!(copied, [false, true, false]);
    }

    #[test]
    fn anything_but_a_bounded_object_of_strings_is_refused() {
        for text in ["[]", r#"{"a":1}"#, r#"{"a":null}"#, r#"{"a":{}}"#, "null"] {
            assert!(
                serde_json::from_str::<JsonPairs<'_>>(text).is_err(),
                "{text}"
            );
        }
        let object = |pairs: usize| format!("{{{}}}", vec![r#""":"""#; pairs].join(","));
        let read = |text: &str| serde_json::from_str::<JsonPairs<'_>>(text).map(|_| ());
        assert!(read(&object(MAX_PAIRS)).is_ok());
        assert!(read(&object(MAX_PAIRS + 1)).is_err());
    }
}
