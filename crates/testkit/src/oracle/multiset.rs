//! Lines that carry no number: those of real programs.

use std::collections::BTreeMap;
use std::fmt;

use super::{Findings, excerpt};

/// How two collections of lines differ, whatever their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MultisetVerdict {
    /// Lines that were expected.
    pub expected: u64,
    /// Lines that were expected more often than they were found.
    pub missing: Findings,
    /// Lines that were found more often than they were expected.
    pub extra: Findings,
}

/// Compares lines as a multiset: each must be found as often as it is expected.
pub fn compare_multisets<'a>(
    expected: impl IntoIterator<Item = &'a [u8]>,
    found: impl IntoIterator<Item = &'a [u8]>,
) -> MultisetVerdict {
    let mut counts: BTreeMap<&[u8], (u64, u64)> = BTreeMap::new();
    let mut verdict = MultisetVerdict::default();
    for line in expected {
        counts.entry(line).or_default().0 += 1;
        verdict.expected += 1;
    }
    for line in found {
        counts.entry(line).or_default().1 += 1;
    }
    for (line, (expected, found)) in counts {
        let describe = || format!("{} found {found} times, not {expected}", excerpt(line));
        verdict
            .missing
            .push_many(expected.saturating_sub(found), describe);
        verdict
            .extra
            .push_many(found.saturating_sub(expected), describe);
    }
    verdict
}

impl MultisetVerdict {
    /// Asserts that every line was found as often as it was expected, and that there was one.
    ///
    /// # Panics
    /// Lines are missing or extra, or none was expected; shows the verdict.
    #[track_caller]
    pub fn assert_equal(&self) {
        assert!(self.expected > 0, "no line was expected");
        let is_equal = self.missing.count == 0 && self.extra.count == 0;
        assert!(is_equal, "not the same lines:\n{self}");
    }
}

impl fmt::Display for MultisetVerdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{} lines expected", self.expected)?;
        self.missing.write_unless_empty(formatter, "missing")?;
        self.extra.write_unless_empty(formatter, "extra")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(expected: &[&str], found: &[&str]) -> MultisetVerdict {
        compare_multisets(
            expected.iter().map(|line| line.as_bytes()),
            found.iter().map(|line| line.as_bytes()),
        )
    }

    #[test]
    fn the_order_of_lines_does_not_matter_but_their_number_does() {
        compare(&["a", "b", "a"], &["b", "a", "a"]).assert_equal();
        let verdict = compare(&["a", "a", "b"], &["a", "c", "c"]);
        assert_eq!((verdict.missing.count, verdict.extra.count), (2, 2));
        let shown = verdict.to_string();
        assert!(
            shown.contains("\"a\" (1 bytes) found 1 times, not 2"),
            "{shown}"
        );
    }
}
