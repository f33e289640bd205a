//! Flips, cuts and replaces what is on disk.
//!
//! Goal: whatever stands in the directory, the spill opens, no payload is read that was not appended,
//! and what damage took is told as lost, to the number.

#![expect(
    clippy::unwrap_used,
    clippy::single_range_in_vec_init,
    reason = "tests, and lists of ranges"
)]

mod support;

use std::ops::Range;

use tailwater_durable::frame;
use tailwater_durable::{CrashStorage, Fault, Storage};
use tailwater_spill_buffer::{Read, Seq, inspect};

use support::{Drained, drain, frames, open_on, payload};

/// The number after the last frame that is written.
const NEXT: u64 = 14;

/// A segment as it was written: its name, its numbers, its bytes.
struct Written {
    name: String,
    numbers: Range<u64>,
    bytes: Vec<u8>,
}

impl Written {
    /// The place of each frame in the file.
    fn places(&self) -> Vec<(u64, Range<usize>)> {
        let mut start = 25;
        let place = |number| {
            let end = start + 21 + payload(number).len();
            let place = start..end;
            start = end;
            (number, place)
        };
        self.numbers.clone().map(place).collect()
    }
}

/// Thirteen frames in several segments.
fn written() -> (CrashStorage, Vec<Written>) {
    let storage = CrashStorage::new();
    let (mut spill, _) = open_on(&storage, 1);
    for number in 1..NEXT {
        spill.append(&[&payload(number)]).unwrap();
    }
    spill.sync().unwrap();
    let segments = inspect(&storage).unwrap().map(|segment| {
        let report = segment.read(|_| {}).unwrap();
        Written {
            name: segment.name(),
            numbers: report.first.unwrap().0..report.last.unwrap().next().0,
            bytes: storage.live(&segment.name()).unwrap(),
        }
    });
    let segments: Vec<Written> = segments.collect();
    assert!(segments.len() >= 3);
    (storage, segments)
}

/// Opens a copy in which a file holds `bytes`, and reads it to the end.
fn drain_with(storage: &CrashStorage, name: &str, bytes: &[u8]) -> Drained {
    let damaged = storage.after_crash();
    damaged.plant(name, bytes.to_vec());
    drain(&mut open_on(&damaged, 1).0)
}

fn whole() -> Drained {
    Drained {
        frames: frames(1..NEXT),
        ..Drained::default()
    }
}

fn without(lost: Range<u64>) -> Drained {
    Drained {
        frames: frames((1..NEXT).filter(|number| !lost.contains(number))),
        lost: vec![lost],
        ..Drained::default()
    }
}

#[test]
fn a_flipped_bit_costs_the_frame_that_it_hits_and_is_told_exactly() {
    let (storage, segments) = written();
    for segment in &segments {
        let places = segment.places();
        for bit in 0..segment.bytes.len() * 8 {
            let mut bytes = segment.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let drained = drain_with(&storage, &segment.name, &bytes);
            let hit = places.iter().find(|place| place.1.contains(&(bit / 8)));
            let expected = hit.map_or(whole(), |hit| without(hit.0..hit.0 + 1));
            assert_eq!(drained, expected, "bit {bit} of {}", segment.name);
        }
    }
}

#[test]
fn a_flipped_bit_in_the_last_segment_is_counted_at_opening() {
    let (storage, segments) = written();
    let last = segments.last().unwrap();
    for byte in 0..last.bytes.len() {
        let damaged = storage.after_crash();
        let mut bytes = last.bytes.clone();
        bytes[byte] ^= 0x10;
        damaged.plant(&last.name, bytes);
        let (mut spill, recovery) = open_on(&damaged, 1);
        assert_eq!(recovery.damaged_frames, 1, "byte {byte}");
        assert_eq!(recovery.lost_frames, u64::from(byte >= 25), "byte {byte}");
        assert_eq!(recovery.next, Seq(NEXT));
        spill.append(&[&payload(NEXT)]).unwrap();
        spill.sync().unwrap();
        let (mut spill, recovery) = open_on(&damaged.after_crash(), 1);
        assert_eq!(recovery.torn_tail_bytes, 0, "byte {byte}");
        let last = drain(&mut spill).frames.pop();
        assert_eq!(last, Some((NEXT, payload(NEXT))), "byte {byte}");
    }
}

