//! Each rule by itself; `chunking` tests all of them together.

mod chunking;
mod reference;

use super::*;

const SMALL: FrameConfig = config(MIN_LINE_BYTES, OverLimit::Truncate);

const fn config(max_line_bytes: usize, over_limit: OverLimit) -> FrameConfig {
    FrameConfig {
        max_line_bytes,
        over_limit,
        encoding: Encoding::Auto,
    }
}

/// A record that is kept.
#[derive(Debug, PartialEq, Eq)]
struct Kept {
    line: Vec<u8>,
    span: Span,
    cut: Cut,
}

/// A cursor that reads a file chunk by chunk, as the engine does.
struct Reader {
    config: FrameConfig,
    encoding: ResolvedEncoding,
    state: FrameState,
    offset: u64,
    scratch: Vec<u8>,
    stats: FrameStats,
}

impl Reader {
    fn new(config: FrameConfig, encoding: ResolvedEncoding) -> Self {
        Self {
            config,
            encoding,
            state: FrameState::default(),
            offset: 0,
            scratch: Vec::new(),
            stats: FrameStats::default(),
        }
    }

    /// Frames what stands in `file` from the cursor on, at most `chunk_bytes` of it.
    fn read(&mut self, file: &[u8], chunk_bytes: usize, end: ChunkEnd) -> Vec<Kept> {
        let start = usize::try_from(self.offset).unwrap();
        let chunk = &file[start..file.len().min(start + chunk_bytes)];
        let mut framer = Framer::new(
            &self.config,
            self.encoding,
            &mut self.state,
            chunk,
            self.offset,
            end,
            &mut self.scratch,
            &mut self.stats,
        );
        let mut records = Vec::new();
        while let Some(framed) = framer.next() {
            records.push(Kept {
                line: framed.line.to_vec(),
                span: framed.span,
                cut: framed.cut,
            });
        }
        self.offset = framer.offset();
        let limit = self.config.max_line_bytes.max(MIN_LINE_BYTES);
        assert!(
            self.scratch.len() <= limit + limit / 2 + 32,
            "the scratch is bounded"
        );
        records
    }

    /// Reads a whole file in one chunk.
    fn read_all(&mut self, file: &[u8]) -> Vec<Kept> {
        let records = self.read(file, usize::MAX / 2, ChunkEnd::Finished);
        assert_eq!(
            self.offset,
            file.len() as u64,
            "a finished file is read to its end"
        );
        records
    }
}

fn lines(file: &[u8], config: FrameConfig) -> Vec<(String, Cut)> {
    let encoding = config.encoding.resolve(file);
    let records = Reader::new(config, encoding).read_all(file);
    let text = |line: &[u8]| line.escape_ascii().to_string();
    records
        .iter()
        .map(|record| (text(&record.line), record.cut))
        .collect()
}

