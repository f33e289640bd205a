//! Writing YAML: in one order, quoted where another reader could take it for something else.

use tailwater_yaml::{Node, NodeKind, Scalar, is_secret_name};

/// What a text is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The native loader, which puts variables in: dollar signs are kept from it.
    Native,
    /// People, as Promtail shows a configuration: secrets are hidden.
    Shown,
}

/// What stands for a secret. Source: Promtail prints this word.
pub(crate) const SECRET: &str = "<secret>";

/// Keys of stages whose values are booleans, for which YAML 1.1 has more words.
const BOOLEAN_KEYS: [&str; 9] = [
    "drop_malformed",
    "match_all",
    "count_entry_bytes",
    "ingest_timestamp",
    "drop",
    "max_partial_line_size_truncate",
    "drop_invalid_labels",
    "overwrite_existing",
    "insecure_skip_verify",
];

/// A document, or a part of one.
#[derive(Clone, Debug)]
pub(crate) enum Doc {
    /// Written already.
    Scalar(String),
    /// Nothing.
    Null,
    List(Vec<Doc>),
    Map(Vec<Item>),
}

/// A key, its value, and what is said above it.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) comments: Vec<String>,
    pub(crate) key: String,
    pub(crate) value: Doc,
}

/// Builds a map.
#[derive(Clone, Debug, Default)]
pub(crate) struct Map {
    items: Vec<Item>,
    comments: Vec<String>,
}

impl Map {
    /// Says something above the next key.
    pub(crate) fn comment(&mut self, comment: impl Into<String>) {
        self.comments.push(comment.into());
    }

    /// Adds a key.
    pub(crate) fn put(&mut self, key: &str, value: Doc) {
        self.items.push(Item {
            comments: std::mem::take(&mut self.comments),
            key: key.to_owned(),
            value,
        });
    }

    /// Adds a key with a number, a boolean, a duration or a size.
    pub(crate) fn plain(&mut self, key: &str, value: impl std::fmt::Display) {
        self.put(key, Doc::Scalar(value.to_string()));
    }

    /// Adds a key where there is a value for it.
    pub(crate) fn plain_if(&mut self, key: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.plain(key, value);
        }
    }

    /// Adds a key with a text for the native loader.
    pub(crate) fn text(&mut self, key: &str, value: &str) {
        self.put(key, Doc::Scalar(text(value, Purpose::Native)));
    }

    /// Returns whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(crate) fn into_doc(self) -> Doc {
        Doc::Map(self.items)
    }
}

impl Doc {
    /// Takes over what was written, all of it and in its order.
    pub(crate) fn of(node: &Node, purpose: Purpose) -> Self {
        Self::of_key("", node, purpose)
    }

    fn of_key(key: &str, node: &Node, purpose: Purpose) -> Self {
        match &node.kind {
            NodeKind::Null => Self::Null,
            _ if purpose == Purpose::Shown && key != "key" && is_secret_name(key) => {
                Self::Scalar(SECRET.to_owned())
            }
            NodeKind::Scalar(scalar) => Self::Scalar(written(key, scalar, purpose)),
            NodeKind::List(nodes) => {
                Self::List(nodes.iter().map(|node| Self::of(node, purpose)).collect())
            }
            NodeKind::Map(entries) => {
                let items = entries.iter().map(|entry| Item {
                    comments: Vec::new(),
                    key: entry.name.clone(),
                    value: Self::of_key(&entry.name, &entry.node, purpose),
                });
                Self::Map(items.collect())
            }
        }
    }

