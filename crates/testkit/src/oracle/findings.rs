//! What was found, and how often.

use std::fmt;

/// Findings that are described in a verdict; all are counted.
const MAX_SHOWN: usize = 10;

/// Findings of one kind: how many, and what the first ten are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// How many there are.
    pub count: u64,
    /// The first ten.
    pub first: Vec<String>,
}

impl Findings {
    pub(super) fn push(&mut self, describe: impl FnOnce() -> String) {
        self.push_many(1, describe);
    }

    /// Counts `count` findings that have one description.
    pub(super) fn push_many(&mut self, count: u64, describe: impl FnOnce() -> String) {
        self.count += count;
        if count > 0 && self.first.len() < MAX_SHOWN {
            self.first.push(describe());
        }
    }

    pub(super) fn write_unless_empty(
        &self,
        formatter: &mut fmt::Formatter<'_>,
        what: &str,
    ) -> fmt::Result {
        if self.count == 0 {
            return Ok(());
        }
        writeln!(formatter, "  {what}: {}", self.count)?;
        for finding in &self.first {
            writeln!(formatter, "    {finding}")?;
        }
        Ok(())
    }
}