#[test]
fn a_segment_that_is_cut_costs_the_frames_that_are_cut_off() {
    let (storage, segments) = written();
    let (last, others) = segments.split_last().unwrap();
    for segment in others {
        for len in 0..segment.bytes.len() {
            let drained = drain_with(&storage, &segment.name, &segment.bytes[..len]);
            let places = segment.places();
            let cut = places.iter().find(|place| place.1.end > len).unwrap().0;
            let expected = without(cut..segment.numbers.end);
            assert_eq!(drained, expected, "{} cut to {len}", segment.name);
        }
    }
    for len in 0..last.bytes.len() {
        let damaged = storage.after_crash();
        damaged.plant(&last.name, last.bytes[..len].to_vec());
        let (mut spill, recovery) = open_on(&damaged, 1);
        let cut = last.places().into_iter().find(|place| place.1.end > len);
        let (cut, place) = cut.unwrap();
        let boundary = if len < 25 { 0 } else { place.start };
        assert_eq!(recovery.torn_tail_bytes, (len - boundary) as u64);
        assert_eq!(
            recovery.next,
            Seq(cut),
            "what a crash leaves looks the same"
        );
        let drained = drain(&mut spill);
        assert_eq!((drained.frames, drained.lost), (frames(1..cut), vec![]));
        for number in cut..NEXT {
            spill.append(&[&payload(number)]).unwrap();
        }
        spill.sync().unwrap();
        assert_eq!(drain(&mut open_on(&damaged, 1).0), whole(), "cut to {len}");
        assert_eq!(damaged.live(&last.name).unwrap(), last.bytes);
    }
}

#[test]
fn any_stretch_of_zeros_or_garbage_costs_what_it_hits() {
    let (storage, segments) = written();
    for segment in &segments[..segments.len() - 1] {
        for start in 0..segment.bytes.len() {
            for len in [2, 13, 40, 90, 1000] {
                let end = segment.bytes.len().min(start + len);
                for fill in [0, 0xa5] {
                    let mut bytes = segment.bytes.clone();
                    bytes[start..end].fill(fill);
                    let hit = |place: &Range<usize>| {
                        let place = place.clone();
                        bytes[place.clone()] != segment.bytes[place]
                    };
                    let mut spoilt = segment.places();
                    spoilt.retain(|place| hit(&place.1));
                    let expected = match (spoilt.first(), spoilt.last()) {
                        (Some(from), Some(to)) => without(from.0..to.0 + 1),
                        _ => whole(),
                    };
                    let drained = drain_with(&storage, &segment.name, &bytes);
                    assert_eq!(drained, expected, "{start}..{end} of {}", segment.name);
                }
            }
        }
    }
}

#[test]
fn zeros_behind_the_last_frame_are_a_torn_tail() {
    let (storage, segments) = written();
    let last = segments.last().unwrap();
    for zeros in 1..60 {
        let damaged = storage.after_crash();
        damaged.plant(&last.name, [&last.bytes[..], &vec![0; zeros]].concat());
        let (mut spill, recovery) = open_on(&damaged, 1);
        assert_eq!(recovery.torn_tail_bytes, zeros as u64);
        assert_eq!(drain(&mut spill), whole());
    }
}

#[test]
fn a_missing_segment_is_an_exact_range() {
    let (storage, segments) = written();
    let (_, others) = segments.split_last().unwrap();
    for (index, segment) in others.iter().enumerate() {
        let damaged = storage.after_crash();
        damaged.remove(&segment.name).unwrap();
        let (mut spill, recovery) = open_on(&damaged, 1);
        let numbers = segment.numbers.clone();
        let known = if index == 0 {
            numbers.end - numbers.start
        } else {
            0
        };
        assert_eq!(recovery.lost_frames, known);
        assert_eq!(drain(&mut spill), without(numbers));
    }
}

#[test]
fn all_segments_but_the_last_missing_are_one_range() {
    let (storage, segments) = written();
    let (last, others) = segments.split_last().unwrap();
    for segment in others {
        storage.remove(&segment.name).unwrap();
    }
    let drained = drain(&mut open_on(&storage, 1).0);
    assert_eq!(drained, without(1..last.numbers.start));
    let drained = drain(&mut open_on(&storage, last.numbers.start).0);
    assert_eq!(drained.lost, [], "what was released is not missing");
}

#[test]
fn an_empty_file_in_place_of_a_segment_is_a_segment_without_frames() {
    let name = "spill-00000000000000000014.seg";
    let (storage, segments) = written();
    storage.plant(name, Vec::new());
    let (mut spill, recovery) = open_on(&storage, 1);
    assert_eq!((recovery.next, recovery.lost_frames), (Seq(NEXT), 0));
    assert_eq!(drain(&mut spill), whole());
    spill.append(&[&payload(NEXT)]).unwrap();
    spill.sync().unwrap();
    let (mut spill, _) = open_on(&storage.after_crash(), 1);
    assert_eq!(drain(&mut spill).frames, frames(1..=NEXT));
    spill.release(Seq(NEXT + 1)).unwrap();
    assert_eq!(spill.status().segments, 0);

    let first = &segments[0];
    let (storage, _) = written();
    let drained = drain_with(&storage, &first.name, &[]);
    assert_eq!(drained, without(first.numbers.clone()));
    let alone = CrashStorage::new();
    alone.plant(name, Vec::new());
    let (mut spill, recovery) = open_on(&alone, NEXT);
    assert_eq!((recovery.segments, spill.is_empty()), (0, true));
    assert_eq!(spill.append(&[b""]).unwrap(), Seq(NEXT));
}

