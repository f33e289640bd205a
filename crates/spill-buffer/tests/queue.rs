//! Appending, reading and releasing, and what happens without room or without a disk.

#![expect(
    clippy::unwrap_used,
    clippy::single_range_in_vec_init,
    reason = "tests, and lists of ranges"
)]

mod support;

use std::sync::Arc;

use tailwater_durable::{CrashStorage, Disk, Fault, MemoryStorage, Storage};
use tailwater_spill_buffer::{AppendError, Limits, Read, Seq, SpillBuffer, inspect, open};

use support::{LIMITS, drain, frames, open_on, payload};

fn append_range(spill: &mut SpillBuffer, numbers: std::ops::Range<u64>) {
    for number in numbers {
        assert_eq!(spill.append(&[&payload(number)]).unwrap(), Seq(number));
    }
}

#[test]
fn payloads_are_read_in_the_order_they_were_appended_also_after_opening_again() {
    let storage = CrashStorage::new();
    let (mut spill, recovery) = open_on(&storage, 1);
    assert_eq!((recovery.segments, recovery.next), (0, Seq(1)));
    append_range(&mut spill, 1..30);
    assert_eq!(spill.sync().unwrap(), Seq(30));
    assert_eq!(drain(&mut spill).frames, frames(1..30));
    let (mut spill, recovery) = open_on(&storage, 1);
    assert_eq!((recovery.first, recovery.next), (Seq(1), Seq(30)));
    assert_eq!(recovery.torn_tail_bytes + recovery.damaged_frames, 0);
    append_range(&mut spill, 30..35);
    let drained = drain(&mut spill);
    assert_eq!(drained.frames, frames(1..35));
    assert_eq!(drained.lost, []);
}

#[test]
fn the_parts_of_a_payload_are_one_payload() {
    let (mut spill, _) = open_on(&CrashStorage::new(), 1);
    spill.append(&[b"one", b"", b" two"]).unwrap();
    spill.append(&[]).unwrap();
    let expected = [(1, b"one two".to_vec()), (2, Vec::new())];
    assert_eq!(drain(&mut spill).frames, expected);
}

#[test]
fn appended_payloads_can_be_read_before_they_are_synced_and_while_more_come() {
    let (mut spill, _) = open_on(&CrashStorage::new(), 1);
    for number in 1..40 {
        append_range(&mut spill, number..number + 1);
        let read = spill.read(Seq(number)).unwrap();
        let expected = Read::Frame {
            seq: Seq(number),
            payload: payload(number),
        };
        assert_eq!(read, expected);
        assert_eq!(spill.read(Seq(number + 1)).unwrap(), Read::End);
    }
    assert_eq!(
        drain(&mut spill).frames,
        frames(1..40),
        "from the start again"
    );
}

#[test]
fn space_is_given_back_segment_by_segment_down_to_zero_files() {
    let storage = CrashStorage::new();
    let (mut spill, _) = open_on(&storage, 1);
    append_range(&mut spill, 1..30);
    spill.sync().unwrap();
    let mut before = spill.status();
    assert!(before.segments > 4, "{before:?}");
    while let Some(oldest) = spill.oldest_segment() {
        assert_eq!(oldest.start, spill.status().first);
        assert_eq!(
            spill.release(Seq(oldest.end.0 - 1)).unwrap(),
            0,
            "one is left in it"
        );
        let given_back = spill.release(oldest.end).unwrap();
        let status = spill.status();
        assert_eq!(status.bytes + given_back, before.bytes);
        assert_eq!(status.segments + 1, before.segments);
        assert_eq!(status.first, oldest.end);
        assert_eq!(drain(&mut spill).frames, frames(oldest.end.0..30));
        before = status;
    }
    assert!(spill.is_empty());
    assert_eq!(
        (before.bytes, before.next, before.synced),
        (0, Seq(30), Seq(30))
    );
    assert!(storage.list().unwrap().is_empty());
    append_range(&mut spill, 30..31);
    assert!(!spill.is_empty());
    assert_eq!(drain(&mut spill).frames, frames(30..31));
}

