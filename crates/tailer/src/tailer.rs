//! The tailer of one pipeline thread: what is followed, what may have something to read.

#![expect(
    clippy::iter_over_hash_type,
    reason = "directories and files are treated alike; turns have a queue of their own"
)]

mod descriptors;
mod polling;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tailwater_record::{FileId, Fingerprint, Marker};

use crate::archive::{ArchiveRules, Decoders};
use crate::directory::{Directory, TailId, is_remote, mount_table};
use crate::file::{ReadBuffer, ReadRules, Step, TailedFile};
use crate::open::AllowedRoots;
use crate::pattern::Patterns;
use crate::watch::{DirId, Waker, Watch, WatchBackend};

/// How one thread follows files.
#[derive(Clone, Debug)]
pub struct TailerLimits {
    /// How changes are noticed.
    pub watch: WatchBackend,
    /// How often files are looked at whose changes are not told: rotated, deleted, on a network.
    pub poll_interval: Duration,
    /// How often everything is looked at again, as repair.
    pub rescan_interval: Duration,
    /// A rotated file is finished after this quiet time.
    pub rotate_wait: Duration,
    /// A file at its end is closed after this quiet time.
    pub close_idle: Duration,
    /// Descriptors that may be open at once.
    pub max_open_files: usize,
    /// Files that may be followed at once.
    pub max_files: usize,
    /// Files and directories that are never read.
    pub excluded_paths: Vec<PathBuf>,
    /// This thread's number among `shards`: it follows the directories whose hash falls to it.
    pub shard: u32,
    /// How many threads share the local directories.
    pub shards: u32,
    /// The thread for network file systems: it follows those and nothing else.
    pub is_for_remote: bool,
}

/// The files of one source.
#[derive(Clone, Debug)]
pub struct SourceFiles {
    /// Which files.
    pub patterns: Patterns,
    /// Files not modified for this long are left alone until they are.
    pub ignore_older: Option<Duration>,
    /// An unterminated line of a live file is sent after this time, if at all.
    pub partial_line_timeout: Option<Duration>,
    /// How those of them are read that are archives. `None`: where both the name and the first bytes of a
    /// file say that it is one, it is read as such once it was quiet for `rotate_wait`.
    pub archive: Option<ArchiveRules>,
}

/// What the sources that a path matches say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Matched {
    /// The longest of their limits, none where one of them has none.
    pub(crate) ignore_older: Option<Duration>,
    /// Those of the first that reads archives: a file is decoded for all of them or for none.
    pub(crate) archive: Option<ArchiveRules>,
}

/// What the position store remembers of a file.
#[derive(Clone, Debug)]
pub struct KnownFile {
    /// The path it was found under.
    pub path: Arc<Path>,
    /// Its inode.
    pub inode: u64,
    /// How it began.
    pub fingerprint: Fingerprint,
    /// When its position last moved, in nanoseconds since the epoch.
    pub updated_ns: u64,
    /// The offset that is furthest of those stored of it, 0 where there is none.
    pub offset: u64,
    /// The guard of that offset.
    pub marker: Marker,
    /// It was an archive, and read to its end.
    pub is_archive_end: bool,
}

/// What the engine remembers from earlier runs.
pub trait Known {
    /// Returns the files that were found in this directory.
    fn in_directory(&self, directory: &Path) -> Vec<KnownFile>;
    /// Returns whether a position is stored for this inode.
    fn is_known(&self, device: u64, inode: u64) -> bool;
}

/// Why bytes were lost that no reader can get any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossReason {
    /// Deleted or moved away while closed, or while the agent was down.
    Gone,
}

