use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use super::*;

fn identity(inode: u64, head: &[u8]) -> FileIdentity {
    FileIdentity {
        device: 1,
        inode,
        fingerprint: Fingerprint::of_head(head),
    }
}

fn at(offset: u64) -> Position {
    Position {
        offset,
        ..Position::default()
    }
}

fn store() -> PositionStore {
    PositionStore::new(StoreLimits::default(), 1)
}

fn offsets(store: &PositionStore, key: FileKey) -> Vec<(&str, u64)> {
    let positions = &store.get(key).unwrap().positions;
    let offset = |stored: &StoredPosition| stored.position.offset;
    positions.iter().map(|p| (&*p.sink, offset(p))).collect()
}

#[test]
fn files_are_found_by_inode_and_path_after_both_have_changed() {
    let mut store = store();
    let key = store.insert(identity(1, b"a"), Path::new("/a"), 1).unwrap();
    let other = store.insert(identity(1, b"b"), Path::new("/a"), 1).unwrap();
    assert_eq!(store.find(1, 1).count(), 2, "a reused inode");
    store.set_identity(key, identity(2, b"a"));
    store.set_path(key, Path::new("/a.1"));
    let keys = |found: Vec<&StoredFile>| found.iter().map(|f| f.key).collect::<Vec<_>>();
    assert_eq!(keys(store.find(1, 1).collect()), [other]);
    assert_eq!(keys(store.find(1, 2).collect()), [key]);
    assert_eq!(keys(store.find_by_path(Path::new("/a")).collect()), [other]);
    assert_eq!(keys(store.find_by_path(Path::new("/a.1")).collect()), [key]);
    store.forget(key);
    assert_eq!(store.find(1, 2).count(), 0);
    assert_eq!(store.find_by_path(Path::new("/a.1")).count(), 0);
}

#[test]
fn a_position_that_is_removed_stays_removed_and_the_others_stay() {
    let mut store = store();
    let key = store.insert(identity(1, b"a"), Path::new("/a"), 1).unwrap();
    store.set_position(key, "one", at(1), 2);
    store.set_position(key, "two", at(2), 2);
    let before = store.take_group().unwrap();
    store.remove_positions(key, &["none".into()]);
    assert_eq!(
        (store.epoch(key), store.take_group().is_none()),
        (Some(0), true)
    );
    store.remove_positions(key, &["one".into()]);
    assert_eq!(offsets(&store, key), [("two", 2)]);
    assert_eq!(store.epoch(key), Some(1));
    assert_eq!(store.live_bytes(), store.snapshot().bytes.len() as u64);
    let mut read = PositionStore::new(StoreLimits::default(), 1);
    for bytes in [before.bytes, store.take_group().unwrap().bytes] {
        for scanned in tailwater_durable::frame::FrameReader::new(&bytes, 1 << 16) {
            let tailwater_durable::frame::Scanned::Frame(frame) = scanned else {
                panic!("{scanned:?}");
            };
            let record::Decoded::Record(record) = record::decode(&frame) else {
                panic!("{frame:?}");
            };
            read.apply(record);
        }
    }
    assert_eq!(offsets(&read, key), [("two", 2)]);
}

#[test]
fn a_grown_fingerprint_keeps_the_positions_and_another_content_voids_them() {
    let mut store = store();
    let key = store
        .insert(identity(1, b"ab"), Path::new("/a"), 1)
        .unwrap();
    store.set_position(key, "one", at(2), 2);
    store.set_identity(key, identity(1, b"abcd"));
    assert_eq!(offsets(&store, key), [("one", 2)]);
    store.set_identity(key, identity(1, b"abXX"));
    assert_eq!(offsets(&store, key), []);
    store.set_position(key, "one", at(4), 2);
    store.set_identity(key, identity(1, b"ab"));
    assert_eq!(offsets(&store, key), [], "a file that shrank");
}

#[test]
fn a_group_has_each_position_once_with_its_latest_value() {
    let mut store = store();
    let key = store.insert(identity(1, b"a"), Path::new("/a"), 1).unwrap();
    assert!(store.take_group().is_some());
    store.set_position(key, "one", at(1), 2);
    let one_bytes = store.take_group().unwrap().len_bytes();
    for offset in 2..100 {
        store.set_position(key, "one", at(offset), offset);
    }
    assert_eq!(store.take_group().unwrap().len_bytes(), one_bytes);
    store.set_position(key, "one", at(99), 200);
    assert!(store.take_group().is_none(), "nothing has moved");
}

