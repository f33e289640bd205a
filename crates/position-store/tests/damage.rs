//! Damages a journal at every bit and cuts it at every byte.
//!
//! Goal: it opens, falls back or is refused by name; no position is ever greater than the true one;
//! the damage is counted; and one flipped bit costs at most the record that it hit.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use tailwater_durable::{CrashStorage, Storage};
use tailwater_position_store::{OpenError, PositionStore, Recovery};

use support::{Offsets, identity, offsets, open_on, position};

/// Two generations with a step back, a forgotten file and a change of content; the truth at the end.
fn written() -> (CrashStorage, Offsets) {
    let storage = CrashStorage::new();
    let (mut store, mut journal, _) = open_on(&storage).unwrap();
    let insert = |store: &mut PositionStore, inode, path| {
        let identity = identity(inode, b"head");
        store.insert(identity, Path::new(path), 1).unwrap()
    };
    let first = insert(&mut store, 1, "/first");
    let second = insert(&mut store, 2, "/second");
    let third = insert(&mut store, 3, "/third");
    for key in [first, second, third] {
        store.set_position(key, "central", position(100), 2);
        store.set_position(key, "audit", position(40), 2);
    }
    store.set_note("books", b"1").unwrap();
    journal.append(&store.take_group().unwrap()).unwrap();
    store.set_position(first, "central", position(150), 3);
    store.set_note("books", b"2").unwrap();
    journal.compact(&store.snapshot()).unwrap();
    journal.append(&store.take_group().unwrap()).unwrap();
    store.set_position(second, "audit", position(60), 4);
    store.forget(third);
    journal.append(&store.take_group().unwrap()).unwrap();
    // The content of the first becomes another, and the second steps back: both last.
    store.set_identity(first, identity(1, b"HEAD"));
    store.set_position(first, "central", position(0), 5);
    store.set_position(second, "central", position(10), 5);
    store.set_note("books", b"3").unwrap();
    journal.append(&store.take_group().unwrap()).unwrap();
    let truth = offsets(&store);
    assert_eq!(truth.values().copied().collect::<Vec<_>>(), [0, 60, 10]);
    (storage, truth)
}

fn newest(storage: &CrashStorage) -> String {
    storage.list().unwrap().pop().unwrap()
}

/// Opens a copy in which the newest journal holds `bytes`.
fn open_with(
    storage: &CrashStorage,
    bytes: Vec<u8>,
) -> Result<(PositionStore, Recovery), OpenError> {
    let damaged = storage.after_crash();
    damaged.plant(&newest(storage), bytes);
    open_on(&damaged).map(|(store, _, recovery)| (store, recovery))
}

fn is_counted(recovery: &Recovery) -> bool {
    recovery.damaged_frames > 0 || recovery.torn_tail_bytes > 0 || recovery.unusable_generations > 0
}

#[test]
fn no_flipped_bit_puts_a_position_ahead_of_the_true_one() {
    let (storage, truth) = written();
    let good = storage.live(&newest(&storage)).unwrap();
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let (store, recovery) = open_with(&storage, bytes).unwrap();
        assert!(is_counted(&recovery), "bit {bit} is not counted");
        // The previous generation has a position of before the step back, and what only a header
        // can tell is lost with it; only then an older truth is found.
        if recovery.unusable_generations > 0 {
            assert!(recovery.used_previous, "bit {bit}");
            assert_eq!(store.len(), 3, "bit {bit}");
            continue;
        }
        for (cursor, offset) in offsets(&store) {
            let most = truth.get(&cursor).copied();
            let is_forgotten = store.get(cursor.0).is_some_and(|f| f.identity.inode == 3);
            let is_behind = most.is_some_and(|most| offset <= most);
            assert!(
                is_behind || is_forgotten,
                "bit {bit}: {cursor:?} at {offset}"
            );
        }
    }
}

#[test]
fn a_flipped_bit_costs_no_file_and_no_note() {
    let (storage, _) = written();
    let good = storage.live(&newest(&storage)).unwrap();
    for byte in 0..good.len() {
        let mut bytes = good.clone();
        bytes[byte] ^= 0x10;
        let (store, _) = open_with(&storage, bytes).unwrap();
        for inode in [1, 2] {
            let found = store.find(1, inode).count();
            assert_eq!(found, 1, "byte {byte}: inode {inode}");
        }
        let note = store.note("books").unwrap();
        assert!(
            [b"1", b"2", b"3"].contains(&note.try_into().unwrap()),
            "byte {byte}"
        );
    }
}

#[test]
fn a_note_hit_by_damage_in_the_snapshot_is_taken_from_the_generation_before() {
    let storage = CrashStorage::new();
    let (mut store, mut journal, _) = open_on(&storage).unwrap();
    store.set_note("books", b"first").unwrap();
    journal.append(&store.take_group().unwrap()).unwrap();
    store.set_note("books", b"second").unwrap();
    journal.compact(&store.snapshot()).unwrap();
    let mut bytes = storage.live(&newest(&storage)).unwrap();
    let at = bytes.windows(6).position(|found| found == b"second");
    bytes[at.unwrap()] ^= 1;
    let (store, recovery) = open_with(&storage, bytes).unwrap();
    assert_eq!(store.note("books"), Some(b"first".as_slice()));
    assert!(recovery.used_previous && is_counted(&recovery));
}

