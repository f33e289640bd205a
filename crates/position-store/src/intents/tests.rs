use std::path::Path;
use std::slice;

use tailwater_durable::{CrashStorage, Disk, Fault, MemoryStorage};
use tailwater_record::{FileIdentity, Fingerprint, Marker};

use super::*;
use crate::{Position, StoreLimits};

fn span(key: u64, start: u64, end: u64) -> IntentSpan {
    IntentSpan {
        key: FileKey(key),
        epoch: 0,
        start,
        end,
        marker: Marker { len: 7, hash: end },
        place: 1,
        lines: 3,
        first_timestamp_ns: start,
        route: "".into(),
    }
}

fn intent(batch: u64) -> Intent {
    Intent {
        batch,
        sink: "central".into(),
        timestamp_step: 1,
        spans: vec![span(1, 10 * batch, 10 * batch + 10), span(2, 0, batch)],
    }
}

fn limits(rotate_bytes: u64) -> IntentLimits {
    IntentLimits {
        rotate_bytes,
        ..IntentLimits::default()
    }
}

fn open_on(storage: &CrashStorage, rotate_bytes: u64) -> (Intents, IntentRecovery) {
    Intents::open(Arc::new(storage.clone()), limits(rotate_bytes)).unwrap()
}

fn numbers(recovery: &IntentRecovery) -> Vec<u64> {
    recovery.intents.iter().map(|found| found.batch).collect()
}

fn name(generation: u64) -> String {
    names::name(PREFIX, generation)
}

/// A file as it is written: header, then intents.
fn file(generation: u64, next_batch: u64, intents: &[Intent]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let header = Header {
        generation,
        next_batch,
    };
    record::append_header(&mut bytes, header);
    for intent in intents {
        record::append_intent(&mut bytes, intent);
    }
    bytes
}

fn is_sent_between_threads<T: Send>(_: &T) -> bool {
    true
}

#[test]
fn intents_are_read_back_as_they_were_appended() {
    let storage = CrashStorage::new();
    let (mut intents, recovery) = open_on(&storage, 4096);
    assert_eq!(recovery.next_batch, 1);
    assert!(is_sent_between_threads(&intents));
    let mut extreme = intent(2);
    extreme.sink = "\u{f6}\0".into();
    extreme.timestamp_step = u32::MAX;
    extreme.spans.push(IntentSpan {
        key: FileKey(u64::MAX),
        epoch: u32::MAX,
        start: u64::MAX,
        end: 0,
        marker: Marker {
            len: tailwater_record::WINDOW_BYTES,
            hash: u64::MAX,
        },
        place: u8::MAX,
        lines: u32::MAX,
        first_timestamp_ns: u64::MAX,
        route: "\u{f6}/\0".into(),
    });
    for intent in [intent(1), extreme.clone()] {
        intents.append(intent).unwrap();
    }
    let (reopened, recovery) = open_on(&storage, 4096);
    let expected = IntentRecovery {
        intents: vec![intent(1), extreme],
        next_batch: 3,
        ..IntentRecovery::default()
    };
    assert_eq!(recovery, expected);
    assert_eq!(reopened.live_len(), 2);
    assert_eq!(storage.syncs(), 0, "an intent waits for no disk");
}

#[test]
fn opening_writes_nothing_and_the_first_append_begins_a_file_with_what_is_live() {
    let storage = CrashStorage::new();
    let (mut intents, _) = open_on(&storage, 4096);
    assert!(storage.list().unwrap().is_empty());
    for batch in 1..=3 {
        intents.append(intent(batch)).unwrap();
    }
    let before = storage.live(&name(1)).unwrap();
    let (mut intents, _) = open_on(&storage, 4096);
    assert_eq!(storage.list().unwrap(), [name(1)]);
    assert_eq!(storage.live(&name(1)).unwrap(), before);
    assert_eq!(intents.len_bytes(), 0);
    intents.resolve(2);
    intents.append(intent(4)).unwrap();
    assert_eq!(storage.list().unwrap(), [name(2)]);
    let expected = file(2, 5, &[intent(1), intent(3), intent(4)]);
    assert_eq!(storage.live(&name(2)).unwrap(), expected);
    assert_eq!(intents.len_bytes(), expected.len() as u64);
}

