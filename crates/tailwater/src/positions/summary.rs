//! What became of the entries of a positions file.

use std::collections::BTreeMap;
use std::io::{self, Write};

/// What became of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// The file goes on where it was.
    Resumed,
    /// The offset lies within a line: the file goes on at the start of it.
    ResumedAtLineStart,
    /// The file was rotated since: its rest is read under its new name.
    ResumedInRotated,
    /// Several generations may be the file: all are read from the start.
    ReadAgain,
    /// The file was truncated, or rotated and its rest is not there: what is there is read from the start.
    Restarted,
    /// There is no such file any more.
    Missing,
    /// The agent has positions of its own of the file, and keeps them.
    Known,
    /// No source reads it.
    NotRead,
    /// Its value is no number: where it was is not known, and it is read from the start.
    NoNumber,
    /// Its value counts lines: it is an archive.
    Archive,
    /// It cannot be opened or read.
    Unreadable,
    /// The position store is full.
    NoRoom,
}

impl Outcome {
    /// All of them, in the order in which they are told.
    pub(super) const ALL: [Self; 12] = [
        Self::Resumed,
        Self::ResumedAtLineStart,
        Self::ResumedInRotated,
        Self::ReadAgain,
        Self::Restarted,
        Self::Missing,
        Self::Known,
        Self::NotRead,
        Self::NoNumber,
        Self::Archive,
        Self::Unreadable,
        Self::NoRoom,
    ];

    /// Says it in words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Resumed => "goes on where it was",
            Self::ResumedAtLineStart => "goes on at the start of the line it was in",
            Self::ResumedInRotated => "was rotated: its rest is read under its new name",
            Self::ReadAgain => "may be one of several generations: all are read from the start",
            Self::Restarted => {
                "was truncated, or rotated and is gone: read from the start, the unread rest is lost"
            }
            Self::Missing => "is not there any more",
            Self::Known => "has positions of the agent's own, which are kept",
            Self::NotRead => "is read by no source",
            Self::NoNumber => "has no number in the positions file: read from the start",
            Self::Archive => {
                "is an archive, whose lines were counted: its position is not taken over"
            }
            Self::Unreadable => "cannot be read now: no position is taken over",
            Self::NoRoom => "has no room in the position store: read from the start",
        }
    }

    /// Returns whether somebody should know of the file by its name.
    pub(super) fn is_remarkable(self) -> bool {
        !matches!(
            self,
            Self::Resumed | Self::ResumedAtLineStart | Self::Known | Self::NotRead
        )
    }
}

/// How many entries became what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Summary {
    outcomes: BTreeMap<Outcome, u64>,
    /// Keys that stand for no file.
    pub(super) cursors: u64,
}

impl Summary {
    pub(super) fn new(cursors: u64) -> Self {
        Self {
            outcomes: BTreeMap::new(),
            cursors,
        }
    }

    pub(super) fn add(&mut self, outcome: Outcome) {
        *self.outcomes.entry(outcome).or_default() += 1;
    }

    pub(super) fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(&outcome).copied().unwrap_or(0)
    }

    /// Returns how many files go on at an offset of Promtail's.
    pub(super) fn imported(&self) -> u64 {
        let outcomes = [
            Outcome::Resumed,
            Outcome::ResumedAtLineStart,
            Outcome::ResumedInRotated,
        ];
        outcomes.map(|outcome| self.count(outcome)).iter().sum()
    }

    /// Returns how many files were refused.
    pub(super) fn refused(&self) -> u64 {
        let outcomes = [
            Outcome::NoNumber,
            Outcome::Archive,
            Outcome::Unreadable,
            Outcome::NoRoom,
        ];
        outcomes.map(|outcome| self.count(outcome)).iter().sum()
    }

    /// Prints what there is of each.
    ///
    /// # Errors
    /// Those of writing to `out`.
    pub(super) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        for outcome in Outcome::ALL {
            let count = self.count(outcome);
            if count > 0 {
                writeln!(out, "{count:>7}  {}", outcome.words())?;
            }
        }
        if self.cursors > 0 {
            writeln!(
                out,
                "{:>7}  of journals and containers, no files",
                self.cursors
            )?;
        }
        if self.outcomes.is_empty() && self.cursors == 0 {
            writeln!(out, "the positions file names no file")?;
        }
        Ok(())
    }
}
