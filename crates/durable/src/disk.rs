//! The real disk.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::storage::{io_error, path_of};
use crate::{AppendFile, Storage, StorageError, TEMPORARY_SUFFIX};

/// Nobody else reads where a host's logs are and how far they were sent.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// A directory of the file system.
#[derive(Debug)]
pub struct Disk {
    directory: PathBuf,
}

impl Disk {
    /// Opens a directory; where there is none it is created durably, with mode 0700.
    ///
    /// A directory that vanishes later is created again by the next write.
    ///
    /// # Errors
    /// [`StorageError::Io`] where the directory cannot be created.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, StorageError> {
        let directory = directory.into();
        create_directory(&directory)?;
        Ok(Self { directory })
    }

    fn open_to_read(&self, name: &str) -> Result<(File, PathBuf), StorageError> {
        let path = path_of(&self.directory, name)?;
        let file = open_options()
            .read(true)
            .open(&path)
            .map_err(io_error("open", &path))?;
        Ok((file, path))
    }
}

fn file_bytes(file: &File, path: &Path) -> Result<u64, StorageError> {
    let metadata = file.metadata().map_err(io_error("look at", path))?;
    Ok(metadata.len())
}

impl Storage for Disk {
    fn directory(&self) -> &Path {
        &self.directory
    }

