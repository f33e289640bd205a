use proptest::prelude::*;
use tailwater_record::{LabelSet, RecordView, Span, TimestampNs};
use tailwater_sink::{Encode as _, Encoded, MAX_PAIRS};

use super::{
    BlockWriter, PART_BYTES, ProtobufEncoder, decode, decompress, labels_field, replace_invalid,
    retain, split,
};

fn set(job: &str) -> LabelSet {
    LabelSet::new([("job", job)]).unwrap()
}

/// Labels, timestamp, line, metadata.
type Plain<'a> = (&'a LabelSet, u64, &'a [u8], &'a [(&'a str, &'a str)]);

fn encode(records: &[Plain<'_>]) -> Encoded {
    let mut encoder = ProtobufEncoder::default();
    for (labels, timestamp, line, metadata) in records {
        encoder.append(&RecordView {
            line,
            span: Span { start: 0, end: 1 },
            timestamp: TimestampNs(*timestamp),
            labels,
            severity: None,
            metadata,
        });
    }
    encoder.seal()
}

/// 1,700,000,000 seconds and 5 nanoseconds, worked out by hand: `1_700_000_000` is `0x6553F100`, in
/// groups of seven bits from the lowest 0x00, 0x62, 0x4F, 0x2A, 0x06.
const TIME: u64 = 1_700_000_000_000_000_005;
const TIME_FIELD: [u8; 14] = [
    0x0A, 12, 0x08, 0x80, 0xE2, 0xCF, 0xAA, 0x06, 0x10, 0x85, 0x80, 0x80, 0x80, 0x00,
];

#[test]
fn one_record_has_exactly_these_bytes() {
    let sealed = encode(&[(&set("x"), TIME, b"hi", &[("k", "v")])]);
    let mut entry = Vec::new();
    entry.extend_from_slice(&TIME_FIELD);
    entry.extend_from_slice(&[0x12, 0x82, 0x00, b'h', b'i']);
    entry.extend_from_slice(&[0x1A, 6, 0x0A, 1, b'k', 0x12, 1, b'v']);
    let mut stream = vec![0x0A, 9];
    stream.extend_from_slice(br#"{job="x"}"#);
    stream.extend_from_slice(&[0x12, 0x9B, 0x00]);
    assert_eq!(entry.len(), 27);
    stream.extend_from_slice(&entry);
    let mut request = vec![0x0A, 0xA9, 0x80, 0x80, 0x80, 0x00];
    assert_eq!(stream.len(), 41);
    request.extend_from_slice(&stream);
    assert_eq!(decompress(&sealed.body).unwrap(), request);
}

#[test]
fn a_long_line_has_wider_lengths() {
    let line = vec![b'x'; 20_000];
    let plain = decompress(&encode(&[(&set("x"), TIME, &line, &[])]).body).unwrap();
    let mut entry = vec![0x12];
    // 14 for the time, 6 before the line, and the line: 20,020 is 0x34 and 0x1C and 0x01.
    entry.extend_from_slice(&[0xB4, 0x9C, 0x81, 0x80, 0x00]);
    entry.extend_from_slice(&TIME_FIELD);
    entry.extend_from_slice(&[0x12, 0xA0, 0x9C, 0x81, 0x80, 0x00]);
    entry.extend_from_slice(&line);
    assert!(plain.ends_with(&entry));
}

#[test]
fn a_stream_stands_once_for_consecutive_records_and_again_when_it_returns() {
    let (a, b) = (set("a"), set("b"));
    let same_as_a = set("a");
    let sealed = encode(&[
        (&a, 1, b"1", &[]),
        (&same_as_a, 2, b"2", &[]),
        (&b, 3, b"3", &[]),
        (&a, 4, b"4", &[]),
    ]);
    let streams = crate::decode::decode_protobuf(&decompress(&sealed.body).unwrap()).unwrap();
    let shape: Vec<_> = streams
        .iter()
        .map(|stream| (stream.labels.as_str(), stream.entries.len()))
        .collect();
    assert_eq!(
        shape,
        [
            (r#"{job="a"}"#, 2),
            (r#"{job="b"}"#, 1),
            (r#"{job="a"}"#, 1)
        ]
    );
}

#[test]
fn invalid_text_is_replaced_and_counted_once_per_line() {
    let labels = set("a");
    let sealed = encode(&[
        (&labels, 1, b"ok", &[]),
        (&labels, 2, b"\xFFa\xE2\x28b\xF0", &[]),
    ]);
    assert_eq!(sealed.stats.replaced_utf8_records, 1);
    let streams = crate::decode::decode_protobuf(&decompress(&sealed.body).unwrap()).unwrap();
    assert_eq!(streams[0].entries[1].line, "\u{FFFD}a\u{FFFD}(b\u{FFFD}");
}

#[test]
fn an_enormous_batch_does_not_keep_its_memory() {
    let line = vec![b'x'; 3 * crate::MAX_KEPT_BYTES];
    let labels = set("a");
    let mut encoder = ProtobufEncoder::default();
    encoder.append(&RecordView {
        line: &line,
        span: Span { start: 0, end: 1 },
        timestamp: TimestampNs(1),
        labels: &labels,
        severity: None,
        metadata: &[],
    });
    drop(encoder.seal());
    assert!(encoder.body.capacity() <= crate::MAX_KEPT_BYTES);
    assert!(encoder.block.block.capacity() <= crate::MAX_KEPT_BYTES);
}

#[test]
fn a_body_becomes_the_block_that_snappy_makes_of_it_whole() {
    // The same words all over: a copy from before a part would pay.
    let line = b"GET /the/same/page?of=each&line=differs ";
    let mut body = Vec::new();
    for number in 0_u32..20_000 {
        body.extend_from_slice(line);
        body.extend_from_slice(&number.wrapping_mul(0x9E37_79B1).to_le_bytes());
    }
    let mut writer = BlockWriter::new();
    for len in [
        0,
        1,
        127,
        128,
        PART_BYTES - 1,
        PART_BYTES,
        PART_BYTES + 1,
        3 * PART_BYTES + 5,
        body.len(),
    ] {
        let whole = snap::raw::Encoder::new().compress_vec(&body[..len]);
        assert_eq!(writer.compress(&body[..len]), whole.unwrap(), "{len} bytes");
    }
}

#[test]
fn a_body_that_another_wrote_is_not_split() {
    let reason = |plain: &[u8]| {
        let block = snap::raw::Encoder::new().compress_vec(plain).unwrap();
        split(&block.into(), 1).unwrap_err().reason
    };
    let foreign = "not a push request as this sink writes it";
    assert_eq!(
        reason(&[0x12, 0x00]),
        foreign,
        "a field that is not a stream"
    );
    assert_eq!(reason(&[0x0A, 0x05, 0x0A]), foreign, "a torn stream");
    assert_eq!(reason(&[0x0A, 0x02, 0x12, 0x00]), foreign, "no labels");
    assert_eq!(reason(&[]), "fewer records than the split asks for");
    let huge = [0xFF, 0xFF, 0xFF, 0xFF, 0x0F];
    let huge = bytes::Bytes::copy_from_slice(&huge);
    assert_eq!(split(&huge, 1).unwrap_err().reason, "larger than any batch");
    let torn = bytes::Bytes::from_static(b"\x05abc");
    assert_eq!(split(&torn, 1).unwrap_err().reason, "not a snappy block");
}

#[test]
fn a_body_that_another_wrote_is_neither_chosen_from_nor_decoded() {
    let foreign = "not a push request as this sink writes it";
    let check = |plain: &[u8]| {
        let body = snap::raw::Encoder::new()
            .compress_vec(plain)
            .unwrap()
            .into();
        let retained = retain(&body, &mut |_| true).unwrap_err();
        let decoded = decode(&body, &mut |_| ()).unwrap_err();
        assert_eq!((retained.reason, decoded.reason), (foreign, foreign));
    };
    check(&[0x12, 0x00]);
    check(&[0x0A, 0x05, 0x0A]);
    check(&[0x0A, 0x02, 0x12, 0x00]);
    // Labels that are no text, and labels and an entry that are numbers.
    check(&[0x0A, 0x03, 0x0A, 0x01, 0xFF]);
    check(&[0x0A, 0x02, 0x08, 0x01]);
    check(&[0x0A, 0x04, 0x0A, 0x00, 0x10, 0x01]);
    let huge = bytes::Bytes::from_static(&[0xFF, 0xFF, 0xFF, 0xFF, 0x0F]);
    let too_large = "larger than any batch";
    assert_eq!(retain(&huge, &mut |_| true).unwrap_err().reason, too_large);
    assert_eq!(decode(&huge, &mut |_| ()).unwrap_err().reason, too_large);
}

#[test]
fn a_record_of_more_pairs_than_any_has_is_not_decoded() {
    let decoded = |pairs: usize| {
        let metadata = vec![("", ""); pairs];
        let mut seen = Vec::new();
        decode(
            &encode(&[(&set("a"), 1, b"x", &metadata)]).body,
            &mut |record| seen.push(record.metadata.len()),
        )
        .map(|()| seen)
    };
    assert_eq!(decoded(MAX_PAIRS), Ok(vec![MAX_PAIRS]));
    assert!(decoded(MAX_PAIRS + 1).is_err());
}

#[test]
fn a_stream_without_labels_is_decoded_with_an_empty_selector() {
    let none = LabelSet::new::<&str, &str>([]).unwrap();
    let mut seen = Vec::new();
    decode(&encode(&[(&none, 1, b"x", &[])]).body, &mut |record| {
        seen.push((record.labels.to_owned(), record.line.to_vec()));
    })
    .unwrap();
    assert_eq!(seen, [(String::new(), b"x".to_vec())]);
}

#[test]
fn the_labels_of_a_stream_are_the_field_that_is_cached() {
    let labels = LabelSet::new([("b", "\""), ("a", "y")]).unwrap();
    let expected = [&[0x0A, 15][..], br#"{a="y", b="\""}"#].concat();
    assert_eq!(labels_field(&labels), expected);
}

proptest! {
    #[test]
    fn replaced_lines_are_what_the_standard_library_makes_of_them(
        line in prop::collection::vec(prop_oneof![any::<u8>(), 0x80..=0xFF_u8], 0..60),
    ) {
        let mut text = String::from("from the line before");
        replace_invalid(&line, &mut text);
        prop_assert_eq!(text, String::from_utf8_lossy(&line));
    }

    #[test]
    fn a_body_of_any_bytes_is_taken_apart_or_refused_without_a_panic(
        plain in prop::collection::vec(prop_oneof![any::<u8>(), 0x08..0x1B_u8, 0..6_u8], 0..200),
        first in 1..5_u32,
    ) {
        let block = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
        let block = bytes::Bytes::from(block);
        let mut records = 0;
        let chosen = retain(&block, &mut |index| { records = index + 1; index % 2 == 0 });
        let mut decoded = 0;
        let read = decode(&block, &mut |record| decoded = record.index + 1);
        if read.is_ok() {
            prop_assert!(chosen.is_ok());
            prop_assert_eq!(decoded, records);
        }
        if let Ok((head, tail)) = split(&block, first) {
            prop_assert!(!decompress(&head).unwrap().is_empty());
            prop_assert!(!decompress(&tail).unwrap().is_empty());
        }
        drop(split(&plain.into(), first));
    }
}
