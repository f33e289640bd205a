//! Gathers records into batches: limits, sealing, spans.
//!
//! One [`OpenBatch`] stands for one sink and one tenant on one pipeline thread, and takes the lines
//! of every file that goes there, so that fifty quiet files make one request a second and not fifty.
//! It knows no protocol: the sink's [`Encode`] lays out the bytes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tailwater_record::{
    BatchId, BatchSpan, CursorId, EncodedBatch, Marker, RecordView, Share, TimestampNs,
};
use tailwater_sink::{Encode, EncodeStats};

/// When an open batch is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Encoded bytes before compression; one record more than this is sent alone.
    pub max_bytes: usize,
    /// Records.
    pub max_records: u32,
    /// Age of the first record.
    pub max_wait: Duration,
}

impl Default for BatchLimits {
    /// 1 MiB, 65,536 records, 1 s: Promtail's own size and wait (`facts/promtail.md`, section 1.4),
    /// well below Loki's default burst of 6 MB, above which a push can never pass.
    fn default() -> Self {
        Self {
            max_bytes: 1 << 20,
            max_records: 1 << 16,
            max_wait: Duration::from_secs(1),
        }
    }
}

/// Says whether the batch can take more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Fill {
    /// There is room.
    HasRoom,
    /// Seal before the next record.
    IsFull,
}

/// The batch that records are being added to.
pub struct OpenBatch {
    encoder: Box<dyn Encode>,
    limits: BatchLimits,
    tenant: Option<Arc<str>>,
    share: Share,
    /// Nanoseconds from one record's timestamp to the next within a span.
    timestamp_step: u64,
    opened_at: Option<Instant>,
    spans: Vec<BatchSpan>,
    record_ends: Vec<u32>,
    /// The span that records are being added to, until [`OpenBatch::end_span`].
    current: Option<BatchSpan>,
}

impl std::fmt::Debug for OpenBatch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("OpenBatch")
            .field("limits", &self.limits)
            .field("tenant", &self.tenant)
            .field("opened_at", &self.opened_at)
            .field("records", &self.record_ends.len())
            .finish_non_exhaustive()
    }
}

impl OpenBatch {
    /// Opens an empty batch. The timestamps of the records of one span are to be `timestamp_step`
    /// nanoseconds apart.
    pub fn new(
        encoder: Box<dyn Encode>,
        limits: BatchLimits,
        tenant: Option<Arc<str>>,
        timestamp_step: u64,
    ) -> Self {
        Self {
            encoder,
            limits,
            tenant,
            share: Share::All,
            timestamp_step,
            opened_at: None,
            spans: Vec::new(),
            record_ends: Vec::new(),
            current: None,
        }
    }

    /// Makes it one that takes the records of one tenant out of spans that another batch covers.
    #[must_use]
    pub fn into_part(self) -> Self {
        Self {
            share: Share::Part,
            ..self
        }
    }

    /// Starts a span of `cursor` at `start`, where the bytes are framed as `place` says. What is
    /// appended next belongs to it.
    ///
    /// # Panics
    /// Where the last span was not ended: the caller's mistake.
    pub fn start_span(&mut self, cursor: CursorId, start: u64, place: u8, now: Instant) {
        assert!(
            self.current.is_none(),
            "a span is started before the last one was ended"
        );
        self.opened_at.get_or_insert(now);
        self.current = Some(BatchSpan {
            cursor,
            span: tailwater_record::Span { start, end: start },
            share: self.share,
            start_place: place,
            end_place: place,
            marker: Marker::default(),
            first_timestamp: TimestampNs(0),
            lines: 0,
            records: 0,
            line_bytes: 0,
        });
    }

    /// Notes that a line of the span was read at a time: for lines that stages drop or join. A line that
    /// is a record needs no note.
    ///
    /// # Panics
    /// Where no span was started: the caller's mistake.
    pub fn note_line(&mut self, read_at: TimestampNs) {
        let span = self
            .current
            .as_mut()
            .expect("a line is noted inside a span");
        if span.lines == 0 {
            span.first_timestamp = read_at;
        }
        span.lines = span.lines.saturating_add(1);
    }

    /// Copies a line into the batch, as the record that it is.
    ///
    /// # Panics
    /// Where no span was started: the caller's mistake.
    pub fn append(&mut self, record: &RecordView<'_>) -> Fill {
        self.note_line(record.timestamp);
        self.append_made(record)
    }

