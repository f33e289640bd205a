//! A directory, a tailer that follows it, and what it has read.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tailwater_record::Marker;
use tailwater_tailer::{
    AllowedRoots, Change, Cursor, Encoding, FrameConfig, FrameStats, Framer, Known, KnownFile, Now,
    OverLimit, Patterns, ReadBuffer, SourceFiles, Step, Tailer, TailerLimits, TailerStats, Waker,
    WatchBackend,
};

/// Nothing is known of earlier runs.
struct Nothing;

impl Known for Nothing {
    fn in_directory(&self, _directory: &Path) -> Vec<KnownFile> {
        Vec::new()
    }
    fn is_known(&self, _device: u64, _inode: u64) -> bool {
        false
    }
}

pub(crate) struct Host {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) frame: FrameConfig,
    tailer: Tailer<()>,
    buffer: ReadBuffer,
    now: Now,
    /// (path it was found under, line, offset of the line)
    pub(crate) read: Vec<(PathBuf, Vec<u8>, u64)>,
    pub(crate) refused: Vec<(PathBuf, &'static str)>,
    pub(crate) stats: TailerStats,
    pub(crate) counts: FrameStats,
}

impl Host {
    /// Follows `*.log` and everything below.
    pub(crate) fn new() -> Self {
        Self::with(WatchBackend::Auto, &["**/*.log"], &[], |_| {})
    }

    #[expect(clippy::disallowed_methods, reason = "where the test's clock starts")]
    pub(crate) fn with(
        watch: WatchBackend,
        include: &[&str],
        exclude: &[&str],
        change: impl FnOnce(&mut TailerLimits),
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let globs = |globs: &[&str]| -> Vec<String> {
            globs
                .iter()
                .map(|glob| format!("{}/{glob}", root.display()))
                .collect()
        };
        let patterns = Patterns::new(&globs(include), &globs(exclude)).unwrap();
        let mut limits = TailerLimits {
            watch,
            poll_interval: Duration::from_millis(50),
            rescan_interval: Duration::from_secs(3600),
            rotate_wait: Duration::from_secs(1),
            close_idle: Duration::from_secs(300),
            max_open_files: 100,
            max_files: 10_000,
            excluded_paths: Vec::new(),
            shard: 0,
            shards: 1,
            is_for_remote: false,
        };
        change(&mut limits);
        let now = Now {
            instant: Instant::now(),
            unix_ns: 1,
        };
        let sources = vec![SourceFiles {
            patterns,
            ignore_older: None,
            partial_line_timeout: None,
        }];
        let roots = AllowedRoots::new([root.as_path()]);
        let frame = FrameConfig {
            max_line_bytes: 64 << 10,
            over_limit: OverLimit::Truncate,
            encoding: Encoding::Auto,
        };
        Self {
            directory,
            frame,
            tailer: Tailer::new(limits, sources, roots, Waker::new().unwrap(), now),
            buffer: ReadBuffer::new(frame.max_line_bytes),
            now,
            read: Vec::new(),
            refused: Vec::new(),
            stats: TailerStats::default(),
            counts: FrameStats::default(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().canonicalize().unwrap().join(name)
    }

    /// Appends to a file, making it where it is not there; returns the descriptor.
    pub(crate) fn append(&self, name: &str, bytes: impl AsRef<[u8]>) -> File {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path(name))
            .unwrap();
        file.write_all(bytes.as_ref()).unwrap();
        file
    }

    #[expect(clippy::disallowed_methods, reason = "a rename as rotation makes it")]
    pub(crate) fn rename(&self, from: &str, to: &str) {
        std::fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// One turn of the thread, and the clock goes on by 20 ms.
    pub(crate) fn turn(&mut self) {
        self.advance(Duration::from_millis(20));
        self.tailer.turn(self.now, &Nothing);
        for change in self.tailer.take_changes() {
            match change {
                Change::Found { id, .. } => {
                    let file = self.tailer.file_mut(id).unwrap();
                    file.encoding = self.frame.encoding.resolve(file.head());
                    file.cursors.push(Cursor::new(0, 0, Marker::default(), ()));
                }
                Change::Finished { id, .. } => self.tailer.release(id),
                Change::Refused { path, reason, .. } => self.refused.push((path, reason)),
                Change::Lost { .. } | Change::Missing(_) => {}
            }
        }
        for _ in 0..self.tailer.ready_len() {
            let id = self.tailer.next_ready().unwrap();
            while self.read_once(id) {}
        }
        let stats = self.tailer.take_stats();
        self.stats.rotations += stats.rotations;
        self.stats.truncations += stats.truncations;
        self.stats.files_found += stats.files_found;
        self.stats.files_over_limit += stats.files_over_limit;
        self.stats.descriptors_evicted += stats.descriptors_evicted;
    }

    /// Turns until everything is quiet, rotated files included.
    pub(crate) fn settle(&mut self) {
        for _ in 0..4 {
            (0..10).for_each(|_| self.turn());
            self.advance(Duration::from_secs(2));
        }
    }

    pub(crate) fn advance(&mut self, by: Duration) {
        self.now.instant += by;
    }

    /// Reads a chunk as a pipeline thread does; returns whether there is more.
    fn read_once(&mut self, id: u64) -> bool {
        let Some(file) = self.tailer.file_mut(id) else {
            return false;
        };
        if file.cursors.is_empty() {
            return false;
        }
        match self.tailer.read(id, 0, &mut self.buffer, self.now.instant) {
            Step::Chunk(chunk) => {
                let file = self.tailer.file_mut(id).unwrap();
                let (path, encoding) = (file.path.clone(), file.encoding);
                let mut scratch = Vec::new();
                let mut framer = Framer::new(
                    &self.frame,
                    encoding,
                    &mut file.cursors.first_mut().unwrap().frame,
                    chunk.bytes(),
                    chunk.offset,
                    chunk.end,
                    &mut scratch,
                    &mut self.counts,
                );
                while let Some(framed) = framer.next() {
                    self.read
                        .push((path.clone(), framed.line.to_vec(), framed.span.start));
                }
                let offset = framer.offset();
                let has_moved = offset > chunk.offset;
                file.consume(
                    0,
                    offset,
                    chunk.marker_at(offset),
                    chunk.is_at_end,
                    self.now.instant,
                );
                has_moved
            }
            Step::Replaced { .. } => true,
            Step::AtEnd | Step::Gated => false,
            Step::Failed(_) => {
                self.tailer.retry_later(id);
                false
            }
        }
    }

    /// The lines that were read, in order.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.read
            .iter()
            .map(|(_, line, _)| String::from_utf8_lossy(line).into_owned())
            .collect()
    }
}