/// What has changed, for the engine.
#[derive(Debug)]
pub enum Change {
    /// A file is followed now; give it its cursors.
    Found {
        /// Its number.
        id: TailId,
        /// It was there when the agent started.
        at_start: bool,
    },
    /// Nothing more will come from it: release it once all of it is acked.
    Finished {
        /// Its number.
        id: TailId,
        /// Its inode is gone, so its position can be forgotten.
        is_deleted: bool,
    },
    /// Bytes that were seen can no longer be read.
    Lost {
        /// Its number.
        id: TailId,
        /// The path it was found under.
        path: PathBuf,
        /// How many of each cursor, in order, as far as is known; one where it had none yet.
        lost_bytes: Vec<u64>,
        /// Why.
        reason: LossReason,
    },
    /// A file of an earlier run is not there any more.
    Missing(KnownFile),
    /// A file matches and cannot be read; it is tried again.
    Refused {
        /// Its path.
        path: PathBuf,
        /// Why, as a metric label.
        reason: &'static str,
        /// For the operator.
        detail: String,
    },
}

/// Counts since the last [`Tailer::take_stats`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TailerStats {
    /// Files that were found.
    pub files_found: u64,
    /// Files whose path went to another file.
    pub rotations: u64,
    /// Files whose content was replaced: truncated, copytruncate, inode reused.
    pub truncations: u64,
    /// Times that events were lost and everything was looked at.
    pub watch_overflows: u64,
    /// Directories that are polled because no watch was left.
    pub watch_limit_hits: u64,
    /// Files that were left because the limit of files is reached.
    pub files_over_limit: u64,
    /// Descriptors closed to stay within the limit.
    pub descriptors_evicted: u64,
    /// Directories that could not be listed.
    pub scan_errors: u64,
    /// Directory listings.
    pub scans: u64,
}

/// The time of one turn.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For intervals.
    pub instant: Instant,
    /// For file times: nanoseconds since the epoch.
    pub unix_ns: u64,
}

/// Events are read at most this often: what is written in between is read at once.
const LISTEN_INTERVAL: Duration = Duration::from_millis(10);

/// How often descriptors are looked through: a quarter of the quiet time they must have had.
fn closing_interval(limits: &TailerLimits) -> Duration {
    (limits.close_idle / 4).max(Duration::from_millis(10))
}

/// Follows the files of one pipeline thread. `R` is what the engine keeps beside each cursor.
#[derive(Debug)]
pub struct Tailer<R> {
    pub(crate) limits: TailerLimits,
    pub(crate) sources: Vec<SourceFiles>,
    pub(crate) allowed_roots: AllowedRoots,
    pub(crate) mounts: String,
    pub(crate) watch: Watch,
    pub(crate) dirs: HashMap<DirId, Directory>,
    /// Sorted, so that what lies below a directory stands behind it.
    pub(crate) dir_by_path: BTreeMap<PathBuf, DirId>,
    /// The directories that each inode is: one may be a root of two patterns, by two names.
    pub(crate) dir_inodes: HashMap<(u64, u64), Vec<DirId>>,
    /// How many of the directories no event tells of.
    pub(crate) polled_dirs: usize,
    /// A root of a pattern was not there when it was looked for last.
    pub(crate) is_root_missing: bool,
    pub(crate) next_dir: DirId,
    /// Boxed: a table of large values is mostly holes, and doubles to grow.
    pub(crate) files: HashMap<TailId, Box<TailedFile<R>>>,
    pub(crate) by_inode: HashMap<(u64, u64), TailId>,
    /// The newest generation of each path.
    pub(crate) live: HashMap<Arc<Path>, TailId>,
    pub(crate) opened: BTreeSet<TailId>,
    /// Files that are looked at every poll interval.
    pub(crate) attention: BTreeSet<TailId>,
    pub(crate) changes: Vec<Change>,
    pub(crate) stats: TailerStats,
    pub(crate) next_id: TailId,
    pub(crate) is_initial: bool,
    ready: VecDeque<TailId>,
    retries: BTreeSet<TailId>,
    /// Directories whose listing was put off to the next turn.
    pub(crate) postponed: Vec<DirId>,
    next_listen: Instant,
    next_poll: Instant,
    /// When descriptors are looked through next for those that can be closed.
    next_close: Instant,
    next_rescan: Instant,
    polls: u32,
    pub(crate) decoders: Decoders,
    /// Files that are archives.
    pub(crate) archives: BTreeSet<TailId>,
    /// Files that hold what others hold that are followed, by device and inode: they are not read.
    pub(crate) repacked: HashMap<(u64, u64), TailId>,
    /// Directories with files that are being written and cannot be told yet.
    pub(crate) undecided: BTreeSet<DirId>,
}

