//! One pipeline thread: from files to sealed batches, synchronous from read to encode.

mod archives;
mod backfill;
mod held;
mod inherit;
mod inlet;
mod lane;
mod replay;
mod routing;
mod severity;
mod slot;
mod staged;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tailwater_failpoint::failpoint;
use tailwater_record::CursorId;
use tailwater_tailer::{Change, Chunk, FrameStats, Framer, Now, ReadBuffer, Step, Tailer, Waker};

pub(crate) use self::backfill::{ChainReader, Shared};
pub(crate) use self::inlet::Inlet;
use self::lane::{Gate, Lane, Seal, Stamps, Taken, enter_stats};
pub(crate) use self::replay::Replay;
use self::slot::{Place, Slot};
use self::staged::{StagedLane, Workshop};
use crate::config::WhenExceeded;
use crate::desk::Desk;
use crate::ledger::Account;
use crate::rate::Allowance;
use crate::route::{Plan, Route};
use crate::status::{FileStatus, TailingStatus};

/// Bytes read in one pass over the ready files, before events and controls are looked at again.
const MAX_PASS_BYTES: u64 = 16 << 20;

/// Refused files that are logged one by one per thread; the rest is counted.
const MAX_LOGGED_REFUSALS: u64 = 100;

/// What a pipeline thread is told.
#[derive(Debug)]
pub(crate) enum Control {
    /// Answer with every file.
    Status(SyncSender<Vec<FileStatus>>),
    /// Read no more for these sinks, and seal what is open for them; answer when that is done.
    Detach(Vec<u32>, SyncSender<()>),
    /// Go on with another plan; answer when it is in place.
    Reload(Box<Plan>, SyncSender<()>),
    /// Seal everything and end.
    Stop,
}

impl Control {
    /// Carries out what a thread is told that has one configuration for all of its life, and no files that
    /// are followed; returns whether to go on.
    fn obey_unchanging(control: &Receiver<Self>) -> bool {
        loop {
            match control.try_recv() {
                Err(TryRecvError::Empty) => return true,
                Ok(Self::Status(answer)) => drop(answer.try_send(Vec::new())),
                Ok(Self::Detach(_, answer) | Self::Reload(_, answer)) => {
                    answer.try_send(()).ok();
                }
                Ok(Self::Stop) | Err(TryRecvError::Disconnected) => return false,
            }
        }
    }
}

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