#[test]
fn numbers_go_on_behind_what_was_released_before_an_opening() {
    let storage = CrashStorage::new();
    let (mut spill, _) = open_on(&storage, 1);
    append_range(&mut spill, 1..12);
    spill.sync().unwrap();
    let oldest = spill.oldest_segment().unwrap();
    let (mut spill, recovery) = open_on(&storage, oldest.end.0 + 1);
    assert_eq!(spill.oldest_segment().unwrap().start, oldest.end.next());
    assert_eq!(recovery.lost_frames, 0);
    assert_eq!(drain(&mut spill).frames, frames(oldest.end.0 + 1..12));
    let (mut spill, recovery) = open_on(&storage, 50);
    assert_eq!((recovery.segments, recovery.next), (0, Seq(50)));
    assert!(storage.list().unwrap().is_empty());
    append_range(&mut spill, 50..52);
    spill.release(Seq(u64::MAX)).unwrap();
    assert_eq!(spill.status().first, Seq(52), "what comes is not released");
}

#[test]
fn a_full_spill_says_so_and_takes_more_after_a_release() {
    let limits = Limits {
        max_bytes: 500,
        ..LIMITS
    };
    let (mut spill, _) = open(Arc::new(MemoryStorage::new()), limits, Seq::FIRST).unwrap();
    let mut number = 1;
    let error = loop {
        match spill.append(&[&payload(number)]) {
            Ok(_) => number += 1,
            Err(error) => break error,
        }
    };
    let AppendError::Full {
        used_bytes,
        frame_bytes,
        max_bytes: 500,
    } = error
    else {
        panic!("{error:?}");
    };
    assert!(
        used_bytes <= 500 && used_bytes + frame_bytes > 500,
        "{error}"
    );
    assert_eq!(spill.status().bytes, used_bytes);
    assert!(matches!(
        spill.append(&[b""]),
        Ok(_) | Err(AppendError::Full { .. })
    ));
    let oldest = spill.oldest_segment().unwrap();
    spill.release(oldest.end).unwrap();
    let next = spill.status().next.0;
    append_range(&mut spill, next..next + 1);
    spill.sync().unwrap();
}

#[test]
fn a_payload_that_never_fits_is_refused_and_the_longest_is_taken() {
    let storage = CrashStorage::new();
    let (mut spill, _) = open_on(&storage, 1);
    let error = spill.append(&[&[7; 600], &[7; 401]]).unwrap_err();
    let text = "a payload of 1001 bytes exceeds 1000";
    assert!(
        matches!(error, AppendError::TooLong { .. }) && error.to_string() == text,
        "{error}"
    );
    spill.append(&[&[7; 1000]]).unwrap();
    spill.append(&[b"small"]).unwrap();
    assert_eq!(
        spill.status().segments,
        2,
        "a segment holds at least one frame"
    );
    let limits = Limits {
        max_bytes: 100,
        ..LIMITS
    };
    let (mut tiny, _) = open(Arc::new(MemoryStorage::new()), limits, Seq::FIRST).unwrap();
    let error = tiny.append(&[&[7; 55]]).unwrap_err();
    assert!(
        matches!(error, AppendError::TooLong { max_bytes: 54, .. }),
        "{error}"
    );
    tiny.append(&[&[7; 54]]).unwrap();
    assert_eq!(tiny.status().bytes, 100);
}

#[test]
fn a_full_disk_tears_nothing_and_the_spill_goes_on_once_there_is_room() {
    for capacity in 0..300 {
        let storage = CrashStorage::new();
        let (mut spill, _) = open_on(&storage, 1);
        storage.set_capacity(capacity);
        let mut number = 1;
        while spill.append(&[&payload(number)]).is_ok() {
            number += 1;
        }
        let error = spill.append(&[&payload(number)]).unwrap_err();
        assert!(matches!(error, AppendError::DiskFull(_)), "{error}");
        assert_eq!(spill.sync().unwrap(), Seq(number));
        let used: u64 = spill.status().bytes;
        assert!(used <= capacity);
        assert_eq!(drain(&mut spill).frames, frames(1..number));
        let reopened = open_on(&storage.after_crash(), 1);
        assert_eq!(reopened.1.torn_tail_bytes, 0, "capacity {capacity}");
        storage.set_capacity(u64::MAX);
        append_range(&mut spill, number..number + 5);
        spill.sync().unwrap();
        let (mut spill, _) = open_on(&storage.after_crash(), 1);
        let drained = drain(&mut spill);
        assert_eq!(drained.frames, frames(1..number + 5));
        assert_eq!(drained.lost, []);
    }
}

