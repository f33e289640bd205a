//! The spill of one lane: a thread that takes sealed batches to disk and back, in order.
//!
//! A batch is spilled once it is durable: only then is it out of the books' flight and are its positions
//! moved. What is read back is sent as it was written, and given up on disk once everything before it is
//! settled too. The thread owns the files; senders and pipeline threads never wait for a disk.

mod recovery;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tailwater_durable::{Disk, Storage};
use tailwater_failpoint::failpoint;
use tailwater_record::EncodedBatch;
use tailwater_spill_buffer::{AppendError, Limits, Read, Seq, SpillBuffer, SyncError};

use crate::books::Outcome;
use crate::config::Then;
use crate::desk::Desk;
use crate::envelope::{Envelope, EnvelopeError};
use crate::outlet::Outlet;
use crate::queue::{Queued, Spilled, Taken};

/// How long the thread sleeps where nothing rings.
const IDLE_INTERVAL: Duration = Duration::from_secs(60);

/// A full or failing disk is tried again this often.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// How long a checkpoint is waited for that gives a full spill room.
const ROOM_INTERVAL: Duration = Duration::from_millis(20);

/// Bytes of bodies that are written before they are synced.
const SYNC_BYTES: usize = 8 << 20;

/// A batch on its way to the disk.
#[derive(Clone, Debug)]
struct Pending {
    queued: Queued,
    /// It is also on the wire: the first to settle it does so.
    is_on_the_wire: bool,
}

/// The thread's side of a lane's spill.
#[derive(Debug)]
pub(crate) struct Spill {
    outlet: Arc<Outlet>,
    desk: Arc<Desk>,
    directory: PathBuf,
    limits: Limits,
    then: Then,
    /// `None` where the directory cannot be used.
    buffer: Option<SpillBuffer>,
    pending: VecDeque<Pending>,
    /// Written and not synced.
    unsynced: Vec<(u64, Pending)>,
    /// Frames whose batches are on the wire from memory.
    on_the_wire: BTreeSet<u64>,
    /// The next frame to read for the sender.
    read_next: u64,
    /// Every frame below it is settled.
    acked_below: u64,
    /// Settled frames above it.
    acks: BTreeMap<u64, Vec<Outcome>>,
    /// When the frames that are on their way to the sink were written.
    written_ns: BTreeMap<u64, u64>,
    /// Why nothing goes to or comes from the disk, for the log to say it once.
    trouble: Option<String>,
    /// It is full, and the next checkpoint gives room.
    awaits_room: bool,
    /// It is empty and takes nothing: the lane goes on in memory, and it is tried again.
    is_passed_by: bool,
    head: Vec<u8>,
}

impl Spill {
    /// Runs until the queue is stopped.
    pub(crate) fn run(mut self) {
        loop {
            let has_written = self.pending.is_empty();
            let timeout = if self.awaits_room {
                ROOM_INTERVAL
            } else if has_written && !self.needs_another_try() {
                IDLE_INTERVAL
            } else {
                RETRY_INTERVAL
            };
            let work = self.outlet.queue.spill_work(timeout, has_written);
            let on_the_wire = work.on_the_wire;
            let batches = work.batches.into_iter().enumerate();
            self.pending.extend(batches.map(|(index, queued)| Pending {
                queued,
                is_on_the_wire: index < on_the_wire,
            }));
            self.take_acks();
            self.release();
            if work.is_spilling {
                let is_full = self.write();
                self.read_ahead(work.read_ahead);
                self.settle();
                self.finish_if_empty(is_full);
            } else if self.is_passed_by {
                self.try_again();
            }
            self.publish();
            if work.is_stopping {
                return;
            }
        }
    }

    fn needs_another_try(&self) -> bool {
        self.trouble.is_some() || self.is_passed_by || self.has_acked()
    }

    /// Nobody rings where reading waits for the room that this disk could give.
    fn try_again(&mut self) {
        if self.buffer.is_none() {
            // What it holds is delivered once it can be used.
            self.open_again();
        }
        if self.buffer.is_some() && self.outlet.queue.is_full() {
            self.outlet.queue.start_spilling();
        }
    }

    /// Writes what is pending, as far as there is room, and makes it durable; returns whether there is
    /// no room for more.
    fn write(&mut self) -> bool {
        if self.pending.is_empty() && self.trouble.is_none() {
            return false;
        }
        if self.buffer.is_none() {
            self.open_again();
        }
        let mut is_full = self.buffer.is_none();
        self.awaits_room = false;
        while !is_full && !self.awaits_room && !self.pending.is_empty() {
            is_full = self.append_some();
            if !self.sync() {
                is_full = true;
            }
        }
        self.outlet.queue.set_spill_full(is_full);
        let full = &self.outlet.counts.spill.is_full;
        full.store(u64::from(is_full), Ordering::Relaxed);
        is_full
    }

