//! Making positions durable: in memory at once, on disk in groups.

mod listed;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tailwater_failpoint::failpoint;
use tailwater_position_store::{FileKey, Journal, Position, PositionStore, StoredFile};
use tailwater_record::FileIdentity;
use tailwater_tailer::{FrameState, Known, KnownFile, TailedFile, Waker};

pub(crate) use self::listed::Lookup;
use crate::desk::Desk;
use crate::envelope::EnvelopeSpan;
use crate::ledger::Moved;
use crate::route::position_name;
use crate::status::CheckpointStatus;

/// Positions of files that were not seen for this long are forgotten.
const RETENTION: Duration = Duration::from_secs(30 * 24 * 3600);

/// One in so many positions of absent files goes when the store is full.
const FORGOTTEN_SHARE: usize = 16;

/// The positions of all cursors.
///
/// The lock is held for map operations only, never for a write to the disk.
#[derive(Debug)]
pub(crate) struct Positions {
    store: Mutex<PositionStore>,
    earlier: Earlier,
    /// Files that are followed: they are never forgotten for their age.
    followed: Mutex<HashSet<FileKey>>,
    bell: Bell,
    contents: Contents,
    failures: AtomicU64,
    checkpoints: AtomicU64,
    compactions: AtomicU64,
    last_error: Mutex<Option<String>>,
}

/// Contents that were found, by the order in which they were: new files, and old ones with new content.
#[derive(Debug, Default)]
struct Contents {
    /// How many there are.
    found: AtomicU64,
    /// How many of them a checkpoint has been tried with.
    tried: AtomicU64,
    /// How many of them are durable.
    durable: AtomicU64,
    /// Pipeline threads, which wait with what they found.
    wakers: Mutex<Vec<Waker>>,
}

impl Contents {
    fn pass(&self, found: u64, are_durable: bool) {
        if are_durable {
            self.durable.store(found, Ordering::Release);
        }
        if self.tried.swap(found, Ordering::AcqRel) < found {
            let wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
            wakers.iter().for_each(Waker::wake);
        }
    }
}

/// What was stored when the agent started, for finding renamed files.
#[derive(Debug, Default)]
struct Earlier {
    by_directory: HashMap<PathBuf, Vec<KnownFile>>,
    inodes: HashSet<(u64, u64)>,
    is_empty: bool,
}

impl Positions {
    pub(crate) fn new(store: PositionStore) -> Self {
        let mut earlier = Earlier {
            is_empty: true,
            ..Earlier::default()
        };
        for file in store.files() {
            earlier.is_empty = false;
            earlier
                .inodes
                .insert((file.identity.device, file.identity.inode));
            let directory = file.path.parent().unwrap_or(Path::new("/")).to_owned();
            let positions = file.positions.iter().map(|stored| stored.position);
            let furthest = positions.max_by_key(|position| position.offset);
            let furthest = furthest.unwrap_or_default();
            earlier
                .by_directory
                .entry(directory)
                .or_default()
                .push(KnownFile {
                    path: Arc::clone(&file.path),
                    inode: file.identity.inode,
                    fingerprint: file.identity.fingerprint,
                    updated_ns: file.updated_ns,
                    offset: furthest.offset,
                    marker: furthest.marker,
                    is_archive_end: FrameState::from_code(furthest.place).is_archive_end(),
                });
        }
        Self {
            store: Mutex::new(store),
            earlier,
            followed: Mutex::default(),
            bell: Bell::default(),
            contents: Contents::default(),
            failures: AtomicU64::new(0),
            checkpoints: AtomicU64::new(0),
            compactions: AtomicU64::new(0),
            last_error: Mutex::new(None),
        }
    }

