//! One generation of a file: what was found under a path, whatever it is called by now.
//!
//! The open descriptor is the file. A read starts one window before the cursor and compares those
//! bytes with what stood there when the cursor came to rest, so truncation, copytruncate and a reused
//! inode are seen by the read itself, at no further system call.

mod head;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tailwater_record::{FileId, FileIdentity, Fingerprint, Marker, WINDOW_BYTES};

use crate::archive::{ArchivedFile, Compression, Damage, Seen, Unpacker};
use crate::directory::TailId;
use crate::frame::{ChunkEnd, Encoding, FrameState, ResolvedEncoding};

/// Bytes read at once where no line is longer: the quantum of a file's turn.
///
/// Measured: docs/decisions/0004-reading.md. It stays in the second-level cache until it is encoded.
pub const CHUNK_BYTES: usize = 256 * 1024;

/// The buffer of one pipeline thread, reused for every file.
#[derive(Debug)]
pub struct ReadBuffer {
    bytes: Box<[u8]>,
}

impl ReadBuffer {
    /// Returns the bytes of the longest chunk, its window not included.
    pub(crate) fn chunk_bytes(&self) -> usize {
        self.bytes.len().saturating_sub(usize::from(WINDOW_BYTES))
    }

    /// Copies at most `max_bytes` of some bytes to its start; returns what was copied.
    pub(crate) fn copy(&mut self, bytes: &[u8], max_bytes: usize) -> &[u8] {
        let len = bytes.len().min(max_bytes).min(self.bytes.len());
        if let (Some(target), Some(bytes)) = (self.bytes.get_mut(..len), bytes.get(..len)) {
            target.copy_from_slice(bytes);
        }
        self.bytes.get(..len).unwrap_or_default()
    }

    /// Makes a buffer that holds any line of up to `max_line_bytes` whole, and its window.
    pub fn new(max_line_bytes: usize) -> Self {
        let chunk = CHUNK_BYTES.max(max_line_bytes.saturating_add(4));
        let window = usize::from(WINDOW_BYTES);
        Self {
            bytes: vec![0; chunk.saturating_add(window)].into_boxed_slice(),
        }
    }

    /// Makes a buffer that holds nothing, to stand in while the real one is lent.
    pub fn empty() -> Self {
        Self {
            bytes: Box::default(),
        }
    }
}

/// One route's reader in a file: of one source, for one sink.
///
/// `R` is what the engine keeps beside it.
#[derive(Debug)]
pub struct Cursor<R> {
    /// Index of the source whose lines it makes.
    pub source: usize,
    /// Index of the sink.
    pub sink: u32,
    /// The next byte to frame.
    pub offset: u64,
    /// The guard of `offset`.
    pub marker: Marker,
    /// Where the framer is within a line.
    pub frame: FrameState,
    /// The file is finished and all of it was read: the next generation may begin.
    pub is_drained: bool,
    /// When an unterminated rest was first seen at `offset`.
    pub partial_since: Option<Instant>,
    /// What the engine keeps beside it.
    pub route: R,
    /// The decoder of an archive, while it is read.
    pub(crate) unpacker: Option<Box<Unpacker>>,
    /// What an archive was when all of it was read. Boxed, as what few files have is: there may be many.
    pub(crate) ended: Option<Box<Seen>>,
}

impl<R> Cursor<R> {
    /// Starts a cursor.
    pub fn new(source: usize, sink: u32, offset: u64, marker: Marker, route: R) -> Self {
        Self {
            source,
            sink,
            offset,
            marker,
            frame: FrameState::default(),
            is_drained: false,
            partial_since: None,
            route,
            unpacker: None,
            ended: None,
        }
    }
}

