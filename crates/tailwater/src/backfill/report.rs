//! What came of a run: counted, for people and for programs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tailwater_engine::{FileReport, FileState, Reason, RouteBooks};
use tailwater_stages::OUTSIDE_TIME_RANGE;

use super::choose::Chosen;
use super::left::Left;
use super::words::{lines_in_words, number_in_words, time_in_words};
use crate::check::{bytes_in_words, printable};

/// Files of one kind that a table names; the rest is counted.
const MAX_NAMED_FILES: usize = 50;

/// Why Loki refuses lines for their time.
const TOO_LATE: [&str; 2] = ["too_old", "too_far_behind"];

/// How a run has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ended {
    /// Everything was read, and a sink has answered for all of it.
    Finished,
    /// It was told to stop.
    Interrupted,
    /// Nothing was acknowledged for as long as it was to wait.
    GaveUp,
}

/// What came of a run.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    /// Whether every line was acknowledged, in this run or before, or was not wanted.
    pub(super) is_complete: bool,
    pub(super) ended: Ended,
    pub(super) files: FileCounts,
    /// Files that are not whole, and those that were not read.
    pub(super) remarkable: Vec<Remark>,
    /// Lines read in this run.
    pub(super) lines_read: u64,
    /// Decoded bytes of those.
    pub(super) bytes_read: u64,
    /// Lines that were not read, because the run has ended before.
    /// `None` where it was told to stop counting.
    pub(super) unread_lines: Option<u64>,
    /// Lines that were read and wait for others to become a record.
    pub(super) held_lines: u64,
    /// Records of the same logs that sinks have refused in earlier runs, and that are kept as dead letters.
    pub(super) refused_before: u64,
    pub(super) duplicates_avoided: Avoided,
    pub(super) sinks: Vec<SinkReport>,
    pub(super) elapsed_seconds: f64,
}

/// What earlier runs have delivered of these files.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Avoided {
    /// `None` where counting them took too long.
    pub(super) lines: Option<u64>,
    /// Decoded ones.
    pub(super) bytes: u64,
}

/// The files, by what came of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct FileCounts {
    pub(super) all: usize,
    pub(super) whole: usize,
    pub(super) already_delivered: usize,
    pub(super) damaged: usize,
    pub(super) unreadable: usize,
    /// The run has ended before their end.
    pub(super) unfinished: usize,
    /// They were not meant to be read.
    pub(super) skipped: usize,
}

/// Something to be said about a file.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Remark {
    pub(super) path: String,
    pub(super) state: &'static str,
    pub(super) reason: String,
}

/// What became of the records for one sink. A record is a line, or what stages have made of several.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct SinkReport {
    pub(super) sink: String,
    pub(super) records_read: u64,
    pub(super) lines_read: u64,
    pub(super) delivered: u64,
    pub(super) rejected: BTreeMap<String, u64>,
    pub(super) outside_time_range: u64,
    pub(super) dropped_by_stages: BTreeMap<String, u64>,
    /// For any other reason.
    pub(super) dropped: BTreeMap<String, u64>,
    pub(super) unacknowledged: u64,
    /// Lines, with what was not read; `None` where it was told to stop counting.
    pub(super) undelivered: Option<u64>,
    /// Lines that were cut at the limit of their length.
    pub(super) truncated_lines: u64,
    pub(super) lost_bytes: u64,
    /// Whether read is delivered, rejected, dropped and unacknowledged together.
    pub(super) books_balance: bool,
}

/// What a report is made of.
#[derive(Debug)]
pub(super) struct Figures<'a> {
    pub(super) ended: Ended,
    pub(super) files: &'a [FileReport],
    pub(super) chosen: &'a Chosen,
    pub(super) books_before: &'a [RouteBooks],
    pub(super) books: &'a [RouteBooks],
    pub(super) stage_reasons: &'a BTreeSet<String>,
    pub(super) left: &'a Left,
    pub(super) refused_before: u64,
    pub(super) elapsed: Duration,
}