    /// Returns whether no file was known when the agent started.
    pub(crate) fn was_empty(&self) -> bool {
        self.earlier.is_empty
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, PositionStore> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over positions that have moved; durable with the next checkpoint.
    pub(crate) fn advance(&self, moved: Vec<Moved>) {
        if moved.is_empty() {
            return;
        }
        let now_ns = crate::pipeline::unix_ns();
        let mut store = self.lock();
        for Moved {
            key,
            name,
            position,
        } in moved
        {
            store.set_position(key, &name, position, now_ns);
        }
    }

    /// Takes over positions that a spill already covers; returns whether any has moved.
    pub(crate) fn redo(&self, sink: &str, spans: &[EnvelopeSpan]) -> bool {
        let mut store = self.lock();
        let mut has_moved = false;
        for span in spans {
            has_moved |= redo_span(&mut store, sink, span);
        }
        has_moved
    }

    /// Finds what is stored of a file, or enters it as a new one: its key and the position of each
    /// route, by name. No key where the store is full: the file is then read without a position.
    pub(crate) fn recall<R>(
        &self,
        file: &TailedFile<R>,
        now_ns: u64,
    ) -> (Option<FileKey>, Vec<(Arc<str>, Position)>) {
        let mut store = self.lock();
        let identity = file.identity;
        // It was compressed or decompressed since, and the tailer has found out what it was before.
        let former = file.former().and_then(|known| {
            let mut stored = store.find_by_path(&file.path);
            stored.find(|stored| (stored.identity.inode, stored.identity.fingerprint) == known)
        });
        // The head is there when a file is found; later its identity is what the store has of it. One
        // that was stored when it was empty has no head: its inode may be another file's by now, and
        // then it is found under another path.
        let is_it = |stored: &&StoredFile| {
            if stored.identity.fingerprint.len == 0 {
                return *stored.path == *file.path;
            }
            stored.identity == identity || stored.identity.fingerprint.matches_head(file.head())
        };
        let by_inode = store.find(identity.device, identity.inode).filter(is_it);
        let best = by_inode.max_by_key(|stored| stored.identity.fingerprint.len);
        let best = former.or(best);
        // Device numbers may change with a reboot: path, inode and a head together say the same.
        let renumbered = |store: &PositionStore| {
            store
                .find_by_path(&file.path)
                .filter(|stored| {
                    stored.identity.inode == identity.inode && stored.identity.fingerprint.len > 0
                })
                .find(is_it)
                .map(|stored| (stored.key, positions_of(stored, file)))
        };
        let found = best
            .map(|stored| (stored.key, positions_of(stored, file)))
            .or_else(|| renumbered(&store));
        if let Some((key, positions)) = found {
            store.set_identity(key, identity);
            drop(store);
            self.followed().insert(key);
            return (Some(key), positions);
        }
        let gone: Vec<FileKey> = store
            .find(identity.device, identity.inode)
            .filter(|stored| stored.identity.fingerprint.len == 0)
            .map(|stored| stored.key)
            .collect();
        gone.into_iter().for_each(|key| store.forget(key));
        drop(store);
        (self.enter(identity, &file.path, now_ns), Vec::new())
    }

    /// Forgets the positions that were moved longest ago, of files that are not followed: a file that is
    /// there now counts for more than one that may come back.
    fn make_room(&self, store: &mut PositionStore) {
        let followed = self.followed();
        let mut ages: Vec<u64> = store
            .files()
            .filter(|file| !followed.contains(&file.key))
            .map(|file| file.updated_ns)
            .collect();
        ages.sort_unstable();
        let Some(youngest) = ages.get(ages.len() / FORGOTTEN_SHARE).copied() else {
            return;
        };
        let forgotten = store.expire(youngest.saturating_add(1), |key| followed.contains(&key));
        tracing::warn!(
            files = forgotten.len(),
            "the position store is full: the oldest positions of files that are not there are forgotten"
        );
    }

    /// There is content that no start would know yet. It is stored at once: a file that is renamed out
    /// of the globs while the agent is down is found again by what is stored of it, and what a spill or
    /// an intent holds of it is known by its key and epoch.
    fn found_content(&self) {
        self.contents.found.fetch_add(1, Ordering::AcqRel);
        self.bell.ring(Wanted::Now);
    }

    /// Returns a number that [`Positions::may_send`] is asked with for what was found up to now.
    pub(crate) fn content_number(&self) -> u64 {
        self.contents.found.load(Ordering::Acquire)
    }

    /// Returns whether what was found up to a number is stored, or could not be: then its repeats would
    /// not be recognized, and it is sent all the same. Threads are woken when that changes.
    pub(crate) fn may_send(&self, content_number: u64) -> bool {
        self.contents.tried.load(Ordering::Acquire) >= content_number
    }

    /// Sets who is woken when something more may be sent.
    pub(crate) fn set_wakers(&self, wakers: Vec<Waker>) {
        *self
            .contents
            .wakers
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = wakers;
    }

    /// Returns whether every file that was found is durable, so that it is found again under another
    /// name whatever happens now.
    pub(crate) fn are_found_files_durable(&self) -> bool {
        self.contents.durable.load(Ordering::Acquire) >= self.content_number()
    }

    /// Asks for a checkpoint before its time.
    pub(crate) fn hurry(&self) {
        self.bell.ring(Wanted::Now);
    }

    /// A file is not followed any more; its position is kept.
    pub(crate) fn release(&self, key: FileKey) {
        self.followed().remove(&key);
    }

    /// A file is gone for good, and its position with it.
    pub(crate) fn forget(&self, key: FileKey) {
        self.release(key);
        self.lock().forget(key);
    }

    fn followed(&self) -> MutexGuard<'_, HashSet<FileKey>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters where a cursor starts.
    pub(crate) fn remember(&self, key: FileKey, name: &str, position: Position) {
        self.lock()
            .set_position(key, name, position, crate::pipeline::unix_ns());
    }

    /// Removes positions that others have taken over.
    pub(crate) fn remove(&self, key: FileKey, names: &[Arc<str>]) {
        if !names.is_empty() {
            self.lock().remove_positions(key, names);
        }
    }

    /// Returns the epoch of a file's content.
    pub(crate) fn epoch(&self, key: FileKey) -> u32 {
        self.lock().epoch(key).unwrap_or(0)
    }

    /// Enters that the content of a file is another one; returns its epoch.
    pub(crate) fn restart(&self, key: FileKey, name: &str, identity: FileIdentity) -> u32 {
        let mut store = self.lock();
        store.set_identity(key, identity);
        store.set_position(key, name, Position::default(), crate::pipeline::unix_ns());
        let epoch = store.epoch(key).unwrap_or(0);
        drop(store);
        self.found_content();
        epoch
    }

    pub(crate) fn status(&self) -> CheckpointStatus {
        CheckpointStatus {
            files: self.lock().files().count(),
            checkpoints: self.checkpoints.load(Ordering::Relaxed),
            compactions: self.compactions.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            last_error: self
                .last_error
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        }
    }

    /// Writes everything that has changed and makes it durable.
    ///
    /// # Durability
    /// On `true` all positions taken over before the call survive a power cut, and the notes with them.
    fn checkpoint(&self, journal: &mut Journal, desk: &Desk) -> bool {
        // Before the group is taken: what is found from here on may not be in it.
        let found = self.content_number();
        let is_written = self.write(journal, desk);
        self.contents.pass(found, is_written);
        is_written
    }

    fn write(&self, journal: &mut Journal, desk: &Desk) -> bool {
        let cut = desk.cut();
        let notes = desk.notes();
        let mut store = self.lock();
        for (name, value) in notes {
            if let Err(error) = store.set_note(&name, &value) {
                tracing::debug!(name, %error, "a note of the books is not kept");
            }
        }
        let group = store.take_group();
        drop(store);
        drop(cut);
        let Some(group) = group else {
            return true;
        };
        failpoint("checkpoint_append");
        let mut result = journal.append(&group);
        failpoint("checkpoint_done");
        if result.is_err() {
            self.lock().restore_group(group);
            // A failed sync is never tried again on the same file: a new generation is written from
            // what is in memory, and the old one stays until that is durable.
            let snapshot = self.lock().snapshot();
            result = journal.reopen_with(&snapshot);
        }
        self.note(result.map_err(|error| error_chain(&error)))
    }

    fn compact(&self, journal: &mut Journal) {
        let live_bytes = self.lock().live_bytes();
        if !journal.needs_compaction(live_bytes) {
            return;
        }
        let oldest_ns = crate::pipeline::unix_ns()
            .saturating_sub(u64::try_from(RETENTION.as_nanos()).unwrap_or(u64::MAX));
        let followed = self.followed().clone();
        let expired = self.lock().expire(oldest_ns, |key| followed.contains(&key));
        if !expired.is_empty() {
            tracing::info!(
                files = expired.len(),
                "positions of files not seen for 30 days forgotten"
            );
        }
        let snapshot = self.lock().snapshot();
        self.compactions.fetch_add(1, Ordering::Relaxed);
        failpoint("compact_write");
        let result = journal.compact(&snapshot);
        failpoint("compact_done");
        self.note(result.map_err(|error| error_chain(&error)));
    }

    fn note(&self, result: Result<(), String>) -> bool {
        let mut last = self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(()) => {
                self.checkpoints.fetch_add(1, Ordering::Relaxed);
                if last.take().is_some() {
                    tracing::info!("positions are written again");
                }
                true
            }
            Err(error) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                if last.is_none() {
                    tracing::error!(
                        error,
                        "cannot write positions: delivery goes on, a restart would send again what was acked since"
                    );
                }
                *last = Some(error);
                false
            }
        }
    }
}

