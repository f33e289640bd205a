//! Words that may have been meant.

/// Returns the valid word that is nearest to `written`, if one is near enough to be meant.
pub fn nearest<'a>(written: &str, valid: &[&'a str]) -> Option<&'a str> {
    let near = |word: &&str| {
        written.len() <= MAX_WORD_BYTES
            && distance(written, word) <= 1 + word.len().min(written.len()) / 3
    };
    let by_distance = valid.iter().copied().filter(near);
    by_distance
        .min_by_key(|word| distance(written, word))
        .or_else(|| {
            let holds = |word: &&str| {
                written.len() >= 4 && (word.contains(written) || written.contains(word))
            };
            valid.iter().copied().find(holds)
        })
}

/// Longer words are near to none of ours: to compare them all takes long, and shows nothing.
pub(crate) const MAX_WORD_BYTES: usize = 64;

/// Returns how many letters must be added, removed, changed, or swapped with the next one.
pub(crate) fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    let mut previous = None;
    for (row, letter) in from.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in to.iter().enumerate() {
            let cell = |line: &[usize], back: usize| {
                (column + 1)
                    .checked_sub(back)
                    .and_then(|at| line.get(at))
                    .copied()
            };
            let changed = cell(&last, 1).map(|cost| cost + usize::from(letter != *other));
            let inserted = cell(&current, 1).map(|cost| cost + 1);
            let removed = cell(&last, 0).map(|cost| cost + 1);
            let before = column.checked_sub(1).and_then(|at| to.get(at));
            let is_swap = previous == Some(*other) && before == Some(&letter);
            let swapped = cell(&before_last, 2)
                .filter(|_| is_swap)
                .map(|cost| cost + 1);
            let cheapest = [changed, inserted, removed, swapped]
                .into_iter()
                .flatten()
                .min();
            current.push(cheapest.unwrap_or(usize::MAX));
        }
        before_last = last;
        last = current;
        previous = Some(letter);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_of_words_counts_letters_and_swaps() {
        assert_eq!(distance("lables", "labels"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
        assert_eq!(distance("inclde", "include"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn the_nearest_word_is_one_that_may_be_meant() {
        let valid = ["include", "exclude", "labels", "sinks", "bearer_token"];
        assert_eq!(nearest("includes", &valid), Some("include"));
        assert_eq!(nearest("lables", &valid), Some("labels"));
        assert_eq!(nearest("token", &valid), Some("bearer_token"));
        assert_eq!(nearest("zebra", &valid), None);
        // A text in one word, which once took seconds.
        assert_eq!(nearest(&"lable".repeat(1 << 17), &valid), None);
    }
}
