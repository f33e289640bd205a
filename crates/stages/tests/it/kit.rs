//! Runs a list of stages, as it stands in a configuration, over lines.

use tailwater_record::{FileId, LabelSet, Severity, Span, TimestampNs};
use tailwater_stages::{CompileError, Entry, Outcome, Processed, StageConfig, Stages, Worker};

/// 2026-11-21T10:00:00Z: when the first line is read. Each further one is read 1 ms later.
pub(crate) const NOW: u64 = 1_795_255_200_000_000_000;
pub(crate) const SECOND: u64 = 1_000_000_000;
const MILLISECOND: u64 = 1_000_000;

/// A record that left the stages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) line: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) timestamp: u64,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) metadata: Vec<(String, String)>,
    /// Its text.
    pub(crate) severity: Option<&'static str>,
    pub(crate) tenant: Option<String>,
    pub(crate) spans: Vec<(u64, u64, u64)>,
    pub(crate) lines: u64,
}

impl Record {
    fn of(record: &Processed<'_>) -> Self {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let parts = record.parts.iter();
        Self {
            line: String::from_utf8_lossy(record.line).into_owned(),
            bytes: record.line.to_vec(),
            timestamp: record.timestamp.0,
            labels: record.labels.iter().map(owned).collect(),
            metadata: record.metadata.iter().copied().map(owned).collect(),
            severity: record.severity.map(Severity::as_str),
            tenant: record.tenant.map(str::to_owned),
            spans: parts
                .map(|part| (part.file.0, part.span.start, part.span.end))
                .collect(),
            lines: record.lines,
        }
    }

    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        let found = self.labels.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

pub(crate) fn stages(yaml: &str) -> Vec<StageConfig> {
    serde_saphyr::from_str(yaml).unwrap()
}

pub(crate) fn compile_error(yaml: &str) -> CompileError {
    Stages::compile(&stages(yaml)).unwrap_err()
}

pub(crate) fn set(labels: &[(&str, &str)]) -> LabelSet {
    LabelSet::new(labels.iter().copied()).unwrap()
}

/// A worker, the files it reads, and what came out.
pub(crate) struct Run {
    pub(crate) stages: Stages,
    pub(crate) worker: Worker,
    pub(crate) labels: LabelSet,
    pub(crate) file: u64,
    pub(crate) now: u64,
    offset: u64,
    pub(crate) records: Vec<Record>,
    pub(crate) dropped: Vec<(String, u64)>,
}

impl Run {
    pub(crate) fn new(yaml: &str) -> Self {
        let stages = Stages::compile(&stages(yaml)).unwrap();
        Self {
            worker: stages.worker(),
            stages,
            labels: set(&[("job", "test")]),
            file: 1,
            now: NOW,
            offset: 0,
            records: Vec::new(),
            dropped: Vec::new(),
        }
    }

    pub(crate) fn labels(mut self, labels: &[(&str, &str)]) -> Self {
        self.labels = set(labels);
        self
    }

    /// Reads a line.
    pub(crate) fn line(&mut self, line: impl AsRef<[u8]>) -> &mut Self {
        let line = line.as_ref();
        let end = self.offset + line.len() as u64 + 1;
        let entry = Entry {
            file: FileId(self.file),
            seed: 7,
            span: Span {
                start: self.offset,
                end,
            },
            line,
            timestamp: TimestampNs(self.now),
            labels: &self.labels,
        };
        let (records, dropped) = (&mut self.records, &mut self.dropped);
        self.worker
            .process(&entry, &mut |outcome| note(&outcome, records, dropped));
        self.offset = end;
        self.now += MILLISECOND;
        self
    }

    /// Reads the file from a place on.
    pub(crate) fn resume_at(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// Where the next line stands.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) fn flush(&mut self) -> &mut Self {
        let (records, dropped) = (&mut self.records, &mut self.dropped);
        let now = TimestampNs(self.now);
        self.worker
            .flush(now, &mut |outcome| note(&outcome, records, dropped));
        self
    }

    pub(crate) fn finish(&mut self) -> &mut Self {
        let (records, dropped) = (&mut self.records, &mut self.dropped);
        let file = FileId(self.file);
        self.worker
            .finish(file, &mut |outcome| note(&outcome, records, dropped));
        self
    }

    pub(crate) fn held_from(&mut self) -> Option<u64> {
        self.worker.held_from(FileId(self.file))
    }

    /// The lines that came out.
    pub(crate) fn lines(&self) -> Vec<&str> {
        self.records
            .iter()
            .map(|record| record.line.as_str())
            .collect()
    }

    /// The last record.
    pub(crate) fn last(&self) -> &Record {
        self.records.last().expect("a record came out")
    }
}

fn note(outcome: &Outcome<'_>, records: &mut Vec<Record>, dropped: &mut Vec<(String, u64)>) {
    match outcome {
        Outcome::Record(record) => records.push(Record::of(record)),
        Outcome::Dropped(lines) => dropped.push((lines.reason.to_owned(), lines.lines)),
    }
}

/// The only record of a line.
pub(crate) fn one(yaml: &str, line: impl AsRef<[u8]>) -> Record {
    let mut run = Run::new(yaml);
    run.line(line);
    assert_eq!(run.records.len(), 1, "{:?}", run.dropped);
    run.records.remove(0)
}

/// The value that a list of stages extracts under `name`, made visible as a label.
pub(crate) fn extracted(yaml: &str, name: &str, line: impl AsRef<[u8]>) -> Option<String> {
    let yaml = format!("{yaml}\n- labels: {{ out__: {name} }}");
    one(&yaml, line).label("out__").map(str::to_owned)
}

/// Nanoseconds of a time that another parser reads.
pub(crate) fn ns(rfc3339: &str) -> u64 {
    let time: jiff::Timestamp = rfc3339.parse().unwrap();
    u64::try_from(time.as_nanosecond()).unwrap()
}
