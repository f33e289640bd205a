//! Runs lines through stages, and checks what every list of stages promises.

use tailwater_record::{FileId, LabelSet, Span, TimestampNs};
use tailwater_stages::{
    CompileError, Entry, Outcome, Part, Processed, StageConfig, Stages, Worker,
};

/// 2026-11-21T10:00:00Z: when the first line is read. Each further one is read 1 ms later.
pub(crate) const NOW: u64 = 1_795_255_200_000_000_000;
const MILLISECOND: u64 = 1_000_000;

/// Bytes that an error of the configuration may quote beside what was configured.
const MAX_ERROR_BYTES: usize = 4096;

const FILE: FileId = FileId(1);

/// A record that left the stages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) line: Vec<u8>,
    pub(crate) timestamp: u64,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) metadata: Vec<(String, String)>,
    pub(crate) tenant: Option<String>,
    pub(crate) parts: Vec<Part>,
    pub(crate) lines: u64,
}

impl Record {
    fn of(record: &Processed<'_>) -> Self {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Self {
            line: record.line.to_vec(),
            timestamp: record.timestamp.0,
            labels: record.labels.iter().map(owned).collect(),
            metadata: record.metadata.iter().copied().map(owned).collect(),
            tenant: record.tenant.map(str::to_owned),
            parts: record.parts.to_vec(),
            lines: record.lines,
        }
    }

    /// Returns the value of a label.
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        let found = self.labels.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What became of lines.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) records: Vec<Record>,
    /// Lines that were dropped, by reason, in their order.
    pub(crate) dropped: Vec<(String, u64)>,
    /// Lines that came out, either way.
    pub(crate) lines: u64,
}

impl Passed {
    /// Returns the only record; `None` where the line was dropped.
    pub(crate) fn only(&self) -> Option<&Record> {
        assert!(self.records.len() <= 1, "one line, one record: {self:?}");
        self.records.first()
    }

    fn take(&mut self, outcome: &Outcome<'_>, read_to: u64) {
        let (parts, lines) = match outcome {
            Outcome::Record(record) => (record.parts, record.lines),
            Outcome::Dropped(dropped) => (dropped.parts, dropped.lines),
        };
        assert!(lines > 0 && !parts.is_empty(), "{outcome:?}");
        for part in parts {
            let Span { start, end } = part.span;
            assert!(start < end && end <= read_to, "{part:?} of {read_to} bytes");
        }
        self.lines += lines;
        match outcome {
            Outcome::Record(record) => self.records.push(Record::of(record)),
            Outcome::Dropped(dropped) => self.dropped.push((dropped.reason.to_owned(), lines)),
        }
    }
}

/// Reads lines of one file through a worker.
pub(crate) struct Pass<'l> {
    worker: Worker,
    labels: &'l LabelSet,
    /// The offset after each line.
    ends: Vec<u64>,
    pub(crate) passed: Passed,
}

impl<'l> Pass<'l> {
    pub(crate) fn new(stages: &Stages, labels: &'l LabelSet) -> Self {
        Self {
            worker: stages.worker(),
            labels,
            ends: Vec::new(),
            passed: Passed::default(),
        }
    }

    /// Reads a line that ends with one byte more, and checks that none is lost before the position.
    pub(crate) fn line(&mut self, line: &[u8]) {
        let start = self.read_to();
        let span = Span {
            start,
            end: start + u64::try_from(line.len()).unwrap_or(u64::MAX) + 1,
        };
        self.entry(line, span);
    }

    /// As [`Pass::line`], with the span that a framer gave.
    pub(crate) fn entry(&mut self, line: &[u8], span: Span) {
        let timestamp = self.now();
        let entry = Entry {
            file: FILE,
            seed: 7,
            span,
            line,
            timestamp,
            labels: self.labels,
        };
        self.ends.push(span.end);
        let passed = &mut self.passed;
        self.worker
            .process(&entry, &mut |outcome| passed.take(&outcome, span.end));
        self.check_position();
    }

