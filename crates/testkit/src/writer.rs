//! Programs that write logs.
//!
//! A writer numbers its lines from 0 across every rotation of its file, and remembers how many the
//! kernel has taken: those must arrive. It runs on the caller's thread; [`Progress`] is read from any.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, ensure};

use crate::line::{LineId, mix, push_line, push_line_of_level};

/// How a writer writes.
#[derive(Clone, Debug)]
pub struct WriterOptions {
    /// Lines that go to the kernel in one write; at least 1.
    pub lines_per_write: u64,
    /// Bytes of the payload of a line, spread over the range by its number.
    pub payload_bytes: RangeInclusive<usize>,
    /// What ends a line.
    pub line_end: LineEnd,
    /// How the file is opened.
    pub mode: WriteMode,
    /// The levels that lines say they have, one after another by their numbers; empty for lines that
    /// say none.
    pub levels: &'static [&'static str],
}

impl WriterOptions {
    /// Returns the level that the line with this number says it has.
    pub fn level_of(&self, seq: u64) -> Option<&'static str> {
        let count = u64::try_from(self.levels.len()).ok()?;
        let index = usize::try_from(seq.checked_rem(count)?).ok()?;
        self.levels.get(index).copied()
    }
}

impl Default for WriterOptions {
    /// One line of 40 to 200 payload bytes per write, with `\n`, appending.
    fn default() -> Self {
        Self {
            lines_per_write: 1,
            payload_bytes: 40..=200,
            line_end: LineEnd::Lf,
            mode: WriteMode::Append,
            levels: &[],
        }
    }
}

/// What ends a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineEnd {
    /// `\n`.
    Lf,
    /// `\r\n`.
    CrLf,
}

/// How the file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteMode {
    /// With `O_APPEND`: after a truncation the next line is the first of the file.
    Append,
    /// At an offset of its own: after a truncation the next line stands behind a hole of zeros.
    Offset,
}

/// What a writer has written, for the oracle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The number of the file.
    pub file: u32,
    /// Lines `0..acked` were taken by the kernel: each must arrive.
    pub acked: u64,
    /// Lines `acked..attempted` may be in the file, because their write failed half way.
    pub attempted: u64,
}

/// What a writer has written so far, to be read from any thread.
#[derive(Clone, Debug)]
pub struct Progress {
    file: u32,
    acked: Arc<AtomicU64>,
    attempted: Arc<AtomicU64>,
}

impl Progress {
    /// Returns what was written up to now; never more acknowledged than attempted.
    pub fn written(&self) -> Written {
        let acked = self.acked.load(Ordering::Acquire);
        Written {
            file: self.file,
            acked,
            attempted: self.attempted.load(Ordering::Acquire).max(acked),
        }
    }

    /// Returns the number of the last line that the kernel has taken; `None` before the first.
    pub fn last_acked(&self) -> Option<u64> {
        self.acked.load(Ordering::Acquire).checked_sub(1)
    }
}

/// Appends lines to one file.
///
/// A failed write is the last one: which of its lines are in the file is not known, so that they are
/// attempted and no more for good.
#[derive(Debug)]
pub struct LogWriter {
    path: PathBuf,
    options: WriterOptions,
    current: File,
    old: Option<File>,
    progress: Progress,
    lines: Vec<u8>,
    bytes: u64,
    /// Whether the file ends within a line.
    is_line_open: bool,
    /// Whether a write has failed: what it left in the file is not known.
    has_failed: bool,
}