#[test]
fn a_spill_without_room_for_its_first_segment_leaves_no_file() {
    let storage = CrashStorage::new();
    storage.set_capacity(10);
    let (mut spill, _) = open_on(&storage, 1);
    let error = spill.append(&[b"payload"]).unwrap_err();
    assert!(matches!(error, AppendError::DiskFull(_)));
    assert!(storage.list().unwrap().is_empty());
    assert_eq!(spill.status().bytes, 0);
}

#[test]
fn an_append_that_cannot_be_cut_back_costs_the_segment_and_no_frame() {
    let storage = CrashStorage::new();
    let (mut spill, _) = open_on(&storage, 1);
    append_range(&mut spill, 1..3);
    storage.set_capacity(spill.status().bytes + 5);
    storage.fail_at(storage.operations() + 1, Fault::Io);
    let error = spill.append(&[&payload(3)]).unwrap_err();
    assert!(matches!(error, AppendError::DiskFull(_)), "{error}");
    storage.set_capacity(u64::MAX);
    append_range(&mut spill, 3..5);
    assert_eq!(spill.status().segments, 2);
    spill.sync().unwrap();
    let (mut spill, _) = open_on(&storage.after_crash(), 1);
    let drained = drain(&mut spill);
    assert_eq!((drained.frames, drained.lost), (frames(1..5), vec![]));
}

#[test]
fn a_failed_sync_voids_what_it_covers_and_what_is_appended_again_is_durable() {
    // The sync of the file, and that of the directory.
    for (synced, step) in [(0, 0), (0, 1), (2, 0)] {
        let storage = CrashStorage::new();
        let (mut spill, _) = open_on(&storage, 1);
        append_range(&mut spill, 1..synced + 1);
        spill.sync().unwrap();
        for number in synced + 1..synced + 4 {
            spill.append(&[b"void ", &payload(number)]).unwrap();
        }
        spill.read(Seq(synced + 2)).unwrap();
        storage.fail_at(storage.operations() + step, Fault::Io);
        let error = spill.sync().unwrap_err();
        assert_eq!(error.void_from, Seq(synced + 1));
        assert_eq!(spill.status().next, Seq(synced + 1));
        assert_eq!(spill.read(Seq(synced + 1)).unwrap(), Read::End);
        append_range(&mut spill, synced + 1..synced + 7);
        assert_eq!(drain(&mut spill).frames, frames(1..synced + 7));
        assert_eq!(spill.sync().unwrap(), Seq(synced + 7));
        for reopened in [storage.clone(), storage.after_crash()] {
            let (mut spill, _) = open_on(&reopened, 1);
            let drained = drain(&mut spill);
            assert_eq!(
                (drained.frames, drained.lost),
                (frames(1..synced + 7), vec![])
            );
        }
    }
}

#[test]
fn void_frames_that_are_still_on_disk_are_shown_as_void() {
    let storage = CrashStorage::new();
    let (mut spill, _) = open_on(&storage, 1);
    append_range(&mut spill, 1..3);
    spill.sync().unwrap();
    append_range(&mut spill, 3..4);
    storage.fail_at(storage.operations(), Fault::Io);
    spill.sync().unwrap_err();
    append_range(&mut spill, 3..4);
    let mut void = Vec::new();
    for segment in inspect(&storage).unwrap() {
        let report = segment
            .read(|frame| void.push((frame.seq.0, frame.is_void)))
            .unwrap();
        assert_eq!(report.version, Some(1));
        assert_eq!((report.damaged_stretches, report.torn_tail_bytes), (0, 0));
    }
    assert_eq!(void, [(1, false), (2, false), (3, true), (3, false)]);
}

