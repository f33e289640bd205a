//! Label sets: the identity of a stream.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

/// Names and values that identify a stream, sorted by name; cheap to clone and to compare.
///
/// # Invariants
/// Names are distinct, match `[a-zA-Z_][a-zA-Z0-9_]*`, and are sorted by byte value.
#[derive(Clone, Debug)]
pub struct LabelSet(Arc<Inner>);

/// One text for all of them: there may be a set for each of many thousands of files.
#[derive(Debug)]
struct Inner {
    /// Each name and its value, without anything between them.
    text: Box<str>,
    /// Bytes of each name and of its value.
    lens: Box<[(usize, usize)]>,
    hash: u64,
}

/// Why a label set was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelError {
    /// A name does not match `[a-zA-Z_][a-zA-Z0-9_]*`.
    InvalidName(String),
    /// A name stands twice.
    DuplicateName(String),
}

impl fmt::Display for LabelError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidName(name) => {
                write!(
                    formatter,
                    "invalid label name `{name}`: use letters, digits and `_`, not starting with a digit"
                )
            }
            Self::DuplicateName(name) => write!(formatter, "label `{name}` is given twice"),
        }
    }
}

impl std::error::Error for LabelError {}

impl LabelSet {
    /// Sorts and checks the pairs.
    ///
    /// # Errors
    /// [`LabelError`] where a name is not valid or stands twice.
    pub fn new<N, V>(pairs: impl IntoIterator<Item = (N, V)>) -> Result<Self, LabelError>
    where
        N: AsRef<str>,
        V: AsRef<str>,
    {
        let pairs: Vec<(N, V)> = pairs.into_iter().collect();
        let pairs = pairs.iter();
        Self::of(
            pairs
                .map(|(name, value)| (name.as_ref(), value.as_ref()))
                .collect(),
        )
    }

    fn of(mut pairs: Vec<(&str, &str)>) -> Result<Self, LabelError> {
        pairs.sort_unstable();
        if let Some((name, _)) = pairs.iter().find(|(name, _)| !is_label_name(name)) {
            return Err(LabelError::InvalidName((*name).to_owned()));
        }
        let twice = pairs
            .iter()
            .zip(pairs.iter().skip(1))
            .find(|((a, _), (b, _))| a == b);
        if let Some(((name, _), _)) = twice {
            return Err(LabelError::DuplicateName((*name).to_owned()));
        }
        let parts = pairs.iter().flat_map(|(name, value)| [*name, *value]);
        let text: Box<str> = parts.collect::<String>().into();
        let lens = pairs.iter().map(|(name, value)| (name.len(), value.len()));
        let lens: Box<[(usize, usize)]> = lens.collect();
        let mut hasher = Xxh3::new();
        (&text, &lens).hash(&mut hasher);
        let hash = hasher.digest();
        Ok(Self(Arc::new(Inner { text, lens, hash })))
    }

    /// Returns the pairs in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut rest = &*self.0.text;
        let mut take = move |len| {
            let (taken, after) = rest.split_at_checked(len).unwrap_or((rest, ""));
            rest = after;
            taken
        };
        let lens = self.0.lens.iter();
        lens.map(move |(name, value)| (take(*name), take(*value)))
    }

    /// Returns the value of a label.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    /// Returns whether both are the same allocation: the cheap test on the path of a line.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl PartialEq for LabelSet {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other)
            || (self.0.hash == other.0.hash
                && self.0.lens == other.0.lens
                && self.0.text == other.0.text)
    }
}

impl Eq for LabelSet {}

impl Hash for LabelSet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash.hash(state);
    }
}

/// Returns whether a name matches `[a-zA-Z_][a-zA-Z0-9_]*`, as those of a [`LabelSet`] do.
pub fn is_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first_fits = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    first_fits && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_sets_are_equal_whatever_the_order_they_were_written_in() {
        let one = LabelSet::new([("job", "nginx"), ("host", "a")]).unwrap();
        let two = LabelSet::new([("host", "a"), ("job", "nginx")]).unwrap();
        assert_eq!(one, two);
        assert!(!one.is_same(&two));
        assert_eq!(
            one.iter().collect::<Vec<_>>(),
            [("host", "a"), ("job", "nginx")]
        );
    }

    #[test]
    fn names_and_values_are_told_apart_wherever_they_end() {
        let set = |pairs: &[(&str, &str)]| LabelSet::new(pairs.iter().copied()).unwrap();
        let one = set(&[("a", "bc"), ("d", "\u{e9}")]);
        assert_eq!(
            one.iter().collect::<Vec<_>>(),
            [("a", "bc"), ("d", "\u{e9}")]
        );
        assert_eq!(one.get("d"), Some("\u{e9}"));
        assert_eq!(one.get("ab"), None);
        assert_ne!(one, set(&[("ab", "c"), ("d", "\u{e9}")]));
        assert_ne!(set(&[("a", ""), ("b", "")]), set(&[("a", "b")]));
        assert_eq!(set(&[]).iter().count(), 0);
    }

    #[test]
    fn bad_and_repeated_names_are_refused_by_name() {
        let bad = LabelSet::new([("9job", "x")]).unwrap_err();
        assert_eq!(bad, LabelError::InvalidName("9job".into()));
        let twice = LabelSet::new([("a", "x"), ("a", "y")]).unwrap_err();
        assert_eq!(twice, LabelError::DuplicateName("a".into()));
    }
}
