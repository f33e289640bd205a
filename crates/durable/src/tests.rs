//! What every storage promises, checked on each of them.

mod crash;
mod disk;
mod frame;
mod lock;

use std::fs;

use crate::{CrashStorage, Disk, MemoryStorage, Storage, StorageError};

/// Runs `check` on an empty storage of each kind.
fn on_each(check: impl Fn(&dyn Storage)) {
    let home = tempfile::tempdir().unwrap();
    check(&Disk::open(home.path()).unwrap());
    check(&MemoryStorage::new());
    check(&CrashStorage::new());
}

#[test]
fn appended_bytes_are_read_back_in_order() {
    on_each(|storage| {
        let mut file = storage.open_append("log").unwrap();
        assert!(file.is_empty());
        file.append(b"one ").unwrap();
        file.append(b"two").unwrap();
        file.sync().unwrap();
        assert_eq!(file.len(), 7);
        assert_eq!(storage.read("log", 7).unwrap(), b"one two");
        let mut again = storage.open_append("log").unwrap();
        assert_eq!(again.len(), 7);
        again.append(b"!").unwrap();
        assert_eq!(storage.read("log", 100).unwrap(), b"one two!");
    });
}

#[test]
fn appends_after_a_truncation_follow_the_cut() {
    on_each(|storage| {
        let mut file = storage.open_append("log").unwrap();
        file.append(b"whole, torn").unwrap();
        file.truncate(5).unwrap();
        assert_eq!(file.len(), 5);
        file.append(b"!").unwrap();
        file.sync().unwrap();
        assert_eq!(storage.read("log", 100).unwrap(), b"whole!");
    });
}

#[test]
fn a_file_over_the_read_limit_is_refused_with_its_path_and_the_limit() {
    on_each(|storage| {
        storage.replace("log", b"0123456789").unwrap();
        let error = storage.read("log", 9).unwrap_err();
        assert!(matches!(error, StorageError::TooLong { max_bytes: 9, .. }));
        assert!(error.to_string().contains("log holds more than 9 bytes"));
    });
}

#[test]
fn a_part_of_a_file_is_read_from_an_offset_and_ends_with_the_file() {
    on_each(|storage| {
        storage.replace("log", b"0123456789").unwrap();
        assert_eq!(storage.len("log").unwrap(), 10);
        assert_eq!(storage.read_at("log", 0, 4).unwrap(), b"0123");
        assert_eq!(storage.read_at("log", 7, 3).unwrap(), b"789");
        assert_eq!(storage.read_at("log", 7, usize::MAX).unwrap(), b"789");
        for offset in [10, 11, i64::MAX.unsigned_abs()] {
            assert!(storage.read_at("log", offset, 1).unwrap().is_empty());
        }
        assert!(storage.read_at("log", 3, 0).unwrap().is_empty());
    });
}

#[test]
fn the_length_of_a_file_is_that_of_what_was_appended() {
    on_each(|storage| {
        let mut file = storage.open_append("log").unwrap();
        assert_eq!(storage.len("log").unwrap(), 0);
        file.append(b"whole, torn").unwrap();
        assert_eq!(storage.len("log").unwrap(), 11);
        file.truncate(5).unwrap();
        assert_eq!(storage.len("log").unwrap(), 5);
        assert_eq!(storage.read_at("log", 2, 100).unwrap(), b"ole");
    });
}

#[test]
fn a_replaced_file_has_the_new_contents_and_leaves_no_other_file() {
    on_each(|storage| {
        storage.replace("state", b"old and long").unwrap();
        storage.replace("state", b"new").unwrap();
        assert_eq!(storage.read("state", 100).unwrap(), b"new");
        assert_eq!(storage.list().unwrap(), ["state"]);
    });
}

#[test]
fn renamed_and_removed_files_are_listed_under_their_last_names() {
    on_each(|storage| {
        storage.replace("b", b"b").unwrap();
        storage.replace("a", b"a").unwrap();
        storage.replace("c", b"c").unwrap();
        storage.rename("c", "d").unwrap();
        storage.remove("b").unwrap();
        storage.sync_dir().unwrap();
        assert_eq!(storage.list().unwrap(), ["a", "d"]);
        assert_eq!(storage.read("d", 1).unwrap(), b"c");
    });
}

#[test]
fn a_missing_file_is_reported_as_not_found() {
    on_each(|storage| {
        assert!(storage.read("none", 1).unwrap_err().is_not_found());
        assert!(storage.read_at("none", 0, 1).unwrap_err().is_not_found());
        assert!(storage.len("none").unwrap_err().is_not_found());
        assert!(storage.remove("none").unwrap_err().is_not_found());
        assert!(storage.rename("none", "new").unwrap_err().is_not_found());
    });
}

#[test]
fn names_that_lead_out_of_the_directory_are_refused() {
    on_each(|storage| {
        for name in ["", ".", "..", "../escaped", "a/b", "nul\0"] {
            let refused = [
                storage.read(name, 1).map(drop),
                storage.read_at(name, 0, 1).map(drop),
                storage.len(name).map(drop),
                storage.open_append(name).map(drop),
                storage.replace(name, b""),
                storage.rename(name, "fine"),
                storage.rename("fine", name),
                storage.remove(name),
            ];
            for result in refused {
                let is_refused = matches!(result, Err(StorageError::InvalidName { .. }));
                assert!(is_refused, "{name:?} was taken");
            }
        }
        assert!(storage.list().unwrap().is_empty());
    });
}

#[test]
fn a_sync_of_a_file_that_was_removed_says_so() {
    on_each(|storage| {
        let mut file = storage.open_append("log").unwrap();
        storage.remove("log").unwrap();
        let error = file.sync().unwrap_err();
        assert!(matches!(error, StorageError::Displaced { .. }), "{error}");
    });
}

#[test]
fn an_error_names_the_action_and_the_path_and_leaves_the_cause_to_the_chain() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("log")).unwrap();
    let disk = Disk::open(home.path()).unwrap();
    let error = disk.open_append("log").unwrap_err();
    let path = home.path().join("log");
    assert_eq!(error.to_string(), format!("cannot open {}", path.display()));
    assert!(std::error::Error::source(&error).is_some());
}
