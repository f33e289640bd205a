//! Safe opening: the one function that opens log files.
//!
//! Log directories may be writable by those whose logs are read, so a name is trusted for nothing.
//! The kernel first resolves it to a handle that opens nothing (`O_PATH`): a FIFO is not waited for,
//! and a device, for which opening alone can be an act, is left alone. What the handle refers to is
//! checked, and the handle, not the name, is what is opened.

mod error;

#[cfg(test)]
mod tests;

use std::fs::{self, File, FileType, Metadata};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

pub use error::OpenError;

/// Directories that links may lead to: the roots of the globs and those the operator listed.
///
/// # Invariants
/// A root counts by its real path. A root that is itself a link is the operator's word and is
/// followed, so whoever can replace it chooses what is read.
#[derive(Clone, Debug, Default)]
pub struct AllowedRoots {
    roots: Vec<AllowedRoot>,
}

#[derive(Clone, Debug)]
struct AllowedRoot {
    named: PathBuf,
    /// Where it was when it was there last; `None` where it has never been seen.
    real: Option<PathBuf>,
}

impl AllowedRoots {
    /// Takes the roots by their real paths; those that do not exist yet count from [`Self::refresh`].
    pub fn new<'p>(roots: impl IntoIterator<Item = &'p Path>) -> Self {
        let roots = roots.into_iter().map(|named| AllowedRoot {
            named: named.to_owned(),
            real: None,
        });
        let mut allowed = Self {
            roots: roots.collect(),
        };
        allowed.refresh();
        allowed
    }

    /// Looks up the real paths again; one that is gone for now keeps its last.
    pub fn refresh(&mut self) {
        for root in &mut self.roots {
            if let Ok(real) = fs::canonicalize(&root.named) {
                root.real = Some(real);
            }
        }
    }

    /// Returns whether a real path lies in one of the roots.
    pub fn contains(&self, real_path: &Path) -> bool {
        let mut real_roots = self.roots.iter().filter_map(|root| root.real.as_ref());
        real_roots.any(|root| real_path.starts_with(root))
    }
}

/// An opened log file, as it was at that moment.
#[derive(Debug)]
pub struct OpenedLog {
    /// The descriptor: read-only, closed on exec, does not touch the access time where the agent may
    /// say so.
    pub file: File,
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Size in bytes.
    pub len: u64,
    /// Time of last modification, in nanoseconds since the epoch; 0 before it.
    pub modified_ns: u64,
    /// Where the file lies, links resolved.
    pub real_path: PathBuf,
    /// The path led through a link, or a `..`: it is not where the file lies.
    pub through_symlink: bool,
}

/// Opens a log file for reading.
///
/// A path that leads through a link must end in one of the roots. A file with several names must lie
/// in a directory where only its owner or root can have put it. Opening never waits for a writer.
///
/// # Errors
/// [`OpenError`]; a file that is refused is not opened.
pub fn open_log(path: &Path, roots: &AllowedRoots) -> Result<OpenedLog, OpenError> {
    let fail = |error: Errno| OpenError::of(path, error.into());
    let handle = File::from(rustix::fs::open(path, HANDLE, Mode::empty()).map_err(fail)?);
    let found = handle
        .metadata()
        .map_err(|error| OpenError::of(path, error))?;
    check_kind(path, &found)?;
    let real_path = real_path_of(&handle, &found, path)?;
    let through_symlink = real_path != path;
    if through_symlink && !roots.contains(&real_path) {
        let path = path.to_owned();
        return Err(OpenError::OutsideRoots { path, real_path });
    }
    check_names(path, &real_path, &found)?;
    let file = open_handle(&handle, &found, path, &real_path)?;
    Ok(OpenedLog {
        file,
        device: found.dev(),
        inode: found.ino(),
        len: found.len(),
        modified_ns: modified_ns(&found),
        real_path,
        through_symlink,
    })
}

const HANDLE: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// `NONBLOCK` and `NOCTTY` stay: where there is no `/proc`, a name is opened after all.
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOCTTY);

fn check_kind(path: &Path, found: &Metadata) -> Result<(), OpenError> {
    match irregular_kind(found.file_type()) {
        None => Ok(()),
        Some(kind) => Err(OpenError::NotRegular {
            path: path.to_owned(),
            kind,
        }),
    }
}

