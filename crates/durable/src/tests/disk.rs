use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use crate::{Disk, Storage, StorageError};

#[test]
fn a_missing_directory_is_created_for_its_owner_only() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("lib/tailwater");
    let disk = Disk::open(&path).unwrap();
    disk.replace("state", b"x").unwrap();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.clone()), 0o700);
    assert_eq!(mode(path.join("state")), 0o600);
}

#[test]
fn a_directory_deleted_under_an_open_file_fails_the_sync_and_is_created_again() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("data");
    let disk = Disk::open(&path).unwrap();
    let mut file = disk.open_append("log").unwrap();
    fs::remove_dir_all(&path).unwrap();
    file.append(b"nobody will read this").unwrap();
    let error = file.sync().unwrap_err();
    assert!(matches!(error, StorageError::Displaced { .. }), "{error}");
    let error = file.append(b"more").unwrap_err();
    assert!(matches!(error, StorageError::Poisoned { .. }), "{error}");
    disk.replace("log", b"whole").unwrap();
    assert_eq!(disk.read("log", 5).unwrap(), b"whole");
}

#[test]
fn a_symlink_in_place_of_a_file_is_not_followed() {
    let home = tempfile::tempdir().unwrap();
    let disk = Disk::open(home.path().join("data")).unwrap();
    let target = home.path().join("foreign");
    disk.replace("seed", b"foreign bytes").unwrap();
    fs::copy(home.path().join("data/seed"), &target).unwrap();
    symlink(&target, home.path().join("data/log")).unwrap();
    symlink(&target, home.path().join("data/state.tmp")).unwrap();
    assert!(disk.open_append("log").is_err());
    assert!(disk.read("log", 100).is_err());
    assert!(disk.read_at("log", 0, 100).is_err());
    assert!(disk.len("log").is_err());
    // The failed replace removes the link, and only the link.
    assert!(disk.replace("state", b"ours").is_err());
    disk.replace("state", b"ours").unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"foreign bytes");
}

#[test]
fn a_failed_replace_leaves_the_old_contents_and_no_temporary_file() {
    let home = tempfile::tempdir().unwrap();
    let disk = Disk::open(home.path()).unwrap();
    fs::create_dir(home.path().join("state")).unwrap();
    assert!(
        disk.replace("state", b"new").is_err(),
        "a directory is there"
    );
    assert!(disk.list().unwrap().is_empty());
    assert!(home.path().join("state").is_dir());
}
