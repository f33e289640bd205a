use crate::{CrashStorage, Fault, Storage, StorageError, Unsynced};

/// Appends twice with a sync between, then replaces another file.
fn workload(storage: &CrashStorage) -> Result<(), StorageError> {
    let mut log = storage.open_append("log")?;
    storage.sync_dir()?;
    log.append(b"one")?;
    log.sync()?;
    log.append(b"two")?;
    log.sync()?;
    storage.replace("state", b"whole")
}

#[test]
fn only_what_was_synced_survives_a_power_cut_at_every_sync() {
    let rehearsal = CrashStorage::new();
    workload(&rehearsal).unwrap();
    assert_eq!(rehearsal.syncs(), 5);
    let log_at = [None, Some(""), Some("one"), Some("onetwo"), Some("onetwo")];
    for (sync, expected) in (0..5).zip(log_at) {
        let storage = CrashStorage::freezing_at(sync);
        assert!(workload(&storage).is_err());
        assert!(storage.open_append("other").is_err(), "the power is off");
        let after = storage.after_crash();
        let log = after.read("log", 100).ok();
        assert_eq!(log.as_deref(), expected.map(str::as_bytes), "sync {sync}");
        assert!(after.read("state", 100).unwrap_err().is_not_found());
    }
    let after = rehearsal.after_crash();
    assert_eq!(after.read("state", 100).unwrap(), b"whole");
    assert_eq!(after.list().unwrap(), ["log", "state"]);
}

#[test]
fn a_torn_append_keeps_a_prefix_of_what_was_not_synced() {
    let storage = CrashStorage::freezing_at(2);
    assert!(workload(&storage).is_err());
    let after = storage.after_crash_with(Unsynced::TornAppend { keep_bytes: 2 });
    assert_eq!(after.read("log", 100).unwrap(), b"onetw");
}

#[test]
fn kept_names_without_their_bytes_show_a_missing_sync_before_a_rename() {
    let storage = CrashStorage::new();
    let mut file = storage.open_append("state.tmp").unwrap();
    file.append(b"never synced").unwrap();
    storage.rename("state.tmp", "state").unwrap();
    let after = storage.after_crash_with(Unsynced::NamesKept);
    assert_eq!(after.read("state", 100).unwrap(), b"");
}

#[test]
fn a_full_disk_leaves_half_of_an_append_that_can_be_cut_off_again() {
    let storage = CrashStorage::new();
    let mut log = storage.open_append("log").unwrap();
    log.append(b"whole").unwrap();
    storage.fail_at(storage.operations(), Fault::DiskFull);
    assert!(log.append(b"torn").unwrap_err().is_disk_full());
    assert_eq!(storage.live("log").unwrap(), b"wholeto");
    log.truncate(5).unwrap();
    log.append(b"!").unwrap();
    log.sync().unwrap();
    assert_eq!(storage.live("log").unwrap(), b"whole!");
}

#[test]
fn bytes_of_a_failed_sync_are_gone_even_where_a_later_sync_succeeds() {
    let storage = CrashStorage::new();
    let mut log = storage.open_append("log").unwrap();
    storage.sync_dir().unwrap();
    log.append(b"lost").unwrap();
    storage.fail_at(storage.operations(), Fault::Io);
    assert!(log.sync().is_err());
    let error = log.append(b"more").unwrap_err();
    assert!(matches!(error, StorageError::Poisoned { .. }));
    let mut reopened = storage.open_append("log").unwrap();
    reopened.append(b"kept").unwrap();
    reopened.sync().unwrap();
    let after = storage.after_crash();
    assert_eq!(after.read("log", 100).unwrap(), b"\0\0\0\0kept");
}

#[test]
fn every_failed_step_of_a_replace_leaves_the_old_or_the_new_contents() {
    for step in 0..5 {
        for fault in [Fault::DiskFull, Fault::Io] {
            let storage = CrashStorage::new();
            storage.replace("state", b"old").unwrap();
            storage.fail_at(storage.operations() + step, fault);
            assert!(storage.replace("state", b"new").is_err());
            let live = storage.read("state", 100).unwrap();
            let expected: &[u8] = if step == 4 { b"new" } else { b"old" };
            assert_eq!(live, expected, "step {step}");
            let after = storage.after_crash().read("state", 100).unwrap();
            assert_eq!(after, b"old", "step {step}");
            assert_eq!(storage.list().unwrap(), ["state"]);
        }
    }
}

#[test]
fn appends_past_the_capacity_keep_what_fits_until_files_are_removed() {
    let storage = CrashStorage::new();
    storage.replace("old", b"0123456789").unwrap();
    storage.set_capacity(13);
    let mut log = storage.open_append("log").unwrap();
    assert!(log.append(b"whole").unwrap_err().is_disk_full());
    assert_eq!(storage.live("log").unwrap(), b"who");
    log.truncate(0).unwrap();
    storage.remove("old").unwrap();
    log.append(b"whole").unwrap();
    log.sync().unwrap();
    assert_eq!(storage.live("log").unwrap(), b"whole");
    storage.set_capacity(5);
    assert!(log.append(b"!").unwrap_err().is_disk_full());
    storage.set_capacity(u64::MAX);
    log.append(b"!").unwrap();
    assert_eq!(storage.live("log").unwrap(), b"whole!");
}
