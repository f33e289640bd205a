//! Segments of released versions are read forever, and this version writes what it is documented to.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use tailwater_durable::frame;
use tailwater_durable::{CrashStorage, Storage};
use tailwater_spill_buffer::Seq;

use support::{Drained, drain, open_on, payload};

const FIRST: &str = "spill-00000000000000000001.seg";
const SECOND: &str = "spill-00000000000000000004.seg";
const V1: [(&str, &[u8]); 2] = [
    (
        FIRST,
        include_bytes!("fixtures/spill/v1/spill-00000000000000000001.seg"),
    ),
    (
        SECOND,
        include_bytes!("fixtures/spill/v1/spill-00000000000000000004.seg"),
    ),
];

/// What the segments of each version hold.
fn expected() -> Vec<(u64, Vec<u8>)> {
    vec![
        (1, b"one".to_vec()),
        (2, Vec::new()),
        (3, vec![0xff; 90]),
        (4, b"in another segment".to_vec()),
    ]
}

/// Payloads in parts, an empty one and a long one, over two segments.
fn written() -> CrashStorage {
    let storage = CrashStorage::new();
    let (mut spill, _) = open_on(&storage, 1);
    spill.append(&[b"o", b"ne"]).unwrap();
    for (_, payload) in expected().iter().skip(1) {
        spill.append(&[payload]).unwrap();
    }
    spill.sync().unwrap();
    storage
}

#[test]
fn segments_of_version_1_are_read() {
    let storage = CrashStorage::new();
    for (name, bytes) in V1 {
        storage.plant(name, bytes.to_vec());
    }
    let (mut spill, recovery) = open_on(&storage, 1);
    assert_eq!((recovery.segments, recovery.next), (2, Seq(5)));
    assert_eq!(recovery.torn_tail_bytes + recovery.damaged_frames, 0);
    let whole = Drained {
        frames: expected(),
        ..Drained::default()
    };
    assert_eq!(drain(&mut spill), whole);
}

#[test]
fn this_version_writes_version_1_byte_by_byte() {
    let storage = written();
    assert_eq!(storage.list().unwrap(), [FIRST, SECOND]);
    for (name, bytes) in V1 {
        assert_eq!(storage.live(name).unwrap(), bytes);
    }
}

#[test]
fn the_frames_are_laid_out_as_documented() {
    let segment = V1[1].1;
    assert_eq!(segment[..4], *b"TWF1");
    assert_eq!(segment[4..8], 12_u32.to_le_bytes());
    assert_eq!(segment[12], 1, "kind");
    assert_eq!(segment[13..17], 1_u32.to_le_bytes(), "version");
    assert_eq!(segment[17..25], 4_u64.to_le_bytes(), "first number");
    let frame = &segment[25..];
    assert_eq!(frame[..4], *b"TWF1");
    assert_eq!(frame[4..8], 26_u32.to_le_bytes());
    assert_eq!(frame[12], 2, "kind");
    assert_eq!(frame[13..21], 4_u64.to_le_bytes(), "number");
    assert_eq!(frame[21..], *b"in another segment");
}

#[test]
fn frames_of_unknown_kinds_are_passed() {
    let storage = written();
    let mut bytes = storage.live(SECOND).unwrap();
    frame::append(&mut bytes, 77, b"of a later version").unwrap();
    storage.plant(SECOND, bytes);
    let (mut spill, recovery) = open_on(&storage, 1);
    assert_eq!(recovery.torn_tail_bytes + recovery.damaged_frames, 0);
    spill.append(&[&payload(5)]).unwrap();
    let mut frames = expected();
    frames.extend(support::frames([5]));
    let drained = drain(&mut spill);
    assert_eq!((drained.frames, drained.lost), (frames, vec![]));
}