#[test]
fn a_restored_group_is_part_of_the_next_with_the_values_of_then() {
    let mut store = store();
    let keys: Vec<FileKey> = (0..3)
        .map(|inode| {
            store
                .insert(identity(inode, b"a"), Path::new("/a"), 1)
                .unwrap()
        })
        .collect();
    store.set_position(keys[0], "one", at(1), 2);
    store.forget(keys[2]);
    let lost = store.take_group().unwrap();
    store.set_position(keys[0], "one", at(7), 3);
    store.forget(keys[1]);
    store.restore_group(lost);
    let group = store.take_group().unwrap();
    assert_eq!(group.forgotten, BTreeSet::from([keys[1], keys[2]]));
    let mut expected = Vec::new();
    for key in [keys[1], keys[2]] {
        record::append_forget(&mut expected, key);
    }
    let file = store.get(keys[0]).unwrap();
    record::append_file(&mut expected, file, 0);
    record::append_position(&mut expected, file, 0, &file.positions[0]);
    assert_eq!(group.bytes, expected);
}

#[test]
fn another_place_at_the_same_offset_is_a_change_and_no_step_back() {
    let mut store = store();
    let key = store.insert(identity(1, b"a"), Path::new("/a"), 1).unwrap();
    store.set_position(key, "one", at(5), 2);
    assert!(store.take_group().is_some());
    let within = Position { place: 3, ..at(5) };
    store.set_position(key, "one", within, 3);
    assert!(store.take_group().is_some());
    assert_eq!(store.get(key).unwrap().positions[0].position, within);
    assert_eq!(store.epoch(key), Some(0));
}

#[test]
fn redo_moves_only_forward_in_the_same_epoch_of_a_known_file() {
    let mut store = store();
    let key = store.insert(identity(1, b"a"), Path::new("/a"), 1).unwrap();
    assert!(store.redo(key, 0, "one", at(5)), "there was none");
    assert!(!store.redo(key, 0, "one", at(5)));
    assert!(!store.redo(key, 0, "one", at(4)));
    assert!(store.redo(key, 0, "one", at(6)));
    store.set_position(key, "one", at(1), 3);
    assert_eq!(store.epoch(key), Some(1));
    assert!(!store.redo(key, 0, "one", at(9)), "an older epoch");
    assert!(!store.redo(key, 2, "one", at(9)), "a newer epoch");
    assert!(store.redo(key, 1, "one", at(9)));
    assert!(!store.redo(key, 1, &"s".repeat(MAX_SINK_BYTES + 1), at(9)));
    assert_eq!(offsets(&store, key), [("one", 9)]);
    let unknown = FileKey(7);
    assert!(!store.redo(unknown, 0, "one", at(9)));
    assert_eq!((store.epoch(unknown), store.len()), (None, 1));
}

#[test]
fn a_group_has_only_the_notes_that_changed_and_has_them_last() {
    let mut store = store();
    store.set_note("a", b"1").unwrap();
    store.set_note("b", b"1").unwrap();
    assert!(store.take_group().is_some());
    store.set_note("a", b"1").unwrap();
    store.remove_note("unknown");
    assert!(store.take_group().is_none(), "nothing has changed");
    store.set_note("a", b"2").unwrap();
    store.remove_note("b");
    let key = store.insert(identity(1, b"a"), Path::new("/a"), 1).unwrap();
    store.set_position(key, "one", at(1), 2);
    let group = store.take_group().unwrap();
    let mut expected = Vec::new();
    let file = store.get(key).unwrap();
    record::append_file(&mut expected, file, 0);
    record::append_position(&mut expected, file, 0, &file.positions[0]);
    record::append_note(&mut expected, "a", Some(b"2"));
    record::append_note(&mut expected, "b", None);
    assert_eq!(group.bytes, expected);
    store.restore_group(group);
    store.set_note("b", b"3").unwrap();
    let group = store.take_group().unwrap();
    assert_eq!(group.notes, BTreeSet::from(["a".into(), "b".into()]));
    assert!(group.bytes.ends_with(b"b\x013"), "the value of now");
}

#[test]
fn notes_are_bounded_in_number_name_and_value() {
    let mut store = store();
    let error = |result: Result<(), NoteError>| result.unwrap_err().to_string();
    let name = "n".repeat(512);
    store.set_note(&name, &[7; 4096]).unwrap();
    assert_eq!(
        error(store.set_note(&name, &[7; 4097])),
        "the value of a note has 4097 bytes, the limit is 4096"
    );
    assert_eq!(
        error(store.set_note(&"n".repeat(513), b"")),
        "the name of a note has 513 bytes, the limit is 512"
    );
    for number in 1..4096 {
        store.set_note(&number.to_string(), b"").unwrap();
    }
    assert_eq!(
        error(store.set_note("one more", b"")),
        "the position store holds 4096 notes, its limit"
    );
    assert_eq!(store.note(&name), Some([7; 4096].as_slice()));
    store.set_note("1", b"known").unwrap();
    store.remove_note("2");
    store.set_note("one more", b"").unwrap();
    let bytes = store.snapshot().bytes;
    assert_eq!(store.live_bytes(), bytes.len() as u64);
}

