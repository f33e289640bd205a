//! Files that are read once, in an order that was given, and how far that is.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tailwater_record::FileIdentity;
use tailwater_tailer::{Damage, ListedFile};
use tokio::sync::watch;

/// Chains that are read at once, at most: each has two threads.
const MAX_JOBS: usize = 64;

/// Files that follow each other: each is read to its end before the next is opened, and lines that
/// belong together may begin in one and end in the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The source whose lines they are: an index into [`EngineConfig::sources`](crate::EngineConfig).
    pub source: usize,
    /// The path that all of its lines have where the source labels them with one: that of the log which
    /// the files are generations of. Lines that belong together are of one stream then, and a file that is
    /// renamed between two runs stays in its stream.
    pub path: PathBuf,
    /// Absolute paths, the oldest file first; no file twice.
    pub files: Vec<PathBuf>,
}

/// What is to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackfillPlan {
    /// Files that have nothing to do with each other are chains of their own.
    pub chains: Vec<Chain>,
    /// Chains that are read at once, in the order they are given; 1 to 64.
    pub jobs: usize,
}

/// How far a file is read. What of it is delivered, the books say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FileState {
    /// Its turn has not come.
    #[default]
    Waiting,
    /// It is being read.
    Reading,
    /// All of it was read.
    Whole,
    /// It is read up to where it is damaged.
    Damaged(Damage),
    /// It could not be opened, or not be read to its end: why.
    Unreadable(String),
    /// An earlier run has delivered all of it.
    AlreadyDelivered,
}

impl FileState {
    /// Returns whether nothing more comes of the file in this run.
    pub fn is_over(&self) -> bool {
        match self {
            Self::Waiting | Self::Reading => false,
            Self::Whole | Self::Damaged(_) | Self::Unreadable(_) | Self::AlreadyDelivered => true,
        }
    }
}

/// One file of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReport {
    /// Its path, as the plan has it.
    pub path: PathBuf,
    /// The index of its source.
    pub source: usize,
    /// How far it is.
    pub state: FileState,
    /// Lines read in this run.
    pub lines_read: u64,
    /// Where this run began to read, where an earlier one left off: an offset in the decoded bytes, 0 for the
    /// start.
    pub resumed_at: u64,
    /// Decoded bytes up to where it is read, those before `resumed_at` included.
    pub decoded_bytes: u64,
    /// Bytes on the disk up to where it is read, which is ahead of `decoded_bytes`.
    pub raw_bytes: u64,
    /// Its size on the disk, 0 where it cannot be told.
    pub raw_len: u64,
}

/// How far all files are together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes on the disk that are done with, those of files that cannot be read to their end included.
    pub raw_bytes: u64,
    /// The sizes of all files on the disk.
    pub raw_len: u64,
    /// Decoded bytes of the files that were read, up to where they are read.
    pub decoded_bytes: u64,
    /// Lines read in this run.
    pub lines_read: u64,
    /// Files that nothing more comes of.
    pub files_done: usize,
    /// All files.
    pub files: usize,
}

/// The reading that [`Engine::start_backfill`](crate::Engine::start_backfill) began; cheap to clone.
#[derive(Clone, Debug)]
pub struct Backfill {
    board: Arc<Board>,
    readers_left: watch::Receiver<usize>,
}

impl Backfill {
    pub(crate) fn new(board: Arc<Board>, readers_left: watch::Receiver<usize>) -> Self {
        Self {
            board,
            readers_left,
        }
    }

    /// Returns how far it is, at the cost of a look at every file. Nothing waits for it.
    pub fn progress(&self) -> Progress {
        self.board.progress()
    }

    /// Returns every file, in the order of the plan.
    pub fn files(&self) -> Vec<FileReport> {
        self.board.files.iter().map(Entry::report).collect()
    }

    /// Waits until every file is at its end, or where it can be read no further, and everything that was
    /// read is sealed; also until the engine is told to stop, with files that are not over then. What is
    /// sealed is delivered when [`Engine::delivered`](crate::Engine::delivered) says so.
    ///
    /// # Cancel safety
    /// It can be called again, and by several at once.
    pub async fn read_all(&self) {
        let mut readers_left = self.readers_left.clone();
        // An error says that no thread is left either.
        readers_left.wait_for(|left| *left == 0).await.ok();
    }
}

/// Held by every thread that has something left to read.
#[derive(Debug)]
pub(crate) struct ReaderGuard(Arc<watch::Sender<usize>>);

impl ReaderGuard {
    /// Makes as many as there are threads, and what tells how many are left.
    pub(crate) fn make(readers: usize) -> (Vec<Self>, watch::Receiver<usize>) {
        let (left, readers_left) = watch::channel(readers);
        let left = Arc::new(left);
        let guards = (0..readers).map(|_| Self(Arc::clone(&left)));
        (guards.collect(), readers_left)
    }
}

impl Drop for ReaderGuard {
    fn drop(&mut self) {
        self.0.send_modify(|left| *left = left.saturating_sub(1));
    }
}

/// Where the threads that read write down how far they are.
#[derive(Debug)]
pub(crate) struct Board {
    pub(crate) files: Vec<Entry>,
    chains: Vec<ChainEntry>,
    /// The chain that is read next.
    next_chain: AtomicUsize,
}

