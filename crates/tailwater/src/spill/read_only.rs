//! A directory that is read and nothing else, also by what would tidy it up.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tailwater_durable::{AppendFile, Disk, Storage, StorageError};

/// The files of a directory that must not be changed: an agent may be using it.
#[derive(Debug)]
pub(crate) struct ReadOnly(Disk);

impl ReadOnly {
    /// Opens a directory that is there; one that is not is not made.
    pub(crate) fn open(directory: &Path) -> anyhow::Result<Arc<dyn Storage>> {
        anyhow::ensure!(
            directory.is_dir(),
            "{} is not a directory",
            crate::check::printable(directory)
        );
        Ok(Arc::new(Self(Disk::open(directory)?)))
    }

    fn refuse(&self, action: &'static str, name: &str) -> StorageError {
        StorageError::Io {
            action,
            path: self.0.directory().join(name),
            source: io::ErrorKind::ReadOnlyFilesystem.into(),
        }
    }
}

impl Storage for ReadOnly {
    fn directory(&self) -> &Path {
        self.0.directory()
    }

    fn read(&self, name: &str, max_bytes: u64) -> Result<Vec<u8>, StorageError> {
        self.0.read(name, max_bytes)
    }

    fn read_at(&self, name: &str, offset: u64, max_bytes: usize) -> Result<Vec<u8>, StorageError> {
        self.0.read_at(name, offset, max_bytes)
    }

    fn len(&self, name: &str) -> Result<u64, StorageError> {
        self.0.len(name)
    }

    fn open_append(&self, name: &str) -> Result<Box<dyn AppendFile>, StorageError> {
        Err(self.refuse("open", name))
    }

    fn replace(&self, name: &str, _bytes: &[u8]) -> Result<(), StorageError> {
        Err(self.refuse("replace", name))
    }

    fn rename(&self, from: &str, _to: &str) -> Result<(), StorageError> {
        Err(self.refuse("rename", from))
    }

    fn remove(&self, name: &str) -> Result<(), StorageError> {
        Err(self.refuse("remove", name))
    }

    fn list(&self) -> Result<Vec<String>, StorageError> {
        self.0.list()
    }

    fn sync_dir(&self) -> Result<(), StorageError> {
        Ok(())
    }
}
