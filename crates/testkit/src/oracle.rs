//! Whether what was written is what has arrived.
//!
//! Every line that the kernel has taken must be stored. A line that is stored more than once is a
//! duplicate; it is excused where the sink had stored it and told the client that it had not. A line
//! may be out of order in two ways: by the order in which the first copies arrived, and by the order
//! in which a reader finds them who sorts by timestamp.

mod findings;
mod multiset;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::fault_sink::{Entry, FileTally, SinkState};
use crate::line::{LineId, parse_line};
use crate::writer::Written;

pub use findings::Findings;
pub use multiset::{MultisetVerdict, compare_multisets};

/// The judgment of a whole run.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// The judgment of each file that was written.
    pub files: BTreeMap<u32, FileVerdict>,
    /// Stored lines that are no whole line of any writer.
    pub torn: Findings,
    /// Stored lines that are whole, and that no writer has written.
    pub unknown: Findings,
    /// Lines that a reader who sorts by timestamp finds after a later one. Looked for where the sink
    /// keeps its entries.
    pub reordered_by_timestamp: Findings,
    /// Lines of one stream that share a timestamp with another line. Looked for where the sink keeps
    /// its entries.
    pub shared_timestamps: Findings,
    /// Lines that were stored again in another stream or under another timestamp: a backend that
    /// compares stream, timestamp and line shows those twice. Looked for where the sink keeps its
    /// entries.
    pub restamped: Findings,
}

/// The judgment of one file.
#[derive(Clone, Debug, Default)]
pub struct FileVerdict {
    /// Lines that had to arrive.
    pub expected: u64,
    /// Lines that had to arrive and did not.
    pub missing: Findings,
    /// Copies that were stored although the line had been acknowledged before.
    pub duplicates: Findings,
    /// Copies that were stored because an earlier one was stored and not acknowledged.
    pub excused_duplicates: Findings,
    /// Lines whose first copy arrived after the first copy of a later line.
    pub reordered_by_arrival: Findings,
}

impl Verdict {
    /// Judges what the sink has stored by what was written.
    pub fn new(written: &[Written], state: &SinkState) -> Self {
        let mut verdict = Self::default();
        for written in written {
            let tally = state.tally().file(written.file);
            let file = FileVerdict::new(*written, tally);
            verdict.files.insert(written.file, file);
        }
        verdict.find_unknown(written, state);
        verdict.find_torn(state);
        verdict.judge_timestamps(state.entries());
        verdict
    }

    fn find_unknown(&mut self, written: &[Written], state: &SinkState) {
        for (file, tally) in state.tally().files() {
            let of_file = written.iter().filter(|written| written.file == file);
            let end = of_file.map(|written| written.attempted).max().unwrap_or(0);
            for seq in end..tally.end() {
                if tally.copies(seq).committed > 0 {
                    self.unknown.push(|| format!("file {file} line {seq}"));
                }
            }
        }
        for _ in 0..state.tally().beyond() {
            self.unknown
                .push(|| "a line whose number is too large".into());
        }
    }

    fn find_torn(&mut self, state: &SinkState) {
        for entry in state.entries() {
            if let Err(error) = parse_line(&entry.line) {
                let show = || format!("entry {}: {error}: {}", entry.arrival, excerpt(&entry.line));
                self.torn.push(show);
            }
        }
        // Without entries only their number is known.
        for _ in self.torn.count..state.tally().torn() {
            self.torn.push(|| "a line that was not kept".into());
        }
    }