#[test]
fn a_cut_within_a_group_leaves_no_note_without_the_positions_before_it() {
    let storage = CrashStorage::new();
    let (mut store, mut journal, _) = open_on(&storage).unwrap();
    let key = store.insert(identity(1, b"head"), Path::new("/a"), 1);
    let key = key.unwrap();
    store.set_note("books", b"1").unwrap();
    store.set_position(key, "central", position(10), 1);
    journal.append(&store.take_group().unwrap()).unwrap();
    store.set_note("books", b"2").unwrap();
    store.set_position(key, "central", position(20), 2);
    journal.append(&store.take_group().unwrap()).unwrap();
    let good = storage.live(&newest(&storage)).unwrap();
    let mut states = BTreeSet::new();
    for len in 0..=good.len() {
        let alone = CrashStorage::new();
        alone.plant(&newest(&storage), good[..len].to_vec());
        let Ok((store, _, _)) = open_on(&alone) else {
            continue;
        };
        let note = store.note("books").map(<[u8]>::to_vec);
        states.insert((offsets(&store).values().copied().next(), note));
    }
    let note = |value: &[u8]| Some(value.to_vec());
    let expected = [
        (None, None),
        (Some(10), None),
        (Some(10), note(b"1")),
        (Some(20), note(b"1")),
        (Some(20), note(b"2")),
    ];
    assert_eq!(states, BTreeSet::from(expected));
}

#[test]
fn a_cut_journal_is_one_of_the_states_it_went_through() {
    let (storage, truth) = written();
    let good = storage.live(&newest(&storage)).unwrap();
    let mut most_forgotten = 0;
    for len in 0..=good.len() {
        let (store, recovery) = open_with(&storage, good[..len].to_vec()).unwrap();
        assert_eq!(recovery.damaged_frames, 0, "cut to {len}");
        let found = offsets(&store);
        for ((key, sink), offset) in &found {
            let went_through: &[u64] = match (store.get(*key).unwrap().identity.inode, &**sink) {
                (1, "central") => &[100, 150, 0],
                (2, "central") => &[100, 10],
                (2, "audit") => &[40, 60],
                _ => &[100, 40],
            };
            assert!(
                went_through.contains(offset),
                "cut to {len}: {sink} at {offset}"
            );
        }
        most_forgotten = most_forgotten.max(store.find(1, 3).count());
        if len == good.len() {
            assert_eq!(found, truth);
        }
    }
    assert_eq!(most_forgotten, 1, "the cut took the forgetting back");
}

#[test]
fn any_stretch_of_zeros_or_garbage_opens_and_is_counted() {
    let (storage, _) = written();
    let good = storage.live(&newest(&storage)).unwrap();
    for start in 0..good.len() {
        for len in [1, 16, 64, 200] {
            let end = good.len().min(start + len);
            for fill in [0, 0xa5] {
                let mut bytes = good.clone();
                bytes[start..end].fill(fill);
                if bytes == good {
                    continue;
                }
                let (store, recovery) = open_with(&storage, bytes).unwrap();
                assert!(is_counted(&recovery), "{start}..{end} is not counted");
                assert!(store.len() >= 2, "{start}..{end}");
            }
        }
    }
}

#[test]
fn without_an_older_generation_a_destroyed_journal_is_refused() {
    let (storage, _) = written();
    let good = storage.live(&newest(&storage)).unwrap();
    for len in 0..good.len() {
        let alone = CrashStorage::new();
        alone.plant(&newest(&storage), good[..len].to_vec());
        match open_on(&alone) {
            Ok((store, _, _)) => assert!(!store.is_empty(), "cut to {len} began anew in silence"),
            Err(OpenError::Unusable { .. }) => {
                assert_eq!(alone.live(&newest(&storage)).unwrap(), good[..len]);
            }
            Err(error) => panic!("cut to {len}: {error}"),
        }
    }
}

#[test]
fn damage_is_gone_after_the_compaction_that_it_asks_for() {
    let (storage, _) = written();
    let mut bytes = storage.live(&newest(&storage)).unwrap();
    bytes[60] ^= 1;
    storage.plant(&newest(&storage), bytes);
    let (store, mut journal, recovery) = open_on(&storage).unwrap();
    assert!(is_counted(&recovery));
    assert!(journal.needs_compaction(u64::MAX));
    journal.compact(&store.snapshot()).unwrap();
    let (reopened, _, recovery) = open_on(&storage.after_crash()).unwrap();
    assert!(!is_counted(&recovery));
    assert!(reopened.files().eq(store.files()));
}