impl<R> Tailer<R> {
    /// Opens the watches. The first [`Tailer::turn`] finds the files.
    pub fn new(
        limits: TailerLimits,
        sources: Vec<SourceFiles>,
        roots: AllowedRoots,
        waker: Waker,
        now: Now,
    ) -> Self {
        let limits_close = closing_interval(&limits);
        Self {
            watch: Watch::open(limits.watch, waker),
            next_id: u64::from(limits.shard) << 48,
            next_rescan: now.instant + limits.rescan_interval,
            limits,
            sources,
            allowed_roots: roots,
            mounts: mount_table(),
            dirs: HashMap::new(),
            dir_by_path: BTreeMap::new(),
            dir_inodes: HashMap::new(),
            polled_dirs: 0,
            is_root_missing: false,
            next_dir: 0,
            files: HashMap::new(),
            by_inode: HashMap::new(),
            live: HashMap::new(),
            opened: BTreeSet::new(),
            attention: BTreeSet::new(),
            changes: Vec::new(),
            stats: TailerStats::default(),
            is_initial: true,
            ready: VecDeque::new(),
            retries: BTreeSet::new(),
            postponed: Vec::new(),
            next_listen: now.instant,
            next_poll: now.instant,
            next_close: now.instant + limits_close,
            polls: 0,
            decoders: Decoders::default(),
            archives: BTreeSet::new(),
            repacked: HashMap::new(),
            undecided: BTreeSet::new(),
        }
    }

    /// Waits at most until `deadline` for something to do; not at all where a file is ready and
    /// `can_read`.
    pub fn wait(&self, now: Instant, can_read: bool, deadline: Option<Instant>) {
        // Before the first look no event can tell of anything.
        if self.is_initial || (can_read && !self.ready.is_empty()) {
            return;
        }
        let mut until = self.next_rescan;
        if self.needs_polling() {
            until = until.min(self.next_poll);
        }
        if let Some(deadline) = deadline {
            until = until.min(deadline);
        }
        if !self.opened.is_empty() {
            until = until.min(self.next_close);
        }
        if !self.postponed.is_empty() {
            until = until.min(now + LISTEN_INTERVAL);
        }
        // Within the interval since the last look, the events are left to gather.
        let gathering = self.next_listen.saturating_duration_since(now);
        let timeout = until.saturating_duration_since(now);
        if !gathering.is_zero() && self.watch.has_events() {
            self.watch.wait(false, Some(timeout.min(gathering)));
            return;
        }
        self.watch.wait(true, Some(timeout));
    }

    /// Takes up everything that has happened: new, renamed and deleted files, and files with
    /// something to read. Changes are left for [`Tailer::take_changes`].
    pub fn turn(&mut self, now: Now, known: &dyn Known) {
        if now.instant >= self.next_listen {
            // Where nothing was heard, the next wait ends with the first event, however soon it comes.
            if self.listen() {
                self.next_listen = now.instant + LISTEN_INTERVAL;
            }
        }
        if now.instant >= self.next_rescan {
            self.next_rescan = now.instant + self.limits.rescan_interval;
            self.mounts = mount_table();
            self.mark_all();
        }
        if self.is_initial || now.instant >= self.next_poll {
            self.next_poll = now.instant + self.limits.poll_interval;
            self.poll(now);
        }
        if now.instant >= self.next_close {
            self.next_close = now.instant + closing_interval(&self.limits);
            self.close_idle(now.instant);
        }
        for id in std::mem::take(&mut self.postponed) {
            if let Some(dir) = self.dirs.get_mut(&id) {
                dir.is_dirty = true;
            }
        }
        self.scan_dirty(now, known);
        self.is_initial = false;
    }

    /// Takes the changes of the last turns, in the order they were seen.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Takes the counts since the last call.
    pub fn take_stats(&mut self) -> TailerStats {
        std::mem::take(&mut self.stats)
    }

