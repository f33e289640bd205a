use std::path::Path;
use std::sync::Arc;

use tailwater_durable::{CrashStorage, Disk, Fault, Storage};
use tailwater_record::{FileIdentity, Fingerprint, Marker};

use crate::generation::{list, name, unusable_name};
use crate::{
    FileKey, GenerationError, Journal, JournalError, OpenError, Position, PositionStore, Recovery,
    StoreLimits, open,
};

fn identity(inode: u64) -> FileIdentity {
    FileIdentity {
        device: 1,
        inode,
        fingerprint: Fingerprint::of_head(&inode.to_le_bytes()),
    }
}

fn position(offset: u64) -> Position {
    Position {
        offset,
        marker: Marker::of_tail(&offset.to_le_bytes()),
        place: 0,
    }
}

fn open_on(storage: &CrashStorage) -> Result<(PositionStore, Journal, Recovery), OpenError> {
    open(Arc::new(storage.clone()), StoreLimits::default(), 9)
}

/// Three files at 100, 200 and 300, then the second at 250 and the third forgotten, in two groups.
fn write(storage: &CrashStorage) -> (PositionStore, Journal, Vec<FileKey>) {
    let (mut store, mut journal, recovery) = open_on(storage).unwrap();
    assert_eq!(recovery, Recovery::default());
    let path = Path::new("/var/log/a.log");
    let keys: Vec<FileKey> = (1..=3)
        .map(|inode| store.insert(identity(inode), path, 5).unwrap())
        .collect();
    for (offset, key) in [100, 200, 300].into_iter().zip(&keys) {
        store.set_position(*key, "central", position(offset), 6);
    }
    journal.append(&store.take_group().unwrap()).unwrap();
    store.set_position(keys[1], "central", position(250), 7);
    store.forget(keys[2]);
    journal.append(&store.take_group().unwrap()).unwrap();
    assert!(store.take_group().is_none());
    (store, journal, keys)
}

fn offsets(store: &PositionStore) -> Vec<u64> {
    let first = |file: &crate::StoredFile| file.positions.first().map(|p| p.position.offset);
    store.files().filter_map(first).collect()
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let storage = CrashStorage::new();
    let (written, _, keys) = write(&storage);
    let (store, _, recovery) = open_on(&storage.after_crash()).unwrap();
    assert!(store.files().eq(written.files()));
    assert_eq!(offsets(&store), [100, 250]);
    assert_eq!(store.find(1, 2).count(), 1);
    assert_eq!(store.find_by_path(Path::new("/var/log/a.log")).count(), 2);
    assert_eq!(store.get(keys[0]).unwrap().identity, identity(1));
    let expected = Recovery {
        generation: 1,
        files: 2,
        ..Recovery::default()
    };
    assert_eq!(recovery, expected);
}

#[test]
fn opening_a_healthy_journal_changes_nothing_on_disk() {
    let storage = CrashStorage::new();
    write(&storage);
    let before = storage.live(&name(1)).unwrap();
    for _ in 0..3 {
        open_on(&storage).unwrap();
    }
    assert_eq!(storage.list().unwrap(), [name(1)]);
    assert_eq!(storage.live(&name(1)).unwrap(), before);
}

#[test]
fn a_torn_tail_is_cut_off_before_anything_is_appended() {
    let storage = CrashStorage::new();
    let (_, _, keys) = write(&storage);
    let mut bytes = storage.live(&name(1)).unwrap();
    bytes.extend_from_slice(b"TWF1 torn");
    storage.plant(&name(1), bytes);
    let (mut store, mut journal, recovery) = open_on(&storage).unwrap();
    assert_eq!((recovery.torn_tail_bytes, recovery.damaged_frames), (9, 0));
    assert!(!journal.needs_compaction(u64::MAX), "a crash is no damage");
    store.set_position(keys[0], "central", position(150), 10);
    journal.append(&store.take_group().unwrap()).unwrap();
    let (reopened, _, recovery) = open_on(&storage.after_crash()).unwrap();
    assert_eq!(offsets(&reopened), [150, 250]);
    assert_eq!((recovery.torn_tail_bytes, recovery.damaged_frames), (0, 0));
}

#[test]
fn a_key_is_not_given_out_again_after_all_records_of_it_are_gone() {
    let storage = CrashStorage::new();
    let (mut store, mut journal, keys) = write(&storage);
    for key in &keys {
        store.forget(*key);
    }
    journal.compact(&store.snapshot()).unwrap();
    let (mut reopened, _, _) = open_on(&storage.after_crash()).unwrap();
    let next = reopened.insert(identity(4), Path::new("/new"), 11).unwrap();
    assert!(Some(&next) > keys.iter().max(), "{next:?} was given out");
}

