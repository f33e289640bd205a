//! Entries as a table, and in figures.

use std::fmt::Write as _;
use std::io::{self, Write};

use jiff::Timestamp;
use tailwater_record::{LabelSet, TimestampNs};
use tailwater_stages::Expression;

use super::fit;
use super::lines::Lines;
use super::pass::{Entry, Pass};

/// What stands above the columns.
const HEADS: [&str; 6] = ["lines", "timestamp", "level", "labels", "metadata", "line"];

/// Columns that are shown also where no entry has anything in them.
const ALWAYS_SHOWN: [&str; 4] = ["lines", "timestamp", "level", "line"];

/// Characters of labels and of metadata that are shown.
const MAX_PAIRS_WIDTH: usize = 40;

/// Characters of a line that are shown on the narrowest of terminals.
const MIN_LINE_WIDTH: usize = 20;

/// Between two columns.
const GAP: &str = "  ";

/// What stands for a thing that is not there.
const NONE: &str = "-";

/// Prints a row for each entry. Labels that every line has are not shown.
pub(super) fn print(
    entries: &[Entry],
    common: &LabelSet,
    width: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let rows: Vec<[String; 6]> = entries
        .iter()
        .map(|entry| row(entry, common, width))
        .collect();
    let is_shown = |column: usize, head: &str| {
        let mut cells = rows.iter().filter_map(|row| row.get(column));
        ALWAYS_SHOWN.contains(&head) || cells.any(|cell| cell != NONE)
    };
    let mut widths: Vec<(usize, usize)> = Vec::new();
    for (column, head) in HEADS.iter().enumerate() {
        if is_shown(column, head) {
            let cells = rows.iter().filter_map(|row| row.get(column));
            let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
            widths.push((column, widest.max(head.len())));
        }
    }
    // The last one takes what is left.
    if let Some((line, before)) = widths.split_last_mut() {
        let taken: usize = before.iter().map(|(_, width)| width + GAP.len()).sum();
        line.1 = width.saturating_sub(taken).max(MIN_LINE_WIDTH);
    }
    print_row(&HEADS.map(str::to_owned), &widths, out)?;
    for row in &rows {
        print_row(row, &widths, out)?;
    }
    writeln!(out)
}

fn print_row(row: &[String; 6], widths: &[(usize, usize)], out: &mut dyn Write) -> io::Result<()> {
    let mut text = String::new();
    for (column, width) in widths {
        let cell = cut(row.get(*column).map_or("", String::as_str), *width);
        if *column == 0 {
            write!(text, "{cell:>width$}{GAP}").expect("a string takes every write");
        } else {
            write!(text, "{cell:width$}{GAP}").expect("a string takes every write");
        }
    }
    writeln!(out, "{}", text.trim_end())
}

fn row(entry: &Entry, common: &LabelSet, width: usize) -> [String; 6] {
    let labels = entry.labels.iter();
    let own = labels.filter(|(name, value)| common.get(name) != Some(value));
    let metadata = entry.metadata.iter();
    let or_none = |text: String| {
        if text.is_empty() {
            NONE.to_owned()
        } else {
            text
        }
    };
    // A character takes a byte at least.
    let text = entry
        .text
        .get(..width.saturating_mul(4))
        .unwrap_or(&entry.text);
    [
        entry.lines.to_string(),
        entry.timestamp.map_or_else(|| NONE.to_owned(), time),
        entry
            .severity
            .map_or(NONE, tailwater_record::Severity::as_str)
            .to_owned(),
        or_none(pairs(own)),
        or_none(pairs(
            metadata.map(|(name, value)| (name.as_str(), value.as_str())),
        )),
        harmless(text),
    ]
}

fn time(time: TimestampNs) -> String {
    let time = Timestamp::from_nanosecond(i128::from(time.0));
    time.map_or_else(|_| NONE.to_owned(), |time| time.to_string())
}

fn pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        let comma = if text.is_empty() { "" } else { ", " };
        let value = harmless(value.as_bytes());
        write!(text, "{comma}{name}={value}").expect("a string takes every write");
    }
    cut(&text, MAX_PAIRS_WIDTH)
}

/// Cuts a text that is wider; what is cut off is marked.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept = text.chars().take(width.saturating_sub(1));
    kept.chain(['…']).collect()
}

/// Writes bytes so that they do nothing to a terminal: what cannot be printed, or is no text, is escaped.
fn harmless(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if "\"'\\".contains(character) {
                text.push(character);
            } else {
                text.extend(character.escape_debug());
            }
        }
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02x}").expect("a string takes every write");
        }
    }
    text
}

/// Says in figures what became of the lines.
pub(super) fn summarize(
    pass: &Pass,
    lines: &Lines,
    begins: Option<&Expression>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let entries = &pass.entries;
    let count = |is: &dyn Fn(&Entry) -> bool| entries.iter().filter(|entry| is(entry)).count();
    let has_time = count(&|entry| entry.timestamp.is_some());
    let has_level = count(&|entry| entry.severity.is_some());
    let fits_nothing = count(&|entry| match begins {
        Some(begins) => !fit::does_begin(entry, &lines.all, begins),
        None => entry.timestamp.is_none() && entry.severity.is_none(),
    });
    let (line_count, entry_count) = (lines.all.len(), entries.len());
    writeln!(
        out,
        "of {} {}: {} {}",
        line_count,
        if line_count == 1 { "line" } else { "lines" },
        entry_count,
        if entry_count == 1 { "entry" } else { "entries" },
    )?;
    let share = |count: usize| (count * 100).checked_div(entry_count).unwrap_or(0);
    writeln!(out, "  timestamp found in {} %", share(has_time))?;
    writeln!(out, "  level found in {} %", share(has_level))?;
    writeln!(out, "  {fits_nothing} fit nothing")?;
    for (reason, count) in &pass.dropped {
        let noun = if *count == 1 { "line" } else { "lines" };
        writeln!(
            out,
            "  {count} {noun} dropped: {}",
            harmless(reason.as_bytes())
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_drive_a_terminal_is_escaped() {
        assert_eq!(
            harmless(b"a\x1b[2J\"\\\r\n\t\xff\xc3\xa9"),
            "a\\u{1b}[2J\"\\\\r\\n\\t\\xffé"
        );
        assert_eq!(harmless("\u{202e}x\u{9b}".as_bytes()), "\\u{202e}x\\u{9b}");
    }

    #[test]
    fn what_is_too_wide_is_cut_and_marked() {
        assert_eq!(cut("äbc", 3), "äbc");
        assert_eq!(cut("äbcd", 3), "äb…");
        assert_eq!(cut("x", 0), "…");
    }
}
