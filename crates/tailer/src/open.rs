//! Safe opening: the one function that opens log files.
//!
//! Log directories may be writable by those whose logs are read. So the opened descriptor is checked,
//! never the path; nothing but a regular file is read; a link leads only where the operator allows.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};

/// Directories that files may lie in: the roots of the globs and those the operator listed.
#[derive(Clone, Debug, Default)]
pub struct AllowedRoots {
    wanted: Vec<PathBuf>,
    real: Vec<PathBuf>,
}

impl AllowedRoots {
    /// Takes the roots by their real paths; those that do not exist yet count from [`Self::refresh`].
    pub fn new<'p>(roots: impl IntoIterator<Item = &'p Path>) -> Self {
        let mut allowed = Self {
            wanted: roots.into_iter().map(Path::to_owned).collect(),
            real: Vec::new(),
        };
        allowed.refresh();
        allowed
    }

    /// Looks up the real paths again.
    pub fn refresh(&mut self) {
        self.real = self
            .wanted
            .iter()
            .filter_map(|root| std::fs::canonicalize(root).ok())
            .collect();
    }

    /// Returns whether a real path lies in one of the roots.
    pub fn contains(&self, real_path: &Path) -> bool {
        self.real.iter().any(|root| real_path.starts_with(root))
    }
}

/// An opened log file.
#[derive(Debug)]
pub struct OpenedLog {
    /// The descriptor.
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
    /// The path led through a link.
    pub through_symlink: bool,
}

/// Why a file was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No such name.
    #[error("`{}` does not exist", path.display())]
    NotFound {
        /// The path.
        path: PathBuf,
    },
    /// The agent may not read it.
    #[error("no permission to read `{}`: run the agent in a group that may, such as `adm`", path.display())]
    PermissionDenied {
        /// The path.
        path: PathBuf,
    },
    /// A FIFO, socket, device or directory.
    #[error("`{}` is a {kind}, only regular files are read", path.display())]
    NotRegular {
        /// The path.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// A link leads to a place the operator has not listed.
    #[error("`{}` leads to `{}`: list its directory in `tailing.allowed_roots` to allow it", path.display(), real_path.display())]
    OutsideRoots {
        /// The path.
        path: PathBuf,
        /// Where it leads.
        real_path: PathBuf,
    },
    /// A second name of somebody else's file, put there by the owner of the directory.
    #[error("`{}` is a hard link to a file of another owner than its directory's", path.display())]
    ForeignHardLink {
        /// The path.
        path: PathBuf,
    },
    /// Links that lead in a circle.
    #[error("`{}` is a circle of links", path.display())]
    SymlinkLoop {
        /// The path.
        path: PathBuf,
    },
    /// No descriptor is left; tried again.
    #[error("cannot open `{}`: no descriptor is left", path.display())]
    TooManyOpenFiles {
        /// The path.
        path: PathBuf,
    },
    /// The file system does not answer; tried again.
    #[error("cannot open `{}` now", path.display())]
    Unavailable {
        /// The path.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
}

impl OpenError {
    /// Returns the reason as a metric label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not_found",
            Self::PermissionDenied { .. } => "permission_denied",
            Self::NotRegular { .. } => "not_regular",
            Self::OutsideRoots { .. } => "outside_roots",
            Self::ForeignHardLink { .. } => "foreign_hard_link",
            Self::SymlinkLoop { .. } => "symlink_loop",
            Self::TooManyOpenFiles { .. } => "too_many_open_files",
            Self::Unavailable { .. } => "unavailable",
        }
    }

    fn of(path: &Path, error: io::Error) -> Self {
        use rustix::io::Errno;
        let path = path.to_owned();
        match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::NOTDIR) => Self::NotFound { path },
            Some(Errno::ACCESS | Errno::PERM) => Self::PermissionDenied { path },
            Some(Errno::LOOP) => Self::SymlinkLoop { path },
            Some(Errno::MFILE | Errno::NFILE) => Self::TooManyOpenFiles { path },
            // Opening a socket, or a device without a driver.
            Some(Errno::NXIO) => Self::NotRegular {
                path,
                kind: "socket or device",
            },
            _ => Self::Unavailable {
                path,
                source: error,
            },
        }
    }
}

