//! What a running engine says of itself.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, PoisonError};

use tailwater_record::TimestampNs;

use super::{ANSWER_TIMEOUT, EngineHandle, collect};
use crate::outlet::Outlet;
use crate::pipeline::Control;
use crate::status::{FileStatus, SinkStatus, Status, TailingStatus};

impl EngineHandle {
    /// Returns everything but the files, at the cost of a few locks.
    pub fn status(&self) -> Status {
        let mut tailing = TailingStatus::default();
        for link in self.links.iter() {
            tailing.add(&link.tailing.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let stages = self.stages.read().unwrap_or_else(PoisonError::into_inner);
        let now = TimestampNs(crate::pipeline::unix_ns());
        Status {
            stages: stages.snapshot(now),
            stage_drops_by_label: stages.dropped_by_label(),
            stage_truncated: stages.truncated(),
            books: self.desk.books.snapshot(),
            sinks: self.sink_statuses(),
            files: Vec::new(),
            unanswered_workers: 0,
            tailing,
            checkpoint: self.desk.positions.status(),
            memory_used_bytes: self.budget.used_bytes(),
            memory_max_bytes: self.budget.max_bytes(),
            room_refusals: self.budget.refusals.load(Ordering::Relaxed),
            intent_failures: self.desk.intent_failures.load(Ordering::Relaxed),
        }
    }

    /// Returns everything with the files: asks the pipeline threads, and waits at most 2 s for each.
    /// Blocks: call it off the runtime.
    pub fn status_with_files(&self) -> Status {
        let (answer, answers) = sync_channel(self.links.len());
        for link in self.links.iter() {
            link.tell(Control::Status(answer.clone()));
        }
        drop(answer);
        let files = collect(&answers, self.links.len(), ANSWER_TIMEOUT);
        let unanswered_workers = self.links.len() - files.len();
        let mut status = self.status();
        status.files = files.into_iter().flatten().collect();
        status
            .files
            .sort_unstable_by(|a, b| place_of(a).cmp(&place_of(b)));
        status.unanswered_workers = unanswered_workers;
        status
    }

    pub(super) fn outlets(&self) -> Vec<Arc<Outlet>> {
        self.outlets
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Returns whether every pipeline thread has looked at its files, and what it found is durable.
    pub fn has_scanned(&self) -> bool {
        let mut tailing = TailingStatus::default();
        for link in self.links.iter() {
            tailing.add(&link.tailing.lock().unwrap_or_else(PoisonError::into_inner));
        }
        tailing.scanned_workers == self.links.len() && self.desk.positions.are_found_files_durable()
    }

    /// Adds up the lanes of each sink.
    fn sink_statuses(&self) -> Vec<SinkStatus> {
        let mut statuses: Vec<SinkStatus> = Vec::new();
        let outlets = self.outlets();
        for (index, outlet) in outlets.iter().enumerate() {
            let oldest = self.desk.ledger.oldest_of_sink(outlet.id);
            let mut lane = SinkStatus::of_lane(outlet, oldest);
            let mut before = outlets.iter().take(index);
            if !before.any(|other| Arc::ptr_eq(&other.deliver, &outlet.deliver)) {
                lane.request_durations = outlet.deliver.requests();
            }
            match statuses.iter_mut().find(|sink| sink.name == lane.name) {
                Some(sink) => sink.add(lane),
                None => statuses.push(lane),
            }
        }
        statuses
    }
}

/// What files are listed by.
fn place_of(file: &FileStatus) -> (&Path, u64, &str, &str) {
    (&file.path, file.inode, &file.sink, &file.source)
}
