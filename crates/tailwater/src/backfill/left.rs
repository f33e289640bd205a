//! Counting what was not read in this run: what is left, and what earlier runs have delivered.

use std::time::{Duration, Instant};

use tailwater_engine::{FileReport, FileState};
use tailwater_tailer::{AllowedRoots, ListedFile};

use super::content;
use super::report::Avoided;
use super::stored::Stored;

/// How long the lines that earlier runs have delivered are counted: it is good to know, and no more.
const AVOIDED_TIMEOUT: Duration = Duration::from_secs(10);

/// Counts the lines of files that the run has not come to. `stored` are its positions: of a file whose turn did
/// not come, those before it are delivered.
pub(super) fn unread_lines(files: &[FileReport], stored: &Stored, roots: &AllowedRoots) -> u64 {
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
