//! Label sets as text, rendered once for the last few streams.

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

#[cfg(test)]
mod tests {
    use super::*;

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
