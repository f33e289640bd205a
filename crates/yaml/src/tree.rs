//! The configuration as written: a tree of values, each with its place in the file.
//!
//! The tree stands between the YAML reader and the typed structs. It is where variables are expanded
//! (after parsing, so that a value cannot change the structure), and where a path like
//! `sources.nginx.include[0]` is turned back into a line and a column.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

/// Where a value or a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Counted from 1; 0 for nowhere.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// Its length in characters, as far as it is known.
    pub width: usize,
    /// Its first byte in the text.
    pub start: usize,
    /// The byte after its last in the text.
    pub end: usize,
}

impl Place {
    pub(crate) fn of(location: Location) -> Self {
        let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        let span = location.span();
        let start = span.byte_offset().map_or(0, number);
        Self {
            line: number(location.line()),
            column: number(location.column()),
            width: number(span.len()),
            start,
            end: start.saturating_add(span.byte_len().map_or(0, number)),
        }
    }
}

/// One value.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it stands.
    pub place: Place,
    /// What it is.
    pub kind: NodeKind,
}

/// What a value is.
#[derive(Clone, Debug)]
pub enum NodeKind {
    /// Nothing: `~`, `null`, or a key without a value.
    Null,
    /// Text, a number, or a boolean: which of them is for the reader to say.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the file. The reader has refused keys that stand twice.
    Map(Vec<Entry>),
}

/// A single value.
#[derive(Clone)]
pub struct Scalar {
    /// As it is in the file, quotes and escapes resolved, variables not expanded: may be shown.
    pub written: String,
    /// With variables expanded: never shown.
    pub value: String,
    /// Without quotes, so it may be a number or a boolean.
    pub is_plain: bool,
    /// Whether `yes`, `no`, `on` and `off` are booleans where a boolean is wanted, as in YAML 1.1.
    pub takes_old_booleans: bool,
}

impl fmt::Debug for Scalar {
    /// Shows what the file says, never what variables hold.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.written, formatter)
    }
}

impl Scalar {
    /// Returns whether the value is not what the file says.
    pub fn is_expanded(&self) -> bool {
        self.written != self.value
    }

    /// Returns the boolean that the word is in YAML 1.1, where that counts.
    pub fn old_boolean(&self) -> Option<bool> {
        if !(self.takes_old_booleans && self.is_plain) {
            return None;
        }
        match self.value.as_str() {
            "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "True" | "TRUE" => Some(true),
            "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "False" | "FALSE" => {
                Some(false)
            }
            _ => None,
        }
    }

    /// Returns whether it may be read as a number or a boolean. A variable in quotes may: some
    /// places of YAML do not take it without.
    pub fn is_typed(&self) -> bool {
        self.is_plain || self.is_expanded()
    }
}

/// A key and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub name: String,
    /// Where the key stands.
    pub name_place: Place,
    /// The value.
    pub node: Node,
}

/// A step from a value to one inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// To the value of a key of a map.
    Key(String),
    /// To an element of a list, counted from 0.
    Index(usize),
}

/// The way from the top to a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPath(pub Vec<Step>);

impl KeyPath {
    /// Returns the path of a key of this value.
    #[must_use]
    pub fn key(&self, name: &str) -> Self {
        self.with(Step::Key(name.to_owned()))
    }

    /// Returns the path of an element of this list.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    /// Returns the path of `dotted`, as `tls.ca_file` or `[1].json.source`, below this value.
    #[must_use]
    pub fn dotted(&self, dotted: &str) -> Self {
        let steps = dotted.split(['.', '[']).filter(|step| !step.is_empty());
        steps.fold(self.clone(), |path, step| {
            let index = step.strip_suffix(']').and_then(|index| index.parse().ok());
            index.map_or_else(|| path.key(step), |index| path.index(index))
        })
    }

    fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(name) if position == 0 => formatter.write_str(name)?,
                Step::Key(name) => write!(formatter, ".{name}")?,
                Step::Index(index) => write!(formatter, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Which part of an entry an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Its key.
    Key,
    /// Its value.
    Value,
}

impl Node {
    /// Returns the place of the key or value at `path`, or of the nearest thing above it that is in
    /// the file. `None` for the whole file.
    pub fn place_of(&self, path: &KeyPath, part: Part) -> Option<Place> {
        let mut place = None;
        let mut node = self;
        for (step, is_last) in steps_of(path) {
            let (next, key_place) = match (&node.kind, step) {
                (NodeKind::Map(entries), Step::Key(name)) => {
                    let Some(entry) = entries.iter().find(|entry| entry.name == *name) else {
                        break;
                    };
                    (&entry.node, entry.name_place)
                }
                (NodeKind::List(nodes), Step::Index(index)) => {
                    let Some(next) = nodes.get(*index) else { break };
                    (next, next.place)
                }
                _ => break,
            };
            let is_value_wanted = is_last && part == Part::Value;
            place = Some(match &next.kind {
                NodeKind::Scalar(_) if is_value_wanted => next.place,
                NodeKind::Null | NodeKind::Scalar(_) | NodeKind::List(_) | NodeKind::Map(_) => {
                    key_place
                }
            });
            node = next;
        }
        place
    }