    /// Appends up to a number of bytes; returns whether there is no room for more.
    fn append_some(&mut self) -> bool {
        let mut bytes = 0;
        while bytes < SYNC_BYTES {
            let Some(next) = self.pending.front().cloned() else {
                return false;
            };
            self.head.clear();
            let batch = Arc::clone(&next.queued.batch);
            self.envelope_of(&batch).encode(&mut self.head);
            let Some(buffer) = &mut self.buffer else {
                return true;
            };
            failpoint("spill_append");
            match buffer.append(&[&self.head, &batch.body]) {
                Ok(Seq(seq)) => {
                    self.pending.pop_front();
                    bytes += batch.body.len();
                    self.appended(seq, next);
                }
                Err(AppendError::Full { .. } | AppendError::DiskFull { .. }) => {
                    if self.has_acked_segment() {
                        self.awaits_room = true;
                        self.desk.positions.hurry();
                        return false;
                    }
                    if self.then != Then::DropOldest || !self.drop_oldest() {
                        return true;
                    }
                }
                Err(AppendError::Sync(error)) => {
                    self.void(&error);
                    return true;
                }
                Err(error) => {
                    self.fail(&error);
                    return true;
                }
            }
        }
        false
    }

    fn appended(&mut self, seq: u64, pending: Pending) {
        if pending.is_on_the_wire {
            if self.outlet.queue.copied(pending.queued.batch.id, seq) {
                self.on_the_wire.insert(seq);
                self.written_ns.insert(seq, crate::pipeline::unix_ns());
            } else {
                // It was settled while it was written.
                self.acks.insert(seq, Vec::new());
                return;
            }
        }
        self.unsynced.push((seq, pending));
    }

    /// Makes durable what was appended; returns whether that went well. Where not, it is written again.
    fn sync(&mut self) -> bool {
        let Some(buffer) = &mut self.buffer else {
            return false;
        };
        if self.unsynced.is_empty() {
            return true;
        }
        failpoint("spill_sync");
        if let Err(error) = buffer.sync() {
            self.void(&error);
            return false;
        }
        failpoint("spill_synced");
        for (seq, pending) in std::mem::take(&mut self.unsynced) {
            self.enter(seq, &pending);
        }
        if self.trouble.take().is_some() {
            tracing::info!(lane = &*self.outlet.lane, "spilling again");
        }
        true
    }

    /// What was written and not synced may be on disk or not: it is written again.
    fn void(&mut self, error: &SyncError) {
        let Seq(void_from) = error.void_from;
        self.outlet.queue.forget_copies(void_from);
        drop(self.acks.split_off(&void_from));
        drop(self.on_the_wire.split_off(&void_from));
        drop(self.written_ns.split_off(&void_from));
        let void = std::mem::take(&mut self.unsynced);
        for (_, pending) in void.into_iter().rev() {
            self.pending.push_front(pending);
        }
        self.fail(error);
    }

    /// A batch is durable: its positions move, and it is spilled by the books.
    fn enter(&self, seq: u64, pending: &Pending) {
        let batch = &*pending.queued.batch;
        let origins = batch.spans.iter().map(|span| self.desk.origin(span));
        let records: Vec<(usize, u64)> = origins
            .filter_map(|origin| Some((origin.route?, u64::from(origin.records))))
            .collect();
        let is_on_the_wire = pending.is_on_the_wire;
        self.outlet.queue.spilled(batch, is_on_the_wire, || {
            let cut = self.desk.cut();
            let moved = self.desk.ledger.resolve(batch.id, &batch.spans);
            self.desk.positions.advance(moved);
            failpoint("spill_enter");
            let appended = seq.saturating_add(1);
            self.desk.books.spill(&self.outlet.lane, appended, &records);
            drop(cut);
        });
        Outlet::count(&self.outlet.counts.spill.spilled_batches, 1);
    }

    fn envelope_of(&self, batch: &EncodedBatch) -> Envelope {
        let spans = batch.spans.iter();
        Envelope {
            batch: batch.id,
            written_ns: crate::pipeline::unix_ns(),
            wire: self.outlet.deliver.wire().to_owned(),
            sink: Arc::clone(&self.outlet.name),
            tenant: batch.tenant.clone(),
            reason: String::new(),
            spans: spans
                .map(|span| self.desk.origin(span).into_span())
                .collect(),
            record_ends: batch.record_ends.clone(),
        }
    }

