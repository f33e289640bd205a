//! Lines, sent through stages.

use std::collections::BTreeMap;

use tailwater_record::{FileId, LabelSet, Severity, TimestampNs};
use tailwater_stages::{Entry as Read, Outcome, Processed, Stages};

use super::lines::Line;

/// The only file there is.
const FILE: FileId = FileId(1);

/// A record that came out.
#[derive(Debug)]
pub(super) struct Entry {
    /// The index of the line that it begins with.
    pub(super) first_line: usize,
    /// How many lines it stands for.
    pub(super) lines: u64,
    /// Its own time; `None` where it has that of reading.
    pub(super) timestamp: Option<TimestampNs>,
    pub(super) severity: Option<Severity>,
    pub(super) labels: LabelSet,
    pub(super) metadata: Vec<(String, String)>,
    pub(super) text: Vec<u8>,
}

/// What became of lines.
#[derive(Debug, Default)]
pub(super) struct Pass {
    pub(super) entries: Vec<Entry>,
    /// Lines that were dropped, by the reason.
    pub(super) dropped: BTreeMap<String, u64>,
}

/// Sends lines through stages.
pub(super) fn run(stages: &Stages, lines: &[Line], labels: &LabelSet, now: TimestampNs) -> Pass {
    let mut pass = Pass::default();
    let mut emit = |outcome: Outcome<'_>| match outcome {
        Outcome::Record(record) => pass.entries.push(entry(&record, lines, now)),
        Outcome::Dropped(dropped) => {
            let count = pass.dropped.entry(dropped.reason.to_owned()).or_default();
            *count = count.saturating_add(dropped.lines);
        }
    };
    let mut worker = stages.worker();
    for line in lines {
        let read = Read {
            file: FILE,
            seed: 0,
            span: line.span,
            line: &line.text,
            timestamp: now,
            labels,
        };
        worker.process(&read, &mut emit);
    }
    worker.finish(FILE, &mut emit);
    // Those of several streams do not come out as they went in.
    pass.entries.sort_by_key(|entry| entry.first_line);
    pass
}

fn entry(record: &Processed<'_>, lines: &[Line], now: TimestampNs) -> Entry {
    let start = record.parts.first().map_or(0, |part| part.span.start);
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Entry {
        first_line: lines.partition_point(|line| line.span.start < start),
        lines: record.lines,
        timestamp: Some(record.timestamp).filter(|time| *time != now),
        severity: record.severity,
        labels: record.labels.clone(),
        metadata: record.metadata.iter().map(owned).collect(),
        text: record.line.to_vec(),
    }
}
