//! What has become of files that earlier runs followed.

use std::path::Path;
use std::sync::Arc;

use super::{Content, MAX_CANDIDATES, Sibling, is_sibling};
use crate::archive::{Compression, Likeness};
use crate::discover::Difference;
use crate::discover::follow::{Form, Look};
use crate::open::open_log;
use crate::tailer::{KnownFile, Matched, Now};
use crate::watch::DirId;

impl<R> crate::Tailer<R> {
    /// Finds what has become of files that earlier runs followed and that are not there: for each, in
    /// order, the file that holds its content now.
    pub(in crate::discover) fn repacked_of_stored(
        &self,
        stored: &[(KnownFile, Matched)],
        difference: &Difference,
    ) -> Vec<Option<Sibling>> {
        let mut found: Vec<Option<Sibling>> = stored.iter().map(|_| None).collect();
        let mut siblings = self.siblings(stored, difference);
        if siblings.is_empty() {
            return found;
        }
        // Those of which most was read are told best.
        let mut wanted: Vec<(u64, usize)> = Vec::new();
        for (index, (file, _)) in stored.iter().enumerate() {
            if file.fingerprint.len > 0 && !self.is_there(file, difference) {
                wanted.push((file.offset, index));
            }
        }
        wanted.sort_unstable_by(|a, b| b.cmp(a));
        for (_, index) in wanted {
            let Some((file, _)) = stored.get(index) else {
                continue;
            };
            let best = self.best_of(file, &siblings, difference);
            let best = best.map(|best| siblings.swap_remove(best));
            if let Some(place) = found.get_mut(index) {
                *place = best;
            }
        }
        found
    }

    /// Returns which of some files holds the content of one of an earlier run, if any does.
    fn best_of(
        &self,
        file: &KnownFile,
        siblings: &[Sibling],
        difference: &Difference,
    ) -> Option<usize> {
        let was_archive = was_archive(file);
        let content = Content {
            live: file.path.file_name().unwrap_or_default(),
            fingerprint: file.fingerprint,
            offset: file.offset,
            marker: file.marker,
        };
        let ranks = siblings.iter().enumerate().filter_map(|(index, sibling)| {
            if sibling.look.form == Form::Plain && !was_archive {
                return None;
            }
            // Few bytes are the beginning of many a plain file.
            if sibling.look.form == Form::Plain && content.fingerprint.is_growing() {
                return None;
            }
            if !content.fingerprint.matches_head(&sibling.look.head) {
                return None;
            }
            let path = difference.path_of(&sibling.name);
            let opened = open_log(&path, &self.allowed_roots).ok()?;
            let likeness = content.likeness(&opened, &sibling.look, &sibling.name)?;
            let is_unsure = likeness != Likeness::Same;
            // Of several that hold it alike, the one that was written to when it was read.
            let apart = sibling.modified_ns.abs_diff(file.updated_ns);
            Some((is_unsure, apart, index))
        });
        ranks.min().map(|(_, _, index)| index)
    }

    /// Returns the files of a directory that may hold what others of it held, and are not followed or known.
    fn siblings(&self, stored: &[(KnownFile, Matched)], difference: &Difference) -> Vec<Sibling> {
        let has_archives = stored.iter().any(|(file, _)| was_archive(file));
        let names = difference.fresh_files().filter(|(name, inode)| {
            (has_archives || Compression::is_archive_name(name))
                && !self.by_inode.contains_key(&(difference.device, *inode))
        });
        let mut siblings = Vec::new();
        for (name, inode) in names {
            let is_archive = Compression::is_archive_name(name);
            let wants = |(file, _): &&(KnownFile, Matched)| {
                let live = file.path.file_name().unwrap_or_default();
                is_archive || (was_archive(file) && is_sibling(live, name))
            };
            let Some((_, matched)) = stored.iter().find(wants) else {
                continue;
            };
            let path = difference.path_of(name);
            let Ok(opened) = open_log(&path, &self.allowed_roots) else {
                continue;
            };
            let look = Look::at(&opened, matched.archive, name);
            let mut known = stored.iter().filter(|(file, _)| file.inode == inode);
            // An inode alone says nothing: that of a file that is gone is soon another's.
            let is_known = known.any(|(file, _)| {
                file.fingerprint.len > 0 && file.fingerprint.matches_head(&look.head)
            });
            if !is_known && opened.inode == inode {
                siblings.push(Sibling::new(name.clone(), &opened, look));
            }
            if siblings.len() >= MAX_CANDIDATES {
                break;
            }
        }
        siblings
    }

    /// Returns whether a file of an earlier run is in its directory, under whatever name, or followed.
    fn is_there(&self, file: &KnownFile, difference: &Difference) -> bool {
        let mut names = difference
            .fresh_files()
            .filter(|(_, inode)| *inode == file.inode);
        self.by_inode.contains_key(&(difference.device, file.inode))
            || names.any(|(name, _)| {
                let path = difference.path_of(name);
                open_log(&path, &self.allowed_roots).is_ok_and(|opened| {
                    let look = self.look_at(&opened, &file.path, name);
                    file.fingerprint.matches_head(&look.head)
                })
            })
    }

    /// Follows what has become of a file of an earlier run; returns whether it does.
    pub(in crate::discover) fn resume_repacked(
        &mut self,
        id: DirId,
        sibling: &Sibling,
        file: &KnownFile,
        matched: Matched,
        now: Now,
    ) -> bool {
        let opened = self.open_listed(id, &sibling.name, sibling.inode, matched, now);
        let Ok(Some(opened)) = opened else {
            return false;
        };
        let inode = (opened.device, opened.inode);
        self.follow_as(id, &sibling.name, opened, Arc::clone(&file.path), true, now);
        let tail = self.by_inode.get(&inode);
        let Some(followed) = tail.and_then(|tail| self.files.get_mut(tail)) else {
            return false;
        };
        followed.former = Some(Box::new((file.inode, file.fingerprint)));
        if let Some(archive) = &mut followed.archive {
            archive.stand_in();
        }
        true
    }
}

fn was_archive(file: &KnownFile) -> bool {
    file.is_archive_end || has_archive_name(&file.path)
}

fn has_archive_name(path: &Path) -> bool {
    path.file_name().is_some_and(Compression::is_archive_name)
}
