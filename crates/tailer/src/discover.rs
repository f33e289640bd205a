//! Making generations of what the directories hold.
//!
//! One way serves events, repair and the start: list the directory, compare names and inodes with the
//! last listing, and act on the difference. Nothing depends on the order or the number of events.

#![expect(
    clippy::iter_over_hash_type,
    reason = "names are treated alike; where the order counts, they are sorted"
)]

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use tailwater_record::{FileId, FileIdentity, Fingerprint, WINDOW_BYTES};

use crate::directory::{Directory, Entry, Kind, Listing, TailId, is_remote, list};
use crate::file::{TailedFile, read_at};
use crate::frame::Encoding;
use crate::open::{OpenError, OpenedLog, open_log};
use crate::tailer::{Change, Known, KnownFile, LossReason, Now};
use crate::watch::{DirId, Unwatched};

/// Directories that one thread follows at most.
const MAX_DIRECTORIES: usize = 100_000;

/// Names of one directory that are looked at.
const MAX_ENTRIES: usize = 1_000_000;

/// Directories below the root of a pattern with `**`.
const MAX_DEPTH: usize = 32;

/// Links in a row that are followed, as many as container runtimes make, twice.
const MAX_LINKS: usize = 8;

/// Listings in a row for want of one during which nothing happened.
const MAX_LISTINGS: usize = 4;

/// Turns that a directory without rest waits before it is taken as it is.
const MAX_POSTPONEMENTS: u8 = 20;

/// Endings of archives, which no line can be read of here.
const ARCHIVES: [&str; 6] = [".gz", ".zst", ".bz2", ".xz", ".lz4", ".zip"];

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

impl<R> crate::Tailer<R> {
    /// Adds the roots of the patterns that exist and are not followed yet.
    pub(crate) fn add_roots(&mut self) {
        let missing: Vec<PathBuf> = self.missing_roots().map(Path::to_owned).collect();
        if missing.is_empty() {
            return;
        }
        self.allowed_roots.refresh();
        for root in missing {
            self.add_directory(&root, 0);
        }
    }