#[test]
fn a_compaction_keeps_the_generation_before_it_and_no_older_one() {
    let storage = CrashStorage::new();
    let (store, mut journal, _) = write(&storage);
    storage.plant(
        "positions-00000000000000000002.journal.tmp",
        b"torn".to_vec(),
    );
    storage.plant("lock", b"1\n".to_vec());
    journal.compact(&store.snapshot()).unwrap();
    journal.compact(&store.snapshot()).unwrap();
    assert_eq!(
        storage.list().unwrap(),
        ["lock".to_owned(), name(2), name(3)]
    );
    let (reopened, _, recovery) = open_on(&storage.after_crash()).unwrap();
    assert!(reopened.files().eq(store.files()));
    assert_eq!(recovery.generation, 3);
}

#[test]
fn a_journal_that_outgrew_what_is_live_asks_for_compaction() {
    let storage: Arc<dyn Storage> = Arc::new(CrashStorage::new());
    let limits = StoreLimits {
        min_compaction_bytes: 0,
        ..StoreLimits::default()
    };
    let (mut store, mut journal, _) = open(storage, limits, 1).unwrap();
    let key = store.insert(identity(1), Path::new("/a"), 1).unwrap();
    for offset in 1..20 {
        store.set_position(key, "central", position(offset), offset);
        journal.append(&store.take_group().unwrap()).unwrap();
    }
    assert!(journal.needs_compaction(store.live_bytes()));
    journal.compact(&store.snapshot()).unwrap();
    assert!(!journal.needs_compaction(store.live_bytes()));
}

#[test]
fn a_failed_sync_poisons_the_journal_until_a_new_generation_is_written() {
    let storage = CrashStorage::new();
    let (mut store, mut journal, keys) = write(&storage);
    store.set_position(keys[0], "central", position(150), 10);
    let group = store.take_group().unwrap();
    storage.fail_at(storage.operations() + 1, Fault::Io);
    assert!(matches!(
        journal.append(&group),
        Err(JournalError::Storage(_))
    ));
    assert!(matches!(
        journal.append(&group),
        Err(JournalError::Poisoned)
    ));
    assert!(journal.is_poisoned());
    store.restore_group(group);
    journal.reopen_with(&store.snapshot()).unwrap();
    journal.append(&store.take_group().unwrap()).unwrap();
    let (reopened, _, recovery) = open_on(&storage.after_crash()).unwrap();
    assert_eq!(offsets(&reopened), [150, 250]);
    assert_eq!((recovery.generation, recovery.damaged_frames), (2, 0));
}

#[test]
fn an_append_without_room_leaves_the_journal_usable_and_whole() {
    let storage = CrashStorage::new();
    let (mut store, mut journal, keys) = write(&storage);
    store.set_position(keys[0], "central", position(150), 10);
    let group = store.take_group().unwrap();
    storage.fail_at(storage.operations(), Fault::DiskFull);
    assert!(journal.append(&group).is_err());
    assert!(!journal.is_poisoned());
    journal.append(&group).unwrap();
    let (reopened, _, recovery) = open_on(&storage.after_crash()).unwrap();
    assert_eq!(offsets(&reopened), [150, 250]);
    assert_eq!((recovery.damaged_frames, recovery.torn_tail_bytes), (0, 0));
}

#[test]
fn every_failed_step_of_a_compaction_loses_nothing_that_was_committed_before_or_after() {
    for step in 0..6 {
        for fault in [Fault::DiskFull, Fault::Io] {
            let storage = CrashStorage::new();
            let (mut store, mut journal, keys) = write(&storage);
            storage.fail_at(storage.operations() + step, fault);
            assert!(journal.compact(&store.snapshot()).is_err(), "step {step}");
            store.set_position(keys[0], "central", position(150), 10);
            let group = store.take_group().unwrap();
            if journal.append(&group).is_err() {
                journal.reopen_with(&store.snapshot()).unwrap();
            }
            let (reopened, _, _) = open_on(&storage.after_crash()).unwrap();
            assert_eq!(offsets(&reopened), [150, 250], "step {step}, {fault:?}");
        }
    }
}

#[test]
fn a_number_of_a_generation_that_failed_is_not_used_again() {
    let storage = CrashStorage::new();
    let (store, mut journal, _) = write(&storage);
    storage.fail_at(storage.operations() + 4, Fault::Io);
    assert!(journal.compact(&store.snapshot()).is_err());
    journal.reopen_with(&store.snapshot()).unwrap();
    assert_eq!(journal.generation(), 3);
    assert_eq!(storage.list().unwrap(), [name(1), name(3)]);
}

#[test]
fn an_unusable_newest_generation_is_passed_counted_and_put_aside() {
    let storage = CrashStorage::new();
    let (mut store, mut journal, keys) = write(&storage);
    journal.compact(&store.snapshot()).unwrap();
    storage.plant(&name(2), b"not a journal".to_vec());
    storage.plant(&unusable_name(1), b"older".to_vec());
    let (reopened, mut journal, recovery) = open_on(&storage).unwrap();
    assert_eq!(offsets(&reopened), [100, 250]);
    assert!(recovery.used_previous && recovery.unusable_generations == 1);
    assert!(journal.needs_compaction(reopened.live_bytes()));
    store.set_position(keys[0], "central", position(150), 10);
    let group = store.take_group().unwrap();
    assert!(matches!(
        journal.append(&group),
        Err(JournalError::Poisoned)
    ));
    journal.reopen_with(&store.snapshot()).unwrap();
    let expected = [name(1), unusable_name(2), name(3)];
    assert_eq!(storage.list().unwrap(), expected);
    let (reopened, _, recovery) = open_on(&storage.after_crash()).unwrap();
    assert_eq!(offsets(&reopened), [150, 250]);
    assert!(!recovery.used_previous);
}

