//! Generations of a path that no listing showed while they had it.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Difference;
use super::follow::Look;
use super::repacked::{Sibling, Standing};
use crate::archive::Compression;
use crate::directory::Kind;
use crate::tailer::{Change, Known, KnownFile, Matched, Now};
use crate::watch::DirId;

/// A file time is that of the kernel's last tick, and ticks are this far apart at most.
const TICK_NS: u64 = 10_000_000;

/// Endings of archives.
const ARCHIVES: [&str; 6] = [".gz", ".zst", ".bz2", ".xz", ".lz4", ".zip"];

/// What has become of the files of earlier runs that a directory held.
#[derive(Debug, Default)]
struct Resumed {
    /// They are not there.
    missing: Vec<KnownFile>,
    /// When the newest generation of each path was read last.
    newest: HashMap<Arc<Path>, u64>,
    /// Inodes of files that have others now: who has one of these is another file.
    left_inodes: HashSet<u64>,
}

impl<R> crate::Tailer<R> {
    /// At the start: files of earlier runs that have another name by now are found by their inode,
    /// and generations that were made in between by their names.
    ///
    /// Ends early where a name has gone to another file since the listing: what is younger must not be
    /// followed before what is older, so the directory is looked at again as for the first time.
    pub(super) fn resume_rotated(
        &mut self,
        id: DirId,
        difference: &Difference,
        now: Now,
        known: &dyn Known,
    ) {
        let Some(Resumed {
            missing,
            newest,
            left_inodes,
        }) = self.resume_stored(id, difference, now, known)
        else {
            return;
        };
        self.changes
            .extend(missing.into_iter().map(Change::Missing));
        let is_known =
            |inode: u64| known.is_known(difference.device, inode) && !left_inodes.contains(&inode);
        let mut newest: Vec<(Arc<Path>, u64)> = newest.into_iter().collect();
        newest.sort_unstable();
        for (path, updated_ns) in newest {
            let Some(matched) = self.matched(&path) else {
                continue;
            };
            let unseen = |name: &OsStr, inode: u64| {
                !is_known(inode)
                    && Self::modified_ns(&difference.path_of(name))
                        .is_none_or(|at| at.saturating_add(TICK_NS) >= updated_ns)
            };
            // Only where the path itself went to another file is a sibling one of its generations.
            let is_replaced = path.file_name().is_some_and(|name| {
                let mut fresh = difference.fresh_files();
                fresh.all(|(fresh, inode)| fresh != name || !is_known(inode))
            });
            if is_replaced {
                self.track_missed(id, &path, matched, difference, now, &unseen);
            }
        }
    }

    /// Follows again what earlier runs followed and has another name by now, or another form; `None` where
    /// the directory has to be looked at again first.
    fn resume_stored(
        &mut self,
        id: DirId,
        difference: &Difference,
        now: Now,
        known: &dyn Known,
    ) -> Option<Resumed> {
        let stored = known.in_directory(&difference.directory).into_iter();
        let stored: Vec<(KnownFile, Matched)> = stored
            .filter_map(|file| Some((self.matched(&file.path)?, file)))
            .map(|(matched, file)| (file, matched))
            .collect();
        let repacked = self.repacked_of_stored(&stored, difference);
        let mut stored: Vec<(KnownFile, Matched, Option<Sibling>)> = stored
            .into_iter()
            .zip(repacked)
            .map(|((file, matched), repacked)| (file, matched, repacked))
            .collect();
        // Once for each: their times change while they are compared.
        stored.sort_by_cached_key(|(file, _, repacked)| {
            Self::age_of_stored(file, repacked.as_ref(), difference)
        });
        let mut resumed = Resumed::default();
        for (file, matched, repacked) in stored {
            let newest = resumed.newest.entry(Arc::clone(&file.path)).or_default();
            *newest = (*newest).max(file.updated_ns);
            if repacked.is_some() {
                resumed.left_inodes.insert(file.inode);
            }
            let is_here = match &repacked {
                Some(sibling) => self.resume_repacked(id, sibling, &file, matched, now),
                None => self.resume_renamed(id, difference, &file, matched, now),
            };
            if !is_here {
                resumed.missing.push(file);
            }
            if self.is_moving(id) {
                return None;
            }
        }
        Some(resumed)
    }

    /// Follows a file of an earlier run that has another name now; returns whether it is there at all.
    fn resume_renamed(
        &mut self,
        id: DirId,
        difference: &Difference,
        file: &KnownFile,
        matched: Matched,
        now: Now,
    ) -> bool {
        let is_followed = self.by_inode.contains_key(&(difference.device, file.inode));
        let here: Vec<OsString> = difference
            .fresh_files()
            .filter(|(_, inode)| *inode == file.inode)
            .map(|(name, _)| name.clone())
            .collect();
        let is_its_own = |name: &OsString| *difference.path_of(name) == *file.path;
        if is_followed || here.iter().any(is_its_own) {
            return true;
        }
        here.first()
            .is_some_and(|name| self.resume_one(id, name, file, matched, now))
    }

    /// How old a generation of an earlier run is, by the name it has now.
    fn age_of_stored(file: &KnownFile, repacked: Option<&Sibling>, difference: &Difference) -> Age {
        let now = difference
            .fresh_files()
            .find(|(_, inode)| *inode == file.inode)
            .map(|(name, _)| name);
        let now = repacked.map(|sibling| &sibling.name).or(now);
        let name = now.map_or(OsStr::new(""), OsString::as_os_str);
        let modified_ns = Self::modified_ns(&difference.path_of(name)).unwrap_or(file.updated_ns);
        Age::of(file.path.file_name().unwrap_or_default(), name, modified_ns)
    }

