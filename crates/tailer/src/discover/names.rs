//! Files that change their names, or lose them.

use std::collections::HashSet;
use std::path::Path;

use super::Difference;
use crate::directory::TailId;
use crate::open::open_log;
use crate::tailer::{Change, LossReason, Now};
use crate::watch::DirId;

impl<R> crate::Tailer<R> {
    /// Gives files that are followed their new names. Returns those that have one.
    pub(super) fn follow_renames(
        &mut self,
        id: DirId,
        difference: &Difference,
        now: Now,
    ) -> HashSet<TailId> {
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
                .is_some_and(|current| **current != path);
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
            if *file.path == path {
                file.rotated_at = None;
            } else if file.current.as_deref() != Some(&path) && file.rotated_at.is_none() {
                file.lose_path(now.instant);
                self.stats.rotations += 1;
            }
            file.current = Some(path.into());
            file.is_out_of_sight = false;
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
        let look = self.look_at(&opened, &file.path, path.file_name().unwrap_or_default());
        file.identity.fingerprint.matches_head(&look.head)
    }

    /// A file's name is gone, and no other name of it was found.
    pub(super) fn lose_name(&mut self, tail: TailId, id: DirId, directory: &Path, now: Now) {
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
        let dir = self.dirs.get(&id);
        file.is_out_of_sight = dir.is_none();
        let left = dir.and_then(|dir| {
            let mut names = dir
                .names
                .iter()
                .filter(|(_, entry)| entry.file == Some(tail));
            names.next().map(|(name, _)| dir.path.join(name).into())
        });
        if left.is_some() {
            file.current = left;
            return;
        }
        if file.rotated_at.is_none() {
            file.lose_path(now.instant);
            self.stats.rotations += 1;
        }
        self.attention.insert(tail);
        if self.go_on_repacked(tail, id, now) {
            return;
        }
        let Some(file) = self.files.get_mut(&tail) else {
            return;
        };
        file.current = None;
        if !file.is_open() {
            let known_len = file.known_len;
            let mut lost_bytes = Vec::with_capacity(file.cursors.len());
            for cursor in &mut file.cursors {
                lost_bytes.push(known_len.saturating_sub(cursor.offset));
                cursor.is_drained = true;
            }
            let (path, successor) = (file.path.to_path_buf(), file.successor);
            if lost_bytes.is_empty() {
                lost_bytes.push(known_len);
            }
            if lost_bytes.iter().any(|bytes| *bytes > 0) {
                self.changes.push(Change::Lost {
                    id: tail,
                    path,
                    lost_bytes,
                    reason: LossReason::Gone,
                });
            }
            successor
                .into_iter()
                .for_each(|successor| self.push_ready(successor));
        }
        self.push_ready(tail);
    }
}