    /// Returns whether a root does not exist, so that it must be looked for.
    pub(crate) fn has_missing_root(&self) -> bool {
        self.missing_roots().next().is_some()
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
            self.follow_renamed_before_seen(id, &difference, now);
            self.find_missed_generations(id, &difference, now);
            self.find_files(id, &difference, now);
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

    /// Gives files that are followed their new names. Returns those that have one.
    fn follow_renames(&mut self, id: DirId, difference: &Difference, now: Now) -> HashSet<TailId> {
        let mut renamed = HashSet::new();
        for (name, inode) in difference.fresh_files() {
            let Some(&tail) = self.by_inode.get(&(difference.device, inode)) else {
                continue;
            };
            let path = difference.path_of(name);
            let Some(file) = self.files.get(&tail) else {
                continue;
            };
            let has_other_name = file
                .current
                .as_ref()
                .is_some_and(|current| *current != path);
            if has_other_name && !difference.lost.contains(&tail) {
                // A second name of the same file: its lines are read once, whichever is written to.
                self.set_entry(id, name, |entry| entry.file = Some(tail));
                continue;
            }
            if !self.is_still(tail, &path) {
                self.by_inode.remove(&(difference.device, inode));
                continue;
            }
            let Some(file) = self.files.get_mut(&tail) else {
                continue;
            };
            if file.path == path {
                file.rotated_at = None;
            } else if file.current.as_ref() != Some(&path) && file.rotated_at.is_none() {
                file.rotated_at = Some(now.instant);
                self.stats.rotations += 1;
            }
            file.current = Some(path);
            if file.is_rotated() && !file.is_drained() {
                self.attention.insert(tail);
            }
            self.set_entry(id, name, |entry| entry.file = Some(tail));
            self.push_ready(tail);
            renamed.insert(tail);
        }
        renamed
    }

    /// Returns whether the file at `path` is the one that is followed. While its descriptor is open
    /// its inode cannot be another's; after that the head decides.
    fn is_still(&self, tail: TailId, path: &Path) -> bool {
        let Some(file) = self.files.get(&tail) else {
            return false;
        };
        if file.is_open() {
            return true;
        }
        let Ok(opened) = open_log(path, &self.allowed_roots) else {
            return false;
        };
        let head = read_head(&opened);
        file.identity.fingerprint.matches_head(&head)
    }

    /// A file's name is gone, and no other name of it was found.
    fn lose_name(&mut self, tail: TailId, id: DirId, directory: &Path, now: Now) {
        let Some(file) = self.files.get_mut(&tail) else {
            return;
        };
        if file
            .current
            .as_ref()
            .is_none_or(|current| current.parent() != Some(directory))
        {
            return;
        }
        // Another name of it may be left in the same directory.
        let left = self.dirs.get(&id).and_then(|dir| {
            let mut names = dir
                .names
                .iter()
                .filter(|(_, entry)| entry.file == Some(tail));
            names.next().map(|(name, _)| dir.path.join(name))
        });
        if left.is_some() {
            file.current = left;
            return;
        }
        file.current = None;
        if file.rotated_at.is_none() {
            file.rotated_at = Some(now.instant);
            self.stats.rotations += 1;
        }
        self.attention.insert(tail);
        let Some(file) = self.files.get_mut(&tail) else {
            return;
        };
        if !file.is_open() {
            let least = file
                .cursors
                .iter()
                .map(|cursor| cursor.offset)
                .min()
                .unwrap_or(file.known_len);
            let bytes = file.known_len.saturating_sub(least);
            for cursor in &mut file.cursors {
                cursor.is_drained = true;
            }
            let (source, path, successor) = (file.source, file.path.clone(), file.successor);
            if bytes > 0 {
                self.changes.push(Change::Lost {
                    source,
                    path,
                    bytes,
                    reason: LossReason::Gone,
                });
            }
            successor
                .into_iter()
                .for_each(|successor| self.push_ready(successor));
        }
        self.push_ready(tail);
    }

    /// At the start: files of earlier runs that have another name by now are found by their inode,
    /// and generations that were made in between by their names.
    fn resume_rotated(&mut self, id: DirId, difference: &Difference, now: Now, known: &dyn Known) {
        let mut stored = known.in_directory(&difference.directory);
        stored.sort_by_key(|file| Self::age_of_stored(file, difference));
        let mut newest: HashMap<PathBuf, u64> = HashMap::new();
        for file in stored {
            let Some(source) = self.source_of(&file.path) else {
                continue;
            };
            let here: Vec<OsString> = difference
                .fresh_files()
                .filter(|(_, inode)| *inode == file.inode)
                .map(|(name, _)| name.clone())
                .collect();
            let newest = newest.entry(file.path.clone()).or_default();
            *newest = (*newest).max(file.updated_ns);
            match here
                .iter()
                .find(|name| difference.path_of(name) != file.path)
            {
                _ if here
                    .iter()
                    .any(|name| difference.path_of(name) == file.path) => {}
                Some(name) => self.resume_one(id, name, &file, source, now),
                None => self.changes.push(Change::Missing(file)),
            }
        }
        let mut newest: Vec<(PathBuf, u64)> = newest.into_iter().collect();
        newest.sort_unstable();
        for (path, updated_ns) in newest {
            let Some(source) = self.source_of(&path) else {
                continue;
            };
            let unseen = |name: &OsStr, inode: u64| {
                !known.is_known(difference.device, inode)
                    && Self::modified_ns(&difference.path_of(name))
                        .is_some_and(|at| at >= updated_ns)
            };
            // Only where the path itself went to another file is a sibling one of its generations.
            let is_replaced = path.file_name().is_some_and(|name| {
                difference.fresh_files().all(|(fresh, inode)| {
                    fresh != name || !known.is_known(difference.device, inode)
                })
            });
            if is_replaced {
                self.track_missed(id, &path, source, difference, now, &unseen);
            }
        }
    }

    /// How old a generation of an earlier run is, by the name it has now.
    fn age_of_stored(file: &KnownFile, difference: &Difference) -> Age {
        let now = difference
            .fresh_files()
            .find(|(_, inode)| *inode == file.inode);
        let name = now.map_or(OsStr::new(""), |(name, _)| name.as_os_str());
        let modified_ns = Self::modified_ns(&difference.path_of(name)).unwrap_or(file.updated_ns);
        Age::of(file.path.file_name().unwrap_or_default(), name, modified_ns)
    }

    fn resume_one(&mut self, id: DirId, name: &OsStr, file: &KnownFile, source: usize, now: Now) {
        let opened = self.open_listed(id, name, file.inode, source, now);
        match opened {
            Ok(Some(opened)) if file.fingerprint.matches_head(&read_head(&opened)) => {
                self.follow_as(id, name, opened, file.path.clone(), source, true, now);
            }
            Ok(_) | Err(_) => self.changes.push(Change::Missing(file.clone())),
        }
    }

    /// Follows files that matched, and were renamed before any listing showed them.
    fn follow_renamed_before_seen(&mut self, id: DirId, difference: &Difference, now: Now) {
        let mut unseen: Vec<(Age, OsString, u64, PathBuf, usize)> = Vec::new();
        for (name, first) in &difference.renamed {
            let path = difference.path_of(first);
            let entry = self
                .dirs
                .get(&id)
                .and_then(|dir| dir.names.get(name))
                .copied();
            let entry = entry.filter(|entry| entry.kind == Kind::File && entry.file.is_none());
            let (Some(entry), Some(source)) = (entry, self.source_of(&path)) else {
                continue;
            };
            let is_followed = self
                .by_inode
                .contains_key(&(difference.device, entry.inode));
            let modified_ns = Self::modified_ns(&difference.path_of(name));
            if let Some(modified_ns) = modified_ns.filter(|_| !is_followed) {
                let age = Age::of(first, name, modified_ns);
                unseen.push((age, name.clone(), entry.inode, path, source));
            }
        }
        unseen.sort_unstable();
        for (_, name, inode, path, source) in unseen {
            if let Ok(Some(opened)) = self.open_listed(id, &name, inode, source, now) {
                self.follow_as(id, &name, opened, path, source, true, now);
            }
        }
    }

    /// Finds generations that were made and renamed between two listings: where a path has gone to
    /// another file, names like its own with inodes never seen before stand between the two.
    fn find_missed_generations(&mut self, id: DirId, difference: &Difference, now: Now) {
        if difference.is_first {
            return;
        }
        let paths: HashSet<PathBuf> = difference
            .lost
            .iter()
            .filter_map(|tail| self.files.get(tail))
            .filter(|file| file.is_rotated() && self.live.get(&file.path) == Some(&file.id))
            .filter(|file| file.path.parent() == Some(&difference.directory))
            .map(|file| file.path.clone())
            .collect();
        let mut paths: Vec<PathBuf> = paths.into_iter().collect();
        paths.sort_unstable();
        for path in paths {
            let Some(source) = self.source_of(&path) else {
                continue;
            };
            let unseen = |_: &OsStr, inode: u64| !difference.old_inodes.contains(&inode);
            self.track_missed(id, &path, source, difference, now, &unseen);
        }
    }

    fn track_missed(
        &mut self,
        id: DirId,
        path: &Path,
        source: usize,
        difference: &Difference,
        now: Now,
        is_unseen: &dyn Fn(&OsStr, u64) -> bool,
    ) {
        let Some(live_name) = path.file_name() else {
            return;
        };
        let mut missed: Vec<(Age, OsString, u64)> = difference
            .fresh_files()
            .filter(|(name, _)| is_rotated_name(live_name, name))
            .filter(|(_, inode)| !self.by_inode.contains_key(&(difference.device, *inode)))
            .filter(|(name, inode)| is_unseen(name, *inode))
            .filter_map(|(name, inode)| {
                let modified_ns = Self::modified_ns(&difference.path_of(name))?;
                Some((Age::of(live_name, name, modified_ns), name.clone(), inode))
            })
            .collect();
        missed.sort_unstable();
        for (_, name, inode) in missed {
            if let Ok(Some(opened)) = self.open_listed(id, &name, inode, source, now) {
                self.follow_as(id, &name, opened, path.to_owned(), source, true, now);
            }
        }
    }

    /// Follows new names that match.
    fn find_files(&mut self, id: DirId, difference: &Difference, now: Now) {
        for (name, inode) in difference.fresh_files() {
            let path = difference.path_of(name);
            let Some(source) = self.source_of(&path) else {
                continue;
            };
            if let Some(&tail) = self.by_inode.get(&(difference.device, inode)) {
                self.set_entry(id, name, |entry| entry.file = Some(tail));
                continue;
            }
            if self.is_excluded(&path) {
                continue;
            }
            match self.open_listed(id, name, inode, source, now) {
                Ok(Some(opened)) => self.follow_as(id, name, opened, path, source, false, now),
                // Too old: the next write makes it young. Or gone: the next listing tells where.
                Ok(None) => {}
                Err(error) => {
                    self.set_entry(id, name, |entry| entry.pending = true);
                    self.refuse(path, &error);
                }
            }
        }
    }

    fn find_directories_and_links(&mut self, id: DirId, difference: &Difference, now: Now) {
        let depth = self.dirs.get(&id).map_or(MAX_DEPTH, |dir| dir.depth + 1);
        for (name, _, kind) in &difference.fresh {
            let path = difference.path_of(name);
            match kind {
                Kind::Directory => self.add_directory(&path, depth),
                Kind::Link if std::fs::metadata(&path).is_ok_and(|target| target.is_dir()) => {
                    // The listing below a link is the listing of what it leads to: only where the
                    // operator allows that place.
                    let real = std::fs::canonicalize(&path);
                    if real.is_ok_and(|real| self.allowed_roots.contains(&real)) {
                        self.add_directory(&path, depth);
                    }
                }
                Kind::Link if difference.is_mine => {
                    self.consider_link(&path, now);
                    let is_open = self.live.contains_key(&path);
                    self.set_entry(id, name, |entry| entry.pending = !is_open);
                }
                Kind::Link | Kind::File | Kind::Other => {}
            }
        }
    }

    /// Follows what a link leads to now, where the link matches.
    fn consider_link(&mut self, link: &Path, now: Now) {
        let Some(source) = self.source_of(link) else {
            return;
        };
        if self.is_excluded(link) {
            return;
        }
        self.watch_way_of(link);
        let opened = match self.open_new(link, source, now) {
            Ok(Some(opened)) => opened,
            Ok(None) | Err(OpenError::NotFound { .. }) => return,
            Err(error) => return self.refuse(link.to_owned(), &error),
        };
        let before = self.live.get(link).copied();
        let target = self.by_inode.get(&(opened.device, opened.inode)).copied();
        if target.is_some() {
            return;
        }
        let real_path = opened.real_path.clone();
        let Some(tail) = self.follow(
            opened,
            real_path.clone(),
            link.to_owned(),
            source,
            false,
            now,
        ) else {
            return;
        };
        if let Some(file) = before.and_then(|before| self.files.get_mut(&before))
            && file.rotated_at.is_none()
        {
            file.rotated_at = Some(now.instant);
            self.stats.rotations += 1;
            self.attention.insert(file.id);
        }
        let dir = real_path
            .parent()
            .and_then(|parent| self.dir_by_path.get(parent))
            .copied();
        if let (Some(dir), Some(name)) = (dir, real_path.file_name()) {
            self.set_entry(dir, name, |entry| entry.file = Some(tail));
        }
    }

    /// Watches every directory that the way of a link leads through, so that a swap is heard of.
    fn watch_way_of(&mut self, link: &Path) {
        let mut at = link.to_owned();
        for _ in 0..MAX_LINKS {
            let Ok(target) = std::fs::read_link(&at) else {
                break;
            };
            let parent = at.parent().unwrap_or(Path::new("/"));
            at = if target.is_absolute() {
                target
            } else {
                parent.join(target)
            };
            self.watch_for_link(&at, link);
        }
        // Dots and links among the directories: the place that the kernel calls the file by.
        if let Ok(real) = std::fs::canonicalize(link) {
            self.watch_for_link(&real, link);
        }
    }

    fn watch_for_link(&mut self, at: &Path, link: &Path) {
        let Some(parent) = at.parent() else { return };
        self.insert_directory(parent, MAX_DEPTH);
        let dir = self
            .dir_by_path
            .get(parent)
            .and_then(|id| self.dirs.get_mut(id));
        if let Some(dir) = dir
            && !dir.links.iter().any(|known| known == link)
        {
            dir.links.push(link.to_owned());
        }
    }

    /// Opens a candidate; `None` where it is too old to begin with.
    fn open_new(
        &mut self,
        path: &Path,
        source: usize,
        now: Now,
    ) -> Result<Option<OpenedLog>, OpenError> {
        if let Some(limit) = self
            .sources
            .get(source)
            .and_then(|source| source.ignore_older)
        {
            let age = Self::modified_ns(path).map(|modified| now.unix_ns.saturating_sub(modified));
            if age.is_some_and(|age| u128::from(age) > limit.as_nanos()) {
                return Ok(None);
            }
        }
        self.make_room();
        open_log(path, &self.allowed_roots).map(Some)
    }

    /// Opens a name of a listing. Where it stands for another file by now, or for none, the name is
    /// forgotten and the directory listed again: both files are then seen as new.
    fn open_listed(
        &mut self,
        id: DirId,
        name: &OsStr,
        inode: u64,
        source: usize,
        now: Now,
    ) -> Result<Option<OpenedLog>, OpenError> {
        let Some(path) = self.dirs.get(&id).map(|dir| dir.path.join(name)) else {
            return Ok(None);
        };
        match self.open_new(&path, source, now) {
            Ok(Some(opened)) if opened.inode == inode => return Ok(Some(opened)),
            Ok(None) => {
                self.set_entry(id, name, |entry| entry.pending = true);
                return Ok(None);
            }
            Ok(Some(_)) | Err(OpenError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        if let Some(dir) = self.dirs.get_mut(&id) {
            dir.names.remove(name);
            dir.is_dirty = true;
        }
        Ok(None)
    }

    /// Follows what was opened under a name of a directory, as a generation of `path`.
    #[expect(
        clippy::too_many_arguments,
        reason = "a name, what it opened, and what it is"
    )]
    fn follow_as(
        &mut self,
        id: DirId,
        name: &OsStr,
        opened: OpenedLog,
        path: PathBuf,
        source: usize,
        is_rotated: bool,
        now: Now,
    ) {
        let Some(current) = self.dirs.get(&id).map(|dir| dir.path.join(name)) else {
            return;
        };
        let tail = self.follow(opened, current, path, source, is_rotated, now);
        self.set_entry(id, name, |entry| {
            entry.file = tail;
            entry.pending = tail.is_none();
        });
    }

    /// Begins to follow a generation of `path` that is called `current` now.
    fn follow(
        &mut self,
        opened: OpenedLog,
        current: PathBuf,
        path: PathBuf,
        source: usize,
        is_rotated: bool,
        now: Now,
    ) -> Option<TailId> {
        if self.files.len() >= self.limits.max_files {
            self.stats.files_over_limit += 1;
            return None;
        }
        if self.is_excluded(&opened.real_path) {
            return None;
        }
        let head = read_head(&opened);
        self.next_id += 1;
        let id = self.next_id;
        let encoding = Encoding::Auto.resolve(&head);
        let predecessor = self.live.insert(path.clone(), id);
        if let Some(before) = predecessor.and_then(|before| self.files.get_mut(&before)) {
            before.successor = Some(id);
        }
        let file = TailedFile {
            id,
            content: FileId(id),
            source,
            path,
            current: Some(current),
            identity: FileIdentity {
                device: opened.device,
                inode: opened.inode,
                fingerprint: Fingerprint::of_head(&head),
            },
            encoding,
            cursors: Vec::new(),
            known_len: opened.len,
            modified_ns: opened.modified_ns,
            identity_changed: true,
            descriptor: Some(opened.file),
            last_used: now.instant,
            rotated_at: is_rotated.then_some(now.instant),
            grew_at: now.instant,
            predecessor,
            successor: None,
            is_ready: false,
            is_reported_finished: false,
            head,
        };
        self.by_inode.insert((opened.device, opened.inode), id);
        self.opened.insert(id);
        if is_rotated {
            self.attention.insert(id);
        }
        self.files.insert(id, Box::new(file));
        self.stats.files_found += 1;
        self.changes.push(Change::Found {
            id,
            at_start: self.is_initial,
        });
        self.push_ready(id);
        Some(id)
    }

    /// Adds a directory where something in or below it can match.
    fn add_directory(&mut self, path: &Path, depth: usize) {
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

    fn insert_directory(&mut self, path: &Path, depth: usize) {
        if self.dir_by_path.contains_key(path) || self.dirs.len() >= MAX_DIRECTORIES {
            return;
        }
        if !self.limits.is_for_remote && is_remote(path, &self.mounts) {
            return;
        }
        let Ok(metadata) = std::fs::metadata(path) else {
            return;
        };
        // A directory that is reached by two ways, or by a loop of links, is listed once.
        let is_known = self
            .dirs
            .values()
            .any(|dir| (dir.device, dir.inode) == (metadata.dev(), metadata.ino()));
        if !metadata.is_dir() || is_known {
            return;
        }
        self.next_dir = self.next_dir.wrapping_add(1);
        let id = self.next_dir;
        let watched = if self.limits.is_for_remote {
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
            depth,
            renamed: HashMap::new(),
            postponements: 0,
            links: Vec::new(),
        };
        self.dir_by_path.insert(path.to_owned(), id);
        self.dirs.insert(id, directory);
    }

    /// A directory is not there any more: its files have lost their names, not their contents.
    fn lose_directory(&mut self, path: &Path, now: Now) {
        let mut gone: Vec<(PathBuf, DirId)> = self
            .dirs
            .values()
            .filter(|dir| dir.path.starts_with(path))
            .map(|dir| (dir.path.clone(), dir.id))
            .collect();
        gone.sort_unstable();
        for (path, id) in gone {
            let Some(dir) = self.dirs.remove(&id) else {
                continue;
            };
            self.dir_by_path.remove(&path);
            self.watch.remove(id);
            for tail in dir.names.values().filter_map(|entry| entry.file) {
                self.lose_name(tail, id, &path, now);
            }
        }
    }

    fn is_excluded(&self, path: &Path) -> bool {
        self.limits
            .excluded_paths
            .iter()
            .any(|excluded| path.starts_with(excluded))
    }

    fn refuse(&mut self, path: PathBuf, error: &OpenError) {
        self.changes.push(Change::Refused {
            path,
            reason: error.reason(),
            detail: error.to_string(),
        });
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

    fn modified_ns(path: &Path) -> Option<u64> {
        let modified = std::fs::metadata(path).ok()?.modified().ok()?;
        let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
        u64::try_from(since.as_nanos()).ok()
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

/// Reads the head that tells who a file is; empty where it cannot be read, as for an empty file.
fn read_head(opened: &OpenedLog) -> Vec<u8> {
    let mut head = vec![0; usize::from(WINDOW_BYTES)];
    let read = read_at(&opened.file, &mut head, 0).unwrap_or(0);
    head.truncate(read);
    // Thousands of short files may be found in one turn.
    head.shrink_to_fit();
    head
}

fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Where a generation stands among its siblings: the least is the oldest.
///
/// The number that rotation gives says it best: file times are as coarse as the kernel's tick, and a
/// writer may go on in an old generation after the next has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Age {
    number: std::cmp::Reverse<u64>,
    modified_ns: u64,
}

impl Age {
    fn of(live: &OsStr, name: &OsStr, modified_ns: u64) -> Self {
        let rest = name
            .as_encoded_bytes()
            .strip_prefix(live.as_encoded_bytes());
        let digits = rest.and_then(|rest| rest.strip_prefix(b"."));
        let number = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        Self {
            number: std::cmp::Reverse(number.unwrap_or(0)),
            modified_ns,
        }
    }
}

/// Returns whether a name is one that rotation gives to a file called `live`: `app.log.1`,
/// `app.log-20261121`, or `app-20261121.log` for `app.log`; never an archive.
pub(crate) fn is_rotated_name(live: &OsStr, name: &OsStr) -> bool {
    let (live, name) = (live.as_encoded_bytes(), name.as_encoded_bytes());
    if live == name
        || ARCHIVES
            .iter()
            .any(|ending| name.ends_with(ending.as_bytes()))
    {
        return false;
    }
    if let Some(rest) = name.strip_prefix(live) {
        return matches!(rest.first(), Some(b'.' | b'-' | b'_'))
            && rest.iter().any(u8::is_ascii_digit);
    }
    let Some(dot) = live.iter().rposition(|byte| *byte == b'.') else {
        return false;
    };
    let (stem, ending) = live.split_at(dot);
    let middle = name
        .strip_prefix(stem)
        .and_then(|rest| rest.strip_suffix(ending));
    middle.is_some_and(|middle| {
        matches!(middle.first(), Some(b'.' | b'-' | b'_')) && middle.iter().any(u8::is_ascii_digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_rotation_gives_are_told_from_neighbors_and_archives() {
        let check = |name: &str| is_rotated_name(OsStr::new("app.log"), OsStr::new(name));
        for name in [
            "app.log.1",
            "app.log-20261121",
            "app.log.2026-11-21",
            "app-20261121.log",
            "app.1.log",
        ] {
            assert!(check(name), "{name}");
        }
        for name in [
            "app.log",
            "app.log.1.gz",
            "app.logger",
            "other.log.1",
            "app-error.log",
            "app.log.bak",
        ] {
            assert!(!check(name), "{name}");
        }
    }
}
