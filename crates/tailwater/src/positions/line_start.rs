//! Where the line begins that an offset lies in.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use tailwater_position_store::Position;
use tailwater_record::{Marker, WINDOW_BYTES};
use tailwater_tailer::frame::ResolvedEncoding;

/// Bytes that are read at once.
const CHUNK_BYTES: u64 = 64 << 10;

/// How far before an offset the beginning of its line is looked for. No line may be longer than this.
const MAX_SEARCH_BYTES: u64 = 64 << 20;

/// The code of a position within a line whose start was taken and whose rest is skipped.
const IN_SKIPPED_LINE: u8 = 2;

/// Returns the position after the last end of a line at or before an offset, 0 where there is none.
///
/// A line that began more than 64 MiB before is longer than any that is delivered whole: the position is
/// then at the offset, and the rest of that line is skipped.
///
/// # Errors
/// Those of reading the file.
pub(super) fn find(file: &File, offset: u64, encoding: ResolvedEncoding) -> io::Result<Position> {
    let unit_bytes = if encoding == ResolvedEncoding::Utf8 {
        1
    } else {
        2
    };
    let mut end = offset - offset % unit_bytes;
    let earliest = end.saturating_sub(MAX_SEARCH_BYTES);
    while end > earliest {
        let start = end.saturating_sub(CHUNK_BYTES).max(earliest);
        let text = read(file, start, end)?;
        if let Some(within) = encoding.end_of_last_line(&text) {
            let within = u64::try_from(within).unwrap_or(u64::MAX);
            return at(file, start.saturating_add(within), 0);
        }
        end = start;
    }
    if earliest == 0 {
        return Ok(Position::default());
    }
    at(file, offset, IN_SKIPPED_LINE)
}

fn at(file: &File, offset: u64, place: u8) -> io::Result<Position> {
    let before = read(file, offset.saturating_sub(u64::from(WINDOW_BYTES)), offset)?;
    Ok(Position {
        offset,
        marker: Marker::of_tail(&before),
        place,
    })
}

/// Reads all bytes from `start` to `end`, which are a chunk at most.
fn read(file: &File, start: u64, end: u64) -> io::Result<Vec<u8>> {
    let len = usize::try_from(end.saturating_sub(start)).unwrap_or(0);
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, start)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], offset: u64, encoding: ResolvedEncoding, expected: u64) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let position = find(&file, offset, encoding).unwrap();
        assert_eq!(position.offset, expected);
        let before = &bytes[..usize::try_from(expected).unwrap()];
        assert_eq!(position.marker, Marker::of_tail(before));
        assert_eq!(position.place, 0);
    }

    #[test]
    fn an_offset_within_a_line_goes_back_to_its_start() {
        let text = b"one\ntwo\r\nthree";
        for (offset, expected) in [(0, 0), (2, 0), (3, 0), (4, 4), (8, 4), (9, 9), (14, 9)] {
            check(text, offset, ResolvedEncoding::Utf8, expected);
        }
    }

    #[test]
    fn a_line_over_many_chunks_is_found() {
        let mut text = b"first\n".to_vec();
        text.resize(300_000, b'x');
        check(&text, 299_999, ResolvedEncoding::Utf8, 6);
        check(&text[6..], 200_000, ResolvedEncoding::Utf8, 0);
    }

    #[test]
    fn lines_of_utf_16_begin_at_whole_units() {
        let text: Vec<u8> = "ab\nĊĊ\nc"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        for (offset, expected) in [(6, 6), (7, 6), (9, 6), (12, 12), (13, 12)] {
            check(&text, offset, ResolvedEncoding::Utf16Le, expected);
        }
        let text: Vec<u8> = "ab\nc".encode_utf16().flat_map(u16::to_be_bytes).collect();
        check(&text, 7, ResolvedEncoding::Utf16Be, 6);
    }

    #[test]
    fn a_file_that_is_shorter_is_an_error() {
        let file = tempfile::tempfile().unwrap();
        assert!(find(&file, 10, ResolvedEncoding::Utf8).is_err());
    }
}
