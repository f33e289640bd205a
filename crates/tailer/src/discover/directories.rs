//! The directories that are listed: the roots of the patterns, and what is found below.

use std::collections::HashMap;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::directory::{Directory, is_remote};
use crate::tailer::Now;
use crate::watch::{DirId, Unwatched};

/// Directories that one thread follows at most.
const MAX_DIRECTORIES: usize = 100_000;

/// Directories below the root of a pattern with `**`.
pub(super) const MAX_DEPTH: usize = 32;

impl<R> crate::Tailer<R> {
    /// Adds the roots of the patterns that exist and are not followed yet.
    pub(crate) fn add_roots(&mut self) {
        let missing: Vec<PathBuf> = self.missing_roots().map(Path::to_owned).collect();
        self.is_root_missing = false;
        if missing.is_empty() {
            return;
        }
        self.allowed_roots.refresh();
        for root in missing {
            self.add_directory(&root, 0);
            self.is_root_missing |= !self.dir_by_path.contains_key(&root);
        }
    }

    fn missing_roots(&self) -> impl Iterator<Item = &Path> {
        let roots = self
            .sources
            .iter()
            .flat_map(|source| source.patterns.roots());
        roots
            .map(|root| root.dir.as_path())
            .filter(|dir| !self.dir_by_path.contains_key(*dir))
            // A root on a network is looked for by the thread that may hang, and by no other.
            .filter(|dir| is_remote(dir, &self.mounts) == self.limits.is_for_remote)
    }

    /// Adds a directory where something in or below it can match.
    pub(super) fn add_directory(&mut self, path: &Path, depth: usize) {
        let mut sources = self.sources.iter();
        let is_root = depth == 0;
        if depth > MAX_DEPTH
            || !(is_root || sources.any(|source| source.patterns.may_descend(path)))
        {
            return;
        }
        if !self.is_excluded(path) {
            self.insert_directory(path, depth);
        }
    }

    pub(super) fn insert_directory(&mut self, path: &Path, depth: usize) {
        if self.dir_by_path.contains_key(path) || self.dirs.len() >= MAX_DIRECTORIES {
            return;
        }
        if !self.limits.is_for_remote && is_remote(path, &self.mounts) {
            return;
        }
        let Ok(metadata) = std::fs::metadata(path) else {
            return;
        };
        // A directory that is reached by two ways, or by a loop of links, is listed once. Only roots
        // are listed by each name: the globs of each match under its own.
        let inode = (metadata.dev(), metadata.ino());
        let is_known = self.dir_inodes.contains_key(&inode);
        if !metadata.is_dir() || (is_known && depth > 0) {
            return;
        }
        self.next_dir = self.next_dir.wrapping_add(1);
        let id = self.next_dir;
        // The kernel has one watch per inode, and it is taken.
        let watched = if self.limits.is_for_remote || is_known {
            Err(Unwatched::Unavailable)
        } else {
            self.watch.add(path, id)
        };
        if watched == Err(Unwatched::Limit) {
            self.stats.watch_limit_hits += 1;
        }
        let directory = Directory {
            id,
            path: path.to_owned(),
            device: metadata.dev(),
            inode: metadata.ino(),
            names: HashMap::new(),
            has_events: watched.is_ok(),
            is_dirty: true,
            is_first_scan: true,
            first_looks: 0,
            depth,
            renamed: HashMap::new(),
            postponements: 0,
            links: Vec::new(),
        };
        self.polled_dirs += usize::from(!directory.has_events);
        self.dir_inodes.entry(inode).or_default().push(id);
        self.dir_by_path.insert(path.to_owned(), id);
        self.dirs.insert(id, directory);
    }

    /// Returns the directory that is listed at `path`, or under another name of the same place.
    pub(super) fn directory_at(&self, path: &Path) -> Option<DirId> {
        if let Some(id) = self.dir_by_path.get(path) {
            return Some(*id);
        }
        let metadata = std::fs::metadata(path).ok()?;
        let ways = self.dir_inodes.get(&(metadata.dev(), metadata.ino()))?;
        ways.first().copied()
    }

    /// A directory is not there any more: its files have lost their names, not their contents.
    pub(super) fn lose_directory(&mut self, path: &Path, now: Now) {
        let from = (Bound::Included(path), Bound::Unbounded);
        let below = self.dir_by_path.range::<Path, _>(from);
        let gone: Vec<(PathBuf, DirId)> = below
            .take_while(|(below, _)| below.starts_with(path))
            .map(|(below, id)| (below.clone(), *id))
            .collect();
        for (path, id) in gone {
            let Some(dir) = self.dirs.remove(&id) else {
                continue;
            };
            self.dir_by_path.remove(&path);
            self.forget_directory(&dir);
            // A root is looked for until it is back.
            self.is_root_missing |= dir.depth == 0;
            for tail in dir.names.values().filter_map(|entry| entry.file) {
                self.lose_name(tail, id, &path, now);
            }
        }
    }

    fn forget_directory(&mut self, dir: &Directory) {
        self.polled_dirs -= usize::from(!dir.has_events);
        let inode = (dir.device, dir.inode);
        if let Some(ways) = self.dir_inodes.get_mut(&inode) {
            ways.retain(|id| *id != dir.id);
            if ways.is_empty() {
                self.dir_inodes.remove(&inode);
            }
        }
        self.watch.remove(dir.id);
    }

    pub(super) fn is_excluded(&self, path: &Path) -> bool {
        self.limits
            .excluded_paths
            .iter()
            .any(|excluded| path.starts_with(excluded))
    }
}

pub(super) fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