/// Opens a log file for reading.
///
/// # Errors
/// [`OpenError`]: nothing is read of a file that is refused, and opening never waits for a writer.
pub fn open_log(path: &Path, roots: &AllowedRoots) -> Result<OpenedLog, OpenError> {
    let file = open_quietly(path).map_err(|error| OpenError::of(path, error.into()))?;
    let stat = rustix::fs::fstat(&file).map_err(|error| OpenError::of(path, error.into()))?;
    if let Some(kind) = irregular_kind(FileType::from_raw_mode(stat.st_mode)) {
        return Err(OpenError::NotRegular {
            path: path.to_owned(),
            kind,
        });
    }
    let real_path = real_path_of(&file, path)?;
    let through_symlink = real_path != path;
    if through_symlink && !roots.contains(&real_path) {
        return Err(OpenError::OutsideRoots {
            path: path.to_owned(),
            real_path,
        });
    }
    if stat.st_nlink > 1 && is_foreign(&real_path, stat.st_uid) {
        return Err(OpenError::ForeignHardLink {
            path: path.to_owned(),
        });
    }
    let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
    let nanos = u64::try_from(stat.st_mtime_nsec).unwrap_or(0);
    Ok(OpenedLog {
        file,
        device: stat.st_dev,
        inode: stat.st_ino,
        len: u64::try_from(stat.st_size).unwrap_or(0),
        modified_ns: seconds.saturating_mul(1_000_000_000).saturating_add(nanos),
        real_path,
        through_symlink,
    })
}

/// Opens without waiting for the other end of a FIFO, and without touching the access time where the
/// owner of the file allows that.
fn open_quietly(path: &Path) -> rustix::io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    #[cfg(target_os = "linux")]
    match rustix::fs::open(path, flags | OFlags::NOATIME, Mode::empty()) {
        Err(rustix::io::Errno::PERM) => {}
        result => return result.map(File::from),
    }
    rustix::fs::open(path, flags, Mode::empty()).map(File::from)
}

fn irregular_kind(file_type: FileType) -> Option<&'static str> {
    match file_type {
        FileType::RegularFile => None,
        FileType::Directory => Some("directory"),
        FileType::Fifo => Some("FIFO"),
        FileType::Socket => Some("socket"),
        FileType::CharacterDevice | FileType::BlockDevice => Some("device"),
        FileType::Symlink | FileType::Unknown => Some("special file"),
    }
}

/// Asks the kernel where the descriptor leads; elsewhere the path is resolved again and compared.
fn real_path_of(file: &File, path: &Path) -> Result<PathBuf, OpenError> {
    use std::os::fd::AsRawFd as _;
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    if let Ok(real) = std::fs::read_link(link) {
        // A file deleted in between has a mark after its name, and no name any more.
        if real.as_os_str().as_encoded_bytes().ends_with(b" (deleted)") && !real.exists() {
            return Err(OpenError::NotFound {
                path: path.to_owned(),
            });
        }
        return Ok(real);
    }
    let real = std::fs::canonicalize(path).map_err(|error| OpenError::of(path, error))?;
    let is_same = file.metadata().and_then(|open| {
        std::fs::metadata(&real).map(|named| (open.dev(), open.ino()) == (named.dev(), named.ino()))
    });
    match is_same {
        Ok(true) => Ok(real),
        Ok(false) => Err(OpenError::NotFound {
            path: path.to_owned(),
        }),
        Err(error) => Err(OpenError::of(path, error)),
    }
}

/// Returns whether a file with several names belongs to another than the owner of its directory, who
/// is not root and so may have put a link there to a file that is not theirs.
fn is_foreign(real_path: &Path, owner: u32) -> bool {
    let directory = real_path
        .parent()
        .and_then(|parent| std::fs::metadata(parent).ok());
    directory.is_some_and(|directory| directory.uid() != 0 && directory.uid() != owner)
}
