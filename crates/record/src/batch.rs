//! Sealed batches: the unit of sending, spilling and acknowledging.

use std::sync::Arc;

use bytes::Bytes;

use crate::{CursorId, Marker, Span, TimestampNs};

/// Number of a batch, rising within a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchId(pub u64);

/// What one batch covers of one cursor's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchSpan {
    /// Whose position moves when the batch is resolved.
    pub cursor: CursorId,
    /// The bytes that are covered; spans of one cursor follow each other without a gap.
    pub span: Span,
    /// How the bytes at `span.start` are framed: a number of the framer's, 0 at the start of a line.
    pub start_place: u8,
    /// How the bytes at `span.end` are framed.
    pub end_place: u8,
    /// The guard of `span.end`.
    pub marker: Marker,
    /// The timestamp of the first record; each further record's is one step of its pipeline thread
    /// later. So a span that is read again gives the same records. 0 where there is none.
    pub first_timestamp: TimestampNs,
    /// How many records stand in the span; 0 where all of it was skipped.
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

/// Where one record of a batch came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordOrigin {
    /// The cursor that read it.
    pub cursor: CursorId,
    /// The bytes of its file.
    pub span: Span,
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

    /// Returns where the record with this index (`< records()`) came from.
    pub fn origin(&self, record_index: u32) -> Option<RecordOrigin> {
        let mut first_index = 0_u32;
        for span in &self.spans {
            let next_index = first_index.checked_add(span.records)?;
            if record_index < next_index {
                let index = usize::try_from(record_index).ok()?;
                let end = u64::from(*self.record_ends.get(index)?);
                let start = match record_index
                    .checked_sub(1)
                    .filter(|_| record_index > first_index)
                {
                    Some(previous) => {
                        u64::from(*self.record_ends.get(usize::try_from(previous).ok()?)?)
                    }
                    None => 0,
                };
                let origin = span.span.start;
                return Some(RecordOrigin {
                    cursor: span.cursor,
                    span: Span {
                        start: origin.checked_add(start)?,
                        end: origin.checked_add(end)?,
                    },
                });
            }
            first_index = next_index;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FileId;

    #[test]
    fn every_record_of_a_batch_is_traced_to_its_file_and_offset() {
        let cursor = |file| CursorId {
            file: FileId(file),
            sink: 0,
        };
        let span = |file, start, end, records| BatchSpan {
            cursor: cursor(file),
            span: Span { start, end },
            start_place: 0,
            end_place: 0,
            marker: Marker::default(),
            first_timestamp: TimestampNs(0),
            records,
            line_bytes: 0,
        };
        let batch = EncodedBatch {
            id: BatchId(1),
            body: Bytes::new(),
            tenant: None,
            spans: vec![span(1, 100, 130, 2), span(2, 0, 5, 0), span(3, 7, 20, 1)],
            record_ends: vec![10, 30, 13],
        };
        let found: Vec<_> = (0..4).map(|index| batch.origin(index)).collect();
        let expect = |file, start, end| {
            Some(RecordOrigin {
                cursor: cursor(file),
                span: Span { start, end },
            })
        };
        assert_eq!(
            found,
            [
                expect(1, 100, 110),
                expect(1, 110, 130),
                expect(3, 7, 20),
                None
            ]
        );
    }
}
