//! Cuts the power at every sync of a scripted workload, and makes every operation of it fail.
//!
//! Goal: whatever the disk kept of what was not synced, the store opens, holds every position that
//! was committed, and none that is ahead of what was ever entered; and so with the notes.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use tailwater_durable::{CrashStorage, Fault, Unsynced};
use tailwater_position_store::{FileKey, Journal, JournalError, PositionStore};

use support::{Offsets, identity, offsets, open_on, position};

/// What a run of the workload was promised, and what it had entered by then.
#[derive(Default)]
struct Promise {
    committed: Offsets,
    entered: Offsets,
    committed_notes: Notes,
    entered_notes: Notes,
}

/// Rising numbers by name.
type Notes = BTreeMap<String, u64>;

struct Run {
    store: PositionStore,
    journal: Journal,
    promise: Promise,
}

impl Run {
    /// Commits as the engine does: a group that cannot be written becomes a new generation.
    fn commit(&mut self) -> Result<(), JournalError> {
        self.enter();
        let group = self.store.take_group().unwrap();
        if self.journal.append(&group).is_err() {
            self.store.restore_group(group);
            self.journal.reopen_with(&self.store.snapshot())?;
        }
        self.promise.committed = self.promise.entered.clone();
        self.promise.committed_notes = self.promise.entered_notes.clone();
        Ok(())
    }

    fn enter(&mut self) {
        self.promise.entered = offsets(&self.store);
        self.promise.entered_notes = notes(&self.store);
    }
}

/// Six files that move on, rotate and are forgotten, in groups, with two compactions and a restart.
/// Returns what was promised until the power went.
fn workload(storage: &CrashStorage) -> Promise {
    let mut promise = Promise::default();
    for round in 0..2 {
        let Ok((store, journal, _)) = open_on(storage) else {
            return promise;
        };
        let mut run = Run {
            store,
            journal,
            promise,
        };
        let finished = script(&mut run, round);
        promise = run.promise;
        if finished.is_err() {
            return promise;
        }
    }
    promise
}

fn script(run: &mut Run, round: u64) -> Result<(), JournalError> {
    let mut keys: Vec<FileKey> = Vec::new();
    for inode in 0..3 {
        let path = format!("/var/log/{round}-{inode}.log");
        let identity = identity(10 * round + inode, path.as_bytes());
        keys.push(run.store.insert(identity, Path::new(&path), round).unwrap());
    }
    for step in 1..5 {
        for (key, stride) in keys.iter().zip([100, 70, 30]) {
            run.store
                .set_position(*key, "central", position(stride * step), step);
            run.store
                .set_position(*key, "audit", position(9 * step), step);
        }
        for name in ["books".to_owned(), format!("mark {round}")] {
            let value = (10 * round + step).to_le_bytes();
            run.store.set_note(&name, &value).unwrap();
        }
        run.commit()?;
        if step == 2 {
            run.enter();
            run.journal.compact(&run.store.snapshot()).ok();
        }
    }
    run.store.set_path(keys[1], Path::new("/var/log/rotated.1"));
    run.commit()
}

/// Asserts what the header says; `case` names the run.
fn check(after: &CrashStorage, promise: &Promise, case: &str) {
    let (store, _, _) = open_on(after).unwrap_or_else(|error| panic!("{case}: {error}"));
    let found = offsets(&store);
    for (cursor, committed) in &promise.committed {
        let offset = found.get(cursor);
        assert!(
            offset >= Some(committed),
            "{case}: {cursor:?} at {offset:?}"
        );
    }
    for (cursor, offset) in &found {
        let entered = promise.entered.get(cursor);
        assert!(Some(offset) <= entered, "{case}: {cursor:?} at {offset}");
    }
    for stored in store.files().flat_map(|file| &file.positions) {
        let position = position(stored.position.offset);
        assert_eq!(stored.position, position, "{case}: place and marker");
    }
    let found = notes(&store);
    for (name, committed) in &promise.committed_notes {
        let value = found.get(name);
        assert!(value >= Some(committed), "{case}: {name} is {value:?}");
    }
    for (name, value) in &found {
        let entered = promise.entered_notes.get(name);
        assert!(Some(value) <= entered, "{case}: {name} is {value}");
    }
}

fn notes(store: &PositionStore) -> Notes {
    store
        .notes()
        .map(|(name, value)| {
            let value = u64::from_le_bytes(value.try_into().unwrap());
            (name.to_owned(), value)
        })
        .collect()
}

fn unsynced() -> Vec<Unsynced> {
    let torn = (0..200).step_by(7).chain([100_000]);
    let torn = torn.map(|keep_bytes| Unsynced::TornAppend { keep_bytes });
    [Unsynced::Lost, Unsynced::NamesKept]
        .into_iter()
        .chain(torn)
        .collect()
}

#[test]
fn committed_positions_survive_a_power_cut_at_every_sync() {
    let rehearsal = CrashStorage::new();
    let promise = workload(&rehearsal);
    assert_eq!(promise.committed.len(), 12, "the rehearsal runs to its end");
    let syncs = rehearsal.syncs();
    assert!(syncs >= 14, "{syncs} syncs are too few to mean anything");
    for sync in 0..syncs {
        let storage = CrashStorage::freezing_at(sync);
        let promise = workload(&storage);
        for unsynced in unsynced() {
            let after = storage.after_crash_with(unsynced);
            check(&after, &promise, &format!("sync {sync}, {unsynced:?}"));
        }
    }
}

#[test]
fn committed_positions_survive_a_power_cut_after_any_operation_failed() {
    let rehearsal = CrashStorage::new();
    workload(&rehearsal);
    for operation in 0..rehearsal.operations() {
        for fault in [Fault::DiskFull, Fault::Io] {
            let storage = CrashStorage::new();
            storage.fail_at(operation, fault);
            let promise = workload(&storage);
            let case = format!("operation {operation}, {fault:?}");
            check(&storage.after_crash(), &promise, &case);
            check(&storage, &promise, &format!("{case}, power on"));
        }
    }
}

#[test]
fn a_store_that_crashed_goes_on_and_crashes_again() {
    let syncs = {
        let rehearsal = CrashStorage::new();
        workload(&rehearsal);
        rehearsal.syncs()
    };
    for sync in 0..syncs {
        let storage = CrashStorage::freezing_at(sync);
        workload(&storage);
        let storage = storage.after_crash_with(Unsynced::TornAppend { keep_bytes: 50 });
        let store = open_on(&storage).unwrap().0;
        storage.freeze_at(5);
        let mut promise = workload(&storage);
        for (cursor, offset) in offsets(&store) {
            promise.entered.entry(cursor.clone()).or_insert(offset);
            promise.committed.entry(cursor).or_insert(offset);
        }
        for (name, value) in notes(&store) {
            let entered = promise.entered_notes.entry(name).or_insert(value);
            *entered = value.max(*entered);
        }
        check(&storage.after_crash(), &promise, &format!("sync {sync}"));
    }
}