#[test]
fn a_rotation_keeps_exactly_the_live_ones_and_the_next_number() {
    let storage = CrashStorage::new();
    let (mut intents, _) = open_on(&storage, 1000);
    let mut batch = 0;
    while storage.list().unwrap() != [name(2)] {
        batch += 1;
        assert!(batch < 50, "it never rotates");
        intents.append(intent(batch)).unwrap();
        if batch != 3 {
            intents.resolve(batch);
        }
    }
    assert_eq!(intents.live_len(), 1);
    let (_, recovery) = open_on(&storage, 1000);
    assert_eq!(numbers(&recovery), [3, batch]);
    assert_eq!(recovery.next_batch, batch + 1);
    for batch in [3, batch] {
        intents.resolve(batch);
    }
    // Rotated again with another one, the file has no trace of the numbers before it but the header.
    while storage.list().unwrap() != [name(3)] {
        intents.append(intent(1)).unwrap();
    }
    let (_, recovery) = open_on(&storage, 1000);
    assert_eq!(numbers(&recovery), [1]);
    assert_eq!(recovery.next_batch, batch + 1);
}

#[test]
fn a_file_that_is_mostly_live_is_not_rotated_at_every_append() {
    let storage = CrashStorage::new();
    let (mut intents, _) = open_on(&storage, 0);
    let mut files = std::collections::BTreeSet::new();
    for batch in 1..=500 {
        intents.append(intent(batch)).unwrap();
        files.extend(storage.list().unwrap());
    }
    assert!(files.len() < 15, "{} files", files.len());
    assert_eq!(open_on(&storage, 0).1.intents.len(), 500);
}

#[test]
fn of_two_files_the_union_is_taken_and_the_newer_one_wins() {
    let storage = CrashStorage::new();
    let mut newer = intent(2);
    newer.spans.truncate(1);
    storage.plant(&name(4), file(4, 9, &[newer.clone(), intent(5)]));
    storage.plant(&name(3), file(3, 4, &[intent(1), intent(2)]));
    storage.plant("intents-5.journal", file(5, 99, &[intent(50)]));
    let (mut intents, recovery) = open_on(&storage, 4096);
    assert_eq!(recovery.intents, [intent(1), newer, intent(5)]);
    assert_eq!((recovery.next_batch, recovery.damaged_frames), (9, 0));
    intents.append(intent(9)).unwrap();
    let left = ["intents-00000000000000000005.journal", "intents-5.journal"];
    assert_eq!(storage.list().unwrap(), left);
}

#[test]
fn a_crash_between_the_new_file_and_the_removal_of_the_old_one_loses_nothing() {
    let storage = CrashStorage::new();
    let (mut intents, _) = open_on(&storage, 4096);
    intents.append(intent(1)).unwrap();
    let (mut intents, _) = open_on(&storage, 4096);
    storage.fail_at(storage.operations() + 2, Fault::Io);
    intents.append(intent(2)).unwrap();
    assert_eq!(storage.list().unwrap(), [name(1), name(2)]);
    let (mut intents, recovery) = open_on(&storage, 4096);
    assert_eq!(numbers(&recovery), [1, 2]);
    intents.append(intent(3)).unwrap();
    assert_eq!(storage.list().unwrap(), [name(3)]);
}

