//! Label sets as text, rendered once for the last few streams.

use std::fmt::Write as _;

use tailwater_record::LabelSet;

/// Streams whose text is kept: more than the files that one turn over quiet files interleaves, and few
/// enough to be compared one by one.
const MAX_CACHED: usize = 32;

/// The text of the label sets that were asked for last.
pub(crate) struct LabelCache {
    render: fn(&LabelSet) -> Vec<u8>,
    rendered: Vec<(LabelSet, Vec<u8>)>,
    /// The entry that is replaced next.
    oldest: usize,
}

impl LabelCache {
    /// Keeps what `render` makes of a label set.
    pub(crate) fn new(render: fn(&LabelSet) -> Vec<u8>) -> Self {
        Self {
            render,
            rendered: Vec::new(),
            oldest: 0,
        }
    }

    /// Returns the text of `labels`.
    pub(crate) fn get(&mut self, labels: &LabelSet) -> &[u8] {
        let known = self
            .position(|known| known.is_same(labels))
            .or_else(|| self.position(|known| known == labels));
        let index = known.unwrap_or_else(|| self.insert(labels));
        self.rendered.get(index).map_or(&[], |(_, text)| text)
    }

    fn position(&self, is_wanted: impl Fn(&LabelSet) -> bool) -> Option<usize> {
        self.rendered.iter().position(|(known, _)| is_wanted(known))
    }

    fn insert(&mut self, labels: &LabelSet) -> usize {
        let entry = (labels.clone(), (self.render)(labels));
        let index = self.oldest;
        self.oldest = (index + 1) % MAX_CACHED;
        if let Some(slot) = self.rendered.get_mut(index) {
            *slot = entry;
        } else {
            self.rendered.push(entry);
        }
        index
    }
}

/// Appends labels as Loki's parser reads them: `{a="x", b="y"}`, values quoted as Go quotes them.
pub(crate) fn put_selector<'a>(
    text: &mut String,
    labels: impl Iterator<Item = (&'a str, &'a str)>,
) {
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
    fn label_sets_are_rendered_once_and_the_oldest_gives_way() {
        let set = |index: usize| LabelSet::new([("n", index.to_string())]).unwrap();
        let mut cache = LabelCache::new(|labels| labels.get("n").unwrap().as_bytes().to_vec());
        for index in 0..=MAX_CACHED {
            assert_eq!(cache.get(&set(index)), index.to_string().as_bytes());
        }
        assert_eq!(cache.rendered.len(), MAX_CACHED);
        assert!(cache.position(|known| *known == set(0)).is_none());
        assert_eq!(cache.get(&set(1)), b"1");
        assert!(cache.position(|known| *known == set(1)).is_some());
        assert_eq!(cache.oldest, 1, "an equal set is found, not rendered again");
    }
}
