//! A directory, a tailer that follows it as a pipeline thread would, and what it has read.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tailwater_tailer::{
    AllowedRoots, Change, Chunk, Cursor, Damage, Encoding, FrameConfig, FrameStats, Framer, Now,
    OverLimit, Patterns, ReadBuffer, SourceFiles, Step, Tailer, TailerLimits, TailerStats, Waker,
    WatchBackend,
};

use crate::memory::Memory;

/// What a test may change before the tailer starts.
pub(crate) struct Setup {
    pub(crate) limits: TailerLimits,
    pub(crate) source: SourceFiles,
    /// Further sources, each with its own cursors.
    pub(crate) others: Vec<SourceFiles>,
    pub(crate) frame: FrameConfig,
    /// How many cursors each file gets.
    pub(crate) sinks: u32,
    /// Where the globs stand.
    pub(crate) root: PathBuf,
}

/// One line that was read.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) source: usize,
    pub(crate) sink: u32,
    /// The path that its file was found under.
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
    /// Where its bytes begin in the file.
    pub(crate) offset: u64,
}

pub(crate) struct Host {
    /// Removed with it.
    _directory: tempfile::TempDir,
    setup: Setup,
    /// `None` while the agent is down.
    tailer: Option<Tailer<()>>,
    pub(crate) memory: Memory,
    buffer: ReadBuffer,
    instant: Instant,
    /// How far the wall clock is off, in nanoseconds.
    pub(crate) clock_error_ns: i64,
    /// Sinks that take nothing now.
    pub(crate) blocked: Vec<u32>,
    pub(crate) read: Vec<Line>,
    pub(crate) refused: Vec<(PathBuf, &'static str)>,
    /// Bytes that could not be read any more.
    pub(crate) lost_bytes: u64,
    /// Files of earlier runs that were not found.
    pub(crate) missing: usize,
    pub(crate) stats: TailerStats,
    pub(crate) counts: FrameStats,
    /// What was told of damaged archives.
    pub(crate) damages: Vec<Damage>,
}

impl Setup {
    /// Returns every source, the first one first.
    fn sources(&self) -> Vec<SourceFiles> {
        let first = std::iter::once(self.source.clone());
        first.chain(self.others.iter().cloned()).collect()
    }
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
        change: impl FnOnce(&mut Setup),
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
        let mut setup = Setup {
            limits: limits(watch),
            source: SourceFiles {
                patterns,
                ignore_older: None,
                partial_line_timeout: None,
                archive: None,
            },
            others: Vec::new(),
            frame: FrameConfig {
                max_line_bytes: 64 << 10,
                over_limit: OverLimit::Truncate,
                encoding: Encoding::Auto,
            },
            sinks: 1,
            root,
        };
        change(&mut setup);
        let mut host = Self {
            _directory: directory,
            buffer: ReadBuffer::new(setup.frame.max_line_bytes),
            setup,
            tailer: None,
            memory: Memory::default(),
            instant: Instant::now(),
            clock_error_ns: 0,
            blocked: Vec::new(),
            read: Vec::new(),
            refused: Vec::new(),
            lost_bytes: 0,
            missing: 0,
            stats: TailerStats::default(),
            counts: FrameStats::default(),
            damages: Vec::new(),
        };
        host.start();
        host
    }

    /// Ends the agent; what it has read is acked, and its positions are durable.
    pub(crate) fn stop(&mut self) {
        self.tailer = None;
        self.memory.save();
    }

    /// Ends the agent at once: it remembers what [`Host::checkpoint`] made durable, and files.
    pub(crate) fn crash(&mut self) {
        self.tailer = None;
        self.memory.restore();
    }

    /// Makes the positions durable.
    pub(crate) fn checkpoint(&mut self) {
        self.memory.save();
    }

    pub(crate) fn start(&mut self) {
        self.memory.begin_run();
        let roots = AllowedRoots::new([self.setup.root.as_path()]);
        self.tailer = Some(Tailer::new(
            self.setup.limits.clone(),
            self.setup.sources(),
            roots,
            Waker::new().unwrap(),
            self.now(),
        ));
    }

    pub(crate) fn restart(&mut self) {
        self.stop();
        self.start();
    }

    pub(crate) fn tailer(&mut self) -> &mut Tailer<()> {
        self.tailer.as_mut().unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.setup.root.join(name)
    }

    /// Appends to a file, making it where it is not there; returns the descriptor.
    pub(crate) fn append(&self, name: &str, bytes: impl AsRef<[u8]>) -> File {
        append_in(&self.setup.root, name, bytes)
    }

