//! Journals of released versions open forever, and this version writes what it is documented to.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use tailwater_durable::{CrashStorage, Storage};
use tailwater_position_store::FileKey;

use support::{Offsets, identity, offsets, open_on, position};

const NAME: &str = "positions-00000000000000000002.journal";
const V1: &[u8] = include_bytes!("fixtures/positions/v1/positions-00000000000000000002.journal");

/// What the journal of each version holds.
fn expected() -> Offsets {
    let cursor = |key, sink: &str| (FileKey(key), sink.to_owned());
    Offsets::from([
        (cursor(1, "audit"), 40),
        (cursor(1, "central"), 10),
        (cursor(3, "central"), 300),
    ])
}

/// A generation with a snapshot, a position, a step back, a path that is not UTF-8 and a forgotten file.
fn written() -> Vec<u8> {
    let storage = CrashStorage::new();
    let (mut store, mut journal, _) = open_on(&storage).unwrap();
    let first = store
        .insert(identity(11, b"one"), Path::new("/var/log/a.log"), 5)
        .unwrap();
    let second = store
        .insert(identity(12, b"two"), Path::new("/var/log/b.log"), 5)
        .unwrap();
    store.set_position(first, "central", position(100), 6);
    store.set_position(first, "audit", position(40), 6);
    store.set_position(second, "central", position(200), 6);
    journal.append(&store.take_group().unwrap()).unwrap();
    journal.compact(&store.snapshot()).unwrap();
    let path = Path::new(OsStr::from_bytes(b"/var/log/\xff.log"));
    let third = store.insert(identity(13, b""), path, 7).unwrap();
    store.set_position(third, "central", position(300), 8);
    store.forget(second);
    journal.append(&store.take_group().unwrap()).unwrap();
    store.set_position(first, "central", position(10), 9);
    journal.append(&store.take_group().unwrap()).unwrap();
    storage.live(NAME).unwrap()
}

#[test]
fn a_journal_of_version_1_opens() {
    let storage = CrashStorage::new();
    storage.plant(NAME, V1.to_vec());
    let (store, _, recovery) = open_on(&storage).unwrap();
    assert_eq!(offsets(&store), expected());
    assert_eq!((recovery.damaged_frames, recovery.unknown_frames), (0, 0));
    let third = store.get(FileKey(3)).unwrap();
    assert_eq!(third.path.as_os_str().as_bytes(), b"/var/log/\xff.log");
    assert_eq!((third.identity, third.updated_ns), (identity(13, b""), 8));
    assert_eq!(storage.list().unwrap(), [NAME]);
}

#[test]
fn this_version_writes_version_1_byte_by_byte() {
    assert_eq!(written(), V1);
}

#[test]
fn the_header_is_laid_out_as_documented() {
    assert_eq!(V1[..4], *b"TWF1");
    assert_eq!(V1[4..8], 36_u32.to_le_bytes());
    assert_eq!(V1[12], 1, "kind");
    assert_eq!(V1[13..17], 1_u32.to_le_bytes(), "version");
    assert_eq!(V1[17..25], 2_u64.to_le_bytes(), "generation");
    assert_eq!(V1[25..33], 6_u64.to_le_bytes(), "created");
    assert_eq!(V1[33..41], 3_u64.to_le_bytes(), "next key");
    assert_eq!(V1[41..49], 2_u64.to_le_bytes(), "files");
}

#[test]
fn a_file_record_is_laid_out_as_documented() {
    let record = &V1[49..];
    let path = b"/var/log/a.log";
    assert_eq!(record[12], 2, "kind");
    assert_eq!(record[13..21], 1_u64.to_le_bytes(), "key");
    assert_eq!(record[21..25], 0_u32.to_le_bytes(), "epoch");
    assert_eq!(record[25..33], 1_u64.to_le_bytes(), "device");
    assert_eq!(record[33..41], 11_u64.to_le_bytes(), "inode");
    let fingerprint = identity(11, b"one").fingerprint;
    assert_eq!(record[41..43], 3_u16.to_le_bytes(), "fingerprint length");
    assert_eq!(record[43..59], fingerprint.hash.to_le_bytes());
    assert_eq!(record[59..67], 6_u64.to_le_bytes(), "updated");
    assert_eq!(record[67..69], 14_u16.to_le_bytes(), "path length");
    assert_eq!(record[69..83], *path);
    let marker = position(100).marker;
    assert_eq!(record[83..91], 100_u64.to_le_bytes(), "offset");
    assert_eq!(record[91..93], marker.len.to_le_bytes());
    assert_eq!(record[93..101], marker.hash.to_le_bytes());
    assert_eq!(record[101..103], 7_u16.to_le_bytes(), "sink length");
    assert_eq!(record[103..110], *b"central");
}