    /// Follows a file of an earlier run again; returns whether it is that file.
    fn resume_one(
        &mut self,
        id: DirId,
        name: &OsStr,
        file: &KnownFile,
        matched: Matched,
        now: Now,
    ) -> bool {
        let opened = self.open_listed(id, name, file.inode, matched, now);
        let is_it = |opened| {
            let look = Look::at(opened, matched.archive, name);
            file.fingerprint.matches_head(&look.head)
        };
        match opened {
            Ok(Some(opened)) if is_it(&opened) => {
                self.follow_as(id, name, opened, Arc::clone(&file.path), true, now);
                true
            }
            Ok(_) | Err(_) => false,
        }
    }

    /// Follows files that matched, and were renamed before any listing showed them.
    pub(super) fn follow_renamed_before_seen(
        &mut self,
        id: DirId,
        difference: &Difference,
        now: Now,
    ) {
        let mut unseen: Vec<(Age, OsString, u64, PathBuf, Matched)> = Vec::new();
        for (name, first) in &difference.renamed {
            let path = difference.path_of(first);
            let entry = self
                .dirs
                .get(&id)
                .and_then(|dir| dir.names.get(name))
                .copied();
            let entry = entry.filter(|entry| entry.kind == Kind::File && entry.file.is_none());
            let (Some(entry), Some(matched)) = (entry, self.matched(&path)) else {
                continue;
            };
            let is_followed = self
                .by_inode
                .contains_key(&(difference.device, entry.inode));
            let modified_ns = Self::modified_ns(&difference.path_of(name));
            if let Some(modified_ns) = modified_ns.filter(|_| !is_followed) {
                let age = Age::of(first, name, modified_ns);
                unseen.push((age, name.clone(), entry.inode, path, matched));
            }
        }
        unseen.sort_unstable();
        for (_, name, inode, path, matched) in unseen {
            if self.repacked.contains_key(&(difference.device, inode)) {
                continue;
            }
            if let Ok(Some(opened)) = self.open_listed(id, &name, inode, matched, now)
                && self.standing_of(id, &name, &opened, matched, now) == Standing::New
            {
                self.follow_as(id, &name, opened, path.into(), true, now);
            }
        }
    }

    /// Finds generations that were made and renamed between two listings: where a path has gone to
    /// another file, names like its own with inodes never seen before stand between the two.
    pub(super) fn find_missed_generations(&mut self, id: DirId, difference: &Difference, now: Now) {
        if difference.is_first {
            return;
        }
        let paths: HashSet<PathBuf> = difference
            .lost
            .iter()
            .filter_map(|tail| self.files.get(tail))
            .filter(|file| file.is_rotated() && self.live.get(&file.path) == Some(&file.id))
            .filter(|file| file.path.parent() == Some(&difference.directory))
            .map(|file| file.path.to_path_buf())
            .collect();
        let mut paths: Vec<PathBuf> = paths.into_iter().collect();
        paths.sort_unstable();
        for path in paths {
            let Some(matched) = self.matched(&path) else {
                continue;
            };
            let unseen = |_: &OsStr, inode: u64| !difference.old_inodes.contains(&inode);
            self.track_missed(id, &path, matched, difference, now, &unseen);
        }
    }

    fn track_missed(
        &mut self,
        id: DirId,
        path: &Path,
        matched: Matched,
        difference: &Difference,
        now: Now,
        is_unseen: &dyn Fn(&OsStr, u64) -> bool,
    ) {
        let Some(live_name) = path.file_name() else {
            return;
        };
        let mut missed: Vec<(Age, OsString, u64)> = difference
            .fresh_files()
            .filter(|(name, _)| {
                // While the agent runs it sees them before they are compressed.
                let is_archive = Compression::is_archive_name(name);
                is_rotated_name(live_name, Compression::bare_name(name))
                    && (difference.is_first || !is_archive)
            })
            .filter(|(_, inode)| !self.by_inode.contains_key(&(difference.device, *inode)))
            .filter(|(name, inode)| is_unseen(name, *inode))
            .filter_map(|(name, inode)| {
                let modified_ns = Self::modified_ns(&difference.path_of(name))?;
                Some((Age::of(live_name, name, modified_ns), name.clone(), inode))
            })
            .collect();
        missed.sort_unstable();
        for (_, name, inode) in missed {
            if let Ok(Some(opened)) = self.open_listed(id, &name, inode, matched, now)
                && self.standing_of(id, &name, &opened, matched, now) == Standing::New
            {
                self.follow_as(id, &name, opened, path.into(), true, now);
            }
            if difference.is_first && self.is_moving(id) {
                return;
            }
        }
    }
}

/// Where a generation stands among its siblings: the least is the oldest.
///
/// The number that rotation gives says it best: file times are as coarse as the kernel's tick, and a
/// writer may go on in an old generation after the next has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Age {
    number: std::cmp::Reverse<u64>,
    modified_ns: u64,
}

impl Age {
    /// Tells it by the name that rotation gave to a file called `live`, and by when it was last written
    /// to, in nanoseconds since the epoch.
    pub fn of(live: &OsStr, name: &OsStr, modified_ns: u64) -> Self {
        let rest = Compression::bare_name(name)
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
pub fn is_rotated_name(live: &OsStr, name: &OsStr) -> bool {
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