#[test]
fn files_that_cannot_be_used_are_counted_and_removed_by_the_next_rotation() {
    let storage = CrashStorage::new();
    let mut newer = Vec::new();
    tailwater_durable::frame::append(&mut newer, 1, &7_u32.to_le_bytes()).unwrap();
    record::append_intent(&mut newer, &intent(8));
    storage.plant(&name(1), file(1, 4, &[intent(3)]));
    storage.plant(&name(2), vec![0; (64 << 20) + 1]);
    storage.plant(&name(3), newer);
    let (mut intents, recovery) = open_on(&storage, 4096);
    assert_eq!(recovery.skipped_generations, 2);
    assert_eq!((numbers(&recovery), recovery.next_batch), (vec![3], 4));
    intents.append(intent(4)).unwrap();
    assert_eq!(storage.list().unwrap(), [name(4)]);
}

#[test]
fn only_the_newest_files_are_read() {
    let storage = CrashStorage::new();
    for number in 1..=20 {
        storage.plant(&name(number), file(number, 0, &[intent(number)]));
    }
    let (_, recovery) = open_on(&storage, 4096);
    assert_eq!(numbers(&recovery), (5..=20).collect::<Vec<_>>());
    assert_eq!(recovery.skipped_generations, 4);
}

#[test]
fn a_torn_tail_is_counted_and_never_appended_to() {
    let storage = CrashStorage::new();
    let mut bytes = file(1, 1, &[intent(1)]);
    bytes.extend_from_slice(b"TWF1 torn");
    storage.plant(&name(1), bytes);
    let (mut intents, recovery) = open_on(&storage, 4096);
    assert_eq!((numbers(&recovery), recovery.torn_tail_bytes), (vec![1], 9));
    intents.append(intent(2)).unwrap();
    let (_, recovery) = open_on(&storage, 4096);
    assert_eq!(
        (numbers(&recovery), recovery.torn_tail_bytes),
        (vec![1, 2], 0)
    );
}

#[test]
fn frames_that_make_no_sense_and_unknown_ones_are_counted() {
    let storage = CrashStorage::new();
    let mut bytes = file(9, 1, &[]);
    let last = Intent {
        batch: u64::MAX,
        ..intent(1)
    };
    record::append_intent(&mut bytes, &last);
    record::append_header(
        &mut bytes,
        Header {
            generation: 1,
            next_batch: 70,
        },
    );
    tailwater_durable::frame::append(&mut bytes, 2, b"short").unwrap();
    tailwater_durable::frame::append(&mut bytes, 4, b"from later").unwrap();
    record::append_intent(&mut bytes, &intent(1));
    storage.plant(&name(1), bytes);
    let (_, recovery) = open_on(&storage, 4096);
    assert_eq!((recovery.damaged_frames, recovery.unknown_frames), (4, 1));
    assert_eq!((numbers(&recovery), recovery.next_batch), (vec![1], 2));
}

#[test]
fn an_append_without_room_is_cut_off_and_the_next_one_goes_on() {
    let storage = CrashStorage::new();
    let (mut intents, _) = open_on(&storage, 4096);
    intents.append(intent(1)).unwrap();
    storage.fail_at(storage.operations(), Fault::DiskFull);
    let error = intents.append(intent(2)).unwrap_err();
    assert!(matches!(error, IntentError::Storage(source) if source.is_disk_full()));
    assert_eq!(intents.live_len(), 1);
    intents.append(intent(3)).unwrap();
    let (_, recovery) = open_on(&storage, 4096);
    assert_eq!((numbers(&recovery), recovery.next_batch), (vec![1, 3], 4));
    assert_eq!((recovery.damaged_frames, recovery.torn_tail_bytes), (0, 0));
    assert_eq!(storage.list().unwrap(), [name(1)]);
}

#[test]
fn a_first_append_without_room_leaves_no_file_behind() {
    let storage = CrashStorage::new();
    storage.plant(&name(1), file(1, 2, &[intent(1)]));
    let (mut intents, _) = open_on(&storage, 4096);
    storage.fail_at(storage.operations() + 1, Fault::DiskFull);
    assert!(intents.append(intent(2)).is_err());
    assert_eq!(storage.list().unwrap(), [name(1)]);
    intents.append(intent(3)).unwrap();
    let expected = file(2, 4, &[intent(1), intent(3)]);
    assert_eq!(storage.live(&name(2)).unwrap(), expected);
}