    /// Copies a record into the batch that was made of lines which are noted by themselves.
    ///
    /// # Panics
    /// Where no span was started: the caller's mistake.
    pub fn append_made(&mut self, record: &RecordView<'_>) -> Fill {
        let span = self
            .current
            .as_mut()
            .expect("a record is appended inside a span");
        self.encoder.append(record);
        let end = record.span.end.saturating_sub(span.span.start);
        self.record_ends
            .push(u32::try_from(end).unwrap_or(u32::MAX));
        span.records = span.records.saturating_add(1);
        span.line_bytes = span.line_bytes.saturating_add(record.line.len() as u64);
        if self.encoder.len() >= self.limits.max_bytes || self.is_full_of_records() {
            return Fill::IsFull;
        }
        Fill::HasRoom
    }

    /// Ends the span at `end`, the offset that `marker` guards and whose bytes are framed as `place`
    /// says.
    ///
    /// A span without bytes and records is dropped. One without records is kept, for its bytes were read
    /// and skipped; so is one without bytes, whose records stages have made of lines behind an open group.
    /// Where the last span of the batch is the same cursor's, and its timestamps go on in this one,
    /// both become one.
    ///
    /// # Panics
    /// Where no span was started: the caller's mistake.
    pub fn end_span(&mut self, end: u64, marker: Marker, place: u8) {
        let mut ended = self
            .current
            .take()
            .expect("a span is ended after it was started");
        assert!(end >= ended.span.start, "a span ends at or after its start");
        ended.span.end = end;
        ended.marker = marker;
        ended.end_place = place;
        if ended.span.is_empty() && ended.records == 0 {
            if self.is_empty() {
                self.opened_at = None;
            }
            return;
        }
        match self.spans.last_mut() {
            Some(last) if can_join(last, &ended, self.timestamp_step) => self.join_last(&ended),
            _ => self.spans.push(ended),
        }
    }

    /// Returns whether there is nothing to seal.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty() && self.current.is_none()
    }

    /// Returns when the batch must be sealed at the latest, if there is anything in it.
    pub fn deadline(&self) -> Option<Instant> {
        self.opened_at
            .map(|opened_at| opened_at + self.limits.max_wait)
    }

    /// Seals the batch and opens the next one. `None` where it is empty.
    ///
    /// # Panics
    /// Where a span is still open: the caller's mistake.
    pub fn seal(&mut self, id: BatchId) -> Option<(EncodedBatch, EncodeStats)> {
        assert!(self.current.is_none(), "a batch is sealed between spans");
        self.opened_at = None;
        if self.spans.is_empty() {
            return None;
        }
        let encoded = self.encoder.seal();
        let batch = EncodedBatch {
            id,
            body: encoded.body,
            tenant: self.tenant.clone(),
            spans: std::mem::take(&mut self.spans),
            // Exact in size: the queue holds many of these, and the next batch is likely as long.
            record_ends: self.record_ends.as_slice().into(),
        };
        self.record_ends.clear();
        Some((batch, encoded.stats))
    }

    fn is_full_of_records(&self) -> bool {
        u32::try_from(self.record_ends.len())
            .is_ok_and(|records| records >= self.limits.max_records)
    }

    /// Adds `ended` to the last span, its record ends counted from the start of that one.
    fn join_last(&mut self, ended: &BatchSpan) {
        let Some(last) = self.spans.last_mut() else {
            return;
        };
        let shift =
            u32::try_from(ended.span.start.saturating_sub(last.span.start)).unwrap_or(u32::MAX);
        let first = self
            .record_ends
            .len()
            .saturating_sub(ended.records as usize);
        for end in self.record_ends.iter_mut().skip(first) {
            *end = end.saturating_add(shift);
        }
        if last.lines == 0 {
            last.first_timestamp = ended.first_timestamp;
        }
        last.span.end = ended.span.end;
        last.marker = ended.marker;
        last.end_place = ended.end_place;
        last.lines = last.lines.saturating_add(ended.lines);
        last.records = last.records.saturating_add(ended.records);
        last.line_bytes = last.line_bytes.saturating_add(ended.line_bytes);
    }
}

/// Spans are joined where they touch, where the timestamps of the one go on in the other, and where the
/// whole still fits the width of a record end. Parts are never: each is to be covered by one span of the lead.
fn can_join(last: &BatchSpan, next: &BatchSpan, timestamp_step: u64) -> bool {
    let whole = next.span.end.saturating_sub(last.span.start);
    let covered = u64::from(last.lines).saturating_mul(timestamp_step);
    let next_timestamp = last.first_timestamp.0.saturating_add(covered);
    let is_continued =
        last.lines == 0 || next.lines == 0 || next.first_timestamp.0 == next_timestamp;
    last.share != Share::Part
        && last.cursor == next.cursor
        && last.span.end == next.span.start
        && is_continued
        && u32::try_from(whole).is_ok()
}

#[cfg(test)]
mod tests;