impl Known for Positions {
    fn in_directory(&self, directory: &Path) -> Vec<KnownFile> {
        self.earlier
            .by_directory
            .get(directory)
            .cloned()
            .unwrap_or_default()
    }

    fn is_known(&self, device: u64, inode: u64) -> bool {
        self.earlier.inodes.contains(&(device, inode))
    }
}

/// What the thread that writes positions is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Wanted {
    /// A checkpoint when the interval is over.
    #[default]
    Later,
    /// A checkpoint at once: there is a new file, or somebody waits.
    Now,
    /// A last checkpoint.
    Stop,
}

/// How the thread that writes positions is told.
#[derive(Debug, Default)]
struct Bell {
    wanted: Mutex<Wanted>,
    rung: Condvar,
}

impl Bell {
    fn ring(&self, wanted: Wanted) {
        let mut now = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if *now != Wanted::Stop {
            *now = wanted;
        }
        self.rung.notify_all();
    }

    /// Waits until something is wanted, at most for the interval; what was wanted is done with.
    fn wait(&self, interval: Duration) -> Wanted {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut wanted, _) = self
            .rung
            .wait_timeout_while(wanted, interval, |wanted| *wanted == Wanted::Later)
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *wanted)
    }
}

/// The thread that writes positions.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    thread: std::thread::JoinHandle<()>,
    positions: Arc<Positions>,
}