#[test]
fn a_file_hit_by_damage_is_taken_from_the_generation_before() {
    let storage = CrashStorage::new();
    let (mut store, mut journal, keys) = write(&storage);
    store.set_position(keys[1], "central", position(260), 8);
    journal.compact(&store.snapshot()).unwrap();
    store.set_position(keys[0], "central", position(170), 8);
    journal.append(&store.take_group().unwrap()).unwrap();
    let mut bytes = storage.live(&name(2)).unwrap();
    let path = b"/var/log/a.log";
    let at = bytes.windows(path.len()).position(|found| found == path);
    bytes[at.unwrap()] ^= 1;
    storage.plant(&name(2), bytes);
    let (reopened, journal, recovery) = open_on(&storage).unwrap();
    // The position after the damage holds, and so does the file that was not hit.
    assert_eq!(offsets(&reopened), [170, 260]);
    assert_eq!((recovery.damaged_frames, recovery.recovered_files), (1, 1));
    assert!(recovery.used_previous);
    assert!(journal.needs_compaction(u64::MAX), "damage is written away");
}

#[test]
fn damage_to_all_there_is_refuses_with_a_hint_and_changes_nothing() {
    let storage = CrashStorage::new();
    write(&storage);
    storage.plant(&name(1), vec![0; 500]);
    let error = open_on(&storage).unwrap_err();
    let OpenError::Unusable {
        generations: 1,
        ref source,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert!(matches!(
        source,
        GenerationError::NoHeader { generation: 1 }
    ));
    assert!(error.hint().contains("positions-*.journal"));
    assert_eq!(storage.live(&name(1)).unwrap(), vec![0; 500]);
}

#[test]
fn a_generation_under_the_number_of_another_is_not_used() {
    let storage = CrashStorage::new();
    write(&storage);
    storage.plant(&name(7), storage.live(&name(1)).unwrap());
    let (_, _, recovery) = open_on(&storage).unwrap();
    assert_eq!((recovery.generation, recovery.unusable_generations), (1, 1));
}

#[test]
fn a_newer_format_is_refused_and_left_as_it_is() {
    let storage = CrashStorage::new();
    write(&storage);
    let mut bytes = Vec::new();
    tailwater_durable::frame::append(&mut bytes, 1, &7_u32.to_le_bytes()).unwrap();
    storage.plant(&name(2), bytes.clone());
    let error = open_on(&storage).unwrap_err();
    assert!(matches!(error, OpenError::NewerVersion { found: 7, .. }));
    assert_eq!(storage.live(&name(2)).unwrap(), bytes);
    assert_eq!(list(&storage).unwrap(), [2, 1]);
}

#[test]
fn frames_of_an_unknown_kind_are_skipped_and_counted() {
    let storage = CrashStorage::new();
    write(&storage);
    let mut bytes = storage.live(&name(1)).unwrap();
    tailwater_durable::frame::append(&mut bytes, 7, b"from later").unwrap();
    storage.plant(&name(1), bytes);
    let (store, _, recovery) = open_on(&storage).unwrap();
    assert_eq!(offsets(&store), [100, 250]);
    assert_eq!((recovery.unknown_frames, recovery.damaged_frames), (1, 0));
}

#[test]
fn a_journal_over_the_limit_is_not_written() {
    let storage: Arc<dyn Storage> = Arc::new(CrashStorage::new());
    let limits = StoreLimits {
        max_journal_bytes: 100,
        ..StoreLimits::default()
    };
    let (mut store, mut journal, _) = open(storage, limits, 1).unwrap();
    store.insert(identity(1), Path::new("/a"), 1).unwrap();
    let group = store.take_group().unwrap();
    let error = journal.append(&group).unwrap_err();
    assert!(matches!(
        error,
        JournalError::TooLong { max_bytes: 100, .. }
    ));
    assert!(!journal.is_poisoned());
}

#[test]
fn a_directory_deleted_under_the_journal_is_noticed_and_written_again() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("data");
    let disk = || Arc::new(Disk::open(&path).unwrap());
    let (mut store, mut journal, _) = open(disk(), StoreLimits::default(), 1).unwrap();
    let key = store.insert(identity(1), Path::new("/a"), 1).unwrap();
    std::fs::remove_dir_all(&path).unwrap();
    let group = store.take_group().unwrap();
    assert!(journal.append(&group).is_err());
    store.restore_group(group);
    journal.reopen_with(&store.snapshot()).unwrap();
    let (reopened, _, _) = open(disk(), StoreLimits::default(), 2).unwrap();
    assert!(reopened.get(key).is_some());
}