    /// Reads batches for the sender, at most so many.
    fn read_ahead(&mut self, batches: usize) {
        let mut left = batches;
        while left > 0 {
            while self.on_the_wire.contains(&self.read_next) {
                self.read_next = self.read_next.saturating_add(1);
            }
            let Some(buffer) = &mut self.buffer else {
                return;
            };
            let Seq(synced) = buffer.status().synced;
            if self.read_next >= synced {
                return;
            }
            failpoint("spill_read");
            match buffer.read(Seq(self.read_next)) {
                Ok(Read::Frame {
                    seq: Seq(seq),
                    payload,
                }) => {
                    self.read_next = seq.saturating_add(1);
                    if self.acks.contains_key(&seq) || seq < self.acked_below {
                        continue;
                    }
                    if !self.hand_over(seq, payload) {
                        self.read_next = seq;
                        return;
                    }
                    left -= 1;
                }
                Ok(Read::Lost {
                    first: Seq(first),
                    next: Seq(next),
                }) => self.give_up_frames(first, next),
                Ok(Read::End) => return,
                Ok(Read::Newer { .. }) => {
                    return self.complain(
                        "a newer version of tailwater wrote this spill: run that, or move it away",
                    );
                }
                Err(error) => return self.fail(&error),
            }
        }
    }

    /// Hands a frame to the sender; returns whether that could be done, now or ever.
    fn hand_over(&mut self, seq: u64, payload: Vec<u8>) -> bool {
        let payload = Bytes::from(payload);
        let (envelope, body) = match Envelope::decode(&payload) {
            Ok((envelope, body)) => (envelope, payload.slice_ref(body)),
            Err(EnvelopeError::NewerVersion { .. }) => {
                self.complain(
                    "a newer version of tailwater wrote this spill: run that, or move it away",
                );
                return false;
            }
            Err(EnvelopeError::Malformed) => {
                self.give_up_frames(seq, seq.saturating_add(1));
                return true;
            }
        };
        if envelope.wire != self.outlet.deliver.wire() {
            self.complain(
                "the spill holds another encoding than the sink sends: set that again until it is \
                 delivered, or export it with `tailwater spill export`",
            );
            return false;
        }
        self.written_ns.insert(seq, envelope.written_ns);
        let batch = Arc::new(envelope.batch(body));
        let spilled = Spilled {
            seq,
            sink: envelope.sink,
            spans: envelope.spans,
        };
        self.outlet.queue.read_ahead(Taken {
            batch,
            spilled: Some(Arc::new(spilled)),
        });
        true
    }

    /// Frames that cannot be read are gone: what they held is counted when the spill is empty.
    fn give_up_frames(&mut self, first: u64, next: u64) {
        let first = first.max(self.acked_below);
        let lost = next.saturating_sub(first);
        if lost > 0 {
            Outlet::count(&self.outlet.counts.spill.lost_frames, lost);
            tracing::error!(
                lane = &*self.outlet.lane,
                first,
                frames = lost,
                "frames of the spill are damaged or missing"
            );
        }
        // A gap may be as long as numbers are: what is before everything else is passed over at once.
        if first == self.acked_below && self.on_the_wire.range(..next).next().is_none() {
            self.acks = self.acks.split_off(&next);
            self.acked_below = self.acked_below.max(next);
        } else {
            (first..next).for_each(|seq| {
                self.acks.entry(seq).or_default();
            });
        }
        self.read_next = self.read_next.max(next);
    }

    fn take_acks(&mut self) {
        for (seq, outcomes) in self.outlet.take_acks() {
            self.on_the_wire.remove(&seq);
            if seq >= self.acked_below {
                self.acks.insert(seq, outcomes);
            }
        }
    }

    /// Enters what is settled without a gap, and gives its space back.
    fn settle(&mut self) {
        let before = self.acked_below;
        let mut outcomes = Vec::new();
        while let Some(settled) = self.acks.remove(&self.acked_below) {
            outcomes.extend(settled);
            self.acked_below = self.acked_below.saturating_add(1);
        }
        if outcomes.is_empty() && before == self.acked_below {
            return;
        }
        self.written_ns = self.written_ns.split_off(&self.acked_below);
        self.desk
            .books
            .settle_spilled(&self.outlet.lane, self.acked_below, &outcomes);
    }

    /// Gives back the space of frames that no start asks for any more: those that are settled by the
    /// note on disk. Below that, what is on disk tells how far files were read, and under which
    /// timestamps.
    fn release(&mut self) {
        let Some(buffer) = &mut self.buffer else {
            return;
        };
        let below = Seq(self.desk.books.durably_acked(&self.outlet.lane));
        if buffer.status().first >= below {
            return;
        }
        failpoint("spill_release");
        if let Err(error) = buffer.release(below) {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(
                lane = &*self.outlet.lane,
                error,
                "cannot give back space of the spill"
            );
        }
    }

    /// Returns whether space is given back after the next checkpoint.
    fn has_acked(&self) -> bool {
        let status = self.buffer.as_ref().map(SpillBuffer::status);
        status.is_some_and(|status| status.first < Seq(self.acked_below))
    }

