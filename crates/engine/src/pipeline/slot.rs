//! The open batches of one lane, and how they are sealed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tailwater_batcher::{Fill, OpenBatch};
use tailwater_failpoint::failpoint;
use tailwater_record::{BatchId, CursorId, EncodedBatch, Marker, RecordView, Share, TimestampNs};

use crate::desk::Desk;
use crate::queue::Queued;
use crate::route::{Plan, SinkEnd};

/// Tenants that stages chose with a batch open at once; at more, all are sealed.
const MAX_OPEN_TENANTS: usize = 64;

/// An offset of a file, with what guards it and how its bytes are framed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) marker: Marker,
    /// A number of the framer's.
    pub(super) code: u8,
}

/// The open batches of one lane: its own, and one for each tenant that a stage has chosen.
///
/// They are sealed together. The lane's own covers all spans; those of the tenants lie within them.
#[derive(Debug)]
pub(super) struct Slot {
    /// The number of the lane's outlet.
    pub(super) sink: u32,
    timestamp_step: u64,
    own: Pot,
    by_tenant: Vec<(Arc<str>, Pot)>,
    /// The span that records are being added to.
    current: Option<(CursorId, Place, Instant)>,
}

#[derive(Debug)]
struct Pot {
    batch: OpenBatch,
    /// For each record whether it is dropped last; empty where the lane's policy keeps none.
    kept: Vec<bool>,
    has_span: bool,
}

impl Pot {
    fn new(end: &SinkEnd, tenant: Option<Arc<str>>, timestamp_step: u64) -> Self {
        Self {
            batch: OpenBatch::new(end.encoder.make(), end.batch, tenant, timestamp_step),
            kept: Vec::new(),
            has_span: false,
        }
    }

    fn of_tenant(end: &SinkEnd, tenant: Arc<str>, timestamp_step: u64) -> Self {
        let pot = Self::new(end, Some(tenant), timestamp_step);
        Self {
            batch: pot.batch.into_part(),
            ..pot
        }
    }

    fn append_made(&mut self, record: &RecordView<'_>, is_kept: Option<bool>) -> Fill {
        self.kept.extend(is_kept);
        self.batch.append_made(record)
    }

    fn end_span(&mut self, end: Place) {
        if std::mem::take(&mut self.has_span) {
            self.batch.end_span(end.offset, end.marker, end.code);
        }
    }

    fn seal(&mut self, id: BatchId) -> Option<Sealed> {
        let kept = std::mem::take(&mut self.kept);
        let (batch, stats) = self.batch.seal(id)?;
        Some(Sealed {
            batch,
            kept,
            replaced_utf8_records: stats.replaced_utf8_records,
        })
    }
}

struct Sealed {
    batch: EncodedBatch,
    kept: Vec<bool>,
    replaced_utf8_records: u64,
}

impl Slot {
    /// Returns the open batch for the lines of a lane, opening it where there is none; `None` for no lane.
    pub(super) fn find_or_open(
        slots: &mut Vec<Self>,
        plan: &Plan,
        sink: u32,
        timestamp_step: u64,
    ) -> Option<usize> {
        let known = slots.iter().position(|slot| slot.sink == sink);
        if known.is_some() {
            return known;
        }
        slots.push(Self::new(plan.lane(sink)?, timestamp_step));
        Some(slots.len() - 1)
    }

    pub(super) fn new(end: &SinkEnd, timestamp_step: u64) -> Self {
        Self {
            sink: end.outlet.id,
            timestamp_step,
            own: Pot::new(end, end.outlet.key.tenant.clone(), timestamp_step),
            by_tenant: Vec::new(),
            current: None,
        }
    }

    /// Starts a span: what is noted and appended next belongs to it.
    pub(super) fn start_span(&mut self, cursor: CursorId, start: Place, now: Instant) {
        self.own
            .batch
            .start_span(cursor, start.offset, start.code, now);
        self.own.has_span = true;
        self.current = Some((cursor, start, now));
    }

    /// Notes when a line was read that stages work on.
    pub(super) fn note_line(&mut self, read_at: TimestampNs) {
        self.own.batch.note_line(read_at);
    }

    /// Copies a line into the lane's own batch.
    pub(super) fn append(&mut self, record: &RecordView<'_>, is_kept: Option<bool>) -> Fill {
        self.own.kept.extend(is_kept);
        self.own.batch.append(record)
    }

