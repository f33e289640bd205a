//! The path of a line: from the framer into the open batch.

use std::time::{Duration, Instant};

use tailwater_batcher::Fill;
use tailwater_record::{RecordView, Severity, TimestampNs};
use tailwater_tailer::{Chunk, FrameStats, Framer};

use super::severity::Grading;
use super::slot::{Place, Slot};
use crate::books::{Reason, RouteBooks, RouteIndex};
use crate::config::{SEVERITY_METADATA, SeverityForm, WhenExceeded};
use crate::desk::Desk;
use crate::rate::{Allowance, SourceLimiter};
use crate::route::{MAX_METADATA, Route, SinkEnd, SourceEnd};

/// Why a record was dropped that came faster than its source may be read.
const RATE_LIMITED: &str = "rate_limited";

/// Timestamps that rise by at least one step per line, and that no other thread gives.
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

    /// Gives the timestamps that were given in an earlier run, from `first` on.
    pub(super) fn again(first: u64, step: u64) -> Self {
        Self {
            last: first.saturating_sub(step),
            step,
            phase: 0,
        }
    }

    pub(super) fn next(&mut self) -> TimestampNs {
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
    /// It is read as fast as it may be; it goes on after this time.
    TooFast(Duration),
}

/// A rate limit, as one thread asks it.
#[derive(Debug)]
pub(super) struct Gate<'a> {
    pub(super) limiter: Option<&'a SourceLimiter>,
    pub(super) allowance: &'a mut Allowance,
}

/// What a rate limit says to one more line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    Open,
    /// It is dropped.
    Drop,
    /// It is read later.
    Wait(Duration),
}

impl Gate<'_> {
    pub(super) fn ask(&mut self) -> Pass {
        let Some(limiter) = self.limiter else {
            return Pass::Open;
        };
        match (limiter.allow(self.allowance), limiter.when_exceeded) {
            (Ok(()), _) => Pass::Open,
            (Err(_), WhenExceeded::Drop) => Pass::Drop,
            (Err(wait), WhenExceeded::Block) => Pass::Wait(wait),
        }
    }

    pub(super) fn spend(&mut self, line_bytes: usize) {
        self.allowance.spend(line_bytes);
    }
}

/// What a chunk is sealed with as its batch fills.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seal<'a> {
    pub(super) end: &'a SinkEnd,
    pub(super) desk: &'a Desk,
    pub(super) now: Instant,
    /// The batch is sealed only where the chunk ends: it is made again as it was.
    pub(super) is_replay: bool,
}

impl<'a> Seal<'a> {
    /// Seals a full batch between two spans; returns whether the lane has room for another.
    pub(super) fn seal(&self, slot: &mut Slot) -> bool {
        if self.is_replay {
            return true;
        }
        slot.seal(self.end, self.desk, None, self.now);
        self.end.outlet.queue.has_room()
    }

    /// What is asked of the severity of records that are sent in a form.
    pub(super) fn grading(self, form: SeverityForm) -> Grading<'a> {
        Grading::new(form, &self.end.outlet.queue.policy().keep)
    }
}

/// One chunk's way into the batch of its lane, each line a record.
pub(super) struct Lane<'a> {
    pub(super) slot: &'a mut Slot,
    pub(super) route: &'a Route,
    pub(super) stamps: &'a mut Stamps,
    pub(super) own: Gate<'a>,
    pub(super) shared: Gate<'a>,
    pub(super) seal: Seal<'a>,
}

