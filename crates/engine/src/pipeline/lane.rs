//! The path of a line: from the framer into the open batch.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tailwater_batcher::{Fill, OpenBatch};
use tailwater_failpoint::failpoint;
use tailwater_record::{BatchId, Level, RecordView, TimestampNs};
use tailwater_tailer::{Chunk, FrameStats, Framer};

use crate::books::RouteIndex;
use crate::config::WhenExceeded;
use crate::desk::Desk;
use crate::queue::Queued;
use crate::rate::Allowance;
use crate::route::{MAX_METADATA, Route, SinkEnd, SourceEnd};

/// The open batch of one lane.
#[derive(Debug)]
pub(super) struct Slot {
    /// The number of the lane's outlet.
    pub(super) sink: u32,
    pub(super) batch: OpenBatch,
    /// For each record whether it is dropped last; empty where the lane's policy keeps none.
    pub(super) kept: Vec<bool>,
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

/// What a chunk came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// All of it was framed that can be.
    Whole,
    /// The lane has no room.
    NoRoom,
    /// The source is read as fast as it may be; it goes on after this time.
    TooFast(Duration),
}

/// One chunk's way into the batch of its lane.
pub(super) struct Lane<'a> {
    pub(super) slot: &'a mut Slot,
    pub(super) end: &'a SinkEnd,
    pub(super) desk: &'a Desk,
    pub(super) route: &'a Route,
    pub(super) stamps: &'a mut Stamps,
    pub(super) allowance: &'a mut Allowance,
    pub(super) now: Instant,
}

impl Lane<'_> {
    /// Copies every line of the chunk, once, and seals batches as they fill.
    pub(super) fn take(
        &mut self,
        framer: &mut Framer<'_>,
        chunk: &Chunk<'_>,
        source: &SourceEnd,
    ) -> Taken {
        let metadata = Metadata::of(source);
        let keep = Some(&self.end.outlet.queue.policy().keep).filter(|keep| !keep.is_empty());
        let rate_limiter = source.rate_limiter.as_deref();
        let mut digits = [0_u8; 20];
        let mut tally = Tally::new(self.route.book);
        let (cursor, place) = (self.route.cursor, framer.state().code());
        self.slot
            .batch
            .start_span(cursor, chunk.offset, place, self.now);
        let mut taken = Taken::Whole;
        loop {
            let mut is_over_rate = false;
            if let Some(limiter) = rate_limiter
                && let Err(wait) = limiter.allow(self.allowance)
            {
                if limiter.when_exceeded == WhenExceeded::Block {
                    taken = Taken::TooFast(wait);
                    break;
                }
                is_over_rate = true;
            }
            let Some(line) = framer.next() else {
                break;
            };
            tally.add(line.line, is_over_rate);
            if is_over_rate {
                continue;
            }
            self.allowance.spend(line.line.len());
            let with_offset = metadata.with_offset(line.span.start, &mut digits);
            let record = RecordView {
                line: line.line,
                span: line.span,
                timestamp: self.stamps.next(),
                labels: &self.route.labels,
                metadata: with_offset
                    .as_ref()
                    .map_or(metadata.fixed(), Metadata::fixed),
            };
            if let Some(keep) = keep {
                let level = Level::detect(line.line);
                self.slot
                    .kept
                    .push(level.is_some_and(|level| keep.holds(level)));
            }
            if self.slot.batch.append(&record) == Fill::IsFull {
                let (offset, place) = (framer.offset(), framer.state().code());
                self.slot
                    .batch
                    .end_span(offset, chunk.marker_at(offset), place);
                tally.enter(self.desk);
                seal_slot(self.slot, self.end, self.desk, None, self.now);
                self.slot.batch.start_span(cursor, offset, place, self.now);
                if !self.end.outlet.queue.has_room() {
                    taken = Taken::NoRoom;
                    break;
                }
            }
        }
        let (offset, place) = (framer.offset(), framer.state().code());
        self.slot
            .batch
            .end_span(offset, chunk.marker_at(offset), place);
        tally.enter(self.desk);
        taken
    }
}

/// Records of one chunk that the books do not hold yet.
pub(super) struct Tally {
    book: RouteIndex,
    records: u64,
    bytes: u64,
    over_rate: u64,
}

impl Tally {
    pub(super) fn new(book: RouteIndex) -> Self {
        Self {
            book,
            records: 0,
            bytes: 0,
            over_rate: 0,
        }
    }

    pub(super) fn add(&mut self, line: &[u8], is_over_rate: bool) {
        self.records += 1;
        self.bytes += line.len() as u64;
        self.over_rate += u64::from(is_over_rate);
    }

    /// Enters them, before their batch can be acked.
    pub(super) fn enter(&mut self, desk: &Desk) {
        if self.records == 0 {
            return;
        }
        let Self {
            book,
            records,
            bytes,
            over_rate,
        } = std::mem::replace(self, Self::new(self.book));
        desk.books.change(book, |books| {
            books.read_records += records;
            books.read_bytes += bytes;
            books.in_flight_records += records - over_rate;
            if over_rate > 0 {
                let dropped = &mut books.dropped_records;
                *dropped.entry("rate_limited".into()).or_default() += over_rate;
            }
        });
    }
}

/// Structured metadata of a source's records.
pub(super) struct Metadata<'a> {
    pairs: [(&'a str, &'a str); MAX_METADATA],
    len: usize,
    offset_name: Option<&'a str>,
}

impl<'a> Metadata<'a> {
    pub(super) fn of(source: &'a SourceEnd) -> Self {
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
    pub(super) fn fixed(&self) -> &[(&'a str, &'a str)] {
        self.pairs.get(..self.len).unwrap_or_default()
    }

    /// Returns the pairs with the record's offset, where the source wants it; the digits are written
    /// into `digits`.
    pub(super) fn with_offset<'r>(
        &self,
        offset: u64,
        digits: &'r mut [u8; 20],
    ) -> Option<Metadata<'r>>
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

/// Seals an open batch, under a number of its own or under the one that it had in an earlier run.
pub(super) fn seal_slot(
    slot: &mut Slot,
    end: &SinkEnd,
    desk: &Desk,
    id: Option<BatchId>,
    now: Instant,
) {
    let kept = std::mem::take(&mut slot.kept);
    let id = id.unwrap_or_else(|| BatchId(desk.next_batch.fetch_add(1, Ordering::Relaxed)));
    let Some((batch, stats)) = slot.batch.seal(id) else {
        return;
    };
    failpoint("seal");
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
    let batch = Arc::new(batch);
    let evicted = end.outlet.queue.push(Queued { batch, kept });
    desk.settle_evicted(&evicted, "queue_full");
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