    fn has_acked_segment(&self) -> bool {
        let oldest = self.buffer.as_ref().and_then(SpillBuffer::oldest_segment);
        oldest.is_some_and(|oldest| oldest.end <= Seq(self.acked_below))
    }

    /// Goes back to memory once everything is settled.
    /// Also where the disk takes nothing: a sink that is back is not held up by it.
    fn finish_if_empty(&mut self, is_full: bool) {
        let buffer = self.buffer.as_ref().map(SpillBuffer::status);
        let waits_on_disk = buffer.is_some_and(|status| Seq(self.acked_below) < status.next);
        let is_stuck = is_full && !self.pending.is_empty();
        if waits_on_disk || !self.on_the_wire.is_empty() || !self.unsynced.is_empty() {
            return;
        }
        self.is_passed_by = is_stuck || self.buffer.is_none();
        if self.is_passed_by {
            let back = std::mem::take(&mut self.pending).into_iter();
            let back = back.filter(|pending| !pending.is_on_the_wire);
            self.outlet
                .queue
                .stop_spilling(back.map(|pending| pending.queued));
            return;
        }
        if !self.pending.is_empty() {
            return;
        }
        let marks = self.desk.books.spill_marks(&self.outlet.lane);
        let left: Vec<(usize, u64)> = marks.records.into_iter().collect();
        let lost: u64 = left.iter().map(|(_, records)| records).sum();
        if lost > 0 {
            tracing::error!(
                lane = &*self.outlet.lane,
                records = lost,
                "records of the spill could not be read any more"
            );
            self.desk
                .books
                .drop_spilled(&self.outlet.lane, &left, "spill_damaged");
        }
        self.outlet.queue.stop_spilling(std::iter::empty());
        self.outlet.changed.notify_waiters();
    }

    /// Drops the oldest segment that nothing of is on its way to the sink; returns whether one was.
    fn drop_oldest(&mut self) -> bool {
        let Some(buffer) = &mut self.buffer else {
            return false;
        };
        let Some(range) = buffer.whole_segment_from(Seq(self.read_next)) else {
            return false;
        };
        let (Seq(first), Seq(end)) = (range.start, range.end);
        let mut records: BTreeMap<usize, u64> = BTreeMap::new();
        let mut at = first;
        while at < end {
            match buffer.read(Seq(at)) {
                Ok(Read::Frame {
                    seq: Seq(seq),
                    payload,
                }) if seq < end => {
                    at = seq.saturating_add(1);
                    let Ok((envelope, _)) = Envelope::decode(&payload) else {
                        continue;
                    };
                    for span in &envelope.spans {
                        let route = self.desk.books.route(&span.source, &envelope.sink);
                        *records.entry(route).or_default() += u64::from(span.records);
                    }
                }
                Ok(Read::Lost {
                    next: Seq(next), ..
                }) => at = next,
                Ok(Read::Frame { .. } | Read::End | Read::Newer { .. }) | Err(_) => break,
            }
        }
        if let Err(error) = buffer.discard(Seq(first)) {
            self.fail(&error);
            return false;
        }
        let records: Vec<(usize, u64)> = records.into_iter().collect();
        self.desk
            .books
            .drop_spilled(&self.outlet.lane, &records, "spill_full");
        (first..end).for_each(|seq| {
            self.acks.entry(seq).or_default();
        });
        if self.read_next >= first {
            self.read_next = self.read_next.max(end);
        }
        true
    }

    fn fail(&mut self, error: &(dyn std::error::Error + 'static)) {
        Outlet::count(&self.outlet.counts.spill.failures, 1);
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        self.complain(&text);
    }

    /// Says what is wrong, once.
    fn complain(&mut self, text: &str) {
        if self.trouble.as_deref() != Some(text) {
            tracing::error!(
                lane = &*self.outlet.lane,
                directory = %self.directory.display(),
                error = text,
                "the spill cannot be used, it counts as full and is tried again"
            );
            self.trouble = Some(text.to_owned());
        }
    }

    fn publish(&self) {
        let counts = &self.outlet.counts.spill;
        let Some(buffer) = &self.buffer else {
            return;
        };
        let status = buffer.status();
        let Seq(next) = status.next;
        counts.bytes.store(status.bytes, Ordering::Relaxed);
        counts
            .segments
            .store(status.segments as u64, Ordering::Relaxed);
        let frames = next.saturating_sub(self.acked_below);
        counts.frames.store(frames, Ordering::Relaxed);
        let oldest_ns = self.written_ns.values().next().copied().unwrap_or(0);
        counts.oldest_ns.store(oldest_ns, Ordering::Relaxed);
    }
}

fn open_storage(
    directory: &std::path::Path,
) -> Result<Arc<dyn Storage>, tailwater_durable::StorageError> {
    Ok(Arc::new(Disk::open(directory)?))
}
