//! How often each numbered line was stored.

use std::collections::BTreeMap;

use crate::line::LineId;

/// Lines per file that are counted one by one: 300 MB.
const MAX_SEQ: u64 = 100_000_000;

/// Counts of all numbered lines.
#[derive(Debug, Default)]
pub struct Tally {
    files: BTreeMap<u32, FileTally>,
    torn: u64,
    beyond: u64,
}

/// Counts of the lines of one file.
#[derive(Debug, Default)]
pub struct FileTally {
    copies: Vec<Copies>,
    distinct: u64,
    frontier: u64,
    reordered: Vec<u64>,
}

/// How often one line was stored; counts stop at 255.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copies {
    /// Copies that were stored.
    pub committed: u8,
    /// Copies that the client had to send because an earlier one was stored and not acknowledged.
    pub excused: u8,
    /// Copies that were stored and not acknowledged, and not followed by another yet.
    lies: u8,
}

impl Copies {
    /// Returns how often the line was sent again although it was acknowledged.
    pub fn unexcused(self) -> u8 {
        self.committed
            .saturating_sub(1)
            .saturating_sub(self.excused)
    }

    fn record(&mut self, is_acknowledged: bool) {
        if let Some(lies) = self.lies.checked_sub(1) {
            self.lies = lies;
            self.excused = self.excused.saturating_add(1);
        }
        self.committed = self.committed.saturating_add(1);
        if !is_acknowledged {
            self.lies = self.lies.saturating_add(1);
        }
    }
}

impl Tally {
    /// Returns the counts of each file that a line was stored of.
    pub fn files(&self) -> impl Iterator<Item = (u32, &FileTally)> {
        self.files.iter().map(|(file, tally)| (*file, tally))
    }

    /// Returns the counts of one file.
    pub fn file(&self, file: u32) -> Option<&FileTally> {
        self.files.get(&file)
    }

    /// Returns how many lines were stored that are no numbered lines.
    pub fn torn(&self) -> u64 {
        self.torn
    }

    /// Returns how many numbered lines were stored whose number is too large to be counted.
    pub fn beyond(&self) -> u64 {
        self.beyond
    }

    /// Returns how many different numbered lines were stored.
    pub fn distinct(&self) -> u64 {
        self.files.values().map(|file| file.distinct).sum()
    }

    /// Returns the number of the first line of the file that is not stored.
    pub fn frontier(&self, file: u32) -> u64 {
        self.files.get(&file).map_or(0, |file| file.frontier)
    }

    pub(super) fn record(&mut self, line: Option<LineId>, is_acknowledged: bool) {
        match line {
            None => self.torn += 1,
            Some(id) if id.seq >= MAX_SEQ => self.beyond += 1,
            Some(id) => self
                .files
                .entry(id.file)
                .or_default()
                .record(id.seq, is_acknowledged),
        }
    }
}

impl FileTally {
    /// Returns the counts of a line.
    pub fn copies(&self, seq: u64) -> Copies {
        let copies = usize::try_from(seq)
            .ok()
            .and_then(|seq| self.copies.get(seq));
        copies.copied().unwrap_or_default()
    }

    /// Returns the number after the highest that was stored.
    pub fn end(&self) -> u64 {
        u64::try_from(self.copies.len()).unwrap_or(u64::MAX)
    }

    /// Returns how many different lines were stored.
    pub fn distinct(&self) -> u64 {
        self.distinct
    }

    /// Returns the lines whose first copy came after the first copy of a later line, by arrival.
    pub fn reordered(&self) -> &[u64] {
        &self.reordered
    }

    fn record(&mut self, seq: u64, is_acknowledged: bool) {
        let is_behind = seq < self.end();
        let Ok(index) = usize::try_from(seq) else {
            return;
        };
        if !is_behind {
            self.copies.resize(index + 1, Copies::default());
        }
        let Some(copies) = self.copies.get_mut(index) else {
            return;
        };
        let is_first = copies.committed == 0;
        copies.record(is_acknowledged);
        if is_first {
            self.distinct += 1;
            if is_behind {
                self.reordered.push(seq);
            }
        }
        while self.copies(self.frontier).committed > 0 {
            self.frontier += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lines: &[(u64, bool)]) -> FileTally {
        let mut tally = FileTally::default();
        for (seq, is_acknowledged) in lines {
            tally.record(*seq, *is_acknowledged);
        }
        tally
    }

    #[test]
    fn a_copy_is_excused_only_by_an_earlier_one_that_was_not_acknowledged() {
        let unexcused = |acknowledged: &[bool]| {
            let lines: Vec<_> = acknowledged.iter().map(|answer| (0, *answer)).collect();
            tally(&lines).copies(0).unexcused()
        };
        assert_eq!(unexcused(&[true]), 0);
        assert_eq!(unexcused(&[false, true]), 0);
        assert_eq!(unexcused(&[false, false, true]), 0);
        assert_eq!(unexcused(&[true, true]), 1);
        assert_eq!(unexcused(&[true, false, true]), 1);
        assert_eq!(unexcused(&[false, true, true]), 1);
    }

    #[test]
    fn the_frontier_is_the_first_line_that_is_missing() {
        assert_eq!(tally(&[(1, true), (3, true)]).frontier, 0);
        assert_eq!(tally(&[(1, true), (3, true), (0, true)]).frontier, 2);
        assert_eq!(tally(&[(0, true), (1, false), (1, true)]).frontier, 2);
    }

    #[test]
    fn only_the_first_copy_of_a_line_can_be_out_of_order() {
        let tally = tally(&[(0, true), (2, true), (1, true), (0, true), (3, true)]);
        assert_eq!(tally.reordered(), [1]);
        assert_eq!((tally.distinct(), tally.end()), (4, 4));
    }
}
