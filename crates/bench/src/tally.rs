//! What makes completeness checkable: a sum over lines that does not depend on their order.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// The lines of a file or of all requests so far.
///
/// Two tallies are equal when both counted the same lines the same number of times, whatever the
/// order; a lost, repeated, cut or changed line makes them differ (but for a collision of 64 bits).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// How many lines.
    pub lines: u64,
    /// Their bytes, without delimiters.
    pub line_bytes: u64,
    /// The sum of their XXH3 hashes, modulo 2^64.
    pub hash: u64,
}

impl Tally {
    /// Counts one line, without its delimiter.
    pub(crate) fn add(&mut self, line: &[u8]) {
        let line_bytes = u64::try_from(line.len()).unwrap_or(u64::MAX);
        self.lines = self.lines.saturating_add(1);
        self.line_bytes = self.line_bytes.saturating_add(line_bytes);
        self.hash = self.hash.wrapping_add(xxh3_64(line));
    }

    /// Counts the lines of another tally too.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.lines = self.lines.saturating_add(other.lines);
        self.line_bytes = self.line_bytes.saturating_add(other.line_bytes);
        self.hash = self.hash.wrapping_add(other.hash);
    }

    /// Says how these lines differ from the `expected` ones; `None` when they are the same.
    pub(crate) fn difference(&self, expected: &Self) -> Option<String> {
        if self == expected {
            None
        } else if self.lines < expected.lines {
            Some(format!("{} lines missing", expected.lines - self.lines))
        } else if self.lines > expected.lines {
            Some(format!("{} lines too many", self.lines - expected.lines))
        } else {
            Some("lines changed".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lines: &[&[u8]]) -> Tally {
        let mut tally = Tally::default();
        for line in lines {
            tally.add(line);
        }
        tally
    }

    #[test]
    fn order_does_not_matter_and_merging_is_adding() {
        let mut split = tally(&[b"c"]);
        split.merge(&tally(&[b"a", b"b"]));
        assert_eq!(tally(&[b"a", b"b", b"c"]), split);
    }

    #[test]
    fn a_repeated_line_does_not_hide_a_missing_one() {
        let expected = tally(&[b"a", b"b"]);
        assert_eq!(
            tally(&[b"a", b"a"]).difference(&expected),
            Some("lines changed".to_owned())
        );
        assert_eq!(
            tally(&[b"a"]).difference(&expected),
            Some("1 lines missing".to_owned())
        );
        let repeated = tally(&[b"a", b"b", b"b"]);
        assert_eq!(
            repeated.difference(&expected),
            Some("1 lines too many".to_owned())
        );
        assert_eq!(tally(&[b"b", b"a"]).difference(&expected), None);
    }
}
