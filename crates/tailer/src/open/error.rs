//! Why a file was not opened.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// Why a file was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No such name, or it was taken away or given to another file in the meantime.
    #[error("`{}` does not exist", path.display())]
    NotFound {
        /// The path.
        path: PathBuf,
    },
    /// The agent may not read it, or not enter a directory on the way.
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
    /// One of several names of a file, in a directory where somebody other than the file's owner or
    /// root can have put it.
    #[error("`{}` has other names, and others than its owner can have put it here", path.display())]
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
    /// No descriptor is left in the process or the system; it goes away.
    #[error("cannot open `{}`: no descriptor is left", path.display())]
    TooManyOpenFiles {
        /// The path.
        path: PathBuf,
    },
    /// The file system does not answer, as when a network mount is gone; it goes away.
    #[error("cannot open `{}` now", path.display())]
    Unavailable {
        /// The path.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot open `{}`", path.display())]
    Other {
        /// The path.
        path: PathBuf,
        /// What the system says.
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
            Self::Other { .. } => "other",
        }
    }

    pub(super) fn not_found(path: &Path) -> Self {
        Self::NotFound {
            path: path.to_owned(),
        }
    }

    pub(super) fn of(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match Errno::from_io_error(&source) {
            Some(Errno::NOENT | Errno::NOTDIR) => Self::NotFound { path },
            Some(Errno::ACCESS | Errno::PERM) => Self::PermissionDenied { path },
            Some(Errno::LOOP) => Self::SymlinkLoop { path },
            Some(Errno::MFILE | Errno::NFILE) => Self::TooManyOpenFiles { path },
            Some(
                Errno::STALE
                | Errno::NOTCONN
                | Errno::NODEV
                | Errno::NXIO
                | Errno::IO
                | Errno::TIMEDOUT
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::NOMEM
                | Errno::AGAIN
                | Errno::INTR,
            ) => Self::Unavailable { path, source },
            _ => Self::Other { path, source },
        }
    }
}
