//! What a receiver has seen so far.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::number::quantile;
use crate::stamp::Stamp;
use crate::tally::Tally;

/// Delays that are kept one by one, for the quantiles; 32 MB at most.
const MAX_DELAYS: usize = 4 << 20;
/// Files whose delays are kept apart.
const MAX_FILES: usize = 100_000;

/// What has arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Push requests answered with 204.
    pub requests: u64,
    /// Push requests that could not be read, and were refused.
    pub refused: u64,
    /// The lines of the answered ones.
    pub tally: Tally,
    /// When the last of them was answered, on the machine's monotonic clock; 0 for none.
    pub last_answer_ns: u64,
}

/// How long the stamped lines of one file were under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileDelay {
    /// Stamped lines.
    pub lines: u64,
    /// The sum of their delays.
    pub sum_ns: u64,
    /// The longest of them.
    pub max_ns: u64,
}

/// How long stamped lines were under way, from just before the write to the arrival of the whole
/// request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Delays {
    /// Stamped lines that the quantiles are of.
    pub lines: u64,
    /// Stamped lines beyond what is kept.
    pub lines_left_out: u64,
    /// Half of the lines took no longer.
    pub p50_ns: u64,
    /// 99 of 100 lines took no longer.
    pub p99_ns: u64,
    /// No line took longer.
    pub max_ns: u64,
    /// By the file index of the stamp.
    pub files: Vec<FileDelay>,
}

/// The lines of one request, counted before they are added to the record.
#[derive(Debug)]
pub(crate) struct RequestRecord {
    arrival_ns: u64,
    tally: Tally,
    delays: Vec<(u32, u64)>,
}

impl RequestRecord {
    /// Starts the record of a request that was whole at `arrival_ns`.
    pub(crate) fn new(arrival_ns: u64) -> Self {
        Self {
            arrival_ns,
            tally: Tally::default(),
            delays: Vec::new(),
        }
    }

    /// Counts one of its lines.
    pub(crate) fn add(&mut self, line: &[u8]) {
        self.tally.add(line);
        if let Some(stamp) = Stamp::of(line) {
            let delay_ns = self.arrival_ns.saturating_sub(stamp.written_ns);
            self.delays.push((stamp.file_index, delay_ns));
        }
    }
}

/// The record that all connections of a receiver share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    totals: Arc<Mutex<Totals>>,
}

#[derive(Debug, Default)]
struct Totals {
    progress: Progress,
    delays_ns: Vec<u64>,
    lines_left_out: u64,
    files: Vec<FileDelay>,
}

impl Record {
    /// Adds a request that is answered with 204 at `answer_ns`.
    pub(crate) fn accept(&self, request: &RequestRecord, answer_ns: u64) {
        let mut totals = self.totals();
        totals.progress.requests += 1;
        totals.progress.tally.merge(&request.tally);
        totals.progress.last_answer_ns = totals.progress.last_answer_ns.max(answer_ns);
        for &(file_index, delay_ns) in &request.delays {
            totals.add_delay(file_index, delay_ns);
        }
    }

    /// Counts a request that could not be read.
    pub(crate) fn refuse(&self) {
        self.totals().progress.refused += 1;
    }

    /// What has arrived so far.
    pub(crate) fn progress(&self) -> Progress {
        self.totals().progress
    }

    /// How long the stamped lines so far were under way.
    pub(crate) fn delays(&self) -> Delays {
        let totals = self.totals();
        let mut sorted = totals.delays_ns.clone();
        sorted.sort_unstable();
        Delays {
            lines: u64::try_from(sorted.len()).unwrap_or(u64::MAX),
            lines_left_out: totals.lines_left_out,
            p50_ns: quantile(&sorted, 500),
            p99_ns: quantile(&sorted, 990),
            max_ns: quantile(&sorted, 1000),
            files: totals.files.clone(),
        }
    }

    /// The totals are valid after every addition, so a thread that died holding them harms nothing.
    fn totals(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Totals {
    fn add_delay(&mut self, file_index: u32, delay_ns: u64) {
        let index = usize::try_from(file_index).unwrap_or(usize::MAX);
        if self.delays_ns.len() >= MAX_DELAYS || index >= MAX_FILES {
            self.lines_left_out += 1;
            return;
        }
        self.delays_ns.push(delay_ns);
        if index >= self.files.len() {
            self.files.resize(index + 1, FileDelay::default());
        }
        if let Some(file) = self.files.get_mut(index) {
            file.lines += 1;
            file.sum_ns = file.sum_ns.saturating_add(delay_ns);
            file.max_ns = file.max_ns.max(delay_ns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamped(file_index: u32, written_ns: u64) -> Vec<u8> {
        let mut line = Vec::new();
        Stamp {
            file_index,
            written_ns,
        }
        .put(&mut line);
        line
    }

    #[test]
    fn delays_are_kept_for_all_lines_and_for_each_file() {
        let record = Record::default();
        for arrival_ns in [1_000, 2_000] {
            let mut request = RequestRecord::new(arrival_ns);
            request.add(&stamped(2, 900));
            request.add(b"no stamp");
            record.accept(&request, arrival_ns + 1);
        }
        let delays = record.delays();
        assert_eq!((delays.lines, delays.lines_left_out), (2, 0));
        assert_eq!(
            (delays.p50_ns, delays.p99_ns, delays.max_ns),
            (100, 1_100, 1_100)
        );
        assert_eq!(delays.files.len(), 3);
        assert_eq!(delays.files[0], FileDelay::default());
        assert_eq!(
            delays.files[2],
            FileDelay {
                lines: 2,
                sum_ns: 1_200,
                max_ns: 1_100
            }
        );

        let progress = record.progress();
        assert_eq!((progress.requests, progress.refused), (2, 0));
        assert_eq!((progress.tally.lines, progress.last_answer_ns), (4, 2_001));
    }

    #[test]
    fn a_file_index_out_of_range_is_left_out_and_counted() {
        let record = Record::default();
        let mut request = RequestRecord::new(10);
        request.add(&stamped(u32::MAX, 1));
        record.accept(&request, 11);
        assert_eq!(
            (record.delays().lines, record.delays().lines_left_out),
            (0, 1)
        );
        assert!(record.delays().files.is_empty());
    }
}
