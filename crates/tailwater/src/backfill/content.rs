//! What is in files, decoded: for counting lines and for comparing.

use std::cmp::Ordering;
use std::io;
use std::ops::Range;
use std::path::Path;

use tailwater_record::{Marker, WINDOW_BYTES};
use tailwater_tailer::{AllowedRoots, ListedEnd, ListedFile, ListedReader};

/// Decoded bytes that are looked at at once.
const PIECE_BYTES: usize = 256 * 1024;

/// Opens a file that was found.
///
/// # Errors
/// Why it cannot be read.
pub(super) fn open(path: &Path, roots: &AllowedRoots) -> io::Result<ListedFile> {
    ListedFile::open(path, roots).map_err(|error| io::Error::other(error.to_string()))
}

/// What one file has of another's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// All of it, and nothing else.
    Equal,
    /// The first begins as the second does, and ends before it.
    FirstIsShorter,
    /// The other way around.
    SecondIsShorter,
    /// Neither.
    Different,
}

/// Compares what two files decode to. A damaged one ends where it is damaged.
///
/// # Errors
/// Those of reading.
pub(super) fn compare(one: &ListedFile, other: &ListedFile) -> io::Result<Relation> {
    let (mut one, mut other) = (
        Pieces::new(one.read_from(0)),
        Pieces::new(other.read_from(0)),
    );
    loop {
        let is_one_over = one.next()?;
        let is_other_over = other.next()?;
        let len = one.piece().len().min(other.piece().len());
        if one.piece().get(..len) != other.piece().get(..len) {
            return Ok(Relation::Different);
        }
        match one.piece().len().cmp(&other.piece().len()) {
            Ordering::Less => return Ok(Relation::FirstIsShorter),
            Ordering::Greater => return Ok(Relation::SecondIsShorter),
            Ordering::Equal => {}
        }
        match (is_one_over, is_other_over) {
            (true, true) => return Ok(Relation::Equal),
            // What is left of the other may be nothing.
            (true, false) if !other.has_more()? => return Ok(Relation::Equal),
            (false, true) if !one.has_more()? => return Ok(Relation::Equal),
            (true, false) => return Ok(Relation::FirstIsShorter),
            (false, true) => return Ok(Relation::SecondIsShorter),
            (false, false) => {}
        }
    }
}

/// Returns whether what a file decodes to has the bytes before an offset that a marker was taken of.
///
/// # Errors
/// Those of reading.
pub(super) fn has_marker(file: &ListedFile, offset: u64, marker: Marker) -> io::Result<bool> {
    let window = u64::from(WINDOW_BYTES).min(offset);
    let mut pieces = Pieces::new(file.read_from(offset.saturating_sub(window)));
    let mut before: Vec<u8> = Vec::new();
    loop {
        let start = pieces.start();
        let is_over = pieces.next()?;
        let left = usize::try_from(offset.saturating_sub(start)).unwrap_or(usize::MAX);
        let piece = pieces.piece();
        let wanted = piece.get(..left).unwrap_or(piece);
        before.extend_from_slice(wanted);
        let surplus = before.len().saturating_sub(usize::from(WINDOW_BYTES));
        before.drain(..surplus);
        if left <= piece.len() {
            return Ok(marker.matches_tail(&before));
        }
        if is_over {
            return Ok(false);
        }
    }
}

/// Lines and bytes of a part of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) lines: u64,
    pub(super) bytes: u64,
}

/// Counts the lines that begin in a part of what a file decodes to; one without its end at the end of the file
/// counts. `None` where it is late before all is counted.
///
/// # Errors
/// Those of reading.
pub(super) fn count(
    file: &ListedFile,
    part: Range<u64>,
    is_late: &dyn Fn() -> bool,
) -> io::Result<Option<Counted>> {
    let mut counted = Counted::default();
    let mut pieces = Pieces::new(file.read_from(part.start));
    let mut last = b'\n';
    loop {
        let start = pieces.start();
        let is_over = pieces.next()?;
        let piece = pieces.piece();
        let place = |offset: u64| {
            let place = usize::try_from(offset.saturating_sub(start)).unwrap_or(usize::MAX);
            place.min(piece.len())
        };
        let wanted = piece
            .get(place(part.start)..place(part.end))
            .unwrap_or_default();
        counted.bytes = counted.bytes.saturating_add(wanted.len() as u64);
        counted.lines = counted
            .lines
            .saturating_add(memchr::memchr_iter(b'\n', wanted).count() as u64);
        last = wanted.last().copied().unwrap_or(last);
        if is_over || pieces.start() >= part.end {
            counted.lines = counted.lines.saturating_add(u64::from(last != b'\n'));
            return Ok(Some(counted));
        }
        if is_late() {
            return Ok(None);
        }
    }
}

/// The decoded bytes of a file, one piece after the other.
struct Pieces {
    reader: ListedReader,
    bytes: Box<[u8]>,
    len: usize,
}

impl Pieces {
    fn new(reader: ListedReader) -> Self {
        Self {
            reader,
            bytes: vec![0; PIECE_BYTES].into_boxed_slice(),
            len: 0,
        }
    }

    /// Returns the offset of what comes next.
    fn start(&self) -> u64 {
        self.reader.offset()
    }

    /// Goes on to the next piece; returns whether it is the last.
    fn next(&mut self) -> io::Result<bool> {
        let filled = self.reader.fill(&mut self.bytes)?;
        self.len = filled.bytes;
        Ok(match filled.end {
            Some(ListedEnd::Whole | ListedEnd::Damaged(_)) => true,
            None => false,
        })
    }

    fn has_more(&mut self) -> io::Result<bool> {
        while !self.next()? {
            if self.len > 0 {
                return Ok(true);
            }
        }
        Ok(self.len > 0)
    }

    fn piece(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}
