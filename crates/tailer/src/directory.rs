//! Listing directories: names, kinds and inodes in a few system calls, however many files.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::DirEntryExt as _;
use std::path::{Path, PathBuf};

use crate::watch::DirId;

/// In-process number of a tailed file.
pub type TailId = u64;

/// What a name stands for, as the listing tells it without looking at the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A FIFO, socket or device: never opened.
    Other,
}

/// One name in a directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) inode: u64,
    pub(crate) kind: Kind,
    /// The file that is followed under this name.
    pub(crate) file: Option<TailId>,
    /// The name was looked at and is to be looked at again: it could not be opened, or was too old.
    pub(crate) pending: bool,
}

/// What a directory holds: name to inode and kind.
pub(crate) type Listing = HashMap<OsString, (u64, Kind)>;

/// One directory that is watched or polled.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) id: DirId,
    pub(crate) path: PathBuf,
    pub(crate) device: u64,
    pub(crate) inode: u64,
    /// Names as of the last listing.
    pub(crate) names: HashMap<OsString, Entry>,
    /// Whether events tell of changes; otherwise sizes are polled.
    pub(crate) has_events: bool,
    /// The next listing is due.
    pub(crate) is_dirty: bool,
    /// Nothing was listed yet.
    pub(crate) is_first_scan: bool,
    /// How often it was looked at anew because a file was renamed during the first look.
    pub(crate) first_looks: u8,
    /// How many directories lie above it, up to the root of its pattern.
    pub(crate) depth: usize,
    /// Renames that were heard of: the name a file has now, and the name it had first.
    pub(crate) renamed: HashMap<OsString, OsString>,
    /// Turns that its listing was put off for want of rest.
    pub(crate) postponements: u8,
    /// Links elsewhere whose way leads through this directory.
    pub(crate) links: Vec<PathBuf>,
}

/// Renames of one directory that are remembered between two listings.
const MAX_RENAMES: usize = 4096;

impl Directory {
    /// Remembers a rename, through any number of them to the name a file had first.
    pub(crate) fn hear_rename(&mut self, from: &OsStr, to: &OsStr) {
        self.is_dirty = true;
        let first = self.renamed.remove(from).unwrap_or_else(|| from.to_owned());
        if self.renamed.len() < MAX_RENAMES {
            self.renamed.insert(to.to_owned(), first);
        }
    }
}

/// Lists a directory, at most `max_entries` names of it.
///
/// # Errors
/// Those of opening and reading the directory.
pub(crate) fn list(path: &Path, max_entries: usize) -> io::Result<Listing> {
    let mut listing = Listing::new();
    for entry in std::fs::read_dir(path)?.take(max_entries) {
        let entry = entry?;
        // The type comes with the listing on every file system that matters; only where it does not
        // does this cost a system call.
        let Ok(file_type) = entry.file_type() else {
            continue;
        };
        let kind = if file_type.is_file() {
            Kind::File
        } else if file_type.is_dir() {
            Kind::Directory
        } else if file_type.is_symlink() {
            Kind::Link
        } else {
            Kind::Other
        };
        listing.insert(entry.file_name(), (entry.ino(), kind));
    }
    Ok(listing)
}

/// File systems whose changes are not all made on this host: they are polled.
const REMOTE_FILE_SYSTEMS: [&str; 14] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "fuse",
    "fuseblk",
    "9p",
    "ceph",
    "glusterfs",
    "afs",
    "lustre",
    "ocfs2",
    "gfs2",
];

/// Returns whether a path lies on a network or user-space file system, told by the mount table and not
/// by asking the file system, which may hang.
pub fn is_remote(path: &Path, mount_table: &str) -> bool {
    let mut best: (usize, bool) = (0, false);
    for line in mount_table.lines() {
        let mut fields = line.split(' ');
        let (Some(mount), Some(kind)) = (fields.nth(4), line.split(" - ").nth(1)) else {
            continue;
        };
        let kind = kind.split(' ').next().unwrap_or_default();
        let mount = mount.replace("\\040", " ");
        if path.starts_with(&mount) && mount.len() >= best.0 {
            let base = kind.split('.').next().unwrap_or(kind);
            best = (mount.len(), REMOTE_FILE_SYSTEMS.contains(&base));
        }
    }
    best.1
}

/// Reads the mount table; empty where the system has none.
pub fn mount_table() -> String {
    std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_mounts_are_told_by_the_longest_mount_point() {
        let table = "22 1 8:1 / / rw - ext4 /dev/vda rw\n\
                     40 22 0:40 / /mnt/logs rw shared:1 - nfs4 server:/logs rw\n\
                     41 40 8:2 / /mnt/logs/local rw - xfs /dev/vdb rw\n\
                     42 22 0:41 / /mnt/s3 rw - fuse.s3fs s3fs rw\n";
        assert!(!is_remote(Path::new("/var/log"), table));
        assert!(is_remote(Path::new("/mnt/logs/app"), table));
        assert!(!is_remote(Path::new("/mnt/logs/local/app"), table));
        assert!(is_remote(Path::new("/mnt/s3"), table));
        assert!(!is_remote(Path::new("/anything"), ""));
    }
}
