//! Label sets that were made before are found again, not made again.

use std::collections::HashMap;

use tailwater_record::LabelSet;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes of one set above which it is not kept.
const MAX_KEPT_SET_BYTES: usize = 64 << 10;

/// Label sets by the hash of their pairs.
#[derive(Clone, Debug)]
pub(crate) struct Interner {
    sets: HashMap<u64, LabelSet>,
    bytes: usize,
    max_bytes: usize,
}

/// Hashes pairs in the order of their names.
pub(crate) fn hash_pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> u64 {
    pairs.fold(0, |hash, (name, value)| {
        xxh3_64_with_seed(value.as_bytes(), xxh3_64_with_seed(name.as_bytes(), hash))
    })
}

impl Interner {
    /// Keeps sets of at most so many bytes.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            sets: HashMap::new(),
            bytes: 0,
            max_bytes,
        }
    }

    /// Returns the set of these pairs, which are sorted by name and have distinct names.
    ///
    /// Pairs whose name is no label name are left out.
    pub(crate) fn intern<'a>(
        &mut self,
        pairs: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    ) -> LabelSet {
        let hash = hash_pairs(pairs.clone());
        if let Some(known) = self.sets.get(&hash)
            && has_pairs(known, pairs.clone())
        {
            return known.clone();
        }
        self.make(hash, pairs)
    }

    #[cold]
    fn make<'a>(
        &mut self,
        hash: u64,
        pairs: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    ) -> LabelSet {
        let bytes: usize = pairs
            .clone()
            .map(|(name, value)| name.len() + value.len() + 64)
            .sum();
        let set = LabelSet::new(pairs.clone())
            .or_else(|_| LabelSet::new(pairs.filter(|(name, _)| is_label_name(name))))
            .unwrap_or_else(|_| empty());
        if bytes > MAX_KEPT_SET_BYTES {
            return set;
        }
        if self.bytes + bytes > self.max_bytes {
            self.sets.clear();
            self.bytes = 0;
        }
        self.bytes += bytes;
        self.sets.insert(hash, set.clone());
        set
    }
}

fn has_pairs<'a>(set: &LabelSet, mut pairs: impl Iterator<Item = (&'a str, &'a str)>) -> bool {
    let all_equal = set
        .iter()
        .all(|(name, value)| pairs.next() == Some((name, value)));
    all_equal && pairs.next().is_none()
}

fn empty() -> LabelSet {
    LabelSet::new(std::iter::empty::<(&str, &str)>()).expect("no pair can be refused")
}

/// Returns whether a name matches `[a-zA-Z_][a-zA-Z0-9_]*`.
pub(crate) fn is_label_name(name: &str) -> bool {
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
    fn equal_pairs_are_the_same_set() {
        let mut interner = Interner::new(1 << 20);
        let one = interner.intern([("a", "x"), ("b", "y")].into_iter());
        let two = interner.intern([("a", "x"), ("b", "y")].into_iter());
        assert!(one.is_same(&two));
        let other = interner.intern([("a", "xb"), ("b", "")].into_iter());
        assert_ne!(one, other);
    }

    #[test]
    fn kept_sets_stay_within_the_bound() {
        let mut interner = Interner::new(1000);
        for number in 0..1000 {
            interner.intern([("a", number.to_string().as_str())].into_iter());
            assert!(interner.bytes <= 1000 && interner.sets.len() <= 1000 / 64);
        }
        let large = "x".repeat(MAX_KEPT_SET_BYTES);
        let before = interner.bytes;
        assert_eq!(
            interner
                .intern([("a", large.as_str())].into_iter())
                .get("a"),
            Some(&*large)
        );
        assert_eq!(interner.bytes, before);
    }
}
