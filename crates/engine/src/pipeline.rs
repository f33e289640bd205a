//! One pipeline thread: from files to sealed batches, synchronous from read to encode.

mod archives;
mod backfill;
mod control;
mod held;
mod inherit;
mod inlet;
mod lane;
mod reading;
mod replay;
mod routing;
mod severity;
mod shown;
mod slot;
mod staged;
mod way;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tailwater_tailer::{Change, Now, ReadBuffer, Tailer, Waker};

pub(crate) use self::backfill::{ChainReader, Shared};
pub(crate) use self::control::Control;
pub(crate) use self::inlet::Inlet;
use self::lane::Stamps;
pub(crate) use self::replay::Replay;
use self::slot::Slot;
use self::staged::Workshop;
use crate::desk::Desk;
use crate::rate::Allowance;
use crate::route::{Plan, Route};
use crate::status::TailingStatus;

/// Refused files that are logged one by one per thread; the rest is counted.
const MAX_LOGGED_REFUSALS: u64 = 100;

/// One pipeline thread.
#[derive(Debug)]
pub(crate) struct Pipeline {
    plan: Plan,
    tailer: Tailer<Route>,
    desk: Arc<Desk>,
    control: Receiver<Control>,
    slots: Vec<Slot>,
    /// The stages of each source and lane that has any.
    workshops: Vec<Workshop>,
    buffer: ReadBuffer,
    scratch: Vec<u8>,
    stamps: Stamps,
    /// What was in flight when an earlier run ended, and is not sent again yet.
    replay: Replay,
    /// Tokens of the sources' rate limits, by the index of the source.
    allowances: Vec<Allowance>,
    /// Tokens of the rate limit of all sources together.
    shared_allowance: Allowance,
    /// When a source may be read again that was read too fast.
    rate_deadline: Option<Instant>,
    /// Finished files that wait for their acks: number, and whether the inode is gone.
    finished: BTreeMap<u64, bool>,
    /// Archives that were read to their end, which is not stored yet.
    ended_archives: BTreeSet<u64>,
    detached: Vec<u32>,
    /// Tells the cursors of one file apart.
    next_reader: u32,
    tailing: Arc<Mutex<TailingStatus>>,
}

impl Pipeline {
    pub(crate) fn new(
        plan: Plan,
        desk: Arc<Desk>,
        control: Receiver<Control>,
        replay: Replay,
        waker: Waker,
        tailing: Arc<Mutex<TailingStatus>>,
    ) -> Self {
        let files = plan
            .sources
            .iter()
            .map(|source| source.files.clone())
            .collect();
        let tailer = Tailer::new(plan.limits.clone(), files, plan.roots.clone(), waker, now());
        // One number more than local shards: the thread for network file systems.
        let step = u64::from(plan.limits.shards) + 1;
        Self {
            buffer: ReadBuffer::new(plan.max_line_bytes),
            stamps: Stamps {
                // Never a timestamp twice, whatever the clock did in between.
                last: replay.last_timestamp(step),
                step,
                phase: u64::from(plan.limits.shard),
            },
            allowances: vec![Allowance::default(); plan.sources.len()],
            shared_allowance: Allowance::default(),
            plan,
            tailer,
            desk,
            control,
            slots: Vec::new(),
            workshops: Vec::new(),
            scratch: Vec::new(),
            replay,
            rate_deadline: None,
            finished: BTreeMap::new(),
            ended_archives: BTreeSet::new(),
            detached: Vec::new(),
            next_reader: 0,
            tailing,
        }
    }

    /// Runs until it is told to stop.
    pub(crate) fn run(mut self) {
        let mut made_progress = true;
        loop {
            let deadline = self
                .slots
                .iter()
                .filter_map(Slot::deadline)
                .chain(self.rate_deadline.take())
                .chain(self.held_deadline())
                .chain(self.archive_deadline())
                .min();
            self.tailer.wait(now().instant, made_progress, deadline);
            if !self.obey() {
                return;
            }
            let now = now();
            let positions = Arc::clone(&self.desk.positions);
            self.tailer.turn(now, &*positions);
            let found = self.apply_changes(now);
            self.replay_found(&found, now);
            made_progress = self.read_pass();
            self.release_held();
            self.seal_due();
            self.store_archive_ends();
            self.release_finished();
            self.publish();
        }
    }