/// One generation of a file.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and all may hold at once"
)]
pub struct TailedFile<R> {
    /// Its number within the tailer.
    pub id: TailId,
    /// Its number for the books: a new one after each truncation.
    pub content: FileId,
    /// The path it was found under; lines keep it as their label after a rename. Shared with whoever
    /// needs it: paths are most of what an idle file costs.
    pub path: Arc<Path>,
    /// The path it has now; `None` once it has no name in a watched directory.
    pub current: Option<Arc<Path>>,
    /// Who it is.
    pub identity: FileIdentity,
    /// How its byte order mark says that its bytes are read as text.
    pub(crate) mark: ResolvedEncoding,
    /// One reader per source and sink.
    pub cursors: Vec<Cursor<R>>,
    /// Largest size seen.
    pub known_len: u64,
    /// Time of last modification as last seen, in nanoseconds since the epoch.
    pub modified_ns: u64,
    /// Whether the identity has changed since the engine last took it.
    pub identity_changed: bool,
    pub(crate) descriptor: Option<File>,
    /// Set where its lines are those of what it decodes to; offsets are then those of that.
    pub(crate) archive: Option<Box<ArchivedFile>>,
    pub(crate) last_used: Instant,
    /// Since when another file has its path, or none.
    pub(crate) rotated_at: Option<Instant>,
    /// When it was last seen to grow.
    pub(crate) grew_at: Instant,
    pub(crate) predecessor: Option<TailId>,
    pub(crate) successor: Option<TailId>,
    pub(crate) is_ready: bool,
    pub(crate) is_reported_finished: bool,
    /// Its name went with its whole directory: a mount that is gone may come back with the file.
    pub(crate) is_out_of_sight: bool,
    pub(crate) head: Vec<u8>,
    /// Inode and fingerprint under which earlier runs knew its content, where that was another file.
    pub(crate) former: Option<Box<(u64, Fingerprint)>>,
    /// The inode of a file that has the same content, compressed or decompressed.
    pub(crate) repacked: Option<u64>,
}

/// What a read found.
#[derive(Debug)]
pub enum Step<'b> {
    /// Bytes to frame.
    Chunk(Chunk<'b>),
    /// Nothing new; the file comes back when something is written.
    AtEnd,
    /// The generation before it is not finished for this source and sink.
    Gated,
    /// The content is another one: truncated or replaced. Every cursor starts at 0.
    Replaced {
        /// Bytes that were seen and can no longer be read, for each cursor in order.
        lost_bytes: Vec<u64>,
    },
    /// Bytes of an archive were decoded that lie before the cursor, or too few for a chunk: there is more.
    Skipped {
        /// How many, at least 1.
        bytes: u64,
    },
    /// All of an archive was read.
    ArchiveEnd {
        /// Why it ends there, where that is damage which was not told of before.
        damage: Option<Damage>,
    },
    /// The file cannot be read now; it is tried again.
    Failed(io::Error),
}

/// Bytes of one read.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'b> {
    all: &'b [u8],
    window: usize,
    /// The offset of the first byte.
    pub offset: u64,
    /// Whether an unterminated rest is the last line.
    pub end: ChunkEnd,
    /// The read came to the end of the file.
    pub is_at_end: bool,
}

impl<'b> Chunk<'b> {
    /// Makes the chunk of an archive from `offset` on; `all` begins one window before.
    pub(crate) fn of_archive(
        all: &'b [u8],
        offset: u64,
        is_finished: bool,
        is_starved: bool,
    ) -> Self {
        Self {
            all,
            window: usize::try_from(offset.min(u64::from(WINDOW_BYTES))).unwrap_or(0),
            offset,
            end: if is_finished {
                ChunkEnd::Finished
            } else {
                ChunkEnd::MoreMayFollow
            },
            // Of a finished one, the next read says so.
            is_at_end: is_starved && !is_finished,
        }
    }

    /// Makes a chunk of a file that is read from `offset` on; `all` begins one window before it, or with the
    /// file where that is nearer.
    pub fn of_listed(all: &'b [u8], offset: u64, end: ChunkEnd) -> Self {
        Self {
            all,
            window: usize::try_from(offset.min(u64::from(WINDOW_BYTES))).unwrap_or(0),
            offset,
            end,
            is_at_end: end == ChunkEnd::Finished,
        }
    }