impl LogWriter {
    /// Opens the file, or makes it. `file` is the number that its lines carry.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: impl Into<PathBuf>, file: u32, options: WriterOptions) -> Result<Self> {
        let path = path.into();
        let current = open_file(&path, options.mode)?;
        Ok(Self {
            path,
            options,
            current,
            old: None,
            progress: Progress {
                file,
                acked: Arc::new(AtomicU64::new(0)),
                attempted: Arc::new(AtomicU64::new(0)),
            },
            lines: Vec::new(),
            bytes: 0,
            is_line_open: false,
            has_failed: false,
        })
    }

    /// Returns the path that is opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns what was written so far, to be kept while the writer runs on another thread.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Returns what was written so far.
    pub fn written(&self) -> Written {
        self.progress.written()
    }

    /// Returns how many bytes the kernel has taken, delimiters included.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes the next lines, `lines_per_write` of them at a time.
    ///
    /// # Errors
    /// The file does not take them; the lines of the write that failed count as attempted.
    pub fn write_lines(&mut self, count: u64) -> Result<()> {
        self.write_to(Descriptor::Current, count)
    }

    /// Writes the next lines to the descriptor that [`reopen_keeping_old`](Self::reopen_keeping_old)
    /// has kept: what a program does that has not noticed the rotation yet.
    ///
    /// # Errors
    /// No descriptor was kept, or the file does not take the lines.
    pub fn write_lines_to_old(&mut self, count: u64) -> Result<()> {
        self.write_to(Descriptor::Old, count)
    }

    /// Writes the first half of the next line; the rest of it goes out before anything else is
    /// written to the file. Only then does the line count as acknowledged.
    ///
    /// # Errors
    /// The file does not take it.
    pub fn write_half_line(&mut self) -> Result<()> {
        self.finish_line()?;
        self.fill(1);
        let rest = self.lines.split_off(self.lines.len() / 2);
        self.put(Descriptor::Current)?;
        self.lines = rest;
        self.is_line_open = true;
        Ok(())
    }

    /// Writes the rest of a line that [`write_half_line`](Self::write_half_line) has begun, if any.
    ///
    /// # Errors
    /// The file does not take it.
    pub fn finish_line(&mut self) -> Result<()> {
        if self.is_line_open {
            self.is_line_open = false;
            self.put(Descriptor::Current)?;
            self.acknowledge();
        }
        Ok(())
    }

    /// Closes the file and opens the path again, as a program does that is told of a rotation.
    ///
    /// # Errors
    /// A line that was begun cannot be finished, or the file cannot be opened.
    pub fn reopen(&mut self) -> Result<()> {
        self.finish_line()?;
        self.current = open_file(&self.path, self.options.mode)?;
        self.old = None;
        Ok(())
    }

    /// Opens the path again and keeps the old descriptor for late lines.
    ///
    /// # Errors
    /// A line that was begun cannot be finished, or the file cannot be opened.
    pub fn reopen_keeping_old(&mut self) -> Result<()> {
        self.finish_line()?;
        let new = open_file(&self.path, self.options.mode)?;
        self.old = Some(std::mem::replace(&mut self.current, new));
        Ok(())
    }

    /// Closes the descriptor that was kept, if any.
    pub fn close_old(&mut self) {
        self.old = None;
    }

    fn write_to(&mut self, descriptor: Descriptor, count: u64) -> Result<()> {
        self.finish_line()?;
        let mut left = count;
        while left > 0 {
            let lines = left.min(self.options.lines_per_write.max(1));
            self.fill(lines);
            self.put(descriptor)?;
            self.acknowledge();
            left -= lines;
        }
        Ok(())
    }

    fn put(&mut self, descriptor: Descriptor) -> Result<()> {
        ensure!(!self.has_failed, "cannot write on after a write has failed");
        let mut file = match descriptor {
            Descriptor::Current => &self.current,
            Descriptor::Old => self.old.as_ref().context("no old descriptor was kept")?,
        };
        let result = file.write_all(&self.lines);
        self.has_failed = result.is_err();
        if result.is_ok() {
            let bytes = u64::try_from(self.lines.len()).unwrap_or(u64::MAX);
            self.bytes = self.bytes.saturating_add(bytes);
        }
        result.with_context(|| format!("cannot write to {}", self.path.display()))
    }

    fn acknowledge(&self) {
        let attempted = self.written().attempted;
        self.progress.acked.store(attempted, Ordering::Release);
    }

    /// Makes the next lines; they count as attempted from now on.
    fn fill(&mut self, count: u64) {
        let first = self.written().attempted;
        let end = first.saturating_add(count);
        self.lines.clear();
        for seq in first..end {
            let id = LineId {
                file: self.progress.file,
                seq,
            };
            let payload_bytes = self.payload_bytes(id);
            match self.options.level_of(seq) {
                Some(level) => push_line_of_level(&mut self.lines, id, level, payload_bytes),
                None => push_line(&mut self.lines, id, payload_bytes),
            }
            self.lines.extend_from_slice(match self.options.line_end {
                LineEnd::Lf => b"\n",
                LineEnd::CrLf => b"\r\n",
            });
        }
        self.progress.attempted.store(end, Ordering::Release);
    }

    fn payload_bytes(&self, id: LineId) -> usize {
        let (start, end) = (
            *self.options.payload_bytes.start(),
            *self.options.payload_bytes.end(),
        );
        let choices = u64::try_from(end.saturating_sub(start))
            .unwrap_or(0)
            .saturating_add(1);
        let chosen = mix(mix(id.seq).wrapping_add(u64::from(id.file))) % choices;
        start + usize::try_from(chosen).unwrap_or(0)
    }
}

#[derive(Clone, Copy)]
enum Descriptor {
    Current,
    Old,
}