/// What a turn of one cursor came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// There is more to read.
    More(u64),
    /// There is nothing more until something is written.
    Done(u64),
    /// The sink has no room.
    Blocked,
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

    /// Carries out what it is told; returns whether to go on.
    fn obey(&mut self) -> bool {
        loop {
            match self.control.try_recv() {
                Err(TryRecvError::Empty) => return true,
                Ok(Control::Status(answer)) => {
                    let files = self.file_statuses();
                    // Nobody waits any more where the answer came too late.
                    drop(answer.try_send(files));
                }
                Ok(Control::Detach(sinks, answer)) => {
                    for index in 0..self.slots.len() {
                        if self
                            .slots
                            .get(index)
                            .is_some_and(|slot| sinks.contains(&slot.sink))
                        {
                            self.seal(index);
                        }
                    }
                    self.detached.extend(sinks);
                    answer.try_send(()).ok();
                }
                Ok(Control::Reload(plan, answer)) => {
                    self.reload(*plan);
                    answer.try_send(()).ok();
                }
                Ok(Control::Stop) | Err(TryRecvError::Disconnected) => {
                    (0..self.slots.len()).for_each(|index| self.seal(index));
                    self.store_archive_ends();
                    return false;
                }
            }
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

    /// Gives every ready file a turn; returns whether any byte was read.
    fn read_pass(&mut self) -> bool {
        let mut left = MAX_PASS_BYTES;
        let mut made_progress = false;
        for _ in 0..self.tailer.ready_len() {
            let Some(id) = self.tailer.next_ready() else {
                break;
            };
            let (is_ready_again, bytes) = self.read_file(id);
            made_progress |= bytes > 0;
            if is_ready_again {
                self.tailer.push_ready(id);
            }
            left = left.saturating_sub(bytes);
            if left == 0 {
                break;
            }
        }
        made_progress
    }

    /// Gives each cursor of a file one quantum.
    fn read_file(&mut self, id: u64) -> (bool, u64) {
        let cursors = self
            .tailer
            .file_mut(id)
            .map_or(0, |file| file.cursors.len());
        let (mut is_ready_again, mut bytes) = (false, 0_u64);
        for cursor in 0..cursors {
            match self.read_cursor(id, cursor) {
                Turn::More(read) => {
                    is_ready_again = true;
                    bytes += read;
                }
                Turn::Done(read) => bytes += read,
                Turn::Blocked => is_ready_again = true,
            }
        }
        if is_ready_again && bytes == 0 {
            self.tailer.learn_head(id, now().instant);
        }
        if let Some(file) = self.tailer.file_mut(id)
            && file.identity_changed
            && let Some(cursor) = file.cursors.first()
        {
            file.identity_changed = false;
            self.desk
                .positions
                .lock()
                .set_identity(cursor.route.key, file.identity);
        }
        (is_ready_again, bytes)
    }

    fn read_cursor(&mut self, id: u64, index: usize) -> Turn {
        let Some((source, sink, content_number)) = self.tailer.file_mut(id).and_then(|file| {
            let cursor = file.cursors.get(index)?;
            Some((cursor.source, cursor.sink, cursor.route.content_number))
        }) else {
            return Turn::Done(0);
        };
        let Some(end) = self.plan.lane(sink) else {
            return Turn::Done(0);
        };
        let may_send = self.desk.positions.may_send(content_number);
        if self.detached.contains(&sink) || !may_send || !end.outlet.queue.has_room() {
            return Turn::Blocked;
        }
        let now = now();
        if self.is_too_fast(source, now.instant) {
            return Turn::Blocked;
        }
        failpoint("read");
        self.stamps.catch_up(now.unix_ns);
        let mut buffer = std::mem::replace(&mut self.buffer, ReadBuffer::empty());
        let turn = match self.tailer.read(id, index, &mut buffer, now.instant) {
            Step::Chunk(chunk) => self.encode_chunk(id, index, &chunk, now.instant),
            Step::Skipped { bytes } => Turn::More(bytes),
            Step::ArchiveEnd { damage } => {
                self.end_archive(id, index, damage);
                Turn::Done(0)
            }
            Step::AtEnd | Step::Gated => Turn::Done(0),
            Step::Replaced { lost_bytes } => {
                self.start_again(id, &lost_bytes);
                Turn::More(1)
            }
            Step::Failed(error) => {
                self.note_failed_read(id, &error);
                Turn::Done(0)
            }
        };
        self.buffer = buffer;
        turn
    }

    /// Returns whether a source has been read as fast as it may be.
    fn is_too_fast(&mut self, source: usize, now: Instant) -> bool {
        let limiter = self
            .plan
            .sources
            .get(source)
            .and_then(|source| source.rate_limiter.as_deref())
            .filter(|limiter| limiter.when_exceeded == WhenExceeded::Block);
        let (Some(limiter), Some(allowance)) = (limiter, self.allowances.get_mut(source)) else {
            return false;
        };
        match limiter.allow(allowance) {
            Ok(()) => false,
            Err(wait) => {
                self.rate_deadline = Some(earlier(self.rate_deadline, now + wait));
                true
            }
        }
    }

    /// Frames a chunk and copies its lines into the open batch, by way of the stages where there are any.
    fn encode_chunk(&mut self, id: u64, index: usize, chunk: &Chunk<'_>, now: Instant) -> Turn {
        let Some((taken, offset)) = self.take_chunk(id, index, chunk, None, now) else {
            return Turn::Done(0);
        };
        if let Taken::TooFast(wait) = taken {
            self.rate_deadline = Some(earlier(self.rate_deadline, now + wait));
        }
        let Some(file) = self.tailer.file_mut(id) else {
            return Turn::Done(0);
        };
        let is_blocked = taken != Taken::Whole;
        let at_end = chunk.is_at_end && !is_blocked;
        file.consume(index, offset, chunk.marker_at(offset), at_end, now);
        let read = offset.saturating_sub(chunk.offset);
        // A finished file is read once more: only a read that finds nothing says that it is drained.
        let is_finishing = file.is_rotated() && read > 0;
        if is_blocked || !chunk.is_at_end || is_finishing {
            Turn::More(read)
        } else {
            Turn::Done(read)
        }
    }

    /// Frames a chunk and copies its lines into the open batch; `again` gives the timestamps that they had
    /// in an earlier run. Returns what it came to, and the offset after what was framed.
    fn take_chunk(
        &mut self,
        id: u64,
        index: usize,
        chunk: &Chunk<'_>,
        again: Option<&mut Stamps>,
        now: Instant,
    ) -> Option<(Taken, u64)> {
        let is_replay = again.is_some();
        self.take_over_held(id, index);
        let file = self.tailer.file_mut(id)?;
        let source_index = file.cursors.get(index)?.source;
        let source = self.plan.sources.get(source_index)?;
        let encoding = file.encoding(source.frame.encoding);
        let own_limiter = source.rate_limiter.as_deref().filter(|_| !is_replay);
        let shared_limiter = self.plan.shared_limiter.as_deref();
        let own = Gate {
            limiter: own_limiter,
            allowance: self.allowances.get_mut(source_index)?,
        };
        let shared = Gate {
            limiter: shared_limiter.filter(|_| !is_replay),
            allowance: &mut self.shared_allowance,
        };
        let cursor = file.cursors.get_mut(index)?;
        let slot = self.slots.get_mut(cursor.route.batch)?;
        let seal = Seal {
            end: self.plan.lane(slot.sink)?,
            desk: &self.desk,
            now,
            is_replay,
        };
        let stamps = again.unwrap_or(&mut self.stamps);
        let mut stats = FrameStats::default();
        // As the file stands before it is framed: what is skipped at the start of a chunk is skipped at once.
        let start = Place {
            offset: chunk.offset,
            marker: chunk.marker_at(chunk.offset),
            code: cursor.frame.code(),
        };
        let mut framer = Framer::new(
            &source.frame,
            encoding,
            &mut cursor.frame,
            chunk.bytes(),
            chunk.offset,
            chunk.end,
            &mut self.scratch,
            &mut stats,
        );
        let route = &cursor.route;
        let workshop = route.workshop.and_then(|at| self.workshops.get_mut(at));
        let (taken, lines) = if let Some(workshop) = workshop {
            StagedLane {
                slot,
                route,
                file: id,
                workshop,
                stamps,
                own,
                shared,
                seal,
            }
            .take(&mut framer, chunk, start, source)
        } else {
            Lane {
                slot,
                route,
                stamps,
                own,
                shared,
                seal,
            }
            .take(&mut framer, chunk, start, source)
        };
        let offset = framer.offset();
        enter_stats(&self.desk, cursor.route.book, &stats);
        cursor.route.progress.add_lines(lines);
        Some((taken, offset))
    }

    /// The content of a file is another one: its cursors begin again, and their positions with them.
    fn start_again(&mut self, id: u64, lost_bytes: &[u64]) {
        self.give_up_held(id);
        let Some(file) = self.tailer.file_mut(id) else {
            return;
        };
        let content = file.content;
        let path = Arc::clone(&file.path);
        let lost: u64 = lost_bytes.iter().copied().max().unwrap_or(0);
        tracing::info!(path = %path.display(), lost, "file was truncated or replaced, reading from its start");
        for (cursor, lost) in file.cursors.iter_mut().zip(lost_bytes) {
            let route = &mut cursor.route;
            self.desk
                .books
                .change(route.book, |books| books.lost_unread_bytes += lost);
            let account = self.desk.ledger.account(route.cursor);
            self.desk.ledger.close(route.cursor);
            route.cursor = CursorId {
                file: content,
                ..route.cursor
            };
            let positions = &self.desk.positions;
            let epoch = positions.restart(route.key, &route.name, file.identity);
            route.content_number = self.desk.positions.content_number();
            let account = account.map_or_else(
                || Account {
                    route: route.book,
                    name: Arc::clone(&route.name),
                    key: route.key,
                    epoch,
                    path: Arc::clone(&path),
                    progress: Arc::clone(&route.progress),
                },
                |account| Account { epoch, ..account },
            );
            self.desk.ledger.open(route.cursor, account, 0);
        }
        self.tailer.push_ready(id);
    }

    fn note_failed_read(&mut self, id: u64, error: &std::io::Error) {
        self.tailing_mut(|status| status.read_errors += 1);
        self.tailer.retry_later(id);
        if let Some(file) = self.tailer.file_mut(id) {
            tracing::debug!(path = %file.path.display(), %error, "cannot read file now, trying again");
        }
    }

    fn seal_due(&mut self) {
        let now = now().instant;
        for index in 0..self.slots.len() {
            let is_due = self
                .slots
                .get(index)
                .and_then(Slot::deadline)
                .is_some_and(|due| due <= now);
            if is_due {
                self.seal(index);
            }
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

    fn file_statuses(&self) -> Vec<FileStatus> {
        let now = now().instant;
        let mut statuses = Vec::new();
        for file in self.tailer.files() {
            let size_bytes = file.content_len();
            for cursor in &file.cursors {
                let (Some(source), Some(sink)) = (
                    self.plan.sources.get(cursor.source),
                    self.plan.lane(cursor.sink),
                ) else {
                    continue;
                };
                let oldest = self.desk.ledger.oldest_unresolved(cursor.route.cursor);
                statuses.push(FileStatus {
                    source: source.name.to_string(),
                    sink: sink.outlet.name.to_string(),
                    path: file.path.to_path_buf(),
                    current_path: file.current.as_deref().map(std::path::Path::to_path_buf),
                    device: file.identity.device,
                    inode: file.identity.inode,
                    fingerprint: (
                        format!("{:032x}", file.identity.fingerprint.hash),
                        file.identity.fingerprint.len,
                    ),
                    read_offset: cursor.offset,
                    read_lines: cursor.route.progress.read_lines(),
                    acked_offset: cursor.route.progress.acked_offset(),
                    size_bytes,
                    is_rotated: file.is_rotated(),
                    is_open: file.is_open(),
                    oldest_unacked: oldest.map(|since| now.saturating_duration_since(since)),
                });
            }
        }
        statuses
    }

    fn tailing_mut(&self, change: impl FnOnce(&mut TailingStatus)) {
        change(&mut self.tailing.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn publish(&mut self) {
        let stats = self.tailer.take_stats();
        let (watched, polled) = self.tailer.watched_and_polled();
        let decoders = self.tailer.open_decoders() as u64;
        let (files, open) = (
            self.tailer.files().count() as u64,
            self.tailer.open_files() as u64,
        );
        self.tailing_mut(|status| {
            status.files = files;
            status.scanned_workers = 1;
            status.open_files = open;
            status.watched_directories = watched as u64;
            status.polled_directories = polled as u64;
            status.files_found += stats.files_found;
            status.rotations += stats.rotations;
            status.truncations += stats.truncations;
            status.watch_overflows += stats.watch_overflows;
            status.watch_limit_hits += stats.watch_limit_hits;
            status.files_over_limit += stats.files_over_limit;
            status.descriptors_evicted += stats.descriptors_evicted;
            status.scan_errors += stats.scan_errors;
            status.open_decoders = decoders;
        });
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