    /// Makes a chunk of bytes that no file holds, `offset` bytes after the first one of their stream.
    pub fn of_stream(bytes: &'b [u8], offset: u64, end: ChunkEnd) -> Self {
        Self {
            all: bytes,
            window: 0,
            offset,
            end,
            is_at_end: end == ChunkEnd::Finished,
        }
    }

    /// Returns the bytes from the cursor on.
    pub fn bytes(&self) -> &'b [u8] {
        self.all.get(self.window..).unwrap_or_default()
    }

    /// Returns what of it lies before `end`; where the chunk goes that far, nothing follows.
    #[must_use]
    pub fn until(self, end: u64) -> Self {
        let wanted = usize::try_from(end.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let len = self.window.saturating_add(wanted);
        match self.all.get(..len) {
            Some(all) => Self {
                all,
                end: ChunkEnd::Finished,
                is_at_end: false,
                ..self
            },
            None => self,
        }
    }

    /// Returns the guard of an offset within the chunk, `offset ..= offset + bytes().len()`.
    pub fn marker_at(&self, offset: u64) -> Marker {
        let within = usize::try_from(offset.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let end = self.window.saturating_add(within).min(self.all.len());
        Marker::of_tail(self.all.get(..end).unwrap_or(self.all))
    }
}

/// How a read decides that a file is finished.
#[derive(Clone, Copy, Debug)]
pub struct ReadRules {
    /// A rotated file is finished after this quiet time.
    pub rotate_wait: Duration,
    /// An unterminated line of a live file is sent after this time, if at all.
    pub partial_line_timeout: Option<Duration>,
}

impl<R> TailedFile<R> {
    /// Returns whether another file has its path, or none.
    pub fn is_rotated(&self) -> bool {
        self.rotated_at.is_some()
    }

    /// Another file has its path now, or none. What was written until then is no growth when it is read:
    /// a backlog of generations is read one after the other without waiting for each to be quiet.
    pub(crate) fn lose_path(&mut self, now: Instant) {
        self.rotated_at = Some(now);
        // By the descriptor: its old name may be another file's.
        let stat = self.descriptor.as_ref().map(rustix::fs::fstat);
        let len = stat.and_then(|stat| u64::try_from(stat.ok()?.st_size).ok());
        if let Some(len) = len.filter(|len| *len > self.seen_len()) {
            self.grew_at = now;
            if !self.is_archive() {
                self.known_len = len;
            }
        }
    }

    /// Returns the generation before it, where that is known.
    pub fn predecessor(&self) -> Option<TailId> {
        self.predecessor
    }

    /// Returns the generation after it, where that was found.
    pub fn successor(&self) -> Option<TailId> {
        self.successor
    }

    /// Returns how its bytes are read as text where a source says so.
    pub fn encoding(&self, configured: Encoding) -> ResolvedEncoding {
        configured.resolve_marked(self.mark)
    }

    /// Returns whether its descriptor is open.
    pub fn is_open(&self) -> bool {
        self.descriptor.is_some()
    }

    /// Returns whether its lines are those of what it decodes to.
    pub fn is_archive(&self) -> bool {
        self.archive.is_some()
    }

    /// Returns how it is compressed, where it is.
    pub fn compression(&self) -> Option<Compression> {
        self.archive.as_ref().map(|archive| archive.compression)
    }

    /// Returns the size that was last seen on the disk.
    pub(crate) fn seen_len(&self) -> u64 {
        self.archive
            .as_ref()
            .map_or(self.known_len, |archive| archive.seen.len)
    }

    /// Returns whether every cursor has read all of a finished file.
    pub fn is_drained(&self) -> bool {
        self.cursors.iter().all(|cursor| cursor.is_drained)
    }

    /// Returns whether no name is left: the file lives until its last descriptor is closed.
    pub fn is_deleted(&self) -> bool {
        match &self.descriptor {
            Some(file) => rustix::fs::fstat(file).is_ok_and(|stat| stat.st_nlink == 0),
            None => self.current.is_none() && !self.is_out_of_sight,
        }
    }

    /// Returns how many bytes its lines take, as far as is known.
    pub fn content_len(&self) -> u64 {
        if self.is_archive() {
            let read = self.cursors.iter().map(|cursor| cursor.offset).max();
            return self.known_len.max(read.unwrap_or(0));
        }
        self.look_at_len().unwrap_or(self.known_len)
    }

    /// Looks at the size on the disk by the descriptor or the path, and returns it.
    pub fn look_at_len(&self) -> Option<u64> {
        let stat = match (&self.descriptor, &self.current) {
            (Some(file), _) => rustix::fs::fstat(file).ok()?,
            (None, Some(path)) => rustix::fs::stat(&**path).ok()?,
            (None, None) => return None,
        };
        u64::try_from(stat.st_size).ok()
    }

    /// Returns whether the bytes before an offset are those that a marker was taken of. The descriptor
    /// must be open.
    pub(crate) fn holds(&self, offset: u64, marker: Marker) -> bool {
        // Its marker is looked at when it is read: decoding up to here would have to be done again.
        if self.is_archive() {
            return true;
        }
        let (Some(file), Some(start)) =
            (&self.descriptor, offset.checked_sub(u64::from(marker.len)))
        else {
            return false;
        };
        let mut before = vec![0; usize::from(marker.len)];
        read_at(file, &mut before, start)
            .is_ok_and(|read| read == before.len() && marker.matches_tail(&before))
    }

    /// Returns whether nothing was written for `wait` since it was rotated.
    pub(crate) fn is_quiet(&self, now: Instant, wait: Duration) -> bool {
        self.rotated_at.is_some_and(|rotated_at| {
            now.saturating_duration_since(rotated_at.max(self.grew_at)) >= wait
        })
    }

    /// Reads on from a cursor. The descriptor must be open.
    pub(crate) fn read<'b>(
        &mut self,
        cursor_index: usize,
        buffer: &'b mut ReadBuffer,
        now: Instant,
        rules: ReadRules,
    ) -> Step<'b> {
        if self.is_archive() {
            return self.read_archive(cursor_index, buffer, now, rules);
        }
        let (Some(file), Some(cursor)) = (&self.descriptor, self.cursors.get(cursor_index)) else {
            return Step::AtEnd;
        };
        let offset = cursor.offset;
        let window = usize::try_from(offset.min(u64::from(WINDOW_BYTES))).unwrap_or(0);
        let start = offset.saturating_sub(window as u64);
        let wanted = buffer.bytes.len().saturating_sub(usize::from(WINDOW_BYTES)) + window;
        let Some(target) = buffer.bytes.get_mut(..wanted) else {
            return Step::AtEnd;
        };
        let read = match read_at(file, target, start) {
            Ok(read) => read,
            Err(error) => return Step::Failed(error),
        };
        let all: &'b [u8] = target.get(..read).unwrap_or_default();
        let is_same = all
            .get(..window)
            .is_some_and(|before| cursor.marker.matches_tail(before));
        self.last_used = now;
        if !is_same {
            return Step::Replaced {
                lost_bytes: self.replace(now),
            };
        }
        if start == 0 {
            self.learn_head(all);
        }
        if offset == 0 {
            // It may have been found before it had a byte order mark, or is another content by now.
            self.mark = Encoding::Auto.resolve(all);
        }
        let end_offset = start.saturating_add(read as u64);
        if end_offset > self.known_len {
            self.known_len = end_offset;
            self.grew_at = now;
        }
        let is_at_end = read < wanted;
        if read == window {
            self.rest_at_end(cursor_index, now, rules);
            return Step::AtEnd;
        }
        let end = self.chunk_end(cursor_index, is_at_end, now, rules);
        Step::Chunk(Chunk {
            all,
            window,
            offset,
            end,
            is_at_end,
        })
    }

    /// Records how far a chunk was consumed.
    pub fn consume(
        &mut self,
        cursor_index: usize,
        offset: u64,
        marker: Marker,
        chunk_at_end: bool,
        now: Instant,
    ) {
        let Some(cursor) = self.cursors.get_mut(cursor_index) else {
            return;
        };
        let has_moved = cursor.offset != offset;
        cursor.offset = offset;
        cursor.marker = marker;
        let has_rest = chunk_at_end && offset < self.known_len;
        if !has_rest {
            cursor.partial_since = None;
        } else if has_moved || cursor.partial_since.is_none() {
            cursor.partial_since = Some(now);
        }
    }

    /// Starts every cursor again at 0, as another content; returns what each could not read.
    pub(crate) fn replace(&mut self, now: Instant) -> Vec<u64> {
        let known_len = self.known_len;
        let lost = self
            .cursors
            .iter()
            .map(|cursor| known_len.saturating_sub(cursor.offset))
            .collect();
        // A hole is what a writer leaves that goes on at its old offset: no archive has one.
        let hole = if self.is_archive() {
            FrameState::default()
        } else {
            FrameState::start_after_truncation()
        };
        for cursor in &mut self.cursors {
            cursor.offset = 0;
            cursor.marker = Marker::default();
            cursor.frame = hole;
            cursor.is_drained = false;
            cursor.partial_since = None;
            cursor.unpacker = None;
            cursor.ended = None;
        }
        self.known_len = 0;
        self.repacked = None;
        self.grew_at = now;
        self.identity.fingerprint = Fingerprint::default();
        self.identity_changed = true;
        lost
    }

    fn rest_at_end(&mut self, cursor_index: usize, now: Instant, rules: ReadRules) {
        let is_finished = self.is_quiet(now, rules.rotate_wait);
        if let Some(cursor) = self.cursors.get_mut(cursor_index) {
            cursor.is_drained = is_finished;
            cursor.partial_since = None;
        }
    }

    fn chunk_end(
        &self,
        cursor_index: usize,
        is_at_end: bool,
        now: Instant,
        rules: ReadRules,
    ) -> ChunkEnd {
        let is_overdue = self.cursors.get(cursor_index).is_some_and(|cursor| {
            let waited = cursor
                .partial_since
                .map(|since| now.saturating_duration_since(since.max(self.grew_at)));
            waited
                .zip(rules.partial_line_timeout)
                .is_some_and(|(waited, timeout)| waited >= timeout)
        });
        if is_at_end && (is_overdue || self.is_quiet(now, rules.rotate_wait)) {
            ChunkEnd::Finished
        } else {
            ChunkEnd::MoreMayFollow
        }
    }
}