/// One chain: which entries of the board its files are.
#[derive(Clone, Debug)]
pub(crate) struct ChainEntry {
    pub(crate) source: usize,
    pub(crate) path: Arc<Path>,
    pub(crate) files: std::ops::Range<usize>,
}

/// A file as it was when the run began: a name may be another file's when its turn comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed {
    identity: FileIdentity,
    /// Its size on the disk.
    pub(crate) len: u64,
}

impl Listed {
    pub(crate) fn of(file: &ListedFile) -> Self {
        Self {
            identity: file.identity(),
            len: file.len(),
        }
    }

    /// Returns whether a file is this one, which may have grown.
    pub(crate) fn is(&self, file: &ListedFile) -> bool {
        let (was, is) = (self.identity, file.identity());
        (was.device, was.inode) == (is.device, is.inode)
    }

    /// Returns whether it begins as it did, and is not shorter.
    pub(crate) fn is_unchanged(&self, file: &ListedFile) -> bool {
        file.len() >= self.len && self.identity.fingerprint.matches_head(file.head())
    }

    pub(crate) fn inode(&self) -> u64 {
        self.identity.inode
    }
}

/// One file.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) path: PathBuf,
    source: usize,
    /// What had its path when the run began; `None` where it could not be opened.
    pub(crate) listed: Option<Listed>,
    state: Mutex<FileState>,
    lines_read: AtomicU64,
    resumed_at: AtomicU64,
    decoded_bytes: AtomicU64,
    raw_bytes: AtomicU64,
    raw_len: AtomicU64,
}

impl BackfillPlan {
    /// Returns how many threads read.
    pub(crate) fn readers(&self) -> usize {
        self.jobs.clamp(1, MAX_JOBS).min(self.chains.len().max(1))
    }
}

impl Board {
    pub(crate) fn new(plan: BackfillPlan, listed: impl Fn(&Path) -> Option<Listed>) -> Self {
        let mut files: Vec<Entry> = Vec::new();
        let mut chains = Vec::with_capacity(plan.chains.len());
        for Chain {
            source,
            path,
            files: paths,
        } in plan.chains
        {
            let first = files.len();
            files.extend(paths.into_iter().map(|path| {
                let listed = listed(&path);
                Entry {
                    raw_len: AtomicU64::new(listed.map_or(0, |listed| listed.len)),
                    path,
                    source,
                    listed,
                    state: Mutex::default(),
                    lines_read: AtomicU64::default(),
                    resumed_at: AtomicU64::default(),
                    decoded_bytes: AtomicU64::default(),
                    raw_bytes: AtomicU64::default(),
                }
            }));
            chains.push(ChainEntry {
                source,
                path: path.into(),
                files: first..files.len(),
            });
        }
        Self {
            files,
            chains,
            next_chain: AtomicUsize::new(0),
        }
    }

    /// Gives the next chain to whoever asks.
    pub(crate) fn take_chain(&self) -> Option<ChainEntry> {
        let next = self.next_chain.fetch_add(1, Ordering::Relaxed);
        self.chains.get(next).cloned()
    }

    fn progress(&self) -> Progress {
        let mut all = Progress {
            files: self.files.len(),
            ..Progress::default()
        };
        for file in &self.files {
            all.raw_bytes += file.raw_bytes.load(Ordering::Relaxed);
            all.raw_len += file.raw_len.load(Ordering::Relaxed);
            all.decoded_bytes += file.decoded_bytes.load(Ordering::Relaxed);
            all.lines_read += file.lines_read.load(Ordering::Relaxed);
            all.files_done += usize::from(file.is_over());
        }
        all
    }
}

impl Entry {
    /// The file was opened: it has this size, and is read from an offset on.
    pub(crate) fn begin(&self, raw_len: u64, resumed_at: u64) {
        self.raw_len.store(raw_len, Ordering::Relaxed);
        self.resumed_at.store(resumed_at, Ordering::Relaxed);
        self.decoded_bytes.store(resumed_at, Ordering::Relaxed);
    }

    /// What it decodes to is framed up to here.
    pub(crate) fn note_decoded(&self, bytes: u64) {
        self.decoded_bytes.store(bytes, Ordering::Relaxed);
    }

    /// It is read from the disk up to here.
    pub(crate) fn note_raw(&self, bytes: u64) {
        self.raw_bytes.store(bytes, Ordering::Relaxed);
    }

    /// So many of its lines are read, for one of its routes.
    pub(crate) fn note_lines(&self, lines: u64) {
        self.lines_read.fetch_max(lines, Ordering::Relaxed);
    }

    pub(crate) fn set_state(&self, state: FileState) {
        if state.is_over() {
            // Nothing is left to be done, whether it could be read or not.
            let raw_len = self.raw_len.load(Ordering::Relaxed);
            self.raw_bytes.store(raw_len, Ordering::Relaxed);
        }
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    fn is_over(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_over()
    }

    fn report(&self) -> FileReport {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        FileReport {
            path: self.path.clone(),
            source: self.source,
            state: state.clone(),
            lines_read: self.lines_read.load(Ordering::Relaxed),
            resumed_at: self.resumed_at.load(Ordering::Relaxed),
            decoded_bytes: self.decoded_bytes.load(Ordering::Relaxed),
            raw_bytes: self.raw_bytes.load(Ordering::Relaxed),
            raw_len: self.raw_len.load(Ordering::Relaxed),
        }
    }
}
