//! A storage that keeps nothing.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::storage::{io_error, part_of, path_of};
use crate::{AppendFile, Storage, StorageError};

type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// Files in memory, gone with the process; clones share them.
///
/// For runs that persist nothing, such as `tailwater tail`. Holds what its callers write: they bound
/// it by rewriting what grew.
#[derive(Clone, Debug)]
pub struct MemoryStorage {
    directory: PathBuf,
    files: Files,
}

impl Default for MemoryStorage {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("(memory)"),
            files: Files::default(),
        }
    }
}

impl MemoryStorage {
    /// Creates an empty storage.
    pub fn new() -> Self {
        Self::default()
    }

    fn not_found(&self, action: &'static str, name: &str) -> StorageError {
        io_error(action, &self.directory.join(name))(io::ErrorKind::NotFound.into())
    }
}

fn lock(files: &Files) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
    files.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Storage for MemoryStorage {
    fn directory(&self) -> &Path {
        &self.directory
    }

    fn read(&self, name: &str, max_bytes: u64) -> Result<Vec<u8>, StorageError> {
        let path = path_of(&self.directory, name)?;
        let files = lock(&self.files);
        let bytes = files
            .get(name)
            .ok_or_else(|| self.not_found("open", name))?;
        if u64::try_from(bytes.len()).is_ok_and(|len| len <= max_bytes) {
            Ok(bytes.clone())
        } else {
            Err(StorageError::TooLong { path, max_bytes })
        }
    }

    fn read_at(&self, name: &str, offset: u64, max_bytes: usize) -> Result<Vec<u8>, StorageError> {
        path_of(&self.directory, name)?;
        let files = lock(&self.files);
        let bytes = files
            .get(name)
            .ok_or_else(|| self.not_found("open", name))?;
        Ok(part_of(bytes, offset, max_bytes).to_vec())
    }

    fn len(&self, name: &str) -> Result<u64, StorageError> {
        path_of(&self.directory, name)?;
        let files = lock(&self.files);
        let bytes = files
            .get(name)
            .ok_or_else(|| self.not_found("open", name))?;
        Ok(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
    }

    fn open_append(&self, name: &str) -> Result<Box<dyn AppendFile>, StorageError> {
        let path = path_of(&self.directory, name)?;
        let mut files = lock(&self.files);
        let len = files.entry(name.to_owned()).or_default().len();
        Ok(Box::new(MemoryFile {
            files: Arc::clone(&self.files),
            name: name.to_owned(),
            path,
            len,
        }))
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        path_of(&self.directory, name)?;
        lock(&self.files).insert(name.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), StorageError> {
        path_of(&self.directory, from)?;
        path_of(&self.directory, to)?;
        let mut files = lock(&self.files);
        let bytes = files
            .remove(from)
            .ok_or_else(|| self.not_found("rename", from))?;
        files.insert(to.to_owned(), bytes);
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), StorageError> {
        path_of(&self.directory, name)?;
        let removed = lock(&self.files).remove(name);
        removed
            .map(drop)
            .ok_or_else(|| self.not_found("remove", name))
    }

    fn list(&self) -> Result<Vec<String>, StorageError> {
        Ok(lock(&self.files).keys().cloned().collect())
    }

    fn sync_dir(&self) -> Result<(), StorageError> {
        Ok(())
    }
}

#[derive(Debug)]
struct MemoryFile {
    files: Files,
    name: String,
    path: PathBuf,
    len: usize,
}

impl MemoryFile {
    /// Changes the bytes, unless the file was removed or renamed since it was opened.
    fn change(&mut self, change: impl FnOnce(&mut Vec<u8>)) -> Result<(), StorageError> {
        let mut files = lock(&self.files);
        let bytes = files
            .get_mut(&self.name)
            .ok_or_else(|| StorageError::Displaced {
                path: self.path.clone(),
            })?;
        change(bytes);
        self.len = bytes.len();
        Ok(())
    }
}

impl AppendFile for MemoryFile {
    fn append(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.change(|held| held.extend_from_slice(bytes))
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.change(|_| {})
    }

    fn len(&self) -> u64 {
        u64::try_from(self.len).unwrap_or(u64::MAX)
    }

    fn truncate(&mut self, len: u64) -> Result<(), StorageError> {
        self.change(|held| held.resize(usize::try_from(len).unwrap_or(usize::MAX), 0))
    }
}