/// Finds where a cursor starts that begins at the end: after the last whole line within one window, so
/// that a line being written is delivered whole. Returns the offset and its guard.
///
/// # Errors
/// Those of reading the file.
pub fn seek_end<R>(file: &TailedFile<R>, encoding: Encoding) -> io::Result<(u64, Marker)> {
    let Some(descriptor) = &file.descriptor else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let len = rustix::fs::fstat(descriptor)?.st_size;
    let len = u64::try_from(len).unwrap_or(0);
    // Two windows: one to look for the last newline in, one before it for the marker. Units of two
    // bytes begin at even offsets, and so does what is read.
    let start = len.saturating_sub(2 * u64::from(WINDOW_BYTES)) & !1;
    let mut tail = vec![0; usize::try_from(len - start).unwrap_or(0)];
    let read = read_at(descriptor, &mut tail, start)?;
    tail.truncate(read);
    let earliest = tail.len().saturating_sub(usize::from(WINDOW_BYTES)) & !1;
    let searched = tail.get(earliest..).unwrap_or_default();
    let encoding = file.encoding(encoding);
    let within = match encoding.end_of_last_line(searched) {
        Some(end) => earliest + end,
        // Nothing but one long line, or its beginning: whole units of it.
        None => tail.len() - tail.len() % encoding.unit_bytes(),
    };
    let before = tail.get(..within).unwrap_or_default();
    Ok((start.saturating_add(within as u64), Marker::of_tail(before)))
}

/// Reads once at an offset; fewer bytes than asked for means the end of the file.
pub(crate) fn read_at(file: &File, target: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(target, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