    fn judge_timestamps(&mut self, entries: &[Entry]) {
        let mut first_copies = BTreeMap::new();
        let mut stamps: BTreeMap<LineId, BTreeSet<(&str, i64)>> = BTreeMap::new();
        let mut streams = Vec::with_capacity(entries.len());
        for entry in entries {
            let stamp = (&*entry.labels, entry.timestamp_ns);
            streams.push((stamp, &*entry.line));
            if let Ok(id) = parse_line(&entry.line) {
                first_copies
                    .entry(id)
                    .or_insert((entry.timestamp_ns, entry.arrival));
                stamps.entry(id).or_default().insert(stamp);
            }
        }
        for (id, stamps) in stamps.iter().filter(|(_, stamps)| stamps.len() > 1) {
            self.restamped
                .push(|| format!("{} as {stamps:?}", show(*id)));
        }
        streams.sort_unstable();
        streams.dedup();
        for ((stamp, line), (next, _)) in streams.iter().zip(streams.iter().skip(1)) {
            if stamp == next {
                self.shared_timestamps
                    .push(|| format!("{} in {} at {}", excerpt(line), stamp.0, stamp.1));
            }
        }
        self.find_reordered_by_timestamp(&first_copies);
    }

    /// Takes (timestamp, arrival) of the first copy of each line.
    fn find_reordered_by_timestamp(&mut self, first_copies: &BTreeMap<LineId, (i64, u64)>) {
        let mut sorted: Vec<_> = first_copies
            .iter()
            .map(|(id, order)| (id.file, *order, id.seq))
            .collect();
        sorted.sort_unstable();
        let mut highest: Option<(u32, u64)> = None;
        for (file, _, seq) in sorted {
            match highest {
                Some((of_file, highest)) if of_file == file && seq < highest => self
                    .reordered_by_timestamp
                    .push(|| format!("file {file} line {seq} after line {highest}")),
                Some(_) | None => highest = Some((file, seq)),
            }
        }
    }

    /// Returns how many lines had to arrive.
    pub fn expected(&self) -> u64 {
        self.files.values().map(|file| file.expected).sum()
    }

    /// Returns how many lines did not arrive.
    pub fn missing(&self) -> u64 {
        self.sum(|file| &file.missing)
    }

    /// Returns how many copies were stored although the line had been acknowledged before.
    pub fn duplicates(&self) -> u64 {
        self.sum(|file| &file.duplicates)
    }

    /// Returns how many copies were stored because the sink had lied about an earlier one.
    pub fn excused_duplicates(&self) -> u64 {
        self.sum(|file| &file.excused_duplicates)
    }

    /// Returns how many lines arrived first after a later line of their file.
    pub fn reordered_by_arrival(&self) -> u64 {
        self.sum(|file| &file.reordered_by_arrival)
    }

    /// Asserts that every line arrived once, whole and in order, both by arrival and by timestamp.
    /// Copies that the sink provoked by a lie do not count.
    ///
    /// # Panics
    /// Something is missing, torn, unknown, duplicate or out of order; shows the verdict.
    #[track_caller]
    pub fn assert_exact(&self) {
        self.assert_exact_by_timestamp();
        assert!(self.reordered_by_arrival() == 0, "out of order:\n{self}");
    }

    /// Asserts what [`assert_exact`](Self::assert_exact) does but for the order of arrival: for sinks
    /// that several requests may be on their way to at once.
    ///
    /// # Panics
    /// Something is missing, torn, unknown, duplicate, or out of order by timestamp; shows the
    /// verdict.
    #[track_caller]
    pub fn assert_exact_by_timestamp(&self) {
        self.assert_at_least_once(0);
        self.assert_order_by_timestamp();
    }

    /// Asserts what a reader sees whose backend keeps one of several copies that have the same stream,
    /// timestamp and line: every line once, whole, in order by timestamp, and under a timestamp of its
    /// own. It can be asked only of a sink that keeps its entries.
    ///
    /// # Panics
    /// Something is missing, torn, unknown, out of order, or stands there twice; shows the verdict.
    #[track_caller]
    pub fn assert_exact_without_repeats(&self) {
        self.assert_at_least_once(u64::MAX);
        self.assert_order_by_timestamp();
        assert!(
            self.restamped.count == 0,
            "repeats are not the same:\n{self}"
        );
        assert!(
            self.shared_timestamps.count == 0,
            "lines share a timestamp:\n{self}"
        );
    }

