use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use tailwater_record::{
    BatchId, CursorId, FileId, LabelSet, Marker, RecordView, Share, Span, TimestampNs,
};
use tailwater_sink::{Encode, EncodeStats, Encoded};

use super::{BatchLimits, Fill, OpenBatch};

/// An encoder that keeps lines apart with a newline.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Encode for Lines {
    fn append(&mut self, record: &RecordView<'_>) {
        self.0.extend_from_slice(record.line);
        self.0.push(b'\n');
    }
    fn len(&self) -> usize {
        self.0.len()
    }
    fn seal(&mut self) -> Encoded {
        Encoded {
            body: Bytes::from(std::mem::take(&mut self.0)),
            stats: EncodeStats::default(),
        }
    }
}

fn cursor(file: u64) -> CursorId {
    CursorId {
        file: FileId(file),
        sink: 0,
        reader: 0,
    }
}

fn open(limits: BatchLimits) -> OpenBatch {
    OpenBatch::new(Box::<Lines>::default(), limits, None, 0)
}

fn append(batch: &mut OpenBatch, start: u64, line: &[u8]) -> Fill {
    let labels = LabelSet::new([("job", "test")]).unwrap();
    batch.append(&RecordView {
        line,
        span: Span {
            start,
            end: start + line.len() as u64 + 1,
        },
        timestamp: TimestampNs(1),
        labels: &labels,
        severity: None,
        metadata: &[],
    })
}

#[expect(clippy::disallowed_methods, reason = "any instant will do")]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn a_batch_is_full_at_its_bytes_and_at_its_records() {
    let limits = BatchLimits {
        max_bytes: 10,
        max_records: 3,
        max_wait: Duration::from_secs(1),
    };
    let mut batch = open(limits);
    batch.start_span(cursor(1), 0, 0, now());
    assert_eq!(append(&mut batch, 0, b"1234"), Fill::HasRoom);
    assert_eq!(append(&mut batch, 5, b"5678"), Fill::IsFull);
    batch.end_span(10, Marker::default(), 0);
    batch.seal(BatchId(1)).unwrap();
    batch.start_span(cursor(1), 10, 0, now());
    let fills: Vec<_> = (0..3)
        .map(|index| append(&mut batch, 10 + index, b""))
        .collect();
    assert_eq!(fills, [Fill::HasRoom, Fill::HasRoom, Fill::IsFull]);
}

#[test]
fn a_batch_is_due_one_wait_after_its_first_span_and_not_when_empty() {
    let start = now();
    let mut batch = open(BatchLimits::default());
    assert_eq!(batch.deadline(), None);
    batch.start_span(cursor(1), 0, 0, start);
    batch.end_span(0, Marker::default(), 0);
    assert_eq!(batch.deadline(), None, "an empty span opens nothing");
    batch.start_span(cursor(1), 0, 0, start);
    assert_eq!(append(&mut batch, 0, b"x"), Fill::HasRoom);
    batch.end_span(2, Marker::default(), 0);
    batch.start_span(cursor(2), 0, 0, start + Duration::from_millis(900));
    batch.end_span(0, Marker::default(), 0);
    assert_eq!(batch.deadline(), Some(start + Duration::from_secs(1)));
    assert!(batch.seal(BatchId(1)).is_some());
    assert_eq!(batch.deadline(), None);
    assert!(batch.seal(BatchId(2)).is_none());
}

#[test]
fn bytes_that_were_read_and_skipped_are_covered_without_a_record() {
    let mut batch = open(BatchLimits::default());
    batch.start_span(cursor(1), 100, 0, now());
    batch.end_span(180, Marker::of_tail(b"abc"), 0);
    let (sealed, _) = batch.seal(BatchId(1)).unwrap();
    assert_eq!(sealed.records(), 0);
    assert_eq!(
        sealed.spans[0].span,
        Span {
            start: 100,
            end: 180
        }
    );
}

#[test]
fn spans_become_one_only_where_the_timestamps_of_the_first_go_on_in_the_second() {
    let labels = LabelSet::new([("job", "test")]).unwrap();
    let mut batch = OpenBatch::new(Box::<Lines>::default(), BatchLimits::default(), None, 5);
    // Three lines at 100 and 105 and 110, then one that the clock has moved.
    for (offset, timestamp) in [(0, 100), (2, 105), (4, 110), (6, 400)] {
        batch.start_span(cursor(1), offset, 0, now());
        let fill = batch.append(&RecordView {
            line: b"x",
            span: Span {
                start: offset,
                end: offset + 2,
            },
            timestamp: TimestampNs(timestamp),
            labels: &labels,
            severity: None,
            metadata: &[],
        });
        assert_eq!(fill, Fill::HasRoom);
        batch.end_span(offset + 2, Marker::default(), 0);
    }
    let (sealed, _) = batch.seal(BatchId(1)).unwrap();
    let spans: Vec<_> = sealed
        .spans
        .iter()
        .map(|span| (span.span.start, span.records, span.first_timestamp.0))
        .collect();
    assert_eq!(spans, [(0, 3, 100), (6, 1, 400)]);
}

#[test]
fn parts_are_not_joined_for_each_belongs_to_one_span_of_the_lead() {
    let mut part = open(BatchLimits::default()).into_part();
    for start in [0, 5] {
        part.start_span(cursor(1), start, 0, now());
        assert_eq!(append(&mut part, start, b"line"), Fill::HasRoom);
        part.end_span(start + 5, Marker::default(), 0);
    }
    let (sealed, _) = part.seal(BatchId(1)).unwrap();
    let spans: Vec<_> = sealed
        .spans
        .iter()
        .map(|span| (span.span, span.share))
        .collect();
    let span = |start, end| (Span { start, end }, Share::Part);
    assert_eq!(spans, [span(0, 5), span(5, 10)]);
}

proptest! {
    /// Whatever the order in which files take turns, every record is traced to its own bytes and the
    /// spans of a cursor touch.
    #[test]
    fn spans_tile_each_file_and_record_ends_name_each_record(turns in prop::collection::vec((0_u64..3, 0_usize..4), 1..40)) {
        let mut batch = open(BatchLimits { max_bytes: usize::MAX, ..BatchLimits::default() });
        let mut offsets = [0_u64; 3];
        let mut expected = Vec::new();
        for (file, lines) in turns {
            let offset = &mut offsets[usize::try_from(file).unwrap()];
            batch.start_span(cursor(file), *offset, 0, now());
            for length in 0..lines {
                prop_assert_eq!(append(&mut batch, *offset, &vec![b'x'; length]), Fill::HasRoom);
                let end = *offset + length as u64 + 1;
                expected.push((cursor(file), Span { start: *offset, end }));
                *offset = end;
            }
            batch.end_span(*offset, Marker::default(), 0);
        }
        let Some((sealed, _)) = batch.seal(BatchId(1)) else {
            prop_assert!(expected.is_empty());
            return Ok(());
        };
        let mut ends = sealed.record_ends.iter();
        let mut found = Vec::new();
        for span in &sealed.spans {
            let mut start = span.span.start;
            for end in ends.by_ref().take(usize::try_from(span.records).unwrap()) {
                let end = span.span.start + u64::from(*end);
                found.push((span.cursor, Span { start, end }));
                start = end;
            }
        }
        prop_assert_eq!(found, expected);
        let mut ends = [0_u64; 3];
        for span in &sealed.spans {
            let end = &mut ends[usize::try_from(span.cursor.file.0).unwrap()];
            prop_assert_eq!(span.span.start, *end);
            *end = span.span.end;
        }
        prop_assert_eq!(ends, offsets);
    }
}
