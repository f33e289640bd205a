//! One pipeline thread: from files to sealed batches, synchronous from read to encode.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tailwater_batcher::{Fill, OpenBatch};
use tailwater_position_store::{FileKey, Position};
use tailwater_record::{BatchId, CursorId, RecordView, TimestampNs};
use tailwater_tailer::file::{TailedFile, seek_end};
use tailwater_tailer::{
    Change, Chunk, Cursor, FrameStats, Framer, Now, ReadBuffer, Step, Tailer, Waker,
};

use crate::books::RouteIndex;
use crate::config::ReadFrom;
use crate::ledger::{Account, Progress};
use crate::route::{MAX_METADATA, Plan, Route, SourceEnd, labels_of};
use crate::sender::Desk;
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

/// The open batch of one sink and tenant.
#[derive(Debug)]
struct Slot {
    sink: u32,
    tenant: Option<Arc<str>>,
    batch: OpenBatch,
}

/// One pipeline thread.
#[derive(Debug)]
pub(crate) struct Pipeline {
    plan: Plan,
    tailer: Tailer<Route>,
    desk: Arc<Desk>,
    control: Receiver<Control>,
    batch_ids: Arc<AtomicU64>,
    slots: Vec<Slot>,
    buffer: ReadBuffer,
    scratch: Vec<u8>,
    stamps: Stamps,
    /// Finished files that wait for their acks: number, and whether the inode is gone.
    finished: BTreeMap<u64, bool>,
    detached: Vec<u32>,
    tailing: Arc<Mutex<TailingStatus>>,
}

/// Timestamps that rise by at least one step per record, and that no other thread gives.
#[derive(Debug)]
struct Stamps {
    last: u64,
    step: u64,
    phase: u64,
}

impl Stamps {
    /// Goes on from the clock, never back.
    fn catch_up(&mut self, now_ns: u64) {
        let aligned = now_ns - now_ns % self.step + self.phase;
        self.last = self.last.max(aligned);
    }

