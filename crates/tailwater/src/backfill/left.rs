//! Counting what was not read in this run: what is left, and what earlier runs have delivered.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tailwater_engine::{FileReport, FileState};
use tailwater_tailer::{AllowedRoots, ListedFile};

use super::content;
use super::execute::{self, Done};
use super::report::{Avoided, Ended};
use super::stored::Stored;
use crate::exit::Failure;

/// How long the lines that earlier runs have delivered are counted: it is good to know, and no more.
const AVOIDED_TIMEOUT: Duration = Duration::from_secs(10);

/// What was counted.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Lines that were not read; `None` where it was told to stop counting.
    pub(super) unread_lines: Option<u64>,
    /// Where a record may be several lines: those that are not acknowledged, by sink.
    pub(super) by_sink: BTreeMap<Arc<str>, u64>,
    pub(super) avoided: Avoided,
}

/// Where it is counted.
#[derive(Debug)]
pub(super) struct Counting {
    pub(super) state_dir: PathBuf,
    pub(super) sinks: Vec<Arc<str>>,
    pub(super) roots: AllowedRoots,
}

impl Counting {
    /// Counts what a run has left, where it has ended before it was done, and what earlier ones have delivered.
    ///
    /// # Errors
    /// The positions of the run cannot be read.
    pub(super) fn of(&self, done: &Done, is_stopped: &dyn Fn() -> bool) -> Result<Left, Failure> {
        let mut left = Left {
            unread_lines: Some(0),
            ..Left::default()
        };
        if done.ended != Ended::Finished {
            left = self.unfinished(done, is_stopped)?;
        }
        left.avoided = avoided(&done.files, &self.roots, execute::now, is_stopped);
        Ok(left)
    }

    fn unfinished(&self, done: &Done, is_stopped: &dyn Fn() -> bool) -> Result<Left, Failure> {
        let mut left = Left::default();
        let mut books = done.books.iter();
        if books.any(|books| books.read_records != books.read_lines) {
            for sink in &self.sinks {
                let stored = Stored::of(&self.state_dir, vec![Arc::clone(sink)])?;
                let lines = self.unacknowledged_lines(&done.files, &stored, is_stopped);
                let Some(lines) = lines else {
                    return Ok(Left::default());
                };
                left.by_sink.insert(Arc::clone(sink), lines);
            }
        }
        let stored = Stored::of(&self.state_dir, self.sinks.clone())?;
        left.unread_lines = self.unread_lines(&done.files, &stored, is_stopped);
        Ok(left)
    }

    /// Counts the lines of files that the run has not come to. `stored` are its positions: of a file whose turn did
    /// not come, those before it are delivered.
    fn unread_lines(
        &self,
        files: &[FileReport],
        stored: &Stored,
        is_stopped: &dyn Fn() -> bool,
    ) -> Option<u64> {
        let mut lines = 0_u64;
        for report in files {
            // Of a file that is being read, more bytes may be taken than lines.
            let (is_waiting, read) = match report.state {
                FileState::Waiting => (true, 0),
                FileState::Reading => (false, report.lines_read),
                FileState::Whole
                | FileState::Damaged(_)
                | FileState::Unreadable(_)
                | FileState::AlreadyDelivered => continue,
            };
            let counted = self.lines_of(report, is_stopped, |file| {
                let start = if is_waiting {
                    waiting_at(file, stored)
                } else {
                    report.resumed_at
                };
                start..u64::MAX
            });
            lines += counted?.saturating_sub(read);
        }
        Some(lines)
    }

    /// Counts the lines that a sink has not acknowledged, read or not: those behind its positions. What it has
    /// acknowledged behind what it has not is sent again, and counts.
    fn unacknowledged_lines(
        &self,
        files: &[FileReport],
        stored: &Stored,
        is_stopped: &dyn Fn() -> bool,
    ) -> Option<u64> {
        let mut lines = 0_u64;
        for report in files {
            let end = match report.state {
                FileState::Waiting | FileState::Reading => u64::MAX,
                // It may be written to since.
                FileState::Whole | FileState::Damaged(_) => report.decoded_bytes,
                FileState::Unreadable(_) | FileState::AlreadyDelivered => continue,
            };
            let part = |file: &ListedFile| waiting_at(file, stored).min(end)..end;
            lines += self.lines_of(report, is_stopped, part)?;
        }
        Some(lines)
    }

    /// Counts the lines in a part of a file; `None` where it was told to stop.
    fn lines_of(
        &self,
        report: &FileReport,
        is_stopped: &dyn Fn() -> bool,
        part: impl Fn(&ListedFile) -> Range<u64>,
    ) -> Option<u64> {
        if is_stopped() {
            return None;
        }
        let counted = content::open(&report.path, &self.roots)
            .and_then(|file| content::count(&file, part(&file), is_stopped));
        match counted {
            Ok(counted) => Some(counted?.lines),
            Err(error) => {
                let path = crate::check::printable(&report.path);
                tracing::error!(path, %error, "cannot count the lines that are left");
                Some(0)
            }
        }
    }
}

fn waiting_at(file: &ListedFile, stored: &Stored) -> u64 {
    match stored.position(file) {
        Some(position) if Stored::is_at_end(file, position) => u64::MAX,
        Some(position) => position.offset,
        None => 0,
    }
}

/// Counts what earlier runs have delivered of the files.
fn avoided(
    files: &[FileReport],
    roots: &AllowedRoots,
    now: impl Fn() -> Instant,
    is_stopped: &dyn Fn() -> bool,
) -> Avoided {
    let mut avoided = Avoided {
        lines: Some(0),
        bytes: 0,
    };
    let started = now();
    let is_late = || is_stopped() || now().saturating_duration_since(started) >= AVOIDED_TIMEOUT;
    for report in files.iter().filter(|report| report.resumed_at > 0) {
        avoided.bytes += report.resumed_at;
        let counted = content::open(&report.path, roots)
            .and_then(|file| content::count(&file, 0..report.resumed_at, &is_late));
        let counted = counted.ok().flatten();
        avoided.lines = avoided
            .lines
            .zip(counted)
            .map(|(lines, counted)| lines + counted.lines);
    }
    avoided
}