#[test]
fn a_segment_restored_under_the_name_of_another_brings_nothing_back() {
    let (storage, segments) = written();
    let drained = drain_with(&storage, &segments[1].name, &segments[0].bytes);
    assert_eq!(drained, without(segments[1].numbers.clone()));
    let drained = drain_with(&storage, &segments[0].name, &segments[1].bytes);
    assert_eq!(drained, without(segments[0].numbers.clone()));
}

#[test]
fn a_frame_inside_a_payload_is_not_taken_for_one_where_the_payload_is_damaged() {
    let storage = CrashStorage::new();
    let (mut spill, _) = open_on(&storage, 1);
    let mut forged = vec![b'x'; 30];
    let content = [&2_u64.to_le_bytes()[..], b"forged"].concat();
    frame::append(&mut forged, 2, &content).unwrap();
    forged.extend_from_slice(b"rest");
    spill.append(&[&forged]).unwrap();
    spill.append(&[&payload(2)]).unwrap();
    spill.sync().unwrap();
    let name = storage.list().unwrap().remove(0);
    let good = storage.live(&name).unwrap();
    for byte in 25..25 + 21 + forged.len() {
        let mut bytes = good.clone();
        bytes[byte] ^= 4;
        let drained = drain_with(&storage, &name, &bytes);
        assert_eq!((drained.frames, drained.lost), (frames([2]), vec![1..2]));
    }
}

#[test]
fn a_length_that_points_behind_the_next_frame_does_not_hide_it() {
    // With eleven bytes of payload a frame takes 32: one bit of the length before it.
    for last in 3..5 {
        let storage = CrashStorage::new();
        let (mut spill, _) = open_on(&storage, 1);
        for _ in 1..last {
            spill.append(&[b"eleven byte"]).unwrap();
        }
        spill.sync().unwrap();
        let name = storage.list().unwrap().remove(0);
        let mut bytes = storage.live(&name).unwrap();
        bytes[25 + 4] ^= 32;
        let drained = drain_with(&storage, &name, &bytes);
        let numbers = drained.frames.iter().map(|frame| frame.0);
        assert!(numbers.eq(2..last));
        assert_eq!(drained.lost, [1..2]);
    }
}

#[test]
fn names_that_are_not_ours_are_left_alone() {
    let storage = CrashStorage::new();
    let names = [
        "lock",
        "spill-00000000000000000000.seg",
        "spill-00000000000000000001.seg.tmp",
        "spill-1.seg",
        "spill-18446744073709551615.seg",
        "spill-99999999999999999999.seg",
    ];
    for name in names {
        storage.plant(name, b"theirs".to_vec());
    }
    let (mut spill, recovery) = open_on(&storage, 1);
    assert_eq!((recovery.segments, recovery.next), (0, Seq(1)));
    spill.append(&[b"ours"]).unwrap();
    spill.release(Seq(2)).unwrap();
    assert_eq!(storage.list().unwrap(), names);
}

/// A segment of version 2 with something in it.
fn newer_segment(first: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let header = [&2_u32.to_le_bytes()[..], &first.to_le_bytes(), b"more"].concat();
    frame::append(&mut bytes, 1, &header).unwrap();
    frame::append(&mut bytes, 9, b"of another kind").unwrap();
    bytes
}

#[test]
fn a_newer_segment_between_others_is_passed_and_never_removed() {
    let (storage, segments) = written();
    let Written { name, numbers, .. } = &segments[1];
    let newer = newer_segment(numbers.start);
    storage.plant(name, newer.clone());
    let (mut spill, recovery) = open_on(&storage, 1);
    assert_eq!(recovery.newer_segments, 0, "only the last one is read");
    let drained = drain(&mut spill);
    assert_eq!(drained.newer, std::slice::from_ref(numbers));
    assert_eq!(drained.lost, []);
    let expected = frames((1..NEXT).filter(|number| !numbers.contains(number)));
    assert_eq!(drained.frames, expected);
    spill.release(Seq(NEXT)).unwrap();
    assert!(spill.is_empty() && spill.oldest_segment().is_none());
    assert_eq!(spill.status().segments, 1);
    spill.append(&[&payload(NEXT)]).unwrap();
    spill.sync().unwrap();
    let (mut spill, _) = open_on(&storage, NEXT);
    assert_eq!(drain(&mut spill).frames, frames([NEXT]));
    assert_eq!(storage.live(name).unwrap(), newer);
}