#[test]
fn a_full_store_refuses_files_and_still_moves_positions() {
    let limits = StoreLimits {
        max_files: 1,
        ..StoreLimits::default()
    };
    let mut store = PositionStore::new(limits, 1);
    let key = store.insert(identity(1, b"a"), Path::new("/a"), 1).unwrap();
    let error = store
        .insert(identity(2, b"b"), Path::new("/b"), 1)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the position store holds 1 files, its limit"
    );
    store.set_position(key, "one", at(9), 2);
    assert_eq!(offsets(&store, key), [("one", 9)]);
    store.forget(key);
    let next = store.insert(identity(2, b"b"), Path::new("/b"), 1).unwrap();
    assert!(next > key, "a key is never used again");
}

#[test]
fn only_old_files_that_nobody_keeps_expire() {
    let mut store = store();
    let old = store
        .insert(identity(1, b"a"), Path::new("/a"), 10)
        .unwrap();
    let kept = store
        .insert(identity(2, b"b"), Path::new("/b"), 10)
        .unwrap();
    let young = store
        .insert(identity(3, b"c"), Path::new("/c"), 10)
        .unwrap();
    store.set_position(young, "one", at(1), 20);
    let expired = store.expire(20, |key| key == kept);
    assert_eq!(expired.iter().map(|f| f.key).collect::<Vec<_>>(), [old]);
    assert_eq!(
        store.files().map(|f| f.key).collect::<Vec<_>>(),
        [kept, young]
    );
}

#[test]
fn positions_of_a_forgotten_file_do_not_come_back() {
    let mut store = store();
    let key = store.insert(identity(1, b"a"), Path::new("/a"), 1).unwrap();
    store.forget(key);
    store.set_position(key, "one", at(1), 2);
    store.set_identity(key, identity(1, b"ab"));
    store.set_path(key, Path::new("/b"));
    assert!(store.is_empty() && store.get(key).is_none());
}

#[test]
fn names_and_paths_that_no_record_holds_stay_out() {
    let mut store = store();
    let long = "x".repeat(MAX_PATH_BYTES + 1);
    let key = store
        .insert(identity(1, b"a"), Path::new(&long), 1)
        .unwrap();
    assert_eq!(*store.get(key).unwrap().path, *Path::new(""));
    store.set_position(key, &"s".repeat(MAX_SINK_BYTES + 1), at(1), 2);
    assert_eq!(offsets(&store, key), []);
}

#[test]
fn the_longest_records_and_more_positions_than_one_holds_are_read_back() {
    let mut store = store();
    let path = vec![0xff; MAX_PATH_BYTES];
    let path = OsStr::from_bytes(&path);
    let key = store.insert(identity(1, b"a"), Path::new(path), 1).unwrap();
    for sink in ["a", "b", "c", "d", "e", "f"] {
        store.set_position(key, &sink.repeat(MAX_SINK_BYTES), at(3), 2);
    }
    let bytes = store.snapshot().sealed(1);
    let storage = tailwater_durable::CrashStorage::new();
    storage.plant("positions-00000000000000000001.journal", bytes);
    let (read, _, recovery) = crate::open(Arc::new(storage), StoreLimits::default(), 3).unwrap();
    assert_eq!(recovery.damaged_frames, 0);
    assert!(read.files().eq(store.files()));
    assert_eq!(read.live_bytes(), store.live_bytes());
}

#[test]
fn live_bytes_are_those_of_a_snapshot() {
    let mut store = store();
    assert_eq!(store.live_bytes(), 0);
    for inode in 0..5 {
        let key = store
            .insert(identity(inode, b"a"), Path::new("/a"), 1)
            .unwrap();
        store.set_position(key, "one", at(5), 2);
        store.set_position(key, "two", at(5), 2);
        store.set_position(key, "one", at(2), 2);
        store.set_path(key, Path::new("/longer/path"));
    }
    store.set_note("kept", b"short").unwrap();
    store.set_note("kept", b"and longer").unwrap();
    store.set_note("removed", b"1").unwrap();
    store.remove_note("removed");
    store.forget(FileKey(2));
    store.set_identity(FileKey(3), identity(9, b"b"));
    let snapshot_bytes = store.snapshot().bytes.len();
    assert_eq!(store.live_bytes(), snapshot_bytes as u64);
}
