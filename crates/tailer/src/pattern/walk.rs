//! A one-shot listing of the files that match.

use std::collections::HashSet;
use std::fs::{self, DirEntry, FileType, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Patterns;

/// How many levels of directories a walk enters below a root.
pub const MAX_WALK_DEPTH: usize = 32;

/// A regular file that matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The path that matches; not resolved.
    pub path: PathBuf,
    /// Length in bytes.
    pub len: u64,
    /// When it was last written to.
    pub modified: SystemTime,
}

/// What a walk could not list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot list {}: {reason}", path.display())]
pub struct WalkError {
    /// The file or directory.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

/// Lists the regular files that match, sorted by path, and what could not be looked at.
///
/// At most `max_entries` directory entries are looked at and [`MAX_WALK_DEPTH`] levels entered;
/// what lies beyond is reported as an error. Real directories come first; a directory behind a
/// symbolic link is listed only where it, by device and inode, has not been listed yet, so a loop
/// of links ends. Nothing is opened but directories.
pub fn walk(patterns: &Patterns, max_entries: usize) -> (Vec<Found>, Vec<WalkError>) {
    let mut walk = Walk {
        patterns,
        entries_left: max_entries,
        is_cut_short: false,
        directories: Vec::new(),
        linked_directories: Vec::new(),
        seen_paths: HashSet::new(),
        seen_inodes: HashSet::new(),
        found: Vec::new(),
        errors: Vec::new(),
    };
    for root in patterns.roots() {
        walk.list_tree(&root.dir);
    }
    walk.found.sort_by(|a, b| a.path.cmp(&b.path));
    (walk.found, walk.errors)
}

struct Walk<'p> {
    patterns: &'p Patterns,
    entries_left: usize,
    /// There was an entry beyond the limit.
    is_cut_short: bool,
    directories: Vec<Directory>,
    /// Taken only when no real directory is left, so that a link never hides its target's own path.
    linked_directories: Vec<Directory>,
    /// Roots can lie below each other.
    seen_paths: HashSet<PathBuf>,
    seen_inodes: HashSet<(u64, u64)>,
    found: Vec<Found>,
    errors: Vec<WalkError>,
}

struct Directory {
    path: PathBuf,
    /// Levels below the root.
    depth: usize,
}

impl Walk<'_> {
    fn list_tree(&mut self, root: &Path) {
        let path = root.to_path_buf();
        self.directories.push(Directory { path, depth: 0 });
        while !self.is_cut_short {
            if let Some(dir) = self.directories.pop() {
                self.list_unless_seen(&dir, false);
            } else if let Some(dir) = self.linked_directories.pop() {
                self.list_unless_seen(&dir, true);
            } else {
                return;
            }
        }
    }

    fn list_unless_seen(&mut self, dir: &Directory, is_linked: bool) {
        let metadata = match fs::metadata(&dir.path) {
            Ok(metadata) => metadata,
            Err(error) => return self.fail(&dir.path, &error),
        };
        let is_new_inode = self.seen_inodes.insert((metadata.dev(), metadata.ino()));
        let is_new_path = self.seen_paths.insert(dir.path.clone());
        if !is_new_path || (is_linked && !is_new_inode) {
            return;
        }
        match entries_by_name(&dir.path, self.entries_left) {
            Ok(entries) => self.visit_all(dir, &entries),
            Err(error) => self.fail(&dir.path, &error),
        }
    }

    fn visit_all(&mut self, dir: &Directory, entries: &[DirEntry]) {
        for entry in entries {
            let Some(left) = self.entries_left.checked_sub(1) else {
                self.is_cut_short = true;
                let reason = "the limit of directory entries is reached".into();
                let path = dir.path.clone();
                self.errors.push(WalkError { path, reason });
                return;
            };
            self.entries_left = left;
            if let Err(error) = self.visit(dir, entry) {
                self.fail(&entry.path(), &error);
            }
        }
    }

    fn visit(&mut self, dir: &Directory, entry: &DirEntry) -> io::Result<()> {
        let path = entry.path();
        let is_wanted = self.patterns.matches(&path);
        let is_on_the_way = self.patterns.may_descend(&path);
        if !is_wanted && !is_on_the_way {
            return Ok(());
        }
        let entry_type = entry.file_type()?;
        if entry_type.is_dir() && !is_on_the_way {
            return Ok(());
        }
        let metadata = if entry_type.is_symlink() {
            fs::metadata(&path)?
        } else {
            entry.metadata()?
        };
        if metadata.is_dir() {
            if is_on_the_way {
                self.enter(dir, path, entry_type.is_symlink());
            }
        } else if is_wanted {
            self.add(path, &metadata);
        }
        Ok(())
    }

    fn enter(&mut self, parent: &Directory, path: PathBuf, is_linked: bool) {
        let depth = parent.depth.saturating_add(1);
        if depth > MAX_WALK_DEPTH {
            let reason = format!("it is more than {MAX_WALK_DEPTH} directories deep");
            self.errors.push(WalkError { path, reason });
        } else if is_linked {
            self.linked_directories.push(Directory { path, depth });
        } else {
            self.directories.push(Directory { path, depth });
        }
    }

    fn add(&mut self, path: PathBuf, metadata: &Metadata) {
        if metadata.is_file() {
            self.found.push(Found {
                path,
                len: metadata.len(),
                modified: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            });
        } else {
            let reason = format!(
                "it is {}, not a regular file",
                kind_name(metadata.file_type())
            );
            self.errors.push(WalkError { path, reason });
        }
    }

    fn fail(&mut self, path: &Path, error: &io::Error) {
        self.errors.push(WalkError {
            path: path.to_path_buf(),
            reason: error.to_string(),
        });
    }
}

/// Reads one entry more than `max_entries` at most, so that the caller sees the limit passed.
fn entries_by_name(dir: &Path, max_entries: usize) -> io::Result<Vec<DirEntry>> {
    let entries = fs::read_dir(dir)?.take(max_entries.saturating_add(1));
    let mut entries = entries.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
}

fn kind_name(file_type: FileType) -> &'static str {
    if file_type.is_fifo() {
        "a FIFO"
    } else if file_type.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}