    /// Gives the groups that waited too long, as if that much time had gone by.
    pub(crate) fn flush(&mut self, after_ns: u64) {
        let now = TimestampNs(self.now().0.saturating_add(after_ns));
        let (passed, read_to) = (&mut self.passed, self.ends.last().copied().unwrap_or(0));
        self.worker
            .flush(now, &mut |outcome| passed.take(&outcome, read_to));
        self.check_position();
    }

    /// Ends the file: every line came out, and once.
    pub(crate) fn finish(mut self) -> Passed {
        let (passed, read_to) = (&mut self.passed, self.ends.last().copied().unwrap_or(0));
        self.worker
            .finish(FILE, &mut |outcome| passed.take(&outcome, read_to));
        assert_eq!(self.worker.held_from(FILE), None, "held after the end");
        assert_eq!(self.passed.lines, self.lines_in(), "lines came out");
        self.passed
    }

    /// Returns the first byte that must be read again after a stop.
    pub(crate) fn position(&self) -> u64 {
        self.worker.held_from(FILE).unwrap_or(self.read_to())
    }

    fn read_to(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    fn lines_in(&self) -> u64 {
        u64::try_from(self.ends.len()).unwrap_or(u64::MAX)
    }

    fn now(&self) -> TimestampNs {
        TimestampNs(NOW + self.lines_in() * MILLISECOND)
    }

    /// All lines below the position are out, and no line is out twice.
    fn check_position(&self) {
        let position = self.position();
        let below = self.ends.partition_point(|end| *end <= position);
        let below = u64::try_from(below).unwrap_or(u64::MAX);
        let out = self.passed.lines;
        assert!(below <= out, "{out} lines out of {below} before {position}");
        assert!(out <= self.lines_in(), "{out} lines out");
    }
}

/// Returns the labels of the file, with one more where `text` can be one.
pub(crate) fn labels(text: Option<&str>) -> LabelSet {
    let pairs = [("job", Some("test")), ("v", text)];
    let given = pairs
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    LabelSet::new(given).expect("both are names")
}

/// Passes lines twice, and checks that the same became of them.
pub(crate) fn lines<'a>(
    stages: &Stages,
    labels: &LabelSet,
    lines: impl Iterator<Item = &'a [u8]> + Clone,
) -> Passed {
    let once = pass(stages, labels, lines.clone());
    let again = pass(stages, labels, lines);
    assert_eq!(once, again, "the same lines give the same records");
    once
}

/// Passes lines once.
pub(crate) fn pass<'a>(
    stages: &Stages,
    labels: &LabelSet,
    lines: impl Iterator<Item = &'a [u8]>,
) -> Passed {
    let mut pass = Pass::new(stages, labels);
    lines.for_each(|line| pass.line(line));
    pass.finish()
}

/// Passes a single line.
pub(crate) fn one(stages: &Stages, line: &[u8]) -> Passed {
    pass(stages, &labels(None), std::iter::once(line))
}

/// Reads and compiles a list that is known to be right.
pub(crate) fn list(yaml: &str) -> Stages {
    let stages: Vec<StageConfig> = serde_saphyr::from_str(yaml).expect("the list is valid YAML");
    Stages::compile(&stages).expect("the list is right")
}

/// Compiles a list that may be wrong; then it is refused with words.
pub(crate) fn compile(stages: &[StageConfig]) -> Option<Stages> {
    Stages::compile(stages)
        .map_err(|error| check_error(&error, stages))
        .ok()
}

fn check_error(error: &CompileError, stages: &[StageConfig]) {
    assert!(!error.path().is_empty() && !error.problem().is_empty());
    assert!(!error.hint().is_empty());
    let configured = format!("{stages:?}").len();
    let words = error.to_string().len();
    assert!(words <= MAX_ERROR_BYTES + 4 * configured, "{words} bytes");
}
