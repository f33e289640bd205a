//! Counting what was not read in this run: what is left, and what earlier runs have delivered.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tailwater_engine::{FileReport, FileState};
use tailwater_tailer::{AllowedRoots, ListedFile};

use super::content;
use super::execute::Done;
use super::report::{Avoided, Ended};
use super::stored::Stored;
use crate::exit::Failure;

/// How long the lines that earlier runs have delivered are counted: it is good to know, and no more.
const AVOIDED_TIMEOUT: Duration = Duration::from_secs(10);

/// Counts what a run that has ended before it was done has left: the lines that were not read, and, where a record may
/// be several lines, those that are not acknowledged, by sink.
///
/// # Errors
/// The positions of the run cannot be read.
pub(super) fn of(
    done: &Done,
    state_dir: &Path,
    sinks: &[Arc<str>],
    roots: &AllowedRoots,
) -> Result<(u64, BTreeMap<Arc<str>, u64>), Failure> {
    let mut by_sink = BTreeMap::new();
    if done.ended == Ended::Finished {
        return Ok((0, by_sink));
    }
    let mut books = done.books.iter();
    if books.any(|books| books.read_records != books.read_lines) {
        for sink in sinks {
            let stored = Stored::of(state_dir, vec![Arc::clone(sink)])?;
            let lines = unacknowledged_lines(&done.files, &stored, roots);
            by_sink.insert(Arc::clone(sink), lines);
        }
    }
    let stored = Stored::of(state_dir, sinks.to_vec())?;
    Ok((unread_lines(&done.files, &stored, roots), by_sink))
}

/// Counts the lines of files that the run has not come to. `stored` are its positions: of a file whose turn did
/// not come, those before it are delivered.
fn unread_lines(files: &[FileReport], stored: &Stored, roots: &AllowedRoots) -> u64 {
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
        let counted = content::open(&report.path, roots).and_then(|file| {
            let start = if is_waiting {
                waiting_at(&file, stored)
            } else {
                report.resumed_at
            };
            content::count(&file, start..u64::MAX, &|| false)
        });
        match counted {
            Ok(counted) => lines += counted.unwrap_or_default().lines.saturating_sub(read),
            Err(error) => {
                let path = crate::check::printable(&report.path);
                tracing::error!(path, %error, "cannot count the lines that are left");
            }
        }
    }
    lines
}

/// Counts the lines that a sink has not acknowledged, read or not, where several may be one record: those behind its
/// positions. What it has acknowledged behind what it has not is sent again, and counts.
fn unacknowledged_lines(files: &[FileReport], stored: &Stored, roots: &AllowedRoots) -> u64 {
    let mut lines = 0_u64;
    for report in files {
        let end = match report.state {
            FileState::Waiting | FileState::Reading => u64::MAX,
            // It may be written to since.
            FileState::Whole | FileState::Damaged(_) => report.decoded_bytes,
            FileState::Unreadable(_) | FileState::AlreadyDelivered => continue,
        };
        let counted = content::open(&report.path, roots).and_then(|file| {
            let start = waiting_at(&file, stored).min(end);
            content::count(&file, start..end, &|| false)
        });
        lines += counted.ok().flatten().unwrap_or_default().lines;
    }
    lines
}

fn waiting_at(file: &ListedFile, stored: &Stored) -> u64 {
    match stored.position(file) {
        Some(position) if Stored::is_at_end(file, position) => u64::MAX,
        Some(position) => position.offset,
        None => 0,
    }
}

/// Counts what earlier runs have delivered of the files.
pub(super) fn avoided(
    files: &[FileReport],
    roots: &AllowedRoots,
    now: impl Fn() -> Instant,
) -> Avoided {
    let mut avoided = Avoided {
        lines: Some(0),
        bytes: 0,
    };
    let started = now();
    let is_late = || now().saturating_duration_since(started) >= AVOIDED_TIMEOUT;
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
