use std::error::Error as _;
use std::fs;

use crate::{DirLock, LOCK_FILE_NAME, LockError};

#[test]
fn a_locked_directory_is_refused_with_its_path_and_the_holder() {
    let home = tempfile::tempdir().unwrap();
    let held = DirLock::acquire(home.path()).unwrap();
    let error = DirLock::acquire(home.path()).unwrap_err();
    let expected = format!(
        "{} is in use by process {}",
        home.path().display(),
        std::process::id()
    );
    assert_eq!(error.to_string(), expected);
    drop(held);
    DirLock::acquire(home.path()).unwrap();
}

#[test]
fn a_lock_file_without_a_readable_pid_still_locks() {
    let home = tempfile::tempdir().unwrap();
    let _held = DirLock::acquire(home.path()).unwrap();
    let path = home.path().join(LOCK_FILE_NAME);
    fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(&path)
        .unwrap();
    let error = DirLock::acquire(home.path()).unwrap_err();
    assert!(matches!(error, LockError::Held { pid: None, .. }));
    assert!(error.to_string().ends_with("is in use by another process"));
}

#[test]
fn the_pid_of_an_earlier_and_longer_holder_is_overwritten_whole() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(LOCK_FILE_NAME);
    drop(DirLock::acquire(home.path()).unwrap());
    let mut stale = fs::OpenOptions::new().write(true).open(&path).unwrap();
    std::io::Write::write_all(&mut stale, b"4000000000\n").unwrap();
    let _held = DirLock::acquire(home.path()).unwrap();
    let expected = format!("{}\n", std::process::id());
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
}

#[test]
fn a_directory_that_cannot_be_created_is_named_with_the_cause() {
    let home = tempfile::tempdir().unwrap();
    let _held = DirLock::acquire(home.path()).unwrap();
    let below_a_file = home.path().join(LOCK_FILE_NAME).join("data");
    let error = DirLock::acquire(&below_a_file).unwrap_err();
    assert!(matches!(error, LockError::Storage { .. }));
    assert!(error.source().is_some());
}