#[test]
fn a_rotation_that_fails_goes_on_with_the_file_in_use_and_is_tried_again_later() {
    let storage = CrashStorage::new();
    let (mut intents, _) = open_on(&storage, 360);
    let mut batch = 0;
    while intents.len_bytes() <= 360 {
        batch += 1;
        intents.append(intent(batch)).unwrap();
        intents.resolve(batch);
    }
    storage.fail_at(storage.operations() + 1, Fault::DiskFull);
    batch += 1;
    intents.append(intent(batch)).unwrap();
    assert_eq!(storage.list().unwrap(), [name(1)]);
    let operations = storage.operations();
    intents.append(intent(batch + 1)).unwrap();
    assert_eq!(storage.operations(), operations + 1, "one write");
    while storage.list().unwrap() == [name(1)] {
        intents.append(intent(batch)).unwrap();
    }
    let (_, recovery) = open_on(&storage, 360);
    assert_eq!(numbers(&recovery), [batch, batch + 1]);
}

#[test]
fn a_file_whose_end_is_not_known_is_left_for_a_new_one_with_what_is_live() {
    let storage = MemoryStorage::new();
    let open = || Intents::open(Arc::new(storage.clone()), limits(4096)).unwrap();
    let (mut intents, _) = open();
    intents.append(intent(1)).unwrap();
    // A file that was removed takes neither an append nor a cut.
    storage.remove(&name(1)).unwrap();
    assert!(intents.append(intent(2)).is_err());
    assert_eq!(intents.len_bytes(), 0);
    intents.append(intent(3)).unwrap();
    assert_eq!(storage.list().unwrap(), [name(2)]);
    assert_eq!(numbers(&open().1), [1, 3]);
}

#[test]
fn limits_are_refused_by_name() {
    let storage = CrashStorage::new();
    let limits = IntentLimits {
        max_live: 2,
        max_spans: 2,
        rotate_bytes: 4096,
    };
    let (mut intents, _) = Intents::open(Arc::new(storage.clone()), limits).unwrap();
    let mut refuse = |intent: Intent| intents.append(intent).unwrap_err().to_string();
    let mut long = intent(1);
    long.spans.push(span(3, 0, 1));
    assert_eq!(
        refuse(long),
        "the batch has 3 spans, the limit of an intent is 2"
    );
    let mut named = intent(1);
    named.sink = "s".repeat(MAX_SINK_BYTES + 1).into();
    assert_eq!(
        refuse(named),
        "the name of the sink has 16385 bytes, the limit is 16384"
    );
    assert!(storage.list().unwrap().is_empty());
    intents.append(intent(1)).unwrap();
    intents.append(intent(2)).unwrap();
    let error = intents.append(intent(7)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "2 batches have an intent and no outcome, the limit"
    );
    intents.append(intent(2)).unwrap();
    intents.resolve(1);
    intents.append(intent(3)).unwrap();
    let (mut intents, _) = Intents::open(Arc::new(storage.clone()), limits).unwrap();
    intents.resolve(1);
    intents.resolve(2);
    intents.append(intent(4)).unwrap();
    assert_eq!(intents.live_len(), 2);
}