impl Lane<'_> {
    /// Copies every line of the chunk, once, and seals batches as they fill. Returns what it came to, and
    /// how many lines were read.
    pub(super) fn take(
        &mut self,
        framer: &mut Framer<'_>,
        chunk: &Chunk<'_>,
        start: Place,
        source: &SourceEnd,
    ) -> (Taken, u64) {
        let seal = self.seal;
        let (mut metadata, grading) = (Metadata::of(source), seal.grading(source.severity));
        let mut digits = [0_u8; 20];
        let mut tally = Tally::new(self.route.book);
        let cursor = self.route.cursor;
        self.slot.start_span(cursor, start, seal.now);
        let mut taken = Taken::Whole;
        loop {
            let (is_over_own, is_over_shared) = match (self.own.ask(), self.shared.ask()) {
                (Pass::Wait(wait), _) | (_, Pass::Wait(wait)) => {
                    taken = Taken::TooFast(wait);
                    break;
                }
                (own, shared) => (own == Pass::Drop, shared == Pass::Drop),
            };
            let Some(line) = framer.next() else {
                break;
            };
            tally.read(line.line);
            tally.records += 1;
            if is_over_own || is_over_shared {
                tally.drop_one(if is_over_own { RATE_LIMITED } else { OVER_ALL });
                continue;
            }
            self.own.spend(line.line.len());
            self.shared.spend(line.line.len());
            let severity = grading.grade(None, line.line);
            metadata.set_severity(grading.metadata(severity));
            let labels = &self.route.labels;
            let with_offset = metadata.with_offset(line.span.start, &mut digits);
            let record = RecordView {
                line: line.line,
                span: line.span,
                timestamp: self.stamps.next(),
                labels: self.route.leveled.get(labels, grading.label(severity)),
                severity,
                metadata: with_offset
                    .as_ref()
                    .map_or(metadata.fixed(), Metadata::fixed),
            };
            if self.slot.append(&record, grading.is_kept(severity)) == Fill::IsFull {
                let at = place(framer, chunk);
                self.slot.end_span(at);
                tally.enter(seal.desk);
                let has_room = seal.seal(self.slot);
                self.slot.start_span(cursor, at, seal.now);
                if !has_room {
                    taken = Taken::NoRoom;
                    break;
                }
            }
        }
        self.slot.end_span(place(framer, chunk));
        tally.enter(seal.desk);
        (taken, tally.all_lines)
    }
}

/// Why a record was dropped that came faster than all sources together may be read: Promtail's word.
pub(super) const OVER_ALL: &str = "global_rate_limiter_drop";

/// Returns how far a chunk is framed.
pub(super) fn place(framer: &Framer<'_>, chunk: &Chunk<'_>) -> Place {
    let offset = framer.offset();
    Place {
        offset,
        marker: chunk.marker_at(offset),
        code: framer.state().code(),
    }
}

/// What came of the lines of one chunk and does not stand in the books yet.
#[derive(Debug)]
pub(super) struct Tally {
    book: RouteIndex,
    /// Those that were entered already among them.
    pub(super) all_lines: u64,
    lines: u64,
    bytes: u64,
    pub(super) records: u64,
    pub(super) joined_lines: u64,
    dropped: Vec<Drops>,
}

/// Records that were dropped for one reason.
#[derive(Debug)]
struct Drops {
    reason: Reason,
    records: u64,
    is_counted_by_promtail: bool,
}

impl Tally {
    pub(super) fn new(book: RouteIndex) -> Self {
        Self {
            book,
            all_lines: 0,
            lines: 0,
            bytes: 0,
            records: 0,
            joined_lines: 0,
            dropped: Vec::new(),
        }
    }

    pub(super) fn read(&mut self, line: &[u8]) {
        self.lines += 1;
        self.all_lines += 1;
        self.bytes += line.len() as u64;
    }

    /// A record that was counted is dropped.
    pub(super) fn drop_one(&mut self, reason: &'static str) {
        self.drop_for(reason, true, || reason.into());
    }

    /// A record that was counted is dropped by a stage.
    pub(super) fn drop_by_stage(&mut self, reason: &str, is_counted_by_promtail: bool) {
        self.drop_for(reason, is_counted_by_promtail, || reason.to_owned().into());
    }