fn open_file(path: &Path, mode: WriteMode) -> Result<File> {
    let mut options = OpenOptions::new();
    match mode {
        WriteMode::Append => options.append(true),
        WriteMode::Offset => options.write(true).truncate(false),
    };
    options
        .create(true)
        .open(path)
        .with_context(|| format!("cannot open {} for writing", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::line::{TornLine, parse_line};

    fn sequences(content: &[u8]) -> Vec<Result<u64, TornLine>> {
        let lines = content.strip_suffix(b"\n").unwrap();
        let ids = lines.split(|byte| *byte == b'\n').map(parse_line);
        ids.map(|id| id.map(|id| id.seq)).collect()
    }

    #[test]
    fn lines_are_numbered_on_across_writes_and_rotations() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.log");
        let options = WriterOptions {
            lines_per_write: 3,
            ..WriterOptions::default()
        };
        let mut writer = LogWriter::open(&path, 4, options).unwrap();
        writer.write_lines(4).unwrap();
        let old_path = directory.path().join("app.log.1");
        #[expect(clippy::disallowed_methods, reason = "a rotation as tools do it")]
        fs::rename(&path, &old_path).unwrap();
        writer.reopen_keeping_old().unwrap();
        writer.write_lines_to_old(1).unwrap();
        writer.write_lines(2).unwrap();
        let written = writer.written();
        assert_eq!((written.file, written.acked, written.attempted), (4, 7, 7));
        let on_disk = [&old_path, &path].map(|path| fs::metadata(path).unwrap().len());
        assert_eq!(writer.bytes(), on_disk.iter().sum::<u64>());
        assert_eq!(
            sequences(&fs::read(old_path).unwrap()),
            (0..5).map(Ok).collect::<Vec<_>>()
        );
        assert_eq!(sequences(&fs::read(path).unwrap()), [Ok(5), Ok(6)]);
    }

    #[test]
    fn half_a_line_is_attempted_and_becomes_whole_with_the_next_write() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.log");
        let mut writer = LogWriter::open(&path, 0, WriterOptions::default()).unwrap();
        let progress = writer.progress();
        writer.write_half_line().unwrap();
        assert_eq!(progress.last_acked(), None);
        assert_eq!(progress.written().attempted, 1);
        assert!(parse_line(&fs::read(&path).unwrap()).is_err());
        writer.write_lines(1).unwrap();
        assert_eq!(progress.last_acked(), Some(1));
        assert_eq!(sequences(&fs::read(path).unwrap()), [Ok(0), Ok(1)]);
    }

    #[test]
    fn lines_say_the_levels_they_are_given_one_after_the_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.log");
        let options = WriterOptions {
            levels: &["debug", "error"],
            ..WriterOptions::default()
        };
        assert_eq!(options.level_of(3), Some("error"));
        assert_eq!(WriterOptions::default().level_of(3), None);
        let mut writer = LogWriter::open(&path, 0, options).unwrap();
        writer.write_lines(3).unwrap();
        let content = fs::read(path).unwrap();
        let starts = ["level=debug 0 0 ", "level=error 0 1 ", "level=debug 0 2 "];
        for (line, start) in content.split(|byte| *byte == b'\n').zip(starts) {
            assert!(
                line.starts_with(start.as_bytes()),
                "{}",
                line.escape_ascii()
            );
        }
        assert_eq!(sequences(&content), [Ok(0), Ok(1), Ok(2)]);
    }

    #[test]
    fn a_line_that_is_not_taken_is_not_acknowledged() {
        let mut writer = LogWriter::open("/dev/full", 0, WriterOptions::default()).unwrap();
        assert!(writer.write_lines(1).is_err());
        assert!(
            writer.write_lines(1).is_err(),
            "what is in the file is not known"
        );
        assert_eq!(writer.progress().last_acked(), None);
        assert!(writer.written().attempted >= 1);
    }

    #[test]
    fn a_writer_with_an_offset_of_its_own_leaves_a_hole_after_a_truncation() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.log");
        for (mode, first_byte) in [(WriteMode::Append, b'0'), (WriteMode::Offset, 0)] {
            let options = WriterOptions {
                mode,
                line_end: LineEnd::CrLf,
                ..WriterOptions::default()
            };
            let mut writer = LogWriter::open(&path, 0, options).unwrap();
            writer.write_lines(1).unwrap();
            OpenOptions::new()
                .write(true)
                .open(&path)
                .unwrap()
                .set_len(0)
                .unwrap();
            writer.write_lines(1).unwrap();
            let content = fs::read(&path).unwrap();
            assert_eq!(content.first(), Some(&first_byte));
            assert!(content.ends_with(b"\r\n"));
            fs::remove_file(&path).unwrap();
        }
    }
}