#[test]
fn a_new_segment_begins_only_once_the_one_before_is_durable() {
    let storage = CrashStorage::new();
    let (mut spill, _) = open_on(&storage, 1);
    let mut number = 1;
    while spill.status().segments < 2 {
        append_range(&mut spill, number..number + 1);
        number += 1;
    }
    assert_eq!(spill.status().synced, Seq(number - 1));
    while spill.status().bytes < 350 {
        append_range(&mut spill, number..number + 1);
        number += 1;
    }
    storage.fail_at(storage.operations(), Fault::Io);
    let Err(AppendError::Sync(error)) = spill.append(&[&[7; 180]]) else {
        panic!("the sync failed");
    };
    assert_eq!(error.void_from, spill.status().next);
    let next = spill.status().next.0;
    append_range(&mut spill, next..next + 1);
    spill.sync().unwrap();
    let (mut spill, _) = open_on(&storage.after_crash(), 1);
    assert_eq!(drain(&mut spill).frames, frames(1..=next));
}

#[test]
fn what_was_released_before_a_failed_sync_is_not_void() {
    let storage = CrashStorage::new();
    let (mut spill, _) = open_on(&storage, 1);
    append_range(&mut spill, 1..4);
    spill.release(Seq(3)).unwrap();
    storage.fail_at(storage.operations(), Fault::Io);
    assert_eq!(spill.sync().unwrap_err().void_from, Seq(3));
    append_range(&mut spill, 3..4);
    assert_eq!(drain(&mut spill).frames, frames(3..4));
}

#[test]
fn a_directory_that_is_removed_is_told_as_lost_and_created_again() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("spill");
    let disk = Arc::new(Disk::open(&path).unwrap());
    let (mut spill, _) = open(disk, LIMITS, Seq::FIRST).unwrap();
    append_range(&mut spill, 1..12);
    spill.sync().unwrap();
    append_range(&mut spill, 12..13);
    std::fs::remove_dir_all(&path).unwrap();
    assert_eq!(spill.sync().unwrap_err().void_from, Seq(12));
    assert_eq!(spill.status().bytes, 0);
    append_range(&mut spill, 12..14);
    spill.sync().unwrap();
    let drained = drain(&mut spill);
    assert_eq!(drained.frames, frames(12..14));
    assert_eq!(drained.lost, [1..12]);
    spill.release(Seq(14)).unwrap();
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
}

#[test]
fn a_segment_that_somebody_removes_while_it_is_read_is_told_as_lost() {
    let storage = CrashStorage::new();
    let (mut spill, _) = open_on(&storage, 1);
    append_range(&mut spill, 1..12);
    let second = spill.oldest_segment().unwrap().end;
    let names = storage.list().unwrap();
    storage.remove(&names[1]).unwrap();
    let drained = drain(&mut spill);
    let [lost] = &drained.lost[..] else {
        panic!("{drained:?}");
    };
    assert_eq!(lost.start, second.0);
    assert_eq!(drained.frames, frames((1..second.0).chain(lost.end..12)));
    assert_eq!(spill.status().segments, names.len() - 1);
}

#[test]
fn long_frames_are_read_with_short_ones_between_and_found_again_behind_damage() {
    let limits = Limits::new(1 << 30);
    let storage = CrashStorage::new();
    let open = || {
        open(Arc::new(storage.clone()), limits, Seq::FIRST)
            .unwrap()
            .0
    };
    let mut spill = open();
    let lens = [10, 3 << 20, 0, (1 << 20) - 21, 1 << 20, 600_000, 600_000, 5];
    let long = |(len, number): (&usize, u8)| vec![number; *len];
    let payloads: Vec<Vec<u8>> = lens.iter().zip(1..).map(long).collect();
    for payload in &payloads {
        spill.append(&[payload]).unwrap();
    }
    spill.sync().unwrap();
    let expected: Vec<(u64, Vec<u8>)> = (1..).zip(payloads.clone()).collect();
    assert_eq!(drain(&mut spill).frames, expected);
    let name = storage.list().unwrap().remove(0);
    let mut bytes = storage.live(&name).unwrap();
    // The length of the second frame: its end has to be searched.
    bytes[25 + 31 + 6] ^= 1;
    storage.plant(&name, bytes);
    let drained = drain(&mut open());
    assert_eq!(drained.lost, [2..3]);
    assert_eq!(drained.frames.len(), lens.len() - 1);
}