    fn drop_for(
        &mut self,
        reason: &str,
        is_counted_by_promtail: bool,
        name: impl FnOnce() -> Reason,
    ) {
        let known = self.dropped.iter_mut().find(|drops| drops.reason == reason);
        match known {
            Some(drops) => drops.records += 1,
            None => self.dropped.push(Drops {
                reason: name(),
                records: 1,
                is_counted_by_promtail,
            }),
        }
    }

    /// Enters it, before the batch can be acked.
    pub(super) fn enter(&mut self, desk: &Desk) {
        if self.lines == 0 && self.records == 0 {
            return;
        }
        let dropped: u64 = self.dropped.iter().map(|drops| drops.records).sum();
        desk.books.change(self.book, |books| {
            books.read_lines += self.lines;
            books.read_bytes += self.bytes;
            books.read_records += self.records;
            books.joined_lines += self.joined_lines;
            books.in_flight_records += self.records - dropped;
            self.dropped.iter().for_each(|drops| drops.enter(books));
        });
        (self.lines, self.bytes, self.records, self.joined_lines) = (0, 0, 0, 0);
        // The reasons stay, for their names.
        self.dropped.iter_mut().for_each(|drops| drops.records = 0);
    }
}

impl Drops {
    fn enter(&self, books: &mut RouteBooks) {
        if self.records == 0 {
            return;
        }
        let mut counts = vec![&mut books.dropped_records];
        if self.is_counted_by_promtail {
            counts.push(&mut books.dropped_by_stages);
        }
        for counts in counts {
            match counts.get_mut(&self.reason) {
                Some(count) => *count += self.records,
                None => drop(counts.insert(self.reason.clone(), self.records)),
            }
        }
    }
}

/// Structured metadata of a source's records.
pub(super) struct Metadata<'a> {
    pairs: [(&'a str, &'a str); MAX_METADATA],
    len: usize,
    /// How many of them all records have.
    common: usize,
    offset_name: Option<&'a str>,
}

impl<'a> Metadata<'a> {
    pub(super) fn of(source: &'a SourceEnd) -> Self {
        let mut all = Self {
            pairs: [("", ""); MAX_METADATA],
            len: 0,
            common: 0,
            offset_name: source.offset_metadata.as_deref(),
        };
        let fixed = source.structured_metadata.iter();
        fixed
            .take(MAX_METADATA - 1 - SEVERITY_METADATA.len())
            .for_each(|(name, value)| all.push(name, value));
        all.common = all.len;
        all
    }

    fn push(&mut self, name: &'a str, value: &'a str) {
        if let Some(pair) = self.pairs.get_mut(self.len) {
            *pair = (name, value);
            self.len += 1;
        }
    }

    /// Puts the severity of a record in the place of the last one's.
    pub(super) fn set_severity(&mut self, severity: Option<Severity>) {
        self.len = self.common;
        if let Some(severity) = severity {
            let [text, number] = SEVERITY_METADATA;
            self.push(text, severity.as_str());
            self.push(number, severity.digits());
        }
    }

    /// The pairs that a record has whatever its stages.
    pub(super) fn fixed(&self) -> &[(&'a str, &'a str)] {
        self.pairs.get(..self.len).unwrap_or_default()
    }

    /// Returns whether a record has no other pairs than those that stages gave it.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0 && self.offset_name.is_none()
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
        let mut all = self.copied();
        all.push(name, decimal(offset, digits));
        Some(all)
    }

    /// Returns the pairs with those that stages gave the record, as many as there is room for.
    pub(super) fn with<'r>(&self, own: &[(&'r str, &'r str)]) -> Metadata<'r>
    where
        'a: 'r,
    {
        let mut all = self.copied();
        own.iter().for_each(|(name, value)| all.push(name, value));
        all
    }

    fn copied<'r>(&self) -> Metadata<'r>
    where
        'a: 'r,
    {
        Metadata {
            pairs: self.pairs,
            len: self.len,
            common: self.common,
            offset_name: None,
        }
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
