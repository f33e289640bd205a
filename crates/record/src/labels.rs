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

#[derive(Debug)]
struct Inner {
    pairs: Vec<(Box<str>, Box<str>)>,
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
        N: Into<Box<str>>,
        V: Into<Box<str>>,
    {
        let mut pairs: Vec<(Box<str>, Box<str>)> = pairs
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        pairs.sort();
        if let Some((name, _)) = pairs.iter().find(|(name, _)| !is_valid_name(name)) {
            return Err(LabelError::InvalidName(name.to_string()));
        }
        let twice = pairs
            .iter()
            .zip(pairs.iter().skip(1))
            .find(|((a, _), (b, _))| a == b);
        if let Some(((name, _), _)) = twice {
            return Err(LabelError::DuplicateName(name.to_string()));
        }
        let mut hasher = Xxh3::new();
        pairs.hash(&mut hasher);
        let hash = hasher.digest();
        Ok(Self(Arc::new(Inner { pairs, hash })))
    }

    /// Returns the pairs in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.pairs.iter().map(|(name, value)| (&**name, &**value))
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
        self.is_same(other) || (self.0.hash == other.0.hash && self.0.pairs == other.0.pairs)
    }
}

impl Eq for LabelSet {}

impl Hash for LabelSet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash.hash(state);
    }
}

fn is_valid_name(name: &str) -> bool {
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
    fn bad_and_repeated_names_are_refused_by_name() {
        let bad = LabelSet::new([("9job", "x")]).unwrap_err();
        assert_eq!(bad, LabelError::InvalidName("9job".into()));
        let twice = LabelSet::new([("a", "x"), ("a", "y")]).unwrap_err();
        assert_eq!(twice, LabelError::DuplicateName("a".into()));
    }
}
