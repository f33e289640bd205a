//! The batch on disk is what docs/formats/spill-batch.md says, and old ones are read forever.

use std::path::Path;

use tailwater_engine::envelope::{Envelope, EnvelopeSpan};
use tailwater_position_store::FileKey;
use tailwater_record::{BatchId, Marker, Span};

const V1: &[u8] = include_bytes!("fixtures/spill-batch/v1.batch");

/// A batch of three records of two files; the second span follows the first in the same file.
fn expected() -> Envelope {
    let span = |path: &str, start, end, records| EnvelopeSpan {
        source: "app".into(),
        path: Path::new(path).into(),
        key: FileKey(7),
        epoch: 3,
        span: Span { start, end },
        end_place: 0,
        marker: Marker {
            len: 12,
            hash: 0x0102_0304_0506_0708,
        },
        records,
        line_bytes: 298,
    };
    Envelope {
        batch: BatchId(42),
        written_ns: 1_700_000_000_000_000_000,
        wire: "text".to_owned(),
        sink: "central".into(),
        tenant: Some("shop".into()),
        reason: "invalid".to_owned(),
        spans: vec![
            span("/a.log", 100, 400, 2),
            span("/a.log", 400, 400, 0),
            span("/b.log", 0, 5, 1),
        ],
        record_ends: vec![130, 300, 5],
    }
}

#[test]
fn a_batch_of_version_1_is_read() {
    let (envelope, body) = Envelope::decode(V1).unwrap();
    assert_eq!(envelope, expected());
    assert_eq!(body, b"body");
}

#[test]
fn this_version_writes_version_1_byte_by_byte() {
    let mut written = Vec::new();
    expected().encode(&mut written);
    written.extend_from_slice(b"body");
    assert_eq!(written, V1);
}

#[test]
fn the_fields_are_laid_out_as_documented() {
    assert_eq!(V1[0], 1, "version");
    assert_eq!(V1[1..9], 42_u64.to_le_bytes(), "batch");
    let written = 1_700_000_000_000_000_000_u64;
    assert_eq!(V1[9..17], written.to_le_bytes(), "written");
    assert_eq!(V1[17..23], *b"\x04\0text", "wire");
    assert_eq!(V1[23..32], *b"\x07\0central", "sink");
    assert_eq!(V1[32..41], *b"\x07\0invalid", "reason");
    assert_eq!(V1[41..48], *b"\x01\x04\0shop", "tenant");
    assert_eq!(V1[48..52], 3_u32.to_le_bytes(), "spans");
    assert_eq!(V1[52..66], *b"\0\x03\0app\x06\0/a.log", "first span");
    assert_eq!(V1[66..74], 7_u64.to_le_bytes(), "key");
    assert_eq!(V1[117], 1, "the second span is of the same file");
    let ends = V1.len() - 4 - 5;
    assert_eq!(V1[ends..], *b"\x82\x01\xaa\x01\x05body", "lengths, body");
}
