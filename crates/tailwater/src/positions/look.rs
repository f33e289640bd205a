//! Reading positions without changing them, beside an agent that is running.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use tailwater_durable::{MemoryStorage, Storage as _};
use tailwater_position_store::{PositionStore, StoreLimits, StoredFile};

use crate::check::printable;
use crate::spill::ReadOnly;

/// Names of one directory that are looked at.
const MAX_NAMES: usize = 1_000_000;

/// Reads the positions of a data directory from a copy: opening them can write.
///
/// # Errors
/// The directory cannot be read, or holds no usable positions.
pub(crate) fn stored_copy(data_dir: &Path) -> anyhow::Result<PositionStore> {
    let copy = copy(data_dir)?;
    let opened = tailwater_position_store::open(Arc::new(copy), StoreLimits::default(), 0);
    let (store, _, _) =
        opened.with_context(|| format!("cannot read the positions in {}", printable(data_dir)))?;
    Ok(store)
}

/// Copies the positions of a data directory into memory.
///
/// # Errors
/// The directory cannot be read.
pub(crate) fn copy(data_dir: &Path) -> anyhow::Result<MemoryStorage> {
    let limits = StoreLimits::default();
    let storage = ReadOnly::open(data_dir)?;
    let copy = MemoryStorage::new();
    for name in storage.list()? {
        let is_journal = name.starts_with("positions-") && name.ends_with(".journal");
        // One that is gone meanwhile is older than those that are left.
        if is_journal && let Ok(bytes) = storage.read(&name, limits.max_journal_bytes) {
            copy.replace(&name, &bytes)?;
        }
    }
    Ok(copy)
}

/// Returns the length of the file that has the path of a stored one, if it is that file by its inode.
pub(super) fn live_len(file: &StoredFile) -> Option<u64> {
    let found = fs::metadata(&file.path).ok()?;
    let is_same = (found.dev(), found.ino()) == (file.identity.device, file.identity.inode);
    is_same.then_some(found.len())
}

/// The files of directories by their inodes, each directory listed once.
#[derive(Debug, Default)]
pub(super) struct Inodes(HashMap<PathBuf, HashMap<u64, PathBuf>>);

impl Inodes {
    /// Returns the length of a stored file that has another name in its directory by now.
    pub(super) fn renamed_len(&mut self, file: &StoredFile) -> Option<u64> {
        let directory = file.path.parent()?;
        let inodes = self
            .0
            .entry(directory.to_owned())
            .or_insert_with(|| list(directory));
        let found = fs::metadata(inodes.get(&file.identity.inode)?).ok()?;
        let is_same = found.dev() == file.identity.device && found.is_file();
        is_same.then_some(found.len())
    }
}

fn list(directory: &Path) -> HashMap<u64, PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .take(MAX_NAMES)
        .map(|entry| (entry.ino(), entry.path()))
        .collect()
}
