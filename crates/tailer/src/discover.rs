//! Making generations of what the directories hold.
//!
//! One way serves events, repair and the start: list the directory, compare names and inodes with the
//! last listing, and act on the difference. Nothing depends on the order or the number of events.

#![expect(
    clippy::iter_over_hash_type,
    reason = "names are treated alike; where the order counts, they are sorted"
)]

mod directories;
mod follow;
mod generations;
mod links;
mod names;
mod repacked;

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use self::directories::is_absence;
use self::follow::is_young;
pub use self::generations::{Age, is_rotated_name};
use self::repacked::Standing;
use crate::directory::{Entry, Kind, Listing, TailId, list};
use crate::open::OpenedLog;
use crate::tailer::{Known, Now};
use crate::watch::DirId;

/// Names of one directory that are looked at.
const MAX_ENTRIES: usize = 1_000_000;

/// Listings in a row for want of one during which nothing happened.
const MAX_LISTINGS: usize = 4;

/// First looks at a directory in which files are renamed meanwhile.
const MAX_FIRST_LOOKS: u8 = 20;

/// Turns that a directory without rest waits before it is taken as it is.
const MAX_POSTPONEMENTS: u8 = 20;

/// What one listing of a directory has changed.
struct Difference {
    directory: PathBuf,
    device: u64,
    is_first: bool,
    is_mine: bool,
    /// Names that are new, or stand for something else now, or wait to be looked at again.
    fresh: Vec<(OsString, u64, Kind)>,
    /// Files whose name is gone or stands for something else.
    lost: Vec<TailId>,
    /// Directories whose name is gone or stands for something else.
    lost_directories: Vec<PathBuf>,
    /// Inodes of the last listing.
    old_inodes: HashSet<u64>,
    /// Names that are new, and the names that those files had first.
    renamed: HashMap<OsString, OsString>,
}

impl Difference {
    fn path_of(&self, name: &OsStr) -> PathBuf {
        self.directory.join(name)
    }

    fn fresh_files(&self) -> impl Iterator<Item = (&OsString, u64)> {
        self.fresh
            .iter()
            .filter(|(_, _, kind)| *kind == Kind::File)
            .map(|(name, inode, _)| (name, *inode))
    }
}

impl Difference {
    fn lose(&mut self, name: &OsStr, entry: Option<Entry>) {
        let Some(entry) = entry else { return };
        self.lost.extend(entry.file);
        if entry.kind == Kind::Directory {
            let path = self.path_of(name);
            self.lost_directories.push(path);
        }
    }
}

impl<R> crate::Tailer<R> {
    /// Lists every directory that is due, and those that are found on the way.
    pub(crate) fn scan_dirty(&mut self, now: Now, known: &dyn Known) {
        loop {
            let mut due: Vec<(PathBuf, DirId)> = self
                .dirs
                .values()
                .filter(|dir| dir.is_dirty)
                .map(|dir| (dir.path.clone(), dir.id))
                .collect();
            if due.is_empty() {
                return;
            }
            due.sort_unstable();
            for (_, id) in due {
                self.scan(id, now, known);
            }
        }
    }

    fn scan(&mut self, id: DirId, now: Now, known: &dyn Known) {
        let Some(dir) = self.dirs.get(&id) else {
            return;
        };
        let path = dir.path.clone();
        let identity = (dir.device, dir.inode);
        let is_same = std::fs::metadata(&path).map(|now| (now.dev(), now.ino()) == identity);
        let listing = match is_same {
            Ok(true) => self.list_at_rest(id, &path),
            Ok(false) => Err(io::ErrorKind::NotFound.into()),
            Err(error) => Err(error),
        };
        match listing {
            Ok(Some(listing)) => self.apply(id, listing, now, known),
            Ok(None) => {}
            Err(error) if is_absence(&error) => self.lose_directory(&path, now),
            // The mount may be back soon: what is open is kept, and the rescan tries again.
            Err(_) => {
                self.stats.scan_errors += 1;
                self.set_dirty(id, false);
            }
        }
    }

    /// Lists a directory until nothing is heard of it while it is listed, so that the names are those
    /// of one moment and every rename among them is known. Where it does not come to rest, `None`: it
    /// is listed again with the next turn, and after some turns as it is.
    fn list_at_rest(&mut self, id: DirId, path: &Path) -> io::Result<Option<Listing>> {
        let mut listing = Listing::new();
        for _ in 0..MAX_LISTINGS {
            self.set_dirty(id, false);
            self.stats.scans += 1;
            listing = list(path, MAX_ENTRIES)?;
            self.listen();
            if self.dirs.get(&id).is_none_or(|dir| !dir.is_dirty) {
                if let Some(dir) = self.dirs.get_mut(&id) {
                    dir.postponements = 0;
                }
                return Ok(Some(listing));
            }
        }
        self.set_dirty(id, false);
        let Some(dir) = self.dirs.get_mut(&id) else {
            return Ok(None);
        };
        dir.postponements = dir.postponements.saturating_add(1);
        if dir.postponements <= MAX_POSTPONEMENTS {
            self.postponed.push(id);
            return Ok(None);
        }
        dir.postponements = 0;
        Ok(Some(listing))
    }

