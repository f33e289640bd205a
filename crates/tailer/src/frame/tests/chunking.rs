//! All rules at once, against a reader of whole files, at every chunking.
//!
//! A file is read as the engine reads it: it grows by random steps, each chunk is as short as the
//! contract allows or somewhat longer, and starts where the last framer ended.

use proptest::prelude::*;

use super::reference::{self, Expected};
use super::{Kept, Reader, config, utf16be, utf16le};
use crate::frame::*;

/// How a test reads a file: sizes of the chunks, and how much of the file is there at each read.
#[derive(Clone, Debug)]
struct Reading {
    chunk_bytes: Vec<usize>,
    grown_bytes: Vec<usize>,
}

/// Reads a file that grows while it is read, to its end.
fn read_growing(reader: &mut Reader, file: &[u8], reading: &Reading) -> Vec<Kept> {
    let mut records = Vec::new();
    let mut seen = 0;
    let limit = reader.config.max_line_bytes.max(MIN_LINE_BYTES);
    let turns = reading
        .chunk_bytes
        .iter()
        .cycle()
        .zip(reading.grown_bytes.iter().cycle());
    for (extra, grown) in turns {
        seen = file.len().min(seen + grown);
        let chunk_bytes = limit + MIN_LOOKAHEAD_BYTES + extra;
        let start = usize::try_from(reader.offset).unwrap();
        let is_last = seen == file.len() && start + chunk_bytes >= seen;
        let end = if is_last {
            ChunkEnd::Finished
        } else {
            ChunkEnd::MoreMayFollow
        };
        let was_full = start + chunk_bytes <= seen;
        records.extend(reader.read(&file[..seen], chunk_bytes, end));
        let has_moved = reader.offset > start as u64;
        assert!(has_moved || !was_full, "a full chunk is never stuck");
        if is_last {
            break;
        }
    }
    records
}

/// Bytes where framing can go wrong, in the encoding under test.
fn contents(encoding: ResolvedEncoding) -> impl Strategy<Value = Vec<u8>> {
    let text = move |text: &str| match encoding {
        ResolvedEncoding::Utf8 => text.as_bytes().to_vec(),
        ResolvedEncoding::Utf16Le => utf16le(text),
        ResolvedEncoding::Utf16Be => utf16be(text),
    };
    let piece = prop_oneof![
        4 => Just(text("\n")),
        3 => Just(text("\r\n")),
        2 => Just(text("\r")),
        1 => Just(text("\u{feff}")),
        2 => (1..6_usize).prop_map(move |times| text(&"日é😀".repeat(times))),
        2 => (0..5_usize).prop_map(move |times| vec![0; times * 2]),
        2 => Just(text("\u{a0a}\u{a00}\u{100a}")),
        2 => prop::collection::vec(any::<u8>(), 2).prop_map(|bytes| bytes),
        3 => (40..72_usize).prop_map(move |times| text(&"x".repeat(times))),
        1 => (60..400_usize).prop_map(move |times| text(&"long".repeat(times))),
    ];
    (
        prop::collection::vec(piece, 0..24),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(pieces, is_odd)| {
            let mut file = pieces.concat();
            file.extend(is_odd.then_some(b'o'));
            file
        })
}

fn cases() -> impl Strategy<Value = (Vec<u8>, ResolvedEncoding)> {
    let encoding = prop_oneof![
        3 => Just(ResolvedEncoding::Utf8),
        1 => Just(ResolvedEncoding::Utf16Le),
        1 => Just(ResolvedEncoding::Utf16Be),
    ];
    encoding.prop_flat_map(|encoding| (contents(encoding), Just(encoding)))
}

fn readings() -> impl Strategy<Value = Reading> {
    let chunk_bytes = prop::collection::vec(prop_oneof![0..4_usize, 0..300_usize], 1..8);
    let grown_bytes = prop::collection::vec(prop_oneof![1..4_usize, 1..200_usize], 1..8);
    (chunk_bytes, grown_bytes).prop_map(|(chunk_bytes, grown_bytes)| Reading {
        chunk_bytes,
        grown_bytes,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// However a file is cut into chunks and however it grows, its lines are those of the whole
    /// file, and what is yielded and skipped covers every byte once.
    #[test]
    fn every_chunking_yields_the_lines_of_the_whole_file(
        (file, encoding) in cases(),
        reading in readings(),
        max_line_bytes in 64..70_usize,
        is_split in any::<bool>(),
        is_after_truncation in any::<bool>(),
    ) {
        let over_limit = if is_split { OverLimit::Split } else { OverLimit::Truncate };
        let config = config(max_line_bytes, over_limit);
        let mut reader = Reader::new(config, encoding);
        if is_after_truncation {
            reader.state = FrameState::start_after_truncation();
        }
        let records = read_growing(&mut reader, &file, &reading);
        let expected = reference::frame(&file, encoding, config, is_after_truncation);
        prop_assert_eq!(reader.offset, file.len() as u64);
        prop_assert_eq!(reader.stats, expected.stats);
        check_spans(&records, &expected, file.len() as u64)?;
        let yielded: Vec<_> = records.into_iter().map(|record| (record.line, record.cut)).collect();
        prop_assert_eq!(yielded, expected.lines);
    }

    #[test]
    fn any_state_and_offset_is_survived(
        file in prop::collection::vec(any::<u8>(), 0..300),
        offset in any::<u64>(),
        max_line_bytes in 0..200_usize,
        place in prop::sample::select(vec![
            Place::LineStart, Place::Hole, Place::SkippedLine, Place::SplitLine,
        ]),
        encoding in prop::sample::select(vec![
            ResolvedEncoding::Utf8, ResolvedEncoding::Utf16Le, ResolvedEncoding::Utf16Be,
        ]),
    ) {
        let mut carried = FrameState { place };
        let (mut scratch, mut stats) = Default::default();
        let config = config(max_line_bytes, OverLimit::Split);
        let mut framer = Framer::new(
            &config, encoding, &mut carried, &file, offset, ChunkEnd::Finished, &mut scratch, &mut stats,
        );
        let mut records = 0;
        while framer.next().is_some() {
            records += 1;
            prop_assert!(records <= file.len());
        }
        prop_assert_eq!(framer.offset(), offset.saturating_add(file.len() as u64));
    }
}

/// Spans are in order, and without the skipped bytes they leave no gap.
fn check_spans(records: &[Kept], expected: &Expected, file_len: u64) -> Result<(), TestCaseError> {
    let mut end = 0;
    let mut gap_bytes = 0;
    for record in records {
        prop_assert!(
            record.span.start >= end,
            "spans overlap at {}",
            record.span.start
        );
        prop_assert!(!record.span.is_empty());
        gap_bytes += record.span.start - end;
        end = record.span.end;
    }
    gap_bytes += file_len - end;
    let delimiters = expected.stats.truncated_lines * 2;
    let skipped = expected.mark_bytes + expected.stats.hole_bytes + expected.stats.skipped_bytes;
    prop_assert!(gap_bytes <= skipped + delimiters);
    if expected.stats.truncated_lines == 0 {
        prop_assert_eq!(gap_bytes, skipped);
    }
    Ok(())
}
