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

/// How a file stands to an offset in another one's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// It has the bytes before the offset, and nothing behind them.
    Ends,
    /// It has them, and goes on.
    GoesOn,
    /// It is shorter, or has others.
    Misses,
}

/// Compares the bytes that a file has before an offset with those that a marker was taken of.
///
/// # Errors
/// Those of reading.
pub(super) fn reach(file: &ListedFile, offset: u64, marker: Marker) -> io::Result<Reach> {
    let window = u64::from(WINDOW_BYTES).min(offset);
    let mut pieces = Pieces::new(file.read_from(offset.saturating_sub(window)));
    let mut before: Vec<u8> = Vec::new();
    loop {
        let start = pieces.start();
        let is_over = pieces.next()?;
        let left = usize::try_from(offset.saturating_sub(start)).unwrap_or(usize::MAX);
        let piece = pieces.piece();
        before.extend_from_slice(piece.get(..left).unwrap_or(piece));
        let surplus = before.len().saturating_sub(usize::from(WINDOW_BYTES));
        before.drain(..surplus);
        if left <= piece.len() {
            let goes_on = left < piece.len() || (!is_over && pieces.has_more()?);
            return Ok(match (marker.matches_tail(&before), goes_on) {
                (false, _) => Reach::Misses,
                (true, true) => Reach::GoesOn,
                (true, false) => Reach::Ends,
            });
        }
        if is_over {
            return Ok(Reach::Misses);
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn file(bytes: &[u8]) -> (tempfile::TempDir, ListedFile) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .unwrap();
        file.write_all(bytes).unwrap();
        let roots = AllowedRoots::new([directory.path()]);
        let opened = open(&path, &roots).unwrap();
        (directory, opened)
    }

    #[test]
    fn lines_are_counted_from_an_offset_to_another() {
        let (_directory, file) = file(b"one\ntwo\nthree");
        let count = |part| count(&file, part, &|| false).unwrap().unwrap();
        assert_eq!(
            count(0..u64::MAX),
            Counted {
                lines: 3,
                bytes: 13
            }
        );
        assert_eq!(count(4..u64::MAX), Counted { lines: 2, bytes: 9 });
        assert_eq!(count(0..8), Counted { lines: 2, bytes: 8 });
        assert_eq!(count(13..u64::MAX), Counted::default());
        assert_eq!(count(u64::MAX..u64::MAX), Counted::default());
    }

    #[test]
    fn counting_stops_where_it_is_late() {
        let (_directory, file) = file(&vec![b'\n'; 3 * PIECE_BYTES]);
        assert_eq!(super::count(&file, 0..u64::MAX, &|| true).unwrap(), None);
    }

    #[test]
    fn contents_are_compared_also_where_they_fill_their_pieces() {
        for len in [
            0,
            1,
            PIECE_BYTES - 1,
            PIECE_BYTES,
            PIECE_BYTES + 1,
            2 * PIECE_BYTES,
        ] {
            let bytes = vec![b'x'; len];
            let (_one, equal) = file(&bytes);
            let (_two, same) = file(&bytes);
            let (_three, longer) = file(&[&bytes[..], b"x"].concat());
            let (_four, other) = file(&[b"y", &bytes[..]].concat());
            let compare = |one, other| compare(one, other).unwrap();
            assert_eq!(compare(&equal, &same), Relation::Equal, "{len}");
            assert_eq!(compare(&equal, &longer), Relation::FirstIsShorter, "{len}");
            assert_eq!(compare(&longer, &equal), Relation::SecondIsShorter, "{len}");
            if len > 0 {
                assert_eq!(compare(&longer, &other), Relation::Different, "{len}");
            }
        }
    }

    #[test]
    fn a_file_reaches_an_offset_ends_there_or_misses_it() {
        let bytes: Vec<u8> = (0..3000_u32).flat_map(u32::to_be_bytes).collect();
        for end in [100, 1024, 5000, bytes.len()] {
            let (_directory, file) = file(&bytes[..end]);
            let reach = |offset: usize| {
                let marker = Marker::of_tail(&bytes[..offset]);
                super::reach(&file, offset as u64, marker).unwrap()
            };
            assert_eq!(reach(end), Reach::Ends, "{end}");
            assert_eq!(reach(end - 50), Reach::GoesOn, "{end}");
            let beyond = (end + 1).min(bytes.len());
            let expected = if beyond == end {
                Reach::Ends
            } else {
                Reach::Misses
            };
            assert_eq!(reach(beyond), expected, "{end}");
            let other = super::reach(&file, end as u64, Marker::of_tail(b"other")).unwrap();
            assert_eq!(other, Reach::Misses, "{end}");
        }
    }
}