    /// Asserts that so many lines are missing, and that the others arrived once, whole and in order by
    /// timestamp. Copies that the sink provoked by a lie do not count.
    ///
    /// # Panics
    /// More or fewer are missing, or something is torn, unknown, duplicate or out of order; shows the
    /// verdict.
    #[track_caller]
    pub fn assert_exact_but_for(&self, missing: u64) {
        assert!(
            self.missing() == missing,
            "{} lines are missing and not {missing}:\n{self}",
            self.missing()
        );
        self.assert_nothing_strange(0);
        self.assert_order_by_timestamp();
    }

    /// Asserts that every line arrived whole, and that no more copies were stored than the test
    /// allows. Copies that the sink provoked by a lie do not count.
    ///
    /// # Panics
    /// Something is missing, torn or unknown, or there are more duplicates; shows the verdict.
    #[track_caller]
    pub fn assert_at_least_once(&self, max_duplicates: u64) {
        assert!(self.missing() == 0, "lines are missing:\n{self}");
        self.assert_nothing_strange(max_duplicates);
    }

    #[track_caller]
    fn assert_order_by_timestamp(&self) {
        assert!(
            self.reordered_by_timestamp.count == 0,
            "out of order:\n{self}"
        );
    }

    #[track_caller]
    fn assert_nothing_strange(&self, max_duplicates: u64) {
        assert!(!self.files.is_empty(), "the oracle was told of no file");
        assert!(self.torn.count == 0, "lines are torn:\n{self}");
        assert!(self.unknown.count == 0, "lines came from nowhere:\n{self}");
        assert!(
            self.duplicates() <= max_duplicates,
            "more than {max_duplicates} duplicates:\n{self}"
        );
    }

    fn sum(&self, findings: impl Fn(&FileVerdict) -> &Findings) -> u64 {
        self.files.values().map(|file| findings(file).count).sum()
    }
}

impl FileVerdict {
    fn new(written: Written, tally: Option<&FileTally>) -> Self {
        let mut verdict = Self {
            expected: written.acked,
            ..Self::default()
        };
        let none = FileTally::default();
        let tally = tally.unwrap_or(&none);
        for seq in 0..written.attempted.max(tally.end()) {
            let copies = tally.copies(seq);
            if seq < written.acked && copies.committed == 0 {
                verdict.missing.push(|| format!("line {seq}"));
            }
            let duplicates = u64::from(copies.unexcused());
            verdict
                .duplicates
                .push_many(duplicates, || format!("line {seq} ({copies:?})"));
            let excused = u64::from(copies.excused);
            verdict
                .excused_duplicates
                .push_many(excused, || format!("line {seq}"));
        }
        for seq in tally.reordered() {
            verdict.reordered_by_arrival.push(|| format!("line {seq}"));
        }
        verdict
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (file, verdict) in &self.files {
            writeln!(
                formatter,
                "file {file}: {} lines expected",
                verdict.expected
            )?;
            for (what, findings) in [
                ("missing", &verdict.missing),
                ("duplicates", &verdict.duplicates),
                ("excused duplicates", &verdict.excused_duplicates),
                ("reordered by arrival", &verdict.reordered_by_arrival),
            ] {
                findings.write_unless_empty(formatter, what)?;
            }
        }
        for (what, findings) in [
            ("torn", &self.torn),
            ("unknown", &self.unknown),
            ("reordered by timestamp", &self.reordered_by_timestamp),
            ("shared timestamps", &self.shared_timestamps),
            ("restamped", &self.restamped),
        ] {
            findings.write_unless_empty(formatter, what)?;
        }
        Ok(())
    }
}

fn show(id: LineId) -> String {
    format!("file {} line {}", id.file, id.seq)
}

/// Returns the beginning of a line for people.
fn excerpt(line: &[u8]) -> String {
    const MAX_BYTES: usize = 80;
    let shown = line.get(..MAX_BYTES).unwrap_or(line);
    format!("\"{}\" ({} bytes)", shown.escape_ascii(), line.len())
}