#[test]
fn the_longest_intent_is_read_back_and_a_longer_one_refused() {
    let storage = MemoryStorage::new();
    let limits = IntentLimits {
        max_spans: usize::MAX,
        ..IntentLimits::default()
    };
    let (mut intents, _) = Intents::open(Arc::new(storage.clone()), limits).unwrap();
    let mut longest = intent(1);
    longest.sink = "s".repeat(MAX_SINK_BYTES).into();
    longest.spans = vec![span(1, 0, 1); MAX_SPANS];
    intents.append(longest.clone()).unwrap();
    let (_, recovery) = Intents::open(Arc::new(storage), limits).unwrap();
    assert_eq!(recovery.intents, slice::from_ref(&longest));
    longest.spans.push(span(1, 0, 1));
    let error = intents.append(longest).unwrap_err();
    assert!(matches!(
        error,
        IntentError::TooManySpans {
            max_spans: 4096,
            ..
        }
    ));
}

#[test]
fn more_live_intents_than_a_file_holds_are_refused() {
    let storage = MemoryStorage::new();
    let limits = limits(u64::MAX);
    let (mut intents, _) = Intents::open(Arc::new(storage.clone()), limits).unwrap();
    let mut long = intent(1);
    long.spans = vec![span(1, 0, 1); MAX_SPANS];
    let refused = loop {
        long.batch += 1;
        if let Err(error) = intents.append(long.clone()) {
            break error;
        }
    };
    assert!(matches!(refused, IntentError::TooLong { max_bytes, .. } if max_bytes == 64 << 20));
    assert!(intents.len_bytes() <= 64 << 20);
    let (_, recovery) = Intents::open(Arc::new(storage), limits).unwrap();
    assert_eq!(recovery.intents.len(), intents.live_len());
    intents.resolve(2);
    intents.append(long).unwrap();
}

#[test]
fn a_span_is_live_until_the_position_of_its_sink_is_at_its_end() {
    let mut store = PositionStore::new(StoreLimits::default(), 1);
    let identity = FileIdentity {
        device: 1,
        inode: 1,
        fingerprint: Fingerprint::of_head(b"a"),
    };
    let key = store.insert(identity, Path::new("/a"), 1).unwrap();
    let in_file = |start, end| span(key.0, start, end);
    let mut intent = intent(1);
    intent.spans = vec![
        in_file(0, 10),
        in_file(10, 20),
        in_file(20, 20),
        span(9, 0, 5),
    ];
    let live = |intent: &Intent, store: &PositionStore| {
        let live = intent.live_spans(store);
        live.iter().map(|span| span.start).collect::<Vec<_>>()
    };
    assert_eq!(
        live(&intent, &store),
        [0, 10],
        "the file is known, no position"
    );
    let at = |offset| Position {
        offset,
        ..Position::default()
    };
    store.set_position(key, "another", at(20), 2);
    assert_eq!(live(&intent, &store), [0, 10]);
    store.set_position(key, "central", at(10), 2);
    assert_eq!(live(&intent, &store), [10]);
    store.set_position(key, "central", at(11), 2);
    assert_eq!(live(&intent, &store), [10], "covered in part");
    store.set_position(key, "central", at(20), 2);
    assert_eq!(intent.live_spans(&store), []);
    store.set_position(key, "central", at(5), 2);
    assert_eq!(intent.live_spans(&store), [], "another epoch");
    for span in &mut intent.spans {
        span.epoch = 1;
    }
    assert_eq!(intent.live_spans(&store), intent.spans[..2]);
    for span in &mut intent.spans {
        span.route = "central/app".into();
    }
    store.set_position(key, "central/app", at(10), 2);
    assert_eq!(live(&intent, &store), [10], "by the position of its route");
}

#[test]
fn on_a_real_disk_they_survive_the_process() {
    let home = tempfile::tempdir().unwrap();
    let disk = || Arc::new(Disk::open(home.path().join("data")).unwrap());
    for round in 1..4 {
        let (mut intents, recovery) = Intents::open(disk(), IntentLimits::default()).unwrap();
        assert_eq!(recovery.next_batch, round);
        assert_eq!(numbers(&recovery), (1..round).collect::<Vec<_>>());
        intents.append(intent(round)).unwrap();
        assert_eq!(disk().list().unwrap(), [name(round)]);
    }
}