impl Checkpointer {
    /// Starts the thread. Before each checkpoint it asks the desk for its notes.
    pub(crate) fn start(
        desk: Arc<Desk>,
        mut journal: Journal,
        interval: Duration,
    ) -> std::io::Result<Self> {
        let positions = Arc::clone(&desk.positions);
        let writer = Arc::clone(&positions);
        let thread = std::thread::Builder::new()
            .name("positions".into())
            .spawn(move || {
                loop {
                    let wanted = writer.bell.wait(interval);
                    // By the positions as they are now, and no later ones: those are not durable yet.
                    let covered = desk.covered_intents();
                    if writer.checkpoint(&mut journal, &desk) {
                        desk.books.notes_are_durable();
                        desk.forget_intents(&covered);
                    }
                    writer.compact(&mut journal);
                    if wanted == Wanted::Stop {
                        return;
                    }
                }
            })?;
        Ok(Self { thread, positions })
    }

    /// Writes a last checkpoint and ends the thread.
    pub(crate) fn stop(self) {
        self.positions.bell.ring(Wanted::Stop);
        if self.thread.join().is_err() {
            tracing::error!("the thread that writes positions has panicked");
        }
    }
}

/// Returns the positions of a file by name. The end of an archive that was written to since is looked for
/// again.
fn positions_of<R>(stored: &StoredFile, file: &TailedFile<R>) -> Vec<(Arc<str>, Position)> {
    let is_newer = file.is_archive() && file.modified_ns >= stored.updated_ns;
    let positions = stored.positions.iter().map(|stored| {
        let mut position = stored.position;
        if is_newer && FrameState::from_code(position.place).is_archive_end() {
            position.place = FrameState::default().code();
        }
        (Arc::clone(&stored.sink), position)
    });
    positions.collect()
}

/// Moves the position of a spilled span on to its end, where it is behind; returns whether it was. The
/// position is that of its route, or the sink's own where an earlier version has stored that alone.
pub(crate) fn redo_span(store: &mut PositionStore, sink: &str, span: &EnvelopeSpan) -> bool {
    if span.span.is_empty() {
        return false;
    }
    let route = position_name(sink, &span.source);
    let stored = store.get(span.key).map(|file| file.positions.as_slice());
    let has = |name: &str| stored.is_some_and(|all| all.iter().any(|known| *known.sink == *name));
    let name = if !has(&route) && has(sink) {
        sink
    } else {
        &*route
    };
    let position = Position {
        offset: span.span.end,
        marker: span.marker,
        place: span.end_place,
    };
    store.redo(span.key, span.epoch, name, position)
}

pub(crate) fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
