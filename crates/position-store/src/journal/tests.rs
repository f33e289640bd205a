use std::path::Path;
use std::sync::Arc;

use tailwater_durable::{MemoryStorage, Storage};
use tailwater_record::{FileIdentity, Fingerprint, Marker};

use super::{OpenError, generations, name, open};
use crate::{FileKey, Position, PositionStore, StoreLimits};

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
    }
}

/// Three files at 100, 200 and 300, then the second at 250 and the third forgotten, in two groups.
fn written() -> (Arc<MemoryStorage>, Vec<FileKey>) {
    let storage = Arc::new(MemoryStorage::new());
    let (mut store, mut journal, _) = open(
        Arc::clone(&storage) as Arc<dyn Storage>,
        StoreLimits::default(),
        1,
    )
    .unwrap();
    let keys: Vec<FileKey> = (1..=3)
        .map(|inode| {
            store
                .insert(identity(inode), Path::new("/var/log/a.log"), 5)
                .unwrap()
        })
        .collect();
    for (index, key) in keys.iter().enumerate() {
        store.set_position(*key, "central", position(100 * (index as u64 + 1)), 6);
    }
    journal.append(&store.take_group().unwrap()).unwrap();
    store.set_position(keys[1], "central", position(250), 7);
    store.forget(keys[2]);
    journal.append(&store.take_group().unwrap()).unwrap();
    assert!(store.take_group().is_none());
    (storage, keys)
}

fn offsets(store: &PositionStore) -> Vec<(FileKey, u64)> {
    store
        .files()
        .map(|file| {
            (
                file.key,
                file.positions
                    .first()
                    .map_or(0, |stored| stored.position.offset),
            )
        })
        .collect()
}

fn reopen(storage: &Arc<MemoryStorage>) -> Result<(PositionStore, super::Recovery), OpenError> {
    open(
        Arc::clone(storage) as Arc<dyn Storage>,
        StoreLimits::default(),
        9,
    )
    .map(|(store, _, recovery)| (store, recovery))
}

fn newest_name(storage: &Arc<MemoryStorage>) -> String {
    name(generations(&**storage).unwrap()[0])
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let (storage, keys) = written();
    let (store, recovery) = reopen(&storage).unwrap();
    assert_eq!(offsets(&store), [(keys[0], 100), (keys[1], 250)]);
    assert_eq!((recovery.damaged_frames, recovery.torn_tail_bytes), (0, 0));
    assert_eq!(store.find(1, 2).count(), 1);
    assert_eq!(store.find_by_path(Path::new("/var/log/a.log")).count(), 2);
    assert_eq!(store.get(keys[0]).unwrap().identity, identity(1));
}

#[test]
fn the_last_two_generations_are_kept_and_no_more() {
    let (storage, _) = written();
    for _ in 0..3 {
        reopen(&storage).unwrap();
    }
    assert_eq!(generations(&*storage).unwrap().len(), 2);
}

#[test]
fn every_bit_flip_opens_and_no_position_is_ever_too_far() {
    let (storage, keys) = written();
    let file = newest_name(&storage);
    let good = storage.read(&file, 1 << 20).unwrap();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let damaged = Arc::new(MemoryStorage::new());
        damaged.replace(&file, &bad).unwrap();
        match reopen(&damaged) {
            Ok((store, recovery)) => {
                assert!(
                    recovery.damaged_frames > 0 || recovery.torn_tail_bytes > 0,
                    "bit {bit} is noticed"
                );
                for (key, offset) in offsets(&store) {
                    let most =
                        [100, 250, 300][keys.iter().position(|known| *known == key).unwrap()];
                    assert!(offset <= most, "bit {bit}: {key:?} at {offset}");
                }
            }
            Err(OpenError::Unusable { .. } | OpenError::NewerVersion { .. }) => {}
            Err(error) => panic!("bit {bit}: {error}"),
        }
    }
}

#[test]
fn every_truncation_opens_with_a_prefix_or_refuses_by_name() {
    let (storage, _) = written();
    let file = newest_name(&storage);
    let good = storage.read(&file, 1 << 20).unwrap();
    for len in 0..good.len() {
        let cut = Arc::new(MemoryStorage::new());
        cut.replace(&file, &good[..len]).unwrap();
        match reopen(&cut) {
            Ok((_, recovery)) => {
                assert_eq!(recovery.damaged_frames, 0, "cut at {len} is no damage")
            }
            Err(OpenError::Unusable { .. }) => {}
            Err(error) => panic!("cut at {len}: {error}"),
        }
    }
}

#[test]
fn a_damaged_generation_falls_back_to_the_one_before() {
    let (storage, keys) = written();
    reopen(&storage).unwrap();
    let newest = newest_name(&storage);
    storage.replace(&newest, b"not a journal").unwrap();
    let (store, recovery) = reopen(&storage).unwrap();
    assert!(recovery.used_previous);
    assert_eq!(offsets(&store), [(keys[0], 100), (keys[1], 250)]);
}

#[test]
fn a_file_hit_by_damage_is_taken_from_the_generation_before() {
    let (storage, keys) = written();
    reopen(&storage).unwrap();
    let newest = newest_name(&storage);
    let mut bytes = storage.read(&newest, 1 << 20).unwrap();
    let at = bytes
        .windows(14)
        .position(|window| window == b"/var/log/a.log")
        .unwrap();
    bytes[at] ^= 1;
    storage.replace(&newest, &bytes).unwrap();
    let (store, recovery) = reopen(&storage).unwrap();
    assert_eq!(recovery.damaged_frames, 1);
    assert_eq!(recovery.recovered_files, 1);
    assert_eq!(offsets(&store), [(keys[0], 100), (keys[1], 250)]);
}

#[test]
fn a_newer_format_is_refused_and_left_as_it_is() {
    let (storage, _) = written();
    let newest = newest_name(&storage);
    let mut bytes = Vec::new();
    tailwater_durable::frame::append(&mut bytes, 1, &7_u32.to_le_bytes()).unwrap();
    storage.replace(&newest, &bytes).unwrap();
    assert!(matches!(
        reopen(&storage),
        Err(OpenError::NewerVersion { found: 7, .. })
    ));
    assert_eq!(storage.read(&newest, 1 << 20).unwrap(), bytes);
}

#[test]
fn a_group_that_could_not_be_written_is_part_of_the_next() {
    let (storage, keys) = written();
    let (mut store, _, _) = open(
        Arc::clone(&storage) as Arc<dyn Storage>,
        StoreLimits::default(),
        9,
    )
    .unwrap();
    store.set_position(keys[0], "central", position(150), 10);
    let group = store.take_group().unwrap();
    store.restore_group(group);
    assert!(store.take_group().is_some());
}

#[test]
fn the_store_refuses_more_files_than_its_limit() {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    let limits = StoreLimits {
        max_files: 1,
        ..StoreLimits::default()
    };
    let (mut store, _, _) = open(storage, limits, 1).unwrap();
    store.insert(identity(1), Path::new("/a"), 1).unwrap();
    assert_eq!(
        store
            .insert(identity(2), Path::new("/b"), 1)
            .unwrap_err()
            .max_files,
        1
    );
}