impl Report {
    pub(super) fn of(figures: &Figures<'_>) -> Self {
        let lines_read = figures
            .files
            .iter()
            .map(|file| file.lines_read)
            .sum::<u64>();
        let mut sinks: Vec<SinkReport> = figures
            .books
            .iter()
            .map(|books| {
                let before = figures
                    .books_before
                    .iter()
                    .find(|before| (&before.source, &before.sink) == (&books.source, &books.sink));
                let before = before.cloned().unwrap_or_default();
                SinkReport::of(books, &before, figures.stage_reasons)
            })
            .collect();
        let has_ended_early = figures.ended != Ended::Finished;
        let in_books = sinks.iter().map(|sink| sink.lines_read).max();
        let held_lines = lines_read.saturating_sub(in_books.unwrap_or(lines_read));
        let held_lines = if has_ended_early { held_lines } else { 0 };
        for sink in &mut sinks {
            let counted = figures.left.by_sink.get(&*sink.sink).copied();
            let unread = figures.left.unread_lines;
            let sum = unread.map(|unread| sink.unacknowledged + held_lines + unread);
            sink.undelivered = counted.or(sum);
        }
        let files = FileCounts::of(figures);
        let remarkable = remarks(figures);
        let is_complete = !has_ended_early
            && files.damaged + files.unreadable + files.unfinished == 0
            && figures.refused_before == 0
            && sinks.iter().all(SinkReport::is_complete);
        let read = |file: &FileReport| file.decoded_bytes.saturating_sub(file.resumed_at);
        Self {
            is_complete,
            ended: figures.ended,
            files,
            remarkable,
            lines_read,
            bytes_read: figures.files.iter().map(read).sum(),
            unread_lines: figures.left.unread_lines,
            held_lines,
            refused_before: figures.refused_before,
            duplicates_avoided: figures.left.avoided,
            sinks,
            elapsed_seconds: figures.elapsed.as_secs_f64(),
        }
    }

    /// Returns the lines that were not delivered to every sink; `None` where they were not counted.
    pub(super) fn undelivered(&self) -> Option<u64> {
        let unread = self.unread_lines?;
        let sinks = self.sinks.iter().filter_map(|sink| sink.undelivered);
        Some(sinks.max().unwrap_or(unread))
    }