#[test]
fn numbers_go_on_behind_all_that_a_newer_last_segment_can_hold() {
    let (storage, segments) = written();
    let Written { name, numbers, .. } = segments.last().unwrap();
    let newer = newer_segment(numbers.start);
    storage.plant(name, newer.clone());
    let (mut spill, recovery) = open_on(&storage, 1);
    assert_eq!(recovery.newer_segments, 1);
    let next = recovery.next;
    assert!(next.0 > numbers.start + newer.len() as u64);
    assert_eq!(spill.append(&[&payload(next.0)]).unwrap(), next);
    spill.sync().unwrap();
    let version = match spill.read(Seq(numbers.start)).unwrap() {
        Read::Newer { version, .. } => Some(version),
        Read::Frame { .. } | Read::Lost { .. } | Read::End => None,
    };
    assert_eq!(version, Some(2));
    let drained = drain(&mut open_on(&storage.after_crash(), 1).0);
    assert_eq!(drained.newer, [numbers.start..next.0]);
    assert_eq!(drained.lost, []);
    assert_eq!(storage.live(name).unwrap(), newer);
}

#[test]
fn looking_at_damaged_segments_counts_and_changes_nothing() {
    let (storage, segments) = written();
    let mut bytes = segments[0].bytes.clone();
    bytes[60] ^= 1;
    storage.plant(&segments[0].name, bytes);
    let last = segments.last().unwrap();
    storage.plant(&last.name, last.bytes[..last.bytes.len() - 3].to_vec());
    storage.plant(&segments[1].name, newer_segment(segments[1].numbers.start));
    let operations = storage.operations();
    let mut seen = Vec::new();
    let reports: Vec<_> = inspect(&storage)
        .unwrap()
        .map(|segment| {
            let mut keep = |seq: Seq, found: &[u8]| seen.push((seq.0, found.to_vec()));
            segment
                .read(|frame| keep(frame.seq, frame.payload))
                .unwrap()
        })
        .collect();
    assert_eq!(storage.operations(), operations);
    let (damaged, newer, torn) = (reports[0], reports[1], reports[reports.len() - 1]);
    assert_eq!(
        (damaged.damaged_stretches, damaged.first),
        (1, Some(Seq(1)))
    );
    assert_eq!(
        damaged.frames + 1,
        segments[0].numbers.clone().count() as u64
    );
    assert_eq!((newer.version, newer.frames), (Some(2), 0));
    assert_eq!(torn.last, Some(Seq(NEXT - 2)));
    assert_eq!(
        torn.torn_tail_bytes,
        21 + payload(NEXT - 1).len() as u64 - 3
    );
    let numbers = seen.iter().map(|frame| frame.0).collect::<Vec<_>>();
    assert_eq!(seen, frames(numbers));
}

#[test]
fn a_frame_with_an_impossible_number_is_damage_and_numbers_do_not_jump() {
    let (storage, segments) = written();
    let last = segments.last().unwrap();
    let mut bytes = last.bytes.clone();
    let far = [&(NEXT + 1000).to_le_bytes()[..], b"from elsewhere"].concat();
    frame::append(&mut bytes, 2, &far).unwrap();
    storage.plant(&last.name, bytes);
    let (mut spill, recovery) = open_on(&storage, 1);
    assert_eq!(recovery.damaged_frames, 1);
    assert_eq!(recovery.next, Seq(NEXT + 1), "it was a whole frame once");
    assert_eq!(drain(&mut spill).lost, [NEXT..NEXT + 1]);
}

#[test]
fn damage_before_void_frames_is_told_up_to_where_they_begin() {
    let storage = CrashStorage::new();
    let (mut spill, _) = open_on(&storage, 1);
    spill.append(&[&payload(1)]).unwrap();
    spill.append(&[&payload(2)]).unwrap();
    spill.sync().unwrap();
    for _ in 0..2 {
        spill.append(&[b"void"]).unwrap();
    }
    storage.fail_at(storage.operations(), Fault::Io);
    spill.sync().unwrap_err();
    for number in 3..NEXT {
        spill.append(&[&payload(number)]).unwrap();
    }
    spill.sync().unwrap();
    let name = storage.list().unwrap().remove(0);
    let mut bytes = storage.live(&name).unwrap();
    assert_eq!(drain_with(&storage, &name, &bytes), whole());
    bytes[25 + 30 + 25] ^= 1;
    assert_eq!(drain_with(&storage, &name, &bytes), without(2..3));
    // Number 4 is void in the first segment, and found there all the same.
    bytes[25 + 30 + 30 + 22] ^= 1;
    assert_eq!(drain_with(&storage, &name, &bytes), without(2..3));
}