    fn set_dirty(&mut self, id: DirId, is_dirty: bool) {
        if let Some(dir) = self.dirs.get_mut(&id) {
            dir.is_dirty = is_dirty;
        }
    }

    /// Acts on the difference between a listing and the last one.
    fn apply(&mut self, id: DirId, listing: Listing, now: Now, known: &dyn Known) {
        let Some(difference) = self.compare(id, listing) else {
            return;
        };
        for path in &difference.lost_directories {
            self.lose_directory(path, now);
        }
        let renamed = self.follow_renames(id, &difference, now);
        for tail in &difference.lost {
            if !renamed.contains(tail) {
                self.lose_name(*tail, id, &difference.directory, now);
            }
        }
        if difference.is_mine {
            if difference.is_first {
                self.resume_rotated(id, &difference, now, known);
            }
            if !(difference.is_first && self.is_moving(id)) {
                self.follow_renamed_before_seen(id, &difference, now);
                self.find_missed_generations(id, &difference, now);
                self.find_files(id, &difference, now);
            }
            if difference.is_first && self.is_moving(id) {
                self.look_first_again(id);
            }
        }
        self.find_directories_and_links(id, &difference, now);
        let links = self
            .dirs
            .get(&id)
            .map(|dir| dir.links.clone())
            .unwrap_or_default();
        for link in links {
            self.consider_link(&link, now);
        }
    }

    /// Returns whether a name was found to stand for another file than in the listing, and is looked
    /// at again for it.
    fn is_moving(&self, id: DirId) -> bool {
        self.dirs
            .get(&id)
            .is_some_and(|dir| dir.is_dirty && dir.first_looks < MAX_FIRST_LOOKS)
    }

    /// Has a directory looked at once more as for the first time, but for what is followed by now.
    fn look_first_again(&mut self, id: DirId) {
        if let Some(dir) = self.dirs.get_mut(&id) {
            dir.first_looks = dir.first_looks.saturating_add(1);
            dir.is_first_scan = true;
            dir.names
                .retain(|_, entry| entry.kind != Kind::File || entry.file.is_some());
        }
    }

    fn compare(&mut self, id: DirId, listing: Listing) -> Option<Difference> {
        let is_mine = self.dirs.get(&id).map(|dir| self.is_mine(&dir.path))?;
        let dir = self.dirs.get_mut(&id)?;
        let mut old = std::mem::take(&mut dir.names);
        let mut difference = Difference {
            directory: dir.path.clone(),
            device: dir.device,
            is_first: std::mem::replace(&mut dir.is_first_scan, false),
            is_mine,
            fresh: Vec::new(),
            lost: Vec::new(),
            lost_directories: Vec::new(),
            old_inodes: old.values().map(|entry| entry.inode).collect(),
            renamed: dir.renamed.clone(),
        };
        let mut names = HashMap::with_capacity(listing.len());
        for (name, (inode, kind)) in listing {
            let mut entry = Entry {
                inode,
                kind,
                file: None,
                pending: false,
            };
            match old.remove(&name) {
                Some(same) if same.inode == inode && same.kind == kind => {
                    if same.pending {
                        difference.fresh.push((name.clone(), inode, kind));
                    }
                    entry.file = same.file;
                }
                before => {
                    difference.lose(&name, before);
                    difference.fresh.push((name.clone(), inode, kind));
                }
            }
            names.insert(name, entry);
        }
        for (name, entry) in old {
            difference.lose(&name, Some(entry));
        }
        difference.fresh.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        dir.renamed.retain(|name, _| names.contains_key(name));
        dir.names = names;
        Some(difference)
    }

    /// Follows new names that match.
    fn find_files(&mut self, id: DirId, difference: &Difference, now: Now) {
        for (name, inode) in difference.fresh_files() {
            let path = difference.path_of(name);
            let Some(matched) = self.matched(&path) else {
                continue;
            };
            if let Some(&tail) = self.by_inode.get(&(difference.device, inode)) {
                self.set_entry(id, name, |entry| entry.file = Some(tail));
                continue;
            }
            if self.is_excluded(&path) {
                continue;
            }
            if self.repacked.contains_key(&(difference.device, inode)) {
                continue;
            }
            match self.open_listed(id, name, inode, matched, now) {
                Ok(Some(opened)) => match self.standing_of(id, name, &opened, matched, now) {
                    Standing::New => self.follow_as(id, name, opened, path.into(), false, now),
                    Standing::Repacked => {}
                    Standing::Unclear => self.look_later(id, name, &opened, now),
                },
                // Too old: the next write makes it young. Or gone: the next listing tells where.
                Ok(None) => {}
                Err(error) => {
                    self.set_entry(id, name, |entry| entry.pending = true);
                    self.refuse(path, &error);
                }
            }
        }
    }

    /// Has a file looked at again that is being written: soon, and with the next write where it rests.
    fn look_later(&mut self, id: DirId, name: &OsStr, opened: &OpenedLog, now: Now) {
        self.set_entry(id, name, |entry| entry.pending = true);
        if is_young(opened, self.limits.rotate_wait, now) {
            self.undecided.insert(id);
        }
    }

    fn set_entry(&mut self, id: DirId, name: &OsStr, set: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self
            .dirs
            .get_mut(&id)
            .and_then(|dir| dir.names.get_mut(name))
        {
            set(entry);
        }
    }
}