    /// Returns the value at `path`, if there is one.
    pub fn at(&self, path: &KeyPath) -> Option<&Self> {
        path.0
            .iter()
            .try_fold(self, |node, step| match (&node.kind, step) {
                (NodeKind::Map(entries), Step::Key(name)) => entries
                    .iter()
                    .find(|entry| entry.name == *name)
                    .map(|entry| &entry.node),
                (NodeKind::List(nodes), Step::Index(index)) => nodes.get(*index),
                _ => None,
            })
    }

    /// Lets `yes`, `no`, `on` and `off` be booleans where a boolean is wanted, as in YAML 1.1.
    pub fn take_old_booleans(&mut self) {
        self.for_each_scalar(&mut |scalar, _| scalar.takes_old_booleans = true);
    }

    /// Calls `visit` for every single value, in the order of the file.
    pub fn for_each_scalar(&mut self, visit: &mut dyn FnMut(&mut Scalar, Place)) {
        match &mut self.kind {
            NodeKind::Null => {}
            NodeKind::Scalar(scalar) => visit(scalar, self.place),
            NodeKind::List(nodes) => nodes
                .iter_mut()
                .for_each(|node| node.for_each_scalar(visit)),
            NodeKind::Map(entries) => {
                entries
                    .iter_mut()
                    .for_each(|entry| entry.node.for_each_scalar(visit));
            }
        }
    }
}

fn steps_of(path: &KeyPath) -> impl Iterator<Item = (&Step, bool)> {
    let last = path.0.len().saturating_sub(1);
    path.0
        .iter()
        .enumerate()
        .map(move |(index, step)| (step, index == last))
}

/// What the YAML reader gives: the tree before plain values are looked up in the text.
pub(crate) enum Parsed {
    Null,
    Text(String),
    /// Something that YAML calls a number or a boolean. Its text counts, for `1.10` may be a version.
    Typed,
    List(Vec<Spanned<Parsed>>),
    Map(Vec<(Spanned<String>, Spanned<Parsed>)>),
}

impl Parsed {
    /// Makes the tree; `text` is what was parsed.
    pub(crate) fn into_node(parsed: Spanned<Self>, text: &str) -> Node {
        let place = Place::of(parsed.defined);
        let raw = text.get(place.start..place.end).unwrap_or_default();
        let scalar = |written: String, is_plain| {
            NodeKind::Scalar(Scalar {
                value: written.clone(),
                written,
                is_plain,
                takes_old_booleans: false,
            })
        };
        let kind = match parsed.value {
            Self::Null => NodeKind::Null,
            Self::Typed => scalar(raw.to_owned(), true),
            Self::Text(written) => {
                let is_plain = !raw.starts_with(['"', '\'', '|', '>']);
                scalar(written, is_plain)
            }
            Self::List(nodes) => NodeKind::List(
                nodes
                    .into_iter()
                    .map(|node| Self::into_node(node, text))
                    .collect(),
            ),
            Self::Map(entries) => {
                let entry = |(name, node): (Spanned<String>, Spanned<Self>)| Entry {
                    name_place: Place::of(name.defined),
                    name: name.value,
                    node: Self::into_node(node, text),
                };
                NodeKind::Map(entries.into_iter().map(entry).collect())
            }
        };
        Node { place, kind }
    }
}

impl<'de> Deserialize<'de> for Parsed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ParsedVisitor)
    }
}

struct ParsedVisitor;

impl<'de> Visitor<'de> for ParsedVisitor {
    type Value = Parsed;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Parsed, E> {
        Ok(Parsed::Text(text.to_owned()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Parsed, E> {
        Ok(Parsed::Typed)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Parsed, E> {
        Ok(Parsed::Typed)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Parsed, E> {
        Ok(Parsed::Typed)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Parsed, E> {
        Ok(Parsed::Typed)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Parsed, E> {
        Ok(Parsed::Typed)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Parsed, E> {
        Ok(Parsed::Typed)
    }

    fn visit_unit<E>(self) -> Result<Parsed, E> {
        Ok(Parsed::Null)
    }

    fn visit_none<E>(self) -> Result<Parsed, E> {
        Ok(Parsed::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Parsed, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
        }
        Ok(Parsed::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parsed, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Parsed::Map(entries))
    }
}
