//! Sealed batches: the unit of sending, spilling and acknowledging.

use std::sync::Arc;

use bytes::Bytes;

use crate::{CursorId, Marker, Span, TimestampNs};

/// Number of a batch, rising within a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchId(pub u64);

/// Which records of a span a batch holds. Those of several tenants are in batches that are sealed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Share {
    /// All of them: once it is settled or durable, so is the span.
    #[default]
    All,
    /// Some, and it stands for the span: the others are made again with it.
    Lead,
    /// Some.
    Part,
}

/// What one batch covers of one cursor's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchSpan {
    /// Whose position moves when the batch is resolved.
    pub cursor: CursorId,
    /// The bytes that are covered; spans of one cursor follow each other without a gap.
    pub span: Span,
    /// Whether the batch holds all records of the span.
    pub share: Share,
    /// How the bytes at `span.start` are framed: a number of the framer's, 0 at the start of a line.
    pub start_place: u8,
    /// How the bytes at `span.end` are framed.
    pub end_place: u8,
    /// The guard of `span.end`.
    pub marker: Marker,
    /// When the first line was read; each further line one step of its pipeline thread later. So a span
    /// that is read again gives the same records. 0 where there is none.
    pub first_timestamp: TimestampNs,
    /// How many lines have such a timestamp. As many as there are records, but where stages drop and join
    /// lines.
    pub lines: u32,
    /// How many records stand in the span; 0 where all of it was skipped. Where stages join lines, bytes
    /// of a record may also stand behind the span: it ends where the first open group of lines begins.
    pub records: u32,
    /// Bytes of those lines, without delimiters.
    pub line_bytes: u64,
}

/// A sealed batch: the exact bytes of the wire and what they stand for.
///
/// # Invariants
/// Immutable; the same bytes go to memory, to disk and to the wire, and again on every retry.
/// `record_ends` has one entry per record, in the order of `spans` and of the records in `body`.
#[derive(Clone, Debug)]
pub struct EncodedBatch {
    /// Its number.
    pub id: BatchId,
    /// What goes on the wire, compressed.
    pub body: Bytes,
    /// The tenant it is sent for, where the source names one.
    pub tenant: Option<Arc<str>>,
    /// What it covers, in the order the records were appended.
    pub spans: Vec<BatchSpan>,
    /// For each record, the offset after it (delimiter included), counted from its span's start.
    pub record_ends: Vec<u32>,
}

impl EncodedBatch {
    /// Returns the number of records.
    pub fn records(&self) -> u32 {
        u32::try_from(self.record_ends.len()).unwrap_or(u32::MAX)
    }

    /// Returns the bytes the batch holds in memory, for the budgets.
    pub fn memory_bytes(&self) -> u64 {
        let spans = self.spans.len().saturating_mul(size_of::<BatchSpan>());
        let ends = self.record_ends.len().saturating_mul(size_of::<u32>());
        u64::try_from(self.body.len().saturating_add(spans).saturating_add(ends))
            .unwrap_or(u64::MAX)
    }
}
