//! Label sets that were made before are found again, not made again.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use tailwater_record::LabelSet;
pub(crate) use tailwater_record::is_label_name;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes of one set above which it is not kept.
const MAX_KEPT_SET_BYTES: usize = 64 << 10;
/// Bytes that are reckoned for what stands around a set.
const SET_OVERHEAD_BYTES: usize = 128;

/// Hashes what is a hash itself, or a number. The start is random, so that no text can be made to
/// fall on others in a table.
#[derive(Clone, Debug)]
pub(crate) struct Mix(u64);

impl Default for Mix {
    fn default() -> Self {
        Self(RandomState::new().build_hasher().finish())
    }
}

impl BuildHasher for Mix {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        self.clone()
    }
}

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    fn write_u64(&mut self, number: u64) {
        // Both halves of a product depend on all bits of the factors.
        let product = u128::from(self.0 ^ number) * 0x9e37_79b9_7f4a_7c15;
        let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(0);
        self.0 = half(product) ^ half(product >> 64);
    }
}

/// Takes the hash that a label set has kept.
struct Kept(u64);

impl Hasher for Kept {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// Returns the hash of a label set; equal sets have equal ones.
pub(crate) fn hash_of(set: &LabelSet) -> u64 {
    let mut kept = Kept(0);
    set.hash(&mut kept);
    kept.finish()
}

/// What became of one label set: the answer for the next line, which mostly has the same labels.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memo(Option<(LabelSet, LabelSet)>);

impl Memo {
    /// Returns what becomes of a set, which is made where another one came last.
    pub(crate) fn get(
        &mut self,
        from: &LabelSet,
        make: impl FnOnce(&LabelSet) -> LabelSet,
    ) -> LabelSet {
        if let Some((known, to)) = &self.0
            && known.is_same(from)
        {
            return to.clone();
        }
        let to = make(from);
        self.0 = Some((from.clone(), to.clone()));
        to
    }
}

/// A label set with some labels set anew.
#[derive(Clone, Debug)]
struct Step {
    from: LabelSet,
    pairs: Vec<(Box<str>, Box<str>)>,
    to: LabelSet,
}

/// Label sets by the hash of their pairs, and by what they were made from.
#[derive(Clone, Debug)]
pub(crate) struct Interner {
    sets: HashMap<u64, LabelSet, Mix>,
    steps: HashMap<u64, Step, Mix>,
    seed: u64,
    bytes: usize,
    max_bytes: usize,
}

fn hash_pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a [u8])>, seed: u64) -> u64 {
    pairs.fold(seed, |hash, (name, value)| {
        xxh3_64_with_seed(value, xxh3_64_with_seed(name.as_bytes(), hash))
    })
}

impl Interner {
    /// Keeps sets of at most so many bytes.
    pub(crate) fn new(max_bytes: usize) -> Self {
        let sets = HashMap::default();
        Self {
            seed: Mix::default().0,
            sets,
            steps: HashMap::default(),
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
        let bytes = pairs.clone().map(|(name, value)| (name, value.as_bytes()));
        let hash = hash_pairs(bytes, self.seed);
        if let Some(known) = self.sets.get(&hash)
            && has_pairs(known, pairs.clone())
        {
            return known.clone();
        }
        self.make(hash, pairs)
    }

    /// Returns a set with some labels set anew; their names are distinct. A value that is not UTF-8
    /// sets none.
    pub(crate) fn with<'a>(
        &mut self,
        from: &LabelSet,
        pairs: impl Iterator<Item = (&'a str, &'a [u8])> + Clone,
    ) -> LabelSet {
        let hash = hash_pairs(pairs.clone(), self.seed ^ hash_of(from));
        if let Some(step) = self.steps.get(&hash)
            && step.from == *from
            && step.has(pairs.clone())
        {
            return step.to.clone();
        }
        self.step(hash, from, pairs)
    }

    #[cold]
    fn step<'a>(
        &mut self,
        hash: u64,
        from: &LabelSet,
        pairs: impl Iterator<Item = (&'a str, &'a [u8])> + Clone,
    ) -> LabelSet {
        let valid = |(name, value)| Some((name, std::str::from_utf8(value).ok()?));
        let set: Vec<(&str, &str)> = pairs.clone().filter_map(valid).collect();
        let stays = |name: &str| set.iter().all(|(other, _)| *other != name);
        let mut all: Vec<(&str, &str)> = from.iter().filter(|(name, _)| stays(name)).collect();
        all.extend(&set);
        all.sort_unstable();
        let to = self.intern(all.iter().copied());
        let bytes = cost(set.iter().copied());
        // One that left a value out would be no answer to the same pairs.
        if set.len() == pairs.count() && self.has_room(bytes) {
            let owned = |(name, value): &(&str, &str)| (Box::from(*name), Box::from(*value));
            let step = Step {
                from: from.clone(),
                pairs: set.iter().map(owned).collect(),
                to: to.clone(),
            };
            self.steps.insert(hash, step);
        }
        to
    }

    #[cold]
    fn make<'a>(
        &mut self,
        hash: u64,
        pairs: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    ) -> LabelSet {
        let bytes = cost(pairs.clone());
        let set = LabelSet::new(pairs.clone())
            .or_else(|_| LabelSet::new(pairs.filter(|(name, _)| is_label_name(name))))
            .unwrap_or_else(|_| empty());
        if self.has_room(bytes) {
            self.sets.insert(hash, set.clone());
        }
        set
    }

    /// Makes room for so many bytes; returns whether they are to be kept at all.
    fn has_room(&mut self, bytes: usize) -> bool {
        if bytes > MAX_KEPT_SET_BYTES.min(self.max_bytes) {
            return false;
        }
        if self.bytes + bytes > self.max_bytes {
            self.sets.clear();
            self.steps.clear();
            self.bytes = 0;
        }
        self.bytes += bytes;
        true
    }
}

impl Step {
    fn has<'a>(&self, mut pairs: impl Iterator<Item = (&'a str, &'a [u8])>) -> bool {
        let all_equal = self.pairs.iter().all(|(name, value)| {
            pairs
                .next()
                .is_some_and(|(other, bytes)| **name == *other && value.as_bytes() == bytes)
        });
        all_equal && pairs.next().is_none()
    }
}

/// Bytes that a set of pairs takes.
fn cost<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> usize {
    let pairs: usize = pairs
        .map(|(name, value)| name.len() + value.len() + 64)
        .sum();
    SET_OVERHEAD_BYTES + pairs
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
