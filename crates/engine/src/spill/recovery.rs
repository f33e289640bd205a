//! Taking up a spill that an earlier run has left.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tailwater_spill_buffer::{Limits, Read, Seq, SpillBuffer};

use super::{Spill, open_storage};
use crate::config::Then;
use crate::desk::Desk;
use crate::envelope::Envelope;
use crate::outlet::Outlet;

impl Spill {
    /// Opens the spill of a lane. What it holds goes before anything new; what an earlier run made
    /// durable there and did not enter is entered, in the positions and in the books.
    ///
    /// A directory that cannot be used is no error: it counts as a full spill and is tried again.
    pub(crate) fn open(
        outlet: Arc<Outlet>,
        desk: Arc<Desk>,
        directory: PathBuf,
        max_bytes: u64,
        then: Then,
    ) -> Self {
        let mut spill = Self {
            outlet,
            desk,
            directory,
            limits: limits(max_bytes),
            then,
            buffer: None,
            pending: std::collections::VecDeque::new(),
            unsynced: Vec::new(),
            on_the_wire: std::collections::BTreeSet::new(),
            read_next: 1,
            acked_below: 1,
            acks: BTreeMap::new(),
            written_ns: BTreeMap::new(),
            trouble: None,
            awaits_room: false,
            is_passed_by: false,
            head: Vec::new(),
        };
        spill.open_again();
        spill.is_passed_by = spill.buffer.is_none();
        spill
    }

    /// Opens the directory, and takes up what is there.
    pub(super) fn open_again(&mut self) {
        let opened = open_storage(&self.directory).map_err(|error| self.fail(&error));
        let Ok(storage) = opened else { return };
        let marks = self.desk.books.spill_marks(&self.outlet.lane);
        let released = Seq(self.desk.books.durably_acked(&self.outlet.lane));
        let (mut buffer, recovery) =
            match tailwater_spill_buffer::open(storage, self.limits, released) {
                Ok(opened) => opened,
                Err(error) => return self.fail(&error),
            };
        // A number is used once, also where the files that had it are gone.
        if let Err(error) = buffer.reserve(Seq(marks.appended)) {
            return self.fail(&error);
        }
        if recovery.damaged_frames > 0 || recovery.newer_segments > 0 {
            tracing::error!(
                lane = &*self.outlet.lane,
                damaged_frames = recovery.damaged_frames,
                newer_segments = recovery.newer_segments,
                "the spill is damaged: what is whole is delivered"
            );
        }
        // What an earlier process wrote and did not sync is found, but may not survive a power cut:
        // positions do not move over it before it does.
        if let Err(error) = buffer.sync() {
            return self.fail(&error);
        }
        // A sink that was set up anew, or lost its notes, begins with what is there.
        let Seq(first) = recovery.first;
        self.acked_below = if marks.acked == 0 { first } else { marks.acked };
        self.read_next = self.acked_below;
        self.redo(&mut buffer, marks.appended);
        let Seq(next) = buffer.status().next;
        self.buffer = Some(buffer);
        let holds_records = marks.records.values().any(|records| *records > 0);
        if next > self.acked_below || holds_records {
            tracing::info!(
                lane = &*self.outlet.lane,
                batches = next - self.acked_below,
                "the spill of an earlier run is delivered first"
            );
            self.outlet.queue.start_spilling();
        }
    }

    /// Enters the frames that were made durable after the last checkpoint.
    fn redo(&self, buffer: &mut SpillBuffer, appended: u64) {
        let mut at = appended.max(self.acked_below);
        loop {
            match buffer.read(Seq(at)) {
                Ok(Read::Frame {
                    seq: Seq(seq),
                    payload,
                }) => {
                    at = seq.saturating_add(1);
                    if let Ok((envelope, _)) = Envelope::decode(&payload) {
                        self.redo_one(&envelope, at);
                    }
                }
                Ok(Read::Lost {
                    next: Seq(next), ..
                }) => at = next,
                Ok(Read::End | Read::Newer { .. }) | Err(_) => return,
            }
        }
    }

    fn redo_one(&self, envelope: &Envelope, appended: u64) {
        let desk = &self.desk;
        desk.positions.redo(&envelope.sink, &envelope.spans);
        let mut records: BTreeMap<usize, u64> = BTreeMap::new();
        for span in &envelope.spans {
            let route = desk.books.route(&span.source, &envelope.sink);
            *records.entry(route).or_default() += u64::from(span.records);
        }
        let records: Vec<(usize, u64)> = records.into_iter().collect();
        desk.books
            .find_spilled(&self.outlet.lane, appended, &records);
    }
}

/// Space comes back segment by segment: a small spill has small ones.
fn limits(max_bytes: u64) -> Limits {
    let limits = Limits::new(max_bytes);
    Limits {
        segment_bytes: limits.segment_bytes.min((max_bytes / 8).max(1)),
        ..limits
    }
}