    /// Makes a map of names and texts.
    pub(crate) fn pairs<'p>(
        pairs: impl IntoIterator<Item = (&'p str, &'p str)>,
        purpose: Purpose,
    ) -> Self {
        let items = pairs.into_iter().map(|(name, value)| Item {
            comments: Vec::new(),
            key: name.to_owned(),
            value: Self::Scalar(text(value, purpose)),
        });
        Self::Map(items.collect())
    }

    /// Makes a list of texts.
    pub(crate) fn texts<'t>(texts: impl IntoIterator<Item = &'t str>, purpose: Purpose) -> Self {
        let texts = texts
            .into_iter()
            .map(|one| Self::Scalar(text(one, purpose)));
        Self::List(texts.collect())
    }

    /// Writes it, with a newline at its end.
    pub(crate) fn render(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, 0);
        out
    }

    fn is_inline(&self) -> bool {
        match self {
            Self::Scalar(_) | Self::Null => true,
            Self::List(docs) => docs.is_empty(),
            Self::Map(items) => items.is_empty(),
        }
    }

    fn inline(&self) -> &str {
        match self {
            Self::Scalar(text) => text,
            Self::Null => "null",
            Self::List(_) => "[]",
            Self::Map(_) => "{}",
        }
    }

    /// Writes lines that begin at an indentation; the first has it already.
    fn write(&self, out: &mut String, indent: usize) {
        match self {
            Self::List(docs) if !docs.is_empty() => {
                for (index, doc) in docs.iter().enumerate() {
                    if index > 0 {
                        pad(out, indent);
                    }
                    out.push_str("- ");
                    doc.write(out, indent + 2);
                }
            }
            Self::Map(items) if !items.is_empty() => {
                for (index, item) in items.iter().enumerate() {
                    item.write(out, indent, index == 0);
                }
            }
            Self::Scalar(_) | Self::Null | Self::List(_) | Self::Map(_) => {
                out.push_str(self.inline());
                out.push('\n');
            }
        }
    }
}

impl Item {
    fn write(&self, out: &mut String, indent: usize, is_first: bool) {
        let mut is_started = is_first;
        let mut start = |out: &mut String| {
            if !std::mem::take(&mut is_started) {
                pad(out, indent);
            }
        };
        for comment in &self.comments {
            start(out);
            out.push_str("# ");
            out.extend(
                comment
                    .chars()
                    .map(|letter| if letter.is_control() { ' ' } else { letter }),
            );
            out.push('\n');
        }
        start(out);
        out.push_str(&text(&self.key, Purpose::Shown));
        out.push(':');
        if self.value.is_inline() {
            out.push(' ');
            out.push_str(self.value.inline());
            out.push('\n');
        } else {
            out.push('\n');
            pad(out, indent + 2);
            self.value.write(out, indent + 2);
        }
    }
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// Writes a value as it was: what was a number or a boolean stays one.
fn written(key: &str, scalar: &Scalar, purpose: Purpose) -> String {
    if BOOLEAN_KEYS.contains(&key)
        && let Some(value) = scalar.old_boolean()
    {
        return value.to_string();
    }
    let is_simple = |letter: char| letter.is_ascii_alphanumeric() || "+-._".contains(letter);
    let is_first = |letter: char| letter.is_ascii_alphanumeric() || "+-._".contains(letter);
    let value = &scalar.value;
    let is_kept = scalar.is_plain
        && value.starts_with(is_first)
        && value.chars().all(is_simple)
        && !["-", "--", "---", "..."].contains(&value.as_str());
    if is_kept {
        value.clone()
    } else {
        text(value, purpose)
    }
}

/// Writes a text so that every YAML reader takes it for one.
pub(crate) fn text(value: &str, purpose: Purpose) -> String {
    let value = match purpose {
        Purpose::Native => without_variables(value),
        Purpose::Shown => value.to_owned(),
    };
    if is_plain(&value) || (purpose == Purpose::Shown && value == SECRET) {
        value
    } else if value.chars().any(is_escaped) {
        double_quoted(&value)
    } else {
        format!("'{}'", value.replace('\'', "''"))
    }
}

/// Keeps dollar signs from the native loader, where it would take them for more.
fn without_variables(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut letters = value.chars().peekable();
    while let Some(letter) = letters.next() {
        out.push(letter);
        if letter == '$' && matches!(letters.peek(), Some('$' | '{')) {
            out.push('$');
        }
    }
    out
}

fn is_plain(value: &str) -> bool {
    const WORDS: [&str; 11] = [
        "true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf",
    ];
    let is_first = |letter: char| letter.is_ascii_alphabetic() || "_/".contains(letter);
    let is_simple = |letter: char| letter.is_ascii_alphanumeric() || "_/.-".contains(letter);
    value.starts_with(is_first)
        && value.chars().all(is_simple)
        && !WORDS.contains(&value.to_ascii_lowercase().as_str())
}

/// Returns whether a letter needs an escape: YAML folds or forbids it.
fn is_escaped(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{85}')
}

fn escape(letter: char) -> String {
    format!("\\u{:04x}", u32::from(letter))
}

fn double_quoted(value: &str) -> String {
    let mut out = String::from("\"");
    for letter in value.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            letter if is_escaped(letter) => out.push_str(&escape(letter)),
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}
