//! One process per directory.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use crate::StorageError;
use crate::disk::{create_directory, open_options};
use crate::storage::io_error;

/// Name of the file that is locked.
pub const LOCK_FILE_NAME: &str = "lock";

/// A process id has at most ten digits; more in the file was not written by us.
const MAX_PID_BYTES: u64 = 16;

/// The right to write in a directory; given up when dropped, and by the system when the process ends.
///
/// The lock file stays: removing it would let two processes lock two files of one name.
#[derive(Debug)]
pub struct DirLock {
    /// Never read: the lock lives as long as the descriptor.
    _file: File,
}

/// Why a directory could not be locked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process has it.
    #[error("{} is in use by {}", directory.display(), holder(*pid))]
    Held {
        /// The directory.
        directory: PathBuf,
        /// The process that holds it, where its id could be read.
        pid: Option<u32>,
    },
    /// The lock file cannot be used.
    #[error("cannot lock {}", directory.display())]
    Storage {
        /// The directory.
        directory: PathBuf,
        /// What failed.
        source: StorageError,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(
        || "another process".to_owned(),
        |pid| format!("process {pid}"),
    )
}

impl DirLock {
    /// Locks a directory for this process and writes its id into the lock file; creates the
    /// directory with mode 0700 where there is none. Does not wait.
    ///
    /// # Errors
    /// [`LockError::Held`] where another process has it, [`LockError::Storage`] where the lock file
    /// cannot be created, locked or written.
    pub fn acquire(directory: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::Storage {
            directory: directory.to_owned(),
            source,
        };
        create_directory(directory).map_err(failed)?;
        let path = directory.join(LOCK_FILE_NAME);
        let mut file = open_options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| failed(io_error("open", &path)(error)))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held {
                    directory: directory.to_owned(),
                    pid: read_pid(&mut file),
                });
            }
            Err(TryLockError::Error(error)) => {
                return Err(failed(io_error("lock", &path)(error)));
            }
        }
        write_pid(&mut file).map_err(|error| failed(io_error("write", &path)(error)))?;
        Ok(Self { _file: file })
    }
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(MAX_PID_BYTES).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_pid(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(format!("{}\n", std::process::id()).as_bytes())
}