    fn next(&mut self) -> TimestampNs {
        self.last = self.last.saturating_add(self.step);
        TimestampNs(self.last)
    }
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
        batch_ids: Arc<AtomicU64>,
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
                last: 0,
                step,
                phase: u64::from(plan.limits.shard),
            },
            plan,
            tailer,
            desk,
            control,
            batch_ids,
            slots: Vec::new(),
            scratch: Vec::new(),
            finished: BTreeMap::new(),
            detached: Vec::new(),
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
                .filter_map(|slot| slot.batch.deadline())
                .min();
            self.tailer.wait(now().instant, made_progress, deadline);
            if !self.obey() {
                return;
            }
            let now = now();
            let positions = Arc::clone(&self.desk.positions);
            self.tailer.turn(now, &*positions);
            self.apply_changes(now);
            made_progress = self.read_pass();
            self.seal_due();
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
                    return false;
                }
            }
        }
    }

    fn apply_changes(&mut self, now: Now) {
        for change in self.tailer.take_changes() {
            match change {
                Change::Found { id, at_start } => self.open_cursors(id, at_start, now),
                Change::Finished { id, is_deleted } => {
                    self.finished.insert(id, is_deleted);
                }
                Change::Lost {
                    source,
                    path,
                    bytes,
                    ..
                } => {
                    tracing::error!(path = %path.display(), bytes, "file is gone before it was read to its end");
                    self.count_lost(source, bytes);
                }
                Change::Missing(file) => {
                    self.tailing_mut(|status| status.missing_files += 1);
                    tracing::warn!(
                        path = %file.path.display(), inode = file.inode,
                        "a file followed before is not there any more: what was not read of it is lost"
                    );
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
    }

    /// Gives a new file a cursor for each sink of its source, where earlier runs left off.
    fn open_cursors(&mut self, id: u64, at_start: bool, now: Now) {
        let Some(file) = self.tailer.file_mut(id) else {
            return;
        };
        let Some(source) = self.plan.sources.get(file.source) else {
            return;
        };
        file.encoding = source.frame.encoding.resolve(file.head());
        let sinks = source.sinks.clone();
        let is_new_to_a_known_host = at_start && self.desk.positions.was_empty();
        let start = match source.read_from {
            ReadFrom::End if is_new_to_a_known_host && !file.is_rotated() => seek_end(file).ok(),
            ReadFrom::End | ReadFrom::Beginning => None,
        };
        let (key, stored) = self.desk.positions.recall(file, now.unix_ns);
        let Some(key) = key else { return };
        file.identity_changed = false;
        for sink in sinks {
            self.open_cursor(id, sink, key, &stored, start);
        }
        self.tailer.push_ready(id);
    }

    fn open_cursor(
        &mut self,
        id: u64,
        sink: u32,
        key: FileKey,
        stored: &[(Arc<str>, Position)],
        start: Option<(u64, tailwater_record::Marker)>,
    ) {
        let Some(name) = self
            .plan
            .sink(sink)
            .map(|sink| Arc::clone(&sink.outlet.name))
        else {
            return;
        };
        let Some(slot) = self.slot_of(id, sink) else {
            return;
        };
        let Some(file) = self.tailer.file_mut(id) else {
            return;
        };
        let Some(source) = self.plan.sources.get(file.source) else {
            return;
        };
        let known = stored
            .iter()
            .find(|(stored, _)| *stored == name)
            .map(|(_, position)| *position);
        let (offset, marker) = match (known, start) {
            (Some(position), _) => (position.offset, position.marker),
            (None, Some(end)) => end,
            (None, None) => (0, tailwater_record::Marker::default()),
        };
        let cursor = CursorId {
            file: file.content,
            sink,
        };
        let route = Route {
            cursor,
            labels: labels_of(source, &file.path),
            book: self.desk.books.route(&source.name, &name),
            key,
            progress: Arc::new(Progress::default()),
            batch: slot,
        };
        let account = account_of(&route, &name, file);
        self.desk.ledger.open(cursor, account, offset);
        self.desk
            .positions
            .remember(key, &name, Position { offset, marker });
        file.cursors.push(Cursor::new(sink, offset, marker, route));
    }

    /// Returns the open batch for a file's lines to a sink, opening it where there is none.
    fn slot_of(&mut self, id: u64, sink: u32) -> Option<usize> {
        let source = self.tailer.file_mut(id)?.source;
        let tenant = self.plan.sources.get(source)?.tenant.clone();
        let known = self
            .slots
            .iter()
            .position(|slot| slot.sink == sink && slot.tenant == tenant);
        if known.is_some() {
            return known;
        }
        let end = self.plan.sink(sink)?;
        let batch = OpenBatch::new(end.encoder.make(), end.batch, tenant.clone());
        self.slots.push(Slot {
            sink,
            tenant,
            batch,
        });
        Some(self.slots.len() - 1)
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
        let Some(sink) = self
            .tailer
            .file_mut(id)
            .and_then(|file| Some(file.cursors.get(index)?.sink))
        else {
            return Turn::Done(0);
        };
        let Some(end) = self.plan.sink(sink) else {
            return Turn::Done(0);
        };
        if self.detached.contains(&sink) || !end.outlet.queue.has_room() {
            return Turn::Blocked;
        }
        let now = now();
        self.stamps.catch_up(now.unix_ns);
        let mut buffer = std::mem::replace(&mut self.buffer, ReadBuffer::empty());
        let turn = match self.tailer.read(id, index, &mut buffer, now.instant) {
            Step::Chunk(chunk) => self.encode_chunk(id, index, &chunk, now.instant),
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

    /// Frames a chunk and copies its lines into the open batch: the path of a line.
    fn encode_chunk(&mut self, id: u64, index: usize, chunk: &Chunk<'_>, now: Instant) -> Turn {
        let Self {
            tailer,
            plan,
            slots,
            scratch,
            stamps,
            desk,
            batch_ids,
            ..
        } = self;
        let Some(file) = tailer.file_mut(id) else {
            return Turn::Done(0);
        };
        let Some(source) = plan.sources.get(file.source) else {
            return Turn::Done(0);
        };
        let encoding = file.encoding;
        let Some(cursor) = file.cursors.get_mut(index) else {
            return Turn::Done(0);
        };
        let route = &cursor.route;
        let Some(slot) = slots.get_mut(route.batch) else {
            return Turn::Done(0);
        };
        let Some(end) = plan.sink(slot.sink) else {
            return Turn::Done(0);
        };
        let mut tally = Tally {
            book: route.book,
            records: 0,
            bytes: 0,
        };
        let mut stats = FrameStats::default();
        let mut framer = Framer::new(
            &source.frame,
            encoding,
            &mut cursor.frame,
            chunk.bytes(),
            chunk.offset,
            chunk.end,
            scratch,
            &mut stats,
        );
        let metadata = Metadata::of(source);
        let mut digits = [0_u8; 20];
        slot.batch.start_span(route.cursor, chunk.offset, now);
        let mut is_blocked = false;
        while let Some(framed) = framer.next() {
            let with_offset = metadata.with_offset(framed.span.start, &mut digits);
            let record = RecordView {
                line: framed.line,
                span: framed.span,
                timestamp: stamps.next(),
                labels: &route.labels,
                metadata: with_offset
                    .as_ref()
                    .map_or(metadata.fixed(), Metadata::fixed),
            };
            tally.records += 1;
            tally.bytes += framed.line.len() as u64;
            if slot.batch.append(&record) == Fill::IsFull {
                let offset = framer.offset();
                slot.batch.end_span(offset, chunk.marker_at(offset));
                tally.enter(desk);
                seal_slot(slot, end, desk, batch_ids, now);
                slot.batch.start_span(route.cursor, offset, now);
                is_blocked = !end.outlet.queue.has_room();
                if is_blocked {
                    break;
                }
            }
        }
        let offset = framer.offset();
        let marker = chunk.marker_at(offset);
        slot.batch.end_span(offset, marker);
        tally.enter(desk);
        enter_stats(desk, route.book, &stats);
        let is_at_end = chunk.is_at_end && !is_blocked;
        file.consume(index, offset, marker, is_at_end, now);
        let read = offset.saturating_sub(chunk.offset);
        // A finished file is read once more: only a read that finds nothing says that it is drained.
        let is_finishing = file.is_rotated() && read > 0;
        if is_blocked || !chunk.is_at_end || is_finishing {
            Turn::More(read)
        } else {
            Turn::Done(read)
        }
    }

    /// The content of a file is another one: its cursors begin again, and their positions with them.
    fn start_again(&mut self, id: u64, lost_bytes: &[u64]) {
        let Some(file) = self.tailer.file_mut(id) else {
            return;
        };
        let content = file.content;
        let path: Arc<std::path::Path> = file.path.as_path().into();
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
                sink: cursor.sink,
            };
            let Some(sink) = self.plan.sink(cursor.sink) else {
                continue;
            };
            let name = Arc::clone(&sink.outlet.name);
            let account = account.unwrap_or(Account {
                route: route.book,
                key: route.key,
                sink: Arc::clone(&name),
                path: Arc::clone(&path),
                progress: Arc::clone(&route.progress),
            });
            self.desk.ledger.open(route.cursor, account, 0);
            self.desk.positions.restart(route.key, &name, file.identity);
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
                .and_then(|slot| slot.batch.deadline())
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
        if let Some(end) = self.plan.sink(slot.sink) {
            seal_slot(slot, end, &self.desk, &self.batch_ids, now().instant);
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
                    desk.positions.lock().forget(cursor.route.key);
                }
            }
            tailer.release(*id);
            false
        });
    }

    /// Takes over another plan; files and cursors that stand in both go on undisturbed.
    fn reload(&mut self, plan: Plan) {
        (0..self.slots.len()).for_each(|index| self.seal(index));
        let mut plan = plan;
        plan.limits.shard = self.plan.limits.shard;
        plan.limits.is_for_remote = self.plan.limits.is_for_remote;
        self.plan = plan;
        self.detached.clear();
        self.slots.clear();
        self.buffer = ReadBuffer::new(self.plan.max_line_bytes);
        let files = self
            .plan
            .sources
            .iter()
            .map(|source| source.files.clone())
            .collect();
        self.tailer
            .reconfigure(self.plan.limits.clone(), files, self.plan.roots.clone());
        let ids: Vec<u64> = self.tailer.files().map(|file| file.id).collect();
        for id in ids {
            self.reroute(id);
        }
    }

    /// Gives a file the routes of the new plan.
    fn reroute(&mut self, id: u64) {
        let Some(path) = self.tailer.file_mut(id).map(|file| file.path.clone()) else {
            return;
        };
        let Some(source_index) = self.tailer.source_of(&path) else {
            if let Some(file) = self.tailer.file_mut(id) {
                file.cursors
                    .iter()
                    .for_each(|cursor| self.desk.ledger.close(cursor.route.cursor));
            }
            self.finished.remove(&id);
            self.tailer.release(id);
            return;
        };
        let Some(file) = self.tailer.file_mut(id) else {
            return;
        };
        file.source = source_index;
        let Some(source) = self.plan.sources.get(source_index) else {
            return;
        };
        let sinks = source.sinks.clone();
        let labels = labels_of(source, &path);
        let ledger = &self.desk.ledger;
        file.cursors.retain(|cursor| {
            let stays = sinks.contains(&cursor.sink);
            if !stays {
                ledger.close(cursor.route.cursor);
            }
            stays
        });
        let now_ns = unix_ns();
        let (key, stored) = self.desk.positions.recall(file, now_ns);
        for sink in sinks {
            let kept = self
                .tailer
                .file_mut(id)
                .and_then(|file| file.cursors.iter().position(|cursor| cursor.sink == sink));
            match (kept, key) {
                (Some(index), _) => {
                    let slot = self.slot_of(id, sink).unwrap_or(0);
                    if let Some(cursor) = self
                        .tailer
                        .file_mut(id)
                        .and_then(|file| file.cursors.get_mut(index))
                    {
                        cursor.route.labels = labels.clone();
                        cursor.route.batch = slot;
                    }
                }
                (None, Some(key)) => self.open_cursor(id, sink, key, &stored, None),
                (None, None) => {}
            }
        }
        self.tailer.push_ready(id);
    }

    fn count_lost(&mut self, source: usize, bytes: u64) {
        let Some(source) = self.plan.sources.get(source) else {
            return;
        };
        for sink in &source.sinks {
            if let Some(end) = self.plan.sink(*sink) {
                let book = self.desk.books.route(&source.name, &end.outlet.name);
                self.desk
                    .books
                    .change(book, |books| books.lost_unread_bytes += bytes);
            }
        }
    }

    fn file_statuses(&self) -> Vec<FileStatus> {
        let now = now().instant;
        let mut statuses = Vec::new();
        for file in self.tailer.files() {
            let Some(source) = self.plan.sources.get(file.source) else {
                continue;
            };
            let size_bytes = file.look_at_len().unwrap_or(file.known_len);
            for cursor in &file.cursors {
                let Some(sink) = self.plan.sink(cursor.sink) else {
                    continue;
                };
                let oldest = self.desk.ledger.oldest_unresolved(cursor.route.cursor);
                statuses.push(FileStatus {
                    source: source.name.to_string(),
                    sink: sink.outlet.name.to_string(),
                    path: file.path.clone(),
                    current_path: file.current.clone(),
                    device: file.identity.device,
                    inode: file.identity.inode,
                    fingerprint: (
                        format!("{:032x}", file.identity.fingerprint.hash),
                        file.identity.fingerprint.len,
                    ),
                    read_offset: cursor.offset,
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
        });
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

fn seal_slot(
    slot: &mut Slot,
    end: &crate::route::SinkEnd,
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
            books.replaced_lines += stats.replaced_utf8_records
        });
    }
    end.outlet.queue.push(batch);
}

fn enter_stats(desk: &Desk, book: RouteIndex, stats: &FrameStats) {
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

fn account_of(route: &Route, sink: &Arc<str>, file: &TailedFile<Route>) -> Account {
    Account {
        route: route.book,
        key: route.key,
        sink: Arc::clone(sink),
        path: file.path.as_path().into(),
        progress: Arc::clone(&route.progress),
    }
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