    /// Prints the table.
    ///
    /// # Errors
    /// Those of printing.
    pub(super) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        for remark in self.remarkable.iter().take(MAX_NAMED_FILES) {
            writeln!(
                out,
                "{:<18} {}: {}",
                remark.state, remark.path, remark.reason
            )?;
        }
        if let Some(more) = self.remarkable.len().checked_sub(MAX_NAMED_FILES + 1) {
            writeln!(out, "… and {} more", more + 1)?;
        }
        let mut row = |name: &str, text: String| writeln!(out, "{name:<18} {text}");
        row("files", self.files.words())?;
        let read = format!(
            "{}, {}",
            lines_in_words(self.lines_read),
            bytes_in_words(self.bytes_read)
        );
        row("read", read)?;
        for sink in &self.sinks {
            if self.sinks.len() > 1 {
                row("sink", sink.sink.clone())?;
            }
            for (name, text) in sink.rows(self.lines_read) {
                row(name, text)?;
            }
        }
        if self.refused_before > 0 {
            row("refused before", number_in_words(self.refused_before))?;
        }
        let avoided = &self.duplicates_avoided;
        let lines = avoided
            .lines
            .map_or("not counted".to_owned(), lines_in_words);
        row(
            "duplicates avoided",
            format!("{lines}, {}", bytes_in_words(avoided.bytes)),
        )?;
        let elapsed = Duration::try_from_secs_f64(self.elapsed_seconds).unwrap_or_default();
        row("elapsed", self.pace(elapsed))?;
        row("result", self.result())?;
        for hint in self.hints() {
            writeln!(out, "\nhint: {hint}")?;
        }
        Ok(())
    }

    fn pace(&self, elapsed: Duration) -> String {
        let milliseconds = u64::try_from(elapsed.as_millis())
            .unwrap_or(u64::MAX)
            .max(1);
        let per_second = |count: u64| count.saturating_mul(1000) / milliseconds;
        format!(
            "{}, {}/s, {}/s",
            time_in_words(elapsed),
            bytes_in_words(per_second(self.bytes_read)),
            lines_in_words(per_second(self.lines_read)),
        )
    }

    /// Says in a sentence what came of it.
    pub(super) fn result(&self) -> String {
        let what = match self.undelivered() {
            Some(lines) => format!("{} not delivered", lines_in_words(lines)),
            None => "not every line is delivered".to_owned(),
        };
        match self.ended {
            Ended::Interrupted => format!("interrupted, {what}; run it again to go on"),
            Ended::GaveUp => format!("given up, {what}; run it again to go on"),
            Ended::Finished if self.is_complete => "every line is delivered".to_owned(),
            Ended::Finished => "not every line is delivered".to_owned(),
        }
    }

    fn hints(&self) -> Vec<&'static str> {
        let mut hints = Vec::new();
        let mut reasons = self.sinks.iter().flat_map(|sink| sink.rejected.keys());
        if reasons.any(|reason| TOO_LATE.contains(&reason.as_str())) {
            hints.push(
                "Loki has refused lines for their age: raise `reject_old_samples_max_age` (or set \
                 `reject_old_samples: false`) for `too_old`; for `too_far_behind` send to streams of their own \
                 (`--stream-label`), the oldest file first (`--jobs 1`). The lines are in the dead letters of the \
                 data directory",
            );
        }
        if self.refused_before > 0 {
            hints.push(
                "earlier runs have had lines of these logs refused, which are dead letters of the data directory: \
                 `tailwater spill send --dead-letters` sends them",
            );
        }
        if self.duplicates_avoided.bytes > 0 && self.lines_read == 0 && self.is_complete {
            hints.push(
                "all of it was delivered before: to send it again, give another `--data-dir`",
            );
        }
        hints
    }
}

impl SinkReport {
    fn of(books: &RouteBooks, before: &RouteBooks, stage_reasons: &BTreeSet<String>) -> Self {
        let mut dropped = since(&books.dropped_records, &before.dropped_records);
        let outside_time_range = dropped.remove(OUTSIDE_TIME_RANGE).unwrap_or(0);
        let (dropped_by_stages, dropped) = dropped
            .into_iter()
            .partition(|(reason, _)| stage_reasons.contains(reason));
        Self {
            sink: books.sink.to_string(),
            records_read: books.read_records.saturating_sub(before.read_records),
            lines_read: books.read_lines.saturating_sub(before.read_lines),
            delivered: books.acked_records.saturating_sub(before.acked_records),
            rejected: since(&books.rejected_records, &before.rejected_records),
            outside_time_range,
            dropped_by_stages,
            dropped,
            unacknowledged: books.in_flight_records,
            undelivered: Some(0),
            truncated_lines: books.truncated_lines.saturating_sub(before.truncated_lines),
            lost_bytes: books
                .lost_unread_bytes
                .saturating_sub(before.lost_unread_bytes),
            books_balance: books.balance(),
        }
    }

    fn is_complete(&self) -> bool {
        self.rejected.is_empty()
            && self.dropped.is_empty()
            && self.unacknowledged + self.lost_bytes == 0
            && self.books_balance
    }

    /// The rows of the table: those that are always there, and those that have something to say.
    fn rows(&self, lines_read: u64) -> Vec<(&'static str, String)> {
        let mut rows = Vec::new();
        if self.records_read != lines_read {
            rows.push(("records", number_in_words(self.records_read)));
        }
        rows.push(("delivered", number_in_words(self.delivered)));
        rows.push(("rejected", reasons_in_words(&self.rejected)));
        let mut some = |name, text: String, is_there: bool| {
            if is_there {
                rows.push((name, text));
            }
        };
        some(
            "outside the range",
            number_in_words(self.outside_time_range),
            self.outside_time_range > 0,
        );
        some(
            "dropped by stages",
            reasons_in_words(&self.dropped_by_stages),
            !self.dropped_by_stages.is_empty(),
        );
        some(
            "dropped",
            reasons_in_words(&self.dropped),
            !self.dropped.is_empty(),
        );
        some(
            "cut at the limit",
            lines_in_words(self.truncated_lines),
            self.truncated_lines > 0,
        );
        some("lost", bytes_in_words(self.lost_bytes), self.lost_bytes > 0);
        let undelivered = self.undelivered.map(number_in_words);
        let undelivered = undelivered.unwrap_or_else(|| "not counted".to_owned());
        rows.push(("undelivered", undelivered));
        rows
    }
}