    /// Acts on what has changed among the files; returns those that are new.
    fn apply_changes(&mut self, now: Now) -> Vec<u64> {
        let mut found = Vec::new();
        let mut missing = 0_u64;
        let desk = Arc::clone(&self.desk);
        // Generations that are found together are stored together: the next start takes what is older
        // than the newest that is stored for files that were never meant.
        let cut = desk.cut();
        for change in self.tailer.take_changes() {
            match change {
                Change::Found { id, at_start } => {
                    self.open_cursors(id, at_start, now);
                    found.push(id);
                }
                Change::Finished { id, is_deleted } => {
                    self.finished.insert(id, is_deleted);
                }
                Change::Lost {
                    id,
                    path,
                    lost_bytes,
                    ..
                } => {
                    let bytes = lost_bytes.iter().max().copied().unwrap_or(0);
                    tracing::error!(path = %path.display(), bytes, "file is gone before it was read to its end");
                    self.count_lost(id, &lost_bytes);
                }
                Change::Missing(file) => {
                    missing += 1;
                    tracing::debug!(path = %file.path.display(), inode = file.inode, "file of an earlier run not found");
                }
                Change::Refused {
                    path,
                    reason,
                    detail,
                } => {
                    let mut refusals = 0;
                    self.tailing_mut(|status| {
                        status.refusals += 1;
                        refusals = status.refusals;
                    });
                    if refusals <= MAX_LOGGED_REFUSALS {
                        tracing::warn!(path = %path.display(), reason, detail, "cannot read file, others go on");
                    }
                }
            }
        }
        drop(cut);
        if missing > 0 {
            self.tailing_mut(|status| status.missing_files += missing);
            tracing::info!(
                missing,
                "files of earlier runs are gone: what was not read of them is not sent"
            );
        }
        found
    }

    fn seal_due(&mut self) {
        let now = now().instant;
        for slot in &mut self.slots {
            slot.seal_if_due(&self.plan, &self.desk, now);
        }
    }

    fn seal(&mut self, index: usize) {
        let Some(slot) = self.slots.get_mut(index) else {
            return;
        };
        if let Some(end) = self.plan.lane(slot.sink) {
            slot.seal(end, &self.desk, None, now().instant);
        }
    }

    /// Lets go of finished files once all of them is acked.
    fn release_finished(&mut self) {
        let (tailer, desk) = (&mut self.tailer, &self.desk);
        self.finished.retain(|id, is_deleted| {
            let Some(file) = tailer.file_mut(*id) else {
                return false;
            };
            let is_acked = file
                .cursors
                .iter()
                .all(|cursor| cursor.route.progress.acked_offset() >= cursor.offset);
            if !is_acked {
                return true;
            }
            for cursor in &file.cursors {
                desk.ledger.close(cursor.route.cursor);
                if *is_deleted {
                    desk.positions.forget(cursor.route.key);
                } else {
                    desk.positions.release(cursor.route.key);
                }
            }
            tailer.release(*id);
            false
        });
    }

    fn count_lost(&mut self, id: u64, lost_bytes: &[u64]) {
        let Some(file) = self.tailer.file_mut(id) else {
            return;
        };
        for (index, cursor) in file.cursors.iter().enumerate() {
            let lost = lost_bytes.get(index).or(lost_bytes.first()).copied();
            self.desk.books.change(cursor.route.book, |books| {
                books.lost_unread_bytes += lost.unwrap_or(0);
            });
        }
    }
}

fn earlier(one: Option<Instant>, other: Instant) -> Instant {
    one.map_or(other, |one| one.min(other))
}

/// The two clocks, read where a turn begins.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place of the engine that reads the clocks"
)]
pub(crate) fn now() -> Now {
    Now {
        instant: Instant::now(),
        unix_ns: unix_ns(),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place of the engine that reads the clocks"
)]
pub(crate) fn unix_ns() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}
