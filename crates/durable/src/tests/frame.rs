use proptest::collection::vec;
use proptest::prelude::*;

use crate::frame::{self, FrameReader, HEADER_BYTES, MAX_PAYLOAD_BYTES, Scanned};

const LIMIT: usize = 1024;

fn journal(payloads: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for (kind, payload) in (1_u8..).zip(payloads) {
        frame::append(&mut out, kind, payload).unwrap();
    }
    out
}

/// The kinds and payloads of the valid frames.
fn frames(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    FrameReader::new(bytes, LIMIT)
        .filter_map(|scanned| match scanned {
            Scanned::Frame(frame) => Some((frame.kind, frame.payload.to_vec())),
            Scanned::Damaged { .. } | Scanned::TornTail { .. } => None,
        })
        .collect()
}

/// Asserts that what the reader yields covers the bytes without gap or overlap.
fn assert_covered(bytes: &[u8]) {
    let mut at = 0;
    for scanned in FrameReader::new(bytes, LIMIT) {
        let (offset, len) = match scanned {
            Scanned::Frame(frame) => (frame.offset, frame.frame_bytes()),
            Scanned::Damaged {
                offset,
                skipped_bytes,
            } => (offset, skipped_bytes),
            Scanned::TornTail { offset, tail_bytes } => (offset, tail_bytes),
        };
        assert_eq!(offset, at);
        assert!(len > 0);
        at += len;
    }
    assert_eq!(at, bytes.len() as u64);
}

#[test]
fn frames_are_read_back_with_their_offsets() {
    let bytes = journal(&[b"first", b"", b"third"]);
    let offsets: Vec<_> = FrameReader::new(&bytes, LIMIT)
        .map(|scanned| match scanned {
            Scanned::Frame(frame) => (frame.offset, frame.end_offset()),
            Scanned::Damaged { .. } | Scanned::TornTail { .. } => panic!("{scanned:?}"),
        })
        .collect();
    assert_eq!(offsets, [(0, 18), (18, 31), (31, 49)]);
    assert_eq!(frames(&bytes)[1], (2, Vec::new()));
}

#[test]
fn the_layout_is_the_documented_one() {
    let mut out = Vec::new();
    frame::append(&mut out, 7, b"ab").unwrap();
    assert_eq!(out[..4], *b"TWF1");
    assert_eq!(out[4..8], [2, 0, 0, 0]);
    let crc = crc32fast::hash(&[2, 0, 0, 0, 7, b'a', b'b']);
    assert_eq!(out[8..12], crc.to_le_bytes());
    assert_eq!(out[12..], [7, b'a', b'b']);
}

#[test]
fn every_flipped_bit_costs_the_frame_it_hit_and_no_other() {
    let bytes = journal(&[b"first", b"second", b"third"]);
    let whole = frames(&bytes);
    let ends = [18, 37, 55];
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let hit = ends.iter().position(|end| bit / 8 < *end).unwrap();
        let mut expected = whole.clone();
        expected.remove(hit);
        assert_eq!(frames(&damaged), expected, "bit {bit}");
        assert_covered(&damaged);
    }
}

#[test]
fn damage_is_told_from_a_torn_tail_at_every_length() {
    let bytes = journal(&[b"first", b"second"]);
    for len in 0..bytes.len() {
        let found: Vec<_> = FrameReader::new(&bytes[..len], LIMIT).collect();
        let is_torn = matches!(found.last(), Some(Scanned::TornTail { .. }));
        assert_eq!(is_torn, len != 0 && len != 18, "cut to {len}");
        assert!(!found.iter().any(|s| matches!(s, Scanned::Damaged { .. })));
    }
    let mut damaged = bytes.clone();
    damaged[14] ^= 1;
    let first = FrameReader::new(&damaged, LIMIT).next().unwrap();
    let expected = Scanned::Damaged {
        offset: 0,
        skipped_bytes: 18,
    };
    assert_eq!(first, expected);
}

#[test]
fn a_payload_over_the_readers_limit_is_damage() {
    let long = vec![0; LIMIT + 1];
    let bytes = journal(&[&long, b"short"]);
    assert_eq!(frames(&bytes), [(2, b"short".to_vec())]);
}

#[test]
fn a_payload_over_the_limit_is_not_written() {
    let payload_bytes = MAX_PAYLOAD_BYTES as usize + 1;
    let mut out = b"before".to_vec();
    let error = frame::append(&mut out, 1, &vec![0; payload_bytes]).unwrap_err();
    assert_eq!(error.payload_bytes, payload_bytes);
    assert_eq!(out, b"before");
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic_and_covered(bytes in vec(any::<u8>(), 0..400)) {
        assert_covered(&bytes);
    }

    #[test]
    fn frames_between_any_garbage_are_found(
        before in vec(any::<u8>(), 0..40),
        payload in vec(any::<u8>(), 0..40),
        after in vec(any::<u8>(), 0..40),
    ) {
        let mut bytes = before.clone();
        frame::append(&mut bytes, 9, &payload).unwrap();
        frame::append(&mut bytes, 9, b"next").unwrap();
        bytes.extend_from_slice(&after);
        assert_covered(&bytes);
        prop_assert_eq!(frames(&bytes), [(9, payload), (9, b"next".to_vec())]);
    }

    #[test]
    fn a_header_written_apart_from_its_payload_is_the_same_frame(payload in vec(any::<u8>(), 0..40)) {
        let header = frame::header(3, &payload).unwrap();
        prop_assert_eq!(header.len(), HEADER_BYTES);
        prop_assert_eq!([&header[..], &payload[..]].concat(), {
            let mut out = Vec::new();
            frame::append(&mut out, 3, &payload).unwrap();
            out
        });
    }
}