    fn read(&self, name: &str, max_bytes: u64) -> Result<Vec<u8>, StorageError> {
        let (file, path) = self.open_to_read(name)?;
        let mut bytes = Vec::new();
        file.take(max_bytes.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(io_error("read", &path))?;
        if u64::try_from(bytes.len()).is_ok_and(|len| len <= max_bytes) {
            Ok(bytes)
        } else {
            Err(StorageError::TooLong { path, max_bytes })
        }
    }

    fn read_at(&self, name: &str, offset: u64, max_bytes: usize) -> Result<Vec<u8>, StorageError> {
        let (mut file, path) = self.open_to_read(name)?;
        let file_bytes = file_bytes(&file, &path)?;
        let rest_bytes = usize::try_from(file_bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        // Not every offset that there is can be sought.
        if rest_bytes == 0 {
            return Ok(Vec::new());
        }
        // A file can be shorter than is asked for, and must not cost the memory of what it lacks.
        let mut bytes = Vec::with_capacity(rest_bytes.min(max_bytes));
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| {
                let max_bytes = u64::try_from(max_bytes).unwrap_or(u64::MAX);
                file.take(max_bytes).read_to_end(&mut bytes)
            })
            .map_err(io_error("read", &path))?;
        Ok(bytes)
    }

    fn len(&self, name: &str) -> Result<u64, StorageError> {
        let (file, path) = self.open_to_read(name)?;
        file_bytes(&file, &path)
    }

    fn open_append(&self, name: &str) -> Result<Box<dyn AppendFile>, StorageError> {
        let path = path_of(&self.directory, name)?;
        create_directory(&self.directory)?;
        let file = open_options()
            .append(true)
            .create(true)
            .open(&path)
            .map_err(io_error("open", &path))?;
        let metadata = file.metadata().map_err(io_error("look at", &path))?;
        Ok(Box::new(DiskFile {
            file,
            path,
            len: metadata.len(),
            place: (metadata.dev(), metadata.ino()),
            is_poisoned: false,
        }))
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        let path = path_of(&self.directory, name)?;
        let temporary = path_of(&self.directory, &format!("{name}{TEMPORARY_SUFFIX}"))?;
        create_directory(&self.directory)?;
        if let Err(error) = write_and_rename(&temporary, &path, bytes) {
            // Gives the space of a full disk back; where that fails too, the next `replace` of the
            // name writes over it.
            drop(fs::remove_file(&temporary));
            return Err(error);
        }
        // A rename is durable only once its directory is: without this a power cut brings the old
        // contents back.
        self.sync_dir()
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), StorageError> {
        rename(
            &path_of(&self.directory, from)?,
            &path_of(&self.directory, to)?,
        )
    }

    fn remove(&self, name: &str) -> Result<(), StorageError> {
        let path = path_of(&self.directory, name)?;
        fs::remove_file(&path).map_err(io_error("remove", &path))
    }

    fn list(&self) -> Result<Vec<String>, StorageError> {
        let listing = fs::read_dir(&self.directory).map_err(io_error("list", &self.directory))?;
        let mut names = Vec::new();
        for entry in listing {
            let entry = entry.map_err(io_error("list", &self.directory))?;
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            if let Ok(name) = entry.file_name().into_string()
                && is_file
            {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn sync_dir(&self) -> Result<(), StorageError> {
        sync_directory(&self.directory)
    }
}

/// One open file and the place it was opened at.
#[derive(Debug)]
struct DiskFile {
    file: File,
    path: PathBuf,
    len: u64,
    place: (u64, u64),
    is_poisoned: bool,
}

impl DiskFile {
    fn check_poison(&self) -> Result<(), StorageError> {
        if self.is_poisoned {
            Err(StorageError::Poisoned {
                path: self.path.clone(),
            })
        } else {
            Ok(())
        }
    }

    /// Bytes in a file that nobody can open again are as good as lost, though every write to it
    /// succeeds: somebody may have removed or moved the directory.
    fn check_place(&self) -> Result<(), StorageError> {
        match fs::symlink_metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == self.place => Ok(()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_error("look at", &self.path)(error))
            }
            Ok(_) | Err(_) => Err(StorageError::Displaced {
                path: self.path.clone(),
            }),
        }
    }
}

impl AppendFile for DiskFile {
    fn append(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.check_poison()?;
        self.file
            .write_all(bytes)
            .map_err(io_error("append to", &self.path))?;
        let appended = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.len = self.len.saturating_add(appended);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.check_poison()?;
        let synced = self
            .file
            .sync_data()
            .map_err(io_error("sync", &self.path))
            .and_then(|()| self.check_place());
        self.is_poisoned = synced.is_err();
        synced
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn truncate(&mut self, len: u64) -> Result<(), StorageError> {
        self.check_poison()?;
        self.file
            .set_len(len)
            .map_err(io_error("truncate", &self.path))?;
        self.len = len;
        Ok(())
    }
}

/// Options for files of ours: not readable by others, and never behind a symlink.
pub(crate) fn open_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .mode(FILE_MODE)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options
}

/// Writes `bytes` under the temporary name and renames it once they are durable.
fn write_and_rename(temporary: &Path, path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    let mut file = open_options()
        .write(true)
        .create(true)
        .truncate(true)
        .open(temporary)
        .map_err(io_error("create", temporary))?;
    file.write_all(bytes)
        .map_err(io_error("write", temporary))?;
    file.sync_all().map_err(io_error("sync", temporary))?;
    rename(temporary, path)
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the crate that the ban points to: callers sync the directory"
)]
fn rename(from: &Path, to: &Path) -> Result<(), StorageError> {
    fs::rename(from, to).map_err(io_error("rename", from))
}

/// Creates a directory and those above it; each is durable in its parent before the next.
pub(crate) fn create_directory(directory: &Path) -> Result<(), StorageError> {
    if directory.is_dir() {
        return Ok(());
    }
    let missing: Vec<&Path> = directory
        .ancestors()
        .take_while(|ancestor| !parent_or_here(ancestor).eq(*ancestor) && !ancestor.is_dir())
        .collect();
    for path in missing.into_iter().rev() {
        match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(io_error("create directory", path)(error));
            }
            Ok(()) | Err(_) => sync_directory(parent_or_here(path))?,
        }
    }
    Ok(())
}

/// The parent of a one-component relative path is the working directory.
fn parent_or_here(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

fn sync_directory(directory: &Path) -> Result<(), StorageError> {
    File::open(directory)
        .and_then(|opened| opened.sync_all())
        .map_err(io_error("sync directory", directory))
}
