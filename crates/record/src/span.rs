//! Places in files, and the view of one record.

use crate::{LabelSet, Severity};

/// In-process handle of one generation of a file; never stored, never reused.
///
/// A file that is truncated gets a new handle: it has a new content from its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u64);

/// One reader in one file, of a source for a sink: what a position belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CursorId {
    /// The file that is read.
    pub file: FileId,
    /// The sink that the lines go to: its index in the running configuration.
    pub sink: u32,
    /// Tells the readers of several sources apart that feed one sink; never reused within a file.
    pub reader: u32,
}

/// The half-open range `[start, end)` of byte offsets in one file.
///
/// # Invariants
/// `start <= end`, and the spans of one cursor touch: each starts where the last one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u64,
    /// Offset after the last byte, the line's delimiter included.
    pub end: u64,
}

impl Span {
    /// Returns the length in bytes.
    pub fn len(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Returns whether the span covers nothing.
    pub fn is_empty(self) -> bool {
        self.end <= self.start
    }
}

/// Nanoseconds since the Unix epoch.
///
/// Assigned once per record and distinct within a stream, so that a repeat of the same bytes is
/// recognised by a backend that compares (stream, timestamp, line).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimestampNs(pub u64);

impl TimestampNs {
    const PER_SECOND: u64 = 1_000_000_000;

    /// Returns whole seconds and the nanoseconds within the second (`< 1_000_000_000`).
    pub fn parts(self) -> (u64, u32) {
        let nanos = u32::try_from(self.0 % Self::PER_SECOND).unwrap_or(0);
        (self.0 / Self::PER_SECOND, nanos)
    }
}

/// One framed record on its way to a sink's encoder.
///
/// Borrows the read buffer: nothing is allocated for a record.
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'a> {
    /// The line without its delimiter; any bytes, not necessarily UTF-8.
    pub line: &'a [u8],
    /// Where the line stands in its file, delimiter included.
    pub span: Span,
    /// The time of the record.
    pub timestamp: TimestampNs,
    /// The stream the record belongs to.
    pub labels: &'a LabelSet,
    /// How grave it is, where that is known. An encoder does not write it: where it is sent, it stands
    /// among the labels or the structured metadata.
    pub severity: Option<Severity>,
    /// Structured metadata: names and values that are not part of the stream's identity.
    pub metadata: &'a [(&'a str, &'a str)],
}