fn irregular_kind(file_type: FileType) -> Option<&'static str> {
    if file_type.is_file() {
        None
    } else if file_type.is_dir() {
        Some("directory")
    } else if file_type.is_fifo() {
        Some("FIFO")
    } else if file_type.is_socket() {
        Some("socket")
    } else if file_type.is_char_device() || file_type.is_block_device() {
        Some("device")
    } else {
        Some("special file")
    }
}

/// Returns where the handle leads: the kernel knows; without `/proc` the path is resolved again, and
/// the result compared.
fn real_path_of(handle: &File, found: &Metadata, path: &Path) -> Result<PathBuf, OpenError> {
    let (real, is_certain) = match fs::read_link(link_of(handle)) {
        // The kernel says so of a file that has lost this name; a file may also be called so.
        Ok(real) => {
            let is_certain = !real.as_os_str().as_encoded_bytes().ends_with(b" (deleted)");
            (real, is_certain)
        }
        Err(_) => match fs::canonicalize(path) {
            Ok(real) => (real, false),
            Err(error) => return Err(OpenError::of(path, error)),
        },
    };
    if is_certain {
        return Ok(real);
    }
    match fs::symlink_metadata(&real) {
        Ok(named) if is_same(&named, found) => Ok(real),
        Ok(_) => Err(OpenError::not_found(path)),
        Err(error) => Err(OpenError::of(path, error)),
    }
}

/// Refuses a file that someone else may have given a name here.
///
/// Whoever can write to a directory can link any file of the same file system into it, unreadable
/// ones too where the kernel does not protect links, and so have it shipped.
fn check_names(path: &Path, real_path: &Path, found: &Metadata) -> Result<(), OpenError> {
    if found.nlink() <= 1 {
        return Ok(());
    }
    let parent = real_path.parent().unwrap_or(real_path);
    let dir = fs::metadata(parent).map_err(|error| OpenError::of(path, error))?;
    if is_trusted(&dir, found.uid()) {
        return Ok(());
    }
    Err(OpenError::ForeignHardLink {
        path: path.to_owned(),
    })
}

fn is_trusted(dir: &Metadata, file_uid: u32) -> bool {
    let is_writable_by_all = dir.mode() & WRITABLE_BY_OTHERS != 0;
    !is_writable_by_all && (dir.uid() == file_uid || dir.uid() == ROOT_UID)
}

const ROOT_UID: u32 = 0;

/// `S_IWOTH`.
const WRITABLE_BY_OTHERS: u32 = 0o002;

/// Opens what the handle refers to.
fn open_handle(
    handle: &File,
    found: &Metadata,
    path: &Path,
    real_path: &Path,
) -> Result<File, OpenError> {
    match open_for_reading(&link_of(handle), READ) {
        Err(Errno::NOENT) => open_named(found, path, real_path),
        Err(error) => Err(OpenError::of(path, error.into())),
        Ok(file) => Ok(file),
    }
}

/// Opens by name, where there is no `/proc`, and checks that it still is the same file.
fn open_named(found: &Metadata, path: &Path, real_path: &Path) -> Result<File, OpenError> {
    let opened = open_for_reading(real_path, READ | OFlags::NOFOLLOW)
        .map_err(io::Error::from)
        .and_then(|file| Ok((file.metadata()?, file)));
    match opened {
        Ok((opened, file)) if is_same(&opened, found) => Ok(file),
        Ok(_) => Err(OpenError::not_found(path)),
        Err(error) => Err(OpenError::of(path, error)),
    }
}

fn open_for_reading(path: &Path, flags: OFlags) -> Result<File, Errno> {
    let fd = match rustix::fs::open(path, flags | OFlags::NOATIME, Mode::empty()) {
        // Only the owner of a file may leave its access time alone.
        Err(Errno::PERM) => rustix::fs::open(path, flags, Mode::empty())?,
        result => result?,
    };
    Ok(File::from(fd))
}

fn link_of(handle: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", handle.as_raw_fd()))
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

fn modified_ns(found: &Metadata) -> u64 {
    let ns = i128::from(found.mtime()) * 1_000_000_000 + i128::from(found.mtime_nsec());
    u64::try_from(ns.max(0)).unwrap_or(u64::MAX)
}