    /// Returns a file.
    pub fn file_mut(&mut self, id: TailId) -> Option<&mut TailedFile<R>> {
        self.files.get_mut(&id).map(Box::as_mut)
    }

    /// Returns every file.
    pub fn files(&self) -> impl Iterator<Item = &TailedFile<R>> {
        self.files.values().map(Box::as_ref)
    }

    /// Returns how many files are in turn.
    pub fn ready_len(&self) -> usize {
        self.ready.len()
    }

    /// Takes the file whose turn it is.
    pub fn next_ready(&mut self) -> Option<TailId> {
        let id = self.ready.pop_front()?;
        if let Some(file) = self.files.get_mut(&id) {
            file.is_ready = false;
        }
        Some(id)
    }

    /// Puts a file at the end of the turn, once.
    pub fn push_ready(&mut self, id: TailId) {
        if let Some(file) = self.files.get_mut(&id)
            && !file.is_ready
        {
            file.is_ready = true;
            self.ready.push_back(id);
        }
    }

    /// Puts a file in turn again at the next poll: it could not be read now.
    pub fn retry_later(&mut self, id: TailId) {
        self.retries.insert(id);
    }

    /// Reads on from one cursor of a file.
    pub fn read<'b>(
        &mut self,
        id: TailId,
        cursor: usize,
        buffer: &'b mut ReadBuffer,
        now: Instant,
    ) -> Step<'b> {
        if self.is_gated(id, cursor) || !self.has_decoder(id, cursor, now) {
            self.learn_head(id, now);
            return Step::Gated;
        }
        self.read_again(id, cursor, buffer, now)
    }

    /// Lets the fingerprint of a file grow that waits for its turn, so that it is known again whatever
    /// becomes of it before it is read.
    pub fn learn_head(&mut self, id: TailId, now: Instant) {
        let is_growing = |file: &TailedFile<R>| file.identity.fingerprint.is_growing();
        if self.files.get(&id).is_some_and(|file| is_growing(file)) {
            // Where it cannot be opened now, it is learnt when it is read.
            drop(self.ensure_open(id, now));
            if let Some(file) = self.files.get_mut(&id) {
                file.grow_head();
            }
        }
    }

    /// Returns whether the bytes before an offset of a file are those that a marker was taken of.
    pub fn holds(&mut self, id: TailId, offset: u64, marker: Marker, now: Instant) -> bool {
        self.ensure_open(id, now).is_ok()
            && self
                .files
                .get(&id)
                .is_some_and(|file| file.holds(offset, marker))
    }

    /// Does what [`Tailer::read`] does, also where the generation before is not finished: for what was
    /// read in an earlier run, when it was.
    pub fn read_again<'b>(
        &mut self,
        id: TailId,
        cursor: usize,
        buffer: &'b mut ReadBuffer,
        now: Instant,
    ) -> Step<'b> {
        if let Err(error) = self.ensure_open(id, now) {
            return Step::Failed(std::io::Error::other(error));
        }
        self.make_room_for_decoder(id, cursor, now);
        let rotate_wait = self.limits.rotate_wait;
        let Some(file) = self.files.get_mut(&id) else {
            return Step::AtEnd;
        };
        let reader = file.cursors.get(cursor);
        let source = reader.and_then(|reader| self.sources.get(reader.source));
        let partial_line_timeout = source.and_then(|source| source.partial_line_timeout);
        let was_drained = reader.is_some_and(|reader| reader.is_drained);
        let step = file.read(
            cursor,
            buffer,
            now,
            ReadRules {
                rotate_wait,
                partial_line_timeout,
            },
        );
        if matches!(step, Step::Replaced { .. }) {
            self.stats.truncations += 1;
            self.next_id += 1;
            file.content = FileId(self.next_id);
        }
        let is_drained = file
            .cursors
            .get(cursor)
            .is_some_and(|cursor| cursor.is_drained);
        let needs_attention =
            file.is_rotated() || partial_line_timeout.is_some() || file.is_archive();
        let successor = file.successor;
        if file.is_archive() {
            self.note_decoders(id);
        }
        if needs_attention {
            self.attention.insert(id);
        }
        if let Some(successor) = successor.filter(|_| is_drained && !was_drained) {
            self.push_ready(successor);
        }
        step
    }

    /// Lets go of a file that is finished and acked.
    pub fn release(&mut self, id: TailId) {
        let Some(file) = self.files.remove(&id) else {
            return;
        };
        self.opened.remove(&id);
        self.attention.remove(&id);
        self.note_decoders(id);
        self.decoders.waiting.remove(&id);
        let inode = (file.identity.device, file.identity.inode);
        if self.by_inode.get(&inode) == Some(&id) {
            self.by_inode.remove(&inode);
        }
        if self.live.get(&file.path) == Some(&id) {
            self.live.remove(&file.path);
        }
        self.archives.remove(&id);
        self.repacked.retain(|_, of| *of != id);
        if let Some(successor) = file.successor {
            self.push_ready(successor);
        }
    }

    /// Returns how many descriptors are open.
    pub fn open_files(&self) -> usize {
        self.opened.len()
    }

    /// Returns how many directories are watched, and how many are polled.
    pub fn watched_and_polled(&self) -> (usize, usize) {
        (self.dirs.len() - self.polled_dirs, self.polled_dirs)
    }

    /// Replaces the sources; files are then found, kept or dropped by the caller's next turns.
    pub fn reconfigure(
        &mut self,
        limits: TailerLimits,
        sources: Vec<SourceFiles>,
        roots: AllowedRoots,
    ) {
        self.limits = limits;
        self.sources = sources;
        self.allowed_roots = roots;
        for dir in self.dirs.values_mut() {
            // Names that belonged to no source may belong to one now.
            for entry in dir.names.values_mut() {
                entry.pending |= entry.file.is_none();
            }
            dir.is_dirty = true;
        }
        self.next_poll = self.next_rescan.min(self.next_poll);
        self.is_initial = true;
    }

    /// Returns the sources whose files a path is one of: each of them gets every line.
    pub fn sources_of(&self, path: &Path) -> impl Iterator<Item = usize> {
        let sources = self.sources.iter().enumerate();
        sources
            .filter(|(_, source)| source.patterns.matches(path))
            .map(|(index, _)| index)
    }

    /// Returns what the sources of a path say together; `None` where it matches none.
    pub(crate) fn matched(&self, path: &Path) -> Option<Matched> {
        let mut sources = self.sources_of(path);
        let limit_of = |index: usize| self.sources.get(index)?.ignore_older;
        let mut ignore_older = limit_of(sources.next()?);
        for source in sources {
            // A file that one of them wants is read.
            ignore_older = ignore_older.zip(limit_of(source)).map(|(a, b)| a.max(b));
        }
        let mut sources = self.sources_of(path);
        let archive = sources.find_map(|index| self.sources.get(index)?.archive);
        Some(Matched {
            ignore_older,
            archive,
        })
    }

    pub(crate) fn is_mine(&self, dir: &Path) -> bool {
        let remote = is_remote(dir, &self.mounts);
        if remote || self.limits.is_for_remote {
            return remote == self.limits.is_for_remote;
        }
        let hash = Fingerprint::of_head(dir.as_os_str().as_encoded_bytes()).hash;
        hash % u128::from(self.limits.shards.max(1)) == u128::from(self.limits.shard)
    }

    fn is_gated(&self, id: TailId, cursor: usize) -> bool {
        let Some(file) = self.files.get(&id) else {
            return false;
        };
        let Some(cursor) = file.cursors.get(cursor) else {
            return false;
        };
        let before = file.predecessor.and_then(|before| self.files.get(&before));
        let mut readers = before.into_iter().flat_map(|before| &before.cursors);
        let reader =
            readers.find(|reader| (reader.source, reader.sink) == (cursor.source, cursor.sink));
        reader.is_some_and(|reader| !reader.is_drained)
    }
}