    pub(crate) fn rename(&self, from: &str, to: &str) {
        rename_in(&self.setup.root, from, to);
    }

    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.path(name)).unwrap();
    }

    /// Returns the time of a file, in nanoseconds since the epoch.
    pub(crate) fn modified_ns(&self, name: &str) -> u64 {
        let modified = self.path(name).metadata().unwrap().modified().unwrap();
        let since = modified.duration_since(UNIX_EPOCH).unwrap();
        u64::try_from(since.as_nanos()).unwrap()
    }

    /// Renames `a.log.1` to `a.log.2` and so on, and at last `a.log` to `a.log.1`.
    pub(crate) fn rotate(&self, name: &str) {
        let mut last = 0;
        while self.path(&format!("{name}.{}", last + 1)).exists() {
            last += 1;
        }
        for number in (1..=last).rev() {
            self.rename(
                &format!("{name}.{number}"),
                &format!("{name}.{}", number + 1),
            );
        }
        self.rename(name, &format!("{name}.1"));
    }

    /// One turn of the thread, which reads all there is; the clock goes on by 20 ms.
    pub(crate) fn turn(&mut self) {
        self.look();
        while self.pass() > 0 {}
    }

    /// Looks at what has happened, and reads nothing.
    pub(crate) fn look(&mut self) {
        self.advance(Duration::from_millis(20));
        let now = self.now();
        let tailer = self.tailer.as_mut().unwrap();
        tailer.turn(now, &self.memory);
        for change in tailer.take_changes() {
            match change {
                Change::Found { id, .. } => {
                    let path = std::sync::Arc::clone(&tailer.file_mut(id).unwrap().path);
                    let sources: Vec<usize> = tailer.sources_of(&path).collect();
                    let file = tailer.file_mut(id).unwrap();
                    let stored = self.memory.recall(file, now.unix_ns);
                    for source in sources {
                        file.cursors.extend((0..self.setup.sinks).map(|sink| {
                            let key = route(source, sink);
                            let (offset, marker, frame) =
                                stored.get(&key).copied().unwrap_or_default();
                            let mut cursor = Cursor::new(source, sink, offset, marker, ());
                            cursor.frame = frame;
                            cursor
                        }));
                    }
                    file.drop_head();
                    tailer.push_ready(id);
                }
                Change::Finished { id, is_deleted } => {
                    if is_deleted {
                        self.memory.forget(tailer.file_mut(id).unwrap());
                    }
                    tailer.release(id);
                }
                Change::Refused { path, reason, .. } => self.refused.push((path, reason)),
                Change::Lost { lost_bytes, .. } => {
                    self.lost_bytes += lost_bytes.into_iter().max().unwrap_or(0);
                }
                Change::Missing(_) => self.missing += 1,
            }
        }
        let stats = tailer.take_stats();
        self.stats.rotations += stats.rotations;
        self.stats.truncations += stats.truncations;
        self.stats.files_found += stats.files_found;
        self.stats.files_over_limit += stats.files_over_limit;
        self.stats.descriptors_evicted += stats.descriptors_evicted;
        self.stats.scans += stats.scans;
        self.stats.watch_overflows += stats.watch_overflows;
    }

    /// Gives every ready file one turn, and each of its cursors one chunk; returns the bytes read.
    pub(crate) fn pass(&mut self) -> u64 {
        let mut total = 0;
        for _ in 0..self.tailer().ready_len() {
            let Some(id) = self.tailer().next_ready() else {
                break;
            };
            let (mut is_ready_again, mut bytes) = (false, 0);
            let cursors = self
                .tailer()
                .file_mut(id)
                .map_or(0, |file| file.cursors.len());
            for cursor in 0..cursors {
                let (again, read) = self.read_cursor(id, cursor);
                is_ready_again |= again;
                bytes += read;
            }
            if is_ready_again {
                self.tailer().push_ready(id);
            }
            total += bytes;
        }
        total
    }

    /// Turns until everything is quiet, rotated files included.
    pub(crate) fn settle(&mut self) {
        for _ in 0..4 {
            (0..10).for_each(|_| self.turn());
            self.advance(Duration::from_secs(2));
        }
    }

    pub(crate) fn advance(&mut self, by: Duration) {
        self.instant += by;
    }

    /// The wall clock, in nanoseconds since the epoch.
    pub(crate) fn unix_ns(&self) -> u64 {
        self.now().unix_ns
    }

    /// File times are the system's, and so is the wall clock; intervals are the test's.
    #[expect(clippy::disallowed_methods, reason = "file times are compared with it")]
    fn now(&self) -> Now {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let unix_ns = u64::try_from(since.as_nanos()).unwrap();
        Now {
            instant: self.instant,
            unix_ns: unix_ns.saturating_add_signed(self.clock_error_ns),
        }
    }

    /// Reads a chunk as a pipeline thread does; returns whether there is more, and the bytes read.
    fn read_cursor(&mut self, id: u64, index: usize) -> (bool, u64) {
        let now = self.now();
        let tailer = self.tailer.as_mut().unwrap();
        let sink = tailer
            .file_mut(id)
            .and_then(|file| Some(file.cursors.get(index)?.sink));
        let Some(sink) = sink else {
            return (false, 0);
        };
        if self.blocked.contains(&sink) {
            tailer.learn_head(id, now.instant);
            self.memory.learn_identity(tailer.file_mut(id).unwrap());
            return (true, 0);
        }
        let mut buffer = std::mem::replace(&mut self.buffer, ReadBuffer::empty());
        let step = tailer.read(id, index, &mut buffer, now.instant);
        let result = match step {
            Step::Chunk(chunk) => self.frame(id, index, &chunk, now),
            Step::Replaced { lost_bytes } => {
                self.lost_bytes += lost_bytes.iter().max().copied().unwrap_or(0);
                let file = tailer.file_mut(id).unwrap();
                self.memory.set_identity(file, now.unix_ns);
                (true, 1)
            }
            Step::Skipped { bytes } => (true, bytes),
            Step::ArchiveEnd { damage } => {
                self.damages.extend(damage);
                let file = tailer.file_mut(id).unwrap();
                self.memory.set_position(file, index, now.unix_ns);
                (false, 0)
            }
            Step::AtEnd | Step::Gated => {
                let file = tailer.file_mut(id).unwrap();
                self.memory.learn_identity(file);
                (false, 0)
            }
            Step::Failed(_) => {
                tailer.retry_later(id);
                (false, 0)
            }
        };
        self.buffer = buffer;
        result
    }

    fn frame(&mut self, id: u64, index: usize, chunk: &Chunk<'_>, now: Now) -> (bool, u64) {
        let file = self.tailer.as_mut().unwrap().file_mut(id).unwrap();
        let (path, encoding) = (
            std::sync::Arc::clone(&file.path),
            file.encoding(self.setup.frame.encoding),
        );
        let cursor = file.cursors.get_mut(index).unwrap();
        let (source, sink) = (cursor.source, cursor.sink);
        let mut scratch = Vec::new();
        let mut framer = Framer::new(
            &self.setup.frame,
            encoding,
            &mut cursor.frame,
            chunk.bytes(),
            chunk.offset,
            chunk.end,
            &mut scratch,
            &mut self.counts,
        );
        while let Some(framed) = framer.next() {
            self.read.push(Line {
                source,
                sink,
                path: path.to_path_buf(),
                bytes: framed.line.to_vec(),
                offset: framed.span.start,
            });
        }
        let offset = framer.offset();
        let marker = chunk.marker_at(offset);
        file.consume(index, offset, marker, chunk.is_at_end, now.instant);
        self.memory.set_position(file, index, now.unix_ns);
        let read = offset - chunk.offset;
        let is_finishing = file.is_rotated() && read > 0;
        (!chunk.is_at_end || is_finishing, read)
    }

    /// The lines that were read, in order.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.read
            .iter()
            .map(|line| String::from_utf8_lossy(&line.bytes).into_owned())
            .collect()
    }

    /// The lines that were read of the files that were found under one name, in order.
    pub(crate) fn lines_of(&self, name: &str) -> Vec<String> {
        let path = self.path(name);
        self.read
            .iter()
            .filter(|line| line.path == path)
            .map(|line| String::from_utf8_lossy(&line.bytes).into_owned())
            .collect()
    }

    /// The lines that were read, sorted: where the order among files is nobody's promise.
    pub(crate) fn sorted_lines(&self) -> Vec<String> {
        let mut lines = self.lines();
        lines.sort();
        lines
    }
}

/// Returns the number under which positions of a route are remembered.
pub(crate) fn route(source: usize, sink: u32) -> u32 {
    u32::try_from(source).unwrap() * 1000 + sink
}

fn limits(watch: WatchBackend) -> TailerLimits {
    TailerLimits {
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
    }
}

#[expect(clippy::disallowed_methods, reason = "a rename as rotation makes it")]
pub(crate) fn rename_in(directory: &Path, from: &str, to: &str) {
    std::fs::rename(directory.join(from), directory.join(to)).unwrap();
}

pub(crate) fn append_in(directory: &Path, name: &str, bytes: impl AsRef<[u8]>) -> File {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(directory.join(name))
        .unwrap();
    file.write_all(bytes.as_ref()).unwrap();
    file
}