    /// Copies a record that stages have made into the batch of its tenant.
    pub(super) fn append_made(
        &mut self,
        end: &SinkEnd,
        tenant: Option<&str>,
        record: &RecordView<'_>,
        is_kept: Option<bool>,
    ) -> Fill {
        let Some(tenant) = tenant else {
            return self.own.append_made(record, is_kept);
        };
        let known = self
            .by_tenant
            .iter()
            .position(|(known, _)| **known == *tenant);
        let at = known.unwrap_or_else(|| {
            let tenant: Arc<str> = tenant.into();
            let pot = Pot::of_tenant(end, Arc::clone(&tenant), self.timestamp_step);
            self.by_tenant.push((tenant, pot));
            self.by_tenant.len() - 1
        });
        let is_crowded = self.by_tenant.len() >= MAX_OPEN_TENANTS;
        let (Some((_, pot)), Some((cursor, start, now))) =
            (self.by_tenant.get_mut(at), self.current)
        else {
            return self.own.append_made(record, is_kept);
        };
        if !pot.has_span {
            pot.batch.start_span(cursor, start.offset, start.code, now);
            pot.has_span = true;
        }
        match pot.append_made(record, is_kept) {
            Fill::HasRoom if !is_crowded => Fill::HasRoom,
            Fill::HasRoom | Fill::IsFull => Fill::IsFull,
        }
    }

    /// Ends the span in every batch that has records of it.
    pub(super) fn end_span(&mut self, end: Place) {
        self.current = None;
        self.own.end_span(end);
        self.by_tenant
            .iter_mut()
            .for_each(|(_, pot)| pot.end_span(end));
    }

    /// Returns when the batches must be sealed at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let by_tenant = self.by_tenant.iter().map(|(_, pot)| &pot.batch);
        let batches = std::iter::once(&self.own.batch).chain(by_tenant);
        batches.filter_map(OpenBatch::deadline).min()
    }

    /// Seals what is open where its time is over.
    pub(super) fn seal_if_due(&mut self, plan: &Plan, desk: &Desk, now: Instant) {
        let is_due = self.deadline().is_some_and(|due| due <= now);
        if let Some(end) = plan.lane(self.sink).filter(|_| is_due) {
            self.seal(end, desk, None, now);
        }
    }

    /// Seals what is open, under numbers of its own, or the first under the one that it had in an
    /// earlier run.
    pub(super) fn seal(&mut self, end: &SinkEnd, desk: &Desk, id: Option<BatchId>, now: Instant) {
        let next = || BatchId(desk.next_batch.fetch_add(1, Ordering::Relaxed));
        let own = self.own.seal(id.unwrap_or_else(next));
        let by_tenant = self.by_tenant.iter_mut();
        let parts = by_tenant.filter_map(|(_, pot)| pot.seal(next()));
        let mut sealed: Vec<Sealed> = own.into_iter().chain(parts).collect();
        if let [own, _, ..] = sealed.as_mut_slice() {
            let spans = own.batch.spans.iter_mut();
            spans
                .filter(|span| span.share == Share::All)
                .for_each(|span| span.share = Share::Lead);
            // Before any part is sent, for they are made again with it.
            desk.intend(&own.batch, &end.outlet);
        }
        if self.by_tenant.len() >= MAX_OPEN_TENANTS {
            self.by_tenant.clear();
        }
        if sealed.is_empty() {
            return;
        }
        failpoint("seal");
        for sealed in &sealed {
            desk.ledger.enter(&sealed.batch, now);
        }
        for Sealed {
            batch,
            kept,
            replaced_utf8_records,
        } in sealed
        {
            note_replaced(&batch, replaced_utf8_records, desk);
            let batch = Arc::new(batch);
            let evicted = end.outlet.queue.push(Queued { batch, kept });
            desk.settle_evicted(&evicted, "queue_full");
        }
    }
}

fn note_replaced(batch: &EncodedBatch, records: u64, desk: &Desk) {
    if records == 0 {
        return;
    }
    let first = batch.spans.first();
    if let Some(account) = first.and_then(|span| desk.ledger.account(span.cursor)) {
        desk.books
            .change(account.route, |books| books.replaced_lines += records);
    }
}
