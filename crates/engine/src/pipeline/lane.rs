//! The path of a line: from the framer into the open batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tailwater_batcher::{Fill, OpenBatch};
use tailwater_record::{BatchId, RecordView, TimestampNs};
use tailwater_tailer::{Chunk, FrameStats, Framer};

use crate::books::RouteIndex;
use crate::route::{MAX_METADATA, Route, SinkEnd, SourceEnd};
use crate::sender::Desk;

/// The open batch of one sink and tenant.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) sink: u32,
    pub(super) tenant: Option<Arc<str>>,
    pub(super) batch: OpenBatch,
}

/// Timestamps that rise by at least one step per record, and that no other thread gives.
#[derive(Debug)]
pub(super) struct Stamps {
    pub(super) last: u64,
    pub(super) step: u64,
    pub(super) phase: u64,
}

impl Stamps {
    /// Goes on from the clock, never back.
    pub(super) fn catch_up(&mut self, now_ns: u64) {
        let aligned = now_ns - now_ns % self.step + self.phase;
        self.last = self.last.max(aligned);
    }

    fn next(&mut self) -> TimestampNs {
        self.last = self.last.saturating_add(self.step);
        TimestampNs(self.last)
    }
}

/// One chunk's way into the batch of its sink.
pub(super) struct Lane<'a> {
    pub(super) slot: &'a mut Slot,
    pub(super) end: &'a SinkEnd,
    pub(super) desk: &'a Desk,
    pub(super) batch_ids: &'a AtomicU64,
    pub(super) route: &'a Route,
    pub(super) stamps: &'a mut Stamps,
    pub(super) now: Instant,
}

impl Lane<'_> {
    /// Copies every line of the chunk, once, and seals batches as they fill; returns whether it stopped
    /// for want of room.
    pub(super) fn take(
        &mut self,
        framer: &mut Framer<'_>,
        chunk: &Chunk<'_>,
        source: &SourceEnd,
    ) -> bool {
        let metadata = Metadata::of(source);
        let mut digits = [0_u8; 20];
        let mut tally = Tally {
            book: self.route.book,
            records: 0,
            bytes: 0,
        };
        self.slot
            .batch
            .start_span(self.route.cursor, chunk.offset, self.now);
        let mut is_blocked = false;
        while let Some(framed) = framer.next() {
            let with_offset = metadata.with_offset(framed.span.start, &mut digits);
            let record = RecordView {
                line: framed.line,
                span: framed.span,
                timestamp: self.stamps.next(),
                labels: &self.route.labels,
                metadata: with_offset
                    .as_ref()
                    .map_or(metadata.fixed(), Metadata::fixed),
            };
            tally.records += 1;
            tally.bytes += framed.line.len() as u64;
            if self.slot.batch.append(&record) == Fill::IsFull {
                let offset = framer.offset();
                self.slot.batch.end_span(offset, chunk.marker_at(offset));
                tally.enter(self.desk);
                seal_slot(self.slot, self.end, self.desk, self.batch_ids, self.now);
                self.slot
                    .batch
                    .start_span(self.route.cursor, offset, self.now);
                is_blocked = !self.end.outlet.queue.has_room();
                if is_blocked {
                    break;
                }
            }
        }
        let offset = framer.offset();
        self.slot.batch.end_span(offset, chunk.marker_at(offset));
        tally.enter(self.desk);
        is_blocked
    }
}

/// Records of one chunk that the books do not hold yet.
struct Tally {
    book: RouteIndex,
    records: u64,
    bytes: u64,
}

impl Tally {
    /// Enters them, before their batch can be acked.
    fn enter(&mut self, desk: &Desk) {
        if self.records == 0 {
            return;
        }
        let (records, bytes) = (
            std::mem::take(&mut self.records),
            std::mem::take(&mut self.bytes),
        );
        desk.books.change(self.book, |books| {
            books.read_records += records;
            books.read_bytes += bytes;
            books.in_flight_records += records;
        });
    }
}

/// Structured metadata of a source's records.
struct Metadata<'a> {
    pairs: [(&'a str, &'a str); MAX_METADATA],
    len: usize,
    offset_name: Option<&'a str>,
}

impl<'a> Metadata<'a> {
    fn of(source: &'a SourceEnd) -> Self {
        let mut pairs = [("", ""); MAX_METADATA];
        let mut len = 0;
        for (target, (name, value)) in pairs
            .iter_mut()
            .zip(&source.structured_metadata)
            .take(MAX_METADATA - 1)
        {
            *target = (name, value);
            len += 1;
        }
        Self {
            pairs,
            len,
            offset_name: source.offset_metadata.as_deref(),
        }
    }

    /// The pairs that every record has.
    fn fixed(&self) -> &[(&'a str, &'a str)] {
        self.pairs.get(..self.len).unwrap_or_default()
    }

    /// Returns the pairs with the record's offset, where the source wants it; the digits are written
    /// into `digits`.
    fn with_offset<'r>(&self, offset: u64, digits: &'r mut [u8; 20]) -> Option<Metadata<'r>>
    where
        'a: 'r,
    {
        let name = self.offset_name?;
        let mut all = Metadata {
            pairs: self.pairs,
            len: self.len,
            offset_name: None,
        };
        *all.pairs.get_mut(all.len)? = (name, decimal(offset, digits));
        all.len += 1;
        Some(all)
    }
}

fn decimal(mut value: u64, digits: &mut [u8; 20]) -> &str {
    let mut start = digits.len();
    for (index, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
        start = index;
        if value == 0 {
            break;
        }
    }
    std::str::from_utf8(digits.get(start..).unwrap_or_default()).unwrap_or_default()
}

pub(super) fn seal_slot(
    slot: &mut Slot,
    end: &SinkEnd,
    desk: &Desk,
    ids: &AtomicU64,
    now: Instant,
) {
    let id = BatchId(ids.fetch_add(1, Ordering::Relaxed));
    let Some((batch, stats)) = slot.batch.seal(id) else {
        return;
    };
    desk.ledger.enter(&batch.spans, now);
    if stats.replaced_utf8_records > 0
        && let Some(account) = batch
            .spans
            .first()
            .and_then(|span| desk.ledger.account(span.cursor))
    {
        desk.books.change(account.route, |books| {
            books.replaced_lines += stats.replaced_utf8_records;
        });
    }
    end.outlet.queue.push(batch);
}

pub(super) fn enter_stats(desk: &Desk, book: RouteIndex, stats: &FrameStats) {
    if *stats == FrameStats::default() {
        return;
    }
    desk.books.change(book, |books| {
        books.truncated_lines += stats.truncated_lines;
        books.split_lines += stats.split_lines;
        books.skipped_bytes += stats.skipped_bytes;
        books.hole_bytes += stats.hole_bytes;
        books.replaced_lines += stats.undecodable_lines;
    });
}