fn utf16le(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn utf16be(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

#[test]
fn lines_end_with_a_newline_and_one_carriage_return_before_it() {
    let table: &[(&[u8], &[&str])] = &[
        (b"", &[]),
        (b"\n", &[""]),
        (b"\n\n\r\n", &["", "", ""]),
        (b"a\nb\n", &["a", "b"]),
        (b"a\r\nb\r\r\nc\n", &["a", "b\\r", "c"]),
        (b"a\rb\n\rc\n", &["a\\rb", "\\rc"]),
        (b"nul\0\xff\xfe\x1b[0m\n", &["nul\\x00\\xff\\xfe\\x1b[0m"]),
        (
            b"\xef\xbb\xbfmarked\n\xef\xbb\xbfnot\n",
            &["marked", "\\xef\\xbb\\xbfnot"],
        ),
        (b"\xef\xbb\xbf\n", &[""]),
        (b"\xef\xbb\xbf", &[]),
        (b"\0\0a\n", &["\\x00\\x00a"]),
    ];
    for (file, expected) in table {
        let expected: Vec<_> = expected
            .iter()
            .map(|line| ((*line).to_owned(), Cut::Whole))
            .collect();
        assert_eq!(lines(file, SMALL), expected, "{}", file.escape_ascii());
    }
}

#[test]
fn an_unterminated_rest_is_a_line_only_when_the_file_is_finished() {
    let mut reader = Reader::new(SMALL, ResolvedEncoding::Utf8);
    let first = reader.read(b"a\npart", 100, ChunkEnd::MoreMayFollow);
    assert_eq!(first.len(), 1);
    assert_eq!(reader.offset, 2);
    let last = reader.read(b"a\npart\r", 100, ChunkEnd::Finished);
    let span = Span { start: 2, end: 7 };
    let line = b"part\r".to_vec();
    assert_eq!(
        last,
        [Kept {
            line,
            span,
            cut: Cut::Unterminated
        }]
    );
    assert_eq!(reader.read(b"a\npart\r", 100, ChunkEnd::Finished), []);
}

#[test]
fn what_follows_a_rest_that_was_sent_is_a_line_of_its_own() {
    let mut reader = Reader::new(SMALL, ResolvedEncoding::Utf8);
    reader.read(b"part", 100, ChunkEnd::Finished);
    let more = reader.read(b"part two\n", 100, ChunkEnd::MoreMayFollow);
    let span = Span { start: 4, end: 9 };
    assert_eq!(
        more,
        [Kept {
            line: b" two".to_vec(),
            span,
            cut: Cut::Whole
        }]
    );
}

#[test]
fn spans_cover_the_delimiter_and_not_the_mark() {
    let records =
        Reader::new(SMALL, ResolvedEncoding::Utf8).read_all(b"\xef\xbb\xbfone\r\n\ntwo\n");
    let spans: Vec<_> = records
        .iter()
        .map(|record| (record.span.start, record.span.end))
        .collect();
    assert_eq!(spans, [(3, 8), (8, 9), (9, 13)]);
}

#[test]
fn a_line_of_exactly_the_limit_is_whole_and_one_byte_more_is_not() {
    for delimiter in ["\n", "\r\n", ""] {
        for over_limit in [OverLimit::Truncate, OverLimit::Split] {
            let exact = format!("{}{delimiter}", "x".repeat(64));
            let records = lines(exact.as_bytes(), config(64, over_limit));
            assert_eq!(records.len(), 1, "{over_limit:?} {delimiter:?}");
            assert_eq!(records[0].0.len(), 64);
            let more = format!("{}{delimiter}", "x".repeat(65));
            let records = lines(more.as_bytes(), config(64, over_limit));
            assert_ne!(records[0].1, Cut::Whole);
            assert_eq!(records[0].0.len(), 64, "the suffix lies within the limit");
        }
    }
}

#[test]
fn a_truncated_line_keeps_its_beginning_and_its_neighbors() {
    let long = "x".repeat(1000);
    let file = format!("before\n{long}\nafter\n");
    let mut reader = Reader::new(SMALL, ResolvedEncoding::Utf8);
    let records = reader.read_all(file.as_bytes());
    let texts: Vec<_> = records
        .iter()
        .map(|record| record.line.escape_ascii().to_string())
        .collect();
    assert_eq!(
        texts,
        [
            "before".into(),
            format!("{}...[truncated]", "x".repeat(50)),
            "after".into()
        ]
    );
    assert_eq!(
        records[1].span,
        Span {
            start: 7,
            end: 1008
        }
    );
    let expected = FrameStats {
        truncated_lines: 1,
        skipped_bytes: 950,
        ..FrameStats::default()
    };
    assert_eq!(reader.stats, expected);
}

#[test]
fn the_rest_of_a_truncated_line_is_skipped_over_many_chunks() {
    let file = format!("{}\r\nafter\n", "x".repeat(5000));
    let mut reader = Reader::new(SMALL, ResolvedEncoding::Utf8);
    let mut records = Vec::new();
    while reader.offset < file.len() as u64 {
        records.extend(reader.read(file.as_bytes(), 68, ChunkEnd::MoreMayFollow));
    }
    assert_eq!(records.len(), 2);
    assert_eq!(records[0].span, Span { start: 0, end: 68 });
    assert_eq!(
        records[1].span,
        Span {
            start: 5002,
            end: 5008
        }
    );
    assert_eq!(reader.stats.skipped_bytes, 5001 - 50);
}

#[test]
fn a_split_line_loses_no_byte_and_counts_once() {
    let long: String = ('a'..='z').cycle().take(200).collect();
    let file = format!("{long}\nafter\n");
    let mut reader = Reader::new(config(64, OverLimit::Split), ResolvedEncoding::Utf8);
    let records = reader.read_all(file.as_bytes());
    let cuts: Vec<_> = records.iter().map(|record| record.cut).collect();
    let (more, whole) = (Cut::Continued, Cut::Whole);
    assert_eq!(cuts, [more, more, more, whole, whole]);
    let pieces = records[..4].iter().flat_map(|record| {
        let suffix = CONTINUED_SUFFIX.as_bytes();
        record
            .line
            .strip_suffix(suffix)
            .unwrap_or(&record.line)
            .to_vec()
    });
    assert_eq!(pieces.collect::<Vec<_>>(), long.as_bytes());
    assert_eq!(
        reader.stats,
        FrameStats {
            split_lines: 1,
            ..FrameStats::default()
        }
    );
}

#[test]
fn a_cut_never_splits_a_character() {
    for character in ["é", "日", "😀"] {
        for shift in 0..4 {
            for over_limit in [OverLimit::Truncate, OverLimit::Split] {
                let file = format!("{}{}\n", "x".repeat(shift), character.repeat(100));
                let records = Reader::new(config(64, over_limit), ResolvedEncoding::Utf8)
                    .read_all(file.as_bytes());
                for record in &records {
                    assert!(
                        std::str::from_utf8(&record.line).is_ok(),
                        "{character} {shift}"
                    );
                    assert!(record.line.len() <= 64);
                }
            }
        }
    }
}

#[test]
fn a_limit_that_is_too_small_is_raised() {
    for max_line_bytes in [0, 1, 63] {
        for over_limit in [OverLimit::Truncate, OverLimit::Split] {
            let records = lines(&[b'x'; 64], config(max_line_bytes, over_limit));
            assert_eq!(records, [("x".repeat(64), Cut::Unterminated)]);
        }
    }
}

#[test]
fn a_hole_after_truncation_is_skipped_and_counted() {
    let mut file = vec![0; 1000];
    file.extend_from_slice(b"first\n\0second\n");
    let mut reader = Reader::new(SMALL, ResolvedEncoding::Utf8);
    reader.state = FrameState::start_after_truncation();
    assert_eq!(reader.read(&file, 300, ChunkEnd::MoreMayFollow), []);
    assert_eq!(reader.offset, 300);
    let records = reader.read_all(&file);
    let texts: Vec<_> = records
        .iter()
        .map(|record| record.line.as_slice())
        .collect();
    assert_eq!(texts, [b"first".as_slice(), b"\0second"]);
    assert_eq!(
        records[0].span,
        Span {
            start: 1000,
            end: 1006
        }
    );
    assert_eq!(
        reader.stats,
        FrameStats {
            hole_bytes: 1000,
            ..FrameStats::default()
        }
    );
}

#[test]
fn a_truncated_file_without_a_hole_begins_with_its_first_byte() {
    for file in [b"a\n\0\0\n".as_slice(), b"\xef\xbb\xbfa\n\0\0\n"] {
        let mut reader = Reader::new(SMALL, ResolvedEncoding::Utf8);
        reader.state = FrameState::start_after_truncation();
        let texts: Vec<_> = reader
            .read_all(file)
            .into_iter()
            .map(|record| record.line)
            .collect();
        assert_eq!(texts, [b"a".to_vec(), b"\0\0".to_vec()]);
        assert_eq!(reader.stats.hole_bytes, 0);
    }
}

#[test]
fn a_hole_before_utf16_leaves_the_first_character_whole() {
    let text = [vec![0; 130], utf16be("ab\n")].concat();
    for chunk_bytes in [131, 132, 200] {
        let mut reader = Reader::new(SMALL, ResolvedEncoding::Utf16Be);
        reader.state = FrameState::start_after_truncation();
        let mut records = reader.read(&text, chunk_bytes, ChunkEnd::MoreMayFollow);
        records.extend(reader.read_all(&text));
        assert_eq!(records.len(), 1, "{chunk_bytes}");
        assert_eq!(records[0].line, b"ab");
        assert_eq!(reader.stats.hole_bytes, 130);
    }
}

#[test]
fn the_mark_decides_the_encoding_unless_it_is_configured() {
    let table: &[(Encoding, &[u8], ResolvedEncoding)] = &[
        (Encoding::Auto, b"\xff\xfea\0", ResolvedEncoding::Utf16Le),
        (Encoding::Auto, b"\xfe\xff\0a", ResolvedEncoding::Utf16Be),
        (Encoding::Auto, b"\xef\xbb\xbfa", ResolvedEncoding::Utf8),
        (Encoding::Auto, b"\xff", ResolvedEncoding::Utf8),
        (Encoding::Auto, b"", ResolvedEncoding::Utf8),
        (Encoding::Utf8, b"\xff\xfe", ResolvedEncoding::Utf8),
        (Encoding::Utf16Le, b"a\0", ResolvedEncoding::Utf16Le),
        (Encoding::Utf16Be, b"\xff\xfe", ResolvedEncoding::Utf16Be),
    ];
    for (encoding, head, expected) in table {
        assert_eq!(
            encoding.resolve(head),
            *expected,
            "{encoding:?} {}",
            head.escape_ascii()
        );
    }
}

#[test]
fn utf16_is_decoded_and_newlines_are_units() {
    // U+0A0A and U+0A00 hold the byte of a newline in either half.
    let text = "\u{feff}a\u{a0a}\u{a00}\u{100a}b\r\n😀\n\nlast";
    for (file, encoding) in [
        (utf16le(text), ResolvedEncoding::Utf16Le),
        (utf16be(text), ResolvedEncoding::Utf16Be),
    ] {
        let mut reader = Reader::new(SMALL, encoding);
        let records = reader.read_all(&file);
        let texts: Vec<_> = records
            .iter()
            .map(|record| str::from_utf8(&record.line).unwrap())
            .collect();
        assert_eq!(texts, ["a\u{a0a}\u{a00}\u{100a}b", "😀", "", "last"]);
        let spans: Vec<_> = records
            .iter()
            .map(|record| (record.span.start, record.span.end))
            .collect();
        assert_eq!(spans, [(2, 16), (16, 22), (22, 24), (24, 32)]);
        assert_eq!(records[3].cut, Cut::Unterminated);
        assert_eq!(reader.stats, FrameStats::default());
    }
}

#[test]
fn broken_utf16_is_replaced_and_its_lines_are_counted() {
    let mut file = utf16le("\u{feff}ok\n");
    file.extend_from_slice(&[0x00, 0xd8, b'x', 0, b'\n', 0]);
    file.extend_from_slice(&[0x00, 0xdc, 0x00, 0xdc, b'\n', 0, b'y', 0, b'z']);
    let mut reader = Reader::new(SMALL, ResolvedEncoding::Utf16Le);
    let records = reader.read_all(&file);
    let texts: Vec<_> = records
        .iter()
        .map(|record| str::from_utf8(&record.line).unwrap())
        .collect();
    assert_eq!(texts, ["ok", "\u{fffd}x", "\u{fffd}\u{fffd}", "y\u{fffd}"]);
    assert_eq!(reader.stats.undecodable_lines, 3);
}

#[test]
fn half_a_unit_at_the_end_waits_for_the_other_half() {
    let file = utf16le("ab\n");
    let mut reader = Reader::new(SMALL, ResolvedEncoding::Utf16Le);
    for seen in 0..file.len() {
        assert_eq!(reader.read(&file[..seen], 100, ChunkEnd::MoreMayFollow), []);
        assert_eq!(reader.offset, 0);
    }
    assert_eq!(reader.read(&file, 100, ChunkEnd::MoreMayFollow).len(), 1);
}

#[test]
fn utf16_over_the_limit_is_cut_between_characters() {
    for over_limit in [OverLimit::Truncate, OverLimit::Split] {
        for shift in 0..3 {
            let text = format!("{}{}\nafter\n", "x".repeat(shift), "😀".repeat(50));
            let mut reader = Reader::new(config(65, over_limit), ResolvedEncoding::Utf16Be);
            let records = reader.read_all(&utf16be(&text));
            assert!(str::from_utf8(&records[0].line).unwrap().ends_with(']'));
            assert_eq!(records.last().unwrap().line, b"after");
            assert_eq!(reader.stats.undecodable_lines, 0, "{over_limit:?} {shift}");
        }
    }
}

#[test]
fn a_debug_print_does_not_show_the_lines() {
    let (mut carried, mut scratch, mut stats) = Default::default();
    let encoding = ResolvedEncoding::Utf8;
    let end = ChunkEnd::Finished;
    let chunk = b"secret\n";
    let framer = Framer::new(
        &SMALL,
        encoding,
        &mut carried,
        chunk,
        7,
        end,
        &mut scratch,
        &mut stats,
    );
    let printed = format!("{framer:?} {framer:#?}");
    assert!(printed.contains("offset: 7"), "{printed}");
    assert!(!printed.contains("115"), "{printed}");
}