#[test]
fn the_first_sync_covers_what_a_process_left_that_ended_before_its_own() {
    let storage = CrashStorage::new();
    let (mut spill, _) = open_on(&storage, 1);
    append_range(&mut spill, 1..3);
    let (mut spill, _) = open_on(&storage, 1);
    assert_eq!(spill.sync().unwrap(), Seq(3));
    let (mut spill, _) = open_on(&storage.after_crash(), 1);
    assert_eq!(drain(&mut spill).frames, frames(1..3));
}

#[test]
fn a_segment_that_is_removed_before_its_sync_is_lost_until_the_sync_voids_it() {
    let storage = CrashStorage::new();
    let (mut spill, _) = open_on(&storage, 1);
    append_range(&mut spill, 1..3);
    storage.remove(&storage.list().unwrap()[0]).unwrap();
    assert_eq!(drain(&mut spill).lost, [1..3]);
    assert_eq!(spill.sync().unwrap_err().void_from, Seq(1));
    append_range(&mut spill, 1..3);
    spill.sync().unwrap();
    assert_eq!(drain(&mut spill).frames, frames(1..3));
}

#[test]
fn a_segment_that_is_given_up_in_the_middle_is_lost_and_the_others_are_read() {
    let storage = CrashStorage::new();
    let (mut spill, _) = open_on(&storage, 1);
    append_range(&mut spill, 1..20);
    spill.sync().unwrap();
    let segments = spill.status().segments;
    let bytes = spill.status().bytes;
    let range = spill.whole_segment_from(Seq(2)).unwrap();
    let (first, end) = (range.start.0, range.end.0);
    assert!(first > 1 && end > first);
    let given_back = spill.discard(range.start).unwrap();
    assert!(given_back > 0);
    assert_eq!(spill.status().bytes, bytes - given_back);
    assert_eq!(spill.status().segments, segments - 1);
    let drained = drain(&mut spill);
    assert_eq!(drained.lost, [first..end]);
    assert_eq!(drained.frames, frames((1..first).chain(end..20)));
    assert_eq!(spill.discard(range.start).unwrap(), 0, "it is gone");
    // The last one is appended to, and stays.
    assert_eq!(spill.whole_segment_from(Seq(19)), None);
    spill.release(Seq(20)).unwrap();
    assert!(storage.list().unwrap().is_empty());
}

#[test]
fn void_frames_stay_void_where_the_segment_after_them_is_given_up() {
    let storage = CrashStorage::new();
    let (mut spill, _) = open_on(&storage, 1);
    append_range(&mut spill, 1..2);
    spill.sync().unwrap();
    spill.append(&[b"void"]).unwrap();
    storage.fail_at(storage.operations(), Fault::Io);
    assert_eq!(spill.sync().unwrap_err().void_from, Seq(2));
    append_range(&mut spill, 2..12);
    spill.sync().unwrap();
    let range = spill.whole_segment_from(Seq(2)).unwrap();
    assert_eq!(range.start, Seq(2));
    spill.discard(range.start).unwrap();
    let drained = drain(&mut spill);
    assert_eq!(drained.lost, [2..range.end.0]);
    assert_eq!(
        drained.frames,
        frames((1..2).chain(range.end.0..12)),
        "what was void is not read"
    );
}

#[test]
fn numbers_that_are_reserved_are_not_given_out_and_what_is_before_them_is_durable() {
    let storage = CrashStorage::new();
    let (mut spill, _) = open_on(&storage, 1);
    append_range(&mut spill, 1..4);
    drop(spill);
    let (mut spill, _) = open_on(&storage, 1);
    spill.reserve(Seq(10)).unwrap();
    append_range(&mut spill, 10..12);
    spill.sync().unwrap();
    let after = storage.after_crash();
    let (mut spill, recovery) = open_on(&after, 1);
    assert_eq!(recovery.next, Seq(12));
    let drained = drain(&mut spill);
    assert_eq!(drained.lost, [4..10]);
    assert_eq!(drained.frames, frames((1..4).chain(10..12)));
}