impl FileCounts {
    fn of(figures: &Figures<'_>) -> Self {
        let mut counts = Self {
            skipped: figures.chosen.skipped.len(),
            unreadable: figures.chosen.unreadable.len(),
            all: figures.files.len()
                + figures.chosen.skipped.len()
                + figures.chosen.unreadable.len(),
            ..Self::default()
        };
        for file in figures.files {
            let count = match &file.state {
                FileState::Whole => &mut counts.whole,
                FileState::AlreadyDelivered => &mut counts.already_delivered,
                FileState::Damaged(_) => &mut counts.damaged,
                FileState::Unreadable(_) => &mut counts.unreadable,
                FileState::Waiting | FileState::Reading => &mut counts.unfinished,
            };
            *count += 1;
        }
        counts
    }

    fn words(self) -> String {
        let mut words = self.all.to_string();
        let mut separator = ": ";
        for (count, word) in [
            (self.whole, "whole"),
            (self.damaged, "damaged"),
            (self.unreadable, "unreadable"),
            (self.unfinished, "unfinished"),
            (self.already_delivered, "already delivered"),
            (self.skipped, "skipped"),
        ] {
            if count > 0 {
                write!(words, "{separator}{count} {word}").ok();
                separator = ", ";
            }
        }
        words
    }
}

fn remarks(figures: &Figures<'_>) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let mut remark = |path: &Path, state, reason: String| {
        remarks.push(Remark {
            path: printable(path),
            state,
            reason: reason.escape_debug().to_string(),
        });
    };
    for file in figures.files {
        match &file.state {
            FileState::Damaged(damage) => {
                let reason = format!(
                    "{}, behind {} and {} of it",
                    damage.as_str(),
                    lines_in_words(file.lines_read),
                    bytes_in_words(file.decoded_bytes)
                );
                remark(&file.path, "damaged", reason);
            }
            FileState::Unreadable(reason) => remark(&file.path, "unreadable", reason.clone()),
            FileState::Reading => {
                let reason = format!("read up to byte {}", file.decoded_bytes);
                remark(&file.path, "unfinished", reason);
            }
            FileState::Waiting | FileState::Whole | FileState::AlreadyDelivered => {}
        }
    }
    for error in &figures.chosen.unreadable {
        remark(&error.path, "unreadable", error.reason.clone());
    }
    for skipped in &figures.chosen.skipped {
        remark(&skipped.path, "skipped", skipped.reason.words());
    }
    remarks
}

/// Returns how many have come for each reason, those without any left out.
fn since(now: &BTreeMap<Reason, u64>, before: &BTreeMap<Reason, u64>) -> BTreeMap<String, u64> {
    let counts = now.iter().map(|(reason, count)| {
        let before = before.get(reason).copied().unwrap_or(0);
        (reason.to_string(), count.saturating_sub(before))
    });
    counts.filter(|(_, count)| *count > 0).collect()
}

fn reasons_in_words(reasons: &BTreeMap<String, u64>) -> String {
    let all: u64 = reasons.values().sum();
    let each: Vec<String> = reasons
        .iter()
        .map(|(reason, count)| format!("{} {reason}", number_in_words(*count)))
        .collect();
    if each.is_empty() {
        return "0".to_owned();
    }
    format!("{}: {}", number_in_words(all), each.join(", "))
}

#[cfg(test)]
mod tests;
