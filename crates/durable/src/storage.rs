//! What the rest of tailwater may ask of a disk.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Ending of the names that [`Storage::replace`] writes under before it renames; a crash can leave
/// such a file behind, and its contents mean nothing.
pub const TEMPORARY_SUFFIX: &str = ".tmp";

/// One directory of plain files.
///
/// Names are single path components of UTF-8; anything else is [`StorageError::InvalidName`].
/// Contents and names are made durable separately: [`AppendFile::sync`] is for the bytes of a file,
/// [`Storage::sync_dir`] for the names of files that were created, renamed or removed.
pub trait Storage: Send + Sync + fmt::Debug {
    /// Returns the directory, for what is shown to people.
    fn directory(&self) -> &Path;

    /// Reads a whole file of at most `max_bytes`.
    ///
    /// # Errors
    /// [`StorageError::TooLong`] where the file is longer, [`StorageError::Io`] where it cannot be
    /// read; [`StorageError::is_not_found`] where there is none.
    fn read(&self, name: &str, max_bytes: u64) -> Result<Vec<u8>, StorageError>;

    /// Reads at most `max_bytes` from `offset`; fewer, or none, where the file ends before.
    ///
    /// # Errors
    /// [`StorageError::Io`] where the file cannot be read; [`StorageError::is_not_found`] where there
    /// is none.
    fn read_at(&self, name: &str, offset: u64, max_bytes: usize) -> Result<Vec<u8>, StorageError>;

    /// Returns the length of a file in bytes.
    ///
    /// # Errors
    /// As [`Storage::read_at`].
    fn len(&self, name: &str) -> Result<u64, StorageError>;

    /// Opens a file to append to, and creates it where there is none.
    ///
    /// # Durability
    /// The name of a new file survives a power cut only after [`Storage::sync_dir`].
    ///
    /// # Errors
    /// [`StorageError::Io`] where it cannot be opened.
    fn open_append(&self, name: &str) -> Result<Box<dyn AppendFile>, StorageError>;

    /// Gives a file new contents as a whole.
    ///
    /// # Durability
    /// On `Ok` the new contents survive a power cut. On `Err` the file has either the old or the
    /// new contents, never a mix, and which of them a power cut leaves is not known.
    ///
    /// # Errors
    /// [`StorageError::Io`] with the step that failed.
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError>;

    /// Renames a file; one that has the new name is replaced.
    ///
    /// # Durability
    /// Survives a power cut only after [`Storage::sync_dir`].
    ///
    /// # Errors
    /// [`StorageError::Io`] where it cannot be renamed.
    fn rename(&self, from: &str, to: &str) -> Result<(), StorageError>;

    /// Removes a file.
    ///
    /// # Durability
    /// Survives a power cut only after [`Storage::sync_dir`]: until then the file can come back.
    ///
    /// # Errors
    /// [`StorageError::Io`] where it cannot be removed.
    fn remove(&self, name: &str) -> Result<(), StorageError>;

    /// Returns the names of the files, sorted; names that are not UTF-8 are not ours and left out.
    ///
    /// # Errors
    /// [`StorageError::Io`] where the directory cannot be read.
    fn list(&self) -> Result<Vec<String>, StorageError>;

    /// Makes names durable: those that were created, renamed and removed so far.
    ///
    /// # Errors
    /// [`StorageError::Io`] where the directory cannot be synced.
    fn sync_dir(&self) -> Result<(), StorageError>;
}

/// A file that only grows at its end.
pub trait AppendFile: Send + fmt::Debug {
    /// Writes at the end.
    ///
    /// # Durability
    /// Nothing survives a power cut until [`AppendFile::sync`].
    ///
    /// # Errors
    /// [`StorageError::Io`]; any part of `bytes` may then be in the file, and
    /// [`AppendFile::truncate`] takes it back. [`StorageError::Poisoned`] after a failed sync.
    fn append(&mut self, bytes: &[u8]) -> Result<(), StorageError>;

    /// Makes what was appended durable (fdatasync).
    ///
    /// A failed sync is final: the system may have dropped the bytes and would report success the
    /// next time, so the file refuses everything from then on.
    ///
    /// # Errors
    /// [`StorageError::Io`] where the sync failed, [`StorageError::Displaced`] where the name no
    /// longer leads to this file, [`StorageError::Poisoned`] after an earlier failure.
    fn sync(&mut self) -> Result<(), StorageError>;

    /// Returns the length in bytes: at opening, plus what was appended since.
    fn len(&self) -> u64;

    /// Returns whether the file is empty.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Cuts the file to `len` bytes; durable after the next [`AppendFile::sync`].
    ///
    /// # Errors
    /// [`StorageError::Io`] where it cannot be cut, [`StorageError::Poisoned`] after a failed sync.
    fn truncate(&mut self, len: u64) -> Result<(), StorageError>;
}

/// Why the disk did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or directory it was tried on.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is longer than its format allows.
    #[error("{} holds more than {max_bytes} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The most that is read.
        max_bytes: u64,
    },
    /// A name is not a single path component.
    #[error("invalid file name `{name}` in {}", directory.display())]
    InvalidName {
        /// The directory of the storage.
        directory: PathBuf,
        /// The name that was given.
        name: String,
    },
    /// The name of an open file leads elsewhere or nowhere: what was appended cannot be found again.
    #[error("{} was removed or replaced while it was open", path.display())]
    Displaced {
        /// The path that was opened.
        path: PathBuf,
    },
    /// An earlier sync failed, and it is not known what the disk holds.
    #[error("{} is poisoned by an earlier failed sync", path.display())]
    Poisoned {
        /// The file.
        path: PathBuf,
    },
}

impl StorageError {
    /// Returns whether there is no such file.
    pub fn is_not_found(&self) -> bool {
        self.io_kind() == Some(io::ErrorKind::NotFound)
    }

    /// Returns whether the disk or the quota is full: trying again can help.
    pub fn is_disk_full(&self) -> bool {
        matches!(
            self.io_kind(),
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        )
    }

    fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Io { source, .. } => Some(source.kind()),
            Self::TooLong { .. }
            | Self::InvalidName { .. }
            | Self::Displaced { .. }
            | Self::Poisoned { .. } => None,
        }
    }
}

/// Returns the path of `name` in `directory`, if `name` is a single component.
pub(crate) fn path_of(directory: &Path, name: &str) -> Result<PathBuf, StorageError> {
    let is_component = !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']);
    if is_component {
        Ok(directory.join(name))
    } else {
        Err(StorageError::InvalidName {
            directory: directory.to_owned(),
            name: name.to_owned(),
        })
    }
}

/// Returns the part of `bytes` from `offset`, at most `max_bytes` of it.
pub(crate) fn part_of(bytes: &[u8], offset: u64, max_bytes: usize) -> &[u8] {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let rest = bytes.get(start..).unwrap_or_default();
    rest.get(..max_bytes).unwrap_or(rest)
}

/// Adds what was tried and on what to an error of the system.
pub(crate) fn io_error(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> StorageError {
    move |source| StorageError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}
